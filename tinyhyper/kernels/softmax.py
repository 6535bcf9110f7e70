"""Softmax's exponentials, and the cross entropy of labels and its gradient over the rows of a matrix, one pass each.

As for single operations, the cross entropy of a matrix of fewer than SMALL elements goes through NumPy, which needs no
compilation, and so does everything where numba is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np

from . import cache, plan

FEW = 64  # classes

SOURCE = """
def kernel(x, labels, out):
    n, classes = x.shape
    powers = np.empty(classes, {dtype})
    loss = 0.0
    for i in range(n):
        top = x[i, 0]
        for j in range(1, classes):
            top = x[i, j] if x[i, j] > top or x[i, j] != x[i, j] else top
        for j in range(classes):
            powers[j] = special.exp_{short}(x[i, j] - top)
        total = 0.0
        for j in range(classes):
            total = add(total, float64(powers[j]))
{body}
"""

LOSS = """        loss += math.log(total) - (x[i, labels[i]] - top)
    out[()] = loss / n"""

EXCESS = """        for j in range(classes):
            out[i, j] = powers[j] * {dtype}(1.0 / (total * n))
        out[i, labels[i]] -= {dtype}(1.0 / n)"""


def cross_entropy(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of -log(softmax(x)[label]) over the rows, 0-d and in x's dtype."""
    if _small(x):
        shifted, _, total = exponentials(x, -1)
        losses = np.log(total[:, 0]) - shifted[np.arange(len(labels)), labels]
        return np.asarray(losses.sum(dtype=np.float64) / len(labels), x.dtype)
    out = np.empty((), x.dtype)
    _kernel(LOSS, x.dtype)(x, labels.astype(np.intp, copy=False), out)
    return out


def excess(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(softmax(x) - one_hot(labels)) / n: the gradient of the cross entropy."""
    if _small(x):
        _, powers, total = exponentials(x, -1)
        powers /= total * len(labels)
        powers[np.arange(len(labels)), labels] -= x.dtype.type(1.0 / len(labels))
        return np.ascontiguousarray(powers)
    out = np.empty(x.shape, x.dtype)
    _kernel(EXCESS, x.dtype)(x, labels.astype(np.intp, copy=False), out)
    return out


def _small(x: np.ndarray) -> bool:
    return numba.config.DISABLE_JIT or x.size < plan.SMALL


@functools.cache
def _kernel(body: str, dtype: np.dtype) -> Callable[..., None]:
    names = {"dtype": dtype.name, "short": f"f{8 * dtype.itemsize}"}
    return cache.load(SOURCE.format(body=body.format(**names), **names))


def exponentials(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x less its largest along the axis, its exponentials, and their sum. The first two may lie in memory by column."""
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    if x.ndim == 2 and axis in (1, -1) and x.shape[1] <= FEW:  # NumPy reduces a short axis slowly unless it is first
        shifted, powers, total = exponentials(np.ascontiguousarray(x.T), 0)
        return shifted.T, powers.T, total.T
    with np.errstate(all="ignore"):
        shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
        powers = np.exp(shifted)
        total = np.add.reduce(powers, axis=axis, dtype=np.float64 if x.dtype == np.float32 else None, keepdims=True)
    return shifted, powers, total.astype(powers.dtype, copy=False)
