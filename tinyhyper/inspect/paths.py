"""The paths of a gradient: how much of it came along each path from the loss; the parts add up to the whole.

A path leads over named places: weights, gradients, state and hyperparameters. The recording is run again with each of
them read through a leaf of its own, so that a sweep from one stops at the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.tape import backward, reachable, unwatched
from ..core.tensor import Tensor
from ..finite import norm
from .ghosts import Rerun, cotangents, goals
from .records import Place, Recording, walk

B = TypeVar("B", bound=Hashable)


class Part(NamedTuple):
    """The contribution of one path, or of several that share all but their end.

    through: the named places from the loss to the target.  value: the contribution, of the target's shape.
    paths: how many paths; if several, they part after the last place but one.
    """

    through: tuple[Place, ...]
    value: np.ndarray
    paths: int = 1


class Way(NamedTuple):
    """Paths that lead through the same boxes: what they contribute, and how many they are."""

    value: np.ndarray
    paths: int


class Paths:
    """The named places of a recording, and the sweeps between neighbours.

    limit: about how many parts to list; if there are more paths, some are taken together.
    Raises GraphError for a recording without ghosts.
    """

    def __init__(self, tape: Recording, limit: int = 200) -> None:
        self.tape, self.limit = tape, limit
        named = {
            (node.number, n)
            for node in tape.nodes
            for n, out in enumerate(node.outputs)
            if out.label is not None or node.called is not None
        }
        self.rerun = Rerun(tape, gates=named)
        self._place = {gate.edge[0]: place for place, gate in self.rerun.gates.items() if gate.edge is not None}
        self._asked: Place | None = None
        self._next: dict[Place, list[Place]] = {}
        self._slopes: dict[Place, dict[Any, np.ndarray]] = {}
        self._arrived: dict[tuple[Place, ...], dict[Place, np.ndarray]] = {}  # of one loss

    def parts(self, target: Place, loss: Place) -> list[Part]:
        """The parts of the loss's gradient with respect to the target, the largest first."""
        with self._sent_by(loss):
            return self._parts(target, loss)

    def _parts(self, target: Place, loss: Place) -> list[Part]:
        counts = self._counts(target, loss)
        if not counts.get(loss):
            return []
        found: list[Part] = []
        waiting: list[tuple[tuple[Place, ...], np.ndarray, float]] = [
            ((loss,), self.rerun.cotangent(loss), float(self.limit))
        ]
        while waiting:
            through, cotangent, room = waiting.pop()
            here = through[-1]
            if here == target and len(through) > 1:
                found.append(Part(through, cotangent))
                continue
            if counts[here] > 1 and room < 2 and len(through) > 1:
                found.append(Part((*through, target), self._rest(here, target, cotangent), counts[here]))
                continue
            ahead = [place for place in self.ahead(here) if counts.get(place)]
            room = room if counts[here] <= room else room / len(ahead)
            arrived = self._swept(through, cotangent)
            waiting += [((*through, place), arrived[place], room) for place in ahead if place in arrived]
        return sorted(found, key=lambda part: -norm(part.value))

    @cached_property
    def whole(self) -> Rerun:
        """The recording run again, without stops."""
        return Rerun(self.tape)

    @cached_property
    def _goals(self) -> Mapping[Place, set[int]]:
        return goals(self.tape)

    @contextmanager
    def _sent_by(self, loss: Place) -> Iterator[None]:
        """Within, paths are those from this loss."""
        if not self.tape.gates:
            yield
            return
        if loss != self._asked:
            self._asked, self._next, self._slopes = loss, {}, {}  # other paths lead on from a place
        with self.rerun.sent_by(loss), self.whole.sent_by(loss):
            yield

    def losses(self, gradient: Place) -> list[Place]:
        """The losses that a gradient in `.grad` is of: one, a goal too; or, if a tower's objective says so, all in its
        window.

        None of them if they were computed before the recording began.
        """
        node = self.tape.node(gradient)
        if node.of is None or node.loss is None:
            return []
        if self.tape.objective == "last" or node.loss in self._goals:
            return [node.loss]
        graded = {n.loss for n in self.tape.nodes[: node.number] if n.kind == "gradient" and n.loss is not None}
        return [loss for loss in sorted(graded | {node.loss}) if self.counts(node.of, loss)[loss]]

    def between(
        self, target: Place, losses: Sequence[Place], boxes: Mapping[Place, B]
    ) -> dict[tuple[B, B], np.ndarray]:
        """The contribution of all paths from some losses to the target that lead from one box into another.

        boxes: the box of a place, for those that have one. A path is in each pair of boxes that it passes.
        """
        found: dict[tuple[B, B], np.ndarray] = {}
        for loss in losses:
            with self._sent_by(loss):
                for ends, part in self._between(target, loss, boxes):
                    found[ends] = np.asarray(found[ends] + part) if ends in found else part
        return found

    def _between(
        self, target: Place, loss: Place, boxes: Mapping[Place, B]
    ) -> Iterator[tuple[tuple[B, B], np.ndarray]]:
        """The same of one loss."""
        arrived: dict[tuple[B, B], dict[Place, np.ndarray]] = defaultdict(dict)
        counts, found = self._counts(target, loss), {loss: self.rerun.cotangent(loss)}
        for here in sorted(counts, reverse=True)[:-1]:  # the last is the target
            for place, part in self._onwards(here, found[here], counts) if here in found else ():
                found[place] = np.asarray(found.get(place, 0.0) + part)
                before, after = boxes.get(here), boxes.get(place)
                if before is not None and after is not None and before != after:
                    into = arrived[before, after]
                    into[place] = np.asarray(into.get(place, 0.0) + part)
        whole = self.whole.tensors
        for ends, into in arrived.items():
            yield ends, _gradients([(whole[place], part) for place, part in into.items()], [whole[target].edge])[0]

    def ways(
        self, target: Place, losses: Sequence[Place], boxes: Mapping[Place, B], most: int
    ) -> dict[tuple[B, ...], Way]:
        """The paths from some losses to the target, by the boxes that they lead through.

        boxes: as in `between`.  most: how many such ways are followed; if there are more, none is given.
        """
        found: dict[tuple[B, ...], Way] = {}
        for loss in losses if boxes.keys() >= {*losses, target} else ():
            with self._sent_by(loss):
                counts = self._counts(target, loss)
                waiting: list[tuple[tuple[B, ...], dict[Place, Way]]]
                waiting = [((boxes[loss],), {loss: Way(self.rerun.cotangent(loss), 1)})] if counts.get(loss) else []
                while waiting:
                    way, left = waiting.pop()
                    further: dict[B, dict[Place, Way]] = defaultdict(dict)
                    while left:  # what has arrived in the last box
                        here = max(left)
                        value, number = left.pop(here)
                        if here == target:
                            found[way] = _added(found.get(way), value, number)
                            continue
                        for place, part in self._onwards(here, value, counts):
                            box = boxes.get(place, way[-1])
                            into = left if box == way[-1] else further[box]
                            into[place] = _added(into.get(place), part, number)
                    waiting += [((*way, box), into) for box, into in further.items()]
                    if len(found) + len(waiting) > most:
                        return {}
        return found

    def _onwards(
        self, here: Place, cotangent: np.ndarray, counts: Mapping[Place, int]
    ) -> list[tuple[Place, np.ndarray]]:
        """What a cotangent sends to the next places on paths to a target. counts: as `counts` gives them."""
        ahead = [place for place in self.ahead(here) if counts.get(place)]
        edges = [self.rerun.gates[place].edge for place in ahead]
        parts = _gradients([(self.rerun.tensors[here], cotangent)], edges) if ahead else {}
        return [(ahead[n], part) for n, part in parts.items()]

    def counts(self, target: Place, loss: Place) -> dict[Place, int]:
        """How many paths lead to the target from each place between it and the loss."""
        with self._sent_by(loss):
            return self._counts(target, loss)

    def _counts(self, target: Place, loss: Place) -> dict[Place, int]:
        counts: dict[Place, int] = {}
        for place in sorted(walk([loss], lambda place: [p for p in self.ahead(place) if p >= target])):
            counts[place] = 1 if place == target else sum(counts.get(p, 0) for p in self.ahead(place))
        return counts

    def ahead(self, place: Place) -> list[Place]:
        """The named places at which a sweep from this one stops first."""
        if place not in self._next:
            edge = self.rerun.tensors[place].edge
            nodes = [] if edge is None else reachable([edge[0]])
            self._next[place] = [self._place[node] for node in nodes if node in self._place]
        return self._next[place]

    def _swept(self, through: tuple[Place, ...], cotangent: np.ndarray) -> dict[Place, np.ndarray]:
        """What arrives at the next places from the end of a path; once for all targets of a loss."""
        if self._arrived and next(iter(self._arrived))[0] != through[0]:
            self._arrived = {}
        if through not in self._arrived:
            ahead = self.ahead(through[-1])
            edges = [self.rerun.gates[place].edge for place in ahead]
            found = _gradients([(self.rerun.tensors[through[-1]], cotangent)], edges)
            self._arrived[through] = {ahead[n]: found[n] for n in sorted(found)}
        return self._arrived[through]

    def _rest(self, place: Place, target: Place, cotangent: np.ndarray) -> np.ndarray:
        """The contribution of all paths from a place to the target; for a number, its cotangent times one sweep's."""
        edge = self.whole.tensors[target].edge
        if cotangent.ndim:
            return _gradients([(self.whole.tensors[place], cotangent)], [edge])[0]
        if place not in self._slopes:
            self._slopes[place] = dict(cotangents(self.whole, {place: self.whole.cotangent(place)}))
        return cotangent * self._slopes[place][edge]


def _added(way: Way | None, value: np.ndarray, paths: int) -> Way:
    """What has arrived before, if anything has, and some more."""
    return Way(value, paths) if way is None else Way(np.asarray(way.value + value), way.paths + paths)


def _gradients(outputs: Sequence[tuple[Tensor, np.ndarray]], edges: Sequence[Any]) -> dict[int, np.ndarray]:
    """The gradients at edges, by their places in the list. outputs: each with the cotangent that begins there."""
    seeds = [(output.edge, Tensor(cotangent)) for output, cotangent in outputs]
    with unwatched():
        found = backward(seeds, edges, retain_graph=True, create_graph=False)  # type: ignore[arg-type]
    return {position: gradient.array for position, gradient in found}
