"""Softmax, its logarithm, and the cross entropy of labels with its gradient: one pass each over the rows of a matrix.

Rows are handled in blocks that fit into the cache nearest the processor. The exponentials of a block are computed in
one loop, so that vector registers are full where rows are short. As for single operations, an array of fewer than SMALL
elements goes through NumPy, which needs no compilation, and so does everything where numba is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError
from . import cache, plan
from .backend import compiler_is_off

FEW = 64  # classes
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# For each row, `powers[r]` holds e^(x - top) and `total` their sum when its {body} is reached.
SOURCE = """
def kernel(x, {arguments}):
    n, classes = x.shape
    rows = min(n, max(1, 2048 // classes))
    powers = np.empty((rows, classes), {dtype})
    tops = np.empty(rows, {dtype})
    flat = powers.reshape(rows * classes)
    loss = 0.0
{before}
    for first in range(0, n, rows):
        count = min(rows, n - first)
        for r in range(count):
            top = x[first + r, 0]
            for j in range(1, classes):
                value = x[first + r, j]
                top = value if value > top or value != value else top
            tops[r] = top
            for j in range(classes):
                powers[r, j] = x[first + r, j] - top
        for k in range(count * classes):
            flat[k] = special.exp_{short}(flat[k])
        for r in range(count):
            i = first + r
            total = 0.0
            for j in range(classes):
                total = add(total, float64(powers[r, j]))
{body}
{after}
"""

CHECK = """    for i in range(n):
        if labels[i] < 0 or labels[i] >= classes:
            return i"""
LOSS = """            loss += math.log(total) - (x[i, labels[i]] - tops[r])"""
EXCESS = """            factor = {dtype}(each / total)
            for j in range(classes):
                out[i, j] = powers[r, j] * factor
            out[i, labels[i]] -= {dtype}(each)"""
MEAN = """    mean[()] = loss / n
    return -1"""
SOFTMAX = """            factor = {dtype}(1.0 / total)
            for j in range(classes):
                out[i, j] = powers[r, j] * factor"""
LOGARITHM = """            size = {dtype}(math.log(total))
            for j in range(classes):
                out[i, j] = x[i, j] - tops[r] - size"""


def cross_entropy(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of -log(softmax(x)[label]) over the rows, 0-d and in x's dtype.

    Raises ArgumentError for a label that is not the number of a column.
    """
    if _small(x):
        rows = np.arange(len(labels))
        try:
            np.ravel_multi_index((rows, labels), x.shape)  # the quickest of NumPy's ways to find a label out of range
        except ValueError:
            _check(x, labels)
        shifted, _, total = exponentials(x, -1)
        losses = np.log(total[:, 0]) - shifted[rows, labels]
        return np.asarray(np.add.reduce(losses, 0, np.float64) / len(labels), x.dtype)
    mean = np.empty((), x.dtype)
    wrong = _kernel("labels, mean", x.dtype, CHECK, LOSS, MEAN)(x, _indices(labels), mean)
    if wrong >= 0:
        _check(x, labels)
    return mean


def excess(x: np.ndarray, labels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """scale (softmax(x) - one_hot(labels)) / n: the gradient of scale times the cross entropy; scale is 0-d.

    The labels are in range, as the cross entropy has seen.
    """
    if _small(x):
        _, powers, total = exponentials(x, -1)
        powers /= total * len(labels)
        powers[np.arange(len(labels)), labels] -= x.dtype.type(1.0 / len(labels))
        return np.ascontiguousarray(powers * scale)
    out = np.empty(x.shape, x.dtype)
    _kernel("labels, scale, out", x.dtype, "    each = scale[()] / n", EXCESS, "")(x, _indices(labels), scale, out)
    return out


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """e^x along an axis, divided by its sum."""
    if _has_rows(x, axis):
        return _by_rows(x, SOFTMAX)
    _, powers, total = exponentials(x, axis)
    return np.ascontiguousarray(np.divide(powers, total, out=powers))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """The logarithm of softmax."""
    if _has_rows(x, axis):
        return _by_rows(x, LOGARITHM)
    shifted, _, total = exponentials(x, axis)
    return np.ascontiguousarray(np.subtract(shifted, np.log(total), out=shifted))


def _check(x: np.ndarray, labels: np.ndarray) -> None:
    """Raises ArgumentError for the first label out of range."""
    wrong = (labels < 0) | (labels >= x.shape[1])
    if wrong.any():
        raise ArgumentError(
            f"cross_entropy: label {labels[wrong][0]} is out of range for logits of shape {x.shape}; "
            f"labels go from 0 to {x.shape[1] - 1}"
        )


def _indices(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.intp, copy=False)


def _small(x: np.ndarray) -> bool:
    return x.size < plan.SMALL or compiler_is_off()


def _has_rows(x: np.ndarray, axis: int) -> bool:
    """Whether the kernel can take the last axis as rows."""
    return x.dtype in FLOATS and x.flags.c_contiguous and axis in (-1, x.ndim - 1) and not _small(x)


def _by_rows(x: np.ndarray, body: str) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1])
    out = np.empty(rows.shape, x.dtype)
    _kernel("out", x.dtype, "", body, "")(rows, out)
    return out.reshape(x.shape)


@functools.cache
def _kernel(arguments: str, dtype: np.dtype, before: str, body: str, after: str) -> Callable[..., Any]:
    names = {"dtype": dtype.name, "short": f"f{8 * dtype.itemsize}"}
    parts = {"arguments": arguments, "before": before, "body": body.format(**names), "after": after}
    return cache.load(SOURCE.format(**parts, **names))


def exponentials(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x less its largest along the axis, its exponentials, and their sum. The first two may lie in memory by column."""
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    if x.ndim == 2 and axis in (1, -1) and x.shape[1] <= FEW:  # NumPy reduces a short axis slowly unless it is first
        shifted, powers, total = exponentials(np.ascontiguousarray(x.T), 0)
        return shifted.T, powers.T, total.T
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    powers = np.exp(shifted)
    total = np.add.reduce(powers, axis, np.float64 if x.dtype == np.float32 else None, keepdims=True)
    return shifted, powers, total.astype(powers.dtype, copy=False)
