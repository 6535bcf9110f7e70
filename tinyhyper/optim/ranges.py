"""The ranges in which hyperparameters make sense, and what to say when one leaves its own."""

from __future__ import annotations

import math

from ..sites import warn
from .coordinates import RATE

Span = tuple[float, float]


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
    """Warns when a hyperparameter leaves its range, once until it comes back."""

    def __init__(self) -> None:
        self._outside: set[tuple[int, str]] = set()

    def see(self, level: int, name: str, value: float, span: Span) -> None:
        """A hyperparameter of a level has this value now."""
        if in_range(value, span):
            self._outside.discard((level, name))
        elif (level, name) not in self._outside:
            self._outside.add((level, name))
            warn(
                f"hyperparameter {name} of level {level} is {value:.4g}, outside its range from {ends(span)}. "
                f"To do: {kept_inside(name, span)}"
            )
