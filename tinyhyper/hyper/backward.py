"""Back through the steps of a run, one after another: all of them, the last ones, or from checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..errors import ArgumentError
from .scaling import Scaled
from .training import Arrays, Hypergradient, StepGraph, Training

CLOSE = 1e-5  # of the largest element: how near to twice as much a step must be from twice the weights


def backward(
    training: Training, last: int, every: int, scaled: bool, homogeneous: int | None, cuts: bool = False
) -> Hypergradient:
    """The gradient through the last steps.

    every: each so many-th of them is kept, and those between are made again: all at once where it is as many as `last`.
    cuts: whether the run is cut before them; if not, a state that begins at a hyperparameter counts, too.
    scaled, homogeneous: as in `gradient`.
    """
    if homogeneous is not None and not scaled:
        raise ArgumentError("hyper.gradient: homogeneous= needs scaled=True")
    begun, moves = training.start(), homogeneous is not None
    at, starts = _at(begun.arrays(), 0, moves), range(training.steps - last, training.steps, every)
    if moves:
        _check(training, at)
    kept: dict[int, Scaled] = {}
    for n, (before, _, after) in enumerate(_steps(training, at, range(starts[-1]), moves)):
        if n in starts:
            kept[n] = before
        at = after
    kept[starts[-1]] = at
    for start, end in zip(reversed(starts), [training.steps, *reversed(starts)]):
        steps = [*_steps(training, kept.pop(start), range(start, end), moves)]
        if end == training.steps:
            value, cotangents = _ask(training, steps[-1][2], homogeneous)
            zeros = {name: np.zeros_like(x) for name, x in training.hyperparameters.items()}
            total = Scaled(zeros, cotangents.exponent)
        while steps:
            before, step, _ = steps.pop()
            pulled, found = step.pull(cotangents.arrays)
            total += Scaled(found, cotangents.exponent + before.exponent)
            cotangents = Scaled(pulled, cotangents.exponent)
            cotangents = cotangents.normal() if scaled else cotangents
    if not cuts:
        total += Scaled(begun.pull(cotangents.arrays)[1], cotangents.exponent)
    total = total.normal() if scaled else total
    if scaled and total.is_in_range():
        total = Scaled(total.at(0))
    return Hypergradient("", value, dict(total.arrays), total.exponent)


def _at(arrays: Arrays, exponent: int, moves: bool) -> Scaled:
    found = Scaled(arrays, exponent)
    return found.normal() if moves else found


def _steps(
    training: Training, at: Scaled, numbers: Iterable[int], moves: bool
) -> Iterator[tuple[Scaled, StepGraph, Scaled]]:
    """Steps from these weights and states on, each with what it reads and where it leads to.

    A step is made at the mantissas: it gives twice as much from twice the weights.
    """
    for n in numbers:
        step = training.step(n, at.arrays)
        after = _at(step.arrays(), at.exponent, moves)
        yield at, step, after
        at = after


def _ask(training: Training, at: Scaled, degree: int | None) -> tuple[float, Scaled]:
    """The goal, and its gradient with respect to the weights, at the end of a run."""
    value, cotangents = training.ask(at.arrays)
    if degree is None:
        return value, Scaled(cotangents)
    if degree == 0:  # twice the weights add a constant: log 2 for the logarithm of a norm
        twice, _ = training.ask(Scaled(at.arrays, 1).at(0))
        value += at.exponent * (twice - value)
    else:
        value = float(Scaled({"": np.array(value)}, degree * at.exponent).at(0)[""])
    return value, Scaled(cotangents, (degree - 1) * at.exponent).normal()


def _check(training: Training, at: Scaled) -> None:
    """Raise ArgumentError unless twice the weights and states lead to twice as much."""
    once, twice = (training.step(0, Scaled(at.arrays, n).at(0)).arrays() for n in (0, 1))
    for key, array in once.items():
        largest = np.abs(array).max(initial=0.0)
        if not np.abs(twice[key] - 2.0 * array).max(initial=0.0) <= CLOSE * largest:
            raise ArgumentError(
                "hyper.gradient: homogeneous= needs a homogeneous step, but from twice the weights and states this "
                f"step does not make twice the {' of '.join(reversed(key))}. Leave out homogeneous=: then the "
                "cotangents alone are scaled"
            )
