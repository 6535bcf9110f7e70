"""Operations that are not elementwise: a function over arrays, and a VJP for each of its tensors.

A VJP is a function whose parameters are named after what it needs: `g`, the cotangent; an input or `out`, which
are then saved; an option; or `spec`, the shape and dtype of the input whose cotangent it gives. So the table shows
what each gradient keeps alive, and nothing else is saved. VJPs are written with operations, so they can be recorded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, ShapeError, TinyhyperError, UnsupportedError
from ..symbols import Symbol
from ..tape import Node, mode
from ..tensor import FLOATS, Tensor, as_tensor

OPERATIONS: dict[str, Operation] = {}


class Spec(NamedTuple):
    """Shape and dtype of an array that need not be kept."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Context(NamedTuple):
    """What a node remembers beside its arrays."""

    names: tuple[str, ...]
    specs: tuple[Spec, ...]
    options: dict[str, Any]


class Operation:
    """A named operation: `forward` over arrays, and `vjps` by input name (`xs` for the items of a sequence)."""

    def __init__(self, name: str, forward: Callable[..., np.ndarray], vjps: dict[str, Callable[..., Any]]) -> None:
        self.name, self.forward, self.vjps = name, forward, vjps
        self.needs = {key: tuple(inspect.signature(vjp).parameters)[1:] for key, vjp in vjps.items()}

    def __call__(self, inputs: dict[str, Any], options: dict[str, Any]) -> Tensor:
        """Apply to tensors by name; anything among the inputs that is not a Tensor becomes a constant."""
        tensors = {name: as_tensor(value) for name, value in inputs.items()}
        arrays = {name: tensor.array for name, tensor in tensors.items()}
        try:
            out = np.asarray(self._compute(arrays, options))
        except TinyhyperError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            kind = ShapeError if isinstance(error, (ValueError, IndexError)) else ArgumentError
            raise kind(f"{self.name}({shapes}{_show(options)}): {error}") from error
        result = Tensor(out)
        if mode.recording and out.dtype in FLOATS and any(t.edge is not None for t in tensors.values()):
            result.edge = (self._node(tensors, out, options), 0)
        if mode.tape is not None:
            mode.tape.operation(self, list(tensors.values()), [result])
        return result

    def _compute(self, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> Any:
        if "xs" in self.vjps:
            return self.forward(list(arrays.values()), **options)
        return self.forward(*arrays.values(), **options)

    def _node(self, tensors: dict[str, Tensor], out: np.ndarray, options: dict[str, Any]) -> Node:
        needs = {
            need for name, t in tensors.items() if t.edge is not None for need in self.needs.get(self._key(name), ())
        }
        saved = {name: t.array for name, t in tensors.items() if name in needs}
        if "out" in needs:
            saved["out"] = out
        specs = tuple([Spec(t.shape, t.dtype) for t in tensors.values()])
        edges = tuple([t.edge if self._key(name) in self.vjps else None for name, t in tensors.items()])
        return Node(self, edges, saved, Context(tuple(tensors), specs, options))

    def _key(self, name: str) -> str:
        return "xs" if "xs" in self.vjps else name

    def pullback(self, node: Node, cotangents: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        names, specs, options = node.context
        edges = dict(zip(names, node.inputs), out=(node, 0))
        known = {name: Tensor(array, edges[name] if mode.recording else None) for name, array in node.saved.items()}
        known.update(options)
        found: list[Tensor | None] = []
        for n, (name, spec, use) in enumerate(zip(names, specs, wanted)):
            key = self._key(name)
            if not use:
                found.append(None)
                continue
            known.update(spec=spec, specs=specs, position=n)
            cotangent = self.vjps[key](cotangents[0], *[known[need] for need in self.needs[key]])
            found.append(cotangent if cotangent is None else fit(cotangent, spec))
        return found

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


def operation(**vjps: Callable[..., Any]) -> Callable[[Callable[..., np.ndarray]], Callable[..., Any]]:
    """Make a function over arrays an operation on tensors, with a VJP for each differentiable input.

    The function's positional-only parameters are inputs, the others options; a first parameter `xs` is a sequence.
    """

    def decorate(forward: Callable[..., np.ndarray]) -> Callable[..., Any]:
        name = forward.__name__.strip("_")
        op = OPERATIONS[name] = Operation(name, forward, vjps)
        signature = inspect.signature(forward)
        inputs = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]
        defaults = {p.name: p.default for p in signature.parameters.values() if p.name not in inputs}

        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            values = {key: bound[key] for key in inputs}
            if inputs == ["xs"]:
                values = {f"x{n}": value for n, value in enumerate(values["xs"])}
            for value in values.values():
                if isinstance(value, Symbol):
                    raise UnsupportedError(f"{name} is not elementwise, so it cannot be used in a fused function")
            options = {key: bound.get(key, default) for key, default in defaults.items()}
            return op(values, options)

        return call

    return decorate


def fit(cotangent: Tensor, spec: Spec) -> Tensor:
    """A cotangent summed down to its source's shape and in its dtype: the one place where broadcasting is undone."""
    if cotangent.shape != spec.shape:
        cotangent = OPERATIONS["sum_to"]({"x": cotangent}, {"shape": spec.shape})
    if cotangent.dtype != spec.dtype:
        cotangent = OPERATIONS["astype"]({"x": cotangent}, {"dtype": spec.dtype})
    return cotangent


def _show(options: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
