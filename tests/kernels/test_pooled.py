"""Entries of pooling: sums and largest elements of windows, and their transposes, are what the operations give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from words import calls_of, computed, spec

import tinyhyper as th
from tinyhyper.core.operation import OPERATIONS
from tinyhyper.kernels import entries

VALUES = [0.0, -0.0, 1.0, 2.0, -1.5, 0.1, np.nan, np.inf, -np.inf]  # few, so that there are ties

POOLED = [
    (th.max_pool2d, ["largest", "to_largest", "from_largest"]),
    (th.avg_pool2d, ["window_sum", "spread_sum", "window_sum"]),
]


@st.composite
def pooled(draw):
    """Images, and how they are pooled: windows apart, side by side or one over another, with margins or without."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = VALUES[: draw(st.sampled_from([1, 6, 9]))]
    images = rng.choice(values, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return images, kernel, stride, draw(st.integers(0, kernel // 2)), draw(st.booleans())


def pooled_twice(pool, images, how):
    """Pooling, its gradient, and the gradient of that by what it was given."""
    x = th.tensor(images, requires_grad=True)
    out = pool(x, *how)
    seed = th.tensor(np.linspace(0.5, 1.5, out.size, dtype=out.dtype).reshape(out.shape), requires_grad=True)
    (g,) = th.gradients(out, [x], seed, create_graph=True)
    th.gradients(g, [seed], g.detach())


@given(case=pooled())
def test_pooling_by_entries_gives_what_the_operations_give(case):
    images, *how = case
    for pool, names in POOLED:
        with np.errstate(invalid="ignore"):
            made = [made for made in calls_of(pooled_twice, pool, images, how) if made[0].name in names]
        assert [op.name for op, *_ in made] == names
        for op, call, operands, (expected,) in made:
            (found,), exact, _ = computed(op, call, operands, [expected])
            assert exact is (op.name != "largest")
            assert np.array_equal(found, expected, equal_nan=True)
            assert not exact or np.array_equal(np.signbit(found), np.signbit(expected)) or np.isnan(expected).any()


@pytest.mark.parametrize("other", [np.zeros((1, 4, 4, 1), np.float32), np.zeros((1, 4, 4, 2))[..., ::2]])
def test_there_is_no_entry_for_images_of_other_dtypes_or_with_gaps(other):
    out, options = np.zeros((1, 2, 2, 1)), {"kernel": (2, 2), "stride": (2, 2), "margins": ((0, 0), (0, 0))}
    small = spec(out)
    assert entries.recipe(OPERATIONS["largest"], options, (spec(other),), (small,)) is None
    given = small, spec(other), small
    assert entries.recipe(OPERATIONS["to_largest"], options, given, (spec(np.zeros((1, 4, 4, 1))),)) is None
