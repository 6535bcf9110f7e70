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
from ..core.tape import Node
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..inspect.watcher import Watcher
from ..sites import Site, caller
from .values import Key

Part = Literal["loss", "backward", "step"]


class Event(NamedTuple):
    """One operation that was carried out.

    op, call: what `apply` was given.  reads, writes: the arrays.
    keys: for each operand the value that it is, if it was read from where users see it, and not kept from before.
    cuts: for each operand why it was detached, if it was.
    node: in a backward pass, the serial of the node whose VJP this is a part of.
    """

    op: Any
    call: Any
    reads: tuple[np.ndarray, ...]
    writes: tuple[np.ndarray, ...]
    keys: tuple[Key | None, ...]
    cuts: tuple[str | None, ...]
    part: Part
    site: Site
    node: int | None


class Trace(Watcher):
    """A watcher of one call.

    tensors: of the values, by key.  before, after: their arrays.  taken: what the loss was called with; given: the same
    in copies that nobody overwrites, and batch: these as arrays.  gradients: by key, what backward passes have left.
    born: the serial of a node at its beginning.
    """

    def __init__(
        self,
        tensors: Mapping[Key, Tensor],
        before: Mapping[Key, np.ndarray],
        given: Sequence[Any],
        taken: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.before, self.born = before, Node().serial
        self.after: Mapping[Key, np.ndarray] = {}
        self.gradients: dict[Key, np.ndarray] = {}
        self.given, self.taken = given, taken
        self.batch = [entry.array if isinstance(entry, Tensor) else entry for entry in given]
        self.loss = np.array(np.nan)
        self._keys: dict[int, tuple[Tensor, Key | None]] = {id(x): (x, key) for key, x in tensors.items()}
        self._stepping = False
        self._cuts: dict[int, str] = {}

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: Any, nanoseconds: int
    ) -> None:
        """An operation was carried out."""
        reads, writes = (tuple([tensor.array for tensor in tensors]) for tensors in (operands, outputs))
        keys = tuple([self._keys[id(tensor)][1] if id(tensor) in self._keys else None for tensor in operands])
        cuts = tuple([self._cuts.get(id(tensor)) for tensor in operands])
        site, node = self._site or caller(sys._getframe(1)), None if self._node is None else self._node.serial
        self.events.append(Event(op, call, reads, writes, keys, cuts, self._part(), site, node))

    def _part(self) -> Part:
        return "step" if self._stepping else "backward" if self._sweep else "loss"

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached."""
        self._cuts[id(detached)] = reason or "detach"
        self._keys[id(detached)] = detached, self._keys[id(source)][1] if id(source) in self._keys else None
        if detached.array is not source.array:
            site, call = self._site or caller(sys._getframe(2)), {"dtype": detached.dtype}
            read = (source.array,), (detached.array,), (self._keys[id(detached)][1],), (None,)
            self.events.append(Event(OPERATIONS["astype"], call, *read, self._part(), site, None))

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
        key = self._keys[id(tensor)][1] if id(tensor) in self._keys else None
        if key is not None:
            self.gradients[key] = gradient.array

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """The cotangent that a pass starts with is a constant."""

    def close(self, after: Mapping[Key, np.ndarray], loss: np.ndarray) -> None:
        """The call is over: note the values, and forget the tensors."""
        self.after, self.loss = after, loss
        self._cuts.clear()
        self._keys.clear()
