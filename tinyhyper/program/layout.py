"""How a program lies in memory: where each array does, and what the C functions of each step read and write there.

All places are counted from where the memory of a run begins, so that many runs can share a layout. What lives from step
to step lies in one of several buffers that are written to in turn, and there are words for each turn, so that a step is
only calls. What has no C function is carried out by Python in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec
from .beside import flat
from .blocks import groups
from .lowering import lowered
from .program import Body, Instruction, Program
from .readings import Strip, each, numbers_in, slots_in
from .rows import External, Row, carried_out
from .values import Key
from .versions import Version, Versions

TURNS = 3  # buffers: of what a step makes, of what it reads, and of what the step before it has read
ALIGN = 64  # bytes: a line of the processor's cache


class Address(int):
    """Of a constant, or of a table: no offset."""


class Layout:
    """Where a program's arrays lie, and the words of its C functions.

    watched: the values of which there are to be histories.  checks: whether what is not finite ends a run.
    side_by_side: whether operations that are alike are one.  machine: where C functions come from.
    batch: by position and dtype of an entry.  loss, watched: where these go; watched by key.
    program: the one that was given, with the ways in which its instructions are carried out.
    lowered, numbers, strips: as it is for the machine, as in `Lowered`.  rows: of each body.
    offsets: of each slot's buffers, in bytes.  flag: of the program's flag.  size: of all the memory.
    scratch: where that begins which nothing is in from step to step.
    given: the program's constants.  own: the tables of functions, by `id` of the word. All runs share both.
    words: of all C functions.  moving: the numbers of those that are offsets.
    tables: (phases, lines, 2), a C function and the number of its first word; 0 for what Python does.
    outside: for each phase the numbers of the words that say where it lies, by number.
    groups: of the rows of each body, those that run block after block.
    """

    def __init__(
        self, program: Program, watched: Sequence[Key], checks: bool, side_by_side: bool, machine: Any
    ) -> None:
        self.lowered, self.numbers, self.strips = lowered(program, side_by_side)
        self.versions, self.checks, self.side_by_side = Versions(self.lowered), checks, side_by_side
        self._entries, self._threads = machine.entries, machine.threads
        self._count = self._threads.num_threads()
        self.length = len(program.bodies)
        self.phases = self.length * TURNS
        self.outside: list[tuple[External, list[list[int]]]] = []
        self.batch: dict[tuple[int, np.dtype], External] = {}
        self.loss = self._add_outside(self.spec(program.bodies[0].loss))
        self.watched = {key: self._add_outside(self.spec(program.keys[key])) for key in watched}
        self._carried = Versions(program).carried
        ways: list[tuple[str, ...]] = []
        self.rows = [self._body(n, body, ways) for n, body in enumerate(self.lowered.bodies)]
        found = [tuple([way[n] for n in places]) for way, places in zip(ways, self.numbers)]
        self.is_native = any(row.entry and row.instruction for body in self.rows for row in body)
        self.given = {n: np.ascontiguousarray(x).reshape(x.shape) for n, x in self.lowered.constants.items()}
        self.addresses = {slot: Address(array.ctypes.data) for slot, array in self.given.items()}
        self.size, self.own = 0, dict[int, np.ndarray]()
        self.flag = self._reserve(8)
        self.offsets: dict[int, list[int]] = {}
        self._allocate()
        self.program = replace(program, ways=tuple(found), buffers=self._buffers(len(program.slots)))
        self._workspaces: dict[int, int] = {}
        self._place_rooms()
        self.tables = np.zeros((self.phases, max(map(len, self.rows)), 2), np.int64)
        self.words, self.moving = self._write_words()
        begins = [self.tables[n :: self.length, :, 1] for n in range(self.length)]
        self.groups = [groups(rows, self.words, begin, self._entries) for rows, begin in zip(self.rows, begins)]
        self.program = replace(self.program, groups=tuple(self._grouped()))

    def serves(self, program: Program, watched: Sequence[Key], checks: bool, side_by_side: bool) -> bool:
        """Whether it was made for these, and for as many threads as there are now."""
        options = self.checks, self.side_by_side
        alike = self.program.bodies is program.bodies and (*self.watched,) == (*watched,)
        return alike and options == (checks, side_by_side) and self._count == self._threads.num_threads()

    # What there is to do.

    def spec(self, place: int | Strip) -> ArraySpec:
        """How an array lies in a buffer: in rows."""
        if isinstance(place, Strip):
            return flat([self.lowered.slots[slot].spec for slot in place])
        return self.lowered.slots[place].spec._replace(strides=())

    def _add_outside(self, spec: ArraySpec) -> External:
        found = External(len(self.outside), spec)
        self.outside.append((found, [[] for _ in range(self.phases)]))
        return found

    def _body(self, n: int, body: Body, ways: list[tuple[str, ...]]) -> list[Row]:
        """The lines of a body; the last ones bring its loss, and what is watched, to where the caller wants them.

        ways: of the bodies before, to which its own are added.
        """
        rows: list[Row] = []
        batch: dict[int, External] = {}
        for position, slot, dtype, _ in body.batch:
            if (position, dtype) not in self.batch:
                self.batch[position, dtype] = self._add_outside(self.spec(slot)._replace(dtype=dtype))
            if slot in self._carried:
                rows.append(self._copy(self.batch[position, dtype], slot))
            else:
                batch[slot] = self.batch[position, dtype]
        made = {n: self._row(i, batch) for n, i in enumerate(body.instructions) if not _is_unread(i, *i.writes)}
        ways.append(tuple([carried_out(made[n]) if n in made else "" for n in range(len(body.instructions))]))
        rows += made.values()
        if self.checks:
            rows += [Row(self._entries.finite(self.spec(slot)), (slot,), ()) for slot in body.finite]
        rows.append(self._copy(body.loss, self.loss))
        after = dict(body.after)
        return [*rows, *[self._copy(after.get(slot := self.lowered.keys[k], slot), s) for k, s in self.watched.items()]]

    def _row(self, instruction: Instruction, batch: Mapping[int, External]) -> Row:
        """The line of an instruction. batch: the slots that lie outside."""
        entry = None
        operands = [self.spec(slot) for slot in instruction.reads]
        outputs = [None if _is_unread(instruction, slot) else self.spec(slot) for slot in instruction.writes]
        if (numbers := numbers_in(instruction)) is not None:
            entry = self._entries.by_numbers(instruction.op, *operands, self.spec(numbers), *outputs)
        elif not instruction.fills:
            entry = self._entries.entry(instruction.op, instruction.call, operands, outputs)
            if entry and any(isinstance(place, Strip) for place in (*instruction.reads, *instruction.writes)):
                entry = entry._replace(exact=False)  # of what eager makes of each array  # pragma: no cover - compiled
        reads = tuple([batch.get(slot, slot) for slot in instruction.reads])
        inside = {slot: batch.get(slot, slot) for slot in slots_in(instruction.call)}
        return Row(entry, reads, instruction.writes, instruction, inside)

    def _copy(self, source: int | External, target: int | External) -> Row:
        """The array of one place copied to another."""
        spec = target.spec if isinstance(target, External) else self.spec(target)
        entry = self._entries.entry(OPERATIONS["astype"], {"dtype": spec.dtype}, [spec], [spec])
        return Row(entry, (source,), (target,))

    # Where it lies.

    def _reserve(self, size: int) -> int:
        """The offset of new memory."""
        size = rounded(size)
        offset = -(-self.size // min(size, ALIGN)) * min(size, ALIGN)
        self.size = offset + size
        return offset

    def _allocate(self) -> None:
        """Buffers for each slot, or strip: several if it is carried, else one that others share before and after."""
        free: dict[tuple[int, ...], list[int]] = {}
        units: dict[int, tuple[int, ...]] = {slot: strip for strip in self.strips for slot in strip}
        left: dict[int, int] = {}  # by the first slot of a unit, how many of its slots are still read
        for slot in self._carried - self.offsets.keys():
            stays = self.lowered.slots[slot].kind == "value"  # nothing moves it
            unit = units.setdefault(slot, (slot,))
            if slot == unit[0]:
                self._divide(unit, [self._reserve(sum(self._sizes(unit))) for _ in range(1 if stays else TURNS)])
        self.scratch = self.size
        for row in [row for body in self.rows for row in body]:
            for slot in each(row.writes):
                if not isinstance(slot, External) and slot not in self.offsets:
                    sizes = self._sizes(unit := units.setdefault(slot, (slot,)))
                    self._divide(unit, [free[sizes].pop() if free.get(sizes) else self._reserve(sum(sizes))])
                    left[unit[0]] = len(unit)
            for slot in row.instruction.frees if row.instruction else ():
                unit = units[slot]
                left[unit[0]] -= 1
                if not left[unit[0]]:
                    free.setdefault(self._sizes(unit), []).extend(self.offsets[unit[0]])

    def _sizes(self, unit: tuple[int, ...]) -> tuple[int, ...]:
        """How many bytes there are to be for the slots of a unit."""
        return tuple(map(self._bytes, unit)) if len(unit) > 1 else (rounded(self._bytes(unit[0])),)

    def _divide(self, unit: tuple[int, ...], offsets: list[int]) -> None:
        """Give to the slots of a unit what begins at offsets."""
        for slot in unit:
            self.offsets[slot], offsets = offsets, [offset + self._bytes(slot) for offset in offsets]

    def _buffers(self, slots: int) -> dict[int, tuple[int, ...]]:
        """The buffers of the first slots, as in Program. Those that instructions share have the first numbers."""
        used = [slot for slot in self.offsets if slot < slots]
        used.sort(key=lambda slot: (slot in self._carried, slot))
        numbers = {offset: n for n, offset in enumerate(dict.fromkeys([o for s in used for o in self.offsets[s]]), 1)}
        return {slot: tuple([numbers[offset] for offset in self.offsets[slot]]) for slot in used}

    def _bytes(self, slot: int) -> int:
        shape, dtype, _ = self.lowered.slots[slot].spec
        return math.prod(shape) * dtype.itemsize

    def _place_rooms(self) -> None:
        """What C functions have of their own: tables, and workspace, which they share as none keeps anything there."""
        largest = 0
        for row in [row for body in self.rows for row in body if row.entry]:  # pragma: no cover - compiled
            used = 0
            for word in row.entry.words:
                if isinstance(word, self._entries.Workspace):
                    self._workspaces[id(word)], used = used, used + rounded(word.size)
                elif isinstance(word, self._entries.Table) and id(word) not in self.own:
                    self.own[id(word)] = np.ascontiguousarray(word.make())
            largest = max(largest, used)
        self._workspace = self._reserve(largest)

    def _place(self, phase: int, slot: Any, reads: bool) -> Any:  # pragma: no cover - compiled
        """What a phase reads or writes: the offset of a slot's array, or what lies outside."""
        if isinstance(slot, External):
            return slot
        turn, n = divmod(phase, self.length)
        slot = slot[0] if isinstance(slot, Strip) else slot
        return self.offset(self.versions.read(n, slot) if reads else Version(slot, 0), turn)

    def offset(self, version: Version, turn: int) -> int:
        """Where a version lies, in a turn."""
        offsets = self.offsets[version.slot]
        return offsets[(turn - version.ago) % len(offsets)]

    def lines(self, phase: int) -> Iterator[tuple[int, Row]]:
        """The numbered lines of a phase; those of a shorter body end with more of the same copies."""
        rows = self.rows[phase % self.length]
        return ((line, rows[min(line, len(rows) - 1)]) for line in range(self.tables.shape[1]))

    def _grouped(self) -> Iterator[tuple[int | None, ...]]:
        """Of each body, as `Program.groups`."""
        numbers, found = count(1), dict[int, int]()
        for n, body in enumerate(self.lowered.bodies):
            for group, number in zip(self.groups[n], numbers):
                found |= {id(row.instruction): number for row in self.rows[n][group.first : group.last]}
            yield tuple([found.get(id(body.instructions[place])) for place in self.numbers[n]])

    def _write_words(self) -> tuple[np.ndarray, np.ndarray]:
        """The words of all C functions, and the numbers of those that are offsets."""
        words: list[int] = []
        moving: list[int] = []
        for phase in range(self.phases):
            for line, row in self.lines(phase):
                if row.entry is None:
                    continue
                self.tables[phase, line] = row.entry.address, len(words)  # pragma: no cover - compiled
                for word in row.entry.words:  # pragma: no cover - compiled
                    place = word if isinstance(word, int) else self._word(phase, row, word)
                    if isinstance(place, External):
                        self.outside[place.number][1][phase].append(len(words))
                    elif place is not word and type(place) is not Address:
                        moving.append(len(words))
                    words.append(0 if isinstance(place, External) else place)
        return np.array(words, np.int64), np.array(moving, np.int64)

    def _word(self, phase: int, row: Row, word: Any) -> Any:  # pragma: no cover - compiled
        """What a word stands for that is no number."""
        if word is self._entries.FLAG:
            return self.flag
        if isinstance(word, self._entries.Workspace):
            return self._workspace + self._workspaces[id(word)]
        if isinstance(word, self._entries.Table):
            return Address(self.own[id(word)].ctypes.data)
        reads = isinstance(word, self._entries.Operand)
        slot = ((*row.reads, *row.inside.values()) if reads else row.writes)[word.number]
        return self.addresses.get(slot) or self._place(phase, slot, reads)


def rounded(size: int) -> int:
    """A number of bytes, rounded up: to whole lines of the cache, or to a part of one into which it fits."""
    return -(-size // ALIGN) * ALIGN if size > ALIGN // 2 else max(8, 1 << (size - 1).bit_length())


def _is_unread(instruction: Instruction, *places: int | Strip) -> bool:
    """Whether nothing reads some of what an instruction makes."""
    return {*each(places)} <= {*instruction.frees}
