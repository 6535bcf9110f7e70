"""Matrix products with NumPy's semantics: the register-tiled kernel, and the choice of when BLAS is called instead.

By sizes and dtypes alone, so that runs are reproducible: the kernel multiplies float32 or float64 (both of the
same) if each product has at least LEAST multiplications, THIN rows and THIN columns; everything else goes to BLAS. From
LEAST on OpenBLAS wakes its own threads, which then keep a core busy for a while; below, it stays on one. So its threads
and ours do not compete, and a small product compiles nothing.

Measured on one core of an x86-64 (Zen 4) with AVX-512 against OpenBLAS, its time over the kernel's, medians, from the
slowest to the fastest of the four ways to transpose the operands:

    rows x inner x columns    float32         float64
    256 x 784 x 128           1.11 to 1.19    1.14 to 1.18
    784 x 256 x 128           1.10 to 1.14    1.14 to 1.19
    128 x 128 x 128           1.04 to 1.17    1.08 to 1.14
    256 x 256 x 256           1.10 to 1.14    1.04 to 1.09
    512 x 512 x 512           0.98 to 1.12    0.92 to 1.19
    1024 x 1024 x 1024        0.99 to 1.15    0.88 to 1.05
    1000 x 500 x 10           1.39 to 1.52    1.45 to 1.60
    1000 x 100 x 20           0.84 to 0.95    1.15 to 1.33
    2000 x 1000 x 1           0.20 to 0.30    0.32 to 0.66    (BLAS)
    256 x 128 x 10            0.53 to 0.97    0.60 to 1.23    (BLAS)

`matmul_backend` forces one; with NUMBA_DISABLE_JIT=1 the kernel runs only when forced, as plain Python.

A C function multiplies by tiles whatever the size: without Python around it the kernel is quicker than BLAS for small
products too. For a matrix and a vector there are loops of their own, which are quicker than tiles.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..core.operation import ArraySpec
from ..core.tensor import FLOATS
from ..errors import ShapeError
from . import product, threads
from .backend import Backend, compiler_is_off
from .product import Product
from .recipes import Argument, Operand, Output, Recipe, Specs, Table, Workspace, anyhow, array, boolean, lie, made, pair

LEAST = 2**20  # multiplications
THIN = 4  # rows or columns

# Row after row; or, where its columns lie each in one piece, which are the rows of its transpose, column after column.
BY_ROWS = """
def kernel(matrix, vector, out):
    for i in range(matrix.shape[0]):
        total = {dtype}(0)
        for k in range(matrix.shape[1]):
            total = add(total, matrix[i, k] * vector[k])
        out[i] = total
"""
BY_COLUMNS = """
def kernel(columns, vector, out):
    out[:] = 0
    for k in range(columns.shape[0]):
        factor = vector[k]
        for i in range(columns.shape[1]):
            out[i] += columns[k, i] * factor
"""

matmul_backend = Backend("matmul_backend", "numba", "blas")


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b: matrices in the last two axes, the axes before them broadcast. A vector is a row if first, else a column.

    Raises ShapeError if the inner axes differ, the outer ones do not broadcast, or an operand is 0-d.
    """
    return _tiled(a, b) if by_tiles(a, b) else _blas(a, b)


def by_tiles(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the kernel is to multiply, not BLAS."""
    chosen = matmul_backend.chosen
    return _kernel_wins(a, b) if chosen == "auto" else chosen == "numba"


def _kernel_wins(a: np.ndarray, b: np.ndarray) -> bool:
    """The choice of `auto`, by sizes and dtypes alone."""
    if a.ndim < 2 or b.ndim < 2 or a.size * b.shape[-1] < LEAST:
        return False
    inner, columns = a.shape[-1], b.shape[-1]
    rows = a.size // inner if b.ndim == 2 else a.shape[-2]
    if rows * inner * columns < LEAST or min(rows, columns) < THIN:
        return False
    return a.dtype == b.dtype and a.dtype in FLOATS and not compiler_is_off()


def _blas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    try:
        if a.ndim == 2 == b.ndim and a.size > 1 < b.size:
            return a.dot(b)  # starts sooner than matmul, but takes one element for a factor, and 0 * NaN for 0 then
        if a.ndim > 2 == b.ndim and a.flags.c_contiguous:  # one product of many rows, not many products of few
            return np.matmul(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
        return np.matmul(a, b)
    except ValueError:
        raise _misfit(a, b) from None


def _tiled(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b by the kernel, if the result is of floats."""
    dtype = _fitting(a, b)
    if dtype not in FLOATS:
        return _blas(a, b)
    x, y = _matrices(_ready(a, dtype), _ready(b, dtype))
    try:
        if not (x.size and y.size):
            out = np.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]), dtype)
        else:
            out = _plan(x, y, dtype).run(x, y)
    except ValueError:
        raise _misfit(a, b) from None
    if x.ndim < a.ndim:
        out = out.reshape(*a.shape[:-1], y.shape[-1])
    if a.ndim == 1:
        out = out[..., 0, :]
    return out if b.ndim > 1 else out[..., 0]


