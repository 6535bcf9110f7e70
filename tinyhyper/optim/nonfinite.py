"""Steps that would not stay finite: refused, or skipped as if their batch had not been.

A step is made in full before anything is changed, so to refuse it is to stop there. To skip it takes more: the backward
pass of the batch has left gradients, and has consumed the graph that leads from the weights to the hyperparameters.
So a tower that skips notes after each step what the next backward pass may change, and puts it back. In a window that
is more than arrays: the graph goes through the losses of its steps. Layers note what the forward pass changes, their
buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import buffers
from ..core.tape import Node, reachable
from ..core.tensor import Tensor
from ..core.tower import Move, Optimizer
from ..errors import AnomalyError
from ..finite import all_finite, described
from ..sites import warn
from .hooks import Hook, at_the_bottom, one_of
from .horizon import Window

CHOICES = (None, "raise", "skip")
FLAT = (
    "every gradient of the weights is exactly 0, and the step is made. So it is where the loss is flat, and where it "
    "has left the range of its dtype: the logarithm of an infinite number has the derivative 0. Look at the loss"
)


class Guard(Hook):
    """What a tower does about steps that would not stay finite. choice: None for nothing, "raise" or "skip"."""

    keywords = {"on_nonfinite": None}

    def __init__(self, level: Optimizer, on_nonfinite: Any) -> None:
        one_of(CHOICES, level, "on_nonfinite", on_nonfinite)
        at_the_bottom(Guard, level, "a step moves all levels or none")
        level.skipped = 0
        self.__setstate__({"choice": on_nonfinite})

    def __getstate__(self) -> dict[str, Any]:
        return {"choice": self.choice}  # a copy is of another tower: without notes, and known to layers as this one is

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.choice: str | None = state["choice"]
        self._skipping, self._is_flat, self._weights = False, False, list[Tensor]()
        self._noted: list[Callable[[], None]] = []  # what puts back the gradients, and what is left in the window
        self._graph: dict[Node, tuple[Any, ...]] = {}  # of the window: of each node what a release takes away
        self.in_use = self.choice is not None
        if self.choice == "skip":
            buffers.skipping.add(self)

    def before(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        window = levels[0].hooks[Window]
        self._weights, self._cuts, window.retains = list(params.values()), window.cuts, True
        if self.choice == "raise" and window.in_use and window.cuts:  # the step gathers what is left in the window
            self._noted = [_gradients(_targets(levels, params)), window.noted()]

    def accepts(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor], moves: Sequence[Move]) -> bool:
        """Raises AnomalyError, or skips the step, where a gradient, a new value or a new state is not finite."""
        for what, array in _read_and_made(levels, params, moves):
            if not all_finite(array):
                found = f"{type(levels[0]).__name__}.step: {what(levels)} is {described(array)}"
                if self.choice == "raise":
                    self._put_back()
                    raise AnomalyError(
                        f"{found}.\n    Nothing has changed; th.detect_anomaly() shows which operation made it."
                    )
                self._skip(levels[0], params, found)
                return False
        gradients = [w.grad.array for w in params.values() if w.grad is not None]
        was_flat, self._is_flat = self._is_flat, bool(gradients) and not any(g.any() for g in gradients)
        if self._is_flat and not was_flat:
            warn(f"{type(levels[0]).__name__}.step: {FLAT}")
        return True

    def descend(self, goal: Tensor, optimizer: Optimizer) -> None:
        """Differentiate a goal. One that is not finite, or has such a gradient, is refused, or contributes nothing.

        Raises AnomalyError for a goal that is not finite, before anything has changed.
        """
        if self.choice is None or all_finite(goal.array):
            goal.backward()
        elif self.choice == "raise":
            raise AnomalyError(
                f"descend: the goal is {described(goal.array)}, so its gradient may be 0 in silence.\n    Nothing has "
                "changed; th.detect_anomaly() shows which operation made it."
            )
        tuned = _tuned(optimizer.levels)
        found = [goal.array, *[tensor.grad.array for tensor in tuned if tensor.grad is not None]]
        if self.choice == "skip" and not all(map(all_finite, found)):
            for tensor in tuned:
                tensor.grad = None
            warn("descend: the goal, or its gradient, is not finite; it contributes nothing to the hyperparameters")

    def _skip(self, optimizer: Optimizer, params: MutableMapping[str, Tensor], found: str) -> None:
        """Let the batch not have been."""
        for tensor in _targets(optimizer.levels, params):
            tensor.grad = None
        self._put_back()
        buffers.put_back(self._weights)
        optimizer.skipped += 1
        if not self._skipping:
            warn(f"{found}; this step is skipped, and so are those after it that are not finite")
        self._skipping = True

    def _put_back(self) -> None:
        """Let what backward passes have left and consumed be as it was noted."""
        for put_back in self._noted:
            put_back()
        for node, was in self._graph.items():
            node.inputs, node.saved, node.context, node.released = was

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        weights, self._weights, self._noted = self._weights, [], []
        if self.choice == "skip":
            buffers.forget(weights)
            self.settle(levels[0], params, self._cuts)

    def settle(self, optimizer: Optimizer, params: Mapping[str, Tensor], cuts: bool) -> None:
        """A step was good: note what there is to put back."""
        self._skipping = False
        if self.choice != "skip":
            return
        targets = _targets(optimizer.levels, params)
        self._noted = [_gradients(targets), optimizer.hooks[Window].noted()]
        if cuts:
            self._graph = {}
        for node in _of_the_last_step(targets):
            self._graph[node] = node.inputs, node.saved, node.context, node.released

    def __str__(self) -> str:
        return "" if self.choice is None else f"on_nonfinite={self.choice}"


def _targets(levels: Sequence[Optimizer], params: Mapping[str, Tensor]) -> list[Tensor]:
    """What a tower moves: the weights, and at each level what is tuned."""
    return [*params.values(), *_tuned(levels)]


def _tuned(levels: Sequence[Optimizer]) -> list[Tensor]:
    """The hyperparameters that a tower moves."""
    return [level.parameters[key] for level in levels for key in level._tuned]


def _gradients(tensors: Iterable[Tensor]) -> Callable[[], None]:
    """Note gradients. To call what is returned puts them back."""
    before = [(tensor, tensor.grad) for tensor in tensors]

    def put_back() -> None:
        for tensor, gradient in before:
            tensor.grad = gradient

    return put_back


def _of_the_last_step(tensors: Iterable[Tensor]) -> list[Node]:
    """The nodes from which a step made tensors, back to the seam before it."""
    roots = {tensor.edge[0] for tensor in tensors if tensor.edge is not None}
    roots |= {edge[0] for root in roots if root.seam for edge in root.inputs if edge is not None}
    return reachable(roots, to_seams=True)


def _read_and_made(
    levels: Sequence[Optimizer], params: Mapping[str, Tensor], moves: Sequence[Move]
) -> Iterator[tuple[Any, np.ndarray]]:
    """What a step reads and makes: arrays, each with how to call it."""
    for name, w in params.items():
        if w.grad is not None:
            yield Named(-1, name, "the gradient of"), w.grad.array
    for height, level in enumerate(levels[:-1]):
        for key in level._tuned:
            if (gradient := level.parameters[key].grad) is not None:
                yield Named(height, key, "the gradient of"), gradient.array
    for move in moves:
        height = levels.index(move.level) - 1
        for name, tensor in move.moved.items():
            yield Named(height, name, "the new value of"), tensor.array
            for key, state in move.states[name].items():
                yield Named(height, name, f"the new state {key!r} of"), state.array


class Named(NamedTuple):
    """How to call a number of a tower. height: of the level that it is a hyperparameter of, -1 for a weight."""

    height: int
    name: str
    what: str

    def __call__(self, levels: Sequence[Optimizer]) -> str:
        if self.height < 0:
            return f"{self.what} params[{self.name!r}]"
        return f"{self.what} hyperparameter {self.name} of level {self.height}, {type(levels[self.height]).__name__},"
