"""Matrix products: every backend against NumPy, for all shapes, strides and dtypes."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.kernels import matmul as module
from tinyhyper.kernels import matmul_backend, product, threads
from tinyhyper.kernels.backend import compiler_is_off

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


def bound(a, b, dtype):
    """What a sum of `inner` rounded products may be wrong by."""
    return a.shape[-1] * np.finfo(dtype).eps * (abs(a).astype(float) @ abs(b).astype(float)) + np.finfo(dtype).tiny


@st.composite
def large_operands(draw, dtype):
    """Matrices of many tiles and odd sizes, lying in memory in any way; values of very different sizes."""
    sizes = st.one_of(st.integers(1, 130), st.sampled_from([12, 16, 32, 48, 64, 96, 128]))
    rows, inner, columns = draw(sizes), draw(st.one_of(sizes, st.just(600))), draw(st.one_of(sizes, st.just(530)))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    return [
        _lying(generator.normal(size=shape).astype(dtype) * dtype(10.0) ** generator.integers(-3, 4, shape), draw(LIES))
        for shape in ((rows, inner), (inner, columns))
    ]


LIES = st.sampled_from(["C", "F", "reversed", "strided", "padded", "repeated"])


def _lying(values, lie):
    """The same values (or for "repeated" one row over and over, with a stride of 0) in another place of memory."""
    if lie == "repeated":
        return np.broadcast_to(values[:1], values.shape)
    if lie == "reversed":
        return np.ascontiguousarray(values[::-1, ::-1])[::-1, ::-1]
    if lie == "strided":
        return np.repeat(np.repeat(values, 2, axis=0), 3, axis=1)[::2, ::3]
    if lie == "padded":  # rows 4096 bytes apart or more, which fall on the same places of a cache
        room = np.full((len(values), 2048), np.nan, values.dtype)
        room[:, : values.shape[1]] = values
        return room[:, : values.shape[1]]
    return np.array(values, order=lie)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_kernel_rounds_no_worse_than_its_sums(dtype, data):
    a, b = data.draw(large_operands(dtype))
    matmul_backend("numba")
    exact = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble))
    assert (abs(module.matmul(a, b) - exact) <= bound(a, b, dtype)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lie", ["C", "F", "reversed", "strided", "padded", "repeated"])
@pytest.mark.parametrize("sizes", [(13, 1030, 33), (300, 260, 300), (5, 7, 1100), (1000, 3, 17)])
def test_large_products_by_blocks(dtype, lie, sizes):
    """Larger than a block along every axis in turn: whole numbers, so exact."""
    rows, inner, columns = sizes
    generator = np.random.default_rng(0)
    a = _lying(generator.integers(-3, 4, (rows, inner)).astype(dtype), lie)
    b = _lying(generator.integers(-3, 4, (inner, columns)).astype(dtype), lie)
    matmul_backend("numba")
    np.testing.assert_array_equal(module.matmul(a, b), np.einsum("ik,kj->ij", a, b))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@np.errstate(invalid="ignore")
@given(data=st.data())
def test_nan_and_infinity_reach_their_row_and_column_only(backend, bad, data):
    rows, inner, columns = (data.draw(st.integers(1, 40)) for _ in range(3))
    a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    i, k, j = (data.draw(st.integers(0, n - 1)) for n in (rows, inner, columns))
    matmul_backend(backend)
    a[i, k] = bad
    wanted = np.full((rows, columns), inner, np.float32)
    wanted[i] = bad
    np.testing.assert_array_equal(module.matmul(a, b), wanted)
    a[i, k], b[k, j] = 1, bad
    wanted[i], wanted[:, j] = inner, bad
    np.testing.assert_array_equal(module.matmul(a, b), wanted)
    a[i, k] = 0
    wanted[i] = inner - 1
    wanted[i, j] = np.nan  # 0 * NaN and 0 * infinity
    np.testing.assert_array_equal(module.matmul(a, b), wanted)


@st.composite
def blank_operands(draw, dtype):
    """Matrices of which the first has columns of zeros, of either sign, throughout or down a part of its rows."""
    rows, inner, columns = draw(st.integers(12, 60)), draw(st.integers(1, 70)), draw(st.integers(64, 150))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    a, b = generator.normal(size=(rows, inner)), generator.normal(size=(inner, columns))
    blank = generator.random(inner) < draw(st.sampled_from([0.3, 0.6, 0.95, 1.0]))
    a[draw(st.sampled_from([0, 0, 5, 24])) :, blank] = draw(st.sampled_from([0.0, -0.0]))
    return [_lying(x.astype(dtype), draw(LIES.filter(lambda lie: lie != "repeated"))) for x in (a, b)]


def multiplied(a, b, skips):
    """The product, and the indices of the columns that its last panel was made of."""
    plan = product.Product((a.shape, a.strides), (b.shape, b.strides), a.dtype, 1)
    plan.packs = (*plan.packs[:2], skips)
    out, workspace = np.empty(plan.shape, a.dtype), plan.workspace()
    (call,) = plan.calls(*plan.views(a, b, out), workspace)
    product.kernel(plan.dtype)(*call)
    return out, workspace[0][2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_leaving_out_columns_of_zeros_changes_no_sum(dtype, data):
    a, b = data.draw(blank_operands(dtype))
    if compiler_is_off():  # then BLAS adds up, fewer terms in another order: whole numbers, so exact
        a, b = np.round(4 * a), np.round(4 * b)
    np.testing.assert_array_equal(multiplied(a, b, True)[0], multiplied(a, b, False)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@np.errstate(invalid="ignore")
@given(data=st.data())
def test_zeros_do_not_hide_what_is_not_finite(dtype, bad, data):
    a, b = data.draw(blank_operands(dtype))
    b[data.draw(st.integers(0, b.shape[0] - 1)), data.draw(st.integers(0, b.shape[1] - 1))] = bad
    found, wanted = multiplied(a, b, True)[0], a @ b
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))


@np.errstate(invalid="ignore")
def test_infinity_beneath_columns_of_zeros():
    a, b = np.zeros((24, 600), np.float32), np.ones((600, 1100), np.float32)
    a[:, 2] = a[:, -1] = 1.0
    np.testing.assert_array_equal(multiplied(a, b, True)[0], np.full((24, 1100), 2.0, np.float32))
    b[590, 1090] = np.inf
    wanted = np.full((24, 1100), 2.0, np.float32)
    wanted[:, 1090] = np.nan
    np.testing.assert_array_equal(multiplied(a, b, True)[0], wanted)


def test_columns_of_zeros_are_left_out():
    """Else it would take longer, and no test would tell."""
    a, b = np.zeros((12, 100), np.float32), np.ones((100, 64), np.float32)
    used = [3, 17, 18, 99]
    a[5, used] = 1.0
    indices = multiplied(a, b, True)[1]
    assert indices[1, : len(used)].tolist() == used
    assert indices[0].tolist() == list(range(len(indices[0])))
    dense = multiplied(np.ones_like(a), b, True)[0]
    np.testing.assert_array_equal(dense, np.full((12, 64), 100.0, np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@np.errstate(invalid="ignore")
def test_one_element_is_a_matrix_too(backend, bad):
    matmul_backend(backend)
    zero, row = np.zeros((1, 1)), np.array([[bad, 1.0]])
    np.testing.assert_array_equal(module.matmul(zero, row), [[np.nan, 0.0]])
    np.testing.assert_array_equal(module.matmul(row.T, zero), [[np.nan], [0.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 7), (13, 33, 17), (12, 16, 32), (25, 530, 47), (7, 40, 560)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_around_the_arrays_is_read_or_written(dtype, sizes, order):
    """Edges of tiles are whole vectors, too, but what lies behind them must neither count nor change."""
    rows, inner, columns = sizes
    room = np.full((rows + inner + 9, inner + columns + 9), np.nan, dtype, order)
    a, b = room[2 : 2 + rows, 3 : 3 + inner], room[rows + 4 : rows + 4 + inner, inner + 5 : inner + 5 + columns]
    a[...], b[...] = 2, 3
    around = np.full((rows + 30, columns + 70), 7, dtype)
    plan = product.Product((a.shape, a.strides), (b.shape, b.strides), np.dtype(dtype), 1)
    (call,) = plan.calls(a[None], b[None], around[None, 5 : 5 + rows, 5 : 5 + columns], plan.workspace())
    product.kernel(plan.dtype)(*call)
    wanted = np.full_like(around, 7)
    wanted[5 : 5 + rows, 5 : 5 + columns] = 6 * inner
    np.testing.assert_array_equal(around, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(200, 300, 110), (110, 257, 300), (1000, 700, 10), (10, 300, 2000)])
@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
def test_any_number_of_threads_gives_the_same_bits(_threads_as_before, dtype, sizes, orders):
    generator = np.random.default_rng(0)
    rows, inner, columns = sizes
    a = np.array(generator.normal(size=(rows, inner)), dtype, order=orders[0])
    b = np.array(generator.normal(size=(inner, columns)), dtype, order=orders[1])
    matmul_backend("numba")
    found = []
    for count in (1, 2, 3, 3):
        threads.set_num_threads(count)
        found.append(module.matmul(a, b))
    assert len(product.Product(*[(x.shape, x.strides) for x in (a, b)], np.dtype(dtype), 3).parts) > 1
    for other in found[1:]:
        assert np.array_equal(found[0].view(np.uint8), other.view(np.uint8))


@pytest.fixture
def _threads_as_before():
    before = threads.num_threads()
    yield
    threads.set_num_threads(before)


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


def test_auto_takes_the_kernel_for_large_products_of_floats(monkeypatch):
    taken = []
    monkeypatch.setattr(module, "_tiled", lambda a, b: taken.append((a.shape, b.shape)))
    n = round(module.LEAST ** (1 / 2) / 4)
    large = np.ones((n, 16)), np.ones((16, n))
    small = [(x[:3], y) for x, y in [large]] + [(x, y[:, :3]) for x, y in [large]] + [(x[:-1], y) for x, y in [large]]
    mixed = [(large[0], large[1].astype(np.float32)), tuple(x.astype(int) for x in large)]
    stack = np.ones((module.LEAST, 2, 2)), np.ones((module.LEAST, 2, 2))
    for a, b in [*small, *mixed, stack, (large[0][:, 0], large[1][0])]:
        module.matmul(a, b)
    assert not taken
    module.matmul(*large)
    module.matmul(large[0].reshape(4, -1, 16), large[1])
    assert len(taken) == (0 if compiler_is_off() else 2)


def test_forced_kernel_runs_as_plain_python():
    """Without the compiler the same blocks are multiplied by NumPy, tile by tile."""
    code = """
import numpy as np
from tinyhyper.kernels import matmul as module, matmul_backend, product
matmul_backend("numba")
generator = np.random.default_rng(0)
for rows, inner, columns in [(13, 33, 40), (5, 530, 3), (30, 20, 600), (1, 1, 1)]:
    for orders in ("CC", "CF", "FC", "FF"):
        a = np.array(generator.integers(-3, 4, (rows, inner)), "float32", order=orders[0])
        b = np.array(generator.integers(-3, 4, (inner, columns)), "float32", order=orders[1])
        np.testing.assert_array_equal(module.matmul(a, b), a @ b)
        stack = module.matmul(np.stack([a, a])[:, ::-1], b)
        np.testing.assert_array_equal(stack, np.stack([a @ b] * 2)[:, ::-1])
kernel = product.kernel(np.dtype("float32"))
assert not hasattr(kernel, "compile")
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_first_small_product_of_a_process_is_quick():
    code = """
import time, numpy as np, tinyhyper as th
x = th.tensor(np.ones((20, 30)), requires_grad=True)
start = time.perf_counter(); x @ x.T; print(time.perf_counter() - start)
"""
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.01
