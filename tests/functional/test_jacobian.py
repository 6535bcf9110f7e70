"""The Jacobian of few numbers to many: by columns, with the values, the structures and the graph of rows."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper import functional

AT = np.linspace(0.1, 1.0, 40)


def both(f, *args, argnums=0):
    """The Jacobian as it is chosen, and the one that a passage from each element of the output gives."""
    chosen = th.jacobian(f, argnums)(*args)
    call = functional._Call(f, args, {}, argnums, "jacobian")
    rows = [call.mirrored(row) for row in call.by_rows()]
    return chosen, rows[0] if isinstance(call.result, th.Tensor) else rows


@given(size=st.sampled_from([(), (1,), (3,), (2, 2)]), seed=st.integers(0, 99), dtype=st.sampled_from(["f4", "f8"]))
def test_columns_are_rows(size, seed, dtype):
    x = np.random.default_rng(seed).uniform(0.5, 1.0, size).astype(dtype)
    found, rows = both(lambda x: th.sum(th.sin(th.reshape(x, (-1, 1)) * AT) ** 2.0, 0), x)
    assert found.shape == rows.shape == (40, *size) and found.dtype == rows.dtype == dtype
    np.testing.assert_allclose(found.data, rows.data, rtol=1e-6 if dtype == "f4" else 1e-13)


def test_structures_of_arguments_and_outputs():
    def f(p, scale):
        return {"curve": th.exp(p["a"] * AT) * scale, "flat": np.ones(3), "sum": p["b"][1]}

    found, rows = both(f, {"a": 0.5, "b": np.ones(2)}, 2.0, argnums=(1, 0))
    for name, by_rows in zip(("curve", "flat", "sum"), rows):
        scale, p = found[name]
        np.testing.assert_allclose(scale.data, by_rows[0].data, rtol=1e-14)
        for key in ("a", "b"):
            np.testing.assert_allclose(p[key].data, by_rows[1][key].data, rtol=1e-14)
    np.testing.assert_allclose(found["curve"][1]["a"].data, 2.0 * AT * np.exp(0.5 * AT))
    assert found["sum"][1]["b"].data.tolist() == [0.0, 1.0] and not found["flat"][0].data.any()


def test_an_infinite_slope_of_one_argument_is_none_of_another():
    by_x, by_y = th.jacobian(lambda x, y: th.sqrt(x) + y * AT, (0, 1))(0.0, 2.0)
    assert np.isinf(by_x.data).all()
    np.testing.assert_array_equal(by_y.data, AT)


def test_columns_can_be_differentiated_and_are_on_no_graph_without_cause():
    w = th.tensor(2.0, requires_grad=True)

    def f(x):
        return th.sin(x * AT) * w

    found = th.jacobian(f)(3.0)
    np.testing.assert_allclose(found.data, 2.0 * AT * np.cos(3.0 * AT), rtol=1e-13)
    th.sum(found).backward()
    assert w.grad.item() == pytest.approx(np.sum(AT * np.cos(3.0 * AT)), rel=1e-12)
    second = th.jacobian(th.jacobian(lambda x: th.sin(x * AT)))(3.0)
    np.testing.assert_allclose(second.data, -(AT**2) * np.sin(3.0 * AT), rtol=1e-12)
    assert not second.requires_grad
    with th.no_grad():
        assert not th.jacobian(f)(3.0).requires_grad


@pytest.mark.parametrize("inputs", [1, 2, 500])
def test_a_jacobian_needs_no_more_memory_than_its_result_and_a_few_passes(inputs):
    """Neither an identity matrix of the output, nor a tape for each column."""
    at = np.linspace(0.0, 1.0, 2000 if inputs < 500 else 500)
    x = np.ones(inputs) if inputs > 1 else 1.0

    def f(x):
        return th.sin(th.sum(x) * at)

    th.jacobian(f)(x)
    tracemalloc.start()
    try:
        found = th.jacobian(f)(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * found.data.nbytes + 2e6
    np.testing.assert_allclose(found.data.reshape(at.size, -1)[:, 0], at * np.cos(inputs * at), rtol=1e-12)
