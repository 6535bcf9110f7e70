"""What each lowering of a replayed program gains: a step with all of them, and one without it, by the least of many."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import tinyhyper as th
from tinyhyper.kernels.backend import compiler_is_off
from tinyhyper.program import blocks, lowering
from tinyhyper.program.layout import Layout

from ..shared.settings import Settings, UsageError
from . import machine
from .peers.tinyhyper import Library, start
from .problems import HYPERSTEPS, TINY, Workload, tower_of_sgd

COPIES, ROUNDS, ROUND = 3, 60, 5e-3  # of each program, as memory lies here or there; turns; seconds of one
MLP, SMALL = "MLP, Adam/SGD", "200 small parameters, Adam/SGD"
SIZE = 100_000
LONG, ROSENBROCK = f"12 stages of {SIZE:,} elements", f"Rosenbrock's function of {SIZE:,} numbers"


class Alone(int):
    """A number that is equal to itself alone."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def apart(layout: Layout, unit: tuple[int, ...], sizes: Callable[..., Any] = Layout._sizes) -> tuple[int, ...]:
    """In place of a layout's sizes: no two arrays are alike, so none lies where another did."""
    return tuple(map(Alone, sizes(layout, unit)))


Patch = tuple[Any, str, Any]


class Case(NamedTuple):
    """A lowering, a program, and how to do without it: what is put in place of what, or an option of replay."""

    lowering: str
    program: str
    without: Patch | None


READS: Patch = lowering, "_read_numbers", lambda instructions, slots: [*instructions]
SCALARS: Patch = lowering, "_split_scalars", lambda instructions, slots: [*instructions]
ONCE: Patch = lowering, "_once", lambda instructions, loose: ([*instructions], {})
BUFFERS, BLOCKS = (Layout, "_sizes", apart), (blocks, "BLOCK", 1 << 60)
CASES = [
    Case("what nobody reads any more gives its buffer", LONG, BUFFERS),
    Case("what nobody reads any more gives its buffer", MLP, BUFFERS),
    Case("an operation reads the number that an array is filled with", LONG, READS),
    Case("what rules need of the same scalars is computed once", SMALL, SCALARS),
    Case("what is computed twice is computed once", SMALL, ONCE),
    Case("targets side by side (`side_by_side=True`)", SMALL, None),
    Case("elementwise instructions block after block", LONG, BLOCKS),
    Case("elementwise instructions block after block", ROSENBROCK, BLOCKS),
]


def replay(program: str | Workload, side_by_side: bool = False) -> Any:
    """A program by its name, ready to run."""
    if isinstance(program, Workload) or program in HYPERSTEPS:
        workload = program if isinstance(program, Workload) else HYPERSTEPS[program]
        params, tower = start(workload.problem, workload.tower)
        batch = tuple(map(th.tensor, workload.problem.data())) if workload.problem.batch else ()
        loss = partial(workload.problem.loss, Library)
        train = th.replay(lambda params: loss(params, *batch), params, tower, side_by_side=side_by_side)
    else:
        rng = np.random.default_rng(0)
        b, c, first = rng.standard_normal((3, SIZE), np.float32)
        losses: dict[str, Any] = {LONG: partial(stages, b=th.tensor(b), c=th.tensor(c)), ROSENBROCK: rosenbrock}
        params = {"w": th.tensor(first / 10, requires_grad=True)}
        train = th.replay(losses[program], params, th.optim.Adam(1e-7, optimizer=th.optim.SGD(1e-12)))
    train.over(steps=40)
    return train


def stages(params: Any, b: Any, c: Any) -> Any:
    z = params["w"]
    for n in range(12):
        z = z * b + c if n % 2 else th.sqrt(th.square(z) + 1.0) - c
    return th.mean(th.square(z))


def rosenbrock(params: Any) -> Any:
    x, y = params["w"][:-1], params["w"][1:]
    return th.mean(100 * th.square(y - th.square(x)) + th.square(1 - x))


