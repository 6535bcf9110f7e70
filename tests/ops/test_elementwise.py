"""Elementwise operations: the operators' properties, both backends, NaN and infinity, and what integers give."""

import math
import pickle

import numpy as np
import pytest
from backends import elementwise_backend
from factory import CONSTANT, NONZERO, POSITIVE, REAL, Row, assert_close, broadcasting, example, property_test, row_of
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.interop import NUMPY_FUNCTIONS
from tinyhyper.ops.elementwise import BY_NAME
from tinyhyper.ops.operation import OPERATIONS
from tinyhyper.testing.operations import ELEMENTWISE, between


def _operator(name, reference, *values, numpy=None, **more):
    return Row(name, reference, broadcasting(values), values=values, numpy=numpy, **more)


ROWS = [
    _operator("clip", np.clip, REAL, REAL, between(2, 3), id="clip-by-arrays", numpy=np.clip),
    _operator("add: x + y", np.add, REAL, REAL, call=lambda x, y: x + y, method="__add__"),
    _operator("subtract: x - y", np.subtract, REAL, REAL, call=lambda x, y: x - y, method="__sub__"),
    _operator("multiply: x * y", np.multiply, REAL, REAL, call=lambda x, y: x * y, method="__mul__"),
    _operator("divide: x / y", np.divide, REAL, NONZERO, call=lambda x, y: x / y, method="__truediv__"),
    _operator("power: x ** y", np.power, POSITIVE, REAL, call=lambda x, y: x**y, method="__pow__"),
    _operator("subtract: y - x", lambda x, y: y - x, REAL, REAL, call=lambda x, y: y - x, method="__rsub__"),
    _operator("divide: y / x", lambda x, y: y / x, NONZERO, REAL, call=lambda x, y: y / x, method="__rtruediv__"),
    _operator("power: y ** x", lambda x, y: np.power(y, x), REAL, POSITIVE, call=lambda x, y: y**x, method="__rpow__"),
    _operator("negative: -x", np.negative, REAL, call=lambda x: -x, method="__neg__"),
    _operator("positive: +x", np.positive, REAL, call=lambda x: +x, method="__pos__"),
    _operator("abs: |x|", np.abs, NONZERO, call=abs, method="__abs__"),
    _operator("square: x ** 2", lambda x: x**2, REAL, call=lambda x: x**2, method=None),
    _operator("power: x ** 3", lambda x: x**3, REAL, call=lambda x: x**3, method=None),
    _operator("power: 2 ** x", lambda x: 2.0**x, REAL, call=lambda x: 2.0**x, method=None),
    _operator("divide: 1 / x", lambda x: 1 / x, NONZERO, call=lambda x: 1 / x, method=None),
]

test_property = property_test(ROWS)


# ---- The kernels agree with NumPy's reading of the same rules.

PATTERNS = {
    1: [[(2, 3)]],
    2: [[(5,), (5,)], [(2, 3), (3,)], [(2, 1), (1, 3)], [(), (4,)]],
    3: [[(2, 3), (3,), ()]],
}
# The sine first: its kernel has a second way, for arguments that are far from 0.
NAMED = [*[row_of(name) for name in sorted(ELEMENTWISE, key="sin".__ne__) if name != "clip"], ROWS[0], *CONSTANT]


def _results(row, arrays):
    """Value, gradients and second derivatives; of what has no gradient, the value."""
    xs = [th.tensor(a, requires_grad=True) for a in arrays]
    out = row.function(*xs)
    if not row.differentiable:
        return [out.data]
    cotangent = np.linspace(0.5, 1.5, out.size).reshape(out.shape)
    grads = th.gradients(out, xs, cotangent, create_graph=True)
    again = [g for g in grads if g.requires_grad]
    seconds = th.gradients(again, xs, [np.ones(g.shape) for g in again]) if again else ()
    return [t.data for t in (out, *grads, *seconds)]


def _under_both(row, arrays):
    found = []
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        found.append(_results(row, arrays))
    return zip(*found)


@pytest.mark.parametrize("row", [NAMED[0], *[pytest.param(row, marks=pytest.mark.slow) for row in NAMED[1:]]], ids=str)
def test_kernels_agree_with_numpy(row):
    for n, shapes in enumerate(PATTERNS[len(row.values)]):
        arrays = example(shapes, {}, n, row.values).arrays
        for dtype, rtol, scale in [(np.float64, 1e-13, 1e-4), (np.float32, 3e-6, 1e4)][: 1 + (n == 0)]:  # each compiles
            for plain, kernel in _under_both(row, [a.astype(dtype) for a in arrays]):
                assert kernel.dtype == plain.dtype
                assert_close(kernel, plain, f"{shapes} {dtype.__name__}", scale, rtol)


