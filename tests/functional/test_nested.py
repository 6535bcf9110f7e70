"""Derivatives of functions inside one another: right values, on the graph only of what was there before the call."""

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.testing import alive, collector_off, nothing_alive

# d/dy of x y^3 at y = 2, and its second derivative there: 12 x both.
INNER = {
    "grad": lambda f, y: th.grad(f)(y),
    "value_and_grad": lambda f, y: th.value_and_grad(f)(y)[1],
    "pullback": lambda f, y: th.vjp(f, y)[1](1.0)[0],
    "jvp": lambda f, y: th.jvp(f, (y,), (1.0,))[1],
    "jacobian": lambda f, y: th.jacobian(f)(y),
    "hvp": lambda f, y: th.hvp(f, y, 1.0),
    "hessian": lambda f, y: th.hessian(f)(y),
    "gradients": lambda f, y: th.gradients(f(v := th.tensor(y, requires_grad=True)), v, create_graph=True)[0],
}
OUTER = {
    **{name: f for name, f in INNER.items() if name != "gradients"},
    "value": lambda f, x: th.value_and_grad(f)(x)[0],
    "value of vjp": lambda f, x: th.vjp(f, x)[0],
    "value of jvp": lambda f, x: th.jvp(f, (x,), (1.0,))[0],
}
# What each gives of 12 x^2 w at x = 3.
FOUND = {name: 24.0 if name in ("hvp", "hessian") else 108.0 if "value of" in name else 72.0 for name in OUTER}
FOUND["value"] = 108.0


def within(inner, x, scale=1.0):
    """12 x^2 scale, of which 12 x is a derivative by a variable made here."""
    return INNER[inner](lambda y: x * y * y * y, 2.0) * x * scale


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
def test_a_derivative_inside_a_function_leaves_no_graph_outside(outer, inner):
    with nothing_alive():
        found = OUTER[outer](lambda x: within(inner, x), 3.0)
        assert found.item() == pytest.approx(FOUND[outer], rel=1e-12)
        assert not found.requires_grad and np.asarray(found) == found.item()
        del found


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
def test_what_it_reads_from_outside_keeps_its_gradient(outer, inner):
    w = th.tensor(5.0, requires_grad=True)
    found = OUTER[outer](lambda x: within(inner, x, w), 3.0)
    assert found.item() == pytest.approx(5.0 * FOUND[outer], rel=1e-12)
    found.backward()
    assert w.grad.item() == pytest.approx(FOUND[outer], rel=1e-12)
    with th.no_grad():
        assert not OUTER[outer](lambda x: within(inner, x, w), 3.0).requires_grad


@pytest.mark.parametrize("inner", [name for name in INNER if name not in ("hvp", "hessian")])
def test_three_deep(inner):
    """d/dw of d/dx of x d/dy of x y^3 w^2, at 3, 2 and 5: each derivative reads the variables around it."""
    found = th.grad(lambda w: th.grad(lambda x: within(inner, x, w * w))(3.0))(5.0)
    assert found.item() == pytest.approx(720.0, rel=1e-12) and not found.requires_grad
    again = th.grad(th.grad(th.grad(lambda x: within(inner, x) * x)))(3.0)
    assert again.item() == pytest.approx(72.0, rel=1e-12) and not again.requires_grad


def test_each_result_is_on_the_graph_that_it_depends_on():
    w = th.tensor(2.0, requires_grad=True)
    results, pullback = th.vjp(lambda x: (x * x, x * w), 3.0)
    assert [result.requires_grad for result in results] == [False, True]
    assert [pullback((a, b))[0].requires_grad for a, b in ((1.0, 0.0), (w, 0.0))] == [True, True]
    value, gradient = th.value_and_grad(lambda x: x * x + w)(3.0)
    assert value.requires_grad and not gradient.requires_grad
    by_both = th.grad(lambda x, y: x * x + w * y, (0, 1))(3.0, 4.0)
    assert [part.requires_grad for part in by_both] == [False, True]
    rows = th.jacobian(lambda x: (x * x, x * w))(3.0)
    assert [row.requires_grad for row in rows] == [False, True]


def test_a_leaf_made_by_the_function_is_no_graph_outside():
    made = []

    def f(x):
        made.append(th.tensor(2.0, requires_grad=True))
        return x * x * made[-1]

    for outer, of_square in (("grad", 12.0), ("value", 18.0), ("pullback", 12.0), ("jvp", 12.0), ("jacobian", 12.0)):
        found = OUTER[outer](f, 3.0)
        assert found.item() == of_square and not found.requires_grad
    outside = made[0]
    assert th.grad(lambda x: x * outside)(3.0).requires_grad


def test_a_pullback_and_a_tangent_carry_the_graph_of_what_they_are_given():
    out, pullback = th.vjp(lambda x: x**3.0, 2.0)
    c = th.tensor(1.5, requires_grad=True)
    for found in (
        pullback(c * c)[0],
        th.jvp(lambda x: x**3.0, (2.0,), (c * c,))[1],
        th.hvp(lambda x: x**3.0, 2.0, c * c),
    ):
        assert found.item() == pytest.approx(12.0 * 1.5**2)
        found.backward()
        assert c.grad.item() == pytest.approx(36.0)
        c.grad = None
    assert not out.requires_grad
    with th.no_grad():
        assert not pullback(c)[0].requires_grad
        assert not th.jvp(lambda x: x**3.0, (2.0,), (c,))[1].requires_grad


def test_a_pullback_of_an_earlier_call_inside_a_function():
    """The variables of a call that has ended are constants for every later one."""
    _, pullback = th.vjp(lambda x: x**3.0, 2.0)
    value, slope = th.value_and_grad(lambda c: pullback(c * c)[0])(1.5)
    assert (value.item(), slope.item()) == pytest.approx((27.0, 36.0))
    assert not value.requires_grad and not slope.requires_grad


def test_a_descent_on_a_derivative_grows_nothing():
    """As a loss of a differential equation: u' = 1 at some points, for u a function with weights."""
    at = np.linspace(0.0, 1.0, 5)

    def loss(w):
        def u(t):
            return th.sum(th.tanh(t[:, None] * w) * w)

        return th.mean((th.grad(u)(at) - 1.0) ** 2)

    w, counts = th.tensor(np.linspace(0.1, 0.5, 3)), []
    with collector_off():
        for step in range(300):
            value, gradient = th.value_and_grad(loss)(w)
            w = w - 0.1 * gradient
            if step in (1, 299):
                counts.append(alive(Node, th.Tensor))
    assert not w.requires_grad and value.item() < 0.05
    assert counts[0] == counts[1]
