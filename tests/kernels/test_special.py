"""The special functions against fifty-digit arithmetic, at the edges of their domains, and inside a compiled loop."""

from __future__ import annotations

import re

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.kernels import special
from tinyhyper.kernels.accuracy import MAX_ULPS, NEAR, NEAR_ULPS, near_name, special_name
from tinyhyper.kernels.plan import elementwise_backend

TRUTH = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "tanh_slope": lambda x: 1 / mpmath.cosh(x) ** 2,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sigmoid_slope": lambda x: 1 / (2 + 2 * mpmath.cosh(x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
}
ALLOWED = {**MAX_ULPS, **NEAR_ULPS}
DTYPES = ("float32", "float64")
EVERY = pytest.mark.parametrize(("operation", "dtype"), [(name, dtype) for name in TRUTH for dtype in DTYPES])
RISING = pytest.mark.parametrize(
    ("operation", "dtype"), [(name, dtype) for name in MAX_ULPS if "slope" not in name for dtype in DTYPES]
)
CIRCULAR = pytest.mark.parametrize(("operation", "dtype"), [(name, dtype) for name in NEAR_ULPS for dtype in DTYPES])
JIT = not numba.config.DISABLE_JIT
inf, nan = np.inf, np.nan

_loops: dict[tuple[str, str, bool], object] = {}


def loop(operation, dtype, **options):
    """The kernel out[i] = function(x[i])."""
    key = operation, dtype, bool(options)
    if key not in _loops:
        function = getattr(special, special_name(operation, dtype) or near_name(operation, dtype))

        def kernel(x, out):
            for i in range(x.shape[0]):
                out[i] = function(x[i])

        _loops[key] = numba.njit(error_model="numpy", **options)(kernel)
    return _loops[key]


def apply(operation, x, **options):
    x = np.atleast_1d(x)
    out = np.empty_like(x)
    loop(operation, x.dtype.name, **options)(x, out)
    return out


def ulps(operation, x, got):
    """The largest error of `got`, in ulps of the true value."""
    info = np.finfo(got.dtype)
    worst = 0.0
    with mpmath.workprec(160):
        overflow = mpmath.mpf(2) ** info.maxexp - mpmath.mpf(2) ** (info.maxexp - info.nmant - 2)
        for argument, value in zip(x, got):
            true = TRUTH[operation](mpmath.mpf(float(argument)))
            if abs(true) >= overflow or true == 0:
                worst = max(worst, 0.0 if float(value) == (mpmath.sign(true) * mpmath.inf if true else 0) else inf)
                continue
            exponent = max(mpmath.frexp(true)[1] - 1, int(info.minexp))
            error = abs(mpmath.mpf(float(value)) - true) * mpmath.mpf(2) ** (int(info.nmant) - exponent)
            worst = max(worst, float(error) if np.isfinite(value) else inf)
    return worst


def check_accuracy(operation, x, got):
    allowed = ALLOWED[operation]
    worst = ulps(operation, x, got)
    assert worst <= allowed, f"{operation} on {got.dtype} is off by {worst:.2f} ulp, more than {allowed}"


def arguments(operation, dtype):
    """Random numbers of every size and sign, more of them where the function is steep or changes its formula."""
    info, rng, n = np.finfo(dtype), np.random.default_rng(7), 200
    log_max, log_min = np.log(2) * info.maxexp, np.log(2) * (info.minexp - info.nmant)
    every_size = np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, n)) * rng.choice([-1, 1], n)
    # The formula changes at odd multiples of log(2)/2 and at odd powers of sqrt(2).
    odd = np.arange(-9, 10, 2) / 2
    seams = np.concatenate([odd * np.log(2), np.exp2(odd), np.exp2(odd) - 1])
    parts = [
        every_size,
        rng.uniform(log_min, log_max, n),
        rng.uniform(-5, 5, 2 * n),
        rng.uniform(-20, 20, n),
        rng.uniform(-1, 1, 2 * n),
        np.exp2(rng.uniform(-30, 4, n)) * rng.choice([-1, 1], n),
        1 + rng.normal(0, 0.01, n),
        np.exp2(rng.uniform(-40, 0, n)) - 1,
        (seams[:, None] * (1 + np.arange(-3, 4) * float(info.eps))).ravel(),
        np.outer([info.tiny, info.smallest_subnormal, info.max, info.eps], [1, -1]).ravel(),
        [log_max, np.nextafter(log_max, 0), log_max * 1.001, log_min, log_min * 0.99, -0.7 * log_max],
    ]
    with np.errstate(over="ignore"):
        x = np.concatenate(parts).astype(dtype)
    x = x[np.isfinite(x) & (x != 0)]
    if operation in NEAR_ULPS:
        x = np.concatenate(
            [x[abs(x) <= NEAR], near_multiples(rng, n, dtype), rng.uniform(-NEAR, NEAR, n).astype(dtype)]
        )
    return x[x > {"log": 0, "log1p": -1}.get(operation, -inf)]


