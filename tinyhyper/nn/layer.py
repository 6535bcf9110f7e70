"""A layer: a name, a table of the parameters it reads under that name, and a call.

All parameters of a model live in one plain dict, the one in which an optimizer's `step` replaces them:

    model = th.nn.Linear("layer1", 784, 10)
    params = model.parameters(seed=0)          # {"layer1.weight": Tensor, "layer1.bias": Tensor}
    loss = th.cross_entropy(model(params, images), labels)

A layer holds no parameters. What it keeps beside them, such as running statistics, are its `buffers`: NumPy arrays
that no gradient moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor, tensor
from .initial import Initial


class Layer:
    """A part of a model. A subclass hands its tables to `__init__`, and has `__call__(params, x)`.

    name: what the names of its parameters begin with; the layer "conv1" reads params["conv1.weight"].
    initial: shape and first values of its own parameters, by short name.
    parts: the layers that it calls.
    buffers: its own arrays that are not parameters, by short name.
    """

    def __init__(
        self,
        name: str,
        initial: Mapping[str, Initial] | None = None,
        parts: Sequence[Layer] = (),
        buffers: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.name, self.parts = name, tuple(parts)
        self.initial, self.own = dict(initial or {}), dict(buffers or {})
        self.training = True

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Any:
        raise NotImplementedError

    def parameters(self, seed: int | np.random.Generator = 0, dtype: Any = np.float32) -> dict[str, Tensor]:
        """The parameters of the layer and of all its parts, freshly drawn, by full name: leaves that need a gradient.

        Raises ArgumentError if two parts have one name.
        """
        rng = np.random.default_rng(seed)
        found: dict[str, Tensor] = {}
        for layer in self.walk():
            for short, (shape, draw) in layer.initial.items():
                if (name := f"{layer.name}.{short}") in found:
                    raise ArgumentError(f"parameters: two layers are named {layer.name!r}; give each a name of its own")
                found[name] = tensor(draw(rng, shape).astype(dtype), requires_grad=True)
        return found

    def walk(self) -> Iterator[Layer]:
        """The layer and all its parts, in the order in which they were given."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def train(self, training: bool = True) -> Layer:
        """Use the batch's own statistics and drop out, as training does (or as `eval` does not); returns the layer."""
        for layer in self.walk():
            layer.training = training
        return self

    def eval(self) -> Layer:
        """Use what training has gathered, and drop nothing; returns the layer."""
        return self.train(False)

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        """Copies of what the layer and its parts keep beside parameters, by full name."""
        return {f"{layer.name}.{short}": array.copy() for layer in self.walk() for short, array in layer.own.items()}

    def load_buffers(self, saved: Mapping[str, np.ndarray]) -> None:
        """Go on from saved `buffers`. Raises ArgumentError or ShapeError before anything has changed."""
        mine = self.buffers
        if set(saved) != set(mine):
            wrong = ", ".join(sorted(set(saved) ^ set(mine)))
            raise ArgumentError(f"load_buffers: saved and expected names differ in {wrong}")
        for name, array in mine.items():
            if np.shape(saved[name]) != array.shape:
                raise ShapeError(f"load_buffers: {name} has shape {array.shape}, saved was {np.shape(saved[name])}")
        for layer in self.walk():
            for short, array in layer.own.items():
                layer.own[short] = np.array(saved[f"{layer.name}.{short}"], array.dtype)

    def parameter(self, params: Mapping[str, Tensor], short: str) -> Tensor:
        """Its own parameter of a short name. Raises ArgumentError if there is none, ShapeError for another shape."""
        name, shape = f"{self.name}.{short}", self.initial[short].shape
        if (found := params.get(name)) is None:
            raise ArgumentError(f"{type(self).__name__}: no parameter is named {name!r}; make them by parameters()")
        if found.shape != shape:
            raise ShapeError(f"{type(self).__name__}: {name} has shape {found.shape}, not {shape}")
        return found

    def __repr__(self) -> str:
        shapes = ", ".join(f"{short} {row.shape}" for short, row in self.initial.items())
        inside = [part for part in (shapes, *map(repr, self.parts)) if part]
        return f"{type(self).__name__}({self.name!r}{''.join(', ' + part for part in inside)})"
