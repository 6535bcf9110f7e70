"""A kind of training: clients with data of their own, and a server that sees no more than how far each client moved.

In a round each client makes LOCAL steps of gradient descent from the server's weights w and sends delta_i = w - w_i.
The server moves by its optimizer, for which the mean of the delta_i stands in for a gradient.

Options of a run: `name`; `dimensions`, of w; `length`, by what the mean is multiplied before the optimizer has it,
"fedexp" or "extrapolated" with `epsilon` (0), or "line search" (1); `scaffold`, whether clients correct their steps;
`project`, whether they go to the nearest solution of their own in place of LOCAL steps; `coordinates`, as in `mnist`.
Its result: by round, the objective F at the weights, and the server's step size, length and alpha together; F at the
mean of the last two weights; `least`, the least F; and of the distance to the solution of least norm, in how many
rounds its square fell, and in how many by what is promised; the best step size for it over the one taken, least and
largest; and the largest part that the clients' mean squared distance was of the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

import tinyhyper as th

from . import Place, Run, Training, train
from .mnist import tower

COST = 20.0
CLIENTS, ROWS, LOCAL, ETA = 20, 30, 20, 0.1
ADAPTIVE = 0.1  # alpha of FedAdagrad
DIGITS = 5  # of the numbers by round


class Problem:
    """F(w) = 1/M sum |A_i w - b_i|^2, the synthetic law of the method's authors, and its solution of least norm."""

    def __init__(self, seed: int, dimensions: int) -> None:
        rng = np.random.default_rng(seed)
        shape = (CLIENTS, ROWS, dimensions)
        centres = 0.1 * rng.standard_normal((CLIENTS, 1, 1)) + rng.standard_normal((CLIENTS, 1, dimensions))
        truths = 0.1 * rng.standard_normal((CLIENTS, 1, 1)) + rng.standard_normal((CLIENTS, dimensions, 1))
        x = centres + rng.standard_normal(shape)
        self.a = x / np.linalg.norm(x, axis=2, keepdims=True)
        b = x @ truths
        self.b = b / np.linalg.norm(b, axis=1, keepdims=True)
        whole = self.a.reshape(-1, dimensions)
        self.solution = np.linalg.lstsq(whole, self.b.reshape(-1, 1))[0]

    def objective(self, w: np.ndarray) -> float:
        """F."""
        return float(np.sum((self.a @ w - self.b) ** 2)) / CLIENTS

    def clients(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What makes a round of LOCAL steps from w, and gives every delta_i; a correction is added to each gradient.

        The clients share no weights, so the sum of their losses has the gradient of each in its place.
        """

        def loss(params: Mapping[str, th.Tensor], correction: np.ndarray) -> th.Tensor:
            own = params["w"]
            return th.sum(th.square(self.a @ own - self.b)) / 2 + th.sum(own * correction)

        params = {"w": th.tensor(np.zeros((CLIENTS, *self.solution.shape)), requires_grad=True)}
        step = th.replay(loss, params, th.optim.SGD(ETA), exact=True)

        def round(w: np.ndarray, correction: np.ndarray) -> np.ndarray:
            params["w"] = th.tensor(np.repeat(w[None], CLIENTS, 0), requires_grad=True)
            for _ in range(LOCAL):
                step(correction)
            return w - params["w"].numpy()

        return round

    def projections(self, w: np.ndarray) -> np.ndarray:
        """Every delta_i of clients that go to the nearest solution of their own equations."""
        return np.linalg.pinv(self.a) @ (self.a @ w - self.b)


problem = cache(Problem)


def surrogate(params: Mapping[str, th.Tensor], mean: np.ndarray) -> th.Tensor:
    """What the server's optimizer descends: its gradient is the mean of what the clients sent."""
    return th.sum(params["w"] * mean)


def fedexp(deltas: np.ndarray, epsilon: float) -> float:
    """FedExP's step size of the server, max(1, mean of |delta_i|^2 / (2 (|mean of delta_i|^2 + epsilon)))."""
    return max(1.0, extrapolated(deltas, epsilon) / 2)


def extrapolated(deltas: np.ndarray, epsilon: float) -> float:
    """The classical extrapolation of projections that are made side by side, which is at least 1."""
    return float(np.sum(deltas**2) / (CLIENTS * (np.sum(deltas.mean(0) ** 2) + epsilon)))


LENGTHS = {"fedexp": fedexp, "extrapolated": extrapolated}


class FedAdagrad(th.optim.AdaGrad):
    """AdaGrad whose sum of squares starts at 0: what the clients send is far below the usual start."""

    state = {"total": 0.0}


class Federation(Training):
    """A run of rounds. A step of the `Training` is a step of the server."""

    def __init__(self, run: Run, problem: Problem) -> None:
        options = run.options
        start = np.zeros((options["dimensions"], 1))
        optimizer = FedAdagrad(ADAPTIVE) if run.stack == "fedadagrad" else tower(run)
        super().__init__({"w": th.tensor(start, requires_grad=True)}, optimizer, surrogate)
        self.options, self.problem, self.clients = options, problem, problem.clients()
        self.carried = {"before": start, "controls": np.zeros((CLIENTS, *start.shape))}
        self.history = {"F": [], "eta": [], "mean of two": [], "fell": [], "kept": [], "best": [], "clients": []}

    def stepper(self) -> Callable[..., float]:
        return th.replay(self.loss, self.params, self.optimizer, exact=True)

    def batch(self, step: int) -> tuple[np.ndarray]:
        w, controls = self.params["w"].numpy(), self.carried["controls"]
        if self.options.get("project"):
            self.deltas = self.problem.projections(w)
        else:
            common = controls.mean(0)
            self.deltas = self.clients(w, common - controls)
            if self.options.get("scaffold"):
                self.carried["controls"] = controls - common + self.deltas / (LOCAL * ETA)
        self.carried["before"], self.length = w, self.measured(w)
        return (self.length * self.deltas.mean(0),)

    def measured(self, w: np.ndarray) -> float:
        """By what the mean is multiplied in this round."""
        if (name := self.options.get("length")) == "line search":  # on F, which no server can see
            ahead = self.problem.a @ self.deltas.mean(0)
            return float(np.sum(ahead * (self.problem.a @ w - self.problem.b)) / np.sum(ahead**2))
        return LENGTHS[name](self.deltas, self.options.get("epsilon", 0.0)) if name else 1.0

    def after(self, step: int, loss: float) -> None:
        before, now, mean = self.carried["before"], self.params["w"].numpy(), self.deltas.mean(0)
        eta = self.length * self.optimizer.hyperparameters["alpha"]
        far, single, square = before - self.problem.solution, np.sum(self.deltas**2) / CLIENTS, np.sum(mean**2)
        distance = np.sum(far**2)
        fall = distance - np.sum((now - self.problem.solution) ** 2)
        numbers = (
            self.problem.objective(now),
            eta,
            self.problem.objective((before + now) / 2),
            bool(fall > 0),
            bool(fall >= eta * single - eta**2 * square),
            float(np.sum(far * mean) / (square * eta)),
            float(np.sum((far - self.deltas) ** 2) / (CLIENTS * distance)),
        )
        for found, number in zip(self.history.values(), numbers, strict=True):
            found.append(number)

    def result(self) -> dict[str, Any]:
        history = self.history
        return {
            **{name: [float(f"{value:.{DIGITS}g}") for value in history[name]] for name in ("F", "eta")},
            "mean of two": history["mean of two"][-1],
            "least": self.problem.objective(self.problem.solution),
            "fell": history["fell"].count(True),
            "kept": history["kept"].count(True),
            "best": [min(history["best"]), max(history["best"])],
            "clients": max(history["clients"]),
        }


def perform(run: Run, place: Place) -> dict[str, Any]:
    """All rounds."""
    return train(partial(Federation, run, problem(run.seed, run.options["dimensions"])), run, place)
