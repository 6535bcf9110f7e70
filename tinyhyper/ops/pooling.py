"""Pooling: each window of an image becomes one number for each channel. Ties share the gradient equally.

A window's elements at one place, all windows' together, are a view of the images with steps; so there is one pass for
each place of a window. Sums over windows and their transpose are each other's VJP; so are the mean of the elements that
were the largest and its transpose.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from ..core.operation import operation
from ..core.tensor import FLOATS, Tensor, as_tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from ..finite import all_finite
from .convolution import Pair, pair
from .shape import pad

Margins: TypeAlias = "tuple[Pair, Pair]"  # what is added above and below, and to the left and right
NONE = (0, 0), (0, 0)


def _places(images: np.ndarray, kernel: Pair, stride: Pair) -> list[np.ndarray]:
    """For each place in a window, the elements there: views of the images, (n, height', width', channels)."""
    (height, width), (down, across) = images.shape[1:3], stride
    ends = height - kernel[0] + 1, width - kernel[1] + 1
    return [
        images[:, row : row + ends[0] : down, column : column + ends[1] : across] for row, column in np.ndindex(*kernel)
    ]


@operation(x=lambda g, spec, kernel, stride: _spread_sum(g, kernel, stride, spec.shape))
def _window_sum(x: np.ndarray, /, kernel: Pair, stride: Pair) -> np.ndarray:
    """The sum of each window."""
    first, *others = _places(x, kernel, stride)
    out = first.copy()
    for elements in others:
        out += elements
    return out


@operation(y=lambda g, kernel, stride: _window_sum(g, kernel, stride))
def _spread_sum(y: np.ndarray, /, kernel: Pair, stride: Pair, shape: tuple[int, ...]) -> np.ndarray:
    """Images of this shape, each element the sum of y over the windows that it stands in."""
    out = np.zeros(shape, y.dtype)
    for elements in _places(out, kernel, stride):
        elements += y
    return out


def _hits(x: np.ndarray, top: np.ndarray, kernel: Pair, stride: Pair, margins: Margins) -> list[np.ndarray]:
    """For each place in a window, whether the element there is the largest: `top`, and none of the margins.

    A NaN counts as the largest, as it does in the result.
    """
    hits = [elements == top for elements in _places(x, kernel, stride)]
    if all_finite(top):
        return hits
    inside, nan = np.zeros((1, *x.shape[1:3], 1), bool), np.isnan(top)
    (above, below), (left, right) = margins
    inside[:, above : x.shape[1] - below, left : x.shape[2] - right] = True
    return [
        (hit | nan & np.isnan(elements)) & real
        for hit, elements, real in zip(hits, _places(x, kernel, stride), _places(inside, kernel, stride))
    ]


def _chosen(values: np.ndarray, hit: np.ndarray, finite: bool) -> np.ndarray:
    """The values where hit, else 0. Only those that are finite can be told by a product, which takes a tenth."""
    return values * hit if finite else np.where(hit, values, 0)


@operation(x=lambda g, x, out, kernel, stride, margins: _to_largest(g, x, out, kernel, stride, margins))
def _largest(x: np.ndarray, /, kernel: Pair, stride: Pair, margins: Margins) -> np.ndarray:
    """The largest element of each window."""
    first, *others = _places(x, kernel, stride)
    out = first.copy()
    for elements in others:
        np.maximum(out, elements, out=out)
    return out


@operation(g=lambda h, x, top, kernel, stride, margins: _from_largest(h, x, top, kernel, stride, margins))
def _to_largest(
    g: np.ndarray, x: np.ndarray, top: np.ndarray, /, kernel: Pair, stride: Pair, margins: Margins
) -> np.ndarray:
    """For each window, g shared equally among those elements of x that are the largest, `top`."""
    hits = _hits(x, top, kernel, stride, margins)
    out, share = np.zeros(x.shape, g.dtype), g / sum(hits, np.zeros((), g.dtype))
    finite = all_finite(share)
    for elements, hit in zip(_places(out, kernel, stride), hits):
        elements += _chosen(share, hit, finite)
    return out


@operation(h=lambda g, x, top, kernel, stride, margins: _to_largest(g, x, top, kernel, stride, margins))
def _from_largest(
    h: np.ndarray, x: np.ndarray, top: np.ndarray, /, kernel: Pair, stride: Pair, margins: Margins
) -> np.ndarray:
    """For each window, the mean of h where the elements of x are the largest, `top`."""
    hits, zero, finite = _hits(x, top, kernel, stride, margins), np.zeros((), h.dtype), all_finite(h)
    chosen = [_chosen(elements, hit, finite) for elements, hit in zip(_places(h, kernel, stride), hits)]
    return sum(chosen, zero) / sum(hits, zero)


def max_pool2d(
    x: Any, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ceil_mode: bool = False
) -> Tensor:
    """The largest element of each window, for each channel; elements that tie for it share the gradient equally.

    x: images (n, height, width, channels), float32 or float64; the result has their dtype.
    kernel: the size of a window, a number or a pair (down, across).
    stride: how far windows lie apart, by default side by side.  padding: rows and columns added on either side, at
    most half of the kernel; they are never the largest. The result is (n, height', width', channels), where
    height' = (height + 2 padding - kernel) // stride + 1, and width' alike.
    ceil_mode: take also what is left over at the end: one more window, if it begins before the padding at the end.
    Raises ShapeError and ArgumentError for what does not fit, DtypeError for integers.
    """
    return _largest(*_pooled("max_pool2d", x, kernel, stride, padding, ceil_mode, -math.inf))


def avg_pool2d(
    x: Any, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ceil_mode: bool = False
) -> Tensor:
    """The mean of each window, for each channel; padding counts as zeros.

    x: images (n, height, width, channels), float32 or float64; the result has their dtype, and the shape as of
    max_pool2d.  kernel, stride, padding, ceil_mode: as of max_pool2d. Where a window goes beyond the padding, as the
    last one may in ceil_mode, only what is within counts.
    Raises ShapeError and ArgumentError for what does not fit, DtypeError for integers.
    """
    x = as_tensor(x)
    padded, sides, steps, margins = _pooled("avg_pool2d", x, kernel, stride, padding, ceil_mode, 0.0)
    sums = _window_sum(padded, sides, steps)
    if not ceil_mode:
        return sums / float(math.prod(sides))
    rows, columns = (
        np.minimum(side, length + 2 * zeros - step * np.arange(count))
        for side, step, (zeros, _), length, count in zip(sides, steps, margins, x.shape[1:], sums.shape[1:])
    )
    return sums / (rows[:, None, None] * columns[:, None]).astype(sums.dtype)


def _pooled(
    name: str, x: Any, kernel: int | Pair, stride: int | Pair | None, padding: int | Pair, ceil_mode: bool, fill: float
) -> tuple[Tensor, Pair, Pair, Margins]:
    """The padded images, the size of a window, how far windows lie apart, and what was added on all sides."""
    x, sides = as_tensor(x), pair(f"{name}: kernel", kernel, 1)
    steps = sides if stride is None else pair(f"{name}: stride", stride, 1)
    zeros = pair(f"{name}: padding", padding, 0)
    if 2 * zeros[0] > sides[0] or 2 * zeros[1] > sides[1]:
        raise ArgumentError(f"{name}: padding must be at most half of the kernel {sides}, not {zeros}")
    if x.dtype not in FLOATS:
        raise DtypeError(f"{name}: images must be float32 or float64, not {x.dtype}")
    if x.ndim != 4:
        raise ShapeError(f"{name}: images must have shape (n, height, width, channels), not {x.shape}")
    below, right = map(_behind, x.shape[1:3], sides, steps, zeros) if ceil_mode else zeros
    if sides[0] > x.shape[1] + zeros[0] + below or sides[1] > x.shape[2] + zeros[1] + right:
        raise ShapeError(f"{name}: windows {sides} do not fit into images {x.shape} with padding {zeros}")
    margins = (zeros[0], below), (zeros[1], right)
    if margins != NONE:
        x = pad(x, ((0, 0), *margins, (0, 0)), constant_values=fill)
    return x, sides, steps, margins


def _behind(length: int, side: int, step: int, zeros: int) -> int:
    """What is added at the end in ceil_mode. The last window begins in the image or before it, as in PyTorch."""
    last = -(-(length + 2 * zeros - side) // step) * step
    if last >= length + zeros:
        last -= step
    return max(zeros, last + side - length - zeros)
