"""How large the terms are that a gradient is the sum of: beside them a gradient can be 0 up to rounding.

A backward pass is followed back through what it adds and multiplies. An array stands for one number, the root of the
mean of its squares. So a size may be wrong by some orders of magnitude; a gradient with right digits is more than that
above its rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, prod, sqrt

import numpy as np

from ..core.operation import OPERATIONS
from ..core.tape import quietly
from .records import Edge, Inside, Place, Recording

ROUNDING = 8 * float(np.finfo(float).eps)  # of a number that a few operations have made
FOLLOWED = ("add", "subtract", "negative", "multiply", "divide", "sum", "sum_to")


class Terms:
    """The sizes of terms in a recording. into: by node, the edges of its operands."""

    def __init__(self, tape: Recording, into: Mapping[int, list[Edge]]) -> None:
        self.tape, self.into = tape, into
        self._found: dict[Place, float] = {}
        self._outputs: dict[int, list[float]] = {}  # of a fused operation

    def rounding(self, gradient: Place) -> float:
        """How large a gradient in `.grad` may be that is 0 up to rounding."""
        bound = ROUNDING * self.size(gradient)
        return bound if isfinite(bound) else 0.0

    def size(self, place: Place) -> float:
        """How large the terms of a value are together; of an array, on the average."""
        waiting = [place]
        while waiting:
            missing = [read for read in self._read(waiting[-1]) if read not in self._found]
            if not missing:
                here = waiting.pop()
                self._found[here] = max(abs(self._own(here)), self._terms(here))
            waiting += missing
        return self._found[place]

    def _read(self, place: Place) -> list[Place]:
        """What a backward pass computed a value from, where it is followed."""
        node = self.tape.node(place)
        followed = node.kind == "gradient" or (node.sweep and (node.inside is not None or node.op in FOLLOWED))
        return [edge.place for edge in self.into[place[0]]] if followed else []

    def _own(self, place: Place) -> float:
        """A number, or an array as one."""
        output = self.tape.output(place)
        if output.value is not None:
            return output.value
        return (output.norm or 0.0) / sqrt(prod(output.shape) or 1)

    def _terms(self, place: Place) -> float:
        """How large the terms of a value are, as those of what it was computed from are known."""
        node, read = self.tape.node(place), self._read(place)
        if not read:
            return 0.0
        values, sizes = [self._own(one) for one in read], [self._found[one] for one in read]
        summed = max(prod(self.tape.output(one).shape) for one in read) / (prod(self.tape.output(place).shape) or 1)
        if node.inside is not None:
            if place[0] not in self._outputs:
                self._outputs[place[0]] = quietly(_inside, self.tape.insides[node.inside], values, sizes)
            return max(summed, 1.0) * self._outputs[place[0]][place[1]]
        if node.op in ("sum", "sum_to"):
            return summed * sizes[0]
        return sum(sizes) if node.kind == "gradient" else _size(node.op or "", values, sizes, 0.0)


def _size(op: str, values: Sequence[float], sizes: Sequence[float], result: float) -> float:
    """How large the terms of a result are. values, sizes: what it was computed from, and how large their terms are."""
    match op:
        case "add" | "subtract":
            return sum(sizes)
        case "multiply" | "negative":
            return prod(sizes)
        case "divide" if values[1]:
            return sizes[0] / abs(values[1])
    return abs(result)


def _inside(inside: Inside, values: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """How large the terms of each output of a fused operation are, element by element."""
    values, sizes = [*map(np.float64, [*values, *inside.constants])], [*sizes, *map(abs, inside.constants)]
    for op, args in inside.lines:
        given = [values[arg] for arg in args]
        values.append(OPERATIONS[op].forward(*given) if op in OPERATIONS else given[0])  # or kept in a range
        sizes.append(float(_size(op, given, [sizes[arg] for arg in args], values[-1])))
    return [sizes[number] for number in inside.outputs]
