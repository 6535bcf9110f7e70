"""The inner loops of a matrix product, in the machine's vector registers.

A *tile* is a block of the result, some rows high and two vectors wide, whose sums stay in registers while the inner
axis is walked: for each k two vectors of b's row and, one after the other, the tile's elements of a's column, each
multiplied with the vectors and added in one instruction. Twelve rows of two vectors are 24 chains of additions, enough
to keep the multipliers busy; with two registers for b and two for a they fit into the 32 registers of AVX-512.

Compilers do not find this loop by themselves, so it is written as LLVM instructions, once for every shape of tile, as
are the two loops that move elements. Under NUMBA_DISABLE_JIT=1 each is plain Python over NumPy arrays instead.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import BYTE, LONG, POINTER, SHAPE, LLVMFunction, Loop, lanes

VECTORS = 2  # a tile's width
LONG_BYTES = 8
BYTES = SHAPE.bytes  # numba reads a number, but no tuple with names


def _write_tile(code: LLVMFunction, rows: int, vectors: int) -> None:
    """c[:height, :width] = or += a[:rows, indices] @ b[indices], for a row of b that is as wide as the vectors.

    indices: of columns of a and rows of b, `count` of them.  a_row, a_column: how far rows and columns of a are apart,
    in bytes; b_row, c_row alike.
    """
    a, a_row, a_column, b, b_row, c, c_row, indices, count, height, width, adds = code.function.args
    # A row's place is that of a group of four plus 0 to 3 steps: few registers, and none in the way of the loop.
    groups = [code.at(a, code.times(a_row, row)) for row in range(0, rows, 4)]
    steps = [code.times(a_row, n) for n in range(4)]
    loop = Loop(code, count, [indices, *[code.zero] * (rows * vectors)])
    index, *sums = loop.values
    number = code.load(index, LONG)
    left, right = code.builder.mul(number, a_column), code.at(b, code.builder.mul(number, b_row))
    places = [code.at(group, left) for group in groups]
    y = [code.load(code.at(right, vector * SHAPE.bytes)) for vector in range(vectors)]
    totals = []
    for row in range(rows):
        x = code.splat(code.load(code.at(places[row // 4], steps[row % 4]), code.real))
        totals += [code.multiply_add(x, y[v], sums[row * vectors + v]) for v in range(vectors)]
    loop.close([code.at(index, LONG_BYTES), *totals])
    put(code, totals, c, c_row, height, width, adds, vectors)


def put(  # type: ignore[no-untyped-def]
    code: LLVMFunction, totals: Sequence[Any], c, c_row, height, width, adds, vectors: int
) -> None:
    """c[:height, :width] = or += a tile's sums, row after row, each as wide as so many vectors."""
    builder, rows = code.builder, len(totals) // vectors
    masks = [code.first(width, vector * code.lanes) for vector in range(vectors)]
    spots: list[Any] = []
    for _ in range(rows):
        spots += [code.at(c, vector * SHAPE.bytes) for vector in range(vectors)]
        c = code.at(c, c_row)
    fits = builder.and_(
        builder.icmp_signed("==", height, LONG(rows)), builder.icmp_signed("==", width, LONG(vectors * code.lanes))
    )
    with builder.if_else(fits) as (full, partial):
        with full, builder.if_else(adds) as (more, fresh):
            with more:
                for place, total in zip(spots, totals):
                    code.store(builder.fadd(total, code.load(place)), place)
            with fresh:
                for place, total in zip(spots, totals):
                    code.store(total, place)
        with partial:
            for n, (place, total) in enumerate(zip(spots, totals)):
                inside = builder.icmp_signed("<", LONG(n // vectors), height)
                mask = builder.select(inside, masks[n % vectors], code.nothing)
                old = code.masked_load(place, builder.select(adds, mask, code.nothing))
                code.masked_store(builder.select(adds, builder.fadd(total, old), total), place, mask)


def _write_copy(code: LLVMFunction) -> None:
    """The first `width` elements of `count` rows of a, to b. The rows of b have room for a whole vector at the end."""
    a, a_row, b, b_row, count, width = code.function.args
    builder = code.builder
    vectors = builder.udiv(builder.add(width, LONG(code.lanes - 1)), LONG(code.lanes))
    rows = Loop(code, count, [a, b])
    columns = Loop(code, vectors, [*rows.values, width])
    source, target, left = columns.values
    code.store(code.masked_load(source, code.first(left, 0)), target)
    columns.close([code.at(source, SHAPE.bytes), code.at(target, SHAPE.bytes), builder.sub(left, LONG(code.lanes))])
    rows.close([code.at(rows.values[0], a_row), code.at(rows.values[1], b_row)])


def _write_flip(code: LLVMFunction) -> None:
    """`count` square blocks of a, next to each other in its rows, transposed to lie below each other in b.

    The square's two halves are shuffled like a pack of cards, as often as halving it gives single rows.
    """
    a, a_row, b, b_row, count = code.function.args
    lanes, half = code.lanes, code.lanes // 2
    blocks = Loop(code, count, [a, b])
    source, target = blocks.values
    rows = [code.load(code.at(source, code.times(a_row, row))) for row in range(lanes)]
    low, high = [[lane // 2 + start + lane % 2 * lanes for lane in range(lanes)] for start in (0, half)]
    for _ in range(lanes.bit_length() - 1):
        pairs = zip(rows[:half], rows[half:])
        rows = [code.shuffle(x, y, order) for x, y in pairs for order in (low, high)]
    for row, value in enumerate(rows):
        code.store(value, code.at(target, code.times(b_row, row)))
    blocks.close([code.at(source, SHAPE.bytes), code.at(target, code.times(b_row, lanes))])


def call(builder: ir.IRBuilder, write: Callable[..., None], real: ir.Type, args: Sequence[Any], *sizes: int) -> None:
    """Call the function that `write` writes, which it does when it is first called for."""
    name = "_".join([write.__name__, str(real), *map(str, sizes)])
    function = builder.module.globals.get(name)
    if function is None:
        code = LLVMFunction(builder.module, real, name, [arg.type for arg in args])
        write(code, *sizes)
        code.builder.ret_void()
        function = code.function
    builder.call(function, args)


class View:
    """An array of a kernel, as its instructions see it."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Array, value: ir.Value) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, builder.bitcast(array.data, POINTER)
        self.strides = cgutils.unpack_tuple(builder, array.strides, kind.ndim)
        self.real, self.size = context.get_value_type(kind.dtype), kind.dtype.bitwidth // 8

    def place(self, *indices: ir.Value) -> ir.Value:
        offset = LONG(0)
        for index, stride in zip(indices, self.strides):
            offset = self.builder.add(offset, self.builder.mul(index, stride))
        return self.builder.gep(self.data, [offset], source_etype=BYTE)


def compiled(emit: Callable[..., Any], result: types.Type = types.void) -> Callable[..., Any]:
    """The function for use in kernels: emit(builder, *arguments) writes its instructions; an array comes as a View."""

    def declare(_: Any, *kinds: types.Type) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> Any:
            found = emit(
                builder,
                *[
                    View(context, builder, kind, value) if isinstance(kind, types.Array) else value
                    for kind, value in zip(kinds, values)
                ],
            )
            return context.get_dummy_value() if found is None else found

        return result(*[types.intp if isinstance(kind, types.Integer) else kind for kind in kinds]), generate

    declare.__name__ = emit.__name__
    declare.__signature__ = inspect.signature(emit)  # type: ignore[attr-defined]
    return intrinsic(declare)


def _place(builder: ir.IRBuilder, array: View, i: ir.Value, j: ir.Value) -> ir.Value:
    return array.place(i, j)


def smallest(  # type: ignore[no-untyped-def]
    builder: ir.IRBuilder, write: Callable[..., None], out: View, args: Sequence[Any], height, width, tallest
) -> None:
    """Call, of the tiles that `write` writes, the smallest that holds the rows and columns that are left.

    tallest: the rows of the largest that is one vector wide, two, and so on.
    """
    after = builder.append_basic_block()
    for vectors, most in enumerate(tallest, start=1):
        for rows in range(SHAPE.step, most + 1, SHAPE.step):
            tall = builder.icmp_signed("<=", height, LONG(rows))
            wide = builder.icmp_signed("<=", width, LONG(vectors * lanes(out.size)))
            with builder.if_then(builder.and_(tall, wide)):
                call(builder, write, out.real, args, rows, vectors)
                builder.branch(after)
    builder.branch(after)
    builder.position_at_end(after)


def _tile(  # type: ignore[no-untyped-def]
    builder, a, a_row, a_column, b, b_row, out, i, j, indices, count, height, width, adds
):
    args = a, a_row, a_column, b, b_row, out.place(i, j), out.strides[0], indices, count, height, width, adds
    smallest(builder, _write_tile, out, args, height, width, [SHAPE.rows] * VECTORS)


def _copy(builder, source, i, j, target, p, q, count, width):  # type: ignore[no-untyped-def]
    args = source.place(i, j), source.strides[0], target.place(p, q), target.strides[0], count, width
    call(builder, _write_copy, target.real, args)


def _flip(builder, source, i, j, target, p, q, count):  # type: ignore[no-untyped-def]
    args = source.place(i, j), source.strides[0], target.place(p, q), target.strides[0], count
    call(builder, _write_flip, target.real, args)


if numba.config.DISABLE_JIT:

    def place(array: np.ndarray, i: int, j: int) -> np.ndarray:
        return array[i:, j:]

    def tile(a, a_row, a_column, b, b_row, out, i, j, indices, count, height, width, adds):  # type: ignore[no-untyped-def]
        chosen = indices[0, :count]
        product = a[:height, chosen] @ b[chosen, :width]
        spot = out[i : i + height, j : j + width]
        spot[...] = spot + product if adds else product

    def copy(source, i, j, target, p, q, count, width):  # type: ignore[no-untyped-def]
        target[p : p + count, q : q + width] = source[i : i + count, j : j + width]

    def flip(source, i, j, target, p, q, count):  # type: ignore[no-untyped-def]
        n = lanes(target.itemsize)
        target[p : p + n * count, q : q + n] = source[i : i + n, j : j + n * count].T

else:  # pragma: no cover - compiled
    place = compiled(_place, types.voidptr)
    tile = compiled(_tile)
    copy = compiled(_copy)
    flip = compiled(_flip)


@numba.njit(error_model="numpy")
def move(source, i, j, target, p, q, rows, columns):  # type: ignore[no-untyped-def]
    """target[p : p + rows, q : q + columns] = source[i : i + rows, j : j + columns], whatever the strides of both.

    Elements behind the last column (or row, where target's columns are contiguous) may be written to.
    """
    size = target.itemsize
    lanes = BYTES // size
    if source.strides[1] == size and target.strides[1] == size:
        copy(source, i, j, target, p, q, rows, columns)
    elif source.strides[0] == size and target.strides[0] == size:
        copy(source.T, j, i, target.T, q, p, columns, rows)
    else:
        across, down = 0, 0
        if source.strides[0] == size and target.strides[1] == size and rows >= lanes:
            down = rows // lanes * lanes
            while across + lanes <= columns:
                flip(source.T, j + across, i, target, p, q + across, rows // lanes)
                across += lanes
        for r in range(rows):
            for c in range(across if r < down else 0, columns):
                target[p + r, q + c] = source[i + r, j + c]


_compiling = threading.Lock()


def compile_once(kernel: Any, kinds: Sequence[types.Type]) -> None:
    """Compile a kernel for arguments of these types, and for nothing else from then on."""
    with _compiling:  # two threads may come here with their first calls
        if not kernel.signatures:
            kernel.compile(tuple(kinds))
            kernel.disable_compile()


def kinds_of(dtype: np.dtype) -> list[types.Type]:  # pragma: no cover - compiled
    """The types of a product's arguments, for arrays of the dtype and of any strides."""
    real = types.float32 if dtype == np.float32 else types.float64
    operand, result = (types.Array(real, 3, "A", readonly=readonly) for readonly in (True, False))
    integers, panels, block = types.Array(types.intp, 2, "C"), types.Array(real, 2, "A"), types.UniTuple(types.intp, 2)
    return [operand, operand, result, integers, panels, panels, integers, block, *[types.boolean] * 3]
