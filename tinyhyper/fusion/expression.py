"""Elementwise expressions as data, and their reading through NumPy.

An expression is a straight-line program over numbered values: first the inputs, then the constants,
then one value a line. It knows no tape and no derivative; `symbols.lower` writes it, `compiler` turns
it into a numba kernel, and `Program` computes it with NumPy, which is both the quick way for small
arrays and the oracle of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.rules import summed_to
from ..core.tape import quietly
from ..errors import DtypeError

FLOAT64 = np.dtype(np.float64)


class Formula(NamedTuple):
    """One scalar operation in two notations.

    source: numba source with `{0}`, `{1}`, ... for its arguments and `{one}` for a 1 of its dtype, used where
      `special` has no function of that name.
    numpy: the same over arrays.
    """

    name: str
    source: str
    numpy: Callable[..., Any]


class Line(NamedTuple):
    """`formula` applied to earlier values, named by their numbers."""

    formula: Formula
    args: tuple[int, ...]


class Expression(NamedTuple):
    """inputs: how many; constants, lines: in the order of their values; outputs: numbers of values."""

    inputs: int
    constants: tuple[Any, ...]
    lines: tuple[Line, ...]
    outputs: tuple[int, ...]


def run(expression: Expression, inputs: Sequence[Any], weak: Sequence[bool]) -> list[Any]:
    """All values of the expression. The weak ones are Python numbers until they meet an array (NEP 50)."""
    values = [*inputs, *expression.constants]
    for (formula, args), is_weak in zip(expression.lines, weak[len(values) :]):
        value = formula.numpy(*[values[arg] for arg in args])
        values.append(value.item() if is_weak and hasattr(value, "item") else value)
    return values


def weak_values(expression: Expression, weak: Sequence[bool]) -> list[bool]:
    """Which of the values are weak, if these inputs are: constants, and what is computed from nothing else."""
    found = [*weak, *[True] * len(expression.constants)]
    for _, args in expression.lines:
        found.append(all(found[arg] for arg in args))
    return found


AS_FLOAT = Formula("as_float", "{0}", lambda x: np.asarray(x, FLOAT64))


def in_floats(expression: Expression, dtypes: Sequence[np.dtype], weak: Sequence[bool]) -> Expression:
    """The expression with integers and booleans made float64 before each line that gives a float of nothing else.

    NumPy would take the exponential of uint8 in float16, which is no dtype here, and the negative of an unsigned
    integer, on the way to a sigmoid, wraps round. Raises DtypeError for dtypes that an operation has not.
    """
    values = [*_samples(dtypes, weak), *expression.constants]
    first, lines, numbers = len(values), list[Line](), [*range(len(values))]
    for (formula, args), is_weak in zip(expression.lines, weak_values(expression, weak)[first:]):
        given, places = [values[arg] for arg in args], [numbers[arg] for arg in args]
        if (not is_weak or bool in map(type, given)) and _floats_of_integers(formula, given):
            for n, value in enumerate(given):
                if isinstance(value, (np.ndarray, bool)):
                    lines.append(Line(AS_FLOAT, (places[n],)))
                    given[n] = value.astype(FLOAT64) if isinstance(value, np.ndarray) else float(value)
                    places[n] = first + len(lines) - 1
        lines.append(Line(formula, tuple(places)))
        numbers.append(first + len(lines) - 1)
        try:
            value = formula.numpy(*given)
        except TypeError as error:
            dtypes_given = " and ".join([str(np.asarray(value).dtype) for value in given])
            raise DtypeError(f"{formula.name} of {dtypes_given}: {error}") from None
        values.append(value.item() if is_weak and hasattr(value, "item") else value)
    return expression._replace(lines=tuple(lines), outputs=tuple([numbers[n] for n in expression.outputs]))


def _floats_of_integers(formula: Formula, values: Sequence[Any]) -> bool:
    """Whether the formula gives floats though the arrays among these values hold none; a selection computes nothing."""
    if formula.numpy is np.where or any(isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in values):
        return False
    whole = [value.astype(np.int64) if isinstance(value, np.ndarray) else value + 0 for value in values]
    return np.asarray(formula.numpy(*whole)).dtype.kind == "f"


class Program:
    """An expression as NumPy computes it: over arrays broadcast to `shape`, each output summed down to its own shape.

    weak: which inputs are scalars that take on the dtype they meet.  outs: the outputs' shapes and dtypes.
    """

    def __init__(
        self,
        expression: Expression,
        samples: Sequence[Any],
        weak: tuple[bool, ...],
        shape: tuple[int, ...],
        outs: Sequence[tuple[tuple[int, ...], np.dtype]],
    ) -> None:
        self.expression, self.shape, self.outs = expression, shape, outs
        self.scalars = weak if True in weak else None
        self.weak = weak_values(expression, weak)
        shapes = [*[sample.shape for sample in samples], *[()] * len(expression.constants)]
        for _, args in expression.lines:
            shapes.append(np.broadcast_shapes(*[shapes[arg] for arg in args]))
        types, _ = value_dtypes(expression, [sample.dtype for sample in samples], weak)
        numbers = expression.outputs
        self.ready = len({*numbers}) == len(numbers) and all(
            number >= expression.inputs and (shapes[number], types[number]) == out for number, out in zip(numbers, outs)
        )
        lines, in_order = expression.lines, tuple(range(expression.inputs))
        alone = self.ready and False in weak and [line.args for line in lines] == [in_order]
        self.single = lines[0].formula.numpy if alone else None

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs, each an array of its own."""
        inputs: Sequence[Any] = arrays
        if self.scalars is not None:
            inputs = [array.item() if is_weak else array for array, is_weak in zip(arrays, self.scalars)]
        if self.single is not None:
            return [np.asarray(quietly(self.single, *inputs))]
        values = quietly(run, self.expression, inputs, self.weak)
        results = [np.asarray(values[number]) for number in self.expression.outputs]
        return results if self.ready else [quietly(self._finish, r, *out) for r, out in zip(results, self.outs)]

    def _finish(self, value: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if value.shape != shape:
            value = summed_to(value if value.shape == self.shape else np.broadcast_to(value, self.shape), shape, dtype)
        return np.array(value, dtype=dtype)


def value_dtypes(
    expression: Expression, dtypes: Sequence[np.dtype], weak: tuple[bool, ...]
) -> tuple[list[np.dtype], list[bool]]:
    """The dtype of every value and whether it is weak, found by running the expression on one element of each input."""
    samples = _samples(dtypes, weak)
    loose = weak_values(expression, weak)
    values = quietly(run, expression, samples, loose)
    return [np.asarray(value).dtype for value in values], loose


def _samples(dtypes: Sequence[np.dtype], weak: Sequence[bool]) -> list[Any]:
    """One element of each dtype, as a Python number where it is weak."""
    return [np.ones((), dtype).item() if is_weak else np.ones(1, dtype) for dtype, is_weak in zip(dtypes, weak)]
