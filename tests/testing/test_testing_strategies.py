"""The strategies: arrays off kinks and ties, shapes that broadcast, axes; and what is there without hypothesis."""

import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from factory import imported_without
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.testing import arrays_off, axes_of, broadcastable_shapes, strategies

pytest_plugins = ["pytester"]


@given(
    data=st.data(),
    kinks=st.lists(st.floats(-2, 2), max_size=4),
    shape=st.sampled_from([(), (3, 4), (50,), (0, 2), (10, 20)]),
)
def test_arrays_keep_off_kinks_and_ties(data, kinks, shape):
    arrays = [data.draw(arrays_off(kinks, shape, place=n)) for n in range(3)]
    every = np.sort(np.concatenate([a.ravel() for a in arrays]))
    width = 4 / max(60, arrays[0].size + len(kinks))
    assert all(a.shape == shape and a.dtype == np.float64 for a in arrays)
    assert (np.diff(every) > 0.2 * width).all() and (np.abs(every) <= 2).all()
    assert all(np.abs(every - kink).min(initial=1.0) >= min(0.02, width / 4) for kink in kinks)


BOUNDS = [
    (-2.0, 2.0), (1e6, 1e6 + 1), (-1e308, 1e308), (1.0, 1.0 + 2**-20), (0.0, 2**53), (16777210.0, 16777230.0),
    (-5e-324, 5e-324), (-1e-44, 1e-44), (-1e39, 1e39), (-3.5, 300.0), (-float(2**63), float(2**63)), (0.2, 0.8),
]  # fmt: skip


@given(
    data=st.data(), bounds=st.sampled_from(BOUNDS), parts=st.lists(st.floats(0, 1), max_size=3),
    dtype=st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u1", "u8"]), place=st.integers(0, 2),
    shape=st.sampled_from([(), (3,), (2, 3), (5, 5)]),
)  # fmt: skip
def test_every_number_is_within_the_bounds_and_off_the_kinks_in_any_dtype(data, bounds, parts, place, dtype, shape):
    """Or there is no room, and that is told at the call."""
    low, high = bounds
    kinks = [low * (1 - part) + high * part for part in parts]
    try:
        strategy = arrays_off(kinks, shape, low, high, dtype, place)
    except th.ArgumentError as error:
        assert re.search("no room for .* between low=.*, off kinks=.*: there are", str(error))
        return
    x = data.draw(strategy)
    numbers = [Fraction(number) for number in x.ravel().tolist()]
    assert x.dtype == dtype and x.shape == shape
    assert all(low <= number <= high for number in numbers)
    gap = min(0.02, (high / 60 - low / 60) / 4) / 2  # of the last intervals of 60; more kinks make them narrower
    for kink in kinks:
        with np.errstate(over="ignore"):
            assert all(abs(number - Fraction(kink)) > 0 for number in numbers) and (x != np.float64(kink)).all()
        assert all(abs(number - Fraction(kink)) >= gap for number in numbers)
    assert x.dtype.kind != "f" or len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("few", [
    {"low": 1.0, "high": np.nextafter(1.0, 2.0), "kinks": (1.0, np.nextafter(1.0, 2.0))},
    {"low": 1e6, "high": 1e6 + 1, "dtype": "f4", "shape": (17,), "kinks": (1e6 + 0.5,)},
    {"low": 1e300, "high": 1e301, "dtype": "f4"}, {"low": -1e-50, "high": 1e-50, "dtype": "f4"},
    {"low": -0.5, "high": 0.5, "dtype": int}, {"low": 0.2, "high": 0.8, "dtype": int, "kinks": ()},
    {"low": 16777216.0, "high": 16777217.0, "kinks": (16777217.0,), "dtype": "f4"},  # which float32 rounds
])  # fmt: skip
def test_where_there_is_no_room_that_is_told_at_the_call(few):
    with pytest.raises(th.ArgumentError, match="arrays_off: no room for 1[7]? numbers of .*: there are (0|16)$"):
        arrays_off(**few)


SHAPES = strategies.SHAPES | st.sampled_from([(40,), (17,), (16,), (2, 3)])


@settings(max_examples=40)
@given(x=arrays_off((1e6 + 0.5,), SHAPES, 1e6, 1e6 + 1, np.float32))
def test_of_shapes_those_are_taken_that_have_room(x):
    """Of the 16 numbers of float32 off the kink."""
    assert x.size <= 16 and (np.abs(x - np.float64(1e6 + 0.5)) >= 0.0625).all() and len(np.unique(x)) == x.size


