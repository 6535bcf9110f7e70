"""Layers over the last axis: Linear, Embedding, Dropout."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arguments import number, whole
from ..core.tensor import FLOATS, Tensor, as_tensor
from ..errors import DtypeError, ShapeError
from ..ops.index import take
from ..ops.linear import linear
from ..ops.recurrent import checked_ids
from .initial import Initial, normal, uniform
from .layer import Layer


class Linear(Layer):
    """activation(x @ weight + bias) (see `th.linear`).

    inputs, outputs: integers >= 1.  x: (..., inputs), whose dtype is promoted with the parameters'; gives
    (..., outputs).  weight: (inputs, outputs).  bias: whether there is one, (outputs,). They start between -b and b
    with b = 1/sqrt(inputs), as in PyTorch.
    activation: a function of elementwise operations, such as th.tanh; the same one at each call.
    Raises ArgumentError for a size that is not an integer >= 1; its call ShapeError if x has another last axis, and as
    th.linear: UnsupportedError for an activation of other operations.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        activation: Callable[[Any], Any] | None = None,
        bias: bool = True,
    ) -> None:
        inputs, outputs = whole("Linear: inputs", inputs), whole("Linear: outputs", outputs)
        draw = uniform(inputs**-0.5)
        table = {"weight": Initial((inputs, outputs), draw)}
        super().__init__(name, table | ({"bias": Initial((outputs,), draw)} if bias else {}))
        self.inputs, self.activation = inputs, activation

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        x = as_tensor(x)
        if x.shape[-1:] != (self.inputs,):
            raise ShapeError(f"Linear: {self.name!r} takes x of shape (..., {self.inputs}), not {x.shape}")
        bias = self.parameter(params, "bias") if "bias" in self.initial else None
        return linear(x, self.parameter(params, "weight"), bias, self.activation)


class Embedding(Layer):
    """A row of the weight for each id.

    count, width: integers >= 1.  ids: integers from 0 to count - 1, of any shape (...); gives (..., width), in the
    dtype of the weight, (count, width), which starts normally distributed with deviation 1, as in PyTorch.
    Raises ArgumentError for a size that is not an integer >= 1; its call DtypeError for ids that are not integers,
    ArgumentError for one that has no row.
    """

    def __init__(self, name: str, count: int, width: int) -> None:
        count, width = whole("Embedding: count", count), whole("Embedding: width", width)
        super().__init__(name, {"weight": Initial((count, width), normal(1.0))})
        self.count = count

    def __call__(self, params: Mapping[str, Tensor], ids: Any) -> Tensor:
        return take(self.parameter(params, "weight"), checked_ids(f"Embedding {self.name!r}", ids, self.count), 0)


COARSE = 2**-8  # from here on the step of float32's random numbers, 2**-24, is small beside a probability


class Dropout(Layer):
    """In training, each element is 0 with probability p, else divided by 1 - p; in `eval`, x itself.

    The mask of the n-th call is drawn from the seed, the layer's name and n alone, and n is a buffer: a run that goes
    on from saved buffers draws the masks that it would have drawn, and layers of two names drop different elements.
    name: a string.  p: >= 0 and < 1.  seed: an integer >= 0.
    x: of any shape, float32 or float64; the result has both.
    Raises ArgumentError unless 0 <= p < 1 and the seed is an integer >= 0; its call DtypeError for integers.
    Source: Srivastava et al., 2014.
    """

    options = ("p", "seed")
    nonnegative = ("calls",)

    def __init__(self, name: str, p: float = 0.5, seed: int = 0) -> None:
        super().__init__(name, buffers={"calls": np.zeros((), np.int64)})
        self.p = number("Dropout: p", p, lambda p: 0 <= p < 1, "number >= 0 and < 1, the probability of a zero")
        self.seed = whole("Dropout: seed", seed, 0)

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        x = as_tensor(x)
        if x.dtype not in FLOATS:
            raise DtypeError(f"Dropout: {self.name!r} takes x of float32 or float64, not {x.dtype}")
        if not self.training or self.p == 0:
            return x
        words = f"{self.seed} {int(self.own['calls'])} {self.name}".encode("utf-8", "surrogatepass")
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(words, digest_size=16).digest(), "little"))
        self.own["calls"] += 1
        draws = np.float32 if COARSE <= self.p <= 1 - COARSE else np.float64
        kept = rng.random(x.shape, draws) >= self.p
        return x * Tensor(kept * x.dtype.type(1 / (1 - self.p)))
