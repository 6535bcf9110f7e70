"""A level of a tower as an object: its values, the level above, copies of it, and its name; `tower` moves it."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

from . import checks, saving
from .fields import Fields

Self = TypeVar("Self", bound="Level")


class Level(Fields):
    """What an optimizer is beside its steps."""

    @property
    def optimizer(self) -> Level | None:
        """The level above, which belongs to this level alone. Raises ArgumentError for one that is another's."""
        return self._above

    @optimizer.setter
    def optimizer(self, above: Level | None) -> None:
        self._above = checks.above(self, above)
        if above is not None:
            above._below = weakref.ref(self)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The values a person means, by name."""
        return checks.ReadOnly({key: self.meaning(key, p.item()) for key, p in self.parameters.items()})

    def state_dict(self) -> dict[str, Any]:
        """The tower as plain numbers, names and NumPy arrays, bottom level first.

        The first hypergradients after loading are zero: the edge to the weights is not saved. (`th.save` does.)
        """
        return saving.state_dict(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict()` of the same tower. Raises ArgumentError before anything has changed."""
        saving.load_state_dict(self, saved)

    def __getstate__(self) -> dict[str, Any]:
        saving.outside_window(self)
        return saving.copied(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self._above is not None:
            self._above._below = weakref.ref(self)

    def __copy__(self: Self) -> Self:
        return copy.deepcopy(self)  # a level belongs to one tower

    def __str__(self) -> str:
        return " / ".join(level._describe() for level in self.levels)

    def _describe(self) -> str:
        values = self.hyperparameters
        shown = [
            f"{key}={values[key]:.6g}"
            for key, row in self._rows.items()
            if row in self._in_use and (self.table[row].tuned or key in self._tuned)
        ]
        shown += [f"{key}={value}" for key, value in self._options if value]
        shown += filter(None, map(str, (self._window, self._limits, self._guard)))
        return f"{type(self).__name__}({', '.join(shown)})"

    __repr__ = __str__
