"""What differs between two recordings: edges between named values that one of them has, and the other has not or has
otherwise. Their picture shows the second, and in it the edges and boxes that only the first has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from .boxes import Boxes
from .canvas import Picture
from .diagram import Diagram
from .figure import FIXED, Drawn, Figure, Key, box_of, figure, steps_of
from .graph import Graph, Link
from .pair import Pair
from .records import Flow, Place, Recording
from .scene import Scene
from .svg import Drawing

STEPS = 2  # in the picture
Ends: TypeAlias = "tuple[str, str]"  # the names of the values that a link joins


class Comparison:
    """Two recordings.

    flows: of each, by the names of two values, what gradients do from one to the other, in some step.
    only: of each, the links between values that the other joins in no step in this way, with the names of their ends.
    """

    def __init__(self, first: Recording, second: Recording) -> None:
        self.tapes = first, second
        graphs = Graph(first), Graph(second)
        timeless = bool(first.steps or second.steps)  # else each loss is one of its own
        for graph in graphs:  # a name that is unclear in one recording is exact in both
            graph.unclear = graphs[0].unclear | graphs[1].unclear
        links = [[*_links(graph, timeless)] for graph in graphs]
        self.flows: list[dict[Ends, set[Flow]]] = [defaultdict(set), defaultdict(set)]
        for flows, found in zip(self.flows, links):
            for ends, link in found:
                flows[ends].add(link.flow)
        others = [{(ends, flow) for ends in flows for flow in flows[ends]} for flows in reversed(self.flows)]
        self.only = [
            [(ends, link) for ends, link in found if (ends, link.flow) not in other]
            for found, other in zip(links, others)
        ]

    def draw(self, title: str, caption: str) -> Picture:
        """Their picture."""
        if not steps_of(self.tapes[1]):
            return self._whole(title, caption)
        return Drawing(replace(self.figure(), title=title), (), (), caption).draw()

    def _whole(self, title: str, caption: str) -> Picture:
        """The picture of two graphs without steps; of the second alone where one is too large to be drawn whole."""
        graphs = [Boxes(tape) for tape in self.tapes]
        if any(steps_of(tape) or not tape.nodes for tape in self.tapes) or any(one.left_out > 0 for one in graphs):
            return Scene(self.tapes[1], title, caption).draw()
        return _Both(Pair(*graphs), (), caption, title).draw()

    def figure(self) -> Figure:
        """Steps of the second recording, with what only the first has there."""
        first, second = self.tapes
        start = self._start()
        shown = figure(second, start, count=STEPS)
        theirs = self._arrows(1, shown)
        for arrow in shown.arrows:
            if (arrow.source, arrow.target, arrow.flow) in theirs:
                arrow.only.add("second")
        if start in steps_of(first):
            mine = figure(first, start, count=len(shown.steps) - 1)
            _lay_over(shown, mine, self._arrows(0, mine))
        return shown

    def _start(self) -> int:
        """The step from which a picture shows most of what differs; the last such step."""
        seen: dict[int, set[tuple[int, Ends, Flow]]] = defaultdict(set)
        for which, (tape, links) in enumerate(zip(self.tapes, self.only)):
            for ends, link in links:
                source, target = tape.node(link.source), tape.node(link.target).step
                for step in range(target - STEPS, (target if source.kind == "constant" else source.step) + 1):
                    seen[step].add((which, ends, link.flow))
        last = figure(self.tapes[1], count=STEPS).steps[0]
        return max((step for step in steps_of(self.tapes[1]) if step <= last), key=lambda step: (len(seen[step]), step))

    def _arrows(self, which: int, shown: Figure) -> set[tuple[Key | None, Key | None, Drawn]]:
        """The arrows of a figure of one recording that stand for the links that it alone has."""
        tape = self.tapes[which]

        def box(place: Place) -> Key | None:
            node, label = tape.node(place), tape.output(place).label
            constant = label is not None and node.kind == "constant"
            return box_of(node, label) if label is not None and constant else shown.where.get(place)

        return {(box(link.source), box(link.target), link.flow) for _, link in self.only[which]}


class _Both(Diagram):
    """Two graphs in one picture."""

    def __init__(self, pair: Pair, *how: Any) -> None:
        self.only, self.gone = pair.only, pair.gone
        super().__init__(pair, *how)


def _links(graph: Graph, timeless: bool) -> Iterator[tuple[Ends, Link]]:
    """The links of all steps, with the names of their ends without steps. timeless: of losses, too."""
    for node in graph.nodes:
        for n in range(len(node.outputs)):
            if graph.known((node.number, n)) is None or node.kind == "gradient":
                continue
            for link in graph.links((node.number, n)):
                ends = link.source, link.target
                source, target = (graph.known(place, timeless or place not in graph.losses) for place in ends)
                yield (str(source), str(target)), link


def _lay_over(shown: Figure, mine: Figure, only: Collection[tuple[Key | None, Key | None, Drawn]]) -> None:
    """Add to a figure the arrows that only another recording has, with the boxes that they join."""
    own = {(arrow.source, arrow.target, arrow.flow): arrow for arrow in shown.arrows}
    for arrow in mine.arrows:
        ends = arrow.source, arrow.target, arrow.flow
        if ends not in only or not {arrow.source.step, arrow.target.step} <= {FIXED, *shown.steps}:
            continue
        if ends not in own:
            own[ends] = replace(arrow, gone=True)
            shown.arrows.append(own[ends])
        own[ends].only.add("first")
        for key in ends[:2]:
            if key.step == FIXED:
                shown.fixed.setdefault(key.lane, mine.fixed[key.lane])
            elif key not in shown.boxes:  # what moved it did so in the other recording
                shown.boxes[key] = replace(mine.boxes[key], gone=True, rule=None)
    gone = {key for key, box in shown.boxes.items() if box.gone}
    left = [arrow for arrow in mine.arrows if arrow.flow == "backward" and arrow.target in gone]
    shown.arrows += [replace(arrow, gone=True) for arrow in left if arrow.source in shown.boxes]
