"""A sum taken apart is the same sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.kernels.expression import run
from tinyhyper.kernels.plan import elementwise_backend
from tinyhyper.kernels.sums import Apart
from tinyhyper.symbols import Symbol, lower

ARRAYS, SCALARS = 2, 2


@st.composite
def expressions(draw):
    """A random expression over two arrays and two scalars, of the operations that sums are taken apart at."""
    symbols = [Symbol() for _ in range(ARRAYS + SCALARS)]
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


@settings(max_examples=500)
@given(expression=expressions(), seed=st.integers(0, 2**32 - 1))
def test_the_groups_of_terms_add_up_to_the_sum(expression, seed):
    rng = np.random.default_rng(seed)
    inputs = [*rng.standard_normal((ARRAYS, 5)), *rng.standard_normal(SCALARS).tolist()]
    values, varies = run(expression, inputs), depends_on_arrays(expression)
    (number,) = expression.outputs
    total, size = 0.0, 0.0
    for factors, terms in Apart(expression, lambda value: not varies[value]).groups(number).items():
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
        ((terms),) = Apart(expression, lambda n: n == 2).groups(expression.outputs[0]).values()
        assert [term.sign for term in terms] == [sign]


def test_what_is_the_same_for_all_terms_is_taken_out():
    a, b, c = Symbol(), Symbol(), Symbol()
    expression = lower([(a * c - b * c) / c + a], [a, b, c])
    groups = Apart(expression, lambda value: value == 2).groups(expression.outputs[0])
    assert {tuple(operator for operator, _ in factors): len(terms) for factors, terms in groups.items()} == {
        ("*", "/"): 2,
        (): 1,
    }


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
