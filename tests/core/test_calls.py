"""Contexts with and without their parentheses. What is said without them stands in the table of bad_input."""

import inspect

import tinyhyper as th


def test_contexts_are_as_ever_with_their_parentheses():
    with th.no_grad():
        assert not (th.tensor(1.0, requires_grad=True) * 2).requires_grad

    @th.no_grad()
    def f(x):
        return x * 2

    assert not f(th.tensor(1.0, requires_grad=True)).requires_grad
    with th.detect_anomaly():
        th.exp(1.0)


def test_the_signature_of_a_context_is_what_it_takes():
    assert not inspect.signature(th.no_grad).parameters
    assert [*inspect.signature(th.record).parameters] == ["ghosts", "rewind"]
