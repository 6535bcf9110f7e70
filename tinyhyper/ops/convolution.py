"""Two-dimensional convolution, a closed set of three operations.

The form <g, conv(x, w)> is linear in each of g, x and w. Leaving out one of them gives a bilinear operation in the
other two: the convolution itself, its transpose in x, its transpose in w. So the VJPs of each are the other two, and
there are derivatives of any order.

    y[n, i, j, o] = sum over a, b, c of x[n, i * stride + a - padding, j * stride + b - padding, c] * w[a, b, c, o]

where x is 0 outside. Images are channels-last.
"""

from __future__ import annotations

import math
import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.operation import operation
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError

Pair: TypeAlias = "tuple[int, int]"


@operation(
    x=lambda g, w, spec, stride, padding: _conv2d_input_grad(g, w, stride, padding, spec.shape[1:3]),
    w=lambda g, x, spec, stride, padding: _conv2d_weight_grad(x, g, stride, padding, spec.shape[:2]),
)
def _conv2d(x: np.ndarray, w: np.ndarray, /, stride: Pair, padding: Pair) -> np.ndarray:
    windows = _windows(x, w.shape[:2], stride, padding)
    pixels, inputs = math.prod(windows.shape[:3]), math.prod(windows.shape[3:])
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(pixels, inputs)
    out = np.matmul(rows, w.reshape(inputs, w.shape[3]), dtype=summed(x, w))
    return out.reshape(*windows.shape[:3], w.shape[3])


@operation(
    y=lambda g, w, stride, padding: _conv2d(g, w, stride, padding),
    w=lambda g, y, spec, stride, padding: _conv2d_weight_grad(g, y, stride, padding, spec.shape[:2]),
)
def _conv2d_input_grad(y: np.ndarray, w: np.ndarray, /, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """The gradient with respect to images of this size: each pixel of y is added to the window it was summed from."""
    (down, across), (top, left), (height, width) = stride, padding, size
    padded = np.zeros((len(y), height + 2 * top, width + 2 * left, w.shape[2]), np.result_type(y, w))
    for a, b in np.ndindex(w.shape[:2]):
        padded[:, a : a + down * y.shape[1] : down, b : b + across * y.shape[2] : across] += y @ w[a, b].T
    return np.ascontiguousarray(padded[:, top : top + height, left : left + width])


@operation(
    x=lambda g, y, spec, stride, padding: _conv2d_input_grad(y, g, stride, padding, spec.shape[1:3]),
    y=lambda g, x, stride, padding: _conv2d(x, g, stride, padding),
)
def _conv2d_weight_grad(x: np.ndarray, y: np.ndarray, /, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """The gradient with respect to weights of this size: x correlated with the output's cotangent y."""
    pixels, inputs = math.prod(y.shape[:3]), math.prod(size) * x.shape[3]
    columns = _windows(x, size, stride, padding).transpose(4, 5, 3, 0, 1, 2).reshape(inputs, pixels)
    products = columns @ y.reshape(pixels, y.shape[3])  # np.dot would lose NaN where it scales by 0
    return products.reshape(*size, x.shape[3], y.shape[3])


def _windows(x: np.ndarray, size: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """A view of every window of the padded images: (n, height, width, inputs, rows, columns)."""
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows: np.ndarray = sliding_window_view(padded, size, (1, 2))
    return windows[:, :: stride[0], :: stride[1]]


def summed(*arrays: np.ndarray) -> np.dtype:
    """The dtype of NumPy's sums of products: of integers and booleans one of 64 bits, else the arrays'."""
    return np.add.reduce(np.empty(0, np.result_type(*arrays))).dtype


def conv2d(x: Any, weight: Any, bias: Any = None, stride: int | Pair = 1, padding: int | Pair = 0) -> Tensor:
    """The sum over each window of the images, weighted: what deep learning calls convolution, with no kernel flipped.

    x: images (n, height, width, inputs).  weight: (rows, columns, inputs, outputs).  bias: (outputs,).
    stride: how far windows lie apart.  padding: rows and columns of zeros added on either side. Each is an integer for
    both directions or a pair (down, across). The result is (n, height', width', outputs), where
    height' = (height + 2 padding - rows) // stride + 1, and width' alike. Dtypes are promoted as in NumPy; integers and
    booleans add up in 64 bits.
    Raises ShapeError for shapes that do not fit, ArgumentError for a stride below 1 or a padding below 0.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    steps, zeros = pair("conv2d: stride", stride, 1), pair("conv2d: padding", padding, 0)
    _check(x.shape, weight.shape, zeros)
    out = _conv2d(x, weight, steps, zeros)
    if bias is None:
        return out
    bias = as_tensor(bias)
    if bias.shape != out.shape[-1:]:
        raise ShapeError(
            f"conv2d: the bias for a weight of shape {weight.shape} must have shape {out.shape[-1:]}, not {bias.shape}"
        )
    return out + bias


def pair(what: str, value: Any, least: int) -> Pair:
    """A number for both directions, or one for each. Raises ArgumentError for one below the least."""
    given = value.tolist() if isinstance(value, np.ndarray) else value
    try:
        down, across = given if isinstance(given, (tuple, list, range)) else (given, given)
        found = operator.index(down), operator.index(across)
    except (TypeError, ValueError):
        found = (-1, -1)
    if min(found) < least:
        raise ArgumentError(f"{what} must be an integer >= {least}, or a pair of them, not {value!r}")
    return found


def _check(x: tuple[int, ...], weight: tuple[int, ...], padding: Pair) -> None:
    if len(x) != 4 or len(weight) != 4:
        raise ShapeError(
            "conv2d: images must have shape (n, height, width, inputs) and a weight (rows, columns, inputs, outputs), "
            f"not {x} and {weight}"
        )
    if x[3] != weight[2]:
        raise ShapeError(
            f"conv2d: images {x} have {x[3]} channels, the last axis, but a weight of shape {weight} is for {weight[2]}"
        )
    height, width = x[1] + 2 * padding[0], x[2] + 2 * padding[1]
    if not 1 <= weight[0] <= height or not 1 <= weight[1] <= width:
        raise ShapeError(
            f"conv2d: a weight of shape {weight} has windows of {weight[0]} x {weight[1]}, which do not fit into "
            f"images {x}, of {height} x {width} with padding {padding}"
        )
