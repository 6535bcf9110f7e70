"""Pooling: the factory's properties against windows cut out by NumPy, ties, and PyTorch's values."""

import functools
import itertools

import numpy as np
import pytest
from factory import SEEDS, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import tinyhyper as th
from tinyhyper.testing.operations import between

SPREAD = between(-2, 2, ())


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def starts(length, side, step, zeros, ceil_mode):
    """Where windows begin, in a padded axis: one that is not whole must begin before the padding at the end."""
    fit = [*range(0, length + 2 * zeros - side + 1, step)]
    left_over = fit[-1] + side < length + 2 * zeros
    return fit + [fit[-1] + step] * (ceil_mode and left_over and fit[-1] + step < length + zeros)


def windows(x, kernel, stride=None, padding=0, ceil_mode=False, fill=0.0, beyond=np.nan):
    """The windows of padded images: (n, height', width', channels, *kernel)."""
    sides, steps, zeros = _pair(kernel), _pair(kernel if stride is None else stride), _pair(padding)
    x = np.pad(x, ((0, 0), *zip(zeros, zeros), (0, 0)), constant_values=fill)
    x = np.pad(x, ((0, 0), *((0, side) for side in sides), (0, 0)), constant_values=beyond)
    rows, columns = (
        starts(length - side - 2 * zero, side, step, zero, ceil_mode)
        for length, side, step, zero in zip(x.shape[1:], sides, steps, zeros)
    )
    return sliding_window_view(x, sides, (1, 2))[:, rows][:, :, columns]


def largest(x, **options):
    return windows(x, **options, fill=-np.inf, beyond=-np.inf).max((-2, -1))


def average(x, **options):
    return np.nanmean(windows(x, **options), (-2, -1))


