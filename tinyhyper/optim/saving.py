"""A tower as plain data, and back."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import whole
from ..core.operation import attach
from ..core.tensor import Tensor, leaf
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from .boundary import Boundary, Value, arrays, tensors, values
from .checks import Parameters, number, put_above
from .horizon import Window
from .ranges import admits, ends

SHAPE = ("coordinates", "options", "tuned", "used")  # what a level has from its constructor, and keeps


def state_dict(optimizer: Optimizer) -> dict[str, Any]:
    """The tower as plain numbers, names and NumPy arrays, of the shapes and dtypes that the states have, bottom level
    first.

    Values only: the edge from the hyperparameters to the weights is not among them, so the first hypergradients after
    loading are zero, as at the first step of a run, and a new window of the horizon begins. (`th.save` saves the edge.)
    """
    return {"levels": _with_copies(described(optimizer))}


def _with_copies(levels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The levels, with arrays of their own."""
    for level in levels:
        level["state"] = {
            name: {key: array.copy("K") for key, array in own.items()} for name, own in level["state"].items()
        }
    return levels


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
        "state": arrays(level._states),
    }


def outside_window(level: Optimizer) -> dict[str, Any]:
    """What a copy of a level begins with. Raises GraphError where it would lose a graph that counts."""
    if level.hooks[Window].steps:
        raise GraphError(
            "copying a tower in a window of its horizon would lose the window's graph. Copy it before its first step, "
            "take its state_dict(), or th.save() it between the backward() and the step() with which a window begins"
        )
    return copied(level)


def copied(level: Optimizer) -> dict[str, Any]:
    """What a copy of a level begins with: values, gradients and states, no graph, and the beginning of a window."""
    return {
        **_apart(level),
        "parameters": Parameters({key: Value(*value).tensor() for key, value in values(level.parameters).items()}),
        "_states": tensors(arrays(level._states)),
    }


def _apart(level: Optimizer) -> dict[str, Any]:
    """A level's attributes for another one: hooks of its own, and rules that are still to be made."""
    hooks = {hook: copy.deepcopy(own) for hook, own in level.hooks.items()}
    return {**vars(level), "hooks": hooks, "_updates": {}}


def twin(tower: Optimizer) -> Optimizer:
    """A tower of the same levels at the same values, which begins a window."""
    made = bare(tower)
    put(made, checked(tower, {"levels": described(tower)}))
    return made


def bare(tower: Optimizer) -> Optimizer:
    """A tower of the same levels, whose values are still to be put in; those of the tower are not looked at."""
    levels = []
    for original in tower.levels:
        level = object.__new__(type(original))
        vars(level).update(_apart(original), parameters=Parameters(original.parameters), _above=None)
        levels.append(level)
    for level, above in zip(levels, levels[1:]):
        level.optimizer = above
    return levels[0]


def _restore(level: Optimizer, state: dict[str, Any]) -> None:
    vars(level).update(state)
    put_above(level, level.optimizer)


def load_state_dict(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Go on from saved numbers.

    saved: a `state_dict()` of such a tower. Raises ArgumentError for anything else, before anything has changed.
    """
    try:
        entries = checked(optimizer, saved)
        _check_numbers(optimizer, entries)
    except ArgumentError as error:
        raise ArgumentError(f"load_state_dict: {error}") from None
    put(optimizer, _with_copies(entries))


def checked(optimizer: Optimizer, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The levels for `put`, with the very arrays. Raises ArgumentError where they are of another tower."""
    levels = optimizer.levels
    try:
        entries = [
            {
                **entry,
                "t": whole("t", entry["t"], 0),
                "skipped": whole("skipped", entry["skipped"], 0),
                "parameters": {key: number(key, value) for key, value in entry["parameters"].items()},
                "initial": {key: float(value) for key, value in entry["initial"].items()},
                "state": {
                    name: {key: np.asanyarray(value) for key, value in own.items()}
                    for name, own in entry["state"].items()
                },
            }
            for entry in saved["levels"]
        ]
        names = [entry["optimizer"] for entry in entries]
    except ArgumentError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"this is not the state_dict() of a tower ({error!r})") from None
    if names != [type(level).__name__ for level in levels]:
        raise ArgumentError(f"it was saved from {' / '.join(names)}, but this tower is {optimizer}")
    for height, (level, entry) in enumerate(zip(levels, entries)):
        _check(height, level, entry)
    return entries


