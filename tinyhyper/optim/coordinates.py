"""Coordinates: in which variable a hyperparameter is tuned, so that gradient descent cannot leave its range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ArgumentError
from ..ops.elementwise import exp, square, tanh


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
        return self.internal(value)


LINEAR = Coordinate("linear", lambda u: u, lambda value: value, -math.inf, math.inf)
LOG = Coordinate("log", exp, math.log, 0.0, math.inf)
SQRT = Coordinate("sqrt", square, math.sqrt, 0.0, math.inf)
UNIT = Coordinate(
    "unit",
    lambda u: (tanh(u) + 1.0) / 2.0,
    lambda value: math.log((1.0 + (2.0 * value - 1.0)) / (1.0 - (2.0 * value - 1.0))) / 2.0,
    0.0,
    1.0,
)

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


def coordinate_of(choice: Coordinate | str) -> Coordinate:
    """The coordinate itself, or the one of a name. Raises ArgumentError for a name of none."""
    if isinstance(choice, Coordinate):
        return choice
    if not isinstance(choice, str) or choice not in COORDINATES:
        raise ArgumentError(f"there are no {choice!r} coordinates; there are {', '.join(COORDINATES)}")
    return COORDINATES[choice]
