"""The public operations as a whole."""

import inspect

import numpy as np
import pytest

import tinyhyper as th

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
