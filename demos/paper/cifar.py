"""A kind of training: ResNet-20 on CIFAR-10, batches of 128, cropped and mirrored at random, as in He et al. (2016).

Options of a run: `images` and `tests`, how many of them (all); `rates`, the step sizes of an SGD above the stack, by
hyperparameter (none: the stack says all); `decay`, the epochs at which alpha is divided by 10.
Its result: test error in per cent and, by epoch, the mean training loss, the test error and the hyperparameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import tinyhyper as th

from ..shared.stacks import with_rates
from . import Place, Run, Training, train, training

COST = 400
BATCH = 128
CHUNK = 500  # test images at a time


@cache
def load(folder: Path | None) -> th.data.Split:
    """CIFAR-10 with mean 0 and deviation 1 in each channel, once a process. Raises DataError."""
    return th.data.standardize(th.data.cifar10(folder))


def steps(epochs: int, images: int) -> int:
    """The batches of so many epochs."""
    return epochs * math.ceil(images / BATCH)


class Residual(Training):
    """A run; each epoch's order, and each batch's windows, are drawn from the seed and their numbers."""

    model: th.nn.Layer

    def __init__(self, run: Run, data: th.data.Split) -> None:
        model = th.nn.resnet20()
        optimizer = with_rates(run.stack, run.options.get("rates"))

        def loss(params: Mapping[str, th.Tensor], images: np.ndarray, labels: np.ndarray) -> th.Tensor:
            return th.cross_entropy(model(params, images), labels)

        super().__init__(model.parameters(run.seed), optimizer, loss)
        self.model, self.seed = model, run.seed
        self.decay = run.options.get("decay", [])
        images, tests = run.options.get("images"), run.options.get("tests")
        self.data = th.data.Split(
            data.train_images[:images], data.train_labels[:images], data.test_images[:tests], data.test_labels[:tests]
        )
        self.epoch = steps(1, len(self.data.train_labels))
        self.history = {"recent": [], "losses": [], "errors": [], "hyperparameters": [self.optimizer.hyperparameters]}

    def stepper(self) -> Callable[..., float]:
        """Steps of the eager engine: replay takes as long, as nearly all of it is convolution."""
        return self.eagerly

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, batch = divmod(step, self.epoch)
        rows = training.rows(self.seed, step, len(self.data.train_labels), BATCH)
        rng = np.random.default_rng([self.seed, 1 + epoch, batch])
        return th.data.crop_and_flip(self.data.train_images[rows], rng), self.data.train_labels[rows]

    def after(self, step: int, loss: float) -> None:
        history = self.history
        history["recent"].append(loss)
        epoch, left = divmod(step + 1, self.epoch)
        if left:
            return
        history["losses"].append(float(np.mean(history["recent"])))
        history["recent"] = []
        history["errors"].append(self.error())
        if epoch in self.decay:
            alpha = self.optimizer.parameters["alpha"]
            alpha.data = alpha.data / 10
        history["hyperparameters"].append(self.optimizer.hyperparameters)  # those of the next epoch

    def error(self) -> float:
        """Per cent of the test images that are taken for something else, with the statistics of training."""
        self.model.eval()
        found = training.error(self.scores, self.data.test_images, self.data.test_labels, CHUNK)
        self.model.train()
        return found

    def scores(self, images: np.ndarray) -> th.Tensor:
        return self.model(self.params, th.Tensor(images))

    def result(self) -> dict[str, Any]:
        history = self.history
        return {
            "error": history["errors"][-1] if history["errors"] else self.error(),
            "losses": history["losses"],
            "errors": history["errors"],
            "hyperparameters": history["hyperparameters"],
        }


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Train, and test after every epoch."""
    return train(partial(Residual, run, load(place.data)), run, place)
