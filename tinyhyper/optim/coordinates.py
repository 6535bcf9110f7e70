"""Coordinates: in which variable a hyperparameter is tuned, so that gradient descent cannot leave its range."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import Elementwise
from ..core.rules import exp, square, tanh
from ..errors import ArgumentError
from ..kernels.notation import write_as


class Coordinate(NamedTuple):
    """value(u) is the hyperparameter, u = internal(value) the number that is tuned; values lie in (low, high)."""

    name: str
    value: Callable[[Any], Any]
    internal: Callable[[float], float]
    low: float
    high: float

    def locate(self, value: float, name: str, tuned: bool) -> float:
        """The internal number for a value. Raises ArgumentError outside the range, or on its border if `tuned`."""
        inside = self.low < value < self.high or (not tuned and value in (self.low, self.high))
        if not inside or not math.isfinite(value):
            raise ArgumentError(
                f"{name}={value} is outside ({self.low:g}, {self.high:g}), the range of {self.name} coordinates"
            )
        if value in (self.low, self.high):
            return _BORDERS[self.name, value]
        try:
            return self.internal(value)
        except ValueError:
            raise ArgumentError(f"{name}={value} is too near an end of the range of {self.name} coordinates") from None

    def inside(self) -> Coordinate:
        """The coordinate of a number that moves: its value reaches no end of the range, wherever u has gone."""
        if (self.low, self.high) == (-math.inf, math.inf):
            return self
        low = math.nextafter(self.low, self.high) if self.low else sys.float_info.min
        return self._replace(value=Held(self.value, low, math.nextafter(self.high, self.low)))


@dataclass(frozen=True)
class Held:
    """A coordinate's `value`, held between two numbers; its slope is that of `value` everywhere."""

    value: Callable[[Any], Any]
    low: float
    high: float

    def __call__(self, u: Any) -> Any:
        return _hold(self.value(u), self.low, self.high)


_hold = Elementwise(
    "hold", lambda x, low, high: np.clip(x, low, high), "x between low and high, with slope 1 everywhere.",
    x=lambda g: g,
)  # fmt: skip
write_as(_hold, "({1} if {0} < {1} else ({2} if {0} > {2} else {0}))")


def _same(u: Any) -> Any:
    return u


def _to_unit(u: Any) -> Any:
    return (tanh(u) + 1.0) / 2.0


def _from_unit(value: float) -> float:
    return math.log((1.0 + (2.0 * value - 1.0)) / (1.0 - (2.0 * value - 1.0))) / 2.0


LINEAR = Coordinate("linear", _same, _same, -math.inf, math.inf)
LOG = Coordinate("log", exp, math.log, 0.0, math.inf)
SQRT = Coordinate("sqrt", square, math.sqrt, 0.0, math.inf)
UNIT = Coordinate("unit", _to_unit, _from_unit, 0.0, 1.0)

COORDINATES = {coordinate.name: coordinate for coordinate in (LINEAR, LOG, SQRT, UNIT)}
RATE = "_alpha"  # what the name of a rate by parameter name ends with

_BORDERS = {("log", 0.0): -math.inf, ("sqrt", 0.0): 0.0, ("unit", 0.0): -math.inf, ("unit", 1.0): math.inf}


class Hyperparameter(NamedTuple):
    """One row of an optimizer's table.

    coordinate: in what variable it is tuned.  tuned: whether the level above tunes it unless told otherwise.
    optional: whether a value of 0 means that it is absent.  range: between which values it makes sense.
    """

    default: float
    coordinate: Coordinate = LINEAR
    tuned: bool = True
    optional: bool = False
    range: tuple[float, float] = (0.0, math.inf)

    def admits(self, value: float) -> bool:
        """Whether a value that nothing has moved makes sense. A default outside the range says that any does."""
        low, high = self.range
        return low <= value <= high or not low <= self.default <= high


def coordinate_of(choice: Coordinate | str) -> Coordinate:
    """The coordinate itself, or the one of a name. Raises ArgumentError for a name of none."""
    if isinstance(choice, Coordinate):
        return choice
    if not isinstance(choice, str) or choice not in COORDINATES:
        raise ArgumentError(f"there are no {choice!r} coordinates; there are {', '.join(COORDINATES)}")
    return COORDINATES[choice]
