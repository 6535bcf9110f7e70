"""Batch normalization: the factory's properties, NumPy's formula, and the layer that gathers."""

import numpy as np
import pytest
from backends import elementwise_backend
from factory import SEEDS, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.ops.normalization import normalize_batch
from tinyhyper.testing.operations import between


def formula(x, weight, bias, residual=0.0, mean=None, variance=None, eps=1e-5, activation=lambda out: out):
    """Batch normalization, written down plainly: for arrays, and for tensors as a composition of operations."""
    axes = tuple(range(len(x.shape) - 1))
    if mean is None:
        mean = x.mean(axes)
        variance = ((x - mean) ** 2.0).mean(axes)
    return activation((x - mean) / np.sqrt(variance + eps) * weight + bias + residual)


# ---- The factory's properties


@st.composite
def _batches(draw, names=("weight", "bias"), activation=None):
    """A batch with at least four values for a channel, and what `names` says beside it."""
    images = draw(st.sampled_from([(4,), (2, 2), (2, 1, 3)]))
    channels = draw(st.integers(1, 3))
    shapes = [(*images, channels) if name in ("x", "residual") else (channels,) for name in ("x", *names)]
    values = [between(0.3, 2) if name == "variance" else between(-2, 2, ()) for name in ("x", *names)]
    options = {"eps": draw(st.sampled_from([1e-5, 0.1]))} | ({"activation": activation} if activation else {})
    return example(shapes, options, draw(SEEDS), values)


def _with_residual(x, weight, bias, residual, **options):
    return th.batch_norm(x, weight, bias, residual=residual, **options)


def _by_given(x, mean, variance, weight, bias, **options):
    return th.batch_norm(x, weight, bias, mean, variance, **options)


ROWS = [
    Row("batch_norm", formula, _batches(), integers=False),
    Row("batch_norm", formula, _batches(activation=np.tanh), integers=False, id="tanh"),
    Row(
        "batch_norm", formula, _batches(("weight", "bias", "residual"), np.tanh), _with_residual, integers=False,
        id="residual",
    ),
    Row(
        "batch_norm", lambda x, mean, variance, weight, bias, eps: formula(x, weight, bias, 0, mean, variance, eps),
        _batches(("mean", "variance", "weight", "bias")), _by_given, integers=False, id="given",
    ),
]  # fmt: skip

test_property = property_test(ROWS)


# ---- Against the same, composed of other operations


def _derivatives(function, which, with_residual, activation, channels, seed, orders):
    """The value and the derivatives up to an order, in the operands that require a gradient."""
    rng = np.random.default_rng(seed)
    shape = (3, 4, 2, channels)
    shapes = [shape, (channels,), (channels,), *[shape] * with_residual]
    xs = [th.tensor(rng.standard_normal(s) + 0.5, requires_grad=flag) for s, flag in zip(shapes, which)]
    leaves = [x for x in xs if x.requires_grad]
    rest = {"residual": xs[3]} if with_residual else {}
    out = function(*xs[:3], **rest, activation=activation or (lambda out: out))
    found = [out]
    total = th.sum(out * rng.standard_normal(shape))
    for _ in range(orders):
        if not total.requires_grad:
            break
        grads = th.gradients(total, leaves, create_graph=True)
        found += grads
        total = sum(th.sum(th.sin(g) * rng.standard_normal(g.shape)) for g in grads)
    return [tensor.data for tensor in found]


