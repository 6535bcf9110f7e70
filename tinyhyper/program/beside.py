"""Operations that are alike, such as the rules of many weights, side by side: one, on arrays that follow each other.

What each of them sums up, and others then add to a total, becomes one sum. So terms are added in another order than
eager does it, and the results differ by rounding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import OPERATIONS, SPEC, ArraySpec, Elementwise
from ..fusion.fusion import Fusion
from ..ops.normalization import Channelwise
from .program import Instruction, Program, Slot
from .readings import Strip, each, slots_in
from .versions import Version, Versions

ADD, FILL, SUM = (OPERATIONS[name] for name in ("add", "broadcast_to", "sum"))


class Total(NamedTuple):
    """A number to which others are added up. slot: where it is.  terms: where they are, in order.

    adds: the numbers of the instructions that do it, the last one first.
    """

    slot: int
    terms: list[int]
    adds: list[int]


class Alike(NamedTuple):
    """What operations have in common that can be one. call: all arguments but shapes.

    reads, writes: for each array its dtype; for each number its slot, or that of the total to which it is added.
    """

    op: Any
    call: Any
    reads: tuple[Any, ...]
    writes: tuple[Any, ...]


class Beside:
    """Puts operations of a program's bodies side by side.

    slots: of the program, to which new ones are added.  constants: new ones.
    strips: the slots that have to follow each other in memory.
    """

    def __init__(self, program: Program, slots: list[Slot]) -> None:
        self._versions, self._known = Versions(program), program.constants
        self.slots, self.constants, self.strips = slots, dict[int, np.ndarray](), list[Strip]()
        self._lies: dict[int, tuple[int, int]] = {}  # by slot: in which strip, and where in it
        self._constants: dict[tuple[int, ...], int] = {}  # the new ones, by the slots of those that they are made of

    def put(
        self, n: int, instructions: Sequence[Instruction], loose: set[int]
    ) -> tuple[list[Instruction], dict[int, int]]:
        """Fewer instructions for body n, and for slots that are not made any more one that is made in their place.

        loose: the slots that nobody reads when the step is over.
        """
        totals = self._totals(instructions, loose)
        heights = _heights(instructions, totals)
        alike: dict[tuple[Alike, int], list[int]] = {}
        for number, instruction in enumerate(instructions):
            if (form := self._form(instruction, totals)) is not None:
                alike.setdefault((form, heights[number]), []).append(number)
        new: dict[int, list[Instruction]] = {number: [i] for number, i in enumerate(instructions)}
        instead: dict[int, int] = {}
        groups = [(form, numbers) for (form, _), numbers in alike.items() if len(numbers) > 1]
        while groups:  # the largest first; of these one that has arrays in a strip, whose order it takes over
            groups.sort(key=lambda group: (-len(group[1]), self._lie(n, instructions[group[1][0]]) is None))
            form, numbers = groups.pop(0)
            members = [instructions[number] for number in numbers]
            if (one := self._joined(n, form, members, totals)) is not None:
                new |= {number: [] for number in numbers} | {numbers[0]: [one]}
                instead |= {i.writes[0]: each(one.writes)[0] for i in members}
        for total in {total.slot: total for total in totals.values()}.values():
            if len(total.terms) <= len(total.adds):
                last, *rest = total.adds
                new |= {number: [] for number in rest} | {last: self._adds(total, instructions[last])}
                instead |= {instructions[number].writes[0]: total.slot for number in rest}
        return [i for number in sorted(new, key=lambda k: (-heights[k], k)) for i in new[number]], instead

    def _totals(self, instructions: Sequence[Instruction], loose: set[int]) -> dict[int, Total]:
        """What is added up, by the slot of each term that nothing else reads."""
        uses = Counter([slot for i in instructions for slot in (*i.reads, *slots_in(i.call))])
        alone = {slot for slot, count in uses.items() if count == 1 and slot in loose}
        adds = {i.writes[0]: k for k, i in enumerate(instructions) if i.op is ADD and self._is_of_numbers(i)}
        inner = {slot for k in adds.values() for slot in instructions[k].reads if slot in adds and slot in alone}
        found: dict[int, Total] = {}
        for root in adds.keys() - inner:
            total, left = Total(root, [], []), [root]
            while left:
                slot = left.pop()
                if slot == root or slot in inner:
                    total.adds.append(adds[slot])
                    left += reversed(instructions[adds[slot]].reads)
                else:
                    total.terms.append(slot)
            found |= {term: total for term in total.terms if term in alone}
        return found

    def _is_of_numbers(self, instruction: Instruction) -> bool:
        """Whether it reads and makes nothing but numbers of one dtype."""
        specs = [self.slots[slot].spec for slot in (*instruction.reads, *instruction.writes)]
        return all(spec[:2] == ((), specs[0].dtype) for spec in specs)

    def _adds(self, total: Total, last: Instruction) -> list[Instruction]:
        """What adds up the terms of a total, if it is not made at once. last: what has added the last one so far."""
        sums = [*[self._new(last.op.name, last.reads[0]) for _ in total.terms[2:]], total.slot]
        pairs = zip([*total.terms[:1], *sums], total.terms[1:])
        return [last._replace(reads=pair, writes=(made,)) for pair, made in zip(pairs, sums)]

    def _form(self, instruction: Instruction, totals: dict[int, Total]) -> Alike | None:
        """What it has in common with others that can be one with it; None if it always stays by itself.

        All arrays of such an operation have one shape, and it does the same to each element.
        """
        op, call = instruction.op, instruction.call
        if not isinstance(op, (Elementwise, Fusion)) or isinstance(op, Channelwise):
            if op not in (FILL, SUM) or op is SUM and (call["axis"] is not None or call["keepdims"]):
                return None
        shapes = {self.slots[slot].spec.shape for slot in (*instruction.reads, *instruction.writes)} - {()}
        reads = tuple([self._told(slot, slot) for slot in instruction.reads])
        writes = tuple([self._told(slot, totals[slot].slot if slot in totals else None) for slot in instruction.writes])
        if len(shapes) != 1 or 0 in shapes.pop() or any(told is None for told in writes) or instruction.fills:
            return None
        if isinstance(op, Fusion):
            call = call and tuple([(spec.shape == (), spec.dtype) for spec in call])
        return Alike(op, call if isinstance(op, Fusion) else None, reads, writes)

    def _told(self, slot: int, number: int | None) -> Any:
        """The dtype of an array; what to say of a number."""
        return number if (spec := self.slots[slot].spec).shape == () else spec.dtype

    def _joined(self, n: int, form: Alike, members: list[Instruction], totals: dict[int, Total]) -> Instruction | None:
        """One instruction for all members, if their arrays can lie one after another."""
        members = sorted(members, key=lambda i: self._lie(n, i) or (0, 0))
        lies, strips, made = {**self._lies}, [*self.strips], [*zip(*[i.writes for i in members])]
        reads: list[Any] = [self._place(column, n, lies, strips) for column in zip(*[i.reads for i in members])]
        writes: list[Any] = [self._place(column, None, lies, strips) for column in made]
        if None in reads or None in writes:
            return None
        self._lies, self.strips = lies, strips
        writes = [place if isinstance(place, Strip) else self._term(c, totals[c[0]]) for place, c in zip(writes, made)]
        return members[0]._replace(call=self._call(members), reads=tuple(reads), writes=tuple(writes))

    def _is_number(self, slot: int) -> bool:
        return self.slots[slot].spec.shape == ()

    def _lie(self, n: int, instruction: Instruction) -> tuple[int, int] | None:
        """In which strip an array of an instruction lies already, and where in it; None if none does."""
        read = [self._versions.read(n, slot).slot for slot in instruction.reads if not self._is_number(slot)]
        return next((self._lies[slot] for slot in (*read, *instruction.writes) if slot in self._lies), None)

    def _place(
        self, slots: tuple[int, ...], n: int | None, lies: dict[int, tuple[int, int]], strips: list[Strip]
    ) -> int | Strip | None:
        """A place for what many instructions read or write, as one; None if their arrays cannot lie so.

        n: of the body that reads them; None if they are written.  lies, strips: what is known, to which new is added.
        """
        if self._is_number(slots[0]):
            return slots[0]
        versions = [Version(slot, 0) if n is None else self._versions.read(n, slot) for slot in slots]
        kinds = {self.slots[version.slot].kind for version in versions}
        if kinds == {"constant"}:
            return self._constant(slots)
        alike = {(version.ago, version.slot in self._versions.carried) for version in versions}
        if len(kinds) > 1 or len(alike) > 1 or len({*versions}) < len(versions) or kinds == {"batch"}:
            return None
        stored = Strip([version.slot for version in versions])
        if not {*stored} & lies.keys():
            lies |= {slot: (len(strips), number) for number, slot in enumerate(stored)}
            strips.append(stored)
        found = [lies.get(slot) for slot in stored]
        follow = all(one and two == (one[0], one[1] + 1) for one, two in pairwise(found))
        return Strip(slots) if follow else None

    def _constant(self, slots: tuple[int, ...]) -> int:
        """A constant of others, one after another."""
        if slots not in self._constants:
            array = np.concatenate([self._known[slot].ravel() for slot in slots])
            self._constants[slots] = len(self.slots)
            self.constants[len(self.slots)] = array
            self.slots.append(Slot("constant", "constants", ArraySpec(*SPEC(array))))
        return self._constants[slots]

    def _term(self, slots: Sequence[int], total: Total) -> int:
        """Where the sum of some terms goes, as one term of their total or as the total itself."""
        rest = [slot for slot in total.terms if slot not in {*slots}]
        if not rest:
            total.terms.clear()
            return total.slot
        total.terms[:] = [*rest, self._new("sum", slots[0])]
        return total.terms[-1]

    def _new(self, name: str, like: int) -> int:
        """A slot for what is made, with the dtype and shape of another."""
        self.slots.append(Slot("made", name, self.slots[like].spec))
        return len(self.slots) - 1

    def _call(self, members: Sequence[Instruction]) -> Any:
        """What one for all is told beside its operands."""
        op, call = members[0].op, members[0].call
        arrays = [next(slot for slot in (*i.reads, *i.writes) if not self._is_number(slot)) for i in members]
        whole = flat([self.slots[slot].spec for slot in arrays])
        if op is FILL:
            return {"shape": whole.shape}
        if not isinstance(op, Fusion):
            return call
        return call and tuple([x if x.shape == () else whole._replace(dtype=x.dtype) for x in call])


def flat(specs: Sequence[ArraySpec]) -> ArraySpec:
    """How arrays lie that are one, in rows."""
    dtype = specs[0].dtype
    return ArraySpec((sum(math.prod(spec.shape) for spec in specs),), dtype, (dtype.itemsize,))


def _heights(instructions: Sequence[Instruction], totals: Mapping[int, Total]) -> list[int]:
    """How many instructions have to follow on each, one after another: none of equal height needs another.

    What adds up a total counts as one, as its terms can be added in any order.
    """
    last = {number: total.adds[0] for total in totals.values() for number in total.adds}
    found, above = [0] * len(instructions), dict[int, int]()
    for number in reversed(range(len(instructions))):
        instruction, whole = instructions[number], last.get(number, number)
        found[number] = found[whole] if whole != number else max([above.get(slot, 0) for slot in instruction.writes])
        for slot in (*instruction.reads, *slots_in(instruction.call)):
            above[slot] = max(above.get(slot, 0), found[number] + 1)
    return found