def near_multiples(rng, n, dtype):
    """Numbers next to multiples of pi/2, where a sine or cosine is all but lost in the argument's rounding."""
    with mpmath.workprec(160):
        exact = [float(k * mpmath.pi / 2) for k in map(int, rng.integers(1, int(NEAR * 2 / np.pi), n))]
    x = np.array(exact, dtype)
    return np.concatenate([x, np.nextafter(x, x.dtype.type(0)), -x])


@EVERY
def test_accuracy_is_as_stated(operation, dtype):
    x = arguments(operation, dtype)
    check_accuracy(operation, x, apply(operation, x))


def check_against_float64(operation, x, got):
    """Whether float32 results agree with the float64 function's to what is stated."""
    with np.errstate(over="ignore", invalid="ignore"):
        true = apply(operation, x.astype(np.float64))
        rounded = true.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    true, got = true[finite], got[finite]
    worst = (abs(got - true) / np.ldexp(1.0, np.maximum(np.frexp(true)[1] - 24, -149))).max()
    assert worst <= MAX_ULPS[operation], f"{operation} is off by {worst:.2f} ulp"


@pytest.mark.skipif(not JIT, reason="millions of numbers take compiled code")
@pytest.mark.parametrize("operation", MAX_ULPS)
def test_float32_is_as_exact_everywhere(operation):
    """On every 1021st of all bit patterns."""
    x = np.arange(0, 2**32, 1021).astype(np.uint32).view(np.float32)
    check_against_float64(operation, x, apply(operation, x))


