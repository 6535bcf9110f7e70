"""Clipping: the values of PyTorch's, and hypergradients that are the derivatives of the clipped step."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
from drawn_towers import SEEDS, WAYS, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.optim import SGD, Adam, clip_by_norm, clip_by_value, from_string

SHAPES = [(3, 2), (2,), ()]


def gradients(seed, scale=1.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return {f"g{n}": (scale * rng.standard_normal(shape)).astype(dtype) for n, shape in enumerate(SHAPES)}


def clipped(function, arrays, limit):
    return {name: g.numpy() for name, g in function({k: th.tensor(v) for k, v in arrays.items()}, limit).items()}


def norm(arrays):
    return np.sqrt(sum(np.sum(np.square(g.astype(np.float64))) for g in arrays.values()))


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3]), limit=st.sampled_from([0.01, 1.0, 50.0]),
       dtype=st.sampled_from([np.float32, np.float64]))  # fmt: skip
def test_values_are_those_of_the_formulas(seed, scale, limit, dtype):
    arrays = gradients(seed, scale, dtype)
    factor = min(1.0, limit / (norm(arrays) + 1e-6))
    for name, g in clipped(clip_by_norm, arrays, limit).items():
        assert g.dtype == dtype
        np.testing.assert_allclose(g, arrays[name] * factor, rtol=1e-12 if dtype == np.float64 else 2e-6)
    for name, g in clipped(clip_by_value, arrays, limit).items():
        np.testing.assert_array_equal(g, np.clip(arrays[name], dtype(-limit), dtype(limit)))


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3]), limit=st.sampled_from([0.01, 1.0, 50.0]))
def test_values_are_those_of_pytorch(seed, scale, limit):
    torch = pytest.importorskip("torch")
    arrays = gradients(seed, scale)
    for ours, theirs in [
        (clip_by_norm, torch.nn.utils.clip_grad_norm_), (clip_by_value, torch.nn.utils.clip_grad_value_)
    ]:  # fmt: skip
        leaves = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in arrays.values()]
        for leaf, g in zip(leaves, arrays.values()):
            leaf.grad = torch.tensor(g)
        theirs(leaves, limit)
        for leaf, g in zip(leaves, clipped(ours, arrays, limit).values()):
            np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-12)


def test_hard_points():
    """No gradient at all, one whose squares overflow float32, and NaN, which nothing hides."""
    zeros = {"g": np.zeros(3)}
    assert not clipped(clip_by_norm, zeros, 1.0)["g"].any()
    g = th.tensor([0.0, 0.0], requires_grad=True)
    (slope,) = th.gradients(th.sum(clip_by_norm({"g": g}, 1.0)["g"]), g)
    np.testing.assert_array_equal(slope.numpy(), [1.0, 1.0])
    huge = clipped(clip_by_norm, {"g": np.array([3e30, 4e30], np.float32)}, 5.0)["g"]
    np.testing.assert_allclose(huge, [3.0, 4.0], rtol=1e-6)
    lost = clipped(clip_by_norm, {"a": np.array([np.nan]), "b": np.array([1.0])}, 1.0)
    assert np.isnan(lost["a"]).all() and np.isnan(lost["b"]).all()
    np.testing.assert_array_equal(
        clipped(clip_by_value, {"g": np.array([np.nan, np.inf, -np.inf])}, 2.0)["g"], [np.nan, 2.0, -2.0]
    )


def exactly(arrays, limit):
    """The clipped gradients by decimal numbers of any size."""
    parts = {name: [Decimal(float(part)) for part in g.ravel()] for name, g in arrays.items()}
    length = sum((part * part for row in parts.values() for part in row), Decimal(0)).sqrt()
    factor = min(Decimal(1), Decimal(limit) / (length + Decimal(1e-6)))
    return {name: np.array([float(part * factor) for part in row]) for name, row in parts.items()}


@given(
    seed=SEEDS, power=st.integers(-307, 307), spread=st.sampled_from([0, 3, 100]),
    limit=st.sampled_from([1e-10, 1.0, 1e10, 1e250]), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_no_size_of_a_gradient_overflows_or_underflows(seed, power, spread, limit, dtype):
    rng, power = np.random.default_rng(seed), round(power / 8) if dtype == np.float32 else power
    arrays = {}
    for name, shape in zip("abc", SHAPES):
        sizes = 10.0 ** np.clip(power - spread * rng.random(shape), -307, 307)
        arrays[name] = (rng.choice([-1, 1], shape) * sizes).astype(dtype)
    expected = exactly(arrays, limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clipped(clip_by_norm, arrays, limit)
    for name, g in found.items():
        assert g.dtype == dtype
        close = {"rtol": 1e-12, "atol": 1e-320} if dtype == np.float64 else {"rtol": 1e-6, "atol": 1e-44}
        np.testing.assert_allclose(g.ravel(), expected[name], **close)


@pytest.mark.parametrize("unit", [1e200, 1e-200, 1e300])
def test_the_slope_of_the_clipping_is_right_at_every_size(unit):
    """With a limit of its size, and without the 1e-6 that matters to small ones, the clipping knows no unit."""
    slopes = []
    for scale in (1e7, unit):
        g = th.tensor(np.array([3.0, 4.0]) * scale, requires_grad=True)
        limit = scale if scale > 1 else 1e-9
        (slope,) = th.gradients(th.sum(clip_by_norm({"g": g}, limit)["g"] * np.array([1.0, 3.0])), g)
        slopes.append(slope.numpy())
    wanted = slopes[0] if unit > 1 else np.array([1.0, 3.0]) * 1e-3  # limit / 1e-6, as the norm is nothing beside it
    np.testing.assert_allclose(slopes[1], wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_infinite_gradient_stays_and_is_seen(dtype):
    arrays = {"a": np.array([np.inf, 1.0], dtype), "b": np.array([2.0], dtype)}
    for name, g in clipped(clip_by_norm, arrays, 1.0).items():
        np.testing.assert_array_equal(g, arrays[name])
    for choice in ("raise", "skip"):
        optimizer = SGD(0.1, clip_norm=1.0, clip_value=10.0, on_nonfinite=choice)
        params = {name: th.tensor(np.zeros(g.shape, dtype), requires_grad=True) for name, g in arrays.items()}
        for name, w in params.items():
            w.grad = th.tensor(arrays[name])
        told = pytest.raises(th.AnomalyError) if choice == "raise" else pytest.warns(th.AnomalyWarning)
        with told as seen:
            optimizer.step(params)
        words = str(seen.value if choice == "raise" else seen[0].message)
        assert "the gradient of params['a'] is infinity at [0]" in words
        assert not any(w.numpy().any() for w in params.values())


def limits(draw):
    kinds = {"clip_value": draw(st.sampled_from([None, 0.01, 0.3])), "clip_norm": draw(st.sampled_from([None, 0.05]))}
    return {name: limit for name, limit in kinds.items() if limit is not None}


TOWERS = {
    "SGD/SGD": lambda low, high, **kw: SGD(0.1, 0.5, **low, optimizer=SGD(1e-2, **high), **kw),
    "Adam/SGD": lambda low, high, **kw: Adam(0.01, **low, optimizer=SGD(1e-3, **high), **kw),
    "rates/Adam": lambda low, high, **kw: SGD({"w": 0.1, "b": 0.2}, **low, optimizer=Adam(1e-2, **high), **kw),
    "SGD/Adam/SGD": lambda low, high, **kw: SGD(0.1, optimizer=Adam(1e-2, **low, optimizer=SGD(1e-3, **high)), **kw),
}


@settings(max_examples=30)
@given(data=st.data(), name=st.sampled_from(sorted(TOWERS)), seed=SEEDS)
def test_every_path_clips_alike(data, name, seed):
    low, high = limits(data.draw), limits(data.draw)
    results = []
    for way in sorted(WAYS):
        rng, optimizer, found = np.random.default_rng(seed), TOWERS[name](low, high), []
        params = make_params(rng)
        for _ in range(4):
            loss_of(params, th.tensor(rng.standard_normal((4, 3)))).backward()
            with WAYS[way]():
                optimizer.step(params)
            found.append(snapshot(optimizer, params))
        results.append(found)
    assert results[0] == results[1]


def test_hypergradients_are_clipped_by_the_level_that_reads_them():
    optimizer = SGD(0.5, 0.5, optimizer=SGD(1.0, clip_norm=0.1))
    params = make_params(np.random.default_rng(0))
    for w in params.values():
        w.grad = th.tensor(np.ones(w.shape))
    for key, value in {"alpha": 3.0, "mu": -4.0}.items():
        optimizer.parameters[key].grad = th.tensor(value)
    optimizer.step(params)
    assert optimizer.hyperparameters["alpha"] == pytest.approx(0.5 - 0.06)
    assert optimizer.hyperparameters["mu"] == pytest.approx(0.5 + 0.08)


@pytest.mark.parametrize("limit", [0, -1.0, np.nan, np.inf, "1", True])
@pytest.mark.parametrize("name", ["clip_norm", "clip_value"])
def test_what_is_no_limit_is_refused(name, limit):
    with pytest.raises(th.ArgumentError, match=f"SGD: {name} must be a number > 0"):
        SGD(0.1, **{name: limit})
    with pytest.raises(th.ArgumentError, match="limit must be"):
        {"clip_norm": clip_by_norm, "clip_value": clip_by_value}[name]({}, limit)


def test_a_tower_says_what_it_clips():
    text = "SGD(alpha=0.1, clip_value=0.5, clip_norm=1) / SGD(alpha=0.01, clip_norm=2)"
    assert str(from_string(text)) == text