@given(
    which=st.lists(st.booleans(), min_size=4, max_size=4).filter(lambda flags: any(flags[:3])),
    with_residual=st.booleans(), activation=st.sampled_from([None, th.relu, th.sigmoid]),
    channels=st.sampled_from([1, 3]), seed=SEEDS,
)  # fmt: skip
def test_derivatives_of_three_orders_are_those_of_the_composition(which, **case):
    """Whichever of the operands require a gradient, and at the kink of relu too."""
    found = [_derivatives(function, which, **case, orders=3) for function in (th.batch_norm, formula)]
    assert len(found[0]) == len(found[1])
    for ours, composed in zip(*found):
        np.testing.assert_allclose(ours, composed, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("with_residual", [False, True])
def test_kernels_compute_what_numpy_computes(with_residual):
    found = []
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        found.append(_derivatives(th.batch_norm, [True] * 4, with_residual, th.relu, 3, 0, orders=2))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_one_call_is_one_node_beside_its_statistics_and_its_backward_two_passes():
    """The backward pass goes to none of the nodes that computed the statistics."""
    x = th.tensor(np.arange(24.0).reshape(2, 2, 2, 3) ** 2, requires_grad=True)
    weight, bias = (th.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    with th.record() as tape:
        th.sum(th.batch_norm(x, weight, bias, activation=th.relu) ** 2.0).backward()
    names = [node.op for node in tape.nodes if node.op and "batch_norm" in node.op]
    assert names == ["batch_norm + relu", *["batch_norm + relu.vjp"] * 2]
    assert not any(node.op in ("moments.vjp", "statistics.vjp") for node in tape.nodes)


# ---- Numbers


@pytest.mark.parametrize("dtype, mean, rtol", [(np.float32, 1e4, 1e-5), (np.float64, 1e7, 1e-12)])
def test_a_mean_far_from_zero_leaves_the_variance_exact(dtype, mean, rtol):
    x = (mean + np.random.default_rng(0).standard_normal((16, 8, 8, 3))).astype(dtype)
    ones, zeros = np.ones(3, dtype), np.zeros(3, dtype)
    out, found, variance = normalize_batch(x, ones, zeros, 0.0, None, None)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(variance, wide.var((0, 1, 2)), rtol=rtol)
    np.testing.assert_allclose(found, wide.mean((0, 1, 2)), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(out.data.std((0, 1, 2)), 1.0, rtol=1e-3)


def test_the_variance_is_exact_where_the_first_guess_of_the_mean_is_far_off():
    """All places from which the mean is guessed hold something else than the rest."""
    x = np.random.default_rng(1).standard_normal((64 * 256, 2)).astype(np.float32)
    x[::64] += 1e4
    _, mean, variance = normalize_batch(x, np.ones(2, np.float32), np.zeros(2, np.float32), 0.0, None, None)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(0), rtol=1e-5)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(0), rtol=1e-6)


def test_statistics_of_float32_are_summed_in_float64():
    """A million times a tenth, and a few large values that would swallow the rest."""
    x = np.full((1_000_000, 1), 0.1, np.float32)
    x[::1000] = 3e3
    _, mean, variance = normalize_batch(x, np.ones(1, np.float32), np.zeros(1, np.float32), 0.0, None, None)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(0), rtol=0, atol=1e-7 * wide.std())
    np.testing.assert_allclose(variance, wide.var(0), rtol=1e-6)


def test_a_channel_that_never_changes_is_normalized_to_its_bias():
    x = th.tensor(np.full((3, 5, 1), 0.1), requires_grad=True)
    out = th.batch_norm(x, np.ones(1), np.full(1, 2.0))
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-12)
    th.sum(out**2.0).backward()
    np.testing.assert_allclose(x.grad.data, 0.0, atol=1e-9)


# ---- The layer


def _layer(channels, seed=0, dtype=np.float64):
    layer = th.nn.BatchNorm2d("norm", channels)
    params = layer.parameters(dtype=dtype)
    rng = np.random.default_rng(seed)
    for name, param in params.items():
        param.data = rng.uniform(0.5, 1.5, param.shape)
        assert name in ("norm.weight", "norm.bias")
    return layer, params


