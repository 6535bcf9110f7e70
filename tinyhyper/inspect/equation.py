"""What a fused operation computes, as an equation of what it reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from ..plain import short
from .records import Inside, walk

BREAK = r" (?=([-+*/]+) )"  # before a sign
SLOT = re.compile(r"\{(o?)(\d+)\}")
LONGEST = 400  # characters of an equation
FEW, MOST = 5, 5  # boxes of single operations; values that a box of a whole term reads, one of them without a name
SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "quotient": "/", "power": "**"}
DRAWN = {"*": "×", "-": "−"}  # the sign that alone is in a box
LONG = 16  # characters of a term in one line
DEEP, TIGHT = 12, 5  # so much longer is a line, rather than end within a bracket, within a product
COORDINATES = {"unit": ("tanh", "add", "divide"), "log": ("exp",), "sqrt": ("square",)}  # how each is left
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}  # how tightly
WHOLE = 4  # as tightly as a name


class Term(NamedTuple):
    """A part of an equation. binds: how tightly its outermost sign does."""

    text: str
    binds: int = WHOLE

    def within(self, binds: int) -> str:
        """The part as it stands beside a sign that binds so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def written(name: str, terms: Sequence[Term]) -> Term:
    """An operation as one writes it."""
    if name == "reciprocal":
        return Term(f"1 / {terms[0].within(3)}", 2)
    if name == "negative":
        return Term(f"-{terms[0].within(3)}", 2)
    if name == "square":
        return Term(f"{terms[0].within(WHOLE)} ** 2", 3)
    sign = SIGNS.get(name)
    if sign is None or len(terms) != 2:
        return Term(f"{name}({', '.join([term.text for term in terms])})")
    left, right = terms
    binds = BINDS[sign]
    after = binds + (sign in "-/**")  # a - (b - c) is no a - b - c
    return Term(f"{left.within(binds + (sign == '**'))} {sign} {right.within(after)}", binds)


def broken(text: str) -> str:
    """A term in two lines, if it is long: the second begins with a sign, within as few brackets as may be."""
    said = SLOT.sub("name", text)
    signs = [*re.finditer(BREAK, said)] if len(said) > LONG else []

    def ends(n: int) -> int:
        before = said[: signs[n].start()]
        longer = DEEP * (before.count("(") - before.count(")")) + TIGHT * (signs[n][1] not in "+-")
        return max(len(before), len(said) - len(before)) + longer

    best = min(range(len(signs)), key=ends, default=None)
    if best is None:
        return text
    at = [*re.finditer(BREAK, text)][best].start()
    return f"{text[:at]}\n{text[at + 1 :]}"


class Equation:
    """The lines of a fused operation, and an equation for each of its outputs.

    A hyperparameter in a coordinate stands as itself: what computes it from its coordinate is left out.

    coordinates: by operand, the coordinate that it is in.
    operands: how many values it reads.  lines: by number, the operations left, with the values that they read.
    boxes: by number, what a line does and the values that it does it to; a line that alone reads another holds it. Of
    many lines, a box holds a term as the equation writes it. What has a name is in it as in an equation.
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
        for number, (name, (*others, value)) in self.lines.items():
            if name == "multiply" and self.lines.get(value, ("",))[0] == "reciprocal":  # a * (1 / b) is written a / b
                self.lines[number] = "divide", (*others, *self.lines[value][1])
        needed = walk(self.outputs, lambda here: self.lines[here][1] if here in self.lines else ())
        self.lines = {number: line for number, line in self.lines.items() if number in needed}
        self.texts = [self._text(n) for n in range(len(self.outputs))]
        self.boxes = self._boxes(whole=False)
        if len(self.boxes) > FEW and all(self.texts):
            self.boxes = self._boxes(whole=True)

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

    def _boxes(self, whole: bool) -> dict[int, tuple[str, tuple[int, ...]]]:
        """The boxes, with the values that each reads. whole: with terms as the equation writes them."""
        uses = Counter([value for _, reads in self.lines.values() for value in reads] + self.outputs)
        found: dict[int, tuple[str, Term, tuple[int, ...]]] = {}
        for number, (name, reads) in self.lines.items():
            values = [value for value in reads if value not in self.numbers]
            inner = {value: found[value] for value in values if value in found and value not in self.outputs}
            if len(values) == 1:
                inner = {value: box for value, box in inner.items() if uses[value] == 1}
            else:
                inner = {
                    value: (_, term, taken) for value, (_, term, taken) in inner.items()
                    if whole and len(self._unnamed(taken)) <= 1 and (uses[value] == 1 or len(taken) == 1)
                }
            taken = [*dict.fromkeys(chain.from_iterable(inner[v][2] if v in inner else (v,) for v in values))]
            if len(values) > 1 and (len(taken) > MOST or len(self._unnamed(taken)) > 1):
                inner, taken = {}, [*dict.fromkeys(values)]
            terms = [inner[value][1] if value in inner else self._named(value) for value in reads]
            sign = SIGNS.get(name, "") if len(values) == 2 and not inner else ""
            found[number] = DRAWN.get(sign, sign), written(name, terms), tuple(taken)
        read = walk(self.outputs, lambda here: found[here][2] if here in found else ())
        return {n: (sign or broken(term.text), taken) for n, (sign, term, taken) in found.items() if n in read}

    def _unnamed(self, values: Iterable[int]) -> list[int]:
        """The values that neither an operand's name nor an output's stands for."""
        return [value for value in values if value >= self.operands and value not in self.outputs]

    def _named(self, value: int) -> Term:
        """A value as a box writes it; what has no name comes along an arrow."""
        if value in self.numbers:
            return Term(self.numbers[value])
        output = f"{{o{self.outputs.index(value)}}}" if value in self.outputs else "·"
        return Term(f"{{{value}}}" if value < self.operands else output)

    def _text(self, output: int) -> str:
        """The equation of an output, in which the others have their names."""
        value = self.outputs[output]
        first = self.outputs.index(value)
        return self.line(value) if first == output or value not in self.lines else f"{{o{first}}}"

    def line(self, value: int) -> str:
        """The equation of a value, in which outputs have their names, but for itself; empty if it is too long."""
        terms = {value: Term(f"{{{value}}}") for value in range(self.operands)}
        terms |= {value: Term(text) for value, text in self.numbers.items()}
        for number, (name, reads) in self.lines.items():
            terms[number] = written(name, [terms[value] for value in reads])
            if len(terms[number].text) > LONGEST:
                return ""
            if number in self.outputs and number != value:
                terms[number] = Term(f"{{o{self.outputs.index(number)}}}")
        return terms[value].text


def filled(text: str, operands: Sequence[str], outputs: Sequence[str]) -> str:
    """An equation with the names of what it reads and gives."""
    return SLOT.sub(lambda slot: (outputs if slot[1] else operands)[int(slot[2])], text)
