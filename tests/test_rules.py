"""Each optimizer against the equation of its paper, worked in NumPy."""

import numpy as np
import pytest
from equations import RULES as EQUATIONS
from factory import SEEDS
from hypothesis import given
from optimizers import RULES

import tinyhyper as th


def test_every_rule_has_its_equation():
    assert EQUATIONS.keys() == {type(make()).__name__ for make in RULES.values()}


@pytest.mark.parametrize("plain", [True, False], ids=["defaults", "everything"])
@pytest.mark.parametrize("name", RULES)
@given(seed=SEEDS)
def test_it_moves_as_its_equation_says(name, plain, seed):
    """With the hyperparameters that it has by itself, and with all of them at work."""
    optimizer, options = RULES[name](), {"nesterov": True} if name == "nesterov" else {}
    if plain:
        optimizer = type(optimizer)(**options)
    h = {**dict.fromkeys(optimizer.table, 0.0), **optimizer.hyperparameters}
    equation, start = EQUATIONS[type(optimizer).__name__]
    rng = np.random.default_rng(seed)
    w, state = rng.standard_normal(4), [h.get(value, value) for value in start]
    params = {"w": th.tensor(w, requires_grad=True)}
    for t in range(1, 5):
        g = rng.standard_normal(4)
        th.sum(params["w"] * g).backward()
        optimizer.step(params)
        step, state = equation(w, g, state, h, t, **options)
        w = w - step
        np.testing.assert_allclose(params["w"].data, w, rtol=1e-9)
