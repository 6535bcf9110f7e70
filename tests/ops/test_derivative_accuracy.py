"""A derivative is accurate where the value is: first and second ones against arithmetic in hundreds of digits.

A derivative may be off by a few roundings, and by what a few roundings of the argument would change it; so a bound is
`ROUNDINGS` units in the last place of |f'| + |x f''|. NumPy and the kernels are held to the same bound.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from backends import elementwise_backend, kernels
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

plan = kernels("plan")
ROUNDINGS = 16
DTYPES = ("float32", "float64")
EVERY_DTYPE = pytest.mark.parametrize("dtype", DTYPES)
EVERY_BACKEND = pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def widest(dtype):
    """How far exponentials reach before they overflow, and tails before they are subnormal."""
    return 80 if dtype == "float32" else 350


# By name: the function, and by dtype the ends of the arguments.
FUNCTIONS = {
    "sigmoid": (sigmoid, lambda dtype: (-widest(dtype), widest(dtype))),
    "tanh": (mpmath.tanh, lambda dtype: (-widest(dtype) / 2, widest(dtype) / 2)),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), lambda dtype: (-widest(dtype), widest(dtype))),
    "exp": (mpmath.exp, lambda dtype: (-widest(dtype), widest(dtype))),
    "expm1": (mpmath.expm1, lambda dtype: (-widest(dtype), widest(dtype))),
    "sinh": (mpmath.sinh, lambda dtype: (-widest(dtype), widest(dtype))),
    "cosh": (mpmath.cosh, lambda dtype: (-widest(dtype), widest(dtype))),
    "erf": (mpmath.erf, lambda dtype: (-(widest(dtype) ** 0.5), widest(dtype) ** 0.5)),
    "log1p": (mpmath.log1p, lambda dtype: (-1, 1e6)),
    "arctan": (mpmath.atan, lambda dtype: (-1e6, 1e6)),
    "arcsin": (mpmath.asin, lambda dtype: (-1, 1)),
    "arccos": (mpmath.acos, lambda dtype: (-1, 1)),
    "tan": (mpmath.tan, lambda dtype: (-1.57, 1.57)),
    "sqrt": (mpmath.sqrt, lambda dtype: (0, 1e6)),
    "reciprocal": (lambda x: 1 / x, lambda dtype: (0, 1e6)),
}


@st.composite
def arguments(draw, ends, dtype):
    """Arguments between the ends: spread evenly, near an end, and of every size near 0."""
    low, high = ends
    share = st.floats(0.001, 0.999)
    near_an_end = st.tuples(st.sampled_from(ends), st.floats(-7, -1)).map(lambda at: at[0] * (1 - 10 ** at[1]))
    near_zero = st.tuples(share, st.floats(-6, 0)).map(lambda at: (low + (high - low) * at[0]) * 10 ** at[1])
    evenly = share.map(lambda at: low + (high - low) * at)
    x = np.array(draw(st.lists(evenly | near_an_end | near_zero, min_size=1, max_size=4)), dtype)
    return x[(x > low) & (x < high) & (x != 0)]


def check(found, true, scale, dtype, what):
    """Whether each number found is true to ROUNDINGS units in the last place of its scale."""
    for number, wanted, size in zip(np.ravel(found), true, scale, strict=True):
        error = abs(mpmath.mpf(float(number)) - wanted)
        limit = ROUNDINGS * (float(np.finfo(dtype).eps) * size + float(np.finfo(dtype).smallest_normal))
        assert error <= limit, f"{what}: {number} for {mpmath.nstr(wanted, 9)}, {mpmath.nstr(error / limit, 3)} limits"


def orders(function, x, dtype):
    """The first three derivatives at x; far out, 1 less a tail takes as many digits as the tail has zeros."""
    with mpmath.workdps(100 if dtype == "float32" else 400):
        return [mpmath.diff(function, mpmath.mpf(float(x)), n) for n in (1, 2, 3)]


@pytest.mark.slow
@EVERY_BACKEND
@EVERY_DTYPE
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_derivatives_of_a_function_are_accurate(name, dtype, backend, data):
    elementwise_backend(backend)
    function, ends = FUNCTIONS[name]
    values = data.draw(arguments(ends(dtype), dtype))
    x = th.tensor(values, requires_grad=True)
    (first,) = th.gradients(th.sum(getattr(th, name)(x)), x, create_graph=True)
    (second,) = th.gradients(th.sum(first), x)
    true = [orders(function, value, dtype) for value in values]
    for n, found in enumerate((first, second)):
        wanted = [each[n] for each in true]
        scale = [abs(each[n]) + abs(float(value)) * abs(each[n + 1]) for value, each in zip(values, true)]
        check(found.data, wanted, scale, dtype, f"derivative {n + 1} of {name} at {values}")


@EVERY_BACKEND
@EVERY_DTYPE
@given(x=st.floats(-70, 70), y=st.floats(-70, 70))
def test_derivatives_of_logaddexp_are_accurate(dtype, backend, x, y):
    elementwise_backend(backend)
    xs = [th.tensor(value, requires_grad=True, dtype=dtype) for value in (x, y)]
    (first,) = th.gradients(th.logaddexp(*xs), xs[0], create_graph=True)
    second = th.gradients(first, xs)
    with mpmath.workdps(60):
        gap = mpmath.mpf(xs[0].item()) - mpmath.mpf(xs[1].item())
        slope, curve = sigmoid(gap), sigmoid(gap) * sigmoid(-gap)
        size = 1 + abs(xs[0].item()) + abs(xs[1].item())
        check(first.data, [slope], [slope * size], dtype, "logaddexp")
        check([g.item() for g in second], [curve, -curve], [curve * size] * 2, dtype, "logaddexp, second")


# ---- Vectors: one entry far above the others, and an offset that is large beside the differences.


def sure(gap, count, offset, dtype):
    """A row whose first entry is `gap` above all others, which differ a little."""
    row = np.array([gap, *np.linspace(0, 1, count - 1)]) + offset
    return row.astype(dtype)


def shares(row):
    with mpmath.workdps(60):
        powers = [mpmath.exp(mpmath.mpf(float(x)) - mpmath.mpf(float(row.max()))) for x in row]
        return [power / mpmath.fsum(powers) for power in powers]


def of_first(operation):
    """The first entry of the operation's result, summed over rows."""
    return lambda x: th.sum(operation(x)[:, 0])


