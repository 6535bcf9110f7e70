"""tinyhyper: reverse-mode autodiff over NumPy, small enough to read, and towers of optimizers that tune each other."""

# ruff: isort: skip_file

from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from . import data, inspect, nn, ops, optim
from .calls import no_grad
from .checkpoint import load, save
from .derivatives import gradients
from .errors import (
    AnomalyError, AnomalyWarning, ArgumentError, CallError, CheckpointError, CheckpointMissingError, DataError,
    DtypeError, GradientError, GraphError, GraphReleasedError, LeakError, MissingAttributeError, ShapeError,
    TinyhyperError, UnsupportedError,
)  # fmt: skip
from .functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .inspect import detect_anomaly, record
from .ops.convolution import conv2d
from .core.rules import absolute as abs
from .core.rules import (
    add, divide, equal, exp, greater, greater_equal, less, less_equal, log, multiply, negative, not_equal, positive,
    reciprocal, sign, sqrt, square, subtract, tanh, where,
)  # fmt: skip
from .ops.elementwise import *  # noqa: F403
from .ops.elementwise import POW as pow, POWER as power
from .fusion.fuse import fuse
from .ops.index import take
from .core.rules import matmul
from .ops.linalg import dot, einsum, inner, outer, tensordot
from .ops.linear import linear
from .ops.nn import cross_entropy, log_softmax, logsumexp, softmax
from .ops.normalization import batch_norm
from .ops.pooling import avg_pool2d, max_pool2d
from .core.rules import mean, sum
from .ops.reduce import max, min
from .ops.reduce import all, any, argmax, argmin, cumsum, norm, prod, std, var
from .ops.recurrent import lstm
from .core.rules import astype, broadcast_to, reshape, sum_to, swapaxes, transpose
from .ops.shape import (
    concatenate, diagonal, expand_dims, flip, moveaxis, pad, ravel, repeat, roll, split, squeeze, stack, tile, trace,
    tril, triu,
)  # fmt: skip
from .core.tensor import Tensor, tensor
from .program import replay
from . import hyper

__version__ = "1.0.0rc1"

__all__ = [
    "AnomalyError", "AnomalyWarning", "ArgumentError", "CallError", "CheckpointError", "CheckpointMissingError",
    "DataError", "DtypeError", "GradientError", "GraphError", "GraphReleasedError", "LeakError",
    "MissingAttributeError", "ShapeError", "Tensor", "TinyhyperError", "UnsupportedError", "abs", "add", "all",
    "any", "argmax", "argmin", "astype", "avg_pool2d", "batch_norm", "broadcast_to", "concatenate", "conv2d",
    "cross_entropy", "cumsum", "data", "detect_anomaly", "diagonal", "divide", "dot", "einsum", "equal", "exp",
    "expand_dims", "flip", "fuse", "grad", "gradients", "greater", "greater_equal", "hessian", "hvp", "hyper",
    "inner", "inspect", "jacobian", "jvp", "less", "less_equal", "linear", "load", "log", "log_softmax",
    "logsumexp", "lstm", "matmul", "max", "max_pool2d", "mean", "min", "moveaxis", "multiply", "negative", "nn",
    "no_grad", "norm", "not_equal", "optim", "outer", "pad", "positive", "pow", "power", "prod", "ravel",
    "reciprocal", "record", "repeat", "replay", "reshape", "roll", "save", "sign", "softmax", "split", "sqrt",
    "square", "squeeze", "stack", "std", "subtract", "sum", "sum_to", "swapaxes", "take", "tanh", "tensor",
    "tensordot", "tile", "trace", "transpose", "tril", "triu", "value_and_grad", "var", "vjp", "where",
]  # fmt: skip
__all__ += ops.elementwise.NAMES

# In this folder alone: where another copy is installed, kernels/ of that one would be found as well.
if TYPE_CHECKING or PathFinder.find_spec(f"{__name__}.kernels", __path__):  # noqa: F405
    from . import kernels
    from .kernels import driver, entries, threads
    from .program.native import run_by

    run_by(entries, driver, threads)
    from .kernels import num_threads, set_num_threads

    __all__ += ["kernels", "num_threads", "set_num_threads"]

if not TYPE_CHECKING:  # else every name would be one of the package

    def __getattr__(name):
        if name == "testing":  # loaded when it is asked for
            return import_module(f"{__name__}.testing")
        if name in ("kernels", "num_threads", "set_num_threads"):
            raise MissingAttributeError(
                f"tinyhyper.{name}: the folder tinyhyper/kernels is not installed here, so NumPy computes everything, "
                "on one thread. To have it, install the whole of tinyhyper"
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
