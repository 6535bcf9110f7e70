"""What users see of a replayed run: tensors in `params` and in the levels of the tower."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.tape import unwatched
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..optim.boundary import Boundary, Carry, Value, make_again
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from .pending import Moment, Pending, become, pending
from .values import Key, values_of


class Cut(NamedTuple):
    """What the last step that cut has read. values, gradients: by key."""

    values: Mapping[Key, np.ndarray]
    gradients: Mapping[Key, np.ndarray]


class Seen(NamedTuple):
    """A tensor as it was put somewhere. edge: None while it is pending."""

    place: MutableMapping[Any, Tensor]
    name: Any
    tensor: Tensor
    edge: Any


class Visible:
    """The tensors of a tower and of what it moves."""

    def __init__(self, params: MutableMapping[str, Tensor], optimizer: Optimizer) -> None:
        self.params, self.optimizer, self.levels = params, optimizer, optimizer.levels
        self._seen: dict[Key, Seen] = {}
        self._inside: list[tuple[Tensor, Any]] = []  # of each level, t and the states

    def values(self) -> dict[Key, Tensor]:
        """The tensors of all values."""
        return values_of(self.params, self.levels)

    def put(self, moment: Moment) -> None:
        """Put pending tensors where a step has moved something."""
        weights = [("weight", name) for name in self.params]
        self.params.update(zip([*self.params], pending(moment, weights)))
        for height, level in enumerate(self.levels):
            tuned = [("hyperparameter", height, name) for name in level._tuned]
            dict.update(level.parameters, zip(level._tuned, pending(moment, tuned)))
            [level._t] = pending(moment, [("t", height)])
            level._states = {
                target: dict(zip(kept, pending(moment, [("state", height, target, name) for name in kept])))
                for target, kept in level._states.items()
            }
        self.note()

    def note(self) -> None:
        """Remember what is there."""
        found = {("weight", name): (self.params, name) for name in self.params}
        for height, level in enumerate(self.levels):
            found |= {("hyperparameter", height, name): (level.parameters, name) for name in level.parameters}
        self._seen = {
            key: Seen(place, name, tensor := place[name], None if type(tensor) is Pending else tensor.edge)
            for key, (place, name) in found.items()
        }
        self._inside = [(level._t, level._states) for level in self.levels]

    def changed(self, moment: Moment) -> dict[Key, np.ndarray] | None:
        """The values that were set by hand; None where more than values has changed."""
        found: dict[Key, np.ndarray] = {}
        if len(self.params) != sum(key[0] == "weight" for key in self._seen):
            return None
        for level, above, (t, states) in zip(self.levels, (*self.levels[1:], None), self._inside):
            if level._t is not t or level._states is not states or level._above is not above:
                return None
        for key, (place, name, tensor, edge) in self._seen.items():
            if place.get(name) is not tensor:
                return None
            if type(tensor) is not Pending:
                if edge is not None and tensor.edge is not edge or tensor.grad is not None:
                    return None
                if tensor.array is not moment.array(key):
                    found[key] = tensor.array
        return found

    def hand_over(
        self, values: Mapping[Key, np.ndarray], cut: Cut, since: Sequence[Any], eager: Callable[..., Any]
    ) -> None:
        """Give the tensors the edges that they have after an eager step.

        values: as they are now.  since: the batches of the steps since the cut.  eager: eager(params, batch) makes one.
        """
        bottom, seen = self.optimizer, self._seen
        window, steps = bottom.hooks[Window], bottom.hooks[Window].steps
        carry = self._carry(cut)
        params = make_again(bottom, carry)
        window.restart()
        window.steps = steps - len(since) - 1
        bottom.hooks[Boundary].last = carry if window.horizon == 1 else None
        bottom.hooks[Guard].settle(bottom, params, cuts=True)
        window.join(params)
        with unwatched():
            for batch in since:
                eager(params, batch)
        for key, made in values_of(params, self.levels).items():
            made.array = values[key]
            if key in seen:
                place, name, tensor, _ = seen[key]
                become(tensor, made)
                place[name] = tensor
        self.note()

    def _carry(self, cut: Cut) -> Carry:
        """What the step has read, as it is saved."""

        def entries(kind: tuple[Any, ...], names: Iterable[str], tuned: Collection[str]) -> dict[str, Value]:
            keys = {name: (*kind, name) for name in names}
            return {name: Value(cut.values[k], cut.gradients.get(k), name in tuned) for name, k in keys.items()}

        states: list[dict[str, dict[str, np.ndarray]]] = [{} for _ in self.levels]
        for key, array in cut.values.items():
            if key[0] == "state":
                states[key[1]].setdefault(key[2], {})[key[3]] = array
        return Carry(
            entries(("weight",), self.params, self.params),
            [entries(("hyperparameter", n), level.parameters, level._tuned) for n, level in enumerate(self.levels)],
            states,
            [int(cut.values["t", height]) for height in range(len(self.levels))],
        )
