"""Where NumPy comes in: arrays of what users pass, NumPy's functions called with tensors, and values that leave."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .asking import by_name
from .core.operation import OURS, attach, foreign
from .core.tape import current
from .core.tensor import PLAIN, Protocol, Tensor, take_over
from .errors import DtypeError, UnsupportedError

NUMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {}


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


class NumPy(Protocol):
    """NumPy's functions and ufuncs, called with tensors."""

    def ufunc(self, ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
        if not PLAIN.issuperset(map(type, args)) and any(map(foreign, map(type, args))):
            return NotImplemented
        return dispatch(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", args, kwargs)

    def function(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(kind.__array_function__ not in OURS for kind in types):
            return NotImplemented
        module = function.__module__.removeprefix("numpy").lstrip(".")
        return dispatch(f"{module}.{function.__name__}".lstrip("."), args, kwargs)


def __float__(x: Tensor) -> float:
    """The value of a tensor of one element. Raises DtypeError where other code asks for it, and would cut a graph."""
    return float(_converted(x, "float"))


def __int__(x: Tensor) -> int:
    """As float(x), as an integer."""
    return int(_converted(x, "int"))


def _converted(x: Tensor, name: str) -> Any:
    value = x.item()
    on_graph = x.edge is not None and current().recording and not x.edge[0].released
    if on_graph and not by_name(sys._getframe(2)):
        raise DtypeError(
            f"{name}: an element of a NumPy array, a function of math and the like take a plain number, which "
            "would silently cut the graph. Put tensors together with th.stack, use th's own functions, or say "
            f"x.item() or {name}(x) to cut it"
        )
    return value


take_over(NumPy())
attach(Tensor, {"__float__": __float__, "__int__": __int__})
