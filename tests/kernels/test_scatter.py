"""Sums of rows by number, against NumPy's add.at, at sizes at which NumPy and the kernel take their turns."""

import numpy as np
import pytest
from backends import kernels
from factory import SEEDS
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th


def scatter(rows, where, shape):
    out = np.zeros(shape)
    kernels("quicker").add_rows(rows, where, out)
    return out


SHAPES = st.lists(st.integers(1, 3), min_size=0, max_size=2).map(tuple)


@pytest.mark.usefixtures("as_compiled")
@given(
    seed=SEEDS,
    count=st.integers(1, 9),
    places=st.sampled_from([(), (0,), (1,), (7,), (3, 400), (1500,)]),
    rest=SHAPES,
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from([np.uint8, np.int32, np.int64]),
)
def test_it_is_add_at(seed, count, places, rest, dtype, kind):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((*places, *rest)).astype(dtype)
    where = rng.integers(0 if kind is np.uint8 else -count, count, places).astype(kind)
    expected = np.zeros((count, *rest))
    np.add.at(expected, where, rows.astype(np.float64))
    found = scatter(rows, where, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_rows_that_do_not_lie_together():
    rows = np.random.default_rng(0).standard_normal((40, 60))
    where = np.arange(60) % 3
    expected = np.stack([rows.T[where == n].sum(0) for n in range(3)])
    np.testing.assert_allclose(scatter(rows.T, where, (3, 40)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("size", [10, 5000])
def test_many_small_terms_are_not_lost(size):
    """Float32 terms are added up in float64."""
    rows = np.full((size, 1), 1e-4, np.float32)
    rows[0] = 1e4
    found = scatter(rows, np.zeros(size, int), (1, 1))
    np.testing.assert_allclose(found, 1e4 + 1e-4 * (size - 1), rtol=1e-7)


def test_it_is_the_gradient_of_rows_that_were_taken():
    table = th.tensor(np.ones((4, 300)), requires_grad=True)
    (gradient,) = th.gradients(th.sum(table[np.array([1, 1, -1, 1, 0])]), table)
    assert np.array_equal(gradient.data, np.repeat([[1.0], [3.0], [0.0], [1.0]], 300, axis=1))
