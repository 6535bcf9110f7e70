"""A plan: how to compute one expression for arrays of given shapes, strides and dtypes. This one computes by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import ArraySpec
from ..core.rules import summed_to
from ..core.tape import quietly
from .expression import Expression, in_floats, run, value_dtypes


class Plan:
    """One expression over arrays of fixed shapes, strides and dtypes.

    shape: what all broadcast to.
    like: what each output has the shape and dtype of; None for the broadcast shape and NumPy's dtype.
    whole: whether no output is summed down from the broadcast shape.
    contexts: room for what the caller derives from the plan.
    """

    __slots__ = (
        "shape", "dtypes", "samples", "expression", "types", "scalars", "alias", "outs", "whole", "contexts",
        "ready", "any_scalar", "single",
    )  # fmt: skip

    def __init__(
        self,
        expression: Expression,
        arrays: Sequence[np.ndarray],
        shape: tuple[int, ...],
        like: Sequence[ArraySpec] | None,
    ) -> None:
        dtypes = [array.dtype for array in arrays]
        expression = quietly(in_floats, expression, dtypes)
        self.types, self.scalars = value_dtypes(expression, dtypes)
        shapes = [tuple(x.shape) for x in like] if like is not None else [shape] * len(expression.outputs)
        self.whole = all(s == shape for s in shapes)
        self.dtypes = [x.dtype for x in like] if like is not None else [self.types[n] for n in expression.outputs]
        self.shape = shape
        self.samples = [ArraySpec(array.shape, array.dtype) for array in arrays]
        alias = [
            n if n < expression.inputs and (arrays[n].shape, arrays[n].dtype) == (s, d) else None
            for n, s, d in zip(expression.outputs, shapes, self.dtypes)
        ]
        self.alias = alias if any(source is not None for source in alias) else None
        computed = [n for n, source in enumerate(alias) if source is None]
        self.expression = expression._replace(outputs=tuple(expression.outputs[n] for n in computed))
        self.outs = [ArraySpec(shapes[n], self.dtypes[n]) for n in computed]
        self.contexts: dict[Any, Any] = {}
        self.ready, self.any_scalar = self._is_ready(), True in expression.scalars
        alone = [line.args for line in expression.lines] == [(*range(len(arrays)),)] and False in expression.scalars
        self.single = expression.lines[0].op.forward if alone and self.ready else None

    def _is_ready(self) -> bool:
        """Whether what is computed for the outputs are arrays of their own, of the outputs' shapes and dtypes."""
        expression, numbers = self.expression, self.expression.outputs
        shapes = [*[sample.shape for sample in self.samples], *[()] * len(expression.constants)]
        for _, args in expression.lines:
            shapes.append(np.broadcast_shapes(*[shapes[arg] for arg in args]))
        return len({*numbers}) == len(numbers) and all(
            number >= expression.inputs and ArraySpec(shapes[number], self.types[number]) == out
            for number, out in zip(numbers, self.outs)
        )

    def run(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The outputs. One that is an input unchanged is that very array."""
        if self.alias is None:
            return self._compute(arrays)
        fresh = iter(self._compute(arrays) if self.outs else ())
        return [next(fresh) if source is None else arrays[source] for source in self.alias]

    def _compute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs that are no inputs, each an array of its own."""
        inputs: Sequence[Any] = arrays
        if self.any_scalar:
            inputs = self.expression.given(arrays)
        if self.single is not None:
            return [np.asarray(quietly(self.single, *inputs))]
        values = quietly(run, self.expression, inputs, self.scalars)
        results = [np.asarray(values[number]) for number in self.expression.outputs]
        return results if self.ready else [quietly(self._finish, r, out) for r, out in zip(results, self.outs)]

    def _finish(self, value: np.ndarray, out: ArraySpec) -> np.ndarray:
        """An output from the value computed for it: summed down, or a copy."""
        if value.shape != out.shape:
            whole = value if value.shape == self.shape else np.broadcast_to(value, self.shape)
            value = summed_to(whole, out.shape, out.dtype)
        return np.array(value, dtype=out.dtype)
