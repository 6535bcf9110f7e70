"""A program as text: one line for each instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .readings import slots_in

PARTS = {
    "loss": "the loss",
    "backward": "backward: the gradients, and those of the hyperparameters",
    "step": "the optimizer's step",
}
KEY = (
    "✂: cut, the value is read and no gradient flows back.  ': of the step before.\n= by a C function, with the bits of the "
    "eager engine; ~ within rounding of them; np by what the eager engine calls; nothing, where nobody reads the result."
)
WIDTH = 60


def listing(program: Any) -> str:
    """The program, line by line."""
    names = {slot: _name(slot, row) for slot, row in enumerate(program.slots)}
    for body in program.bodies:
        for source, target in body.moves:
            names[target] = f"{names[source]}'"
    lines = []
    for n, (body, marks) in enumerate(zip(program.bodies, program.ways)):
        if len(program.bodies) > 1:
            lines += [f"step {n + 1} of {len(program.bodies)} in a window"]
        lines += _body(program, body, marks, names)
    return "\n".join([*lines, KEY])


def _body(program: Any, body: Any, marks: Sequence[str], names: Mapping[int, str]) -> list[str]:
    lines, part = [], None
    for instruction, mark in zip(body.instructions, marks):
        if instruction.part != part:
            part = instruction.part
            lines.append(f"  {PARTS[part]}")
        lines.append(f"    {mark:2} {_line(program, instruction, names)}")
    lines.append("  what the next step begins with")
    lines += [f"       {names[slot]} = {names[made]}" for slot, made in body.after]
    return [*lines, *[f"       {names[slot]} = {names[slot]} + 1" for slot in body.counted]]


def _line(program: Any, instruction: Any, names: Mapping[int, str]) -> str:
    reads = [f"✂ {names[slot]}" if cut else names[slot] for slot, cut in zip(instruction.reads, instruction.cuts)]
    reads += [names[slot] for slot in slots_in(instruction.call)]
    left = f"{', '.join(names[slot] for slot in instruction.writes)} = {instruction.op.name}({', '.join(reads)})"
    shapes = ", ".join(_shown(program.slots[slot]) for slot in instruction.writes)
    return f"{left:{WIDTH}}  {shapes}  {Path(instruction.file).name}:{instruction.line}"


def _name(slot: int, row: Any) -> str:
    return f"%{slot}" if row.kind == "made" else row.name


def _shown(row: Any) -> str:
    shape = "×".join(map(str, row.spec.shape))
    return f"{row.spec.dtype.name} {shape}".rstrip()
