"""Coordinates: a hyperparameter that moves stays strictly inside its range."""

import math
import pickle

import numpy as np
import pytest
from backends import elementwise_backend
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.optim import COORDINATES, SGD, Adam, RMSProp

BOUNDED = [name for name, coordinate in COORDINATES.items() if math.isfinite(coordinate.low)]


def test_some_coordinates_are_bounded():
    assert BOUNDED == ["log", "sqrt", "unit"] and COORDINATES["linear"].inside() is COORDINATES["linear"]


@pytest.mark.parametrize("name", BOUNDED)
@given(u=st.floats(allow_nan=False))
def test_no_end_of_the_range_is_reached(name, u):
    coordinate = COORDINATES[name].inside()
    assert coordinate.low < float(coordinate.value(u)) < coordinate.high


@pytest.mark.parametrize("name", BOUNDED)
@given(u=st.floats(-15.0, 15.0))
def test_inside_nothing_differs(name, u):
    coordinate = COORDINATES[name]
    x, y = (th.tensor(u, requires_grad=True) for _ in range(2))
    values = [coordinate.value(x), coordinate.inside().value(y)]
    for value in values:
        if value.item() > 1e-300:  # u * u of a tiny u
            value.backward()
    assert values[1].item() == max(values[0].item(), 2.0**-1022)
    assert (x.grad is None) == (y.grad is None) and (x.grad is None or x.grad.item() == y.grad.item())


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(u=st.floats(-1e300, 1e300))
def test_nor_is_it_in_a_step(name, backend, dtype, u):
    """However far the level above, or a user, has moved it."""
    elementwise_backend(backend)
    optimizer = SGD(0.5, optimizer=SGD(1e-3), coordinates={"alpha": name})
    optimizer.parameters["alpha"].data = u
    params = {"w": th.tensor([1.0], requires_grad=True, dtype=dtype)}
    params["w"].grad = th.tensor([0.0], dtype=dtype)
    optimizer.step(params)
    coordinate = COORDINATES[name]
    assert coordinate.low < optimizer.hyperparameters["alpha"] < coordinate.high
    if optimizer.hyperparameters["alpha"] < 1e38:
        assert params["w"].item() == 1.0


@pytest.mark.parametrize("make, name", [(Adam, "beta1"), (Adam, "beta2"), (RMSProp, "gamma")])
def test_a_level_above_that_is_far_too_fast_leaves_everything_finite(make, name):
    for rate in (1.0, 10.0, 1e4, -10.0, -1e4):
        above = SGD({name: abs(rate)})
        if rate < 0:
            above.parameters[f"{name}_alpha"].data = rate
        optimizer = make(0.01, optimizer=above, on_nonfinite="skip")
        params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
        for _ in range(60):
            th.sum(params["w"] ** 2).backward()
            optimizer.step(params)
            assert 0.0 < optimizer.hyperparameters[name] < 1.0
        assert optimizer.skipped == 0 and np.isfinite(params["w"].numpy()).all()


@pytest.mark.parametrize("name", COORDINATES)
def test_a_coordinate_can_be_pickled(name):
    for coordinate in (COORDINATES[name], COORDINATES[name].inside()):
        assert pickle.loads(pickle.dumps(coordinate)) == coordinate
