"""A run that is replayed: steps by the eager engine until there is a program, then by that; and back where need be."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from ..closures import Draws
from ..core.tape import RECORDING, current, switched
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import DtypeError, GraphError
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from ..optim.ranges import RangeWatch
from .batches import Batches, Histories
from .compare import differs
from .learning import Learner, same
from .moment import Batch, Moment
from .program import Program
from .runners import Natively, by_numpy, natively, own
from .trace import Trace
from .values import Key, coordinates_of
from .visible import Visible

PART = 64  # steps, of which the rows of whole data sets are copied at once


class Look:
    """Where pending tensors look for their values: at a moment, or at the last one."""

    def __init__(self, session: Session, moment: Moment | None = None) -> None:
        self._session, self._moment, self.stays = session, moment, moment is not None

    def array(self, key: Key) -> np.ndarray:
        """A value."""
        return (self._moment or self._session.moment).array(key)

    def hand_over(self) -> None:
        """Let what users see be as after an eager step, if this moment is the last one."""
        if not self.stays or self._moment is self._session.moment:
            self._session.hand_over()


class Session:
    """A loss, what it is minimized over, and where the run stands.

    exact: whether instructions are what the eager engine calls.  verify: each so many-th step is compared.
    compares: whether steps are held against eager ones.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        params: MutableMapping[str, Tensor],
        optimizer: Optimizer,
        carry: MutableMapping[str, Any],
        exact: bool,
        verify: int | None,
    ) -> None:
        self.exact, self.verify, self.compares = exact, verify, True
        self.loss, self.visible = loss, Visible(params, optimizer, carry)
        self.lock = threading.RLock()
        self._window: Window = optimizer.hooks[Window]
        self._period: int = self._window.horizon or 1
        self.learner = Learner(loss, self._period, (carry, params))
        self._checks = optimizer.hooks[Guard].choice is not None
        self._watch: RangeWatch = optimizer.hooks[RangeWatch]
        self._natively: Natively | None = None  # the program in memory
        self._moment: Moment | None = None  # where the program goes on; None where the eager engine has to
        self._ahead = False  # whether users do not see this moment yet
        self._pending = False  # whether what they see is filled in when they look
        self._steps = self._compared_at = 0  # that the program has made
        self._compared: Moment | None = None  # the last one at which it was held against the eager engine
        self._last = Look(self)

    @property
    def moment(self) -> Moment:
        """Where the program stands."""
        assert self._moment is not None
        return self._moment

    def step(self, batch: Batch) -> float:
        """A step by the program if it can, else by the eager engine. What users see may be of a step before."""
        signature = tuple(map(_shown, batch))
        self.learner.look()
        changed = self._changed(signature)
        if changed is not None and (loss := self._run(changed, batch)) is not None:
            return loss
        return self._eager(batch, signature)

    def some(self, batches: Batches, first: int, last: int, losses: np.ndarray, histories: Histories) -> int:
        """Some of the steps from the first on, at once where that can be; how many."""
        batch = batches[first]
        last = min(last, first + (PART if batches.index is not None else last), first + self._until_compared())
        if last > first + 1 and (moment := self._in_memory(batch, histories.keys)) is not None:
            assert self._natively is not None
            found = np.empty(last - first, self._natively.native.loss.shared.dtype)
            row = [batches[step] for step in range(first, last)] if self._period > 1 else []
            out = [found, *[history[first:last] for history in histories.internal]]
            moment, made = self._natively.many(moment, batches.part(first, last), row, out)
            if made:
                losses[first : first + made] = found[:made]
                self._steps += made
                self._stand(moment)
                return made
        losses[first] = self.step(batch)
        histories.note(first, self._moment if self._ahead else None)
        return 1

    def standing(self, batch: Batch) -> tuple[Program, Moment, bool] | None:
        """The program, where it stands, and whether that is in memory; None if it could not make the next step."""
        program, changed = self.learner.program, self._changed(tuple(map(_shown, batch)))
        return None if program is None or changed is None else (program, self.moment, self._natively is not None)

    def show(self) -> None:
        """Let users see where the program stands."""
        if self._ahead:
            self._ahead, self._pending = False, True
            look = Look(self, self.moment)
            self.visible.put(look, self._last)
            if self._natively is not None:
                self._natively.look(look, self.moment)

    def watch(self) -> None:
        """Warn of hyperparameters that have run off."""
        self._watch.after(self.visible.levels, self.visible.params)

    def hand_over(self) -> None:
        """Let what users see be as after an eager step."""
        with self.lock:
            if self._pending:
                self._pending = False
                self.visible.hand_over(self.moment, self._eager_step)

    # By the program.

    def _changed(self, signature: tuple[Any, ...]) -> Mapping[Key, np.ndarray] | None:
        """The values that were set by hand, if the program can make the next step; None if it cannot."""
        moment, learner = self._moment, self.learner
        if moment is None or learner.program is None or current() != RECORDING or signature != learner.signature:
            return None
        if self._ahead:
            return {}
        return self.visible.changed() if self._period == 1 or moment.steps == self._window.steps else None

    def _run(self, changed: Mapping[Key, np.ndarray], batch: Batch) -> float | None:
        """Make a step by the program. None, and nothing has changed, where the eager engine would refuse it."""
        before, program = self.moment.having(changed), self.learner.program
        assert program is not None
        if not changed and self._natively is not None and self._natively.goes_on(before):
            made = self._natively.step(before, batch)
        else:
            made = by_numpy(program, before, changed, batch, self._checks)
        if made is None:
            return None
        after, loss = made
        self._compare(before, after, loss, batch)
        self._stand(after)
        return loss.item()

    def _in_memory(self, batch: Batch, watched: tuple[Key, ...]) -> Moment | None:
        """The moment from which steps can be made at once; None if they cannot."""
        self.learner.look()
        moment, program = self._moment, self.learner.program
        if self._natively is None or program is None or moment is None or self.learner.alike is not None:
            return None
        if self._changed(tuple(map(_shown, batch))) != {}:
            return None
        if self._natively.watched != watched:
            self._natively = Natively(program, watched, self._checks)
        return moment if self._natively.goes_on(moment) else None

    def _stand(self, moment: Moment) -> None:
        """The program stands at a moment that users do not see yet."""
        self._moment, self._ahead, self._pending, self.learner.missed = moment, True, False, 0
        if self._period > 1:
            self._window.steps = moment.steps

    def _until_compared(self) -> int:
        """How many steps the program makes until one is to be held against the eager engine."""
        if not self.compares:
            return sys.maxsize
        steps, due = self._steps, 1 << self._steps.bit_length()
        if self.verify:
            due = min(due, steps - steps % self.verify + self.verify)
        return due - 1 - steps

    def _compare(self, before: Moment, after: Moment, loss: np.ndarray, batch: Batch) -> None:
        """Hold the step against an eager one, now and then. Raises GraphError, at the last moment that was right."""
        due, learner = self._until_compared() == 0, self.learner
        new = self.compares and learner.alike is not None and not same(learner.alike, batch)
        self._steps += 1
        if not due and not new:
            return
        self.show()
        self.watch()
        program = learner.program
        assert program is not None
        steps = (lambda: (after, loss)), (lambda: by_numpy(program, before, {}, batch, checks=False))
        what = differs(before, steps, self.visible, batch, self._eager_step)
        if what is None:
            self._compared, self._compared_at = after.plain(), self._steps
            learner.alike = None if new else learner.alike
            return
        assert self._compared is not None
        self._stand(self._compared)
        learner.forget()
        self._natively = None
        raise GraphError(
            f"replay: the program no longer computes what the loss does: {what}. The last "
            f"{self._steps - self._compared_at} steps are dropped, and the run stands where program and loss last "
            "agreed. Something has changed that a recording cannot see; give it to the step with the batch, or as an "
            "array in carry="
        )

    # By the eager engine.

    def _eager(self, batch: Batch, signature: tuple[Any, ...]) -> float:
        """Make a step by the eager engine, and learn from it."""
        self.learner.check()
        self.show()
        visible, moment = self.visible, self._moment
        self.hand_over()
        self._moment = None
        if current() != RECORDING:
            self.learner.lose()
            return self._eager_step(visible.params, batch).item()
        n, skipped = self._window.steps % self._period, visible.optimizer.skipped
        trace = Trace(visible.tensors(), visible.arrays(), tuple(map(own, batch)))
        try:
            with switched(tape=trace):
                loss = self._eager_step(visible.params, batch)
        except BaseException:
            self.learner.lose()
            raise
        trace.close(visible.arrays(), loss.array)
        if visible.optimizer.skipped > skipped:
            self._moment = moment
            visible.note()
            return loss.item()
        if self.learner.learn(n, trace, signature):
            self._begin()
        if (moment := self.learner.moment(n, self._window.steps)) is not None:
            self._moment, self._compared, self._compared_at = moment, moment, self._steps
            visible.note()
        return loss.item()

    def _begin(self) -> None:
        """There is a program."""
        program = self.learner.program
        assert program is not None
        self._steps, self._natively = 0, None
        program = program._replace(coordinates=coordinates_of(self.visible.levels))
        if not self.exact and (found := natively(program, (), self._checks)) is not None:
            self._natively = found
            program = program._replace(ways=tuple(found.native.ways), buffers=found.native.buffers())
        self.learner.program = program

    def _eager_step(
        self, params: MutableMapping[str, Tensor], batch: Batch, optimizer: Optimizer | None = None
    ) -> Tensor:
        """An eager step; the loss."""
        optimizer = optimizer or self.visible.optimizer
        draws = Draws([self.loss])
        before = draws.state()
        loss = self.loss(params, *batch)
        if draws.state() != before:
            draws.put_back(before)
            raise GraphError(
                "replay: the loss draws random numbers, which a program would draw once and for all. Draw them "
                "outside, and give them to the step with the batch"
            )
        if not isinstance(loss, Tensor):
            raise DtypeError(f"replay: the loss is a tensor of one element, not a {type(loss).__name__}")
        loss.backward(create_graph=not optimizer.hooks[Window].cuts)
        optimizer.step(params)
        return loss


def _shown(entry: Any) -> Any:
    """What two entries of batches have in common for which one program serves."""
    if isinstance(entry, Tensor):
        return Tensor, entry.array.shape, entry.array.dtype
    if isinstance(entry, np.ndarray):
        return np.ndarray, entry.shape, entry.dtype
    if isinstance(entry, (int, float, str, bool, type(None), np.generic)):
        return type(entry), entry
    raise DtypeError(
        f"replay: an argument of the loss is an array, a tensor, a number or a text, not a {type(entry).__name__}"
    )
