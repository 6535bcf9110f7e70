"""Operations: a function over arrays, and a vector-Jacobian product (VJP) for each of its tensors.

A VJP is a function whose parameters are named after what it needs: `g`, the cotangent; an input or `out`, which are
then saved; an option; or `spec`, the shape and dtype of the input whose cotangent it gives. So the table of rules shows
what each gradient keeps alive. VJPs are written with operations, so they can be recorded.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .errors import ArgumentError, CallError, DtypeError, ShapeError, TinyhyperError
from .tape import Edge, Node, Pieces, quietly
from .tensor import PLAIN, Tensor, apply, as_tensor, saved

OPERATIONS: dict[str, Any] = {}
READERS: dict[type, Callable[..., Any]] = {}  # what else than a tensor reads an elementwise operation, by its type
FLOAT64 = np.dtype(np.float64)
NO_OPTIONS: dict[str, Any] = {}
FLOATS_AND_CONDITIONS = {"f", "b"}
SPEC = attrgetter("shape", "dtype", "strides")


class ArraySpec(NamedTuple):
    """An array that need not be kept; without strides where it does not matter how it lies in memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    strides: tuple[int, ...] = ()


class Operation:
    """A named operation: `forward` over arrays, and `vjps` by input name (`xs` for the items of a sequence).

    A node's context is a tuple: the names of what it saved, shape, dtype and strides of each input, and the options.
    """

    depends = None

    def __init__(self, name: str, forward: Callable[..., Any], vjps: dict[str, Callable[..., Any]]) -> None:
        self.name, self.forward, self.vjps = name, forward, vjps
        annotated = inspect.signature(forward).parameters.values()
        parameters = [p.replace(annotation=p.empty) for p in annotated]  # those are of the arrays
        self.signature = inspect.Signature(parameters)
        self.inputs = tuple([p.name for p in parameters if p.kind is p.POSITIONAL_ONLY])
        self.defaults = {p.name: p.default for p in parameters if p.name not in self.inputs}
        self._prepare()

    def _prepare(self) -> None:
        """Find out what each VJP needs. Raises ArgumentError for one that nobody can give it, or of no input."""
        self.names = tuple(self.defaults)
        self.least = len(self.inputs) + [*self.defaults.values()].count(inspect.Parameter.empty)
        self.sequence = self.inputs == ("xs",)
        self.constants = set(() if self.sequence else self.inputs).difference(self.vjps)
        self.needs = {key: tuple(inspect.signature(vjp).parameters)[1:] for key, vjp in self.vjps.items()}
        self.measures = {key: {"spec", "specs", "position"}.intersection(needs) for key, needs in self.needs.items()}
        self._saves: dict[tuple[bool, ...], tuple[tuple[int, ...], tuple[str, ...]]] = {}
        if not self.inputs:
            raise ArgumentError(f"operation: {self.name} has no inputs; its tensors stand before a `/`: f(x, y, /)")
        known = (*self.inputs, "out", *self.names, "spec", "specs", "position")
        for key, needs in self.needs.items():
            if key not in self.inputs:
                raise ArgumentError(f"operation: {self.name} has no input {key!r}, but {', '.join(self.inputs)}")
            if unknown := [need for need in needs if need not in known]:
                raise ArgumentError(
                    f"operation: the VJP of {key} in {self.name} asks for {unknown[0]!r}; beside the cotangent, its "
                    f"first parameter, there are {', '.join(known)}"
                )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The inputs, and every option, of a call. Raises CallError for a wrong one."""
        count, names = len(self.inputs), self.names
        if len(args) == count and not kwargs and self.least == count:
            return args[0] if self.sequence else args, self.defaults
        options = {**self.defaults, **dict(zip(names, args[count:]))} if names else self.defaults
        if kwargs or not self.least <= len(args) <= count + len(names):
            try:
                bound = self.signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise CallError(f"{self.name}: {error}; it is {self.name}{self.signature}") from None
            options = {name: bound.get(name, default) for name, default in self.defaults.items()}
        return args[0] if self.sequence else args[:count], options

    def __call__(self, values: Sequence[Any], options: dict[str, Any]) -> Tensor:
        """Apply to tensors; anything among the values that is not a Tensor becomes a constant."""
        if self.sequence and not isinstance(values, Iterable):
            raise ArgumentError(f"{self.name}: a sequence of tensors is needed, not a {type(values).__name__}")
        return apply(self, [v if type(v) is Tensor else self._constant(v) for v in values], options)[0]

    def _constant(self, value: Any) -> Tensor:
        return READERS[type(value)](self, (value,)) if type(value) in READERS else as_tensor(value)

    def compute(self, arrays: list[np.ndarray], options: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
        """The result for these arrays, and what its node is to know of the call."""
        try:
            out = quietly(self.forward, *((arrays,) if self.sequence else arrays), **options)
        except TinyhyperError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            shapes = ", ".join([f"{name} {array.shape}" for name, array in zip(self._names(len(arrays)), arrays)])
            shown = "".join([f", {name}={value!r}" for name, value in options.items() if value is not None])
            kind = ArgumentError if isinstance(error, TypeError) else ShapeError
            raise kind(f"{self.name}({shapes}{shown}): {error}") from error
        return [out if type(out) is np.ndarray else np.asarray(out)], options

    def node(
        self,
        edges: tuple[Edge | None, ...],
        arrays: Sequence[np.ndarray],
        results: Sequence[np.ndarray],
        options: dict[str, Any],
    ) -> list[Edge | None]:
        """The output's edge on the tape; None if no gradient flows."""
        if self.constants:
            keys = self._keys(len(edges))
            edges = tuple([None if name in self.constants else edge for name, edge in zip(keys, edges)])
        flags = tuple([edge is not None for edge in edges])
        if True not in flags or results[0].dtype.kind != "f":
            return [None]
        places, names = self._saves.get(flags) or self._save(flags)
        values = [*arrays, results[0]]
        return [(Node(self, edges, [values[n] for n in places], (names, [*map(SPEC, arrays)], options)), 0)]

    def reads(self, node: Node) -> tuple[int, ...]:
        """Which arrays a node saved: operands by number, then the output."""
        return self._saves[tuple([edge is not None for edge in node.inputs])][0]

    def _save(self, flags: tuple[bool, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """What a node saves for these inputs' sake: operands by number, then the output; and how VJPs call it."""
        names = (*self._names(len(flags)), "out")
        needs = {need for key, flag in zip(self._keys(len(flags)), flags) if flag for need in self.needs[key]}
        places = [n for n, name in enumerate(names) if name in needs or ("xs" in needs and name != "out")]
        self._saves[flags] = tuple(places), tuple([names[n] for n in places])
        return self._saves[flags]

    def _names(self, count: int) -> tuple[str, ...]:
        return tuple([f"x{n}" for n in range(count)]) if self.sequence else self.inputs

    def _keys(self, count: int) -> tuple[str, ...]:
        return ("xs",) * count if self.sequence else self.inputs

    def pullback(self, node: Node, cotangents: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        """The cotangents of the wanted inputs, each by its own VJP."""
        saves, specs, options = node.context
        known = dict(zip(saves, saved(node)), **options)
        if self.sequence:
            known["xs"] = [known.get(name) for name in self._names(len(specs))]
        found: list[Tensor | None] = []
        for key, spec, use in zip(self._keys(len(specs)), specs, wanted):
            cotangent = None
            if use:
                if self.measures[key]:
                    known["specs"] = tuple(map(ArraySpec._make, specs))
                    known["spec"], known["position"] = known["specs"][len(found)], len(found)
                cotangent = self.vjps[key](cotangents[0], *[known[need] for need in self.needs[key]])
                if type(cotangent) is not Tensor or cotangent.array.shape != spec[0] or cotangent.dtype is not spec[1]:
                    cotangent = self._fit(key, cotangent, spec)
            found.append(cotangent)
        return found

    def _fit(self, key: str, cotangent: Any, spec: Sequence[Any]) -> Any:
        """As fit; raises ShapeError or DtypeError for what cannot be the cotangent of that input."""
        if cotangent is None or type(cotangent) is Pieces:
            return cotangent
        if type(cotangent) is not Tensor:
            kind = type(cotangent).__name__
            raise DtypeError(
                f"{self.name}: the VJP of {key} gives a {kind}, not a tensor; write it with th's functions"
            )
        try:
            return fit(cotangent, *spec[:2])
        except ShapeError:
            raise ShapeError(
                f"{self.name}: the VJP of {key} gives a cotangent of shape {cotangent.shape}, which does not fit an "
                f"input of shape {spec[0]}"
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


def quicken(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let an outer ring compute an operation quicker: forward(x, ...), as the operation's own, which it gives back."""
    op = OPERATIONS[name]
    if hasattr(op.forward, "quick"):
        raise ArgumentError(f"quicken: {name} has a quicker way already")
    forward.quick = True  # type: ignore[attr-defined]
    op.forward, own = forward, op.forward
    return own


def hand_over(size: float, way: Callable[[Elementwise, Sequence[Tensor]], Tensor]) -> None:
    """Let an outer ring carry out elementwise operations from so many elements on. Only its own size can change."""
    if Elementwise.way not in (None, way):
        raise ArgumentError("hand_over: another way carries out large elementwise operations already")
    Elementwise.large, Elementwise.way = size, way


def _own(function: Callable[..., Any]) -> bool:
    return function.__module__.partition(".")[0] == __name__.partition(".")[0]


def fit(cotangent: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """A cotangent summed down to its source's shape and in its dtype: the one place where broadcasting is undone."""
    if cotangent.array.shape != shape:
        cotangent = OPERATIONS["sum_to"]([cotangent], {"shape": shape})
    if cotangent.array.dtype != dtype:
        cotangent = OPERATIONS["astype"]([cotangent], {"dtype": dtype})
    return cotangent


class Number(Tensor):
    """A number that a tower's hyperparameters alone decide: it takes on the dtype of the array that it meets."""

    __slots__ = ()


class Elementwise(Operation):
    """An operation on each element: operands broadcast, and a Python number takes on the dtype that it meets (NEP 50).

    Integers and booleans become float64 where their result is a float.
    large, way: from so many elements of an operand on, an outer ring carries it out by `way(op, operands)`.
    """

    large: ClassVar[float] = math.inf
    way: ClassVar[Callable[..., Any] | None] = None
    __signature__: inspect.Signature

    def __init__(self, name: str, forward: Callable[..., Any], doc: str, **vjps: Callable[..., Any]) -> None:
        self.name, self.forward, self.vjps, self.defaults = name, forward, vjps, {}
        known = ("x", "y")[: forward.nin] if isinstance(forward, np.ufunc) else ("condition", "x", "y")
        own = not isinstance(forward, np.ufunc) and forward is not np.where
        self.inputs = tuple(inspect.signature(forward).parameters) if own else known
        positional = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in self.inputs]
        self.signature = self.__signature__ = inspect.Signature(positional)
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        ones = [np.ones(1, np.int64)] * len(self.inputs)
        self.gives_floats = quietly(forward, *ones).dtype.kind == "f"
        self._prepare()

    def __call__(self, *args: Any) -> Any:
        if len(args) != len(self.inputs):
            raise CallError(f"{self.name} takes {len(self.inputs)} arguments, got {len(args)}")
        large = self.large
        for arg in args:
            if type(arg) is not Tensor or arg.array.size >= large:
                return self._large_or_mixed(args)
        return apply(self, args, NO_OPTIONS)[0]

    def _large_or_mixed(self, args: Sequence[Any]) -> Any:
        kinds = {*map(type, args)}
        for kind in kinds.intersection(READERS):
            return READERS[kind](self, args)
        if kinds == {Tensor}:
            by_way = {x.array.dtype.kind for x in args} <= FLOATS_AND_CONDITIONS
            return Elementwise.way(self, args) if by_way else apply(self, args, NO_OPTIONS)[0]  # type: ignore[misc]
        operands = [None if type(arg) in (float, int, bool) else as_operand(arg, self.name) for arg in args]
        if Number in kinds:
            return self._of_numbers(operands, args)
        dtypes = [x.array.dtype for x, name in zip(operands, self.inputs) if x is not None and name != "condition"]
        return self(*[self._number(a, dtypes) if x is None else x for x, a in zip(operands, args)])

    def _of_numbers(self, operands: Sequence[Tensor | None], args: Sequence[Any]) -> Tensor:
        """Numbers of a tower give another one; beside an array they are cast to its dtype, on the tape."""
        arrays = [x.array.dtype for x in operands if type(x) is Tensor and x.array.dtype.kind == "f"]
        wide = np.result_type(*arrays) if arrays else FLOAT64
        tensors = [Tensor(np.array(a, wide)) if x is None else Tensor(x.array, x.edge) for x, a in zip(operands, args)]
        out = self(*[fit(t, t.shape, wide) if t.array.dtype.kind == "f" else t for t in tensors])
        return out if arrays else Number(out.array, out.edge)

    def _number(self, value: Any, dtypes: Sequence[np.dtype]) -> Tensor:
        """A Python number in the dtype that it takes on beside operands of these. Raises ArgumentError."""
        value = held(value, self.name) if type(value) is int else value
        if not dtypes:
            return Tensor(np.array(value))
        wide = np.result_type(*dtypes, 1.0 if self.gives_floats else value)
        try:
            return Tensor(np.array(value, wide))
        except OverflowError as error:
            if self.vjps:
                raise ArgumentError(f"{self.name}: {error}") from error
            return Tensor(np.array(value))  # a comparison is exact

    def compute(self, arrays: list[np.ndarray], options: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
        widens = self.gives_floats and arrays[0].dtype.kind != "f" and "f" not in {a.dtype.kind for a in arrays}
        try:
            out = quietly(self.forward, *([array.astype(FLOAT64) for array in arrays] if widens else arrays))
        except TypeError as error:
            dtypes = " and ".join([str(array.dtype) for array in arrays])
            raise DtypeError(f"{self.name} of {dtypes}: {error}") from None
        except (ValueError, RuntimeError, OverflowError) as error:
            broadcast(self.name, arrays)
            raise ArgumentError(f"{self.name}: {error}") from error
        return [out if type(out) is np.ndarray else np.asarray(out)], options

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)  # another process has its own table

    def __repr__(self) -> str:
        return f"<elementwise operation {self.name}>"


def named(name: str) -> Operation:
    """The operation of a name."""
    return OPERATIONS[name]


def rule(name: str, forward: Callable[..., Any], doc: str, **vjps: Callable[..., Any]) -> Elementwise:
    """Enter an elementwise operation into the table."""
    op = OPERATIONS[name] = Elementwise(name, forward, doc, **vjps)
    return op


def broadcast(name: str, arrays: Sequence[Any], *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which arrays, and further shapes, broadcast. Raises ShapeError."""
    try:
        return np.broadcast_shapes(*[array.shape for array in arrays], *shapes)
    except RuntimeError:
        axes = max(array.ndim for array in arrays)
        raise ShapeError(
            f"{name}: an operand has {axes} axes, but NumPy broadcasts 32 at most; merge some by reshape"
        ) from None
    except ValueError:
        raise ShapeError(
            f"{name}: shapes {' and '.join(str(array.shape) for array in arrays)} do not broadcast together "
            "(axes must be equal or 1, counted from the last)"
        ) from None


def as_operand(value: Any, name: str) -> Tensor:
    """As as_tensor; an error names the operation."""
    try:
        return as_tensor(value)
    except TinyhyperError as error:
        raise type(error)(f"{name}: a {type(value).__name__} is not an operand ({error})") from None


def held(value: int, name: str) -> int | float:
    """An integer that 64 bits hold; a larger one as a float, as NumPy has it beside floats. Raises ArgumentError."""
    if -(2**63) <= value < 2**64:
        return value
    try:
        return float(value)
    except OverflowError:
        raise ArgumentError(f"{name}: an integer of {value.bit_length()} bits is too large even for a float") from None


def foreign(kind: type) -> bool:
    """Whether a class has rules of its own for NumPy's functions: then its operators have the word, as in NumPy."""
    return kind not in PLAIN and getattr(kind, "__array_ufunc__", OURS[0]) not in OURS


OURS = (
    np.ndarray.__array_ufunc__, Tensor.__array_ufunc__, np.ndarray.__array_function__, Tensor.__array_function__
)  # fmt: skip


def forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as an operator, which leaves the word to an operand of another library."""

    def operator(self: Any, other: Any) -> Any:
        return NotImplemented if type(other) not in PLAIN and foreign(type(other)) else function(self, other)

    return operator


def reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    """As forward, where the other operand is on the left."""
    return forward(lambda self, other: function(other, self))


def attach(cls: type, members: dict[str, Any]) -> None:
    """Give a class methods from a table. Raises ArgumentError for a name that it has."""
    for name, member in members.items():
        if name in vars(cls):
            raise ArgumentError(f"{cls.__name__} has {name} already")
        setattr(cls, name, member)
