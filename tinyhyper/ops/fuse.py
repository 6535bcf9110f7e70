"""From a Python function to a fusion: it is run once on symbols, and from then on is one operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import TinyhyperError, UnsupportedError
from ..symbols import Symbol
from ..tensor import Tensor, tensor
from .fusion import Fusion, Mask


def operand(value: Any, name: str) -> tuple[Tensor, bool]:
    """A tensor for the value, and whether it is weak: a Python number is."""
    if type(value) is Tensor:
        return value, False
    if type(value) in (float, int, bool):
        return Tensor(np.array(value)), True
    if isinstance(value, Symbol):
        raise UnsupportedError(f"{name}: a symbol of a fused function met a tensor; pass every tensor as an argument")
    try:
        return tensor(value), False
    except TinyhyperError as error:
        raise type(error)(f"{name}: a {type(value).__name__} is not an operand ({error})") from None


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of elementwise operations one node on the tape, with one kernel each way.

    Every argument becomes an operand: tensors broadcast together, Python numbers are scalars. The function is run
    once for each way of calling it, on symbols, and may return a tuple. Raises TypeError for an operation that is
    not elementwise and for a branch on a value.
    """
    return _fused(function, eager=False)


def composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """As fuse, for an operation of the library: small arrays are computed by NumPy, which needs no compilation."""
    return _fused(function, eager=True)


def _fused(function: Callable[..., Any], eager: bool) -> Callable[..., Any]:
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    plain = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    complete = len(parameters) if plain else -1  # so many arguments need no binding
    fusions: dict[Any, tuple[Fusion, bool]] = {}

    def apply(key: tuple[int, tuple[str, ...]], operands: Sequence[Tensor], weak: Mask) -> Any:
        if key not in fusions:
            fusions[key] = trace(function, *key, eager=eager)
        fusion, several = fusions[key]
        outputs = fusion(operands, weak)
        return tuple(outputs) if several else outputs[0]

    @functools.wraps(function)
    def fused(*args: Any, **kwargs: Any) -> Any:
        count = len(args)
        if count == complete and not kwargs and {*map(type, args)} == {Tensor}:
            return apply((count, ()), args, (False,) * count)
        values: list[Any] = [*args]
        key: tuple[int, tuple[str, ...]] = (count, ())
        if kwargs or count != complete:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = [*bound.args, *bound.kwargs.values()]
            key = (len(bound.args), tuple(bound.kwargs))
        if any(isinstance(value, Symbol) for value in values):
            return function(*args, **kwargs)
        name = getattr(function, "__name__", "fused")
        pairs = [operand(value, name) for value in values]
        return apply(key, [tensor for tensor, _ in pairs], tuple([weak for _, weak in pairs]))

    return fused


def trace(
    function: Callable[..., Any], positional: int, names: Sequence[str] = (), eager: bool = False
) -> tuple[Fusion, bool]:
    """Run the function on symbols; the fusion, and whether the function returns several outputs."""
    symbols = [Symbol() for _ in range(positional + len(names))]
    result = function(*symbols[:positional], **dict(zip(names, symbols[positional:])))
    several = isinstance(result, (tuple, list))
    outputs = list(result) if several else [result]
    name = getattr(function, "__name__", "fused")
    for n, out in enumerate(outputs):
        if not isinstance(out, (Symbol, float, int)):
            raise UnsupportedError(
                f"{name}: output {n} is a {type(out).__name__}; a fused function returns elementwise results"
            )
    return Fusion(name, symbols, outputs, eager), several
