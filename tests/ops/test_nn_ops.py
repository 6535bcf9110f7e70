"""Softmax, its logarithm and the cross entropy: extremes and errors."""

from unittest import mock

import numpy as np
import pytest
from backends import compiler_is_off, kernels
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

plan, softmax = kernels("plan"), kernels("softmax")


def _softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def _log_softmax(x, axis=-1):
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def _cross_entropy(x, labels):
    return -np.mean(_log_softmax(x)[np.arange(len(x)), labels])


EXTREMES = [[1000.0, 0.0, -1000.0], [-1000.0, -1000.0], [700.0, 710.0], [5.0], [-np.inf, 0.0]]


@pytest.mark.parametrize("values", EXTREMES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_overflow(values, dtype):
    x = th.tensor(np.array(values, dtype), requires_grad=True)
    shifted = np.array(values) - max(values)
    expected = np.exp(shifted) / np.exp(shifted).sum()
    np.testing.assert_allclose(th.softmax(x).data, expected, rtol=1e-6)
    np.testing.assert_allclose(th.log_softmax(x).data, shifted - np.log(np.exp(shifted).sum()), rtol=1e-6, atol=1e-7)
    (gradient,) = th.gradients(th.cross_entropy(x[None], [0]), x)
    np.testing.assert_allclose(gradient.data, expected - np.eye(len(values))[0], rtol=1e-5, atol=1e-7)


def test_nan_is_not_hidden():
    x = th.tensor([[1.0, np.nan], [1.0, 2.0]])
    assert np.isnan(th.softmax(x).data).tolist() == [[True, True], [False, False]]
    assert np.isnan(th.cross_entropy(x, [0, 0]).item())


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_few_and_many_classes(classes):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((64, classes)), rng.integers(0, classes, 64)
    logits = th.tensor(x, requires_grad=True)
    loss = th.cross_entropy(logits, labels)
    assert loss.item() == pytest.approx(_cross_entropy(x, labels), rel=1e-14)
    loss.backward()
    np.testing.assert_allclose(logits.grad.data, (_softmax(x) - np.eye(classes)[labels]) / 64, atol=1e-16)


GOOD = np.zeros((2, 3))

def test_labels_may_be_overwritten_afterwards():
    logits, labels = th.tensor(GOOD, requires_grad=True), np.array([0, 1])
    loss = th.cross_entropy(logits, labels)
    labels[:] = 2
    loss.backward()
    assert np.argmin(logits.grad.data, axis=1).tolist() == [0, 1]


# ---- The kernels against NumPy's way, which small arrays take.

ROWS_OF = st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 3, 10, 17, 100, 3000])).filter(
    lambda shape: shape[0] * shape[1] < (3_000 if compiler_is_off() else 20_000)
)
EDGES = [np.inf, -np.inf, np.nan, 1e30, -1e30, 0.0, -0.0]


@pytest.mark.slow
@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(shape=ROWS_OF, seed=st.integers(0, 1000), edge=st.sampled_from([None, *EDGES]), columns=st.booleans())
def test_kernels_agree_with_numpy(dtype, shape, seed, edge, columns):
    rng = np.random.default_rng(seed)
    x, labels = (3 * rng.standard_normal(shape)).astype(dtype), rng.integers(0, shape[1], shape[0])
    if edge is not None:
        x[rng.integers(shape[0]), rng.integers(shape[1])] = edge
    x = np.asfortranarray(x) if columns else x
    scale, weights = np.asarray(rng.standard_normal(), dtype), rng.dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)
    calls = {
        "softmax": lambda: softmax.softmax(x, axis=-1),
        "log_softmax": lambda: softmax.log_softmax(x, axis=1),
        "cross_entropy": lambda: softmax.cross_entropy(x, labels),
        "excess": lambda: softmax.excess(scale, x, labels),
        "centred": lambda: softmax.centred(x, weights, axis=-1),
        "balanced": lambda: softmax.balanced(x, weights, axis=1),
    }
    found = {}
    for small in (0, 10**9):
        with mock.patch.object(plan, "SMALL", small), np.errstate(all="ignore"):
            found[small] = {name: call() for name, call in calls.items()}
    tolerance = 20 * np.finfo(dtype).eps
    for name, expected in found[10**9].items():
        got = found[0][name]
        assert got.dtype == dtype and got.shape == expected.shape
        assert got.flags.c_contiguous or name in ("centred", "balanced")
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
@pytest.mark.parametrize("size", [2, 1000])
def test_a_wrong_label_is_found_before_anything_is_read(size, wrong):
    x, labels = np.zeros((size, 3)), np.zeros(size, int)
    labels[size // 2] = wrong
    with pytest.raises(th.ArgumentError, match=rf"label {wrong} is out of range.*from 0 to 2"):
        softmax.cross_entropy(x, labels)


@pytest.mark.usefixtures("as_compiled")
def test_softmax_over_the_last_of_many_axes():
    x = np.random.default_rng(0).standard_normal((4, 5, 100))
    np.testing.assert_allclose(th.softmax(th.tensor(x)).data, _softmax(x), rtol=1e-14)
    np.testing.assert_allclose(th.log_softmax(th.tensor(x)).data, _log_softmax(x), rtol=1e-14)
    np.testing.assert_allclose(softmax.softmax(x, axis=2).sum(-1), 1, rtol=1e-14)
