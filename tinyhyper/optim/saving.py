"""A tower as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ..tensor import Tensor, leaf

if TYPE_CHECKING:
    from .tower import Optimizer


def state_dict(optimizer: Optimizer) -> dict[str, Any]:
    """The numbers, names and arrays of every level, bottom first.

    Values only: the edge from the hyperparameters to the weights is not among them, so the first hypergradients after
    loading are zero, as at the first step of a run, and a new window of the horizon begins.
    """
    return {"levels": [_level(level) for level in optimizer.levels]}


def _level(level: Optimizer) -> dict[str, Any]:
    return {
        "optimizer": type(level).__name__,
        "coordinates": {name: coordinate.name for name, coordinate in level._coordinates.items()},
        "tuned": list(level._tuned),
        "t": level.t,
        "parameters": {key: value.item() for key, value in level.parameters.items()},
        "state": {
            name: {key: value.array.copy() for key, value in kept.items()} for name, kept in level._states.items()
        },
    }


def load_state_dict(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Put saved numbers into a tower of the same levels. Raises ArgumentError before anything has changed."""
    levels = optimizer.levels
    try:
        entries = [
            {
                **entry,
                "t": int(entry["t"]),
                "parameters": {key: float(value) for key, value in entry["parameters"].items()},
                "state": {
                    name: {key: np.array(value) for key, value in kept.items()} for name, kept in entry["state"].items()
                },
            }
            for entry in saved["levels"]
        ]
        names = [entry["optimizer"] for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"load_state_dict: this is not the state_dict() of a tower ({error!r})") from None
    if names != [type(level).__name__ for level in levels]:
        raise ArgumentError(f"load_state_dict: saved from {' / '.join(names)}, this tower is {optimizer}")
    for level, entry in zip(levels, entries):
        _check(level, entry)
    for level, entry in zip(levels, entries):
        level.t = entry["t"]
        for key, value in entry["parameters"].items():
            constant = Tensor(np.array(value))
            level.parameters[key] = leaf(constant) if key in level._tuned else constant
        level._states = {
            name: {key: Tensor(array) for key, array in kept.items()} for name, kept in entry["state"].items()
        }
        level._window.restart()


def _check(level: Optimizer, entry: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless a level saved as `entry` was one like this."""
    name, now = type(level).__name__, _level(level)
    if set(entry["parameters"]) != set(level.parameters):
        raise ArgumentError(
            f"load_state_dict: {name} was saved with {', '.join(entry['parameters'])}, "
            f"this one has {', '.join(level.parameters)}"
        )
    for key in ("coordinates", "tuned"):
        if entry.get(key) != now[key]:
            raise ArgumentError(
                f"load_state_dict: {name} was saved with {key} {entry.get(key)}, this one has {now[key]}"
            )
    for target, kept in entry["state"].items():
        wanted = level._update(target)[0].kept
        if set(kept) != set(wanted):
            raise ArgumentError(
                f"load_state_dict: the state of {target!r} has {', '.join(kept) or 'nothing'}, "
                f"but {name} keeps {', '.join(wanted) or 'nothing'}"
            )
