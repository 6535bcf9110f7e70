"""How parameters start: PyTorch's defaults, as a shape and a way to draw it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


class Initial(NamedTuple):
    """One row of a layer's table: a parameter's shape, and how its first values are drawn."""

    shape: tuple[int, ...]
    draw: Draw


def uniform(bound: float) -> Draw:
    """Between -bound and bound. PyTorch's linear and convolutional layers take 1/sqrt(inputs of one output)."""
    return lambda rng, shape: rng.uniform(-bound, bound, shape)


def normal(deviation: float) -> Draw:
    """Around 0, with this standard deviation."""
    return lambda rng, shape: deviation * rng.standard_normal(shape)


def constant(value: float) -> Draw:
    """One value everywhere; nothing is drawn."""
    return lambda rng, shape: np.full(shape, value)
