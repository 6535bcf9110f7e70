"""The boxes of two graphs in one picture: those of the second, and in it what only the first has."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .boxes import Boxes, Join
from .overlay import differing
from .shapes import Mark, look_of


class Pair:
    """The boxes of two graphs. One that is in both is drawn as it is in the second.

    of: by the number of a box, its graph, and its number there.  cuts: of the second, then of the first.
    differ: how links differ between the graphs.  alone: by box that one of the graphs alone has, which.
    """

    def __init__(self, first: Boxes, second: Boxes) -> None:
        known: dict[Any, int] = {}
        mine, theirs = _keys(first, known), _keys(second, known)
        there = {key: (second, box) for box, key in theirs.items()}
        order, after = [*there.values()], 0
        for box, key in mine.items():  # what only the first has comes after what it comes after there
            if key in there:
                after = order.index(there[key]) + 1
            else:
                there[key] = first, box
                order.insert(after, there[key])
                after += 1
        self.of = dict(enumerate(order))
        self.inside, self.cuts = [*self.of], [*second.cuts, *first.cuts]
        number = {key: order.index(where) for key, where in there.items()}
        new = {number[key] for key in theirs.values() if key not in mine.values()}
        self.alone: dict[int, Mark] = dict.fromkeys(new, "second")
        self.alone.update({n: "first" for n, (graph, _) in self.of.items() if graph is first})
        found = differing(_flows(first, mine), _flows(second, theirs))
        self.joins: list[Join] = []
        self.differ: dict[Join, Mark] = {}
        for graph, keys, skip in ((second, theirs, 0), (first, mine, len(second.cuts))):
            for source, target, flow, cut in graph.joins:
                ends = keys[source], keys[target]
                join = number[ends[0]], number[ends[1]], flow, None if cut is None else skip + cut
                mark = found.get((ends, look_of(flow, [] if cut is None else [graph.cuts[cut]])), "")
                if graph is first and mark != "first":
                    continue
                self.joins.append(join)
                if mark:
                    self.differ[join] = mark

    heading = words = ""  # a question says more

    def caption(self, box: int) -> tuple[str, str]:
        """The two lines of a box."""
        graph, own = self.of[box]
        return graph.caption(own)

    def about(self, box: int) -> str:
        """What a box is, and where it was made."""
        graph, own = self.of[box]
        return graph.about(own)

    def kind(self, box: int) -> str:
        """What kind of box it is."""
        graph, own = self.of[box]
        return graph.kind(own)

    def wide(self, box: int) -> float:
        """How wide a box is."""
        graph, own = self.of[box]
        return graph.wide(own)


def _keys(graph: Boxes, known: dict[Any, int]) -> dict[int, int]:
    """By box, oldest first, a number for what it is: its name, or the operations in it and what they read.

    known: these numbers, by what is said and by how many have said it before.
    """
    sources: dict[int, set[int]] = defaultdict(set)
    for source, target, *_ in graph.joins:
        sources[target].add(source)
    seen: dict[Any, int] = defaultdict(int)
    keys: dict[int, int] = {}
    for box in sorted(graph.inside):
        ops = tuple([graph.nodes[number].op or graph.nodes[number].kind for number in graph.inside[box]])
        what = graph.known((box, 0)) or (ops, frozenset([keys[source] for source in sources[box]]))
        keys[box] = known.setdefault((what, seen[what]), len(known))
        seen[what] += 1
    return keys


def _flows(graph: Boxes, keys: dict[int, int]) -> dict[tuple[int, int], set[str]]:
    """By the numbers of two boxes, what links between them do to gradients."""
    found: dict[tuple[int, int], set[str]] = defaultdict(set)
    for source, target, flow, cut in graph.joins:
        found[keys[source], keys[target]].add(look_of(flow, [] if cut is None else [graph.cuts[cut]]))
    return found
