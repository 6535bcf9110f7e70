"""A program as text: for each instruction what it makes, how long that is there, and where the instruction is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from ..plain import plain
from ..program.sheet import InstructionRecord, ProgramRecord

PARTS = {
    "goal": "the goal, and the gradients of the hyperparameters",
    "loss": "the loss",
    "backward": "backward: the gradients, and those of the hyperparameters",
    "step": "the optimizer's step",
}
BACKWARD = "backward: the gradients of the weights"  # where a goal has left those of the hyperparameters
KEY = """\
* what the step leaves in place of a value; ' of the step before; ✂ cut: no gradient flows back
∂ a gradient; ∂log alpha and ∂u(beta1) are with respect to the coordinate in which a value is tuned
= by a C function, with the eager engine's bits; ~ within rounding of them; np by what the eager engine calls;
nothing where no work is done: nobody reads the result, or its reader takes the operand as it lies
to 9: freed after instruction 9; carried: a later step reads it, or users see it; returned: the loss"""
GROUPS = "┌ to └: block after block, so all of them on one part of their arrays, and then on the next"
TURNS = "#2: in buffer 2; ×3: in three buffers, to which steps write in turn"
WIDTH, LEFT = 110, 8  # of a line, and of the number and the way of an instruction

Row = tuple[str, str, Sequence[tuple[str, str]], str]  # before an instruction, it, what it makes, and where it is from


def listing(sheet: ProgramRecord) -> str:
    """The program, line by line."""
    rows: list[Row | str] = [("no.", "instruction", [("makes", "there")], "from")]
    marks = {number: "│" for group in sheet.groups for number in group}
    marks |= {group[0]: "┌" for group in sheet.groups} | {group[-1]: "└" for group in sheet.groups}
    for n, step in enumerate(sheet.steps, start=1):
        if len(sheet.steps) > 1:
            rows.append(f"step {n} of {len(sheet.steps)} in a window:")
        part, asks = None, any(line.part == "goal" for line in step.instructions)
        for line in step.instructions:
            if line.part != part:
                part = line.part
                rows.append(BACKWARD if asks and part == "backward" else PARTS[part])
            made = dict.fromkeys([(shape(sheet, slot), life(sheet, slot)) for slot in line.writes])
            head = f"{line.number:>3} {marks.get(line.number, ' ')}{line.way}"
            rows.append((head, formula(sheet, line), [*made], site(line)))
        names = [sheet.arrays[slot].name for slot in step.counted]
        rows += [f"{'':{LEFT}}{name}* = {name} + 1" for name in names]
    sizes: dict[int, int] = {}
    for array in sheet.arrays:
        sizes |= {buffer: max(array.nbytes, sizes.get(buffer, 0)) for buffer in array.buffers}
    memory = [TURNS, f"{len(sizes)} buffers hold {sum(sizes.values()):,} bytes"] if sizes else []
    return "\n".join([*map(plain, _aligned(rows)), "", KEY, *[GROUPS] * bool(marks), *memory])


def _aligned(rows: Sequence[Row | str]) -> Iterator[str]:
    """Lines with their columns aligned. An instruction that is too long for its column has lines of its own."""
    table = [row for row in rows if not isinstance(row, str)]
    shapes, lives = (max(map(len, column)) for column in zip(*[pair for row in table for pair in row[2]]))
    room = WIDTH - LEFT - shapes - lives - max([len(row[3]) for row in table]) - 6
    width = max([len(row[1]) for row in table if len(row[1]) <= room], default=0)
    for row in rows:
        if isinstance(row, str):
            yield row
            continue
        head, text, made, place = row
        if len(text) > width:
            for line in wrap(text, WIDTH - LEFT, subsequent_indent="    "):
                yield f"{head:{LEFT}}{line}"
                head = ""
            text = ""
        for a, b in made:
            yield f"{head:{LEFT}}{text:{width}}  {a:{shapes}}  {b:{lives}}  {place}".rstrip()
            head = text = place = ""


def formula(sheet: ProgramRecord, line: InstructionRecord) -> str:
    """An instruction as it would be written."""
    arrays, options = [sheet.arrays[slot] for slot in line.reads], dict(line.options)
    names = [f"{a.name}'" if a.first is not None and a.first > line.number else a.name for a in arrays]
    if line.op == "matmul":  # whose options say which operand is transposed
        names = [f"{name}ᵀ" if options.pop(side, "") else name for name, side in zip(names, ("left", "right"))]
    options.pop("shape", None)  # that of the result
    read = [f"✂ {name}" if cut else name for name, cut in zip(names, line.cuts)]
    read += [sheet.arrays[slot].name for slot in line.inside]
    read += [f"{name}={value}" for name, value in options.items()]
    return f"{', '.join([sheet.arrays[slot].name for slot in line.writes])} = {line.op}({', '.join(read)})"


def site(line: InstructionRecord) -> str:
    """Where an instruction comes from."""
    return f"{Path(line.file).name}:{line.line}"


def shape(sheet: ProgramRecord, slot: int) -> str:
    """The dtype and shape of an array."""
    array = sheet.arrays[slot]
    return f"{array.dtype} {'×'.join(map(str, array.shape))}".rstrip()


def life(sheet: ProgramRecord, slot: int) -> str:
    """How long an array that an instruction makes is there, and in which buffers."""
    array, turns = sheet.arrays[slot], len(sheet.arrays[slot].buffers)
    if array.last == array.first:
        return "unread"
    is_loss = slot in {step.loss for step in sheet.steps}
    stays = "carried" if array.carried else "returned" if is_loss else "the goal"
    text = stays if array.carried or array.last is None else f"to {array.last}"
    return f"{text} ×{turns}" if turns > 1 else f"{text} #{array.buffers[0]}" if turns else text
