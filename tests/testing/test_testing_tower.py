"""Random towers: they print as Python that builds the same, all levels tune something, and a run stays finite."""

import warnings

import numpy as np
import pytest
from backends import elementwise_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

import tinyhyper as th
from tinyhyper.optim.ranges import in_range
from tinyhyper.testing import towers


def numbers(optimizer):
    return [(type(level), level.hyperparameters, level._tuned) for level in optimizer.levels]


@given(tower=towers(names=("w", "b")))
def test_hypothesis_shows_a_tower_as_it_prints(tower):
    assert repr(tower) == str(tower) == pretty(tower)


@pytest.mark.slow
@given(tower=towers(names=("w", "b")))
def test_a_tower_prints_as_python_that_builds_the_same(tower):
    built = eval(str(tower), {"th": th})
    assert str(built) == str(tower.build()) and numbers(built) == numbers(tower.build())
    params = [{name: th.tensor(np.array([1.0, -2.0]), requires_grad=True) for name in "wb"} for _ in range(2)]
    for optimizer, weights in zip((built, tower.build()), params):
        th.sum(th.square(weights["w"]) + weights["b"]).backward(create_graph=True)
        optimizer.step(weights)
    assert all(params[0][name].numpy().tobytes() == params[1][name].numpy().tobytes() for name in "wb")


@given(tower=towers())
def test_every_level_but_the_top_tunes_something(tower):
    assert all(level._tuned for level in tower.build().levels[:-1])


@pytest.mark.slow
@settings(max_examples=200)
@given(tower=towers(names=("w", "b")), seed=st.integers(0, 9_999), size=st.sampled_from([0.1, 1.0, 3.0]))
def test_a_few_steps_on_a_quadratic_stay_finite_and_in_range(tower, seed, size):
    elementwise_backend("numpy")  # kernels would be compiled for every tower
    rng, optimizer = np.random.default_rng(seed), tower.build()
    params = {
        name: th.tensor(rng.normal(size=shape), requires_grad=True) for name, shape in {"w": (3, 2), "b": (2,)}.items()
    }
    curvatures, goals = ({name: rng.random(w.shape) for name, w in params.items()} for _ in range(2))
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as is given where a hyperparameter leaves its range
        for _ in range(6):
            terms = [th.sum(size * (0.5 + curvatures[n]) * th.square(params[n] - goals[n])) for n in params]
            losses.append(terms[0] + terms[1])
            losses[-1].backward(create_graph=True)
            optimizer.step(params)
            for level in optimizer.levels:
                spans = {key: level.table[row].range for key, row in level._rows.items()}
                assert all(in_range(level.hyperparameters[key], span) for key, span in spans.items())
                assert np.isfinite([*level.hyperparameters.values()]).all()
    values = [loss.item() for loss in losses]
    assert max(values) < 3 * values[0] and len(set(values)) > 1
