"""The rules: about thirty-five operations, each a name, NumPy's way, and a VJP for each input.

Conventions at hard points are those of the VJPs here: abs has gradient 0 at 0; sqrt has an infinite gradient at 0;
x ** 0 has gradient 0 in x everywhere, and x ** p has gradient 0 in p where x is 0. Sums of float32 accumulate in
float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import normalize_axis_tuple

from .operation import ArraySpec, Elementwise, Operation, attach, elementwise, entered, operation
from .tensor import FLOAT32, FLOAT64, Tensor, check_dtype

Axes = int | tuple[int, ...] | None
# Constants of the gradient: comparisons and steps.
equal = elementwise("equal", np.equal, "x == y, as booleans.")
not_equal = elementwise("not_equal", np.not_equal, "x != y, as booleans.")
less = elementwise("less", np.less, "x < y, as booleans.")
less_equal = elementwise("less_equal", np.less_equal, "x <= y, as booleans.")
greater = elementwise("greater", np.greater, "x > y, as booleans.")
greater_equal = elementwise("greater_equal", np.greater_equal, "x >= y, as booleans.")
sign = elementwise("sign", np.sign, "-1, 0 or 1 by the sign of x; its gradient is 0 everywhere.")
# Selection.
where: Elementwise = elementwise(
    "where", np.where, "x where the condition holds, else y; no gradient flows to the branch not taken.",
    x=lambda g, condition: where(condition, g, 0.0), y=lambda g, condition: where(condition, 0.0, g),
)  # fmt: skip
absolute = elementwise("abs", np.abs, "The absolute value; gradient 0 at 0.", x=lambda g, x: g * sign(x))
# Arithmetic.
positive = elementwise("positive", lambda x: +x, "x.", x=lambda g: g)
in_rows = entered(Operation("in_rows", lambda x, /: x.copy(), {"x": lambda g: g}))  # a copy, in rows
negative = elementwise("negative", lambda x: -x, "-x.", x=lambda g: -g)
add = elementwise("add", np.add, "x + y.", x=lambda g: g, y=lambda g: g)
subtract = elementwise("subtract", np.subtract, "x - y.", x=lambda g: g, y=lambda g: -g)
multiply = elementwise("multiply", np.multiply, "x * y.", x=lambda g, y: g * y, y=lambda g, x: g * x)
divide = elementwise("divide", np.divide, "x / y.", x=lambda g, y: g / y, y=lambda g, out, y: -(g / y) * out)
power = elementwise(
    "power", np.power, "x ** y; gradient 0 in x where y is 0, and 0 in y where x is 0.",
    x=lambda g, x, y: g * _slope_of_power(x, y),
    y=lambda g, out, x: g * where(equal(x, 0.0), 0.0, out * log(where(equal(x, 0.0), 1.0, x))),
)  # fmt: skip
square = elementwise("square", np.square, "x * x.", x=lambda g, x: g * (x + x))
reciprocal = elementwise("reciprocal", lambda x: np.divide(1.0, x), "1 / x.", x=lambda g, out: -g * out * out)
sqrt = elementwise("sqrt", np.sqrt, "The square root; its gradient at 0 is infinite.", x=lambda g, out: g * 0.5 / out)
# Exponentials.
exp = elementwise("exp", np.exp, "e ** x.", x=lambda g, out: g * out)
log: Elementwise = elementwise("log", np.log, "The natural logarithm.", x=lambda g, x: g / x)
tanh: Elementwise = elementwise("tanh", np.tanh, "The hyperbolic tangent.", x=lambda g, x: g * tanh_slope(x))
tanh_slope: Elementwise = elementwise(
    "tanh_slope", lambda x: np.square(np.reciprocal(np.cosh(x))),
    "The slope of tanh, out of x: where tanh has rounded to 1, it does not say how far from 1 it was.",
    x=lambda g, out, x: -2.0 * g * out * tanh(x),
)  # fmt: skip


def _slope_of_power(x: Any, y: Any) -> Any:
    """y * x ** (y - 1), and 0 where x and y are 0."""
    zero = equal(absolute(x) + absolute(y), 0.0)
    return where(zero, 0.0, y) * x ** where(zero, 0.0, y - 1.0)


# Shapes.
@operation(x=lambda g, spec: reshape(g, spec.shape))
def reshape(x: np.ndarray, /, shape: int | tuple[int, ...]) -> np.ndarray:
    """x in another shape; one length may be -1. Raises ShapeError if the sizes differ."""
    return x.reshape(shape)


@operation(x=lambda g, axes: transpose(g, None if axes is None else np.argsort([n % g.ndim for n in axes]).tolist()))
def transpose(x: np.ndarray, /, axes: Sequence[int] | None = None) -> np.ndarray:
    """x with its axes in another order, reversed if None."""
    return x.transpose(axes)


@operation(x=lambda g, axis1, axis2: swapaxes(g, axis1, axis2))
def swapaxes(x: np.ndarray, /, axis1: int, axis2: int) -> np.ndarray:
    """x with two axes exchanged."""
    return x.swapaxes(axis1, axis2)


@operation(x=lambda g: g)
def broadcast_to(x: np.ndarray, /, shape: int | tuple[int, ...]) -> np.ndarray:
    """x repeated along new axes and axes of length 1, to the shape. Raises ShapeError if it does not broadcast."""
    out = np.empty(shape, x.dtype)  # no view: kernels and BLAS are slow on steps of 0
    out[...] = x
    return out


@operation(x=lambda g, spec: broadcast_to(g, spec.shape))
def sum_to(x: np.ndarray, /, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of x over the axes that broadcasting from `shape` would have added: the transpose of broadcast_to."""
    return summed_to(x, shape, x.dtype if x.dtype.kind == "f" else np.add.reduce(np.empty(0, x.dtype)).dtype)


