"""A kind of training: a character LSTM of two layers of 128 on War and Peace, batches of 50 rows of 50 characters.

Each row goes on where it ended in the batch before, and so does the network's state; the graph between two batches is
cut. Options of a run: `rates`, the step sizes of an SGD above the stack, by hyperparameter (none: the stack says all);
`characters`, how many of the text to train on, and `tests`, to test on (all); `sample`, how many to write.
Its result: the test perplexity, that of training by hundreds of steps, the hyperparameters alike, and a text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import tinyhyper as th
from tinyhyper.data.text import HELD_OUT

from ..shared.stacks import with_rates
from . import Place, Run, Training, train

COST = 45
BATCH, LENGTH = 50, 50
HIDDEN, LAYERS = 128, 2
NOTED = 100  # steps between two notes of where the run stands
START, TEMPERATURE = "The ", 0.8  # in a text without these letters, its own first ones


@cache
def load(folder: Path | None) -> th.data.Text:
    """War and Peace, once a process. Raises DataError, also for a text whose end is too short for a batch."""
    text = th.data.war_and_peace(folder)
    if (count := len(text.test_ids)) <= BATCH:
        wanted = (BATCH + 1) * HELD_OUT
        raise th.DataError(f"war_and_peace: the text's end has {count} characters; it needs {wanted:,} in all")
    return text


def beginning(text: th.data.Text) -> str:
    """What a sample begins with: START, or as much of the text, where it has not all of these characters."""
    return START if set(START) <= set(text.characters) else text.decode(text.train_ids[: len(START)])


def steps(characters: int) -> int:
    """The batches of a pass over so many characters."""
    return math.ceil((characters - 1) // BATCH / LENGTH)


def silence() -> dict[str, th.Tensor]:
    """The network's state before the first character."""
    return {f"{name}{n}": th.Tensor(np.zeros((BATCH, HIDDEN), np.float32)) for n in range(LAYERS) for name in "hc"}


def reader(network: th.nn.CharLSTM, carried: dict[str, th.Tensor]) -> Callable[..., th.Tensor]:
    """A loss: the mean over the characters of a batch, (length, rows), whose targets come one row after the other.

    carried: the state before the batch, which is replaced by that behind it.
    """

    def loss(params: Mapping[str, th.Tensor], inputs: np.ndarray, targets: np.ndarray) -> th.Tensor:
        logits, state = network(params, inputs, [(carried[f"h{n}"], carried[f"c{n}"]) for n in range(LAYERS)])
        for n, pair in enumerate(state):
            carried.update({f"{name}{n}": x.detach("carried state") for name, x in zip("hc", pair)})
        return th.cross_entropy(logits.reshape(targets.size, -1), targets)

    return loss


class Writer(Training):
    """A run; the text is read from front to back, again and again."""

    def __init__(self, run: Run, text: th.data.Text) -> None:
        self.network = th.nn.CharLSTM("model", len(text.characters), HIDDEN, LAYERS)
        optimizer, carried = with_rates(run.stack, run.options.get("rates")), silence()
        super().__init__(self.network.parameters(run.seed), optimizer, reader(self.network, carried))
        self.carried = carried
        self.seed, self.text, self.written = run.seed, text, run.options.get("sample", 0)
        self.start = beginning(text)
        self.batches = list(th.data.sequences(text.train_ids[: run.options.get("characters")], BATCH, LENGTH))
        self.tests = list(th.data.sequences(text.test_ids[: run.options.get("tests")], BATCH, LENGTH))
        self.history = {"recent": [], "losses": [], "hyperparameters": [self.optimizer.hyperparameters]}

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        n = step % len(self.batches)
        if n == 0:
            self.carried.update(silence())
        inputs, targets = self.batches[n]
        return inputs.T, targets.T.ravel()

    def after(self, step: int, loss: float) -> None:
        history = self.history
        history["recent"].append(loss)
        if (step + 1) % NOTED == 0:
            history["losses"].append(float(np.mean(history["recent"])))
            history["hyperparameters"].append(self.optimizer.hyperparameters)
            history["recent"] = []

    def perplexity(self) -> float:
        """e to the mean loss over the characters of the test text."""
        total, count, read = 0.0, 0, reader(self.network, silence())
        with th.no_grad():
            for inputs, targets in self.tests:
                loss = read(self.params, inputs.T, targets.T.ravel())
                total, count = total + loss.item() * targets.size, count + targets.size
        return float(np.exp(total / count))

    def sample(self) -> str:
        """What the model writes, with its beginning."""
        start, rng = self.text.encode(self.start), np.random.default_rng([self.seed, 1])
        return self.start + self.text.decode(self.network.sample(self.params, start, self.written, rng, TEMPERATURE))

    def result(self) -> dict[str, Any]:
        perplexity = self.perplexity()
        return {
            "perplexity": perplexity,
            "training": [float(np.exp(loss)) for loss in self.history["losses"]],
            "hyperparameters": self.history["hyperparameters"],
            "sample": self.sample() if self.written and math.isfinite(perplexity) else "",
        }


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Train, test at the end, and write a little."""
    return train(partial(Writer, run, load(place.data)), run, place)
