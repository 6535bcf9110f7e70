"""Convolution of images with a kernel of weights, and its two transposes, by the kernels of `sweeps`.

The form <g, conv(x, w)> is linear in each of g, x and w; leaving out one of them gives the array that goes in its
place. So there are three functions, as in `ops/convolution.py`.

The rule for what computes them, by sizes and dtypes alone so that runs are reproducible: from LEAST multiplications on,
all of float32 or all of float64, the kernels; else NumPy. `convolution_backend` forces one; with NUMBA_DISABLE_JIT=1
the kernels run only when forced, as plain Python.

The kernels leave out some zeros, and put in others, which changes nothing as long as these meet finite numbers. Where
a weight or a number of g is NaN or infinite, they take the zeros that NumPy takes, and no others.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.operation import quicken
from ..core.tensor import FLOATS
from ..ops.convolution import Pair, summed
from . import sweeps
from .backend import Backend, compiler_is_off

LEAST = 2**18  # multiplications

convolution_backend = Backend("convolution_backend", "numba", "numpy")


def convolve(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    """In the place of g: images x (n, height, width, inputs) and weights w (rows, columns, inputs, outputs)."""
    sides = zip(x.shape[1:3], w.shape, stride, padding)
    size = [(length + 2 * zeros - taps) // step + 1 for length, taps, step, zeros in sides]
    out = np.empty((len(x), *size, w.shape[3]), summed(x, w))
    if not by_kernel(x, w, out):
        return _numpy_convolve(x, w, stride, padding)
    sweeps.sweep(x, w, out, stride, padding, counts=True)
    return out


def spread(g: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """In the place of x, images of this size: every pixel of g is spread over the window it was summed from."""
    out = np.empty((len(g), *size, w.shape[2]), np.result_type(g, w))
    if not by_kernel(out, w, g):
        return _numpy_spread(g, w, stride, padding, size)
    sweeps.spread(g, w, out, stride, padding)
    return out


def correlate(x: np.ndarray, g: np.ndarray, stride: Pair, padding: Pair, size: Pair) -> np.ndarray:
    """In the place of w, weights of this size: how pixels of x go along with the pixels of g they contributed to."""
    out = np.empty((*size, x.shape[3], g.shape[3]), np.result_type(x, g))
    if not by_kernel(x, out, g):
        return _numpy_correlate(x, g, stride, padding, size)
    sweeps.correlate(x, g, out, stride, padding)
    return out


def by_kernel(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> bool:
    """Whether the kernels are to compute one of these arrays from the others."""
    dtypes = {x.dtype, w.dtype, y.dtype}
    if convolution_backend.chosen != "auto" or len(dtypes) > 1:
        return convolution_backend.chosen == "numba" and dtypes <= set(FLOATS)
    work = w.size * math.prod(y.shape[:3])
    return work >= LEAST and x.dtype in FLOATS and not compiler_is_off()


_numpy_convolve = quicken("conv2d", convolve)
_numpy_spread = quicken("spread", spread)
_numpy_correlate = quicken("correlate", correlate)
