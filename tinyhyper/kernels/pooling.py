"""Pooling, and the transposes of it, as recipes: loops over windows, over their places, over channels.

They take the places of a window in the order in which `ops/pooling.py` does, so that sums have its bits.
"""

from __future__ import annotations

from ..core.operation import ArraySpec
from .recipes import Argument, Operand, Output, Recipe, Specs, array, lie, lie_in_rows, made, pair, room

Pair = tuple[int, int]

SUM = """
def kernel(x, out, window, stride):
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = x[n, i * stride[0], j * stride[1]]
                for a in range(window[0]):
                    for b in range(1 if a == 0 else 0, window[1]):
                        for c in range(out.shape[3]):
                            out[n, i, j, c] += x[n, i * stride[0] + a, j * stride[1] + b, c]
"""
SPREAD_SUM = """
def kernel(y, out, window, stride):
    out[:] = 0
    for n in range(y.shape[0]):
        for a in range(window[0]):
            for b in range(window[1]):
                for i in range(y.shape[1]):
                    for j in range(y.shape[2]):
                        for c in range(y.shape[3]):
                            out[n, i * stride[0] + a, j * stride[1] + b, c] += y[n, i, j, c]
"""
LARGEST = """
def kernel(x, out, window, stride):
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = x[n, i * stride[0], j * stride[1]]
                for a in range(window[0]):
                    for b in range(window[1]):
                        row, column = i * stride[0] + a, j * stride[1] + b
                        for c in range(out.shape[3]):
                            v, top = x[n, row, column, c], out[n, i, j, c]
                            out[n, i, j, c] = v if v > top or v != v else top
"""
# A margin is never the largest: windows count the places that are none, and then share g among these.
TO_LARGEST = """
def kernel(g, x, top, out, share, window, stride, down, across):
    out[:] = 0
    for n in range(g.shape[0]):
        share[:] = 0
        for adds in range(2):
            for a in range(window[0]):
                for b in range(window[1]):
                    for i in range(g.shape[1]):
                        row = i * stride[0] + a
                        if row < down[0] or row >= down[1]:
                            continue
                        for j in range(g.shape[2]):
                            column = j * stride[1] + b
                            if column < across[0] or column >= across[1]:
                                continue
                            for c in range(g.shape[3]):
                                v, t = x[n, row, column, c], top[n, i, j, c]
                                hit = v == t or (v != v and t != t)
                                if adds:
                                    out[n, row, column, c] += share[i, j, c] if hit else {dtype}(0)
                                else:
                                    share[i, j, c] += {dtype}(1) if hit else {dtype}(0)
            if not adds:
                for i in range(g.shape[1]):
                    for j in range(g.shape[2]):
                        for c in range(g.shape[3]):
                            share[i, j, c] = g[n, i, j, c] / share[i, j, c]
"""
FROM_LARGEST = """
def kernel(h, x, top, out, count, window, stride, down, across):
    out[:] = 0
    for n in range(out.shape[0]):
        count[:] = 0
        for a in range(window[0]):
            for b in range(window[1]):
                for i in range(out.shape[1]):
                    row = i * stride[0] + a
                    if row < down[0] or row >= down[1]:
                        continue
                    for j in range(out.shape[2]):
                        column = j * stride[1] + b
                        if column < across[0] or column >= across[1]:
                            continue
                        for c in range(out.shape[3]):
                            v, t = x[n, row, column, c], top[n, i, j, c]
                            hit = v == t or (v != v and t != t)
                            out[n, i, j, c] += h[n, row, column, c] if hit else {dtype}(0)
                            count[i, j, c] += {dtype}(1) if hit else {dtype}(0)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for c in range(out.shape[3]):
                    out[n, i, j, c] /= count[i, j, c]
"""


def window_sum(operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair) -> Recipe | None:
    """The sum of each window."""
    return _plain(SUM, operands, out, kernel, stride, exact=True)


def spread_sum(operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, shape: tuple[int, ...]) -> Recipe | None:
    """For each element of images, the sum over the windows that it stands in."""
    return _plain(SPREAD_SUM, operands, out, kernel, stride, exact=True)


def largest(operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, margins: tuple[Pair, Pair]) -> Recipe | None:
    """The largest element of each window. Of zeros that tie, NumPy may take the one of the other sign."""
    return _plain(LARGEST, operands, out, kernel, stride, exact=False)


def to_largest(
    operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, margins: tuple[Pair, Pair]
) -> Recipe | None:
    """For each window, its element of the first operand shared among the largest ones of the second."""
    return _by_hits(TO_LARGEST, operands, out, kernel, stride, margins)


def from_largest(
    operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, margins: tuple[Pair, Pair]
) -> Recipe | None:
    """For each window, the mean of the first operand where the second has its largest elements."""
    return _by_hits(FROM_LARGEST, operands, out, kernel, stride, margins)


def _plain(source: str, operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, exact: bool) -> Recipe | None:
    """A kernel of images and windows."""
    found = _arrays(operands, out)
    return None if found is None else made(source, [*found, pair(kernel), pair(stride)], exact)


def _by_hits(
    source: str, operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, margins: tuple[Pair, Pair]
) -> Recipe | None:
    """A kernel that looks for the largest elements of windows, with a number of its own for each window of an image."""
    found = _arrays(operands, out)
    if found is None:
        return None
    _, images, windows = operands
    inside = [pair((n[0], length - n[1])) for n, length in zip(margins, images.shape[1:])]
    arguments = [*found, room(windows.shape[1:], out.dtype), pair(kernel), pair(stride), *inside]
    return made(source.format(dtype=out.dtype.name), arguments, exact=True)


def _arrays(operands: Specs, out: ArraySpec) -> list[Argument] | None:
    """Operands and result as arguments; None if they are not floats of one dtype that lie in rows."""
    arrays = [lie(spec) for spec in (*operands, out)]
    if not lie_in_rows(*arrays):
        return None
    places = [*map(Operand, range(len(operands))), Output(0)]
    return [array(place, x) for place, x in zip(places, arrays)]
