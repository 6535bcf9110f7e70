"""What classifiers need: softmax, its logarithm, logsumexp, and the cross entropy of labels.

logsumexp has gradient 0 where all its terms are -infinity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.operation import operation
from ..core.rules import Axes, exp, restore
from ..core.rules import sum as _sum
from ..core.tensor import FLOATS, Tensor, as_tensor
from ..errors import DtypeError, ShapeError
from ..kernels import softmax as kernels


@operation(
    x=lambda g, weights, axis: _balanced(g, weights, axis),
    weights=lambda g, out, axis: -(out * _sum(g, axis, True)),
)
def _centred(x: np.ndarray, weights: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its mean by weights that add up to 1: those of a softmax, to which a cotangent's mean makes no difference.

    So the cotangent of the weights is that of x - mean with x centred, which has the digits.
    """
    return kernels.centred(x, weights, axis)


@operation(
    x=lambda g, weights, axis: _centred(g, weights, axis),
    weights=lambda g, x, axis: -(g * _sum(x, axis, True)),
)
def _balanced(x: np.ndarray, weights: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its sum, spread by weights that add up to 1: what is left adds up to 0."""
    return kernels.balanced(x, weights, axis)


def _softmax_vjp(g: Tensor, out: Tensor, axis: Axes) -> Tensor:
    return out * _centred(g, out, axis)


def _check_axis(name: str, x: np.ndarray) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: a number has no axis, as shape () says; softmax compares the values along one")


@operation(x=_softmax_vjp)
def softmax(x: np.ndarray, /, axis: int = -1) -> np.ndarray:
    """e ** x along an axis, divided by its sum; without overflow. Raises ShapeError for an axis without elements."""
    _check_axis("softmax", x)
    return kernels.softmax(x, axis)


@operation(x=lambda g, out, axis: _balanced(g, exp(out), axis))
def log_softmax(x: np.ndarray, /, axis: int = -1) -> np.ndarray:
    """The logarithm of softmax along an axis, exact where softmax rounds to 0. Raises ShapeError as softmax does."""
    _check_axis("log_softmax", x)
    return kernels.log_softmax(x, axis)


@operation(x=_softmax_vjp)
def _shares(x: np.ndarray, /, axis: Axes) -> np.ndarray:
    return kernels.shares(x, axis)


@operation(x=lambda g, x, axis: restore(g, x.shape, axis) * _shares(x, axis))
def logsumexp(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """log(sum(exp(x))) over the axes (all if None), without overflow. Raises ShapeError for no elements."""
    out = kernels.logsumexp(x, axis)
    return out if keepdims else np.squeeze(out, axis)


@operation(x=lambda g, x, labels: _excess(g, x, labels))
def _cross_entropy(x: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
    return kernels.cross_entropy(x, labels)


@operation(
    scale=lambda g, x, labels: _sum(g * _excess(Tensor(np.ones((), x.dtype)), x, labels)),
    x=lambda g, scale, x: _softmax_vjp(g, softmax(x), -1) * (scale / float(x.shape[0])),
)
def _excess(scale: np.ndarray, x: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
    return kernels.excess(x, labels, scale)


def cross_entropy(logits: Any, labels: Any) -> Tensor:
    """The mean over n examples of -log(softmax(logits)[label]).

    logits: float, (n, classes).  labels: integers from 0 to classes - 1, (n,).
    Raises ShapeError for other shapes or no examples, DtypeError for other dtypes, ArgumentError for a label out of
    range.
    """
    x, y = as_tensor(logits), as_tensor(labels)
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise ShapeError(f"cross_entropy: logits (n, classes) and labels (n,) are needed, not {x.shape} and {y.shape}")
    if x.dtype not in FLOATS:
        raise DtypeError(f"cross_entropy: logits are float32 or float64, not {x.dtype}")
    if y.dtype.kind not in "iu":
        raise DtypeError(f"cross_entropy: labels are integers, the number of a class for each example, not {y.dtype}")
    return _cross_entropy(x, y)
