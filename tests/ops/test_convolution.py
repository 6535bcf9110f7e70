"""Convolution: the factory's properties; kernels against NumPy."""

import itertools

import numpy as np
import pytest
from backends import THERE, compiler_is_off, convolution_backend, kernels
from factory import SEEDS, Row, example, property_test
from geometries import factors, geometries
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

module, scratch, sweeps, threads = map(kernels, ("convolution", "scratch", "sweeps", "threads"))


@pytest.fixture(autouse=True)
def _as_before():
    before = threads.num_threads() if THERE else None
    yield
    convolution_backend("auto")
    if THERE:
        threads.set_num_threads(before)


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def by_definition(x, weight, bias=None, stride=1, padding=0):
    """One window after the other."""
    (down, across), (top, left) = _pair(stride), _pair(padding)
    x = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    rows, columns = weight.shape[:2]
    height, width = (x.shape[1] - rows) // down + 1, (x.shape[2] - columns) // across + 1
    dtype = np.sum(np.zeros(0, np.result_type(x, weight))).dtype  # of integers and booleans, one of 64 bits
    out = np.zeros((len(x), height, width, weight.shape[3]), dtype)
    for i, j in np.ndindex(height, width):
        window = x[:, i * down : i * down + rows, j * across : j * across + columns]
        out[:, i, j] = np.einsum("nabc,abco->no", window, weight, dtype=dtype)
    return out if bias is None else out + bias


# ---- Properties


@st.composite
def _images(draw):
    size, kernel, stride, padding = draw(geometries(3))
    images, inputs, outputs = (draw(st.integers(low, 2)) for low in (0, 1, 1))
    shapes = [(images, *size, inputs), (*kernel, inputs, outputs), (outputs,)][: draw(st.integers(2, 3))]
    options = {}
    if stride != (1, 1) or draw(st.booleans()):
        options["stride"] = stride[0] if len(set(stride)) == 1 else stride
    if padding != (0, 0) or draw(st.booleans()):
        options["padding"] = padding[0] if len(set(padding)) == 1 else padding
    return example(shapes, options, draw(SEEDS))


ROWS = [Row("conv2d", by_definition, _images())]
test_property = property_test(ROWS)


def test_a_pair_may_be_an_array():
    x, w = np.ones((1, 6, 6, 1)), np.ones((3, 3, 1, 1))
    assert th.conv2d(x, w, stride=np.array([2, 1]), padding=np.array(1)).shape == th.conv2d(x, w, None, (2, 1), 1).shape


@pytest.mark.parametrize("value, dtype", [(100, "i1"), (200, "u1"), (True, "?")])
def test_integers_are_summed_without_wrapping(value, dtype):
    images, weight = np.full((1, 2, 2, 1), value, dtype), np.full((2, 2, 1, 1), value, dtype)
    assert th.conv2d(images, weight).item() == 4 * int(value) ** 2


# ---- Kernels


def all_three(x, w, g, stride, padding):
    return [
        module.conv2d(x, w, stride, padding),
        module.input_grad(g, w, stride, padding, x.shape[1:3]),
        module.weight_grad(x, g, stride, padding, w.shape[:2]),
    ]


def lying(draw, array):
    """The same values in another place of memory."""
    way = draw(st.sampled_from(["C", "F", "reversed", "strided", "unaligned"]))
    if way == "reversed":
        return np.ascontiguousarray(array[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1]
    if way == "strided":
        return np.repeat(np.repeat(array, 2, axis=-1), 2, axis=1)[:, ::2, :, ::2]
    if way == "unaligned":
        room = np.zeros(array.nbytes + 1, np.uint8)[1:]
        view = room.view(array.dtype).reshape(array.shape) if array.size else array
        view[...] = array
        return view
    return np.array(array, order=way)


@given(data=st.data())
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_kernels_equal_numpy(dtype, data):
    size, kernel, stride, padding = data.draw(geometries(14))
    images, inputs = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 2, 3, 7, 16]))
    outputs = data.draw(st.sampled_from([1, 3, 8, 10, 16, 17, 32, 40]))
    rng = np.random.default_rng(data.draw(SEEDS))
    arrays = [
        lying(data.draw, a) for a in factors(rng, images, size, kernel, inputs, outputs, stride, padding, dtype)
    ]
    before = [a.copy() for a in arrays]
    convolution_backend("numpy")
    wanted = all_three(*arrays, stride, padding)
    np.testing.assert_array_equal(wanted[0], by_definition(*arrays[:2], None, stride, padding))
    convolution_backend("numba")
    found = all_three(*arrays, stride, padding)
    for one, other, like in zip(found, wanted, (arrays[2], arrays[0], arrays[1])):
        assert one.dtype == other.dtype == dtype and one.shape == other.shape == like.shape
        assert one.flags.c_contiguous and not any(np.shares_memory(one, a) for a in arrays)
        np.testing.assert_array_equal(one, other)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before))


