"""The rules: about thirty-five operations, each a name, NumPy's way, and a VJP for each input.

Conventions at hard points are those of the VJPs here: abs has gradient 0 at 0; sqrt has an infinite gradient at 0;
x ** 0 has gradient 0 in x everywhere, and x ** p has gradient 0 in p where x is 0. Sums of float32 accumulate in
float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import normalize_axis_tuple

from .errors import DtypeError
from .operation import ArraySpec, Elementwise, attach, forward, operation, reflected, rule
from .tape import Pieces
from .tensor import FLOATS, Tensor, apply, unmasked

Axes = int | tuple[int, ...] | None
FLOAT32, FLOAT64 = FLOATS

# Constants of the gradient: comparisons and steps.
equal = rule("equal", np.equal, "x == y, as booleans.")
not_equal = rule("not_equal", np.not_equal, "x != y, as booleans.")
less = rule("less", np.less, "x < y, as booleans.")
less_equal = rule("less_equal", np.less_equal, "x <= y, as booleans.")
greater = rule("greater", np.greater, "x > y, as booleans.")
greater_equal = rule("greater_equal", np.greater_equal, "x >= y, as booleans.")
sign = rule("sign", np.sign, "-1, 0 or 1 by the sign of x; its gradient is 0 everywhere.")

# Selection.
where: Elementwise = rule(
    "where", np.where, "x where the condition holds, else y; no gradient flows to the branch not taken.",
    x=lambda g, condition: where(condition, g, 0.0), y=lambda g, condition: where(condition, 0.0, g),
)  # fmt: skip
absolute = rule("abs", np.abs, "The absolute value; gradient 0 at 0.", x=lambda g, x: g * sign(x))
# Arithmetic.
positive = rule("positive", lambda x: +x, "x.", x=lambda g: g)
negative = rule("negative", lambda x: -x, "-x.", x=lambda g: -g)
add = rule("add", np.add, "x + y.", x=lambda g: g, y=lambda g: g)
subtract = rule("subtract", np.subtract, "x - y.", x=lambda g: g, y=lambda g: -g)
multiply = rule("multiply", np.multiply, "x * y.", x=lambda g, y: g * y, y=lambda g, x: g * x)
divide = rule("divide", np.divide, "x / y.", x=lambda g, y: g / y, y=lambda g, out, y: -(g / y) * out)
power = rule(
    "power", np.power, "x ** y; gradient 0 in x where y is 0, and 0 in y where x is 0.",
    x=lambda g, x, y: g * _slope_of_power(x, y),
    y=lambda g, out, x: g * where(equal(x, 0.0), 0.0, out * log(where(equal(x, 0.0), 1.0, x))),
)  # fmt: skip
square = rule("square", np.square, "x * x.", x=lambda g, x: g * (x + x))
reciprocal = rule("reciprocal", lambda x: np.divide(1.0, x), "1 / x.", x=lambda g, out: -g * out * out)
sqrt = rule("sqrt", np.sqrt, "The square root; its gradient at 0 is infinite.", x=lambda g, out: g * 0.5 / out)

# Exponentials.
exp = rule("exp", np.exp, "e ** x.", x=lambda g, out: g * out)
log: Elementwise = rule("log", np.log, "The natural logarithm.", x=lambda g, x: g / x)
tanh: Elementwise = rule("tanh", np.tanh, "The hyperbolic tangent.", x=lambda g, x: g * tanh_slope(x))
tanh_slope: Elementwise = rule(
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


def _inverse(axes: Sequence[int] | None) -> list[int] | None:
    return None if axes is None else np.argsort([n % len(axes) for n in axes]).tolist()


@operation(x=lambda g, axes: transpose(g, _inverse(axes)))
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
    np.copyto(out, x)
    return out


@operation(x=lambda g, spec: broadcast_to(g, spec.shape))
def sum_to(x: np.ndarray, /, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of x over the axes that broadcasting from `shape` would have added: the transpose of broadcast_to."""
    if not broadcasts(shape, x.shape):
        raise ValueError(f"{shape} does not broadcast to {x.shape}")
    return summed_to(x, shape, x.dtype if x.dtype.kind == "f" else np.add.reduce(np.empty(0, x.dtype)).dtype)


