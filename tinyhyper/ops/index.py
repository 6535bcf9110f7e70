"""Indexing: basic and advanced, as NumPy has it. Elements taken more than once accumulate their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import integer
from ..core.rules import frozen, getitem
from ..core.tensor import Tensor, as_tensor
from ..errors import ShapeError


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """The elements at `indices` (integers, of any shape) along an axis, or of the flattened tensor if None.

    Booleans are taken for 0 and 1, as by NumPy; x[mask] selects.
    """
    x, places = as_tensor(x), frozen(indices)
    places = np.asarray(places, np.intp) if np.asarray(places).dtype == bool else places
    if axis is None:
        return getitem(x if x.ndim == 1 else x.ravel(), places)
    axis = checked_axis("take", x, axis)
    return getitem(x, (slice(None),) * axis + (places,))


def checked_axis(name: str, x: Tensor, axis: Any) -> int:
    """An axis of x, counted from the first. Raises DtypeError for what is no integer, ShapeError out of bounds."""
    if not -x.ndim <= integer(f"{name}: axis", axis) < x.ndim:
        raise ShapeError(f"{name}: axis {axis} is out of bounds for shape {x.shape}")
    return axis % x.ndim
