"""Random programs and random towers against PyTorch, where it is installed: the short form of differential.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed: random programs have no second opinion")

import differential  # noqa: E402
import equations  # noqa: E402
import torch_library  # noqa: E402
import torch_tower  # noqa: E402

import tinyhyper as th  # noqa: E402
from tinyhyper.testing import programs, towers  # noqa: E402
from tinyhyper.testing.operations import OPERATIONS  # noqa: E402
from tinyhyper.testing.program import Program, Step  # noqa: E402
from tinyhyper.testing.tower import Level, Tower  # noqa: E402

NAMES = tuple(differential.SHAPES)


@settings(max_examples=200)
@given(program=programs())
def test_values_and_two_derivatives_of_programs(program):
    differential.compare(program)


@settings(max_examples=50)
@given(program=differential.elementwise())
def test_values_and_two_derivatives_of_fused_programs(program):
    differential.compare(program, "numpy")


@pytest.mark.slow
@settings(max_examples=40)
@given(tower=towers(NAMES), seed=st.integers(0, 99))
def test_towers_of_every_kind(tower, seed):
    differential.compare_tower(tower, seed)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=5)
@given(data=st.data())
def test_every_operation(name, data):
    differential.compare(data.draw(programs(max_steps=2, operations=[name])))


def test_a_wrong_derivative_is_found(monkeypatch):
    """The second opinion is asked: where PyTorch's answer is another, the program is printed."""
    steps = Step("tanh", (0,), {}), Step("sum", (1,), {"axis": None, "keepdims": False})
    program = Program((np.array([0.5, 1.5]),), steps)
    differential.compare(program)
    monkeypatch.setitem(torch_library.OTHERS, "tanh", lambda x: torch.tanh(x) + 0.001 * (x - x.detach()))
    with pytest.raises(AssertionError, match=r"gradient of x0(.|\n)*x1 = th.tanh\(x0\)"):
        differential.compare(program)


def test_a_wrong_rule_is_found(monkeypatch):
    """A tower whose momentum is a little less, say."""

    def wrong(w, g, s, h, t, nesterov=False):
        return equations.sgd(w, g, s, {**h, "mu": h["mu"] * 0.999}, t, nesterov)

    monkeypatch.setitem(torch_tower.RULES, "SGD", (wrong, [0.0]))
    level = Level(th.optim.SGD, {"alpha": 0.05, "mu": 0.9, "weight_decay": 0.0}, {})
    with pytest.raises(AssertionError, match=r"step 1(.|\n)*SGD"):
        differential.compare_tower(Tower((level,)), 0)
