"""The ranges of hyperparameters: where they end, and what has run off."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.optim import COORDINATES, SGD, AdaDelta, AdaGrad, Adam, AdamW, Hyperparameter, RMSProp
from tinyhyper.optim.ranges import RangeWatch, admits

FRACTIONS = {"mu", "rho", "gamma", "beta1", "beta2"}
ROWS = [(cls, row) for cls in (SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW) for row in cls.table]
FAR = {  # in its coordinate, the numbers at which an alpha that was `value` has run off
    "linear": lambda value: (-1e6 * max(value, 1.0), 1e6 * max(value, 1.0)),
    "sqrt": lambda value: (-1e3 * math.sqrt(max(value, 1.0)), 1e3 * math.sqrt(max(value, 1.0))),
    "log": lambda value: (-700.0, math.log(1e6 * max(value, 1.0))),
    "unit": lambda value: (-18.0, 18.0),
}


def told(optimizer, row, internal):
    """What a step warns of that finds a hyperparameter at this number, and moves next to nothing."""
    optimizer.parameters[row].data = internal
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    params["w"].grad = th.tensor(np.full(2, 1e-300))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.step(params)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("coordinate", FAR)
@given(value=st.floats(1e-3, 0.999) | st.floats(1.0, 1e9), end=st.sampled_from([0, 1]))
def test_a_hyperparameter_has_run_off_at_a_million_times_its_value_or_at_the_end_of_its_range(coordinate, value, end):
    value = value if coordinate != "unit" else min(value, 0.999)
    number = FAR[coordinate](value)[end]
    for outside in (False, True):
        optimizer = SGD(value, coordinates={"alpha": coordinate}, optimizer=SGD(1.0))
        found = told(optimizer, "alpha", number * (1.0 + (1e-7 if outside else -1e-7)))
        assert len(found) == outside and all("alpha of level 0 has run off to " in words for words in found)


@pytest.mark.parametrize("coordinate", FAR)
@given(value=st.floats(1e-3, 0.999) | st.floats(1.0, 1e9), end=st.sampled_from([0, 1]))
def test_at_its_bound_itself_it_has_run_off(coordinate, value, end):
    value = value if coordinate != "unit" else min(value, 0.999)
    optimizer = SGD(value, coordinates={"alpha": coordinate}, optimizer=SGD(1.0))
    bound = optimizer.hooks[RangeWatch]._bounds[0][1 + end]
    assert math.isclose(bound, FAR[coordinate](optimizer.hyperparameters["alpha"])[end])
    assert len(told(optimizer, "alpha", bound)) == 1


@pytest.mark.parametrize("coordinate, value", [("log", 0.0), ("sqrt", 0.0), ("unit", 0.0), ("unit", 1.0)])
def test_what_is_tuned_does_not_begin_on_an_end_of_its_coordinate(coordinate, value):
    words = rf"^SGD: alpha={value} is outside \(0, \w+\), the range of {coordinate} coordinates"
    with pytest.raises(th.ArgumentError, match=words):
        SGD(value, coordinates={"alpha": coordinate}, optimizer=SGD(1.0))


@pytest.mark.parametrize("default, any_value", [(-0.1, True), (0.0, False), (0.5, False), (1.0, False), (1.1, True)])
def test_a_default_outside_the_range_admits_any_value_and_one_on_its_ends_does_not(default, any_value):
    row = Hyperparameter(default, range=(0.0, 1.0))
    assert admits(row, 2.0) == admits(row, -1.0) == any_value and admits(row, 0.0) and admits(row, 1.0)


@given(mu=st.floats(-1.0, 2.0) | st.sampled_from([-1e-9, 0.0, 1.0 - 1e-9, 1.0]))
@example(mu=0.0)
@example(mu=1.0)
def test_the_low_end_belongs_to_a_range_and_the_high_end_does_not(mu):
    outside = not 0.0 <= mu < 1.0
    optimizer = SGD(0.1, 0.9, optimizer=SGD(1e-3), on_nonfinite="raise")
    found = told(optimizer, "mu", mu)
    assert len(found) == outside
    for words in found:
        assert f"is {mu:.4g}, outside its range from 0 to 1. To do: " in words and "{'mu': 'unit'}" in words


@pytest.mark.parametrize("coordinate", ["log", "sqrt"])
@pytest.mark.parametrize("mu, outside", [(0.5, False), (1.5, True)])
def test_an_end_that_the_coordinate_leaves_open_is_watched(coordinate, mu, outside):
    optimizer = SGD(0.1, 0.9, coordinates={"mu": coordinate}, optimizer=SGD(1e-3), on_nonfinite="raise")
    assert len(told(optimizer, "mu", COORDINATES[coordinate].internal(mu))) == outside


@pytest.mark.parametrize("cls, row", ROWS)
def test_an_optimizer_begins_inside_its_ranges_and_nowhere_else(cls, row):
    for wrong in (-1e-9, *([1.0 + 1e-9] if row in FRACTIONS else [])):
        with pytest.raises(th.ArgumentError, match=f"^{cls.__name__}: {row}="):
            cls(**{row: wrong})
    for right in (cls().hyperparameters[row], 0.5, *([] if row in FRACTIONS else [2.0])):
        optimizer = cls(**{row: right}, tune=(row,), optimizer=SGD(1.0), on_nonfinite="raise")
        assert told(optimizer, row, optimizer.parameters[row].numpy()) == []
