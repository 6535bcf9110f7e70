"""The published package's rules, written for any library, and the hyperstep as a function of everything it changes.

For the peers that differentiate functions. Hyperparameters are in the coordinates in which they are tuned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .problems import Tower


class Rule(NamedTuple):
    """start: the tuned hyperparameters, from alpha.  state: where each array of the state starts.

    move(library, w, g, state, hyperparameters, t) is the new weight and the new state.
    """

    start: Callable[[float], dict[str, float]]
    state: tuple[float, ...]
    move: Callable[..., tuple[Any, tuple[Any, ...]]]


def internal(fraction: float) -> float:
    """The number that is tuned for a fraction between 0 and 1."""
    return math.log(fraction / (1.0 - fraction)) / 2.0


def unit(library: Any, u: Any) -> Any:
    """The fraction that the tuned number u stands for."""
    return (library.tanh(u) + 1.0) / 2.0


def sgd(library: Any, w: Any, g: Any, state: Any, h: Any, t: Any) -> Any:
    return w - h["alpha"] * g, ()


def adagrad(library: Any, w: Any, g: Any, state: Any, h: Any, t: Any) -> Any:
    total = state[0] + g * g
    return w - h["alpha"] * g / library.sqrt(total + 1e-10), (total,)


def rmsprop(library: Any, w: Any, g: Any, state: Any, h: Any, t: Any) -> Any:
    gamma = unit(library, h["gamma"])
    squares = gamma * state[0] + (1.0 - gamma) * g * g
    return w - h["alpha"] * h["alpha"] * g / library.sqrt(squares + 1e-8), (squares,)


def adam(library: Any, w: Any, g: Any, state: Any, h: Any, t: Any) -> Any:
    beta1, beta2 = unit(library, h["beta1"]), unit(library, h["beta2"])
    m = beta1 * state[0] + (1.0 - beta1) * g
    v = beta2 * state[1] + (1.0 - beta2) * g * g
    step = m / (1.0 - beta1**t) / (library.sqrt(v / (1.0 - beta2**t)) + 1e-8)
    return w - h["alpha"] * step, (m, v)


RULES = {
    "sgd": Rule(lambda alpha: {"alpha": alpha}, (), sgd),
    "adagrad": Rule(lambda alpha: {"alpha": alpha}, (0.1,), adagrad),
    "rmsprop": Rule(lambda alpha: {"alpha": math.sqrt(alpha), "gamma": internal(0.99)}, (0.0,), rmsprop),
    "adam": Rule(lambda alpha: {"alpha": alpha, "beta1": internal(0.9), "beta2": internal(0.999)}, (0.0, 1e-8), adam),
}


class Carry(NamedTuple):
    """What one hyperstep hands to the next: weights, their gradients and state by name, the hyperparameters, which
    have just moved, their state, and the number of the step."""

    weights: Any
    gradients: Any
    states: Any
    hyperparameters: Any
    top_states: Any
    t: Any


def move_all(library: Any, rule: Rule, weights: Any, gradients: Any, states: Any, h: Any, t: Any) -> tuple[Any, Any]:
    """Every weight and its state, moved."""
    moved = {name: rule.move(library, w, gradients[name], states[name], h, t) for name, w in weights.items()}
    return {name: pair[0] for name, pair in moved.items()}, {name: pair[1] for name, pair in moved.items()}


def move_top(library: Any, tower: Tower, h: Any, gradients: Any, states: Any, t: Any) -> tuple[Any, Any]:
    """The hyperparameters of the bottom level and their state, moved by the level above, if there is one."""
    if len(tower) == 1:
        return h, states
    rule = RULES[tower[1].rule]
    return move_all(library, rule, h, gradients, states, rule.start(tower[1].alpha), t)


def begin(library: Any, tower: Tower, weights: Any, gradients: Any) -> Carry:
    """After the first loss: no hyperparameter has a gradient yet, and no weight has moved."""
    bottom = RULES[tower[0].rule]
    h = {name: library.scalar(value) for name, value in bottom.start(tower[0].alpha).items()}
    top_state = RULES[tower[-1].rule].state if len(tower) > 1 else ()
    tops = {name: tuple(map(library.scalar, top_state)) for name in h}
    t = library.scalar(1.0)
    h, tops = move_top(library, tower, h, {name: library.scalar(0.0) for name in h}, tops, t)
    states = {name: tuple(library.full_like(w, value) for value in bottom.state) for name, w in weights.items()}
    return Carry(weights, gradients, states, h, tops, t)


def advance(library: Any, tower: Tower, loss: Callable[[Any], Any], carry: Carry) -> Carry:
    """One hyperstep. The weights move by what was carried, as a function of the hyperparameters alone: all else is cut.

    So the gradient of the loss there, pulled back through that function, is the hypergradient.
    """
    rule, (old, g, states, h, tops, t) = RULES[tower[0].rule], carry
    weights, pull, states = library.vjp(lambda h: move_all(library, rule, old, g, states, h, t), h)
    gradients = library.gradient(loss, weights)
    if len(tower) > 1:
        h, tops = move_top(library, tower, h, pull(gradients), tops, t + 1.0)
    return Carry(weights, gradients, states, h, tops, t + 1.0)


def finish(library: Any, tower: Tower, carry: Carry) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights after the carried step, and the hyperparameters."""
    weights, _ = move_all(
        library, RULES[tower[0].rule], carry.weights, carry.gradients, carry.states, carry.hyperparameters, carry.t
    )
    return weights, carry.hyperparameters
