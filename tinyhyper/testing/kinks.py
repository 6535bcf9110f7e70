"""Kinks, at which there is no derivative: differences agree with a gradient there that is the middle of two slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..differences import Array, Function
from .functions import signs

__tracebackhide__ = True  # pytest shows the line that called, not those in here

STEPS = np.array([1e-3, 1e-4, 1e-5, 1e-6, 1e-7])  # of the size of an argument
ALIKE = 3  # so many jumps in a row, or it is no kink


class Kink(NamedTuple):
    """Where a function has a kink, as the number of an entry, and the slopes to both sides."""

    place: int
    left: float
    right: float


def find(values: Function, weights: Array, arrays: Sequence[Array], n: int, lengths: Array, rtol: float) -> Kink | None:
    """A kink by some entry of the n-th array.

    values: all results of the arrays.  weights: of the results, in the sum that is looked at.
    lengths: how far a step goes for each entry.  rtol: how much slopes may differ, as a part of them.
    """
    rng = np.random.default_rng(0)

    def jump(places: Array) -> float:
        pattern = np.zeros(arrays[n].shape)
        pattern.flat[places] = signs(rng, places.shape)
        slopes = _slopes(values, arrays, n, pattern * lengths) @ weights
        if not np.isfinite(slopes).all():  # out of the domain: by steps of each entry's own size
            slopes = _slopes(values, arrays, n, pattern * np.abs(arrays[n])) @ weights
        return _jump(slopes[0], slopes[1], rtol)

    places = np.arange(arrays[n].size)
    if not places.size or not jump(places):
        return None
    while places.size > 1:
        places = max(np.array_split(places, 2), key=jump)
    direction = np.zeros(arrays[n].shape)
    direction.flat[places] = lengths.flat[places]
    left, right = _slopes(values, arrays, n, direction)[:, 2] / lengths.flat[places]
    result = np.argmax(np.abs(right - left))
    return Kink(int(places[0]), float(left[result]), float(right[result]))


def told(
    values: Function, weights: Array, arrays: Sequence[Array], n: int, place: int, length: float, where: str
) -> str:
    """Words for an entry at which no derivative exists: the slopes from left and right do not come together."""
    direction = np.zeros(arrays[n].shape)
    direction.flat[place] = length
    sides = _slopes(values, arrays, n, direction) @ weights / length + 0.0
    (far_left, far_right), (left, right) = sides[:, 0], sides[:, 2]
    for side, value in (("left", left), ("right", right)):
        if not np.isfinite(value):
            return f"f is not finite to the {side} of {where} = {arrays[n].flat[place]:.9g}: the edge of its domain?"
    jump = abs(right - left)
    if jump > 0.5 * abs(far_right - far_left) and jump > 1e-3 * max(abs(left), abs(right)):
        return f"f has a kink at {where}: slope from the left {left:.6g}, from the right {right:.6g}"
    return ""


def _slopes(values: Function, arrays: Sequence[Array], n: int, direction: Array) -> Array:
    """Along a direction of the n-th array, by steps to the left and to the right: (sides, steps, results)."""

    def at(step: float) -> Array:
        return values(*[a + step * direction if m == n else a for m, a in enumerate(arrays)])

    here = at(0.0)
    with np.errstate(all="ignore"):
        return np.array([[(at(step) - here) / step + 0.0 for step in steps] for steps in (-STEPS, STEPS)])


def _jump(left: Array, right: Array, rtol: float) -> float:
    """How far slopes are apart, however short the steps: 0 if they come together, or rounding drives them apart."""
    jumps = (right - left)[1:] - np.diff(left - right) / 9  # without curvature, which is as small as the steps
    best = 0.0
    for first in range(len(jumps) - ALIKE + 1):
        least, most = np.sort(np.abs(some := jumps[first : first + ALIKE]))[[0, -1]]
        if least > most / 2 and not np.ptp(np.sign(some)):
            best = max(best, float(least))
    return best if best > rtol * max(abs(left[2]), abs(right[2])) else 0.0
