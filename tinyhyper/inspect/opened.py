"""An operation opened: the operations that are fused in it, and the equation that they make."""

from __future__ import annotations

import re
from typing import Any

from ..errors import ArgumentError
from ..naming import within
from ..plain import short
from .boxes import Join
from .equation import Equation, broken, filled
from .graph import Graph
from .letters import clip, first, fitted, wide
from .names import sized
from .records import Place, Recording
from .shapes import Drawn


def equation(graph: Graph, number: int) -> Equation | None:
    """What a node computes; None for one with nothing fused in it."""
    node = graph.nodes[number]
    if node.inside is None:
        return None
    found = {edge.operand: graph.coordinate(edge.place) for edge in graph.into[number]}
    return Equation(graph.tape.insides[node.inside], {n: name for n, name in found.items() if name is not None})


def formulas(tape: Recording) -> list[dict[str, Any]]:
    """Of each fused operation, by its number: its boxes and equations, for a page."""
    graph, found = Graph(tape), {}
    for node in tape.nodes:
        if node.inside is not None and node.inside not in found:
            found[node.inside] = equation(graph, node.number)
    keys = ("boxes", "outputs", "texts", "left")
    return [{key: getattr(found[n], key) for key in keys} if n in found else {} for n in range(len(tape.insides))]


ASIDE = re.compile(r"(?:[^.()\s\"]*\.)+|\[\d+\](?=\)?$)")  # of a name: what stands before a dot, and the step
MOST = 30  # characters of a line in a box
MARGIN, ROUND = 18, 24  # beside a text in a box, and in a round one
ROOM, NAME = 9, 8  # for a name in a box of its own, in a term, in sizes of its letters


def _bare(name: str) -> str:
    return fitted(ASIDE.sub("", name), NAME)


class Opened(Graph):
    """The boxes of an opened operation: what it reads, its lines, what it gives, and the links between them."""

    def __init__(self, tape: Recording, name: str) -> None:
        super().__init__(tape)
        self.place = self.find(name)[-1]
        self.opened = self.place[0]
        found = equation(self, self.opened)
        if found is None:
            made = self.nodes[self.opened].op
            how = f"was made by {made}, one operation" if made else "was made by no recorded operation"
            raise ArgumentError(f"inside={name!r}: {self.name(self.place)} {how}, so there is nothing to open")
        self.equation = found
        self.heading = f"{self.name(self.place)}, as {self.nodes[self.opened].op} makes it"
        self.first = 1 + max([*found.lines, *found.numbers, found.operands])  # the number of the first output
        self.words = self._words()
        self.short = self._short()
        self.joins = self._joins()
        ends = {end for source, target, *_ in self.joins for end in (source, target)}
        self.inside = sorted(ends)

    def _words(self) -> str:
        """The equations, one a line, with the names of what is read and given, and the cuts."""
        reads = [f"{'✂ ' if e.cut is not None else ''}{self._called(e.operand)[0]}" for e in self.into[self.opened]]
        gives = [self._called(self.first + n)[0] for n in range(len(self.equation.outputs))]
        texts = [filled(text, reads, gives) for text in self.equation.texts]
        return "\n".join([f"{name} = {text}" for name, text in zip(gives, texts)]) if all(self.equation.texts) else ""

    def _called(self, box: int) -> tuple[str, str]:
        """The name and the value of what is read or given; in its coordinate, where that is what is computed with."""
        place = self._place(box)
        if place is None:
            return self.equation.boxes[box][0], ""
        output, coordinate = self.tape.output(place), self.coordinate(place)
        if coordinate and box not in self.equation.left:
            return within(coordinate, self.name(place)), short(output.value)
        return self.name(place), sized(output) if output.number is None else short(output.number)

    def _short(self) -> tuple[list[str], list[str]]:
        """What the terms in boxes call what is read and given: without step, level and weight; a gradient is g."""
        operands = [edge.operand for edge in self.into[self.opened]]
        names = [self._called(operand)[0] for operand in operands]
        bare = ["g" if self.kind(n) == "gradient" else _bare(name) for n, name in zip(operands, names)]
        reads = [name if bare.count(name) == 1 else fitted(full, NAME) for name, full in zip(bare, names)]
        for n, edge in enumerate(self.into[self.opened]):
            if self.known(edge.place) is None:
                reads[n] = "·"
        return reads, [_bare(self._called(self.first + n)[0]) for n in range(len(self.equation.outputs))]

    def _joins(self) -> list[Join]:
        operands = {edge.operand: edge for edge in self.into[self.opened]}
        flows: dict[int, Drawn] = {}
        found: list[Join] = []
        outputs = [(self.first + n, ("", (value,))) for n, value in enumerate(self.equation.outputs)]
        for number, (_, reads) in [*self.equation.boxes.items(), *outputs]:
            for value in dict.fromkeys(reads):
                if value in operands:
                    found.append((value, number, operands[value].flow, operands[value].cut))
                elif value in flows:
                    found.append((value, number, flows[value], None))
            here = [flow for _, target, flow, _ in found if target == number]
            flows[number] = "kept" if "kept" in here else "value"
        return found

    def _place(self, box: int) -> Place | None:
        """The value of the recording that a box stands for; a line has none."""
        if box >= self.first:
            return self.opened, box - self.first
        return next((edge.place for edge in self.into[self.opened] if edge.operand == box), None)

    def caption(self, box: int) -> tuple[str, str]:
        """The two lines of a box."""
        name, value = self._called(box)
        place = self._place(box)
        if box in self.equation.boxes:
            term, _, rest = broken(filled(name.replace("\n", " "), *self.short)).partition("\n")
            return clip(term, MOST), clip(rest, MOST)
        if place is None or self.kind(box) != "gradient":
            return fitted(name, ROOM), value
        over, _, under = (self.known(place, timeless=True) or name).rpartition("/∂")
        name = first((name, f"{over}/∂{fitted(under, ROOM - wide(f'{over}/∂'))}"), ROOM)
        written = any(f"{{{box}}}" in text for text, _ in self.equation.boxes.values())
        return name, f"g = {value}" if written and self.short[0][box] == "g" else value

    def about(self, box: int) -> str:
        """What a box is."""
        return self._called(box)[0]

    def kind(self, box: int) -> str:
        """What kind of box it is."""
        place = self._place(box)
        label = None if place is None else self.label(place)
        node = None if place is None else self.nodes[place[0]]
        return "gradient" if (label and label.role == "gradient") or (node and node.kind == "gradient") else "values"

    def wide(self, box: int) -> float:
        """How wide a box is."""
        name, value = map(wide, self.caption(box))
        aside = ROUND if self.kind(box) == "gradient" else MARGIN
        return max(52, aside + 15 * name, aside + 14 * value)
