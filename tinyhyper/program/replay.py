"""Replay: a step is carried out a few times by the eager engine, recorded, and from then on run as a program."""

from __future__ import annotations

import threading
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..arguments import named
from ..closures import Draws, version
from ..core.tape import RECORDING, current, switched
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError, GraphError
from ..finite import all_finite
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from .build import Builder, Difference
from .enter import entered
from .program import Body, Program, run
from .trace import Trace
from .values import Key
from .visible import Cut, Visible

TRIES = 4  # windows that may differ from the one before, one after another, until replay is refused


class Moment:
    """The end of a step. arrays: of the slots, which nobody changes."""

    def __init__(self, replay: Replay, program: Program, arrays: list[Any]) -> None:
        self._replay, self._program, self.arrays = replay, program, arrays

    def array(self, key: Key) -> np.ndarray:
        """A value."""
        return self.arrays[self._program.keys[key]]

    def values(self) -> dict[Key, np.ndarray]:
        """All values."""
        return {key: self.arrays[slot] for key, slot in self._program.keys.items()}

    def hand_over(self) -> None:
        """Let what users see be as after an eager step, if this is the last one."""
        self._replay.hand_over(self)


class Replay:
    """A training step, made by `replay`. program: what it does, None until it has been recorded."""

    def __init__(self, loss: Callable[..., Tensor], params: MutableMapping[str, Tensor], optimizer: Optimizer) -> None:
        self.program: Program | None = None
        self._loss, self._visible = loss, Visible(params, optimizer)
        self._window: Window = optimizer.hooks[Window]
        self._period: int = self._window.horizon or 1
        self._checks = optimizer.hooks[Guard].choice is not None
        self._moment: Moment | None = None
        self._pending = False  # whether what users see is filled in when they look
        self._cut: tuple[Body, list[Any], list[Any]] | None = None  # the last step that cut: its arrays before, after
        self._since: list[Sequence[Any]] = []
        self._traces: list[tuple[int, Trace]] = []
        self._signature: tuple[Any, ...] = ()
        self._version, self._tries = version(loss), 0
        self._refused: Difference | None = None
        self._lock = threading.RLock()

    def __call__(self, *batch: Any) -> float:
        """Make one step; returns the loss.

        batch: what the loss takes after params: arrays, tensors, plain values.
        Raises GraphError where steps differ in what they compute, so that no program can be made of them.
        """
        with self._lock:
            arrays = [entry.array if isinstance(entry, Tensor) else entry for entry in batch]
            before = self._begin(signature := tuple(map(_shown, batch)))
            if before is not None and (value := self._run(before, arrays)) is not None:
                return value
            return self._eager(batch, arrays, signature)

    def hand_over(self, moment: Moment) -> None:
        """Let what users see be as after an eager step, if this moment is the last one."""
        with self._lock:
            if not self._pending or moment is not self._moment or self._cut is None:
                return
            self._pending = False
            (body, before, after), keys = self._cut, self.program.keys
            cut = Cut(
                {key: before[slot] for key, slot in keys.items()},
                {key: after[slot] for key, slot in body.gradients.items()},
            )
            self._visible.hand_over(moment.values(), cut, self._since, self._step)

    def _begin(self, signature: tuple[Any, ...]) -> list[Any] | None:
        """The arrays with which the program goes on; None if it cannot make this step."""
        moment = self._moment
        if (
            moment is None
            or current() != RECORDING
            or signature != self._signature
            or version(self._loss) != self._version
            or (changed := self._visible.changed(moment)) is None
        ):
            return None
        if not changed:
            return moment.arrays
        arrays = moment.arrays[:]
        for key, array in changed.items():
            arrays[self.program.keys[key]] = array
        return arrays

    def _run(self, before: list[Any], batch: Sequence[Any]) -> float | None:
        """Make a step by the program. None, and nothing has changed, where the eager engine would refuse it."""
        n = self._window.steps % self._period
        body, after = self.program.bodies[n], before[:]
        run(body, after, batch)
        if self._checks and not all(all_finite(after[slot]) for slot in body.finite):
            return None
        if n == 0:
            self._cut, self._since = (body, before, after), []
        else:
            self._since.append([np.array(x, order="K") if isinstance(x, np.ndarray) else x for x in batch])
        self._window.steps += 1
        self._moment, self._pending = Moment(self, self.program, after), True
        self._visible.put(self._moment)
        return float(after[body.loss])

    def _eager(self, batch: Sequence[Any], arrays: Sequence[Any], signature: tuple[Any, ...]) -> float:
        """Make a step by the eager engine, and learn from it."""
        if self._refused is not None:
            raise self._refused
        visible, moment = self._visible, self._moment
        if moment is not None:
            self.hand_over(moment)
        self._moment = None
        if current() != RECORDING:
            self._traces.clear()
            return self._step(visible.params, batch).item()
        n, skipped = self._window.steps % self._period, visible.optimizer.skipped
        trace = Trace(visible.values(), arrays)
        try:
            with switched(tape=trace):
                loss = self._step(visible.params, batch)
        except BaseException:
            self._traces.clear()
            raise
        trace.close(visible.values(), loss)
        if visible.optimizer.skipped > skipped:
            self._moment, self._pending = moment, False
            visible.note()
        else:
            self._learn(n, trace, signature)
        return loss.item()

    def _step(self, params: MutableMapping[str, Tensor], batch: Sequence[Any]) -> Tensor:
        """An eager step; the loss."""
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
        loss.backward(create_graph=not self._window.cuts)
        self._visible.optimizer.step(params)
        return loss

    def _learn(self, n: int, trace: Trace, signature: tuple[Any, ...]) -> None:
        """Make a program of the last steps, or go into it."""
        if (now := version(self._loss)) != self._version:
            self.program, self._version, self._traces = None, now, []
        if self.program is None and signature != self._signature:
            self._signature, self._traces = signature, []
        period = self._period
        self._traces = [*self._traces[1 - 3 * period :], (n, trace)]
        if [m for m, _ in self._traces] != [(n - ago) % period for ago in reversed(range(len(self._traces)))]:
            self._traces = [(n, trace)]
        if self.program is None and n == period - 1 and len(self._traces) == 3 * period:
            try:
                self.program = Builder([trace for _, trace in self._traces], period).program()
                self._tries = 0
            except Difference as error:
                self._tries += 1
                self._refused = error if self._tries >= TRIES else None
        if self.program is not None and len(self._traces) >= period:
            latest = [trace for _, trace in sorted(self._traces[-period:], key=lambda pair: pair[0])]
            if (arrays := entered(self.program, latest, n)) is not None:
                self._moment, self._pending = Moment(self, self.program, arrays), False
                self._visible.note()


def _shown(entry: Any) -> Any:
    """What two entries of batches have in common for which one program serves."""
    if isinstance(entry, Tensor):
        return Tensor, entry.array.shape, entry.array.dtype
    if isinstance(entry, np.ndarray):
        return np.ndarray, entry.shape, entry.dtype
    return type(entry), entry


def replay(loss: Callable[..., Tensor], params: MutableMapping[str, Tensor], optimizer: Optimizer) -> Replay:
    """A training step that is recorded once and then run as a program.

    loss: loss(params, *batch), a scalar tensor.  params: tensors by name, which each step replaces.
    optimizer: a tower, with a horizon.
    """
    named("replay", params, MutableMapping)
    if not callable(loss):
        raise ArgumentError(f"replay: the loss is a function, loss(params, *batch), not a {type(loss).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"replay: the optimizer is a tower, such as th.optim.SGD(0.1), not {optimizer!r}")
    if optimizer.hooks[Window].horizon is None:
        raise ArgumentError("replay: with horizon=None no step is like the one before; give a horizon")
    return Replay(loss, params, optimizer)
