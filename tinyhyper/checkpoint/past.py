"""A run as it was between two steps, in memory: it can be begun again from there, as from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..optim import saving
from ..optim.boundary import Boundary, Carry, Value
from ..optim.horizon import Window
from . import run

Bare = dict[str, tuple[np.ndarray, bool, bool]]


class Past(NamedTuple):
    """A run before a loss. Its arrays are those that the run had: nobody writes to them.

    tower: one of the same levels.  levels: its values.
    params, hyperparameters: by name, an array, whether it requires a gradient, and whether it is a leaf.
    last: what the last step has read, to make it again.  steps: as `go_on` takes it.
    refusal: why the run cannot be begun from here; None if it can.
    """

    tower: Optimizer
    levels: list[dict[str, Any]]
    params: Bare
    hyperparameters: list[Bare]
    last: Carry | None
    steps: int
    refusal: str | None

    def begin(self) -> tuple[dict[str, Tensor], Optimizer]:
        """New weights, and a new tower, that go on from here."""
        optimizer = saving.twin(self.tower)
        tower = {
            "settings": run.settings(optimizer),
            "levels": self.levels,
            "rules": [{} for _ in self.levels],
            "hyperparameters": [*map(_entries, self.hyperparameters)],
            "consumed": False,
            "last": run.plain(self.last),
        }
        return run.resume({"params": _entries(self.params), "tower": tower}, optimizer, self.steps), optimizer


def past(params: Mapping[str, Tensor], optimizer: Optimizer, tower: Optimizer, cut: Carry | None) -> Past:
    """A run as it is now, whatever backward passes have left in gradients since the last step.

    tower: one of the same levels, whose values are of no account.
    cut: with a horizon, what the last step has read, if it has cut and was seen.
    """
    window = optimizer.hooks[Window]
    last = optimizer.hooks[Boundary].last if window.horizon == 1 else cut
    return Past(
        tower,
        saving.described(optimizer),
        _bare(params),
        [_bare(level.parameters) for level in optimizer.levels],
        last,
        0 if window.horizon == 1 else window.steps,
        _refusal(params, optimizer, last),
    )


def _bare(tensors: Mapping[str, Tensor]) -> Bare:
    return {name: (tensor.array, tensor.edge is not None, tensor.is_leaf) for name, tensor in tensors.items()}


def _entries(found: Bare) -> dict[str, Any]:
    """Values as a file has them."""
    return {name: Value(array, None, flows)._asdict() | {"leaf": leaf} for name, (array, flows, leaf) in found.items()}


def _refusal(params: Mapping[str, Tensor], optimizer: Optimizer, last: Carry | None) -> str | None:
    """Why a run cannot be begun again as it is now: more than the edges of the last step, made again, leads on."""
    window, levels = optimizer.hooks[Window], optimizer.levels
    if window.steps and (window.horizon is None or (window.steps - 1) % window.horizon):
        return (
            "is within a window of the horizon: its graph leads back through losses that your code computed, and "
            "rewind repeats steps of the optimizer alone"
        )
    if last is not None and last.weights.keys() != params.keys():
        return f"follows a step of other weights: it moved {', '.join(map(repr, last.weights))}"
    if last is not None and [*map(set, last.hyperparameters)] != [set(level.parameters) for level in levels]:
        return "follows a step of other levels"
    if last is None and window.steps and window.horizon != 1:
        return "follows a step that was made before the recording"
    rules = run.fusions(optimizer)
    for height, tensors in enumerate([params, *[level.parameters for level in levels]]):
        for name, tensor in tensors.items():
            if tensor.edge is not None and (node := tensor.edge[0]).op is not None:
                if node.op not in rules and not node.seam:
                    place = f"{name} of level {height - 1}" if height else f"params[{name!r}]"
                    return f"begins with {place} made by {node!r}, not by a step of the tower that is known"
    return None
