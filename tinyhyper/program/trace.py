"""What one call of a step does: its operations in order, each array known by the object that it is.

No array is written to. So what a later operation reads is the very object that an earlier one has made, whatever
tensors were put around it in between, cut or not. What an operation has made lives as long as without the trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple
from weakref import ref

import numpy as np

from ..core.operation import OPERATIONS
from ..core.tape import Node
from ..core.tensor import Tensor
from ..sites import Site, caller
from ..watcher import SiteWatcher
from .handles import Handle, Handles, Weak, array_of, is_copy, is_own, is_same
from .values import Key

Phase = Literal["goal", "loss", "backward", "step"]
Note = tuple[Callable[[], Any], "Key | None", "str | None"]  # a tensor, the value that it is, and why it was detached
NOTHING: Note = (lambda: None), None, None


class Traced(NamedTuple):
    """One operation that was carried out.

    op, call: what `apply` was given.  reads, writes: the handles of the arrays.
    keys: for each operand the value that it is, if it was read from where users see it, and not kept from before.
    cuts: for each operand why it was detached, if it was.
    node: in a backward pass, the serial of the node whose VJP this is a part of.
    """

    op: Any
    call: Any
    reads: tuple[Handle, ...]
    writes: tuple[Handle, ...]
    keys: tuple[Key | None, ...]
    cuts: tuple[str | None, ...]
    part: Phase
    site: Site
    node: int | None


class Trace(SiteWatcher):
    """A watcher of one call.

    handles: of the run's arrays.
    tensors: of the values, by key.  before, after: their arrays.  taken: what the loss was called with, as arrays;
    `given` if there is none.
    given: the same in copies that nobody overwrites, and batch: these as arrays.
    gradients: by key, what backward passes have left.  losses: where they began.
    copies: by the `id` of a handle, this and the handle of what its array is a copy of, made by the engine: of an entry
    of the batch, or of what the loss carries; and what that held when the call began.
    asks: whether the call begins with a goal, and with its backward pass.
    born: the serial of a node at its beginning.
    """

    def __init__(
        self,
        handles: Handles,
        tensors: Mapping[Key, Tensor],
        before: Mapping[Key, np.ndarray],
        given: Sequence[Any],
        taken: Sequence[Any] = (),
        asks: bool = False,
    ) -> None:
        super().__init__()
        self.events: list[Traced] = []
        self.before, self.born = before, Node().serial
        self.after: Mapping[Key, np.ndarray] = {}
        self.gradients: dict[Key, np.ndarray] = {}
        self.losses: list[np.ndarray] = []
        self.given, self.copies = given, dict[int, tuple[Handle, Handle, np.ndarray]]()
        arrays = [[x.array if isinstance(x, Tensor) else x for x in batch] for batch in (given, taken or given)]
        self.batch, self.taken = arrays
        carried = [(x, x, np.array(x)) for key, x in before.items() if key[0] == "carry"]
        given_ = [(x, given, given) for x, given in zip(self.taken, self.batch) if isinstance(x, np.ndarray)]
        self._sources = [*carried, *given_]  # what may be copied, what it is known as, and what it held
        self.loss = np.array(np.nan)
        self._notes: dict[int, Note] = {id(x): (ref(x), key, None) for key, x in tensors.items()}
        self._stepping, self._asks = False, asks
        self._handles, self._held = handles, list[np.ndarray]()
        handles.forget()

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: Any, nanoseconds: int
    ) -> None:
        moved = self._handles_of([x.array for x in operands], [x.array for x in outputs])
        notes = [note if (note := self._notes.get(id(x), NOTHING))[0]() is x else NOTHING for x in operands]
        keys, cuts = tuple([note[1] for note in notes]), tuple([note[2] for note in notes])
        site, node = self._site or caller(sys._getframe(1)), None if self._node is None else self._node.serial
        self.events.append(Traced(op, call, *moved, keys, cuts, self._part(), site, node))

    def copied(self, values: Any, array: np.ndarray) -> None:
        known = self.copies.get(id(self.handle(values))) if isinstance(values, np.ndarray) else None
        found = [(self.handle(own), held) for source, own, held in self._sources if is_same(source, values)]
        if known or found:
            handle = self._of_operand(array)
            self.copies[id(handle)] = handle, *(known[1:] if known else found[0])

    def handle(self, array: np.ndarray) -> Handle:
        """The handle of an array that is there. A view of what an operation of this call has made is known as that."""
        return self._handles.of(array, (handle for event in self.events for handle in event.writes))

    def _handles_of(
        self, reads: list[np.ndarray], writes: list[np.ndarray]
    ) -> tuple[tuple[Handle, ...], tuple[Handle, ...]]:
        """The handles of what an operation reads, and of what it gives."""
        taken = tuple([x if is_own(x) else self._of_operand(x) for x in reads])
        return taken, tuple([x if is_own(x) else self._handles.of_result(x) for x in writes])

    def _of_operand(self, array: np.ndarray) -> Handle:
        """The handle of what an operation reads; it is held, unless a recorded operation has made it."""
        handle = self.handle(array)
        if isinstance(handle, Weak) and not handle.made:
            self._held.append(array)
        return handle

    def _key_of(self, tensor: Tensor) -> Key | None:
        """The value that a tensor is."""
        note = self._notes.get(id(tensor))
        return None if note is None or note[0]() is not tensor else note[1]

    def _part(self) -> Phase:
        if self._asks and not self.losses:
            return "goal"
        return "step" if self._stepping else "backward" if self._sweep else "loss"

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        key, same = self._key_of(source), detached.array is source.array
        self._notes[id(detached)] = ref(detached), key if same else None, reason or "detach"
        if not same:
            site, call = self._site or caller(sys._getframe(2)), {"dtype": detached.dtype}
            moved = self._handles_of([source.array], [detached.array])
            self.events.append(Traced(OPERATIONS["astype"], call, *moved, (key,), (None,), self._part(), site, None))

    @contextmanager
    def stepping(self, level: Any = None) -> Iterator[None]:
        with super().stepping(level):
            self._stepping = True
            try:
                yield
            finally:
                self._stepping = False

    def gradient(self, tensor: Tensor, gradient: Tensor, loss: Tensor | None = None) -> None:
        if (key := self._key_of(tensor)) is not None:
            self.gradients[key] = gradient.array

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """The cotangent that a pass starts with is a constant."""
        self.losses.append(loss.array)

    def close(self, after: Mapping[Key, np.ndarray], loss: np.ndarray) -> None:
        """The call is over: note the values, and forget the tensors."""
        self.after, self.loss = after, loss
        for array in after.values():  # which may be views of what this call has made
            self.handle(array)
        for number, (copy, source, held) in [*self.copies.items()]:
            if not is_copy(array_of(copy), held) or not is_copy(array_of(source), held):  # the loss has written there
                del self.copies[number]
        self._notes.clear()
