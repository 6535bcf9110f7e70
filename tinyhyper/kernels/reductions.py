"""Reductions as recipes, and what is like them: loops over the axes before those that are reduced, over these, and over
those behind them.

They compute as `ops/reduce.py` and `ops/nn.py` do, sums in float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..core.operation import ArraySpec
from ..core.rules import Axes
from ..core.tensor import FLOATS
from .recipes import Operand, Output, Recipe, Specs, array, lie, made

FRAME = """
def kernel(x, out):
    n = float64(x.shape[1])
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):"""
STEP = """
            """
ROUND = """
            for k in range(x.shape[1]):
                v = x[o, k, i]"""
# By name, what is computed between the rounds over the elements v of one reduction, and what in each of them.
SUM = ("s = 0.0", "s = add(s, float64(v))")
SPREAD = (*SUM, "mean, s = s / n, 0.0", "s = add(s, (float64(v) - mean) * (float64(v) - mean))")
TOP = ("top = x[o, 0, i]", "top = v if v > top or v != v else top")
POWERS = (
    *TOP, "top, s = top if top - top == 0 else {dtype}(0), 0.0", "s = add(s, float64(special.exp_{short}(v - top)))"
)  # fmt: skip
STEPS: dict[str, Sequence[str]] = {
    "max": (*TOP, "out[o, i] = top"),
    "min": ("top = x[o, 0, i]", "top = v if v < top or v != v else top", "out[o, i] = top"),
    "prod": ("p = {dtype}(1)", "p *= v", "out[o, i] = p"),
    "norm": ("s = 0.0", "s = add(s, float64(v * v))", "out[o, i] = math.sqrt(s)"),
    "var": (*SPREAD, "out[o, i] = s / max(n - {ddof}, 0.0)"),
    "std": (*SPREAD, "out[o, i] = math.sqrt(s / max(n - {ddof}, 0.0))"),
    "deviations": (
        *SUM, "mean, s = s / n, 0.0", "s = add(s, float64(v) - mean)", "rest = s / n",
        "out[o, k, i] = (float64(v) - mean) - rest",
    ),
    "cumsum": ("s = 0.0", "s += float64(v); out[o, k, i] = s"),
    "argmax": ("top, at = x[o, 0, i], 0", "if v > top or (v != v and top == top): top, at = v, k", "out[o, i] = at"),
    "argmin": ("top, at = x[o, 0, i], 0", "if v < top or (v != v and top == top): top, at = v, k", "out[o, i] = at"),
    "logsumexp": (*POWERS, "out[o, i] = math.log(s) + top"),
    "shares": (
        *POWERS, "total = {dtype}(s) if s != 0 else {dtype}(math.inf)",
        "out[o, k, i] = special.exp_{short}(v - top) / total",
    ),
}  # fmt: skip
ALIKE = {"cumsum", "argmax", "argmin"}  # they have NumPy's bits


def recipe(
    name: str, operands: Specs, out: ArraySpec, axis: Axes = None, ddof: float = 0, keepdims: bool = False
) -> Recipe | None:
    """A reduction over axes that follow each other."""
    [x] = map(lie, operands)
    axes = [*range(x.ndim)] if axis is None else sorted(normalize_axis_tuple(axis, x.ndim))
    in_one = axes and axes == [*range(axes[0], axes[-1] + 1)]
    if not in_one or not x.size or not x.flags.c_contiguous or x.dtype not in FLOATS:
        return None
    first, end = axes[0], axes[-1] + 1
    whole = np.empty([math.prod(part) for part in (x.shape[:first], x.shape[first:end], x.shape[end:])], x.dtype)
    result = whole if "out[o, k, i]" in STEPS[name][-1] else whole[:, 0]
    arguments = [array(Operand(0), whole), array(Output(0), np.empty(result.shape, out.dtype))]
    return made(_source(name, x.dtype, float(ddof)), arguments, exact=name in ALIKE)


@functools.cache
def _source(name: str, dtype: np.dtype, ddof: float) -> str:
    text = "".join([f"{ROUND}{STEP}    {step}" if n % 2 else STEP + step for n, step in enumerate(STEPS[name])])
    return FRAME + text.format(dtype=dtype.name, short=f"f{8 * dtype.itemsize}", ddof=ddof) + "\n"
