"""From traces of calls to a program: two windows that follow one another must be the same program.

An array of a trace is named by its place, counted from the call that reads it: how many calls ago, and what it was
there: a value by key, an entry of the batch, or what an operation has made. Nothing here knows an optimizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import SPEC, ArraySpec
from ..errors import GraphError
from ..sites import Site
from .program import Body, Entry, Instruction, Kind, Program, Reading, Slot
from .trace import Event, Key, Trace
from .values import named


END: Site = ("the end of the step", 0)


class Place(NamedTuple):
    """Where an array comes from. ago: how many calls before.  kind, index: which value, entry or result there."""

    ago: int
    kind: str
    index: Any


class Same(NamedTuple):
    """In place of an array that both windows have alike: a constant."""

    array: np.ndarray


class Copied(NamedTuple):
    """An entry of the batch of which the loss has made an array of its own."""

    position: int
    dtype: np.dtype


class Difference(GraphError):
    """The two windows are not one program. site: of the operation that tells them apart."""


class Arrays:
    """The places of the arrays in a row of traces."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._known: list[dict[int, tuple[str, Any]]] = []
        for trace in traces:
            known: dict[int, tuple[str, Any]] = {}
            for key, array in trace.before.items():
                known.setdefault(id(array), ("value", key))
            for position, array in enumerate(trace.batch):
                if isinstance(array, np.ndarray):
                    known.setdefault(id(array), ("batch", position))
            for n, event in enumerate(trace.events):
                for output, array in enumerate(event.writes):
                    known.setdefault(id(array), ("made", (n, output)))
            self._known.append(known)

    def place(self, call: int, array: np.ndarray) -> Place | None:
        """Where an array that this call reads comes from; None if from nowhere that is known."""
        for ago in range(call + 1):
            if (found := self._known[call - ago].get(id(array))) is not None:
                return Place(ago, *found)
        return None

    def note(self, call: int, array: np.ndarray, kind: str, index: Any) -> None:
        """From now on an array of this call is known."""
        self._known[call][id(array)] = kind, index


class Pair:
    """Two windows of calls, compared: what is read, by place, is the same in both."""

    def __init__(self, traces: Sequence[Trace], length: int) -> None:
        self.traces, self.length = traces, length
        self.arrays = Arrays(traces)
        for call in range(length, len(traces)):
            self._note_copies(call)

    def read(self, call: int, one: np.ndarray, other: np.ndarray, site: Site, what: str) -> Place | Same:
        """The place of an array that both read: `other` in the call of this number, `one` a window before."""
        before = call - self.length
        places = self.arrays.place(before, one), self.arrays.place(call, other)
        if places[0] != places[1]:
            raise Difference(f"{what} reads something else than a step before, {_where(site)}")
        if places[1] is not None:
            return places[1]
        if not _equal(one, other):
            raise Difference(
                f"{what} reads an array of shape {other.shape} that is another one at each step and no part of the "
                f"batch, {_where(site)}. Compute it by operations on tensors, or give it to the step with the batch"
            )
        return Same(other)

    def _note_copies(self, call: int) -> None:
        """Know the arrays that are copies of the batch, in this call and in that of a window before."""
        before = call - self.length
        first, second = self.traces[before], self.traces[call]
        for event, later in zip(first.events, second.events):
            for one, other in zip(_read_by(event), _read_by(later)):
                place = self.arrays.place(before, one)
                if self.arrays.place(call, other) is None and (place is None or place.kind == "copied"):
                    for position, (x, y) in enumerate(zip(first.batch, second.batch)):
                        if _is_copy(one, x) and _is_copy(other, y):
                            copied = Copied(position, other.dtype)
                            self.arrays.note(before, one, "copied", copied)
                            self.arrays.note(call, other, "copied", copied)
                            break

    def argument(self, call: int, one: Any, other: Any, site: Site, what: str) -> Any:
        """An argument of an operation that both have; places stand for the arrays in it."""
        if isinstance(other, np.ndarray) and isinstance(one, np.ndarray):
            return self.read(call, one, other, site, what)
        if type(one) is type(other) and type(other) in (tuple, list) and len(one) == len(other):
            return type(other)([self.argument(call, a, b, site, what) for a, b in zip(one, other)])
        if type(one) is type(other) is dict and [*one] == [*other]:
            return {key: self.argument(call, one[key], other[key], site, what) for key in other}
        if one is not other and not _alike(one, other):
            raise Difference(f"{what} has the argument {other!r} where it had {one!r} a step before, {_where(site)}")
        return other


def _where(site: Site) -> str:
    return f"at {site[0]}:{site[1]}"


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype) and one.tobytes() == other.tobytes()


