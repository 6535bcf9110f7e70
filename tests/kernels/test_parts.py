"""Kernels shared by threads: the same numbers as on one thread, the same bits every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.core.operation import ArraySpec
from tinyhyper.fusion.fusion import fused
from tinyhyper.kernels import parts
from tinyhyper.kernels.plan import elementwise_backend, is_library_call
from tinyhyper.ops.elementwise import BY_NAME

slow = pytest.mark.slow
FLOAT32, FLOAT64 = (ArraySpec((), np.dtype(kind)) for kind in (np.float32, np.float64))


@pytest.fixture(autouse=True)
def _every_kernel_is_shared(monkeypatch):
    before = th.num_threads()
    monkeypatch.setattr(parts, "WORTH", 0)
    yield
    th.set_num_threads(before)


def shift(x, y, s):
    return th.tanh(x * y + s), x - s * y


SHAPES = [
    ((9, 5), (9, 5), ()),
    ((9, 5), (5,), ()),
    ((9, 5), (9, 1), (1, 5)),
    ((5,), (9, 1), ()),
    ((4, 3, 5), (3, 1), (4, 1, 1)),
    ((40,), (40,), (1,)),
    ((3, 7), (7,), ()),
    ((1, 4), (1,), ()),
    ((), (), ()),
]


def values(shapes, seed):
    generator = np.random.default_rng(seed)
    return [th.tensor(generator.standard_normal(shape), requires_grad=True) for shape in shapes]


def run(shapes, number, seed=0, columns=False):
    """Outputs and gradients of `shift` on so many threads, as arrays."""
    elementwise_backend("numba")
    th.set_num_threads(number)
    leaves = values(shapes, seed)
    if columns:
        leaves = [th.tensor(np.asfortranarray(leaf.data), requires_grad=True) for leaf in leaves]
    outputs = th.fuse(shift)(*leaves)
    return [t.numpy() for t in (*outputs, *th.gradients(outputs, leaves, [np.cos(o.data) for o in outputs]))]


@slow
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@settings(max_examples=8)
@given(number=st.integers(2, 5), seed=st.integers(0, 99), columns=st.booleans())
def test_threads_change_no_more_than_the_last_bits_of_sums(shapes, number, seed, columns):
    alone, shared = run(shapes, 1, seed, columns), run(shapes, number, seed, columns)
    for one, other in zip(alone[:2], shared[:2]):
        assert np.array_equal(one, other)
    for one, other in zip(alone[2:], shared[2:]):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-13)


@slow
def test_the_same_number_of_threads_gives_the_same_bits():
    shapes = [(997, 13), (13,), ()]
    found = {number: {tuple(a.tobytes() for a in run(shapes, number)) for _ in range(30)} for number in (1, 2, 3)}
    assert {len(bits) for bits in found.values()} == {1}


def test_the_parts_are_shared_out(monkeypatch):
    """On two threads there are two parts, which cover the rows once; on one thread there are none."""
    calls = []
    original = parts.threads.run
    monkeypatch.setattr(parts.threads, "run", lambda kernel, cut: calls.append(cut) or original(kernel, cut))
    run([(40, 3), (40, 3), ()], 1)
    assert not calls
    run([(40, 3), (40, 3), ()], 2)
    forward = calls[0]
    assert len(forward) == 2 and sum(len(call[0]) for call in forward) == 120
    assert all(call[2].shape == () for call in forward)


@pytest.mark.parametrize("size, shared", [(1_000, False), (10_000, False), (10_000_000, True)])
def test_only_what_takes_long_is_shared(monkeypatch, size, shared):
    monkeypatch.undo()
    assert parts.pays(fused(th.add).expression, size, [(True,)] * 3, [FLOAT32]) == shared
    assert parts.pays(fused(th.tanh).expression, size, [(True,)] * 2, [FLOAT64]) == shared


def test_a_costly_function_is_shared_sooner(monkeypatch):
    monkeypatch.undo()
    assert parts.pays(fused(BY_NAME["power"]).expression, 100_000, [(True,)] * 3, [FLOAT64])
    assert not parts.pays(fused(th.multiply).expression, 100_000, [(True,)] * 3, [FLOAT64])


def test_what_is_computed_once_costs_nothing(monkeypatch):
    monkeypatch.undo()
    costly = fused(BY_NAME["power"]).expression
    assert not parts.pays(costly, 100_000, [(False,), (False,), (True,)], [FLOAT64])
    assert parts.pays(costly, 100_000, [(False,), (True,), (True,)], [FLOAT64])


def test_a_single_function_of_the_c_library_is_left_to_numpy():
    assert is_library_call(fused(BY_NAME["power"]).expression) and not is_library_call(fused(th.tanh).expression)
