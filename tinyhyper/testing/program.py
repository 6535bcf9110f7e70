"""Random programs: small computations over all operations, as data that can be run, by any library, and printed.

    @given(testing.programs())
    def test_values(program):
        outputs = program.run([th.tensor(x, requires_grad=True) for x in program.inputs])

A program that fails is shrunk by hypothesis to one with fewer, simpler steps; `str(program)` is Python that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyhyper as th

from .arrangements import Options, Shape
from .operations import OPERATIONS, Domain
from .strategies import source

LARGEST = 1e3  # no value of a program is larger
ELEMENTS = 200  # nor has an array more elements


class Step(NamedTuple):
    """One operation. operands: which values of the program it reads, by number."""

    name: str
    operands: tuple[int, ...]
    options: Options


def call(name: str, operands: Sequence[Any], options: Options) -> Any:
    """One step of a program by tinyhyper."""
    return OPERATIONS[name].of(th, name)(*operands, **options)


@dataclass(frozen=True)
class Program:
    """Values from values: first the inputs, float64 arrays, then what each step makes of earlier ones."""

    inputs: tuple[np.ndarray, ...]
    steps: tuple[Step, ...]

    @property
    def outputs(self) -> list[int]:
        """Which values no step reads."""
        read = {n for step in self.steps for n in step.operands}
        return [n for n in range(len(self.inputs) + len(self.steps)) if n not in read]

    @property
    def broadcasts(self) -> bool:
        """Whether all inputs broadcast together, as those of a fused function must."""
        try:
            np.broadcast_shapes(*[array.shape for array in self.inputs])
        except ValueError:
            return False
        return True

    def run(self, inputs: Sequence[Any], call: Callable[[str, Sequence[Any], Options], Any] = call) -> list[Any]:
        """The outputs, from inputs in place of the program's own.

        call: what computes a step from its name, operands and options; tinyhyper's operations unless told otherwise.
        """
        values = list(inputs)
        for step in self.steps:
            values.append(call(step.name, [values[n] for n in step.operands], step.options))
        return [values[n] for n in self.outputs]

    def __str__(self) -> str:
        lines = ["import numpy as np", "import tinyhyper as th", ""]
        lines += [f"x{n} = th.tensor({source(array)}, requires_grad=True)" for n, array in enumerate(self.inputs)]
        for n, step in enumerate(self.steps, len(self.inputs)):
            lines.append(f"x{n} = {_source(step)}")
        return "\n".join([*lines, f"outputs = [{', '.join(f'x{n}' for n in self.outputs)}]"])

    __repr__ = __str__

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows it."""
        printer.text(str(self))


def _source(step: Step) -> str:
    names = [f"x{n}" for n in step.operands]
    options = {key: _literal(value) for key, value in step.options.items()}
    if shown := OPERATIONS[step.name].shown:
        return shown.format(*names, operands=", ".join(names), **options)
    return f"th.{step.name}({', '.join([*names, *[f'{key}={value}' for key, value in options.items()]])})"


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return source(value)
    if isinstance(value, tuple):
        return f"({''.join(_literal(item) + ', ' for item in value)})"
    return f"th.{value.__name__}" if callable(value) else repr(value)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
IMAGES = st.tuples(st.integers(1, 2), st.integers(2, 4), st.integers(2, 4), st.integers(1, 2))


@st.composite
def programs(draw: Any, max_steps: int = 8, operations: Collection[str] = tuple(OPERATIONS)) -> Program:
    """Programs of some operations, at whose values all of them are smooth.

    max_steps: how many operations at most.  operations: their names in the table, `tinyhyper.testing.operations`.
    A value outside the domain of an operation is first led into it by others, such as tanh.
    """
    builder = Builder(draw, sorted(operations))
    builder.add_input(draw(SHAPES | IMAGES))
    for _ in range(draw(st.integers(1, max_steps))):
        builder.add_step()
    return builder.program()


class Builder:
    """A program in the making, computed as it grows, so that what comes next can suit the values that are there.

    Values are numbered in the order in which they come, inputs among them; `program` puts the inputs first.
    """

    def __init__(self, draw: Any, names: Sequence[str]) -> None:
        self.draw, self.names = draw, names
        self.arrays: list[np.ndarray] = []
        self.made: list[Step | None] = []  # by value; None for an input

    def add_input(self, shape: Shape) -> int:
        """An input of this shape, with values of two decimals."""
        rng = np.random.default_rng(self.draw(st.integers(0, 10_000)))
        return self._keep(np.asarray(rng.uniform(-2, 2, shape)).round(2), None)

    def add_step(self) -> None:
        """One more operation, if its operands can be had."""
        name = self.draw(st.sampled_from(self.names))
        row, first = OPERATIONS[name], self.draw(st.integers(0, len(self.arrays) - 1))
        if (arranged := row.arrange(self.draw, self.arrays[first].shape)) is None:
            return
        shapes, options = arranged
        operands = [self._led_into(row.domain(0), first)]
        operands += [self._led_into(row.domain(n), self._of_shape(shape)) for n, shape in enumerate(shapes, 1)]
        arrays = [self.arrays[n] for n in operands]
        if all(row.domain(n).holds(array) for n, array in enumerate(arrays)) and row.fits(arrays, options):
            self._apply(Step(name, tuple(operands), options))

    def program(self) -> Program:
        inputs = [n for n, step in enumerate(self.made) if step is None]
        steps = [n for n, step in enumerate(self.made) if step is not None]
        place = {n: k for k, n in enumerate([*inputs, *steps])}
        found = [step._replace(operands=tuple([place[n] for n in step.operands])) for step in self.made if step]
        return Program(tuple([self.arrays[n] for n in inputs]), tuple(found))

    def _of_shape(self, shape: Shape) -> int:
        """A value of this shape: one that there is, or a new input."""
        there = [n for n, array in enumerate(self.arrays) if array.shape == shape]
        if there and self.draw(st.booleans()):
            return self.draw(st.sampled_from(there))
        return self.add_input(shape)

    def _led_into(self, domain: Domain, n: int) -> int:
        """A value, or what its guard makes of it where it is outside the domain."""
        if domain.holds(self.arrays[n]):
            return n
        for name in domain.guard:
            n = self._apply(Step(name, (n,), {})) or n
        return n

    def _apply(self, step: Step) -> int | None:
        """Compute a step and keep what comes of it, unless that is large or empty (a diagonal can be)."""
        with th.no_grad():
            result = call(step.name, [th.tensor(self.arrays[n]) for n in step.operands], step.options).numpy()
        if not 0 < result.size <= ELEMENTS or not np.all(np.abs(result) < LARGEST):
            return None
        return self._keep(result, step)

    def _keep(self, array: np.ndarray, step: Step | None) -> int:
        self.arrays.append(array)
        self.made.append(step)
        return len(self.arrays) - 1
