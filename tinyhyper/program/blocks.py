"""Neighbouring lines of a table that run block after block: all of them on one part of their arrays, then on the next.

A part is so small that what one line writes is still in the processor's first cache when another reads it. The lines
compute equally many elements, each of them by itself, so their bits do not depend on the parts. What nobody reads after
them is written to the same place for each part. A C function is told of its part by its words, which change from block
to block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .rows import External, Row

BLOCK = 1 << 13  # bytes that a part of an array has, at most
FEW = 2  # parts: what is no larger stays in the cache anyhow


class Access(NamedTuple):
    """An array of which a C function is told.

    word: which one is its address.  length: which one says how often the function's outermost loop goes round.
    step: bytes from one round to the next; 0 for what all rounds read.  first, last: the bytes that it has.
    whole: whether its elements follow each other, a part for each round.
    slot: where it lies.  writes: whether it is written.
    """

    word: int
    length: int
    step: int
    first: int
    last: int
    whole: bool
    slot: Any
    writes: bool


class Task(NamedTuple):
    """What a row does, if that can be divided. size: elements; inner: of one round.  item: bytes of the widest one."""

    accesses: list[Access]
    size: int
    inner: int
    item: int


class Extent(NamedTuple):
    """Where an array lies, in each turn of the buffers: the first byte, and the one after the last. whole: as above."""

    firsts: tuple[int, ...]
    lasts: tuple[int, ...]
    whole: bool

    def meets(self, other: Extent) -> bool:
        """Whether the two have a byte in common."""
        bounds = zip(self.firsts, self.lasts, other.firsts, other.lasts)
        return any(first < end and begin < last for first, last, begin, end in bounds)


class Group(NamedTuple):
    """The lines from `first` on, before `last`, which run block after block.

    rounds: how many blocks there are.  moves: (words, 6), of each word that changes its line and its number there, and
    what is added to it before the first block, before each other one, before the last one, and after that.
    """

    first: int
    last: int
    rounds: int
    moves: np.ndarray


def groups(rows: Sequence[Row], words: np.ndarray, begins: np.ndarray, entries: Any) -> list[Group]:
    """The groups of a body's rows, which are its lines.

    words: of all functions.  begins: (turns, lines), the number of a line's first word.  entries: `kernels.entries`.
    """
    found, draft = list[Group](), Draft(0)
    for line, row in enumerate(rows):
        task = divisible(row, entries)
        extents = [_extent(access, words, begins[:, line]) for access in task.accesses] if task else []
        if not task or not draft.takes(task, extents):
            found += draft.group()
            draft = Draft(line)
        if task and draft.takes(task, extents):
            draft.add(row, task, extents)
        else:
            draft = Draft(line + 1)
    return found + draft.group()


def divisible(row: Row, entries: Any) -> Task | None:
    """What a row does; None if that cannot be divided, or if parts of it would be too few or too large."""
    entry = row.entry
    if row.instruction is None or entry is None or not entry.along:
        return None
    item = max([np.dtype(kind.dtype).itemsize for kind, along in zip(entry.kinds, entry.along) if along])
    lengths = entry.words[-entry.kinds[-1].ndim :]  # of the last output, which lies in rows
    size, inner = math.prod(lengths), math.prod(lengths[1:])
    if size * item <= FEW * BLOCK or inner * item > BLOCK:
        return None
    accesses = []
    for kind, along, reach in zip(entry.kinds, entry.along, entries.reaches(entry.kinds, entry.words), strict=True):
        if kind.layout == "F" and kind.ndim > 1:  # whose steps follow from the length that is divided
            return None
        word, first, last = reach.word, reach.first, reach.last
        anyhow, operand = kind.layout == "A", entry.words[word]
        length = word + 1 + anyhow
        rest = entry.words[length + 1 : length + kind.ndim]
        step = entry.words[length + kind.ndim] if anyhow else np.dtype(kind.dtype).itemsize * math.prod(rest)
        writes = isinstance(operand, entries.Output)
        slot = (row.writes if writes else row.reads)[operand.number]
        accesses.append(Access(word, length, along * step, first, last, along and not anyhow, slot, writes))
    return Task(accesses, size, inner, item)


def _extent(access: Access, words: np.ndarray, begins: np.ndarray) -> Extent | None:
    """Where an array lies; None for one outside, which lies apart from all."""
    if isinstance(access.slot, External):
        return None
    starts = words[begins + access.word]
    return Extent(tuple((starts + access.first).tolist()), tuple((starts + access.last).tolist()), access.whole)


class Draft:
    """Lines from `first` on of which a group may be made.

    size, unit, item: of all tasks: elements, how many go together, bytes of the widest.
    slots: by extent, those that lie there.  written: the extents that are written.
    """

    def __init__(self, first: int) -> None:
        self.first, self.size, self.unit, self.item = first, 0, 1, 1
        self.lines: list[tuple[Row, Task, list[Extent | None]]] = []
        self.slots: dict[Extent, set[Any]] = {}
        self.written: set[Extent] = set()

    def takes(self, task: Task, extents: Sequence[Extent | None]) -> bool:
        """Whether a task may come next: it is as large, and divides what it shares with others as these do."""
        unit, item = math.lcm(self.unit, task.inner), max(self.item, task.item)
        if self.size not in (0, task.size) or unit * item > BLOCK:
            return False
        return not any(
            (access.writes or other in self.written) and (other != extent or not extent.whole) and other.meets(extent)
            for access, extent in zip(task.accesses, extents)
            if extent
            for other in self.slots
        )

    def add(self, row: Row, task: Task, extents: list[Extent | None]) -> None:
        """Let a task come next."""
        self.size, self.unit, self.item = task.size, math.lcm(self.unit, task.inner), max(self.item, task.item)
        self.lines.append((row, task, extents))
        for access, extent in zip(task.accesses, extents):
            if extent:
                self.slots.setdefault(extent, set()).add(access.slot)
                self.written |= {extent} if access.writes else set()

    def group(self) -> list[Group]:
        """The group, if there are several lines."""
        if len(self.lines) < 2:
            return []
        block = BLOCK // self.item // self.unit * self.unit
        rounds = -(-self.size // block)
        made = {slot for row, _, _ in self.lines for slot in row.writes}
        passing = made & {slot for row, _, _ in self.lines if row.instruction for slot in row.instruction.frees}
        still = {extent for extent, slots in self.slots.items() if slots <= passing}
        moves = []
        for line, (_, task, extents) in enumerate(self.lines, start=self.first):
            whole, part = self.size // task.inner, block // task.inner
            rest = whole - (rounds - 1) * part
            for access, extent in zip(task.accesses, extents):
                if access.step:
                    moves.append((line, access.length, part - whole, 0, rest - part, whole - rest))
                    step = 0 if extent in still else part * access.step
                    moves.append((line, access.word, 0, step, step, -(rounds - 1) * step))
        return [Group(self.first, self.first + len(self.lines), rounds, np.array(moves, np.int64))]


def in_blocks(
    found: Sequence[Sequence[Group]], tables: np.ndarray, function: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Tables for a driver whose lines in groups run block after block, and the arrays that they refer to.

    found: the groups of each body.  tables: of addresses.  function: the address of `kernels.driver.BLOCKS`.
    """
    nothing = np.array([0, 0, 0, 2, 0, 0, 5], np.int64)
    changed, kept = tables.copy(), [nothing]
    for phase, lines in enumerate(tables):
        for first, last, rounds, moves in found[phase % len(found)]:
            told = np.column_stack([lines[moves[:, 0], 1] + 8 * moves[:, 1], moves[:, 2:]])
            calls = lines[first:last]
            words = np.array([rounds, calls.ctypes.data, *calls.shape, told.ctypes.data, *told.shape], np.int64)
            changed[phase, first:last] = function, nothing.ctypes.data
            changed[phase, first, 1] = words.ctypes.data
            kept += told, words
    return changed, kept
