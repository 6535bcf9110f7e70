"""What gradients would be without a cut: how much arrives then, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ghosts import Rerun, cotangents, size, sweeps
from .graph import Graph
from .records import Place, Recording

ROLES = ("weights", "hyperparameter")


@dataclass(slots=True)
class Arrival:
    """A gradient as it would be without one cut, all others being made.

    cut: its number.  place: of the value.  value: the gradient, as a number or a norm.
    """

    cut: int
    place: Place
    value: float


def arrivals(tape: Recording) -> list[Arrival]:
    """Of each cut, the gradients that would differ without it, numbers first; none where ghosts were not recorded.

    They are those of weights, hyperparameters, and values with a name in the code. The ghost of a cut is swept on from
    the value that was cut: as much as this arrives in addition.
    """
    tape.read()
    if tape.ghosts is None or not tape.ghosts.passes:
        return []
    rerun, stops = Rerun(tape), sweeps(tape)
    named = {tensor.edge: place for place, tensor in _named(rerun) if tensor.edge is not None}
    more: dict[tuple[int, Place], np.ndarray] = defaultdict(lambda: np.zeros(()))
    for loss, found in tape.ghosts.passes.items():
        with rerun.sent_by(loss):
            for number, ghost in found.items():
                if isinstance(number, int) and tape.cuts[number].severed:
                    for edge, part in cotangents(rerun, tape.cuts[number].place, stops[loss], ghost):
                        if edge in named:
                            more[number, named[edge]] = more[number, named[edge]] + part
    places = tape.ghosts.places
    without = {key: np.asarray(places.get(key[1], 0.0) + part) for key, part in more.items()}
    known = {key: places[key[1]] for key in more if key[1] in places}
    graph = Graph(tape)
    differ = [key for key in more if key not in known or not graph.alike(key[1], known[key], without[key])]
    order = sorted(differ, key=lambda key: (key[0], more[key].ndim > 0, key[1]))
    return [Arrival(cut, place, size(without[cut, place])) for cut, place in order]


def _named(rerun: Rerun) -> Iterator[tuple[Place, Any]]:
    """The values whose gradients a reader asks for."""
    for place, tensor in rerun.tensors.items():
        node, label = rerun.tape.node(place), rerun.tape.output(place).label
        told = node.called is not None or node.kind == "leaf" if label is None else label.role in ROLES
        if told:
            yield place, tensor
