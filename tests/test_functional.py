"""Derivatives of functions: against each other, against differences, and in every structure."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th

Pair = namedtuple("Pair", "a b")
SHAPES = st.sampled_from([(), (1,), (3,), (2, 3), (0,)])
SEEDS = st.integers(0, 2**16)


def smooth(x):
    """A function of any shape to one number, none of whose derivatives vanish."""
    return th.sum(th.sin(x) * th.exp(0.3 * x)) + th.sum(x) ** 3 / 10.0


def mixing(x):
    """A function of any shape to a vector of four elements that each depend on all of x."""
    return th.stack([th.sum(th.sin(x + float(n))) ** 2 for n in range(4)])


def values(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def differences(f, x, step=1e-5):
    """df(x)/dx by central differences, of shape f(x).shape + x.shape."""
    columns = []
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        columns.append((np.asarray(f(ahead).numpy()) - f(behind).numpy()) / (2 * step))
    out = f(x).shape
    return np.stack(columns, -1).reshape(out + x.shape) if columns else np.zeros(out + x.shape)


@given(shape=SHAPES, seed=SEEDS)
def test_grad_is_the_derivative(shape, seed):
    x = values(seed, *shape)
    np.testing.assert_allclose(th.grad(smooth)(x).numpy(), differences(smooth, x), rtol=1e-6, atol=1e-8)


@given(shape=SHAPES, seed=SEEDS)
def test_value_and_grad_gives_both(shape, seed):
    x = values(seed, *shape)
    value, gradient = th.value_and_grad(smooth)(x)
    np.testing.assert_array_equal(value.numpy(), smooth(th.tensor(x)).numpy())
    np.testing.assert_array_equal(gradient.numpy(), th.grad(smooth)(x).numpy())
    assert not value.requires_grad and not gradient.requires_grad


@given(shape=SHAPES, seed=SEEDS)
def test_jacobian_is_the_derivative(shape, seed):
    x = values(seed, *shape)
    np.testing.assert_allclose(th.jacobian(mixing)(x).numpy(), differences(mixing, x), rtol=1e-6, atol=1e-8)


@given(shape=SHAPES, seed=SEEDS)
def test_hessian_is_the_derivative_of_grad_and_symmetric(shape, seed):
    x = values(seed, *shape)
    found = th.hessian(smooth)(x).numpy()
    assert found.shape == shape + shape
    np.testing.assert_allclose(found, differences(th.grad(smooth), x), rtol=1e-5, atol=1e-7)
    square = found.reshape(x.size, x.size)
    np.testing.assert_allclose(square, square.T, rtol=1e-12, atol=1e-14)


@given(shape=SHAPES, seed=SEEDS)
def test_vjp_and_jvp_are_products_with_the_jacobian(shape, seed):
    x, along, cotangent = values(seed, *shape), values(seed + 1, *shape), values(seed + 2, 4)
    jacobian = th.jacobian(mixing)(x).numpy().reshape(4, x.size)
    out, pullback = th.vjp(mixing, x)
    for _ in range(2):  # it can be called again
        (pulled,) = pullback(cotangent)
        np.testing.assert_allclose(pulled.numpy(), (cotangent @ jacobian).reshape(shape), rtol=1e-9, atol=1e-12)
    same, pushed = th.jvp(mixing, (x,), (along,))
    np.testing.assert_allclose(pushed.numpy(), jacobian @ along.ravel(), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(out.numpy(), same.numpy())
    assert not any(result.requires_grad for result in (out, pulled, same, pushed))


@given(shape=SHAPES, seed=SEEDS)
def test_hvp_is_the_product_with_the_hessian(shape, seed):
    x, along = values(seed, *shape), values(seed + 1, *shape)
    hessian = th.hessian(smooth)(x).numpy().reshape(x.size, x.size)
    found = th.hvp(smooth, (x,), (along,))[0]
    np.testing.assert_allclose(found.numpy(), (hessian @ along.ravel()).reshape(shape), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(th.hvp(smooth, x, along).numpy(), found.numpy())


@given(x=st.floats(0.5, 2), order=st.integers(1, 6))
def test_grad_composes_to_any_order(x, order):
    f, factor = (lambda x: x**7.0), 1.0
    for n in range(order):
        f, factor = th.grad(f), factor * (7 - n)
    assert f(x).item() == pytest.approx(factor * x ** (7 - order), rel=1e-9)


@given(x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_grad_inside_a_function_keeps_what_is_outside(x, y):
    """d/dy d/dx of sin(x) y^3, where the inner function reads y from around it, and where x depends on y."""
    mixed = th.grad(lambda y: th.grad(lambda x: th.sin(x) * y**3.0)(x))
    assert mixed(y).item() == pytest.approx(np.cos(x) * 3 * y**2, rel=1e-9, abs=1e-12)
    through = th.grad(lambda y: th.grad(th.sin)(y * x))
    assert through(y).item() == pytest.approx(-np.sin(y * x) * x, rel=1e-9, abs=1e-12)


def test_a_gradient_stays_on_the_graph_of_its_argument():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    for inner in (
        th.grad(lambda v: th.sum(v**3.0))(x),
        th.vjp(lambda v: v**3.0, x)[1](np.ones(2))[0],
        th.jvp(lambda v: v**3.0, (x,), (np.ones(2),))[1],
    ):
        inner.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [6.0, 12.0])
        x.grad = None
    for constant in (th.grad(lambda v: th.sum(v**3.0))(x.detach()), th.no_grad()(th.grad(lambda v: th.sum(v**3.0)))(x)):
        assert not constant.requires_grad
        np.testing.assert_allclose(constant.numpy(), [3.0, 12.0])


def test_structures_are_mirrored():
    arguments = {"w": [th.tensor([1.0, 2.0]), 3.0], "rest": Pair(np.float64(4.0), (np.ones(2),))}

    def f(p, scale):
        total = th.sum(p["w"][0]) * p["w"][1] * p["rest"].a + th.sum(p["rest"].b[0])
        return total * scale

    found = th.grad(f)(arguments, 2.0)
    assert list(found) == ["w", "rest"] and isinstance(found["rest"], Pair)
    np.testing.assert_array_equal(found["w"][0].numpy(), [24.0, 24.0])
    assert found["w"][1].item() == 24.0 and found["rest"].a.item() == 18.0
    np.testing.assert_array_equal(found["rest"].b[0].numpy(), [2.0, 2.0])
    by_both = th.grad(f, argnums=(1, 0))(arguments, 2.0)
    assert by_both[0].item() == 38.0 and by_both[1]["w"][1].item() == 24.0
    blocks = th.hessian(f)(arguments, 2.0)
    np.testing.assert_array_equal(blocks["w"][0]["w"][1].numpy(), [8.0, 8.0])
    assert blocks["w"][1]["rest"].a.shape == ()
    products = th.hvp(f, (arguments, 2.0), (arguments, 0.0))
    assert products[0]["w"][1].item() == pytest.approx(24.0 * 2)


def test_outputs_may_be_structures():
    def f(x):
        return {"square": x * x, "parts": (th.sum(x), 5.0)}

    x = np.array([1.0, 2.0])
    out, pullback = th.vjp(f, x)
    assert out["parts"][1].item() == 5.0
    np.testing.assert_array_equal(pullback({"square": np.ones(2), "parts": (2.0, 1.0)})[0].numpy(), 2 * x + 2)
    _, pushed = th.jvp(f, (x,), (np.ones(2),))
    np.testing.assert_array_equal(pushed["square"].numpy(), 2 * x)
    assert pushed["parts"][0].item() == 2.0 and pushed["parts"][1].item() == 0.0
    np.testing.assert_array_equal(th.jacobian(f)(x)["square"].numpy(), np.diag(2 * x))


@given(shape=SHAPES, seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
def test_arguments_are_unchanged_and_dtypes_kept(shape, seed, dtype):
    array = values(seed, *shape, dtype=dtype)
    leaf, before = th.tensor(array, requires_grad=True), array.copy()
    for derivative in (th.grad(smooth), th.jacobian(smooth), lambda x: th.jvp(smooth, (x,), (x,))[1]):
        for x in (array, leaf):
            assert derivative(x).dtype == dtype
    assert leaf.grad is None
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(leaf.numpy(), before)
    assert not np.shares_memory(th.grad(th.sum)(leaf).numpy(), leaf.numpy())


def test_constant_functions_have_zero_derivatives():
    x = np.ones(2)
    assert th.grad(lambda x: 3.0)(x).numpy().tolist() == [0.0, 0.0]
    assert th.grad(lambda x, y: th.sum(y), argnums=0)(x, x).numpy().tolist() == [0.0, 0.0]
    assert th.jvp(lambda x: th.tensor([1.0]), (x,), (x,))[1].numpy().tolist() == [0.0]
    assert th.jacobian(lambda x: th.tensor([1.0]))(x).shape == (1, 2)


def test_keywords_are_passed_on():
    assert th.grad(lambda x, *, power: x**power)(2.0, power=3.0).item() == 12.0
    assert th.grad(smooth).__name__ == "smooth"


@pytest.mark.parametrize("derivative", [th.grad, th.value_and_grad, th.jacobian, th.hessian])
class TestErrors:
    @pytest.mark.parametrize("x", [3, True, np.arange(3), th.tensor([1, 2])])
    def test_integers(self, derivative, x):
        with pytest.raises(th.DtypeError, match="float"):
            derivative(th.sum)(x)

    @pytest.mark.parametrize("x", ["text", None, {"a": "text"}])
    def test_other_things(self, derivative, x):
        with pytest.raises(th.DtypeError, match="cannot differentiate by a"):
            derivative(lambda x: 1.0)(x)

    @pytest.mark.parametrize("argnums", [1, -2, (0, 1), 1.0, "x"])
    def test_argnums(self, derivative, argnums):
        with pytest.raises(th.ArgumentError, match="argnums"):
            derivative(th.sum, argnums)(1.0)


@pytest.mark.parametrize("derivative", [th.grad, th.value_and_grad, th.hessian])
def test_an_output_that_is_not_one_number(derivative):
    with pytest.raises(th.ShapeError, match=r"\(3,\)"):
        derivative(th.sin)(np.ones(3))
    with pytest.raises(th.ShapeError, match="tuple"):
        derivative(lambda x: (x, x))(1.0)


def test_cotangents_and_tangents_that_do_not_fit():
    _, pullback = th.vjp(th.sin, np.ones(3))
    with pytest.raises(th.ShapeError, match=r"vjp.*\(3,\).*\(2,\)"):
        pullback(np.ones(2))
    with pytest.raises(th.ShapeError, match=r"jvp.*\(3,\).*\(2,\)"):
        th.jvp(th.sin, (np.ones(3),), (np.ones(2),))
    with pytest.raises(th.ShapeError, match="hvp"):
        th.hvp(th.sum, (np.ones(3),), (np.ones(2),))


def test_an_error_of_the_function_leaves_everything_as_it_was():
    x = th.tensor([1.0], requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        th.grad(lambda x: 1 / 0)(x)
    assert x.grad is None
    (x * x).backward()
    assert x.grad.item() == 2.0
