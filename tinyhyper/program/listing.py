"""A program as text: one line for each instruction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .readings import slots_in

PARTS = {
    "loss": "the loss",
    "backward": "backward: the gradients, and those of the hyperparameters",
    "step": "the optimizer's step",
}
KEY = (
    "* what the step leaves in place of a value; ∂ a gradient; ' of the step before; ✂ cut: no gradient flows back\n"
    "= by a C function, with the eager engine's bits; ~ within rounding of them; np by what the eager engine calls;\n"
    "nothing where nobody reads the result"
)
WIDTH = 60


def listing(program: Any) -> str:
    """The program, line by line."""
    names = _names(program)
    lines: list[str] = []
    for n, (body, ways) in enumerate(zip(program.bodies, program.ways)):
        if len(program.bodies) > 1:
            lines.append(f"step {n + 1} of {len(program.bodies)} in a window:")
        part = None
        for instruction, way in zip(body.instructions, ways):
            if instruction.part != part:
                part = instruction.part
                lines.append(PARTS[part])
            lines.append(f"  {way:2} {_line(program, instruction, names)}")
        lines += [f"     {names[slot]}* = {names[slot]} + 1" for slot in body.counted]
    return "\n".join([*lines, KEY])


def _names(program: Any) -> dict[int, str]:
    """What to call the array of each slot."""
    names = {n: f"%{n}" if slot.kind == "made" else slot.name for n, slot in enumerate(program.slots)}
    for body in program.bodies:
        for key, slot in body.gradients.items():
            if program.slots[slot].kind == "made":
                names[slot] = f"∂{names[program.keys[key]]}"
    for body in program.bodies:
        for slot, made in body.after:
            if program.slots[made].kind == "made":
                names[made] = f"{names[slot]}*"
    for body in program.bodies:
        for source, target in body.moves:
            names[target] = f"{names[source]}'"
    return names


def _line(program: Any, instruction: Any, names: Mapping[int, str]) -> str:
    reads = [f"✂ {names[slot]}" if cut else names[slot] for slot, cut in zip(instruction.reads, instruction.cuts)]
    reads += [names[slot] for slot in slots_in(instruction.call)]
    left = f"{', '.join(names[slot] for slot in instruction.writes)} = {instruction.op.name}({', '.join(reads)})"
    shapes = ", ".join(_shown(program.slots[slot]) for slot in instruction.writes)
    return f"{left:{WIDTH}}  {shapes}  {Path(instruction.file).name}:{instruction.line}"


def _shown(row: Any) -> str:
    shape = "×".join(map(str, row.spec.shape))
    return f"{row.spec.dtype.name} {shape}".rstrip()