# ---- Hard points.

HARD = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, np.inf, -np.inf, np.nan, 5e-324, 1e-310, -1e-9, 1e9, 1e300, -1e300]
)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in NAMED if len(row.values) < 3], ids=str)
def test_nan_and_infinity_are_numpys(row):
    """Every hard value, and every pair of them, gives what the reference gives: through NumPy and through a kernel."""
    arrays = [a.ravel().copy() for a in np.meshgrid(*[HARD] * len(row.values))]
    with np.errstate(all="ignore"):
        expected = row.reference(*arrays)
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        out = row.function(*[th.tensor(a) for a in arrays]).data
        np.testing.assert_allclose(out, expected, rtol=1e-11, atol=0, err_msg=backend)
        if row.name not in ("maximum", "minimum", "relu"):  # NumPy leaves open which of 0 and -0 is larger
            assert np.array_equal(np.signbit(out[out == 0]), np.signbit(expected[out == 0])), backend


# ---- Dtypes.


@pytest.mark.parametrize(
    "scalar", [True, 2, 2.5, np.float32(2.5), np.float64(2.5), np.int64(2), np.bool_(True)], ids=repr
)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "?"])
@pytest.mark.parametrize(
    "function", [np.add, np.multiply, np.divide, np.power, np.maximum, np.less], ids=lambda f: f.__name__
)
def test_scalars_meet_arrays_as_in_nep_50(function, dtype, scalar):
    array = np.array([1, 0, 1]).astype(dtype)
    with np.errstate(all="ignore"):
        pairs = [((array, scalar), (th.tensor(array), scalar)), ((scalar, array), (scalar, th.tensor(array)))]
        for plain, tensors in pairs:
            expected = function(*plain)
            if expected.dtype == np.float16:
                continue
            for spelling in (function, getattr(th, function.__name__)):
                out = spelling(*tensors)
                if (function, dtype, scalar) != (np.power, "?", 2):  # NumPy's own ** and power differ here
                    assert out.dtype == expected.dtype
                np.testing.assert_allclose(out.data, expected)


def test_operators_meet_arrays_from_both_sides():
    """An array on the left of an operator does not swallow the tensor."""
    x = th.tensor([1.0, 2.0], requires_grad=True)
    for out in (np.array([1.0, 2.0]) * x, np.float64(2) * x, np.array([[1.0], [2.0]]) / x, np.array([1.0, 2.0]) ** x):
        assert type(out) is th.Tensor and out.requires_grad
    assert type(np.array([1.0, 2.0]) > x) is th.Tensor


@pytest.mark.parametrize("size", [10, 2000])
def test_integers_mean_the_same_at_every_size(size):
    u = th.tensor(np.full(size, 200, np.uint8))
    for got, expected in ((u > -1, True), (u < 300, True), (u != 456, True), (u == -56, False)):
        assert got.data.all() == expected and got.data.any() == expected
    assert (u**2.0).data[0] == 40000.0 and th.erf(th.tensor(np.ones(size, np.int64))).data[0] == math.erf(1.0)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize(
    "number", [-(2**63) - 1, -(2**63), -(2**62) - 1, 2**62 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64]
)
def test_an_integer_of_64_bits_is_taken_as_it_is(dtype, number):
    """Numbers that a float would round; what the array's dtype cannot hold is NumPy's affair."""
    x = np.array([0, 1], dtype)
    expected = np.not_equal(x, number)
    np.testing.assert_array_equal((th.tensor(x) != number).data, expected)
    if np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        ours, numpys = th.maximum(th.tensor(x[:1] * 0), number).data, np.maximum(x[:1] * 0, dtype(number))
        assert ours.dtype == numpys.dtype and ours[0] == numpys[0]
    elif not -(2**63) <= number < 2**64:  # no array of integers holds it
        assert th.add(th.tensor(x), number).data.tolist() == [float(number)] * 2


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_a_larger_integer_is_a_float(number):
    result = th.maximum(th.tensor(np.array([0.5])), number).data
    assert result.dtype == np.float64 and result[0] == max(0.5, float(number))


@pytest.mark.parametrize("x", [3, np.int8(3), np.array([3, 4], "u1"), True])
def test_a_whole_number_to_the_power_of_a_float_is_a_float(x):
    for found in (th.pow(x, 2.0), th.pow(th.tensor(x), 2.0)):
        assert found.dtype == np.float64 and np.array_equal(found.data, np.asarray(x, np.float64) ** 2)


