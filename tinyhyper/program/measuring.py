"""What the instructions of a program cost, measured on copies of what the next step reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..arguments import whole
from ..errors import GraphError
from . import native
from .layout import TURNS, Layout
from .moment import Batch, Moment
from .native import Native
from .program import Instruction, Program, run
from .readings import each, slots_in
from .rows import carried_out
from .runners import Natively, arrays_in
from .session import Session

ROUND = 5e-5  # seconds that a round of many calls is to take
BY_HAND = "a value was set by hand within a window. Make as many steps as a window has first"
REFUSED = "the program cannot make a step with this batch. Make that step, and the error says why"


class Timing(NamedTuple):
    """What an instruction costs. number: in the listing; None for one that is not there."""

    number: int | None
    instruction: Instruction
    way: str
    nbytes: int
    seconds: float


class Timings(NamedTuple):
    """What the instructions of a window cost, and the seconds of a whole one. in_memory: whether it runs there."""

    instructions: list[Timing]
    whole: float
    steps: int
    in_memory: bool


def measure(session: Session, batch: Batch, repeat: int) -> Timings:
    """What each instruction costs where the program goes on. Raises GraphError where it cannot."""
    with session.lock:
        repeat, found = whole("profile: repeat", repeat), session.standing(batch)
        if found is None:
            raise GraphError(
                "profile: there is no program that could make the next step with this batch. Make a few steps "
                "first, with batches of this shape"
            )
        program, moment, layout = found
        given = moment.plain(), arrays_in(batch), repeat
        timings = _by_numpy(program, *given) if layout is None else _in_memory(layout, *given)
        return Timings(*timings, len(program.bodies), layout is not None)


def _nbytes(program: Program, instruction: Instruction) -> int:
    """How large the arrays are that an instruction reads, and writes for others to read."""
    made = {*each(instruction.writes)}.difference(instruction.frees)
    slots = {*each(instruction.reads), *slots_in(instruction.call), *made}
    specs = [program.slots[slot].spec for slot in slots]
    return sum(prod(spec.shape) * spec.dtype.itemsize for spec in specs)


class Clock:
    """An operation that notes how long it takes."""

    def __init__(self, op: Any) -> None:
        self._op, self.seconds = op, list[float]()

    def compute(self, arrays: list[np.ndarray], call: Any) -> Any:
        began = perf_counter()
        result = self._op.compute(arrays, call)
        self.seconds.append(perf_counter() - began)
        return result


def _by_numpy(program: Program, moment: Moment, batch: Sequence[Any], repeat: int) -> tuple[list[Timing], float]:
    """The cost of each instruction that NumPy carries out, and the seconds of a whole window."""
    bodies, length = program.bodies, len(program.bodies)
    instructions = [instruction for body in bodies for instruction in body.instructions]
    clocks = [Clock(instruction.op) for instruction in instructions]
    pairs = iter([i._replace(op=clock) for i, clock in zip(instructions, clocks)])
    timed = [body._replace(instructions=tuple([next(pairs) for _ in body.instructions])) for body in bodies]
    whole = []
    for _ in range(repeat):
        for window in (timed, bodies):
            arrays, began = [*moment], perf_counter()
            for step in range(moment.steps, moment.steps + length):
                run(window[step % length], arrays, batch)
        whole.append(perf_counter() - began)
    costs = [
        Timing(number, instruction, "np", _nbytes(program, instruction), median(clock.seconds))
        for number, (instruction, clock) in enumerate(zip(instructions, clocks), start=1)
    ]
    return costs, median(whole)


def _in_memory(layout: Layout, moment: Moment, batch: Sequence[Any], repeat: int) -> tuple[list[Timing], float]:
    """The cost of each instruction that is carried out in memory, and the seconds of a whole window."""
    made = Natively(layout)
    memory = made.native

    def windows(count: int) -> float:
        if not made.memory.load(moment):
            raise GraphError(f"profile: {BY_HAND}")
        began = perf_counter()
        if not memory.run(memory.call + memory.length * count):  # pragma: no cover - compiled
            raise GraphError(f"profile: {REFUSED}")
        return perf_counter() - began

    memory.give(batch)
    whole = _median(windows, repeat, 1 << 8)
    windows(TURNS)  # so that all tables say where the batch lies
    costs, first = [], 1
    for n, (body, numbers) in enumerate(zip(layout.lowered.bodies, layout.numbers)):
        listed = {id(body.instructions[place]): first + number for number, place in reversed([*enumerate(numbers)])}
        for line, row in enumerate(layout.rows[n]):
            if (i := row.instruction) is not None:
                again = _by_python(memory, n, line) if row.entry is None else _by_driver(memory, n, line)
                seconds, size = _median(again, repeat, 1 << 16), _nbytes(layout.lowered, i)
                costs.append(Timing(listed.get(id(i)), i, carried_out(row), size, seconds))
        first += len(numbers)
    return costs, whole


def _by_python(memory: Native, n: int, line: int) -> Callable[[int], float]:
    """Carries out a line of a table many times, and says how long that takes."""

    def again(count: int) -> float:
        row, began = memory.python[n, line], perf_counter()
        for _ in range(count):
            memory.by_python(row)
        return perf_counter() - began

    return again


def _by_driver(memory: Native, n: int, line: int) -> Callable[[int], float]:  # pragma: no cover - compiled
    """As `_by_python`: the steps of a driver are the line alone."""
    assert native.machine is not None
    table = memory.tables[n : n + 1, line : line + 1].copy()
    driver = native.machine.driver.Driver(table, np.zeros((1, 0, 3), np.int64), np.zeros(1, np.int64))

    def again(count: int) -> float:
        made, began = 0, perf_counter()
        while made < count:
            made, _ = driver.run(made, 0, count)
        return perf_counter() - began

    return again


def _median(call: Callable[[int], float], repeat: int, most: int) -> float:
    """The median of the seconds that one of many calls in a row takes. most: how many there are in a round."""
    count = 1
    while count < most and call(count) < ROUND:
        count *= 2
    return median([call(count) for _ in range(repeat)]) / count
