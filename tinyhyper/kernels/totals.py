"""The sum of all elements of a float32 array, in float64; NumPy converts such an array piece by piece, then adds."""

from __future__ import annotations

import numpy as np

from . import cache, plan
from .backend import compiler_is_off

SOURCE = """
def kernel(x, out):
    total = 0.0
    for i in range(x.shape[0]):
        total = add(total, float64(x[i]))
    out[()] = total
"""


def total(x: np.ndarray) -> np.ndarray:
    """The sum of all elements, 0-d: float64 for float32, else of NumPy's dtype.

    By a kernel for a contiguous float32 array of at least SMALL elements; for others NumPy is as quick.
    """
    if x.dtype != np.float32:
        return np.asarray(x.sum())
    if x.size < plan.SMALL or not x.flags.forc or compiler_is_off():
        return np.asarray(x.sum(dtype=np.float64))
    out = np.empty(())
    cache.load(SOURCE)(x.ravel("K"), out)
    return out
