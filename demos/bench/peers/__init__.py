"""The peers: a module each, so that a process imports one library only.

A module has, of these, what its library can do. Each takes what to do and, last, in which variant of the peer; it gives
the steps to be timed, by name if there are several:

- `hyperstep(workload, variant)` and `towers(heights, variant)`: a `Training` each
- `operation(name, sizes, backward, variant)` and `chain(length, sizes, variant)`
- `matmul(shapes, variant)` and `linear(shapes, variant)`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..problems import Arrays


class Result(NamedTuple):
    """What a training run has come to: weights (inputs, outputs), and the bottom's hyperparameters as tuned."""

    weights: Arrays
    hyperparameters: dict[str, float]


class Training(NamedTuple):
    """A step of a training run, where the run stands, and the peer's own loop over so many steps, if it has one."""

    step: Callable[[], Any]
    result: Callable[[], Result]
    loop: Callable[[int], Any] | None = None


def floats(values: Any) -> dict[str, float]:
    """Scalars of any library as numbers."""
    return {name: float(value) for name, value in values.items()}


def arrays(values: Any) -> Arrays:
    """Arrays of any library as NumPy's."""
    return {name: np.array(value) for name, value in values.items()}
