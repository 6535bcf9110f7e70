"""Moments: where a replayed run stands at the end of a step, as plain arrays; and how it goes on eagerly from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..core.tape import recording, unwatched
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..optim.boundary import Boundary, Carry, make_again
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from .values import Key, values_of

Batch = Sequence[Any]


class LastCut(NamedTuple):
    """What the last step that cut has read. values, gradients: by key.  carried: what the loss carries, after it."""

    values: Mapping[Key, np.ndarray]
    gradients: Mapping[Key, np.ndarray]
    carried: Mapping[Key, np.ndarray]


class Since(NamedTuple):
    """A step after the cut. changed: the values that were set by hand before it.  batch: its own."""

    changed: Mapping[Key, np.ndarray]
    batch: Batch


class Moment(Sequence[Any]):
    """The end of a step: the arrays of the slots, which nobody changes.

    keys: the slot of each value.  cut: gives what the last step that cut has read.  since: the steps after it.
    steps: of the window.
    """

    def __init__(
        self,
        keys: Mapping[Key, int],
        arrays: Sequence[Any],
        cut: Callable[[], LastCut],
        since: tuple[Since, ...],
        steps: int,
    ) -> None:
        self.keys, self._arrays, self.cut, self.since, self.steps = keys, arrays, cut, since, steps

    def __getitem__(self, slot: Any) -> Any:
        return self._arrays[slot]

    def __len__(self) -> int:
        return len(self._arrays)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._arrays)

    def array(self, key: Key) -> np.ndarray:
        found: np.ndarray = self[self.keys[key]]
        return found

    def back(self) -> Moment:
        """The end of the window's first step."""
        cut = self.cut()
        return Begun(self.keys, (), lambda: cut, (), self.steps - len(self.since))

    def lent(self, loans: Any) -> Moment:
        """The same, to be read where it lies; `loans` are told of what is somebody else's memory."""
        return self

    def plain(self, changed: Mapping[Key, np.ndarray] = MappingProxyType({})) -> Moment:
        """The same with arrays of its own, whatever becomes of the buffers that it may lie in; some of them others."""
        arrays, cut = [*self], self.cut()
        for key, array in changed.items():
            arrays[self.keys[key]] = array
        return Moment(self.keys, arrays, lambda: cut, self.since, self.steps)


class Begun(Moment):
    """The end of the first step of a window, whose values are made again; those that the loss carries are known."""

    def array(self, key: Key) -> Any:
        return self.cut().carried.get(key)


def live(
    moment: Moment, optimizer: Optimizer, eager: Callable[[MutableMapping[str, Tensor], Batch], Any]
) -> dict[str, Tensor]:
    """Let a tower stand where it stood at a moment, with the edges of its last window; the weights.

    The step that cut is made again from what it has read, and the steps since then by `eager`.
    """
    window, cut = optimizer.hooks[Window], moment.cut()
    before = _carry(cut, optimizer)
    params = make_again(optimizer, before)
    optimizer.hooks[Boundary].last = before if window.horizon == 1 else None
    if window.horizon != 1:
        window.stand(optimizer.levels, params, moment.steps - len(moment.since))
    optimizer.hooks[Guard].settle(optimizer, params, cuts=True)
    with recording(), unwatched():
        for changed, batch in moment.since:
            tensors = values_of(params, optimizer.levels)
            for key in changed.keys() & tensors.keys():
                tensors[key].array = changed[key]
            eager(params, batch)
    return params


def restore(made: Tensor, array: np.ndarray | None) -> None:
    """Put in a value that is known. A tensor that has its bits keeps its array, which is that of its graph."""
    if array is not None and made.array.tobytes() != array.tobytes():
        made.array = array


def _carry(cut: LastCut, optimizer: Optimizer) -> Carry:
    """What a step has read, as it is saved."""

    def value(key: Key, requires_grad: bool) -> tuple[np.ndarray, np.ndarray | None, bool]:
        return cut.values[key], cut.gradients.get(key), requires_grad

    levels = optimizer.levels
    weights = {key[1]: value(key, True) for key in cut.values if key[0] == "weight"}
    states: list[dict[str, dict[str, np.ndarray]]] = [{} for _ in levels]
    for key, array in cut.values.items():
        if key[0] == "state":
            states[key[1]].setdefault(key[2], {})[key[3]] = array
    hyperparameters = [
        {name: value(("hyperparameter", height, name), name in level._tuned) for name in level.parameters}
        for height, level in enumerate(levels)
    ]
    return Carry(weights, hyperparameters, states, [int(cut.values["t", height]) for height in range(len(levels))])
