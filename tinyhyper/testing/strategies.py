"""Hypothesis strategies for arrays, shapes and axes at which a derivative has a meaning.

Where an example fails, hypothesis shows its arrays as Python that makes the same ones: `np.array([0.5, -1.0])`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import integers, number, whole
from ..errors import ArgumentError, DtypeError, MissingPackageError
from .numbers import PLACES, Shape, numbers_off

__tracebackhide__ = True  # pytest shows the line that called, not those in here

try:
    from hypothesis import reject
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
    from hypothesis.vendor import pretty
except ImportError as error:
    raise MissingPackageError(
        "tinyhyper.testing: strategies need hypothesis; pip install 'tinyhyper[test]', or hypothesis itself"
    ) from error

SEEDS = st.integers(0, 10_000)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def broadcastable_shapes(
    n: int, *, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Tuples of shapes that broadcast together.

    n: how many shapes.  max_dims: how many axes at most.  min_side, max_side: how long an axis is, integers >= 0.
    """
    return hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=max_dims, min_side=min_side, max_side=max_side).map(
        lambda shapes: shapes.input_shapes
    )


def axes_of(ndim: int, none: bool = True) -> st.SearchStrategy[Any]:
    """One axis, counted from either end, or a tuple of them, or, where `none`, None.

    ndim: how many axes there are, an integer >= 0.
    Raises ArgumentError unless ndim is an int >= 0.
    """
    ndim = whole("axes_of: ndim", ndim, 0)
    choices: list[st.SearchStrategy[Any]] = [st.none()] if none else []
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
        choices.append(hnp.valid_tuple_axes(ndim))
    else:
        choices.append(st.just(()))
    return st.one_of(choices)


def arrays_off(
    kinks: Sequence[float] = (0.0,),
    shape: Shape | st.SearchStrategy[Shape] = SHAPES,
    low: float = -2.0,
    high: float = 2.0,
    dtype: npt.DTypeLike = np.float64,
    place: int = 0,
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of numbers between the bounds that keep a distance from kinks and ties, where no derivative exists.

    kinks: numbers.  low, high: the bounds, both included, finite numbers.
    shape: of the array, or a strategy of shapes, of which those are taken for which there is room.
    dtype: of floats or integers. Integers, by which nothing is differentiated, keep off kinks, but may be equal.
    place: 0, 1 or 2; arrays of up to 50 entries at different places have no ties with each other either, as a maximum
    needs, unless the dtype has hardly enough numbers between the bounds for one.
    Raises ArgumentError for bounds, kinks, lengths or a place that do not fit, and where there is no room; DtypeError
    for another dtype and for a shape that is not of integers.
    """
    for name, bound in (("low", low), ("high", high)):
        number(f"arrays_off: {name}", bound, lambda bound: True, "finite number")
    if not low < high:
        raise ArgumentError(f"arrays_off: there is no number between low={low} and high={high}")
    if place not in range(PLACES):
        raise ArgumentError(f"arrays_off: place must be 0, 1 or 2, not {place!r}")
    numbers = partial(numbers_off, low=float(low), high=float(high), place=place)
    numbers = partial(numbers, kinks=_checked_kinks(kinks), dtype=_checked_dtype(dtype))
    given = None if isinstance(shape, st.SearchStrategy) else _checked_shape(shape)
    shapes = shape if given is None else st.just(given)
    numbers(np.random.default_rng(0), given or ())  # raises where there is no room at all

    @st.composite  # hypothesis would show the call of a mapped function in place of the numbers
    def arrays(draw: Any) -> np.ndarray:
        chosen, rng = draw(shapes), np.random.default_rng(draw(SEEDS))
        try:
            return numbers(rng, chosen)
        except ArgumentError:
            reject()

    return arrays()


def _checked_shape(shape: Any) -> Shape:
    lengths = tuple(integers("arrays_off: shape", shape))
    if min(lengths, default=0) < 0:
        raise ArgumentError(f"arrays_off: shape must have lengths >= 0, not {shape!r}")
    return lengths


def _checked_kinks(kinks: Any) -> list[float]:
    try:
        found = np.asarray(kinks, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.array(np.nan)
    if found.ndim != 1 or np.isnan(found).any():
        raise ArgumentError(f"arrays_off: kinks must be a sequence of numbers, such as (0.0,), not {kinks!r}")
    return found.tolist()


def _checked_dtype(dtype: Any) -> np.dtype:
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "fiu":
        raise DtypeError(f"arrays_off: dtype must be a dtype of floats or integers, not {dtype!r}")
    return found


def source(array: np.ndarray) -> str:
    """An array as Python that makes the same one, to the last bit."""
    dtype = f"np.{array.dtype.name}"
    if not array.size:  # nested lists would lose its shape
        return f"np.zeros({array.shape}, {dtype})"
    values = re.sub("nan|inf", r"np.\g<0>", repr(array.tolist()))
    return f"np.array({values})" if array.dtype == np.array(array.tolist()).dtype else f"np.array({values}, {dtype})"


def _show(array: np.ndarray, printer: pretty.RepresentationPrinter, cycle: bool) -> None:
    printer.text(source(array) if type(array) is np.ndarray and array.dtype.kind in "biuf" else repr(array))


pretty.for_type_by_name("numpy", "ndarray", _show)