@pytest.mark.parametrize("y", [2, 2.0])
def test_the_power_of_2_of_a_float_is_a_square(y):
    assert (th.tensor([3.0], requires_grad=True) ** y).edge[0].op.name == "square"
    assert (th.tensor([3]) ** y).dtype == (np.int64 if type(y) is int else np.float64)


@given(x=st.floats(0.1, 10), y=st.sampled_from([0.0, 1.0, 2.0]) | st.floats(-3, 3))
def test_mixed_derivatives_of_powers(x, y):
    """An exponent that happens to be 0 still moves: the derivatives of x ** y in x, then in y, and in y once more."""
    base, exponent = (th.tensor(value, requires_grad=True) for value in (x, y))
    by_x = th.gradients(base**exponent, base, create_graph=True)[0]
    mixed = th.gradients(by_x, exponent, create_graph=True)[0]
    third = th.gradients(mixed, exponent)[0]
    log, power = math.log(x), x ** (y - 1)
    np.testing.assert_allclose(mixed.item(), power * (1 + y * log), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(third.item(), power * log * (2 + y * log), rtol=1e-12, atol=1e-12)


def test_numpy_functions_inside_a_fused_function():
    fused = th.fuse(lambda x: np.tanh(x) * np.float64(2.0))
    np.testing.assert_allclose(fused(th.tensor([0.5])).data, 2 * np.tanh([0.5]))


def test_an_operation_is_pickled_by_its_name():
    for name, operation in BY_NAME.items():
        assert pickle.loads(pickle.dumps(operation)) is operation, name
    assert pickle.loads(pickle.dumps(th.nn.Linear("fc", 2, 3, th.tanh))).activation is th.tanh


def test_numpys_ways_to_call_are_known_and_others_refused():
    x = np.arange(6.0).reshape(2, 3)
    for reduction in (np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce, np.add.accumulate):
        np.testing.assert_array_equal(reduction(th.tensor(x)).data, reduction(x))  # along the first axis, unlike np.sum
        np.testing.assert_array_equal(reduction(th.tensor(x), 1).data, reduction(x, 1))
    with pytest.raises(th.UnsupportedError, match="numpy.where of a Tensor needs x, y"):
        np.where(th.tensor(x))
    with pytest.raises(th.errors.CallError, match="numpy.exp takes at most 2 arguments, not 3"):
        NUMPY_FUNCTIONS["exp"](x, None, 1)


def test_an_operation_prints_its_name():
    assert repr(OPERATIONS["matmul"]) == "<operation matmul>"


# ---- Integers and booleans: what gives floats computes in float64, whatever the width.

WIDTHS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def _whole(dtype, rng, size):
    """Integers of a dtype, among them its ends."""
    ends = [0, 1] if dtype == "?" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    return np.concatenate([rng.integers(0, 2 if dtype == "?" else 5, size - 2).astype(dtype), np.array(ends, dtype)])


@pytest.mark.parametrize("size", [4, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", BY_NAME)
@given(dtypes=st.lists(st.sampled_from(WIDTHS), min_size=3, max_size=3), seed=st.integers(0, 99))
def test_a_function_that_gives_floats_takes_integers_as_float64(name, size, dtypes, seed):
    function, rng = BY_NAME[name], np.random.default_rng(seed)
    arrays = [_whole(dtype, rng, size) for dtype in dtypes[: len(function.__signature__.parameters)]]
    try:
        found = function(*arrays)
    except th.TinyhyperError:  # subtraction of booleans, negative powers of integers
        return
    if found.dtype.kind == "f":
        assert found.dtype == np.float64
        wanted = function(*[array.astype(np.float64) for array in arrays])
        np.testing.assert_allclose(found.data, wanted.data, rtol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", BY_NAME)
@given(values=st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_function_that_gives_floats_takes_pythons_booleans_as_float64(name, backend, values):
    elementwise_backend(backend)
    function = BY_NAME[name]
    values = values[: len(function.__signature__.parameters)]
    for spelling in (function, th.fuse(lambda *values: function(*values))):
        try:
            found = spelling(*values)
        except th.DtypeError:  # NumPy has none either
            assert name in ("positive", "negative", "subtract", "sign")
            continue
        if found.dtype.kind == "f":
            assert found.dtype == np.float64
            wanted = function(*[np.float64(value) for value in values])
            np.testing.assert_allclose(found.data, wanted.data, rtol=1e-14)


@pytest.mark.parametrize("dtype", [*WIDTHS, "f4", "f8"])
def test_fabs_and_float_power_always_give_floats(dtype):
    x = _whole(dtype, np.random.default_rng(0), 9) if dtype in WIDTHS else np.array([-2.0, 0.5, 3.0], dtype)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        for found, wanted in [
            (np.fabs(th.tensor(x)), np.fabs(wide)),
            (np.float_power(th.tensor(x), 2), wide**2.0),
            (np.float_power(th.tensor(x), -1), 1 / wide),
            (np.float_power(2, th.tensor(x)), 2.0**wide),
        ]:
            assert found.dtype == (np.float32 if dtype == "f4" and wanted[0] == 2.0 else np.float64)
            np.testing.assert_allclose(found.data, wanted, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_gradients_of_fabs_and_float_power(dtype):
    x, y = th.tensor([-2.0, 3.0], True, dtype), th.tensor([2.0, -1.0], True, dtype)
    assert th.gradients(np.fabs(x), x, np.ones(2, dtype))[0].data.tolist() == [-1.0, 1.0]
    first, second = th.gradients(np.float_power(abs(x), y), [x, y], np.ones(2))
    assert first.dtype == second.dtype == dtype
    np.testing.assert_allclose(first.data, [-4.0, -1 / 9], rtol=1e-6)
    np.testing.assert_allclose(second.data, [4 * math.log(2), math.log(3) / 3], rtol=1e-6)


# ---- A bound of clip that the dtype does not hold is an error where it would be the result.


@pytest.mark.parametrize("dtype", WIDTHS[1:])
@given(bounds=st.tuples(*[st.none() | st.integers(-400, 400)] * 2), values=st.lists(st.integers(0, 127)))
def test_a_bound_that_the_dtype_does_not_hold(dtype, bounds, values):
    x = np.array(values, dtype)
    wanted = [int(value) for value in x]
    for bound, choice in zip(bounds, (max, min)):
        wanted = wanted if bound is None else [choice(value, bound) for value in wanted]
    low, high = bounds
    middle = [value if low is None else max(value, low) for value in values]
    limits = np.iinfo(dtype)
    fits = all(limits.min <= value <= limits.max for value in (*middle, *wanted))
    for clip in (th.clip, lambda x, a, b: np.clip(th.tensor(x), a, b), lambda x, a, b: th.tensor(x).clip(a, b)):
        if not fits:
            with pytest.raises(th.ArgumentError, match="clip: Python integer"):
                clip(x, *bounds)
        else:
            found = clip(x, *bounds)
            assert found.dtype == dtype and found.data.tolist() == wanted


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_booleans_made_inside_an_expression_count_as_float64(backend):
    elementwise_backend(backend)
    x = th.tensor([-1.0, 2.0])
    found = th.fuse(lambda x: th.exp(x > 0) * x)(x).data
    np.testing.assert_allclose(found, [-1.0, 2 * math.e])
    assert found.dtype == np.float64


def test_a_selection_keeps_its_condition():
    np.testing.assert_array_equal(th.where(np.array([True, False]), 0.5, 2).data, [0.5, 2.0])


# ---- NaN among the bounds of clip.

BOUNDS = st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf, np.nan])


@given(x=st.lists(BOUNDS, min_size=1, max_size=6), low=BOUNDS, high=BOUNDS, arrays=st.booleans(), whole=st.booleans())
def test_clip_has_numpys_nan(x, low, high, arrays, whole):
    x = np.nan_to_num(np.array(x), posinf=9, neginf=-9).astype(int) if whole else np.array(x)
    if arrays:
        low, high = np.full(len(x), low), np.full(len(x), high)
    expected = np.clip(x, low, high)
    for found in (th.clip(x, low, high), th.clip(th.clip(x, low), None, high)):
        np.testing.assert_array_equal(found.data, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_the_gradient_of_clip_goes_to_what_is_the_result(backend):
    """To a bound that is NaN too; a NaN of x passes. Each sum of the three is 1."""
    elementwise_backend(backend)
    nan = np.nan
    columns = [1.0, 3, nan, 1, 0, 2, -1, 5], [nan, 0, 0, 0, 0, 0, 0, 2], [2.0, 2, 2, nan, 2, 2, 2, 1]
    xs = [th.tensor(values, requires_grad=True) for values in columns]
    found = [g.data.tolist() for g in th.gradients(th.sum(th.clip(*xs)), xs)]
    assert found == [[0, 0, 1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0, 0, 1]]
