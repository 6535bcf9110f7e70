"""Operations on shapes: how methods may be called, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.core.rules import sum_to


@pytest.mark.parametrize("value, dtype", [(100, "i1"), (200, "u1"), (2**31 - 1, "i4"), (True, "?")])
def test_sum_to_adds_integers_up_as_sum_does(value, dtype):
    x = np.full((3, 2), value, dtype)
    for shape, wanted in (((), np.sum(x)), ((2,), np.sum(x, 0)), ((3, 1), np.sum(x, 1, keepdims=True))):
        found = th.sum_to(x, shape)
        assert found.dtype == wanted.dtype and np.array_equal(found.data, wanted)


@given(st.integers(-4, 4) | st.integers(2**63, 10**30) | st.integers(-(10**30), -(2**63)))
def test_a_diagonal_however_far_off_is_numpys_or_empty(offset):
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(th.diagonal(x, offset).data, np.diagonal(x, max(-2, min(offset, 3))))


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


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__code__.co_names[-1])
def test_a_call_means_what_it_means_to_numpy(call):
    array = np.arange(6.0).reshape(2, 3)
    x = th.tensor(array, requires_grad=True)
    out = call(x)
    assert out.requires_grad
    assert np.array_equal(out.data, call(array))


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


LENGTHS = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@given(shape=LENGTHS, whole=LENGTHS, near=st.booleans())
def test_sum_to_undoes_what_broadcast_to_does_and_nothing_else(shape, whole, near):
    if near:  # most shapes that are drawn apart do not fit
        whole = tuple(length if length != 1 else 2 for length in shape)
        shape = shape[1:]
    x = np.arange(np.prod(whole)).reshape(whole)
    try:
        np.broadcast_to(np.empty(shape), whole)
    except ValueError:
        with pytest.raises(th.ShapeError, match="^sum_to"):
            th.sum_to(x, shape)
    else:
        kept = (1,) * (len(whole) - len(shape)) + shape
        axes = tuple(n for n, length in enumerate(kept) if length == 1)
        np.testing.assert_array_equal(th.sum_to(x, shape).data, x.sum(axes).reshape(shape))


def test_more_than_32_axes_where_nothing_is_broadcast():
    """NumPy has arrays of 64 axes, but broadcasts 32 at most: see the table of wrong calls."""
    x = th.tensor([[1.0, 2.0]], requires_grad=True)
    many = th.broadcast_to(th.reshape(x, (1,) * 38 + (2,)), (3,) + (1,) * 38 + (2,))
    th.sum(th.transpose(many), (0, 1)).sum().backward()
    assert many.ndim == 40 and x.grad.data.tolist() == [[3.0, 3.0]]
    for shape in ((3,), (4,) + (1,) * 39, (1,) * 41):
        with pytest.raises(th.ShapeError, match="does not broadcast"):
            sum_to(many, shape)
