"""Pooling, and the transposes of it, as recipes: loops over windows, over their places, over channels.

They take the places of a window in the order in which `ops/pooling.py` does, so that sums have its bits.
"""

from __future__ import annotations

from typing import Any

from ..core.operation import ArraySpec
from ..ops.convolution import Pair
from .recipes import Operand, Output, Recipe, Specs, array, lie, lie_in_rows, made, pair, workspace

WINDOWS = """
def kernel(x, out, window, stride):
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[n, i, j] = x[n, i * stride[0], j * stride[1]]
                for a in range(window[0]):
                    for b in range(1 if a == 0 else 0, window[1]):
                        for c in range(out.shape[3]):
                            v, known = x[n, i * stride[0] + a, j * stride[1] + b, c], out[n, i, j, c]
                            out[n, i, j, c] = {step}
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
# Windows count the places that have the largest element: such an element gets its share, or the mean is taken of these.
COUNTS = """
def kernel(y, x, top, out, count, window, stride, down, across):
    out[:] = 0
    for n in range(x.shape[0]):
        count[:] = 0"""
# A margin is never the largest.
HITS = """
        for a in range(window[0]):
            for b in range(window[1]):
                for i in range(top.shape[1]):
                    row = i * stride[0] + a
                    if row < down[0] or row >= down[1]:
                        continue
                    for j in range(top.shape[2]):
                        column = j * stride[1] + b
                        if column < across[0] or column >= across[1]:
                            continue
                        for c in range(top.shape[3]):
                            v, t = x[n, row, column, c], top[n, i, j, c]
                            hit = v == t or (v != v and t != t)"""
STEP = """
                            """
EACH = """
        for i in range(top.shape[1]):
            for j in range(top.shape[2]):
                for c in range(top.shape[3]):
                    """
COUNT = STEP + "count[i, j, c] += {dtype}(1) if hit else {dtype}(0)"
SHARE = STEP + "out[n, row, column, c] += count[i, j, c] if hit else {dtype}(0)"
SUM = STEP + "out[n, i, j, c] += y[n, row, column, c] if hit else {dtype}(0)"

KERNELS = {
    "window_sum": WINDOWS.format(step="known + v"),
    "spread_sum": SPREAD_SUM,
    "largest": WINDOWS.format(step="v if v > known or v != v else known"),
    "to_largest": COUNTS + HITS + COUNT + EACH + "count[i, j, c] = y[n, i, j, c] / count[i, j, c]" + HITS + SHARE,
    "from_largest": COUNTS + HITS + SUM + COUNT + EACH + "out[n, i, j, c] /= count[i, j, c]",
}


def recipe(name: str, operands: Specs, out: ArraySpec, kernel: Pair, stride: Pair, **options: Any) -> Recipe | None:
    """An operation on images and windows. Of zeros that tie for the largest, NumPy may take one of the other sign."""
    arrays = [lie(spec) for spec in (*operands, out)]
    if not lie_in_rows(*arrays):
        return None
    arguments = [*map(array, [*map(Operand, range(len(operands))), Output(0)], arrays)]
    sides = [pair(kernel), pair(stride)]
    if len(operands) == 3:  # the last one is of windows, each of which counts
        _, images, windows = operands
        arguments.append(workspace(windows.shape[1:], out.dtype))
        sides += [pair((n[0], size - n[1])) for n, size in zip(options["margins"], images.shape[1:])]
    return made(KERNELS[name].format(dtype=out.dtype.name), [*arguments, *sides], exact=name != "largest")
