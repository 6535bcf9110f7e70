"""What must hold of a hyperoptimizer, tried on a small problem from a seed.

Each property takes an optimizer, or a test of hypergradients, and raises AssertionError where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import copy
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import tinyhyper as th
from tinyhyper.core.tape import current, reachable
from tinyhyper.optim import Optimizer

from . import exhibits
from .exhibits import H, Loss, Params, gradient_of

STEPS = 5

Frozen = dict[str, tuple[np.ndarray, np.ndarray]]


# A small problem.


def start(rng: np.random.Generator) -> Params:
    """Weights and biases of a layer."""
    return {name: th.tensor(rng.normal(size=s), requires_grad=True) for name, s in {"w": (3, 2), "b": (2,)}.items()}


def losses(rng: np.random.Generator, count: int) -> list[Loss]:
    """Each on a batch of its own. The first input is always 0, as pixels in the corners of images are."""
    return [partial(loss, x) for x in rng.normal(size=(count, 4, 3)) * [0.0, 1.0, 1.0]]


def loss(x: np.ndarray, params: Params) -> th.Tensor:
    return th.sum(th.square(th.tanh(x @ params["w"] + params["b"]) - 0.3))


def run(optimizer: Any, rng: np.random.Generator, count: int = STEPS, **flags: bool) -> Iterator[tuple[Loss, Params]]:
    """A short run, seen between each `backward` and the step after it: the loss and the weights.

    flags: of `backward`.
    """
    params = start(rng)
    for loss in losses(rng, count):
        loss(params).backward(**flags)
        yield loss, params
        # A step by hand has to tell a recording of itself.
        with nullcontext() if isinstance(optimizer, Optimizer) else current().watcher.stepping():
            optimizer.step(params)


def moves(optimizer: Any, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """By how many alphas each weight moves in a step, while its gradient does not change."""
    g = rng.choice([-1.0, 1.0], 3) * rng.uniform(0.5, 2.0, 3)
    params = {"w": th.tensor(np.zeros(3), requires_grad=True)}
    for _ in range(STEPS):
        before = params["w"].data
        th.sum(params["w"] * g).backward()
        optimizer.step(params)
        yield (params["w"].data - before) / optimizer.hyperparameters["alpha"]


# Properties.


def hypergradient_is_a_slope(tower: Any, rng: np.random.Generator) -> None:
    """After each step, alpha's gradient is the slope of the loss with respect to alpha, the cut values held."""
    frozen: Frozen = {}
    for step, (loss, params) in enumerate(run(tower, rng)):
        if frozen:
            found, slope = gradient_of(tower.alpha).item(), slope_of(tower, frozen, loss)
            assert math.isclose(found, slope, rel_tol=1e-5, abs_tol=1e-8), (
                f"step {step}: alpha's gradient is {found:.4g}, the slope {slope:.4g}"
            )
        frozen = {name: (w.data, gradient_of(w).data) for name, w in params.items()}


def slope_of(tower: Any, frozen: Frozen, loss: Loss) -> float:
    """The slope by differences: the weights are moved once more, by a little more and a little less."""

    def moved(alpha: float) -> float:
        probe = copy(tower)
        probe.alpha = th.tensor(alpha)
        return loss({name: probe.move(th.tensor(w), th.tensor(g)) for name, (w, g) in frozen.items()}).item()

    alpha = tower.alpha.item()
    return (moved(alpha + H) - moved(alpha - H)) / (2 * H)


def accepts_what_is_right(slope: Callable[..., float], rng: np.random.Generator) -> None:
    """A test of hypergradients accepts those of a tower that is right."""
    at_first, tried, alpha = start(rng), losses(rng, STEPS), 0.05
    params, tower = dict(at_first), exhibits.Tower(alpha, kappa=0.0)
    for loss in tried[:-1]:
        loss(params).backward()
        tower.step(params)
    tried[-1](params).backward()
    found, wanted = gradient_of(tower.alpha).item(), slope(tried, at_first, alpha)
    assert math.isclose(found, wanted, rel_tol=1e-5, abs_tol=1e-8), (
        f"alpha's gradient is {found:.4g}, and the test wants {wanted:.4g}"
    )


def keeps_one_step(tower: Any, rng: np.random.Generator) -> None:
    """However long the run, the same number of nodes leads to the weights."""
    sizes = [behind(params) for _, params in run(tower, rng, STEPS + 1, retain_graph=True)][1:]
    assert len(set(sizes[1:])) == 1, f"after each step, {', '.join(map(str, sizes))} nodes lead to the weights"


def behind(params: Params) -> int:
    """How many nodes the weights keep."""
    return len(reachable(w.edge[0] for w in params.values() if w.edge is not None))


def loses_no_update(tower: Any, rng: np.random.Generator) -> None:
    """What alpha has moved is the sum of its updates, however small each is."""
    first = tower.alpha.item()
    wanted = -sum(tower.kappa * gradient_of(tower.alpha).item() for _ in run(tower, rng))
    moved = tower.alpha.item() - first
    assert math.isclose(moved, wanted, rel_tol=1e-3), f"alpha moved by {moved:.4g}, its updates are {wanted:.4g}"


def moves_downhill(tower: Any, rng: np.random.Generator) -> None:
    """Each step moves alpha against its gradient."""
    seen = [(tower.alpha.item(), gradient_of(tower.alpha).item()) for _ in run(tower, rng, STEPS + 1)]
    for step, ((before, slope), (after, _)) in enumerate(pairwise(seen)):
        moved = after - before
        assert moved * slope <= 0, f"step {step}: alpha's gradient is {slope:.4g}, and it moved by {moved:.4g}"


def comes_back(tower: Any, rng: np.random.Generator) -> None:
    """An alpha that is not what it should be gets a gradient, also below 0."""
    for step, _ in enumerate(run(tower, rng)):
        slope = gradient_of(tower.alpha).item()
        assert slope or not step, f"step {step}: alpha is {tower.alpha.item():.4g}, and its gradient {slope:.4g}"


def remembers(tower: Any, rng: np.random.Generator) -> None:
    """While the gradient does not change, momentum makes each step longer than the one before."""
    lengths = [0.0, *(float(np.linalg.norm(moved)) for moved in moves(tower, rng))]
    for step, (before, now) in enumerate(pairwise(lengths)):
        assert now > 1.01 * before, f"step {step} has the length of the one before, {now:.4g}"


def constant_gradient_gives_steps_of_alpha(adam: Any, rng: np.random.Generator) -> None:
    """While the gradient does not change, each of Adam's steps has the length of alpha: no average is biased."""
    for step, moved in enumerate(np.abs([*moves(adam, rng)]), start=1):
        assert np.allclose(moved, 1.0, rtol=1e-2), f"step {step} has {np.max(moved):.4g} times the length of alpha"


def hypergradients_are_finite(tower: Any, rng: np.random.Generator) -> None:
    """Every hypergradient is a number, also where a weight's gradient is 0."""
    for step, _ in enumerate(run(tower, rng)):
        for name, tensor in tower.parameters.items():
            found = gradient_of(tensor).item()
            assert math.isfinite(found), f"step {step}: the gradient of {name} is {found}"


def betas_are_fractions(adam: Any, rng: np.random.Generator) -> None:
    """However they are tuned, beta1 and beta2 stay between 0 and 1."""
    for step, _ in enumerate(run(adam, rng, 6 * STEPS)):
        for name in ("beta1", "beta2"):
            found = adam.hyperparameters[name]
            assert 0 < found < 1, f"step {step}: {name} is {found:.4g}"
