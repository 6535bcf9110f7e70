"""Coordinates: in which variable a hyperparameter is tuned, so that gradient descent cannot leave its range."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from .errors import ArgumentError
from .operation import Elementwise
from .rules import exp, square, tanh


class Coordinate(NamedTuple):
    """value(u) is the hyperparameter, u = internal(value) the number that is tuned; values lie in (low, high)."""

    name: str
    value: Callable[[Any], Any]
    internal: Callable[[float], float]
    low: float
    high: float

    def locate(self, value: float, name: str, tuned: bool) -> float:
        """The internal number for a value. Raises ArgumentError outside the range, or on its border if `tuned`."""
        border = value in (self.low, self.high)
        if not math.isfinite(value) or not (self.low < value < self.high or (border and not tuned)):
            raise ArgumentError(
                f"{name}={value} is outside ({self.low:g}, {self.high:g}), the range of {self.name} coordinates"
            )
        with suppress(ValueError):
            internal = self.internal(value)
            if border or math.isfinite(internal):
                return internal
        raise ArgumentError(f"{name}={value} is too near an end of the range of {self.name} coordinates")

    def inside(self) -> Coordinate:
        """The coordinate of a number that moves: its value reaches no end of the range, wherever u has gone."""
        if (self.low, self.high) == (-math.inf, math.inf):
            return self
        low = math.nextafter(self.low, self.high) if self.low else sys.float_info.min
        value: Any = Held(self.value, low, math.nextafter(self.high, self.low))
        return self._replace(value=value)


class Held(NamedTuple):
    """A coordinate's `value`, held between two numbers; its slope is that of `value` everywhere."""

    value: Callable[[Any], Any]
    low: float
    high: float

    def __call__(self, u: Any) -> Any:
        return hold(self.value(u), self.low, self.high)


hold = Elementwise("hold", lambda x, low, high: np.clip(x, low, high), "x held in [low, high].", x=lambda g: g)


def _same(u: Any) -> Any:
    return u


def _log(value: float) -> float:
    return math.log(value) if value else -math.inf


def _to_unit(u: Any) -> Any:
    return (tanh(u) + 1.0) / 2.0


def _from_unit(value: float) -> float:
    x = 2.0 * value - 1.0
    return _log((1.0 + x) / (1.0 - x)) / 2.0 if x < 1.0 else math.inf


LINEAR = Coordinate("linear", _same, _same, -math.inf, math.inf)
LOG = Coordinate("log", exp, _log, 0.0, math.inf)
SQRT = Coordinate("sqrt", square, math.sqrt, 0.0, math.inf)
UNIT = Coordinate("unit", _to_unit, _from_unit, 0.0, 1.0)
COORDINATES = {coordinate.name: coordinate for coordinate in (LINEAR, LOG, SQRT, UNIT)}


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