WIDE = [  # images, size, kernel, inputs, outputs, stride, padding
    (18, (32, 32), (3, 3), 3, 16, (1, 1), (1, 1)),
    (5, (9, 32), (3, 3), 16, 16, (1, 1), (1, 1)),
    (5, (16, 16), (3, 3), 16, 32, (2, 2), (1, 1)),
    (35, (8, 8), (3, 3), 64, 64, (1, 1), (1, 1)),
    (3, (30, 70), (5, 3), 4, 33, (1, 2), (2, 0)),
    (2, (40, 300), (1, 7), 2, 12, (1, 1), (0, 3)),
    (40, (16, 16), (1, 1), 16, 32, (2, 2), (0, 0)),
    (3, (11, 13), (2, 3), 5, 50, (3, 4), (4, 2)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_kernels_of_many_tiles_equal_numpy(case, dtype):
    """Sizes of real networks and such that leave something over on every side of a tile; several parts and groups."""
    *sizes, stride, padding = case
    x, w, g = factors(np.random.default_rng(0), *sizes, stride, padding, dtype)
    convolution_backend("numpy")
    wanted = all_three(x, w, g, stride, padding)
    convolution_backend("numba")
    for one, other in zip(all_three(x, w, g, stride, padding), wanted):
        np.testing.assert_array_equal(one, other)


def test_rows_of_zeros_are_left_out_and_no_others():
    inside = kernels("windows").inside
    for row, far, count, low, height in np.ndindex(6, 4, 5, 5, 4):
        far, count, high = far + 1, count + 1, low + height + 1
        first, rounds = inside(row, far, count, low, high)
        held = [n for n in range(count) if low <= row + n * far < high]
        assert 0 <= first < count and first + rounds <= count
        assert held == list(range(first, first + rounds))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_round_no_worse_than_their_sums(dtype):
    rng = np.random.default_rng(0)
    shapes = (6, 12, 13, 20), (3, 3, 20, 24), (6, 12, 13, 24)
    arrays = [rng.normal(size=s).astype(dtype) * dtype(10.0) ** rng.integers(-3, 4, s) for s in shapes]
    convolution_backend("numba")
    found = all_three(*arrays, (1, 1), (1, 1))
    convolution_backend("numpy")
    exact = all_three(*[a.astype(np.longdouble) for a in arrays], (1, 1), (1, 1))
    sizes = all_three(*[abs(a).astype(float) for a in arrays], (1, 1), (1, 1))
    for one, wanted, size, terms in zip(found, exact, sizes, (9 * 20, 9 * 24, 6 * 12 * 13)):
        assert (abs(one - wanted) <= terms * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_any_number_of_threads_gives_the_same_bits(dtype, stride, monkeypatch):
    monkeypatch.setattr(sweeps, "GRAIN", 10_000)
    rng = np.random.default_rng(0)
    images, size, kernel, inputs, outputs, padding = 21, (9, 10), (3, 3), 6, 10, (1, 1)
    shapes = [a.shape for a in factors(rng, images, size, kernel, inputs, outputs, stride, padding, dtype)]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    convolution_backend("numba")
    found, parts, run = [], [], threads.run
    monkeypatch.setattr(threads, "run", lambda kernel, calls: [run(kernel, calls), parts.append(len(calls))])
    for count in (1, 2, 3, 3):
        threads.set_num_threads(count)
        found.append(all_three(*arrays, stride, padding))
        assert parts[0] >= count, "there is something to do for every thread"
        parts.clear()
    for other in found[1:]:
        assert all(np.array_equal(a.view(np.uint8), b.view(np.uint8)) for a, b in zip(found[0], other))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", [((5, 9), (3, 3), (1, 1), (1, 1)), ((4, 4), (1, 2), (2, 2), (0, 3))], ids=str)
def test_nothing_around_the_arrays_is_read_or_written(dtype, geometry):
    """Tiles read whole vectors and rows of windows, but what is behind the arrays must neither count nor change."""
    size, kernel, stride, padding = geometry
    x, w, g = factors(np.random.default_rng(0), 3, size, kernel, 3, 5, stride, padding, dtype)
    convolution_backend("numpy")
    wanted = all_three(x, w, g, stride, padding)
    inside = [_within_nan(a) for a in (x, w, g)]
    around = [np.full([n + 6 for n in a.shape], 7, dtype) for a in (g, x, w)]
    for kept in ("images", "sums"):  # nor what an earlier kernel has left behind
        scratch.scratch.give(("convolution", kept, np.dtype(dtype)), np.full(2**16, np.nan, dtype))
    spots = [room[tuple(slice(3, 3 + n) for n in a.shape)] for room, a in zip(around, (g, x, w))]
    sweeps.sweep(*inside[:2], spots[0], stride, padding, counts=True)
    sweeps.input_grad(inside[2], inside[1], spots[1], stride, padding)
    found = np.empty_like(wanted[2])
    sweeps.weight_grad(inside[0], inside[2], found, stride, padding)
    np.testing.assert_array_equal(found, wanted[2])
    for room, spot, values in zip(around, spots, wanted[:2]):
        np.testing.assert_array_equal(spot, values)
        spot[...] = 7
        assert (room == 7).all()


def _within_nan(values):
    room = np.full([n + 6 for n in values.shape], np.nan, values.dtype)
    spot = room[tuple(slice(3, 3 + n) for n in values.shape)]
    spot[...] = values
    return spot


@pytest.mark.parametrize("channels", [1, 3, 8, 15, 16, 17, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channels_are_filled_up_to_whole_vectors(dtype, channels):
    x = np.arange(1.0, 6 * channels + 1).reshape(2, 3, channels).astype(dtype)
    filled = sweeps._whole(x, np.dtype(dtype))
    assert filled.strides[-2] % sweeps.LINE == 0 and filled.shape[-1] - channels < sweeps.LINE // filled.itemsize
    np.testing.assert_array_equal(filled[..., :channels], x)
    assert not filled[..., channels:].any()


@given(data=st.data())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@np.errstate(invalid="ignore")
def test_what_is_not_finite_is_where_the_definition_has_it(dtype, data):
    """Padding is of zeros, and 0 * NaN is NaN, though the kernels leave out some zeros and put in others."""
    size, kernel, stride, padding = data.draw(geometries(8))
    inputs, outputs = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([1, 3, 17]))
    arrays = factors(np.random.default_rng(data.draw(SEEDS)), 2, size, kernel, inputs, outputs, stride, padding, dtype)
    for _ in range(data.draw(st.integers(1, 2))):
        spoilt = arrays[data.draw(st.integers(0, 2))]
        spoilt.flat[data.draw(st.integers(0, spoilt.size - 1))] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    x, w, g = arrays
    convolution_backend("numpy")
    wanted = all_three(x, w, g, stride, padding)
    np.testing.assert_array_equal(wanted[0], by_definition(x, w, None, stride, padding))
    convolution_backend("numba")
    for one, other in zip(all_three(x, w, g, stride, padding), wanted):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("padding", [(1, 0), (0, 1)])
@np.errstate(invalid="ignore")
def test_a_cotangent_that_is_no_number_shows_though_it_meets_zeros_of_the_padding_only(padding):
    convolution_backend("numba")
    size = [3 - 2 * p for p in padding]  # with a stride of 3, the one window lies in the padding
    g = np.full((2, 1, 1, 3), np.nan, np.float32)
    out = module.weight_grad(np.ones((2, *size, 1), np.float32), g, (3, 3), padding, (1, 1))
    np.testing.assert_array_equal(out, np.full((1, 1, 1, 3), np.nan))


@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4"), ("i8", "f4"), ("i4", "i8")])
def test_dtypes_that_differ_give_what_numpy_gives(dtypes):
    x, w, g = factors(np.random.default_rng(0), 2, (5, 6), (3, 2), 3, 4, (1, 2), (1, 0), "i8")
    x, w, g = x.astype(dtypes[0]), w.astype(dtypes[1]), g.astype(dtypes[1])
    results = []
    for backend in ("numba", "numpy"):
        convolution_backend(backend)
        results.append(all_three(x, w, g, (1, 2), (1, 0)))
    for found, wanted in zip(*results):
        np.testing.assert_array_equal(found, wanted, strict=True)
    assert results[0][0].dtype == np.result_type(*dtypes)


def test_auto_takes_the_kernels_for_much_work_in_floats(monkeypatch):
    taken = []
    monkeypatch.setattr(sweeps, "sweep", lambda x, *others, counts: taken.append(x.shape))
    n = round(module.LEAST**0.5)
    x, w = np.ones((n, 1, 1, 1), np.float32), np.ones((1, 1, 1, n), np.float32)
    for a, b in [(x[1:], w), (x, w[..., 1:]), (x.astype(int), w.astype(int)), (x.astype(float), w)]:
        module.conv2d(a, b, (1, 1), (0, 0))
    assert not taken
    module.conv2d(x, w, (1, 1), (0, 0))
    assert len(taken) == (0 if compiler_is_off() else 1)


# ---- Derivatives


def test_derivatives_of_any_order_by_kernels_are_those_by_numpy():
    """A gradient step on the weights and its derivatives, twice over."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in [(3, 7, 6, 2), (3, 3, 2, 9), (9,)]]

    def derivatives(x, weight, bias):
        loss = th.mean(th.tanh(th.conv2d(x, weight, bias, stride=(2, 1), padding=1)) ** 2)
        slopes = th.gradients(loss, [x, weight, bias], create_graph=True)
        changed = th.mean(th.conv2d(x, weight - slopes[1], bias - slopes[2], 2, 1) ** 2) + th.sum(slopes[0] ** 2)
        second = th.gradients(changed, [x, weight, bias], create_graph=True)
        return [*slopes, *second, *th.gradients(sum(th.sum(s**2) for s in second), [x, weight, bias])]

    found = []
    for backend in ("numba", "numpy"):
        convolution_backend(backend)
        found.append(derivatives(*[th.tensor(a, requires_grad=True) for a in arrays]))
    for one, other in zip(*found):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-9, atol=1e-12)


def test_constant_images_cost_no_gradient(monkeypatch):
    monkeypatch.setattr(module, "input_grad", None)
    weight = th.tensor(np.ones((3, 3, 2, 4)), requires_grad=True)
    th.sum(th.conv2d(np.ones((2, 5, 5, 2)), weight)).backward()
    np.testing.assert_array_equal(weight.grad.data, np.full(weight.shape, 18.0))


# ---- Errors


@pytest.mark.parametrize("direction", [0, 1])
def test_just_those_weights_are_taken_that_fit(direction):
    """Every small size in one direction; in the other, what always fits."""
    turn = slice(None, None, 1 - 2 * direction)
    for side, kernel, padding in itertools.product(range(5), range(6), range(3)):
        size, taps, zeros = (side, 3)[turn], (kernel, 2)[turn], (padding, 1)[turn]
        x, weight = np.ones((1, *size, 2)), np.ones((*taps, 2, 1))
        if 1 <= kernel <= side + 2 * padding:
            shape = th.conv2d(x, weight, padding=zeros).shape
            assert shape[1 + direction] == side + 2 * padding - kernel + 1
        else:
            with pytest.raises(th.ShapeError, match="conv2d"):
                th.conv2d(x, weight, padding=zeros)


# ---- The layer


def test_layer_is_conv2d_of_its_parameters():
    layer = th.nn.Conv2d("c", 3, 5, kernel=(3, 2), stride=(2, 1), padding=(0, 1))
    params = layer.parameters(seed=1, dtype=np.float64)
    assert {name: p.shape for name, p in params.items()} == {"c.weight": (3, 2, 3, 5), "c.bias": (5,)}
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    wanted = by_definition(x, params["c.weight"].data, params["c.bias"].data, (2, 1), (0, 1))
    np.testing.assert_allclose(layer(params, x).data, wanted, rtol=1e-12)


def test_layer_without_bias():
    layer = th.nn.Conv2d("c", 2, 4, bias=False, padding=1)
    params = layer.parameters()
    assert set(params) == {"c.weight"} and params["c.weight"].shape == (3, 3, 2, 4)
    assert layer(params, np.ones((1, 4, 4, 2), np.float32)).shape == (1, 4, 4, 4)
