"""The myopia meter: each way's hypergradient of one run, how far it is from the referee, and what it costs."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import whole
from ..errors import DtypeError, GradientError
from ..inspect.answers import Answer
from .training import Hypergradient, Training
from .ways import gradient

COLUMNS = ("with respect to", "way", "hypergradient", "error in %", "ms", "MB")


class Measured(NamedTuple):
    """A hypergradient, and what it has cost: seconds, and bytes at the peak."""

    told: str
    found: Hypergradient
    seconds: float
    peak: int


def myopia(training: Training, windows: Sequence[int] | None = None) -> Answer:
    """How far each way's hypergradient of a run is from that of the whole run by differences, and what it costs.

    training: the run.
    windows: the numbers of last steps that are looked back; 1, the root of the number of steps, and half of it if None.
    Hyperparameters of more than one element are told by the norm of their gradient. The memory is that of Python's and
    NumPy's allocations at the peak.
    Source of the word: Wu et al., Understanding Short-Horizon Bias in Stochastic Meta-Optimization, 2018.
    Raises DtypeError if `training` is not a Training, ArgumentError for a window that is not an integer >= 1, and as
    `gradient`.
    """
    if not isinstance(training, Training):
        raise DtypeError(f"hyper.myopia: training must be a th.hyper.Training, not {training!r}")
    steps = training.steps
    looked = sorted({1, math.isqrt(steps), steps // 2} - {0, steps}) if windows is None else windows
    asked: list[tuple[str, str, dict[str, Any]]] = [
        (f"the last {k} steps" if k != 1 else "the last step", "window", {"k": whole("hyper.myopia: windows", k)})
        for k in looked
    ]
    asked += [(f"all {steps} steps", "unroll", {}), ("from checkpoints", "checkpointed", {})]
    asked += [("forward", "forward", {})]
    referee = _measured("differences", training, "differences", {})
    measured, said = [_measured(told, training, way, options) for told, way, options in asked], ""
    if training.outside:
        try:
            measured.append(_measured("implicit", training, "implicit", {}))
        except GradientError as error:
            said = f" There is no implicit one: {str(error).removeprefix('hyper.gradient: ').split('. ')[0]}."
    rows, words = [], []
    for name in training.hyperparameters:
        if _is_nothing(name, referee.found):
            words.append(f"The gradient with respect to {training.label(name)} is 0, or too small for differences.")
            continue
        rows += [_row(training.label(name), name, one, referee.found) for one in (referee, *measured)]
        words.append(_shortest(training.label(name), name, measured[0], referee.found))
    return Answer(
        "How short-sighted is a hypergradient here?", " ".join(words) + said, COLUMNS, rows, bar="error in %"
    )


def _measured(told: str, training: Training, way: str, options: Mapping[str, Any]) -> Measured:
    begun = time.perf_counter()
    found = gradient(training, way, **options)
    seconds = time.perf_counter() - begun
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        gradient(training, way, **options)
        return Measured(told, found, seconds, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if not already:
            tracemalloc.stop()


def _is_nothing(name: str, referee: Hypergradient) -> bool:
    """Whether differences cannot tell a gradient from 0."""
    return float(np.linalg.norm(referee.gradients[name])) <= 10.0 * referee.detail[name]


def _row(label: str, name: str, one: Measured, referee: Hypergradient) -> tuple[Any, ...]:
    found, known = one.found.gradients[name], referee.gradients[name]
    error = float(np.linalg.norm(found - known) / np.linalg.norm(known))
    value = found.item() if found.size == 1 else float(np.linalg.norm(found))
    return label, one.told, value, 100.0 * error, one.seconds * 1e3, one.peak / 1e6


def _shortest(label: str, name: str, one: Measured, referee: Hypergradient) -> str:
    """What the shortest look back finds of the whole run's hypergradient, in words."""
    known = referee.gradients[name]
    share = float(np.vdot(one.found.gradients[name], known) / np.vdot(known, known))
    if share < 0.0:
        return f"Through {one.told} alone, the gradient with respect to {label} has the wrong sign."
    return f"Through {one.told} alone, the gradient with respect to {label} is {100 * share:.3g} % of the whole run's."
