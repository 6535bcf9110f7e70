"""Residual networks for small images: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016,
section 4.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import whole
from ..core.rules import mean
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError
from ..ops.elementwise import relu
from ..ops.shape import pad
from .convolution import Conv2d
from .dense import Linear
from .layer import Layer
from .normalization import BatchNorm2d


class ResidualBlock(Layer):
    """relu(x + two convolutions of 3 x 3 with batch normalization), of images x.

    inputs, outputs: the channels of images and result, integers >= 1.
    x: (n, height, width, inputs), whose dtype is promoted with the parameters'; gives (n, height', width', outputs),
    with height' = (height - 1) // stride + 1, and width' alike.
    stride: of the first convolution, an integer >= 1. Where shapes change, x is taken at every stride-th place, with
    channels of zeros added at the end: the shortcut without parameters (option A of the paper).
    Raises ArgumentError for fewer outputs than inputs, and for a size or stride that is not an integer >= 1.
    Source: He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2.
    """

    def __init__(self, name: str, inputs: int, outputs: int, stride: int = 1) -> None:
        inputs, outputs = whole("ResidualBlock: inputs", inputs), whole("ResidualBlock: outputs", outputs)
        stride = whole("ResidualBlock: stride", stride)
        if outputs < inputs:
            raise ArgumentError(
                f"ResidualBlock: outputs must be at least the {inputs} inputs of {name!r}, not {outputs}"
            )
        self.conv1 = Conv2d(f"{name}.conv1", inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm2d(f"{name}.norm1", outputs)
        self.conv2 = Conv2d(f"{name}.conv2", outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(f"{name}.norm2", outputs)
        super().__init__(name, parts=(self.conv1, self.norm1, self.conv2, self.norm2))
        self.stride, self.added = stride, outputs - inputs

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        x = as_tensor(x)
        hidden = self.norm1(params, self.conv1(params, x), relu)
        return self.norm2(params, self.conv2(params, hidden), relu, self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """The images in the shape of the result. x: (n, height, width, inputs), of any dtype, which stays."""
        if self.stride > 1:
            x = x[:, :: self.stride, :: self.stride]
        return pad(x, ((0, 0), (0, 0), (0, 0), (0, self.added))) if self.added else x


class ResNet(Layer):
    """A residual network of 6 k + 2 layers for images.

    A convolution, three stages of k blocks, of which the second and the third begin by halving height and width, the
    mean over each image, and a linear layer.
    x: images (n, height, width, 3), whose dtype is promoted with the parameters'; gives the logits, (n, classes).
    depth: an integer 6 k + 2.  classes: an integer >= 1.  widths: the channels of the stages, three integers >= 1.
    Raises ArgumentError for another number of layers, classes or widths; its call ShapeError for images of another
    shape.
    Source: He et al., Deep Residual Learning for Image Recognition, 2016, section 4.2.
    """

    def __init__(
        self, depth: int, classes: int = 10, widths: Sequence[int] | np.ndarray = (16, 32, 64), name: str = "resnet"
    ) -> None:
        if whole("ResNet: depth", depth) < 8 or depth % 6 != 2:
            raise ArgumentError(f"ResNet: depth must be 8, 14, 20, ... (6 k + 2), not {depth}")
        stages = list(widths) if isinstance(widths, Sequence) or np.ndim(widths) == 1 else []
        if len(stages) != 3:
            raise ArgumentError(f"ResNet: widths must be the channels of three stages, not {widths!r}")
        widths = [whole("ResNet: each of the widths", width) for width in stages]
        self.conv = Conv2d(f"{name}.conv", 3, widths[0], 3, padding=1, bias=False)
        self.norm = BatchNorm2d(f"{name}.norm", widths[0])
        self.blocks = []
        inputs = widths[0]
        for stage, outputs in enumerate(widths, 1):
            for block in range(1, depth // 6 + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                self.blocks.append(ResidualBlock(f"{name}.stage{stage}.block{block}", inputs, outputs, stride))
                inputs = outputs
        self.linear = Linear(f"{name}.linear", inputs, classes)
        super().__init__(name, parts=(self.conv, self.norm, *self.blocks, self.linear))

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim != 4 or x.shape[3] != 3:
            raise ShapeError(f"ResNet: images must have shape (n, height, width, 3), not {x.shape}")
        x = self.norm(params, self.conv(params, x), relu)
        for block in self.blocks:
            x = block(params, x)
        return self.linear(params, mean(x, (1, 2)))


def resnet20(classes: int = 10) -> ResNet:
    """ResNet-20, for CIFAR: 269,722 parameters for 10 classes. See `ResNet`.

    classes: an integer >= 1. Raises ArgumentError for another number.
    """
    return ResNet(20, classes, name="resnet20")
