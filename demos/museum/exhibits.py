"""Hyperoptimizers as they should be, and the well-known ways to get them wrong, each wrong in one place.

The towers are written out by hand, with nothing of the package's own: SGD moves the weights by alpha, and a second SGD
moves alpha by kappa. Adam's exhibits are rules of the package, as what is wrong in them is an equation or a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyhyper as th
from tinyhyper.core.tape import current
from tinyhyper.core.tensor import leaf
from tinyhyper.inspect.labels import Labels
from tinyhyper.optim import COORDINATES, Hyperparameter, Optimizer

LIMIT = 0.003  # of an element of a clipped gradient
MU = 0.5  # of the momentum
H = 1e-5  # how far alpha is moved for a difference
FRACTION = (0.0, 1.0)

Params = dict[str, th.Tensor]
Loss = Callable[[Params], th.Tensor]


def named(name: str, tensor: th.Tensor, role: Any = "weights") -> th.Tensor:
    """What a step has made: it keeps its gradient, and a recording is told what it is."""
    kept = tensor.retain_grad() if tensor.requires_grad else leaf(tensor)
    if isinstance(watcher := current().watcher, Labels):
        watcher.label(kept, name, role, 0, None, (0.0, np.inf) if role == "hyperparameter" else None)
    return kept


def gradient_of(tensor: th.Tensor) -> th.Tensor:
    """Its gradient, which is 0 as long as no loss has sent one."""
    return th.tensor(0.0, dtype=tensor.dtype) if tensor.grad is None else tensor.grad


# Towers.


class Tower:
    """SGD / SGD. Everything is cut but alpha, which moves first."""

    def __init__(self, alpha: float, kappa: float) -> None:
        self.alpha, self.kappa = leaf(th.tensor(alpha)), kappa

    def step(self, params: Params) -> None:
        slope = gradient_of(self.alpha)
        self.alpha = named("alpha", self.tune(self.alpha, slope), "hyperparameter")
        for name, w in params.items():
            params[name] = named(name, self.move(w, w.grad))

    def tune(self, alpha: th.Tensor, slope: th.Tensor) -> th.Tensor:
        return alpha.detach() - self.kappa * slope.detach()

    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        return w.detach() - self.alpha * g.detach()

    @property
    def hyperparameters(self) -> dict[str, float]:
        return {"alpha": self.alpha.item()}


class AlphaInTheLoop(Tower):
    def step(self, params: Params) -> None:
        slope = gradient_of(self.alpha)
        for name, w in params.items():
            self.alpha = named("alpha", self.tune(self.alpha, slope), "hyperparameter")
            params[name] = named(name, self.move(w, w.grad))


class WeightsFirst(Tower):
    def step(self, params: Params) -> None:
        slope = gradient_of(self.alpha)
        for name, w in params.items():
            params[name] = named(name, self.move(w, w.grad))
        self.alpha = named("alpha", self.tune(self.alpha, slope), "hyperparameter")


class AlphaCut(Tower):
    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        return w.detach() - self.alpha.detach() * g.detach()


class InPlace(Tower):
    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        w.data, w.grad = w.data - self.alpha.item() * g.data, None
        return w


class NothingCut(Tower):
    def tune(self, alpha: th.Tensor, slope: th.Tensor) -> th.Tensor:
        return alpha - self.kappa * slope

    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        return w - self.alpha * g


class Uphill(Tower):
    def tune(self, alpha: th.Tensor, slope: th.Tensor) -> th.Tensor:
        return alpha.detach() + self.kappa * slope.detach()


class AlphaClamped(Tower):
    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        return w.detach() - th.maximum(self.alpha, 0.0) * g.detach()


class SinglePrecision(Tower):
    def __init__(self, alpha: float, kappa: float) -> None:
        self.alpha, self.kappa = leaf(th.tensor(alpha, dtype=np.float32)), kappa


class Clipped(Tower):
    """The same with the gradient's elements clipped, as one line of the graph."""

    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        return w.detach() - self.alpha * th.clip(g.detach(), -LIMIT, LIMIT)


class ClippedUnseen(Clipped):
    def move(self, w: th.Tensor, g: Any) -> th.Tensor:
        new_w = w.detach() - self.alpha * g.detach()
        new_w.data = w.data - self.alpha.item() * np.clip(g.data, -LIMIT, LIMIT)
        return new_w


class OneLeaf(Tower):
    """The same with an alpha that stays the same tensor, as PyTorch's parameters do."""

    def tune(self, alpha: th.Tensor, slope: th.Tensor) -> th.Tensor:
        alpha.data = alpha.data - self.kappa * slope.data
        alpha.grad = None
        return alpha


class NoZeroGrad(OneLeaf):
    def tune(self, alpha: th.Tensor, slope: th.Tensor) -> th.Tensor:
        alpha.data = alpha.data - self.kappa * slope.data
        return alpha


