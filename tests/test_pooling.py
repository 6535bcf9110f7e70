"""Pooling: the factory's properties against windows cut out by NumPy, ties, and PyTorch's values."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from factory import SEEDS, Row, distinct, example, property_test
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import tinyhyper as th

REFERENCE = Path(__file__).parent / "reference" / "pooling.npz"
SPREAD = distinct(-2, 2)


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def windows(x, kernel, stride=None, padding=0, fill=0.0):
    """The windows of padded images: (n, height', width', channels, *kernel)."""
    (down, across), steps = _pair(padding), _pair(kernel if stride is None else stride)
    x = np.pad(x, ((0, 0), (down, down), (across, across), (0, 0)), constant_values=fill)
    return sliding_window_view(x, _pair(kernel), (1, 2))[:, :: steps[0], :: steps[1]]


def largest(x, **options):
    return windows(x, **options, fill=-np.inf).max((-2, -1))


def average(x, **options):
    return windows(x, **options).mean((-2, -1))


@st.composite
def _options(draw, values=SPREAD):
    """Images into which the windows fit."""
    size = st.integers(1, 3)
    kernel = draw(size | st.tuples(size, size))
    options = {"kernel": kernel, "padding": draw(st.tuples(*[st.integers(0, k // 2) for k in _pair(kernel)]))}
    if draw(st.booleans()):
        options["stride"] = draw(size | st.tuples(size, size))
    height, width = (max(k, draw(st.integers(1, 4))) for k in _pair(kernel))
    return example([(draw(st.integers(0, 2)), height, width, draw(size))], options, draw(SEEDS), values)


ROWS = [
    Row("max_pool2d", largest, _options(), integers=False),
    Row("avg_pool2d", average, _options(), integers=False),
]

test_property = property_test(ROWS)


@given(case=_options(lambda rng, shape, place: rng.integers(0, 3, shape).astype(float)))
def test_ties_share_the_gradient_equally(case):
    """Each window gives as much as it got, the same to each of its largest elements."""
    (x,) = case.arrays
    leaf = th.tensor(x, requires_grad=True)
    out = th.max_pool2d(leaf, **case.options)
    cotangent = case.rng().standard_normal(out.shape)
    seed = th.tensor(cotangent, requires_grad=True)
    (grad,) = th.gradients(out, leaf, seed, create_graph=True)
    cut = windows(x, **case.options, fill=-np.inf)
    hits = cut == cut.max((-2, -1), keepdims=True)
    numbers = windows(np.arange(1, x.size + 1).reshape(x.shape), **case.options)  # which element each is; 0 is padding
    shares = hits * (cotangent[..., None, None] / hits.sum((-2, -1), keepdims=True))
    expected = np.bincount(numbers.ravel(), shares.ravel(), x.size + 1)[1:].reshape(x.shape)
    np.testing.assert_allclose(grad.data, expected, rtol=1e-12, atol=1e-12)
    direction = case.rng().standard_normal(x.shape)
    means = (windows(direction, **case.options) * hits).sum((-2, -1)) / hits.sum((-2, -1))
    np.testing.assert_allclose(th.gradients(grad, seed, direction)[0].data, means, rtol=1e-12, atol=1e-12)


def test_a_constant_image_gives_each_element_a_quarter():
    x = th.tensor(np.ones((1, 2, 2, 1)), requires_grad=True)
    th.max_pool2d(x, 2).backward()
    assert np.array_equal(x.grad.data, np.full((1, 2, 2, 1), 0.25))


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_nan_is_not_hidden(name):
    x = np.ones((1, 2, 4, 1))
    x[0, 0, 0] = np.nan
    assert np.isnan(getattr(th, name)(x, 2).data).ravel().tolist() == [True, False]


def test_layers_apply_the_operations():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 3))
    for layer, operation in ((th.nn.MaxPool2d, th.max_pool2d), (th.nn.AvgPool2d, th.avg_pool2d)):
        pool = layer("pool", 3, (2, 1), 1)
        assert not pool.parameters() and not pool.buffers
        assert np.array_equal(pool({}, x).data, operation(x, 3, (2, 1), 1).data)
        assert np.array_equal(layer("pool", (2, 3))({}, x).data, operation(x, (2, 3)).data)


# ---- Against PyTorch

CASES = [(2, None, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0))]


def _inputs():
    return {"x": np.random.default_rng(0).permutation(2 * 5 * 6 * 2).reshape(2, 5, 6, 2) / 7.0}  # no ties


def torch_reference(given):
    """PyTorch's values, and the gradients of the sum of their squares."""
    import torch

    found = {}
    for name in ("max_pool2d", "avg_pool2d"):
        for n, case in enumerate(CASES):
            x = torch.tensor(given["x"]).permute(0, 3, 1, 2).requires_grad_()
            out = getattr(torch.nn.functional, name)(x, *case)
            (out**2).sum().backward()
            found[f"{name}.{n}.out"] = out.detach().permute(0, 2, 3, 1).numpy()
            found[f"{name}.{n}.x"] = x.grad.permute(0, 2, 3, 1).numpy()
    return found


