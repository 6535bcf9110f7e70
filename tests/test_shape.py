"""Operations on shapes: how methods may be called, and what is refused."""

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.core.rules import sum_to
from tinyhyper.testing import axes_of

DEEP = hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3)
SOME = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)


def _axis(draw, shape, extra=0):
    return draw(st.integers(-len(shape) - extra, len(shape) + extra - 1))


def _new_shape(draw, shape):
    size = int(np.prod(shape))
    return {"shape": draw(st.sampled_from([-1, (size,), (-1,), shape[::-1], (1, *shape), (*shape, 1), (1, size, 1)]))}


def _permutation(draw, shape):
    order = draw(st.permutations(range(len(shape))))
    signs = [draw(st.booleans()) for _ in order]
    return {"axes": draw(st.sampled_from([None, tuple(n - len(shape) if s else n for n, s in zip(order, signs))]))}


def _inserted(draw, shape):
    if draw(st.booleans()):
        return {"axis": _axis(draw, (*shape, 1))}
    count = draw(st.integers(0, 2))
    return {"axis": draw(hnp.valid_tuple_axes(len(shape) + count, min_size=count, max_size=count))}


def _moves(draw, shape):
    if draw(st.booleans()):
        return {"source": _axis(draw, shape), "destination": _axis(draw, shape)}
    count = draw(st.integers(0, len(shape)))
    source, destination = (draw(st.permutations(range(len(shape))))[:count] for _ in range(2))
    return {"source": tuple(source), "destination": tuple(destination)}


@st.composite
def _squeezed(draw):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=2))
    ones = [n for n, length in enumerate(shape) if length == 1]
    choices = [None, tuple(ones), *ones, *[n - len(shape) for n in ones]]
    return example([shape], {"axis": draw(st.sampled_from(choices))}, draw(SEEDS))


@st.composite
def _broadcast(draw):
    source, target = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=3)
    ).input_shapes
    return example([source], {"shape": np.broadcast_shapes(source, target)}, draw(SEEDS))


@st.composite
def _summed(draw):
    case = draw(_broadcast())
    return example([case.options["shape"]], {"shape": case.arrays[0].shape}, case.seed)


@st.composite
def _joined(draw):
    """Arrays that differ along one axis alone, or, to be flattened, in any way."""
    count = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return example([draw(SHAPES) for _ in range(count)], {"axis": None}, draw(SEEDS))
    shape = draw(SOME)
    axis = _axis(draw, shape)
    shapes = []
    for _ in range(count):
        lengths = list(shape)
        lengths[axis] = draw(st.integers(0, 3))
        shapes.append(tuple(lengths))
    return example(shapes, {"axis": axis}, draw(SEEDS))


@st.composite
def _stacked(draw):
    shape = draw(SHAPES)
    return example([shape] * draw(st.integers(1, 3)), {"axis": _axis(draw, shape, 1)}, draw(SEEDS))


def _cuts(draw, shape):
    axis = _axis(draw, shape)
    length = shape[axis]
    whole = [n for n in range(1, 4) if length % n == 0]
    sections = draw(st.sampled_from(whole) | st.lists(st.integers(0, 4), max_size=3).map(sorted))
    count = sections if isinstance(sections, int) else len(sections) + 1
    return {"indices_or_sections": sections, "axis": axis, "piece": draw(st.integers(0, count - 1))}


def _repeats(draw, shape):
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None
    length = int(np.prod(shape)) if axis is None else shape[axis]
    return {
        "repeats": draw(st.integers(0, 3) | st.lists(st.integers(0, 2), min_size=length, max_size=length)),
        "axis": axis,
    }


def _shifts(draw, shape):
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None
    if len(shape) > 1 and draw(st.booleans()):
        return {"shift": (draw(st.integers(-4, 4)), draw(st.integers(-4, 4))), "axis": (0, -1)}
    return {"shift": draw(st.integers(-4, 4)), "axis": axis}


WIDTH = st.integers(0, 3)


def _padding(draw, shape):
    widths = [WIDTH, st.tuples(WIDTH, WIDTH)]
    if shape:
        widths.append(st.lists(st.tuples(WIDTH, WIDTH), min_size=len(shape), max_size=len(shape)).map(tuple))
    options = {"pad_width": draw(st.one_of(widths))}
    if draw(st.booleans()):
        return {**options, "constant_values": draw(st.sampled_from([0, 1.5]))}
    modes = ["constant"] if 0 in shape else ["constant", "edge", "reflect", "symmetric", "wrap"]
    return {**options, "mode": draw(st.sampled_from(modes))}


def _diagonal(draw, shape):
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return {
        "offset": draw(st.integers(-3, 3)),
        "axis1": first,
        "axis2": second - draw(st.sampled_from([0, len(shape)])),
    }


def _piece(split):
    return lambda x, piece, **options: split(x, **options)[piece]