def broadcasts(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether one shape broadcasts to another, of any number of axes; NumPy would compare 32 at most."""
    paired = zip(reversed(shape), reversed(whole))
    return len(shape) <= len(whole) and all(length in (1, other) for length, other in paired)


def summed_to(array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The sum of `array` over every axis that broadcasting had added to `shape`, in `dtype`."""
    if array.shape != shape:
        wide = FLOAT64 if array.dtype.kind == "f" else None
        array = np.add.reduce(array, _added_axes(array.shape, shape), wide).reshape(shape)
    return array.astype(dtype, copy=False)


@functools.lru_cache(maxsize=1024)
def _added_axes(wide: tuple[int, ...], narrow: tuple[int, ...]) -> tuple[int, ...]:
    extra = len(wide) - len(narrow)
    return (*range(extra), *[extra + i for i, n in enumerate(narrow) if n == 1 and wide[extra + i] != 1])


@operation(x=lambda g: g)
def astype(x: np.ndarray, /, dtype: npt.DTypeLike) -> np.ndarray:
    """x in another dtype; a gradient flows between float32 and float64. Raises DtypeError for complex and the like."""
    wanted = np.dtype(dtype)
    if wanted not in FLOATS and wanted.kind not in "iub":
        raise DtypeError(f"astype: dtype {wanted} is not supported; use float32, float64, an integer type or bool")
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


@operation(x=lambda g, spec, axis: _spread(g / float(lengths(spec.shape, axis)[1]), spec, axis))
def mean(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The mean over the axes (all if None), NaN of no elements. Raises ShapeError for a wrong axis."""
    x = x if x.dtype.kind == "f" else x.astype(FLOAT64)
    return like(np.true_divide(total(x, axis, keepdims), lengths(x.shape, axis)[1]), x)


# Indexing.

BASIC = (int, slice, EllipsisType, type(None), np.integer)


@operation(x=lambda g, spec, index: Pieces(_scatter, spec.shape, g, index))
def _getitem(x: np.ndarray, /, index: Any) -> np.ndarray:
    return x[index]


@operation(xs=lambda g, position, indices: _getitem(g, indices[position]))
def _scatter(xs: Sequence[np.ndarray], /, indices: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    return scattered(xs, indices, shape, np.add.at)


def scattered(xs: Sequence[np.ndarray], indices: Sequence[Any], shape: tuple[int, ...], add: Any) -> np.ndarray:
    """Zeros of a shape, with each of the arrays added where an index takes its elements."""
    dtype, numbered = xs[0].dtype, [_by_number(index) for index in indices]
    out = np.zeros(shape, np.float64 if True in numbered else dtype)
    for x, index, numbers in zip(xs, indices, numbered):
        if numbers:
            add(out, index, x.astype(np.float64, copy=False))
        elif len(xs) == 1:
            out[index] = x
        else:
            out[index] += x  # slices and masks take nothing twice
    return out.astype(dtype, copy=False)


def _by_number(index: Any) -> bool:
    """Whether an array of integers is in the index, so that it may take an element several times."""
    items = index if type(index) is tuple else (index,)
    return any(type(item) is np.ndarray and item.dtype.kind != "b" for item in items)


def getitem(x: Any, index: Any) -> Tensor:
    """x[index]: integers, slices, Ellipsis, None, integer arrays or tensors, boolean masks, and tuples of these.

    A gradient accumulates over elements that are taken several times. Raises ShapeError for an index out of bounds,
    DtypeError for one that is not of integers or booleans.
    """
    if type(index) is tuple:
        index = tuple([item if type(item) in BASIC else frozen(item) for item in index])
    elif type(index) not in BASIC:
        index = frozen(index)
    return _getitem(x, index)


def frozen(item: Any) -> Any:
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


# Products.

def _as_matrix(g: Tensor, specs: tuple[ArraySpec, ...]) -> Tensor:
    """The cotangent of a product, with the axes that vectors among its factors had left out."""
    if len(specs[1].shape) == 1:
        g = reshape(g, (*g.shape, 1))
    return reshape(g, (*g.shape[:-1], 1, g.shape[-1])) if len(specs[0].shape) == 1 else g


def _lying_like(spec: ArraySpec, x: Tensor, y: Tensor, left: bool, right: bool) -> Tensor:
    """A product, by columns if the operand lies by columns: the gradient of a transposed weight needs no copy."""
    if len(spec.shape) == 2 and spec.strides[0] < spec.strides[1]:
        return swapaxes(_matmul(y, x, not right, not left), -1, -2)
    return _matmul(x, y, left, right)


def _matmul_x(g: Tensor, y: Tensor, spec: ArraySpec, specs: tuple[ArraySpec, ...], left: bool, right: bool) -> Tensor:
    if left:
        return _lying_like(spec, y, g, right, True)
    if len(spec.shape) > 1 and y.ndim > 1:
        return _lying_like(spec, g, y, False, not right)
    columns = reshape(y, (-1, 1)) if y.ndim == 1 else y
    found = _lying_like(spec, _as_matrix(g, specs), columns, False, True)
    return found if len(spec.shape) > 1 else reshape(sum_to(found, (1, *spec.shape)), spec.shape)


def _matmul_y(g: Tensor, x: Tensor, spec: ArraySpec, specs: tuple[ArraySpec, ...], left: bool, right: bool) -> Tensor:
    if right:
        return _lying_like(spec, g, x, True, left)
    if not left and len(spec.shape) <= 2 < x.ndim:  # a stack that shares one matrix is one product of many rows
        rows, g = x, _as_matrix(g, specs)
        rows, g = (reshape(t, (math.prod(t.shape[:-1]), t.shape[-1])) for t in (rows, g))
    elif x.ndim > 1 and len(spec.shape) > 1:
        return _lying_like(spec, x, g, not left, False)
    else:
        rows, g = reshape(x, (1, -1)) if x.ndim == 1 else x, _as_matrix(g, specs)
    found = _lying_like(spec, rows, g, True, False)
    return found if len(spec.shape) > 1 else reshape(found, spec.shape)


@operation(x=_matmul_x, y=_matmul_y)
def _matmul(x: np.ndarray, y: np.ndarray, /, left: bool = False, right: bool = False) -> np.ndarray:
    """x @ y, of which left and right say whether the matrices of x, of y, are transposed first."""
    return np.matmul(turned(x, left), turned(y, right))


def turned(x: np.ndarray, transposed: bool) -> np.ndarray:
    """The array, or, if transposed, the one whose matrices are."""
    return x.swapaxes(-1, -2) if transposed else x


def matmul(x: Any, y: Any) -> Tensor:
    """x @ y: matrices in the last two axes, the axes before them broadcast. A vector is a row if first, else a column.

    Raises ShapeError if the inner axes differ, the outer ones do not broadcast, or an operand is 0-d.
    """
    return _matmul(x, y)


def pow(x: Any, y: Any) -> Any:
    """x ** y; a whole power of 2 is a square, which is exact and quick."""
    return square(x) if type(y) is int and y == 2 or type(y) is float and y == 2 and not _whole(x) else power(x, y)


def _whole(x: Any) -> bool:
    return isinstance(x, int) or (hasattr(x, "dtype") and x.dtype.kind != "f")


def plus(x: Tensor, other: Any) -> Any:
    """x + other, for the sums of the sweep."""
    return Pieces(other.join, x.shape, x, ...).plus(other) if type(other) is Pieces else apply(add, (x, other), {})[0]


def operators() -> dict[str, Any]:
    """Python's arithmetic and comparison operators, for a class that reads the rules."""
    two: dict[str, Any] = {
        "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": pow,
        "lt": less, "le": less_equal, "gt": greater, "ge": greater_equal,
    }  # fmt: skip
    members: dict[str, Any] = {f"__{name}__": forward(function) for name, function in two.items()}
    members |= {f"__r{name}__": reflected(two[name]) for name in ("add", "sub", "mul", "truediv", "pow")}
    for name, function in {"neg": negative, "pos": positive, "abs": absolute}.items():
        members[f"__{name}__"] = lambda self, function=function: function(self)
    for name, function in {"eq": equal, "ne": not_equal}.items():
        members[f"__{name}__"] = forward(
            lambda self, other, function=function: NotImplemented if other is None else function(self, other)
        )
    return members


attach(
    Tensor,
    operators()
    | {
        "__getitem__": getitem,
        "__matmul__": forward(matmul),
        "__rmatmul__": reflected(matmul),
        "T": property(transpose, doc="The tensor with its axes reversed."),
        "astype": astype,
        "plus": plus,
    },
)