def summed_to(array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The sum of `array` over every axis that broadcasting had added to `shape`, in `dtype`."""
    if array.shape != shape:
        kept = (1,) * (array.ndim - len(shape)) + tuple(shape)
        axes = tuple([n for n, (length, whole) in enumerate(zip(kept, array.shape)) if length != whole])
        if len(kept) > array.ndim or any(kept[n] != 1 for n in axes):
            raise ValueError(f"{shape} does not broadcast to {array.shape}")
        array = np.add.reduce(array, axes, FLOAT64 if array.dtype.kind == "f" else None).reshape(shape)
    return array.astype(dtype, copy=False)


@operation(x=lambda g: g)
def astype(x: np.ndarray, /, dtype: npt.DTypeLike) -> np.ndarray:
    """x in another dtype; a gradient flows between float32 and float64. Raises DtypeError for complex and the like."""
    wanted = np.dtype(dtype)
    check_dtype(wanted, "astype")
    return x.astype(wanted, copy=False)


# Reductions.
@functools.lru_cache(maxsize=4096)
def lengths(shape: tuple[int, ...], axis: Axes) -> tuple[tuple[int, ...], int]:
    """The shape with the reduced axes of length 1, and how many elements each result is made from."""
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    return tuple([1 if n in axes else length for n, length in enumerate(shape)]), math.prod([shape[n] for n in axes])


def restore(result: Tensor, shape: tuple[int, ...], axis: Axes) -> Tensor:
    """A reduction's result, or its cotangent, with the axes that it lost, of length 1; a 0-d one broadcasts as is."""
    if result.ndim == 0:
        return result
    kept = lengths(shape, axis)[0]
    return result if result.shape == kept else reshape(result, kept)


def total(x: np.ndarray, axis: Axes, keepdims: bool) -> Any:
    """The sum, in float64 for float32: NumPy adds naively along any axis but the last."""
    return x.sum(axis=axis, dtype=FLOAT64 if x.dtype == FLOAT32 else None, keepdims=keepdims)


def like(value: Any, x: np.ndarray) -> np.ndarray:
    """A total of x as an array, in float32 again if x is."""
    return np.asarray(value, FLOAT32 if x.dtype == FLOAT32 else None)


def _spread(g: Tensor, spec: ArraySpec, axis: Axes) -> Tensor:
    return broadcast_to(restore(g, spec.shape, axis), spec.shape)


@operation(x=_spread)
def sum(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The sum over the axes (all if None); float32 accumulates in float64. Raises ShapeError for a wrong axis."""
    return like(total(x, axis, keepdims), x)


@operation(x=lambda g, spec, axis: _spread(g / Tensor(np.array(lengths(spec.shape, axis)[1], g.dtype)), spec, axis))
def mean(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The mean over the axes (all if None), NaN of no elements. Raises ShapeError for a wrong axis."""
    x = x if x.dtype.kind == "f" else x.astype(FLOAT64)
    return like(np.true_divide(total(x, axis, keepdims), lengths(x.shape, axis)[1]), x)


# Indexing.
@operation(x=lambda g, spec, index: add_at(g, index, spec.shape))
def _getitem(x: np.ndarray, /, index: Any) -> np.ndarray:
    return x[index]


@operation(x=lambda g, index: _getitem(g, index))
def add_at(x: np.ndarray, /, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of a shape, with x added where the index takes its elements: the transpose of indexing."""
    out = np.zeros(shape)
    np.add.at(out, index, x)
    return out.astype(x.dtype, copy=False)


def getitem(x: Any, index: Any) -> Tensor:
    """x[index]: integers, slices, Ellipsis, None, integer arrays or tensors, boolean masks, and tuples of these.

    A gradient accumulates over elements that are taken several times. Raises ShapeError for an index out of bounds,
    DtypeError for one that is not of integers or booleans.
    """
    return _getitem(x, Tensor.protocol.index(index))


# Products. A vector is a matrix of one row if it is first, else of one column.
def as_matrix(g: Tensor, x: Sequence[int], y: Sequence[int]) -> Tensor:
    """The cotangent of a product of these shapes, with the axes that vectors had left out."""
    if len(y) == 1:
        g = reshape(g, (*g.shape, 1))
    return reshape(g, (*g.shape[:-1], 1, g.shape[-1])) if len(x) == 1 else g


def _matmul_x(g: Tensor, y: Tensor, spec: ArraySpec) -> Tensor:
    columns = reshape(y, (-1, 1)) if y.ndim == 1 else y
    return matmul(as_matrix(g, spec.shape, y.shape), swapaxes(columns, -1, -2))


def _matmul_y(g: Tensor, x: Tensor, spec: ArraySpec) -> Tensor:
    rows = reshape(x, (1, -1)) if x.ndim == 1 else x
    found = matmul(swapaxes(rows, -1, -2), as_matrix(g, x.shape, spec.shape))
    return found if len(spec.shape) > 1 else reshape(found, found.shape[:-1])


@operation(x=_matmul_x, y=_matmul_y)
def _matmul(x: np.ndarray, y: np.ndarray, /) -> np.ndarray:
    return np.matmul(x, y)


def matmul(x: Any, y: Any) -> Tensor:
    """x @ y: matrices in the last two axes, the axes before them broadcast. A vector is a row if first, else a column.

    Raises ShapeError if the inner axes differ, the outer ones do not broadcast, or an operand is 0-d.
    """
    return _matmul(x, y)


def pow(x: Any, y: Any) -> Any:
    """x ** y; a whole power of 2 is a square, which is exact and quick."""
    whole = isinstance(x, int) or getattr(x, "dtype", FLOAT64).kind != "f"
    return square(x) if type(y) is int and y == 2 or type(y) is float and y == 2 and not whole else power(x, y)


# Python's operators.
OURS = (np.ndarray.__array_ufunc__, Tensor.__array_ufunc__)
KNOWN = {Tensor, np.ndarray, float, int, bool, np.float64, np.float32}  # told at once


def foreign(kind: type) -> bool:
    """Whether a class answers NumPy's calls by itself: then its operators have the word, as in NumPy."""
    return getattr(kind, "__array_ufunc__", OURS[0]) not in OURS


def forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as an operator, which leaves the word to an operand of another library."""
    call = function.__call__ if isinstance(function, Elementwise) else function  # found once
    return lambda self, other: (
        call(self, other) if type(other) in KNOWN or not foreign(type(other)) else NotImplemented
    )


def operators() -> dict[str, Any]:
    """Python's arithmetic and comparison operators, for a class that reads the rules."""
    two: Any = {"add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": pow, "matmul": matmul}
    order: dict[str, Any] = {"lt": less, "le": less_equal, "gt": greater, "ge": greater_equal}
    members: dict[str, Any] = {f"__{name}__": forward(function) for name, function in (two | order).items()}
    members |= {f"__r{name}__": forward(lambda self, other, f=f: f(other, self)) for name, f in two.items()}
    for name, f in {"eq": equal, "ne": not_equal}.items():
        members[f"__{name}__"] = forward(lambda self, other, f=f: NotImplemented if other is None else f(self, other))
    for name, function in {"neg": negative, "pos": positive, "abs": absolute}.items():
        members[f"__{name}__"] = lambda self, function=function: function(self)
    return members


attach(Tensor, operators() | {"__getitem__": getitem, "astype": astype, "_in_rows": in_rows})
attach(Tensor, {"T": property(transpose, doc="The tensor with its axes reversed.")})
