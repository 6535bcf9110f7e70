"""Whether a program may run in memory: a C function cannot raise, and a wrong address can end the process.

Its tables are read as the driver will read them, word by word, in every turn of the buffers. Each instruction must find
there the very results that NumPy has in its slots; numbers stand for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import ArraySpec
from ..errors import GraphError
from .layout import Layout
from .places import where
from .readings import Strip
from .results import LOADED, History, Places, Results, later, results_of
from .rows import External, Row
from .versions import Version

GIVEN = 1 << 32  # from here on the numbers of constants
OWN = -1  # in place of a slot, what a function has of its own


def verify(layout: Layout, entries: Any) -> None:
    """Check a program before it runs. entries: `kernels.entries`.

    Raises GraphError, by operation, file and line, unless

    each word that is an address is that of an array of the size and dtype of which the C function is told;
    what an instruction writes lies apart from what it reads;
    what an instruction reads, and what users see of a step, is in memory what NumPy would have made.
    """
    Verifier(layout, entries).verify()


class Accesses(NamedTuple):
    """What the rows of a body read and write, in all turns.

    words: of all rows, one after another, with 0 for what another turn changes.  moving: which of them are offsets.
    called: of each line, the C function, 0 for none, and how many words are before it.
    outside: row, what lies outside, and which word says where.
    rows, slots: of each access of memory. Its numbers are

    results; times, twice the line, and 1 more for what is written; places, which word is the offset, -1 for Python;
    last, how many bytes are read or written; behind, how many are before them in a strip.
    """

    words: np.ndarray
    moving: np.ndarray
    called: np.ndarray
    outside: list[tuple[Row, External, int]]
    rows: list[Row]
    slots: list[int]
    results: np.ndarray
    times: np.ndarray
    places: np.ndarray
    last: np.ndarray
    behind: np.ndarray


class Blocks:
    """Memory in blocks: what has a byte in common lies in one block."""

    def __init__(self, bounds: Sequence[tuple[int, int]]) -> None:
        """bounds: of each array, the first byte and the one after its last."""
        self._begins, last = np.array(sorted(bounds), np.int64).reshape(-1, 2).T
        last = np.maximum(last, self._begins + 1)  # an array of no bytes lies in the block of what else begins there
        apart = np.append(True, self._begins[1:] >= np.maximum.accumulate(last)[:-1])
        self._block = np.cumsum(apart) - 1
        self.last = np.maximum.reduceat(last, np.flatnonzero(apart))

    def find(self, offsets: Any, sizes: Any = 0) -> np.ndarray:
        """The blocks of the arrays that begin at offsets; -1 where none does, or where so many bytes go beyond it."""
        place = np.minimum(np.searchsorted(self._begins, offsets), len(self._begins) - 1)
        block = self._block[place]
        return np.where((self._begins[place] == offsets) & (offsets + sizes <= self.last[block]), block, -1)


class Verifier:
    """Checks a program in memory."""

    def __init__(self, layout: Layout, entries: Any) -> None:
        self._layout, self._program, self._entries = layout, layout.lowered, entries
        self._extents = [_extent(slot.spec) for slot in self._program.slots]
        sizes = [(o, self._extents[slot][1]) for slot, offsets in layout.offsets.items() for o in offsets]
        self._blocks = Blocks([(offset, offset + size) for offset, size in (*sizes, (layout.flag, 8))])
        values = [slot for slot in layout.offsets if self._program.slots[slot].kind == "value"]
        stay = self._blocks.find(np.array([layout.offsets[slot][0] for slot in values], np.int64))
        self._loaded = dict(zip(values, (LOADED - stay).tolist()))
        self._loaded |= {slot: LOADED - GIVEN - slot for slot in layout.given}
        self._stay = np.unique(stay)
        self._fetched = [self._found_before(n) for n in range(layout.length)]

    def verify(self) -> None:
        layout = self._layout
        if self._blocks.last[-1] > layout._workspace or layout._workspace > layout.size:
            raise self._fault(None, "has arrays in memory that it does not have, or that functions have for themselves")
        rows = [[row for _, row in layout.lines(n)] for n in range(layout.length)]
        results = results_of(self._program, self._loaded, {id(row.instruction) for row in chain(*rows)})
        bodies = [self._accesses(*each) for each in zip(range(layout.length), rows, results)]
        step, base, moving = 2 * layout.tables.shape[1] + 1, 0, list[np.ndarray]()
        history = History(layout.phases * step, self._stay)
        for phase in range(layout.phases):
            turn, n = divmod(phase, layout.length)
            self._check_words(phase, bodies[n], base)
            noted = self._turn(phase, bodies[n], base), self._seen(phase, results[n], step)
            for blocks, times, numbers, writes, whose, slots in noted:
                history.note(np.array([blocks, phase * step + times, later(numbers, turn)]), writes, whose, slots)
            moving.append(base + bodies[n].moving)
            base += len(bodies[n].words)
        if not np.array_equal(np.concatenate(moving), layout.moving) or base != len(layout.words):
            raise self._fault(None, "takes other words for offsets than its functions")
        for row, slot in history.missed():
            raise self._fault(row, f"does not find {self._name(slot)} in memory")

    def _accesses(self, n: int, lines: Sequence[Row], results: Results) -> Accesses:
        """What the rows of body n read and write."""
        layout, entries, body = self._layout, self._entries, self._program.bodies[n]
        words, moving, called, numbers = list[int](), list[int](), list[int](), list[int]()
        outside, rows, slots = list[tuple[Row, External, int]](), list[Row](), list[Any]()
        whole: Any
        given, extents, operand, output = layout.given, self._extents, entries.Operand, entries.Output
        batch = {results.batch[entry.slot]: layout.batch[entry.position, entry.dtype] for entry in body.batch}
        out: dict[Any, int] = {layout.loss: results.made[body.loss]}
        out |= {place: results.left[self._program.keys[key]] for key, place in layout.watched.items()}
        for line, row in enumerate(lines):
            reads, writes = self._wanted(row, results, out)
            operands, entry, start = (*row.reads, *row.inside.values()), row.entry, len(words)
            own = entry.words if entry else ()
            called += (entry.address, start) if entry else (0, 0)
            for word, dtype, first, last in self._told(row):
                place, whole = own[word] if entry else word, OWN
                if isinstance(place, operand):
                    whole, found, time = operands[place.number], reads[place.number], 2 * line
                elif isinstance(place, output):
                    whole, found, time = row.writes[place.number], writes[place.number], 2 * line + 1
                if whole == OWN:
                    number, size = dtype, self._own(place)[1]
                elif isinstance(whole, int):
                    number, size = extents[whole]
                else:
                    number, size = _extent(whole.spec if isinstance(whole, External) else layout.spec(whole))
                is_constant = whole in given
                misled = is_constant and found != self._loaded[whole]
                if misled or first < 0 or last > size or dtype != number and dtype != -1:
                    raise self._fault(row, f"is told of another array than {self._name(whole)}")
                if isinstance(whole, External):
                    outside.append((row, whole, start + word if entry else -1))
                    if time % 2 == 0 and batch.get(found) is not whole:
                        raise self._fault(row, "is told of another part of the batch than NumPy reads")
                elif not is_constant and whole != OWN:
                    behind, at = 0, start + word if entry else -1
                    parts = zip(whole, found, strict=True) if isinstance(whole, Strip) else ((whole, found),)
                    for slot, result in parts:
                        part = last if slot is whole else extents[slot][1]
                        rows.append(row)
                        slots.append(slot)
                        numbers += result, time, at, part, behind
                        behind += part
            words += own
            for at, word in [(at, word) for at, word in enumerate(own, start) if not isinstance(word, int)]:
                inside = not isinstance(word, entries.Table)
                if isinstance(word, (operand, output)):
                    of = operands if isinstance(word, operand) else row.writes
                    words[at] = layout.addresses.get(of[word.number], 0)
                    inside = not words[at] and not isinstance(of[word.number], External)
                else:
                    words[at] = self._own(word)[0]
                moving += [at] * inside
        if not out.keys() <= {place for _, place, _ in outside}:
            raise self._fault(None, "does not give out the loss and what is watched")
        found, told = np.array(numbers, np.int64).reshape(-1, 5).T, np.array(words, np.int64)
        told[found[2][found[2] >= 0]] = 0
        table = np.array(called, np.int64).reshape(-1, 2)
        return Accesses(told, np.array(moving, np.int64), table, outside, rows, slots, *found)

    def _wanted(self, row: Row, results: Results, out: Mapping[Any, int]) -> tuple[Places, Places]:
        """The results that a row reads and writes. out: of what goes outside."""
        if (instruction := row.instruction) is not None:
            return results.reads[id(instruction)], results.writes[id(instruction)]
        if not row.writes:  # a check
            return (results.made[row.reads[0]],), ()
        [target] = row.writes  # of a copy
        result = out[target] if isinstance(target, External) else results.batch[target]
        return (result,), (result,)

    def _told(self, row: Row) -> Sequence[tuple[Any, int, int, int]]:
        """What the words of a row say of arrays: word, dtype, bytes. Python has for a word what it reads or writes."""
        if row.entry is not None:
            return self._entries.reaches(row.entry.kinds, row.entry.words)
        operands = map(self._entries.Operand, range(len(row.reads) + len(row.inside)))
        return [(place, -1, 0, 0) for place in (*operands, *map(self._entries.Output, range(len(row.writes))))]

    def _own(self, word: Any) -> tuple[int, int]:
        """Where the flag lies, or what a function has of its own, and how many bytes that are."""
        if word is self._entries.FLAG:
            return self._layout.flag, 8
        if isinstance(word, self._entries.Workspace):
            return self._layout._workspace + self._layout._workspaces[id(word)], word.size
        table = self._layout.own[id(word)]
        return table.ctypes.data, table.nbytes

    def _check_words(self, phase: int, body: Accesses, base: int) -> None:
        """Check all words of a phase but those that are offsets of slots."""
        called = body.called + np.array([0, base]) * (body.called[:, :1] != 0)
        if not np.array_equal(called, self._layout.tables[phase]):
            raise self._fault(None, "calls other functions than its own, or with other words")
        found = self._layout.words[base : base + len(body.words)].copy()
        found[body.places[body.places >= 0]] = 0
        if not np.array_equal(found, body.words):
            raise self._fault(None, "gives a function other words than its own")
        told = [sorted(numbers[phase]) for _, numbers in self._layout.outside]
        for row, place, word in body.outside:
            if row.entry is not None and base + word not in told[place.number]:
                raise self._fault(row, "is not told where the batch or its results lie")

    def _turn(self, phase: int, body: Accesses, base: int) -> tuple[Any, ...]:
        """What a turn of a body reads and writes: blocks, times, results, which are written, and whose they are."""
        layout, python = self._layout, body.places < 0
        offsets = body.behind + (layout.words[np.where(python, 0, base + body.places)] if len(layout.words) else 0)
        turn, n = divmod(phase, layout.length)
        for k in np.flatnonzero(python):
            slot = body.slots[k]
            offsets[k] = layout.offset(Version(slot, 0) if body.times[k] % 2 else layout.versions.read(n, slot), turn)
        blocks = self._blocks.find(offsets, body.last)
        self._refuse(blocks < 0, body, "is given the place of no array for")
        writes, lines = body.times % 2 == 1, body.times // 2
        both = blocks * layout.tables.shape[1] + lines
        self._refuse(~writes & np.isin(both, both[writes]), body, "writes over what it reads,")
        if len(np.unique(both[writes])) < np.count_nonzero(writes):
            raise self._fault(None, "has an instruction that writes two results to one place")
        return blocks, body.times, body.results, writes, body.rows, body.slots

    def _found_before(self, n: int) -> list[tuple[int, Version, int]]:
        """What is fetched from memory before step n: the slot, and in which version, of how many turns later."""
        found, versions = list[tuple[int, Version, int]](), self._layout.versions
        for slot in {*self._program.keys.values(), *self._program.handed_on} - versions.counted:
            place = versions.before(n, slot)
            assert place is not None
            if place[0].slot not in self._layout.given:
                found.append((slot, *place))
        return found

    def _seen(self, call: int, results: Results, step: int) -> tuple[Any, ...]:
        """What is fetched from memory after a step, and as late as it may be; as `_turn` does."""
        layout, versions = self._layout, self._layout.versions
        turn, n = divmod(call + 1, layout.length)
        slots = [slot for slot, _, _ in self._fetched[n]]
        offsets = [layout.offset(version, turn + later) for _, version, later in self._fetched[n]]
        steps = [0] * len(slots) + [layout.length] * len(slots)
        slots, offsets = 2 * slots, 2 * offsets
        if call % layout.length == 0:
            for slot in {*self._program.bodies[0].gradients.values()} - layout.given.keys():
                slots.append(slot)
                offsets.append(layout.offset(versions.read(0, slot), call // layout.length))
                steps.append(layout.length - 1)
        left = np.array([results.left[slot] for slot in slots], np.int64)
        times, never = step - 1 + step * np.array(steps), np.zeros(len(slots), bool)
        return self._blocks.find(np.array(offsets)), times, left, never, [None] * len(slots), slots

    def _refuse(self, wrong: np.ndarray, body: Accesses, what: str) -> None:
        """Raise GraphError for the first access that is wrong."""
        for n in np.flatnonzero(wrong):
            raise self._fault(body.rows[n], f"{what} {self._name(body.slots[n])}")

    def _name(self, place: Any) -> str:
        slot = place[0] if isinstance(place, Strip) else place
        if slot == OWN or isinstance(slot, External):
            return "one of its own" if slot == OWN else "the batch or its results"
        kind, name, _ = self._program.slots[slot]
        return f"the result of {name}" if kind == "made" else name

    def _fault(self, row: Row | None, what: str) -> GraphError:
        instruction = None if row is None else row.instruction
        which = "it" if instruction is None else f"{instruction.op.name} {where((instruction.file, instruction.line))}"
        return GraphError(
            f"replay: the program is not run, as {which} {what}. This is a fault of tinyhyper's. With exact=True NumPy "
            "runs it"
        )


def _extent(spec: ArraySpec) -> tuple[int, int]:
    """The dtype of an array, by number, and how many bytes it has."""
    return spec.dtype.num, math.prod(spec.shape) * spec.dtype.itemsize
