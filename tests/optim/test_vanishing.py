"""A state that has vanished, and the weight behind it, contribute nothing: not NaN."""

import numpy as np
import pytest
from backends import elementwise_backend
from factory import SEEDS
from hypothesis import given
from hypothesis import strategies as st
from optimizers import RULES

import tinyhyper as th
from tinyhyper.optim import COORDINATES, SGD, Hyperparameter, Optimizer
from tinyhyper.optim.vanishing import REPLACED, inverse, quotient, root, scale
from tinyhyper.testing import check_gradients

STEPS = {"decays": lambda g, m, v: g / th.sqrt(v), "power": lambda g, m, v: g * v**-0.5,
         "slope": lambda g, m, v: g / (v**0.5 + 1e-8), "root": lambda g, m, v: m / (th.sqrt(v) + 1e-8),
         "inverse": lambda g, m, v: m * th.reciprocal(th.sqrt(v)), "quotient": lambda g, m, v: m / v,
         "inverse of v": lambda g, m, v: m * (1.0 / v), "steep": lambda g, m, v: m * v**-1.5}  # fmt: skip


def own(step, start=1e-8):
    """An optimizer that divides by what its average of squares gives."""

    class Own(Optimizer):
        table = {"alpha": 0.01, **dict.fromkeys(("beta1", "beta2"), Hyperparameter(0.01, COORDINATES["unit"]))}
        state = {"m": 0.0, "v": start}

        @staticmethod
        def rule(w, g, m, v, *, alpha, beta1, beta2):
            m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g
            return w - alpha * step(g, m, v), m, v

    return Own


TOWERS = {name: lambda make=make, **kw: make(**kw) for name, make in RULES.items()} | {
    f"own {name} from {start}": own(step, start) for name, step in STEPS.items() for start in (1e-8, 0.0)
} | {
    "adam 0.01": lambda **kw: th.optim.Adam(0.01, 0.01, 0.01, **kw),
    "adamw 0.01": lambda **kw: th.optim.AdamW(0.01, 0.01, 0.01, **kw),
    "rmsprop without eps": lambda **kw: th.optim.RMSProp(0.01, 0.01, 0.0, **kw),
    "adadelta of small eps": lambda **kw: th.optim.AdaDelta(1.0, 0.01, 1e-12, **kw),
}  # fmt: skip

BACKENDS = ["numpy", pytest.param("auto", marks=pytest.mark.slow)]


def trained(make, dtype, gradients, **kwargs):
    """The hyperparameters and the last weights of a tower whose weights have these gradients, step by step."""
    optimizer = make(optimizer=SGD(1e-9), **kwargs)
    params = {"w": th.tensor(np.ones(len(gradients[0])), requires_grad=True, dtype=dtype)}
    for g in gradients:
        th.sum(params["w"] * np.asarray(g, dtype)).backward(create_graph=kwargs != {})
        optimizer.step(params)
    return optimizer.hyperparameters, params["w"].numpy()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", TOWERS)
