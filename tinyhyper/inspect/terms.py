"""How large the terms are that a gradient is the sum of: beside them a gradient can be 0 up to rounding.

A backward pass is followed back through what it adds and multiplies. An array stands for one number, the root of the
mean of its squares. So a size may be wrong by some orders of magnitude; a gradient with right digits is more than that
above its rounding. Each term is rounded in its own dtype: with float32 weights a float64 gradient of alpha has the
rounding of float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, prod, sqrt
from typing import NamedTuple

import numpy as np

from ..core.operation import OPERATIONS
from ..core.tape import quietly
from .records import Edge, Inside, Place, Recording

ROUNDED = 8  # so many times is a number rounded that a few operations have made
EPSILON = {name: float(np.finfo(name).eps) for name in ("float32", "float64")}
FOLLOWED = ("add", "subtract", "negative", "multiply", "divide", "sum", "sum_to")


class Size(NamedTuple):
    """How large the terms of a value are together, and how large the rounding of them is."""

    terms: float
    rounding: float

    def times(self, factor: float) -> Size:
        return Size(self.terms * factor, self.rounding * factor)


class Terms:
    """The sizes of terms in a recording. into: by node, the edges of its operands."""

    def __init__(self, tape: Recording, into: Mapping[int, list[Edge]]) -> None:
        self.tape, self.into = tape, into
        self._found: dict[Place, Size] = {}
        self._outputs: dict[int, list[Size]] = {}  # of a fused operation

    def rounding(self, gradient: Place) -> float:
        """How large a gradient in `.grad` may be that is 0 up to rounding."""
        bound = float(ROUNDED * self.size(gradient).rounding)
        return bound if isfinite(bound) else 0.0

    def size(self, place: Place) -> Size:
        """How large the terms of a value are together; of an array, on the average."""
        waiting = [place]
        while waiting:
            missing = [read for read in self._read(waiting[-1]) if read not in self._found]
            if not missing:
                here = waiting.pop()
                self._found[here] = self._whole(here)
            waiting += missing
        return self._found[place]

    def _whole(self, place: Place) -> Size:
        """How large the terms of a value are, and the value itself: it is rounded in its own dtype, too."""
        terms, rounding = self._terms(place)
        terms = max(abs(self._own(place)), terms)
        return Size(terms, max(rounding, terms * EPSILON.get(self.tape.output(place).dtype, 0.0)))

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

    def _terms(self, place: Place) -> Size:
        """How large the terms of a value are, as those of what it was computed from are known."""
        node, read = self.tape.node(place), self._read(place)
        if not read:
            return Size(0.0, 0.0)
        values, sizes = [self._own(one) for one in read], [self._found[one] for one in read]
        summed = max(prod(self.tape.output(one).shape) for one in read) / (prod(self.tape.output(place).shape) or 1)
        if node.inside is not None:
            if place[0] not in self._outputs:
                self._outputs[place[0]] = quietly(_inside, self.tape.insides[node.inside], values, sizes)
            return self._outputs[place[0]][place[1]].times(max(summed, 1.0))
        if node.op in ("sum", "sum_to"):
            return sizes[0].times(summed)
        return _size("add" if node.kind == "gradient" else node.op or "", values, sizes, 0.0)


def _size(op: str, values: Sequence[float], sizes: Sequence[Size], result: float) -> Size:
    """How large the terms of a result are. values, sizes: what it was computed from, and how large their terms are."""
    terms, rounding = zip(*sizes)
    whole = abs(result)
    match op:
        case "add" | "subtract":
            return Size(sum(terms), sum(rounding))
        case "multiply" | "negative":
            whole = prod(terms)
        case "divide" if values[1]:
            whole = terms[0] / abs(values[1])
    return Size(whole, whole * max([size.rounding / size.terms for size in sizes if size.terms], default=0.0))


def _inside(inside: Inside, values: Sequence[float], sizes: Sequence[Size]) -> list[Size]:
    """How large the terms of each output of a fused operation are, element by element."""
    values = [*map(np.float64, [*values, *inside.constants])]
    sizes = [*sizes, *[Size(abs(number), 0.0) for number in inside.constants]]
    for op, args in inside.lines:
        given = [values[arg] for arg in args]
        values.append(OPERATIONS[op].forward(*given) if op in OPERATIONS else given[0])  # or kept in a range
        sizes.append(_size(op, given, [sizes[arg] for arg in args], float(values[-1])))
    return [sizes[number] for number in inside.outputs]