def measure(case: Case) -> tuple[float, float, int, int]:
    """Seconds of a step with and without the lowering, and the bytes of their programs."""
    runs: dict[bool, list[Any]] = {True: [], False: []}
    for _ in range(COPIES):
        for lowered in runs:
            with ExitStack() as stack:
                if case.without and not lowered:
                    stack.enter_context(mock.patch.object(*case.without))
                runs[lowered].append(replay(case.program, case.without is None and lowered))
    once = min(clock(runs[True][0], 10), clock(runs[True][0], 10))
    least = dict.fromkeys(runs, 1e9)
    for _ in range(ROUNDS):
        for n in range(COPIES):
            for lowered, trains in runs.items():
                least[lowered] = min(least[lowered], clock(trains[n], max(3, int(ROUND / once))))
    size = {lowered: sum(buffers(trains[0].program)) for lowered, trains in runs.items()}
    return least[True], least[False], size[True], size[False]


def clock(train: Any, steps: int) -> float:
    """Seconds of a step."""
    began = time.perf_counter()
    train.over(steps=steps)
    return (time.perf_counter() - began) / steps


def buffers(program: Any) -> list[int]:
    """The bytes of a program's buffers."""
    found: dict[int, int] = {}
    for slot, numbers in program.buffers.items():
        spec = program.slots[slot].spec
        size = int(np.prod(spec.shape, dtype=np.int64)) * spec.dtype.itemsize
        found |= {number: max(size, found.get(number, 0)) for number in numbers}
    return [*found.values()]


def share_of_activations() -> float:
    """How much of a step of the MLP are bias and activation, all of which a product could not save."""
    *rows, together, _ = replay(MLP).profile().rows
    return sum(row[5] for row in rows if row[1] == "bias + tanh") / together[5]


def by_a_table() -> tuple[float, float]:
    """Seconds of a level of a tower of SGD: in a replayed step, and in a loop over two arrays, written by hand."""
    import numba

    @numba.njit
    def loop(values: Any, slopes: Any, steps: int) -> None:
        for _ in range(steps):
            for n in range(len(values) - 1):
                slopes[n + 1] = -slopes[n] * slopes[n]
            for n in range(len(values) - 1, 0, -1):
                values[n - 1] -= values[n] * slopes[n - 1]

    values, slopes, steps = np.full(101, 1e-30), np.full(101, 0.5), 2000
    loop(values, slopes, 1)
    trains = {height: replay(Workload(f"{height}", TINY, tower_of_sgd(height))) for height in (10, 100)}
    least, hand = dict.fromkeys(trains, 1e9), 1e9
    for _ in range(2 * ROUNDS):
        for height, train in trains.items():
            least[height] = min(least[height], clock(train, steps))
        began = time.perf_counter()
        loop(values, slopes, steps)
        hand = min(hand, (time.perf_counter() - began) / steps / 100)
    return (least[100] - least[10]) / 90, hand


def options(parser: ArgumentParser) -> None:
    """None."""


def main(settings: Settings) -> int:
    """Print a table. Raises UsageError where nothing is compiled, as then no program is lowered."""
    if compiler_is_off():
        raise UsageError("lowering: nothing is compiled here (NUMBA_DISABLE_JIT), so there is nothing to measure")
    th.set_num_threads(1)
    print(f"{machine.cpuinfo()[0]}, one thread, float32\n")
    print("| lowering | program | without, µs | with, µs | time | memory |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for case in CASES:
        seconds, without, size, before = measure(case)
        times = f"{1e6 * without:.4g} | {1e6 * seconds:.4g} | {seconds / without - 1:+.0%}"
        print(f"| {case.lowering} | {case.program} | {times} | {size / before - 1:+.0%} |", flush=True)
    print(f"\nbias and activation are {share_of_activations():.1%} of a step: {MLP}")
    level, hand = by_a_table()
    print(f"a level of a tower of SGD: {1e9 * level:.1f} ns; in a loop over a table, by hand: {1e9 * hand:.1f} ns")
    return 0
