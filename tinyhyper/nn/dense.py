"""Layers over the last axis: Linear, Embedding, Dropout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.index import take
from ..ops.linear import linear
from ..tensor import Tensor, as_tensor
from .initial import Initial, normal, uniform
from .layer import Layer


class Linear(Layer):
    """activation(x @ weight + bias), in one pass (see `th.linear`).

    x: float, (..., inputs); gives (..., outputs).  weight: (inputs, outputs).  bias: (outputs,), if it has one.
    activation: a function of elementwise operations, such as th.tanh; the same one at each call.
    Raises ShapeError if x has another last axis.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        activation: Callable[[Any], Any] | None = None,
        bias: bool = True,
    ) -> None:
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

    ids: integers from 0 to count - 1, (...); gives (..., width).  weight: (count, width).
    Raises DtypeError for ids that are not integers, ArgumentError for one that has no row.
    """

    def __init__(self, name: str, count: int, width: int) -> None:
        super().__init__(name, {"weight": Initial((count, width), normal(1.0))})
        self.count = count

    def __call__(self, params: Mapping[str, Tensor], ids: Any) -> Tensor:
        return take(self.parameter(params, "weight"), self.checked(ids), 0)

    def checked(self, ids: Any) -> np.ndarray:
        """The ids, if each of them has a row."""
        numbers = ids.array if isinstance(ids, Tensor) else np.asarray(ids)
        if numbers.dtype.kind not in "iu":
            raise DtypeError(f"Embedding: the ids of {self.name!r} are integers, not {numbers.dtype}")
        wrong = (numbers < 0) | (numbers >= self.count)
        if wrong.any():
            raise ArgumentError(
                f"Embedding: {self.name!r} has no row for id {numbers[wrong][0]}; ids go from 0 to {self.count - 1}"
            )
        return numbers


class Dropout(Layer):
    """In training, each element is 0 with probability p, else divided by 1 - p; in `eval`, x itself.

    The masks of the n-th call are drawn from the seed and n alone, and n is a buffer: a run that goes on from saved
    buffers draws the masks that it would have drawn. Raises ArgumentError unless 0 <= p < 1.
    """

    def __init__(self, name: str, p: float = 0.5, seed: int = 0) -> None:
        if not 0 <= p < 1:
            raise ArgumentError(f"Dropout: the probability of a zero is at least 0 and less than 1, not {p!r}")
        super().__init__(name, buffers={"calls": np.zeros((), np.int64)})
        self.p, self.seed = p, seed

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        x = as_tensor(x)
        if not self.training or self.p == 0:
            return x
        rng = np.random.default_rng((self.seed, int(self.own["calls"])))
        self.own["calls"] += 1
        kept = rng.random(x.shape, np.float32) >= self.p
        return x * Tensor(kept * x.dtype.type(1 / (1 - self.p)))
