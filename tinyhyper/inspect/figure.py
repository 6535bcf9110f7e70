"""From a recording to a figure: which boxes there are, and which arrows run between them, kept or cut.

A box stands for all weights of one step, for the hyperparameters of one level, for their gradients, or for the whole
loss. A path between two boxes is one arrow: cut if it is cut anywhere, kept if gradients flow all along it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple, TypeAlias

from ..errors import ArgumentError
from .graph import flow_of
from .names import order, ordered
from .records import STRENGTH, Cut, Label, Node, Output, Place, Recording, by_target, walk

Drawn: TypeAlias = Literal["kept", "cut", "value", "asked", "backward"]
FIXED = -1
STEP_NUMBER = ("hyperparameter", "t")  # a rule's name for the number of its step, which nothing tunes


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
    rule: the optimizer that made it, if it was recorded.  number: the value of a loss.  gone: as of an arrow.
    skipped: whether it is of a skipped step: a value that it made, or a loss or gradient that it did not take.
    """

    key: Key
    names: dict[str, float | None] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    state: set[str] = field(default_factory=set)
    coordinates: dict[str, str] = field(default_factory=dict)
    meant: dict[str, float] = field(default_factory=dict)
    rule: str | None = None
    number: float | None = None
    skipped: bool = False
    gone: bool = False


@dataclass
class Arrow:
    """An arrow of the figure.

    flow: kept, cut, value, asked (a cut that is left out), or backward, from a loss to a gradient.  cuts: those on its
    paths.  only: which of two recordings alone has it, or a part of it.  gone: whether only another recording has it.
    """

    source: Key
    target: Key
    flow: Drawn
    cuts: list[Cut] = field(default_factory=list)
    only: set[Literal["first", "second"]] = field(default_factory=set)
    gone: bool = False


@dataclass
class Figure:
    """Some consecutive steps.

    fixed: by lane, the hyperparameters that nothing tunes.  where: the box of a place of the recording.
    """

    steps: list[int]
    boxes: dict[Key, Box]
    arrows: list[Arrow]
    fixed: dict[int, dict[str, float | None]]
    title: str | None
    where: dict[Place, Key]

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


def box_of(node: Node, label: Label) -> Key | None:
    """The box of a value with a label; None if it has none."""
    if (label.role, label.name) == STEP_NUMBER:
        return None
    if label.role == "hyperparameter":
        return Key(label.level + 1, FIXED if node.kind == "constant" else node.step, "values")
    return Key(label.level, node.step, "gradient" if label.role == "gradient" else "values")


def steps_of(tape: Recording) -> list[int]:
    """The steps that can be drawn: those with weights, or with an optimizer's state."""
    if not tape.steps:
        return []
    labels = ((node.step, output.label) for node in tape.nodes for output in node.outputs)
    return sorted({step for step, label in labels if label and not label.level and label.role in ("weights", "state")})


def figure(tape: Recording, first: int | None = None, opened: Collection[int] = (), count: int = 2) -> Figure:
    """The figure of consecutive steps: the last that were recorded, or those from step `first` on.

    opened: the numbers of cuts that are left out.  count: how many steps.
    Raises ArgumentError if the recording holds no optimizer step, or not that one, or if `count` is no number of steps.
    """
    if not isinstance(count, int) or count < 1:
        raise ArgumentError(f"steps={count!r}: it must be a whole number of steps to draw, such as 2")
    steps = steps_of(tape)
    if not steps:
        raise ArgumentError(
            "the picture shows optimizer steps, and this recording holds none: record at least one step "
            "(loss.backward() and opt.step(params)), better two, inside `with th.record() as tape:`"
        )
    reading = _Boxes(tape, opened)
    if first is None:
        computed = any(key.kind != "values" and key.lane == 0 and key.step == steps[-1] for key in reading.boxes)
        first = steps[-count if computed else -count - 1 :][0]
        count += first
        first = max((step for step in steps if step <= first and step not in tape.skipped), default=first)
        count -= first  # from the values with which the next step after a skipped one goes on
        moved = [key.step for key in reading.boxes if key.lane and key.kind == "values" and key.step in steps]
        if moved and max(moved) <= first:  # hyperparameters do not move in a window: show how it begins
            first = max(max(moved) - 1, steps[0])
    elif first not in steps:
        raise ArgumentError(f"step={first}: this recording holds steps {steps[0]} to {steps[-1]}")
    shown = [step for step in steps if first <= step <= first + count]
    boxes = {
        key: box
        for key, box in reading.boxes.items()
        if key.step in shown and (key.step < first + count or key.kind == "values")
    }
    arrows = [
        arrow
        for arrow in reading.arrows()
        if arrow.target in boxes and (arrow.source in boxes or arrow.source.step == FIXED)
    ]
    lanes = {key.lane for key in boxes} | {arrow.source.lane for arrow in arrows}
    fixed = {lane: names for lane, names in reading.fixed.items() if lane in lanes}
    where = {place: key for place, key in reading.where.items() if key in boxes}
    return Figure(shown, boxes, arrows, fixed, tape.title, where)


