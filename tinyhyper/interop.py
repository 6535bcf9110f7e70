"""Where NumPy comes in: arrays of what users pass, and NumPy's functions called with tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, DtypeError, TinyhyperError, UnsupportedError

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

NUMPY_FUNCTIONS: dict[str, Callable[..., Any]] = {}


def array_of(values: Any, name: str, dtype: npt.DTypeLike | None = None) -> np.ndarray:
    """A new array of the values, of a dtype that a tensor can have. Raises ArgumentError or DtypeError."""
    try:
        array = np.array(values, dtype=dtype, order="C")
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    except TinyhyperError:
        raise
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise ArgumentError(f"{name}: the values do not make one array: {error}") from error
    if array.dtype not in FLOATS and array.dtype.kind not in "iub":
        raise DtypeError(
            f"{name}: dtype {array.dtype}, of a {type(values).__name__}, is not supported; use float32, float64, an "
            "integer type or bool"
        )
    return array


def owner_of(array: np.ndarray) -> np.ndarray:
    """The array that the memory belongs to."""
    return array if array.base is None else array.base


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
