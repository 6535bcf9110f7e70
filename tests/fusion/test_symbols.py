"""Symbols: how they print, and the zero that removes what it multiplies."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.fusion.symbols import Absent, Symbol


def test_a_symbol_prints_what_it_was_made_of():
    a, b = Symbol(), Symbol()
    assert repr(a) != repr(b) and repr(a) == f"x{a.serial}"
    assert repr(th.tanh(a * b)) == f"tanh(multiply({a!r}, {b!r}))"


def test_none_is_compared_as_python_does_and_not_ordered():
    for x in (Symbol(), th.tensor([1.0, 2.0])):
        assert (x == None) is False and (x != None) is True  # noqa: E711
        with pytest.raises(th.TinyhyperError, match="^less: .*NoneType"):
            x < None  # noqa: B015


OPERATORS = [operator.add, operator.sub, operator.mul]


@given(x=st.floats(-10, 10), other=st.sampled_from(OPERATORS), left=st.booleans())
def test_what_is_absent_counts_as_zero(x, other, left):
    found = other(Absent(), x) if left else other(x, Absent())
    expected = other(0.0, x) if left else other(x, 0.0)
    assert (0.0 if isinstance(found, Absent) else found) == expected


def test_what_multiplies_what_is_absent_is_not_computed():
    x = Symbol()
    for found in (Absent() * x, x * Absent(), Absent() / x, -Absent(), Absent() * np.inf):
        assert isinstance(found, Absent)
    assert Absent() + x is x and x + Absent() is x and x - Absent() is x
    assert repr(Absent() - x) == repr(-x) == f"negative({x!r})"


@pytest.mark.parametrize("zero", [operator.neg, lambda mu: 0.0 - mu, lambda mu: mu - 0.0])
def test_a_rule_may_subtract_a_hyperparameter_that_is_not_in_use(zero):
    class Shrinking(th.optim.Optimizer):
        table = {"alpha": 0.5, "mu": th.optim.Hyperparameter(0.0, optional=True)}

        @staticmethod
        def rule(w, g, *, alpha, mu):
            return w - alpha * g + zero(mu) * w

    params = {"w": th.tensor(3.0, requires_grad=True)}
    th.square(params["w"]).backward()
    Shrinking().step(params)
    assert params["w"].item() == 0.0