@given(data=st.data())
def test_few_numbers_are_shared_out_between_places(data):
    arrays = [data.draw(arrays_off((), (4,), 1e6, 1e6 + 1, np.float32, place)) for place in range(3)]
    assert len(np.unique(arrays)) == 12


ARRAYS = arrays_off() | arrays_off(dtype=np.float32) | arrays_off(low=-9.0, high=9.0, dtype=np.int64)


@given(x=ARRAYS)
def test_arrays_print_as_python_that_makes_the_same(x):
    again = eval(pretty(x), {"np": np})
    assert again.dtype == x.dtype and again.shape == x.shape and again.tobytes() == x.tobytes()


@pytest.mark.parametrize("x", [np.array([np.nan, -np.inf, 1.5]), np.array([True, False]), np.zeros((2, 0), np.uint8)])
def test_other_arrays_print_so_too(x):
    again = eval(pretty(x), {"np": np})
    assert again.dtype == x.dtype and np.array_equal(again, x, equal_nan=x.dtype.kind == "f")


@pytest.mark.parametrize("x", [np.array(["a"]), np.ma.masked_array([1.0], [True])])
def test_what_is_no_array_of_numbers_prints_as_ever(x):
    assert pretty(x) == repr(x)


FAILS = """
from hypothesis import given, settings, strategies as st
from tinyhyper.testing import arrays_off, axes_of, broadcastable_shapes, towers

@settings(database=None)
@given(
    st.lists(arrays_off(shape=(2, 3)), min_size=1), arrays_off(shape=(0, 2), dtype="float32"), towers(),
    axes_of(2), broadcastable_shapes(2), st.data(),
)
def test_that_fails(xs, y, tower, axes, shapes, data):
    data.draw(arrays_off())
    assert False
"""


@pytest.mark.slow
def test_a_failing_example_is_python_that_runs(pytester):
    """The report itself: what hypothesis shows of a value depends on how the strategy was made."""
    pytester.makepyfile(FAILS)
    lines = str(pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout).splitlines()
    bare = [line.partition("  # or any")[0] for line in lines]  # hypothesis may say which parts do not matter
    words = [line.removeprefix("E").strip().rstrip(",") for line in bare]
    shown = {name: next(word for word in words if word.startswith(f"{name}=")) for name in ("xs", "y", "tower", "axes")}
    built = {name: eval(text.partition("=")[2], {"np": np, "th": th}) for name, text in shown.items()}
    assert built["xs"][0].shape == (2, 3) and built["y"].shape == (0, 2) and built["y"].dtype == np.float32
    assert isinstance(built["tower"], th.optim.Optimizer)
    drawn = next(word.partition(": ")[2] for word in words if word.startswith("Draw 1"))
    assert isinstance(eval(drawn, {"np": np}), np.ndarray)


@given(x=arrays_off(low=3.0, high=5.0, dtype=np.float32))
def test_arrays_have_the_bounds_and_dtype_asked_for(x):
    assert x.dtype == np.float32 and (x >= 3).all() and (x <= 5).all()


@given(data=st.data(), n=st.integers(1, 4))
def test_shapes_broadcast(data, n):
    shapes = data.draw(broadcastable_shapes(n, max_side=4))
    assert len(shapes) == n and all(side <= 4 for side in np.broadcast_shapes(*shapes))


@given(data=st.data(), ndim=st.integers(0, 4))
def test_axes_are_axes(data, ndim):
    axes = data.draw(axes_of(ndim))
    np.sum(np.zeros((1,) * ndim), axis=axes)
    assert data.draw(axes_of(ndim, none=False)) is not None


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(AttributeError, match="no attribute 'arays_off'"):
        testing.arays_off  # noqa: B018
    assert all(getattr(testing, name) is not None for name in testing.__all__)


def test_the_checks_need_no_hypothesis():
    code = """
import sys
sys.modules["hypothesis"] = None
import tinyhyper as th, tinyhyper.testing as testing
testing.check_gradients(th.sin, [1.0])
assert "numba" not in sys.modules
try:
    testing.arrays_off
except th.errors.MissingPackageError as error:
    assert "tinyhyper[test]" in str(error)
else:
    raise SystemExit("nothing was told")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_hypothesis_it_says_what_to_install():
    with pytest.raises(th.errors.MissingPackageError, match=r"pip install 'tinyhyper\[test\]'"):
        imported_without("hypothesis", strategies)