class _Boxes:
    """The boxes that the places of a recording belong to."""

    def __init__(self, tape: Recording, opened: Collection[int]) -> None:
        self.tape, self.opened = tape, opened
        self.into = by_target(tape.edges)
        self.boxes: dict[Key, Box] = {}
        self.fixed: dict[int, dict[str, float | None]] = defaultdict(dict)
        self.where: dict[Place, Key] = {}
        for node in tape.nodes:
            for n, output in enumerate(node.outputs):
                if output.label is not None:
                    self._place(node, n, output.label)
        for node in tape.nodes:
            if node.of is not None and node.of in self.where:
                label = self.tape.output(node.of).label
                box = self._join((node.number, 0), Key(self.where[node.of].lane, node.step, "gradient"))
                name, value = ("" if label is None else label.name), node.outputs[0].value
                box.names[name] = value
                self._measure(box, name, node.outputs[0])
                if label is not None and label.coordinate is not None:
                    box.coordinates[name] = label.coordinate
                    if value is not None and label.slope:
                        box.meant[name] = value / label.slope
        turns = order(tape)
        for key, box in self.boxes.items():
            box.names = {name: box.names[name] for name in ordered(box.names, key.lane, turns)}
        for loss in sorted(self._losses(), reverse=True):
            self._gather(loss)

    def arrows(self) -> list[Arrow]:
        """The arrows between boxes, one for each pair and flow."""
        found: dict[tuple[Key, Key, str], Arrow] = {}
        boxed: dict[int, Key] = {node: key for (node, _), key in self.where.items() if key.step != FIXED}
        for number, target in boxed.items():
            loss = self.tape.nodes[number].loss
            if loss is not None and loss in self.where:
                source = self.where[loss]
                found.setdefault((source, target, "backward"), Arrow(source, target, "backward"))
            for source, flow, cuts in self._paths(number):
                if source == target or (flow == "value" and target.kind != "values"):
                    continue
                arrow = found.setdefault((source, target, flow), Arrow(source, target, flow))
                arrow.cuts += [cut for cut in cuts if cut not in arrow.cuts]
        return list(found.values())

    def _paths(self, number: int) -> list[tuple[Key, Drawn, list[Cut]]]:
        """The boxes that a node was computed from, through nodes in no box, with all cuts on the paths of one flow.

        The newest node comes first, so that every path to a node has been followed before the node is left.
        """
        found: dict[tuple[Key, Drawn], dict[int, Cut]] = {}
        cuts: dict[tuple[int, Drawn], dict[int, Cut]] = {(-number, "kept"): {}}
        waiting: list[tuple[int, Drawn]] = [*cuts]
        while waiting:
            state = heappop(waiting)
            for edge in self.into[-state[0]]:
                flow: Drawn = max(state[1], flow_of(self.tape, edge, self.opened), key=STRENGTH.__getitem__)
                passed = cuts[state] if edge.cut is None else {**cuts[state], edge.cut: self.tape.cuts[edge.cut]}
                key = self.where.get(edge.place)
                if key is not None:
                    found.setdefault((key, flow), {}).update(passed)
                elif flow != "value" or not self.tape.nodes[edge.source].sweep:
                    before = -edge.source, flow
                    if before not in cuts:
                        cuts[before] = {}
                        heappush(waiting, before)
                    cuts[before].update(passed)
        return [(key, flow, [*passed.values()]) for (key, flow), passed in found.items()]

    def _place(self, node: Node, n: int, label: Label) -> None:
        value = node.outputs[n].number
        key = box_of(node, label)
        if key is None:
            return
        if key.step == FIXED:
            self.fixed[key.lane][label.name] = value
            self.where[node.number, n] = key
            return
        dropped = self.tape.dropped((node.number, n))
        if label.role == "state" and not dropped:  # what it begins with after a skipped step was there before
            key = key._replace(step=max(step for step in range(key.step + 1) if step not in self.tape.skipped))
        box = self._join((node.number, n), key)
        box.skipped |= dropped
        if label.role == "state":
            box.state.add(label.name.rpartition(".")[2])
        else:
            box.names[label.name] = value
            self._measure(box, label.name, node.outputs[n])
            if key.kind == "gradient" and label.coordinate is not None:
                box.coordinates[label.name] = label.coordinate
            if node.op is not None and node.op.endswith(".rule"):
                box.rule = node.op.removesuffix(".rule")

    def _measure(self, box: Box, name: str, output: Output) -> None:
        """Note the norm of a gradient that is no number."""
        if box.key.kind == "gradient" and output.number is None and output.norm is not None:
            box.norms[name] = output.norm

    def _join(self, place: Place, key: Key) -> Box:
        self.where[place] = key
        skipped = key.kind != "values" and key.step + 1 in self.tape.skipped
        return self.boxes.setdefault(key, Box(key, skipped=skipped))

    def _losses(self) -> set[Place]:
        """The losses of backward passes; if none was recorded, the last values computed from any weights."""
        losses = {node.loss for node in self.tape.nodes if node.loss is not None}
        if losses:
            return losses
        read = {edge.source for edge in self.tape.edges if not self.tape.nodes[edge.target].sweep}
        return {
            (edge.target, 0)
            for edge in self.tape.edges
            if edge.flow == "kept" and edge.target not in read and (edge.target, 0) not in self.where
        }

    def _gather(self, loss: Place) -> None:
        """Put a loss, and all between it and other boxes, into one box."""
        key = Key(0, self.tape.node(loss).step, "loss")
        self._join(loss, key).number = self.tape.output(loss).value

        def between(place: Place) -> list[Place]:
            before = [edge.place for edge in self.into[place[0]] if edge.flow != "cut" and edge.place not in self.where]
            nodes = [self.tape.node(place) for place in before]
            return [place for place, node in zip(before, nodes) if node.kind == "operation" and not node.sweep]

        self.where.update(dict.fromkeys(walk([loss], between), key))
