"""Scratch memory: kept for the next call, never shared, and not without end."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyhyper.kernels import matmul as module
from tinyhyper.kernels.scratch import KEPT, Scratch


def test_what_was_given_back_comes_again():
    scratch = Scratch()
    first = scratch.take("a", object)
    scratch.give("a", first)
    assert scratch.take("a", object) is first


def test_what_is_in_use_is_not_lent_again():
    """Nor is what an interrupted call never gave back: another thread may still write to it."""
    scratch = Scratch()
    assert scratch.take("a", object) is not scratch.take("a", object)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_only_the_newest_are_kept(owners):
    scratch = Scratch()
    for owner in owners:
        scratch.give(owner, scratch.take(owner, object))
    newest = list(dict.fromkeys(reversed(owners)))[:KEPT]
    assert set(scratch.kept) == set(newest)


def test_every_thread_has_its_own():
    scratch, seen = Scratch(), []
    scratch.give("a", "mine")
    thread = threading.Thread(target=lambda: seen.append(scratch.take("a", lambda: "new")))
    thread.start()
    thread.join(10)
    assert seen == ["new"] and scratch.take("a", object) == "mine"


@pytest.mark.slow
def test_products_of_one_shape_do_not_share_their_results():
    module.matmul_backend("numba")
    try:
        rng = np.random.default_rng(0)
        a, b = rng.random((2, 40, 50)), rng.random((50, 60))
        first = module.matmul(a[0], b)
        before = first.copy()
        module.matmul(a[1], b)
        np.testing.assert_array_equal(first, before)
    finally:
        module.matmul_backend("auto")
