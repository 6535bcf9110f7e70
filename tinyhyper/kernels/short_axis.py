"""A plan for a short inner axis, as of few channels: (n, height, width, 16) beside (16,).

It merges several outer iterations into one long row: (n * height * width / 32, 512) beside the channels' numbers,
repeated 32 times. So vector registers are full, and threads that sum over the channels do not write to one cache line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.operation import ArraySpec
from .compiler import LoopNest, merge_axes
from .plan import KernelPlan

WIDE = 512  # elements in one round: the partial sums of two outputs, in float64, still fit the nearest cache


class ShortAxisPlan(KernelPlan):
    """A plan that merges `copies` iterations of the outer one of two loops into one row, where that is possible.

    wide: the plan for arrays merged so; None if there is nothing to merge.
    """

    __slots__ = ("copies", "wide")

    def _compile(self, arrays: Sequence[np.ndarray]) -> None:
        every = [*arrays, *[np.empty(out.shape) for out in self.outs]]
        layout = merge_axes(self.shape, [a.shape for a in every], [a.strides for a in every])
        self.copies, self.wide = _copies(layout, every), None
        if self.copies == 1:
            super()._compile(arrays)
            return
        width = self.copies * self.shape[-1]
        shape = (int(np.prod(self.shape)) // width, width)
        like = [
            ArraySpec(shape, out.dtype) if all(varies) else ArraySpec((width,), np.dtype(np.float64))
            for out, varies in zip(self.outs, layout.varies[len(arrays) :])
        ]
        self.wide = KernelPlan(self.expression, [self._merge(a) for a in arrays], shape, like, eager=False)
        self.kernel = self.wide.kernel

    def _merge(self, array: np.ndarray) -> np.ndarray:
        if array.size == 1:
            return array.reshape(())
        width = self.copies * self.shape[-1]
        return np.tile(array.ravel(), self.copies) if array.size < width else array.reshape(-1, width)

    def _compute(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self.kernel is None or self.wide is None:
            return super()._compute(arrays)
        results = self.wide.run([self._merge(array) for array in arrays])
        return [
            self._split(result, out.shape).astype(out.dtype, copy=False) for result, out in zip(results, self.outs)
        ]

    def _split(self, result: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if result.ndim == 1:
            result = np.add.reduce(result.reshape(self.copies, -1), 0)
        return result.reshape(shape)


def _copies(layout: LoopNest, arrays: Sequence[np.ndarray]) -> int:
    """How many iterations make a row: 1 unless each array varies with the iteration, the channel, both or neither."""
    kinds = {(True, True), (False, True), (False, False)}
    if not kinds.issuperset(layout.varies):
        return 1
    whole = [array.flags.c_contiguous for array, varies in zip(arrays, layout.varies) if all(varies)]
    rounds, channels = max(layout.views, key=len)
    return next(n for n in range(max(WIDE // channels, 1), 0, -1) if rounds % n == 0) if all(whole) else 1
