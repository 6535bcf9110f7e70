"""Replay: a step is made a few times by the eager engine, recorded, and from then on run as a program."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..arguments import named as check_named
from ..arguments import whole
from ..closures import Closure, Draws
from ..core.tape import RECORDING, current, switched
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError, GraphError
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from ..optim.ranges import RangeWatch
from .batches import Batches, Histories
from .build import Builder
from .compare import differs
from .enter import entered
from .moment import Batch, Cut, Moment, Since
from .places import Difference
from .program import Program
from .runners import Natively, arrays_in, by_numpy, natively, own, plain
from .trace import Trace
from .values import Key
from .visible import Visible

CHANGES = "What the loss reads beside its arguments is another thing at each step; give it to the step with the batch"
PART = 64  # steps, of which the rows of whole data sets are copied at once
TRIES = 4  # windows that may differ from the one before, one after another, until replay is refused


class Look:
    """Where pending tensors look for their values: at a moment, or at the last one."""

    def __init__(self, replay: Replay, moment: Moment | None = None) -> None:
        self._replay, self._moment, self.stays = replay, moment, moment is not None

    def array(self, key: Key) -> np.ndarray:
        """A value."""
        return (self._moment or self._replay.moment).array(key)

    def hand_over(self) -> None:
        """Let what users see be as after an eager step, if this moment is the last one."""
        if not self.stays or self._moment is self._replay.moment:
            self._replay.hand_over()


class Replay:
    """A training step, made by `replay`.

    program: what it does, None until it has been recorded.
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
        self.program: Program | None = None
        self._natively: Natively | None = None  # the same program in memory
        self.exact, self.verify = exact, verify
        self._loss, self._visible = loss, Visible(params, optimizer, carry)
        self._window: Window = optimizer.hooks[Window]
        self._period: int = self._window.horizon or 1
        self._checks = optimizer.hooks[Guard].choice is not None
        self._closure = Closure(loss, apart=(carry, params))
        self._closure.changed()  # from now on
        self._levels = optimizer.levels
        self._moment: Moment | None = None  # where the program goes on; None where the eager engine has to
        self._ahead = False  # whether users do not see this moment yet
        self._pending = False  # whether what they see is filled in when they look
        self._compared: Moment | None = None  # the last one at which the program was held against the eager engine
        self._steps = self._compared_at = 0  # that the program has made
        self._alike: Batch | None = None  # the recorded batch, if all were the same
        self._traces: list[tuple[int, Trace]] = []
        self._signature: tuple[Any, ...] = ()
        self._tries = 0
        self._refused: GraphError | None = None
        self._last = Look(self)
        self._lock = threading.RLock()

    def __call__(self, *batch: Any) -> float:
        """Make one step; returns the loss.

        batch: what the loss takes after params: arrays, tensors, plain values.
        Raises GraphError where steps differ in what they compute, so that no program can be made of them, and where the
        program is found to compute something else than the loss does now.
        """
        with self._lock:
            try:
                return self._step(batch)
            finally:
                self._show()

    def over(
        self,
        *stacks: Any,
        index: Any = None,
        steps: int | None = None,
        keep: Sequence[str] = (),
        every: int | None = None,
        call: Callable[[int, np.ndarray], Any] | None = None,
    ) -> Any:
        """Make many steps; returns the losses, or the losses and a dict of histories if `keep` names any.

        stacks: of each argument that the loss takes after params, what it is at each step, along the first axis.
        index: integers, (steps, batch). Then the stacks are whole data sets, of which each step takes these rows.
        steps: how many, where the loss takes no batch.
        keep: hyperparameters, such as "alpha" or "level1.alpha"; a history is the value after each step.
        every, call: call(made, losses) after every so many steps; if it returns something true, no more are made.
        Raises as a call does, and ArgumentError or ShapeError where the arguments do not fit together.
        """
        with self._lock:
            batches = Batches(stacks, index, steps)
            count, made = len(batches), 0
            losses, histories = np.empty(count), Histories(self._visible, keep, count)
            pause = count if every is None else whole("over: every", every)
            try:
                while made < count:
                    made += self._some(batches, made, min(count, made - made % pause + pause), losses, histories)
                    if call is not None and (made % pause == 0 or made == count):
                        self._show()
                        if call(made, losses[:made].copy()):
                            break
            finally:
                self._show()
                self._levels[0].hooks[RangeWatch].after(self._levels, self._visible.params)
            return (losses[:made], histories.values(made)) if keep else losses[:made]

    def _some(self, batches: Batches, first: int, last: int, losses: np.ndarray, histories: Histories) -> int:
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
        losses[first] = self._step(batch)
        histories.note(first, self._moment if self._ahead else None)
        return 1

    def _until_compared(self) -> int:
        """How many steps the program makes until one is to be held against the eager engine."""
        steps, verify = self._steps, self.verify
        due = min(1 << steps.bit_length(), steps - steps % verify + verify if verify else 1 << steps.bit_length())
        return due - 1 - steps

    def _in_memory(self, batch: Batch, watched: tuple[Key, ...]) -> Moment | None:
        """The moment from which steps can be made at once; None if they cannot."""
        moment = self._moment
        if self._natively is None or self.program is None or moment is None or self._alike is not None:
            return None
        if self._closure.changed():
            self._begin_anew(CHANGES)
            return None
        if self._changed(tuple(map(_shown, batch))) != {}:
            return None
        if self._natively.watched != watched:
            self._natively = Natively(self.program, watched, self._checks)
        return moment if self._natively.goes_on(moment) else None

    @property
    def moment(self) -> Moment:
        """Where the program stands."""
        assert self._moment is not None
        return self._moment

    def hand_over(self) -> None:
        """Let what users see be as after an eager step."""
        with self._lock:
            if self._pending:
                self._pending = False
                self._visible.hand_over(self.moment, self._eager_step)

    def _step(self, batch: Batch) -> float:
        """A step by the program if it can, else by the eager engine."""
        signature = tuple(map(_shown, batch))
        if self._closure.changed():
            self._begin_anew(CHANGES)
        changed = self._changed(signature)
        if changed is not None and (loss := self._run(changed, batch)) is not None:
            return loss
        return self._eager(batch, signature)

    def _changed(self, signature: tuple[Any, ...]) -> Mapping[Key, np.ndarray] | None:
        """The values that were set by hand, if the program can make the next step; None if it cannot."""
        moment = self._moment
        if moment is None or self.program is None or current() != RECORDING or signature != self._signature:
            return None
        if self._ahead:
            return {}
        return self._visible.changed() if self._period == 1 or moment.steps == self._window.steps else None

    def _run(self, changed: Mapping[Key, np.ndarray], batch: Batch) -> float | None:
        """Make a step by the program. None, and nothing has changed, where the eager engine would refuse it."""
        before, program = self._moment, self.program
        assert before is not None and program is not None
        if not changed and self._natively is not None and self._natively.goes_on(before):
            made = self._natively.step(before, batch)
        else:
            made = by_numpy(program, before, changed, batch, self._checks)
        if made is None:
            return None
        after, loss = made
        self._compare(before.having(changed), after, loss, batch)
        self._stand(after)
        return loss.item()

    def _stand(self, moment: Moment) -> None:
        """The program stands at a moment that users do not see yet."""
        self._moment, self._ahead, self._pending = moment, True, False
        if self._period > 1:
            self._window.steps = moment.steps

    def _compare(self, before: Moment, after: Moment, loss: np.ndarray, batch: Batch) -> None:
        """Hold the step against an eager one, now and then. Raises GraphError, at the last moment that was right."""
        self._steps += 1
        count, new = self._steps, self._alike is not None and not _same(self._alike, batch)
        if not new and count & (count - 1) and not (self.verify and count % self.verify == 0):
            return
        self._show()
        self._levels[0].hooks[RangeWatch].after(self._levels, self._visible.params)
        program = self.program
        assert program is not None
        steps = (lambda: (after, loss)), (lambda: by_numpy(program, before, {}, batch, checks=False))
        what = differs(before, steps, self._visible, batch, self._eager_step)
        if what is None:
            self._compared, self._compared_at, self._alike = plain(after), count, None if new else self._alike
            return
        dropped = count - self._compared_at
        assert self._compared is not None
        self._stand(self._compared)
        self.program, self._natively, self._traces = None, None, []
        raise GraphError(
            f"replay: the program no longer computes what the loss does: {what}. The last {dropped} steps are dropped, "
            "and the run stands where program and loss last agreed. Something has changed that a recording cannot see; "
            "give it to the step with the batch, or as an array in carry="
        )

    def _show(self) -> None:
        """Let users see where the program stands."""
        if self._ahead:
            self._ahead, self._pending = False, True
            look = Look(self, self.moment)
            self._visible.put(look, self._last)
            if self._natively is not None:
                self._natively.look(look, self.moment)

    def _eager(self, batch: Batch, signature: tuple[Any, ...]) -> float:
        """Make a step by the eager engine, and learn from it."""
        if self._refused is not None:
            raise self._refused
        self._show()
        visible, moment = self._visible, self._moment
        self.hand_over()
        self._moment = None
        if current() != RECORDING:
            self._traces.clear()
            return self._eager_step(visible.params, batch).item()
        n, skipped = self._window.steps % self._period, visible.optimizer.skipped
        trace = Trace(visible.tensors(), visible.arrays(), tuple(map(own, batch)))
        try:
            with switched(tape=trace):
                loss = self._eager_step(visible.params, batch)
        except BaseException:
            self._traces.clear()
            raise
        trace.close(visible.arrays(), loss.array)
        if visible.optimizer.skipped > skipped:
            self._moment = moment
            visible.note()
        else:
            self._learn(n, trace, signature)
        return loss.item()

    def _eager_step(
        self, params: MutableMapping[str, Tensor], batch: Batch, optimizer: Optimizer | None = None
    ) -> Tensor:
        """An eager step; the loss."""
        optimizer = optimizer or self._visible.optimizer
        draws = Draws([self._loss])
        before = draws.state()
        loss = self._loss(params, *batch)
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

    def _begin_anew(self, why: str) -> None:
        """The program, if there is one, is that of another loss: record again, unless that has failed too often."""
        self.program = self._natively = None
        self._traces, self._tries = self._traces[-2 * self._period :], self._tries + 1
        if self._tries > TRIES:
            self._refused = GraphError(f"replay: no two steps are alike, so there is no program. {why}")

    def _learn(self, n: int, trace: Trace, signature: tuple[Any, ...]) -> None:
        """Make a program of the last steps, or go into it."""
        if self.program is None and signature != self._signature:
            self._signature, self._traces = signature, []
        period = self._period
        self._traces = [*self._traces[1 - 3 * period :], (n, trace)]
        if [m for m, _ in self._traces] != [(n - ago) % period for ago in reversed(range(len(self._traces)))]:
            self._traces = [(n, trace)]
        if self.program is None and n == period - 1 and len(self._traces) == 3 * period:
            try:
                self.program = Builder([trace for _, trace in self._traces], period).program()
            except Difference as error:
                self._begin_anew(str(error))
            else:
                self._tries = self._steps = 0
                self._natively = None if self.exact else natively(self.program, (), self._checks)
                if self._natively is not None:
                    self.program = self.program._replace(ways=tuple(self._natively.native.ways))
                first, *rest = [trace.given for _, trace in self._traces]
                self._alike = first if first and all(_same(first, batch) for batch in rest) else None
        if self.program is not None and len(self._traces) >= period:
            latest = [trace for _, trace in sorted(self._traces[-period:], key=lambda pair: pair[0])]
            if (arrays := entered(self.program, latest, n)) is not None:
                cut = Cut(latest[0].before, latest[0].gradients, latest[0].after)
                row = [trace for _, trace in self._traces[len(self._traces) - n - 1 :]]
                since = tuple([Since(_set(*pair), pair[1].given) for pair in zip(row, row[1:])])
                self._moment = Moment(self.program.keys, arrays, lambda: cut, since, self._window.steps)
                self._compared, self._compared_at = self._moment, self._steps
                self._visible.note()


