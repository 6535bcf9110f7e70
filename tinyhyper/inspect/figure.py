"""From a recording to a figure: which boxes there are, and which arrows run between them, kept or cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from heapq import heappop, heappush

from ..errors import ArgumentError
from ..plain import NONE_YET, Printed
from .graph import Graph, flow_in, flow_of
from .names import order, ordered
from .records import STRENGTH, Cut, Label, Node, Output, Place, Recording, walk
from .shapes import FIXED, Arrow, Box, Drawn, Figure, Key

STEP_NUMBER = ("hyperparameter", "t")  # a rule's name for the number of its step, which nothing tunes


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
    Raises ArgumentError if the recording holds no optimizer step, or not that one, or if `count` is not an integer >=
    1.
    """
    if not isinstance(count, int) or count < 1:
        raise ArgumentError(f"steps must be an integer >= 1, how many to draw, not {count!r}")
    steps = steps_of(tape)
    if not steps:
        raise ArgumentError(
            "the picture shows optimizer steps, and this recording holds none: record at least one step "
            "(loss.backward() and opt.step(params)), better two, inside `with th.record() as tape:`"
        )
    shown = whole(tape, opened)
    if first is None:
        computed = any(key.kind != "values" and key.lane == 0 and key.step == steps[-1] for key in shown.boxes)
        first = steps[-count if computed else -count - 1 :][0]
        count += first
        first = max((step for step in steps if step <= first and step not in tape.skipped), default=first)
        count -= first  # from the values with which the next step after a skipped one goes on
        moved = [key.step for key in shown.boxes if key.lane and key.kind == "values" and key.step in steps]
        if moved and max(moved) <= first:  # hyperparameters do not move in a window: show how it begins
            first = max(max(moved) - 1, steps[0])
    elif first not in steps:
        raise ArgumentError(f"step={first}: this recording holds steps {steps[0]} to {steps[-1]}")
    return shown.part(first, count)


def whole(tape: Recording, opened: Collection[int] = ()) -> Figure:
    """The figure of all steps. opened: the numbers of cuts that are left out."""
    found = _FigureBuilder(tape, opened)
    return Figure(steps_of(tape), found.boxes, found.arrows(), found.fixed, tape.title, found.where)


class _FigureBuilder:
    """The boxes that the places of a recording belong to."""

    def __init__(self, tape: Recording, opened: Collection[int]) -> None:
        self.tape, self.opened = tape, opened
        self.graph = Graph(tape)
        self.into = self.graph.into
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
                name, value = ("" if label is None else label.name), self.graph.scalar((node.number, 0))
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
        boxed: dict[int, Place] = {}
        for place, key in self.where.items():
            if key.step != FIXED:
                boxed.setdefault(place[0], place)
        for number, place in boxed.items():
            target, name = self.where[place], self._name(place)
            loss = self.tape.nodes[number].loss
            if loss is not None and loss in self.where:
                source = self.where[loss]
                arrow = found.setdefault((source, target, "backward"), Arrow(source, target, "backward"))
                arrow.links.add(("backward()", name))
            for read, flow, cuts in self._paths(number):
                source = self.where[read]
                if source == target or (flow == "value" and target.kind != "values"):
                    continue
                arrow = found.setdefault((source, target, flow), Arrow(source, target, flow))
                arrow.cuts += [cut for cut in cuts if cut not in arrow.cuts]
                arrow.links.add((self._name(read), name))
        return list(found.values())

    def _name(self, place: Place) -> str:
        """What a value is called in its box; a loss has no name there."""
        label = self.tape.output(self.tape.node(place).of or place).label
        return "" if label is None else label.name

    def _paths(self, number: int) -> list[tuple[Place, Drawn, list[Cut]]]:
        """What in boxes a node was computed from, through nodes in no box, with all cuts on the paths of one flow.

        The newest node comes first, so that every path to a node has been followed before the node is left.
        """
        found: dict[tuple[Place, Drawn], dict[int, Cut]] = {}
        cuts: dict[tuple[int, Drawn], dict[int, Cut]] = {(-number, "kept"): {}}
        waiting: list[tuple[int, Drawn]] = [*cuts]
        while waiting:
            state = heappop(waiting)
            for edge in self.into[-state[0]]:
                flow: Drawn = max(state[1], flow_of(self.tape, edge, self.opened), key=STRENGTH.__getitem__)
                passed = cuts[state] if edge.cut is None else {**cuts[state], edge.cut: self.tape.cuts[edge.cut]}
                if edge.place in self.where:
                    found.setdefault((edge.place, flow), {}).update(passed)
                elif flow != "value" or not self.tape.nodes[edge.source].sweep:
                    before = -edge.source, flow
                    if before not in cuts:
                        cuts[before] = {}
                        heappush(waiting, before)
                    cuts[before].update(passed)
        return [(place, flow, [*passed.values()]) for (place, flow), passed in found.items()]

    def _place(self, node: Node, n: int, label: Label) -> None:
        value, key = self.graph.scalar((node.number, n)), box_of(node, label)
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
            box.names[label.name] = Printed(0.0, NONE_YET) if self.graph.waiting((node.number, n)) else value
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
            before = [e.place for e in self.into[place[0]] if flow_in(self.tape, e) not in ("cut", "gate")]
            nodes = [(p, self.tape.node(p)) for p in before if p not in self.where]
            return [p for p, node in nodes if node.kind == "operation" and not node.sweep]

        self.where.update(dict.fromkeys(walk([loss], between), key))
