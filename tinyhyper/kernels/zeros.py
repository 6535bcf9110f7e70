"""Zeros in a matrix product: which columns of a strip are zero throughout, so that they can be left out.

That changes no sum if what they are multiplied with is finite.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir

from .tiles import BYTES, LONG_BYTES, call, compiled, place
from .vectors import LONG, SHAPE, LLVMFunction, Loop


def _write_pick(code: LLVMFunction, rows: int) -> None:
    """The numbers of those columns of a[:rows, :inner] in which not all is zero, to picks, and how many, to `found`."""
    a, a_step, a_hop, picks, found, inner = code.function.args
    builder, bits = code.builder, ir.IntType(8 * code.size)
    tops = [code.at(a, code.times(a_step, row)) for row in range(rows)]
    loop = Loop(code, inner, [LONG(0), LONG(0), LONG(0)])
    number, offset, count = loop.values
    seen: ir.Value = bits(0)
    for top in tops:
        seen = builder.or_(seen, code.load(code.at(top, offset), bits))
    code.store(number, code.at(picks, code.times(count, LONG_BYTES)))
    other = builder.icmp_unsigned("!=", builder.shl(seen, bits(1)), bits(0))  # a zero may have a sign
    more = builder.add(count, builder.zext(other, LONG))
    loop.close([builder.add(number, LONG(1)), builder.add(offset, a_hop), more])
    code.store(more, found)


def _write_spoil(code: LLVMFunction) -> None:
    """A vector of zeros, or with something else where `count` rows of b, `width` wide, are not finite, to `out`."""
    b, b_step, out, count, width = code.function.args
    builder = code.builder
    vectors = builder.udiv(builder.add(width, LONG(code.lanes - 1)), LONG(code.lanes))
    rows = Loop(code, count, [b, code.zero])
    columns = Loop(code, vectors, [*rows.values, width])
    spot, spoilt, left = columns.values
    seen = code.masked_load(spot, code.first(left, 0))
    spoilt = code.multiply_add(seen, code.zero, spoilt)
    columns.close([code.at(spot, SHAPE.bytes), spoilt, builder.sub(left, LONG(code.lanes))])
    rows.close([code.at(rows.values[0], b_step), spoilt])
    code.store(spoilt, out)


def _pick(builder, a, a_step, a_hop, kind, picks, found, inner):  # type: ignore[no-untyped-def]
    call(builder, _write_pick, kind.real, (a, a_step, a_hop, picks, found, inner), SHAPE.rows)


def _spoil(builder, b, b_step, kind, out, count, width):  # type: ignore[no-untyped-def]
    call(builder, _write_spoil, kind.real, (b, b_step, out, count, width))


if numba.config.DISABLE_JIT:

    def pick(a, a_step, a_hop, kind, picks, found, inner):  # type: ignore[no-untyped-def]
        numbers = a[: SHAPE.rows, :inner].any(axis=0).nonzero()[0]
        picks[0, : len(numbers)], found[0, 0] = numbers, len(numbers)

    def spoil(b, b_step, kind, out, count, width):  # type: ignore[no-untyped-def]
        out[0, :] = 0 if np.isfinite(b[:count, :width]).all() else 1

else:  # pragma: no cover - compiled
    pick = compiled(_pick)
    spoil = compiled(_spoil)


@numba.njit(error_model="numpy")
def finite(source, i, j, rows, columns, room):  # type: ignore[no-untyped-def]
    """Whether all elements of a part of an array are finite; the third row of `room`, of integers, is overwritten."""
    if source.strides[1] == source.itemsize:
        spoil(place(source, i, j), source.strides[0], source, place(room, 2, 0), rows, columns)
        for n in range(BYTES // LONG_BYTES):
            if room[2, n] != 0:
                return False
        return True
    for r in range(rows):
        for c in range(columns):
            value = source[i + r, j + c]
            if value - value != 0:
                return False
    return True
