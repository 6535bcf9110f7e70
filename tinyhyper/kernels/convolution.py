"""Convolution of images with a kernel of weights, and its two transposes. Images are channels-last.

    y[n, i, j, o] = sum over a, b, c of x[n, i * stride + a - padding, j * stride + b - padding, c] * w[a, b, c, o]

where x is 0 outside. Summed up with a cotangent g of y, this is a form in three factors and linear in each; leaving out
one of g, x and w gives the array that goes in its place. So there are three functions.

The rule for what computes them, by sizes and dtypes alone so that runs are reproducible: from LEAST multiplications on,
all of float32 or all of float64, the kernels of `sweeps`; else NumPy. `convolution_backend` forces one; with
NUMBA_DISABLE_JIT=1 the kernels run only when forced, as plain Python.

The kernels leave out some zeros, and put in others, which changes nothing as long as these meet finite numbers. Where
they would meet a NaN or an infinity, NumPy computes after all.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..finite import all_finite
from . import sweeps
from .backend import Backend, compiler_is_off
from .totals import summed

Pair: TypeAlias = sweeps.Pair

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
LEAST = 2**18  # multiplications

convolution_backend = Backend("convolution_backend", "numba", "numpy")


def convolve(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """In the place of g: images x (n, height, width, inputs) and weights w (rows, columns, inputs, outputs)."""
    sides = zip(x.shape[1:3], w.shape, stride, padding)
    size = [(length + 2 * zeros - taps) // step + 1 for length, taps, step, zeros in sides]
    out = np.empty((len(x), *size, w.shape[3]), summed(np.result_type(x, w)))
    if not _by_kernel(x, w, out) or (any(padding) and not all_finite(w)):
        windows, (pixels, inputs) = _windows(x, w.shape[:2], stride, padding), _sizes(out, w)
        rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(pixels, inputs)
        return np.matmul(rows, w.reshape(inputs, w.shape[3]), dtype=out.dtype).reshape(out.shape)
    sweeps.sweep(x, w, out, stride, padding)
    return out


def spread(g: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """In the place of x, images of this size: every pixel of g is spread over the window it was summed from."""
    out = np.empty((len(g), *size, w.shape[2]), np.result_type(g, w))
    if _by_kernel(out, w, g) and all_finite(w):
        sweeps.spread(g, w, out, stride, padding)
        return out
    (down, across), (top, left), (height, width) = stride, padding, size
    padded = np.zeros((len(g), height + 2 * top, width + 2 * left, w.shape[2]), out.dtype)
    for a, b in np.ndindex(w.shape[:2]):
        padded[:, a : a + down * g.shape[1] : down, b : b + across * g.shape[2] : across] += g @ w[a, b].T
    return np.ascontiguousarray(padded[:, top : top + height, left : left + width])


def correlate(x: np.ndarray, g: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """In the place of w, weights of this size: how pixels of x go along with the pixels of g they contributed to."""
    out = np.empty((*size, x.shape[3], g.shape[3]), np.result_type(x, g))
    seen = padding[0] < size[0] and padding[1] < size[1]  # each pixel of g meets one of x, so a NaN in g shows
    if _by_kernel(x, out, g) and (seen or all_finite(g)):
        sweeps.correlate(x, g, out, stride, padding)
        if not any(padding) or all_finite(out) or all_finite(g):
            return out
    windows, (pixels, inputs) = _windows(x, size, stride, padding), _sizes(g, out)
    columns = windows.transpose(4, 5, 3, 0, 1, 2).reshape(inputs, pixels)
    return (columns @ g.reshape(pixels, g.shape[3])).reshape(out.shape)  # np.dot would lose NaN where it scales by 0


def _sizes(y: np.ndarray, w: np.ndarray) -> Pair:
    """Over how many pixels of the result, and how many numbers of a window, the sums are."""
    return math.prod(y.shape[:3]), math.prod(w.shape[:3])


def _by_kernel(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> bool:
    """Whether the kernels are to compute one of these arrays from the others."""
    dtypes = {x.dtype, w.dtype, y.dtype}
    if convolution_backend.chosen != "auto" or len(dtypes) > 1:
        return convolution_backend.chosen == "numba" and dtypes <= set(FLOATS)
    work = w.size * math.prod(y.shape[:3])
    return work >= LEAST and x.dtype in FLOATS and not compiler_is_off()


def _windows(x: np.ndarray, size: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    """A view of every window of the padded images: (n, height, width, inputs, rows, columns)."""
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows: np.ndarray = sliding_window_view(padded, size, (1, 2))
    return windows[:, :: stride[0], :: stride[1]]
