"""The third reader of an operation: symbols, which record an expression when operators are applied to them.

A symbol is a node of its own small graph, with the same `inputs`, `serial` and `pullback` as a node of the
tape, so that the tape's reverse sweep runs over symbols as it runs over tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

import numpy as np

from ..core.operation import READERS, Elementwise, Operation, attach
from ..core.rules import operators
from ..errors import MissingAttributeError, UnsupportedError
from ..operands import as_int64
from .expression import Expression, Line

_serials = count()


class Symbol:
    """A value that is not known yet: `op` applied to `args`, or, without an operation, an input."""

    __slots__ = ("op", "args", "serial")
    width = 1
    released = False

    def __init__(self, op: Elementwise | None = None, args: tuple[Any, ...] = ()) -> None:
        self.op, self.args, self.serial = op, args, next(_serials)

    @property
    def inputs(self) -> tuple[tuple[Symbol, int] | None, ...]:
        return tuple((arg, 0) if isinstance(arg, Symbol) else None for arg in self.args)

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> Sequence[Any]:
        op, args = self.op, [arg if isinstance(arg, Symbol) else Constant(arg) for arg in self.args]
        assert op is not None  # an input has no inputs, so the sweep asks it nothing
        known = dict(zip(op.inputs, args), out=self)
        return [
            op.vjps[name](cotangents[0], *[known[need] for need in op.needs[name]]) if use and name in op.vjps else None
            for name, use in zip(op.inputs, wanted)
        ]

    def __getattr__(self, name: str) -> Any:
        raise MissingAttributeError(
            f"a fused function sees one element, which has no {name!r}: write it with operators and with elementwise "
            "functions, such as th.tanh(x)"
        )

    def __bool__(self) -> bool:
        raise UnsupportedError(
            "a fused function cannot branch on a value: it is run once, on symbols, to see its operations. "
            "Use where(condition, a, b)."
        )

    def __iter__(self, *key: Any) -> Any:
        raise UnsupportedError(
            "a fused function sees one element: it cannot iterate over, measure or index its arguments"
        )

    __len__ = __getitem__ = __iter__

    def __float__(self) -> Any:
        raise UnsupportedError(
            "a fused function sees no numbers: it is run once, on symbols, to see its operations. Write th.tanh(x), "
            "not math.tanh(x) or float(x)"
        )

    __int__ = __index__ = __complex__ = __float__

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            "a fused function sees one element: no array is made of its arguments, and only elementwise operations "
            "take them. Apply the others outside"
        )

    def __repr__(self) -> str:
        if self.op is None:
            return f"x{self.serial}"
        return f"{self.op.name}({', '.join(map(repr, self.args))})"


class Scalar(Symbol):
    """An input that takes on the dtype of what it meets, as a Python number does (NEP 50)."""

    __slots__ = ()


class Constant(Symbol):
    """A number that a VJP meets: what the VJP makes of it is written down too, though no symbol takes part."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Absent:
    """A zero that removes what it multiplies: a momentum or a weight decay that is not in use."""

    __array_ufunc__ = None  # an operand beside it leaves the word to it

    def __add__(self, other: Any) -> Any:
        return other

    def __sub__(self, other: Any) -> Any:
        return -other

    def __mul__(self, other: Any) -> Absent:
        return self

    def __neg__(self) -> Absent:
        return self

    __radd__ = __rsub__ = __add__
    __rmul__ = __truediv__ = __mul__


def lower(outputs: Sequence[Any], inputs: Sequence[Symbol]) -> Expression:
    """The outputs as an expression over the inputs: without what they do not need, and with what they share once."""
    constants: dict[tuple[type, Any], int] = {}
    order = needed(outputs, inputs)
    for symbol in order:
        for arg in symbol.args:
            if not isinstance(arg, Symbol):
                constants.setdefault((type(arg), arg), len(inputs) + len(constants))
    for out in outputs:
        if not isinstance(out, Symbol):
            constants.setdefault((type(out), out), len(inputs) + len(constants))
    numbers: dict[int, int] = {id(symbol): n for n, symbol in enumerate(inputs)}
    lines: dict[Line, int] = {}

    def number(value: Any) -> int:
        return numbers[id(value)] if isinstance(value, Symbol) else constants[type(value), value]

    for symbol in order:
        assert symbol.op is not None
        line = Line(symbol.op, tuple(number(arg) for arg in symbol.args))
        numbers[id(symbol)] = lines.setdefault(line, len(inputs) + len(constants) + len(lines))
    scalars = tuple([isinstance(symbol, Scalar) for symbol in inputs])
    return Expression(scalars, tuple(value for _, value in constants), tuple(lines), tuple(map(number, outputs)))


def needed(outputs: Sequence[Any], inputs: Sequence[Symbol]) -> list[Symbol]:
    """The symbols between inputs and outputs, oldest first."""
    stop = {id(symbol) for symbol in inputs}
    found: dict[int, Symbol] = {}
    waiting = [out for out in outputs if isinstance(out, Symbol)]
    while waiting:
        symbol = waiting.pop()
        if symbol.op is not None and id(symbol) not in stop and id(symbol) not in found:
            found[id(symbol)] = symbol
            waiting += [arg for arg in symbol.args if isinstance(arg, Symbol)]
    return sorted(found.values(), key=lambda symbol: symbol.serial)


def substitute(
    outputs: Sequence[Any],
    replacements: dict[Symbol, Symbol],
    op_of: Callable[[Symbol], Elementwise | None] = attrgetter("op"),
) -> list[Any]:
    """The outputs once more, with some symbols replaced by others, and the rest by the operations given for them."""
    copies: dict[Any, Any] = dict(replacements)
    for symbol in needed(outputs, list(replacements)):
        copies[symbol] = Symbol(
            op_of(symbol), tuple(copies.get(arg, arg) if isinstance(arg, Symbol) else arg for arg in symbol.args)
        )
    return [copies.get(out, out) if isinstance(out, Symbol) else out for out in outputs]


def used(outputs: Sequence[Any], inputs: Sequence[Symbol]) -> list[bool]:
    """Which of the inputs the outputs read."""
    read = {id(arg) for symbol in needed(outputs, inputs) for arg in symbol.args} | {id(out) for out in outputs}
    return [id(symbol) in read for symbol in inputs]


def read(op: Operation, args: Sequence[Any]) -> Symbol:
    """An operation applied to symbols: it is written down. Raises UnsupportedError for what no expression can hold."""
    if not isinstance(op, Elementwise):
        raise UnsupportedError(f"{op.name} is not elementwise, so a fused function cannot use it; apply it outside")
    for arg in args:
        if not isinstance(arg, (Symbol, float, int, np.generic)):
            raise UnsupportedError(
                f"{op.name}: in a fused function a symbol met a {type(arg).__name__}; "
                "pass tensors and arrays as arguments"
            )
    plain = [arg.item() if isinstance(arg, np.generic) else arg for arg in args]
    plain = [as_int64(arg, op.name) if type(arg) is int else arg for arg in plain]
    return Symbol(op, tuple([arg.value if isinstance(arg, Constant) else arg for arg in plain]))


attach(READERS, dict.fromkeys((Symbol, Scalar, Constant), read))
attach(Symbol, operators())
