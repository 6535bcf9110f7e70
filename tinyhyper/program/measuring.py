"""What the instructions of a program cost, measured on copies of what the next step reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import GraphError
from ..inspect.answers import Answer
from . import native
from .moment import Batch, Moment
from .program import Program, run
from .runners import Natively, arrays_in
from .sheet import sheet

ROUND = 5e-5  # seconds that a round of many calls is to take
COLUMNS = ("no.", "operation", "part", "by", "bytes", "us", "%")
MEASURED = "Bytes are of the arrays that an instruction reads and writes; us are microseconds: medians of {} rounds. "
IN_MEMORY = (
    "A C function is called many times in a row on the same arrays, so these are in the processor's caches. What is "
    "carried out by Python (np) is measured likewise, with the copy of its result to a buffer. A whole step is one of "
    "many in a row, with copies of the batch and the loss."
)
BY_HAND = "a value was set by hand within a window. Make as many steps as a window has first"
REFUSED = "the program cannot make a step with this batch. Make that step, and the error says why"
BY_NUMPY = "Each operation is timed where it stands in a step. A whole step is all of them, and what lies in between."

Times = tuple[Sequence[float], float]  # seconds: of each instruction, 0 if it is not carried out; of a whole window


def profile(program: Program, moment: Moment, in_memory: bool, batch: Batch, repeat: int) -> Answer:
    """What each instruction costs where the program goes on from a moment. Raises GraphError where it cannot."""
    found, measured = sheet(program), _in_memory if in_memory else _by_numpy
    seconds, whole = measured(program, moment.plain(), arrays_in(batch), repeat)
    together, rows = sum(seconds), list[tuple[Any, ...]]()
    for line, time in zip(found.lines, seconds):
        if line.way:
            arrays = [found.arrays[slot] for slot in {*line.reads, *line.inside, *line.writes}]
            size = sum(array.nbytes for array in arrays if array.last != array.first or array.first is None)
            rows.append((f"{line.number:>3}", line.op, line.part, line.way, size, 1e6 * time, 100 * time / together))
    size = sum(row[4] for row in rows)
    rows.append(("", "all of them", "", "", size, 1e6 * together, 100.0))
    name = "a whole step" if len(found.steps) == 1 else f"a window of {len(found.steps)} steps"
    rows.append(("", name, "", "", size, 1e6 * whole, 100 * whole / together))
    words = MEASURED.format(repeat) + (IN_MEMORY if in_memory else BY_NUMPY)
    return Answer("What does each instruction of a step cost?", words, COLUMNS, rows, "us")


class Clock:
    """An operation that notes how long it takes."""

    def __init__(self, op: Any) -> None:
        self._op, self.seconds = op, list[float]()

    def compute(self, arrays: list[np.ndarray], call: Any) -> Any:
        """As the operation does."""
        began = perf_counter()
        result = self._op.compute(arrays, call)
        self.seconds.append(perf_counter() - began)
        return result


def _by_numpy(program: Program, moment: Moment, batch: Sequence[Any], repeat: int) -> Times:
    bodies, length = program.bodies, len(program.bodies)
    clocks = [[Clock(instruction.op) for instruction in body.instructions] for body in bodies]
    timed = [
        body._replace(instructions=tuple([i._replace(op=clock) for i, clock in zip(body.instructions, row)]))
        for body, row in zip(bodies, clocks)
    ]
    whole = []
    for _ in range(repeat):
        for window in (timed, bodies):
            arrays, began = [*moment.arrays], perf_counter()
            for step in range(moment.steps, moment.steps + length):
                run(window[step % length], arrays, batch)
        whole.append(perf_counter() - began)
    return [median(clock.seconds) for clock in chain(*clocks)], median(whole)


def _in_memory(program: Program, moment: Moment, batch: Sequence[Any], repeat: int) -> Times:
    made, length = Natively(program, (), checks=False), len(program.bodies)
    memory = made.native
    for (position, _), stream in memory.batch.items():
        stream.give(batch[position])
    memory.loss.share()

    def windows(count: int) -> float:
        if not made.memory.load(moment):
            raise GraphError(f"profile: {BY_HAND}")
        began = perf_counter()
        if not memory.run(memory.call + length * count):  # pragma: no cover - compiled
            raise GraphError(f"profile: {REFUSED}")
        return perf_counter() - began

    whole = _median(windows, repeat, 1 << 8)
    windows(native.TURNS)  # so that all tables say where the batch lies
    numbers = {id(i): n for n, i in enumerate(chain(*[body.instructions for body in program.bodies]))}
    seconds = [0.0] * len(numbers)
    for n, rows in enumerate(memory.rows):
        for line, row in enumerate(rows):
            if row.instruction is not None:
                again = _by_python(memory, n, line) if row.entry is None else _by_driver(memory, n, line)
                seconds[numbers[id(row.instruction)]] = _median(again, repeat, 1 << 16)
    return seconds, whole


def _by_python(memory: native.Native, n: int, line: int) -> Callable[[int], float]:
    """Carries out a line of a table many times, and says how long that takes."""

    def again(count: int) -> float:
        row, began = memory.python[n, line], perf_counter()
        for _ in range(count):
            memory.by_python(row)
        return perf_counter() - began

    return again


def _by_driver(memory: native.Native, n: int, line: int) -> Callable[[int], float]:  # pragma: no cover - compiled
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
