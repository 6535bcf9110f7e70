"""Reductions along one, several or all axes. Sums of float32 accumulate in float64.

Conventions at hard points: max and min share the gradient equally among ties; norm and std have gradient 0 where
they are 0.
"""

from __future__ import annotations

import builtins
import functools
import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arguments import number
from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..kernels.totals import FLOAT32, FLOAT64, real, total
from ..tensor import Tensor, as_tensor
from .elementwise import absolute, equal, where
from .operation import Spec, operation
from .shape import Axes, astype, broadcast_to, concatenate, flip, reshape, transpose


@functools.lru_cache(maxsize=4096)
def _lengths(shape: tuple[int, ...], axis: Axes) -> tuple[tuple[int, ...], int]:
    """The shape with the reduced axes of length 1, and how many elements each result is made from."""
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    return tuple([1 if n in axes else length for n, length in enumerate(shape)]), math.prod([shape[n] for n in axes])


def restore(result: Tensor, shape: tuple[int, ...], axis: Axes) -> Tensor:
    """A reduction's result, or its cotangent, with the axes that it lost, of length 1; a 0-d one broadcasts as is."""
    if result.ndim == 0:
        return result
    kept = _lengths(shape, axis)[0]
    return result if result.shape == kept else reshape(result, kept)


def _total(x: np.ndarray, axis: Axes, keepdims: bool) -> Any:
    """The sum, in float64 for float32: NumPy adds naively along any axis but the last."""
    if axis is None and not keepdims:
        return total(x)
    return x.sum(axis=axis, dtype=FLOAT64 if x.dtype == FLOAT32 else None, keepdims=keepdims)


