"""Reductions along one, several or all axes. Sums of float32 accumulate in float64.

Conventions at hard points: max and min share the gradient equally among ties; norm and std have gradient 0 where
they are 0.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arguments import number
from ..core.operation import operation
from ..core.rules import Axes, absolute, astype, equal, lengths, like, reshape, restore, sum, total, transpose, where
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError, UnsupportedError
from .shape import concatenate, flip


def real(x: np.ndarray) -> np.ndarray:
    """The array, or, of integers and booleans, a copy in float64: for what computes a float, before it computes."""
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _reduced(x: Tensor, axis: Axes) -> tuple[int, ...]:
    try:
        return tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    except (TypeError, ValueError) as error:
        kind = ArgumentError if isinstance(error, TypeError) else ShapeError
        raise kind(f"norm: axis={axis!r} of a tensor of shape {x.shape}: {error}") from None


def _others(x: Tensor, axis: Axes) -> Tensor:
    """For each element the product of all others along the axes: no division, so right at zeros, of any order."""
    kept, count = lengths(x.shape, axis)
    reduced = _reduced(x, axis)
    order = [*(n for n in range(x.ndim) if n not in reduced), *reduced]
    moved = transpose(x, order)
    rows = reshape(moved, (math.prod(kept), count))
    both = _before(rows) * flip(_before(flip(rows, 1)), 1)
    return transpose(reshape(both, moved.shape), np.argsort(order).tolist())


def _before(rows: Tensor) -> Tensor:
    """For each element of a row the product of those before it, by doubling how far back it reaches."""

    def shifted(values: Tensor, places: int) -> Tensor:
        ones = Tensor(np.ones((rows.shape[0], places), rows.dtype))
        return concatenate([ones, values], 1)[:, : rows.shape[1]]

    products, reach = shifted(rows, 1), 1
    while reach < rows.shape[1]:
        products = products * shifted(products, reach)
        reach *= 2
    return products


@operation(x=lambda g, x, axis: restore(g, x.shape, axis) * _others(x, axis))
def prod(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The product over the axes (all if None); its gradients are right with zeros among the factors.

    x: of any shape.  axis: an integer, a tuple of them, or None.  keepdims: whether these axes stay, of length 1.
    Dtypes are as in `sum`. Raises ShapeError for a wrong axis.
    """
    return x.prod(axis=axis, keepdims=keepdims)


def _share(g: Tensor, x: Tensor, out: Tensor, axis: Axes) -> Tensor:
    hit = astype(equal(x, restore(out, x.shape, axis)), g.dtype)
    return hit * (restore(g, x.shape, axis) / sum(hit, axis, True))


