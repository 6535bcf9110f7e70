"""Entries of convolution and of its two transposes: what they compute is what the operations give."""

import numpy as np
import pytest
from backends import SLOW_IF_COMPILED, convolution_backend, on_one_thread
from geometries import factors, geometries
from hypothesis import given
from hypothesis import strategies as st
from words import both_ways, computed, spec

import tinyhyper as th
from tinyhyper.core.operation import OPERATIONS
from tinyhyper.kernels import convolution, entries, sweeps, threads

DTYPES = [np.float32, pytest.param(np.float64, marks=SLOW_IF_COMPILED)]


@pytest.fixture(autouse=True)
def _as_before():
    with on_one_thread(convolution_backend):
        yield


def by_entries(x, w, g, stride, padding):
    """For the convolution and its transposes by x and by w: the name, what the entry gives, whether that is exact, and
    what the operation gives."""
    options = {"stride": stride, "padding": padding}
    calls = [
        ("conv2d", [x, w], options),
        ("conv2d_input_grad", [g, w], {**options, "size": x.shape[1:3]}),
        ("conv2d_weight_grad", [x, g], {**options, "size": w.shape[:2]}),
    ]
    for name, arrays, call in calls:
        (expected,), _ = OPERATIONS[name].compute(arrays, call)
        (found,), exact, is_flagged = computed(OPERATIONS[name], call, arrays, [expected])
        assert not is_flagged and found.dtype == expected.dtype
        yield name, found, exact, expected


@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_have_the_bits_of_the_kernels_and_else_sums_that_are_as_near(dtype, data):
    size, kernel, stride, padding = data.draw(geometries(8))
    images, inputs = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2, 7, 16]))
    outputs, rng = data.draw(st.sampled_from([1, 3, 8, 16, 33])), np.random.default_rng(data.draw(st.integers(0, 999)))
    given = factors(rng, images, size, kernel, inputs, outputs, stride, padding, dtype)
    x, w, g = [rng.standard_normal(array.shape).astype(dtype) for array in given]
    for backend in ("numba", "numpy"):
        convolution_backend(backend)
        sizes = [np.sum(np.abs(array), dtype=np.float64) for array in (x, w, g)]
        for name, found, exact, expected in by_entries(x, w, g, stride, padding):
            assert exact is (backend == "numba" and (name, expected.size) != ("conv2d_weight_grad", 1))
            if exact:
                assert np.array_equal(found.view(np.uint8), expected.view(np.uint8))
            assert np.abs(found - expected).max() <= 4 * np.finfo(dtype).eps * sum(sizes) ** 2


@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
@np.errstate(invalid="ignore")
def test_what_is_not_finite_is_where_the_operations_have_it(dtype, data):
    """Whole numbers, so that sums do not hang on their order."""
    size, kernel, stride, padding = data.draw(geometries(5))
    inputs, outputs = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 3, 17]))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    arrays = factors(rng, 2, size, kernel, inputs, outputs, stride, padding, dtype)
    spoilt = arrays[data.draw(st.integers(0, 2))]
    spoilt.flat[data.draw(st.integers(0, spoilt.size - 1))] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    convolution_backend("numpy")
    for _, found, _, expected in by_entries(*arrays, stride, padding):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_over_groups_of_images_have_the_kernels_bits(dtype, monkeypatch):
    monkeypatch.setattr(sweeps, "GRAIN", 10_000)
    convolution_backend("numba")
    rng = np.random.default_rng(0)
    given = factors(rng, 21, (9, 10), (3, 3), 6, 10, (2, 1), (1, 0), dtype)
    x, w, g = [rng.standard_normal(array.shape).astype(dtype) for array in given]
    assert len(sweeps.groups(g, w)) > 2
    for _, found, exact, expected in by_entries(x, w, g, (2, 1), (1, 0)):
        assert exact and np.array_equal(found, expected)


def test_what_threads_share_is_left_to_them(monkeypatch):
    convolution_backend("numba")
    x, w, g = (np.ones(shape, np.float32) for shape in [(4, 6, 6, 2), (3, 3, 2, 4), (4, 4, 4, 4)])
    options = {"stride": (1, 1), "padding": (0, 0)}
    calls = [
        (convolution.conv2d_recipe, (x, w), g, options),
        (convolution.input_grad_recipe, (g, w), x, {**options, "size": (6, 6)}),
        (convolution.weight_grad_recipe, (x, g), w, {**options, "size": (3, 3)}),
    ]
    for count, grain in [(1, 100), (2, 10**6), (2, 100)]:
        monkeypatch.setattr(sweeps, "GRAIN", grain)
        threads.set_num_threads(count)
        for make, operands, out, call in calls:
            found = make(tuple(map(spec, operands)), spec(out), **call)
            assert (found is None) is ((count, grain) == (2, 100))


@pytest.mark.parametrize("other", [np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 2), np.float32)[..., ::2]])
def test_there_is_no_entry_for_other_dtypes_or_with_gaps(other):
    x, w, g = (np.zeros(shape, np.float32) for shape in [(2, 4, 4, 1), (2, 2, 1, 3), (2, 3, 3, 3)])
    options, given = {"stride": (1, 1), "padding": (0, 0)}, spec(other)
    found = [
        entries.recipe(OPERATIONS["conv2d"], options, (given, spec(w)), (spec(g),)),
        entries.recipe(OPERATIONS["conv2d_weight_grad"], {**options, "size": (2, 2)}, (given, spec(g)), (spec(w),)),
        entries.recipe(
            OPERATIONS["conv2d_input_grad"], {**options, "size": (4, 4)}, (spec(g.astype(float)), spec(w)), (spec(x),)
        ),
    ]
    assert found == [None] * 3


def test_all_that_a_convolution_does_has_entries():
    x, w, b = np.ones((2, 5, 5, 2), np.float32), np.ones((3, 3, 2, 4), np.float32), np.ones(4, np.float32)
    for op, call, operands, outputs in both_ways(lambda *a: th.conv2d(*a, stride=2, padding=1), x, w, b):
        assert entries.recipe(op, call, tuple(map(spec, operands)), tuple(map(spec, outputs))) is not None, op.name
