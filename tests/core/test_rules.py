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


DEFAULTS = {
    "SGD": {"alpha": 0.01, "mu": 0.0, "weight_decay": 0.0},
    "AdaGrad": {"alpha": 0.01, "eps": 1e-10, "weight_decay": 0.0},
    "AdaDelta": {"alpha": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    "RMSProp": {"alpha": 0.01, "gamma": 0.99, "eps": 1e-8, "weight_decay": 0.0},
    "Adam": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "AdamW": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_values_that_are_not_given_are_the_usual_ones(name):
    optimizer = getattr(th.optim, name)()
    assert dict(optimizer.hyperparameters) == pytest.approx(DEFAULTS[name], rel=1e-12)


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


SCALE = 1.0


class Scaled(th.optim.Optimizer):
    table = {"alpha": 0.1}

    @staticmethod
    def rule(w, g, *, alpha):
        return w - SCALE * alpha * g


class ScaledByName(th.optim.Optimizer):
    table = {"alpha": 0.1, "scale": th.optim.Hyperparameter(1.0, tuned=False)}

    @staticmethod
    def rule(w, g, *, alpha, scale):
        return w - scale * alpha * g


@pytest.mark.parametrize("height", [0, 1, 2])
def test_a_rule_sees_at_each_step_what_it_closes_over(monkeypatch, height):
    """As a rule whose hyperparameter has that value."""

    def run(kind):
        kinds = [th.optim.SGD] * 3
        kinds[height] = kind
        optimizer = kinds[0](0.1, optimizer=kinds[1](0.1, optimizer=kinds[2](0.1)))
        params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
        for scale in (1.0, 1.0, 1.0, 3.0, 3.0):
            monkeypatch.setitem(globals(), "SCALE", scale)
            if kind is ScaledByName:
                optimizer.levels[height].parameters["scale"].data = scale
            th.sum(0.1 * params["w"] ** 2).backward()
            optimizer.step(params)
        return [level.hyperparameters["alpha"] for level in optimizer.levels], params["w"].data.tolist()

    assert run(Scaled) == run(ScaledByName)


@pytest.mark.parametrize(
    "rule, error, words",
    [
        (lambda w, g, *, alpha: w - alpha * (g if g > 0.0 else -g), th.UnsupportedError, "cannot branch on a value"),
        (lambda w, g, *, alpha: w - alpha * g / th.sum(g), th.UnsupportedError, "sum is not elementwise"),
        (lambda w, g, *, alpha: w - alpha * g.mean(), th.MissingAttributeError, "one element, which has no 'mean'"),
    ],
)
def test_a_rule_that_is_not_elementwise_is_told_by_the_name_of_its_optimizer(rule, error, words):
    mine = type("Mine", (th.optim.Optimizer,), {"table": {"alpha": 0.1}, "rule": staticmethod(rule)})
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    th.sum(params["w"]).backward()
    with pytest.raises(error, match=f"Mine.rule, which is run as a fused function: .*{words}"):
        mine().step(params)
