"""A program: the recorded step as data, and how NumPy runs it.

A program has one body for each step of a window (one body where every step cuts). An instruction reads and writes
slots. A slot is a place for an array: of a value that crosses from step to step, of the batch, of a constant, or of
what an instruction has made. Everything that a step reads of an earlier one is in a slot that `moves` fills.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..core.operation import ArraySpec
from ..core.tape import quietly
from .readings import each, filled, slots_in
from .trace import Phase
from .values import Key

SlotKind = Literal["value", "batch", "constant", "made", "earlier"]


class Slot(NamedTuple):
    """A place for an array. name: of the value, the batch's entry or the operation."""

    kind: SlotKind
    name: str
    spec: ArraySpec


class Instruction(NamedTuple):
    """One operation.

    op, call: what `apply` was given.  reads, writes, frees: slots; what is freed is read by nothing after it.
    fills: whether there are slots in the arguments of `call`.  cuts: for each operand why it was detached, None if not.
    part, file, line: where in the step, and in the code.
    """

    op: Any
    call: Any
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    frees: tuple[int, ...]
    fills: bool
    cuts: tuple[str | None, ...]
    part: Phase
    file: str
    line: int


class BatchEntry(NamedTuple):
    """An entry of the batch that a slot holds. copies: whether the loss had made an array of its own of it."""

    position: int
    slot: int
    dtype: np.dtype
    copies: bool


class Body(NamedTuple):
    """One step.

    moves: (from, to), first of all.  after: by value, the slot that holds it when the step is over; counted: the
    values that grow by 1.  gradients: by value, the slot of its gradient.
    finite: the slots that hold no NaN and no infinity in a good step.
    """

    moves: tuple[tuple[int, int], ...]
    batch: tuple[BatchEntry, ...]
    instructions: tuple[Instruction, ...]
    after: tuple[tuple[int, int], ...]
    counted: tuple[int, ...]
    gradients: Mapping[Key, int]
    finite: tuple[int, ...]
    loss: int


@dataclass(frozen=True)
class Program:
    """What a step does.

    constants: their arrays, by slot.  keys: the slot of each value.  bodies: one for each step of a window.
    ways: of each body, how each instruction is carried out: "=" or "~" by a C function, "py" by Python.
    groups: of each body, for each instruction the number of the group that runs block after block; None for no group.
    handed_on: the slots whose arrays a later step reads, each with the body, kind and index of what it holds.
    buffers: by slot, the numbers of those in which its array lies, in turn; none where NumPy makes arrays.
    coordinates: by value, that in which it is tuned, if it is another than its own.
    """

    slots: tuple[Slot, ...]
    constants: Mapping[int, np.ndarray]
    keys: Mapping[Key, int]
    bodies: tuple[Body, ...]
    handed_on: Mapping[int, tuple[int, str, Any]]
    ways: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[int | None, ...], ...]
    buffers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    coordinates: Mapping[Key, str] = field(default_factory=dict)

    if TYPE_CHECKING:  # attached from the table of tinyhyper.inspect
        def to_json(self) -> str: ...
        def svg(self) -> str: ...
        def save_svg(self, path: str | os.PathLike[str]) -> Path: ...
        def explore(self) -> str: ...
        def save_html(self, path: str | os.PathLike[str]) -> Path: ...
        def _repr_html_(self) -> str: ...

    def __repr__(self) -> str:
        steps = "a step" if len(self.bodies) == 1 else f"a window of {len(self.bodies)} steps"
        count = sum([len(body.instructions) for body in self.bodies])
        return f"<Program of {steps}, {count} instructions: print() lists them>"

    def empty(self) -> list[Any]:
        """An array for each slot: the constants, and None."""
        return [self.constants.get(slot) for slot in range(len(self.slots))]


def freeing(instructions: Sequence[Instruction], loose: Collection[int]) -> tuple[Instruction, ...]:
    """Instructions that free slots as soon as nothing reads them. loose: those that may be freed."""
    last: dict[int, int] = {}
    for number, instruction in enumerate(instructions):
        used = (*each((*instruction.reads, *instruction.writes)), *slots_in(instruction.call))
        last |= {slot: number for slot in used if slot in loose}
    frees: list[list[int]] = [[] for _ in instructions]
    for slot, number in last.items():
        frees[number].append(slot)
    return tuple([i._replace(frees=tuple(slots)) for i, slots in zip(instructions, frees)])


def run(body: Body, arrays: list[Any], batch: Sequence[Any]) -> None:
    """Carry out one step on the arrays of the slots, by what the eager engine calls."""
    quietly(_run, body, arrays, batch)  # once, and not with each operation


def _run(body: Body, arrays: list[Any], batch: Sequence[Any]) -> None:
    for source, target in body.moves:
        arrays[target] = arrays[source]
    for position, slot, dtype, copies in body.batch:
        arrays[slot] = np.array(batch[position], dtype, order="C") if copies else batch[position]
    for op, call, reads, writes, frees, fills, _, _, _, _ in body.instructions:
        if fills:
            call = filled(call, arrays)
        results, _ = op.compute([arrays[slot] for slot in reads], call)
        for slot, result in zip(writes, results):
            arrays[slot] = result
        for slot in frees:
            arrays[slot] = None
    fresh = [arrays[made] for _, made in body.after]
    for (slot, _), array in zip(body.after, fresh):
        arrays[slot] = array
    for slot in body.counted:
        arrays[slot] = arrays[slot] + 1.0
