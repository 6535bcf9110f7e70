"""Products as recipes: by the kernel of tiles, which without Python around it is quicker than BLAS for small ones too.

A matrix and a vector are multiplied by loops of their own, which are quicker than tiles.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.operation import ArraySpec
from ..core.tensor import FLOATS
from . import matmul, product
from .recipes import Argument, Operand, Output, Recipe, Room, Specs, Table, anyhow, array, boolean, lie, made, pair

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


def recipe(operands: Specs, out: ArraySpec, left: bool = False, right: bool = False) -> Recipe | None:
    """x @ y, of which left and right say whether the matrices of x, of y, are transposed first.

    None for a product that threads share, too.
    """
    x, y = (lie(spec).swapaxes(-1, -2) if flipped else lie(spec) for spec, flipped in zip(operands, (left, right)))
    if x.dtype != y.dtype or x.dtype not in FLOATS or not (x.size and y.size):
        return None
    exact = matmul.by_tiles(x, y)
    x, y = x if x.ndim > 1 else x[None], y if y.ndim > 1 else y[:, None]
    if y.ndim == 2 < x.ndim and matmul.is_one_matrix(x):
        x = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if x.ndim == 2 == y.ndim and not exact:
        if y.shape[1] == 1 and x.flags.forc:
            return _by_vector(Operand(0), x, Operand(1), y[:, 0])
        if len(x) == 1 and y.flags.forc:
            return _by_vector(Operand(1), y.T, Operand(0), x[0])
    if not all(matmul.is_one_matrix(z[..., 0]) for z in (x, y)):  # no strides express a stack along one axis
        return None
    return None if exact and matmul.is_shared(x, y) else _by_tiles(x, y, exact)


def _by_tiles(x: np.ndarray, y: np.ndarray, exact: bool) -> Recipe:
    """A product, or a stack of such, on one thread."""
    plan = matmul.product_of((x.shape, x.strides), (y.shape, y.strides), x.dtype, 1)
    arrays = plan.views(x, y, np.empty(plan.shape, x.dtype))
    arguments = [anyhow(*pair) for pair in zip((Operand(0), Operand(1), Output(0)), arrays)]
    return made(product.source(x.dtype)[1], [*arguments, *planned(plan)], exact)


def planned(plan: product.Product) -> list[Argument]:
    """What the kernel wants to know beside the arrays: a plan on one thread, and its room."""
    left, right, picks = plan.rooms()
    return [
        array(Table(lambda: plan.pairs), plan.pairs), *[anyhow(Room(x.nbytes), x) for x in (left(), right())],
        array(Table(picks), picks()), pair(plan.block), *map(boolean, plan.packs),
    ]  # fmt: skip


def _by_vector(place: Operand, matrix: np.ndarray, other: Operand, vector: np.ndarray) -> Recipe:
    """A matrix that lies in one piece, by a vector."""
    rows, inner = matrix.shape
    by_columns = matrix.flags.f_contiguous and (rows > inner or not matrix.flags.c_contiguous)
    source = BY_COLUMNS if by_columns else BY_ROWS.format(dtype=matrix.dtype.name)
    out = array(Output(0), np.empty(rows, matrix.dtype))
    return made(source, [array(place, matrix.T if by_columns else matrix), array(other, vector), out], exact=False)
