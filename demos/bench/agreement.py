"""Whether all peers computed the same thing: a benchmark of a different computation is worthless."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 5e-3  # of the way that the numbers have come; float32 alone lets RMSProp's differ by a fifth of that
LEAST_WAY = 1e-3  # of a hyperparameter: one that came less far is compared by its size, as it is float32 in most peers


def off(mine: Any, theirs: Any, least: float = 0.0) -> float:
    """How far apart two ways are, of which each has a start and an end, in units of the length of the first.

    least: the shortest length to be compared with, in units of the number at the start.
    """
    (start, end), (other_start, other_end) = (np.asarray(way, np.float64) for way in (mine, theirs))
    length = max(np.linalg.norm(end - start), least * np.linalg.norm(start), 1e-30)
    apart = float(np.linalg.norm((end - start) - (other_end - other_start)) / length)
    return apart if np.isfinite(apart) else float("inf")


def vector(weights: dict[str, np.ndarray]) -> np.ndarray:
    """All weights, in the order of their names."""
    return np.concatenate([np.ravel(weights[name]) for name in sorted(weights)])


def error(reference: Any, other: Any) -> float:
    """The largest of how far the weights, and each hyperparameter, are off; of runs as they stood early, and later."""
    if any(
        mine.weights.keys() != theirs.weights.keys() or mine.hyperparameters.keys() - theirs.hyperparameters.keys()
        for mine, theirs in zip(reference, other)
    ):
        return float("inf")
    weights = off([vector(run.weights) for run in reference], [vector(run.weights) for run in other])
    tuned = [
        off([run.hyperparameters[name] for run in reference], [run.hyperparameters[name] for run in other], LEAST_WAY)
        for name in reference[0].hyperparameters
    ]
    return max(weights, *tuned, 0.0)


def disagreement(results: dict[str, dict[str, Any]], reference: str) -> dict[tuple[str, str], float]:
    """By row and part, how far its training run is off the reference's."""
    return {
        (label, part): error(results[reference][part], run)
        for label, runs in results.items()
        if reference in results and label != reference
        for part, run in runs.items()
        if part in results[reference]
    }
