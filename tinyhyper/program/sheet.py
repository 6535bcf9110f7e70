"""A program as plain records: what its listing, its picture, its page and its JSON show.

An instruction has a number, from 1 on, through all steps of a window. An array is written by one instruction, and lives
until the last instruction that reads it, or on into a later step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np

from ..naming import within
from .readings import slots_in
from .trace import Phase
from .values import names_of

FORMAT, VERSION = "tinyhyper.program", 1


@dataclass(slots=True)
class ArrayRecord:
    """An array of a program.

    number: of its slot.  name: what listings call it.  kind: what the slot is for.
    value: the number, of a constant with one element.
    first: the instruction that writes it; None for what is there before.
    last: the instruction after which it is freed; None for what is there when the step is over.
    carried: whether a later step reads it, or users see it.
    buffers: the numbers of the buffers in which it lies, in turn; none where NumPy runs the program.
    """

    number: int
    name: str
    kind: Literal["value", "batch", "constant", "made", "earlier"]
    shape: tuple[int, ...]
    dtype: str
    value: float | None
    first: int | None
    last: int | None
    carried: bool
    buffers: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """How large it is."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(slots=True)
class InstructionRecord:
    """An instruction.

    reads: its operands, by slot.  inside: the slots in its other arguments.  writes, frees: slots.
    options: its other arguments that are plain and no defaults: name and value.
    cuts: for each operand why it was detached, None if it was not.
    way: how it is carried out, as in `Program.ways`.  group: with which others it runs block after block.
    """

    number: int
    op: str
    reads: tuple[int, ...]
    inside: tuple[int, ...]
    options: tuple[tuple[str, str], ...]
    cuts: tuple[str | None, ...]
    writes: tuple[int, ...]
    frees: tuple[int, ...]
    part: Phase
    way: Literal["=", "~", "np", ""]
    group: int | None
    file: str
    line: int


@dataclass(slots=True)
class StepRecord:
    """A step of a window, by slots.

    moves: (from, to), first of all.  after: (value, what the step leaves in its place).  counted: grow by 1.
    """

    instructions: tuple[InstructionRecord, ...]
    moves: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, int], ...]
    counted: tuple[int, ...]
    gradients: tuple[int, ...]
    loss: int


@dataclass(slots=True)
class ProgramRecord:
    """A program. arrays: by slot.  steps: one for each step of a window."""

    format: str
    version: int
    arrays: tuple[ArrayRecord, ...]
    steps: tuple[StepRecord, ...]

    @property
    def lines(self) -> list[InstructionRecord]:
        """The instructions of all steps."""
        return [line for step in self.steps for line in step.instructions]

    @property
    def groups(self) -> list[list[int]]:
        """The numbers of the instructions that run block after block, group by group."""
        found: dict[int, list[int]] = {}
        for line in self.lines:
            if line.group is not None:
                found.setdefault(line.group, []).append(line.number)
        return [*found.values()]


def sheet(program: Any) -> ProgramRecord:
    """The records of a program."""
    numbers = count(1)
    steps = [_step(*each, numbers) for each in zip(program.bodies, program.ways, program.groups)]
    lines = [line for step in steps for line in step.instructions]
    first = {slot: line.number for line in lines for slot in line.writes}
    last = {slot: line.number for line in lines for slot in line.frees}
    left = {slot for step in steps for slot in (*[made for _, made in step.after], *step.gradients)}
    carried, names = {*program.keys.values(), *program.handed_on, *left}, _names(program, steps)
    arrays = [
        ArrayRecord(
            n, names[n], slot.kind, slot.spec.shape, slot.spec.dtype.name, _number(program.constants.get(n)),
            first.get(n), last.get(n), n in carried, program.buffers.get(n, ()),
        )
        for n, slot in enumerate(program.slots)
    ]  # fmt: skip
    return ProgramRecord(FORMAT, VERSION, tuple(arrays), tuple(steps))


def _step(body: Any, ways: Sequence[Any], groups: Sequence[Any], numbers: Any) -> StepRecord:
    lines = [
        InstructionRecord(
            next(numbers), i.op.name, i.reads, tuple(slots_in(i.call)), _options(i.op, i.call), i.cuts,
            i.writes, i.frees, i.part, way, group, i.file, i.line,
        )
        for i, way, group in zip(body.instructions, ways, groups)
    ]  # fmt: skip
    gradients = tuple(body.gradients.values())
    return StepRecord(tuple(lines), body.moves, body.after, body.counted, gradients, body.loss)


def _options(op: Any, call: Any) -> tuple[tuple[str, str], ...]:
    """The arguments of an operation beside its arrays."""
    if not isinstance(call, Mapping):
        return ()
    defaults = getattr(op, "defaults", {})
    plain = [(name, value) for name, value in call.items() if _is_plain(value)]
    return tuple([(name, str(value)) for name, value in plain if name not in defaults or defaults[name] != value])


def _is_plain(value: Any) -> bool:
    items = value if type(value) is tuple else (value,)
    return all(item is None or isinstance(item, (bool, int, float, str, np.dtype)) for item in items)


def _number(array: np.ndarray | None) -> float | None:
    return array.item() if array is not None and array.size == 1 else None


def _names(program: Any, steps: Sequence[StepRecord]) -> list[str]:
    """What to call the array of each slot: in a window of several steps, with the step that makes it."""
    names = [slot.name for slot in program.slots]
    for key, name in names_of(program.keys).items():
        names[program.keys[key]] = name
    tags = [f"[{n}]" if len(steps) > 1 else "" for n in range(1, len(steps) + 1)]
    for step in steps:
        for line in step.instructions:
            for n, slot in enumerate(line.writes, start=1):
                names[slot] = f"%{line.number}" if len(line.writes) == 1 else f"%{line.number}.{n}"
    for body, tag in zip(program.bodies, tags):
        if program.slots[body.loss].kind == "made":
            names[body.loss] = f"loss{tag}"
        for key, slot in body.gradients.items():
            if program.slots[slot].kind == "made":
                names[slot] = f"∂{within(program.coordinates.get(key), names[program.keys[key]])}{tag}"
    for step, tag in zip(steps, tags):
        for slot, made in step.after:
            if program.slots[made].kind == "made":
                names[made] = f"{names[slot]}*{tag}"
    for step, tag in zip(steps, tags):
        for source, target in step.moves:
            names[target] = f"{names[source]}'" + (tag if program.slots[source].kind == "value" else "")
    return names
