"""Layers and models: named parameters in a plain dict, plus a call.

| file | what |
| --- | --- |
| `layer` | what every layer is: a name, a table of parameters, a call |
| `initial` | how parameters start |
| `dense` | Linear, Embedding, Dropout |
| `convolution`, `normalization`, `pooling` | Conv2d, BatchNorm2d, pooling: images are (n, height, width, channels) |
| `recurrent` | LSTM |
| `resnet`, `charlstm` | the models of the paper: the residual block and ResNet-20, the character LSTM |
"""

import inspect

from . import initial
from .charlstm import CharLSTM
from .convolution import Conv2d
from .dense import Dropout, Embedding, Linear
from .layer import Layer
from .normalization import BatchNorm2d
from .pooling import AvgPool2d, MaxPool2d
from .recurrent import LSTM, cut
from .resnet import ResidualBlock, ResNet, resnet20

__all__ = [
    "AvgPool2d", "BatchNorm2d", "CharLSTM", "Conv2d", "Dropout", "Embedding", "LSTM", "Layer", "Linear", "MaxPool2d",
    "ResNet", "ResidualBlock", "cut", "initial", "resnet20",
]  # fmt: skip

CALL = """name: a string, with which the names of its parameters begin.
params: in its call, tensors or arrays by name, as `parameters()` gives them. The call raises ArgumentError where one
is missing, ShapeError where one has another shape, DtypeError where they are no dict of tensors or arrays."""
for _layer in (BatchNorm2d, CharLSTM, Conv2d, Embedding, LSTM, Linear, ResNet, ResidualBlock):
    _layer.__doc__ = f"{inspect.cleandoc(_layer.__doc__ or '')}\n{CALL}"
