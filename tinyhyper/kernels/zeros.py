"""Zeros in a matrix product: which columns of a panel are zero throughout, so that they can be left out.

That changes no sum if what they are multiplied with is finite.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir

from .tiles import BYTES, LONG_BYTES, call, compiled, place
from .vectors import LONG, SHAPE, LLVMFunction, Loop


def _write_nonzero_columns(code: LLVMFunction, rows: int) -> None:
    """The indices of the columns of a[:rows, :inner] that are not all zero, to `indices`, and how many, to `found`."""
    a, a_row, a_column, indices, found, inner = code.function.args
    builder, bits = code.builder, ir.IntType(8 * code.size)
    tops = [code.at(a, code.times(a_row, row)) for row in range(rows)]
    loop = Loop(code, inner, [LONG(0), LONG(0), LONG(0)])
    number, offset, count = loop.values
    seen: ir.Value = bits(0)
    for top in tops:
        seen = builder.or_(seen, code.load(code.at(top, offset), bits))
    code.store(number, code.at(indices, code.times(count, LONG_BYTES)))
    other = builder.icmp_unsigned("!=", builder.shl(seen, bits(1)), bits(0))  # a zero may have a sign
    more = builder.add(count, builder.zext(other, LONG))
    loop.close([builder.add(number, LONG(1)), builder.add(offset, a_column), more])
    code.store(more, found)


def _write_mark_nonfinite(code: LLVMFunction) -> None:
    """A vector to `out`: zeros, and something else where one of `count` rows of b, `width` wide, is not finite."""
    b, b_row, out, count, width = code.function.args
    builder = code.builder
    vectors = builder.udiv(builder.add(width, LONG(code.lanes - 1)), LONG(code.lanes))
    rows = Loop(code, count, [b, code.zero])
    columns = Loop(code, vectors, [*rows.values, width])
    spot, marks, left = columns.values
    seen = code.masked_load(spot, code.first(left, 0))
    marks = code.multiply_add(seen, code.zero, marks)
    columns.close([code.at(spot, SHAPE.bytes), marks, builder.sub(left, LONG(code.lanes))])
    rows.close([code.at(rows.values[0], b_row), marks])
    code.store(marks, out)


def _nonzero_columns(builder, a, a_row, a_column, kind, indices, found, inner):  # type: ignore[no-untyped-def]
    call(builder, _write_nonzero_columns, kind.real, (a, a_row, a_column, indices, found, inner), SHAPE.rows)


def _mark_nonfinite(builder, b, b_row, kind, out, count, width):  # type: ignore[no-untyped-def]
    call(builder, _write_mark_nonfinite, kind.real, (b, b_row, out, count, width))


if numba.config.DISABLE_JIT:

    def nonzero_columns(a, a_row, a_column, kind, indices, found, inner):  # type: ignore[no-untyped-def]
        numbers = a[: SHAPE.rows, :inner].any(axis=0).nonzero()[0]
        indices[0, : len(numbers)], found[0, 0] = numbers, len(numbers)

    def mark_nonfinite(b, b_row, kind, out, count, width):  # type: ignore[no-untyped-def]
        out[0, :] = 0 if np.isfinite(b[:count, :width]).all() else 1

else:  # pragma: no cover - compiled
    nonzero_columns = compiled(_nonzero_columns)
    mark_nonfinite = compiled(_mark_nonfinite)


@numba.njit(error_model="numpy")
def finite(source, i, j, rows, columns, workspace):  # type: ignore[no-untyped-def]
    """Whether a part of an array is finite throughout. It writes to the third row of the workspace, of integers."""
    if source.strides[1] == source.itemsize:
        mark_nonfinite(place(source, i, j), source.strides[0], source, place(workspace, 2, 0), rows, columns)
        for n in range(BYTES // LONG_BYTES):
            if workspace[2, n] != 0:
                return False
        return True
    for r in range(rows):
        for c in range(columns):
            value = source[i + r, j + c]
            if value - value != 0:
                return False
    return True
