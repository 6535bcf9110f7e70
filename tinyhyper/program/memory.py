"""Into a native program and out of it: the arrays of a moment, to its buffers and back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .layout import TURNS
from .moment import LastCut, Moment, Since
from .native import Native

Take = Callable[[np.ndarray], np.ndarray]  # how an array is made of a buffer


class Lent:
    """A buffer that is lent: the base of an array, and of all views of it, so it is there as long as one of them is."""

    def __init__(self, buffer: np.ndarray) -> None:
        self._buffer, self.__array_interface__ = buffer, buffer.__array_interface__


class Loans:
    """What is lent of a memory."""

    def __init__(self) -> None:
        self._lent: list[weakref.ref[Lent]] = []

    def lend(self, buffer: np.ndarray) -> np.ndarray:
        """An array that is the buffer itself."""
        lent = Lent(buffer)
        self._lent.append(weakref.ref(lent))
        return np.asarray(lent)

    def are_held(self) -> bool:
        """Whether something is still held; then nothing may be written there."""
        return any(lent() is not None for lent in self._lent)


class Memory:
    """The buffers of a native program, as the slots of moments."""

    def __init__(self, native: Native) -> None:
        self.native, self._program, self.keys = native, native.program, native.program.keys
        self._length = len(self._program.bodies)
        self._begun = 0  # the step before which a moment was loaded
        self._cut_before: Callable[[int], LastCut] = lambda first: LastCut({}, {}, {})  # of the last cut before that
        self._counts: dict[int, np.ndarray] = {}
        self._counting: dict[int, list[int]] = {slot: [] for slot in native.versions.counted}  # the bodies that do
        for n, body in enumerate(self._program.bodies):
            for slot in body.counted:
                self._counting[slot].append(n)
        self._buffers: dict[tuple[int, int], np.ndarray | None] = {}

    def load(self, moment: Moment) -> bool:
        """Go on from a moment. False, where a value was set by hand that lies where another is still needed."""
        native, length = self.native, self._length
        if length > 1:
            cut = moment.cut()  # which may be of buffers that are written to now
            self._cut_before = lambda first: cut
        ahead = native.call + length * (TURNS + 1)
        native.call = self._begun = ahead + (moment.steps - ahead) % length
        filled = {id(array): array for array in native.layout.given.values()}  # constants, which nobody writes to
        for slot in (*self._program.keys.values(), *self._program.handed_on):
            if (array := moment[slot]) is None:
                continue  # an eager step has let go of it, so no later one reads it
            if slot in self._counting:
                self._counts[slot] = array
                continue
            buffer = self._buffer(slot, native.call)
            assert buffer is not None
            known = filled.setdefault(id(buffer), array)
            if known is not array and known.tobytes() != array.tobytes():
                return False
            if known is not buffer:
                np.copyto(buffer, array)
        return True

    def array(self, slot: int, call: int, take: Take) -> Any:
        """What a slot holds before a step; None for what no later step reads."""
        if slot in self._program.constants:
            return self._program.constants[slot]
        if slot in self._counting:
            return self._counts[slot] + float(self._times(slot, call))
        buffer = self._buffer(slot, call)
        return None if buffer is None else take(buffer)

    def cut(self, call: int, take: Take) -> LastCut:
        """What the last step before this one that cut has read."""
        first = call - 1 - (call - 1) % self._length
        return self._cut_before(first) if first < self._begun else self._cut_at(first, take)

    def _cut_at(self, first: int, take: Take) -> LastCut:
        """What a step that cuts has read."""
        values = {key: self.array(slot, first, take) for key, slot in self._program.keys.items()}
        carried = {k: self.array(slot, first + 1, take) for k, slot in self._program.keys.items() if k[0] == "carry"}
        turn, versions = first // self._length, self.native.versions
        gradients = {
            key: take(self.native.at(versions.read(0, slot), turn))
            for key, slot in self._program.bodies[0].gradients.items()
        }
        return LastCut(values, gradients, carried)

    def _times(self, slot: int, call: int) -> int:
        """How often a value has been counted since the moment that was loaded, before a step."""
        length, begun = self._length, self._begun
        return sum([(call - n - 1) // length - (begun - n - 1) // length for n in self._counting[slot]])

    def _buffer(self, slot: int, call: int) -> np.ndarray | None:
        """Where the array lies that a slot holds before a step. It comes again with the turns of the buffers."""
        place = slot, call % self.native.layout.phases
        if place not in self._buffers:
            found = self.native.versions.before(call, slot)
            self._buffers[place] = None if found is None else self.native.at(*found)
        return self._buffers[place]


class Snapshot(Moment):
    """The moment before the next step, whose arrays are fetched when they are asked for.

    They are there until another window has been run; values that were kept stay.
    """

    _kept: Mapping[int, Any] = MappingProxyType({})
    _cut: LastCut | None = None

    def __init__(self, memory: Memory, since: tuple[Since, ...], steps: int, take: Take = np.ndarray.copy) -> None:
        self.memory, self.call, self.keys = memory, memory.native.call, memory.keys
        self.since, self.steps, self._take = since, steps, take

    def lent(self, loans: Loans) -> Moment:
        """The same, to be read where it lies."""
        found = Snapshot(self.memory, self.since, self.steps, loans.lend)
        found.call = self.call
        return found

    def keep(self, slots: Iterable[int]) -> None:
        """Fetch arrays, as the buffers will be written to."""
        self._kept = {slot: self[slot] for slot in slots}

    def cut(self) -> LastCut:
        """What the last step that cut has read; the same arrays for all that ask."""
        self._cut = self._cut or self.memory.cut(self.call, self._take)
        return self._cut

    def __getitem__(self, slot: Any) -> Any:
        return self._kept[slot] if slot in self._kept else self.memory.array(slot, self.call, self._take)

    def __len__(self) -> int:
        return len(self.memory.native.program.slots)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))
