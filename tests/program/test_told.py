"""What is wrong with a replayed run is told: by our errors, as early as can be, and in words that say what to do."""

import numpy as np
import pytest
from drawn_towers import snapshot
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam

WRONG = [None, [np.zeros(3)], 0.0, "x"]
STEPS = 12


def adam():
    return Adam(0.01, optimizer=SGD(1e-4))


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_carried_is_an_array(wrong):
    with pytest.raises(th.DtypeError, match=rf"carry\['s'\] is an array .*not a {type(wrong).__name__}"):
        th.replay(loss_of, *make(adam()), carry={"s": wrong})


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("step", [0, STEPS - 1])
def test_what_the_loss_puts_into_carry_is_an_array(wrong, step):
    """While steps are recorded, and where another shape of the batch makes a step eager."""
    state = {"s": np.zeros(2)}
    params, tower = make(adam())

    def loss(params, x, y):
        mean = 0.5 * th.tensor(state["s"]) + th.mean(x, 0)[:2]
        state["s"] = wrong if tower.t == step else mean.numpy()
        return loss_of(params, x, y) + th.sum(mean)

    train = th.replay(loss, params, tower, carry=state)
    for batch in batches(step):
        train(*batch)
    before = snapshot(tower, params)
    with pytest.raises(th.DtypeError, match=r"carry\['s'\] is an array"):
        train(*batches(1, rows=5)[0])
    assert snapshot(tower, params) == before


@pytest.mark.parametrize("wrong", [np.ones((3, 2)), None])
@pytest.mark.parametrize("steps", [0, STEPS])
def test_params_are_tensors(wrong, steps):
    params, tower = make(adam())
    train = th.replay(loss_of, params, tower)
    for batch in batches(steps):
        train(*batch)
    params["w"] = wrong
    before = tower.t
    for call in (lambda: train(*batches(1)[0]), lambda: th.replay(loss_of, params, tower)):
        with pytest.raises(th.DtypeError, match=rf"params\['w'\] is a {type(wrong).__name__}; make it with th.tensor"):
            call()
    assert tower.t == before
    params["w"] = th.tensor(np.ones((3, 2)), requires_grad=True)
    train(*batches(1)[0])
    with pytest.raises(th.ArgumentError, match="params is empty"):
        th.replay(loss_of, {}, tower)
