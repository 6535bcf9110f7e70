"""tinyhyper: reverse-mode autodiff over NumPy, small enough to read, and towers of optimizers that tune each other."""

# ruff: isort: skip_file

from . import data, inspect, kernels, nn, optim
from .checkpoint import load, save
from .derivatives import gradients
from .errors import (
    AnomalyError, AnomalyWarning, ArgumentError, CallError, CheckpointError, CheckpointMissingError, DataError,
    DtypeError, GradientError, GraphError, GraphReleasedError, LeakError, MissingAttributeError, ShapeError,
    TinyhyperError, UnsupportedError,
)  # fmt: skip
from .functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .inspect import detect_anomaly, record
from .kernels import num_threads, set_num_threads
from .ops.convolution import conv2d
from .ops.elementwise import absolute as abs
from .ops.elementwise import (
    add, arccos, arcsin, arctan, clip, cos, cosh, divide, equal, erf, exp, expm1, floor, greater, greater_equal,
    isnan, less, less_equal, log, log1p, logaddexp, maximum, minimum, multiply, negative, not_equal, positive, pow,
    reciprocal, relu, sigmoid, sign, sin, sinh, softplus, sqrt, square, subtract, tan, tanh, where,
)  # fmt: skip
from .ops.elementwise import pow as power
from .ops.fuse import fuse
from .ops.index import take
from .ops.linalg import dot, einsum, inner, matmul, outer, tensordot
from .ops.linear import linear
from .ops.nn import cross_entropy, log_softmax, logsumexp, softmax
from .ops.normalization import batch_norm
from .ops.pooling import avg_pool2d, max_pool2d
from .ops.reduce import all, any, argmax, argmin, cumsum, max, mean, min, norm, prod, std, sum, var
from .ops.recurrent import lstm
from .ops.shape import (
    astype, broadcast_to, concatenate, diagonal, expand_dims, flip, moveaxis, pad, ravel, repeat, reshape, roll,
    split, squeeze, stack, sum_to, swapaxes, tile, trace, transpose, tril, triu,
)  # fmt: skip
from .tape import no_grad
from .tensor import Tensor, tensor

__version__ = "0.1.0"

__all__ = [
    "AnomalyError", "AnomalyWarning", "ArgumentError", "CallError", "CheckpointError", "CheckpointMissingError",
    "DataError", "DtypeError", "GradientError", "GraphError", "GraphReleasedError", "LeakError",
    "MissingAttributeError", "ShapeError", "Tensor", "TinyhyperError", "UnsupportedError", "abs", "add", "all",
    "any", "arccos", "arcsin", "arctan", "argmax", "argmin", "astype", "avg_pool2d", "batch_norm",
    "broadcast_to", "clip", "concatenate", "conv2d", "cos", "cosh", "cross_entropy", "cumsum", "data",
    "detect_anomaly", "diagonal", "divide", "dot", "einsum", "equal", "erf", "exp", "expand_dims", "expm1",
    "flip", "floor", "fuse", "grad", "gradients", "greater", "greater_equal", "hessian", "hvp", "inner",
    "inspect", "isnan", "jacobian", "jvp", "kernels", "less", "less_equal", "linear", "load", "log", "log1p",
    "log_softmax", "logaddexp", "logsumexp", "lstm", "matmul", "max", "max_pool2d", "maximum", "mean", "min",
    "minimum", "moveaxis", "multiply", "negative", "nn", "no_grad", "norm", "not_equal", "num_threads", "optim",
    "outer", "pad", "positive", "pow", "power", "prod", "ravel", "reciprocal", "record", "relu", "repeat",
    "reshape", "roll", "save", "set_num_threads", "sigmoid", "sign", "sin", "sinh", "softmax", "softplus",
    "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "sum_to", "swapaxes", "take",
    "tan", "tanh", "tensor", "tensordot", "tile", "trace", "transpose", "tril", "triu", "value_and_grad", "var",
    "vjp", "where",
]  # fmt: skip
