"""How parameters start: PyTorch's defaults, as a shape and a way to draw it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

__all__ = ["Initial", "constant", "normal", "uniform"]

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


class Initial(NamedTuple):
    """One row of a layer's table.

    shape: of the parameter, a tuple of integers.  draw: draw(rng, shape), its first values, an array of any dtype.
    """

    shape: Shape
    draw: Draw


# Each is a partial of a function, so that a layer can be pickled.


def uniform(bound: float) -> Draw:
    """Float64 values between -bound and bound, of any shape: a `draw` for Initial.

    bound: a number; PyTorch's linear and convolutional layers take 1/sqrt(inputs of one output).
    """
    return partial(_uniform, bound)


def normal(deviation: float) -> Draw:
    """Float64 values around 0, of any shape: a `draw` for Initial. deviation: the standard deviation, a number."""
    return partial(_normal, deviation)


def constant(value: float) -> Draw:
    """One value everywhere, of any shape: a `draw` for Initial. value: a number, whose dtype the values have."""
    return partial(_constant, value)


def _uniform(bound: float, rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.uniform(-bound, bound, shape)


def _normal(deviation: float, rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return deviation * rng.standard_normal(shape)


def _constant(value: float, rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.full(shape, value)
