"""The ranges in which hyperparameters make sense, and what to say when one leaves its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping, Sequence
from typing import TypeAlias

from ..core.coordinates import Hyperparameter
from ..core.tensor import Tensor
from ..core.tower import RATE, Optimizer
from ..sites import warn
from .hooks import Hook
from .nonfinite import Guard

Span: TypeAlias = "tuple[float, float]"
RUNAWAY = 1e6
SLOWER = "make the steps of the level above smaller"


def ends(span: Span) -> str:
    """A range in words."""
    return f"{span[0]:.4g} up" if span[1] == math.inf else f"{span[0]:.4g} to {span[1]:.4g}"


def admits(row: Hyperparameter, value: float) -> bool:
    """Whether a value that nothing has moved makes sense. A default outside the range says that any does."""
    low, high = row.range
    return low <= value <= high or not low <= row.default <= high


def in_range(value: float, span: Span) -> bool:
    """Whether a value is in its range, to which the low end belongs and the high end does not.

    What is not finite is a question of its own.
    """
    return span[0] <= value < span[1] or not math.isfinite(value)


def bounding(span: Span) -> str:
    """The coordinates in which a hyperparameter cannot leave its range."""
    return "log" if math.isinf(span[1]) else "unit"


def kept_inside(name: str, span: Span) -> str:
    """What to do about a hyperparameter that leaves its range."""
    row = "alpha" if name.endswith(RATE) else name.rpartition(".")[2]
    return (
        f"{SLOWER}, or tune it in a coordinate that keeps it inside: "
        f"coordinates={{{row!r}: {bounding(span)!r}}}"
    )


class Ranges:
    """Warns, once until it has come back, where a hyperparameter leaves its range."""

    def __init__(self) -> None:
        self._told: set[tuple[int, str]] = set()

    def check(self, level: int, name: str, value: float, span: Span) -> None:
        """A hyperparameter of a level has this value now."""
        if in_range(value, span):
            self._told.discard((level, name))
        elif (level, name) not in self._told:
            self.tell(level, name, f"is {value:.4g}, outside its range from {ends(span)}", kept_inside(name, span))

    def tell(self, level: int, name: str, what: str, remedy: str) -> None:
        """Warn of a hyperparameter, unless that has been done."""
        if (level, name) not in self._told:
            self._told.add((level, name))
            warn(f"hyperparameter {name} of level {level} {what}. To do: {remedy}")


class RangeWatch(Hook):
    """Warns when a tuned hyperparameter runs off: RUNAWAY times as large as it was, or to the end of its range.

    A tower that refuses or skips steps also warns where one leaves the range of its table.
    """

    def __init__(self, level: Optimizer) -> None:
        self._ranges = Ranges()
        self._bounds = tuple(_bounds(level))

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        if len(levels) == 1:
            return
        for height, level in enumerate(levels):
            parameters = level.parameters
            for key, low, high in level.hooks[RangeWatch]._bounds:
                if not low < parameters[key].array.item() < high:
                    self._ranges.tell(height, key, f"has run off to {_value(level, key):.4g}", SLOWER)
        if levels[0].hooks[Guard].choice is not None:
            for height, level in enumerate(levels):
                for key in level._tuned:
                    coordinate, span = level._coordinates[level._rows[key]], level.table[level._rows[key]].range
                    if coordinate.low < span[0] or coordinate.high > span[1]:
                        self._ranges.check(height, key, _value(level, key), span)


def _bounds(level: Optimizer) -> Iterator[tuple[str, float, float]]:
    """For each tuned hyperparameter, between which numbers of its coordinate it has not run off."""
    for key in level._tuned:
        limit = RUNAWAY * max(abs(_value(level, key)), 1.0)
        far = {"linear": limit, "sqrt": math.sqrt(limit), "log": math.log(limit), "unit": 18.0}
        name = level._coordinates[level._rows[key]].name
        high = far.get(name, math.inf)
        yield key, min(-high, -700.0) if name == "log" else -high, high


def _value(level: Optimizer, key: str) -> float:
    return level.meaning(key, level.parameters[key].item())
