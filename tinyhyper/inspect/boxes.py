"""The boxes of a graph without optimizer steps: each operation, with those that follow it without branching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TypeAlias

from ..plain import short
from .graph import flow_in, flow_of
from .letters import clip
from .names import sized
from .records import STRENGTH, Place, Recording
from .shapes import Drawn
from .text import Trees, site

MOST = 80  # boxes in a picture
LONGEST = 18  # characters in a box
Join: TypeAlias = "tuple[int, int, Drawn, int | None]"  # from a box to a box, what it does to gradients, the cut


def fitting(lines: tuple[str, str]) -> float:
    """How wide a box must be for its two lines."""
    return max(52, 24 + 8.7 * len(lines[0]), 24 + 8.1 * len(lines[1]))


class Boxes(Trees):
    """Which operations and values have a box, by node, and the links between boxes.

    opened: the numbers of cuts that are left out.
    """

    def __init__(self, tape: Recording, opened: Collection[int] = ()) -> None:
        super().__init__(tape)
        self.opened = opened
        self.box: dict[int, int] = {}  # of a node: the number of the box's last node
        self.inside: dict[int, list[int]] = defaultdict(list)  # the nodes in a box, the last one first
        for node in reversed(self.nodes):
            if self._has_box(node.number):
                here = self._after(node.number)
                self.box[node.number] = node.number if here is None else self.box[here]
                self.inside[self.box[node.number]].append(node.number)
        self.left_out = len(self.inside) - MOST
        shown = sorted(self.inside)[-MOST:]
        self.inside = defaultdict(list, {box: self.inside[box] for box in shown})
        self.joins = self._joins()

    def _has_box(self, number: int) -> bool:
        """Constants without a name stand in the brackets of what reads them; so does what a backward pass computed, but
        for what has a graph, as by create_graph=True.
        """
        node = self.nodes[number]
        if node.sweep:
            return any(edge.flow == "kept" for edge in self.into[number])
        cut = any(edge.cut is not None for edge in self.out[number])
        return node.kind != "constant" or cut or self.known((number, 0)) is not None

    def _after(self, number: int) -> int | None:
        """The operation whose box an operation shares: the only one that reads it, and reads nothing else in a box."""
        readers = [edge for edge in self.out[number] if self._has_box(edge.target)]
        node = self.nodes[number]
        shared = len(readers) == 1 and flow_in(self.tape, readers[0]) not in ("cut", "gate")
        if node.kind != "operation" or not shared or self.known((number, 0)):
            return None
        target = self.nodes[readers[0].target]
        read = sum(self._has_box(edge.source) for edge in self.into[target.number])
        alike = target.kind == "operation" and target.sweep == node.sweep
        return target.number if alike and len(node.outputs) == read == 1 else None

    def _joins(self) -> list[Join]:
        found: dict[tuple[int, int, int | None], Drawn] = {}
        for box, numbers in self.inside.items():
            for edge in self.into[numbers[-1]]:
                source = self.box.get(edge.source)
                if source in self.inside:
                    flow = flow_of(self.tape, edge, self.opened)
                    key = source, box, None if flow == "value" else edge.cut
                    found[key] = min(found.get(key, "cut"), flow, key=STRENGTH.__getitem__)
            loss = self.nodes[box].loss
            if loss is not None and (source := self.box.get(loss[0])) in self.inside and source is not None:
                found[source, box, None] = "backward"
        return [(source, target, flow, cut) for (source, target, cut), flow in found.items()]

    def caption(self, box: int) -> tuple[str, str]:
        """The two lines of a box."""
        place, chain = (box, 0), [self.computed(number) or self.nodes[number].kind for number in self.inside[box]]
        if self.nodes[box].sweep:
            made = [self.nodes[number].vjp_of for number in self.inside[box]]
            chain = [f"VJP of {', '.join(dict.fromkeys(filter(None, made)))}"] if any(made) else chain
        known, output = self.known(place), self.tape.output((box, 0))
        value = sized(output) if output.number is None else short(output.number)
        text = clip(" ← ".join(chain), LONGEST)
        if known is None:
            return text, value
        if self.nodes[box].op is None:
            return clip(known, LONGEST), value
        both = f"{text} = {value}"
        return clip(known, LONGEST), both if len(both) <= LONGEST + 3 else text

    @property
    def heading(self) -> str:
        """The title of their picture."""
        return self.tape.title or "A graph, read off the recording"

    @property
    def words(self) -> str:
        """Which named leaves get a gradient."""
        found = [self.name((node.number, 0)) for node in self.nodes if node.kind == "gradient"]
        words = f"backward() leaves {', '.join(dict.fromkeys(found))}." if found else ""
        more = f" The newest {MOST} boxes are drawn; tape.save_html(path) draws all." if self.left_out > 0 else ""
        return f"{words}{more}".strip()

    def about(self, box: int) -> str:
        """What a box is, and where it was made."""
        return f"{self.name((box, 0))}, {site(self.nodes[box])}"

    def kind(self, box: int) -> str:
        """What kind of box it is."""
        place: Place = (box, 0)
        return "gradient" if self.nodes[box].kind == "gradient" else "loss" if place in self.losses else "values"

    def wide(self, box: int) -> float:
        """How wide a box is."""
        return fitting(self.caption(box))
