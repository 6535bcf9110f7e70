"""What a recording is told of an optimizer's step: which tensor is what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.tensor import Tensor
from ..errors import ArgumentError
from ..watcher import SiteWatcher

if TYPE_CHECKING:
    from ..core.tower import Optimizer

Tensors: TypeAlias = "Mapping[str, Tensor]"


class Labels(SiteWatcher):
    """A watcher that labels what a tower's levels move."""

    if TYPE_CHECKING:  # a subclass has these

        def label(
            self, tensor: Tensor, name: str, role: Any, level: int, coordinate: Any = None, range: Any = None
        ) -> None: ...
        def labelled(self, tensor: Tensor) -> bool: ...

    def moving(
        self, levels: Sequence[Optimizer], height: int, name: Any, w: Tensor, g: Tensor, state: Any, used: Tensors
    ) -> None:
        level, below = levels[height], levels[height - 1]
        rule, keys = level._update(name)
        self.label(g, as_text(name), "gradient", height, below._coordinates[below._rows[name]] if height else None)
        self.moved(levels, height, name, w, dict(zip(rule.states, state)))
        for row, tensor in used.items():
            self._hyperparameter(tensor, keys[row], height, level)

    def moved(self, levels: Sequence[Optimizer], height: int, name: Any, w: Tensor, states: Tensors) -> None:
        if height:
            self._hyperparameter(w, name, height - 1, levels[height - 1])
        else:
            self.label(w, as_text(name), "weights", 0)
        for key, tensor in states.items():
            self.label(tensor, f"{as_text(name)}.{key}", "state", height)

    def _hyperparameter(self, tensor: Tensor, key: str, height: int, level: Optimizer) -> None:
        if not self.labelled(tensor):
            row = level._rows.get(key)
            facts = (None, None) if row is None else (level._coordinates[row], level.table[row].range)
            self.label(tensor, key, "hyperparameter", height, *facts)


def as_text(name: Any) -> str:
    """The name of a parameter as text, whatever its key in the dict is."""
    return name if isinstance(name, str) and name else repr(name)


def span_of(span: Any) -> tuple[float, float]:
    """The two numbers of a range. Raises ArgumentError for anything else."""
    try:
        low, high = map(float, span)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low <= high:
        raise ArgumentError(f"label: range={span!r} must be a pair of numbers (low, high)")
    return low, high
