"""Indexing: basic and advanced, as NumPy has it. Elements taken more than once accumulate their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from ..arguments import integer
from ..errors import DtypeError, ShapeError
from ..interop import unmasked
from ..kernels.scatter import add_rows
from ..tape import Pieces
from ..tensor import Tensor, as_tensor
from .operation import operation

BASIC = (int, slice, EllipsisType, type(None), np.integer)


@operation(x=lambda g, spec, index: Pieces(_scatter, spec.shape, g, index))
def _getitem(x: np.ndarray, /, index: Any) -> np.ndarray:
    return x[index]


@operation(xs=lambda g, position, indices: _getitem(g, indices[position]))
def _scatter(xs: Sequence[np.ndarray], /, indices: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    dtype, numbered = xs[0].dtype, [_by_number(index) for index in indices]
    out = np.zeros(shape, np.float64 if True in numbered else dtype)
    for x, index, numbers in zip(xs, indices, numbered):
        if numbers:
            _add_at(out, index, x)
        elif len(xs) == 1:
            out[index] = x
        else:
            out[index] += x  # slices and masks take nothing twice
    return out.astype(dtype, copy=False)


def _by_number(index: Any) -> bool:
    """Whether an array of integers is in the index, so that it may take an element several times."""
    for item in index if type(index) is tuple else (index,):
        if type(item) is np.ndarray and item.dtype.kind != "b":
            return True
    return False


def _add_at(out: np.ndarray, index: Any, x: np.ndarray) -> None:
    items = index if type(index) is tuple else (index,)
    if len(items) == 1:
        add_rows(x, items[0], out)
    else:
        np.add.at(out, index, x.astype(np.float64, copy=False))


def getitem(x: Any, index: Any) -> Tensor:
    """x[index]: integers, slices, Ellipsis, None, integer arrays or tensors, boolean masks, and tuples of these.

    A gradient accumulates over elements that are taken several times. Raises ShapeError for an index out of bounds,
    DtypeError for one that is not of integers or booleans.
    """
    if type(index) is tuple:
        index = tuple([item if type(item) in BASIC else _frozen(item) for item in index])
    elif type(index) not in BASIC:
        index = _frozen(index)
    return _getitem(x, index)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements at `indices` (integers, of any shape) along an axis, or of the flattened tensor if None.

    Booleans are taken for 0 and 1, as by NumPy; x[mask] selects.
    """
    x, places = as_tensor(x), _frozen(indices)
    places = np.asarray(places, np.intp) if np.asarray(places).dtype == bool else places
    if axis is None:
        return getitem(x if x.ndim == 1 else x.ravel(), places)
    axis = checked_axis("take", x, axis)
    return getitem(x, (slice(None),) * axis + (places,))


def checked_axis(name: str, x: Tensor, axis: Any) -> int:
    """An axis of x, counted from the first. Raises DtypeError for what is no whole number, ShapeError out of bounds."""
    if not -x.ndim <= integer(f"{name}: axis", axis) < x.ndim:
        raise ShapeError(f"{name}: axis {axis} is out of bounds for shape {x.shape}")
    return axis % x.ndim


def _frozen(item: Any) -> Any:
    """An index of our own: one that is an array could be overwritten before the backward pass."""
    if type(item) in BASIC or isinstance(item, (bool, np.bool_)):
        return item
    try:
        array = np.array(item.array if isinstance(item, Tensor) else item)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DtypeError(f"index: a {type(item).__name__} makes no array of integers or booleans: {error}") from error
    if array.size == 0 and not isinstance(item, (np.ndarray, Tensor)):
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise DtypeError(f"index: an index is of integers or booleans, not {array.dtype}")
    unmasked(item, "index", array.ndim)
    return array
