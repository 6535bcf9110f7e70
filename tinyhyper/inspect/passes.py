"""Backward passes, stop by stop: where the gradient of a loss arrives, in the order of the recorded sweep, and which
cuts stop it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from .ghosts import Arrival, size, sweeps
from .graph import Graph
from .records import Cut, Edge, Place, walk


@dataclass(slots=True)
class Stop:
    """Where a gradient arrives: a place, or the cut with a number, which stops it.

    value: the cotangent, or the ghost, as a number or a norm; None where it is not known.
    """

    place: Place | None
    cut: int | None
    value: float | None


@dataclass(slots=True)
class Pass:
    """The backward passes from one loss, which is the first stop."""

    loss: Place
    stops: list[Stop]


def passes(graph: Graph) -> list[Pass]:
    """The backward passes of a recording, by their losses, oldest first.

    The stops stand in the order of the recorded sweep. With ghosts, there is one at each cut that has a ghost.
    """
    tape = graph.tape
    again = {} if tape.ghosts is None else tape.ghosts.passes
    found = {
        loss: _ordered(graph, again[loss] if loss in again else _reached(graph, loss, ends))
        for loss, ends in sorted(sweeps(tape).items())
    }
    times = Counter(where for stops in found.values() for where in stops)
    left = _left(graph)

    def value(loss: Place, where: Arrival) -> float | None:
        summed = tape.cuts[where].ghost if isinstance(where, int) else tape.output(where).gradient
        if times[where] == 1 and summed is not None:
            return summed
        return size(again[loss][where]) if loss in again else left.get((loss, where))

    def stop(loss: Place, where: Arrival) -> Stop:
        place, cut = (None, where) if isinstance(where, int) else (where, None)
        return Stop(place, cut, value(loss, where))

    return [Pass(loss, [stop(loss, where) for where in stops]) for loss, stops in found.items()]


def _reached(graph: Graph, loss: Place, ends: Collection[Place]) -> Iterator[Arrival]:
    """What kept edges lead to from a loss, newest first; a cut follows the oldest operation that reads through it."""

    step = graph.nodes[loss[0]].step
    gates = {place for place in graph.tape.gates if graph.nodes[place[0]].step == step}  # open to a later loss

    def sources(place: Place) -> list[Edge]:
        return [] if place in ends or place in gates else graph.sources(place)

    def kept(place: Place) -> list[Place]:
        return [edge.place for edge in sources(place) if edge.flow == "kept"]

    places = sorted(walk([loss], kept), key=lambda place: (-place[0], place[1]))
    last = {number: (number, n) for number, n in places}  # the last output of an operation
    oldest = {edge.cut: last[place[0]] for place in places for edge in sources(place) if edge.cut is not None}
    after: dict[Place, list[int]] = defaultdict(list)
    for cut in sorted(oldest, reverse=True):  # as the second run comes to them
        after[oldest[cut]].append(cut)
    gradients = [number for number, _ in places if graph.nodes[number].kind == "gradient"]
    in_grad = {edge.place for number in gradients for edge in graph.into[number]}
    for place in places:
        if place not in in_grad:  # the gradient in `.grad` is the same value, and has a name
            yield place
        yield from after[place]


def _ordered(graph: Graph, found: Iterable[Arrival]) -> list[Arrival]:
    """What was found, in the order of the recorded sweep: the newest of the engine's nodes first.

    A cut has no node of the engine; it stays behind the operation that it was found behind.
    """
    keys: dict[Arrival, int] = {}
    last = 0
    for where in found:
        keys[where] = last if isinstance(where, int) else -_serial(graph, where)
        if not isinstance(where, int) and graph.nodes[where[0]].kind not in ("leaf", "earlier"):
            last = keys[where]
    return sorted(keys, key=keys.__getitem__)


def _serial(graph: Graph, place: Place) -> int:
    """The number of the engine's node of a value: a gradient in `.grad` is what an operation made."""
    serial, read = graph.nodes[place[0]].serial, graph.into[place[0]]
    if serial is not None:
        return serial
    return _serial(graph, read[0].place) if read else 0


def _left(graph: Graph) -> dict[tuple[Place, Arrival], float | None]:
    """What backward passes left in `.grad`, by loss and place, where nothing was there before."""
    found: dict[tuple[Place, Arrival], float | None] = {}
    for node in graph.nodes:
        if node.of is not None and node.loss is not None:
            added = any(not graph.nodes[edge.source].sweep for edge in graph.into[node.number])
            key = node.loss, node.of
            found[key] = None if added or key in found else graph.number((node.number, 0))
    return found


def vanishing(graph: Graph) -> set[int]:
    """The cuts whose ghost is 0; of a hyperparameter, also those whose ghost is no larger than rounding makes it."""
    return {cut.number for cut in graph.cuts if cut.ghost is not None and abs(cut.ghost) <= bound(graph, cut)}


def bound(graph: Graph, cut: Cut) -> float:
    """How large a ghost may be that is 0 up to rounding: what moves a hyperparameter passes its gradient on."""
    return sum(graph.bound((target, 0)) for target in cut.targets) if graph.is_hyperparameter(cut.place) else 0.0
