"""Whether an array is finite, and where it is not."""

from __future__ import annotations

import math

import numpy as np

from .core.tape import quietly

Index = tuple[int, ...]


def all_finite(array: np.ndarray) -> bool:
    """Whether no element is NaN or infinite: one pass, a product of the array with itself, unless that overflows."""
    if array.ndim == 0:
        return math.isfinite(array.item())
    return math.isfinite(quietly(np.vdot, array, array)) or bool(np.isfinite(array).all())


def norm(array: np.ndarray) -> float:
    """The root of the sum of squares, which neither overflow nor underflow: infinite or NaN just if an element is."""
    square = float(np.vdot(array, array))
    if 1e-30 < square < 1e30:
        return math.sqrt(square)
    largest = float(np.abs(array).max(initial=0.0))  # NaN, if there is one
    if not 0.0 < largest < math.inf:
        return largest
    return largest * math.sqrt(float(np.sum((array / largest) ** 2, dtype=np.float64)))


def first(where: np.ndarray) -> Index:
    """The index of the first element that is true."""
    return tuple(map(int, np.unravel_index(np.argmax(where), where.shape)))


def worded(value: float) -> str:
    """NaN, infinity or -infinity."""
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"


def described(array: np.ndarray) -> str:
    """Of an array that is not finite: what it is, where first, and how much of it."""
    bad = ~np.isfinite(array)
    if array.ndim == 0:
        return worded(array.item())
    place = first(bad)
    return f"{worded(array[place])} at {list(place)} ({np.count_nonzero(bad)} of {array.size} elements are not finite)"
