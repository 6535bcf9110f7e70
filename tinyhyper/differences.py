"""Derivatives by differences: the oracle of the checks. Functions here are of float64 arrays, and give one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

__tracebackhide__ = True  # pytest shows the line that called, not those in here

Array = np.ndarray
Function = Callable[..., Array]

STEP = 1e-4
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))  # error step ** 4 times the fifth derivative
LADDER = (3e-2, 8e-3, 2e-3, 5e-4, 1.2e-4, 3e-5, 8e-6)
ROUNDING = 1e-15  # of a value, a few times float64's


def slope(function: Function, arrays: Sequence[Array], directions: Sequence[Array], step: float = STEP) -> Array:
    """The derivative of function(*arrays) along the directions, by central differences of fourth order."""
    total: Any = 0.0
    for offset, weight in STENCIL:
        total = total + weight * function(*[a + offset * step * d for a, d in zip(arrays, directions)])
    return total / step


def along(arrays: Sequence[Array], n: int, place: int, length: float = 1.0) -> list[Array]:
    """The directions in which one entry of the n-th array alone changes."""
    directions = [np.zeros(a.shape) for a in arrays]
    directions[n].flat[place] = length
    return directions


class Slope(NamedTuple):
    """A derivative, and how far it is uncertain: infinitely where differences are not finite."""

    value: Array
    error: Array


def settled(function: Function, arrays: Sequence[Array], directions: Sequence[Array]) -> Slope:
    """The slope by that step, of a ladder of shorter and shorter ones, at which it has settled best.

    Directions should be as long as their arrays, so that the steps are fractions of them.
    """
    size = np.abs(function(*arrays))
    enough = 1e-12 * size.max(initial=0.0)
    before, best, least = slope(function, arrays, directions, LADDER[0]), None, np.inf
    for step in LADDER[1:]:
        value = slope(function, arrays, directions, step)
        error = np.abs(value - before) + ROUNDING * size / step
        error = np.where(np.isfinite(error), error, np.inf)
        worst = error.max(initial=0.0)
        if best is None or worst < least:
            best, least = Slope(value, error), worst
        if worst <= 1e-7 * np.abs(value).max(initial=0.0) + enough:
            break
        before = value
    assert best is not None
    return best


def size_of(array: Array) -> float:
    """The largest magnitude of an entry, 0 if there is none."""
    return float(np.abs(array).max(initial=0.0))


def lengths(array: Array) -> Array:
    """For each entry, how long a direction is beside which a step of 1 % is small: its magnitude, but not nearly 0."""
    largest = size_of(array)
    return np.maximum(np.abs(array), largest / 100) if largest else np.ones(array.shape)
