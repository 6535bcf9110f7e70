"""The operations of `ops/nn.py` by the rows of a matrix.

Rows are handled in blocks that fit into the cache nearest the processor. The exponentials of a block are computed in
one loop, so that vector registers are full where rows are short. As for single operations, an array of fewer than SMALL
elements goes through NumPy, which needs no compilation, and so does everything where numba is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from ..core.operation import ArraySpec, quicken
from ..core.rules import Axes
from ..core.tensor import FLOATS
from ..ops import nn  # noqa: F401  whose operations these are
from . import cache, plan
from .backend import compiler_is_off
from .recipes import FLAG, Argument, Operand, Output, Recipe, Specs, Workspace, array, lie, made

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
# By name, the arguments of a kernel beside x and its workspace; what stands before the loop, in it, and after it.
KERNELS = {
    "cross_entropy": ("labels, wrong, mean", CHECK, LOSS, MEAN),
    "excess": ("labels, wrong, scale, out", CHECK + EACH, EXCESS, ""),
    "softmax": ("out", "", SOFTMAX, ""),
    "log_softmax": ("out", "", LOGARITHM, ""),
}
LABELLED = {"cross_entropy": (0, 1), "excess": (1, 2, 0)}  # which operands are x, the labels, and what else there is
BLOCK = 2048  # elements of a block of rows
# By name, what is multiplied by weights in out = x - total, twice, where total is the sum over the row.
PROJECTIONS = {"centred": (" * weights[i, j]", ""), "balanced": ("", " * weights[i, j]")}
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
ROWS = ("softmax", "log_softmax", *PROJECTIONS)


def _by_labels(name: str) -> Callable[..., np.ndarray]:
    """Let a kernel of labels carry out an operation on large arrays; the way that it is carried out then."""

    def forward(*operands: np.ndarray) -> np.ndarray:
        x, labels, *others = [operands[n] for n in LABELLED[name]]
        if not _small(x):
            out, wrong = np.empty(x.shape if others else (), x.dtype), np.zeros(1, np.intp)
            given = labels.astype(np.intp, copy=False), wrong, *others
            cache.load(_source(name, x.dtype))(x, *_workspace(x), *given, out)
            if not wrong[0]:
                return out
        return by_numpy(*operands)  # which says what label is out of range

    by_numpy = quicken(name, forward)
    return forward


def _by_rows(name: str) -> Callable[..., np.ndarray]:
    """Let a kernel of rows carry out an operation on large arrays of one shape; the way that it is carried out then."""

    def forward(*operands: np.ndarray, axis: Axes) -> np.ndarray:
        x = operands[0]
        if _small(x) or not _are_rows(operands, axis):
            return by_numpy(*operands, axis)
        rows = [array.reshape(-1, x.shape[-1]) for array in operands]
        out = np.empty(rows[0].shape, x.dtype)
        workspace = () if name in PROJECTIONS else _workspace(rows[0])
        cache.load(_source(name, x.dtype))(*rows, *workspace, out)
        return out.reshape(x.shape)

    by_numpy = quicken(name, forward)
    return forward


def shares(x: np.ndarray, axis: Axes) -> np.ndarray:
    if not _small(x) and _are_rows([x], axis) and np.isfinite(x).all():
        return softmax(x, axis=-1)
    return _numpy_shares(x, axis)


def labelled_recipe(name: str, operands: Specs, out: ArraySpec) -> Recipe:
    """cross_entropy or excess as a recipe. A label that is out of range sets the flag."""
    x, labels, *others = [(Operand(n), lie(operands[n])) for n in LABELLED[name]]
    wrong = FLAG, np.zeros(1, np.intp)
    arguments = [array(*x), *_workspace_for(x[1]), *[array(*each) for each in (labels, wrong, *others)]]
    return made(_source(name, x[1].dtype), [*arguments, array(Output(0), lie(out))], exact=not _small(x[1]))


def rows_recipe(name: str, operands: Specs, out: ArraySpec, axis: Axes) -> Recipe | None:
    """An operation on rows as a recipe, if the operands' last axis is these."""
    x, *_ = arrays = [*map(lie, operands)]
    if not x.size or not _are_rows(arrays, axis):
        return None
    rows = np.empty((x.size // x.shape[-1], x.shape[-1]), x.dtype)
    workspace = () if name in PROJECTIONS else _workspace_for(rows)
    arguments = [*[array(Operand(n), rows) for n in range(len(arrays))], *workspace, array(Output(0), rows)]
    return made(_source(name, x.dtype), arguments, exact=not _small(x))


def _workspace_for(x: np.ndarray) -> list[Argument]:
    return [array(Workspace(a.nbytes), a) for a in _workspace(x)]


def _small(x: np.ndarray) -> bool:
    return x.size < plan.SMALL or compiler_is_off()


def _are_rows(arrays: Sequence[np.ndarray], axis: Axes) -> bool:
    """Whether a kernel can take the last axis of arrays as rows."""
    return axis in (-1, arrays[0].ndim - 1) and all(a.dtype in FLOATS and a.flags.c_contiguous for a in arrays)


def _workspace(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a kernel puts the powers and the largest numbers of a block of rows."""
    rows = min(len(x), max(1, BLOCK // x.shape[1]))
    return np.empty(rows * x.shape[1], x.dtype), np.empty(rows, x.dtype)


@functools.cache
def _source(name: str, dtype: np.dtype) -> str:
    names = {"dtype": dtype.name, "short": f"f{8 * dtype.itemsize}"}
    if name in PROJECTIONS:
        weight, share = PROJECTIONS[name]
        return PROJECTION + "".join([PASS.format(x=x, weight=weight, share=share, **names) for x in ("x", "out")])
    arguments, before, body, after = KERNELS[name]
    parts = {"arguments": arguments, "before": before, "body": body.format(**names), "after": after}
    aside, but = (ASIDE, BUT) if name in LABELLED else ("", "")
    return SOURCE.format(aside=aside, but=but, **parts, **names)


_numpy_shares = quicken("shares", shares)
cross_entropy, excess = map(_by_labels, LABELLED)
softmax, log_softmax, centred, balanced = map(_by_rows, ROWS)
