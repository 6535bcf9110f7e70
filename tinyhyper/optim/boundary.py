"""The boundary of a step: what crosses it is arrays.

Counted from `step()` on, a step is: move by the gradients that are there; loss; backward. So what crosses from one step
to the next is arrays by name, and the edges from what is moved to the hyperparameters begin and end within. Where they
are needed again, as when a run goes on from a file, the step is made again.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ..core.tape import recording, unwatched
from ..core.tensor import Tensor, leaf
from ..core.tower import Optimizer, moves_of
from .hooks import Hook
from .horizon import Window

Arrays = dict[str, np.ndarray]


class Value(NamedTuple):
    """A weight, or a hyperparameter in its coordinate. gradient: None where none has come."""

    value: np.ndarray
    gradient: np.ndarray | None
    requires_grad: bool

    def tensor(self) -> Tensor:
        """A tensor with nothing behind it."""
        made = Tensor(self.value)
        made.grad = None if self.gradient is None else Tensor(self.gradient)
        return leaf(made) if self.requires_grad else made


Values: TypeAlias = "dict[str, tuple[np.ndarray, np.ndarray | None, bool]]"  # a Value each; every step makes many


class Carry(NamedTuple):
    """What crosses the boundary: weights; of each level, bottom first, its hyperparameters, the states of what it
    moves, and how many steps it has made.
    """

    weights: Values
    hyperparameters: list[Values]
    states: list[dict[str, Arrays]]
    t: list[int]


def carry(levels: Sequence[Optimizer], params: Mapping[str, Tensor]) -> Carry:
    """What there is now. The arrays are those of the tensors: nobody writes to them."""
    hyperparameters, states, t = [], [], []
    for level in levels:
        hyperparameters.append(values(level.parameters))
        states.append(arrays(level._states))
        t.append(int(level._t.array))
    return Carry(values(params), hyperparameters, states, t)


def arrays(states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Arrays]:
    """The states of targets as arrays."""
    found: dict[str, Arrays] = {}
    for name, own in states.items():
        found[name] = made = {}
        for key, state in own.items():
            made[key] = state.array
    return found


def tensors(states: Mapping[str, Arrays]) -> dict[str, dict[str, Tensor]]:
    """The states of targets as tensors again, with nothing behind them."""
    return {name: {key: Tensor(array) for key, array in own.items()} for name, own in states.items()}


def values(tensors: Mapping[str, Tensor]) -> Values:
    """Tensors as arrays."""
    found: Values = {}
    for name, tensor in tensors.items():
        grad = tensor.grad
        found[name] = tensor.array, None if grad is None else grad.array, tensor.edge is not None
    return found


def make_again(optimizer: Optimizer, before: Carry) -> dict[str, Tensor]:
    """Let a tower make the step that followed on this; the moved weights, with their edges.

    Only the rules of the tower are used, and what its levels do to gradients.
    """
    levels = optimizer.levels
    for level, hyperparameters, states, t in zip(levels, *before[1:], strict=True):
        level._t = Tensor(np.array(float(t)))
        level._states = tensors(states)
        level.parameters.update({key: Value(*value).tensor() for key, value in hyperparameters.items()})
    params = {name: Value(*value).tensor() for name, value in before.weights.items()}
    with recording(), unwatched():
        for move in moves_of(levels, params, cuts=True):
            move.commit()
    return params


class Boundary(Hook):
    """Keeps what the last step has read, where each step cuts. params: what the step that is under way moves."""

    def __init__(self, level: Optimizer) -> None:
        self.params: Mapping[str, Tensor] = {}
        self.last: Carry | None = None
        self._next: Carry | None = None

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        self.params = params
        if levels[0].hooks[Window].horizon == 1:
            self._next = carry(levels, params)

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        self.params, self.last, self._next = {}, self._next, None

    def __reduce__(self) -> tuple[object, ...]:
        return Boundary, (None,)  # a copy has no graph, so no step of it is made again