class Momentum(Tower):
    """The same with a velocity, in which alpha is."""

    def __init__(self, alpha: float, kappa: float) -> None:
        super().__init__(alpha, kappa)
        self.velocities: dict[Any, th.Tensor] = {}

    def step(self, params: Params) -> None:
        slope = gradient_of(self.alpha)
        self.alpha = named("alpha", self.tune(self.alpha, slope), "hyperparameter")
        for name, w in params.items():
            key = self.key(name, w)
            before = self.velocities.get(key, th.tensor(np.zeros(w.shape)))
            self.velocities[key] = named(f"{name}.velocity", self.velocity(before, w.grad), "state")
            params[name] = named(name, w.detach() + self.velocities[key])

    def key(self, name: str, w: th.Tensor) -> Any:
        return name

    def velocity(self, before: th.Tensor, g: Any) -> th.Tensor:
        return MU * before.detach() - self.alpha * g.detach()


class StateNotCut(Momentum):
    def velocity(self, before: th.Tensor, g: Any) -> th.Tensor:
        return MU * before - self.alpha * g.detach()


class StateByTensor(Momentum):
    def key(self, name: str, w: th.Tensor) -> Any:
        return w


class Squares(Tower):
    """RMSProp with a fixed alpha, whose gamma is tuned: of v, the average of squared gradients."""

    v_start = 1e-8

    def __init__(self, alpha: float, kappa: float) -> None:
        super().__init__(alpha, kappa)
        self.gamma = leaf(th.tensor(0.9))
        self.v: dict[str, th.Tensor] = {}

    def step(self, params: Params) -> None:
        self.gamma = named("gamma", self.tune(self.gamma, gradient_of(self.gamma)), "hyperparameter")
        for name, w in params.items():
            g, before = gradient_of(w).detach(), self.v.get(name, th.tensor(np.full(w.shape, self.v_start)))
            v = self.gamma * before.detach() + (1 - self.gamma) * g * g
            self.v[name] = named(f"{name}.v", v, "state")
            params[name] = named(name, w.detach() - self.alpha.detach() * g / (th.sqrt(v) + 1e-8))

    @property
    def parameters(self) -> dict[str, th.Tensor]:
        return {"gamma": self.gamma}


class VFromZero(Squares):
    v_start = 0.0


# Adam.


class Adam(Optimizer):
    """The equations of Kingma and Ba, to be tuned by a level above."""

    table = {
        "alpha": Hyperparameter(0.001),
        "beta1": Hyperparameter(0.9, COORDINATES["unit"], range=FRACTION),
        "beta2": Hyperparameter(0.999, COORDINATES["unit"], range=FRACTION),
        "eps": Hyperparameter(1e-8, tuned=False),
    }
    state = {"m": 0.0, "v": "eps"}

    @staticmethod
    def rule(w: Any, g: Any, m: Any, v: Any, *, alpha: Any, beta1: Any, beta2: Any, eps: Any, t: Any) -> Any:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return w - alpha * m_hat / (th.sqrt(v_hat) + eps), m, v


class BiasOfOneStep(Optimizer):
    table, state = Adam.table, Adam.state

    @staticmethod
    def rule(w: Any, g: Any, m: Any, v: Any, *, alpha: Any, beta1: Any, beta2: Any, eps: Any) -> Any:
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1)
        v_hat = v / (1 - beta2)
        return w - alpha * m_hat / (th.sqrt(v_hat) + eps), m, v


class BetasNotBounded(Adam):
    table = {
        "alpha": Hyperparameter(0.001),
        "beta1": Hyperparameter(0.9, range=FRACTION),
        "beta2": Hyperparameter(0.999, range=FRACTION),
        "eps": Hyperparameter(1e-8, tuned=False),
    }


# Tests of a hypergradient: the slope of the last of some losses with respect to alpha, by differences.


def slope_with_the_cut_held(losses: list[Loss], start: Params, alpha: float) -> float:
    *before, now, last = losses
    params = descended(before, start, alpha)
    now(params).backward()

    def loss_at(alpha: float) -> float:
        moved = {name: w.detach() - alpha * gradient_of(w) for name, w in params.items()}
        return last(moved).item()

    return (loss_at(alpha + H) - loss_at(alpha - H)) / (2 * H)


def slope_of_the_whole_run(losses: list[Loss], start: Params, alpha: float) -> float:
    *before, last = losses

    def loss_at(alpha: float) -> float:
        moved = descended(before, start, alpha)
        return last(moved).item()

    return (loss_at(alpha + H) - loss_at(alpha - H)) / (2 * H)


def descended(losses: list[Loss], start: Params, alpha: float) -> Params:
    """The weights after a step of gradient descent on each loss."""
    params, tower = {name: leaf(w.detach()) for name, w in start.items()}, Tower(alpha, kappa=0.0)
    for loss in losses:
        loss(params).backward()
        tower.step(params)
    return params


HORIZONS = {slope_with_the_cut_held: 1, slope_of_the_whole_run: None}  # what the slope is that each of them takes