def _like(value: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(value, FLOAT32 if x.dtype == FLOAT32 else None)


def _spread(g: Tensor, spec: Spec, axis: Axes) -> Tensor:
    return broadcast_to(restore(g, spec.shape, axis), spec.shape)


@operation(x=_spread)
def sum(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The sum over the axes (all if None); float32 accumulates in float64. Raises ShapeError for a wrong axis."""
    return _like(_total(x, axis, keepdims), x)


@operation(x=lambda g, spec, axis: _spread(g / float(_lengths(spec.shape, axis)[1]), spec, axis))
def mean(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The mean over the axes (all if None), NaN of no elements. Raises ShapeError for a wrong axis."""
    return _like(np.true_divide(_total(real(x), axis, keepdims), _lengths(x.shape, axis)[1]), x)


def _reduced(x: Tensor, axis: Axes) -> tuple[int, ...]:
    try:
        return tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    except (TypeError, ValueError) as error:
        kind = ArgumentError if isinstance(error, TypeError) else ShapeError
        raise kind(f"norm: axis={axis!r} of a tensor of shape {x.shape}: {error}") from None


def _others(x: Tensor, axis: Axes) -> Tensor:
    """For each element the product of all others along the axes: no division, so right at zeros, of any order."""
    kept, count = _lengths(x.shape, axis)
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
    """The product over the axes (all if None); its gradients are right with zeros among the factors."""
    return x.prod(axis=axis, keepdims=keepdims)


def _share(g: Tensor, x: Tensor, out: Tensor, axis: Axes) -> Tensor:
    hit = astype(equal(x, restore(out, x.shape, axis)), g.dtype)
    return hit * (restore(g, x.shape, axis) / sum(hit, axis, True))


@operation(x=_share)
def max(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The largest over the axes (all if None); ties share the gradient equally. Raises ShapeError for no elements."""
    return x.max(axis=axis, keepdims=keepdims)


@operation(x=_share)
def min(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The smallest over the axes (all if None); ties share the gradient equally. Raises ShapeError for no elements."""
    return x.min(axis=axis, keepdims=keepdims)


def _variance(x: np.ndarray, axis: Axes, ddof: float, keepdims: bool) -> Any:
    number("var, std: ddof", ddof, lambda ddof: True, "to take from the count")
    x, count = real(x), _lengths(x.shape, axis)[1]
    deviations = x - np.true_divide(_total(x, axis, True), count)
    return np.true_divide(_total(np.square(deviations), axis, keepdims), builtins.max(count - ddof, 0))


@operation(x=lambda g, axis: _deviations(g, axis))
def _deviations(x: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its mean, taken off twice: the second time it is what the first mean was rounded by."""
    deviations, count = x, _lengths(x.shape, axis)[1]
    for _ in range(2):
        deviations = deviations - np.true_divide(_total(deviations, axis, True), count)
    return _like(deviations, x)


def _spreading(x: Tensor, axis: Axes, ddof: float) -> Tensor:
    """The deviations by the divisor of the variance."""
    count = _lengths(x.shape, axis)[1]
    return _deviations(x, axis) * (1.0 / (count - ddof) if count > ddof else math.inf)


@operation(x=lambda g, x, axis, ddof: (2.0 * restore(g, x.shape, axis)) * _spreading(x, axis, ddof))
def var(x: np.ndarray, /, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> np.ndarray:
    """The variance over the axes (all if None), divided by the count less `ddof`."""
    return _like(_variance(x, axis, ddof, keepdims), x)


@operation(x=lambda g, x, out, axis, ddof: restore(g / _nonzero(out), x.shape, axis) * _spreading(x, axis, ddof))
def std(x: np.ndarray, /, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> np.ndarray:
    """The standard deviation over the axes (all if None), divisor the count less `ddof`; gradient 0 where it is 0."""
    return _like(np.sqrt(_variance(x, axis, ddof, keepdims)), x)


def _nonzero(length: Tensor) -> Tensor:
    """A length to divide by: infinite where it is 0, so that what is divided vanishes there with all derivatives."""
    return where(equal(length, 0.0), math.inf, length)


@operation(x=lambda g, spec, axis: reshape(flip(cumsum(flip(g, axis or 0), axis or 0), axis or 0), spec.shape))
def cumsum(x: np.ndarray, /, axis: int | None = None) -> np.ndarray:
    """The running sum along an axis, or of the flattened tensor if None; float32 accumulates in float64."""
    return _like(np.cumsum(x, axis, np.float64 if x.dtype == np.float32 else None), x)


@operation(x=lambda g, x, out, axis: restore(g / _nonzero(out), x.shape, axis) * x)
def _norm(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    return _like(np.sqrt(_total(np.square(x), axis, keepdims)), x)


def norm(x: Any, ord: float | str | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along an axis: Euclidean, or `ord` 1, 2, inf or -inf; gradient 0 where it is 0.

    Without `ord` (or with "fro") several axes, all if None, are taken as one vector. Raises UnsupportedError for the
    other norms of matrices, as `ord` means something else there.
    """
    x = as_tensor(x)
    x = x if x.dtype.kind == "f" else astype(x, np.float64)
    if ord is None or (ord == "fro" and len(_reduced(x, axis)) == 2):
        return _norm(x, axis, keepdims)
    if len(_reduced(x, axis)) != 1 or ord not in (1, 2, math.inf, -math.inf):
        raise UnsupportedError(f"norm: ord={ord!r} over axes {_reduced(x, axis)} of shape {x.shape} has no rule")
    if ord == 2:
        return _norm(x, axis, keepdims)
    return {1: sum, math.inf: max, -math.inf: min}[ord](absolute(x), axis, keepdims)


@operation()
def argmax(x: np.ndarray, /, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the largest element stands along an axis, or in the flattened tensor: integers, without a gradient."""
    return np.argmax(x, axis, keepdims=keepdims)


@operation()
def argmin(x: np.ndarray, /, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the smallest element stands along an axis, or in the flattened tensor: integers, without a gradient."""
    return np.argmin(x, axis, keepdims=keepdims)


@operation()
def any(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """Whether any element over the axes is not 0, as booleans."""
    return np.any(x, axis, keepdims=keepdims)


@operation()
def all(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """Whether all elements over the axes are not 0, as booleans."""
    return np.all(x, axis, keepdims=keepdims)