ROWS = [
    Row(
        "reshape",
        lambda x, shape: np.reshape(x, shape),
        shaped(_new_shape),
        numpy=lambda x, shape: np.reshape(x, shape),
        method=None,
    ),
    Row("ravel", np.ravel, shaped(lambda draw, shape: {})),
    Row("transpose", np.transpose, shaped(_permutation), method=None),
    Row("swapaxes", np.swapaxes, shaped(lambda draw, s: {"axis1": _axis(draw, s), "axis2": _axis(draw, s)}, SOME)),
    Row("moveaxis", np.moveaxis, shaped(_moves, SOME)),
    Row("expand_dims", np.expand_dims, shaped(_inserted)),
    Row("squeeze", np.squeeze, _squeezed()),
    Row("broadcast_to", np.broadcast_to, _broadcast()),
    Row("sum_to", lambda x, shape: _sum_to(x, shape), _summed()),
    Row("concatenate", np.concatenate, _joined(), sequence=True),
    Row("stack", np.stack, _stacked(), sequence=True),
    Row(
        "split",
        _piece(np.split),
        shaped(_cuts, SOME),
        call=_piece(lambda *a, **o: th.split(*a, **o)),
        numpy=_piece(np.split),
    ),
    Row(
        "tile",
        np.tile,
        shaped(lambda draw, s: {"reps": draw(st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=4))}),
    ),
    Row("repeat", np.repeat, shaped(_repeats)),
    Row("flip", np.flip, shaped(lambda draw, s: {"axis": draw(axes_of(len(s)))})),
    Row("roll", np.roll, shaped(_shifts)),
    Row("pad", np.pad, shaped(_padding)),
    Row("diagonal", np.diagonal, shaped(_diagonal, DEEP)),
    Row("trace", np.trace, shaped(_diagonal, DEEP)),
    Row("triu", np.triu, shaped(lambda draw, s: {"k": draw(st.integers(-3, 3))}, DEEP)),
    Row("tril", np.tril, shaped(lambda draw, s: {"k": draw(st.integers(-3, 3))}, DEEP)),
]


def _sum_to(x, shape):
    padded = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(n for n, length in enumerate(padded) if length == 1 and x.shape[n] != 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)


test_property = property_test(ROWS)


@pytest.mark.parametrize("value, dtype", [(100, "i1"), (200, "u1"), (2**31 - 1, "i4"), (True, "?")])
def test_sum_to_adds_integers_up_as_sum_does(value, dtype):
    x = np.full((3, 2), value, dtype)
    for shape, wanted in (((), np.sum(x)), ((2,), np.sum(x, 0)), ((3, 1), np.sum(x, 1, keepdims=True))):
        found = th.sum_to(x, shape)
        assert found.dtype == wanted.dtype and np.array_equal(found.data, wanted)


# ---- Methods take their arguments as NumPy's do.

CALLS = [
    lambda x: x.T,
    lambda x: x.reshape(3, 2),
    lambda x: x.reshape((3, 2)),
    lambda x: x.reshape(-1),
    lambda x: x.reshape([6]),
    lambda x: x.transpose(),
    lambda x: x.transpose(1, 0),
    lambda x: x.transpose((1, 0)),
    lambda x: x.swapaxes(0, 1),
    lambda x: x.ravel(),
    lambda x: x.flatten(),
    lambda x: x.sum(0),
    lambda x: x.repeat(2, 1),
    lambda x: np.reshape(x, (3, 2)),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_call_means_what_it_means_to_numpy(number):
    array = np.arange(6.0).reshape(2, 3)
    x = th.tensor(array, requires_grad=True)
    out = CALLS[number](x)
    assert out.requires_grad
    assert np.array_equal(out.data, CALLS[number](array))


def test_one_tensor_twice_in_a_sequence_gets_both_gradients():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    th.sum(th.concatenate([x, 3.0 * x, np.ones(1), x])).backward()
    assert x.grad.data.tolist() == [5.0, 5.0]


def test_pieces_of_a_split_may_be_used_apart():
    x = th.tensor(np.arange(6.0), requires_grad=True)
    first, _, last = th.split(x, 3)
    (th.sum(first) + 2 * th.sum(last)).backward()
    assert x.grad.data.tolist() == [1, 1, 0, 0, 2, 2]


def test_gradients_flow_between_float32_and_float64():
    x = th.tensor(np.float32(2), requires_grad=True)
    y = th.astype(x, np.float64)
    assert y.dtype == np.float64
    (y * y).backward()
    assert x.grad.dtype == np.float32 and x.grad.item() == 4.0


def test_numpys_linalg_takes_the_last_two_axes():
    a = np.arange(18.0).reshape(2, 3, 3)
    np.testing.assert_array_equal(np.linalg.trace(th.tensor(a)).data, np.linalg.trace(a))
    np.testing.assert_array_equal(np.linalg.diagonal(th.tensor(a)).data, np.linalg.diagonal(a))
    with pytest.raises(TypeError, match="scimath"):
        np.emath.sqrt(th.tensor([-1.0]))


@pytest.mark.parametrize("shape", [(3, 2), (1, 2), (2, 2)])
def test_sum_to_refuses_a_shape_that_does_not_broadcast_to_the_tensors(shape):
    with pytest.raises(th.ShapeError, match=r"sum_to\(x \(2,\), .* does not broadcast to \(2,\)$"):
        th.sum_to(th.tensor(np.ones(2)), shape)


def test_more_than_32_axes_where_nothing_is_broadcast():
    """NumPy has arrays of 64 axes, but broadcasts 32 at most: see the table of wrong calls."""
    x = th.tensor([[1.0, 2.0]], requires_grad=True)
    many = th.broadcast_to(th.reshape(x, (1,) * 38 + (2,)), (3,) + (1,) * 38 + (2,))
    th.sum(th.transpose(many), (0, 1)).sum().backward()
    assert many.ndim == 40 and x.grad.data.tolist() == [[3.0, 3.0]]
    for shape in ((3,), (4,) + (1,) * 39, (1,) * 41):
        with pytest.raises(th.ShapeError, match="does not broadcast"):
            sum_to(many, shape)
