"""Softmax, its logarithm, and the cross entropy of labels, with what their gradients need: by the rows of a matrix.

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
from ..ops.reduce import real
from . import cache, plan
from .backend import compiler_is_off

FEW = 64  # classes
Axes = int | tuple[int, ...] | None
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# For each row, `powers[r]` holds e^(x - top) and `total` their sum when its {body} is reached. Of labels
# it has the others' alone, and `power` the label's: added to that of a sure label they would be rounded away.
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
{aside}
            total = 0.0
            for j in range(classes):
                total = add(total, float64(powers[r, j]{but}))
{body}
{after}
"""

CHECK = """    for i in range(n):
        if labels[i] < 0 or labels[i] >= classes:
            return i"""
ASIDE = "            label, power = labels[i], float64(powers[r, labels[i]])"
BUT = " if j != label else 0"
LOSS = """            loss += math.log1p(total + (power - 1)) - (x[i, label] - tops[r])"""
EXCESS = """            factor = {dtype}(each / (total + power))
            for j in range(classes):
                out[i, j] = powers[r, j] * factor
            out[i, label] = {dtype}(-each * (total / (total + power)))"""
MEAN = """    mean[()] = loss / n
    return -1"""
SOFTMAX = """            factor = {dtype}(1.0 / total)
            for j in range(classes):
                out[i, j] = powers[r, j] * factor"""
LOGARITHM = """            size = {dtype}(math.log(total))
            for j in range(classes):
                out[i, j] = x[i, j] - tops[r] - size"""
PROJECTION = """
def kernel(x, weights, out):
    n, classes = x.shape
    for i in range(n):"""
PASS = """
        total = 0.0
        for j in range(classes):
            total = add(total, float64({x}[i, j]{weight}))
        part = {dtype}(total)
        for j in range(classes):
            out[i, j] = {x}[i, j] - part{share}
"""


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
        shifted, powers = exponentials(x, -1)
        power, powers[rows, labels] = powers[rows, labels], 0
        losses = np.log1p(_total(powers, -1)[:, 0] + (power - 1)) - shifted[rows, labels]
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
        rows, (_, powers) = np.arange(len(labels)), exponentials(x, -1)
        total = _total(powers, -1) * len(labels)
        powers[rows, labels] = 0
        powers /= total
        powers[rows, labels] = -_total(powers, -1)[:, 0]
        return np.ascontiguousarray(powers * scale)
    out = np.empty(x.shape, x.dtype)
    _kernel("labels, scale, out", x.dtype, "    each = scale[()] / n", EXCESS, "")(x, _indices(labels), scale, out)
    return out


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """e^x along an axis, divided by its sum."""
    if _has_rows(x, axis):
        return _by_rows(_kernel("out", x.dtype, "", SOFTMAX, ""), x)
    _, powers = exponentials(x, axis)
    return np.ascontiguousarray(np.divide(powers, _total(powers, axis), out=powers))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """The logarithm of softmax."""
    if _has_rows(x, axis):
        return _by_rows(_kernel("out", x.dtype, "", LOGARITHM, ""), x)
    shifted, powers = exponentials(x, axis)
    return np.ascontiguousarray(np.subtract(shifted, np.log(_wide_total(powers, axis)), out=shifted))


def logsumexp(x: np.ndarray, axis: Axes) -> np.ndarray:
    """The logarithm of the sum of e^x over the axes, which stay, of length 1."""
    x = real(x)
    top = _finite_top(x, axis)
    return (np.log(_wide_total(np.exp(x - top), axis)) + top).astype(x.dtype)


def shares(x: np.ndarray, axis: Axes) -> np.ndarray:
    """The slopes of logsumexp: softmax over the axes, but 0 where all of x is -infinity."""
    if _has_rows(x, axis) and np.isfinite(x).all():
        return softmax(x, -1)
    powers = np.exp(x - _finite_top(x, axis))
    total = _total(powers, axis)
    return np.asarray(powers / np.where(total == 0, np.inf, total), x.dtype)


def centred(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    """x less its mean by these weights, twice: the second time it is what rounding has left of it."""
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, " * weights[i, j]", ""), x, weights)
    for _ in range(2):
        x = x - _total(x * weights, axis)
    return x


def balanced(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    """x less its sum, spread by these weights, twice as well."""
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, "", " * weights[i, j]"), x, weights)
    for _ in range(2):
        x = x - weights * _total(x, axis)
    return x


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


def _has_rows(x: np.ndarray, axis: Axes) -> bool:
    """Whether the kernel can take the last axis as rows."""
    return x.dtype in FLOATS and x.flags.c_contiguous and axis in (-1, x.ndim - 1) and not _small(x)


def _by_rows(kernel: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """What a kernel of rows makes of arrays of one shape."""
    shape = arrays[0].shape
    rows = [array.reshape(-1, shape[-1]) for array in arrays]
    out = np.empty(rows[0].shape, rows[0].dtype)
    kernel(*rows, out)
    return out.reshape(shape)


@functools.cache
def _kernel(arguments: str, dtype: np.dtype, before: str, body: str, after: str) -> Callable[..., Any]:
    names = {"dtype": dtype.name, "short": f"f{8 * dtype.itemsize}"}
    parts = {"arguments": arguments, "before": before, "body": body.format(**names), "after": after}
    aside, but = (ASIDE, BUT) if "labels" in arguments else ("", "")
    return cache.load(SOURCE.format(aside=aside, but=but, **parts, **names))


@functools.cache
def _projection(dtype: np.dtype, weight: str, share: str) -> Callable[..., Any]:
    """out = x - total * share twice, where total is the sum of x * weight over the row."""
    passes = [PASS.format(x=x, dtype=dtype.name, weight=weight, share=share) for x in ("x", "out")]
    return cache.load(PROJECTION + "".join(passes))


def exponentials(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """x less its largest along the axis, and its exponentials. They may lie in memory by column."""
    x = real(x)
    if x.ndim == 2 and axis in (1, -1) and x.shape[1] <= FEW:  # NumPy reduces a short axis slowly unless it is first
        shifted, powers = exponentials(np.ascontiguousarray(x.T), 0)
        return shifted.T, powers.T
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return shifted, np.exp(shifted)


def _finite_top(x: np.ndarray, axis: Axes) -> np.ndarray:
    top = np.maximum.reduce(x, axis, keepdims=True)
    return np.where(np.isfinite(top), top, 0)


def _total(x: np.ndarray, axis: Axes) -> np.ndarray:
    return _wide_total(x, axis).astype(x.dtype, copy=False)


def _wide_total(x: np.ndarray, axis: Axes) -> np.ndarray:
    """The sum along the axes, which stay, of length 1; in float64."""
    return np.add.reduce(x, axis, np.float64, keepdims=True)
