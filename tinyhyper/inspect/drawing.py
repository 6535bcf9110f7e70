"""A program as a picture: time runs down, an instruction is a box, and an array is a bar beside the boxes.

A bar begins where an instruction makes the array, and ends where the last one reads it. What is there before comes in
at the top, what is carried to a later step leaves at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from xml.etree.ElementTree import Element

from ..program.sheet import ArrayRecord, InstructionRecord, ProgramRecord
from .canvas import Canvas, Picture
from .listing import PARTS, formula, shape, site

MOST = 200  # instructions in a picture
ROW, PART, LINE, EDGE = 28, 27, 21, 18  # heights: of an instruction, a title, a text; the margin
LETTER, SMALL = 8.2, 7.9  # about the widths of letters
TITLE = "A step as a program"
WORDS = (
    "Time runs down. A bar is an array: from the instruction that makes it to the last one that reads it.",
    "A column holds arrays one after another; a name at its head is that of the first alone.",
)
KINDS = {"before": "there before", "loss": "made by the loss", "backward": "by backward", "step": "by the step"}
ENDS = {
    "h16 l-8 10 z": "is carried on: a later step reads it, or users see it",
    "h16 v9 h-16 z": "is returned: the loss",
}
WAYS = "= by a C function, with the eager engine's bits; ~ within rounding of them; np by what the eager engine calls"
IDLE = "; nothing where no work is done"
GROUPS = "; [ block after block"


@dataclass(slots=True)
class Bar:
    """An array from one instruction to another: from 0 if it is there before, to inf if it is there at the end.

    reads: by instruction, whether a cut is before it.
    """

    array: ArrayRecord
    name: str
    kind: str
    first: float
    last: float
    reads: dict[int, bool]
    column: int = 0


def bars(sheet: ProgramRecord, lines: Sequence[InstructionRecord]) -> list[Bar]:
    """The arrays that instructions make and read, in columns. Numbers stand in the formulas and have no bars."""
    reads: dict[int, dict[int, bool]] = {}
    for line in lines:
        for slot, cut in [*zip(line.reads, line.cuts), *[(slot, None) for slot in line.inside]]:
            here = reads.setdefault(slot, {})
            here[line.number] = here.get(line.number, False) or cut is not None
    moved = {value for step in sheet.steps for value, _ in step.after}
    parts = {slot: line.part for line in lines for slot in line.writes}
    found = []
    for array in sheet.arrays:
        n, made, known = array.number, array.first or inf, reads.get(array.number, {})
        if before := {number: cut for number, cut in known.items() if number < made and array.value is None}:
            stays = array.kind == "value" and n not in moved
            name = array.name if array.first is None else f"{array.name}'"
            found.append(Bar(array, name, "before", 0, inf if stays else max(before), before))
        if n in parts:
            later = {number: cut for number, cut in known.items() if number > made}
            kind = "loss" if parts[n] == "goal" else parts[n]
            found.append(Bar(array, array.name, kind, made, array.last or inf, later))
    ends: list[float] = []
    for bar in sorted(found, key=lambda bar: bar.first):
        bar.column = next((n for n, end in enumerate(ends) if end < bar.first), len(ends))
        ends[bar.column : bar.column + 1] = [bar.last]
    return found


class ProgramDrawing(Canvas):
    """A program laid out and drawn."""

    def __init__(self, sheet: ProgramRecord) -> None:
        self.sheet, self.lines, self.hidden = sheet, sheet.lines[:MOST], len(sheet.lines[MOST:])
        self.bars, self.losses = bars(sheet, self.lines), {step.loss for step in sheet.steps}
        words = [(line.op, _makes(sheet, line), site(line)) for line in self.lines]
        op, makes, place = (max(map(len, column)) for column in zip(("", "", ""), *words))
        self.makes, self.site = EDGE + 72 + LETTER * op, EDGE + 88 + LETTER * op + SMALL * makes  # where texts begin
        self.right = self.site + SMALL * place + 8  # of the boxes
        self.pitch = min(max([36.0, *[SMALL * len(bar.name) + 10 for bar in self.bars if bar.first]]), 120.0)
        self.y: dict[float, float] = {}
        self.titles: list[tuple[float, str]] = []
        slanted = max([len(bar.name) for bar in self.bars if not bar.first], default=0)
        self.top = 48 + LINE * len(WORDS) + 0.77 * SMALL * slanted  # the sine of their angle
        self.bottom = self._stack() + 14
        columns = 1 + max([bar.column for bar in self.bars], default=0)
        self.groups = sheet.groups
        self.ways = WAYS + IDLE * (not all(line.way for line in self.lines)) + GROUPS * bool(self.groups)
        width = max(self.right + 14 + self.pitch * columns + 60, 2 * EDGE + SMALL * len(self.ways))
        super().__init__(width, self.bottom + 4 * LINE + 12, "th-figure th-program")

    def _stack(self) -> float:
        """Put the instructions one below the other, with titles between them; where they end."""
        shown, place = {line.number for line in self.lines}, self.top
        for n, step in enumerate(self.sheet.steps, start=1):
            of = f"step {n} of {len(self.sheet.steps)}: " if len(self.sheet.steps) > 1 else ""
            title = None
            for line in [line for line in step.instructions if line.number in shown]:
                if line.part != title:
                    title = line.part
                    self.titles.append((place + PART - 8, of + PARTS[title].partition(":")[0]))
                    place += PART
                self.y[line.number] = place + ROW / 2
                place += ROW
        return place

    def draw(self) -> Picture:
        self.add("title", text=TITLE)
        self.add("desc", text=" ".join([*WORDS, *[f"{formula(self.sheet, line)}." for line in self.lines]]))
        self.style("picture", "program")
        self.add("rect", class_="th-ground", width="100%", height="100%")
        self.write(EDGE, 34, TITLE, "th-title")
        for n, words in enumerate(WORDS, start=1):
            self.write(EDGE, 34 + n * LINE, words, "th-small")
        for y, title in self.titles:
            self.write(EDGE, y, title, "th-lane")
        self._brackets()
        self._wires()
        for bar in self.bars:
            self._bar(bar)
        for line in self.lines:
            self._box(line)
        self._legend()
        return self.picture()

    def _x(self, bar: Bar) -> float:
        return self.right + 14 + self.pitch * (bar.column + 0.5)

    def _brackets(self) -> None:
        """A bracket beside the instructions that run block after block."""
        for group in self.groups:
            if shown := [self.y[number] for number in group if number in self.y]:
                path = f"M{EDGE + 20} {shown[0] - 9:g} h-4 V{shown[-1] + 9:g} h4"
                self.add("path", d=path, class_="th-wire th-bracket")

    def _wires(self) -> None:
        """A line from each instruction to what it touches, below the bars that it does not touch."""
        right: dict[float, float] = {}
        for bar in self.bars:
            for number in (bar.first, *bar.reads):
                right[number] = max(right.get(number, 0), self._x(bar))
        for line in self.lines:
            y = self.y[line.number]
            path = f"M{self.right:g} {y:g} H{right[line.number]:g}"
            self.add("path", d=path, class_="th-wire", data_line=line.number)

    def _box(self, line: InstructionRecord) -> None:
        """An instruction: how it is carried out, its number, operation, what it makes, and where it is from."""
        y, group = self.y[line.number], self.add("g", data_line=line.number)
        self.add("title", group, text=formula(self.sheet, line))
        self.write(EDGE, y + 5, line.way, "th-small", group)
        x, wide = EDGE + 22, self.right - EDGE - 22
        self.add("rect", group, x=x, y=y - ROW / 2 + 2, width=wide, height=ROW - 4, rx=6, class_="th-box")
        self.write(EDGE + 48, y + 5, f"{line.number}", "th-small", group, "end")
        self.write(EDGE + 58, y + 5, line.op, "", group)
        self.write(self.makes, y + 5, _makes(self.sheet, line), "th-small", group)
        self.write(self.site, y + 5, site(line), "th-small", group)

    def _bar(self, bar: Bar) -> None:
        """A bar with its name: at its top, or slanted above it."""
        x, wide = self._x(bar), self.pitch - 6
        top = self.y[bar.first] - ROW / 2 + 2 if bar.first else self.top
        bottom = self.y.get(bar.last, self.bottom - ROW / 2 - 6) + ROW / 2 - 2
        group = self.add("g", data_array=bar.array.number)
        self.add("title", group, text=f"{bar.name}: {shape(self.sheet, bar.array.number)}")
        style = f"th-live th-live-{bar.kind}"
        self.add("rect", group, x=x - wide / 2, y=top, width=wide, height=bottom - top, rx=5, class_=style)
        carried, returned = ENDS
        if bar.last == inf and (bar.array.carried or bar.array.number in self.losses):
            end = carried if bar.array.carried else returned
            self.add("path", group, d=f"M{x - 8:g} {bottom + 1:g} {end}", class_="th-on")
        if bar.first:
            self.write(x, self.y[bar.first] + 5, bar.name, "th-small", group, "middle")
        else:
            slanted = self.add("g", group, transform=f"translate({x + 2:g} {top - 6:g}) rotate(-50)")
            self.write(0, 0, bar.name, "th-small", slanted)
        for number, cut in bar.reads.items():
            self._read(x, self.y[number], cut, group)

    def _read(self, x: float, y: float, cut: bool, parent: Element, style: str = "") -> None:
        if cut:
            self.scissors(x, y, style.strip(), parent)
        else:
            self.add("circle", parent, cx=x, cy=y, r=4.5, class_=f"th-read{style}")

    def _legend(self) -> None:
        y, x = self.bottom + LINE + 4, float(EDGE)
        for kind, words in KINDS.items():
            self.add("rect", x=x, y=y - 13, width=26, height=16, rx=4, class_=f"th-live th-live-{kind} th-key")
            self.write(x + 34, y, words, "th-small")
            x += 60 + SMALL * len(words)
        y, x = y + LINE, float(EDGE)
        for cut, words in ((False, "is read"), (True, "is read, and cut: no gradient flows back")):
            self._read(x + 12, y - 4, cut, self.root, " th-key")
            self.write(x + 34, y, words, "th-small")
            x += 60 + SMALL * len(words)
        y, x = y + LINE, float(EDGE)
        for end, words in ENDS.items():
            self.add("path", d=f"M{x + 4:g} {y - 9:g} {end}", class_="th-on")
            self.write(x + 34, y, words, "th-small")
            x += 60 + SMALL * len(words)
        more = f". {self.hidden} more instructions are not drawn" if self.hidden else ""
        self.write(EDGE, y + LINE, self.ways + more, "th-small")


def _makes(sheet: ProgramRecord, line: InstructionRecord) -> str:
    """The shapes of what an instruction makes."""
    return ", ".join(dict.fromkeys([shape(sheet, slot) for slot in line.writes]))
