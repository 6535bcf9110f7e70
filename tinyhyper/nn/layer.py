"""A layer: a name, a table of the parameters it reads under that name, and a call.

All parameters of a model live in one plain dict, the one in which an optimizer's `step` replaces them:

    model = th.nn.Linear("layer1", 784, 10)
    params = model.parameters(seed=0)          # {"layer1.weight": Tensor, "layer1.bias": Tensor}
    loss = th.cross_entropy(model(params, images), labels)

A layer holds no parameters. What it keeps beside them, such as running statistics, are its `buffers`: NumPy arrays
that no gradient moves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import buffers
from ..arguments import generator, named
from ..closures import READ
from ..core.tensor import Tensor, tensor
from ..errors import ArgumentError, DtypeError, ShapeError
from .initial import Initial


class Layer:
    """A part of a model. A subclass hands its tables to `__init__`, and has `__call__(params, x)`.

    name: what the names of its parameters begin with; the layer "conv1" reads params["conv1.weight"].
    initial: shape and first values of its own parameters, by short name: a dict of `Initial`.
    parts: the layers that it calls, a list.
    buffers: its own arrays that are not parameters, of any shape and dtype, by short name.
    options: what its repr shows beside them, by attribute.
    nonnegative: the buffers that are never below 0, such as counts, by short name.
    Raises ArgumentError for a name that is not a str, a row that is not an Initial, parts that are not a list of
    layers.
    """

    options: ClassVar[tuple[str, ...]] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Let each call in training note the buffers first: a step that skips the batch puts them back."""
        if "__call__" in vars(cls):
            cls.__call__ = _noting(cls.__call__)  # type: ignore[method-assign]

    def __init__(
        self,
        name: str,
        initial: Mapping[str, Initial] | None = None,
        parts: Sequence[Layer] = (),
        buffers: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        kind = type(self).__name__
        if not isinstance(name, str):
            raise ArgumentError(f"{kind}: the first argument must be a name, as in {kind}('layer1', ...), not {name!r}")
        for short, row in (initial or {}).items():
            if not isinstance(row, Initial):
                raise ArgumentError(f"{kind}: {name}.{short} must start as an Initial(shape, draw), not {row!r}")
        if not isinstance(parts, Sequence) or not all(isinstance(part, Layer) for part in parts):
            raise ArgumentError(f"{kind}: parts must be a list of layers, such as [layer1, layer2], not {parts!r}")
        self.name, self.parts = name, tuple(parts)
        self.initial, self.own = dict(initial or {}), dict(buffers or {})
        self.training = True

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Any:
        raise NotImplementedError

    def parameters(self, seed: int | np.random.Generator = 0, dtype: Any = np.float32) -> dict[str, Tensor]:
        """The parameters of the layer and of all its parts, freshly drawn, by full name: leaves that need a gradient.

        seed: an integer >= 0 or a generator of NumPy.  dtype: float32 or float64.
        Raises ArgumentError if two parts have one name and hold parameters, or buffers, and for a negative seed;
        DtypeError for a seed or a dtype that is none.
        """
        rng = generator(f"{type(self).__name__}: seed", seed)
        self._rows("own")
        found: dict[str, Tensor] = {}
        for name, (layer, short) in self._rows("initial").items():
            shape, draw = layer.initial[short]
            found[name] = tensor(draw(rng, shape), requires_grad=True, dtype=dtype)
        return found

    def _rows(self, table: str) -> dict[str, tuple[Layer, str]]:
        """Whose each row of the tables "initial" or "own" is, and its short name there, by full name."""
        found: dict[str, tuple[Layer, str]] = {}
        for layer in self.walk():
            for short in getattr(layer, table):
                if (name := f"{layer.name}.{short}") in found:
                    raise ArgumentError(
                        f"{type(self).__name__}: two layers are named {layer.name!r}; give each a name of its own, and "
                        "list it once among the parts"
                    )
                found[name] = layer, short
        return found

    def walk(self) -> Iterator[Layer]:
        """The layer and all its parts, in the order in which they were given."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def train(self, training: bool = True) -> Layer:
        """Use the batch's own statistics and drop out; returns the layer. training: False for what `eval` does."""
        for layer in self.walk():
            layer.training = training
        return self

    def eval(self) -> Layer:
        """Use what training has gathered, and drop nothing; returns the layer."""
        return self.train(False)

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        """Copies of what the layer and its parts keep beside parameters, by full name.

        Raises ArgumentError if two parts have one name and hold buffers.
        """
        return {name: layer.own[short].copy() for name, (layer, short) in self._rows("own").items()}

    @property
    def live_buffers(self) -> MutableMapping[str, np.ndarray]:
        """The buffers themselves, by full name: the layers go on from what is put there. See `carry` of th.replay.

        Raises ArgumentError as `buffers` does.
        """
        return _Live(self._rows("own"))

    def load_buffers(self, saved: Mapping[str, np.ndarray]) -> None:
        """Go on from saved `buffers`.

        saved: a dict as `buffers` gives it. Raises DtypeError, ArgumentError or ShapeError as `checked_buffers` does,
        before anything has changed.
        """
        fresh = self.checked_buffers(saved)
        for name, (layer, short) in self._rows("own").items():
            layer.own[short] = fresh[name]

    def checked_buffers(self, saved: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of `saved` as the layers keep them: new ones; nothing changes.

        saved: a dict as `buffers` gives it: arrays by full name, of the shapes there and of dtypes that fit.
        Raises DtypeError for anything but a dict of numbers, ArgumentError for other names and for values that a
        buffer never has (a fraction among integers, a count or a variance below 0, NaN), ShapeError for another shape.
        """
        if not isinstance(saved, Mapping):
            raise DtypeError(f"load_buffers: saved must be a dict of arrays, not a {type(saved).__name__}")
        rows = self._rows("own")
        if set(saved) != set(rows):
            wrong = ", ".join(sorted(map(str, set(saved) ^ set(rows))))
            raise ArgumentError(f"load_buffers: the names in saved must be those of buffers; they differ in {wrong}")
        return {
            name: buffers.checked(name, layer.own[short], saved[name], short in layer.nonnegative)
            for name, (layer, short) in rows.items()
        }

    def parameter(self, params: Mapping[str, Tensor], short: str) -> Tensor:
        """Its own parameter of a short name, a tensor of the shape in `initial`.

        params: tensors or arrays by full name.  short: the name, a string, such as "weight".
        Raises ArgumentError if there is none, ShapeError for another shape, DtypeError for params that are not a dict
        of tensors or arrays.
        """
        kind, name = type(self).__name__, f"{self.name}.{short}"
        named(f"{kind}, called as layer(params, x)", params)
        if short not in self.initial:
            raise ArgumentError(f"{kind}: {self.name!r} has no parameter {short!r}; it has {', '.join(self.initial)}")
        if (found := params.get(name)) is None:
            raise ArgumentError(
                f"{kind}: params has no {name!r}. Make params by parameters() of the model, and list the layer among "
                "its parts"
            )
        if not isinstance(found, (Tensor, np.ndarray)):
            raise DtypeError(f"{kind}: params[{name!r}] must be a tensor or an array, not a {type(found).__name__}")
        if found.shape != (shape := self.initial[short].shape):
            raise ShapeError(f"{kind}: {name} must have shape {shape}, not {found.shape}")
        return found

    def __repr__(self) -> str:
        shapes = ", ".join(f"{short} {row.shape}" for short, row in self.initial.items())
        options = [f"{option}={getattr(self, option)!r}" for option in self.options]
        inside = [part for part in (shapes, *options, *map(repr, self.parts)) if part]
        return f"{type(self).__name__}({', '.join([repr(self.name), *inside])})"


READ[Layer] = lambda layer: ("training", "parts", *layer.options)


class _Live(MutableMapping[str, np.ndarray]):
    """The buffers of layers. rows: whose each is, and its short name there, by full name.

    holders: the dicts that hold them.
    """

    def __init__(self, rows: dict[str, tuple[Layer, str]]) -> None:
        self._rows = rows
        self.holders = [layer.own for layer, _ in rows.values()]

    def __getitem__(self, name: str) -> np.ndarray:
        layer, short = self._rows[name]
        return layer.own[short]

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        layer, short = self._rows[name]
        layer.own[short] = value

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(
            f"live_buffers: {name!r} cannot be removed, since its layer needs it; assign another array to it"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _noting(call: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's call that notes its buffers before it may write to them."""

    @functools.wraps(call)
    def noting(self: Layer, *args: Any, **kwargs: Any) -> Any:
        if self.own and self.training and buffers.skipping:
            buffers.note(self.name, (*args, *kwargs.values()), self.own)
        return call(self, *args, **kwargs)

    return noting
