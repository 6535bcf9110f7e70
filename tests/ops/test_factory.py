"""Tests of the factory: for each promise a fault is planted, as small as 0.1 %, and the factory must find it.

Each fault is an operation that breaks one promise and keeps the others.
"""

import numpy as np
import pytest
from factory import (
    NONZERO,
    PROPERTIES,
    REAL,
    Row,
    broadcasting,
    constants,
    float32,
    fused,
    gradient,
    integers,
    jacobians,
    ownership,
    release,
    second,
    second_beside_constants,
    slope,
    spellings,
    value,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.core.operation import Elementwise
from tinyhyper.core.rules import multiply
from tinyhyper.core.tensor import Tensor
from tinyhyper.ops.elementwise import cos, sin
from tinyhyper.ops.operation import OPERATIONS, operation

HELD = []  # what a leaking operation keeps


def check(prop, row):
    """Run a property as a test file does; no search for the smallest failure."""

    @settings(max_examples=20, derandomize=True, phases=[Phase.generate], database=None)
    @given(data=st.data())
    def run(data):
        prop(row, data.draw(row.examples))

    run()


def row(call, reference=np.sin, values=(REAL,), **more):
    return Row("planted", reference, broadcasting(values), call=call, numpy=None, method=None, values=values, **more)


def sine(vjp=lambda g, x: g * cos(x), numpy=np.sin):
    """An elementwise sine with a rule of one's own."""
    return elementwise(lambda x: numpy(x), x=vjp)


def elementwise(numpy, **vjps):
    """An elementwise operation that is not in the table."""
    return Elementwise("planted", numpy, "", **vjps)


def planted(forward, **vjps):
    """An operation that leaves no trace in the table."""
    forward.__name__ = "planted"
    made = operation(**vjps)(forward)
    del OPERATIONS["planted"]
    return made


# ---- A faithful operation passes.

wrong_cos = elementwise(np.cos, x=lambda g, x: -1.001 * g * sin(x))


def _sin(x, /):
    return np.sin(x)


FAITHFUL = [
    row(sine()),
    row(planted(_sin, x=lambda g, x: g * cos(x))),
    row(lambda x, y: x * y, np.multiply, (REAL, REAL)),
]


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: prop.__name__)
@pytest.mark.parametrize("number", range(len(FAITHFUL)))
def test_a_faithful_operation_passes(prop, number):
    if prop is not fused or number != 1:
        check(prop, FAITHFUL[number])


# ---- A fault does not.


def _through_input(x, y, /):
    x *= 1.5
    return x * y


def _wide(x, /):
    return np.sin(x).astype(float)


def _narrow_inside(x, /):
    return np.sin(x.astype(np.float32)).astype(x.dtype)


def _product(x, y, /):
    return x * y


def _writing_vjp(g, x):
    g.array[...] = 1.5 * g.array
    return g * cos(x)


def _keeps_everything(x):
    out = th.sin(x)
    HELD.append(out)
    return out


def _needs_no_constant(x, y):
    """Every operand gets an edge, whether it needs one or not."""
    x, y = (t if t.requires_grad else th.tensor(t, requires_grad=True) for t in (x, y))
    return x * y


def _forgets(x):
    """A cut graph: the value is right."""
    return th.sin(x.detach()) + 0.0 * x


_SWAPPED = {"x": lambda g, x: g * x, "y": lambda g, y: g * y}


