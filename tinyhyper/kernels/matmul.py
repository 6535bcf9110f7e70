"""Matrix products with NumPy's semantics: a numba kernel, and the rule for when BLAS is called instead.

The rule, by sizes and dtypes alone so that runs are reproducible: BLAS, except for long stacks of the tiniest
products. Measured on one x86-64 core with AVX-512 (the kernel's time over BLAS's): 512x512x512 2.4 in float32, 2.3 in
float64; 256x784x128 2.6 and 2.4; a stack of 10,000 products 16x16x16 5.7 and 2.0, 4x4x4 1.5 and 1.5, 3x3x3 1.0 and 1.4,
2x2x2 0.6 and 0.6. So the kernel takes float products of at most TINY multiplications each, in stacks of at least STACK
elements: less would not repay its compilation (half a second, once; then it is on disk).
`matmul_backend` forces one; with NUMBA_DISABLE_JIT=1 the kernel runs only when forced, as plain Python.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ..errors import ShapeError
from . import cache
from .backend import Backend

# Four rows of b are added to a row of the result in one pass, over 64 rows at a time, so that these stay in the cache.
SOURCE = """
def kernel(a, b, out, which_a, which_b):
    rows, inner, columns = a.shape[1], a.shape[2], b.shape[2]
    for s in range(out.shape[0]):
        x, y, z = a[which_a[s]], b[which_b[s]], out[s]
        for first in range(0, inner, 64):
            last = min(first + 64, inner)
            for i in range(rows):
                k = first
                while k + 4 <= last:
                    x0, x1, x2, x3 = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
                    for j in range(columns):
                        z[i, j] += (x0 * y[k, j] + x1 * y[k + 1, j]) + (x2 * y[k + 2, j] + x3 * y[k + 3, j])
                    k += 4
                while k < last:
                    for j in range(columns):
                        z[i, j] += x[i, k] * y[k, j]
                    k += 1
"""

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
TINY = 8
STACK = 100_000

matmul_backend = Backend("matmul_backend", "numba", "blas")


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b: matrices in the last two axes, the axes before them broadcast. A vector is a row if first, else a column.

    Raises ShapeError if the inner axes differ, the outer ones do not broadcast, or an operand is 0-d.
    """
    if matmul_backend.chosen == "blas" or (matmul_backend.chosen == "auto" and not _kernel_wins(a, b)):
        try:
            if a.ndim > 2 == b.ndim and a.flags.c_contiguous:  # one product of many rows, not many products of few
                return np.matmul(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
            return np.matmul(a, b)
        except ValueError:
            raise _misfit(a, b) from None
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise _misfit(a, b)
    dtype = np.result_type(a, b)
    if dtype not in FLOATS:
        return np.matmul(a, b)
    out = _by_kernel(np.atleast_2d(a), b if b.ndim > 1 else b[:, None], dtype)
    if a.ndim == 1:
        out = out[..., 0, :]
    return out if b.ndim > 1 else out[..., 0]


def _kernel_wins(a: np.ndarray, b: np.ndarray) -> bool:
    """The rule of `auto`, by sizes and dtypes alone."""
    if a.ndim < 3 or b.ndim < 3 or a.dtype not in FLOATS or b.dtype not in FLOATS:
        return False
    if numba.config.DISABLE_JIT:
        return False
    return a.size >= STACK and math.prod(a.shape[-2:]) * b.shape[-1] <= TINY


def _by_kernel(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    try:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise _misfit(a, b) from None
    out = np.zeros((*stack, a.shape[-2], b.shape[-1]), dtype)
    which = [np.broadcast_to(np.arange(math.prod(x.shape[:-2])).reshape(x.shape[:-2]), stack).ravel() for x in (a, b)]
    left, right = [np.ascontiguousarray(x, dtype).reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in (a, b)]
    cache.load(SOURCE)(left, right, out.reshape(len(which[0]), *out.shape[-2:]), *which)
    return out


def _misfit(a: np.ndarray, b: np.ndarray) -> ShapeError:
    return ShapeError(
        f"matmul: shapes {a.shape} and {b.shape} do not fit. The last axis of the first must equal the last but one "
        "(or only) axis of the second, and the axes before these must broadcast; for numbers use *"
    )
