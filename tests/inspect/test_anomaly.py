"""The first NaN or infinity is blamed on what made it: the operation, its line, the step and level; nothing else is."""

import gc
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from backends import compiler_is_off, elementwise_backend
from drawn_towers import SEEDS, snapshot
from hypothesis import given
from hypothesis import strategies as st
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.core.tape import NOBODY, Node, current
from tinyhyper.ops.operation import OPERATIONS
from tinyhyper.optim import SGD, Adam, RMSProp
from tinyhyper.testing import alive, collector_off

HERE = Path(__file__).name


def leaf(*values):
    return th.tensor(values, requires_grad=True)


def anomaly(function, *args):
    """The message of the anomaly in a call."""
    before = current().watcher
    with pytest.raises(th.AnomalyError) as error, th.detect_anomaly():
        function(*args)
    assert current().watcher is before
    return str(error.value)


def line_of(function):
    return f"{HERE}:{function.__code__.co_firstlineno}"


# Forward.

ELEMENTWISE = {
    "log": (lambda x: th.log(x), [1.0, 0.0], "-infinity at [1]: log(0)"),
    "log1p": (lambda x: th.log1p(x), [0.0, -2.0], "NaN at [1]: log1p(-2)"),
    "sqrt": (lambda x: th.sqrt(x), [1.0, -1.0], "NaN at [1]: sqrt(-1)"),
    "divide": (lambda x: 1.0 / x, [0.0, 1.0], "infinity at [0]: divide(1, 0)"),
    "reciprocal": (lambda x: np.reciprocal(x), [0.0, 1.0], "infinity at [0]: reciprocal(0)"),
    "power": (lambda x: x**0.5, [1.0, -4.0], "NaN at [1]: power(-4, 0.5)"),
    "exp": (lambda x: th.exp(x), [1.0, 800.0], "infinity at [1]: exp(800)"),
    "expm1": (lambda x: th.expm1(x), [1.0, 800.0], "infinity at [1]: expm1(800)"),
    "sinh": (lambda x: th.sinh(x), [1.0, -800.0], "-infinity at [1]: sinh(-800)"),
    "cosh": (lambda x: th.cosh(x), [1.0, 800.0], "infinity at [1]: cosh(800)"),
    "arcsin": (lambda x: th.arcsin(x), [1.0, 2.0], "NaN at [1]: arcsin(2)"),
    "arccos": (lambda x: th.arccos(x), [1.0, 2.0], "NaN at [1]: arccos(2)"),
    "square": (lambda x: th.square(x), [1.0, 1e200], "infinity at [1]: square(1e200)"),
    "multiply": (lambda x: x * 1e200, [1.0, -1e200], "-infinity at [1]: multiply(-1e200, 1e200)"),
    "add": (lambda x: x + x, [1.0, 1.7e308], "infinity at [1]: add(1.7e308, 1.7e308)"),
    "subtract": (lambda x: x - (-x), [1.0, 1.7e308], "infinity at [1]: subtract(1.7e308, -1.7e308)"),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["auto"] if compiler_is_off() else ["auto", "numba"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_elementwise_operation_is_named_with_its_numbers(name, backend):
    elementwise_backend(backend)
    function, values, words = ELEMENTWISE[name]
    message = anomaly(function, leaf(*values))
    assert message.startswith(f"{name} made {words}, in the forward pass, {line_of(function)}.")
    assert "To do: " in message


@pytest.mark.parametrize("dtype, size", [("f4", 1e19), ("f8", 1e154)])
def test_a_pass_that_begins_at_infinity_is_told_though_it_leaves_0_in_silence(dtype, size):
    w = th.tensor([size, -2 * size], requires_grad=True, dtype=dtype)
    loss = th.log(th.sum(th.square(w)))
    message = anomaly(loss.backward)
    assert not w.grad.numpy().any()
    assert message.startswith(f"the backward pass at {HERE}:") and "began at infinity, so what it has left" in message
    assert "no operation in this block made it: it was there before this block" in message
    with th.detect_anomaly():
        (th.tensor([-np.inf, 0.0]) + w).backward([0.0, 1.0])  # as a mask, no loss


@pytest.mark.parametrize("loss", [lambda x: th.log(th.sum(x)), lambda x: th.log(x), th.fuse(lambda x: th.log(x) + 1.0)])
def test_nobody_is_told_to_add_a_number_to_a_loss_whose_logarithm_is_descended(loss):
    for values in ([0.0], [-1.0]):
        message = anomaly(loss, leaf(*values))
        assert "`scaled` in docs/hypergradients.md" in message and "add a small number" not in message
        with th.record() as tape:
            loss(leaf(*values))
        (found,) = th.inspect.check(tape)
        assert "`scaled` in docs/hypergradients.md" in found.advice
    assert "add a small number" in anomaly(th.log, leaf(0.0, 1.0))


PLANTED = {
    "sum": lambda x: th.sum(x, 0),
    "mean": lambda x: th.mean(x),
    "prod": lambda x: th.prod(x, 1),
    "max": lambda x: th.max(x, 0),
    "var": lambda x: th.var(x),
    "std": lambda x: th.std(x),
    "logsumexp": lambda x: th.logsumexp(x),
    "cumsum": lambda x: th.cumsum(x, 0),
    "norm": lambda x: th.norm(x),
    "matmul": lambda x: x @ x,
    "transpose": lambda x: x.T,
    "reshape": lambda x: th.reshape(x, (4,)),
    "concatenate": lambda x: th.concatenate([x, x]),
    "stack": lambda x: th.stack([x, x]),
    "take": lambda x: th.take(x, [0, 1], 0),
    "flip": lambda x: th.flip(x),
    "roll": lambda x: th.roll(x, 1),
    "softmax": lambda x: th.softmax(x),
    "log_softmax": lambda x: th.log_softmax(x),
    "einsum": lambda x: th.einsum("ij->i", x),
    "lstm": lambda x: th.lstm(x.reshape(2, 1, 2), np.ones((2, 4)), np.ones((1, 4))),
    "conv2d": lambda x: th.conv2d(x.reshape(1, 2, 2, 1), np.ones((1, 1, 1, 1))),
}


@pytest.mark.parametrize("name", PLANTED)
def test_any_other_operation_is_named(name, monkeypatch):
    """A NaN is planted in what it computes."""
    function = PLANTED[name]
    with th.record() as tape:
        function(th.tensor(np.eye(2) + 1.0))
    names = [node.op for node in tape.nodes if node.kind == "operation" and node.op in OPERATIONS]
    if not names:
        pytest.skip("made of elementwise operations and recurrent ones alone")
    planted = OPERATIONS[names[-1]]
    forward = planted.forward

    def spoilt(*args, **kwargs):
        out = np.array(forward(*args, **kwargs))
        out.flat[-1] = np.nan
        return out

    monkeypatch.setattr(planted, "forward", spoilt)
    message = anomaly(function, th.tensor(np.eye(2) + 1.0))
    assert message.startswith(f"{'lstm' if name == 'lstm' else names[-1]} made NaN"), message
    assert f"in the forward pass, {line_of(function)}." in message


@given(seed=SEEDS, place=st.integers(0, 5), length=st.integers(6, 9), fused=st.booleans())
def test_in_a_random_program_the_planted_line_is_found(seed, place, length, fused):
    rng = np.random.default_rng(seed)
    smooth = [lambda x: th.tanh(x), lambda x: th.sin(x) * 2.0, lambda x: x @ np.eye(3), lambda x: th.softmax(x, -1)]
    bad = th.fuse(lambda x: th.log(x - x) + 1.0) if fused else lambda x: th.log(0.0 * x)
    chain = [smooth[n] for n in rng.integers(0, len(smooth), length)]
    chain[place] = bad

    def program(x):
        for step in chain:
            x = step(x)
        return x

    message = anomaly(program, th.tensor(rng.standard_normal((2, 3)), requires_grad=True))
    assert message.startswith("log inside <lambda> made -infinity" if fused else "log made -infinity")
    if not fused:
        assert f"{HERE}:{bad.__code__.co_firstlineno}" in message


def test_inside_a_fused_function_the_operation_is_named():
    @th.fuse
    def cost(x, y):
        return th.square(x) / (y - 1.0) + th.exp(x)

    message = anomaly(lambda: cost(leaf(1.0, 2.0), leaf(0.5, 1.0)))
    assert message.startswith("divide inside cost made infinity at [1]: divide(4, 0)")
    assert "2 at [1]; operand 1 of shape (2,), 1 at [1]" in message and "the divisor is 0" in message


# Backward.

BACKWARD = {
    "sqrt": (lambda x: th.sqrt(x), [0.0, 1.0], "divide made infinity at [0]: divide(0.5, 0)"),
    "power": (lambda x: x**0.5, [0.0, 1.0], "power made infinity at [0]: power(0, -0.5)"),
    "arcsin": (lambda x: th.arcsin(x), [1.0, 0.0], "arc_slope made infinity at [0]"),
    "arccos": (lambda x: th.arccos(x), [1.0, 0.0], "arc_slope made infinity at [0]"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_in_a_backward_pass_the_forward_line_is_named(name):
    function, values, words = BACKWARD[name]
    x = leaf(*values)

    def backward():
        loss = th.sum(function(x))
        loss.backward()

    message = anomaly(backward)
    assert words in message, message
    began = f"{HERE}:{backward.__code__.co_firstlineno + 2}."
    assert f"in the backward pass of {name}, {line_of(function)}, begun at {began}" in message
    assert x.grad is None and "infinite at" in message


def test_zero_times_infinity_in_a_backward_pass():
    """The quotient is finite, its derivative is 0 times infinity."""

    def division(x):
        y = th.exp(x)
        z = y / 1e300
        return z * 0.0

    x = leaf(1.0)
    with th.detect_anomaly():
        th.sum(division(x)).backward()
    y = th.tensor([1e-200], requires_grad=True)
    message = anomaly(lambda: th.sum(1.0 / y).backward())
    assert message.startswith("multiply made -infinity") and "backward pass of divide" in message


def test_a_derivative_of_a_derivative_names_the_first_line():
    x = leaf(0.0)

    def cube_root(x):
        return th.sum(x**1.5)

    def twice():
        loss = cube_root(x)
        (g,) = th.gradients(loss, x, create_graph=True)
        th.sum(g).backward()

    message = anomaly(twice)
    assert f"in the backward pass of power, {HERE}:{cube_root.__code__.co_firstlineno + 1}, begun at" in message


# What is meant, and what came in.


def test_infinities_that_are_meant_pass():
    mask = np.array([0.0, -np.inf])
    with th.detect_anomaly():
        w = leaf(1.0, 2.0)
        th.sum(th.softmax(w + mask)).backward()
        th.sum(th.exp(th.where(np.array([True, False]), w, -np.inf))).backward()
        th.fuse(lambda a: th.where(a > 1.5, -math.inf, a))(w)
        th.fuse(lambda a: th.where(a < 1.5, -math.inf, th.log(a - 1.0)))(w)  # log(0), in the branch not taken
        th.max_pool2d(th.tensor(np.ones((1, 3, 3, 1)), requires_grad=True), 2, padding=1).sum().backward()
        th.logsumexp(w + mask).backward()
        Adam(0.01, 0.0, 0.9).step({"w": w})


def test_beside_what_is_meant_a_fault_is_found():
    def masked(x):
        return th.fuse(lambda a: th.where(a > 5.0, -math.inf, th.log(a)))(x)

    with th.detect_anomaly():
        masked(leaf(9.0, 1.0))
        th.where(np.array([True, False]), leaf(1.0, 2.0), -np.inf)
    assert anomaly(masked, leaf(9.0, 0.0)).startswith("log inside <lambda> made -infinity at [1]: log(0)")
    message = anomaly(lambda: th.sum(leaf(1.0, 2.0) * np.array([np.inf, 1.0]) * 0.0))
    assert message.startswith("multiply made NaN at [0]: multiply(inf, 0)")


def test_nan_in_the_data_is_told_when_it_spoils_a_gradient():
    data = np.array([1.0, np.nan])

    def loss(w):
        return th.sum(w * data)

    with th.detect_anomaly():
        loss(leaf(1.0, 2.0))
        th.sum(th.where(np.isnan(data), 0.0, leaf(1.0, 2.0) + data)).backward()
    message = anomaly(lambda: loss(leaf(1.0, 2.0)).backward())
    assert message.startswith("multiply passes on NaN, in the backward pass of multiply")
    assert f"it was first read by multiply, {HERE}:{loss.__code__.co_firstlineno + 1}. Look at the data" in message


# Towers.


def train(optimizer, params, steps, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        loss_of(params, th.tensor(rng.standard_normal((4, 3)))).backward()
        optimizer.step(params)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SGD(1e200), r"as level 0 moves w, .*, step 1"),
        (lambda: SGD(0.1, optimizer=SGD(1e200)), r"as level 1 moves alpha, .*, step 1"),
        (lambda: SGD(0.1, optimizer=SGD(0.1, optimizer=SGD(1e200))), r"as level 2 moves kappa, .*, step 1"),
    ],
)
def test_a_step_is_named_with_its_level_and_changes_nothing(make, words):
    optimizer, params = make(), make_params(np.random.default_rng(0))
    for tensor in [*params.values(), *[level.parameters["alpha"] for level in optimizer.levels[:-1]]]:
        tensor.grad = th.tensor(np.full(tensor.shape, 1e200))
    before = snapshot(optimizer, params)
    message = anomaly(optimizer.step, params)
    assert re.match(r"multiply inside SGD.rule made infinity", message) and re.search(words, message)
    assert "smaller alpha" in message and snapshot(optimizer, params) == before


def test_a_gradient_from_before_the_block_is_told_as_it_reaches_a_weight():
    optimizer, params = SGD(0.1), {"w": leaf(1.0, 2.0)}
    params["w"].grad = th.tensor([0.0, np.inf])
    message = anomaly(optimizer.step, params)
    assert "SGD.rule passes on infinity, as level 0 moves w" in message and "was there before this block" in message


def test_the_step_is_the_optimizers_own():
    optimizer, params = Adam(0.01, optimizer=SGD(1e-4)), make_params(np.random.default_rng(0))
    train(optimizer, params, 3)

    def fails():
        train(optimizer, params, 2)
        th.log(params["b"] * 0.0)

    message = anomaly(fails)
    assert message.startswith("log made -infinity at [0]: log(0)") and "step 5." in message


@pytest.mark.parametrize("make", [lambda: Adam(0.01, optimizer=RMSProp(1e-5)), lambda: SGD(0.1, 0.9, clip_norm=0.1)])
def test_watched_or_not_the_numbers_are_the_same(make):
    results = []
    for watched in (False, True):
        optimizer, params = make(), make_params(np.random.default_rng(0))
        if watched:
            th.detect_anomaly()(train)(optimizer, params, 5)
        else:
            train(optimizer, params, 5)
        results.append(snapshot(optimizer, params))
    assert results[0] == results[1]


def test_a_hyperparameter_that_leaves_its_range_is_told():
    optimizer, params = SGD(0.1, optimizer=SGD(1.0)), {"w": leaf(1.0, 2.0)}
    params["w"].grad, optimizer.parameters["alpha"].grad = th.tensor([0.0, 0.0]), th.tensor(1.0)
    with warnings.catch_warnings(record=True) as caught, th.detect_anomaly():
        warnings.simplefilter("always")
        optimizer.step(params)
    (told,) = caught
    assert str(told.message).startswith("hyperparameter alpha of level 0 is -0.9, outside its range from 0 up")
    assert told.category is th.AnomalyWarning and told.filename == __file__


# The block.


def test_layers_raise_no_false_alarm():
    rng = np.random.default_rng(0)
    with th.detect_anomaly():
        x = th.tensor(rng.standard_normal((4, 6, 6, 2)).astype(np.float32), requires_grad=True)
        y = th.batch_norm(
            th.conv2d(x, np.ones((3, 3, 2, 2), np.float32)), np.ones(2, np.float32), np.zeros(2, np.float32)
        )
        th.sum(y[0] if isinstance(y, tuple) else y).backward()
        hs, _ = th.lstm(rng.standard_normal((3, 2, 4)), leaf(*np.ones((4, 12))), np.ones((3, 12)))
        th.cross_entropy(hs[-1], np.array([0, 1])).backward()


def test_it_is_off_outside_and_after_an_error_and_nests():
    assert current().watcher is NOBODY
    with th.detect_anomaly():
        watch = current().watcher
        with th.detect_anomaly():
            assert current().watcher is not watch
        with th.record() as tape:
            th.log(leaf(0.0))
        assert current().watcher is watch and len(tape.nodes) == 2
    assert current().watcher is NOBODY

    @th.detect_anomaly()
    def decorated(depth):
        return decorated(depth - 1) if depth else th.log(leaf(0.0))

    with pytest.raises(th.AnomalyError):
        decorated(2)
    assert current().watcher is NOBODY
    th.log(leaf(0.0))


def test_it_keeps_no_graph_alive():
    optimizer, params, counts = Adam(0.01, optimizer=SGD(1e-4)), make_params(np.random.default_rng(0)), []
    gc.collect()  # what earlier tests left must not go in the midst of counting
    with th.detect_anomaly(), collector_off():
        for _ in range(6):
            train(optimizer, params, 1)
            counts.append((alive(Node, th.Tensor), len(current().watcher._origins)))
    assert counts[2:] == counts[2:3] * 4


def test_in_a_graph_from_before_the_block_the_backward_pass_is_named():
    loss = th.sum(th.sqrt(leaf(0.0, 1.0)))

    def fails():
        loss.backward()

    message = anomaly(fails)
    line = fails.__code__.co_firstlineno + 1
    assert "divide made infinity at [0]: divide(0.5, 0)" in message
    assert f"in the backward pass begun at {HERE}:{line}." in message


@pytest.mark.parametrize("multiply", [th.multiply, th.fuse(lambda x, y: x * y)])
def test_a_sum_of_finite_terms_that_is_infinite_is_named(multiply):
    data, scale = th.tensor(np.full(10, 1e308)), th.tensor(1e-300, requires_grad=True)
    message = anomaly(lambda: th.gradients(multiply(data, scale), scale, np.ones(10)))
    plain = multiply is th.multiply
    name, made = ("multiply", "sum_to") if plain else ("<lambda>", "sum inside <lambda>.vjp")
    assert message.startswith(f"{made} made infinity, in the backward pass of {name}")
