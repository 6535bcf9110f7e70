"""The picture of an answer: the steps that it is about, with a band along a path and marks at cuts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from .boxes import Boxes
from .canvas import SLIDE, Picture
from .diagram import Diagram
from .figure import box_of, figure, steps_of
from .grouped import Grouped
from .groups import Row
from .legend import MARKS
from .picture import Drawing
from .records import Label, Place, Recording
from .shapes import STATE, Figure, Key
from .table import drawn_table

MOST = 6  # steps that a picture shows of a path


class Flow(NamedTuple):
    """A gradient's flow in a picture.

    amounts: what came along the arrow from one box to another.
    most: the boxes through which most came, if that is known.  words: what they are, for the legend.
    told: what came along which paths, for the caption.  groups: by arrow, the names of the groups of paths along it.
    blocks: by group, the rows of a table.
    """

    amounts: Mapping[tuple[Key, Key], float]
    most: Sequence[Key] = ()
    words: str = ""
    told: str = ""
    groups: Mapping[tuple[Key, Key], str] = MappingProxyType({})
    blocks: Sequence[Sequence[Row]] = ()


@dataclass(frozen=True)
class Scene:
    """The steps around a path or some cuts. Where there are no steps it is the whole graph, or words alone.

    title: the question.  trail: the places on the path.  marks: cuts that stand out.  opened: cuts that are left out.
    flow: what came along arrows, by the boxes of places.
    moves: gradients, each with what it moved.
    asked: the values that are asked for, or that answer: they are drawn, and their rows stand out.
    ghosts: by the number of a cut, what stands beside it.
    instead: gradients, each with what it would be without the cut in question; their rows stand out.
    numbers: of values that are asked for, numbers that are printed otherwise than in four digits.
    notes: what stands below the picture.
    """

    tape: Recording
    title: str
    caption: str
    trail: Sequence[Place] = ()
    marks: Collection[int] = ()
    opened: Collection[int] = ()
    flow: Callable[[Mapping[Place, Key]], Flow] | None = None
    asked: Sequence[Place] = ()
    moves: Sequence[tuple[Place, Place]] = ()
    ghosts: Mapping[int, str] = field(default_factory=dict)
    instead: Mapping[Place, float] = field(default_factory=dict)
    numbers: Mapping[Place, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def draw(self) -> Picture:
        """The picture."""
        if not self.tape.nodes:
            return drawn_table(self.title, self.caption, (), (), None)
        if not steps_of(self.tape):
            boxes = Boxes(self.tape, self.opened)
            marks = [cut for *_, cut in boxes.joins if cut is not None and cut in self.marks]
            told = "" if self.flow is None else self.flow({}).told
            return Diagram(boxes, marks, self.caption + told, self.title, _keys(marks)).draw()
        return self._drawing().draw()

    @property
    def fits(self) -> bool:
        """Whether the picture is no wider than a slide."""
        return not steps_of(self.tape) or self._drawing().width <= SLIDE

    def _drawing(self) -> Drawing:
        shown = replace(self._figure(), title=self.title, notes=self.notes)
        joined = {frozenset((arrow.source, arrow.target)) for arrow in shown.arrows}
        found = [key for key, _ in groupby(shown.where[place] for place in self.trail if place in shown.where)]
        flow = Flow({}, found) if self.flow is None else self.flow(shown.where)
        band = flow.most if len(flow.most) > 1 and joined.issuperset(map(frozenset, pairwise(flow.most))) else []
        cuts = {cut.number for arrow in shown.arrows for cut in arrow.cuts}
        branches = [(ends, amount) for ends, amount in flow.amounts.items() if frozenset(ends) in joined]
        found_moves = [(shown.where.get(gradient), shown.where.get(moved)) for gradient, moved in self.moves]
        moves = [(one, other) for one, other in found_moves if one and other and frozenset((one, other)) in joined]
        asked: dict[Key, set[str]] = defaultdict(set)
        for place in (*self.asked, *self.instead):
            if (label := self._label(place)) is not None:
                key = box_of(self.tape.node(place), label) if self._fixed(place) else shown.where.get(place)
                if key is not None and label.role == "state":
                    name, _, state = label.name.rpartition(".")
                    asked[key].add(STATE)
                    shown.boxes[key].zeros.add((name, state))
                elif key is not None:
                    asked[key].add(label.name)
                    if place in self.numbers and key in shown.boxes:
                        shown.boxes[key].names[label.name] = self.numbers[place]
                    if place in self.instead:
                        shown.boxes[key].instead[label.name] = self.instead[place]
        marks = [number for number in self.marks if number in cuts]
        keys = _keys(marks, self.ghosts.keys() & {*marks}, asked)
        text = self.caption + flow.told
        how = shown, band, marks, text, branches, flow.words, self.ghosts, asked, keys, moves, flow.groups
        return Grouped(flow.blocks, *how) if flow.blocks else Drawing(*how)

    def _label(self, place: Place) -> Label | None:
        """The label of a value, or of what a gradient is with respect to."""
        return self.tape.output(self.tape.node(place).of or place).label

    def _fixed(self, place: Place) -> bool:
        """Whether a value is a hyperparameter that nothing tunes."""
        label = self.tape.output(place).label
        return label is not None and label.role == "hyperparameter" and self.tape.node(place).kind == "constant"

    def _figure(self) -> Figure:
        trail = [self.tape.node(place).step for place in (*self.trail, *chain(*self.moves))]
        before = min(trail, default=0) - 1  # what is older would make the picture too wide
        asked = [self.tape.node(place) for place in self.asked if not self._fixed(place)]
        steps = [*trail, *(node.step for node in asked if node.step == before)] + [
            self.tape.cuts[number].step - 1 for number in (*self.marks, *self.opened)
        ]
        if not steps:
            return figure(self.tape)
        known, wanted = steps_of(self.tape), min(*steps, figure(self.tape).steps[-1] - 1)
        if self.flow is not None:  # of one step, show what the step that made it cut
            begin, end = min(trail), max(trail)
            earlier = [step for step in known if step < end and step not in self.tape.skipped]
            read = begin if begin < end else max(earlier, default=end)
            if 0 < end - read < MOST:
                return figure(self.tape, read, count=end - read + 1).until(end)
        first = max((step for step in known if step <= wanted), default=known[0])
        return figure(self.tape, first, self.opened, min(max(max(trail, default=0) - first + 1, 2), MOST))


def _keys(*there: Collection[Any]) -> dict[str, str]:
    """Of a legend, what sets apart what a question is about. there: for each such mark, what has it."""
    return {mark: MARKS[mark] for mark, some in zip(MARKS, there) if some}
