"""From a Python function to a fusion: it is run once on symbols, and from then on is one operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..closures import Closure, Search
from ..core.tensor import Tensor
from ..draws import Draws
from ..errors import CallError, DtypeError, UnsupportedError
from ..operands import as_int64, as_operand
from .fusion import Fusion, Mask
from .symbols import Scalar, Symbol

TRIES = 4  # runs at which a random generator must move to be the function's doing and not another thread's
Found = TypeVar("Found")


def operand(value: Any, name: str) -> tuple[Tensor, bool]:
    """A tensor for the value, and whether it is a scalar: a Python number is."""
    if type(value) is Tensor:
        return value, False
    if type(value) in (float, int, bool):
        return Tensor(np.array(as_int64(value, name) if type(value) is int else value)), True
    if isinstance(value, Symbol):
        raise UnsupportedError(f"{name}: a symbol of a fused function met a tensor; pass every tensor as an argument")
    return as_operand(value, name), False


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of elementwise operations one node on the tape; kernels compute it in one pass each way.

    function: of elementwise operations of th, with ordinary operators. Each of its arguments becomes an operand:
    tensors of shapes that broadcast, whose dtypes are promoted as in NumPy; Python numbers are scalars. It may return a
    tuple. It is run on symbols, not at each call: once for each way of calling it, and again when what it closes over
    has changed (see `closures.py`).
    Raises DtypeError for anything but a function; its call UnsupportedError for an operation that is not elementwise,
    for a branch on a value and for a function that differs or draws at each run, CallError for arguments that the
    function does not take, ShapeError, DtypeError and ArgumentError as elementwise operations do.
    """
    if not callable(function):
        raise DtypeError(
            f"fuse: the argument must be a function of elementwise operations, not a {type(function).__name__}"
        )
    return _fused(function, eager=False)


def composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """As fuse, for an operation of the library: small arrays are computed by NumPy, which needs no compilation."""
    return _fused(function, eager=True)


def _fused(function: Callable[..., Any], eager: bool) -> Callable[..., Any]:
    signature, name = inspect.signature(function), getattr(function, "__name__", "fused")
    parameters = signature.parameters.values()
    plain = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    complete = len(parameters) if plain else -1  # so many arguments need no binding
    closure = Closure(function)
    fusions: dict[Any, tuple[Fusion, bool]] = {}

    def run(key: tuple[int, tuple[str, ...], Mask], operands: Sequence[Tensor]) -> Any:
        if key not in fusions:
            fusions[key] = trace(function, *key, eager=eager)
        fusion, several = fusions[key]
        outputs = fusion(operands)
        return tuple(outputs) if several else outputs[0]

    @functools.wraps(function)
    def fused(*args: Any, **kwargs: Any) -> Any:
        nonlocal signature
        if closure.watched and closure.changed():
            fusions.clear()
            signature = inspect.signature(function)
        count = len(args)
        if count == complete and not kwargs and {*map(type, args)} == {Tensor}:
            return run((count, (), ()), args)
        values: list[Any] = [*args]
        names: tuple[str, ...] = ()
        if kwargs or count != complete:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise CallError(f"{name}: {error}") from None
            bound.apply_defaults()
            values = [*bound.args, *bound.kwargs.values()]
            count, names = len(bound.args), tuple(bound.kwargs)
        if any(isinstance(value, Symbol) for value in values):
            return function(*args, **kwargs)
        pairs = [operand(value, name) for value in values]
        scalars = tuple([is_scalar for _, is_scalar in pairs])
        return run((count, names, scalars if True in scalars else ()), [tensor for tensor, _ in pairs])

    return fused


def trace(
    function: Callable[..., Any], positional: int, names: Sequence[str] = (), scalars: Mask = (), eager: bool = False
) -> tuple[Fusion, bool]:
    """Run the function on symbols; the fusion, and whether the function returns several outputs.

    scalars: which arguments are numbers that take on the dtype of what they meet; none if empty.
    eager: whether small arrays may be computed by NumPy; only for functions of the library, which are not run twice.
    """
    name = getattr(function, "__name__", "fused")

    def run() -> tuple[Fusion, bool]:
        symbols = [Scalar() if is_scalar else Symbol() for is_scalar in scalars or (False,) * (positional + len(names))]
        result = function(*symbols[:positional], **dict(zip(names, symbols[positional:])))
        several = isinstance(result, (tuple, list))
        outputs = list(result) if several else [result]
        for n, out in enumerate(outputs):
            if not isinstance(out, (Symbol, float, int)):
                raise UnsupportedError(
                    f"{name}: output {n} is a {type(out).__name__}; a fused function returns elementwise results"
                )
        return Fusion(name, symbols, outputs, eager), several

    return run() if eager else repeated(name, run, function)


def repeated(name: str, run: Callable[[], tuple[Fusion, Found]], *functions: Any) -> tuple[Fusion, Found]:
    """What a run of these functions on symbols finds.

    Raises UnsupportedError if a second run finds another expression or draws random numbers. Then, as after any error,
    the generators are put back.
    """
    draws = Draws(Search(functions).generators)
    start = draws.state()
    try:
        found = run()
        for _ in range(TRIES):
            before, again, after = draws.state(), run(), draws.state()
            (constants, *first), (others, *second) = (
                (e.constants, e.lines, e.outputs) for e in (found[0].expression, again[0].expression)
            )
            differ = first != second or repr(constants) != repr(others)
            if differ or before == after:
                break
        if differ or before != after:
            raise UnsupportedError(
                f"{name}: two runs on symbols {'give two expressions' if differ else 'draw different random numbers'}. "
                "A fused function is not run at each call, so it must not draw random numbers, count its calls or read "
                "a clock: pass a number that changes as an argument"
            )
    except BaseException:
        draws.put_back(start)
        raise
    return found
