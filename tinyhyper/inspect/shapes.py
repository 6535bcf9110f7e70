"""What a figure is made of: boxes, and arrows between them.

A box stands for all weights of one step, for the hyperparameters of one level, for their gradients, or for the whole
loss. A path between two boxes is one arrow: cut if it is cut anywhere, kept if gradients flow all along it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

from ..plain import apart
from .records import Cut, Place, walk

Drawn: TypeAlias = Literal["kept", "cut", "value", "gate", "asked", "backward"]
Alone: TypeAlias = Literal["first", "second"]  # the one of two recordings that has it
Mark: TypeAlias = Literal["", "first", "second", "cut-first", "cut-second", "value-first", "value-second"]
FIXED = -1
STATE = "with"  # the row of an optimizer's state, which no value has for its name


class Key(NamedTuple):
    """Which box: its lane (0 for the weights, h + 1 for the hyperparameters of level h), its step and its kind."""

    lane: int
    step: int
    kind: Literal["values", "gradient", "loss"]


@dataclass
class Box:
    """A box of the figure.

    names: the values in it, each with its number if it is one.  norms: of a gradient, by name, those of arrays.
     state: the names of the optimizer's state.
    coordinates: of a gradient, by name, the coordinate in which it is, if that is another than the value's own.
    meant: of such a gradient, by name, the gradient with respect to the value itself.
    instead: of a gradient, by name, what it would be without the cut in question.
    zeros: of the state, what is 0 and in question: the name of a weight, and that of its state.
    rule: the optimizer that made it, if it was recorded.  number: the value of a loss.  mark, gone: as of an arrow.
    alone: by name, the one of two recordings that alone has it; of a state by "with m".
    skipped: whether it is of a skipped step: a value that it made, or a loss or gradient that it did not take.
    """

    key: Key
    names: dict[str, float | None] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    state: set[str] = field(default_factory=set)
    coordinates: dict[str, str] = field(default_factory=dict)
    meant: dict[str, float] = field(default_factory=dict)
    instead: dict[str, float] = field(default_factory=dict)
    zeros: set[tuple[str, str]] = field(default_factory=set)
    rule: str | None = None
    number: float | None = None
    skipped: bool = False
    mark: Mark = ""
    alone: dict[str, Alone] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        return self.mark == "first"


@dataclass
class Arrow:
    """An arrow of the figure.

    flow: kept, cut, value, asked (a cut that is left out), or backward, from a loss to a gradient.  cuts: those on its
    paths.  links: the names of the values that it joins.  mark: how it differs between two recordings.
    gone: whether only the first of them has it.
    """

    source: Key
    target: Key
    flow: Drawn
    cuts: list[Cut] = field(default_factory=list)
    links: set[tuple[str, str]] = field(default_factory=set)
    mark: Mark = ""

    @property
    def gone(self) -> bool:
        return self.mark == "first"

    @property
    def look(self) -> str:
        return look_of(self.flow, self.cuts)


def look_of(flow: str, cuts: Iterable[Cut]) -> str:
    """How an arrow of a flow is drawn: as idle, if a gradient would end there without its cuts, too."""
    return "idle" if flow == "cut" and not any(cut.severed for cut in cuts) else flow


@dataclass
class Figure:
    """Some consecutive steps.

    fixed: by lane, the hyperparameters that nothing tunes.  where: the box of a place of the recording.
    alone: of two recordings, by lane, which of them alone has some of these hyperparameters; None of one recording.
    notes: what stands below its legend.
    """

    steps: list[int]
    boxes: dict[Key, Box]
    arrows: list[Arrow]
    fixed: dict[int, dict[str, float | None]]
    title: str | None
    where: dict[Place, Key]
    alone: dict[int, set[Alone]] | None = None
    notes: Sequence[str] = ()

    def part(self, first: int, count: int) -> Figure:
        """So many of its steps, from `first` on, and the values after them."""
        shown = [step for step in self.steps if first <= step <= first + count]
        boxes = {
            key: box
            for key, box in self.boxes.items()
            if key.step in shown and (key.step < first + count or key.kind == "values")
        }
        boxes |= _told_apart(boxes)
        arrows = [
            arrow
            for arrow in self.arrows
            if arrow.target in boxes and (arrow.source in boxes or arrow.source.step == FIXED)
        ]
        lanes = {key.lane for key in boxes} | {arrow.source.lane for arrow in arrows}
        fixed = {lane: names for lane, names in self.fixed.items() if lane in lanes}
        where = {place: key for place, key in self.where.items() if key in boxes}
        return replace(self, steps=shown, boxes=boxes, arrows=arrows, fixed=fixed, where=where)

    def boxed(self) -> Figure:
        """Without arrows of constants where their lane has no box at the step: the lane's heading names them."""
        lanes = {key.lane for key in self.boxes}

        def begins(arrow: Arrow) -> bool:
            (lane, step, kind), target = arrow.source, arrow.target
            return step != FIXED or lane not in lanes or (lane, target.step, kind) in self.boxes

        return replace(self, arrows=[arrow for arrow in self.arrows if begins(arrow)])

    def until(self, last: int) -> Figure:
        """Its steps up to one, without the values after it."""
        steps = [step for step in self.steps if step <= last]
        return replace(self, steps=steps).part(steps[0], last - steps[0] + 1)

    def visible(self) -> list[Arrow]:
        """The arrows that are drawn: a kept one from a loss to a gradient says what backward() left there, too."""
        kept = {(arrow.source, arrow.target) for arrow in self.arrows if arrow.flow == "kept" and not arrow.gone}
        return [a for a in self.arrows if a.flow != "backward" or (a.source, a.target) not in kept]

    def marks(self) -> set[Mark]:
        """How what is drawn differs between two recordings."""
        return set().union(*[marks for each in self._marks() for marks in each]) - {""}

    def _marks(self) -> list[list[set[Mark]]]:
        """The marks of each arrow, of each whole box, and of each box in part."""
        arrows, boxes = self.visible(), self.boxes.values()
        fixed = {arrow.source.lane for arrow in arrows if arrow.source.step == FIXED} if self.alone else set()
        whole: list[Mark] = [*(box.mark for box in boxes), *self.fixed_marks().values()]
        parts: list[set[Mark]] = [{*box.alone.values()} for box in boxes]
        parts += [{*self.alone[lane]} for lane in fixed if self.alone]
        return [[{arrow.mark} for arrow in arrows], [{mark} for mark in whole], parts]

    def fixed_marks(self) -> dict[int, Mark]:
        """By lane, how its fixed hyperparameters differ, where all arrows from them differ so."""
        found: dict[int, set[Mark]] = {}
        for arrow in self.arrows:
            if arrow.source.step == FIXED:
                found.setdefault(arrow.source.lane, set()).add(arrow.mark)
        return {lane: mark for lane, marks in found.items() if len(marks) == 1 for mark in marks - {""}}

    def marked(self, mark: Mark) -> list[int]:
        """How many arrows have a mark, how many whole boxes, and how many boxes in part."""
        return [sum(mark in marks for marks in each) for each in self._marks()]

    def reached(self, start: Key) -> list[Key]:
        """The boxes that a gradient reaches from a box along kept arrows, nearest first."""
        return list(self._followed(start))[1:]

    def trail(self) -> list[Key]:
        """The path of the last loss's gradient to the highest hyperparameter, or to the weights if it reaches none."""
        loss = max((key for key in self.boxes if key.kind == "loss"), key=lambda key: key.step, default=None)
        reached = [] if loss is None else self.reached(loss)
        tuned = [key for key in reached if key.lane] or reached
        return self.way(loss, tuned[-1]) if loss is not None and tuned else []

    def way(self, start: Key, end: Key) -> list[Key]:
        """The shortest path of a gradient from one box back to another, both included; empty if each path is cut."""
        followed = self._followed(start)
        way: list[Key] = []
        box = end if end in followed else None
        while box is not None:
            way.insert(0, box)
            box = followed[box]
        return way

    def _followed(self, start: Key) -> dict[Key, Key | None]:
        """Every box that a gradient reaches, with the box from which it comes."""
        kept = [arrow for arrow in self.arrows if arrow.flow == "kept"]
        return walk([start], lambda box: [arrow.source for arrow in kept if arrow.target == box])


def _told_apart(boxes: Mapping[Key, Box]) -> dict[Key, Box]:
    """The boxes of values, with numbers that say how a value differs from step to step."""
    found = {key: replace(box, names={**box.names}) for key, box in boxes.items() if key.kind == "values"}
    values: dict[tuple[int, str], dict[Key, float | None]] = {}
    for key, box in found.items():
        for name, value in box.names.items():
            values.setdefault((key.lane, name), {})[key] = value
    for (_, name), each in values.items():
        for key, value in zip(each, apart([*each.values()])):
            found[key].names[name] = value
    return found
