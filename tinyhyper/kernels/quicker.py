"""The core's operations that kernels compute quicker, and the VJPs that go with them.

As for single operations, fewer than SMALL elements go through NumPy, which needs no compilation, and so does everything
where numba is switched off.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import rules
from ..core.operation import OPERATIONS, ArraySpec, quicken
from ..core.rules import as_matrix, reshape, sum_to, swapaxes
from ..core.tensor import FLOAT32, FLOAT64, Tensor
from . import cache, plan, threads
from .backend import compiler_is_off
from .matmul import matmul
from .parts import Parts

TOTAL = """
def kernel(x, out):
    total = 0.0
    for i in range(x.shape[0]):
        total = add(total, float64(x[i]))
    out[()] = total
"""
ROWS = """
def kernel(rows, places, out):
    for n in range(len(places)):
        for j in range(rows.shape[1]):
            out[places[n], j] += float64(rows[n, j])
"""
SHARED = 2_000_000  # elements, from which on threads share a sum: about as long as other kernels take then (`parts`)


def total(x: np.ndarray) -> Any:
    """The sum of all elements: float64 for float32, of which NumPy converts pieces and then adds them.

    By a kernel, on several threads where that pays, for a contiguous float32 array; for others NumPy is as quick.
    """
    if x.size < plan.SMALL or x.dtype != FLOAT32 or not x.flags.forc or compiler_is_off():
        return np.add.reduce(x, None, FLOAT64 if x.dtype == FLOAT32 else None)
    kernel, args = cache.load(TOTAL), (x.ravel("K"), np.empty(()))
    if x.size < SHARED or threads.num_threads() == 1:
        kernel(*args)
    else:
        Parts(kernel, x.size, (True, False), 1).run(args)
    return args[1]


def _sum(x: np.ndarray, /, axis: rules.Axes = None, keepdims: bool = False) -> np.ndarray:
    whole = axis is None and not keepdims
    return rules.like(total(x) if whole else rules.total(x, axis, keepdims), x)


def add_rows(rows: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    """Add each row to a float64 array at its place; NumPy's `add.at` takes ten to twenty times as long.

    rows: (*places.shape, *out.shape[1:]), float32 or float64.  places: integers that are in range; negative ones count
    from the end.
    """
    if rows.size < plan.SMALL or compiler_is_off():
        np.add.at(out, places, rows.astype(FLOAT64, copy=False))
    else:
        flat = np.ascontiguousarray(rows).reshape(places.size, -1)
        cache.load(ROWS)(flat, places.ravel().astype(np.intp, copy=False), out.reshape(len(out), -1))


def _scatter(xs: Any, /, indices: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Rows by number, which a kernel adds up; NumPy does all else."""
    if not all(type(index) is np.ndarray and index.dtype.kind != "b" for index in indices):
        return _scatter_by_numpy(xs, indices, shape)
    out = np.zeros(shape)
    for x, index in zip(xs, indices):
        add_rows(x, index, out)
    return out.astype(xs[0].dtype, copy=False)


def _matmul(x: np.ndarray, y: np.ndarray, /, left: bool = False, right: bool = False) -> np.ndarray:
    """x @ y, of which left and right say whether the matrices of x, of y, are transposed first."""
    return matmul(x.swapaxes(-1, -2) if left else x, y.swapaxes(-1, -2) if right else y)


def _lying_like(spec: ArraySpec, x: Tensor, y: Tensor, left: bool, right: bool) -> Tensor:
    """A product, by columns if the operand lies by columns: the gradient of a transposed weight needs no copy."""
    if len(spec.shape) == 2 and spec.strides[0] < spec.strides[1]:
        return swapaxes(OPERATIONS["matmul"]([y, x], {"left": not right, "right": not left}), -1, -2)
    return OPERATIONS["matmul"]([x, y], {"left": left, "right": right})


def _matmul_x(g: Tensor, y: Tensor, spec: ArraySpec, left: bool, right: bool) -> Tensor:
    if left:
        return _lying_like(spec, y, g, right, True)
    if len(spec.shape) > 1 and y.ndim > 1:
        return _lying_like(spec, g, y, False, not right)
    columns = reshape(y, (-1, 1)) if y.ndim == 1 else y
    found = _lying_like(spec, as_matrix(g, spec.shape, y.shape), columns, False, True)
    return found if len(spec.shape) > 1 else reshape(sum_to(found, (1, *spec.shape)), spec.shape)


def _matmul_y(g: Tensor, x: Tensor, spec: ArraySpec, left: bool, right: bool) -> Tensor:
    if right:
        return _lying_like(spec, g, x, True, left)
    if x.ndim > 1 and len(spec.shape) > 1 and (left or x.ndim == 2 or len(spec.shape) > 2):
        return _lying_like(spec, x, g, not left, False)
    rows, g = reshape(x, (1, -1)) if x.ndim == 1 else x, as_matrix(g, x.shape, spec.shape)
    if len(spec.shape) <= 2 < x.ndim:  # a stack that shares one matrix is one product of many rows
        rows, g = (reshape(t, (math.prod(t.shape[:-1]), t.shape[-1])) for t in (rows, g))
    found = _lying_like(spec, rows, g, True, False)
    return found if len(spec.shape) > 1 else reshape(found, spec.shape)


quicken("matmul", _matmul, x=_matmul_x, y=_matmul_y)
quicken("sum", _sum)
_scatter_by_numpy = quicken("scatter", _scatter)
