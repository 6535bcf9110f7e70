"""A plan: how to compute one expression for arrays of given shapes, strides and dtypes.

Rule for the backend, by sizes and dtypes alone, so that runs are reproducible: a single operation on fewer than
SMALL elements, and anything in integers, goes through NumPy, which needs no compilation; everything else through a
kernel. `elementwise_backend` forces one; with NUMBA_DISABLE_JIT=1 kernels run only when forced, as plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from ..errors import ArgumentError
from . import compiler
from .expression import Expression, evaluate, value_dtypes

SMALL = 10_000

_backend = "auto"


def elementwise_backend(name: str | None = None) -> str:
    """Force elementwise operations onto "numba" kernels or "numpy", or return to "auto"; gives the one in force."""
    global _backend
    if name not in (None, "numba", "numpy", "auto"):
        raise ArgumentError(f'elementwise_backend: {name!r} is not one of "numba", "numpy", "auto"')
    _backend = name or _backend
    return _backend


class Plan:
    """One expression over arrays of fixed shapes, strides and dtypes.

    weak: inputs that are scalars which take on the dtype they meet.  shape: what all broadcast to.
    like: what each output has the shape and dtype of; None for the broadcast shape and NumPy's dtype.
    """

    __slots__ = (
        "weak", "shape", "shapes", "dtypes", "samples", "expression", "alias", "views", "out_views", "sums", "kernel", "backend",
    )  # fmt: skip

    def __init__(
        self,
        expression: Expression,
        arrays: Sequence[np.ndarray],
        weak: tuple[bool, ...],
        shape: tuple[int, ...],
        like: Sequence[Any] | None,
        eager: bool,
    ) -> None:
        in_dtypes = [array.dtype for array in arrays]
        types, _ = value_dtypes(expression, in_dtypes, weak)
        self.weak, self.shape, self.backend = weak, shape, _backend
        self.shapes = [tuple(x.shape) for x in like] if like is not None else [shape] * len(expression.outputs)
        self.dtypes = [x.dtype for x in like] if like is not None else [types[n] for n in expression.outputs]
        self.samples = [_Sample(array.shape, array.dtype) for array in arrays]
        self.alias = [
            n if n < expression.inputs and (arrays[n].shape, arrays[n].dtype) == (s, d) else None
            for n, s, d in zip(expression.outputs, self.shapes, self.dtypes)
        ]
        computed = [n for n, source in enumerate(self.alias) if source is None]
        self.expression = expression._replace(outputs=tuple(expression.outputs[n] for n in computed))
        out_shapes = [self.shapes[n] for n in computed]
        out_dtypes = [self.dtypes[n] for n in computed]

        size = int(np.prod(shape))
        outs = [np.empty(s, np.float64) for s in out_shapes] if size else []
        layout = compiler.merge_axes(
            shape, [a.shape for a in (*arrays, *outs)], [a.strides for a in (*arrays, *outs)]
        )
        loops = len(layout.varies[0]) if layout.varies else 0
        integers = any(dtype.kind in "iu" for dtype in types[len(types) - len(expression.lines) :])
        self.kernel = None
        if computed and size and not integers and loops <= len(compiler.INDEX) and self._wants_kernel(eager, size):
            self.views, self.out_views = layout.views[: len(arrays)], layout.views[len(arrays) :]
            in_varies, out_varies = layout.varies[: len(arrays)], layout.varies[len(arrays) :]
            self.sums = [not all(varies) for varies in out_varies]
            self.kernel = compiler.kernel(self.expression, in_dtypes, weak, out_dtypes, in_varies, out_varies)

    def _wants_kernel(self, eager: bool, size: int) -> bool:
        if self.backend != "auto":
            return self.backend == "numba"
        return not numba.config.DISABLE_JIT and not (eager and size < SMALL)

    def stale(self) -> bool:
        """Whether another backend has been chosen since."""
        return self.backend != _backend

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs. One that is an input unchanged is that very array."""
        results = iter(self._compute(arrays) if self.expression.outputs else ())
        return [next(results) if source is None else arrays[source] for source in self.alias]

    def _compute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        wanted = [(s, d) for s, d, source in zip(self.shapes, self.dtypes, self.alias) if source is None]
        if self.kernel is None:
            shapes, dtypes = zip(*wanted)
            return evaluate(self.expression, arrays, self.weak, self.shape, shapes, dtypes)
        outs = [np.zeros(s, np.float64) if total else np.empty(s, d) for (s, d), total in zip(wanted, self.sums)]
        self.kernel(
            *[a if a.shape == view else a.reshape(view) for a, view in zip(arrays, self.views)],
            *[o if o.shape == view else o.reshape(view) for o, view in zip(outs, self.out_views)],
        )
        return [o.astype(d, copy=False) for o, (_, d) in zip(outs, wanted)]


class _Sample:
    """A shape and a dtype without the array."""

    __slots__ = ("shape", "dtype")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype = shape, dtype
