"""Where the arrays come from that a call reads, and whether two windows of calls read the same.

A place is counted from the call that reads: how many calls ago, and what it was there: a value by key, an entry of the
batch, or what an operation has made. Nothing here knows an optimizer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError
from ..sites import Site
from .handles import Handle, array_of, is_copy, spec_of
from .readings import items_in
from .trace import Trace, Traced

NUMPY = (
    "NumPy inside the loss is not recorded, on the batch too: compute it by operations on tensors, such as "
    "th.tensor(y).reshape(-1) for y.ravel(), th.tensor(x)[:8] for x[:8], th.clip(x, 0, 1) for np.clip(x, 0, 1) and "
    "th.tensor(x, dtype=np.float32) for a cast, or before the step, and give it with the batch. A layer's mask of "
    "dropout is such an array, too: draw it before the step, or call eval()"
)

NUMBER = (
    "A number that Python computes, such as 0.9**tower.t, is not recorded: give it to the step with the batch, as an "
    "array. A hyperparameter that the loss reads belongs in outside= of the tower, and what the loss computes for its "
    "next call in carry="
)


class Place(NamedTuple):
    """Where an array comes from. ago: how many calls before.  kind, index: which value, entry or result there."""

    ago: int
    kind: str
    index: Any


class Read(NamedTuple):
    """What an operation reads, by its handle, or an argument of it, in this call and in that of a window before.

    nodes: the serials of the nodes that had saved it, as in Traced.  what: the operation.
    """

    one: Any
    other: Any
    nodes: tuple[int | None, int | None]
    what: str
    site: Site


class Same(NamedTuple):
    """In place of an array that both windows have alike: a constant."""

    array: np.ndarray


class Copied(NamedTuple):
    """An entry of the batch of which the loss has made an array of its own."""

    position: int
    dtype: np.dtype


class Difference(GraphError):
    """The two windows are not one program."""


class Arrays:
    """The places of the arrays in a row of traces."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._born = [trace.born for trace in traces]
        self._made: list[dict[int, tuple[str, Any]]] = []  # by the `id` of handles
        self._values = [{id(trace.handle(x)): ("value", key) for key, x in trace.before.items()} for trace in traces]
        known: set[int] = set()  # what an operation gives unchanged, it has not made
        for trace, values in zip(traces, self._values):
            made: dict[int, tuple[str, Any]] = {}
            known |= values.keys()
            for entries in (trace.batch, trace.taken):
                for position, array in enumerate(entries):
                    if isinstance(array, np.ndarray):
                        made.setdefault(id(trace.handle(array)), ("batch", position))
            for n, event in enumerate(trace.events):
                for output, handle in enumerate(event.writes):
                    if id(handle) not in known:
                        made.setdefault(id(handle), ("made", (n, output)))
            known |= made.keys()
            self._made.append(made)

    def place(self, call: int, handle: Handle, node: int | None) -> Place | None:
        """Where an array that this call reads comes from; None if from nowhere that is known.

        node: the serial of the node that had saved it, if one had; then it is what it was when the node was made.
        """
        number = id(handle)
        if (found := self._made[call].get(number)) is not None:
            return Place(0, *found)
        origin = call if node is None else max(bisect_right(self._born, node) - 1, 0)
        for then in (*range(origin, -1, -1), *range(origin + 1, call)):  # the latter are left at a seam
            if (found := self._made[then].get(number) or self._values[then].get(number)) is not None:
                return Place(call - then, *found)
        return None

    def note(self, call: int, handle: Handle, kind: str, index: Any) -> None:
        """From now on an array of this call is known."""
        self._made[call][id(handle)] = kind, index