def put(optimizer: Optimizer, entries: Sequence[Mapping[str, Any]]) -> None:
    """Let the tower go on from these levels."""
    for level, entry in zip(optimizer.levels, entries):
        level._t, level.skipped = Tensor(np.array(float(entry["t"]))), entry["skipped"]
        for key, value in entry["parameters"].items():
            constant = Tensor(np.array(value))
            level.parameters[key] = leaf(constant) if key in level._tuned else constant
        level._initial = entry["initial"]
        level._states = tensors(entry["state"])
        level.hooks[Window].restart()
        level.hooks[Boundary].last = None  # what comes next does not follow on that step


def _check(height: int, level: Optimizer, entry: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless a level saved as `entry` was one like this."""
    now, name = _level(level), type(level).__name__
    where = f"level {height}, {name},"
    if set(entry["parameters"]) != set(level.parameters):
        raise ArgumentError(
            f"{where} was saved with {_listed(entry['parameters'])}, but this one has {_listed(level.parameters)}"
        )
    for key in SHAPE:
        saved, mine = entry.get(key), now[key]
        if saved == mine:
            continue
        if isinstance(saved, Mapping) and isinstance(mine, Mapping):
            row = next(row for row in {**mine, **saved} if saved.get(row) != mine.get(row))
            key, saved, mine = f"{key}[{row!r}]", saved.get(row), mine.get(row)
        raise ArgumentError(f"{where} was saved with {key} {_listed(saved)}, but this one has {_listed(mine)}")
    if set(entry["initial"]) != set(level._initial):
        raise ArgumentError(
            f"{where} was saved with states {_listed(entry['initial'])}, but this one has {_listed(level._initial)}"
        )
    for target, own in entry["state"].items():
        wanted = level._update(target)[0].states
        if set(own) != set(wanted):
            raise ArgumentError(
                f"level {height}: the state of {target!r} has {_listed(own)}, but {name} keeps {_listed(wanted)}"
            )


def _check_numbers(optimizer: Optimizer, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise ArgumentError for numbers that no tower has after a good step."""
    for height, (level, entry) in enumerate(zip(optimizer.levels, entries)):
        where = f"level {height}, {type(level).__name__}"
        for key, internal in entry["parameters"].items():
            value, row = level.meaning(key, internal), level.table[level._rows[key]]
            if not math.isfinite(value) or (math.isinf(internal) and key in level._tuned):
                raise ArgumentError(f"{where}: {key} is {internal}")
            if key not in level._tuned and not admits(row, value):
                raise ArgumentError(f"{where}: {key} is {value}, outside its range from {ends(row.range)}")
        for target, own in {"a new parameter": entry["initial"], **entry["state"]}.items():
            for key, state in own.items():
                if np.ma.isMaskedArray(state) or not np.isfinite(state).all():
                    raise ArgumentError(f"{where}: the state {key!r} of {target!r} must be finite")
                if key in level.squares and np.any(np.less(state, 0)):
                    raise ArgumentError(
                        f"{where}: the state {key!r} of {target!r} is a sum of squares and must be >= 0"
                    )


def _listed(names: Any) -> str:
    """Names in a row, or a single value."""
    listed = isinstance(names, Iterable) and not isinstance(names, str)
    return (", ".join(map(str, names)) or "nothing") if listed else str(names)


def register() -> None:
    """Give every level the methods by which it is saved and copied."""
    attach(
        Optimizer,
        {
            "state_dict": state_dict,
            "load_state_dict": load_state_dict,
            "__getstate__": outside_window,
            "__setstate__": _restore,
            "__copy__": copy.deepcopy,  # a level belongs to one tower
        },
    )
