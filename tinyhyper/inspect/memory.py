"""What a step keeps alive: the nodes that are still there when it ends, what they saved, and who holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import GraphError
from .names import Names
from .records import Edge, Place, Recording, by_target, walk


@dataclass(slots=True)
class Alive:
    """What was alive when a step ended.

    nodes: their numbers.  saved: the places whose arrays they keep for their VJPs.  bytes: of those arrays.
    holders: by name, the values from which gradients flow to them, with the nodes that each reaches; under None, the
    nodes that no named value reaches: a tensor in the user's own code holds them.
    """

    step: int
    nodes: list[int]
    saved: list[Place]
    bytes: int
    holders: dict[str | None, set[int]]


def alive(tape: Recording) -> list[Alive]:
    """What was alive at the end of each step, and, last, when the recording ended. Raises GraphError before that."""
    if not tape.closed:
        raise GraphError("what a step keeps alive is known only when the recording has ended; ask after the block")
    names, edges, found = Names(tape), by_target(tape.edges), []
    nodes: list[int] = []
    for step, (begin, end) in enumerate(zip([0, *tape.ends], tape.ends), start=1):
        nodes = [n for n in (*nodes, *range(begin, end)) if (names.nodes[n].until or 0) >= step]
        saved = sorted({place for number in nodes for place in names.nodes[number].saved})
        size = sum(nbytes(tape, place) for place in saved)
        found.append(Alive(step, nodes, saved, size, _holders(edges, nodes, names)))
    return found


def nbytes(tape: Recording, place: Place) -> int:
    """The size of a value in memory."""
    output = tape.output(place)
    return math.prod(output.shape) * np.dtype(output.dtype).itemsize


def _holders(into: dict[int, list[Edge]], nodes: list[int], names: Names) -> dict[str | None, set[int]]:
    """By name, the nodes that gradients reach from each value that no other living node reads."""
    living = set(nodes)
    sources = {
        number: [edge.source for edge in into[number] if edge.flow == "kept" and edge.source in living]
        for number in nodes
    }
    read = {source for found in sources.values() for source in found}
    holders: dict[str | None, set[int]] = {}
    for root in (number for number in nodes if number not in read):
        name = names.known((root, 0)) if names.nodes[root].outputs[0].label is not None else None
        holders[name] = holders.get(name, set()) | walk([root], lambda number: sources[number]).keys()
    others = holders.pop(None, set()).difference(*holders.values())
    return {**holders, None: others} if others else holders
