"""Buffers: a layer's arrays that no gradient moves. What may be loaded, and what a skipped step puts back.

A call in training writes to buffers before anybody knows whether its batch is any good. So their values are noted
first, beside a weight that the call is given: a step that skips the batch finds them by the weights that it does not
move. A step that is made replaces its weights, and notes beside the old ones are gone with them. A call without any
weight, as of a dropout alone, is taken for one of the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from .core.tape import Node, quietly
from .core.tensor import Tensor, array_of
from .errors import ArgumentError, DtypeError, ShapeError
from .finite import all_finite, described
from .operands import recorded

Table = dict[str, np.ndarray]

skipping: WeakSet[Any] = WeakSet()  # whoever may ask for buffers to be put back; without any, nothing is noted
Notes = dict[int, tuple[Table, Table]]
_before: WeakKeyDictionary[Node, Notes] = WeakKeyDictionary()
_without_weights: Notes = {}


def note(layer: str, arguments: Iterable[Any], own: Table) -> None:
    """Note the buffers of a layer that is called, unless an earlier call of the same step has done so.

    layer: its name.  arguments: of the call, with params among them, which may be of several towers.
    Under `no_grad()` there is nothing to skip, and nothing is noted.
    """
    if not recorded():
        return
    params = next((argument for argument in arguments if isinstance(argument, Mapping)), {})
    own_first = sorted(params, key=lambda name: not str(name).startswith(f"{layer}."))
    edges = (w.edge for w in map(params.__getitem__, own_first) if isinstance(w, Tensor))
    edge = next(filter(None, edges), None)
    noted = _without_weights if edge is None else _before.setdefault(edge[0], {})
    if id(own) not in noted:
        noted[id(own)] = own, {short: array.copy() for short, array in own.items()}


def put_back(weights: Iterable[Tensor]) -> None:
    """Give buffers the values that they had before the calls with these weights."""
    for own, before in _taken(weights):
        own.update(before)


def forget(weights: Iterable[Tensor]) -> None:
    """Let the values stand that calls with these weights have left."""
    _taken(weights)


def _taken(weights: Iterable[Tensor]) -> list[tuple[Table, Table]]:
    """What is noted beside the weights, and without any; it is noted no longer."""
    nodes = {w.edge[0] for w in weights if w.edge is not None}
    found = [*_without_weights.values(), *(pair for node in nodes for pair in _before.pop(node, {}).values())]
    _without_weights.clear()
    return found


def checked(name: str, own: np.ndarray, saved: Any, nonnegative: bool) -> np.ndarray:
    """A saved buffer as its layer keeps it. Raises ShapeError, DtypeError or ArgumentError for what it cannot hold.

    own: the layer's array.  nonnegative: whether its values are never below 0.
    """
    given = array_of(saved, what := f"load_buffers: {name}")
    if given.shape != own.shape:
        raise ShapeError(f"{what} has shape {own.shape}, but the saved array has {given.shape}")
    if (given.dtype == bool) != (own.dtype == bool):
        raise DtypeError(f"{what} is {own.dtype}, but the saved array is {given.dtype}")
    value = quietly(given.astype, own.dtype)
    if own.dtype.kind in "iu" and not np.array_equal(value, given):
        raise ArgumentError(f"{what} holds integers of {own.dtype}, but the saved array is {given}")
    if not all_finite(value) and all_finite(own):
        raise ArgumentError(f"{what} must be finite, but the saved array has {described(value)}")
    if nonnegative and (value < 0).any():
        raise ArgumentError(f"{what} must be >= 0, but the saved array is {given}")
    return value
