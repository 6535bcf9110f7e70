"""Operations that are not elementwise: a function over arrays, and a VJP for each of its tensors.

A VJP is a function whose parameters are named after what it needs: `g`, the cotangent; an input or `out`, which
are then saved; an option; or `spec`, the shape and dtype of the input whose cotangent it gives. So the table shows
what each gradient keeps alive, and nothing else is saved. VJPs are written with operations, so they can be recorded.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, CallError, DtypeError, ShapeError, TinyhyperError, UnsupportedError
from ..kernels.quiet import quietly
from ..symbols import Symbol
from ..tape import Edge, Node, Pieces, current
from ..tensor import Tensor, as_tensor

OPERATIONS: dict[str, Operation] = {}


class Spec(NamedTuple):
    """Shape, dtype and strides of an array that need not be kept."""

    shape: tuple[int, ...]
    dtype: np.dtype
    strides: tuple[int, ...]


class Operation:
    """A named operation: `forward` over arrays, and `vjps` by input name (`xs` for the items of a sequence).

    A node's context is a tuple: the names of what it saved, shape and dtype of each input, and the options.
    """

    depends = None

    def __init__(self, name: str, forward: Callable[..., Any], vjps: dict[str, Callable[..., Any]]) -> None:
        self.name, self.forward, self.vjps = name, forward, vjps
        annotated = inspect.signature(forward).parameters.values()
        parameters = [p.replace(annotation=p.empty) for p in annotated]  # those are of the arrays
        self.signature = inspect.Signature(parameters)
        self.inputs = tuple([p.name for p in parameters if p.kind is p.POSITIONAL_ONLY])
        self.defaults = {p.name: p.default for p in parameters if p.name not in self.inputs}
        self.names = tuple(self.defaults)
        self.least = len(self.inputs) + [*self.defaults.values()].count(inspect.Parameter.empty)
        self.sequence = self.inputs == ("xs",)
        self.constants = set(() if self.sequence else self.inputs).difference(vjps)
        self.needs = {key: tuple(inspect.signature(vjp).parameters)[1:] for key, vjp in vjps.items()}
        self._check()
        self._reads: dict[tuple[bool, ...], tuple[tuple[int, ...], tuple[str, ...]]] = {}

    def _check(self) -> None:
        """Raise ArgumentError for VJPs of what is no input, or that need what nobody can give them."""
        if not self.inputs:
            raise ArgumentError(f"operation: {self.name} has no inputs; its tensors stand before a `/`: f(x, y, /)")
        for key, needs in self.needs.items():
            if key not in self.inputs:
                raise ArgumentError(f"operation: {self.name} has no input {key!r}, but {', '.join(self.inputs)}")
            known = (*self.inputs, "out", *self.names, "spec", "specs", "position")
            if unknown := [need for need in needs if need not in known]:
                raise ArgumentError(
                    f"operation: the VJP of {key} in {self.name} asks for {unknown[0]!r}; beside the cotangent, its "
                    f"first parameter, there are {', '.join(known)}"
                )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The inputs, and every option, of a call. Raises TypeError as Python does for a wrong one."""
        count, names = len(self.inputs), self.names
        if len(args) == count and not kwargs and self.least == count:
            return args[0] if self.sequence else args, self.defaults
        options = {**self.defaults, **dict(zip(names, args[count:]))}
        if kwargs or not self.least <= len(args) <= count + len(names):
            try:
                bound = self.signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise CallError(f"{self.name}: {error}; it is {self.name}{self.signature}") from None
            options = {name: bound.get(name, default) for name, default in self.defaults.items()}
        return args[0] if self.sequence else args[:count], options

    def __call__(self, values: Sequence[Any], options: dict[str, Any]) -> Tensor:
        """Apply to tensors; anything among the values that is not a Tensor becomes a constant."""
        recording, tape = current()
        began = 0 if tape is None else perf_counter_ns()
        if self.sequence and not isinstance(values, Iterable):
            raise ArgumentError(f"{self.name}: a sequence of tensors is needed, not a {type(values).__name__}")
        tensors = [value if type(value) is Tensor else self._constant(value) for value in values]
        arrays = [tensor.array for tensor in tensors]
        try:
            out = quietly(self.forward, *((arrays,) if self.sequence else arrays), **options)
        except TinyhyperError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            shapes = ", ".join([f"{name} {array.shape}" for name, array in zip(self._names(len(arrays)), arrays)])
            kind = ArgumentError if isinstance(error, TypeError) else ShapeError
            raise kind(f"{self.name}({shapes}{_show(options)}): {error}") from error
        result = Tensor(out if type(out) is np.ndarray else np.asarray(out))
        if recording and self.vjps and result.array.dtype.kind == "f":
            node = self.node([tensor.edge for tensor in tensors], arrays, result.array, options)
            if node is not None:
                result.edge = (node, 0)
        if tape is not None:
            tape.operation(self, tensors, [result], (options,), perf_counter_ns() - began)
        return result

    def reads(self, node: Node) -> tuple[int, ...]:
        """Which arrays a node saved: operands by number, then the output."""
        return self._reads[tuple([edge is not None for edge in node.inputs])][0]

    def _constant(self, value: Any) -> Tensor:
        if isinstance(value, Symbol):
            raise UnsupportedError(f"{self.name} is not elementwise, so it cannot be used in a fused function")
        return as_tensor(value)

    def node(
        self,
        edges: Sequence[Edge | None],
        arrays: Sequence[np.ndarray],
        out: np.ndarray | None,
        options: dict[str, Any],
    ) -> Node | None:
        """The operation's place on the tape; None if no gradient flows. `out` may be None where no VJP reads it."""
        if self.constants:
            edges = [None if name in self.constants else edge for name, edge in zip(self._keys(len(edges)), edges)]
        flags = tuple([edge is not None for edge in edges])
        if True not in flags:
            return None
        if (found := self._reads.get(flags)) is None:
            found = self._reads[flags] = self._needed(flags)
        kept, reads = found
        count = len(arrays)
        saved = [arrays[n] if n < count else out for n in kept]
        specs = [(array.shape, array.dtype, array.strides) for array in arrays]
        return Node(self, tuple(edges), saved, (reads, specs, options))

    def _needed(self, flags: tuple[bool, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """What a node saves for these inputs' sake: operands by number, then the output; and how VJPs call it."""
        names = (*self._names(len(flags)), "out")
        needs = {need for key, flag in zip(self._keys(len(flags)), flags) if flag for need in self.needs[key]}
        places = [n for n, name in enumerate(names) if name in needs or ("xs" in needs and name != "out")]
        return tuple(places), tuple([names[n] for n in places])

    def _names(self, count: int) -> tuple[str, ...]:
        return tuple([f"x{n}" for n in range(count)]) if self.sequence else self.inputs

    def _keys(self, count: int) -> tuple[str, ...]:
        return ("xs",) * count if self.sequence else self.inputs

    def pullback(self, node: Node, cotangents: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        reads, entries, options = node.context
        specs = tuple(map(Spec._make, entries))
        known = {**options, "specs": specs}
        edges = dict(zip(self._names(len(specs)), node.inputs), out=(node, 0)) if current().recording else {}
        for name, array in zip(reads, node.saved):
            known[name] = Tensor(array, edges.get(name))
        if self.sequence:
            known["xs"] = [known.get(name) for name in self._names(len(specs))]
        found: list[Tensor | None] = [None] * len(specs)
        for n, (key, spec, use) in enumerate(zip(self._keys(len(specs)), specs, wanted)):
            if use:
                known["spec"], known["position"] = spec, n
                cotangent = self.vjps[key](cotangents[0], *[known[need] for need in self.needs[key]])
                found[n] = cotangent if cotangent is None else self._fit(key, cotangent, spec)
        return found

    def _fit(self, key: str, cotangent: Any, spec: Spec) -> Any:
        """As fit; raises ShapeError or DtypeError for what cannot be the cotangent of that input."""
        if type(cotangent) is Pieces:
            return cotangent
        if type(cotangent) is not Tensor:
            kind = type(cotangent).__name__
            raise DtypeError(
                f"{self.name}: the VJP of {key} gives a {kind}, not a tensor; write it with th's functions"
            )
        try:
            return fit(cotangent, spec)
        except ShapeError:
            raise ShapeError(
                f"{self.name}: the VJP of {key} gives a cotangent of shape {cotangent.shape}, which does not fit an "
                f"input of shape {spec.shape}"
            ) from None

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


def operation(*forgotten: Any, **vjps: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function over arrays an operation on tensors, with a VJP for each differentiable input.

    The function's positional-only parameters are inputs, the others options; a first parameter `xs` is a sequence.
    Raises CallError for a decorator without VJPs in parentheses, ArgumentError for VJPs that do not fit the function,
    and for the name of an operation of the library.
    """
    if forgotten:
        raise CallError("operation: the VJPs are missing; write @operation(x=lambda g, ...), one for each input x")

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        name = forward.__name__.strip("_")
        if name in OPERATIONS and _own(OPERATIONS[name].forward) and not _own(forward):
            raise ArgumentError(f"operation: {name} is an operation of the library already; choose another name")
        op = OPERATIONS[name] = Operation(name, forward, vjps)

        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            return op(*op.bind(args, kwargs))

        call.__signature__ = op.signature  # type: ignore[attr-defined]
        return call

    return decorate


def _own(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] == __name__.partition(".")[0]


def fit(cotangent: Tensor, spec: Spec) -> Tensor:
    """A cotangent summed down to its source's shape and in its dtype: the one place where broadcasting is undone."""
    if cotangent.array.shape != spec.shape:
        cotangent = OPERATIONS["sum_to"]([cotangent], {"shape": spec.shape})
    if cotangent.array.dtype != spec.dtype:
        cotangent = OPERATIONS["astype"]([cotangent], {"dtype": spec.dtype})
    return cotangent


def _show(options: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
