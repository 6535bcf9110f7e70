"""The values that cross from step to step, by key: weights, hyperparameters, states, and how many steps were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.coordinates import LINEAR
from ..core.tensor import Tensor
from ..core.tower import Optimizer

Key = tuple[Any, ...]


def values_of(params: Mapping[str, Tensor], levels: Sequence[Optimizer]) -> dict[Key, Tensor]:
    """The tensors of a tower and of what it moves."""
    found: dict[Key, Tensor] = {("weight", name): tensor for name, tensor in params.items()}
    for height, level in enumerate(levels):
        found["t", height] = level._t
        for name, tensor in level.parameters.items():
            found["hyperparameter", height, name] = tensor
        for target, states in level._states.items():
            for name, tensor in states.items():
                found["state", height, target, name] = tensor
    return found


def coordinates_of(levels: Sequence[Optimizer]) -> dict[Key, str]:
    """The hyperparameters that are tuned in another coordinate than their own, with its name."""
    return {
        ("hyperparameter", height, name): level._coordinates[row].name
        for height, level in enumerate(levels)
        for name, row in level._rows.items()
        if level._coordinates[row].name != LINEAR.name
    }


def arrays_of(carry: Mapping[str, Any]) -> dict[Key, np.ndarray]:
    """What the loss carries, as the very arrays."""
    return {("carry", name): x.array if isinstance(x, Tensor) else x for name, x in carry.items()}


def named(key: Key) -> str:
    """A value's name: "alpha" at the bottom, "level1.alpha" above; a weight's is its own."""
    kind, *rest = key
    if kind in ("weight", "carry"):
        return str(rest[0])
    height, *names = rest
    return ".".join([*([f"level{height}"] if height else []), *map(str, names or ["t"])])
