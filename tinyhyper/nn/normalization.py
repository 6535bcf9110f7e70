"""Batch normalization as a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arguments import number, whole
from ..core.tensor import Tensor, as_tensor
from ..ops.normalization import batch_norm, gathered, normalize_batch
from .initial import Initial, constant
from .layer import Layer


class BatchNorm2d(Layer):
    """activation(the normalized x * weight + bias + residual), of images x.

    x: (n, height, width, channels), float32 or float64. The result has its shape, and the dtype to which x and the
    parameters are promoted.
    In training it normalizes by the batch's own statistics and gathers them: running_mean and running_var, its buffers,
    move by `momentum` of the way to the batch's mean and variance (divisor: the count less one), as in PyTorch. A
    channel of which either is not finite leaves them as they were. In `eval` it normalizes by what it has gathered.
    channels: an integer >= 1. weight starts at 1, bias at 0, both of shape (channels,).
    eps: > 0, what is added to the variance.  momentum: from 0 to 1.
    activation, residual: in its call, what follows in the same pass; as of th.batch_norm.
    Raises ArgumentError unless channels, eps and momentum are as said; its call as th.batch_norm, ShapeError,
    DtypeError or UnsupportedError.
    Source: Ioffe and Szegedy, Batch Normalization, 2015.
    """

    options = ("eps", "momentum")
    nonnegative = ("running_var",)

    def __init__(self, name: str, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        channels = whole("BatchNorm2d: channels", channels)
        super().__init__(
            name,
            {"weight": Initial((channels,), constant(1.0)), "bias": Initial((channels,), constant(0.0))},
            buffers={"running_mean": np.zeros(channels), "running_var": np.ones(channels)},
        )
        self.eps = number("BatchNorm2d: eps", eps, lambda eps: eps > 0, "number > 0")
        self.momentum = number("BatchNorm2d: momentum", momentum, lambda part: 0 <= part <= 1, "number from 0 to 1")

    def __call__(
        self,
        params: Mapping[str, Tensor],
        x: Any,
        activation: Callable[[Any], Any] | None = None,
        residual: Any = None,
    ) -> Tensor:
        x, weight, bias = as_tensor(x), self.parameter(params, "weight"), self.parameter(params, "bias")
        own = self.own
        if not self.training:
            running = Tensor(own["running_mean"]), Tensor(own["running_var"])
            return batch_norm(x, weight, bias, *running, self.eps, activation, residual)
        out, mean, variance = normalize_batch(x, weight, bias, self.eps, activation, residual)
        moved = gathered([*own.values()], mean, variance, x.size // x.shape[-1], self.momentum)
        own.update(zip(own, moved))
        return out
