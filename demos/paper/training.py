"""The loop that trains a run: interrupted at any step, it goes on to the same numbers.

Steps are replayed (docs/replay.md). After an interruption a few are made by the eager engine before there is a program
again; what the program's listing marks with ~ is rounded otherwise there.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import tinyhyper as th

from .run import Place, Run, Stopped


class Training:
    """A run under way. A checkpoint holds these attributes; all else must follow from the run and the step.

    params: named tensors.  optimizer: what moves them.  loss: loss(params, *batch), which reads `carried` if anything.
    model: a layer whose buffers count, or None.  carried: arrays or tensors that one step hands to the next.
    history: what was recorded so far, JSON-able (finite or not).
    """

    params: dict[str, th.Tensor]
    optimizer: th.optim.Optimizer
    loss: Callable[..., th.Tensor]
    model: th.nn.Layer | None
    carried: dict[str, Any]
    history: dict[str, Any]

    def __init__(
        self, params: dict[str, th.Tensor], optimizer: th.optim.Optimizer, loss: Callable[..., th.Tensor]
    ) -> None:
        self.params, self.optimizer, self.loss = params, optimizer, loss
        self.model, self.carried, self.history = None, {}, {}

    def batch(self, step: int) -> Sequence[Any]:
        """What the loss takes at this step beside params; steps are counted from 0."""
        raise NotImplementedError

    def stepper(self) -> Callable[..., float]:
        """What makes a step of a batch, and gives its loss."""
        return th.replay(self.loss, self.params, self.optimizer, carry=self.carried)

    def eagerly(self, *batch: Any) -> float:
        """A step that is not replayed."""
        loss = self.loss(self.params, *batch)
        loss.backward()
        self.optimizer.step(self.params)
        return loss.item()

    def after(self, step: int, loss: float) -> None:
        """Record something about a step that was just made."""

    def result(self) -> dict[str, Any]:
        """What came of the run, JSON-able."""
        raise NotImplementedError


def train(begin: Callable[[], Training], run: Run, place: Place) -> dict[str, Any]:
    """Make all steps of the run, from its checkpoint if there is one. Stop where the loss is no longer a number.

    begin: makes the training as it is before the first step.
    Returns the training's result, with `steps` (how many were made), `diverged` (whether the loss stopped being a
    number) and `seconds` (of all processes that worked on the run). Raises Stopped when the run is told to stop.
    """
    path, label = place.checkpoint(run), [th.__version__, run.key, place.fingerprint]
    training, step, seconds = resume(begin, path, label)
    make = training.stepper()
    loss, now = 0.0, time.monotonic()
    began, look, save = now - seconds, now, now + place.every
    while step < run.steps and math.isfinite(loss):
        if (now := time.monotonic()) >= look:
            look, stopping = now + place.look, place.stopping()
            if stopping or now >= save:
                write(path, training, label, step, now - began)
                save = time.monotonic() + place.every
            if stopping:
                raise Stopped(run.key)
        loss = make(*training.batch(step))
        training.after(step, loss)
        step += 1
    ended = {"steps": step, "diverged": not math.isfinite(loss)}
    return {**training.result(), **ended, "seconds": time.monotonic() - began}


def write(path: Path, training: Training, label: list[Any], step: int, seconds: float) -> None:
    """Save a training between two steps; the file appears whole or not at all."""
    th.save(
        path,
        training.params,
        training.optimizer,
        label=label,
        step=step,
        seconds=seconds,
        buffers=None if training.model is None else training.model.buffers,
        carried=training.carried,
        history=training.history,
    )


def resume(begin: Callable[[], Training], path: Path, label: list[Any]) -> tuple[Training, int, float]:
    """The training as its checkpoint has it, the next step, and the seconds so far; the beginning without a checkpoint.

    A checkpoint that is damaged, or has another label, is named on stderr, and the run starts anew.
    """
    training = begin()
    try:
        training.params, saved = th.load(path, training.optimizer)
        if saved["label"] != label:
            raise ValueError("it is of another version, run or data")
        if training.model is not None:
            training.model.load_buffers(saved["buffers"])
        training.carried.update(saved["carried"])
        training.history = saved["history"]
        return training, saved["step"], saved["seconds"]
    except th.CheckpointMissingError:
        return training, 0, 0.0
    except (th.TinyhyperError, KeyError, ValueError) as error:
        print(f"{path}: this checkpoint cannot be used ({error}); its run starts anew", file=sys.stderr)
        return begin(), 0, 0.0


def rows(seed: int, step: int, count: int, batch: int) -> np.ndarray:
    """The rows of a step's batch, of so many in all; each epoch has an order of its own."""
    epoch, n = divmod(step, math.ceil(count / batch))
    return _order(seed, epoch, count)[n * batch : (n + 1) * batch]


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, 1 + epoch]).permutation(count)


def error(scores: Callable[[np.ndarray], th.Tensor], images: np.ndarray, labels: np.ndarray, chunk: int) -> float:
    """Per cent of the images whose highest score is that of another class, computed so many images at a time."""
    wrong = 0
    with th.no_grad():
        for n in range(0, len(images), chunk):
            guesses = scores(images[n : n + chunk]).numpy().argmax(axis=1)
            wrong += np.count_nonzero(guesses != labels[n : n + chunk])
    return 100 * wrong / len(images)
