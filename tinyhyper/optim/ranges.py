"""The ranges in which hyperparameters make sense, and what to say when one leaves its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..sites import warn
from .coordinates import LINEAR, RATE

if TYPE_CHECKING:
    from .tower import Optimizer

Span: TypeAlias = "tuple[float, float]"
Bounds: TypeAlias = "tuple[str, bool, float, float]"
RUNAWAY = 1e6


def in_range(value: float, span: Span) -> bool:
    """Whether a value is in its range, to which the low end belongs and the high end does not.

    What is not finite is a question of its own.
    """
    return span[0] <= value < span[1] or not math.isfinite(value)


def bounding(span: Span) -> str:
    """The coordinates in which a hyperparameter cannot leave its range."""
    return "log" if math.isinf(span[1]) else "unit"


def ends(span: Span) -> str:
    return f"{span[0]:.4g} up" if span[1] == math.inf else f"{span[0]:.4g} to {span[1]:.4g}"


def kept_inside(name: str, span: Span) -> str:
    """What to do about a hyperparameter that leaves its range."""
    row = "alpha" if name.endswith(RATE) else name.rpartition(".")[2]
    return (
        "make the steps of the level above smaller, or tune it in a coordinate that keeps it inside: "
        f"coordinates={{{row!r}: {bounding(span)!r}}}"
    )


class RangeWatch:
    """Warns when a tuned hyperparameter leaves its range, or grows RUNAWAY times as large as it was.

    again: whether one that has come back is told once more.
    """

    def __init__(self, again: bool) -> None:
        self._again = again
        self._told: set[tuple[int, str]] = set()

    def see(self, levels: Sequence[Optimizer]) -> None:
        """A step has moved the hyperparameters of these levels."""
        told = self._told
        for height, level in enumerate(levels):
            for key, direct, low, high in level._spans:
                value = level.parameters[key].array.item()
                if not direct:
                    value = level.meaning(key, value)
                if not low <= value < high:
                    if (height, key) not in told:
                        told.add((height, key))
                        self._tell(height, level, key, value)
                elif self._again:
                    told.discard((height, key))

    def _tell(self, height: int, level: Optimizer, key: str, value: float) -> None:
        span = level.table[level._rows[key]].range
        if in_range(value, span):
            what = f"has run off to {value:.4g}. To do: make the steps of the level above smaller"
        else:
            what = f"is {value:.4g}, outside its range from {ends(span)}. To do: {kept_inside(key, span)}"
        warn(f"hyperparameter {key} of level {height} {what}")


def spans(level: Optimizer) -> Iterator[Bounds]:
    """For each tuned hyperparameter that its coordinate does not keep in its range, whether it is its own coordinate,
    and between which values nobody need be warned."""
    for key in level._tuned:
        coordinate, (low, high) = level._coordinates[level._rows[key]], level.table[level._rows[key]].range
        if coordinate.low < low or coordinate.high > high:
            start = abs(level.meaning(key, level.parameters[key].item()))
            yield key, coordinate is LINEAR, low, min(high, RUNAWAY * max(start, 1.0))
