"""Each optimizer against the equation of its paper, worked in NumPy."""

import numpy as np
import pytest
from factory import SEEDS
from hypothesis import given
from optimizers import RULES

import tinyhyper as th

# By rule: the state before the first step, and the equation, from weight, gradient, state, number of the step and
# hyperparameters to the new weight and state.


def sgd(w, g, state, t, h, nesterov=False):
    g = g + h["weight_decay"] * w
    velocity = h["mu"] * state[0] + g
    return w - h["alpha"] * (g + h["mu"] * velocity if nesterov else velocity), [velocity]


def adagrad(w, g, state, t, h):
    g = g + h["weight_decay"] * w
    total = state[0] + g**2
    return w - h["alpha"] * g / np.sqrt(total + h["eps"]), [total]


def adadelta(w, g, state, t, h):
    g, rho = g + h["weight_decay"] * w, h["rho"]
    squares = rho * state[0] + (1 - rho) * g**2
    step = np.sqrt((state[1] + h["eps"]) / (squares + h["eps"])) * g
    return w - h["alpha"] * step, [squares, rho * state[1] + (1 - rho) * step**2]


def rmsprop(w, g, state, t, h):
    g = g + h["weight_decay"] * w
    squares = h["gamma"] * state[0] + (1 - h["gamma"]) * g**2
    return w - h["alpha"] * g / np.sqrt(squares + h["eps"]), [squares]


def adam(w, g, state, t, h, decoupled=False):
    decay = h["weight_decay"] * w
    g = g if decoupled else g + decay
    m = h["beta1"] * state[0] + (1 - h["beta1"]) * g
    v = h["beta2"] * state[1] + (1 - h["beta2"]) * g**2
    step = (m / (1 - h["beta1"] ** t)) / (np.sqrt(v / (1 - h["beta2"] ** t)) + h["eps"])
    return w - h["alpha"] * (step + decay if decoupled else step), [m, v]


EQUATIONS = {
    "sgd": (lambda h: [0.0], sgd),
    "nesterov": (lambda h: [0.0], lambda *args: sgd(*args, nesterov=True)),
    "adagrad": (lambda h: [0.1], adagrad),
    "adadelta": (lambda h: [0.0, 0.0], adadelta),
    "rmsprop": (lambda h: [0.0], rmsprop),
    "adam": (lambda h: [0.0, h["eps"]], adam),
    "adamw": (lambda h: [0.0, h["eps"]], lambda *args: adam(*args, decoupled=True)),
}


def test_every_rule_has_its_equation():
    assert EQUATIONS.keys() == RULES.keys()


@pytest.mark.parametrize("plain", [True, False], ids=["defaults", "everything"])
@pytest.mark.parametrize("name", RULES)
@given(seed=SEEDS)
def test_it_moves_as_its_equation_says(name, plain, seed):
    """With the hyperparameters that it has by itself, and with all of them at work."""
    optimizer = RULES[name]()
    if plain:
        options = {"nesterov": True} if name == "nesterov" else {}
        optimizer = type(optimizer)(**options)
    h = {**dict.fromkeys(optimizer.table, 0.0), **optimizer.hyperparameters}
    begin, equation = EQUATIONS[name]
    rng = np.random.default_rng(seed)
    w, state = rng.standard_normal(4), begin(h)
    params = {"w": th.tensor(w, requires_grad=True)}
    for t in range(1, 5):
        g = rng.standard_normal(4)
        th.sum(params["w"] * g).backward()
        optimizer.step(params)
        w, state = equation(w, g, state, t, h)
        np.testing.assert_allclose(params["w"].data, w, rtol=1e-9)
