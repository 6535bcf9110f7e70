"""What a step would change: made in full before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import NamedTuple, TypeAlias

import numpy as np

from ..core.tensor import Tensor
from .fields import Fields

Result: TypeAlias = "tuple[Fields, str, str | None, np.ndarray]"


class Move(NamedTuple):
    """What a level's step would change: the moved targets and their new states, by name."""

    level: Fields
    targets: MutableMapping[str, Tensor]
    moved: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]

    def results(self) -> Iterator[Result]:
        """Each new value, and its new states with their names: by what level, and of which target."""
        for name, tensor in self.moved.items():
            yield self.level, name, None, tensor.array
            for key, state in self.states[name].items():
                yield self.level, name, key, state.array

    def apply(self) -> None:
        self.level.t += 1
        self.level._states = {**self.level._states, **self.states}
        self.targets.update(self.moved)
