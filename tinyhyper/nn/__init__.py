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

from . import initial
from .layer import Layer

__all__ = ["Layer", "initial"]
