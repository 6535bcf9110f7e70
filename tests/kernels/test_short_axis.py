"""Plans for few channels: what they compute is what NumPy computes, merged or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyhyper.core.operation import ArraySpec
from tinyhyper.fusion.fuse import trace
from tinyhyper.fusion.plan import Plan
from tinyhyper.kernels.plan import KernelPlan, elementwise_backend
from tinyhyper.kernels.short_axis import WIDE, ShortAxisPlan

SEEDS = st.integers(0, 10_000)


def _both(x, weight):
    product = x * weight
    return product, product * x


def _plans(arrays, like=None):
    """The expression's plans: merged, through a kernel, and through NumPy."""
    expression = trace(_both, 2)[0].expression
    shape = np.broadcast_shapes(*[array.shape for array in arrays])
    samples = None if like is None else [ArraySpec(s, arrays[0].dtype) for s in like]
    elementwise_backend("numba")
    plans = [kind(expression, arrays, shape, samples, eager=True) for kind in (ShortAxisPlan, KernelPlan)]
    return [*plans, Plan(expression, arrays, shape, samples)]


@pytest.mark.slow
@given(
    rows=st.integers(1, 40), channels=st.sampled_from([1, 3, 16, 600]), narrow=st.booleans(), summed=st.integers(0, 2),
    kept=st.booleans(), alone=st.booleans(), seed=SEEDS,
)  # fmt: skip
def test_merged_or_not_the_result_is_that_of_numpy(rows, channels, narrow, summed, kept, alone, seed):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if narrow else np.float64
    channel = (1, 1, channels) if kept else (channels,)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((rows, 2, channels), () if alone else channel)]
    like = [[(rows, 2, channels)] * 2, [(rows, 2, channels), channel], [channel] * 2][summed]
    merged, plain, numpy = [plan.run(arrays) for plan in _plans(arrays, like)]
    for a, b, c in zip(merged, plain, numpy):
        assert a.shape == c.shape and a.dtype == c.dtype
        np.testing.assert_allclose(a, c, rtol=1e-5 if narrow else 1e-12, atol=1e-5 if narrow else 1e-12)
        np.testing.assert_allclose(b, c, rtol=1e-5 if narrow else 1e-12, atol=1e-5 if narrow else 1e-12)


@pytest.mark.parametrize(
    "rows, channels, copies", [(1024, 16, 32), (36, 16, 18), (37, 16, 1), (37, 8, 37), (4, WIDE + 1, 1), (64, 512, 1)]
)
def test_as_many_rounds_are_one_as_fit_and_divide(rows, channels, copies):
    merged, *_ = _plans([np.ones((rows, channels)), np.ones(channels)])
    assert merged.copies == copies and (merged.wide is None) == (copies == 1)


@pytest.mark.parametrize("shape", [(64, 1), (64, 16), ()])
def test_only_numbers_for_each_channel_are_repeated(shape):
    """Beside a number for each row nothing can be merged; whole arrays and single numbers are no hindrance."""
    x = np.arange(1024.0).reshape(64, 16)
    merged, _, numpy = _plans([x, np.ones(shape)])
    assert merged.copies == (1 if shape == (64, 1) else merged.copies)
    for a, c in zip(merged.run([x, np.ones(shape)]), numpy.run([x, np.ones(shape)])):
        np.testing.assert_array_equal(a, c)


def test_what_does_not_lie_in_one_piece_is_not_merged():
    x, weight = np.arange(2048.0).reshape(64, 32)[:, ::2], np.arange(16.0)
    merged, _, numpy = _plans([x, weight])
    assert merged.copies == 1
    for a, c in zip(merged.run([x, weight]), numpy.run([x, weight])):
        np.testing.assert_array_equal(a, c)


def test_sums_are_rounded_to_float32_once():
    """The rounds of which one is made have large sums of either sign, which leave little over."""
    row = np.arange(4096)
    x = np.where(row // 32 % 2, 1.0, np.where(row % 2, 2.0**25, -(2.0**25))).astype(np.float32)
    merged, *_ = _plans([np.tile(x[:, None], 16), np.ones(16, np.float32)], [(16,), (4096, 16)])
    assert merged.copies == 32
    total = merged.run([np.tile(x[:, None], 16), np.ones(16, np.float32)])[0]
    np.testing.assert_array_equal(total, np.full(16, 2048, np.float32))


def test_a_single_number_beside_sums_by_channel_is_not_repeated():
    x, number = np.arange(1024.0).reshape(64, 16), np.array(3.0)
    merged, _, numpy = _plans([x, number], [(16,), (64, 16)])
    assert merged.copies == 32 and merged.wide.samples[1].shape == ()
    for a, c in zip(merged.run([x, number]), numpy.run([x, number])):
        np.testing.assert_array_equal(a, c)
