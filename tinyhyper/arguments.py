"""What arguments must be, where several functions ask for the same: whole numbers, numbers, names and seeds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from .errors import ArgumentError, DtypeError

__tracebackhide__ = True  # pytest shows the line that called, not those in here


def integer(what: str, value: Any) -> int:
    """A whole number. Raises DtypeError for what is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise DtypeError(f"{what}={value!r} is no whole number") from None


def integers(what: str, values: Any) -> list[int]:
    """A whole number, or a sequence of such, as a list. Raises DtypeError for what is none."""
    try:
        return [operator.index(value) for value in np.atleast_1d(values).tolist()]
    except (TypeError, ValueError):
        raise DtypeError(f"{what}={values!r} is neither a whole number nor a sequence of such") from None


def whole(what: str, value: Any, least: int = 1) -> int:
    """A whole number. Raises ArgumentError for what is none, a bool among it, and for one below the least."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or isinstance(value, bool):
        raise ArgumentError(f"{what}={value!r} is no whole number from {least} on")
    return found


def number(what: str, value: Any, fits: Callable[[Any], bool], which: str) -> float:
    """A finite number. Raises ArgumentError, which says what numbers are meant, for what does not fit, and a bool."""
    found = real(value)
    if not math.isfinite(found) or not fits(found):
        shown = found if math.isinf(found) else value  # of a number beyond floats, not all of its digits
        raise ArgumentError(f"{what}={shown!r} is no number {which}")
    return found


def real(value: Any) -> float:
    """A number as a float: NaN for what is none, a bool among it, infinity for one beyond a float's range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def array(what: str, values: Any) -> np.ndarray:
    """The values as an array. Raises ArgumentError for what makes none, such as rows of several lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ArgumentError(f"{what} do not make one array: {error}") from None


def named(what: str, params: Any, kind: type = Mapping) -> None:
    """Parameters are named. Raises DtypeError for what is no dict."""
    if not isinstance(params, kind):
        raise DtypeError(f"{what}: params is a dict of named tensors, not a {type(params).__name__}")


def generator(what: str, seed: Any) -> np.random.Generator:
    """The generator itself, or one that begins at a seed. Raises DtypeError for no seed, ArgumentError for one < 0."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        kind = DtypeError if isinstance(error, TypeError) else ArgumentError
        raise kind(f"{what}={seed!r} is neither a whole number from 0 on nor a Generator") from None