def test_a_weight_that_never_moves_contributes_nothing(name, dtype, backend):
    elementwise_backend(backend)
    live = [[np.sin(1.0 + t)] for t in range(200)]
    alone, moved = trained(TOWERS[name], dtype, live)
    beside, weights = trained(TOWERS[name], dtype, [[*g, 0.0] for g in live])
    assert all(np.isfinite(value) for value in beside.values())
    np.testing.assert_allclose(list(beside.values()), list(alone.values()), rtol=1e-6 if dtype == "f4" else 1e-12)
    np.testing.assert_allclose(weights[0], moved[0], rtol=1e-4 if dtype == "f4" else 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", TOWERS)
def test_a_weight_that_sleeps_can_wake(name, dtype, backend):
    """Its state has vanished where its gradient comes back, and where it is so small that its square vanishes."""
    elementwise_backend(backend)
    small = 1e-30 if dtype == "f4" else 1e-200
    hyperparameters, weights = trained(TOWERS[name], dtype, [[0.0, small, 1.0]] * 200 + [[1.0, 1.0, 1.0]] * 3)
    assert np.isfinite([*hyperparameters.values(), *weights]).all() and weights[2] != 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam 0.01", "own decays from 0.0", "own root from 1e-08"])
def test_so_it_is_in_a_window(name):
    hyperparameters, weights = trained(TOWERS[name], "f4", [[0.0, 1.0]] * 40, horizon=4, objective="sum")
    assert np.isfinite([*hyperparameters.values(), *weights]).all()


@given(seed=SEEDS, dtype=st.sampled_from(["f4", "f8"]))
def test_away_from_0_they_are_the_operations_whose_place_they_take(seed, dtype):
    rng = np.random.default_rng(seed)
    x, y = (th.tensor(rng.uniform(0.1, 3.0, (2, 3)), requires_grad=True, dtype=dtype) for _ in range(2))
    for operation, (other, _) in REPLACED.items():
        inputs = (x, y)[: len(operation.__signature__.parameters)]
        outputs = [f(*inputs) for f in (operation, other)]
        np.testing.assert_array_equal(*[out.data for out in outputs])
        slopes = [th.gradients(th.sum(out * out), inputs) for out in outputs]
        for mine, wanted in zip(*slopes):
            np.testing.assert_allclose(mine.data, wanted.data, rtol=2e-6 if dtype == "f4" else 1e-14)


@pytest.mark.parametrize("f", [quotient, inverse, root, scale])
def test_their_derivatives_are_right_to_the_second_order(f):
    inputs = [np.array([0.7, 1.3]), np.array([1.1, 0.6])][: len(f.__signature__.parameters)]
    check_gradients(f, *inputs, order=2)


def test_at_0_they_and_their_slopes_are_0():
    zero, one = (th.tensor([value], requires_grad=True) for value in (0.0, 1.0))
    for f, inputs in ((quotient, (zero, zero)), (quotient, (one, zero)), (inverse, (zero,)), (root, (zero,)),
                      (scale, (zero, th.tensor([-0.5]))), (scale, (zero, th.tensor([0.5])))):  # fmt: skip
        out = f(*inputs)
        assert out.item() == 0.0
        assert [slope.item() for slope in th.gradients(th.sum(out), [x for x in inputs if x.requires_grad])][-1] == 0.0
    (slope,) = th.gradients(th.sum(scale(zero, th.tensor([1.0]))), [zero])
    assert slope.item() == 1.0


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_at_0_the_slope_in_the_power_has_slopes_of_0(power):
    x, y = (th.tensor([value], requires_grad=True) for value in (0.0, power))
    (slope,) = th.gradients(th.sum(scale(x, y)), [y], create_graph=True)
    assert [found.item() for found in (slope, *th.gradients(th.sum(slope), [x, y]))] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_not_finite_itself_is_seen(dtype):
    """So a gradient of infinity, or a weight of NaN, is not taken for one that stands still."""
    for value in (np.inf, -np.inf, np.nan):
        x, one = th.tensor([value], dtype=dtype), th.tensor([2.0], dtype=dtype)
        wanted = np.divide(value, 2.0), np.divide(2.0, value), np.divide(1.0, value), np.power(value, 1.5)
        for out, number in zip((quotient(x, one), quotient(one, x), inverse(x), scale(x, th.tensor(1.5))), wanted):
            np.testing.assert_array_equal(out.item(), number)
    huge = th.tensor([np.finfo(dtype).max], dtype=dtype)
    assert np.isnan(scale(th.tensor([-1.0], dtype=dtype), th.tensor([0.5], dtype=dtype)).item())
    assert quotient(huge, th.tensor([0.1], dtype=dtype)).item() == 0.0


def test_what_the_tower_alone_decides_is_not_touched():
    """A number of the tower by 0 is a fault of the tower, and is seen."""

    class Divides(Optimizer):
        table = {"alpha": 0.01, "scale": 0.0}

        @staticmethod
        def rule(w, g, *, alpha, scale):
            return w - alpha / scale * g

    params = {"w": th.tensor([1.0], requires_grad=True)}
    th.sum(params["w"] ** 2).backward()
    Divides().step(params)
    assert params["w"].item() == -np.inf
