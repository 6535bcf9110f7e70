"""The public operations as a whole."""

import gc
import inspect

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.ops.operation import LONGEST, OPERATIONS, operation
from tinyhyper.testing import collector_off

PLAIN = (int, bool, str, type(None))


def options(function):
    """Its parameters that have a default of a plain kind; nothing of what tells its own none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no function, or one whose parameters are not known
        return {}
    return {p.name: p.default for p in parameters if type(p.default) in PLAIN}


def namesake(name):
    return getattr(np, name, None) or getattr(np.linalg, name, None)


NAMESAKES = [name for name in th.__all__ if options(getattr(th, name)).keys() & options(namesake(name)).keys()]


@pytest.mark.parametrize("name", NAMESAKES)
def test_options_have_numpys_defaults(name):
    ours, numpys = options(getattr(th, name)), options(namesake(name))
    for key in ours.keys() & numpys.keys():
        assert (type(ours[key]), ours[key]) == (type(numpys[key]), numpys[key]), key


def test_some_are_compared():
    assert {"trace", "diagonal", "triu", "var", "sum", "stack", "tensordot"} <= set(NAMESAKES)


X = th.tensor([[1.0, 2.0]])


@pytest.mark.parametrize(
    "call, other",
    [
        (lambda **kw: np.broadcast_to(X, (2, 2), **kw), {"subok": True}),
        pytest.param(
            lambda **kw: np.astype(X, np.float32, **kw),
            {"copy": False},
            marks=pytest.mark.skipif(not hasattr(np, "astype"), reason="np.astype came with NumPy 2.1"),
        ),
        (lambda **kw: np.reshape(X, 2, **kw), {"order": "F"}),
        (lambda **kw: np.concatenate([X, X], **kw), {"casting": "unsafe"}),
        (lambda **kw: np.take(X, 0, **kw), {"mode": "clip"}),
    ],
    ids=["subok", "copy", "order", "casting", "mode"],
)
def test_what_numpy_does_unasked_may_be_asked_for_and_nothing_else(call, other):
    ((key, value),) = other.items()
    usual = {"subok": False, "copy": True, "order": "C", "casting": "same_kind", "mode": "raise"}[key]
    np.testing.assert_array_equal(call(**{key: usual}).data, call().data)
    with pytest.raises(TypeError, match=f"{key}.*{value}"):
        call(**other)


# ---- Operations of one's own


def double(x, /, times=2):
    return times * x


@pytest.mark.parametrize(
    "function, vjps, words",
    [
        (lambda x: x, {"x": lambda g: g}, "put its tensors before a `/`"),
        (double, {"z": lambda g: g}, "double has no input 'z'; its inputs are x"),
        (double, {"x": lambda g, q: g}, "VJP of x in double has a parameter 'q'.* it may have x, out, times, spec"),
    ],
)
def test_a_vjp_that_does_not_fit_its_operation_is_refused(function, vjps, words):
    before = dict(OPERATIONS)
    with pytest.raises(th.ArgumentError, match=words):
        operation(**vjps)(function)
    assert OPERATIONS == before


@pytest.mark.parametrize("name", ["sum_to", "astype", "matmul"])
def test_the_names_of_the_library_are_taken(name):
    def other(x, /):
        return x

    other.__name__ = name
    before = OPERATIONS[name]
    with pytest.raises(th.ArgumentError, match=f"the library has an operation {name} already"):
        operation(x=lambda g: g)(other)
    assert OPERATIONS[name] is before


def test_an_operation_may_be_defined_again(monkeypatch):
    monkeypatch.setattr("tinyhyper.ops.operation.OPERATIONS", dict(OPERATIONS))
    for _ in range(2):
        assert operation(x=lambda g, times: g * times)(double)(th.tensor(1.0)).item() == 2.0


def test_an_option_without_a_default_must_be_given(monkeypatch):
    monkeypatch.setattr("tinyhyper.ops.operation.OPERATIONS", dict(OPERATIONS))

    @operation(x=lambda g, times: g * times)
    def scaled(x, /, times, more=0.0):
        return times * x + more

    with pytest.raises(th.CallError, match=r"scaled: missing .* 'times'; it is scaled\(x, /, times, more=0.0"):
        scaled(1.0)
    assert scaled(1.0, 2.0).item() == scaled(1.0, times=2.0).item() == scaled(1.0, 2.0, 0.0).item() == 2.0


def test_the_vjps_may_not_be_forgotten():
    with pytest.raises(th.CallError, match=r"@operation\(x=lambda g"):
        operation(double)


@pytest.mark.parametrize(
    "vjp, error, words",
    [
        (lambda g: g.numpy(), th.DtypeError, "double: the VJP of x must return a tensor, not a ndarray"),
        (lambda g: g[0], th.ShapeError, r"double: the VJP of x returned a cotangent of shape \(\), .* of shape \(2,\)"),
    ],
)
def test_a_vjp_that_gives_what_is_no_cotangent_is_named(vjp, error, words, monkeypatch):
    monkeypatch.setattr("tinyhyper.ops.operation.OPERATIONS", dict(OPERATIONS))
    x = th.tensor([1.0, 2.0], requires_grad=True)
    out = operation(x=vjp)(double)(x)
    with pytest.raises(error, match=words):
        out.backward([1.0, 1.0])
    assert x.grad is None


def test_a_vjp_may_say_that_nothing_flows(monkeypatch):
    monkeypatch.setattr("tinyhyper.ops.operation.OPERATIONS", dict(OPERATIONS))
    x = th.tensor([1.0, 2.0], requires_grad=True)
    (operation(x=lambda g: None)(double)(x) + x).backward([1.0, 1.0])
    assert x.grad.data.tolist() == [1.0, 1.0]


def test_every_vjp_may_ask_where_it_stands_and_what_the_operands_are(monkeypatch):
    monkeypatch.setattr("tinyhyper.ops.operation.OPERATIONS", dict(OPERATIONS))
    asked = []

    def vjp(g, spec, specs, position):
        asked.append((position, spec.shape, [s.dtype for s in specs]))
        return g

    def first(x, y, /):
        return x + 0.0 * y

    def all_of(xs, /):
        return sum(xs)

    x, y = (th.tensor([1.0], requires_grad=True) for _ in range(2))
    operation(x=vjp, y=vjp)(first)(x, y).backward()
    operation(xs=vjp)(all_of)([x, y]).backward()
    assert asked == [(n, (1,), [np.float64, np.float64]) for n in (0, 1, 0, 1)]


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1])
def test_a_sequence_may_be_of_any_length_and_leaves_nothing_to_collect(length):
    x = th.tensor([1.0, 2.0], requires_grad=True)
    gc.collect()
    with collector_off():
        for _ in range(2):
            (th.stack([x] * length) * np.arange(length)[:, None]).backward(np.ones((length, 2)))
        assert gc.collect() == 0
    assert x.grad.data.tolist() == [length * (length - 1.0)] * 2
