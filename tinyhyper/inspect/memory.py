"""What a step keeps alive: the nodes that are still there when it ends, what they saved, and who holds them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..errors import GraphError
from .names import Names
from .records import Place, Recording


@dataclass(slots=True)
class Alive:
    """What was alive when a step ended.

    nodes: their numbers.  saved: the places whose arrays they keep for their VJPs.  bytes: of those arrays.
    holders: by name, the values from which gradients lead to them, with the nodes that each reaches; under None, those
    that nothing with a name reaches: a tensor in the user's own code holds them.
    """

    step: int
    nodes: list[int]
    saved: list[Place]
    bytes: int
    holders: dict[str | None, set[int]]


def alive(tape: Recording) -> list[Alive]:
    """What was alive at the end of each step, and, last, when the recording ended. Raises GraphError before that."""
    if not tape.closed:
        raise GraphError("what is kept alive is known when the recording has ended: ask after the block")
    return [_alive(tape, step) for step in range(1, len(tape.ends) + 1)]


def _alive(tape: Recording, step: int) -> Alive:
    nodes = [node.number for node in tape.nodes[: tape.ends[step - 1]] if node.until is not None and node.until >= step]
    saved = sorted({place for number in nodes for place in tape.nodes[number].saved})
    size = sum(nbytes(tape, place) for place in saved)
    return Alive(step, nodes, saved, size, _holders(tape, nodes))


def nbytes(tape: Recording, place: Place) -> int:
    """The size of a value in memory."""
    output = tape.output(place)
    return math.prod(output.shape) * np.dtype(output.dtype).itemsize


def _holders(tape: Recording, nodes: list[int]) -> dict[str | None, set[int]]:
    """By name, those of the nodes that each named value leads to, if nothing else among them reads it."""
    living = set(nodes)
    sources: dict[int, list[int]] = defaultdict(list)
    for edge in tape.edges:
        if edge.flow == "kept" and edge.target in living and edge.source in living:
            sources[edge.target].append(edge.source)
    read = {source for found in sources.values() for source in found}
    names = Names(tape)
    holders: dict[str | None, set[int]] = {}
    for root in (number for number in nodes if number not in read):
        reached, waiting = {root}, [root]
        while waiting:
            for source in sources[waiting.pop()]:
                if source not in reached:
                    reached.add(source)
                    waiting.append(source)
        label = tape.nodes[root].outputs[0].label
        name = names.known(root, 0) if label is not None else None
        holders[name] = holders.get(name, set()) | reached
    alone = holders.pop(None, set()).difference(*holders.values())
    return {**holders, None: alone} if alone else holders
