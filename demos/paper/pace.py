"""A kind of run that is timed: a step of the perceptron of `mnist` under SGD towers of many heights.

Options: `heights`, and `rounds`, in which all heights take turns. Its result: by height, the median of the rounds'
milliseconds a step. `steps` of the run are those of each height.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from . import Place, Run, mnist

COST = 20.0
ALPHA = 0.01
load = mnist.load


def stack(height: int) -> str:
    """SGD with so many levels of SGD above."""
    return "/".join([f"sgd({ALPHA})"] * (1 + height))


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Let all heights take turns; the first of their rounds does not count."""
    heights, rounds = run.options["heights"], run.options["rounds"]
    data, count = mnist.load(place.data), run.steps // rounds
    towers = [mnist.Perceptron(Run(run.experiment, run.kind, stack(h), run.seed, run.steps), data) for h in heights]
    steppers = [tower.stepper() for tower in towers]
    times: list[list[float]] = [[] for _ in heights]
    for turn in range(rounds + 1):
        for tower, make, found in zip(towers, steppers, times):
            begun = time.perf_counter()
            for step in range(count):
                make(*tower.batch((turn * count + step) % tower.epoch))
            found.append(1e3 * (time.perf_counter() - begun) / count)
    return {"heights": list(heights), "milliseconds": [median(found[1:]) for found in times]}
