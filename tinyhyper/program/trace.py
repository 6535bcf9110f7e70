"""What one call of a step does: its operations in order, each array known by the object that it is.

No array is written to, and a trace holds those that it has met. So what a later operation reads is the very object that
an earlier one has made, whatever tensors were put around it in between, cut or not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np

from ..core.operation import OPERATIONS
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..inspect.watcher import Watcher
from ..sites import Site, caller
from .values import Key


Part = Literal["loss", "backward", "step"]


class Event(NamedTuple):
    """One operation that was carried out.

    op, call: what `apply` was given.  reads, writes: the arrays.  cuts: for each operand why it was detached, if it was.
    """

    op: Any
    call: tuple[Any, ...]
    reads: tuple[np.ndarray, ...]
    writes: tuple[np.ndarray, ...]
    cuts: tuple[str | None, ...]
    part: Part
    site: Site


class Trace(Watcher):
    """A watcher of one call.

    before, after: the values by key.  batch: the arrays that the loss was called with.  loss: its value.
    gradients: by key, what backward passes have left.
    """

    def __init__(self, before: Mapping[Key, Tensor], batch: Sequence[Any]) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.before = {key: tensor.array for key, tensor in before.items()}
        self.after: Mapping[Key, np.ndarray] = {}
        self.gradients: dict[Key, np.ndarray] = {}
        self.batch, self.loss = batch, np.array(np.nan)
        self._keys = {id(tensor): (tensor, key) for key, tensor in before.items()}
        self._stepping = False
        self._cuts: dict[int, tuple[Tensor, str]] = {}

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: tuple[Any, ...], nanoseconds: int
    ) -> None:
        """An operation was carried out."""
        reads, writes = (tuple([tensor.array for tensor in tensors]) for tensors in (operands, outputs))
        cuts = tuple([self._cuts[id(tensor)][1] if id(tensor) in self._cuts else None for tensor in operands])
        site = self._site or caller(sys._getframe(1))
        self.events.append(Event(op, call, reads, writes, cuts, self._part(), site))

    def _part(self) -> Part:
        return "step" if self._stepping else "backward" if self._sweep else "loss"

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached."""
        self._cuts[id(detached)] = detached, reason or "detach"
        if detached.array is not source.array:
            site = self._site or caller(sys._getframe(2))
            call = ({"dtype": detached.dtype},)
            self.events.append(Event(OPERATIONS["astype"], call, (source.array,), (detached.array,), (reason,), self._part(), site))

    @contextmanager
    def stepping(self, title: Any = None) -> Iterator[None]:
        """The optimizer's step."""
        with super().stepping(title):
            self._stepping = True
            try:
                yield
            finally:
                self._stepping = False

    def moving(self, levels: Sequence[Optimizer], height: int, name: Any, operands: Any) -> None:
        """The values by name are read before and after; nothing is labelled."""

    def moved(self, levels: Sequence[Optimizer], height: int, name: Any, w: Tensor, states: Any) -> None:
        """As `moving`."""

    def gradient(self, tensor: Tensor, gradient: Tensor, loss: Tensor | None = None) -> None:
        """A backward pass has left a gradient."""
        if id(tensor) in self._keys:
            self.gradients[self._keys[id(tensor)][1]] = gradient.array

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """The cotangent that a pass starts with is a constant."""

    def close(self, after: Mapping[Key, Tensor], loss: Tensor) -> None:
        """The call is over: note the values, and forget the tensors."""
        self.after, self.loss = {key: tensor.array for key, tensor in after.items()}, loss.array
        self._cuts.clear()
        self._keys.clear()