@st.composite
def _options(draw, values=SPREAD):
    """Images into which the windows fit."""
    size = st.integers(1, 3)
    kernel = draw(size | st.tuples(size, size))
    options = {"kernel": kernel, "padding": draw(st.tuples(*[st.integers(0, k // 2) for k in _pair(kernel)]))}
    if draw(st.booleans()):
        options["ceil_mode"] = draw(st.booleans())
    if draw(st.booleans()):
        options["stride"] = draw(size | st.tuples(size, size))
    height, width = (max(k, draw(st.integers(1, 4))) for k in _pair(kernel))
    return example([(draw(st.integers(0, 2)), height, width, draw(size))], options, draw(SEEDS), values)


ROWS = [
    Row("max_pool2d", largest, _options(), integers=False),
    Row("avg_pool2d", average, _options(), integers=False),
]

test_property = property_test(ROWS)


HARD = np.array([-np.inf, -1.0, 2.0, np.nan])


@given(
    case=_options(lambda rng, shape, place: rng.integers(0, 3, shape).astype(float))
    | _options(lambda rng, shape, place: rng.choice(HARD, shape, p=[0.6, 0.2, 0.1, 0.1])),
    dtype=st.sampled_from([np.float32, np.float64]), spoilt=st.sampled_from([None, np.nan, np.inf]),
)  # fmt: skip
def test_ties_share_the_gradient_equally(case, dtype, spoilt):
    """Each window gives as much as it got, the same to each of its largest elements, and nothing to padding.

    A NaN is the largest. What no window has chosen gets 0, though a cotangent be infinite or NaN.
    """
    x = case.arrays[0].astype(dtype)
    leaf = th.tensor(x, requires_grad=True)
    out = th.max_pool2d(leaf, **case.options)
    cotangent = case.rng().standard_normal(out.shape).astype(dtype)
    if spoilt is not None and cotangent.size:
        cotangent.flat[0] = spoilt
    seed = th.tensor(cotangent, requires_grad=True)
    (grad,) = th.gradients(out, leaf, seed, create_graph=True)
    numbers = np.nan_to_num(windows(np.arange(1, x.size + 1).reshape(x.shape), **case.options, beyond=0)).astype(int)
    cut = np.append(np.nan, x.ravel())[numbers]  # numbers: which element each is; 0 is padding
    top = out.data[..., None, None]
    hits = (numbers > 0) & ((cut == top) | (np.isnan(cut) & np.isnan(top)))
    assert hits.any((-2, -1)).all()
    with np.errstate(invalid="ignore"):
        shares = np.where(hits, cotangent[..., None, None] / hits.sum((-2, -1), keepdims=True), 0)
    expected = np.bincount(numbers.ravel(), shares.ravel(), x.size + 1)[1:].reshape(x.shape)
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(grad.data, expected, **close)
    direction = case.rng().standard_normal(x.shape).astype(dtype)
    if spoilt is not None and x.size:
        direction.flat[0] = spoilt
    along = np.where(hits, np.append(0, direction.ravel())[numbers], 0)
    means = along.sum((-2, -1)) / hits.sum((-2, -1))
    np.testing.assert_allclose(th.gradients(grad, seed, direction)[0].data, means, **close)


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
        up = layer("pool", 2, ceil_mode=True)
        assert np.array_equal(up({}, x).data, operation(x, 2, ceil_mode=True).data) and up({}, x).shape == (2, 3, 3, 3)
        assert repr(up).endswith("padding=(0, 0), ceil_mode=True)") and "ceil_mode" not in repr(pool)


# ---- Against PyTorch


def _pooled_alike(torch, rng):
    """A random case, by both: the values, gradients and second derivatives, or which of them refuse it."""
    sides, steps = rng.integers(1, 6, 2).tolist(), rng.integers(1, 6, 2).tolist()
    zeros, (height, width) = [int(rng.integers(0, side // 2 + 1)) for side in sides], rng.integers(1, 9, 2)
    x = rng.permutation(2 * height * width * 2).reshape(2, height, width, 2) / 7.0
    found = []
    for name in ("max_pool2d", "avg_pool2d"):
        theirs = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
        leaf = th.tensor(x, requires_grad=True)
        try:
            out = getattr(torch.nn.functional, name)(theirs, sides, steps, zeros, ceil_mode=True)
        except RuntimeError:
            with pytest.raises(th.ShapeError, match="do not fit"):
                getattr(th, name)(leaf, sides, steps, zeros, True)
            continue
        (grad,) = torch.autograd.grad((out**3).sum(), theirs, create_graph=True)
        (second,) = torch.autograd.grad((grad**2).sum(), theirs)
        ours = getattr(th, name)(leaf, tuple(sides), tuple(steps), tuple(zeros), True)
        (our_grad,) = th.gradients(th.sum(ours**3.0), leaf, create_graph=True)
        (our_second,) = th.gradients(th.sum(our_grad**2.0), leaf)
        pairs = zip((ours, our_grad, our_second), (out, grad, second))
        found += [(a.data, b.detach().permute(0, 2, 3, 1).numpy()) for a, b in pairs]
    return found


@pytest.mark.slow
def test_ceil_mode_is_pytorchs():
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    taken = [pair for _ in range(300) for pair in _pooled_alike(torch, rng)]
    assert len(taken) > 1200
    for ours, theirs in taken:
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13 * np.abs(theirs).max())


@pytest.mark.parametrize("length, side, step, zeros, expected", [
    (4, 3, 2, 0, 2),  # the second window begins in the image, and ends beyond it
    (5, 2, 2, 1, 3),  # a fourth would begin in the padding at the end
    (2, 3, 2, 0, 1),  # one window, larger than the image
    (2, 3, 1, 0, None),  # it would have to begin before the image
    (3, 1, 3, 0, 1),
])  # fmt: skip
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_the_last_window_of_ceil_mode_begins_in_the_image(name, length, side, step, zeros, expected):
    x = np.ones((1, length, 1, 1))
    call = functools.partial(getattr(th, name), x, (side, 1), (step, 1), (zeros, 0), ceil_mode=True)
    if expected is None:
        with pytest.raises(th.ShapeError, match=rf"windows \({side}, 1\) do not fit"):
            call()
    else:
        out = call()
        assert out.shape == (1, expected, 1, 1)
        assert out.data.max() == 1.0 and (zeros or out.data.min() == 1.0)  # what is beyond does not count


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
