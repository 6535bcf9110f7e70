"""Sums in float64: of a float32 array NumPy converts pieces and then adds them, and of integers a sum may overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import FLOAT32, FLOAT64
from . import cache, plan, threads
from .backend import compiler_is_off
from .parts import Parts

SOURCE = """
def kernel(x, out):
    total = 0.0
    for i in range(x.shape[0]):
        total = add(total, float64(x[i]))
    out[()] = total
"""

SHARED = 2_000_000  # elements, from which on threads share the sum: about as long as other kernels take then (`parts`)


def total(x: np.ndarray) -> Any:
    """The sum of all elements: float64 for float32, else of NumPy's dtype.

    By a kernel, on several threads where that pays, for a contiguous float32 array of at least SMALL elements; for
    others NumPy is as quick.
    """
    if x.size < plan.SMALL or x.dtype != FLOAT32 or not x.flags.forc or compiler_is_off():
        return np.add.reduce(x, None, FLOAT64 if x.dtype == FLOAT32 else None)
    kernel, args = cache.load(SOURCE), (x.ravel("K"), np.empty(()))
    if x.size < SHARED or threads.num_threads() == 1:
        kernel(*args)
    else:
        Parts(kernel, x.size, (True, False), 1).run(args)
    return args[1]
