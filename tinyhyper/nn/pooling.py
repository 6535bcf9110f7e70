"""Pooling as layers, without parameters. The mean of whole images needs none: x.mean(axis=(1, 2))."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core.tensor import Tensor
from ..ops.convolution import Pair, pair
from ..ops.pooling import avg_pool2d, max_pool2d
from .layer import Layer


class Pool2d(Layer):
    """What pooling layers share. pool: the operation.  kernel, stride, padding, ceil_mode: see th.max_pool2d."""

    options: tuple[str, ...] = ("kernel", "stride", "padding")  # type: ignore[misc]

    pool: Callable[..., Tensor]

    def __init__(
        self,
        name: str,
        kernel: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(name)
        kind = type(self).__name__
        self.kernel, self.padding = pair(f"{kind}: kernel", kernel, 1), pair(f"{kind}: padding", padding, 0)
        self.stride = self.kernel if stride is None else pair(f"{kind}: stride", stride, 1)
        self.ceil_mode = ceil_mode
        if ceil_mode:
            self.options = (*self.options, "ceil_mode")

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        return type(self).pool(x, self.kernel, self.stride, self.padding, self.ceil_mode)


class MaxPool2d(Pool2d):
    """max_pool2d of images x.

    name: of the layer, a string.  kernel, stride, padding, ceil_mode: as of th.max_pool2d.
    x: (n, height, width, channels), float32 or float64; the result has their dtype, and the shape as there.
    Raises ArgumentError for a size that does not fit; its call as th.max_pool2d, ShapeError or DtypeError.
    """

    pool = staticmethod(max_pool2d)


class AvgPool2d(Pool2d):
    """avg_pool2d of images x.

    name: of the layer, a string.  kernel, stride, padding, ceil_mode: as of th.avg_pool2d.
    x: (n, height, width, channels), float32 or float64; the result has their dtype, and the shape as there.
    Raises ArgumentError for a size that does not fit; its call as th.avg_pool2d, ShapeError or DtypeError.
    """

    pool = staticmethod(avg_pool2d)
