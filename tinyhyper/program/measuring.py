"""What the instructions of a program cost, measured on copies of what the next step reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError
from ..inspect.answers import Answer
from . import native
from .layout import TURNS, Layout
from .moment import Batch, Moment
from .native import Native
from .program import Instruction, Program, run
from .readings import each, slots_in
from .rows import carried_out
from .runners import Natively, arrays_in

ROUND = 5e-5  # seconds that a round of many calls is to take
COLUMNS = ("no.", "operation", "part", "by", "bytes", "us", "%")
MEASURED = "Bytes are of the arrays that an instruction reads and writes; us are microseconds: medians of {} rounds. "
IN_MEMORY = (
    "A C function is called many times in a row on the same arrays, so these are in the processor's caches. What is "
    "carried out by Python (np) is measured likewise, with the copy of its result to a buffer. What several rules need "
    "of the same scalars is computed once, by an instruction without a number. One that does the work of several has "
    "the number of the first. Those that run block after block are timed one by one. A whole step is one of many in a "
    "row, with copies of the batch and the loss."
)
BY_NUMPY = "Each operation is timed where it stands in a step. A whole step is all of them, and what lies in between."
BY_HAND = "a value was set by hand within a window. Make as many steps as a window has first"
REFUSED = "the program cannot make a step with this batch. Make that step, and the error says why"


class Cost(NamedTuple):
    """What an instruction costs. number: in the listing; None for one that is not there."""

    number: int | None
    instruction: Instruction
    way: str
    nbytes: int
    seconds: float


def profile(program: Program, moment: Moment, layout: Layout | None, batch: Batch, repeat: int) -> Answer:
    """What each instruction costs where the program goes on from a moment. Raises GraphError where it cannot.

    layout: how it lies in memory; None if NumPy carries it out.
    """
    given = moment.plain(), arrays_in(batch), repeat
    costs, whole = _by_numpy(program, *given) if layout is None else _in_memory(layout, *given)
    together, size = sum(cost.seconds for cost in costs), sum(cost.nbytes for cost in costs)
    rows: list[tuple[Any, ...]] = [
        (
            f"{cost.number or '':>3}", cost.instruction.op.name, cost.instruction.part, cost.way, cost.nbytes,
            1e6 * cost.seconds, 100 * cost.seconds / together,
        )
        for cost in costs
    ]  # fmt: skip
    name = "a whole step" if len(program.bodies) == 1 else f"a window of {len(program.bodies)} steps"
    rows.append(("", "all of them", "", "", size, 1e6 * together, 100.0))
    rows.append(("", name, "", "", size, 1e6 * whole, 100 * whole / together))
    words = MEASURED.format(repeat) + (BY_NUMPY if layout is None else IN_MEMORY)
    return Answer("What does each instruction of a step cost?", words, COLUMNS, rows, "us")


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


def _by_numpy(program: Program, moment: Moment, batch: Sequence[Any], repeat: int) -> tuple[list[Cost], float]:
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
        Cost(number, instruction, "np", _nbytes(program, instruction), median(clock.seconds))
        for number, (instruction, clock) in enumerate(zip(instructions, clocks), start=1)
    ]
    return costs, median(whole)


def _in_memory(layout: Layout, moment: Moment, batch: Sequence[Any], repeat: int) -> tuple[list[Cost], float]:
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
                costs.append(Cost(listed.get(id(i)), i, carried_out(row), size, seconds))
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
