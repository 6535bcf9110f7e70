"""What was to be reached, and whether it was: computed from a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import startup, sweeps
from .networks import CHARACTERS, IMAGES
from .plan import (
    BACKENDS,
    BESIDE,
    BY_HAND,
    CALLED,
    CHANNELS_LAST,
    COMPILED,
    EXACT,
    FLOOR,
    JAX,
    JAX_LOOP,
    NO_TOWER,
    OURS,
    OVER,
    PUBLISHED,
)  # fmt: skip
from .run import Rows, Run, best
from .statistics import ratio, slope, steepest

RIVALS = ("NumPy", "PyTorch", "MyGrad")
LEAST_ELEMENTS = 10_000
STRAIGHT_FROM = 50  # levels between two heights: nearer ones differ by little more than the clock's noise
FLAT = 1e6  # bytes by which the memory of a long run may differ


class Measured(NamedTuple):
    """In words, and whether that reaches the goal."""

    text: str
    met: bool


class Goal(NamedTuple):
    """What is measured at each thread count, what it should reach, and what stands in the way where it does not."""

    what: str
    reach: str
    measure: Callable[[Run, int], Measured | None]
    why: str = ""


Measure = Callable[[Run, int], Measured | None]


def on(threads: int, measure: Measure) -> Measure:
    """The same, of one thread count alone."""
    return lambda run, count: measure(run, count) if count == threads else None


def faster(name: str, ours: str, rivals: tuple[str, ...], least: float) -> Measure:
    """How many times as fast as the best of the rivals a row of a workload is."""

    def measure(run: Run, threads: int) -> Measured | None:
        rows = run.training(name, threads)
        rival = best(rows, rivals)
        if rival is None or ours not in rows:
            return None
        value = rival / rows[ours]["median"]
        return Measured(f"{value:.2f}×", value >= least)

    return measure


def longer(name: str, ours: str, base: str, most: float) -> Measure:
    """How many times as long as another a row of a workload takes."""

    def measure(run: Run, threads: int) -> Measured | None:
        rows = run.training(name, threads)
        if base not in rows or ours not in rows:
            return None
        value = ratio(rows[ours], rows[base])
        return Measured(f"{value:.2f}×", value <= most)

    return measure


def level(label: str, most: float) -> Measure:
    """The nanoseconds that each further level takes."""

    def measure(run: Run, threads: int) -> Measured | None:
        times = tower_times(run, threads, label)
        if len(times) < 2:
            return None
        heights, seconds = list(times), list(times.values())
        each, top = slope(heights, seconds) * 1e9, steepest(heights, seconds, STRAIGHT_FROM) * 1e9
        return Measured(f"{each:.3g} ns to {heights[-1]}, steepest {top:.3g} ns", max(each, top) <= most)

    return measure


def tower_times(run: Run, threads: int, label: str) -> dict[int, float]:
    """The seconds of a step by height, lowest first."""
    parts = run.parts("towers", threads)
    return {int(part): parts[part][label]["median"] for part in sorted(parts, key=int) if label in parts[part]}


def swept(run: Run, threads: int) -> Measured | None:
    """How many times as quick all runs of a sweep are on so many cores."""
    least = {record["cores"]: min(record["seconds"]) for record in run.data["sweeps"] if record["seconds"]}
    if threads == 1 or not {1, threads} <= least.keys():
        return None
    value = least[1] / least[threads]
    return Measured(f"{value:.2f}×", value >= 0.9 * threads)


def worst(cases: dict[str, Rows], ours: str, rivals: tuple[str, ...], least: float) -> Measured | None:
    """The case in which the best rival is furthest ahead, and how many cases fall short."""
    ratios = {}
    for case, rows in cases.items():
        rival = best(rows, rivals)
        if rival is not None and ours in rows:
            ratios[case] = rival / rows[ours]["median"]
    if not ratios:
        return None
    lowest = min(ratios, key=lambda case: ratios[case])
    short = sum(value < least for value in ratios.values())
    middle = float(np.median(list(ratios.values())))
    text = f"median {middle:.2f}×, least {ratios[lowest]:.2f}× ({lowest}); {short} of {len(ratios)} below"
    return Measured(text, not short)


def cases(run: Run, kind: str, threads: int) -> dict[str, Rows]:
    """By name and size, the rows of the operations or chains of enough elements."""
    return {
        f"{name}, {int(part):,}": rows
        for name in run.names(kind)
        for part, rows in run.parts(kind, threads, name).items()
        if int(part) >= LEAST_ELEMENTS
    }


def start(label: str, state: str, most: float) -> Measure:
    """The median seconds of a fresh process."""

    def measure(run: Run, threads: int) -> Measured | None:
        times = [t for s in run.data["starts"] if (s["label"], s["threads"]) == (label, threads) for t in s[state]]
        if not times:
            return None
        value = float(np.median(times))
        return Measured(f"{value:.2f} s", value <= most)

    return measure


def flat(run: Run, threads: int) -> Measured | None:
    grown = [(record["late"] - record["early"], record["steps"]) for record in run.data["growth"] if "late" in record]
    if not grown or threads != max(run.threads):
        return None
    most, steps = max(grown)
    return Measured(f"{most / 1e6:+.2f} MB over {steps:,} steps", most <= FLAT)


def peak(key: str, ours: str, bases: tuple[str, ...], *names: str) -> Measure:
    """The workload of those names on which memory compares worst with the same of others, of which the best counts."""

    def measure(run: Run, threads: int) -> Measured | None:
        sizes: dict[str, dict[str, int]] = {}
        for record in run.data["memory"]:
            if record["name"].startswith(names) and record["threads"] == threads and key in record:
                sizes.setdefault(record["name"], {})[record["label"]] = record[key]
        pairs = [
            (rows[ours] / max(1, min(rows[label] for label in bases if label in rows)), name, rows[ours])
            for name, rows in sizes.items()
            if ours in rows and {*bases} & rows.keys()
        ]
        if not pairs:
            return None
        value, name, size = max(pairs)
        return Measured(f"{size / 1e6:.1f} MB, {value:.2f}× ({name})", value <= 1)

    return measure


NET, MANY, SGDS, ADAM = (
    "teaching-size net, Adam/SGD", "200 small parameters, Adam/SGD", "MLP, SGD/SGD", "MLP, Adam/SGD",
)  # fmt: skip

GOALS = (
    Goal("net, over, against JAX, a call a step", "15× or more", on(1, faster(NET, OVER, (JAX,), 15))),
    Goal("net, over, against JAX's own loop", "6× or more", on(1, faster(NET, OVER, (JAX_LOOP,), 6)),
         "[Replay](replay.md#what-a-step-costs) says what a step of the net costs"),
    Goal("net, over, against NumPy by hand", "10× or more", on(1, faster(NET, OVER, (BY_HAND,), 10))),
    Goal("net, over, against the published package", "100× or more", on(1, faster(NET, OVER, PUBLISHED, 100))),
    Goal("net, a call a step, against over", "at most 2.5×", on(1, longer(NET, CALLED, OVER, 2.5)),
         "[Replay](replay.md#what-a-call-costs) says what a call costs"),
    Goal("net, a call a step, against JAX, a call a step", "8× or more", on(1, faster(NET, CALLED, (JAX,), 8))),
    Goal("200 small parameters, over, against NumPy by hand", "3× or more", on(1, faster(MANY, OVER, (BY_HAND,), 3))),
    Goal("200 small parameters, over, side by side, against NumPy by hand", "15× or more",
         on(1, faster(MANY, BESIDE, (BY_HAND,), 15))),
    Goal("200 small parameters, over, against JAX, a call a step", "50× or more",
         on(1, faster(MANY, OVER, (JAX,), 50))),
    Goal("each further level of a tower, over, to height 1000", "at most 25 ns, straight", on(1, level(OVER, 25))),
    Goal("MLP, SGD/SGD, over, against the floor", "at most 1.25×", on(1, longer(SGDS, OVER, FLOOR, 1.25))),
    Goal("MLP, Adam/SGD, over, against the floor", "at most 1.5×", on(1, longer(ADAM, OVER, FLOOR, 1.5))),
    *(
        Goal(f"{name}, over, against the best of JAX and torch.compile, threads: {threads}", f"{least}× or more",
             on(threads, faster(name, OVER, COMPILED, least)),
             "a step takes little more than its products, which are as quick in the others: see the floor")
        for name in (SGDS, ADAM)
        for threads, least in ((1, 1.4), (2, 1.2))
    ),
    Goal("MLP, SGD/SGD, over, against the published package", "1.6× or more",
         on(1, faster(SGDS, OVER, PUBLISHED, 1.6))),
    Goal("MLP, Adam/SGD, over, against the published package", "4× or more",
         on(1, faster(ADAM, OVER, PUBLISHED, 4))),
    Goal("MLP, Adam/Adam, over, against the published package", "4× or more",
         on(1, faster("MLP, Adam/Adam", OVER, PUBLISHED, 4))),
    Goal("net, exact replay, against the eager engine", "2.5× or more", on(1, faster(NET, EXACT, (OURS,), 2.5))),
    Goal("MLP, Adam/SGD, exact replay, against the eager engine", "1.1× or more",
         on(1, faster(ADAM, EXACT, (OURS,), 1.1))),
    Goal(f"a sweep of {sweeps.RUNS} runs on all cores against one", "0.9× their number or more", swept),
    Goal("main job, no kernels on disk", "at most 15 s", start(startup.MAIN_JOB, "cold", 15)),
    Goal("main job, kernels on disk", "at most 6 s", start(startup.MAIN_JOB, "warm", 6)),
    Goal("net, replay, the first steps, no kernels on disk", "at most 7 s", start(startup.REPLAY, "cold", 7)),
    Goal("net, replay, the first steps, kernels on disk", "at most 0.7 s", start(startup.REPLAY, "warm", 0.7)),
    Goal("peak memory of the steps of the MLP and of ResNet-20, a call a step against the eager engine", "at most 1×",
         peak("own", CALLED, (OURS,), "MLP", IMAGES),
         "a program has each weight, state and gradient [three times](replay.md#memory)"),
    Goal("memory of a long run, over", "flat", flat),
    Goal(
        "matmul against NumPy's",
        "0.9× or more at each",
        lambda run, threads: worst(run.parts("matmul", threads), BACKENDS[0], ("NumPy",), 0.9),
    ),
    Goal(
        "linear+bias+tanh against NumPy's",
        "1.2× or more at each",
        lambda run, threads: worst(run.parts("linear", threads), BACKENDS[0], ("NumPy",), 1.2),
    ),
    Goal(
        "one operation, from 10,000 elements up, against the best of NumPy, PyTorch, MyGrad",
        "0.9× or more at each",
        lambda run, threads: worst(cases(run, "operation", threads), OURS, RIVALS, 0.9),
    ),
    Goal(
        "fused chains of four and eight, against the best of them",
        "2× or more at each",
        lambda run, threads: worst(cases(run, "chain", threads), OURS, RIVALS, 2.0),
    ),
    Goal(
        "ResNet-20 against plain PyTorch, the quicker layout",
        "0.83× or more",
        faster(IMAGES, OURS, (NO_TOWER, CHANNELS_LAST), 1 / 1.2),
    ),
    Goal(
        "character LSTM, Adam/Adam, against the published package",
        "2× or more",
        faster(CHARACTERS, OURS, PUBLISHED, 2.0),
    ),
    Goal("each further level of a tower, eager, to height 1000", "at most 25,000 ns, straight", level(OURS, 25_000)),
    Goal("import", "at most 0.35 s", start(OURS, "import", 0.35)),
    Goal("MLP, eager, the first steps, no kernels on disk", "at most 6 s", start(OURS, "cold", 6.0)),
    Goal("MLP, eager, the first steps, kernels on disk", "at most 0.8 s", start(OURS, "warm", 0.8)),
    Goal("peak memory of the MLP's eager steps against PyTorch's", "at most 1×", peak("own", OURS, PUBLISHED, "MLP")),
    Goal("peak of the whole process that trains the MLP against PyTorch's", "at most 1×",
         peak("process", OURS, PUBLISHED, "MLP")),
)


def judge(run: Run, goal: Goal) -> tuple[dict[int, str], str]:
    """What was measured at each thread count, and the verdict."""
    measured = {threads: goal.measure(run, threads) for threads in run.threads}
    known = {threads: value for threads, value in measured.items() if value is not None}
    missed = [threads for threads, value in known.items() if not value.met]
    verdict = "not measured" if not known else "met" if not missed else "missed"
    if missed and len(missed) < len(known):
        verdict += f" on {', '.join(map(str, missed))}"
    return {threads: value.text for threads, value in known.items()}, verdict
