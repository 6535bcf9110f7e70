"""Where NumPy comes in: arrays of what users pass, NumPy's functions called with tensors, and values that leave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .asking import by_name
from .errors import ArgumentError, DtypeError, ShapeError, TinyhyperError, UnsupportedError
from .tape import Edge, mode

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

PLAIN: set[type] = {np.ndarray, float, int, bool, np.float64, np.float32}  # and Tensor: what needs no closer look

NUMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def array_of(values: Any, name: str, dtype: npt.DTypeLike | None = None) -> np.ndarray:
    """A new array of the values, of a dtype that a tensor can have. Raises ArgumentError or DtypeError."""
    try:
        array = np.array(values, dtype=dtype, order="C")
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    except TinyhyperError:
        raise
    except (ValueError, TypeError, OverflowError, RuntimeError, np.ma.MaskError) as error:
        raise ArgumentError(f"{name}: the values do not make one array: {error}") from error
    if array.dtype not in FLOATS and array.dtype.kind not in "iub":
        raise DtypeError(
            f"{name}: dtype {array.dtype}, of a {type(values).__name__}, is not supported; use float32, float64, an "
            "integer type or bool"
        )
    if type(values) not in PLAIN:
        unmasked(values, name, array.ndim + bool(np.isnan(array).any()))
    return array


def unmasked(values: Any, name: str, depth: int) -> None:
    """Raise DtypeError if a masked array is among values nested so deep."""
    if type(values) not in PLAIN and _masked(values, depth):
        raise DtypeError(f"{name}: {UNMASKED}")


UNMASKED = (
    "a masked array would lose its mask. Fill in a value, x.filled(0.0), and keep the mask beside it: "
    "th.where(x.mask, 0.0, y)"
)


def _masked(values: Any, depth: int) -> bool:
    """As unmasked says. (Numbers are not looked at: one that is masked is NaN.)"""
    if isinstance(values, (list, tuple, Sequence)):  # the first two are told at once
        return depth > 1 and any(_masked(item, depth - 1) for item in values)
    return isinstance(values, np.ma.MaskedArray)


def owner_of(array: np.ndarray) -> np.ndarray:
    """The array that the memory belongs to."""
    return array if array.base is None else array.base


def foreign(kind: type) -> bool:
    """Whether a class has rules of its own for NumPy's functions: then its operators have the word, as in NumPy."""
    return kind not in PLAIN and getattr(kind, "__array_ufunc__", OURS[0]) not in OURS


def dispatch(name: str, args: Any, kwargs: Any) -> Any:
    operation = NUMPY_FUNCTIONS.get(name)
    if operation is None:
        raise UnsupportedError(
            f"numpy.{name} has no rule here, so it cannot be applied to a Tensor. "
            "Build it from operations that have one (tinyhyper.ops lists them), or apply it to x.numpy()"
        )
    if kwargs.get("out") is not None:
        raise UnsupportedError(f"numpy.{name}: out= would overwrite an array; tensors are never written to")
    kwargs.pop("out", None)
    return operation(*args, **kwargs)


class Leaving:
    """How the values of a tensor leave the engine: by NumPy's protocols and Python's conversions."""

    __slots__ = ()

    if TYPE_CHECKING:
        array: np.ndarray
        edge: Edge | None

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number. Raises ShapeError for any other size."""
        if self.array.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.array.shape} has {self.array.size} elements, not one")
        return self.array.item()

    def numpy(self) -> np.ndarray:
        """The values as a read-only array; no gradient flows through it."""
        view = self.array.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.edge is not None:
            raise DtypeError(
                "this NumPy call would take the values and silently cut the graph. Say x.numpy() or x.detach() to cut "
                "it, or use an operation with a rule (tinyhyper.ops lists them); of a masked array, take x.filled()"
            )
        return np.array(self.array, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if not PLAIN.issuperset(map(type, args)) and any(map(foreign, map(type, args))):
            return NotImplemented
        return dispatch(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", args, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(kind.__array_function__ not in OURS for kind in types):
            return NotImplemented
        module = function.__module__.removeprefix("numpy").lstrip(".")
        return dispatch(f"{module}.{function.__name__}".lstrip("."), args, kwargs)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ShapeError(f"the truth of a tensor of shape {self.array.shape} is not one value: say any() or all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._converted("float"))

    def __int__(self) -> int:
        return int(self._converted("int"))

    def _converted(self, name: str) -> Any:
        """The value for float() and int(). Raises DtypeError where other code asks for it, and would cut a graph."""
        value = self.item()
        on_graph = self.edge is not None and mode.recording and not self.edge[0].released
        if on_graph and not by_name(sys._getframe(2)):
            raise DtypeError(
                f"{name}: an element of a NumPy array, a function of math and the like take a plain number, which "
                "would silently cut the graph. Put tensors together with th.stack, use th's own functions, or say "
                f"x.item() or {name}(x) to cut it"
            )
        return value


OURS = (np.ndarray.__array_ufunc__, Leaving.__array_ufunc__, np.ndarray.__array_function__, Leaving.__array_function__)
