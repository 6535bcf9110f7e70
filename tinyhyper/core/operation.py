"""Operations: a function over arrays, and a vector-Jacobian product (VJP) for each of its tensors.

A VJP is a function whose parameters are named after what it needs: `g`, the cotangent; an input or `out`, which are
then saved; an option; or `spec`, the shape and dtype of the input whose cotangent it gives. So the table of rules shows
what each gradient keeps alive. VJPs are written with operations, so they can be recorded.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy import asarray

from .errors import ArgumentError, CallError, TinyhyperError
from .tape import QUIET, Edge, Node, is_quiet, quietly
from .tensor import FLOAT64, Tensor, apply, as_tensor, saved

OPERATIONS: dict[str, Any] = {}
READERS: dict[type, Callable[..., Any]] = {}  # by type, what reads other operands: reader(op, args)
NUMBERS = {float, int, bool}
SPEC, SHAPE_AND_DTYPE = attrgetter("shape", "dtype", "strides"), attrgetter("shape", "dtype")
Saves = tuple[tuple[int, ...], tuple[str, ...]]  # the arrays a node saved: operands by number, then the output; names


class ArraySpec(NamedTuple):
    """An array that need not be kept; without strides where it does not matter how it lies in memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    strides: tuple[int, ...] = ()


class Operation:
    """A named operation: `forward` over arrays, and `vjps` by input name.

    A node's context is a tuple: what it saved, shape and dtype of each operand, and the options.
    gives_floats: integers become float64.  quick: an outer ring carries it out.  refuses: its errors about operands.
    """

    depends, gives_floats, quick = None, False, False
    refuses: tuple[type[Exception], ...] = (ValueError, IndexError, TypeError, OverflowError)

    def __init__(self, name: str, forward: Callable[..., Any], vjps: dict[str, Callable[..., Any]]) -> None:
        self.name, self.forward, self.vjps = name, forward, vjps
        parameters = [p.replace(annotation=p.empty) for p in self.parameters()]  # those are of the arrays
        self.signature = inspect.Signature(parameters)
        self.inputs = tuple([p.name for p in parameters if p.kind is p.POSITIONAL_ONLY])
        self.defaults = {p.name: p.default for p in parameters if p.kind is not p.POSITIONAL_ONLY}
        self.least = [p.default for p in parameters].count(inspect.Parameter.empty)
        self.needs = {key: tuple(inspect.signature(vjp).parameters)[1:] for key, vjp in vjps.items()}
        self.measures = any({"spec", "specs", "position"}.intersection(needs) for needs in self.needs.values())
        self._saves: dict[tuple[bool, ...], Saves] = {}

    def parameters(self) -> Iterable[inspect.Parameter]:
        """Those of forward: the positional-only ones are inputs, the others options."""
        return inspect.signature(self.forward).parameters.values()

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The inputs, and every option, of a call. Raises CallError for a wrong one."""
        count, options = len(self.inputs), self.defaults
        if kwargs or not self.least <= len(args) <= count + len(options):
            try:
                bound = self.signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise CallError(f"{self.name}: {error}; it is {self.name}{self.signature}") from None
            options = {name: bound.get(name, default) for name, default in options.items()}
        elif len(args) > count:
            options = {**options, **dict(zip(options, args[count:]))}
        return args[:count], options

    def __call__(self, values: Sequence[Any], options: dict[str, Any]) -> Tensor:
        """Apply to tensors; anything among the values that is not a Tensor becomes a constant."""
        operands = []
        for value in values:
            if type(value) is not Tensor:
                value = READERS[type(value)](self, (value,)) if type(value) in READERS else as_tensor(value)
            operands.append(value)
        return apply(self, operands, options)[0]

    def compute(self, arrays: list[np.ndarray], options: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
        """The result for these arrays, and what its node is to know of the call."""
        if self.gives_floats and arrays[0].dtype.kind != "f" and "f" not in {array.dtype.kind for array in arrays}:
            arrays = [array.astype(FLOAT64) for array in arrays]
        try:
            out = self.forward(*arrays, **options) if is_quiet() else QUIET.copy().run(self.forward, *arrays, **options)
        except TinyhyperError:
            raise
        except self.refuses as error:
            raise Tensor.protocol.refusal(self, arrays, options, error) from error
        return [asarray(out)], options

    def node(self, edges: Sequence[Any], arrays: list[Any], results: list[Any], options: Any) -> list[Edge | None]:
        """The output's edge on the tape; None if no gradient flows."""
        if len(self.vjps) < len(self.inputs):
            edges = tuple([edge if name in self.vjps else None for name, edge in zip(self.inputs, edges)])
        values, flows, kept = (*arrays, results[0]), [], []
        for edge in edges:
            flows.append(edge is not None)
        if True not in flows or results[0].dtype.kind != "f":
            return [None]
        saves = self._saves.get(flags := tuple(flows)) or self._save(flags)
        specs = [*map(ArraySpec._make, map(SPEC, arrays))] if self.measures else [*map(SHAPE_AND_DTYPE, arrays)]
        for n in saves[0]:
            kept.append(values[n])
        return [(Node(self, edges, kept, (saves, specs, options)), 0)]

    def reads(self, node: Node) -> tuple[int, ...]:
        """Which arrays a node saved: operands by number, then the output."""
        return node.context[0][0]

    def _save(self, flags: tuple[bool, ...]) -> Saves:
        """What a node saves for the sake of these inputs."""
        needs = {need for name, flag in zip(self.inputs, flags) if flag for need in self.needs[name]}
        found = {n: name for n, name in enumerate((*self.inputs, "out")) if name in needs}
        return self._saves.setdefault(flags, (tuple(found), tuple(found.values())))

    def pullback(self, node: Node, cotangents: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        """The cotangents of the wanted inputs, each by its own VJP."""
        (_, names), specs, options = node.context
        known = dict(zip(names, saved(node)), **options)
        found: list[Tensor | None] = []
        for name, spec, use in zip(self.inputs, specs, wanted):
            cotangent = None
            if use:
                if self.measures:
                    known.update(spec=spec, specs=specs, position=len(found))
                cotangent = self.vjps[name](cotangents[0], *map(known.__getitem__, self.needs[name]))
                if type(cotangent) is not Tensor or (a := cotangent.array).shape != spec[0] or a.dtype is not spec[1]:
                    cotangent = self.fit(name, cotangent, spec)
            found.append(cotangent)
        return found

    def fit(self, name: str, cotangent: Any, spec: Sequence[Any]) -> Any:
        """What a VJP gives, as the cotangent of an input of this shape and dtype."""
        return fit(cotangent, *spec[:2])

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


def operation(**vjps: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function over arrays an operation on tensors, with a VJP for each differentiable input."""
    return lambda forward: entered(Operation(forward.__name__.strip("_"), forward, vjps))


def entered(op: Operation) -> Callable[..., Any]:
    """Enter an operation into the table; the function that applies it."""
    OPERATIONS[op.name] = op

    @functools.wraps(op.forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        return op(*op.bind(args, kwargs))

    call.__signature__ = op.signature  # type: ignore[attr-defined]
    return call


def quicken(name: str, forward: Callable[..., Any] | None = None, **vjps: Callable[..., Any]) -> Callable[..., Any]:
    """Let an outer ring carry out an operation quicker, once: by a function, by VJPs. Gives back its own function."""
    op, own = OPERATIONS[name], OPERATIONS[name].forward
    if op.quick:
        raise ArgumentError(f"quicken: {name} has a quicker way already")
    op.forward, op.quick = forward or own, True
    if vjps:
        Operation.__init__(op, name, op.forward, op.vjps | vjps)
    return own


def hand_over(way: Callable[[Elementwise, Sequence[Tensor]], Tensor], size: float, sizes: Mapping[str, float]) -> None:
    """Let an outer ring carry out elementwise operations from so many elements on; some, by name, from another size."""
    if Elementwise.way not in (None, way):
        raise ArgumentError("hand_over: another way carries out large elementwise operations already")
    Elementwise.large, Elementwise.way = size, way
    for name, other in sizes.items():
        OPERATIONS[name].large = other


def fit(cotangent: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """A cotangent summed down to its source's shape and in its dtype: the one place where broadcasting is undone."""
    if cotangent.shape != shape:
        cotangent = OPERATIONS["sum_to"]([cotangent], {"shape": shape})
    if cotangent.dtype != dtype:
        cotangent = OPERATIONS["astype"]([cotangent], {"dtype": dtype})
    return cotangent


class Elementwise(Operation):
    """An operation on each element: operands broadcast, and a Python number takes on the dtype that it meets (NEP 50).

    large, way: from so many elements of an operand on, an outer ring carries it out by `way(op, operands)`.
    """

    large: float = math.inf
    way: ClassVar[Callable[..., Any] | None] = None
    refuses = (ValueError, TypeError, RuntimeError, OverflowError)

    def __init__(self, name: str, forward: Callable[..., Any], doc: str, **vjps: Callable[..., Any]) -> None:
        super().__init__(name, forward, vjps)
        self.__signature__, self.__name__, self.__qualname__, self.__doc__ = self.signature, name, name, doc
        self.gives_floats = quietly(forward, *[np.ones(1, np.int64)] * len(self.inputs)).dtype.kind == "f"

    def parameters(self) -> Iterable[inspect.Parameter]:
        names: Iterable[str] = ("condition", "x", "y")
        if isinstance(self.forward, np.ufunc):
            names = ("x", "y")[: self.forward.nin]
        elif self.forward is not np.where:
            names = inspect.signature(self.forward).parameters
        return [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]

    def __call__(self, *args: Any, **names: Any) -> Any:
        if names or len(args) != len(self.inputs):
            self.bind(args, names)
        large = self.large
        for arg in args:
            if type(arg) is not Tensor or arg.array.size >= large:
                return self._read(args)
        return apply(self, args, self.defaults)[0]

    def _read(self, args: Sequence[Any]) -> Any:
        """Large tensors, and operands that are no tensors: numbers and arrays, unless there is a reader for them."""
        kinds = {*map(type, args)}
        if kinds == {Tensor}:
            by_way = {x.array.dtype.kind for x in args} <= {"f", "b"}  # floats and conditions
            return Elementwise.way(self, args) if by_way else apply(self, args, self.defaults)[0]  # type: ignore[misc]
        for kind in (*kinds, object):
            if kind in READERS:
                return READERS[kind](self, args)
        operands = [x if type(x) in NUMBERS else as_tensor(x) for x in args]
        dtype = np.result_type(*[getattr(x, "array", x) for x in operands[-2:]])  # a condition, the first of 3, is none
        operands = [Tensor(np.array(x, dtype)) if type(x) in NUMBERS else x for x in operands]
        return apply(self, operands, self.defaults)[0]


class Number(Tensor):
    """A number that a tower's hyperparameters alone decide: it takes on the dtype of the array that it meets."""

    __slots__ = ()


def _of_numbers(op: Elementwise, args: Sequence[Any]) -> Tensor:
    """Numbers of a tower give another one; beside an array they are cast to its dtype, on the tape."""
    operands = [x if type(x) in NUMBERS else as_tensor(x) for x in args]
    arrays = [x.array.dtype for x in operands if type(x) is Tensor and x.array.dtype.kind == "f"]
    wide = np.result_type(*arrays) if arrays else FLOAT64
    tensors = [Tensor(np.array(x, wide)) if type(x) in NUMBERS else Tensor(x.array, x.edge) for x in operands]
    out = op(*[fit(t, t.shape, wide) if t.array.dtype.kind == "f" else t for t in tensors])
    return out if arrays else Number(out.array, out.edge)


READERS[Number] = _of_numbers


def elementwise(name: str, forward: Callable[..., Any], doc: str, **vjps: Callable[..., Any]) -> Elementwise:
    """Enter an elementwise operation into the table."""
    op = OPERATIONS[name] = Elementwise(name, forward, doc, **vjps)
    return op


def attach(to: Any, members: Mapping[Any, Any]) -> None:
    """Give a class methods, or a dict entries, from a table. Raises ArgumentError for a name that is there."""
    for name, member in members.items():
        if name in (to if isinstance(to, dict) else vars(to)):
            raise ArgumentError(f"{getattr(to, '__name__', 'the table')} has {name} already")
        to.update({name: member}) if isinstance(to, dict) else setattr(to, name, member)