class Pair:
    """Two windows of calls, compared: what is read, by place, is the same in both."""

    def __init__(self, traces: Sequence[Trace], length: int) -> None:
        self.traces, self.length = traces, length
        self.arrays = Arrays(traces)
        for call in range(length, len(traces)):
            self._note_copies(call)

    def read(self, call: int, read: Read) -> Place | Same:
        """The place of an array that both calls read: this one, and the one a window before it."""
        places = [
            self.arrays.place(number, handle, node)
            for number, handle, node in zip((call - self.length, call), (read.one, read.other), read.nodes)
        ]
        if places[0] != places[1]:
            raise Difference(f"{read.what} reads another array than in the step before, {where(read.site)}")
        if places[1] is not None:
            return places[1]
        one, other = array_of(read.one), array_of(read.other)
        if one is None or other is None or not equal(one, other):
            raise Difference(
                f"{read.what} reads an array of shape {spec_of(read.other).shape} that differs at each step, and no "
                f"operation on tensors made it, {where(read.site)}. {self._advice(call, other)}"
            )
        return Same(other)

    def _advice(self, call: int, array: np.ndarray | None) -> str:
        """What to do about an array that comes from nowhere that is known."""
        for key, left in self.traces[call].after.items():
            if key[0] == "carry" and is_copy(array, np.asarray(left)):
                return f"carry[{key[1]!r}] is computed by NumPy, which is not recorded; use operations on tensors"
        if array is not None and not array.ndim:
            return NUMBER
        return (
            f"{NUMPY}. What the loss keeps for its next call, such as the state of a recurrent net, belongs in carry="
        )

    def _note_copies(self, call: int) -> None:
        """Know the copies of the batch, and of what is carried, in this call and in that of a window before."""
        before = call - self.length
        first, second = self.traces[before], self.traces[call]
        for event, later in zip(first.events, second.events):
            for one, other in zip(_read_by(first, event), _read_by(second, later)):
                for number, handle in ((before, one), (call, other)):
                    if (copy := self.traces[number].copies.get(id(handle))) is not None:
                        place = self.arrays.place(number, copy[1], None)
                        assert place is not None
                        is_batch = place.kind == "batch"
                        index = Copied(place.index, spec_of(handle).dtype) if is_batch else place.index
                        self.arrays.note(number, handle, "copied" if is_batch else place.kind, index)

    def argument(self, call: int, read: Read) -> Any:
        """An argument of an operation that both have; places stand for the arrays in it."""
        one, other = read.one, read.other
        if isinstance(other, np.ndarray) and isinstance(one, np.ndarray):
            handles = self.traces[call - self.length].handle(one), self.traces[call].handle(other)
            return self.read(call, read._replace(one=handles[0], other=handles[1]))
        if type(one) is type(other) and type(other) in (tuple, list) and len(one) == len(other):
            return type(other)([self.argument(call, read._replace(one=a, other=b)) for a, b in zip(one, other)])
        if type(one) is type(other) is dict and [*one] == [*other]:
            return {key: self.argument(call, read._replace(one=one[key], other=other[key])) for key in other}
        if one is not other and not alike(one, other):
            raise Difference(
                f"{read.what} has the argument {other!r}, and had {one!r} in the step before, {where(read.site)}"
            )
        return other


def where(site: Site) -> str:
    return f"at {site[0]}:{site[1]}"


def equal(one: np.ndarray, other: np.ndarray) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype) and one.tobytes() == other.tobytes()


def _read_by(trace: Trace, event: Traced) -> list[Handle]:
    """The handles of what an operation of a trace reads, in its arguments too."""
    return [*event.reads, *[trace.handle(item) for item in items_in(event.call) if isinstance(item, np.ndarray)]]


def alike(one: Any, other: Any) -> bool:
    """Whether two arguments are the same: NaN is NaN, and a function is itself alone."""
    return type(one) is type(other) and (one == other or one != one and other != other)


def same_op(one: Any, other: Any) -> bool:
    """Whether two operations compute the same; a fused function, or a long sequence, may make one at each call."""
    if one is other:
        return True
    if (whole := getattr(one, "whole", None)) is not None:
        return whole is getattr(other, "whole", None) and one.inputs == other.inputs
    expressions = getattr(one, "expression", None), getattr(other, "expression", None)
    return one.name == other.name and expressions[0] is not None and expressions[0] == expressions[1]
