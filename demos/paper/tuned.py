"""A kind of run: one step size eta for many tasks of regression, chosen by the training loss or by a validation loss.

A task is y = <w*, x> + noise with w* on the unit sphere, x and the noise normal. Gradient descent on half the mean of
squares begins at 0; weights longer than FAR sigma are frozen at that length.
Options of a run: `sigma`, of the noise; `samples`, n; `tasks`, and `tests`, new ones; `lengths`, numbers of steps T.
Its result, for each length and both ways: the step size, and of the new tasks the root of the mean of the training
loss, the mean of |w - w*|^2, and the root of the population loss.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import tinyhyper as th

from .run import Place, Run

COST = 20.0
DIMENSIONS = 100
ETAS = np.logspace(-4, 0.25, 52)
FAR = 40.0


class Tasks(NamedTuple):
    """Of each task: w*, and the loss as 1/2 (w'Hw - 2 b'w + c)."""

    truth: np.ndarray
    h: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def squares(self, w: np.ndarray) -> np.ndarray:
        """The mean of the squares of each task at the weights of each step size."""
        return np.sum(w * (self.h @ w - 2 * self.b), 1) + self.c

    def distances(self, w: np.ndarray) -> np.ndarray:
        """|w - w*|^2, likewise."""
        return np.sum((w - self.truth) ** 2, 1)


def drawn(rng: np.random.Generator, count: int, sizes: tuple[int, ...], sigma: float) -> list[Tasks]:
    """So many tasks, each with samples in parts of these sizes: Tasks for each part."""
    truth = rng.standard_normal((count, DIMENSIONS, 1))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    found = []
    for size in sizes:
        x = rng.standard_normal((count, size, DIMENSIONS))
        y = x @ truth + sigma * rng.standard_normal((count, size, 1))
        back = np.swapaxes(x, 1, 2) / size
        found.append(Tasks(truth, back @ x, back @ y, np.sum(y**2, 1) / size))
    return found


def descended(tasks: Tasks, etas: np.ndarray, lengths: list[int], sigma: float) -> dict[int, np.ndarray]:
    """The weights of every task with every step size, after each number of steps.

    All are columns of one array: the sum of the losses, each times its step size, moves each by its own.
    """
    count = len(tasks.truth)
    params = {"w": th.tensor(np.zeros((count, DIMENSIONS, len(etas))), requires_grad=True)}
    rates = np.broadcast_to(etas, (count, 1, len(etas))).copy()

    def loss(params: dict[str, th.Tensor], rates: np.ndarray) -> th.Tensor:
        w = params["w"]
        return th.sum(rates * (w * (tasks.h @ w / 2 - tasks.b)))

    step, found = th.replay(loss, params, th.optim.SGD(1.0)), {}
    for n in range(1, max(lengths) + 1):
        step(rates)
        w = params["w"].numpy()
        size = np.linalg.norm(w, axis=1, keepdims=True)
        if (gone := (size >= FAR * sigma) & (rates > 0)).any():
            w = np.where(gone, w / np.where(gone, size, 1.0) * FAR * sigma, w)
            params["w"] = th.tensor(w, requires_grad=True)
            rates = np.where(gone, 0.0, rates)
        if n in lengths:
            found[n] = w
    return found


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Both choices, and how they do on new tasks with all samples."""
    options = run.options
    sigma, samples, lengths = options["sigma"], options["samples"], options["lengths"]
    rng = np.random.default_rng([run.seed, samples])
    (whole,) = drawn(rng, options["tasks"], (samples,), sigma)
    fitted, judged = drawn(rng, options["tasks"], (samples // 2, samples - samples // 2), sigma)
    (fresh,) = drawn(rng, options["tests"], (samples,), sigma)
    by_training = descended(whole, ETAS, lengths, sigma)
    by_validation = descended(fitted, ETAS, lengths, sigma)
    places = {
        n: [
            int(np.argmin(whole.squares(by_training[n]).mean(0))),
            int(np.argmin(judged.squares(by_validation[n]).mean(0))),
        ]
        for n in lengths
    }
    chosen = sorted({place for both in places.values() for place in both})
    tested = descended(fresh, ETAS[chosen], lengths, sigma)
    found = []
    for n in lengths:
        columns = [chosen.index(place) for place in places[n]]
        w = tested[n][:, :, columns]
        distance = fresh.distances(w).mean(0)
        found.append({
            "eta": ETAS[places[n]],
            "train": np.sqrt(fresh.squares(w).mean(0)),
            "distance": distance,
            "population": np.sqrt(distance + sigma**2),
        })  # fmt: skip
    return {"found": found}