def test_pooling_matches_pytorch():
    stored = dict(np.load(REFERENCE))
    for name in ("max_pool2d", "avg_pool2d"):
        for n, case in enumerate(CASES):
            x = th.tensor(stored["in.x"], requires_grad=True)
            out = getattr(th, name)(x, *case)
            th.sum(out**2.0).backward()
            np.testing.assert_allclose(out.data, stored.pop(f"{name}.{n}.out"), rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(x.grad.data, stored.pop(f"{name}.{n}.x"), rtol=1e-10, atol=1e-10)
    assert set(stored) == {"in.x"}


def test_the_stored_reference_is_what_pytorch_computes():
    pytest.importorskip("torch")
    stored = dict(np.load(REFERENCE))
    for name, value in torch_reference(_inputs()).items():
        np.testing.assert_allclose(stored[name], value, rtol=1e-12, atol=1e-12)


# ---- Errors

X = np.ones((2, 4, 4, 3))


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("direction", [0, 1])
def test_just_those_windows_are_taken_that_fit(name, direction):
    """Every small size in one direction; in the other, what always fits."""
    pool, turn = getattr(th, name), slice(None, None, 1 - 2 * direction)
    for side, kernel, padding in itertools.product(range(5), range(1, 6), range(4)):
        height, sides, zeros = (side, 3)[turn], (kernel, 2)[turn], (padding, 1)[turn]
        if 2 * padding > kernel or kernel > side + 2 * padding:
            with pytest.raises(th.ArgumentError if 2 * padding > kernel else th.ShapeError, match=name):
                pool(np.ones((1, *height, 2)), sides, 1, zeros)
        else:
            shape = pool(np.ones((1, *height, 2)), sides, 1, zeros).shape
            assert shape[1 + direction] == side + 2 * padding - kernel + 1


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(
    "error, words, args",
    [
        (th.ShapeError, r"images \(n, height, width, channels\) are needed, not \(4, 4, 3\)", (X[0], 2)),
        (th.ShapeError, r"windows \(5, 2\) do not fit into images \(2, 4, 4, 3\)", (X, (5, 2))),
        (th.ArgumentError, "kernel=0", (X, 0)),
        (th.ArgumentError, "stride=0", (X, 2, 0)),
        (th.ArgumentError, r"padding \(2, 2\) is more than half of the kernel \(3, 3\)", (X, 3, 1, 2)),
        (th.DtypeError, "float32 or float64, not int64", (X.astype(int), 2)),
    ],
)
def test_what_does_not_fit_is_refused(name, error, words, args):
    with pytest.raises(error, match=f"{name}.*{words}"):
        getattr(th, name)(*args)


@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
def test_a_layer_of_wrong_size_is_refused_when_it_is_made(kind):
    with pytest.raises(th.ArgumentError, match=f"{kind}: kernel=0"):
        getattr(th.nn, kind)("pool", 0)


if __name__ == "__main__":  # write the reference anew, where PyTorch is installed
    inputs = _inputs()
    np.savez_compressed(REFERENCE, **{f"in.{k}": v for k, v in inputs.items()}, **torch_reference(inputs))
