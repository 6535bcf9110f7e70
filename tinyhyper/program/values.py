"""The values that cross from step to step, by key: weights, hyperparameters, states, and how many steps were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.coordinates import LINEAR
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import DtypeError
from ..naming import Name
from ..plain import plain

Key = tuple[Any, ...]


def values_of(params: Mapping[str, Any], levels: Sequence[Optimizer]) -> dict[Key, Tensor]:
    """The tensors of a tower and of what it moves. Raises DtypeError for a weight that is not a tensor."""
    found: dict[Key, Tensor] = {}
    for name, tensor in params.items():
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise DtypeError(
                f"replay: params[{name!r}] must be a tensor, not a {kind}; make it with th.tensor(..., "
                "requires_grad=True)"
            )
        found["weight", name] = tensor
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
    """What the loss carries, as the very arrays. Raises DtypeError for what is neither an array nor a tensor."""
    for name, x in carry.items():
        if not isinstance(x, (Tensor, np.ndarray, np.generic)):
            raise DtypeError(
                f"replay: carry[{name!r}] must be an array or a tensor, not a {type(x).__name__}; the loss replaces it"
            )
    return {("carry", name): x.array if isinstance(x, Tensor) else x for name, x in carry.items()}


def name_of(key: Key) -> Name:
    """What the inspector calls a value."""
    kind, *rest = key
    if kind in ("weight", "carry"):
        return Name("weights" if kind == "weight" else kind, 0, str(rest[0]))
    height, *names = rest
    return Name("state" if kind == "state" else "hyperparameter", height, ".".join(map(str, names or ["t"])))


def named(key: Key) -> str:
    """What the inspector calls a value, with all characters of its name, as records hold it."""
    name = name_of(key)
    return name.title.replace(plain(name.name), name.name)


def names_of(keys: Iterable[Key]) -> dict[Key, str]:
    """The names of values, of which none could be taken for another."""
    names = {key: named(key) for key in keys}
    several = Counter(names.values())
    return {key: name if several[name] == 1 else name_of(key).exact for key, name in names.items()}
