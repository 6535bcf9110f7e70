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
from ..errors import ArgumentError, DtypeError, ShapeError
from .reduce import real

FEW = 64  # classes


@operation(
    x=lambda g, weights, axis: _balanced(g, weights, axis),
    weights=lambda g, out, axis: -(out * _sum(g, axis, True)),
)
def _centred(x: np.ndarray, weights: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its mean by weights that add up to 1: those of a softmax, to which a cotangent's mean makes no difference.

    So the cotangent of the weights is that of x - mean with x centred, which has the digits.
    """
    for _ in range(2):  # the second time it is what rounding has left of the mean
        x = x - _total(x * weights, axis)
    return x


@operation(
    x=lambda g, weights, axis: _centred(g, weights, axis),
    weights=lambda g, x, axis: -(g * _sum(x, axis, True)),
)
def _balanced(x: np.ndarray, weights: np.ndarray, /, axis: Axes) -> np.ndarray:
    """x less its sum, spread by weights that add up to 1: what is left adds up to 0."""
    for _ in range(2):
        x = x - weights * _total(x, axis)
    return x


def _softmax_vjp(g: Tensor, out: Tensor, axis: Axes) -> Tensor:
    return out * _centred(g, out, axis)


def _check_axis(name: str, x: np.ndarray) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: x must have at least one axis, along which softmax compares values; its shape is ()")


@operation(x=_softmax_vjp)
def softmax(x: np.ndarray, /, axis: int = -1) -> np.ndarray:
    """e ** x along an axis, divided by its sum; without overflow.

    x: of any shape but (), which the result has; integers and booleans become float64.  axis: an integer.
    Raises ShapeError for a wrong axis and for one without elements.
    """
    _check_axis("softmax", x)
    _, powers = exponentials(x, axis)
    return np.ascontiguousarray(np.divide(powers, _total(powers, axis), out=powers))


@operation(x=lambda g, out, axis: _balanced(g, exp(out), axis))
def log_softmax(x: np.ndarray, /, axis: int = -1) -> np.ndarray:
    """The logarithm of softmax along an axis, exact where softmax rounds to 0.

    x, axis: as of softmax. Raises ShapeError for a wrong axis and for one without elements.
    """
    _check_axis("log_softmax", x)
    shifted, powers = exponentials(x, axis)
    return np.ascontiguousarray(np.subtract(shifted, np.log(_wide_total(powers, axis)), out=shifted))


@operation(x=_softmax_vjp)
def _shares(x: np.ndarray, /, axis: Axes) -> np.ndarray:
    """The slopes of logsumexp: softmax over the axes, but 0 where all of x is -infinity."""
    powers = np.exp(x - _finite_top(x, axis))
    total = _total(powers, axis)
    return np.asarray(powers / np.where(total == 0, np.inf, total), x.dtype)


@operation(x=lambda g, x, axis: restore(g, x.shape, axis) * _shares(x, axis))
def logsumexp(x: np.ndarray, /, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """log(sum(exp(x))) over the axes (all if None), without overflow.

    x: of any shape; integers and booleans become float64.  axis: an integer, a tuple of them, or None.
    keepdims: whether these axes stay, of length 1. Raises ShapeError for a wrong axis, and for no elements.
    """
    x = real(x)
    top = _finite_top(x, axis)
    out = (np.log(_wide_total(np.exp(x - top), axis)) + top).astype(x.dtype)
    return out if keepdims else np.squeeze(out, axis)


@operation(x=lambda g, x, labels: _excess(g, x, labels))
def _cross_entropy(x: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
    rows = np.arange(len(labels))
    try:
        np.ravel_multi_index((rows, labels), x.shape)  # the quickest of NumPy's ways to find a label out of range
    except ValueError:
        _check(x, labels)
    shifted, powers = exponentials(x, -1)
    power, powers[rows, labels] = powers[rows, labels], 0  # added to that of a sure label, the others would be lost
    losses = np.log1p(_total(powers, -1)[:, 0] + (power - 1)) - shifted[rows, labels]
    return np.asarray(np.add.reduce(losses, 0, np.float64) / len(labels), x.dtype)


def _check(x: np.ndarray, labels: np.ndarray) -> None:
    """Raises ArgumentError for the first label out of range."""
    wrong = (labels < 0) | (labels >= x.shape[1])
    if wrong.any():
        raise ArgumentError(
            f"cross_entropy: label {labels[wrong][0]} is out of range for logits of shape {x.shape}; "
            f"labels go from 0 to {x.shape[1] - 1}"
        )


@operation(
    scale=lambda g, x, labels: _sum(g * _excess(Tensor(np.ones((), x.dtype)), x, labels)),
    x=lambda g, scale, x: _softmax_vjp(g, softmax(x), -1) * (scale / float(x.shape[0])),
)
def _excess(scale: np.ndarray, x: np.ndarray, labels: np.ndarray, /) -> np.ndarray:
    """scale (softmax(x) - one_hot(labels)) / n: the gradient of scale times the cross entropy."""
    rows, (_, powers) = np.arange(len(labels)), exponentials(x, -1)
    total = _total(powers, -1) * len(labels)
    powers[rows, labels] = 0
    powers /= total
    powers[rows, labels] = -_total(powers, -1)[:, 0]
    return np.ascontiguousarray(powers * scale)


def cross_entropy(logits: Any, labels: Any) -> Tensor:
    """The mean over n examples of -log(softmax(logits)[label]).

    logits: (n, classes), float32 or float64, which the mean has.  labels: integers from 0 to classes - 1, (n,).
    Raises ShapeError for other shapes or no examples, DtypeError for other dtypes, ArgumentError for a label out of
    range.
    """
    x, y = as_tensor(logits), as_tensor(labels)
    if x.ndim != 2 or y.shape != x.shape[:1] or not x.size:
        raise ShapeError(
            f"cross_entropy: logits must have shape (n, classes) and labels (n,), not {x.shape} and {y.shape}"
        )
    if x.dtype not in FLOATS:
        raise DtypeError(f"cross_entropy: logits must be float32 or float64, not {x.dtype}")
    if y.dtype.kind not in "iu":
        raise DtypeError(
            f"cross_entropy: labels must be integers, the number of a class for each example, not {y.dtype}"
        )
    return _cross_entropy(x, y)


def exponentials(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """x less its largest along the axis, and its exponentials. They may lie in memory by column."""
    x = real(x)
    if x.ndim == 2 and axis in (1, -1) and x.shape[1] <= FEW:  # NumPy reduces a short axis slowly unless it is first
        shifted, powers = exponentials(np.ascontiguousarray(x.T), 0)
        return shifted.T, powers.T
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return shifted, np.exp(shifted)


def _finite_top(x: np.ndarray, axis: Axes) -> np.ndarray:
    top = np.maximum.reduce(x, axis, keepdims=True)
    return np.where(np.isfinite(top), top, 0)


def _total(x: np.ndarray, axis: Axes) -> np.ndarray:
    return _wide_total(x, axis).astype(x.dtype, copy=False)


def _wide_total(x: np.ndarray, axis: Axes) -> np.ndarray:
    """The sum along the axes, which stay, of length 1; in float64."""
    return np.add.reduce(x, axis, np.float64, keepdims=True)
