"""A run that is replayed: steps by the eager engine until there is a program, then by that; and back where need be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.tape import RECORDING, current
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import GraphError
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from ..plain import count
from .batches import Batches, Histories
from .compare import Comparisons, apart, differs
from .eager import asks, eager_step
from .forks import lock_of
from .layout import Layout
from .learning import DROPPED, GONE, IN_WINDOW, Learner
from .moment import Batch, Moment
from .pending import Look
from .program import Program
from .runners import Natively, Runner, by_numpy, signature_of
from .values import Key, coordinates_of
from .visible import Visible

Known = tuple[Program, "Layout | None"]

WATCHED = 100  # steps, after which hyperparameters are looked at; with each one that takes longer than the step
PART = 64  # steps, of which the rows of whole data sets are copied at once


class Session:
    """A loss, what it is minimized over, and where the run stands.

    goal: what the levels above descend; None for the loss.
    exact: whether instructions are what the eager engine calls.  verify: each so many-th step is compared.
    side_by_side: whether operations that are alike are one.
    known: a program that this run may have too, and how it lies in memory; then no step is held against an eager one,
    and the first window is made by NumPy.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        params: MutableMapping[str, Tensor],
        optimizer: Optimizer,
        carry: MutableMapping[str, Any],
        exact: bool,
        verify: int | None,
        side_by_side: bool,
        known: Known | None = None,
        goal: Callable[..., Tensor] | None = None,
    ) -> None:
        self.exact, self.verify, self.side_by_side = exact, verify, side_by_side
        self.loss, self.goal, self.visible = loss, goal, Visible(params, optimizer, carry)
        self.lock = lock_of(self)
        self._window: Window = optimizer.hooks[Window]
        self._period: int = self._window.horizon or 1
        self._known: Program | None
        self._known, layout = known or (None, None)
        holders = getattr(carry, "holders", ())  # of live buffers: the layers read these themselves
        self.learner: Learner = Learner((loss, goal), self._period, (carry, *holders, params), self._known)
        self._runner = Runner(exact, optimizer.hooks[Guard].choice is not None, side_by_side, layout)
        self._moment: Moment | None = None  # where the program goes on; None where the eager engine has to
        self._ahead = False  # whether users do not see this moment yet
        self._pending = False  # whether what they see is filled in when they look
        self._is_whole = True  # whether the window's steps have moved the tensors that are there
        self._held = Comparisons(verify)
        self._last = Look(self)

    @property
    def moment(self) -> Moment:
        assert self._moment is not None
        return self._moment

    def stands_at(self, moment: Moment | None) -> bool:
        return moment is self._moment

    def step(self, batch: Batch) -> float:
        """A step by the program if it can, else by the eager engine. What users see may be of a step before."""
        learner, held = self.learner, self._held
        learner.look()
        changed = self._changed(signature := signature_of(batch))
        before, program = self._moment, learner.program
        if changed is None or before is None or program is None:
            return self._eager(batch, signature)
        if changed:
            before = before.plain(changed)
        made = self._runner.step(program, before, changed, batch)
        if made is None:  # the eager engine refuses it, and nothing has changed
            return self._eager(batch, signature)
        after, loss = made
        held.steps += 1
        if held.steps >= held.due or learner.is_new(batch):
            if program is not self._known:
                self._compare(program, before, after, loss, batch)
            else:  # the window is over that a run alone records by the eager engine, with these very bits
                held.due = sys.maxsize
                learner.program = self._runner.lie(program)
        self._stand(after)
        return loss.item()

    def some(self, batches: Batches, first: int, last: int, losses: np.ndarray, histories: Histories) -> int:
        """Some of the steps from the first on, at once where that can be; how many."""
        batch, held = batches[first], self._held
        last = min(last, first + (PART if batches.index is not None else last), first + held.due - 1 - held.steps)
        if last > first + 1 and (there := self._in_memory(batch, histories.keys)) is not None:
            natively, moment = there
            stacks = batches.part(first, last)
            last = first + self.learner.count_alike(stacks, last - first)
            found = np.empty(last - first, natively.native.loss.shared.dtype)
            row = [batches[step] for step in range(first, last)] if self._period > 1 else []
            out = [found, *[history[first:last] for history in histories.internal]]
            moment, made = natively.many(moment, stacks, row, out)
            if made:
                losses[first : first + made] = found[:made]
                held.steps += made
                self._stand(moment)
                return made
        losses[first] = self.step(batch)
        histories.note(first, self._moment if self._ahead else None)
        return 1

    def standing(self, batch: Batch) -> tuple[Program, Moment, Layout | None] | None:
        """The program, where it stands, and how it lies in memory; None if it could not make the next step."""
        program, changed = self.learner.program, self._changed(signature_of(batch))
        return None if program is None or changed is None else (program, self.moment, self._runner.layout)

    def show(self) -> None:
        """Let users see where the program stands, by new tensors unless nobody can tell those there from new ones."""
        if not self._ahead:
            return
        self._pending = True
        if self._period > 1:
            self._window.steps = self.moment.steps
        visible, moment, natively = self.visible, self._moment, self._runner.natively
        assert moment is not None
        if not visible.follow(moment, natively):
            look = Look(self, moment, natively)
            visible.put(look, self._last)
            if natively is not None:
                natively.look(look)
        if visible.carry:
            visible.carry_on(moment.array)
        self._ahead = False
        if not self._held.steps % WATCHED:
            visible.watch()

    def settle(self) -> None:
        """Stand, and show it, after whole steps, where a signal has raised an error between any two lines."""
        natively, moment = self._runner.natively, self._moment
        if natively and moment is not None and (reached := natively.reached(moment)) is not moment:
            self._stand(reached)
        self.show()

    def gone(self) -> str:
        """Why the graphs of the window's steps cannot be made again, as the loss is another one now; "" if they can."""
        with self.lock:
            is_gone = (since := self.moment.since if self._pending else ()) and self.learner.has_changed()
            return (IN_WINDOW + GONE).format(self._period, count(len(since), "step")) if is_gone else ""

    def hand_over(self) -> None:
        """Let what users see be as after an eager step. Raises GraphError, and changes nothing, if that is gone."""
        with self.lock:
            if why := self.gone():
                raise GraphError(why)
            if self._pending:
                try:
                    self._pending = False
                    self.visible.hand_over(self.moment, self._eager_step)
                except BaseException:
                    self._pending = True
                    raise
            self.learner.is_stale = False

    def _drop_window(self) -> None:
        """Stand where the window began, if another loss would make its steps again now. Raises GraphError then."""
        if self.gone():
            why = (IN_WINDOW + DROPPED).format(self._period, count(len(self.moment.since), "step"))
            self._go_back(self.moment.back())
            self.learner.is_stale = False
            raise GraphError(why)

    def _go_back(self, moment: Moment) -> None:
        """Let users see a moment, from which the eager engine goes on."""
        self._moment, self._pending, self._ahead = None, False, False
        self._window.steps = moment.steps
        self.visible.hand_over(moment, self._eager_step)

    def _changed(self, signature: tuple[Any, ...]) -> Mapping[Key, np.ndarray] | None:
        """The values that were set by hand, if the program can make the next step; None if it cannot."""
        moment, learner = self._moment, self.learner
        if moment is None or learner.program is None or current() != RECORDING or signature != learner.signature:
            return None
        goes_on = self._period == 1 or moment.steps == self._window.steps
        return {} if self._ahead else self.visible.changed() if goes_on else None

    def _in_memory(self, batch: Batch, watched: tuple[Key, ...]) -> tuple[Natively, Moment] | None:
        """What can make steps at once, and give histories of these values; and from where. None if nothing can."""
        learner, runner = self.learner, self._runner
        learner.look()
        moment, program = self._moment, learner.program
        if runner.natively is None or program is None or moment is None or self._changed(signature_of(batch)) != {}:
            return None
        if not runner.serves(program, watched):
            learner.program = runner.lie(program, watched)
        return (runner.natively, moment) if runner.natively.goes_on(moment) else None

    def _stand(self, moment: Moment) -> None:
        """The program stands at a moment that users do not see yet."""
        self._moment, self._ahead, self._pending = moment, True, False
        self.learner.made()

    def _compare(self, program: Program, before: Moment, after: Moment, loss: np.ndarray, batch: Batch) -> None:
        """Hold the last step against an eager one. Raises GraphError, at the last moment that was right."""
        new = (learner := self.learner).is_new(batch)
        self._held.move_on()
        self.show()
        self.visible.watch()
        with self._runner.lending() as loans:
            steps = (lambda: (after.lent(loans), loss)), (lambda: by_numpy(program, before, {}, batch, checks=False))
            what = differs(before.lent(loans), steps, self.visible, batch, self._eager_step)
        if what is None:
            self._held.agreed(after)
            learner.alike = None if new else learner.alike
            return
        assert self._held.moment is not None
        learner.forget()
        self._runner.forget()
        self._go_back(self._held.moment)
        raise apart(what, self._held.since)

    def _eager(self, batch: Batch, signature: tuple[Any, ...]) -> float:
        """Make a step by the eager engine, and learn from it."""
        self.learner.check()
        self.show()
        visible, moment = self.visible, self._moment
        changed = visible.changed()
        self._drop_window()
        self.hand_over()
        self._moment = None
        if visible.has_other_levels():
            self.learner.forget()
        n, skipped = self._window.steps % self._period, visible.optimizer.skipped
        asked = asks(self.goal, visible.params, visible.optimizer)
        is_without = self.goal is not None and n == 0 and not asked  # as the first step, and one after a skipped one
        if current() != RECORDING or visible.has_other_gradients() or is_without:
            self.learner.lose()
            return self._eager_step(visible.params, batch).item()
        if changed is None:  # other tensors, to which a part of the window's hypergradient does not come
            self.learner.lose()
        self._is_whole = n == 0 or self._is_whole and changed is not None
        with self.learner.recording(visible, batch, asked) as trace:
            loss = self._eager_step(visible.params, batch)
            trace.close(visible.arrays(), loss.array)
        visible.note()
        if visible.optimizer.skipped > skipped:
            self.learner.lose()
            knows = changed == {} and not asked  # of what was set, and what the goal has left
            self._moment = moment if knows else None
            return loss.item()
        begins = self.learner.learn(n, trace, signature, visible)
        if self._is_whole and (moment := self.learner.moment(n, self._window.steps)) is not None:
            self._moment = moment
            self._held.agreed(moment)
            if n == self._period - 1:
                self.learner.lose()  # what the steps of the window have left, as the next one goes on from the moment
        if begins:
            self._begin()
        return loss.item()

    def _begin(self) -> None:
        """There is a program."""
        program = self.learner.program
        assert program is not None
        self._runner.forget()
        if program is self._known:
            self._held.begin(self._period)
        else:
            self._held.begin(1)
            self.learner.program = self._runner.lie(replace(program, coordinates=coordinates_of(self.visible.levels)))

    def known(self) -> Known | None:
        """The program, and how it lies in memory; None if there is no program."""
        program = self.learner.program
        return None if program is None else (program, self._runner.layout_of(program))

    def _eager_step(
        self, params: MutableMapping[str, Tensor], batch: Batch, optimizer: Optimizer | None = None
    ) -> Tensor:
        """An eager step; the loss."""
        optimizer = optimizer or self.visible.optimizer
        return eager_step(self.loss, self.goal, self.learner.draws(), self.visible.carry, params, batch, optimizer)