@operation(x=_share)
def max(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The largest over the axes (all if None); ties share the gradient equally.

    x: of any shape; the result has its dtype.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis, and for no elements.
    """
    return x.max(axis=axis, keepdims=keepdims)


@operation(x=_share)
def min(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The smallest over the axes (all if None); ties share the gradient equally.

    x: of any shape; the result has its dtype.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis, and for no elements.
    """
    return x.min(axis=axis, keepdims=keepdims)


def _variance(x: np.ndarray, axis: Axes, ddof: float, keepdims: bool) -> Any:
    number("var, std: ddof", ddof, lambda ddof: True, "number")
    x, count = real(x), lengths(x.shape, axis)[1]
    deviations = x - np.true_divide(total(x, axis, True), count)
    return np.true_divide(total(np.square(deviations), axis, keepdims), builtins.max(count - ddof, 0))


@operation(x=lambda g, axis: _deviations(g, axis))
def _deviations(x: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its mean, taken off twice: the second time it is what the first mean was rounded by."""
    deviations, count = x, lengths(x.shape, axis)[1]
    for _ in range(2):
        deviations = deviations - np.true_divide(total(deviations, axis, True), count)
    return like(deviations, x)


def _spreading(x: Tensor, axis: Axes, ddof: float) -> Tensor:
    """The deviations by the divisor of the variance."""
    count = lengths(x.shape, axis)[1]
    return _deviations(x, axis) * (1.0 / (count - ddof) if count > ddof else math.inf)


@operation(x=lambda g, x, axis, ddof: (2.0 * restore(g, x.shape, axis)) * _spreading(x, axis, ddof))
def var(x: np.ndarray, /, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> np.ndarray:
    """The variance over the axes (all if None), divided by the count less `ddof`.

    x: of any shape; integers and booleans become float64.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis.
    """
    return like(_variance(x, axis, ddof, keepdims), x)


@operation(x=lambda g, x, out, axis, ddof: restore(g / _nonzero(out), x.shape, axis) * _spreading(x, axis, ddof))
def std(x: np.ndarray, /, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> np.ndarray:
    """The standard deviation over the axes (all if None), divisor the count less `ddof`; gradient 0 where it is 0.

    x: of any shape; integers and booleans become float64.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis.
    """
    return like(np.sqrt(_variance(x, axis, ddof, keepdims)), x)


def _nonzero(length: Tensor) -> Tensor:
    """A length to divide by: infinite where it is 0, so that what is divided vanishes there with all derivatives."""
    return where(equal(length, 0.0), math.inf, length)


@operation(x=lambda g, spec, axis: reshape(flip(cumsum(flip(g, axis or 0), axis or 0), axis or 0), spec.shape))
def cumsum(x: np.ndarray, /, axis: int | None = None) -> np.ndarray:
    """The running sum along an axis, or of the flattened tensor if None; float32 accumulates in float64.

    x: of any shape, which the result has; one axis if `axis` is None. Dtypes are as in `sum`.
    Raises ShapeError for a wrong axis.
    """
    return like(np.cumsum(x, axis, np.float64 if x.dtype == np.float32 else None), x)


@operation(x=lambda g, x, out, axis: restore(g / _nonzero(out), x.shape, axis) * x)
def _norm(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    return like(np.sqrt(total(np.square(x), axis, keepdims)), x)


def norm(x: Any, ord: float | str | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along an axis: Euclidean, or another; gradient 0 where it is 0.

    ord: 1, 2, inf or -inf; None for the Euclidean norm, 2.
    x: of any shape; integers and booleans become float64.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1.
    Without `ord` (or with "fro") several axes, all if None, are taken as one vector.
    Raises ShapeError for a wrong axis, ArgumentError for one that is no integer, UnsupportedError for the other norms
    of matrices, for which `ord` means something else.
    """
    x = as_tensor(x)
    x = x if x.dtype.kind == "f" else astype(x, np.float64)
    if ord is None or (ord == "fro" and len(_reduced(x, axis)) == 2):
        return _norm(x, axis, keepdims)
    if len(_reduced(x, axis)) != 1 or ord not in (1, 2, math.inf, -math.inf):
        raise UnsupportedError(
            f"norm: ord={ord!r} is not supported for a tensor of shape {x.shape} over axes {_reduced(x, axis)}"
        )
    if ord == 2:
        return _norm(x, axis, keepdims)
    return {1: sum, math.inf: max, -math.inf: min}[ord](absolute(x), axis, keepdims)


@operation()
def argmax(x: np.ndarray, /, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the largest element stands along an axis, or in the flattened tensor: integers, without a gradient.

    x: of any shape and dtype.  axis: an integer, or None.  keepdims: whether the axis stays, of length 1.
    Raises ShapeError for a wrong axis, and for no elements.
    """
    return np.argmax(x, axis, keepdims=keepdims)


@operation()
def argmin(x: np.ndarray, /, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the smallest element stands along an axis, or in the flattened tensor: integers, without a gradient.

    x: of any shape and dtype.  axis: an integer, or None.  keepdims: whether the axis stays, of length 1.
    Raises ShapeError for a wrong axis, and for no elements.
    """
    return np.argmin(x, axis, keepdims=keepdims)


@operation()
def any(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """Whether any element over the axes is not 0, as booleans.

    x: of any shape.  axis: an integer, a tuple of them, or None.  keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis.
    """
    return np.any(x, axis, keepdims=keepdims)


@operation()
def all(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """Whether all elements over the axes are not 0, as booleans.

    x: of any shape.  axis: an integer, a tuple of them, or None.  keepdims: whether these axes stay, of length 1.
    Raises ShapeError for a wrong axis.
    """
    return np.all(x, axis, keepdims=keepdims)
