"""Checks of arguments that several functions take: integers, numbers, names and seeds."""

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
    """The value as an int. Raises DtypeError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise DtypeError(f"{what} must be an integer, not {value!r}") from None


def integers(what: str, values: Any) -> list[int]:
    """An integer, or a sequence of integers, as a list. Raises DtypeError for anything else."""
    try:
        return [operator.index(value) for value in np.atleast_1d(values).tolist()]
    except (TypeError, ValueError):
        raise DtypeError(f"{what} must be an integer or a sequence of integers, not {values!r}") from None


def whole(what: str, value: Any, least: int = 1) -> int:
    """The value as an int >= least. Raises ArgumentError for anything else, a bool too."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or isinstance(value, bool):
        raise ArgumentError(f"{what} must be an integer >= {least}, not {value!r}")
    return found


def number(what: str, value: Any, fits: Callable[[Any], bool], which: str) -> float:
    """The value as a finite float that fits. Raises ArgumentError, in which `which` says what numbers fit."""
    found = real(value)
    if not math.isfinite(found) or not fits(found):
        shown = found if math.isinf(found) else value  # of a number beyond floats, not all of its digits
        raise ArgumentError(f"{what} must be a {which}, not {shown!r}")
    return found


def real(value: Any) -> float:
    """The value as a float: NaN for a bool and for anything but a number, infinity for one beyond a float's range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def array(what: str, values: Any) -> np.ndarray:
    """The values as an array. Raises ArgumentError for values that make none, such as rows of several lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ArgumentError(f"{what} must be one array, with rows of equal length: {error}") from None


def named(what: str, params: Any, kind: type = Mapping) -> None:
    """Raises DtypeError unless params is a dict."""
    if not isinstance(params, (dict, kind)):
        raise DtypeError(f"{what}: params must be a dict of named tensors, not a {type(params).__name__}")


def generator(what: str, seed: Any) -> np.random.Generator:
    """The generator itself, or one from a seed. Raises DtypeError for anything else, ArgumentError for a seed < 0."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        kind = DtypeError if isinstance(error, TypeError) else ArgumentError
        raise kind(f"{what} must be an integer >= 0 or a Generator, not {seed!r}") from None
