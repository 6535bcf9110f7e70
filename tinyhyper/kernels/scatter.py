"""Sums of rows by number: the gradient of rows that were taken from a table, some of them many times.

As for single operations, fewer than SMALL elements go through NumPy, which needs no compilation, and so does everything
where numba is switched off. NumPy's `add.at` takes ten to twenty times as long.
"""

from __future__ import annotations

import numpy as np

from . import cache, plan
from .backend import compiler_is_off

SOURCE = """
def kernel(rows, places, out):
    for n in range(len(places)):
        for j in range(rows.shape[1]):
            out[places[n], j] += float64(rows[n, j])
"""


def add_rows(rows: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    """Add each row to a float64 array at its place.

    rows: (*places.shape, *out.shape[1:]), float32 or float64.  places: integers that are in range; negative ones count
    from the end.
    """
    if rows.size < plan.SMALL or compiler_is_off():
        np.add.at(out, places, rows.astype(np.float64, copy=False))
    else:
        flat = np.ascontiguousarray(rows).reshape(places.size, -1)
        cache.load(SOURCE)(flat, places.ravel().astype(np.intp, copy=False), out.reshape(len(out), -1))