def _set(one: Trace, other: Trace) -> dict[Key, np.ndarray]:
    """The values that were set by hand between two calls."""
    return {key: array for key, array in other.before.items() if array is not one.after.get(key)}


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two batches of one signature hold the same."""
    return all(x is y or np.array_equal(*arrays_in([x, y])) for x, y in zip(one, other))


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


def replay(
    loss: Callable[..., Tensor],
    params: MutableMapping[str, Tensor],
    optimizer: Optimizer,
    *,
    carry: MutableMapping[str, Any] | None = None,
    exact: bool = False,
    verify: int | None = None,
) -> Replay:
    """A training step that is recorded once, and then run as a program.

    loss: loss(params, *batch), a scalar tensor.  params: tensors by name, which each step replaces.
    optimizer: a tower, with a horizon.
    carry: arrays or tensors by name that the loss reads, and replaces by what it has computed.
    exact: whether each instruction is what the eager engine would call, so that all numbers are its own.
    verify: hold each so many-th step against an eager one; the steps 1, 2, 4, 8 and so on always are.
    Raises DtypeError or ArgumentError for what is no loss, no params, no tower or no carry, and for horizon=None.
    """
    check_named("replay", params, MutableMapping)
    if not callable(loss):
        raise ArgumentError(f"replay: the loss is a function, loss(params, *batch), not a {type(loss).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"replay: the optimizer is a tower, such as th.optim.SGD(0.1), not {optimizer!r}")
    if optimizer.hooks[Window].horizon is None:
        raise ArgumentError("replay: with horizon=None no step is like the one before it; give a horizon")
    if carry is not None and not isinstance(carry, MutableMapping):
        raise DtypeError(f"replay: carry is a dict of named arrays, not a {type(carry).__name__}")
    if verify is not None:
        verify = whole("replay: verify", verify)
    return Replay(loss, params, optimizer, {} if carry is None else carry, exact, verify)
