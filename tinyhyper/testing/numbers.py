"""Numbers between bounds that keep a distance from kinks, and from each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.tape import quietly
from ..errors import ArgumentError

__tracebackhide__ = True  # pytest shows the line that called, not those in here

Shape = tuple[int, ...]

FLOAT64 = np.dtype(np.float64)
PLACES = 3
GAP = 0.02
FEWEST = 60  # intervals: arrays of fewer entries have the same


def numbers_off(
    rng: np.random.Generator,
    shape: Shape,
    low: float,
    high: float,
    kinks: Sequence[float] | np.ndarray = (),
    place: int = 0,
    dtype: np.dtype = FLOAT64,
) -> np.ndarray:
    """The numbers of `arrays_off`, drawn from a generator. Raises ArgumentError where there is no room for them."""
    size = int(np.prod(shape))
    count = max(FEWEST, size + len(kinks))  # a kink takes away one interval at most
    low, high = _within(low, high, dtype)
    width = high / count - low / count
    gap = min(GAP, width / 4)
    if dtype.kind != "f":
        found = _integers(rng, size, low, high, kinks, gap, dtype)
    elif (unit := _unit(low, high, dtype)) < width / 100:
        parts = (np.arange(count) + (place % PLACES) / PLACES + 0.1) / count
        reach = 0.05 * width  # each is from an interval of its own
        starts = _away(low * (1 - parts) + high * parts, reach, kinks, gap + unit)
        found = rng.permutation(starts)[:size] + reach * rng.random(size)
    else:
        rounded = quietly(np.asarray(kinks, np.float64).astype, dtype).tolist()  # as a function of the dtype has them
        first, last = math.ceil(low / unit), math.floor(high / unit)
        multiples = first + np.arange(max(last - first + 1, 0), dtype=np.float64)
        own = multiples[multiples % PLACES == place]  # a third of them; an array that needs more has all
        own, every = (_away(some * unit, 0.0, [*kinks, *rounded], gap) for some in (own, multiples))
        found = rng.permutation(own if len(own) >= size else every)[:size]
    if len(found) < size:
        raise ArgumentError(
            f"arrays_off: no room for {size} numbers of {dtype} between low={low} and high={high}, off "
            f"kinks={tuple(kinks)}: there are {len(found)}"
        )
    return found.reshape(shape).astype(dtype)


def _within(low: float, high: float, dtype: np.dtype) -> tuple[float, float]:
    """The part of the interval in which the dtype has numbers. Of an integer type the limits are integers: a float
    would round them.
    """
    if dtype.kind != "f":
        return max(low, np.iinfo(dtype).min), min(high, np.iinfo(dtype).max)
    return max(low, float(np.finfo(dtype).min)), min(high, float(np.finfo(dtype).max))


def _unit(low: float, high: float, dtype: np.dtype) -> float:
    """How far numbers of the dtype lie apart near the larger bound. Its multiples are numbers of the dtype too."""
    limits = np.finfo(dtype)
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    return max(math.ldexp(float(limits.eps), exponent - 1), float(limits.smallest_subnormal))


def _away(starts: np.ndarray, reach: float, kinks: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """The starts of those intervals that are further than the gap from every kink."""
    for kink in kinks:
        starts = starts[(starts + reach < kink - gap) | (starts > kink + gap)]
    return starts


def _integers(
    rng: np.random.Generator,
    size: int,
    low: float,
    high: float,
    kinks: Sequence[float] | np.ndarray,
    gap: float,
    dtype: np.dtype,
) -> np.ndarray:
    """Integers off kinks, which may be equal; none, if there are none."""
    first, last = math.ceil(low), math.floor(high)
    near = {round(kink) for kink in kinks if math.isfinite(kink) and abs(round(kink) - kink) <= gap}
    left_out = sorted(kink for kink in near if first <= kink <= last)
    if (room := last - first + 1 - len(left_out)) < 1:
        return np.empty(0, dtype)
    found = first + rng.integers(0, room - 1, size, np.uint64, endpoint=True).astype(object)  # of any size, exactly
    for kink in left_out:
        found += found >= kink
    return found
