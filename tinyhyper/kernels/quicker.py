"""The core's operations that kernels compute quicker."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import rules
from ..core.operation import quicken
from .matmul import matmul
from .scatter import add_rows
from .totals import total


def _matmul(x: np.ndarray, y: np.ndarray, left: bool, right: bool) -> np.ndarray:
    return matmul(rules.turned(x, left), rules.turned(y, right))


def _sum(x: np.ndarray, axis: rules.Axes, keepdims: bool) -> np.ndarray:
    whole = axis is None and not keepdims
    return rules.like(total(x) if whole else rules.total(x, axis, keepdims), x)


def _scatter(xs: Any, indices: Any, shape: tuple[int, ...]) -> np.ndarray:
    return rules.scattered(xs, indices, shape, _add_at)


def _add_at(out: np.ndarray, index: Any, x: np.ndarray) -> None:
    items = index if type(index) is tuple else (index,)
    if len(items) == 1:
        add_rows(x, items[0], out)
    else:
        np.add.at(out, index, x)


quicken("matmul", _matmul)
quicken("sum", _sum)
quicken("scatter", _scatter)
