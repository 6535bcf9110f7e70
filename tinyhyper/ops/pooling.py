"""Pooling: each window of an image becomes one number for each channel. Ties share the gradient equally.

A window's elements at one place, all windows' together, are a view of the images with steps; so there is one pass for
each place of a window. Sums over windows and their transpose are each other's VJP; so are the mean of the elements that
were the largest and its transpose.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from ..interop import FLOATS
from ..kernels.convolution import Pair
from ..tensor import Tensor, as_tensor
from .convolution import pair
from .operation import operation
from .shape import pad


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


@operation(x=lambda g, x, out, kernel, stride: _to_largest(g, x, out, kernel, stride))
def _largest(x: np.ndarray, /, kernel: Pair, stride: Pair) -> np.ndarray:
    """The largest element of each window."""
    first, *others = _places(x, kernel, stride)
    out = first.copy()
    for elements in others:
        np.maximum(out, elements, out=out)
    return out


@operation(g=lambda h, x, top, kernel, stride: _from_largest(h, x, top, kernel, stride))
def _to_largest(g: np.ndarray, x: np.ndarray, top: np.ndarray, /, kernel: Pair, stride: Pair) -> np.ndarray:
    """For each window, g shared equally among those elements of x that are the largest, `top`."""
    hits = [elements == top for elements in _places(x, kernel, stride)]
    out, share = np.zeros(x.shape, g.dtype), g / sum(hits, np.zeros((), g.dtype))
    for elements, hit in zip(_places(out, kernel, stride), hits):
        elements += share * hit
    return out


@operation(h=lambda g, x, top, kernel, stride: _to_largest(g, x, top, kernel, stride))
def _from_largest(h: np.ndarray, x: np.ndarray, top: np.ndarray, /, kernel: Pair, stride: Pair) -> np.ndarray:
    """For each window, the mean of h where the elements of x are the largest, `top`."""
    hits = [elements == top for elements in _places(x, kernel, stride)]
    zero = np.zeros((), h.dtype)
    return sum([elements * hit for elements, hit in zip(_places(h, kernel, stride), hits)], zero) / sum(hits, zero)


def max_pool2d(x: Any, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The largest element of each window, for each channel; elements that tie for it share the gradient equally.

    x: images (n, height, width, channels).  kernel: the size of a window, a number or a pair (down, across).
    stride: how far windows lie apart, by default side by side.  padding: rows and columns added on either side, at
    most half of the kernel; they are never the largest. The result is (n, height', width', channels), where
    height' = (height + 2 padding - kernel) // stride + 1, and width' alike.
    Raises ShapeError and ArgumentError for what does not fit, DtypeError for integers.
    """
    return _largest(*_pooled("max_pool2d", x, kernel, stride, padding, -math.inf))


def avg_pool2d(x: Any, kernel: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The mean of each window, for each channel; padding counts as zeros. Otherwise as max_pool2d."""
    x, sides, steps = _pooled("avg_pool2d", x, kernel, stride, padding, 0.0)
    return _window_sum(x, sides, steps) / float(math.prod(sides))


def _pooled(
    name: str, x: Any, kernel: int | Pair, stride: int | Pair | None, padding: int | Pair, fill: float
) -> tuple[Tensor, Pair, Pair]:
    """The padded images, the size of a window, and how far windows lie apart."""
    x, sides = as_tensor(x), pair(f"{name}: kernel", kernel, 1)
    steps = sides if stride is None else pair(f"{name}: stride", stride, 1)
    down, across = pair(f"{name}: padding", padding, 0)
    if 2 * down > sides[0] or 2 * across > sides[1]:
        raise ArgumentError(f"{name}: padding {(down, across)} is more than half of the kernel {sides}")
    if x.dtype not in FLOATS:
        raise DtypeError(f"{name}: images are float32 or float64, not {x.dtype}")
    if x.ndim != 4:
        raise ShapeError(f"{name}: images (n, height, width, channels) are needed, not {x.shape}")
    if sides[0] > x.shape[1] + 2 * down or sides[1] > x.shape[2] + 2 * across:
        raise ShapeError(f"{name}: windows {sides} do not fit into images {x.shape} with padding {(down, across)}")
    if down or across:
        x = pad(x, ((0, 0), (down, down), (across, across), (0, 0)), constant_values=fill)
    return x, sides, steps
