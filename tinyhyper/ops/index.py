"""Indexing: basic and advanced, as NumPy has it. Elements taken more than once accumulate their gradients."""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np

from ..arguments import integer
from ..errors import DtypeError, ShapeError
from ..kernels.scatter import scatter
from ..tensor import Tensor, as_tensor
from .operation import operation

BASIC = (int, slice, EllipsisType, type(None), np.integer)


@operation(x=lambda g, spec, index: _scatter(g, index, spec.shape))
def _getitem(x: np.ndarray, /, index: Any) -> np.ndarray:
    return x[index]


@operation(x=lambda g, index: _getitem(g, index))
def _scatter(x: np.ndarray, /, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    items = index if type(index) is tuple else (index,)
    if not any(isinstance(item, np.ndarray) and item.dtype.kind != "b" for item in items):
        out[index] = x  # slices and masks take nothing twice
        return out
    if len(items) == 1:
        return scatter(x, items[0], shape)
    if x.dtype == np.float64:
        np.add.at(out, index, x)
        return out
    wide = np.zeros(shape, np.float64)
    np.add.at(wide, index, x.astype(np.float64))
    return wide.astype(x.dtype)


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
    """The elements at `indices` (integers, of any shape) along an axis, or of the flattened tensor if None."""
    x = as_tensor(x)
    if axis is None:
        return getitem(x.ravel(), indices)
    axis = checked_axis("take", x, axis)
    return getitem(x, (slice(None),) * axis + (_frozen(indices),))


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
    return array
