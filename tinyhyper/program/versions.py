"""Versions: which of the arrays that an instruction has made, and how many windows ago, a slot holds.

A program moves arrays from slot to slot as a step begins and ends. Where the arrays lie in memory nothing has to move:
a version that lives on is left where it was made, in one of several buffers that are written to in turn.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from .program import Program
from .readings import each


class Version(NamedTuple):
    """What an instruction or the batch has put into a slot, so many windows ago."""

    slot: int
    ago: int

    def earlier(self, windows: int) -> Version:
        """The one before it, by so many windows."""
        return self._replace(ago=self.ago + windows)


class Versions:
    """The versions that the bodies of a program read."""

    def __init__(self, program: Program) -> None:
        self._program, self._length = program, len(program.bodies)
        self._after = [dict(body.after) for body in program.bodies]
        self._moves = [{target: source for source, target in body.moves} for body in program.bodies]
        self._owner = {slot: n for n, moves in enumerate(self._moves) for slot in moves}
        for n, body in enumerate(program.bodies):
            self._owner |= {slot: n for i in body.instructions for slot in each(i.writes)}
            self._owner |= {entry.slot: n for entry in body.batch}

    def read(self, n: int, slot: int) -> Version:
        """What body n reads in a slot."""
        kind = self._program.slots[slot].kind
        if kind == "constant":
            return Version(slot, 0)
        if kind == "value":
            return self._value(n, slot)
        m = self._owner[slot]
        if kind != "earlier":
            return Version(slot, int(m > n))
        source = self._moves[m][slot]
        if self._program.slots[source].kind == "value":
            return self._value(m, source).earlier(int(m > n))
        return self.left(m, source).earlier(1)

    def before(self, call: int, slot: int) -> tuple[Version, int] | None:
        """What a slot holds before a step, and in which turn; None for what no later step reads."""
        turn, n = divmod(call, self._length)
        if self._program.slots[slot].kind == "value":
            return self.read(n, slot), turn
        if slot not in self._program.handed_on:
            return None
        m = self._program.handed_on[slot][0]
        return self.left(m, slot), turn if m < n else turn - 1

    def left(self, m: int, slot: int) -> Version:
        """What body m has left in a slot of its own."""
        if self._program.slots[slot].kind == "earlier":
            return self._value(m, self._moves[m][slot])
        return Version(slot, 0)

    def _value(self, n: int, slot: int) -> Version:
        """The value that body n begins with."""
        for back in range(1, self._length + 1):
            m = (n - back) % self._length
            if (made := self._after[m].get(slot)) is not None:
                return self.read(m, made).earlier(int(m >= n))
        return Version(slot, 0)

    @cached_property
    def carried(self) -> frozenset[int]:
        """The slots of which a later step, or somebody who looks after it, reads the array."""
        program = self._program
        found = {*program.bodies[0].gradients.values()}
        found |= {self.left(n, slot).slot for slot, (n, _, _) in program.handed_on.items()}
        for n, body in enumerate(program.bodies):
            reads = [self.read(n, slot) for i in body.instructions for slot in i.reads]
            found |= {version.slot for version in reads if version.ago}
            found |= {self.read(n, slot).slot for slot in program.keys.values()}
        return frozenset(found - program.constants.keys())

    @cached_property
    def counted(self) -> frozenset[int]:
        """The values that grow by 1 at each step that counts them."""
        return frozenset(slot for body in self._program.bodies for slot in body.counted)
