"""Indexing: basic and advanced, as NumPy has it. Elements taken more than once accumulate their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import integer
from ..core.operation import ArraySpec, quicken
from ..core.rules import _getitem, getitem
from ..core.tensor import Tensor, as_tensor
from ..errors import ShapeError
from ..interop import frozen
from .operation import operation

MANY = 4096  # elements that pieces of a cotangent may hold, however small the whole is


@operation(xs=lambda g, position, indices: _getitem(g, indices[position]))
def scatter(xs: Sequence[np.ndarray], /, indices: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of a shape, with each of the arrays added where an index takes its elements."""
    dtype, numbered = xs[0].dtype, [by_number(index) for index in indices]
    out = np.zeros(shape, np.float64 if True in numbered else dtype)
    for x, index, numbers in zip(xs, indices, numbered):
        if numbers:
            np.add.at(out, index, x.astype(np.float64, copy=False))
        else:
            out[index] += x  # slices and masks take nothing twice
    return out.astype(dtype, copy=False)


def by_number(index: Any) -> bool:
    """Whether an array of integers is in the index, so that it may take an element several times."""
    items = index if type(index) is tuple else (index,)
    return any(type(item) is np.ndarray and item.dtype.kind != "b" for item in items)


class Pieces:
    """The cotangent of what was indexed: pieces and their places, put together when all of them have come.

    So n pieces of one tensor do not cost n arrays of its size.
    """

    __array_ufunc__ = None  # a tensor on the left leaves it the word
    __slots__ = ("shape", "dtype", "pieces", "indices", "held")

    def __init__(self, whole: Any, piece: Tensor, index: Any) -> None:
        self.shape, self.dtype = whole.shape, whole.dtype
        self.pieces, self.indices, self.held = [piece], [index], piece.size

    def __add__(self, other: Any) -> Pieces:
        """With another cotangent of the same tensor, whole or in pieces. Neither is to be used afterwards."""
        more = other if type(other) is Pieces else Pieces(self, other, ...)
        self.pieces += more.pieces
        self.indices += more.indices
        self.held += more.held
        if self.held > max(MANY, math.prod(self.shape)):  # by now they take more memory than the whole
            self.pieces, self.indices, self.held = [self()], [...], 0
        return self

    def __radd__(self, other: Tensor) -> Pieces:
        return Pieces(self, other, ...) + self

    def __call__(self) -> Tensor:
        """The sum, in the order in which they have come."""
        if len(self.pieces) == 1 and self.indices[0] is ...:
            return self.pieces[0]
        return scatter(self.pieces, self.indices, self.shape)


def _taken(g: Tensor, spec: ArraySpec, index: Any) -> Pieces:
    return Pieces(spec, g, index)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements at some indices along an axis, or of the flattened tensor if None.

    x: of any shape and dtype.  axis: an integer or None.
    indices: integers of any shape, which stands in the place of the axis. Booleans are taken for 0 and 1, as by NumPy;
    x[mask] selects.
    Raises ShapeError for an axis or an index out of bounds, DtypeError for indices that are not integers or booleans.
    """
    x, places = as_tensor(x), frozen(indices)
    places = np.asarray(places, np.intp) if np.asarray(places).dtype == bool else places
    if axis is None:
        return getitem(x if x.ndim == 1 else x.ravel(), places)
    axis = checked_axis("take", x, axis)
    return getitem(x, (slice(None),) * axis + (places,))


def checked_axis(name: str, x: Tensor, axis: Any) -> int:
    """An axis of x, counted from the first. Raises DtypeError unless it is an integer, ShapeError out of bounds."""
    if not -x.ndim <= integer(f"{name}: axis", axis) < x.ndim:
        raise ShapeError(f"{name}: axis {axis} is out of bounds for shape {x.shape}")
    return axis % x.ndim


quicken("getitem", x=_taken)
