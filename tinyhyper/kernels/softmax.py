"""The operations of `ops/nn.py` by the rows of a matrix.

Rows are handled in blocks that fit into the cache nearest the processor. The exponentials of a block are computed in
one loop, so that vector registers are full where rows are short. As for single operations, an array of fewer than SMALL
elements goes through NumPy, which needs no compilation, and so does everything where numba is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ..core.operation import ArraySpec, quicken
from ..core.rules import Axes
from ..core.tensor import FLOATS
from ..ops import nn  # noqa: F401  whose operations these are
from . import cache, plan
from .backend import compiler_is_off
from .recipes import FLAG, Argument, Operand, Output, Recipe, Room, Specs, array, lie, made

# In blocks of as many rows as `tops` has. For each row, `powers` holds e^(x - top) and `total` their sum when its
# {body} is reached. Of labels it has the others' alone, and `power` the label's: added to that of a sure label they
# would be rounded away.
SOURCE = """
def kernel(x, powers, tops, {arguments}):
    n, classes = x.shape
    rows = len(tops)
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
                powers[r * classes + j] = x[first + r, j] - top
        for k in range(count * classes):
            powers[k] = special.exp_{short}(powers[k])
        for r in range(count):
            i = first + r
{aside}
            total = 0.0
            for j in range(classes):
                total = add(total, float64(powers[r * classes + j]{but}))
{body}
{after}
"""

CHECK = """    for i in range(n):
        if labels[i] < 0 or labels[i] >= classes:
            wrong[0] = 1
            return"""
EACH = """
    each = scale[()] / n"""
ASIDE = "            label, power = labels[i], float64(powers[r * classes + labels[i]])"
BUT = " if j != label else 0"
LOSS = """            loss += math.log1p(total + (power - 1)) - (x[i, label] - tops[r])"""
EXCESS = """            factor = {dtype}(each / (total + power))
            for j in range(classes):
                out[i, j] = powers[r * classes + j] * factor
            out[i, label] = {dtype}(-each * (total / (total + power)))"""
MEAN = "    mean[()] = loss / n"
SOFTMAX = """            factor = {dtype}(1.0 / total)
            for j in range(classes):
                out[i, j] = powers[r * classes + j] * factor"""
LOGARITHM = """            size = {dtype}(math.log(total))
            for j in range(classes):
                out[i, j] = x[i, j] - tops[r] - size"""
# The arguments of a kernel beside x and its room; what stands before the loop, in it, and after it.
Source: TypeAlias = "tuple[str, str, str, str]"
LOSSES: Source = ("labels, wrong, mean", CHECK, LOSS, MEAN)
EXCESSES: Source = ("labels, wrong, scale, out", CHECK + EACH, EXCESS, "")
SHARES, LOGARITHMS = ("out", "", SOFTMAX, ""), ("out", "", LOGARITHM, "")
WEIGHTED, SPREAD = (" * weights[i, j]", ""), ("", " * weights[i, j]")
BLOCK = 2048  # elements of a block of rows
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
        mean, wrong = np.empty((), x.dtype), np.zeros(1, np.intp)
        cache.load(_source(x.dtype, *LOSSES))(x, *_room(x), _indices(labels), wrong, mean)
        if not wrong[0]:
            return mean
    return _numpy_cross_entropy(x, labels)  # which says what label is out of range


def excess(scale: np.ndarray, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if not _small(x):
        out, wrong = np.empty(x.shape, x.dtype), np.zeros(1, np.intp)
        cache.load(_source(x.dtype, *EXCESSES))(x, *_room(x), _indices(labels), wrong, scale, out)
        if not wrong[0]:
            return out
    return _numpy_excess(scale, x, labels)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    if _has_rows(x, axis):
        return _by_rows(_source(x.dtype, *SHARES), x, room=True)
    return _numpy_softmax(x, axis)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    if _has_rows(x, axis):
        return _by_rows(_source(x.dtype, *LOGARITHMS), x, room=True)
    return _numpy_log_softmax(x, axis)


def shares(x: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and np.isfinite(x).all():
        return softmax(x, -1)
    return _numpy_shares(x, axis)


def centred(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, *WEIGHTED), x, weights)
    return _numpy_centred(x, weights, axis)


def balanced(x: np.ndarray, weights: np.ndarray, axis: Axes) -> np.ndarray:
    if _has_rows(x, axis) and weights.flags.c_contiguous:
        return _by_rows(_projection(x.dtype, *SPREAD), x, weights)
    return _numpy_balanced(x, weights, axis)


def loss_recipe(operands: Specs, out: ArraySpec) -> Recipe | None:
    """cross_entropy as a recipe. A label that is out of range sets the flag."""
    return _labelled(LOSSES, operands, (0, 1), out)


def excess_recipe(operands: Specs, out: ArraySpec) -> Recipe | None:
    """excess as a recipe, with a flag as for cross_entropy."""
    return _labelled(EXCESSES, operands, (1, 2, 0), out)


def _labelled(what: Source, operands: Specs, order: Sequence[int], out: ArraySpec) -> Recipe | None:
    """A kernel of labels: of x, the labels, and what else there is, by number in this order."""
    x, labels, *others = [(Operand(n), lie(operands[n])) for n in order]
    wrong = FLAG, np.zeros(1, np.intp)
    arguments = [array(*x), *_room_for(x[1]), *[array(*each) for each in (labels, wrong, *others)]]
    return made(_source(x[1].dtype, *what), [*arguments, array(Output(0), lie(out))], exact=not _small(x[1]))


def softmax_recipe(what: Source, operands: Specs, out: ArraySpec, axis: Axes) -> Recipe | None:
    """softmax, or its logarithm, as a recipe."""
    return _of_rows(_source(out.dtype, *what), operands, axis, room=True)


def projection_recipe(what: tuple[str, str], operands: Specs, out: ArraySpec, axis: Axes) -> Recipe | None:
    """centred or balanced as a recipe."""
    return _of_rows(_projection(out.dtype, *what), operands, axis)


def _of_rows(source: str, operands: Specs, axis: Axes, room: bool = False) -> Recipe | None:
    """A kernel of rows for operands of one shape, if their last axis is the rows."""
    x, *_ = arrays = [*map(lie, operands)]
    in_rows = axis in (-1, x.ndim - 1) and all(a.flags.c_contiguous and a.dtype in FLOATS for a in arrays)
    if not in_rows or not x.size:
        return None
    rows = np.empty((x.size // x.shape[-1], x.shape[-1]), x.dtype)
    arguments = [*[array(Operand(n), rows) for n in range(len(arrays))], *(_room_for(rows) if room else ())]
    return made(source, [*arguments, array(Output(0), rows)], exact=not _small(x))


def _room_for(x: np.ndarray) -> list[Argument]:
    return [array(Room(a.nbytes), a) for a in _room(x)]


def _indices(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.intp, copy=False)


def _small(x: np.ndarray) -> bool:
    return x.size < plan.SMALL or compiler_is_off()


def _has_rows(x: np.ndarray, axis: Axes) -> bool:
    """Whether the kernel can take the last axis as rows."""
    return x.dtype in FLOATS and x.flags.c_contiguous and axis in (-1, x.ndim - 1) and not _small(x)


def _by_rows(source: str, *arrays: np.ndarray, room: bool = False) -> np.ndarray:
    """What a kernel of rows makes of arrays of one shape."""
    shape = arrays[0].shape
    rows = [array.reshape(-1, shape[-1]) for array in arrays]
    out = np.empty(rows[0].shape, rows[0].dtype)
    cache.load(source)(*rows, *(_room(rows[0]) if room else ()), out)
    return out.reshape(shape)


def _room(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a kernel puts the powers and the largest numbers of a block of rows."""
    rows = min(len(x), max(1, BLOCK // x.shape[1]))
    return np.empty(rows * x.shape[1], x.dtype), np.empty(rows, x.dtype)


@functools.cache
def _source(dtype: np.dtype, arguments: str, before: str, body: str, after: str) -> str:
    names = {"dtype": dtype.name, "short": f"f{8 * dtype.itemsize}"}
    parts = {"arguments": arguments, "before": before, "body": body.format(**names), "after": after}
    aside, but = (ASIDE, BUT) if "labels" in arguments else ("", "")
    return SOURCE.format(aside=aside, but=but, **parts, **names)


@functools.cache
def _projection(dtype: np.dtype, weight: str, share: str) -> str:
    """out = x - total * share twice, where total is the sum of x * weight over the row."""
    passes = [PASS.format(x=x, dtype=dtype.name, weight=weight, share=share) for x in ("x", "out")]
    return PROJECTION + "".join(passes)


_numpy_cross_entropy, _numpy_excess = quicken("cross_entropy", cross_entropy), quicken("excess", excess)
_numpy_softmax, _numpy_log_softmax = quicken("softmax", softmax), quicken("log_softmax", log_softmax)
_numpy_shares = quicken("shares", shares)
_numpy_centred, _numpy_balanced = quicken("centred", centred), quicken("balanced", balanced)
