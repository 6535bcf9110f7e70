"""What gradients would be without a cut: how much arrives then, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ghosts import Rerun, cotangents, size, sweeps
from .graph import Graph
from .passes import bound
from .records import Place

ROLES = ("weights", "hyperparameter")


@dataclass(slots=True)
class Arrival:
    """A gradient as it would be without one cut, all others being made.

    cut: its number.  place: of the value.  value: the gradient, as a number or a norm.
    """

    cut: int
    place: Place
    value: float


def arrivals(graph: Graph) -> list[Arrival]:
    """Of each cut, the gradients that would differ without it, numbers first; none where ghosts were not recorded.

    They are those of weights, hyperparameters, and values with a name in the code. The ghost of a cut is swept on from
    the value that was cut: as much as this arrives in addition.
    """
    tape = graph.tape
    if tape.ghosts is None or not tape.ghosts.passes:
        return []
    rerun, stops = Rerun(tape), sweeps(tape)
    named = {tensor.edge: place for place, tensor in _named(rerun) if tensor.edge is not None}
    more: dict[tuple[int, Place], np.ndarray] = defaultdict(lambda: np.zeros(()))
    for loss, found in tape.ghosts.passes.items():
        with rerun.sent_by(loss):
            for number, ghost in found.items():
                if isinstance(number, int) and tape.cuts[number].severed:
                    for edge, part in cotangents(rerun, {tape.cuts[number].place: ghost}, stops[loss]):
                        if edge in named:
                            more[number, named[edge]] = more[number, named[edge]] + part
    places = tape.ghosts.places
    without = {key: np.asarray(places.get(key[1], 0.0) + part) for key, part in more.items()}
    known = {key: places[key[1]] for key in more if key[1] in places}
    differ = [key for key in more if key not in known or not graph.alike(key[1], known[key], without[key])]
    order = sorted(differ, key=lambda key: (key[0], more[key].ndim > 0, key[1]))
    return [Arrival(cut, place, size(without[cut, place])) for cut, place in order]


@dataclass(slots=True)
class Uncut:
    """The gradients without any cut, of all losses together, as numbers or norms.

    places: those with respect to values.  cuts: what comes past where a cut was.  By place, and by the cut's number.
    With each: whether it is 0 up to rounding.
    """

    places: list[tuple[Place, float, bool]]
    cuts: list[tuple[int, float, bool]]


def uncut(graph: Graph) -> Uncut:
    """What gradients would be if no cut were made; none where ghosts were not recorded.

    They are of the values of which `arrivals` tells. The losses of steps that were skipped send nothing.
    """
    tape = graph.tape
    found = Uncut([], [])
    if tape.ghosts is None or not tape.ghosts.passes:
        return found
    rerun = Rerun(tape, opened={cut.number for cut in tape.cuts}, ghosts=True)
    together: dict[Any, dict[Place, np.ndarray]] = defaultdict(dict)  # what one sweep can begin with
    stops = {loss: ends for loss, ends in sweeps(tape).items() if tape.node(loss).step + 1 not in tape.skipped}
    for loss, ends in stops.items():
        together[loss if ends or rerun.gated(loss) else None][loss] = rerun.cotangent(loss)
    places = {tensor.edge: place for place, tensor in _named(rerun) if tensor.edge is not None}
    cuts = {tensor.edge: number for number, tensor in rerun.cuts.items() if tensor.edge is not None}
    sums: dict[Any, np.ndarray] = defaultdict(lambda: np.zeros(()))
    for begun in together.values():
        loss = next(iter(begun))
        with rerun.sent_by(loss):
            for edge, part in cotangents(rerun, begun, stops[loss]):
                if edge in places or edge in cuts:
                    sums[edge] = sums[edge] + part
    for edge, whole in sums.items():
        value = size(np.asarray(whole))
        if edge in places:
            found.places.append((places[edge], value, abs(value) <= graph.bound(places[edge])))
        else:
            cut = tape.cuts[cuts[edge]]
            found.cuts.append((cut.number, value, abs(value) <= bound(graph, cut)))
    return found


def _named(rerun: Rerun) -> Iterator[tuple[Place, Any]]:
    """The values whose gradients a reader asks for."""
    for place, tensor in rerun.tensors.items():
        node, label = rerun.tape.node(place), rerun.tape.output(place).label
        told = node.called is not None or node.kind == "leaf" if label is None else label.role in ROLES
        if told:
            yield place, tensor