FAULTS = {
    "a value 0.1 % off": (value, row(sine(numpy=lambda x: 1.001 * np.sin(x)))),
    "a value off by a float32 rounding": (value, row(planted(_narrow_inside, x=lambda g, x: g * cos(x)))),
    "a value of another dtype": (value, row(lambda x: th.astype(th.sin(x), np.float32))),
    "a value of another shape": (value, row(lambda x: th.expand_dims(th.sin(x), 0))),
    "a value that needs no gradient": (value, row(lambda x: th.sin(x.detach()))),
    "a gradient 0.1 % off": (gradient, row(sine(lambda g, x: 1.001 * g * cos(x)))),
    "a gradient 0.1 % off in one entry": (
        gradient,
        row(sine(lambda g, x: g * cos(x) * th.where(x > 1, 1.001, 1.0))),
    ),
    "a gradient of opposite sign": (gradient, row(sine(lambda g, x: -g * cos(x)))),
    "a gradient that ignores the cotangent": (gradient, row(sine(lambda g, x: g * 0.0 + cos(x)))),
    "a constant added to a gradient": (gradient, row(sine(lambda g, x: g * cos(x) + 1e-4))),
    "a gradient that stops": (gradient, row(_forgets)),
    "two gradients exchanged": (
        gradient,
        row(elementwise(np.multiply, **_SWAPPED), np.multiply, (REAL, REAL)),
    ),
    "a gradient that is not summed over a broadcast axis": (
        gradient,
        row(lambda x, y: x * y.detach() + x.detach() * y * (y.size / max(x.size, 1)), np.multiply, (REAL, NONZERO)),
    ),
    "a second derivative 0.1 % off": (second, row(sine(lambda g, x: g * wrong_cos(x)))),
    "a second derivative of zero": (
        second,
        row(planted(_sin, x=lambda g, x: g * np.cos(x.data))),
    ),
    "a derivative in the cotangent that is lost": (second, row(planted(_sin, x=lambda g, x: g.detach() * cos(x)))),
    "an input that is written to": (
        ownership,
        row(
            planted(_through_input, x=lambda g, y: 1.5 * g * y, y=lambda g, x: g * x),
            lambda x, y: 1.5 * x * y,
            (REAL, REAL),
        ),
    ),
    "a cotangent that is written to": (ownership, row(planted(_sin, x=_writing_vjp))),
    "float32 that becomes float64": (float32, row(planted(_wide, x=lambda g, x: g * cos(x)))),
    "float32 that is 0.1 % off": (
        float32,
        row(sine(numpy=lambda x: np.sin(x) * (1 + 0.001 * (x.dtype == np.float32)))),
    ),
    "float32 whose gradient is 0.1 % off": (
        float32,
        row(planted(_sin, x=lambda g, x: g * cos(x) * (1.001 if x.dtype == np.float32 else 1.0))),
    ),
    "whole numbers that stay whole": (integers, row(lambda x: th.astype(th.sin(x), x.dtype))),
    "a whole number that is wrong": (
        integers,
        row(lambda x: th.sin(x) + float(x.dtype.kind in "iu")),
    ),
    "a graph that someone holds": (release, row(_keeps_everything)),
    "a node that is not released": (release, row(sine())),
    "an edge to a constant": (constants, row(_needs_no_constant, np.multiply, (REAL, REAL))),
    "a gradient that depends on what else needs one": (
        constants,
        row(
            lambda x, y: x * y if isinstance(y, Tensor) and y.requires_grad else x * y * 1.001,
            np.multiply,
            (REAL, REAL),
        ),
    ),
    "a second derivative that is lost beside a constant": (
        second_beside_constants,
        row(
            planted(_product, x=lambda g, y: (g if y.requires_grad else g.detach()) * y, y=lambda g, x: g * x),
            np.multiply,
            (REAL, REAL),
        ),
    ),
    "another operation under NumPy's name": (
        spellings,
        Row("sin", np.sin, broadcasting([REAL]), numpy=lambda x: np.sin(x) * 1.0000001),
    ),
    "a NumPy function that gives an array": (
        spellings,
        Row("sin", np.sin, broadcasting([REAL]), numpy=lambda x: np.sin(x.data)),
    ),
    "another operation as a method": (spellings, Row("sum", np.sum, broadcasting([REAL]), method="mean")),
    "another rule when fused": (
        fused,
        row(lambda x: th.sin(x) if isinstance(x, Tensor) else 1.001 * th.sin(x)),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, monkeypatch):
    prop, faulty = FAULTS[fault]
    if fault == "a node that is not released":
        monkeypatch.setattr(th.core.tape.Node, "release", lambda self: None)
    try:
        with pytest.raises(AssertionError):
            check(prop, faulty)
    finally:
        HELD.clear()


def test_every_property_has_a_fault():
    assert {prop for prop, _ in FAULTS.values()} == set(PROPERTIES)


# ---- The oracles themselves.


def test_slope_is_exact_for_quartics_and_nearly_for_others():
    x, d = np.array([0.3, -1.2]), np.array([0.7, 1.0])
    np.testing.assert_allclose(slope(lambda v: v**4, [x], [d]), 4 * x**3 * d, rtol=1e-10)
    np.testing.assert_allclose(slope(np.exp, [x], [d]), np.exp(x) * d, rtol=1e-10)


def test_jacobians_put_the_input_axes_last():
    x, y = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    by_x, by_y = jacobians(np.matmul, [x, y])
    assert by_x.shape == (2, 2, 3) and by_y.shape == (2, 3)
    np.testing.assert_allclose(by_y, x, atol=1e-9)
    np.testing.assert_allclose(by_x[0, 0], y, atol=1e-9)


def test_a_row_that_needs_no_gradient_must_have_none():
    with pytest.raises(AssertionError):
        check(value, row(lambda x, y: multiply(x, y), np.multiply, (REAL, REAL), differentiable=False))
