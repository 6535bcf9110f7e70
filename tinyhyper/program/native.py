"""A program in memory: buffers, and tables of C functions and of what they read and write, for a driver to run.

What lives from step to step lies in one of several buffers that are written to in turn; tables are written once for
each turn, so that a step is only calls. What has no C function is carried out by Python in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec
from ..finite import all_finite
from .program import Body, Instruction, Program
from .readings import filled, slots_in
from .streams import Stream
from .values import Key
from .versions import Version, Versions

TURNS = 3  # buffers: of what a step makes, of what it reads, and of what the step before it has read
ALIGN = 64


class Machine(NamedTuple):
    """Where C functions and their driver come from: `kernels.entries` and `kernels.driver`."""

    entries: Any
    driver: Any


machine: Machine | None = None


def run_by(entries: Any, driver: Any) -> None:
    """Let kernels carry out programs."""
    global machine
    machine = Machine(entries, driver)


class Row(NamedTuple):
    """One line of a table, in every turn of the buffers.

    entry: the C function, None for what Python does.  reads, writes: slots, and streams; in a table, arrays.
    instruction: of the program; None for what the machine adds.  inside: the arrays in its arguments, by slot.
    """

    entry: Any
    reads: tuple[Any, ...]
    writes: tuple[Any, ...]
    instruction: Instruction | None = None
    inside: Mapping[int, Any] = MappingProxyType({})


class Native:
    """A program that a driver runs. call: the number of the next step, from which the turn of the buffers follows.

    reach: how many steps later the arrays before a step are still there.
    batch: a stream for each entry, by its position and dtype.  loss: where it goes.
    watched: streams for values, by key.
    """

    def __init__(self, program: Program, watched: Sequence[Key], checks: bool) -> None:
        assert machine is not None
        self._entries = machine.entries
        self.program, self.versions, self.call = program, Versions(program), 0
        self._length, self._turns = len(program.bodies), TURNS
        self._phases, self.reach = self._length * self._turns, self._length
        self.flag = np.zeros(1, np.int64)
        self.batch: dict[tuple[int, np.dtype], Stream] = {}
        self.loss = self._stream(program.bodies[0].loss)
        self.watched = {key: self._stream(program.keys[key]) for key in watched}
        self._carried = self._find_carried()
        self.ways: list[tuple[str, ...]] = []  # as in Program
        self.rows = rows = [self._body(n, body, checks) for n, body in enumerate(program.bodies)]
        self.is_native = any(row.entry and row.instruction for body in rows for row in body)
        self._buffers: dict[int, list[np.ndarray]] = {}
        self._allocate(rows)
        self._words: list[np.ndarray] = []
        self.python: dict[tuple[int, int], Row] = {}
        self.tables, patches = self._tables(rows)
        self._driver = machine.driver.Driver(self.tables, patches, self.flag)

    # What there is to do.

    def _stream(self, slot: int) -> Stream:
        spec = self.program.slots[slot].spec
        return Stream(spec.shape, spec.dtype, self._phases)

    def _find_carried(self) -> set[int]:
        """The slots of which a later step, or somebody who looks after it, reads the array."""
        found = set(self.program.bodies[0].gradients.values()) | set(self.program.kept)
        for n, body in enumerate(self.program.bodies):
            reads = [self.versions.read(n, slot) for i in body.instructions for slot in i.reads]
            found |= {version.slot for version in reads if version.ago}
            found |= {self.versions.read(n, slot).slot for slot in self.program.keys.values()}
        return found

    def _body(self, n: int, body: Body, checks: bool) -> list[Row]:
        """The lines of a body; the last ones bring its loss, and what is watched, to where the caller wants them."""
        rows: list[Row] = []
        batch: dict[int, Stream] = {}
        for position, slot, dtype, _ in body.batch:
            stream = self.batch.setdefault((position, dtype), Stream(self._spec(slot).shape, dtype, self._phases))
            if slot in self._carried:
                rows.append(self._copy(stream, slot))
            else:
                batch[slot] = stream
        made = {n: self._row(i, batch) for n, i in enumerate(body.instructions) if not _is_unread(i)}
        self.ways.append(tuple([_way(made[n]) if n in made else "" for n in range(len(body.instructions))]))
        rows += made.values()
        if checks:
            rows += [Row(self._entries.finite(self._spec(slot)), (slot,), ()) for slot in body.finite]
        rows.append(self._copy(body.loss, self.loss))
        after = dict(body.after)
        return [*rows, *[self._copy(after.get(slot := self.program.keys[k], slot), s) for k, s in self.watched.items()]]

    def _row(self, instruction: Instruction, batch: Mapping[int, Stream]) -> Row:
        """The line of an instruction. batch: the slots that lie outside."""
        entry = None
        if not instruction.fills:
            operands = [self._spec(slot) for slot in instruction.reads]
            outputs = [None if slot in instruction.frees else self._spec(slot) for slot in instruction.writes]
            entry = self._entries.entry(instruction.op, instruction.call, operands, outputs)
        reads = tuple([batch.get(slot, slot) for slot in instruction.reads])
        inside = {slot: batch.get(slot, slot) for slot in slots_in(instruction.call)}
        return Row(entry, reads, instruction.writes, instruction, inside)

    def _copy(self, source: int | Stream, target: int | Stream) -> Row:
        """The array of one place copied to another."""
        spec = self._spec(target if isinstance(target, int) else source)
        entry = self._entries.entry(OPERATIONS["astype"], {"dtype": spec.dtype}, [spec], [spec])
        return Row(entry, (source,), (target,))

    def _spec(self, slot: int | Stream) -> ArraySpec:
        """How an array lies in a buffer: in rows."""
        array = slot.shared if isinstance(slot, Stream) else np.empty(*self.program.slots[slot].spec[:2])
        return ArraySpec(array.shape, array.dtype, array.strides)

    # Where it lies.

    def _allocate(self, rows: Sequence[Sequence[Row]]) -> None:
        """A buffer for each slot: several if it is carried, else one that other slots share before and after."""
        free: dict[ArraySpec, list[np.ndarray]] = {}
        for slot in self._carried:
            stays = self.program.slots[slot].kind == "value"  # nothing moves it
            self._buffers[slot] = [self._new(slot) for _ in range(1 if stays else self._turns)]
        for slot, array in self.program.constants.items():
            self._buffers[slot] = [np.ascontiguousarray(array).reshape(array.shape)]
        for body in rows:
            for row in body:
                for slot in row.writes:
                    if isinstance(slot, int) and slot not in self._buffers:
                        shared = free.setdefault(self._spec(slot), [])
                        self._buffers[slot] = [shared.pop() if shared else self._new(slot)]
                for slot in row.instruction.frees if row.instruction else ():
                    free.setdefault(self._spec(slot), []).extend(self._buffers[slot])

    def _new(self, slot: int) -> np.ndarray:
        """A buffer that begins where a line of the processor's cache does."""
        shape, dtype, _ = self.program.slots[slot].spec
        size = max(int(np.prod(shape)) * dtype.itemsize, 1)
        room = np.zeros(size + ALIGN, np.uint8)
        first = -room.ctypes.data % ALIGN
        return np.frombuffer(room.data, dtype, int(np.prod(shape)), first).reshape(shape)

    def buffers(self) -> dict[int, tuple[int, ...]]:
        """As in Program. The buffers that instructions share come first."""
        numbers: dict[int, int] = {}
        slots = [slot for slot in self._buffers if slot not in self.program.constants]
        return {
            slot: tuple([numbers.setdefault(id(buffer), len(numbers) + 1) for buffer in self._buffers[slot]])
            for slot in sorted(slots, key=lambda slot: (slot in self._carried, slot))
        }

    def at(self, version: Version, turn: int) -> np.ndarray:
        """Where a version lies, in a turn."""
        buffers = self._buffers[version.slot]
        return buffers[(turn - version.ago) % len(buffers)]

    def _place(self, n: int, turn: int, slot: int | Stream, reads: bool) -> np.ndarray | Stream:
        """What body n reads or writes."""
        if isinstance(slot, Stream):
            return slot
        return self.at(self.versions.read(n, slot) if reads else Version(slot, 0), turn)

    def _tables(self, rows: Sequence[Sequence[Row]]) -> tuple[np.ndarray, np.ndarray]:
        """The driver's tables and patches."""
        tables = np.zeros((self._phases, max(map(len, rows)), 2), np.int64)
        for phase in range(self._phases):
            turn, n = divmod(phase, self._length)
            for line in range(tables.shape[1]):
                row = rows[n][min(line, len(rows[n]) - 1)]  # shorter bodies end with more of the same copies
                reads = [self._place(n, turn, slot, True) for slot in row.reads]
                writes = [self._place(n, turn, slot, False) for slot in row.writes]
                if row.entry is None:
                    inside = {slot: self._place(n, turn, place, True) for slot, place in row.inside.items()}
                    self.python[phase, line] = Row(None, tuple(reads), tuple(writes), row.instruction, inside)
                else:  # pragma: no cover - compiled
                    tables[phase, line] = row.entry.address, self._write_words(phase, row.entry.words, reads, writes)
        streams = [*self.batch.values(), self.loss, *self.watched.values()]
        patches = np.zeros((self._phases, sum(max(map(len, s.words)) for s in streams), 3), np.int64)
        patches[..., 0] = self._nowhere.ctypes.data
        place = 0
        for stream in streams:
            place = stream.join(patches, place)
        return tables, patches

    _nowhere = np.zeros(1, np.int64)  # a word that nothing reads

    def _write_words(  # pragma: no cover - compiled
        self, phase: int, words: Sequence[Any], reads: Sequence[Any], writes: Sequence[Any]
    ) -> int:
        """Write the words of a C function; where they lie."""
        found = np.zeros(max(len(words), 1), np.int64)
        first = found.ctypes.data
        for k, word in enumerate(words):
            if isinstance(word, int):
                found[k] = word
            elif word is self._entries.FLAG:
                found[k] = self.flag.ctypes.data
            else:
                place = (reads if isinstance(word, self._entries.Operand) else writes)[word.number]
                if isinstance(place, Stream):
                    place.words[phase].append(first + 8 * k)
                else:
                    found[k] = place.ctypes.data
        self._words.append(found)
        return first

    # Running it.

    def run(self, last: int) -> bool:
        """Make all steps before `last`. False where one would not be good: the steps before it are made."""
        line = 0
        while self.call < last:
            self.call, line = self._driver.run(self.call, line, last)
            row = self.python.get((self.call % self._phases, line))
            if not self.flag[0] and row is not None and self.call < last:
                self.by_python(row)
                line += 1
            if self.flag[0]:
                self.flag[0] = 0
                return False
        return True

    def by_python(self, row: Row) -> None:
        """Carry out what has no C function."""
        reads = [x.at(self.call) if isinstance(x, Stream) else x for x in row.reads]
        writes = [x.at(self.call) if isinstance(x, Stream) else x for x in row.writes]
        if row.instruction is None:
            for array in writes:
                np.copyto(array, reads[0])
            self.flag[0] = not writes and not all_finite(reads[0])
            return
        op, call = row.instruction.op, row.instruction.call
        if row.inside:
            inside = {slot: x.at(self.call) if isinstance(x, Stream) else x for slot, x in row.inside.items()}
            call = filled(call, inside)
        results, _ = op.compute(reads, call)
        for array, result in zip(writes, results):
            np.copyto(array, result)


def _is_unread(instruction: Instruction) -> bool:
    """Whether nothing reads what an instruction makes."""
    return {*instruction.writes} <= {*instruction.frees}


def _way(row: Row) -> str:
    """How an instruction is carried out, as in `Program.ways`."""
    return "np" if row.entry is None else "=" if row.entry.exact else "~"
