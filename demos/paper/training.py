"""What is trained, and the loop that trains it: interrupted at any step, it goes on to the same numbers."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import numpy as np

import tinyhyper as th

from . import checkpoint
from .checkpoint import Moment
from .place import Place, Stopped
from .run import Run


class Training:
    """A run under way. A checkpoint holds these attributes; the rest has to follow from the run and the step.

    params: named tensors.  optimizer: what moves them.  model: a layer whose buffers count, or None.
    generators: random generators that later steps use again.  carried: arrays handed from step to step.
    history: what was recorded so far, JSON-able (finite or not).
    """

    params: dict[str, th.Tensor]
    optimizer: th.optim.Optimizer
    model: th.nn.Layer | None
    generators: dict[str, np.random.Generator]
    carried: dict[str, np.ndarray]
    history: dict[str, Any]

    def __init__(self, params: dict[str, th.Tensor], optimizer: th.optim.Optimizer) -> None:
        self.params, self.optimizer = params, optimizer
        self.model, self.generators, self.carried, self.history = None, {}, {}, {}

    def loss(self, step: int) -> th.Tensor:
        """The loss of the batch of this step; steps are counted from 0."""
        raise NotImplementedError

    def after(self, step: int, loss: float) -> None:
        """Record what is wanted of a step, when it has been made."""

    def result(self) -> dict[str, Any]:
        """What came of it, JSON-able."""
        raise NotImplementedError


def train(training: Training, run: Run, place: Place) -> dict[str, Any]:
    """All steps of the run, from its checkpoint if there is one; stops where the loss is no longer a number.

    The training's result, with `steps`, how many were made, `diverged`, whether the loss stopped being a number, and
    `seconds`, with those before an interruption.
    Raises Stopped when it is told to stop.
    """
    watch = Watch(training, run, place)
    resumed, step, loss = watch.resumed, 0, math.nan
    for step in range(resumed.step if resumed else 0, run.steps):
        if resumed:
            loss, resumed = resumed.loss, None
        else:
            tensor = training.loss(step)
            tensor.backward()
            loss = tensor.item()
        watch.see(step, loss)
        training.optimizer.step(training.params)
        training.after(step, loss)
        if not math.isfinite(loss):
            break
    ended = {"steps": step + 1, "diverged": not math.isfinite(loss)}
    return {**training.result(), **ended, "seconds": watch.seconds()}


class Watch:
    """The clock beside the loop: it tells how far the run is, makes checkpoints, and stops the run if it is told to."""

    def __init__(self, training: Training, run: Run, place: Place) -> None:
        self.training, self.run, self.place = training, run, place
        self.path = place.checkpoint(run)
        self.resumed = self._resume()
        before = self.resumed.seconds if self.resumed else 0.0
        now = time.monotonic()
        self.begun, self.next_look, self.next_save = now - before, now, now + place.every

    def see(self, step: int, loss: float) -> None:
        """To be called between backward() and step()."""
        if (now := time.monotonic()) < self.next_look:
            return
        self.next_look = now + self.place.look
        stopping = self.place.stopping()
        if stopping or now >= self.next_save:
            checkpoint.save(
                self.path, self.training, self.run, Moment(step, loss, self.seconds()), self.place.fingerprint
            )
            self.next_save = time.monotonic() + self.place.every
        if stopping:
            raise Stopped(self.run.key)
        self.place.tell(self.run, step)

    def seconds(self) -> float:
        """How long the run has been under way, in all processes that worked on it."""
        return time.monotonic() - self.begun

    def _resume(self) -> Moment | None:
        try:
            return checkpoint.load(self.path, self.training, self.run, self.place.fingerprint)
        except FileNotFoundError:
            return None
        except checkpoint.UNREADABLE as error:
            print(f"{self.path}: this checkpoint cannot be used ({error}); its run starts anew", file=sys.stderr)
            return None
