"""A tower as plain data, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ..tensor import Tensor, leaf

if TYPE_CHECKING:
    from .tower import Optimizer

SHAPE = ("coordinates", "options", "tuned", "used")  # what a level has from its constructor, and keeps


def state_dict(optimizer: Optimizer) -> dict[str, Any]:
    """The numbers, names and arrays of every level, bottom first.

    Values only: the edge from the hyperparameters to the weights is not among them, so the first hypergradients after
    loading are zero, as at the first step of a run, and a new window of the horizon begins.
    """
    levels = described(optimizer)
    for level in levels:
        level["state"] = {
            name: {key: array.copy("K") for key, array in kept.items()} for name, kept in level["state"].items()
        }
    return {"levels": levels}


def described(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The levels, with the very arrays of their state."""
    return [_level(level) for level in optimizer.levels]


def _level(level: Optimizer) -> dict[str, Any]:
    return {
        "optimizer": type(level).__name__,
        "coordinates": {name: coordinate.name for name, coordinate in level._coordinates.items()},
        "options": dict(level._options),
        "tuned": list(level._tuned),
        "used": sorted(level._in_use),
        "t": level.t,
        "skipped": level.skipped,
        "parameters": {key: value.item() for key, value in level.parameters.items()},
        "initial": dict(level._initial),
        "state": {name: {key: value.array for key, value in kept.items()} for name, kept in level._states.items()},
    }


def load_state_dict(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Put saved numbers into a tower of the same levels. Raises ArgumentError before anything has changed."""
    try:
        entries = checked(optimizer, saved)
    except ArgumentError as error:
        raise ArgumentError(f"load_state_dict: {error}") from None
    put(optimizer, entries)


def checked(optimizer: Optimizer, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The levels for `put`, with arrays of their own. Raises ArgumentError where they are of another tower."""
    levels = optimizer.levels
    try:
        entries = [
            {
                **entry,
                "t": int(entry["t"]),
                "skipped": int(entry["skipped"]),
                "parameters": {key: float(value) for key, value in entry["parameters"].items()},
                "initial": {key: float(value) for key, value in entry["initial"].items()},
                "state": {
                    name: {key: np.array(value) for key, value in kept.items()} for name, kept in entry["state"].items()
                },
            }
            for entry in saved["levels"]
        ]
        names = [entry["optimizer"] for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"this is not the state_dict() of a tower ({error!r})") from None
    if names != [type(level).__name__ for level in levels]:
        raise ArgumentError(f"saved from {' / '.join(names)}, this tower is {optimizer}")
    for height, (level, entry) in enumerate(zip(levels, entries)):
        _check(height, level, entry)
    return entries


def put(optimizer: Optimizer, entries: Sequence[Mapping[str, Any]]) -> None:
    """Let the tower go on from these levels."""
    for level, entry in zip(optimizer.levels, entries):
        level.t, level.skipped = entry["t"], entry["skipped"]
        for key, value in entry["parameters"].items():
            constant = Tensor(np.array(value))
            level.parameters[key] = leaf(constant) if key in level._tuned else constant
        level._initial = entry["initial"]
        level._states = {
            name: {key: Tensor(array) for key, array in kept.items()} for name, kept in entry["state"].items()
        }
        level._window.restart()


def _check(height: int, level: Optimizer, entry: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless a level saved as `entry` was one like this."""
    now, name = _level(level), type(level).__name__
    where = f"level {height}, {name},"
    if set(entry["parameters"]) != set(level.parameters):
        raise ArgumentError(
            f"{where} was saved with {_listed(entry['parameters'])}, this one has {_listed(level.parameters)}"
        )
    for key in SHAPE:
        saved, mine = entry.get(key), now[key]
        if saved == mine:
            continue
        if isinstance(saved, Mapping) and isinstance(mine, Mapping):
            row = next(row for row in {**mine, **saved} if saved.get(row) != mine.get(row))
            key, saved, mine = f"{key}[{row!r}]", saved.get(row), mine.get(row)
        raise ArgumentError(f"{where} was saved with {key} {_listed(saved)}, this one has {_listed(mine)}")
    for target, kept in entry["state"].items():
        wanted = level._update(target)[0].kept
        if set(kept) != set(wanted):
            raise ArgumentError(
                f"level {height}: the state of {target!r} has {_listed(kept)}, but {name} keeps {_listed(wanted)}"
            )


def _listed(names: Any) -> str:
    """Names in a row, or a single value."""
    listed = isinstance(names, Iterable) and not isinstance(names, str)
    return (", ".join(map(str, names)) or "nothing") if listed else str(names)
