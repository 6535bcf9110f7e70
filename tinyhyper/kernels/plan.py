"""A plan by a kernel, where that is quicker.

The choice of the backend, by sizes and dtypes alone, so that runs are reproducible: a single operation on fewer than
SMALL elements, and anything in integers, goes through NumPy, which needs no compilation; so does a single sum or
another of ARITHMETIC on fewer than MEDIUM, and a single power or another operation that a kernel would leave to the C
library; everything else through a kernel. What runs long enough is shared by threads. `elementwise_backend` forces one;
with NUMBA_DISABLE_JIT=1 kernels run only when forced, as plain Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ..core.operation import ArraySpec
from ..core.tape import quietly
from ..fusion.expression import Expression
from ..fusion.plan import Plan
from . import cache, compiler, threads
from .accuracy import LIBRARY
from .backend import Backend, compiler_is_off
from .notation import is_written
from .parts import LEAST, Parts, pays

SMALL, MEDIUM = 1_000, 1 << 16
# What NumPy computes by one instruction an element: a kernel is as quick, and is called a microsecond later.
ARITHMETIC = ("add", "subtract", "multiply", "negative", "abs", "square", "maximum", "minimum")

elementwise_backend = Backend("elementwise_backend", "numba", "numpy")


class KernelPlan(Plan):
    """A plan by that choice, or by a kernel if numba is chosen when it is made.

    eager: whether small arrays may be computed by NumPy.  kernel: None if all are.  entry: of the kernel, once called.
    makers: of arrays for the outputs; a sum is built up in float64.  reshaped: arrays that the kernel wants in a shape.
    """

    __slots__ = ("kernel", "entry", "parts", "makers", "reshaped", "narrow")

    def __init__(
        self,
        expression: Expression,
        arrays: Sequence[np.ndarray],
        shape: tuple[int, ...],
        like: Sequence[ArraySpec] | None,
        eager: bool,
    ) -> None:
        super().__init__(expression, arrays, shape, like)
        self.kernel: Callable[..., None] | None = None
        self.entry: Callable[..., None] | None = None
        size = math.prod(shape)
        chosen = by_kernel(self.expression, size, eager)
        if self.outs and chosen and holds(self.expression, self.samples, self.types, size):
            self._compile(arrays)

    def _compile(self, arrays: Sequence[np.ndarray]) -> None:
        """Find the kernel, and what views of the arrays it wants; leave it to NumPy if there are too many loops."""
        every = [*arrays, *[np.empty(out.shape) for out in self.outs]]
        layout = compiler.merge_axes(self.shape, [a.shape for a in every], [a.strides for a in every])
        if len(layout.varies[0]) > len(compiler.INDEX):
            return
        self.reshaped = [(n, view) for n, view in enumerate(layout.views) if view != every[n].shape]
        dtypes = (*[array.dtype for array in arrays], *[out.dtype for out in self.outs])
        self.kernel = compiler.kernel(compiler.Signature(self.expression, dtypes, tuple(layout.varies)))
        totals = [not all(varies) for varies in layout.varies[len(arrays) :]]
        self.makers: list[Callable[[], np.ndarray]] = [
            partial(np.zeros, out.shape) if total else partial(np.empty, out.shape, out.dtype)
            for out, total in zip(self.outs, totals)
        ]
        self.parts = self._shared(self.kernel, layout)
        self.narrow = any(total and out.dtype != np.float64 for out, total in zip(self.outs, totals))

    def _shared(self, kernel: Callable[..., None], layout: compiler.LoopNest) -> Parts | None:
        """How threads share the outermost loop, if that pays, by sizes and dtypes alone."""
        if not layout.varies[0] or not pays(self.expression, math.prod(self.shape), layout.varies, self.outs):
            return None
        along = tuple([varies[0] for varies in layout.varies])
        rounds = layout.views[along.index(True)][0]
        return Parts(kernel, rounds, along, len(self.samples)) if rounds >= LEAST else None

    def _compute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self.kernel is None:
            return super()._compute(arrays)
        results = []
        for make in self.makers:
            results.append(make())
        args = [*arrays, *results]
        for n, merged in self.reshaped:
            args[n] = args[n].reshape(merged)
        if self.parts is None or threads.num_threads() == 1:
            if self.entry is None:
                self.entry = cache.entry(self.kernel, args)
            self.entry(*args)
        else:
            self.parts.run(args)
        return quietly(self._narrowed, results) if self.narrow else results

    def _narrowed(self, results: list[np.ndarray]) -> list[np.ndarray]:
        return [result.astype(out.dtype, copy=False) for result, out in zip(results, self.outs)]


def by_kernel(expression: Expression, size: int, eager: bool) -> bool:
    """Whether a kernel is to compute so many elements."""
    if elementwise_backend.chosen != "auto":
        return elementwise_backend.chosen == "numba"
    return not compiler_is_off() and not (eager and (size < SMALL or is_library_call(expression)))


def holds(expression: Expression, inputs: Sequence[ArraySpec], types: Sequence[np.dtype], size: int) -> bool:
    """Whether a kernel can compute an expression, whose values have these types, for so many elements."""
    dtypes = [x.dtype for x, is_scalar in zip(inputs, expression.scalars) if not is_scalar]
    integers = any(dtype.kind in "iu" for dtype in [*dtypes, *types[len(types) - len(expression.lines) :]])
    return size > 0 and not integers and is_written(expression)


def is_library_call(expression: Expression) -> bool:
    """Whether it is a single operation that a kernel would leave to the C library: NumPy computes it at any size."""
    return len(expression.lines) == 1 and expression.lines[0].op.name in LIBRARY