def _fitting(a: np.ndarray, b: np.ndarray) -> np.dtype:
    """The dtype of the product."""
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise _misfit(a, b)
    return a.dtype if a.dtype == b.dtype else np.result_type(a, b)


def _ready(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in a dtype and at addresses that the kernel can read."""
    return x if x.dtype == dtype and x.flags.aligned else np.array(x, dtype)


def _matrices(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Operands as matrices, or stacks of such; of a stack that shares a matrix all rows are one product."""
    x, y = x if x.ndim > 1 else x[None], y if y.ndim > 1 else y[:, None]
    if y.ndim == 2 < x.ndim and x.size and _is_one_matrix(x):
        x = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return x, y


def _is_one_matrix(x: np.ndarray) -> bool:
    """Whether the rows of all matrices of a stack lie evenly spaced."""
    sizes, steps = x.shape, x.strides
    return all(steps[axis] == steps[axis + 1] * sizes[axis + 1] for axis in range(x.ndim - 2))


def _plan(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> Product:
    """How to multiply arrays of these shapes and strides."""
    return product_of((a.shape, a.strides), (b.shape, b.strides), dtype, threads.num_threads())


product_of = functools.lru_cache(maxsize=4096)(Product)


def _misfit(a: np.ndarray, b: np.ndarray) -> ShapeError:
    return ShapeError(
        f"matmul: shapes {a.shape} and {b.shape} do not fit. The last axis of the first must equal the last but one "
        "(or only) axis of the second, and the axes before these must broadcast; for numbers use *"
    )


def recipe(operands: Specs, out: ArraySpec, left: bool = False, right: bool = False) -> Recipe | None:
    """x @ y, of which left and right say whether the matrices of x, of y, are transposed first.

    None for a product that threads share, too.
    """
    x, y = (lie(spec).swapaxes(-1, -2) if flipped else lie(spec) for spec, flipped in zip(operands, (left, right)))
    if x.dtype != y.dtype or x.dtype not in FLOATS or not (x.size and y.size):
        return None
    exact = by_tiles(x, y)
    x, y = _matrices(x, y)
    if x.ndim == 2 == y.ndim and not exact:
        if y.shape[1] == 1 and x.flags.forc:
            return _by_vector(Operand(0), x, Operand(1), y[:, 0])
        if len(x) == 1 and y.flags.forc:
            return _by_vector(Operand(1), y.T, Operand(0), x[0])
    in_one = all(_is_one_matrix(z[..., 0]) for z in (x, y))  # else no strides express a stack along one axis
    if not in_one or exact and threads.num_threads() > 1 < len(_plan(x, y, x.dtype).parts):
        return None
    plan = product_of((x.shape, x.strides), (y.shape, y.strides), x.dtype, 1)
    arrays = plan.views(x, y, np.empty(plan.shape, x.dtype))
    arguments = [anyhow(*pair) for pair in zip((Operand(0), Operand(1), Output(0)), arrays)]
    return made(product.source(x.dtype)[1], [*arguments, *planned(plan)], exact)


def planned(plan: Product) -> list[Argument]:
    """What the kernel wants to know beside the arrays: a plan on one thread, and its workspace."""
    left, right, indices = plan.workspaces()
    return [
        array(Table(lambda: plan.pairs), plan.pairs), *[anyhow(Workspace(x.nbytes), x) for x in (left(), right())],
        array(Table(indices), indices()), pair(plan.block), *map(boolean, plan.packs),
    ]  # fmt: skip


def _by_vector(place: Operand, matrix: np.ndarray, other: Operand, vector: np.ndarray) -> Recipe:
    """A matrix that lies in one piece, by a vector."""
    rows, inner = matrix.shape
    by_columns = matrix.flags.f_contiguous and (rows > inner or not matrix.flags.c_contiguous)
    source = BY_COLUMNS if by_columns else BY_ROWS.format(dtype=matrix.dtype.name)
    out = array(Output(0), np.empty(rows, matrix.dtype))
    return made(source, [array(place, matrix.T if by_columns else matrix), array(other, vector), out], exact=False)
