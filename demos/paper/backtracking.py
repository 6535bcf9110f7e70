"""A kind of training: logistic regression by noisy gradients, whose step size is constant, searched for, or a tower's.

Every example has a row of norm at most 1, so its loss changes by at most |move|, and its gradient is no longer than 1.
One noisy gradient is released a step. A backtracking search asks further questions of the data, by AboveThreshold. A
tower asks none: it sees the noisy gradients, and nothing else, so it costs no privacy.

Options of a run: `name`; `epsilon`, stated for all steps, None for no noise; `way`, "constant", "search" or "tower";
`first`, the longest step of a search, and `trials`, how many, each half as long; `cosine`, whether the tower descends
the cosine of the last two gradients; `bound`, of that cosine, below which a gradient is measured once more;
`coordinates`, as in `mnist`; `draws`, how often the noise is drawn. Its result, by draw: `excess`, the loss at the end
less the least loss; `taken`, the steps. `spent` is the most that all releases of a draw cost, by the accountant. And of
the first draw, the excess and the step sizes by step, and the median of the cosines.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import tinyhyper as th

from . import Place, Run, accountant
from .accountant import Accountant
from .mnist import tower

COST = 25.0
EXAMPLES, FEATURES, LENGTH, NORM = 20_000, 20, 2.75, 12.0
SHARE = 0.3  # of the budget, for the questions of a search
SUFFICIENT = 0.5  # of the decrease that the gradient foretells
RAISE = 1.3  # of what a gradient may cost, where two in a row differ
ROUNDED = 1 - 1e-9  # so that the last step is within the budget
DIGITS = 4


class Problem:
    """The examples, each row times its label, and the least loss."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((EXAMPLES, FEATURES)) * np.logspace(0, -1, FEATURES) / LENGTH
        x /= np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True))
        truth = rng.standard_normal(FEATURES)
        chance = 1 / (1 + np.exp(-x @ truth * NORM / np.linalg.norm(truth)))
        self.rows = x * np.where(rng.random(EXAMPLES) < chance, 1.0, -1.0)[:, None]
        self.sum = th.value_and_grad(lambda w: th.sum(self.losses(w)))
        self.least = self.mean(self.minimum())

    def losses(self, w: Any) -> th.Tensor:
        """The loss of each example."""
        return th.softplus(-(self.rows @ w))

    def mean(self, w: np.ndarray) -> float:
        """The loss."""
        with th.no_grad():
            return float(self.losses(th.tensor(w)).numpy().mean())

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """The sum of the examples' gradients."""
        found: np.ndarray = self.sum(th.tensor(w))[1].numpy()
        return found

    def queries(self, w: np.ndarray, g: np.ndarray, gammas: np.ndarray) -> np.ndarray:
        """By how much more than is sufficient the loss falls, by step size; an example changes each by at most 1."""
        ahead = w[:, None] - g[:, None] * gammas
        with th.no_grad():
            now, then = (self.losses(th.tensor(at)).numpy().sum(0) for at in (w, ahead))
        length = np.linalg.norm(g)
        found: np.ndarray = (now - then - EXAMPLES * SUFFICIENT * gammas * length**2) / (gammas * length)
        return found

    def minimum(self) -> np.ndarray:
        """By Newton's method."""
        w, hessian = np.zeros(FEATURES), th.hessian(lambda w: th.sum(self.losses(w)))
        for _ in range(12):
            w = w - np.linalg.solve(hessian(th.tensor(w)).numpy(), self.gradient(w))
        return w


problem = cache(Problem)


