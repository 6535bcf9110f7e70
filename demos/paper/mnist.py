"""A kind of training: the paper's perceptron on MNIST, 784-128-10 with tanh, also on the outputs, as in Table 1.

Options of a run: `images`, how many to train on (all); `coordinates`, in which every level's alpha is tuned.
Its result: the test error in per cent; the hyperparameters of all levels at the end, bottom first; by epoch the mean
loss and alpha; and the lowest alpha of all steps (None where alpha is tuned as a square).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinyhyper as th

from . import Place, Run, Training, train, training

COST = 1.3
BATCH = 256
IMAGES = 60_000  # as published; plans count with these
PIXELS, HIDDEN, CLASSES = 784, 128, 10
LAYERS = (
    th.nn.Linear("layer1", PIXELS, HIDDEN, th.tanh),
    th.nn.Linear("layer2", HIDDEN, CLASSES, th.tanh),
)
WHITE = np.float32(255)
CHUNK = 1_000  # images at a time


class Data(NamedTuple):
    """Images as bytes: a quarter of the memory, and so of the time to gather a batch."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@cache
def load(folder: Path | None) -> Data:
    """MNIST, once a process. Raises DataError."""
    split = th.data.mnist(folder)
    return Data(as_bytes(split.train_images), split.train_labels, as_bytes(split.test_images), split.test_labels)


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1] as the bytes that they were."""
    return np.concatenate(
        [np.rint(images[n : n + CHUNK] * WHITE).astype(np.uint8) for n in range(0, len(images), CHUNK)]
    )


def steps(epochs: int, images: int = IMAGES) -> int:
    """The batches of so many epochs."""
    return epochs * -(-images // BATCH)


def fitted(run: Run, folder: Path | None) -> Run:
    """As many epochs of the images at hand, where these are not the usual number. Raises DataError."""
    images = len(load(folder).images)
    if images == IMAGES or "images" in run.options:
        return run
    return replace(run, steps=steps(run.steps // steps(1), images), options={**run.options, "images": images})


def scaled(images: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Bytes as numbers in [0, 1], written into `out`."""
    numbers = out[: len(images)]
    np.copyto(numbers, images)
    numbers *= 1 / WHITE
    return numbers


def logits(params: Mapping[str, th.Tensor], images: Any) -> th.Tensor:
    """(n, 784) images to (n, 10) scores."""
    first, second = LAYERS
    return second(params, first(params, images))


def loss(params: Mapping[str, th.Tensor], images: np.ndarray, labels: np.ndarray) -> th.Tensor:
    """The cross-entropy of a batch."""
    return th.cross_entropy(logits(params, images), labels)


def tower(run: Run) -> th.optim.Optimizer:
    """The run's stack, in its coordinates."""
    optimizer = th.optim.from_string(run.stack)
    if "coordinates" not in run.options:
        return optimizer
    above: th.optim.Optimizer | None = None
    for level, saved in zip(reversed(optimizer.levels), reversed(optimizer.state_dict()["levels"])):
        tune = saved["tuned"] or None
        coordinates = {"alpha": run.options["coordinates"]}
        above = type(level)(**level.hyperparameters, optimizer=above, tune=tune, coordinates=coordinates)
    assert above is not None
    return above


class Perceptron(Training):
    """A run; each epoch's order is drawn from the seed and the epoch."""

    def __init__(self, run: Run, data: Data) -> None:
        rng = np.random.default_rng(run.seed)
        params = {name: w for layer in LAYERS for name, w in layer.parameters(rng).items()}
        super().__init__(params, tower(run), loss)
        self.seed, self.data = run.seed, data
        self.images = run.options.get("images", len(data.images))
        self.epoch = steps(1, self.images)
        # One batch at a time: the step before is over when the next is written.
        self.bytes = np.empty((BATCH, PIXELS), np.uint8)
        self.floats = np.empty((BATCH, PIXELS), np.float32)
        self.history = {"recent": [], "losses": [], "alphas": [], "lowest": self.internal()}

    def internal(self) -> float:
        """The bottom's alpha, in its coordinate."""
        return self.optimizer.parameters["alpha"].item()

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rows = training.rows(self.seed, step, self.images, BATCH)
        taken = np.take(self.data.images, rows, axis=0, out=self.bytes[: len(rows)], mode="clip")
        return scaled(taken, self.floats), self.data.labels[rows]

    def after(self, step: int, loss: float) -> None:
        history, alpha = self.history, self.internal()
        history["recent"].append(loss)
        if alpha < history["lowest"]:
            history["lowest"] = alpha
        if (step + 1) % self.epoch == 0:
            history["losses"].append(float(np.mean(history["recent"])))
            history["alphas"].append(self.optimizer.hyperparameters["alpha"])
            history["recent"] = []

    def error(self) -> float:
        """Per cent of the test images that are taken for another digit."""
        floats = np.empty((CHUNK, PIXELS), np.float32)

        def scores(images: np.ndarray) -> th.Tensor:
            return logits(self.params, scaled(images, floats))

        return training.error(scores, self.data.test_images, self.data.test_labels, CHUNK)

    def result(self) -> dict[str, Any]:
        # Of a square, the lowest root is not the lowest value.
        monotonic = self.optimizer.state_dict()["levels"][0]["coordinates"]["alpha"] != "sqrt"
        return {
            "error": self.error(),
            "levels": [level.hyperparameters for level in self.optimizer.levels],
            "losses": self.history["losses"],
            "alphas": self.history["alphas"],
            "lowest_alpha": self.optimizer.meaning("alpha", self.history["lowest"]) if monotonic else None,
        }


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Train, and test at the end."""
    return train(partial(Perceptron, run, load(place.data)), run, place)
