"""check_gradients: right gradients pass, at any order, shape, dtype and scale; a wrong one is found, and where."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.ops.operation import OPERATIONS, operation
from tinyhyper.testing import arrays_off, axes_of, broadcastable_shapes, check_gradients, derivative

SEEDS = st.integers(0, 10_000)


def planted(forward, **vjps):
    """An operation that leaves no trace in the table."""
    forward.__name__ = "planted"
    made = operation(**vjps)(forward)
    del OPERATIONS["planted"]
    return made


def sine(vjp, forward=np.sin):
    def apply(x, /):
        return forward(x)

    return planted(apply, x=vjp)


def found(f, *args, **options):
    with pytest.raises(th.GradientError) as error:
        check_gradients(f, *args, **options)
    return str(error.value)


# ---- What is right passes.

FUNCTIONS = {
    "a fraction": lambda x, y: (x - y) / (x * x + 1.0),
    "a maximum": th.maximum,
    "a fused function": th.fuse(lambda x, y: th.tanh(x * y) + th.relu(x)),
    "a sum": lambda x, y: th.sum(th.square(x)) * y,
    "several results": lambda x, y: (x * y, th.sin(y), x > y),
    "a branch": lambda x, y: th.where(x > y, x * x, y),
    "a constant": lambda x, y: th.tensor(1.0),
    "steps": lambda x, y: th.sign(x) + th.floor(y),
    "the argument itself": lambda x, y: x,
    "an argument twice": lambda x, y: x * x + y * y * y,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data(), order=st.integers(1, 3), seed=SEEDS)
def test_right_gradients_pass(name, data, order, seed):
    shapes = data.draw(broadcastable_shapes(2))
    args = [data.draw(arrays_off((-1.0, 0.0, 1.0), shape, place=n)) for n, shape in enumerate(shapes)]
    check_gradients(FUNCTIONS[name], *args, order=order, seed=seed)


@given(data=st.data(), dtype=st.sampled_from(["f4", "f8"]))
def test_reductions_and_products_pass(data, dtype):
    x = data.draw(arrays_off(shape=(3, 4), dtype=dtype))
    axis = data.draw(axes_of(2))
    check_gradients(lambda x: th.max(x, axis=axis) + th.std(x, axis=axis), x)
    check_gradients(th.matmul, x, data.draw(arrays_off(shape=(4, 2), dtype=dtype)))
    check_gradients(lambda x: th.log_softmax(x, axis=1)[:, 1:], x)


@given(exponent=st.integers(-30, 30), size=st.integers(-15, 15), dtype=st.sampled_from(["f4", "f8"]))
def test_neither_the_unit_of_f_nor_that_of_an_argument_matters(exponent, size, dtype):
    unit, length = (10.0 ** (power / (3 if dtype == "f4" else 1)) for power in (exponent, size))
    x = (np.array([0.5, 1.0, 2.0]) * length).astype(dtype)
    check_gradients(lambda x: unit * th.sin(x / length), x)
    wrong = sine(lambda g, x: -g * th.cos(x))
    assert "It is -1 times" in found(lambda x: unit * wrong(x / length), x)


def test_numbers_of_very_different_size_pass():
    check_gradients(lambda x: th.log(x) + th.sqrt(x), np.logspace(-4, 4, 7))
    check_gradients(lambda x, y: x * th.exp(-x) / y, np.array([1e-3, 1.0, 20.0]), 1e9)


def test_integers_and_booleans_are_constants():
    logits = np.random.default_rng(0).normal(size=(3, 4))
    check_gradients(th.cross_entropy, logits, np.array([1, 0, 3]))
    check_gradients(lambda mask, x: th.where(mask, x * x, 0.0), np.array([True, False]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1)])
def test_scalars_and_empty_arrays_pass(shape):
    check_gradients(lambda x: th.exp(x) * 2.0, np.full(shape, 0.5))


def test_tensors_and_numbers_may_be_given():
    check_gradients(lambda x, y: x * y, th.tensor([1.0, 2.0], requires_grad=True), 3.0)


@given(x=arrays_off(), seed=SEEDS)
def test_nothing_is_written_to_and_nothing_is_accumulated(x, seed):
    before, w = x.copy(), th.tensor(x, requires_grad=True)
    check_gradients(lambda a, b: a * b + th.sum(a), w, x, seed=seed)
    assert w.grad is None
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(w.numpy(), before)


def test_it_works_where_nothing_is_recorded_and_where_all_is():
    with th.no_grad():
        check_gradients(th.sin, [1.0, 2.0])
    with th.record():
        check_gradients(th.sin, [1.0, 2.0])


# ---- What is wrong is found, and where.


def _cube(x, /):
    return x**3


def _add(x, y, /):
    return x + y


def _forgotten(x):
    return th.tensor(np.sin(x.numpy())) + 0.0 * x


wrong_cos = sine(lambda g, x: g * th.sin(x), np.cos)
wrong_minus_sin = sine(lambda g, x: g * th.cos(x), lambda x: -np.sin(x))
late_cos = sine(lambda g, x: g * wrong_minus_sin(x), np.cos)
X = np.linspace(0.3, 1.2, 6).reshape(2, 3)
FAULTS = {
    "a wrong sign": (sine(lambda g, x: -g * th.cos(x)), (X,), 1, "argument 0", "-1 times what it should be, in every"),
    "a missing factor": (planted(_cube, x=lambda g, x: g * x * x), (X,), 1, "argument 0", "0.3333 times"),
    "a constant too much": (sine(lambda g, x: g * th.cos(x) + 1e-2), (X,), 1, "argument 0", "wrong"),
    "a missing sum": (planted(_add, x=lambda g: g, y=lambda g: g[0]), (X, X[0]), 1, "argument 1", "wrong"),
    "a cotangent that is not used": (sine(lambda g, x: th.cos(x) + 0.0 * g), (X,), 1, "argument 0", "wrong"),
    "nothing at all": (_forgotten, (X,), 1, "argument 0", "No gradient reaches it"),
    "a second derivative of opposite sign": (
        sine(lambda g, x: g * wrong_cos(x)), (X,), 2, "argument 0", "-1 times",
    ),
    "a second derivative that is lost": (
        sine(lambda g, x: g * np.cos(x.numpy())), (X,), 2, "argument 0", "No gradient reaches it",
    ),
    "a cotangent that is lost": (
        sine(lambda g, x: g.numpy() * th.cos(x)), (X,), 2, "cotangent", "No gradient reaches it",
    ),
    "a third derivative of opposite sign": (
        sine(lambda g, x: g * late_cos(x)), (X,), 3, "argument 0", "wrong",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(fault, size, dtype):
    f, args, order, argument, words = FAULTS[fault]
    if size == "large":  # too large for a Jacobian
        args = [np.tile(a, (4,) * min(a.ndim, 1) + (1,) * (a.ndim - 1)) for a in args]
        args = [a if a.ndim == 2 else a[: args[0].shape[1]] for a in args]
    args = [a.astype(dtype) for a in args]
    if order > 1:
        check_gradients(f, *args, order=order - 1)
    message = found(f, *args, order=3)
    assert message.startswith(f"check_gradients, order {order}: d ")
    assert f"/ d {argument}[" in message and words in message
    assert f"rtol={1e-6 if dtype == 'f8' else 1e-3:g} for float{8 * int(dtype[1])}" in message


@pytest.mark.slow
@given(
    data=st.data(),
    shape=st.sampled_from([(), (3,), (2, 5), (7, 11), (40, 50)]),
    order=st.integers(1, 2),
    part=st.sampled_from([0.5, 1.01, 1.0002]),
)
def test_one_wrong_entry_is_found(data, shape, order, part):
    """Of a gradient, or of a second derivative alone; in the first or the second argument.

    One that is hardly wrong is found where it is not small beside the others.
    """
    x = data.draw(arrays_off(shape=shape, low=0.8 if part == 1.0002 else 0.3, high=1.2, kinks=()))
    place = tuple(data.draw(st.integers(0, side - 1)) for side in shape)
    factor = np.ones(shape)
    factor[place] = part
    cosine = sine(lambda g, x: -g * factor * th.sin(x), np.cos)
    f = sine(lambda g, x: g * factor * th.cos(x)) if order == 1 else sine(lambda g, x: g * cosine(x))
    number = data.draw(st.integers(0, 1))
    message = found(lambda *args: args[number] * 0.5 + f(args[number]) * args[1 - number], x, x)
    where = f"argument {number}" + (str(list(place)) if shape else "")
    assert message.startswith(f"check_gradients, order {order}: d ") and f"/ d {where} is " in message


def test_the_message_has_both_values_and_what_was_allowed():
    message = found(lambda x: th.tensor(np.square(x.numpy())) + x, np.array([1.0, 3.0]), order=1)
    pattern = r"d f\[1\] / d argument 0\[1\] is (\S+) by .*, (\S+) by .*off by (\S+), allowed (\S+) "
    numbers = re.search(pattern, message)
    np.testing.assert_allclose([float(n) for n in numbers.groups()], [1.0, 7.0, 6.0, 7e-6], rtol=1e-3)


def test_the_right_one_of_several_results_is_named():
    wrong = sine(lambda g, x: g)
    assert "d f, result 1[0] / d argument 0[0]" in found(lambda x: (th.sin(x), wrong(x)), np.array([1.0]))


def test_tolerances_can_be_given():
    nearly = sine(lambda g, x: g * th.cos(x) * (1 + 1e-4))
    check_gradients(nearly, [0.5], order=1, rtol=1e-3)
    assert "rtol=1e-06" in found(nearly, [0.5], order=1)
    check_gradients(nearly, [0.5], order=1, atol=1e-3)
    assert "order 1" in found(nearly, [0.5], order=1, atol=1e-5)


# ---- Where nothing can be compared, the reason is told.


@pytest.mark.parametrize(
    "f, x, words",
    [
        (th.relu, [1.0, -1.0, 0.0], "f has a kink at argument 0[2]: slope from the left 0, from the right 1"),
        (lambda x: th.abs(x - 1.0) * 3.0 + x, 1.0 + 1e-9, "f has a kink at argument 0: slope from the left -1.99"),
        (th.sqrt, [1.0, 0.0], "f is not finite to the left of argument 0[1] = 0: the edge of its domain?"),
        (th.log, [1.0, 0.0], "f[1] is -inf: nothing can be compared"),
        (lambda x: x / 0.0, [1.0], "f[0] is inf"),
    ],
)
def test_a_hard_point_is_told(f, x, words):
    if words is not None:
        assert words in found(f, x)


TIES = np.concatenate([np.linspace(0.0, 1.0, 3000), [1.0]])
KINKS = {
    "abs": (th.abs, [[1.0, 0.0, -2.0]], 1, "argument 0[1]: slope from the left -1, from the right 1"),
    "abs of float32": (th.abs, [np.array([[0.0], [1.0]], "f4")], 1, "argument 0[0, 0]: slope from the left -1,"),
    "a number": (lambda x: th.abs(x - 1.0) + x, [1.0], 1, "argument 0: slope from the left 0, from the right 2"),
    "a tie of maximum": (th.maximum, [[1.0, 2.0], [0.0, 2.0]], 1, "argument 0[1]: slope from the left 0, from"),
    "a tie of minimum": (th.minimum, [[1.0, 2.0], [0.0, 2.0]], 1, "argument 0[1]: slope from the left 1, from"),
    "a tie of many": (lambda x: th.max(x), [TIES], 1, "argument 0[2999]: slope from the left 0, from the right 1"),
    "a norm of 0": (lambda x: th.norm(x) + th.sum(x), [[0.0, 0.0]], 1, "argument 0[1]: slope from the left 0, "),
    "a small one": (lambda x: th.sum(th.sin(x)) + 1e-3 * th.abs(x[1] - x[2]), [[0.3, 1.0, 1.0]], 1, "argument 0[1]"),
    "beside a large number": (lambda x: th.abs(x) + 1e6, [[0.0, 1.0]], 1, "argument 0[0]: slope from the left -1"),
    "of a second argument": (lambda x, y: x * th.abs(y), [[1.0, 2.0], [3.0, 0.0]], 1, "argument 1[1]"),
    "at the edge of a domain": (lambda x: th.abs(th.log(x * 1e4)), [[1e-4, *[1e4] * 12]], 1, "argument 0[0]"),
    "of many results": (lambda x: th.abs(x) * np.array([1.0, -1.0] * 20), [0.0], 1, "argument 0: slope"),
    "of a derivative": (lambda x: x * th.abs(x), [[0.0, 1.0]], 2, "argument 0[0]"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_told_where_the_gradient_is_the_middle_of_both_slopes(name):
    f, args, order, words = KINKS[name]
    if order > 1:
        check_gradients(f, *args, order=order - 1)
    message = found(f, *args, order=3)
    assert message.startswith(f"check_gradients, order {order}: ") and f"has a kink at {words}" in message


@pytest.mark.parametrize("f, args", [
    (lambda x: x**2, [[0.0, 0.0]]), (lambda x: 0.0 * x + 3.0, [[1.0]]), (lambda x: (x - 1.0) ** 4, [[1.0, 1.00001]]),
    (lambda x: th.log1p(th.exp(50.0 * x)), [[0.0, 0.1]]), (lambda x: th.sin(300.0 * x) * 1e3 + x, [[0.3]]),
    (lambda x: th.sin(x.astype(np.float32)), [np.array([0.3, 1.0], "f4")]), (lambda x: th.relu(x), [[1e-2, -1.0]]),
    (lambda x: th.exp(x) + 1e8, [[0.5, 1.0]]), (lambda x: th.logsumexp(x, 0), [[1.0, 1.0]]),
    (lambda x: x * th.abs(x), [[0.0, 1.0]]),
])  # fmt: skip
def test_what_bends_has_no_kink(f, args):
    check_gradients(f, *args, order=1)


def test_many_entries_and_one_kink():
    x = np.linspace(0.1, 1.0, 2000)
    x[1234] = 0.0
    assert "f has a kink at argument 0[1234]" in found(th.relu, x)


def test_a_function_that_draws_is_told():
    rng = np.random.default_rng(0)
    message = found(lambda x: x * rng.random(), [1.0])
    assert "two calls" in message and "dropout" in message


def _through_input(x, /):
    x *= 2.0
    return np.sin(x)


def test_writing_is_told():
    through = planted(_through_input, x=lambda g, x: g * 2.0 * th.cos(x))
    assert "f has written to argument 0[0]: it was 1, it is 2" in found(through, [1.0, 2.0])

    def spoil(g, x):
        g.array[...] = 0.0
        return g * th.cos(x)

    assert "written to its cotangent" in found(sine(spoil), [1.0, 2.0])

    def spoil_input(g, x):
        x.array[1] = 0.0
        return g * th.cos(x)

    assert "written to argument 0[1]" in found(sine(spoil_input), [1.0, 2.0])


def test_the_errors_are_assertions():
    assert issubclass(th.GradientError, AssertionError) and issubclass(th.LeakError, AssertionError)


def test_where_only_the_slope_along_a_direction_is_wrong_that_is_told():
    """Of itself the gradient is off by more than half, of the slope by less."""
    half = sine(lambda g, x: g * 0.55, lambda x: x * 1.0)
    message = found(half, [1.0], order=1, rtol=0.5)
    assert "d sum(c * f) / d argument 0 along a random direction is " in message
    first, second = map(float, re.search(r"is (\S+) by the gradient, (\S+) by differences", message).groups())
    assert first / second == pytest.approx(0.55, rel=1e-6)
    check_gradients(half, [1.0], order=1, rtol=0.9)


def test_differences_that_do_not_settle_are_told():
    assert "Differences settle to 3 only: try another point" in found(lambda x: th.sin(x * 1e4), [1.0], order=1)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda g: g.ravel(), "argument 0 has shape (2, 1), its gradient (2,). Along axes that were broadcast"),
        (lambda g: g.astype(np.float32), "argument 0 is float64, its gradient float32"),
    ],
)
def test_a_gradient_of_another_form_is_found(spoil, words, monkeypatch):
    """As an engine would leave it that forgot to sum, or to convert."""
    gradients = derivative.gradients
    monkeypatch.setattr(derivative, "gradients", lambda *args, **kwargs: [spoil(g) for g in gradients(*args, **kwargs)])
    assert words in found(th.sin, np.ones((2, 1)), order=1)
