"""From traces of calls to a program: two windows that follow one another must be the same program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from ..core.operation import ArraySpec
from ..sites import Site
from .handles import spec_of
from .places import Copied, Difference, Pair, Place, Read, Same, same_op, where
from .program import BatchEntry, Body, Instruction, Program, Slot, SlotKind, freeing
from .readings import Reading, mapped, slots_in
from .trace import Phase, Trace, Traced
from .values import Key, named

END: Site = ("the end of the step", 0)
NONE = (None, None)


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
        self._entries: list[list[BatchEntry]] = [[] for _ in range(length)]
        self._kept: set[int] = set()
        self._sources: dict[int, tuple[int, str, Any]] = {}
        for key, array in traces[-1].after.items():
            self.keys[key] = self._new("value", named(key), spec_of(array))

    def program(self) -> Program:
        for n in range(-self.length, 0):
            self._compare(self.traces[n - self.length], self.traces[n])
        drafts = [self._draft(n) for n in range(self.length)]
        bodies = tuple([self._body(n, draft) for n, draft in enumerate(drafts)])
        ways = tuple([("np",) * len(body.instructions) for body in bodies])
        groups = tuple([(None,) * len(body.instructions) for body in bodies])
        return Program(tuple(self.slots), self.constants, self.keys, bodies, self._sources, ways, groups)

    def _compare(self, one: Trace, other: Trace) -> None:
        """Raise Difference where two steps have other values or operations; what they read is compared later."""
        for before, now in ((one.before, other.before), (one.after, other.after)):
            if others := before.keys() ^ now.keys():
                raise Difference(_other_names(others))
        for first, second in zip_longest(one.events, other.events):
            if first is None or second is None or not same_op(first.op, second.op):
                raise Difference(f"a step has {_told(second)} where the one before it had {_told(first)}")

    def _draft(self, n: int) -> tuple[list[Instruction], dict[str, Any]]:
        """The instructions of a body, which free nothing yet, and what is left when it is over."""
        call = len(self.traces) - self.length + n
        one, other = self.traces[call - self.length], self.traces[call]
        pairs = enumerate(zip(one.events, other.events))
        instructions = [self._instruction(n, call, number, *pair) for number, pair in pairs]
        after, counted = [], []
        for key, slot in self.keys.items():
            found = self._after(n, call, key)
            if found is None:
                counted.append(slot)
            elif found != slot:
                after.append((slot, found))
        gradients = {
            key: self._left(n, call, array, other.gradients[key], f"the gradient of {named(key)}")
            for key, array in one.gradients.items()
        }
        loss = self._left(n, call, one.loss, other.loss, "the loss")
        losses = [self._left(n, call, *pair, "a loss") for pair in zip(one.losses, other.losses)]
        finite = (*gradients.values(), *[made for _, made in after], *losses)
        self._kept |= {*finite, loss}
        rest = {"after": tuple(after), "counted": tuple(counted), "gradients": gradients, "finite": finite}
        return instructions, {**rest, "loss": loss}

    def _after(self, n: int, call: int, key: Key) -> int | None:
        """The slot of a value as a step leaves it; None if the step adds 1 and no operation does."""
        one, other = self.traces[call - self.length], self.traces[call]
        if all(trace.after[key] is trace.before[key] for trace in (one, other)):
            return self.keys[key]
        if key[0] == "t" and self.pair.arrays.place(call, other.handle(other.after[key]), None) is None:
            if all(trace.after[key] == trace.before[key] + 1.0 for trace in (one, other)):
                return None
        return self._left(n, call, one.after[key], other.after[key], named(key))

    def _left(self, n: int, call: int, one: np.ndarray, other: np.ndarray, what: str) -> int:
        """The slot of an array that two steps have left."""
        handles = self.traces[call - self.length].handle(one), self.traces[call].handle(other)
        return self._read(n, call, Read(*handles, NONE, what, END))

    def _instruction(self, n: int, call: int, number: int, first: Traced, second: Traced) -> Instruction:
        site, op = second.site, second.op
        if first.keys != second.keys:
            raise Difference(f"{op.name} reads other values than in the step before, {where(site)}")
        whole = Read(first.call, second.call, (first.node, second.node), op.name, site)
        reads = tuple(
            [
                self._read(n, call, whole._replace(one=a, other=b), second.part) if key is None else self.keys[key]
                for key, a, b in zip(first.keys, first.reads, second.reads)
            ]
        )
        arguments = self.pair.argument(call, whole)
        found = mapped(partial(self._reading, n), arguments)
        writes = tuple([self._here(n, "made", (number, output)) for output in range(len(second.writes))])
        return Instruction(op, found, reads, writes, (), bool(slots_in(found)), second.cuts, second.part, *site)

    def _reading(self, n: int, item: Any) -> Any:
        """An item of an argument, with a slot for an array."""
        if isinstance(item, Same):
            return item.array
        return Reading(self._slot(n, item)) if isinstance(item, Place) else item

    def _body(self, n: int, draft: tuple[list[Instruction], dict[str, Any]]) -> Body:
        instructions, rest = draft
        loose = {n for n, slot in enumerate(self.slots) if slot.kind == "made"} - self._kept
        moves, entries = (*self._earlier[n], *self._values[n]), tuple(self._entries[n])
        return Body(moves, entries, freeing(instructions, loose), **rest)

    def _read(self, n: int, call: int, read: Read, part: Phase | None = None) -> int:
        """The slot of an array that body n reads, in a part of the step."""
        place = self.pair.read(call, read)
        if isinstance(place, Place) and place.ago > (0 if part == "loss" else self.length):
            raise Difference(
                f"{read.what} reads an array of shape {spec_of(read.other).shape} from {place.ago} steps before, "
                f"{where(read.site)}. What the loss keeps from step to step belongs in carry=. Of layers that is "
                "carry=model.live_buffers, not the copies that buffers gives"
            )
        if isinstance(place, Same):
            array = place.array
            if (slot := self._places.get(id(array))) is None:
                slot = self._places[id(array)] = self._new("constant", constant(array), spec_of(array))
                self.constants[slot] = array
            return slot
        return self._slot(n, place)

    def _slot(self, n: int, place: Place) -> int:
        """The slot of a place, counted from body n."""
        ago, kind, index = place
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
            slot = self._new("made", event.op.name, spec_of(event.writes[output]))
        else:
            copied = index if kind == "copied" else Copied(index, trace.batch[index].dtype)
            entry = trace.batch[copied.position]
            spec = spec_of(entry if kind == "batch" else np.empty(entry.shape, copied.dtype))
            slot = self._new("batch", f"batch[{copied.position}]", spec)
            self._entries[n].append(BatchEntry(copied.position, slot, copied.dtype, kind == "copied"))
        self._places[n, kind, index] = slot
        return slot

    def _before(self, m: int, key: Key) -> int:
        """The slot of a value as body m began with it."""
        if (slot := self._places.get((m, "before", key))) is None:
            slot = self._places[m, "before", key] = len(self.slots)
            self.slots.append(self.slots[self.keys[key]]._replace(kind="earlier"))
            self._values[m].append((self.keys[key], slot))
        return slot

    def _new(self, kind: SlotKind, name: str, spec: ArraySpec) -> int:
        self.slots.append(Slot(kind, name, spec))
        return len(self.slots) - 1


def _other_names(others: Iterable[Key]) -> str:
    """What to do about values that one step has and not the next; states come and go with their weights."""
    names = [named(key) for key in others if key[0] in ("weight", "carry")] or map(named, others)
    return (
        f"{', '.join(sorted(names))} is there in one step and not in the next. Each step has the names that params and "
        "carry= had when the run began; let the loss put none there, and none away"
    )


def _told(event: Traced | None) -> str:
    """An operation and its line."""
    return "nothing more" if event is None else f"{event.op.name} {where(event.site)}"


def constant(array: np.ndarray) -> str:
    """What to call a constant: a number by its value."""
    return f"{array.item():.6g}" if array.size == 1 else "a constant"
