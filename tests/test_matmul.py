"""Matrix products: every backend against NumPy, for all shapes, strides and dtypes."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.kernels import cache, matmul_backend
from tinyhyper.kernels import matmul as module

LENGTHS = st.sampled_from([0, 1, 2, 3, 5, 9])
BACKENDS = ("numba", "blas", "auto")


@pytest.fixture(autouse=True)
def _auto():
    yield
    matmul_backend("auto")


@st.composite
def operands(draw, dtypes=("float32", "float64")):
    """Two arrays that NumPy can multiply: vectors, matrices, stacks that broadcast, of any strides and dtypes."""
    rows, inner, columns = draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)
    stack = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=2))
    left, right = [
        tuple(1 if draw(st.booleans()) else n for n in stack[draw(st.integers(0, len(stack))) :]) for _ in range(2)
    ]
    a = (inner,) if draw(st.booleans()) and not left else (*left, rows, inner)
    b = (inner,) if draw(st.booleans()) and not right else (*right, inner, columns)
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    return tuple(draw(laid_out(shape, draw(st.sampled_from(dtypes)), generator)) for shape in (a, b))


@st.composite
def laid_out(draw, shape, dtype, generator):
    """Values of a shape: contiguous, transposed in memory, reversed, or every second element of a larger array."""
    values = generator.integers(-5, 6, shape).astype(dtype)
    way = draw(st.sampled_from(["C", "F", "reversed", "strided"]))
    if way == "strided":
        larger = np.zeros(tuple(2 * n for n in shape), dtype)
        view = larger[tuple(slice(None, None, 2) for _ in shape)]
        view[...] = values
        return view
    return values[..., ::-1] if way == "reversed" else np.asarray(values, order=way)


@pytest.mark.parametrize("backend", BACKENDS)
@given(pair=operands())
def test_equals_numpy(backend, pair):
    a, b = pair
    before = a.copy(), b.copy()
    matmul_backend(backend)
    found, wanted = module.matmul(a, b), np.matmul(a, b)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)  # small integers: exact in any order of summation
    assert all(np.array_equal(x, y) for x, y in zip(pair, before))
    assert not any(np.shares_memory(found, x) for x in pair)


@pytest.mark.parametrize("backend", BACKENDS)
@given(pair=operands(dtypes=("int64", "int32", "bool", "float32")))
def test_integers_are_multiplied_as_numpy_does(backend, pair):
    matmul_backend(backend)
    found, wanted = module.matmul(*pair), np.matmul(*pair)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 70, 3), (17, 129, 33), (4, 64, 1), (64, 63, 65)])
def test_kernel_rounds_no_worse_than_its_sums(dtype, sizes):
    """Across its blocks of rows: each element within the usual bound of a sum of `inner` products."""
    rows, inner, columns = sizes
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(rows, inner)).astype(dtype), generator.normal(size=(inner, columns)).astype(dtype)
    matmul_backend("numba")
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = inner * np.finfo(dtype).eps * (abs(a).astype(np.float64) @ abs(b).astype(np.float64))
    assert (abs(module.matmul(a, b) - exact) <= bound).all()


def test_a_wrong_kernel_is_noticed(monkeypatch):
    """The comparison above must fail for a kernel that is wrong by 0.1 % in one of its loops."""
    faulty = module.SOURCE.replace("z[i, j] += x[i, k] * y[k, j]", "z[i, j] += 1.001 * x[i, k] * y[k, j]")
    assert faulty != module.SOURCE
    monkeypatch.setattr(module, "SOURCE", faulty)
    with pytest.raises(AssertionError):
        test_equals_numpy.hypothesis.inner_test("numba", (np.full((2, 3), 2.0), np.full((3, 2), 3.0)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (2, 3)), ((3,), (2,)), ((), (3,)), ((3,), ()), ((2, 2, 3), (3, 3, 2)), ((2, 3), (2, 4, 5))]
)
def test_shapes_that_do_not_fit_are_named(backend, a, b):
    matmul_backend(backend)
    with pytest.raises(th.ShapeError) as caught:
        module.matmul(np.ones(a), np.ones(b))
    assert "matmul" in str(caught.value) and str(b) in str(caught.value)


def test_backend_can_be_asked_and_forced():
    assert matmul_backend() == "auto"
    assert [matmul_backend(name) for name in BACKENDS] == list(BACKENDS)
    assert matmul_backend("numba") == matmul_backend() == "numba"
    with pytest.raises(th.ArgumentError, match="matmul_backend.*'fast'"):
        matmul_backend("fast")
    assert matmul_backend() == "numba"


def test_auto_takes_the_kernel_only_for_long_stacks_of_tiny_products(monkeypatch):
    loaded = []
    monkeypatch.setattr(cache, "load", lambda source: loaded.append(source) or (lambda *arrays: None))
    count = math.ceil(module.STACK / 4)
    stack, one = np.ones((count, 2, 2)), np.ones((2, 2))
    for a, b in [(one, one), (stack, one), (stack[:-1], stack[:-1]), (stack[:, 0], one), (np.ones((count, 3, 3)),) * 2]:
        module.matmul(a, b)
    assert not loaded
    module.matmul(stack, stack)
    assert len(loaded) == (not module.numba.config.DISABLE_JIT)


def test_first_small_product_of_a_process_is_quick():
    code = """
import time, numpy as np, tinyhyper as th
x = th.tensor(np.ones((20, 30)), requires_grad=True)
start = time.perf_counter(); x @ x.T; print(time.perf_counter() - start)
"""
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.01
