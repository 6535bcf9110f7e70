"""The recorder: it watches one thread's operations, cuts and gradients, and notes an event for each.

It recognises a tensor by a mark on it, or by its array, to which it holds a weak reference: so it keeps no array alive,
but those of the values before each optimizer step (see `rewind`), and with ghosts what operations began with.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..calls import Block
from ..core.tape import Node, current
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from ..optim.boundary import Boundary
from ..optim.horizon import Window
from ..optim.outside import Gate
from ..sites import PACKAGE, caller
from .events import Event, EventRecording, Mark, facts
from .labels import Labels, span_of
from .records import Cut, Kind, Label, Place, RerunData, Role
from .rewind import Pasts
from .saved import saved
from .variables import called

if TYPE_CHECKING:
    from ..core.tensor import Tensor

LAYERS = f"{PACKAGE}.nn"
ROLES = get_args(Role)

_recorders = count()


class Recorder(Labels, EventRecording):
    """What the engine calls. ghosts: whether to keep what a second run of the operations needs.

    rewind: whether to hold what a run from one of its steps needs.
    """

    def __init__(self, ghosts: bool = False, rewind: bool = True) -> None:
        EventRecording.__init__(self)
        Labels.__init__(self)
        self.program = RerunData({}, {}, {}, []) if ghosts else None
        self._key = next(_recorders)
        self._labelled: set[Place] = set()
        self._by_array: dict[int, tuple[weakref.ref[np.ndarray], Mark]] = {}
        self._held: list[tuple[weakref.ref[Node], int]] = []
        self._height = 0
        self._towers: list[tuple[weakref.ref[Optimizer], Mapping[str, Tensor]]] = []  # each with what it moved
        self.pasts = Pasts(rewind)

    # Called by the engine.

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: Any, nanoseconds: int
    ) -> None:
        """An operation was computed; an output with an edge is on the graph.

        call: what `op` was told beside the operands.
        """
        key, read = self._key, []
        for operand in operands:
            mark = getattr(operand, "mark", None)
            if mark is None or mark[0] != key or mark[3] is not None:  # as _place begins, without a call
                mark = self._place(operand)
            read.append(mark)
        number = len(self._events)
        outs, made = [], None
        for n, out in enumerate(outputs):
            outs.append(facts(out.array))
            self._know(out, number, n)
            if out.edge is not None:
                made = out.edge[0]
        serial, saved = None, ()
        kept: tuple[bool, ...] = ()
        if made is not None:
            serial, saved, kept = made.serial, op.reads(made), tuple([source is not None for source in made.inputs])
            self._held.append((weakref.ref(made), number))
        site = self._site or caller(sys._getframe(1))
        report = (op, tuple(outs), site, self.steps, self._sweep, tuple(read), kept, serial, saved, nanoseconds)
        self._events.append(Event("operation", *report, vjp_of=self._vjp_of()))
        if self.program is not None:
            self.program.calls[number] = op, call, current().recording

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached."""
        _, node, output, before = mark = self._place(source)
        if before is not None:  # a detached value is a value of its own, which stands between both cuts
            node, output = self._value(source, mark, self.steps), 0
        site = caller(sys._getframe(2), LAYERS)  # an optimizer's cut shows its own line, a layer's shows its user's
        number, reason = len(self._cuts), None if reason is None else str(reason)
        reason = "hyperparameter" if self._height and reason == "weights" else reason
        self._cuts.append(Cut(number, node, output, reason, *site, self.steps, source.shape, source.edge is not None))
        if self.program is not None:
            self.program.dtypes.append(detached.dtype)
        detached.mark = (self._key, node, output, number)

    def gradient(self, tensor: Tensor, gradient: Tensor, loss: Tensor | None = None) -> None:
        """A gradient was put into `tensor.grad`; without `loss`, of the newest number that depends on the tensor."""
        of, source = self._place(tensor), self._known(gradient)
        root, kept = None if loss is None else self._place(loss), (gradient.edge is not None,)
        operands = () if source is None else (source,)
        number = self._add("gradient", None, gradient, self.steps, operands, kept=kept, of=of, loss=root)
        self._know(gradient, number, 0)

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """A backward pass went back from `loss`, and started with this cotangent."""
        if self.program is not None:
            place, cotangents = self._place(loss)[1:3], self.program.cotangents
            before = cotangents.get(place)
            cotangents[place] = cotangent.array if before is None else before + cotangent.array

    # Called by an optimizer.

    def moving(self, levels: Sequence[Optimizer], height: int, name: Any, *operands: Any) -> None:
        """A level is about to move a target: what is cut as weights is a hyperparameter above the first level."""
        super().moving(levels, height, name, *operands)
        self._height = height

    def step(self, title: Any = None) -> None:
        """An optimizer step begins. title: of the recording, if this is its first step, or the optimizer itself."""
        self._refuse_if_closed("step")
        self.steps += 1
        if self.title is None and title is not None:
            self.title = str(title)
        if isinstance(title, Optimizer):
            window = title.hooks[Window]
            self.objective, self.horizon = window.objective, window.horizon
            self._moves(title, title.hooks[Boundary].params)

    def _moves(self, optimizer: Optimizer, params: Mapping[str, Tensor]) -> None:
        """A step of the optimizer would move these parameters, unless it is not finite."""
        known = [(ref() is optimizer, moved is params) for ref, moved in self._towers]
        if not any(map(any, known)):
            self.towers.append(str(optimizer))
        if not any(map(all, known)):
            self._towers.append((weakref.ref(optimizer), params))
        self.pasts.note(self.steps - 1, params, optimizer)

    def stepped(self) -> None:
        """An optimizer step has ended: note which nodes are still alive."""
        held, self._held, self._height = self._held, [], 0
        for entry in held:
            node = entry[0]()
            if node is None or node.released:
                self._gone.append((entry[1], len(self.ends)))
            else:
                self._held.append(entry)
        self.ends.append(len(self._events))
        if self.pasts.skipped():
            self.skipped.append(self.steps)

    def label(
        self, tensor: Tensor, name: str, role: Role, level: int, coordinate: Any = None, range: Any = None
    ) -> None:
        """Give a tensor a name, as an optimizer does.

        role: "weights", "gradient", "state" or "hyperparameter".  level: of the tower, from 0.
        coordinate: turns the tensor's number into the one that a user sees.  range: the values (low, high) that make
        sense. Raises ArgumentError for another name, role, level or range, GraphError after the recording.
        """
        self._refuse_if_closed("label")
        numbered = isinstance(level, (int, np.integer)) and level >= 0
        if role not in ROLES or not isinstance(name, str) or not name or not numbered:
            raise ArgumentError(
                f"label: name={name!r}, role={role!r}, level={level!r}; a name must be a non-empty string, a role one "
                f"of {', '.join(ROLES)}, a level an integer >= 0"
            )
        span = None if range is None else span_of(range)
        mark = self._mark(tensor)
        known = mark if mark is not None and tensor.edge is None else self._known(tensor)
        if known is None:  # nothing has read it so far, so it existed before this step
            known = self._meet(tensor, mark, max(self.steps - 1, 0))
        place = known[1], known[2]
        if place not in self._labelled:
            self._labelled.add(place)
            self._labels.append((place, Label(name, role, int(level), None, span), coordinate))

    def _refuse_if_closed(self, name: str) -> None:
        if self.closed:
            raise GraphError(f"{name}: this recording has ended with its block; record again")

    def labelled(self, tensor: Tensor) -> bool:
        """Whether a tensor has a label."""
        mark = self._mark(tensor)
        return mark is not None and mark[1:3] in self._labelled

    # Recognising tensors.

    def _mark(self, tensor: Tensor) -> Mark | None:
        """This recorder's mark on a tensor."""
        mark = getattr(tensor, "mark", None)
        return mark if mark is not None and mark[0] == self._key else None

    def _known(self, tensor: Tensor) -> Mark | None:
        """The mark of a tensor, or that of its array; None if the recording has not met it."""
        mark = self._mark(tensor)
        if mark is not None:
            return mark if mark[3] is None or tensor.edge is None else None
        if (known := self._array_mark(tensor.array)) is not None:
            tensor.mark = known
            if tensor.edge is not None:  # a sweep meets what was saved before the recording without its graph
                self._graphs.append((known[1], *_graph(tensor)))
        return known

    def _array_mark(self, array: np.ndarray) -> Mark | None:
        """The mark of what has this array."""
        entry = self._by_array.get(id(array))
        return None if entry is None or entry[0]() is not array else entry[1]

    def _place(self, tensor: Tensor) -> Mark:
        """The mark of a tensor; one that is met for the first time becomes a node."""
        mark = self._mark(tensor)
        if mark is not None and mark[3] is None:
            return mark
        known = self._known(tensor) or self._meet(tensor, mark, self.steps)
        if tensor.edge is not None and isinstance(tensor.edge[0], Gate):
            self.gates.add(known[1:3])
        return known

    def _meet(self, tensor: Tensor, through: Mark | None, step: int) -> Mark:
        """Make a node of a value, and know the tensor by it."""
        self._know(tensor, self._value(tensor, through, step), 0)
        return tensor.mark

    def _value(self, tensor: Tensor, through: Mark | None, step: int) -> int:
        """The number of a new node, of a value. through: the cut that it was made of, if it was."""
        kind, op, serial = _graph(tensor)
        known = None
        if through is None and not self._sweep and (kind != "constant" or tensor.array.ndim):
            known = called(tensor, sys._getframe(1))
        operands = () if through is None else (through,)
        return self._add(kind, op, tensor, step, operands, serial=serial, called=known)

    def _add(self, kind: Kind, op: Any, tensor: Tensor, step: int, operands: tuple[Mark, ...], **rest: Any) -> int:
        """Add the event of a value or gradient, and return its number."""
        number, site = len(self._events), self._site or caller(sys._getframe(1))
        self._events.append(Event(kind, op, (facts(tensor.array),), site, step, self._sweep, operands, **rest))
        if self.program is not None and (kind != "gradient" or not operands):
            self.program.arrays[number] = tensor.array
        return number

    def _know(self, tensor: Tensor, number: int, output: int) -> None:
        tensor.mark = mark = (self._key, number, output, None)
        array = tensor.array
        self._by_array[id(array)] = (weakref.ref(array), mark)

    def close(self) -> None:
        """The recording is over: note what `th.save` would write and which nodes are alive, and forget the tensors."""
        if (run := self.pasts.close(self.steps)) is not None:
            self.saved = saved(run[0], run[1], self._array_mark)
        self.stepped()
        self._gone += [(number, len(self.ends)) for _, number in self._held]
        self._by_array.clear()
        self._held.clear()
        self._towers.clear()
        self.closed = True


def _graph(tensor: Tensor) -> tuple[Kind, Any, int | None]:
    """What a value is to the graph when it is met: its kind, the operation that made it, the serial of its node."""
    if tensor.edge is None:
        return "constant", None, None
    made = tensor.edge[0]
    return ("leaf" if made.op is None else "earlier"), made.op, made.serial


class record(Block):
    """Record this thread's operations, cuts and gradients: `with th.record() as tape: ...`.

    ghosts: also compute the gradient that each cut stopped. The recording then keeps the constants of the operations,
    and runs them once more when it is read after the block.
    rewind: hold the weights, gradients and states that each step reads, for `tape.rewind(step)`. With False the
    recording of a long run takes less memory.
    An inner recording hides the outer one. The recording can be read during the block and after it.
    Raises CallError where the parentheses are missing, DtypeError if it decorates anything but a function.
    """

    name = "watcher"

    def __init__(self, ghosts: bool = False, *, rewind: bool = True) -> None:
        super().__init__()
        self.value = Recorder(ghosts, rewind)

    def __enter__(self) -> Recorder:
        super().__enter__()
        return self.value

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.value.close()