def _read_by(event: Event) -> list[np.ndarray]:
    """The arrays that an operation reads, those in its arguments too."""
    return [*event.reads, *_arrays(event.call)]


def _arrays(argument: Any) -> list[np.ndarray]:
    if isinstance(argument, np.ndarray):
        return [argument]
    if type(argument) is dict:
        argument = argument.values()
    elif type(argument) not in (tuple, list):
        return []
    return [array for item in argument for array in _arrays(item)]


def _is_copy(array: np.ndarray, entry: Any) -> bool:
    """Whether an array holds what an entry of the batch does, be it in another dtype."""
    if not isinstance(entry, np.ndarray) or array.shape != entry.shape or array.dtype.kind != entry.dtype.kind:
        return False
    return bool(np.array_equal(array, entry.astype(array.dtype), equal_nan=array.dtype.kind == "f"))


def _alike(one: Any, other: Any) -> bool:
    """Whether two arguments are the same: NaN is NaN, and a function is itself alone."""
    return type(one) is type(other) and (one == other or one != one and other != other)


def same_op(one: Any, other: Any) -> bool:
    """Whether two operations compute the same; a function that is fused anew at each call makes a new one."""
    if one is other:
        return True
    expressions = getattr(one, "expression", None), getattr(other, "expression", None)
    return one.name == other.name and expressions[0] is not None and expressions[0] == expressions[1]


