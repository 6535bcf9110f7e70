"""Reductions: norms of every order, zeros in a product, what is refused, and what integers give."""

import math

import numpy as np
import pytest
from factory import SEEDS, SHAPES, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.testing.operations import between


@st.composite
def _measured(draw):
    shape = tuple(length or 1 for length in draw(SHAPES.filter(len)))
    options = {"axis": draw(st.integers(-len(shape), len(shape) - 1)), "keepdims": draw(st.booleans())}
    return example([shape], options, draw(SEEDS), _apart)


def _apart(rng, shape, place=0):
    """Values whose sizes are apart from each other and from 0, where some norms have a kink."""
    return rng.choice([-1.0, 1.0], shape) * between(0.2, 2, ())(rng, shape)


ORDERS = [
    Row(
        "norm",
        lambda x, axis=-1, keepdims=False, o=order: np.linalg.norm(x, o, axis, keepdims),
        _measured(),
        id=f"norm-{order}",
        integers=False,
        call=lambda x, axis, keepdims, o=order: th.norm(x, o, axis, keepdims),
        numpy=lambda x, axis, keepdims, o=order: np.linalg.norm(x, o, axis, keepdims),
    )
    for order in (None, 1, 2, math.inf, -math.inf)
]

test_property = property_test(ORDERS)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "logsumexp", "norm", "cumsum"])
def test_nan_is_not_hidden(name):
    assert np.isnan(getattr(th, name)(th.tensor([1.0, math.nan, 2.0])).data).any()


@given(zeros=st.lists(st.booleans(), min_size=1, max_size=8), seed=SEEDS)
def test_derivatives_of_prod_are_right_with_zeros(zeros, seed):
    """The gradient is the product of the others, the second derivative that of all but two: no division by zero."""
    values = np.where(zeros, 0.0, np.random.default_rng(seed).uniform(0.5, 2, len(zeros)))
    x = th.tensor(values, requires_grad=True)
    (first,) = th.gradients(th.prod(x), x, create_graph=True)

    def without(*places):
        return np.prod(np.delete(values, places))

    np.testing.assert_allclose(first.data, [without(n) for n in range(x.size)])
    (row,) = th.gradients(first[0], x)
    np.testing.assert_allclose(row.data, [0.0] + [without(0, n) for n in range(1, x.size)])


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_sums_of_float32_accumulate_in_float64(axis):
    x = np.full((1, 1_000_000) if axis == 1 else (1_000_000, 1), 0.1, np.float32)
    for found in (th.sum(th.tensor(x), axis=axis).data, th.cumsum(th.tensor(x).ravel()).data[-1:]):
        np.testing.assert_allclose(found, 1_000_000 * np.float64(np.float32(0.1)), rtol=1e-7)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "logsumexp", "norm"])
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 5)])
def test_a_wrong_axis_is_refused(name, axis):
    with pytest.raises(th.ShapeError):
        getattr(th, name)(th.tensor(np.ones((2, 3)), requires_grad=True), axis=axis)


@pytest.mark.parametrize("ndim", range(4))
@pytest.mark.parametrize("axis", [None, 0, (0,), (0, 1), (0, 1, 2)])
def test_the_frobenius_norm_is_that_of_matrices(ndim, axis):
    x = np.arange(2.0**ndim).reshape((2,) * ndim)
    axes = range(ndim) if axis is None else np.atleast_1d(axis)
    if all(a < ndim for a in axes) and len(axes) == 2:
        np.testing.assert_allclose(th.norm(x, "fro", axis).data, np.linalg.norm(x, "fro", axis), rtol=1e-15)
    else:
        with pytest.raises(th.TinyhyperError, match="norm"):
            th.norm(x, "fro", axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_mean_of_no_elements_is_nan_without_a_warning(dtype):
    with np.errstate(all="raise"):
        assert np.isnan(th.mean(np.zeros((0, 3), dtype)).item())
        assert np.isnan(th.mean(np.zeros((2, 0), dtype), 1).data).all()


@given(dtype=st.sampled_from(["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]), axis=st.sampled_from([None, 0, 1]))
@pytest.mark.parametrize("name", ["mean", "var", "std", "norm", "logsumexp", "softmax", "log_softmax"])
def test_a_reduction_that_gives_floats_takes_integers_as_float64(name, dtype, axis):
    ends = (0, 1) if dtype == "?" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.array([[*ends, 1], [*ends[::-1], 0], [ends[1]] * 3], dtype)
    axis = -1 if axis is None and "soft" in name else axis
    found, wanted = (getattr(th, name)(array, axis=axis) for array in (x, x.astype(np.float64)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.data, wanted.data, rtol=1e-14)
