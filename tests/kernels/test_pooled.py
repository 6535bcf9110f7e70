"""Entries of pooling: the largest elements of windows and their transpose are what the operations give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from words import both_ways, computed, spec

import tinyhyper as th
from tinyhyper.core.operation import OPERATIONS
from tinyhyper.kernels import entries

VALUES = [0.0, -0.0, 1.0, 2.0, -1.5, 0.1, np.nan, np.inf, -np.inf]  # few, so that there are ties


@st.composite
def pooled(draw):
    """Images, and how they are pooled: windows apart, side by side or one over another, with margins or without."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = VALUES[: draw(st.sampled_from([1, 6, 9]))]
    images = rng.choice(values, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return images, kernel, stride, draw(st.integers(0, kernel // 2)), draw(st.booleans())


@given(case=pooled())
def test_pooling_by_entries_gives_what_the_operations_give(case):
    images, *how = case
    made = [made for made in both_ways(lambda x: th.max_pool2d(x, *how), images) if "largest" in made[0].name]
    assert [op.name for op, *_ in made] == ["largest", "to_largest"]
    for op, call, operands, (expected,) in made:
        (found,), exact, _ = computed(op, call, operands, [expected])
        assert np.array_equal(found, expected, equal_nan=True)
        if exact:
            assert np.array_equal(np.signbit(found), np.signbit(expected)) or np.isnan(expected).any()
    assert exact


@pytest.mark.parametrize("other", [np.zeros((1, 4, 4, 1), np.float32), np.zeros((1, 4, 4, 2))[..., ::2]])
def test_there_is_no_entry_for_images_of_other_dtypes_or_with_gaps(other):
    out, options = np.zeros((1, 2, 2, 1)), {"kernel": (2, 2), "stride": (2, 2), "margins": ((0, 0), (0, 0))}
    small = spec(out)
    assert entries.recipe(OPERATIONS["largest"], options, (spec(other),), (small,)) is None
    given = small, spec(other), small
    assert entries.recipe(OPERATIONS["to_largest"], options, given, (spec(np.zeros((1, 4, 4, 1))),)) is None
