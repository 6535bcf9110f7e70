"""Medians, their spread, ratios and slopes of times."""

from __future__ import annotations

from typing import Any

import numpy as np

Times = dict[tuple[str, str], list[list[float]]]  # by row and part, the seconds of each turn


def summary(turns: list[list[float]]) -> dict[str, Any]:
    """Seconds: the least, the median and the quartiles of all calls, and the median of each turn."""
    least, first, median, third = np.percentile(np.concatenate(turns), [0, 25, 50, 75])
    return {
        "least": float(least),
        "median": float(median),
        "quartiles": [float(first), float(third)],
        "turns": [float(np.median(turn)) for turn in turns],
        "count": sum(map(len, turns)),
    }


def ratio(row: dict[str, Any], base: dict[str, Any]) -> float:
    """How many times as long a row takes as another: of the medians of all calls."""
    return row["median"] / base["median"]


def slope(heights: list[int], seconds: list[float]) -> float:
    """Seconds that each further level adds, from the lowest height to the highest: a least-squares line."""
    return float(np.polyfit(heights, seconds, 1)[0])


def steepest(heights: list[int], seconds: list[float], least: int) -> float:
    """The largest number of seconds a level between one height and the next, of those that are `least` apart.

    Where none are, it is the slope of all.
    """
    steps = zip(heights, heights[1:], seconds, seconds[1:])
    slopes = ((t1 - t0) / (h1 - h0) for h0, h1, t0, t1 in steps if h1 - h0 >= least)
    return max(slopes, default=slope(heights, seconds))
