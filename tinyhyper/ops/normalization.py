"""Batch normalization, over all axes but the last: each channel gets a mean of 0 and a variance of 1, and then a scale
and a shift of its own.

A network of small convolutions spends much of its time on passes over memory, so there are as few as can be: one that
sums for the statistics, and one that normalizes, scales, shifts, adds a residual and applies the activation. Backward
too: one that sums for the scale and the shift and writes the residual's gradient, and one that writes the input's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import number
from ..closures import version
from ..core.operation import ArraySpec, Operation
from ..core.rules import add, astype, equal, less, multiply, sqrt, subtract, where
from ..core.tape import Node
from ..core.tensor import FLOAT64, FLOATS, Tensor, apply, as_tensor, saved
from ..errors import ArgumentError, DtypeError, ShapeError
from ..fusion.fuse import trace
from ..fusion.fusion import VJP, Fusion, Mask
from ..fusion.symbols import Symbol
from .linear import a_function, activated

SAMPLED = 256  # places from which the means are guessed
X, MEAN, INVERSE, WEIGHT, BIAS, RESIDUAL = range(6)  # the operands of a normalization
SUMMED = (False, False, False, True, True)  # those whose gradients are sums, as its weight and its bias


class Channelwise(Fusion):
    """A fusion of arrays of few channels with numbers for each channel."""

    def _derive(self, given: Mask, wanted: Mask, uses_outputs: bool) -> VJP:
        derivative = super()._derive(given, wanted, uses_outputs)
        vjp = derivative.fusion
        return derivative._replace(fusion=Channelwise(vjp.name, vjp.inputs, vjp.outputs, vjp.eager))


class Normalization(Channelwise):
    """A normalization by the input's own statistics, which are operands of it and were computed from the input.

    Its gradient in the input is the whole one, with what would come to the input through its statistics; so these get
    none. With g the cotangent of the scaled and shifted values, and s the standardized ones, it is
    inverse * weight * (g - mean(g) - s * mean(g * s)). Recorded, it depends on the input through the statistics too.
    """

    def __init__(self, name: str, inputs: Sequence[Symbol], outputs: Sequence[Any], eager: bool) -> None:
        super().__init__(name, inputs, outputs, eager)
        self._wholes: dict[bool, VJP] = {}

    def pullback(self, node: Node, cotangents: Sequence[Tensor | None], wanted: Mask) -> list[Tensor | None]:
        if not wanted[X]:
            return super().pullback(node, cotangents, wanted)
        found = super().pullback(node, cotangents, (*SUMMED, *wanted[RESIDUAL:]))
        values = dict(zip(node.context.reads, saved(node)))
        if True in wanted[RESIDUAL:]:  # its gradient is that of the values before the activation: start from there
            cotangents = found[RESIDUAL:]
            whole, reads, _ = _normalization(True, None, False)._whole(False)  # type: ignore[attr-defined]
        else:
            whole, reads, _ = self._whole(node.context.uses_outputs)
        slope, share = _shares(values, *found[WEIGHT : BIAS + 1])
        operands = [cotangents[0], *[values[n] for n in reads], slope, share]
        [found[X]] = whole(operands, (node.context.plan.samples[X],))
        return found

    def _whole(self, through: bool) -> VJP:
        """The whole gradient of the input, in one pass. The last of its operands are the slope and the share."""
        if through not in self._wholes:
            vjp, reads, gives = self.derivative((True,), (True, *[False] * (len(self.inputs) - 1)), through)
            cotangent, *values = vjp.inputs
            symbols = {X: Symbol(), MEAN: Symbol(), **dict(zip(reads, values))}
            slope, share = Symbol(), Symbol()
            through_statistics = add(share, multiply(subtract(symbols[X], symbols[MEAN]), slope))
            gradient = subtract(vjp.outputs[0], through_statistics)
            fusion = Channelwise(vjp.name, [cotangent, *symbols.values(), slope, share], [gradient], self.eager)
            self._wholes[through] = VJP(fusion, tuple(symbols), gives)
        return self._wholes[through]


def _shares(values: dict[int, Tensor], to_weight: Tensor | None, to_bias: Tensor | None) -> list[Tensor]:
    """What the input's gradient loses by way of the deviation, for each unit of x - mean, and by way of the mean."""
    count = Tensor(np.array(float(values[X].size // values[MEAN].size)))
    operands = [values[INVERSE], values[WEIGHT], to_weight, to_bias, count]
    return SHARES(operands)  # type: ignore[arg-type]


def _fusion(function: Callable[..., Any], count: int, numbers: int = 0, kind: type[Fusion] = Fusion) -> Fusion:
    """A fusion of so many tensors, and then so many numbers."""
    traced, _ = trace(function, count + numbers, scalars=(False,) * count + (True,) * numbers, eager=True)
    return kind(traced.name.strip("_"), traced.inputs, traced.outputs, eager=True)


def _guess(x: np.ndarray, /) -> np.ndarray:
    """The mean of each channel over some places, on which statistics do not depend, so no gradient flows back."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[:: max(len(rows) // SAMPLED, 1)].mean(0, dtype=FLOAT64).astype(x.dtype)


def _moments(x: Any, shift: Any) -> Any:
    deviation = x - shift
    return deviation, deviation * deviation


def _statistics(total: Any, squares: Any, shift: Any, count: Any, eps: Any) -> Any:
    offset = total / count
    variance = squares / count - offset * offset
    variance = where(less(variance, 0.0), 0.0, variance)  # only by rounding
    return shift + offset, variance, 1.0 / sqrt(variance + eps)


def _share(inverse: Any, weight: Any, to_weight: Any, to_bias: Any, count: Any) -> Any:
    scale = inverse * weight / count
    return scale * inverse * to_weight, scale * to_bias


def _gathered(own_mean: Any, own_variance: Any, mean: Any, variance: Any, count: Any, momentum: Any) -> Any:
    moved = [
        (1.0 - momentum) * own + momentum * value
        for own, value in ((own_mean, mean), (own_variance, variance * (count / (count - 1.0))))
    ]
    finite = equal(variance - variance, 0.0)  # as it never is where the mean is not
    return where(finite, moved[0], own_mean), where(finite, moved[1], own_variance)


GUESS = Operation("guess", _guess, {})
MOMENTS, STATISTICS, SHARES = _fusion(_moments, 2, kind=Channelwise), _fusion(_statistics, 3, 2), _fusion(_share, 4, 1)
GATHERED = _fusion(_gathered, 4, 2)


def batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any = None,
    variance: Any = None,
    eps: float = 1e-5,
    activation: Callable[[Any], Any] | None = None,
    residual: Any = None,
) -> Tensor:
    """activation((x - mean) / sqrt(variance + eps) * weight + bias + residual), channel by channel.

    x, residual: (..., channels), float32 or float64.  weight, bias: (channels,). The result has the shape of x, and the
    dtype to which all these are promoted.
    mean, variance: (channels,), given; the batch's own if None, and then the gradient flows through them too.
    eps: a number >= 0.  activation: a function of elementwise operations, such as th.relu; give the same function each
    time.
    Raises ShapeError if shapes do not fit or a channel has a single value to normalize, DtypeError for integers,
    ArgumentError for a negative eps, for one of mean and variance alone and for an activation that is no function of
    one result, UnsupportedError for one of other operations.
    Source: Ioffe and Szegedy, Batch Normalization, 2015.
    """
    eps = number("batch_norm: eps", eps, lambda eps: eps >= 0, "number >= 0")
    if (mean is None) != (variance is None):
        raise ArgumentError("batch_norm: give both mean and variance, or neither to use the batch's own")
    if mean is None:
        return normalize_batch(x, weight, bias, eps, activation, residual)[0]
    x, given = as_tensor(x), [as_tensor(value) for value in (mean, variance, weight, bias)]
    _check(x, residual, mean=given[0], variance=given[1], weight=given[2], bias=given[3])
    mean, variance = (value if value.dtype == x.dtype else astype(value, x.dtype) for value in given[:2])
    operands = [x, mean, 1.0 / sqrt(variance + eps), *given[2:]]
    return _apply(False, operands, activation, residual)


def normalize_batch(
    x: Any, weight: Any, bias: Any, eps: float, activation: Callable[[Any], Any] | None, residual: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """As batch_norm by the batch's own statistics; and these, in float64, the variance with the divisor n."""
    x, weight, bias = as_tensor(x), as_tensor(weight), as_tensor(bias)
    _check(x, residual, weight=weight, bias=bias)
    if x.size <= x.shape[-1]:
        raise ShapeError(
            f"batch_norm: x of shape {x.shape} has fewer than two values in a channel, and so no variance. Use a "
            "larger batch, or give mean and variance"
        )
    total, squares, shift = _sums(x)
    own = ArraySpec(shift.shape, x.dtype)
    wide = ArraySpec(shift.shape, FLOAT64)
    numbers = [Tensor(np.array(float(value))) for value in (x.size // x.shape[-1], eps)]
    mean, variance, inverse = STATISTICS([total, squares, shift, *numbers], (own, wide, own))
    out = _apply(True, [x, mean, inverse, weight, bias], activation, residual)
    return out, Tensor(mean.array), Tensor(variance.array)


def gathered(running: Sequence[np.ndarray], mean: Tensor, variance: Tensor, count: int, momentum: float) -> list[Any]:
    """Running statistics, mean and variance, moved by `momentum` of the way to those of a batch.

    variance: with the divisor n, and moved to with n - 1.  count: n. A channel of which one is not finite stays.
    """
    numbers = [Tensor(np.array(float(value))) for value in (count, momentum)]
    return [moved.array for moved in GATHERED([*map(Tensor, running), mean, variance, *numbers])]


def _sums(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of x - shift and of its square over each channel, in one pass, and the shift, a guess of the mean.

    A variance from such sums is exact where the guess is near. As the guess is the mean of k of the n values, its
    distance from the mean, squared, is at most n / k times the variance.
    """
    [shift] = apply(GUESS, [x], {})
    total, squares = MOMENTS([x, shift], (ArraySpec(shift.shape, FLOAT64),) * 2)
    return total, squares, shift


def _apply(own: bool, operands: Sequence[Tensor], activation: Callable[[Any], Any] | None, residual: Any) -> Tensor:
    if residual is not None:
        operands = [*operands, as_tensor(residual)]
    return _normalization(own, activation, residual is not None)(operands)[0]


def _normalization(own: bool, activation: Callable[[Any], Any] | None, residual: bool) -> Fusion:
    """A normalization, by statistics of the input's own or by given ones, and what follows it, as one fusion."""
    return _traced(own, a_function("batch_norm", activation), version(activation), residual)


@functools.lru_cache(maxsize=256)
def _traced(own: bool, activation: Callable[[Any], Any] | None, version: int, residual: bool) -> Fusion:
    """The fusion, with the activation as it is in this version."""

    def normalize(x: Any, mean: Any, inverse: Any, weight: Any, bias: Any, *residual: Any) -> Any:
        out = (x - mean) * (inverse * weight) + bias
        return out + residual[0] if residual else out

    words = ["batch_norm"] + ["residual"] * residual
    fusion = activated("batch_norm", normalize, words, activation, (False,) * (5 + residual))
    return (Normalization if own else Channelwise)(fusion.name, fusion.inputs, fusion.outputs, eager=True)


def _check(x: Tensor, residual: Any, **channels: Tensor) -> None:
    if x.dtype not in FLOATS:
        raise DtypeError(f"batch_norm: x must be float32 or float64, not {x.dtype}")
    for name, tensor in channels.items():
        if x.ndim == 0 or tensor.shape != x.shape[-1:]:
            raise ShapeError(
                f"batch_norm: for x of shape {x.shape}, {name} must have shape {x.shape[-1:]}, not {tensor.shape}"
            )
    if residual is not None and np.shape(residual) != x.shape:
        raise ShapeError(f"batch_norm: the residual must have the shape of x, {x.shape}, not {np.shape(residual)}")
