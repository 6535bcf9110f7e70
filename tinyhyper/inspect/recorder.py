"""Writing the tape: what the engine calls while it is watched.

An event is a tuple of tuples, which the garbage collector need not follow, and reading it is left for later: so
watching costs little. A tensor is recognised by a mark on it, or by its array, to which there is a weak reference: none
is held alive, unless ghosts were asked for.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..errors import ArgumentError, GraphError
from ..kernels.finite import norm
from ..sites import PACKAGE, caller
from ..tape import Node, current
from .records import Kind, Place, Role
from .watcher import Watcher

if TYPE_CHECKING:
    from ..tensor import Tensor

LAYERS = f"{PACKAGE}.nn"
Mark = tuple[int, int, int, "int | None"]  # whose mark, the node, its output, and the cut it is seen through

ROLES = get_args(Role)

_recorders = count()


class Recorder(Watcher):
    """The events of a recording, one a node.

    ghosts: whether to keep what is needed to run the recorded operations again.
    """

    def __init__(self, ghosts: bool = False) -> None:
        super().__init__()
        self.title: str | None = None
        self.objective = "last"
        self.horizon: int | None = 1
        self.ends: list[int] = []
        self._key = next(_recorders)
        self._events: list[tuple[Any, ...]] = []
        self._cut_events: list[tuple[Any, ...]] = []
        self._dtypes: list[np.dtype] = []  # of the cut values: a copy may have another
        self._label_events: list[tuple[Any, ...]] = []
        self._labelled: set[tuple[int, int]] = set()
        self._gone: list[tuple[int, int]] = []
        self._by_array: dict[int, tuple[weakref.ref[np.ndarray], Mark]] = {}
        self._held: list[tuple[weakref.ref[Node], int]] = []
        self._closed = False
        self._arrays: dict[int, np.ndarray] | None = {} if ghosts else None
        self._cotangents: dict[Place, np.ndarray] = {}  # what backward passes began with, by the loss they began from
        self._calls: dict[int, tuple[Any, tuple[Any, ...], bool]] = {}  # and whether what it does is put on the graph

    # Called by the engine.

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: tuple[Any, ...], nanoseconds: int
    ) -> None:
        """An operation was computed; each output's edge says whether it went on the graph.

        call: what `op` was called with beside the operands.
        """
        key, places = self._key, []
        for operand in operands:
            mark = getattr(operand, "mark", None)
            known = mark is not None and mark[0] == key and mark[3] is None  # as in _place, without a call
            places.append(mark if known else self._place(operand))
        number = len(self._events)
        facts, made = [], None
        for n, out in enumerate(outputs):
            facts.append(_facts(out.array))
            self._know(out, number, n)
            if out.edge is not None:
                made = out.edge[0]
        serial = reads = kept = None
        if made is not None:
            serial, reads, kept = made.serial, op.reads(made), tuple([source is not None for source in made.inputs])
            self._held.append((weakref.ref(made), number))
        site, read = self._site or caller(sys._getframe(1)), tuple(places)
        self._events.append(
            ("operation", op, tuple(facts), site, self.steps, self._sweep, serial, nanoseconds, reads, read, kept)
        )
        if self._arrays is not None:
            self._calls[number] = op, call, current().recording

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached."""
        _, node, output, before = mark = self._place(source)
        if before is not None:  # a value that was cut already is a value of its own, which both cuts stand between
            node, output = self._value(source, mark, self.steps), 0
        where = caller(sys._getframe(2), LAYERS)  # the optimizers' own cut is to be seen; a layer's is its user's
        number = len(self._cut_events)
        reason = None if reason is None else str(reason)
        self._cut_events.append((node, output, reason, where, self.steps, source.shape, source.edge is not None))
        self._dtypes.append(detached.dtype)
        detached.mark = (self._key, node, output, number)

    def gradient(self, tensor: Tensor, gradient: Tensor, loss: Tensor | None = None) -> None:
        """A gradient was put into `tensor.grad`; without `loss`, it is that of the newest number it can be."""
        of, source = self._place(tensor), self._known(gradient)
        root = None if loss is None else self._place(loss)
        number = len(self._events)
        site = self._site or caller(sys._getframe(1))
        facts = [_facts(gradient.array)]
        places, kept = [] if source is None else [source], [gradient.edge is not None]
        self._events.append(
            ("gradient", None, facts, site, self.steps, self._sweep, None, None, None, places, kept, of, root)
        )
        if source is None and self._arrays is not None:
            self._arrays[number] = gradient.array
        self._know(gradient, number, 0)

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """A backward pass went back from `loss`, beginning with this cotangent."""
        if self._arrays is not None:
            place = self._place(loss)[1:3]
            before = self._cotangents.get(place)
            self._cotangents[place] = cotangent.array if before is None else before + cotangent.array

    # Called by an optimizer.

    def step(self, title: Any = None, window: Any = None) -> None:
        """An optimizer step begins. title: what a picture of the first should be called, if it is."""
        if self._closed:
            self._refuse("step")
        self.steps += 1
        if self.title is None and title is not None:
            self.title = str(title)
        if window is not None:
            self.objective, self.horizon = window.objective, window.horizon

    def stepped(self) -> None:
        """An optimizer step has ended: note what it keeps alive."""
        last = len(self.ends)
        still = []
        for entry in self._held:
            node = entry[0]()
            if node is None or node.released:
                self._gone.append((entry[1], last))
            else:
                still.append(entry)
        self._held = still
        self.ends.append(len(self._events))

    def label(
        self, tensor: Tensor, name: str, role: Role, level: int, coordinate: Any = None, range: Any = None
    ) -> None:
        """Say what a tensor is to an optimizer.

        role: "weights", "gradient", "state" or "hyperparameter".  level: of the tower, from 0 on.
        coordinate: how a person's number is made of the tensor's, if it is.  range: (low, high), where it makes sense.
        Raises ArgumentError for another name, role, level or range, GraphError after the recording.
        """
        if self._closed:
            self._refuse("label")
        numbered = isinstance(level, (int, np.integer)) and level >= 0
        if role not in ROLES or not isinstance(name, str) or not name or not numbered:
            raise ArgumentError(
                f"label: name={name!r}, role={role!r}, level={level!r}; a name is some text, a role one of "
                f"{', '.join(ROLES)}, a level a whole number from 0 on"
            )
        if range is not None:
            range = _ends(range)
        mark = getattr(tensor, "mark", None)
        through = mark if mark is not None and mark[0] == self._key else None
        known = through if through is not None and tensor.edge is None else self._known(tensor)
        if known is None:  # met only now, so it was there before this step
            known = self._meet(tensor, through, max(self.steps - 1, 0))
        place = known[1], known[2]
        if place not in self._labelled:
            self._labelled.add(place)
            self._label_events.append((place, name, role, int(level), coordinate, range))

    def _refuse(self, name: str) -> None:
        raise GraphError(f"{name}: this recording is over, its block has ended")

    def labelled(self, tensor: Tensor) -> bool:
        """Whether it is known what a tensor is to an optimizer."""
        mark = getattr(tensor, "mark", None)
        return mark is not None and mark[0] == self._key and (mark[1], mark[2]) in self._labelled

    # Recognising tensors.

    def _known(self, tensor: Tensor) -> Mark | None:
        """Where a tensor comes from, if the recording has met it."""
        mark = getattr(tensor, "mark", None)
        if mark is not None and mark[0] == self._key:
            return mark if mark[3] is None or tensor.edge is None else None
        array = tensor.array
        entry = self._by_array.get(id(array))
        if entry is None or entry[0]() is not array:
            return None
        tensor.mark = entry[1]
        return entry[1]

    def _place(self, tensor: Tensor) -> Mark:
        """Where a tensor comes from; one that is met for the first time becomes a node."""
        mark = getattr(tensor, "mark", None)
        if mark is not None and mark[0] == self._key and mark[3] is None:
            return mark
        known = self._known(tensor)
        if known is None:
            known = self._meet(tensor, mark if mark is not None and mark[0] == self._key else None, self.steps)
        return known

    def _meet(self, tensor: Tensor, through: Mark | None, step: int) -> Mark:
        """Make a node of a value, and know the tensor by it."""
        self._know(tensor, self._value(tensor, through, step), 0)
        return tensor.mark

    def _value(self, tensor: Tensor, through: Mark | None, step: int) -> int:
        """The number of a new node, of a value. through: the cut that it was made of, if it was."""
        kind: Kind = "constant"
        op = serial = None
        if tensor.edge is not None:
            made = tensor.edge[0]
            kind, op, serial = ("leaf" if made.op is None else "earlier"), made.op, made.serial
        number = len(self._events)
        site = self._site or caller(sys._getframe(1))
        facts, places = [_facts(tensor.array)], [] if through is None else [through]
        self._events.append((kind, op, facts, site, step, self._sweep, serial, None, None, places, [False]))
        if self._arrays is not None:
            self._arrays[number] = tensor.array
        return number

    def _know(self, tensor: Tensor, number: int, output: int) -> None:
        tensor.mark = mark = (self._key, number, output, None)
        array = tensor.array
        self._by_array[id(array)] = (weakref.ref(array), mark)

    def _close(self) -> None:
        """The recording is over: note what is still there, and forget the tensors."""
        self.stepped()
        self._gone += [(number, len(self.ends)) for _, number in self._held]
        self._by_array.clear()
        self._held.clear()
        self._closed = True


def _facts(array: np.ndarray) -> tuple[Any, ...]:
    """Shape, dtype, the number if it is a single one, and the norm of floats."""
    if array.size == 1:
        return array.shape, array.dtype, array.item(), None
    return array.shape, array.dtype, None, norm(array) if array.dtype.kind == "f" else None


def _ends(range: Any) -> tuple[float, float]:
    """The two numbers of a range. Raises ArgumentError for what is none."""
    try:
        low, high = map(float, range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low <= high:
        raise ArgumentError(f"label: range={range!r} is no pair of numbers, (low, high)")
    return low, high
