"""Rényi differential privacy: what releases cost together, and what AboveThreshold keeps secret. Also a kind of run,
which compares both with what is known of them; its steps are the releases of each mechanism.

Two data sets are neighbours if one has one example more. A mechanism has a *curve*, a bound on the Rényi divergence of
its outputs on neighbours at each of ORDERS. Curves of releases add up, and a curve c at order a stands for
epsilon = c + log(1/delta) / (a - 1) at that delta, whichever a is best.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import Place, Run

COST = 300.0
ORDERS = np.arange(2, 257)
DELTA = 1e-5
THRESHOLD, QUERY = 2.0, 4.0  # scales of AboveThreshold's noise, times epsilon


def gaussian(sigma: float, rate: float = 1.0) -> np.ndarray:
    """The curve of a sum of sensitivity 1 plus sigma N(0, 1), on a Poisson sample of that rate.

    (Mironov, Talwar and Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", 2019.)
    """
    if rate == 1:
        return ORDERS / (2 * sigma**2)
    found = []
    for order in ORDERS:
        k = np.arange(order + 1)
        chosen = np.cumsum(np.log(np.r_[1.0, (order - k[1:] + 1) / k[1:]]))  # log of order over k
        terms = chosen + (order - k) * math.log1p(-rate) + k * math.log(rate) + (k * k - k) / (2 * sigma**2)
        found.append(np.logaddexp.reduce(terms) / (order - 1))
    return np.array(found)


def pure(epsilon: float, rate: float = 1.0) -> np.ndarray:
    """The curve of whatever is epsilon-private with delta 0 (Bun and Steinke, 2016), on a sample of that rate."""
    amplified = math.log1p(rate * math.expm1(epsilon))
    return np.minimum(ORDERS * amplified**2 / 2, amplified)


def epsilon(curve: np.ndarray, delta: float = DELTA) -> float:
    """What a curve stands for."""
    return float(np.min(curve + math.log(1 / delta) / (ORDERS - 1)))


def budget(stated: float, delta: float = DELTA) -> tuple[int, float]:
    """The order at which most Gaussian noise can be left out for a stated epsilon, and what a curve may be there."""
    left = stated - math.log(1 / delta) / (ORDERS - 1)
    best = int(np.argmax(left / ORDERS))
    return int(ORDERS[best]), float(left[best])


class Accountant:
    """Adds up what is released, and refuses what would go beyond the budget at one order, fixed beforehand."""

    def __init__(self, stated: float) -> None:
        self.order, self.left = budget(stated)
        self.curve = np.zeros(len(ORDERS))

    def spend(self, curve: np.ndarray) -> bool:
        """Whether there is budget for these releases; then they are counted."""
        cost = float(curve[self.order - ORDERS[0]])
        if cost > self.left:
            return False
        self.left -= cost
        self.curve = self.curve + curve
        return True


def above_threshold(epsilon: float, queries: np.ndarray, rng: np.random.Generator) -> int | None:
    """The first of the queries, each of sensitivity 1, that is above 0 as far as noise tells; costs `pure(epsilon)`."""
    threshold = rng.laplace(scale=THRESHOLD / epsilon)
    above = np.flatnonzero(queries + rng.laplace(scale=QUERY / epsilon, size=len(queries)) >= threshold)
    return int(above[0]) if len(above) else None


def survival(x: np.ndarray, scale: float) -> np.ndarray:
    """The logarithm of the probability that Laplace noise is x or more."""
    return np.where(x > 0, -x / scale - math.log(2), np.log1p(-np.exp(np.minimum(x, 0) / scale) / 2))


def below(x: np.ndarray, scale: float) -> np.ndarray:
    """The logarithm of the probability that it is less."""
    return survival(-x, scale)


def loss(epsilon: float, count: int, threshold: float | None, noise: float) -> float:
    """How much likelier one data set makes it than its neighbour that the last of `count` queries is the first above.

    A logarithm, of the worst case: a further example raises the last query, and lowers the others.
    threshold, noise: the scales of Laplace noise on the threshold (None: no noise) and on the queries, times epsilon.
    """
    scale = noise / epsilon
    edges = np.linspace(-80 / epsilon, 80 / epsilon, 160_001) if threshold else np.zeros(1)
    weight = -np.abs(edges) * epsilon / threshold if threshold else 0.0
    chances = [
        np.logaddexp.reduce(weight + (count - 1) * below(edges - others, scale) + survival(edges - last, scale))
        for others, last in ((0.0, 1.0), (1.0, 0.0))
    ]
    return float(chances[0] - chances[1])


MANY = (10, 1_000, 100_000, 10_000_000)  # queries
VARIANTS = {
    "as it should be": (THRESHOLD, QUERY),
    "Lap(2/eps) on queries": (THRESHOLD, 2.0),
    "no noise on the threshold": (None, QUERY),
}


def perform(run: Run, place: Place) -> dict[str, Any]:
    """Known epsilons beside the accountant's, and the worst cases of AboveThreshold and two broken variants of it."""
    releases, told = run.steps, math.log(1 / DELTA)

    def closed(rho: float) -> float:  # of a curve rho a, over all real orders
        return rho + 2 * math.sqrt(rho * told)

    known = {
        "Gaussian, sigma 50": (gaussian(50), closed(releases / (2 * 50**2))),
        "AboveThreshold, eps 0.1": (pure(0.1), closed(releases * 0.1**2 / 2)),
        "Gaussian, sigma 5": (gaussian(5), closed(releases / (2 * 5**2))),
        "Gaussian, sigma 5, on samples of 0.1": (gaussian(5, 0.1), None),
        "AboveThreshold, eps 0.1, on samples of 0.1": (pure(0.1, 0.1), None),
    }
    return {
        "known": {name: [epsilon(releases * curve), exact] for name, (curve, exact) in known.items()},
        "ratios": {name: [loss(1.0, count, *scales) for count in MANY] for name, scales in VARIANTS.items()},
        "order 2": [float(gaussian(5, 0.1)[0]), math.log1p(0.1**2 * math.expm1(1 / 5**2))],
    }
