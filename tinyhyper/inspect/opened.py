"""An operation opened: the operations that are fused in it, and the equation that they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ArgumentError
from ..naming import within
from ..plain import short
from .boxes import Join
from .equation import SLOT, Equation, broken, filled
from .graph import Graph
from .letters import clip, first, fitted, wide
from .names import sized
from .records import Place, Recording
from .shapes import Drawn

ASIDE = re.compile(r"(?:[^.()\s\"]*\.)+|\[\d+\](?=\)?$)")  # of a name: what stands before a dot, and the step
MOST = 30  # characters of a line in a box
MARGIN, ROUND = 18, 24  # beside a text in a box, and in a round one
ROOM, NAME = 9, 8  # for a name in a box of its own, in a term, in sizes of its letters


def equations(graph: Graph, numbers: Iterable[int]) -> dict[int, Equation]:
    """What nodes compute, without those with nothing fused in them. Nodes that are alike share an equation."""
    found: dict[int, Equation] = {}
    made: dict[Any, Equation] = {}
    for number in numbers:
        if (inside := graph.nodes[number].inside) is not None:
            names = {edge.operand: graph.coordinate(edge.place) for edge in graph.into[number]}
            coordinates = {n: name for n, name in names.items() if name is not None}
            key = inside, *sorted(coordinates.items())
            if key not in made:
                made[key] = Equation(graph.tape.insides[inside], coordinates)
            found[number] = made[key]
    return found


class Rule:
    """What a fused operation computes, with the names of what it reads and gives: for pictures and for the explorer.

    first: the number of the first output.  places: by number, what is read and given.
    inner: the numbers of those that stand in their coordinate, in which they are computed with.
    called: by number, the name.  gives: the names of what is given.  gradients: those of gradients without steps.
    terms: by number, what stands in a box, where names are short: without step, level and weight; a gradient is g.
    gradient: the number of what terms call g; None where they call nothing so.
    """

    def __init__(self, graph: Graph, number: int, equation: Equation) -> None:
        self.equation = equation
        self.first = 1 + max([*equation.lines, *equation.numbers, equation.operands])
        into, outputs = graph.into[number], [(number, n) for n in range(len(equation.outputs))]
        self.places: dict[int, Place] = {edge.operand: edge.place for edge in into}
        self.places |= dict(enumerate(outputs, start=self.first))
        self.inner = [n for n, place in self.places.items() if graph.coordinate(place) and n not in equation.left]
        self.called = {
            n: within(graph.coordinate(place) if n in self.inner else None, graph.name(place))
            for n, place in self.places.items()
        }
        found = {n: place for n, place in self.places.items() if _is_gradient(graph, place)}
        self.gradients = {n: graph.known(place, timeless=True) or self.called[n] for n, place in found.items()}
        self.gives = [name for n, name in self.called.items() if n >= self.first]
        texts = {n: text.replace("\n", " ") for n, (text, _) in equation.boxes.items()}
        names = self._short(graph, [edge.operand for edge in into])
        gives = [_bare(name) for name in self.gives]
        self.terms = {n: broken(filled(text, names, gives)) for n, text in texts.items()}
        said = {int(slot[2]) for text in texts.values() for slot in SLOT.finditer(text) if not slot[1]}
        self.gradient = next((e.operand for e, name in zip(into, names) if name == "g" and e.operand in said), None)

    def _short(self, graph: Graph, operands: Sequence[int]) -> list[str]:
        """What terms call what is read: a gradient is g, and what has no name comes along an arrow."""
        bare = ["g" if n in self.gradients else _bare(self.called[n]) for n in operands]
        names = [name if bare.count(name) == 1 else fitted(self.called[n], NAME) for n, name in zip(operands, bare)]
        return [name if graph.known(self.places[n]) else "·" for n, name in zip(operands, names)]

    def equations(self, marks: Sequence[str]) -> list[str]:
        """The equations; none where they are too long. marks: what stands before each value that is read."""
        reads = [mark + name for mark, name in zip(marks, self.called.values())]
        texts = self.equation.texts if all(self.equation.texts) else []
        return [f"{name} = {filled(text, reads, self.gives)}" for name, text in zip(self.gives, texts)]

    def page(self) -> dict[str, Any]:
        """What the explorer needs to know."""
        boxes = {n: (term, self.equation.boxes[n][1]) for n, term in self.terms.items()}
        own = {name: getattr(self, name) for name in ("called", "gradients", "gradient", "first", "inner")}
        return {"texts": self.equation.texts, "outputs": self.equation.outputs, "boxes": boxes, **own}


def formulas(graph: Graph) -> dict[int, dict[str, Any]]:
    """Of each fused operation, by its node, what the explorer shows where it is opened."""
    found = equations(graph, [node.number for node in graph.nodes if node.kind == "operation"])
    return {number: Rule(graph, number, own).page() for number, own in found.items()}


def _bare(name: str) -> str:
    return fitted(ASIDE.sub("", name), NAME)


def _is_gradient(graph: Graph, place: Place) -> bool:
    label = graph.label(place)
    return graph.nodes[place[0]].kind == "gradient" or (label is not None and label.role == "gradient")


class Opened(Graph):
    """The boxes of an opened operation: what it reads, its lines, what it gives, and the links between them."""

    def __init__(self, tape: Recording, name: str) -> None:
        super().__init__(tape)
        self.place = self.find(name)[-1]
        self.opened = self.place[0]
        found = equations(self, [self.opened]).get(self.opened)
        if found is None:
            made = self.nodes[self.opened].op
            how = f"was made by {made}, one operation" if made else "was made by no recorded operation"
            raise ArgumentError(f"inside={name!r}: {self.name(self.place)} {how}, so there is nothing to open")
        self.rule = Rule(self, self.opened, found)
        self.heading = f"{self.name(self.place)}, as {self.nodes[self.opened].op} makes it"
        self.words = self._words()
        self.joins = self._joins()
        ends = {end for source, target, *_ in self.joins for end in (source, target)}
        self.inside = sorted(ends)

    def _words(self) -> str:
        """The equations, one a line, with the cuts; empty where they are too long."""
        marks = ["✂ " if edge.cut is not None else "" for edge in self.into[self.opened]]
        return "\n".join(self.rule.equations(marks))

    def _joins(self) -> list[Join]:
        operands = {edge.operand: edge for edge in self.into[self.opened]}
        flows: dict[int, Drawn] = {}
        found: list[Join] = []
        outputs = [(self.rule.first + n, ("", (value,))) for n, value in enumerate(self.rule.equation.outputs)]
        for number, (_, reads) in [*self.rule.equation.boxes.items(), *outputs]:
            for value in dict.fromkeys(reads):
                if value in operands:
                    found.append((value, number, operands[value].flow, operands[value].cut))
                elif value in flows:
                    found.append((value, number, flows[value], None))
            here = [flow for _, target, flow, _ in found if target == number]
            flows[number] = "kept" if "kept" in here else "value"
        return found

    def caption(self, box: int) -> tuple[str, str]:
        """The two lines of a box."""
        if box in self.rule.terms:
            term, _, rest = self.rule.terms[box].partition("\n")
            return clip(term, MOST), clip(rest, MOST)
        name, place = self.rule.called[box], self.rule.places[box]
        output = self.tape.output(place)
        number = output.value if box in self.rule.inner else self.scalar(place)
        value = sized(output) if number is None else short(number)
        if box not in self.rule.gradients:
            return fitted(name, ROOM), value
        over, _, under = self.rule.gradients[box].rpartition("/∂")
        name = first((name, f"{over}/∂{fitted(under, ROOM - wide(f'{over}/∂'))}"), ROOM)
        return name, f"g = {value}" if box == self.rule.gradient else value

    def about(self, box: int) -> str:
        """What a box is."""
        return self.rule.called[box] if box in self.rule.called else self.rule.terms[box].replace("\n", " ")

    def kind(self, box: int) -> str:
        """What kind of box it is."""
        return "gradient" if box in self.rule.gradients else "values"

    def wide(self, box: int) -> float:
        """How wide a box is."""
        name, value = map(wide, self.caption(box))
        aside = ROUND if self.kind(box) == "gradient" else MARGIN
        return max(52, aside + 15 * name, aside + 14 * value)
