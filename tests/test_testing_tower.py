"""Random towers: they print as Python that builds the same, and every level of them has something to tune."""

import numpy as np
from hypothesis import given

import tinyhyper as th
from tinyhyper.testing import towers


def numbers(optimizer):
    return [(type(level), level.hyperparameters, level._tuned) for level in optimizer.levels]


@given(tower=towers(names=("w", "b")))
def test_a_tower_prints_as_python_that_builds_the_same(tower):
    assert repr(tower) == str(tower)
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
