"""A program in memory, as a layout says, which a driver runs: C functions, with Python in between where there is none.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..core.tensor import Tensor
from ..finite import all_finite
from .blocks import in_blocks
from .layout import Layout
from .readings import Strip, filled
from .rows import External, Row
from .streams import Stream
from .versions import Version

# Where processes share what is not private, such pages would not be given back.
PRIVATE: Any = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
LARGE = 1 << 22  # bytes from which on large pages are asked for, as NumPy does
TRIM = getattr(ctypes.pythonapi, "malloc_trim", None)  # where there is glibc


class Machine(NamedTuple):
    """Where C functions, their driver and threads come from: the modules of kernels/ of these names."""

    entries: Any
    driver: Any
    threads: Any


machine: Machine | None = None


def run_by(entries: Any, driver: Any, threads: Any) -> None:
    """Let kernels carry out programs."""
    global machine
    machine = Machine(entries, driver, threads)


class Native:
    """A run in memory of its own. call: the number of the next step, from which the turn of the buffers follows.

    length: of a window.  reach: how many steps later the arrays before a step are still there.
    loss: the stream that it goes into.
    """

    def __init__(self, layout: Layout) -> None:
        assert machine is not None
        self.layout, self.program, self.versions = layout, layout.program, layout.versions
        self.call, self.length, self.reach = 0, layout.length, layout.length
        self._pages = pages(layout.size)
        self._memory = np.frombuffer(self._pages, np.uint8, layout.size)
        if layout.size >= LARGE:
            trim()
        self._arrays: dict[tuple[int, int], np.ndarray] = {}
        first = self._memory.ctypes.data
        self._words = layout.words.copy()
        self._words[layout.moving] += first
        self.tables = tables = layout.tables.copy()
        tables[..., 1] = self._words.ctypes.data + 8 * tables[..., 1]
        streams = [Stream(x.spec, [self._words.ctypes.data + 8 * np.array(w) for w in n]) for x, n in layout.outside]
        self._batch = [(position, streams[x.number]) for (position, _), x in layout.batch.items()]
        self.loss = streams[layout.loss.number]
        self._outgoing = [streams[x.number] for x in (layout.loss, *layout.watched.values())]
        self._follow = False  # whether these do not go into their own arrays
        self.python = {
            (phase, line): self._placed(phase, row, streams)
            for phase in range(layout.phases)
            for line, row in layout.lines(phase)
            if row.entry is None
        }
        patches = np.zeros((layout.phases, sum(stream.width for stream in streams), 3), np.int64)
        patches[..., 0] = self._nowhere.ctypes.data
        place = 0
        for stream in streams:
            place = stream.join(patches, place)
        flag = self._array(layout.flag, (1,), np.dtype(np.int64))
        self._flag = flag.data  # for Python, to which an element of an array is slow
        if any(layout.groups):
            tables, self._told = in_blocks(layout.groups, tables, machine.driver.blocks())
        self._driver = machine.driver.Driver(tables, patches, flag)

    _nowhere = np.zeros(1, np.int64)  # a word that nothing reads

    def _array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.ndarray(shape, dtype, self._memory.data, offset)

    def at(self, version: Version, turn: int) -> np.ndarray:
        """Where a version lies, in a turn."""
        if version.slot in self.layout.given:
            return self.layout.given[version.slot]
        place = version.slot, self.layout.offset(version, turn)
        if (found := self._arrays.get(place)) is None:
            shape, dtype, _ = self.layout.lowered.slots[version.slot].spec
            found = self._arrays[place] = self._array(place[1], shape, dtype)
        return found

    def _placed(self, phase: int, row: Row, streams: Sequence[Stream]) -> Row:
        """A line of a phase that Python carries out, with arrays and streams for slots."""
        turn, n = divmod(phase, self.length)

        def array(place: Any, reads: bool) -> Any:
            if isinstance(place, External):
                return streams[place.number]
            slot = place[0] if isinstance(place, Strip) else place
            version = self.versions.read(n, slot) if reads else Version(slot, 0)
            if isinstance(place, Strip):
                return self._array(self.layout.offset(version, turn), *self.layout.spec(place)[:2])
            return self.at(version, turn)

        return row._replace(
            reads=tuple([array(slot, True) for slot in row.reads]),
            writes=tuple([array(slot, False) for slot in row.writes]),
            inside={slot: array(place, True) for slot, place in row.inside.items()},
        )

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Within, between two steps, the eager engine may have the memory of what lives within a step only."""
        if self.layout.size - self.layout.scratch < LARGE:
            yield
            return
        advise(self._pages, "MADV_DONTNEED", -(-self.layout.scratch // mmap.PAGESIZE) * mmap.PAGESIZE)
        try:
            yield
        finally:
            trim()

    def give(self, batch: Sequence[Any]) -> None:
        """Let the next step have a batch, and leave its loss, and what is watched, in the streams' own arrays."""
        for position, stream in self._batch:
            entry = batch[position]
            stream.give(entry.array if isinstance(entry, Tensor) else entry)
        if self._follow:
            for stream in self._outgoing:
                stream.share()
            self._follow = False

    def follow(self, stacks: Sequence[np.ndarray], out: Sequence[np.ndarray]) -> None:
        """Let the next steps have their parts of stacks, and leave losses, and what is watched, in theirs of `out`."""
        self._follow = True
        for position, stream in self._batch:
            stream.follow(np.ascontiguousarray(stacks[position], stream.shared.dtype), self.call)
        for stream, array in zip(self._outgoing, out, strict=True):
            stream.follow(array, self.call)

    def run(self, last: int) -> bool:
        """Make all steps before `last`. False where one would not be good: the steps before it are made."""
        line, flag = 0, self._flag
        try:
            while self.call < last:
                self.call, line = self._driver.run(self.call, line, last)
                if self.call < last and not flag[0] and (row := self._row(line)) is not None:
                    self.by_python(row)
                    line += 1
                if flag[0]:
                    flag[0] = 0
                    return False
        except BaseException:  # a signal raises it before what the driver has made is known
            self.call = max(self.call, self._driver.step)
            raise
        return True

    def _row(self, line: int) -> Row | None:
        """A line of the next step, if Python carries it out."""
        return self.python.get((self.call % self.layout.phases, line))

    def by_python(self, row: Row) -> None:
        """Carry out what has no C function."""
        reads = [x.at(self.call) if isinstance(x, Stream) else x for x in row.reads]
        writes = [x.at(self.call) if isinstance(x, Stream) else x for x in row.writes]
        if row.instruction is None:
            for array in writes:
                np.copyto(array, reads[0])
            self._flag[0] = not writes and not all_finite(reads[0])
            return
        op, call = row.instruction.op, row.instruction.call
        if row.inside:
            inside = {slot: x.at(self.call) if isinstance(x, Stream) else x for slot, x in row.inside.items()}
            call = filled(call, inside)
        results, _ = op.compute(reads, call)
        for array, result in zip(writes, results):
            np.copyto(array, result)


def pages(size: int) -> mmap.mmap:
    """Memory of zeros, in pages of its own, which can be given back one by one."""
    found = mmap.mmap(-1, size, **PRIVATE)
    if size >= LARGE:
        advise(found, "MADV_HUGEPAGE")
    return found


def trim() -> None:
    """Give the system back what has been freed and the allocator keeps."""
    if TRIM is not None:
        TRIM(ctypes.c_size_t(0))


def advise(memory: mmap.mmap, name: str, *place: int) -> None:
    """Tell the system how memory is used, if it takes such advice."""
    if (advice := getattr(mmap, name, None)) is not None:
        memory.madvise(advice, *place)