@given(momentum=st.sampled_from([0.1, 0.5, 1.0]), batches=st.integers(1, 3), seed=SEEDS)
def test_running_statistics_move_to_those_of_the_batches(momentum, batches, seed):
    rng = np.random.default_rng(seed)
    layer = th.nn.BatchNorm2d("norm", 2, momentum=momentum)
    params, mean, variance = layer.parameters(dtype=np.float64), np.zeros(2), np.ones(2)
    for _ in range(batches):
        x = rng.normal(3, 2, (2, 3, 2, 2))
        layer(params, x)
        mean = (1 - momentum) * mean + momentum * x.mean((0, 1, 2))
        variance = (1 - momentum) * variance + momentum * x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.own["running_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(layer.own["running_var"], variance, rtol=1e-12)
    before, x = layer.buffers, rng.standard_normal((1, 1, 1, 2))
    out = layer.eval()(params, x)
    np.testing.assert_allclose(out.data, (x - mean) / np.sqrt(variance + layer.eps), rtol=1e-10)
    for name, array in layer.buffers.items():
        assert np.array_equal(array, before[name]), "eval gathers nothing"


@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e200]), dtype=st.sampled_from([np.float32, np.float64]), seed=SEEDS
)
def test_a_channel_that_is_not_finite_leaves_its_statistics_as_they_were(bad, dtype, seed):
    """Whether there is a tower that looks, or none; 1e200 has a variance beyond float64."""
    layer, params = _layer(3, seed, dtype)
    x = np.random.default_rng(seed).standard_normal((2, 3, 3, 3)).astype(dtype)
    layer(params, x)
    before, good = layer.buffers, _layer(3, seed, dtype)[0]
    good.load_buffers(before)
    good(params, x)
    with np.errstate(over="ignore", invalid="ignore"):
        x[1, 2, 0, 1] = bad
        layer(params, x)
    for name, array in layer.buffers.items():
        assert array[1] == before[name][1]
        np.testing.assert_allclose(array[[0, 2]], good.buffers[name][[0, 2]], rtol=1e-12)


def test_a_layer_goes_on_from_saved_buffers():
    x = np.random.default_rng(0).standard_normal((4, 2, 2, 3))
    layer, params = _layer(3)
    layer(params, x)
    other, _ = _layer(3)
    other.load_buffers(layer.buffers)
    assert set(layer.buffers) == {"norm.running_mean", "norm.running_var"}
    assert np.array_equal(other.eval()(params, x).data, layer.eval()(params, x).data)


@pytest.mark.parametrize("training", [True, False])
def test_a_float32_layer_stays_float32(training):
    layer, params = _layer(3, dtype=np.float32)
    x = th.tensor(np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32), requires_grad=True)
    out = layer.train(training)(params, x, th.relu, x)
    assert out.dtype == np.float32
    th.sum(out).backward()
    for tensor in (x, *params.values()):
        assert tensor.grad.dtype == np.float32


def test_the_same_batch_gives_the_same_bits():
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((32, 32, 32, 16)).astype(np.float32) for _ in range(2))
    found = []
    for _ in range(2):
        layer, params = _layer(16, dtype=np.float32)
        leaf = th.tensor(x, requires_grad=True)
        layer(params, leaf, th.relu).backward(g)
        found.append([leaf.grad, *[p.grad for p in params.values()], *map(th.tensor, layer.buffers.values())])
    for one, other in zip(*found):
        assert np.array_equal(one.data, other.data)


# ---- Errors

X, C = np.ones((2, 2, 2, 3)), np.ones(3)


def test_a_refused_batch_leaves_the_running_statistics_alone():
    layer, params = _layer(3)
    before = layer.buffers
    with pytest.raises(th.ShapeError):
        layer(params, X[:1, :1, :1])
    with pytest.raises(th.ShapeError):
        layer(params, X, None, X[:1])
    for name, array in layer.buffers.items():
        assert np.array_equal(array, before[name])


def test_eps_may_be_0():
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    np.testing.assert_array_equal(th.batch_norm(x, C, C, eps=0).data, th.batch_norm(x, C, C, eps=1e-300).data)
