"""A sum taken apart is the same sum."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.fusion.expression import run, scalar_values
from tinyhyper.fusion.symbols import Scalar, Symbol, lower
from tinyhyper.kernels import quicker, threads
from tinyhyper.kernels.hoist import Hoist
from tinyhyper.kernels.plan import elementwise_backend
from tinyhyper.kernels.quicker import total

ARRAYS, SCALARS = 2, 2


@st.composite
def expressions(draw):
    """A random expression over two arrays and two scalars, of the operations that sums are taken apart at."""
    symbols = [*[Symbol() for _ in range(ARRAYS)], *[Scalar() for _ in range(SCALARS)]]
    values = list(symbols)
    for _ in range(draw(st.integers(1, 10))):
        name = draw(st.sampled_from(["add", "subtract", "multiply", "divide", "negative", "tanh"]))
        args = [values[draw(st.integers(0, len(values) - 1))] for _ in range(1 if name in ("negative", "tanh") else 2)]
        if name == "divide":
            args[1] = th.exp(th.tanh(args[1]))
        values.append(getattr(th, name)(*args))
    return lower([values[-1]], symbols)


def depends_on_arrays(expression):
    found = [n < ARRAYS for n in range(expression.inputs)] + [False] * len(expression.constants)
    for _, args in expression.lines:
        found.append(any(found[arg] for arg in args))
    return found


@pytest.mark.slow
@settings(max_examples=500)
@given(expression=expressions(), seed=st.integers(0, 2**32 - 1))
def test_the_groups_of_terms_add_up_to_the_sum(expression, seed):
    rng = np.random.default_rng(seed)
    inputs = [*rng.standard_normal((ARRAYS, 5)), *rng.standard_normal(SCALARS).tolist()]
    values, varies = run(expression, inputs, scalar_values(expression)), depends_on_arrays(expression)
    (number,) = expression.outputs
    total, size = 0.0, 0.0
    for factors, terms in Hoist(expression, lambda value: not varies[value]).groups(number).items():
        part = sum(term.sign * np.prod([np.broadcast_to(values[v], 5) for v in term.values], axis=0) for term in terms)
        scale = 1.0
        for operator, value in factors:
            assert not varies[value]
            scale = scale * values[value] if operator == "*" else scale / values[value]
        total += scale * part.sum()
        size += np.abs(scale * part).sum()
    expected = np.broadcast_to(values[number], 5)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-9, atol=1e-9 * (1 + size + np.abs(expected).sum()))


def test_signs_multiply():
    a, b, c = Symbol(), Symbol(), Symbol()
    for value, sign in (((a * c) * -b, -1), (-(a * c) * -b, 1), (-(a * c) * b, -1)):
        expression = lower([value], [a, b, c])
        ((terms),) = Hoist(expression, lambda n: n == 2).groups(expression.outputs[0]).values()
        assert [term.sign for term in terms] == [sign]


def test_what_is_the_same_for_all_terms_is_taken_out():
    a, b, c = Symbol(), Symbol(), Symbol()
    expression = lower([(a * c - b * c) / c + a], [a, b, c])
    groups = Hoist(expression, lambda value: value == 2).groups(expression.outputs[0])
    assert {tuple(operator for operator, _ in factors): len(terms) for factors, terms in groups.items()} == {
        ("*", "/"): 2,
        (): 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_scalars_agree_with_numpy(dtype):
    """A kernel that takes its sums apart against the NumPy reading of the same expression, which does not."""

    @th.fuse
    def f(x, y, c, d):
        return (x * c - y * d) * c / d - (y - x * x) * (c - d) - th.tanh(x) / c

    found = {}
    for backend in ("numpy", "numba"):
        elementwise_backend(backend)
        rng = np.random.default_rng(0)
        x, y = (th.tensor(rng.standard_normal((40, 50)).astype(dtype), requires_grad=True) for _ in range(2))
        c, d = (th.tensor(np.asarray(v, dtype), requires_grad=True) for v in (0.7, 1.3))
        th.sum(f(x, y, c, d)).backward()
        found[backend] = [t.grad.numpy() for t in (x, y, c, d)]
    for one, other in zip(found["numpy"], found["numba"]):
        np.testing.assert_allclose(one, other, rtol=100 * np.finfo(dtype).eps, atol=1000 * np.finfo(dtype).eps)


SIZES = st.integers(1, 40) | st.integers(1, 5000) | st.sampled_from([1023, 1024, 1025, 2048, 200_000, 1_000_000])


@settings(max_examples=30)
@example(size=1_000_000, seed=0, spread=0, offset=1 / 3)
@given(size=SIZES, seed=st.integers(0, 1000), spread=st.integers(0, 1), offset=st.floats(0, 1e4))
def test_a_sum_of_float32_terms_loses_little_more_than_each_term_has_lost(size, seed, spread, offset):
    """Runs of terms are added in float32, the runs in float64: against the exact sum, relative to the terms' sizes."""
    elementwise_backend("numba")
    x = (np.random.default_rng(seed).standard_normal(size) * spread + offset).astype(np.float32)
    scale = th.tensor(np.float32(0.5), requires_grad=True)
    (got,) = th.gradients(scaled(th.tensor(x), scale), scale, np.ones(size, np.float32))
    terms = x.astype(np.float64)
    assert abs(got.item() - terms.sum()) <= 16 * 2.0**-24 * np.abs(terms).sum()


@th.fuse
def scaled(x, scale):
    return x * scale


@pytest.mark.usefixtures("as_compiled")
@given(size=SIZES, seed=st.integers(0, 1000), order=st.sampled_from("CFA"), dtype=st.sampled_from(["f4", "f8", "i8"]))
def test_the_total_of_an_array(size, seed, order, dtype):
    x = (1e3 * np.random.default_rng(seed).standard_normal((size, 2))).astype(dtype)
    x = x[::2] if order == "A" else np.asarray(x, order=order)
    got = total(x)
    assert got.shape == () and got.dtype == np.sum(x, dtype="f8" if dtype == "f4" else None).dtype
    np.testing.assert_allclose(got, np.sum(x, dtype=got.dtype), rtol=1e-12, atol=1e-12 * np.abs(x.astype("f8")).sum())


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_threads_share_the_total_of_a_long_array(monkeypatch, number):
    monkeypatch.setattr(quicker, "SHARED", 1000)
    monkeypatch.setattr(threads, "_threads", number)
    x = np.arange(3457, dtype=np.float32)  # whole numbers, so exact
    assert total(x) == 3457 * 3456 // 2
    assert total(x[:2000]) == 2000 * 1999 // 2
