"""Convolution as a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..arguments import whole
from ..core.tensor import Tensor
from ..ops.convolution import Pair, conv2d, pair
from .initial import Initial, uniform
from .layer import Layer


class Conv2d(Layer):
    """conv2d(x, weight, bias) of images x.

    inputs, outputs: the channels of images and result, integers >= 1.
    x: (n, height, width, inputs), whose dtype is promoted with the parameters'; gives (n, height', width', outputs).
    kernel, stride, padding: an integer for both directions or a pair (down, across).
    bias: whether there is one. weight is (rows, columns, inputs, outputs); it and the bias, (outputs,), start between
    -b and b with b = 1/sqrt(rows * columns * inputs), as in PyTorch.
    Raises ArgumentError for a size that is not an integer or too small; its call ShapeError as conv2d does.
    """

    options = ("stride", "padding")

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: int | Pair = 3,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        bias: bool = True,
    ) -> None:
        channels = whole("Conv2d: inputs", inputs), whole("Conv2d: outputs", outputs)
        shape = (*pair("Conv2d: kernel", kernel, 1), *channels)
        draw = uniform(1 / math.sqrt(math.prod(shape[:3])))
        initial = {"weight": Initial(shape, draw)} | ({"bias": Initial(channels[1:], draw)} if bias else {})
        super().__init__(name, initial)
        self.stride, self.padding = pair("Conv2d: stride", stride, 1), pair("Conv2d: padding", padding, 0)

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        bias = self.parameter(params, "bias") if "bias" in self.initial else None
        return conv2d(x, self.parameter(params, "weight"), bias, self.stride, self.padding)
