"""The ranges in which hyperparameters make sense, and what to say when one leaves its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ..sites import warn
from .coordinates import RATE
from .fields import Fields

Span: TypeAlias = "tuple[float, float]"
RUNAWAY = 1e6
SLOWER = "make the steps of the level above smaller"


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
        f"{SLOWER}, or tune it in a coordinate that keeps it inside: "
        f"coordinates={{{row!r}: {bounding(span)!r}}}"
    )


class RangeWatch:
    """Warns when a tuned hyperparameter runs off: RUNAWAY times as large as it was, or to the end of its range.

    strict: whether it also warns where one leaves the range of its table, and again when it has come back.
    """

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._told: set[tuple[int, str]] = set()

    def see(self, levels: Sequence[Fields]) -> None:
        """A step has moved the hyperparameters of these levels."""
        for height, level in enumerate(levels):
            parameters = level.parameters
            for key, low, high in level._bounds:
                if not low < parameters[key].array.item() < high:
                    self._run_off(height, key, level)
        if self._strict:
            for height, level in enumerate(levels):
                for key in level._tuned:
                    coordinate, span = level._coordinates[level._rows[key]], level.table[level._rows[key]].range
                    if coordinate.low < span[0] or coordinate.high > span[1]:
                        self.check(height, key, _value(level, key), span)

    def _run_off(self, height: int, key: str, level: Fields) -> None:
        if (height, key) not in self._told:
            self._tell(height, key, f"has run off to {_value(level, key):.4g}", SLOWER)

    def check(self, level: int, name: str, value: float, span: Span) -> None:
        """A hyperparameter of a level has this value now."""
        if in_range(value, span):
            self._told.discard((level, name))
        elif (level, name) not in self._told:
            self._tell(level, name, f"is {value:.4g}, outside its range from {ends(span)}", kept_inside(name, span))

    def _tell(self, level: int, name: str, what: str, remedy: str) -> None:
        self._told.add((level, name))
        warn(f"hyperparameter {name} of level {level} {what}. To do: {remedy}")


def bounds(level: Fields) -> Iterator[tuple[str, float, float]]:
    """For each tuned hyperparameter, between which numbers of its coordinate it has not run off."""
    for key in level._tuned:
        limit = RUNAWAY * max(abs(_value(level, key)), 1.0)
        far = {"linear": limit, "sqrt": math.sqrt(limit), "log": math.log(limit), "unit": 18.0}
        name = level._coordinates[level._rows[key]].name
        high = far.get(name, math.inf)
        yield key, min(-high, -700.0) if name == "log" else -high, high


def _value(level: Fields, key: str) -> float:
    return level.meaning(key, level.parameters[key].item())
