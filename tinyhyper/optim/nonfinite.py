"""Steps that would not stay finite: refused, or skipped as if their batch had not been.

A step is made in full before anything is changed, so to refuse it is to stop there. To skip it takes more: the backward
pass of the batch has left gradients, and has consumed the graph that leads from the weights to the hyperparameters.
So a tower that skips notes after each step what the next backward pass may change, and puts it back. Layers note what
the forward pass changes, their buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from .. import buffers
from ..core.tape import reachable
from ..core.tensor import Tensor
from ..errors import AnomalyError, ArgumentError
from ..kernels.finite import all_finite, described
from ..sites import warn
from .fields import Fields

CHOICES = (None, "raise", "skip")
GRAPH = ("inputs", "saved", "context", "released")  # of a node: what a release takes away
LEFT = ("left", "curved", "partly")  # of a seam: what backward passes left there


class NotFinite(AnomalyError):
    """A step would not stay finite. found: what it would read or make."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}.\n    Nothing has changed; th.detect_anomaly() tells which operation made it.")
        self.found = found


class Unguarded:
    """A tower that goes on whatever happens."""

    def __bool__(self) -> bool:
        return False

    def __call__(self, optimizer: Fields, levels: Sequence[Fields], params: Any) -> Any:
        """What surrounds a step. Gives `check(levels, params, moves)`, to be called before anything is changed."""
        return UNCHECKED

    def __str__(self) -> str:
        return ""


UNCHECKED = nullcontext(lambda levels, params, moves: None)
UNGUARDED = Unguarded()


class Guard(Unguarded):
    """What a tower does about steps that would not stay finite. choice: "raise" or "skip"."""

    def __init__(self, choice: str) -> None:
        self._choice = choice
        self._skipping = False
        self._window, self._last = Notes(), Notes()
        if choice == "skip":
            buffers.skipping.add(self)

    def __bool__(self) -> bool:
        return True

    def __call__(self, optimizer: Fields, levels: Sequence[Fields], params: Mapping[str, Tensor]) -> Guarded:
        return Guarded(self, optimizer, levels, params)

    def refuse(self, step: Guarded, error: NotFinite) -> bool:
        """Whether a step that would not stay finite is skipped."""
        if self._choice == "skip":
            self._skip(step, error)
        return self._choice == "skip"

    def _skip(self, step: Guarded, error: NotFinite) -> None:
        """Let the batch not have been."""
        for tensor in step.targets():
            tensor.grad = None
        self._window.put_back()
        self._last.put_back()
        buffers.put_back(step.weights)
        step.optimizer.skipped += 1
        if not self._skipping:
            warn(f"{error.found}; the step is skipped, and so are those after it that are no better")
        self._skipping = True

    def settle(self, step: Guarded) -> None:
        """A step was good: note what there is to put back."""
        self._skipping = False
        if self._choice != "skip":
            return
        buffers.forget(step.weights)
        if step.cuts:
            self._window = Notes()
        self._last = Notes()
        self._last.take_items(step.window.touched)
        targets = step.targets()
        for tensor in targets:
            self._last.take(tensor, "grad")
        for node in _of_the_last_step(targets):
            self._window.take(node, *GRAPH, *(LEFT if node.seam else ()))

    def __reduce__(self) -> Any:
        return Guard, (self._choice,)  # a copy is of another tower: without notes, and known to layers as this one is

    def __str__(self) -> str:
        return f"on_nonfinite={self._choice}"


class Guarded:
    """A step while it is made, as a context that gives `check(levels, params, moves)`."""

    def __init__(
        self, guard: Guard, optimizer: Fields, levels: Sequence[Fields], params: Mapping[str, Tensor]
    ) -> None:
        self.guard, self.optimizer, self.levels, self.params = guard, optimizer, levels, params
        self.weights = list(params.values())  # as they are before the step
        self.window = optimizer._window
        self.cuts = self.window.cuts
        self._called = Notes()

    def targets(self) -> list[Tensor]:
        """What a tower moves: the weights, and at each level what is tuned."""
        return [*self.params.values(), *[level.parameters[key] for level in self.levels for key in level._tuned]]

    def __enter__(self) -> Any:
        if self.cuts and self.window.horizon != 1:  # the step will gather what is left in the window
            self._called.take_items(self.window.touched)
            for tensor in self.targets():
                self._called.take(tensor, "grad")
            for seam in filter(None, [ref() for ref in self.window.touched]):
                self._called.take(seam, *LEFT)
        return _check

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if error is None:
            self.guard.settle(self)
        if not isinstance(error, NotFinite):
            return False
        self._called.put_back()
        return self.guard.refuse(self, error)


class Notes:
    """Attributes as they were, to be put back."""

    def __init__(self) -> None:
        self._was: list[tuple[Any, str, Any]] = []
        self._items: list[tuple[list[Any], list[Any]]] = []

    def take(self, thing: Any, *names: str) -> None:
        """Note attributes of something."""
        self._was += [(thing, name, _own(getattr(thing, name))) for name in names]

    def take_items(self, items: list[Any]) -> None:
        """Note what is in a list that others share."""
        self._items.append((items, items.copy()))

    def put_back(self) -> None:
        """Set everything to what it was when it was last noted."""
        for items, before in self._items:
            items[:] = before
        for thing, name, value in self._was:
            setattr(thing, name, _own(value))


def _own(value: Any) -> Any:
    """A container that others write to, copied."""
    return value.copy() if isinstance(value, (list, dict)) else value


def _of_the_last_step(tensors: Iterable[Tensor]) -> list[Any]:
    """The nodes from which a step made tensors, back to the seam before it."""
    roots = {tensor.edge[0] for tensor in tensors if tensor.edge is not None}
    roots |= {edge[0] for root in roots if root.seam for edge in root.inputs if edge is not None}
    return [node for node in reachable(roots, to_seams=True) if node.op is not None]


def guard_for(optimizer: Fields, choice: Any) -> Unguarded:
    """What `on_nonfinite` asks for. Raises ArgumentError for what is no choice, or not at the bottom level."""
    name, above = type(optimizer).__name__, optimizer._above
    if choice not in CHOICES:
        raise ArgumentError(f"{name}: on_nonfinite={choice!r} is not one of {', '.join(map(repr, CHOICES))}")
    if above is not None and above._guard:
        raise ArgumentError(
            f"{name}: the level above has {above._guard}, but a step moves all levels or none: "
            "give on_nonfinite to the bottom level alone"
        )
    return UNGUARDED if choice is None else Guard(choice)


def _check(levels: Sequence[Fields], params: Mapping[str, Tensor], moves: Sequence[Any]) -> None:
    """Raise NotFinite, which names the first gradient, new value or new state that is not finite."""
    for what, array in _read_and_made(levels, params, moves):
        if not all_finite(array):
            raise NotFinite(f"{type(levels[0]).__name__}.step: {what(levels)} is {described(array)}")


def _read_and_made(
    levels: Sequence[Fields], params: Mapping[str, Tensor], moves: Sequence[Any]
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
        for level, name, state, array in move.results():
            height = levels.index(level) - 1
            yield Named(height, name, "the new value of" if state is None else f"the new state {state!r} of"), array


class Named(NamedTuple):
    """How to call a number of a tower. height: of the level that it is a hyperparameter of, -1 for a weight."""

    height: int
    name: str
    what: str

    def __call__(self, levels: Sequence[Fields]) -> str:
        if self.height < 0:
            return f"{self.what} params[{self.name!r}]"
        return f"{self.what} hyperparameter {self.name} of level {self.height}, {type(levels[self.height]).__name__},"
