"""What was to be reached, and whether it was: computed from a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .networks import CHARACTERS, IMAGES
from .plan import BACKENDS, CHANNELS_LAST, COMPILED, FLOOR, NO_TOWER, OURS, PUBLISHED
from .run import Rows, Run, best
from .statistics import slope, steepest

RIVALS = ("NumPy", "PyTorch", "MyGrad")
LEAST_ELEMENTS = 10_000
STRAIGHT_FROM = 50  # levels between two heights: nearer ones differ by little more than the clock's noise
FLAT = 1e6  # bytes by which the memory of a long run may differ


class Measured(NamedTuple):
    """In words, and whether that reaches the goal."""

    text: str
    met: bool


class Goal(NamedTuple):
    """What is measured at each thread count, and what it should reach."""

    what: str
    reach: str
    measure: Callable[[Run, int], Measured | None]


def faster(name: str, rivals: tuple[str, ...], least: float) -> Callable[[Run, int], Measured | None]:
    """How many times as fast as the best of the rivals a workload is."""

    def measure(run: Run, threads: int) -> Measured | None:
        rows = run.training(name, threads)
        rival = best(rows, rivals)
        if rival is None or OURS not in rows:
            return None
        value = rival / rows[OURS]["median"]
        return Measured(f"{value:.2f}×", value >= least)

    return measure


def over_floor(run: Run, threads: int) -> Measured | None:
    rows = run.training("MLP, SGD/SGD", threads)
    if FLOOR not in rows or OURS not in rows:
        return None
    value = rows[OURS]["median"] / rows[FLOOR]["median"]
    return Measured(f"{value:.2f}×", value <= 1.35)


def level(run: Run, threads: int) -> Measured | None:
    times = tower_times(run, threads, OURS)
    if len(times) < 2:
        return None
    heights, seconds = list(times), list(times.values())
    each, most = slope(heights, seconds) * 1e6, steepest(heights, seconds, STRAIGHT_FROM) * 1e6
    return Measured(f"{each:.2f} µs to {heights[-1]}, steepest {most:.2f} µs", max(each, most) <= 4.0)


def tower_times(run: Run, threads: int, label: str) -> dict[int, float]:
    """The seconds of a step by height, lowest first."""
    parts = run.parts("towers", threads)
    return {int(part): parts[part][label]["median"] for part in sorted(parts, key=int) if label in parts[part]}


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


def start(state: str, most: float) -> Callable[[Run, int], Measured | None]:
    """The median seconds of a fresh process."""

    def measure(run: Run, threads: int) -> Measured | None:
        times = [t for s in run.data["starts"] if (s["label"], s["threads"]) == (OURS, threads) for t in s[state]]
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


def peak(key: str) -> Callable[[Run, int], Measured | None]:
    """How memory on the MLP compares with the same on PyTorch, the better of the published package's."""

    def measure(run: Run, threads: int) -> Measured | None:
        sizes: dict[str, dict[str, int]] = {}
        for record in run.data["memory"]:
            if record["name"].startswith("MLP") and record["threads"] == threads and key in record:
                sizes.setdefault(record["name"], {})[record["label"]] = record[key]
        pairs = [
            (rows[OURS] / max(1, min(rows[label] for label in PUBLISHED if label in rows)), name, rows[OURS])
            for name, rows in sizes.items()
            if OURS in rows and set(PUBLISHED) & rows.keys()
        ]
        if not pairs:
            return None
        ratio, name, size = max(pairs)
        return Measured(f"{size / 1e6:.1f} MB, {ratio:.2f}× the published package's ({name})", ratio < 1)

    return measure


GOALS = (
    Goal("SGD/SGD against the published package", "2.5× or more", faster("MLP, SGD/SGD", PUBLISHED, 2.5)),
    Goal("Adam/SGD against it", "4× or more", faster("MLP, Adam/SGD", PUBLISHED, 4.0)),
    Goal("Adam/Adam against it", "4× or more", faster("MLP, Adam/Adam", PUBLISHED, 4.0)),
    Goal(
        "Adam/SGD against the better of JAX and torch.compile", "1.4× or more", faster("MLP, Adam/SGD", COMPILED, 1.4)
    ),
    Goal("SGD/SGD against the floor", "at most 1.35×", over_floor),
    Goal("each further level of a tower, to height 1000", "at most 4 µs, straight", level),
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
        "teaching-size net against the published package",
        "5× or more",
        faster("teaching-size net, Adam/SGD", PUBLISHED, 5.0),
    ),
    Goal(
        "ResNet-20 against plain PyTorch, the quicker layout",
        "0.83× or more",
        faster(IMAGES, (NO_TOWER, CHANNELS_LAST), 1 / 1.2),
    ),
    Goal("character LSTM, Adam/Adam, against the published package", "2× or more", faster(CHARACTERS, PUBLISHED, 2.0)),
    Goal("import", "at most 0.35 s", start("import", 0.35)),
    Goal("first hyperstep, no kernels on disk", "at most 6 s", start("cold", 6.0)),
    Goal("first hyperstep, kernels on disk", "at most 0.8 s", start("warm", 0.8)),
    Goal("memory of a long run", "flat", flat),
    Goal("peak memory of the MLP's steps themselves", "below PyTorch's", peak("own")),
    Goal("peak of the whole process that trains the MLP", "below PyTorch's", peak("process")),
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
