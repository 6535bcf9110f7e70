"""A replayed step held against an eager one, which starts from the same moment on copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..optim.saving import twin
from .moment import Batch, Moment, live, restore
from .values import Key, arrays_of, named, values_of
from .visible import Visible

CLOSE = {"f": 1e-5, "d": 1e-12}  # by dtype of the loss, of the largest element


def differs(
    before: Moment, after: Mapping[Key, np.ndarray], loss: np.ndarray, visible: Visible, batch: Batch,
    step: Callable[[MutableMapping[str, Tensor], Batch, Any], Tensor], exact: bool,
) -> str | None:  # fmt: skip
    """What an eager step makes else of a moment, in words; None if it makes the same.

    after, loss: what the program has made of it.  step: step(params, batch, optimizer) makes a step.
    """
    tower, kept = twin(visible.optimizer), dict(visible.carry)
    try:
        visible.put_carry(before.cut().carried.__getitem__)
        params = live(before, tower, lambda params, batch: step(params, batch, tower))
        for key, made in values_of(params, tower.levels).items():
            restore(made, before.array(key))
        visible.put_carry(before.array)
        expected = step(params, batch, tower)
        found = {key: tensor.array for key, tensor in values_of(params, tower.levels).items()}
        found |= arrays_of(visible.carry)
    finally:
        visible.carry.update(kept)
    close = 0.0 if exact else CLOSE[loss.dtype.char]
    pairs = [("the loss", loss, expected.array), *[(named(key), after[key], found[key]) for key in after]]
    for name, mine, its in pairs:
        error = distance(mine, its)
        if not error <= close:
            return f"{name} is {_shown(mine)}, and {_shown(its)} in the eager step ({error:.2g} of the largest element)"
    return None


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, as a share of the largest finite element; 0 for equal arrays, NaN is NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return np.inf
    same = (one == other) | ((one != one) & (other != other))
    if same.all():
        return 0.0
    largest = np.max(np.abs(other), where=np.isfinite(other), initial=0.0)
    return float(np.max(np.abs(one - other), where=~same, initial=0.0) / largest) if largest else np.inf


def _shown(array: np.ndarray) -> str:
    return f"{array.item():.17g}" if array.size == 1 else f"an array of shape {array.shape}"