class Releases:
    """All that the outside gets to see of the data, within a budget; without a stated epsilon, exactly."""

    def __init__(self, problem: Problem, run: Run, draw: int) -> None:
        stated, share = run.options["epsilon"], SHARE * (run.options["way"] == "search")
        self.problem = problem
        self.gaussian, self.laplace = (np.random.default_rng([run.seed, draw, kind]) for kind in range(2))
        self.accountant = None if stated is None else Accountant(stated)
        if self.accountant is not None:
            order, part = self.accountant.order, self.accountant.left / run.steps * ROUNDED
            self.cost = (1 - share) * part / order  # of a gradient: 1 / (2 sigma^2)
            self.epsilon = (2 * share * part / order) ** 0.5  # of a search

    def gradient(self, w: np.ndarray) -> np.ndarray | None:
        """The gradient of the loss, with Gaussian noise; None where there is no budget left."""
        found = self.problem.gradient(w)
        if self.accountant is not None:
            sigma = (2 * self.cost) ** -0.5
            if not self.accountant.spend(accountant.gaussian(sigma)):
                return None
            found = found + sigma * self.gaussian.standard_normal(FEATURES)
        return found / EXAMPLES

    def search(self, w: np.ndarray, g: np.ndarray, first: float, trials: int) -> float:
        """The longest step size that decreases the loss enough, as far as noise tells; 0 where none does."""
        gammas = first / 2.0 ** np.arange(trials)
        queries = self.problem.queries(w, g, gammas)
        if self.accountant is None:
            above = next((k for k, query in enumerate(queries) if query >= 0), None)
        elif self.accountant.spend(accountant.pure(self.epsilon)):
            above = accountant.above_threshold(self.epsilon, queries, self.laplace)
        else:
            above = None
        return 0.0 if above is None else float(gammas[above])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between them."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def descend(run: Run, problem: Problem, draw: int) -> dict[str, Any]:
    """All steps with noise of one draw."""
    options, releases = run.options, Releases(problem, run, draw)
    optimizer = tower(run)
    params: dict[str, th.Tensor] = {"w": th.tensor(np.zeros(FEATURES), requires_grad=True)}
    before: np.ndarray | None = None
    excess: list[float] = []
    sizes: list[float] = []
    cosines: list[float] = []
    while len(sizes) < run.steps and (g := releases.gradient(w := params["w"].numpy())) is not None:
        size = 1.0
        if before is not None:
            cosines.append(cosine(g, before))
            if cosines[-1] < options.get("bound", -1):
                g = again(releases, w, g)
            if options.get("cosine"):  # a function of the weights, whose slope by log alpha is less the cosine
                scale = optimizer.hyperparameters["alpha"] * np.linalg.norm(before) * np.linalg.norm(g)
                th.optim.descend(th.sum(params["w"] * (g / scale)), optimizer, params)
        if options["way"] == "search":
            size = releases.search(w, g, options["first"], options["trials"])
        th.sum(params["w"] * (size * g)).backward()
        optimizer.step(params)
        before = g
        sizes.append(size * optimizer.hyperparameters["alpha"])
        excess.append(problem.mean(params["w"].numpy()) - problem.least)
    spent = None if releases.accountant is None else accountant.epsilon(releases.accountant.curve)
    return {"excess": excess, "sizes": sizes, "spent": spent, "cosine": float(np.median(cosines))}


def again(releases: Releases, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The gradient measured once more with a larger budget, which later gradients have too; averaged by the budgets."""
    first = releases.cost
    releases.cost *= RAISE
    second = releases.gradient(w)
    return g if second is None else (first * g + releases.cost * second) / (first + releases.cost)


def perform(run: Run, place: Place) -> dict[str, Any]:
    """All draws."""
    found = [descend(run, problem(run.seed), draw) for draw in range(run.options["draws"])]

    def rounded(values: list[float]) -> list[float]:
        return [float(f"{value:.{DIGITS}g}") for value in values]

    return {
        "excess": rounded([one["excess"][-1] for one in found]),
        "spent": None if run.options["epsilon"] is None else max(one["spent"] for one in found),
        "taken": [len(one["sizes"]) for one in found],
        "cosine": found[0]["cosine"],
        "by step": {name: rounded(found[0][name]) for name in ("excess", "sizes")},
    }