HARD_POINTS = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (1e30, inf), (-1e30, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (1e30, inf), (-1e30, -1.0)],
    "log": [(0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf), (-inf, nan), (-1.0, nan), (-1e-39, nan)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -inf), (inf, inf), (-inf, nan), (-1.5, nan), (-1e30, nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (1e30, 1.0), (-1e30, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (1e30, 1.0), (-1e30, 0.0)],
    "tanh_slope": [(0.0, 1.0), (-0.0, 1.0), (inf, 0.0), (-inf, 0.0), (1e30, 0.0), (-1e30, 0.0)],
    "sigmoid_slope": [(0.0, 0.25), (-0.0, 0.25), (inf, 0.0), (-inf, 0.0), (1e30, 0.0), (-1e30, 0.0)],
    "softplus": [(inf, inf), (-inf, 0.0), (1e30, np.float32(1e30)), (-1e30, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (1e30, 1.0), (-1e30, -1.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (1e-30, np.float32(1e-30)), (-1e-30, np.float32(-1e-30))],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (1e-30, 1.0)],
    "tan": [(0.0, 0.0), (-0.0, -0.0), (1e-30, np.float32(1e-30)), (-1e-30, np.float32(-1e-30))],
}


@pytest.mark.parametrize("options", [{}, {"fastmath": True}], ids=["plain", "fastmath"])
@EVERY
def test_hard_points(operation, dtype, options):
    """Also where the calling kernel is compiled with flags that deny NaN: the functions keep their own."""
    x, true = np.array(HARD_POINTS[operation] + [(nan, nan)], np.float32).astype(dtype).T
    x, true = np.ascontiguousarray(x), np.ascontiguousarray(true)
    got = apply(operation, x, **options)
    np.testing.assert_array_equal(got, true)
    number = ~np.isnan(true)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(true[number]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_and_underflow_come_at_the_right_argument(dtype):
    info = np.finfo(dtype)
    last, first = np.log(info.max), np.log(np.float64(info.smallest_subnormal))
    x = np.array([last * 0.9999, last * 1.0001, first * 0.9999, first * 1.01], dtype)
    largest, infinite, subnormal, nothing = apply("exp", x)
    assert np.isfinite(largest) and infinite == inf
    assert subnormal == info.smallest_subnormal and nothing == 0


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_odd_functions_are_odd_and_results_stay_in_range(dtype, data):
    x = data.draw(st.lists(st.floats(width=int(dtype[5:]), allow_nan=False), min_size=1, max_size=20))
    x = np.array(x, dtype)
    for operation in ("tanh", "erf"):
        y = apply(operation, x)
        np.testing.assert_array_equal(y, -apply(operation, -x))
        assert (abs(y) <= 1).all()
    for operation in ("tanh_slope", "sigmoid_slope"):
        y = apply(operation, x)
        np.testing.assert_array_equal(y, apply(operation, -x))
        assert ((y >= 0) & (y <= 1 + 4 * np.finfo(dtype).eps)).all()
    near = x[abs(x) <= NEAR]
    for operation in ("sin", "tan"):
        np.testing.assert_array_equal(apply(operation, near), -apply(operation, -near))
    np.testing.assert_array_equal(apply("cos", near), apply("cos", -near))
    assert (abs(apply("cos", near)) <= 1).all() and (abs(apply("sin", near)) <= 1).all()
    assert (apply("expm1", x) >= -1).all()
    assert (apply("exp", x) >= 0).all()
    assert (apply("softplus", x) >= np.maximum(x, 0)).all()
    y = apply("sigmoid", x)
    assert ((y >= 0) & (y <= 1)).all()
    np.testing.assert_allclose(y + apply("sigmoid", -x), 1, rtol=4 * np.finfo(dtype).eps)


@RISING
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_functions_rise(operation, dtype, data):
    """Every function here does but the slopes; a rounded one may dip by what its accuracy allows."""
    low = {"log": 0.0, "log1p": -1.0}.get(operation)
    x = data.draw(st.lists(st.floats(low, width=int(dtype[5:]), allow_nan=False), min_size=2, max_size=20))
    y = apply(operation, np.sort(np.array(x, dtype)))
    slack = 2 * MAX_ULPS[operation]
    with np.errstate(invalid="ignore", over="ignore"):
        assert ((y[1:] >= y[:-1]) | (y[:-1] - y[1:] <= slack * np.spacing(abs(y[1:])))).all()


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
@EVERY
def test_a_loop_over_the_function_is_vectorized_and_calls_nothing(operation, dtype):
    apply(operation, np.ones(1, dtype))
    kernel = loop(operation, dtype)
    code = kernel.inspect_llvm(kernel.signatures[0])
    body = code[code.index("define ") : code.index("\n}", code.index("define "))]
    real = "double" if dtype == "float64" or operation in NEAR_ULPS else "float"
    assert re.search(rf"fmul contract <\d+ x {real}>", body)
    called = set(re.findall(r"call .*?@([\w.]+)\(", body))
    assert all(name.startswith("llvm.") for name in called), called


SIZES = st.floats(-1e3, 1e3) | st.floats(allow_nan=True, allow_infinity=True, width=32)


@pytest.mark.slow
@pytest.mark.skipif(not JIT, reason="nothing is compiled")
@CIRCULAR
@settings(max_examples=40, deadline=None)
@given(values=st.lists(SIZES, min_size=1, max_size=40), far=st.booleans())
def test_a_kernel_is_right_for_near_and_far_arguments(operation, dtype, values, far):
    """One argument beyond NEAR, and everything is computed once more: near ones have the same bits, sums count once."""
    elementwise_backend("numba")
    x = np.array([*values, 3e7] if far else values, dtype)
    got = getattr(th, operation)(th.tensor(x)).data
    finite = np.isfinite(x)
    assert np.isnan(got[~finite]).all()
    check_accuracy(operation, x[finite], got[finite])
    near = abs(x) <= NEAR
    np.testing.assert_array_equal(got[near], apply(operation, x[near]))
    scale = th.tensor(np.ones((), dtype), requires_grad=True)
    (total,) = th.gradients(FUSED[operation](th.tensor(x[finite]), scale), scale, np.ones(finite.sum(), dtype))
    assert total.dtype == dtype
    np.testing.assert_allclose(total.item(), np.sum(got[finite], dtype=np.float64), rtol=1e-5, atol=1e-5)


@th.fuse
def scaled_sine(x, scale):
    return scale * th.sin(x)


@th.fuse
def scaled_cosine(x, scale):
    return scale * th.cos(x)


@th.fuse
def scaled_tangent(x, scale):
    return scale * th.tan(x)


FUSED = {"sin": scaled_sine, "cos": scaled_cosine, "tan": scaled_tangent}
