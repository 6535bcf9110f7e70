"""The inner loops of a convolution: a tile of sums, in vector registers, as for a matrix product.

Along a row of an image, with channels innermost, the row of a window is one run of numbers, and the next pixel's window
begins a fixed number of them later. So sums over windows are products of matrices whose inner axis is two nested
loops, `outer` and `inner`: for a convolution the rows of a window and the numbers in each, for the gradient of its
weights the rows of an image and the pixels in each. The operands are read where they lie; nothing is copied to make a
matrix of it.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .tiles import BYTES, VECTORS, View, call, compiled, place, put, smallest
from .vectors import BYTE, INT, LONG, POINTER, SHAPE, LLVMFunction, Loop
from .zeros import mark_nonfinite

LINE = 64  # bytes of a line of a cache
# How many rows the largest tile has that is one vector wide, two, and so on.
TALLEST = [SHAPE.rows * VECTORS // vectors for vectors in range(1, VECTORS + 1)]


def _write_window(code: LLVMFunction, rows: int, vectors: int) -> None:
    """c[:height, :width] = or += the sum over both inner loops of an element of a, for each row, times a row of b.

    outer, inner: how often each loop runs.  a_row, a_outer, a_inner and so on: how far the next element is, in bytes.
    b's rows are as wide as the vectors.
    """
    a, a_row, a_inner, a_outer, b, b_inner, b_outer, c, c_row, outer, inner, height, width, adds = code.function.args
    offsets = [code.times(a_row, row) for row in range(rows)]
    outside = Loop(code, outer, [a, b, *[code.zero] * (rows * vectors)])
    loop = Loop(code, inner, outside.values)
    left, right, *sums = loop.values
    y = [code.load(code.at(right, vector * SHAPE.bytes)) for vector in range(vectors)]
    totals = []
    for row, offset in enumerate(offsets):
        x = code.splat(code.load(code.at(left, offset), code.real))
        totals += [code.multiply_add(x, y[v], sums[row * vectors + v]) for v in range(vectors)]
    loop.close([code.at(left, a_inner), code.at(right, b_inner), *totals])
    outside.close([code.at(outside.values[0], a_outer), code.at(outside.values[1], b_outer), *totals])
    put(code, totals, c, c_row, height, width, adds, vectors)


def _window(  # type: ignore[no-untyped-def]
    builder: ir.IRBuilder, a, a_row, a_inner, a_outer, b, b_inner, b_outer,
    out: View, i, j, outer, inner, height, width, adds,
):
    args = (
        a, a_row, a_inner, a_outer, b, b_inner, b_outer,
        out.place(i, j), out.strides[0], outer, inner, height, width, adds,
    )  # fmt: skip
    smallest(builder, _write_window, out, args, height, width, TALLEST)


def _write_fetch(code: LLVMFunction) -> None:
    """Ask for so many lines of memory from a place on, which need not be there."""
    start, count = code.function.args
    lines = Loop(code, count, [start])
    kind = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT, INT])
    prefetch = cgutils.get_or_insert_function(code.module, kind, "llvm.prefetch.p0")
    code.builder.call(prefetch, [lines.values[0], INT(0), INT(2), INT(1)])  # to read, into the second cache, as data
    lines.close([code.at(lines.values[0], LINE)])


def _fetch(builder: ir.IRBuilder, array: View, n, offset, count):  # type: ignore[no-untyped-def]
    """Ask for `count` bytes of array[n], from this offset on."""
    start = builder.gep(array.place(n), [offset], source_etype=BYTE)
    call(builder, _write_fetch, array.real, (start, builder.add(builder.udiv(count, LONG(LINE)), LONG(1))))


if numba.config.DISABLE_JIT:

    def window(a, a_row, a_inner, a_outer, b, b_inner, b_outer, out, i, j, outer, inner, height, width, adds):  # type: ignore[no-untyped-def]
        strided = np.lib.stride_tricks.as_strided
        left = strided(a, (height, outer, inner), (a_row, a_outer, a_inner))
        right = strided(b, (outer, inner, width), (b_outer, b_inner, b.itemsize))
        sums = np.einsum("hoi,oiw->hw", left, right)  # BLAS would lose NaN where it scales by 0
        spot = out[i : i + height, j : j + width]
        spot[...] = spot + sums if adds else sums

    def fetch(array, n, offset, count):  # type: ignore[no-untyped-def]
        pass

else:  # pragma: no cover - compiled
    window = compiled(_window)
    fetch = compiled(_fetch)


@numba.njit(error_model="numpy")
def even(length, most, unit):  # type: ignore[no-untyped-def]
    """The height of tiles, a multiple of the unit and at most so high, that cover the length most evenly."""
    tiles = (length + most - 1) // most
    return (length + tiles * unit - 1) // (tiles * unit) * unit


@numba.njit(error_model="numpy")
def inside(row, far, count, low, high):  # type: ignore[no-untyped-def]
    """Of `count` rows `far` apart, this one first, the first and number of those from row low to before high.

    The other rows hold zeros. A number below 1 is none.
    """
    first = max(0, (low - row + far - 1) // far)
    return min(first, count - 1), min(count, (high - row + far - 1) // far) - first


@numba.njit(error_model="numpy")
def sound(array, workspace):  # type: ignore[no-untyped-def]
    """Whether an array of three axes, whose rows have no gaps, is finite throughout. It writes to the workspace."""
    flat = workspace.reshape(workspace.size)
    for n in range(len(array)):
        start, marks, (_, rows, columns) = place(array[n], 0, 0), place(workspace, 0, 0), array.shape
        mark_nonfinite(start, array.strides[1], array, marks, rows, columns)
        for k in range(BYTES // workspace.itemsize):
            if flat[k] != 0:
                return False
    return True


@numba.njit(error_model="numpy")
def fill(source, target):  # type: ignore[no-untyped-def]
    """The rows of an array of four axes, filled up with zeros, to one of three axes, which merges the middle ones."""
    _, columns, inner, width = source.shape
    for a in range(len(source)):
        for b in range(columns):
            for c in range(inner):
                row = b * inner + c
                for k in range(width):
                    target[a, row, k] = source[a, b, c, k]
                for k in range(width, target.shape[2]):
                    target[a, row, k] = 0


def kinds_of(dtype: np.dtype, axes: int) -> list[types.Type]:  # pragma: no cover - compiled
    """The types of a kernel's arguments, for arrays of the dtype and of any strides.

    It reads images and an array of so many axes, and writes to one of the other number, of 3 and 4.
    """
    real = types.float32 if dtype == np.float32 else types.float64
    images, other = (types.Array(real, ndim, "A", readonly=True) for ndim in (3, axes))
    out, workspace, pair = types.Array(real, 7 - axes, "A"), types.Array(real, 2, "C"), types.UniTuple(types.intp, 2)
    return [images, other, out, workspace, pair, pair, types.boolean]
