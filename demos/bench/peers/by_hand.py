"""The hyperstep as a careful user of NumPy writes it: all weights in one vector, every derivative by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import rules
from ..problems import Arrays, Problem, Workload
from . import Result, Training

Slopes = dict[str, np.ndarray]  # how the moved weights depend on each hyperparameter


def sgd(w: np.ndarray, g: np.ndarray, state: Any, h: Any, t: int) -> tuple[np.ndarray, Any, Slopes]:
    return w - h["alpha"] * g, (), {"alpha": -g}


def adagrad(w: np.ndarray, g: np.ndarray, state: Any, h: Any, t: int) -> tuple[np.ndarray, Any, Slopes]:
    total = state[0] + g * g
    step = g / np.sqrt(total + 1e-10)
    return w - h["alpha"] * step, (total,), {"alpha": -step}


def rmsprop(w: np.ndarray, g: np.ndarray, state: Any, h: Any, t: int) -> tuple[np.ndarray, Any, Slopes]:
    gamma, alpha = unit(h["gamma"]), h["alpha"] ** 2
    change = state[0] - g * g
    squares = gamma * change + g * g
    root = np.sqrt(squares + 1e-8)
    step = g / root
    by_gamma = 0.5 * alpha * step * change / (root * root)
    slopes = {"alpha": -2.0 * h["alpha"] * step, "gamma": by_gamma * (2.0 * gamma * (1.0 - gamma))}
    return w - alpha * step, (squares,), slopes


def adam(w: np.ndarray, g: np.ndarray, state: Any, h: Any, t: int) -> tuple[np.ndarray, Any, Slopes]:
    """The four derivatives are the paper's, by beta1 and beta2 in the coordinate in which they are tuned."""
    alpha, beta1, beta2 = h["alpha"], unit(h["beta1"]), unit(h["beta2"])
    rest1, rest2 = 1.0 - beta1**t, 1.0 - beta2**t
    m_change, v_change = state[0] - g, state[1] - g * g
    m, v = beta1 * m_change + g, beta2 * v_change + g * g
    root = np.sqrt(v / rest2)
    s = root + 1e-8
    m_hat = m / rest1
    step = m_hat / s
    by_beta1 = (m_change + (t * beta1 ** (t - 1)) * m_hat) * (-alpha / rest1) / s
    by_beta2 = step * (v_change + (t * beta2 ** (t - 1) / rest2) * v) * (0.5 * alpha / rest2) / (root * s)
    slopes = {
        "alpha": -step,
        "beta1": by_beta1 * (2.0 * beta1 * (1.0 - beta1)),
        "beta2": by_beta2 * (2.0 * beta2 * (1.0 - beta2)),
    }
    return w - alpha * step, (m, v), slopes


def unit(u: float) -> float:
    return (math.tanh(u) + 1.0) / 2.0


MOVES: dict[str, Callable[..., tuple[np.ndarray, Any, Slopes]]] = {
    "sgd": sgd, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam,
}  # fmt: skip


def views(flat: np.ndarray, like: Arrays) -> Arrays:
    """Arrays of the shapes of `like`, which lie one after the other in a vector."""
    ends = np.cumsum([w.size for w in like.values()])
    return {name: flat[end - w.size : end].reshape(w.shape) for (name, w), end in zip(like.items(), ends, strict=True)}


def gradients(problem: Problem, weights: Arrays, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The gradient of the loss with respect to all weights, as one vector."""
    if not problem.layers:
        return np.concatenate([2.0 * w for w in weights.values()])
    layers = range(1, len(problem.layers))
    outputs = [inputs]
    for i in layers:
        outputs.append(np.tanh(outputs[-1] @ weights[f"layer{i}.weight"] + weights[f"layer{i}.bias"]))
    scores = outputs[-1]
    if problem.classes:
        exps = np.exp(scores - scores.max(axis=1, keepdims=True))
        g = exps / exps.sum(axis=1, keepdims=True)
        g[np.arange(len(targets)), targets] -= 1.0
        g /= np.float32(len(targets))
    else:
        g = (scores - targets) * np.float32(2.0 / scores.size)
    parts: list[np.ndarray] = []
    for i in reversed(layers):
        g = g * (1.0 - outputs[i] ** 2)
        parts = [(outputs[i - 1].T @ g).ravel(), g.sum(axis=0), *parts]
        if i > 1:
            g = g @ weights[f"layer{i}.weight"].T
    return np.concatenate(parts)


def training(workload: Workload) -> Training:
    problem, tower = workload.problem, workload.tower
    inputs, targets = problem.data()
    start = problem.weights()
    bottom, top = rules.RULES[tower[0].rule], rules.RULES[tower[-1].rule]
    w = np.concatenate([value.ravel() for value in start.values()])
    state = tuple(np.full_like(w, value) for value in bottom.state)
    h = bottom.start(tower[0].alpha)
    tops: dict[str, Any] = dict.fromkeys(h, top.state)
    slopes: Slopes = dict.fromkeys(h, np.zeros_like(w))
    t = 0

    def step() -> None:
        nonlocal w, state, h, tops, slopes, t
        t += 1
        g = gradients(problem, views(w, start), inputs, targets)
        if len(tower) > 1:
            hypergradients = {name: float(g @ slope) for name, slope in slopes.items()}
            h, tops = rules.move_all(math, top, h, hypergradients, tops, top.start(tower[1].alpha), t)
        w, state, slopes = MOVES[tower[0].rule](w, g, state, h, t)

    return Training(step, lambda: Result(views(w, start), h if len(tower) > 1 else {}))
