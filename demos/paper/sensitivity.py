"""How much it matters where a step size starts: errors over alpha, and as one number the decades that do well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf, isnan, log10, nan
from statistics import fmean
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ..shared.report import tidy
from . import Line, page

BOTTOM = "alpha of the bottom, at the start"
GOOD = 2.0  # times the best error: up to there an error counts as reached

Curve = Mapping[float, float]  # errors by alpha


def curve(lines: Iterable[Line], measure: str = "error", worst: float = page.CHANCE) -> dict[float, float]:
    """The mean over seeds by the option alpha; a run whose loss stopped being a number counts as the worst."""
    found: dict[float, list[float]] = {}
    for line in lines:
        value = line.result[measure]
        lost = line.result["diverged"] or value is None
        found.setdefault(line.run.options["alpha"], []).append(worst if lost else value)
    return {alpha: fmean(values) for alpha, values in sorted(found.items())}


def best(curves: Iterable[Curve]) -> float:
    """The lowest error of all."""
    return min((error for points in curves for error in points.values()), default=inf)


def tolerated(points: Curve, worst: float = page.CHANCE) -> float:
    """The decades of alpha from which a tower reaches at most twice the best error that it reaches from any."""
    return decades(points, GOOD * min(points.values()), worst)


def decades(points: Curve, limit: float, worst: float = page.CHANCE) -> float:
    """Over how many decades of alpha the error is at most the limit, between the measured points along a line.

    NaN where the limit says nothing: where it is no better than the worst, what comes of not learning at all.
    """
    if limit >= worst:
        return nan
    total = 0.0
    for (left, before), (right, after) in pairwise(points.items()):
        low, high = sorted((before, after))
        reached = 1.0 if high <= limit else 0.0 if low > limit else (limit - low) / (high - low)
        total += reached * (log10(right) - log10(left))
    return total


def told(number: float) -> str:
    """Decades for a table; nothing where they are not defined."""
    return "" if isnan(number) else f"{number:.1f}"


def looks(heights: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The lines of heights: from light to dark, with the plain optimizer in grey, and from broad to thin.

    Where heights come to the same errors, a thin line lies on a broad one, and both are seen.
    """
    shades, top = colormaps["viridis_r"], max(heights)
    return {
        h: {
            "color": to_hex(shades(0.15 + 0.85 * h / top)) if h else "#888888",
            "linewidth": 1.2 + 0.5 * (top - h),
            "markersize": 4 + 1.1 * (top - h),
        }
        for h in heights
    }


def draw(axes: Axes, points: Curve, **line: Any) -> None:
    """One curve."""
    axes.plot([*points], [*points.values()], "o-", **line)


def table(found: Mapping[int, Curve], published: Mapping[int, Curve], *more: Sequence[str]) -> str:
    """Errors by alpha and height, the published ones in brackets; below them, further rows."""

    def cell(height: int, alpha: float) -> str:
        own = f"{found[height][alpha]:.1f}" if alpha in found[height] else ""
        there = published.get(height, {})
        return f"{own} ({there[alpha]:g})" if alpha in there else own

    alphas = sorted({alpha for points in found.values() for alpha in points})
    rows = [[f"{alpha:g}", *[cell(height, alpha) for height in found]] for alpha in alphas]
    return page.table(["alpha", *[f"height {height}" for height in found]], [*rows, *more])


def scales(axes: Axes, ticks: Sequence[float], label: str = "", below: str = BOTTOM) -> None:
    """Both axes logarithmic. ticks: those of the vertical axis, where there are data."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel(below)
    axes.set_ylabel(label)
    tidy(axes)
