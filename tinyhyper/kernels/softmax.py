"""The operations of `ops/nn.py` by the rows of a matrix.

Rows are handled in blocks that fit into the cache nearest the processor. The exponentials of a block are computed in
one loop, so that vector registers are full where rows are short. As for single operations, an array of fewer than SMALL
elements goes through NumPy, which needs no compilation, and so does everything where numba is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.operation import quicken
from ..core.rules import Axes
from ..core.tensor import FLOATS
from ..ops import nn  # noqa: F401  whose operations these are
from . import cache, plan
from .backend import compiler_is_off

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
    if not _small(x):
        mean = np.empty((), x.dtype)
        wrong = _kernel("labels, mean", x.dtype, CHECK, LOSS, MEAN)(x, _indices(labels), mean)
        if wrong < 0:
            return mean
    return _numpy_cross_entropy(x, labels)  # which says what label is out of range


def excess(scale: np.ndarray, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if _small(x):
        return _numpy_excess(scale, x, labels)
    out = np.empty(x.shape, x.dtype)
    _kernel("labels, scale, out", x.dtype, "    each = scale[()] / n", EXCESS, "")(x, _indices(labels), scale, out)
    return out


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    if _has_rows(x, axis):
        return _by_rows(_kernel("out", x.dtype, "", SOFTMAX, ""), x)
    return _numpy_softmax(x, axis)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    if _has_rows(x, axis):
        return _by_rows(_kernel("out", x.dtype, "", LOGARITHM, ""), x)
    return _numpy_log_softmax(x, axis)


def shares(x: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and np.isfinite(x).all():
        return softmax(x, -1)
    return _numpy_shares(x, axis)


def centred(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, " * weights[i, j]", ""), x, weights)
    return _numpy_centred(x, weights, axis)


def balanced(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, "", " * weights[i, j]"), x, weights)
    return _numpy_balanced(x, weights, axis)


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


_numpy_cross_entropy, _numpy_excess = quicken("cross_entropy", cross_entropy), quicken("excess", excess)
_numpy_softmax, _numpy_log_softmax = quicken("softmax", softmax), quicken("log_softmax", log_softmax)
_numpy_shares = quicken("shares", shares)
_numpy_centred, _numpy_balanced = quicken("centred", centred), quicken("balanced", balanced)
