"""Entries of recurrent layers: the steps, and the steps back, are what the operations give."""

import numpy as np
import pytest
from backends import SLOW_IF_COMPILED, compiler_is_off, on_one_thread, recurrent_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from words import computed, spec

from tinyhyper.core.operation import OPERATIONS
from tinyhyper.kernels import entries, recurrent, threads

DTYPES = [np.float32, pytest.param(np.float64, marks=SLOW_IF_COMPILED)]
# Each choice of cotangents has a function of its own, which takes seconds to compile.
GIVEN = st.tuples(*[st.booleans()] * 3) if compiler_is_off() else st.sampled_from([(True, False, False), (True,) * 3])


@pytest.fixture(autouse=True)
def _as_before():
    with on_one_thread(recurrent_backend):
        yield


def calls(rng, length, batch, width, dtype, given):
    """The operation and its pullback, with what they are called with."""

    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype)

    arrays = [drawn(length, batch, 4 * width), drawn(width, 4 * width), drawn(batch, width), drawn(batch, width)]
    results, _ = OPERATIONS["lstm"].compute(arrays, None)
    cotangents = [drawn(*out.shape) for out, flag in zip(results, given) if flag]
    back = [*cotangents, *arrays[1:], *map(np.ascontiguousarray, results)]
    return [(OPERATIONS["lstm"], arrays, None), (OPERATIONS["lstm.vjp"], back, list(given))]


@settings(max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_have_the_bits_of_the_kernels_and_else_numbers_that_are_as_near(dtype, data):
    sizes = [data.draw(st.integers(1, most)) for most in (4, 5, 9)]
    given, rng = data.draw(GIVEN), np.random.default_rng(data.draw(st.integers(0, 999)))
    for backend in ("numba", "numpy"):
        recurrent_backend(backend)
        for op, arrays, call in calls(rng, *sizes, dtype, given):
            expected, _ = op.compute(arrays, call)
            wanted = [None if data.draw(st.integers(0, 3)) == 0 else out for out in expected]
            found, exact, is_flagged = computed(op, call, arrays, wanted)
            assert exact is (backend == "numba") and not is_flagged
            for ours, theirs, asked in zip(found, expected, wanted):
                assert (ours is None) is (asked is None)
                if ours is None:
                    continue
                if exact and not compiler_is_off():
                    assert np.array_equal(ours, theirs)
                assert np.abs(ours - theirs).max() <= 1000 * np.finfo(dtype).eps * (1 + np.abs(theirs).max())


def test_what_threads_share_is_left_to_them(monkeypatch):
    recurrent_backend("numba")
    made = calls(np.random.default_rng(0), 3, 4, 2, np.float32, (True, True, False))
    for count, part in [(1, 1), (2, 10**6), (2, 1)]:
        monkeypatch.setattr(recurrent, "PART", part)
        threads.set_num_threads(count)
        for op, arrays, call in made:
            results, _ = op.compute(arrays, call)
            found = entries.recipe(op, call, tuple(map(spec, arrays)), tuple(map(spec, results)))
            assert (found is None) is ((count, part) == (2, 1))


def test_there_is_no_entry_for_other_dtypes():
    for op, arrays, call in calls(np.random.default_rng(0), 3, 4, 2, np.float32, (True, False, False)):
        results, _ = op.compute(arrays, call)
        specs = [spec(arrays[0].astype(float)), *map(spec, arrays[1:])]
        assert entries.recipe(op, call, tuple(specs), tuple(map(spec, results))) is None
