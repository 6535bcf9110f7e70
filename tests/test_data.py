"""tinyhyper.data: the digits, and minibatches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

SIZES = st.integers(0, 60)
BATCHES = st.integers(1, 70)
SEEDS = st.integers(0, 2**32 - 1)


def test_digits_have_the_stated_shapes_dtypes_and_ranges():
    data = th.data.digits()
    assert data.train_images.shape == (1437, 64) and data.test_images.shape == (360, 64)
    assert data.train_labels.shape == (1437,) and data.test_labels.shape == (360,)
    for images in (data.train_images, data.test_images):
        assert images.dtype == np.float32 and images.min() == 0 and images.max() == 1
    for labels in (data.train_labels, data.test_labels):
        assert np.issubdtype(labels.dtype, np.integer) and set(labels) == set(range(10))


@given(SEEDS)
def test_a_split_holds_every_digit_once_with_its_own_label(seed):
    def rows(data):
        images = np.concatenate([data.train_images, data.test_images])
        labels = np.concatenate([data.train_labels, data.test_labels])
        table = np.column_stack([images, labels])
        return table[np.lexsort(table.T)]

    reference = rows(th.data.digits())
    assert len(np.unique(reference, axis=0)) == 1797  # no digit is there twice, so a split cannot hide one
    np.testing.assert_array_equal(rows(th.data.digits(seed)), reference)


def test_a_split_is_chosen_by_its_seed_alone():
    first, again, other = th.data.digits(3), th.data.digits(3), th.data.digits(4)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.test_images, other.test_images)


def test_each_call_gives_arrays_of_its_own():
    th.data.digits().train_images[:] = 7
    assert th.data.digits().train_images.max() == 1


def test_digits_look_like_digits():
    """Ink is in the middle: of an 8x8 digit the outer columns are nearly empty, and a 0 has a hole."""
    data = th.data.digits()
    mean = data.train_images.reshape(-1, 8, 8).mean(axis=0)
    assert mean[:, [0, 7]].max() < 0.1 < 0.5 < mean[:, 3:5].mean()
    zero = data.train_images[data.train_labels == 0].reshape(-1, 8, 8).mean(axis=0)
    assert zero[3:5, 3:5].max() < 0.2 < zero[3:5, [2, 5]].min()


@given(SIZES, BATCHES, SEEDS)
def test_an_epoch_holds_every_row_once_beside_its_label(rows, size, seed):
    images, labels = np.arange(2 * rows).reshape(rows, 2), np.arange(rows)
    pairs = list(th.data.batches(images, labels, size, seed))
    assert [len(y) for _, y in pairs] == [size] * (rows // size) + [rows % size] * (rows % size > 0)
    for x, y in pairs:
        np.testing.assert_array_equal(x, images[y])
        assert not np.shares_memory(x, images)
    assert sorted(label for _, y in pairs for label in y) == list(range(rows))


def order(seed, rows=50):
    return [int(label) for _, y in th.data.batches(np.zeros((rows, 1)), np.arange(rows), 8, seed) for label in y]


@given(SEEDS)
def test_a_number_repeats_an_order_and_a_generator_moves_on(seed):
    assert order(seed) == order(seed) != list(range(50))
    rng = np.random.default_rng(seed)
    assert [order(rng), order(rng)] == [order(rng2 := np.random.default_rng(seed)), order(rng2)]
    assert order(rng) != order(rng)


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused_at_the_call(size):
    with pytest.raises(th.TinyhyperError, match=f"size must be at least 1, not {size}") as caught:
        th.data.batches(np.zeros((4, 2)), np.zeros(4), size)
    assert isinstance(caught.value, ValueError)


def test_a_size_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError):
        th.data.batches(np.zeros((4, 2)), np.zeros(4), 2.5)


def test_images_and_labels_of_different_lengths_are_refused_at_the_call():
    with pytest.raises(th.TinyhyperError, match="4 images but 3 labels") as caught:
        th.data.batches(np.zeros((4, 2)), np.zeros(3), 2)
    assert isinstance(caught.value, ValueError)
