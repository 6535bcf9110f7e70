"""What a fused operation computes, as an equation of what it reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .plain import short
from .records import Inside, walk

SLOT = re.compile(r"\{(o?)(\d+)\}")
LONGEST = 400  # characters of an equation
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "quotient": "/", "power": "**"}
DRAWN = {"*": "×", "-": "−"}  # the sign that alone is in a box
COORDINATES = {"unit": ("tanh", "add", "divide"), "log": ("exp",), "sqrt": ("square",)}  # how each is left
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}  # how tightly
WHOLE = 4  # as tightly as a name


class Term(NamedTuple):
    """A part of an equation. binds: how tightly its outermost sign does.  under: of 1 / x, the x, written so."""

    text: str
    binds: int = WHOLE
    under: str = ""

    def within(self, binds: int) -> str:
        """The part as it stands beside a sign that binds so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def written(name: str, terms: Sequence[Term]) -> Term:
    """An operation as one writes it."""
    if name == "reciprocal":
        return Term(f"1 / {terms[0].within(3)}", 2, terms[0].within(3))
    if name == "negative":
        return Term(f"-{terms[0].within(3)}", 2)
    if name == "square":
        return Term(f"{terms[0].within(WHOLE)} ** 2", 3)
    sign = SIGNS.get(name)
    if sign is None or len(terms) != 2:
        return Term(f"{name}({', '.join([term.text for term in terms])})")
    left, right = terms
    if sign == "*" and right.under:
        return Term(f"{left.within(2)} / {right.under}", 2)
    binds = BINDS[sign]
    after = binds + (sign in "-/**")  # a - (b - c) is no a - b - c
    return Term(f"{left.within(binds + (sign == '**'))} {sign} {right.within(after)}", binds)


class Equation:
    """The lines of a fused operation, and an equation for each of its outputs.

    A hyperparameter in a coordinate stands as itself: what computes it from its coordinate is left out.

    coordinates: by operand, the coordinate that it is in.
    operands: how many values it reads.  lines: by number, the operations left, with the values that they read.
    boxes: by number, what a line does and the values that it does it to; a line that alone reads another holds it.
    left: the operands that stand as themselves though they are in a coordinate.
    outputs: the values that it gives.  texts: their equations, where operands are "{0}", "{1}" and outputs "{o0}";
    empty if they are too long.
    """

    def __init__(self, inside: Inside, coordinates: Mapping[int, str]) -> None:
        self.operands, self.first = inside.operands, inside.operands + len(inside.constants)
        self.numbers = dict(enumerate(map(short, inside.constants), start=inside.operands))
        reads = dict(enumerate([reads for _, reads in inside.lines], start=self.first))
        stands = self._left(inside, coordinates)
        for number, (name, _) in enumerate(inside.lines, start=self.first):
            behind = {value for value in walk([number], lambda here: reads.get(here, ())) if value < self.operands}
            if name == "hold" and len(behind) == 1:  # the end of a coordinate
                stands[number] = behind.pop()
        self.left = sorted({*stands.values()})
        self.outputs = [stands.get(value, value) for value in inside.outputs]
        self.lines = {
            number: (name, tuple(stands.get(value, value) for value in reads))
            for number, (name, reads) in enumerate(inside.lines, start=self.first)
        }
        needed = walk(self.outputs, lambda here: self.lines[here][1] if here in self.lines else ())
        self.lines = {number: line for number, line in self.lines.items() if number in needed}
        self.boxes = self._boxes()
        self.texts = [self._text(n) for n in range(len(self.outputs))]

    def _left(self, inside: Inside, coordinates: Mapping[int, str]) -> dict[int, int]:
        """The values that stand for an operand, since they are what leaves its coordinate."""
        stands = {}
        for operand, coordinate in coordinates.items():
            value: int | None = operand
            for name in COORDINATES.get(coordinate, ()):
                reading = enumerate(inside.lines, start=self.first)
                value = next((n for n, (op, reads) in reading if op == name and value in reads), None)
            if value is not None and value != operand:
                stands[value] = operand
        return stands

    def _boxes(self) -> dict[int, tuple[str, tuple[int, ...]]]:
        uses = Counter([value for _, reads in self.lines.values() for value in reads] + self.outputs)
        found: dict[int, tuple[Term, tuple[int, ...], str]] = {}
        for number, (name, reads) in self.lines.items():
            values = [value for value in reads if value not in self.numbers]
            inner = values[0] if len(values) == 1 and values[0] in found and uses[values[0]] == 1 else None
            before, taken, _ = found.pop(inner) if inner is not None else (Term("·"), tuple(values), "")
            terms = [Term(self.numbers[value]) if value in self.numbers else before for value in reads]
            found[number] = written(name, terms), taken, SIGNS.get(name, "") if len(values) == 2 else ""
        return {number: (DRAWN.get(sign, sign) or term.text, taken) for number, (term, taken, sign) in found.items()}

    def _text(self, output: int) -> str:
        """The equation of an output, in which the others have their names."""
        terms = {value: Term(f"{{{value}}}") for value in range(self.operands)}
        terms |= {value: Term(text) for value, text in self.numbers.items()}
        for number, (name, reads) in self.lines.items():
            terms[number] = written(name, [terms[value] for value in reads])
            if len(terms[number].text) > LONGEST:
                return ""
            if number in self.outputs and self.outputs.index(number) != output:
                terms[number] = Term(f"{{o{self.outputs.index(number)}}}")
        return terms[self.outputs[output]].text


def filled(text: str, operands: Sequence[str], outputs: Sequence[str]) -> str:
    """An equation with the names of what it reads and gives."""
    return SLOT.sub(lambda slot: (outputs if slot[1] else operands)[int(slot[2])], text)
