"""Where NumPy comes in: arrays of what users pass, NumPy's functions called with tensors, and values that leave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from .asking import by_name
from .core.operation import Elementwise, attach
from .core.rules import KNOWN, foreign
from .core.tape import current
from .core.tensor import FLOATS, Protocol, Tensor, take_over
from .errors import ArgumentError, DtypeError, ShapeError, TinyhyperError, UnsupportedError
from .operands import broadcast, recorded

BASIC = (int, slice, EllipsisType, type(None), np.integer)
OURS = (np.ndarray.__array_function__, Tensor.__array_function__)
UNMASKED = (
    "a masked array would lose its mask. Fill in a value, x.filled(0.0), and keep the mask beside it: "
    "th.where(x.mask, 0.0, y)"
)
NUMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def dispatch(name: str, args: Any, kwargs: Any) -> Any:
    operation = NUMPY_FUNCTIONS.get(name)
    if operation is None:
        raise UnsupportedError(
            f"numpy.{name} is not among tinyhyper's operations, so it cannot be applied to a Tensor. "
            "Build it from these (tinyhyper.ops lists them), or apply it to x.numpy()"
        )
    if kwargs.get("out") is not None:
        raise UnsupportedError(f"numpy.{name}: out= would overwrite an array; tensors are never written to")
    kwargs.pop("out", None)
    return operation(*args, **kwargs)


def unmasked(values: Any, name: str, depth: int) -> None:
    """Raise DtypeError if a masked array is among values nested so deep."""
    if type(values) not in KNOWN and _masked(values, depth):
        raise DtypeError(f"{name}: {UNMASKED}")


def _masked(values: Any, depth: int) -> bool:
    """As unmasked says. (Numbers are not looked at: one that is masked is NaN.)"""
    if isinstance(values, (list, tuple, Sequence)):  # the first two are told at once
        return depth > 1 and any(_masked(item, depth - 1) for item in values)
    return isinstance(values, np.ma.MaskedArray)


def frozen(item: Any) -> Any:
    """An index of our own: one that is an array could be overwritten before the backward pass."""
    if type(item) in BASIC or isinstance(item, (bool, np.bool_)):
        return item
    try:
        array = np.array(item.array if isinstance(item, Tensor) else item)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DtypeError(
            f"index: a {type(item).__name__} cannot be made an array of integers or booleans: {error}"
        ) from error
    if array.size == 0 and not isinstance(item, (np.ndarray, Tensor)):
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise DtypeError(f"index: an index must be of integers or booleans, not {array.dtype}")
    unmasked(item, "index", array.ndim)
    return copied(item.array if isinstance(item, Tensor) else item, array)


def copied(values: Any, array: np.ndarray) -> np.ndarray:
    """An array that the engine has made of values; whoever watches is told."""
    current().watcher.copied(values, array)
    return array


class NumPy(Protocol):
    """NumPy's functions and ufuncs, called with tensors; and arrays of what users pass, none of them masked."""

    def array(self, values: Any, name: str, dtype: npt.DTypeLike | None) -> np.ndarray:
        """Raises ArgumentError for values that make no array, DtypeError for masked ones."""
        try:
            array = super().array(values, name, dtype)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        except TinyhyperError:
            raise
        except (ValueError, TypeError, OverflowError, RuntimeError, np.ma.MaskError) as error:
            raise ArgumentError(f"{name}: the values must be one array, with rows of equal length: {error}") from error
        if type(values) not in KNOWN:
            unmasked(values, name, array.ndim + (array.dtype.kind == "f" and bool(np.isnan(array).any())))
        return copied(values, array)

    def check(self, array: Any) -> None:
        unmasked(array, "Tensor", 1)
        super().check(array)

    def index(self, index: Any) -> Any:
        """Raises DtypeError for an index that is not of integers or booleans."""
        if type(index) is not tuple:
            return frozen(index)
        items = tuple(map(frozen, index))
        return items[0] if [*map(type, items)] == [np.ndarray] else items

    def refusal(
        self, op: Any, arrays: Sequence[np.ndarray], options: dict[str, Any], error: Exception
    ) -> Exception:
        """Of an elementwise operation: DtypeError, ShapeError where shapes do not broadcast, else ArgumentError."""
        if not isinstance(op, Elementwise):
            return super().refusal(op, arrays, options, error)
        if isinstance(error, TypeError):
            return DtypeError(f"{op.name} of {' and '.join([str(array.dtype) for array in arrays])}: {error}")
        try:
            broadcast(op.name, arrays)
        except ShapeError as misfit:
            return misfit
        return ArgumentError(f"{op.name}: {error}")

    def gradient(self, tensor: Any) -> None:
        grad, what = tensor.grad, f"backward: .grad of a tensor of shape {tensor.shape}"
        if not isinstance(grad, Tensor):
            raise DtypeError(f"{what} must be a tensor, not a {type(grad).__name__}")
        if grad.shape != tensor.shape:
            raise ShapeError(f"{what} must have that shape, not {grad.shape}")
        if grad.dtype not in FLOATS:
            own = tensor.dtype
            raise DtypeError(f"backward: .grad of a tensor of {own} must be of {own}, not {grad.dtype}")

    def ufunc(self, ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
        if any(map(foreign, map(type, args))):
            return NotImplemented
        return dispatch(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", args, kwargs)

    def function(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(kind.__array_function__ not in OURS for kind in types):
            return NotImplemented
        module = function.__module__.removeprefix("numpy").lstrip(".")
        return dispatch(f"{module}.{function.__name__}".lstrip("."), args, kwargs)


def __array__(x: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    if x.edge is not None:
        raise DtypeError(
            "this NumPy call would take the values and silently cut the graph. Write x.numpy() or x.detach() to cut "
            "it, or use one of tinyhyper's operations (tinyhyper.ops lists them); of a masked array, take x.filled()"
        )
    return copied(x.array, np.array(x.array, dtype=dtype))


def __float__(x: Tensor) -> float:
    """The value of a tensor of one element. Raises DtypeError where other code asks for it, and would cut a graph."""
    return float(_converted(x, "float"))


def __int__(x: Tensor) -> int:
    """As float(x), as an integer."""
    return int(_converted(x, "int"))


def _converted(x: Tensor, name: str) -> Any:
    value = x.item()
    on_graph = recorded(x) and x.edge is not None and not x.edge[0].released
    if on_graph and not by_name(sys._getframe(2)):
        raise DtypeError(
            f"{name}: a plain number, as for an element of a NumPy array or a function of math, would silently cut the "
            f"graph. Join tensors by th.stack, use functions of th, or write x.item() or {name}(x) to cut it"
        )
    return value


take_over(NumPy())
attach(Tensor, {"__array__": __array__, "__float__": __float__, "__int__": __int__})
