"""Indexing: the factory's properties, elements taken twice, and errors."""

import numpy as np
import pytest
from factory import SEEDS, SHAPES, Row, example, property_test
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyhyper as th

SOME = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)


@st.composite
def _indexed(draw, index, shapes=SOME):
    shape = draw(shapes)
    return example([shape], {"index": draw(index(shape))}, draw(SEEDS))


def _basic(shape):
    return hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)


def _integers(shape):
    return hnp.integer_array_indices(
        shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    )


@st.composite
def _mixed(draw, shape):
    """Slices, numbers and integer arrays, also with a slice between two arrays."""
    items = []
    for length in shape[: draw(st.integers(1, len(shape)))]:
        items.append(
            draw(
                st.sampled_from([slice(None), slice(0, 1), slice(None, None, -1), length - 1])
                | hnp.arrays(
                    np.intp, draw(st.sampled_from([(), (2,), (1, 2)])), elements=st.integers(-length, length - 1)
                )
            )
        )
    return tuple(items)


def _masks(shape):
    whole = hnp.arrays(bool, shape)
    return whole | hnp.arrays(bool, shape[:1]) | hnp.arrays(bool, shape[-1:]).map(lambda mask: (..., mask))


@st.composite
def _taken(draw):
    shape = draw(SOME)
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    length = int(np.prod(shape)) if axis is None else shape[axis]
    indices = draw(
        hnp.arrays(np.intp, draw(st.sampled_from([(), (0,), (3,), (2, 2)])), elements=st.integers(-length, length - 1))
    )
    return example([shape], {"indices": indices, "axis": axis}, draw(SEEDS))


def _item(x, index):
    return x[index]


ROWS = [
    *[
        Row("x[...]", _item, cases, call=_item, numpy=None, method="__getitem__", id=f"getitem-{kind}")
        for kind, cases in {
            "basic": _indexed(_basic, SHAPES),
            "integers": _indexed(_integers),
            "mixed": _indexed(_mixed),
            "masks": _indexed(_masks),
        }.items()
    ],
    Row("take", np.take, _taken()),
]

test_property = property_test(ROWS)


def test_elements_taken_several_times_accumulate():
    x = th.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x[[0, 0, 2, 0, -1]] * np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])).sum().backward()
    assert x.grad.data.tolist() == [1011.0, 0.0, 10100.0]


def test_many_float32_gradients_accumulate_in_float64():
    x = th.tensor(np.zeros(2, np.float32), requires_grad=True)
    (x[np.zeros(1_000_000, int)] * np.float32(0.1)).sum().backward()
    assert x.grad.data[0] == pytest.approx(np.float64(np.float32(0.1)) * 1e6, rel=1e-7)


def test_float32_gradients_of_several_indices_accumulate_in_float64():
    """In float32, 1 more than 2 ** 24 is 2 ** 24."""
    x = th.tensor(np.zeros((2, 2), np.float32), requires_grad=True)
    x[np.zeros(5, int), np.ones(5, int)].backward(np.array([2.0**24, 1.0, 1.0, 1.0, 1.0], np.float32))
    np.testing.assert_array_equal(x.grad.data, np.array([[0.0, 2.0**24 + 4.0], [0.0, 0.0]], np.float32))


def test_tensors_as_indices():
    x = th.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x[th.tensor([1, 0]), th.tensor([2, 2])].data.tolist() == [5.0, 2.0]
    assert x[x > 3].data.tolist() == [4.0, 5.0]


def test_an_index_may_be_overwritten_afterwards():
    """The gradient goes to the elements that were taken."""
    x, index = th.tensor([1.0, 2.0, 3.0], requires_grad=True), np.array([0, 1])
    out = x[index]
    index[:] = 2
    out.sum().backward()
    assert x.grad.data.tolist() == [1.0, 1.0, 0.0]


def test_a_view_does_not_let_the_engine_write_through():
    x = th.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(ValueError):
        x[1:].data[0] = 5.0
    with pytest.raises(TypeError):
        x[0] = 1.0


def test_iteration_and_length():
    x = th.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    first, second = x
    (first * 2 + second).sum().backward()
    assert len(x) == 2 and x.grad.data.tolist() == [[2, 2, 2], [1, 1, 1]]
    with pytest.raises(TypeError):
        len(th.tensor(1.0))


@pytest.mark.parametrize(
    "index, kind",
    [
        (5, ValueError),
        ((0, 3), ValueError),
        ([0, 7], ValueError),
        ((0, 0, 0), ValueError),
        ([True, False, True], ValueError),
        (0.5, TypeError),
        ([0.5], TypeError),
        ("a", TypeError),
    ],
)
def test_a_wrong_index_is_refused(index, kind):
    with pytest.raises(kind):
        th.tensor(np.ones((2, 3)), requires_grad=True)[index]


@pytest.mark.parametrize("indices, axis", [([5], 1), ([0.5], 0)])
def test_take_refuses_what_is_not_there(indices, axis):
    with pytest.raises((ValueError, TypeError)):
        th.take(th.tensor(np.ones((2, 3))), indices, axis)


@pytest.mark.parametrize("axis", [2, 3, -3])
def test_take_refuses_an_axis_that_is_not_there(axis):
    with pytest.raises(th.ShapeError, match=rf"take: axis {axis} is out of bounds for shape \(2, 3\)"):
        th.take(th.tensor(np.ones((2, 3))), [0], axis)


def test_take_along_an_axis_takes_whatever_an_index_may_be():
    x = np.arange(6.0).reshape(2, 3)
    for indices in (1, np.int64(-1), [], [2, 0], [[0, 2]]):
        np.testing.assert_array_equal(th.take(th.tensor(x), indices, 1).data, np.take(x, np.array(indices, int), 1))
    for index in (True, False, [], ([], []), (np.True_, [0])):
        found, expected = th.tensor(x)[index], x[index]
        assert found.shape == expected.shape and found.data.tolist() == expected.tolist()