def softmax_slopes(p):
    rest = mpmath.fsum(p[1:])
    return [p[0] * rest, *[-p[0] * q for q in p[1:]]]


# By name: a number of rows of logits, and for one row its slopes, and their slopes by the first logit.
OF_LOGITS = {
    "softmax": (
        of_first(th.softmax), softmax_slopes, lambda p: [s * (sum(p[1:]) - p[0]) for s in softmax_slopes(p)],
    ),
    "log_softmax": (
        of_first(th.log_softmax), lambda p: [sum(p[1:]), *[-q for q in p[1:]]],
        lambda p: [-s for s in softmax_slopes(p)],
    ),
    "logsumexp": (lambda x: th.sum(th.logsumexp(x, 1)), lambda p: p, softmax_slopes),
    "logsumexp of all": (lambda x: th.logsumexp(x[:1]), lambda p: p, softmax_slopes),
    "cross_entropy": (
        lambda x: th.cross_entropy(x, np.zeros(len(x), int)) * len(x), lambda p: [-sum(p[1:]), *p[1:]],
        softmax_slopes,
    ),
}  # fmt: skip


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("rows", [1, 3])
@EVERY_DTYPE
@pytest.mark.parametrize("name", OF_LOGITS)
@given(gap=st.floats(-30, 80), count=st.integers(2, 6), offset=st.sampled_from([0, -1e4, 1e7]), small=st.booleans())
def test_derivatives_of_a_sure_class_are_accurate(name, dtype, rows, gap, count, offset, small):
    """By kernels, and by NumPy: whatever is small."""
    function, first_of, second_of = OF_LOGITS[name]
    row = sure(gap, count, offset, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SMALL", 10**9 if small else 0)
        x = th.tensor(np.tile(row, (rows, 1)), requires_grad=True)
        (first,) = th.gradients(function(x), x, create_graph=True)
        (second,) = th.gradients(th.sum(first[:, 0]), x)
    with mpmath.workdps(60):
        p = shares(row)
        reach = 1 + float(row.max() - row.min())  # exponentials of rounded differences
        for found, wanted in ((first, first_of(p)), (second, second_of(p))):
            scale = [reach * max(abs(w), abs(s)) for w, s in zip(wanted, softmax_slopes(p))]  # two alike: second is 0
            check(found.data[0], wanted, scale, dtype, f"{name} of {row}")


@EVERY_DTYPE
@pytest.mark.parametrize("values", [[1e5, 1e5], [1e7, 1e7, 1e7], [-3e7, -3e7], [1e16, 1e16], [1e30, 1e30]])
def test_equal_numbers_share_the_slope_of_logsumexp_however_large(values, dtype):
    x = th.tensor(values, requires_grad=True, dtype=dtype)
    (first,) = th.gradients(th.logsumexp(x), x)
    np.testing.assert_allclose(first.data, 1 / len(values), rtol=1e-6)


@EVERY_DTYPE
@given(offset=st.floats(-1e6, 1e6), spread=st.floats(0.1, 10), seed=st.integers(0, 99), axis=st.sampled_from([None, 1]))
def test_derivatives_of_a_spread_do_not_feel_the_offset(dtype, offset, spread, seed, axis):
    values = (offset + spread * np.random.default_rng(seed).standard_normal((2, 9))).astype(dtype)
    rows = values.reshape(1, -1) if axis is None else values
    for name, power in (("var", 1), ("std", 0.5)):
        x = th.tensor(values, requires_grad=True)
        (first,) = th.gradients(th.sum(getattr(th, name)(x, axis)), x)
        for row, found in zip(rows, first.data.reshape(rows.shape)):
            with mpmath.workdps(40):
                numbers = [mpmath.mpf(float(value)) for value in row]
                deviations = [number - mpmath.fsum(numbers) / len(numbers) for number in numbers]
                variance = mpmath.fsum(d * d for d in deviations) / len(numbers)
                wanted = [2 * power * variance ** (power - 1) * d / len(numbers) for d in deviations]
                check(found, wanted, [max(map(abs, wanted))] * len(wanted), dtype, f"{name} of {row}")


def test_a_large_offset_costs_a_spread_no_digits_in_float64():
    """Its mean is rounded by more than the differences have digits."""
    values = 1e9 + np.array([0.0, 1.0, 3.0]) / 8
    x = th.tensor(values, requires_grad=True)
    (first,) = th.gradients(th.var(x), x)
    np.testing.assert_allclose(first.data, np.array([-4.0, -1.0, 5.0]) / 36, rtol=1e-14)


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("small", [0, 10**9])
def test_the_logarithm_of_a_sure_class_is_not_rounded_to_0_in_float32(small, monkeypatch):
    monkeypatch.setattr(plan, "SMALL", small)
    found = th.log_softmax(np.array([[20.0, 0.0]], np.float32))
    np.testing.assert_allclose(found.data, [[-np.exp(-20.0), -20.0]], rtol=1e-6)
