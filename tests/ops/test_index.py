"""Indexing: the factory's properties, elements taken twice, and errors."""

import math
import tracemalloc
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import pytest
from backends import elementwise_backend
from factory import SEEDS, SHAPES, Row, example, property_test
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyhyper as th
from tinyhyper.testing import check_gradients
from tinyhyper.testing.arrangements import INDICES

SOME = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)


@st.composite
def _indexed(draw, index, kind):
    shape = draw(SHAPES if kind == "basic" else SOME)
    return example([shape], {"index": draw(index(shape))}, draw(SEEDS))


def _item(x, index):
    return x[index]


ROWS = [
    Row("getitem", _item, _indexed(index, kind), _item, None, "__getitem__", id=f"getitem-{kind}")
    for kind, index in INDICES.items()
]

test_property = property_test(ROWS)


def test_many_float32_gradients_accumulate_in_float64():
    x = th.tensor(np.zeros(2, np.float32), requires_grad=True)
    (x[np.zeros(1_000_000, int)] * np.float32(0.1)).sum().backward()
    assert x.grad.data[0] == pytest.approx(np.float64(np.float32(0.1)) * 1e6, rel=1e-7)


def test_float32_gradients_of_several_indices_accumulate_in_float64():
    """In float32, 1 more than 2 ** 24 is 2 ** 24."""
    x = th.tensor(np.zeros((2, 2), np.float32), requires_grad=True)
    x[np.zeros(5, int), np.ones(5, int)].backward(np.array([2.0**24, 1.0, 1.0, 1.0, 1.0], np.float32))
    np.testing.assert_array_equal(x.grad.data, np.array([[0.0, 2.0**24 + 4.0], [0.0, 0.0]], np.float32))


# ---- Pieces of one tensor.


@st.composite
def _uses(draw):
    """What a loss may read of one tensor: pieces of it, also overlapping and empty ones, and all of it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=4))
    kinds = [*INDICES.values()]
    uses = draw(st.lists(st.sampled_from(kinds).flatmap(lambda kind: kind(shape)) | st.none(), min_size=1, max_size=6))
    return shape, uses


def _pieces_loss(x, uses):
    return sum(th.sum(th.sin(x if index is None else x[index]) * (n + 1.5)) for n, index in enumerate(uses))


@given(case=_uses(), seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
@pytest.mark.parametrize("many", [0, 4096])
def test_pieces_are_put_in_their_places(case, seed, dtype, many):
    (shape, uses), rng = case, np.random.default_rng(seed)
    values = rng.normal(size=shape).astype(dtype)
    expected = np.zeros(shape)
    for n, index in enumerate(uses):
        slopes = np.cos(values.astype(np.float64)) * (n + 1.5)
        np.add.at(expected, ... if index is None else index, slopes if index is None else slopes[index])
    found = []
    with patch("tinyhyper.ops.index.MANY", many):
        for watched, recorded in [(False, False), (True, False), (False, True)]:
            x = th.tensor(values, requires_grad=True)
            with th.record() if watched else nullcontext():
                _pieces_loss(x, uses).backward(create_graph=recorded)
            found.append(x.grad.numpy())
    np.testing.assert_allclose(found[0], expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-12)
    assert found[0].dtype == dtype and found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.slow
@settings(max_examples=10)
@given(case=_uses(), seed=SEEDS)
def test_derivatives_of_pieces_of_any_order(case, seed):
    (shape, uses), rng = case, np.random.default_rng(seed)
    check_gradients(lambda x: _pieces_loss(x, uses), rng.normal(size=shape), order=3)


def test_cotangents_that_come_in_pieces_are_written_to_by_nobody():
    """All three readers of y hand on the one array that they were given."""
    x = th.tensor([1.0, 2.0, 3.0], requires_grad=True)
    seed = np.ones(3)
    y = x * 1.0
    (y + y[...] + y[:]).backward(seed)
    assert seed.tolist() == [1.0, 1.0, 1.0] and x.grad.data.tolist() == [3.0, 3.0, 3.0]


PIECEWISE = {
    "iteration": lambda x: list(x),
    "rows": lambda x: [x[n] for n in range(len(x))],
    "columns": lambda x: [x[:, n] for n in range(x.shape[1])],
    "elements": lambda x: [x[n, m] for n in range(len(x)) for m in range(x.shape[1])],
    "split": lambda x: th.split(x, len(x)),
    "sections": lambda x: th.split(x, [1, 3, 4], axis=1),
    "take": lambda x: [th.take(x, [n], 0) for n in range(len(x))],
    "elements of a vector": lambda x: (lambda v: [th.take(v, n) for n in range(v.size)])(x.ravel()),
    "masks": lambda x: [x[np.arange(len(x)) == n] for n in range(len(x))],
    "arrays": lambda x: [x[np.array([n]), np.array([n % 3, 0])] for n in range(len(x))],
    "repeat": lambda x: [th.repeat(row, 2) for row in x],
    "diagonals": lambda x: [th.diagonal(x, n) for n in range(1 - len(x), 1)],
    "windows": lambda x: [x[n : n + 3] for n in range(len(x))],
    "a whole between": lambda x: [*x, x * 2.0, *x],
}


@pytest.mark.slow
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PIECEWISE)
def test_many_pieces_cost_as_much_as_the_whole(name, create_graph):
    """How many elements the backward pass computes grows with the tensor, not with its square."""

    def elements(length):
        x = th.tensor(np.ones((length, 5)), requires_grad=True)
        with th.record() as recording:
            loss = sum(th.sum(piece) for piece in PIECEWISE[name](x))
            forward = len(recording.nodes)
            loss.backward(create_graph=create_graph)
        return sum(math.prod(out.shape) for node in recording.nodes[forward:] for out in node.outputs)

    assert elements(400) < 2.5 * elements(200)


def test_pieces_together_larger_than_the_whole_do_not_wait_for_each_other():
    """They are added up as soon as they take more memory than the whole does."""
    elementwise_backend("numpy")  # compiling takes memory of its own
    x = th.tensor(np.ones(10_000), requires_grad=True)
    loss = sum([th.sum(x[1:] * x[:-1]) for _ in range(50)])
    tracemalloc.start()
    try:
        loss.backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * x.numpy().nbytes


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


def test_iteration_and_length():
    x = th.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    first, second = x
    (first * 2 + second).sum().backward()
    assert len(x) == 2 and x.grad.data.tolist() == [[2, 2, 2], [1, 1, 1]]


def test_take_along_an_axis_takes_whatever_an_index_may_be():
    x = np.arange(6.0).reshape(2, 3)
    for indices in (1, np.int64(-1), [], [2, 0], [[0, 2]]):
        np.testing.assert_array_equal(th.take(th.tensor(x), indices, 1).data, np.take(x, np.array(indices, int), 1))
    for index in (True, False, [], ([], []), (np.True_, [0])):
        found, expected = th.tensor(x)[index], x[index]
        assert found.shape == expected.shape and found.data.tolist() == expected.tolist()


@pytest.mark.parametrize("mask", [[True, False], [True, False, True], True, np.zeros(0, bool)], ids=repr)
def test_take_takes_booleans_for_0_and_1_as_numpy_does(mask):
    x = np.arange(6.0).reshape(2, 3)
    for axis in (None, 1):
        np.testing.assert_array_equal(th.take(th.tensor(x), mask, axis).data, np.take(x, mask, axis), strict=True)