class Builder:
    """Writes the program of the last two windows of some traces; before them there is one window at least.

    Raises Difference where they are not one program.
    """

    def __init__(self, traces: Sequence[Trace], length: int) -> None:
        self.traces, self.length = traces, length
        self.pair = Pair(traces, length)
        self.slots: list[Slot] = []
        self.constants: dict[int, np.ndarray] = {}
        self.keys: dict[Key, int] = {}
        self._places: dict[Any, int] = {}
        self._earlier: list[list[tuple[int, int]]] = [[] for _ in range(length)]
        self._values: list[list[tuple[int, int]]] = [[] for _ in range(length)]
        self._entries: list[list[Entry]] = [[] for _ in range(length)]
        self._kept: set[int] = set()
        self._sources: dict[int, tuple[int, str, Any]] = {}
        for key, array in traces[-1].after.items():
            self.keys[key] = self._new("value", named(key), array)

    def program(self) -> Program:
        """The program."""
        drafts = [self._draft(n) for n in range(self.length)]
        bodies = tuple([self._body(n, draft) for n, draft in enumerate(drafts)])
        return Program(tuple(self.slots), self.constants, self.keys, bodies, self._sources)

    def _draft(self, n: int) -> tuple[list[Instruction], dict[str, Any]]:
        """The instructions of a body, which free nothing yet, and what is left when it is over."""
        call = len(self.traces) - self.length + n
        one, other = self.traces[call - self.length], self.traces[call]
        instructions = []
        for number, (first, second) in enumerate(zip(one.events, other.events)):
            if not same_op(first.op, second.op) or len(first.reads) != len(second.reads):
                raise Difference(f"a step has {second.op.name}, {_where(second.site)}, where the one before it had "
                                 f"{first.op.name}, {_where(first.site)}")
            instructions.append(self._instruction(n, call, number, first, second))
        if len(one.events) != len(other.events):
            longer = max(one.events, other.events, key=len)
            event = longer[len(instructions)]
            raise Difference(f"one of two steps ends before {event.op.name}, {_where(event.site)}")
        if one.after.keys() != other.after.keys() or other.before.keys() != other.after.keys():
            raise Difference("a step has other weights or states than the one before it")
        after, counted = [], []
        for key, slot in self.keys.items():
            found = self._after(n, call, key)
            if found is None:
                counted.append(slot)
            elif found != slot:
                after.append((slot, found))
        if one.gradients.keys() != other.gradients.keys():
            raise Difference("a step has gradients of other weights than the one before it")
        gradients = {
            key: self._read(n, call, g, other.gradients[key], END, f"the gradient of {named(key)}")
            for key, g in one.gradients.items()
        }
        loss = self._read(n, call, one.loss, other.loss, END, "the loss")
        self._kept |= {*[made for _, made in after], *gradients.values(), loss}
        finite = (*gradients.values(), *[made for _, made in after])
        return instructions, dict(after=tuple(after), counted=tuple(counted), gradients=gradients, finite=finite, loss=loss)

    def _after(self, n: int, call: int, key: Key) -> int | None:
        """The slot of a value as a step leaves it; None if the step adds 1 and no operation does."""
        one, other = self.traces[call - self.length], self.traces[call]
        if key[0] == "t" and self.pair.arrays.place(call, other.after[key]) is None:
            if all(trace.after[key] == trace.before[key] + 1.0 for trace in (one, other)):
                return None
        return self._read(n, call, one.after[key], other.after[key], END, named(key))

    def _instruction(self, n: int, call: int, number: int, first: Event, second: Event) -> Instruction:
        site, op = second.site, second.op
        reads = tuple([self._read(n, call, a, b, site, op.name) for a, b in zip(first.reads, second.reads)])
        arguments = self.pair.argument(call, first.call, second.call, site, op.name)
        found = self._readings(n, arguments)
        writes = tuple([self._here(n, "made", (number, output)) for output in range(len(second.writes))])
        return Instruction(op, found, reads, writes, (), found != arguments, second.cuts, second.part, *site)

    def _readings(self, n: int, argument: Any) -> Any:
        """An argument with the slots of its arrays."""
        if isinstance(argument, (Place, Same)):
            array = argument.array if isinstance(argument, Same) else None
            return array if array is not None else Reading(self._slot(n, argument))
        if type(argument) in (tuple, list):
            return type(argument)([self._readings(n, item) for item in argument])
        if type(argument) is dict:
            return {key: self._readings(n, item) for key, item in argument.items()}
        return argument

    def _body(self, n: int, draft: tuple[list[Instruction], dict[str, Any]]) -> Body:
        instructions, rest = draft
        last: dict[int, int] = {}
        for number, instruction in enumerate(instructions):
            for slot in (*instruction.reads, *instruction.writes, *_slots(instruction.call)):
                if self.slots[slot].kind == "made" and slot not in self._kept:
                    last[slot] = number
        frees: list[list[int]] = [[] for _ in instructions]
        for slot, number in last.items():
            frees[number].append(slot)
        freeing = [i._replace(frees=tuple(slots)) for i, slots in zip(instructions, frees)]
        return Body((*self._earlier[n], *self._values[n]), tuple(self._entries[n]), tuple(freeing), **rest)

    def _read(self, n: int, call: int, one: np.ndarray, other: np.ndarray, site: Site, what: str) -> int:
        """The slot of an array that body n reads."""
        place = self.pair.read(call, one, other, site, what)
        if isinstance(place, Same):
            if (slot := self._places.get(id(place.array))) is None:
                slot = self._places[id(place.array)] = self._new("constant", "constant", place.array)
                self.constants[slot] = place.array
            return slot
        return self._slot(n, place)

    def _slot(self, n: int, place: Place) -> int:
        """The slot of a place, counted from body n."""
        ago, kind, index = place
        if ago > self.length:
            raise Difference(f"a step reads what was there {ago} steps before, and its window has {self.length}")
        if not ago:
            return self._here(n, kind, index)
        m = (n - ago) % self.length
        source = self._before(m, index) if kind == "value" else self._here(m, kind, index)
        self._kept.add(source)
        self._sources[source] = m, kind, index
        if ago < self.length:
            return source
        if (slot := self._places.get(("earlier", source))) is None:
            slot = self._places["earlier", source] = len(self.slots)
            self.slots.append(self.slots[source]._replace(kind="earlier"))
            self._earlier[n].append((source, slot))
        return slot

    def _here(self, n: int, kind: str, index: Any) -> int:
        """The slot of what body n itself has."""
        if kind == "value":
            return self.keys[index]
        if (slot := self._places.get((n, kind, index))) is not None:
            return slot
        trace = self.traces[len(self.traces) - self.length + n]
        if kind == "made":
            number, output = index
            event = trace.events[number]
            slot = self._new("made", event.op.name, event.writes[output])
        else:
            copied = index if kind == "copied" else Copied(index, trace.batch[index].dtype)
            slot = self._new("batch", f"batch[{copied.position}]", trace.batch[copied.position])
            self._entries[n].append(Entry(copied.position, slot, copied.dtype, kind == "copied"))
        self._places[n, kind, index] = slot
        return slot

    def _before(self, m: int, key: Key) -> int:
        """The slot of a value as body m began with it."""
        if (slot := self._places.get((m, "before", key))) is None:
            slot = self._places[m, "before", key] = len(self.slots)
            self.slots.append(self.slots[self.keys[key]]._replace(kind="earlier"))
            self._values[m].append((self.keys[key], slot))
        return slot

    def _new(self, kind: Kind, name: str, array: np.ndarray) -> int:
        self.slots.append(Slot(kind, name, ArraySpec(*SPEC(array))))
        return len(self.slots) - 1


def _slots(argument: Any) -> list[int]:
    """The slots in the arguments of an operation."""
    if isinstance(argument, Reading):
        return [argument.slot]
    if type(argument) is dict:
        argument = argument.values()
    elif type(argument) not in (tuple, list):
        return []
    return [slot for item in argument for slot in _slots(item)]
