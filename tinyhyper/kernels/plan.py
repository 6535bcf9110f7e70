"""A plan: how to compute one expression for arrays of given shapes, strides and dtypes.

Rule for the backend, by sizes and dtypes alone, so that runs are reproducible: a single operation on fewer than
SMALL elements, and anything in integers, goes through NumPy, which needs no compilation; so does a single power or
another operation that a kernel would leave to the C library; everything else through a kernel. What runs long enough
is shared by threads. `elementwise_backend` forces one; with NUMBA_DISABLE_JIT=1 kernels run only when forced, as plain
Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import ArraySpec
from ..core.tape import quietly
from ..fusion.expression import Expression, Program, in_floats, value_dtypes
from . import compiler, threads
from .accuracy import LIBRARY
from .backend import Backend, compiler_is_off
from .parts import LEAST, Parts, pays

SMALL = 1_000

elementwise_backend = Backend("elementwise_backend", "numba", "numpy")


class Plan:
    """One expression over arrays of fixed shapes, strides and dtypes, by the backend that is chosen when it is made.

    weak: inputs that are scalars which take on the dtype they meet.  shape: what all broadcast to.
    like: what each output has the shape and dtype of; None for the broadcast shape and NumPy's dtype.
    whole: whether no output is summed down from the broadcast shape.
    contexts: room for what the caller derives from the plan.
    """

    __slots__ = (
        "weak", "shape", "dtypes", "samples", "expression", "kernel", "parts", "program", "alias", "outs",
        "reshaped", "narrow", "whole", "contexts",
    )  # fmt: skip

    def __init__(
        self,
        expression: Expression,
        arrays: Sequence[np.ndarray],
        weak: tuple[bool, ...],
        shape: tuple[int, ...],
        like: Sequence[ArraySpec] | None,
        eager: bool,
    ) -> None:
        in_dtypes = [array.dtype for array in arrays]
        expression = quietly(in_floats, expression, in_dtypes, weak)
        types, _ = value_dtypes(expression, in_dtypes, weak)
        shapes = [tuple(x.shape) for x in like] if like is not None else [shape] * len(expression.outputs)
        self.whole = all(s == shape for s in shapes)
        self.dtypes = [x.dtype for x in like] if like is not None else [types[n] for n in expression.outputs]
        self.weak, self.shape = weak, shape
        self.samples = [ArraySpec(array.shape, array.dtype) for array in arrays]
        alias = [
            n if n < expression.inputs and (arrays[n].shape, arrays[n].dtype) == (s, d) else None
            for n, s, d in zip(expression.outputs, shapes, self.dtypes)
        ]
        self.alias = alias if any(source is not None for source in alias) else None
        computed = [n for n, source in enumerate(alias) if source is None]
        self.expression = expression._replace(outputs=tuple(expression.outputs[n] for n in computed))
        self.outs = [Out(shapes[n], self.dtypes[n], False, None) for n in computed]
        self.reshaped: list[tuple[int, tuple[int, ...]]] = []
        self.kernel: Callable[..., None] | None = None
        self.parts: Parts | None = None
        self.narrow = False
        self.contexts: dict[Any, Any] = {}
        size = math.prod(shape)
        strong = [dtype for dtype, is_weak in zip(in_dtypes, weak) if not is_weak]
        integers = any(dtype.kind in "iu" for dtype in [*strong, *types[len(types) - len(expression.lines) :]])
        if computed and size and not integers and self._wants_kernel(eager, size):
            self._compile(arrays, in_dtypes)
        if self.kernel is None:
            outs = [(out.shape, out.dtype) for out in self.outs]
            self.program = Program(self.expression, arrays, weak, shape, outs)

    def _compile(self, arrays: Sequence[np.ndarray], dtypes: Sequence[np.dtype]) -> None:
        """Find the kernel, and what views of the arrays it wants; leave it to NumPy if there are too many loops."""
        every = [*arrays, *[np.empty(out.shape) for out in self.outs]]
        layout = compiler.merge_axes(self.shape, [a.shape for a in every], [a.strides for a in every])
        if len(layout.varies[0]) > len(compiler.INDEX):
            return
        count = len(arrays)
        self.reshaped = [(n, view) for n, view in enumerate(layout.views[:count]) if view != arrays[n].shape]
        self.kernel = compiler.kernel(
            compiler.Signature(
                self.expression, tuple(dtypes), self.weak, tuple(out.dtype for out in self.outs),
                tuple(layout.varies[:count]), tuple(layout.varies[count:]),
            )
        )  # fmt: skip
        self.outs = [
            Out(out.shape, out.dtype, not all(varies), None if view == out.shape else view)
            for out, view, varies in zip(self.outs, layout.views[count:], layout.varies[count:])
        ]
        self.parts = self._shared(self.kernel, layout)
        self.narrow = any(out.total and out.dtype != np.float64 for out in self.outs)

    def _shared(self, kernel: Callable[..., None], layout: compiler.Layout) -> Parts | None:
        """How threads share the outermost loop, if that pays, by sizes and dtypes alone."""
        itemsize = max(out.dtype.itemsize for out in self.outs)
        elementwise = [True in varies for varies in layout.varies]
        if not layout.varies[0] or not pays(self.expression, math.prod(self.shape), elementwise, itemsize):
            return None
        along = tuple([varies[0] for varies in layout.varies])
        rounds = layout.views[along.index(True)][0]
        return Parts(kernel, rounds, along, len(self.samples)) if rounds >= LEAST else None

    def _wants_kernel(self, eager: bool, size: int) -> bool:
        if elementwise_backend.chosen != "auto":
            return elementwise_backend.chosen == "numba"
        return not compiler_is_off() and not (eager and (size < SMALL or is_library_call(self.expression)))

    def run(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The outputs. One that is an input unchanged is that very array."""
        if self.alias is None:
            return self._compute(arrays)
        fresh = iter(self._compute(arrays) if self.outs else ())
        return [next(fresh) if source is None else arrays[source] for source in self.alias]

    def _compute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self.kernel is None:
            return self.program(arrays)
        args = [*arrays]
        for n, merged in self.reshaped:
            args[n] = args[n].reshape(merged)
        results = []
        for shape, dtype, total, view in self.outs:
            result = np.zeros(shape) if total else np.empty(shape, dtype)
            results.append(result)
            args.append(result if view is None else result.reshape(view))
        if self.parts is None or threads.num_threads() == 1:
            self.kernel(*args)
        else:
            self.parts.run(args)
        return quietly(self._narrowed, results) if self.narrow else results

    def _narrowed(self, results: list[np.ndarray]) -> list[np.ndarray]:
        return [result.astype(out.dtype, copy=False) for result, out in zip(results, self.outs)]


def is_library_call(expression: Expression) -> bool:
    """Whether it is a single operation that a kernel would leave to the C library: NumPy computes it at any size."""
    return len(expression.lines) == 1 and expression.lines[0].formula.name in LIBRARY


class Out(NamedTuple):
    """An output to compute: `total` if it is a sum, built up in float64; `view`, the shape the kernel wants it in."""

    shape: tuple[int, ...]
    dtype: np.dtype
    total: bool
    view: tuple[int, ...] | None
