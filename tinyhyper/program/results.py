"""Results by number: which ones NumPy has in the slots of a program, and memory in its blocks. None is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from .layout import TURNS
from .program import Body, Program
from .readings import Strip, each, slots_in

WARM = 2  # windows, after which slots hold what they hold in every later one
WINDOW = 1 << 32  # between the number of a result and that of the same one a window later
LOADED = -(1 << 62)  # from here on downwards are the numbers of what is loaded, and stays
NOTHING = -(1 << 61)  # in place of what nothing has made
Places = tuple[Any, ...]  # of each place a number, of a strip several


class Held(dict[int, int]):
    """The results in slots."""

    def __missing__(self, slot: int) -> int:
        return NOTHING

    def at(self, places: Places) -> Places:
        """The results at places. In tuples: of thousands of lists the garbage collector would take note."""
        return tuple([Strip([self[slot] for slot in x]) if type(x) is Strip else self[x] for x in places])


class Results(NamedTuple):
    """The results in the slots of a body, by number, counted from the beginning of its window.

    reads, writes: of each instruction, by its id.  batch: by slot.
    made, left: by slot, before what was made takes the place of values, and after it.
    """

    reads: Mapping[int, Places]
    writes: Mapping[int, Places]
    batch: Mapping[int, int]
    made: Mapping[int, int]
    left: Mapping[int, int]


def results_of(program: Program, loaded: Mapping[int, int], carried_out: set[int]) -> list[Results]:
    """The results of the bodies of a window that others went before.

    loaded: the numbers of what stays, by slot.  carried_out: the ids of the instructions that make something; any other
    is a view of its operand, or is not read.
    """
    held = Held(loaded)
    for window in range(WARM + 1):
        numbers = count((window - WARM) * WINDOW)
        found = [_follow(body, held, numbers, carried_out) for body in program.bodies]
    return found


def later(results: Any, windows: int) -> Any:
    """The numbers of the same results so many windows later."""
    return np.where(results <= LOADED, results, results + windows * WINDOW)


def _follow(body: Body, held: Held, numbers: Iterator[int], carried_out: set[int]) -> Results:
    """Make a step, as `program.run` does."""
    for source, target in body.moves:
        held[target] = held[source]
    batch = {entry.slot: next(numbers) for entry in body.batch}
    held.update(batch)
    reads, writes = {}, {}
    for instruction in body.instructions:
        places = instruction.reads
        if instruction.fills:
            places = (*places, *dict.fromkeys(slots_in(instruction.call)))
        reads[id(instruction)] = found = held.at(places)
        made = numbers if id(instruction) in carried_out else each(found)
        held.update(zip(each(instruction.writes), made))
        writes[id(instruction)] = held.at(instruction.writes)
        for slot in instruction.frees:
            held[slot] = NOTHING
    before = Held(held)
    held.update([(slot, before[source]) for slot, source in body.after])
    held.update(zip(body.counted, numbers))
    return Results(reads, writes, batch, before, Held(held))


class History:
    """What is read and written in blocks of memory in all turns of the buffers, after which all comes again.

    length: how long these turns take.  loaded: the blocks that hold what stays.
    """

    def __init__(self, length: int, loaded: np.ndarray) -> None:
        self._length, self._loaded = length, loaded
        self._reads: list[np.ndarray] = []
        self._writes: list[np.ndarray] = []
        self._readers: list[tuple[Sequence[Any], Sequence[Any], np.ndarray]] = []

    def note(self, accesses: np.ndarray, writes: np.ndarray, rows: Sequence[Any], slots: Sequence[Any]) -> None:
        """Note blocks, times and results of reads and writes. writes: which are.  rows, slots: of which they are."""
        self._writes.append(accesses[:, writes])
        self._reads.append(accesses[:, ~writes])
        self._readers.append((rows, slots, np.flatnonzero(~writes)))

    def missed(self) -> list[tuple[Any, Any]]:
        """Row and slot of the reads that do not find their results, when all has come twice before."""
        blocks, times, results = np.concatenate(self._writes, axis=1)
        length, span = self._length, 4 * self._length
        keys = np.concatenate([self._loaded * span, *[blocks * span + times + n * length for n in range(4)]])
        values = np.concatenate([LOADED - self._loaded, *[later(results, n * TURNS) for n in range(4)]])
        order = np.argsort(keys)
        blocks, times, results = np.concatenate(self._reads, axis=1)
        last = order[np.searchsorted(keys, blocks * span + times + 2 * length, sorter=order) - 1]
        found = (keys[last] // span == blocks) & (values[last] == later(results, 2 * TURNS))
        there = np.split(found, np.cumsum([len(numbers) for *_, numbers in self._readers])[:-1])
        return [
            (rows[n], slots[n])
            for (rows, slots, numbers), some in zip(self._readers, there)
            for n in numbers[~some]
        ]
