"""Random programs: they run, print as Python that runs, reach every operation, and stay where all of it is smooth."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings

import tinyhyper as th
from tinyhyper.testing import check_gradients, programs
from tinyhyper.testing.operations import OPERATIONS
from tinyhyper.testing.program import Builder, Program, Step


def values(program):
    return [out.numpy() for out in program.run([th.tensor(x) for x in program.inputs])]


@given(program=programs())
def test_a_program_prints_as_python_that_computes_the_same(program):
    names = {}
    exec(str(program), names)
    assert all(names[f"x{n}"].requires_grad for n in range(len(program.inputs)))
    for out, expected in zip(names["outputs"], values(program), strict=True):
        assert np.array_equal(out.numpy(), expected)


@given(program=programs() | programs(operations=["broadcast_to", "diagonal"]))
def test_values_are_finite_and_moderate(program):
    for out in values(program):
        assert out.dtype == np.float64 and 0 < out.size <= 200 and np.all(np.abs(out) < 1e3)


@settings(max_examples=10)
@given(program=programs(max_steps=3))
def test_derivatives_are_those_of_differences(program):
    check_gradients(lambda *xs: tuple(program.run(xs)), *program.inputs, order=1)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_reached(name):
    """A row that never fits would be tested by nothing."""
    one = settings(phases=[Phase.generate], max_examples=1000)  # any will do, not the smallest
    found = find(programs(max_steps=3, operations=[name]), lambda p: name in {s.name for s in p.steps}, settings=one)
    assert {step.name for step in found.steps} <= {name, "tanh", "cosh", "sin"}


def test_outputs_are_what_no_step_reads():
    program = Program((np.ones(2), np.ones(3)), (Step("sum", (0,), {"axis": None, "keepdims": False}),))
    assert program.outputs == [1, 2]
    assert [out.shape for out in values(program)] == [(3,), ()]


def test_whether_inputs_broadcast():
    for shapes, together in {((2, 3), (3,)): True, ((2, 1), (1, 3), ()): True, ((2,), (3,)): False}.items():
        assert Program(tuple(map(np.ones, shapes)), ()).broadcasts == together


@pytest.mark.parametrize(
    "array, step, kept",
    [
        (np.array([2.0]), Step("exp", (0,), {}), True),
        (np.array([30.0]), Step("exp", (0,), {}), False),
        (np.array([np.nan]), Step("exp", (0,), {}), False),
        (np.ones((1, 1)), Step("diagonal", (0,), {"offset": 1}), False),
        (np.ones(2), Step("broadcast_to", (0,), {"shape": (200, 2)}), False),
    ],
)
def test_what_is_large_or_empty_is_no_step(array, step, kept):
    builder = Builder(None, [])
    first = builder._keep(array, None)
    with np.errstate(over="ignore"):
        assert (builder._apply(step) is not None) == kept
    assert builder.made == [None, step][: 1 + kept] and first == 0
