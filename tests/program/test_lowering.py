"""A lowered program computes the very same numbers."""

import numpy as np
import pytest
from golden_towers import towers
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper.kernels.backend import compiler_is_off
from tinyhyper.optim import SGD, AdaGrad, Adam, RMSProp
from tinyhyper.program import layout
from tinyhyper.program.lowering import Lowered, lowered

TOWERS = towers(SGD, AdaGrad, RMSProp, Adam)
del TOWERS["sgdperparam_sgd"]  # which has rates for other weights


def as_it_is(program):
    return Lowered(program, tuple(tuple(range(len(body.instructions))) for body in program.bodies))


def trained(tower, dtype, count=30):
    run = make(tower, dtype)
    train = th.replay(loss_of, *run)
    x, y = (np.array(entries) for entries in zip(*batches(count, dtype)))
    losses = train.over(x, y)
    hyperparameters = [np.array([*level.hyperparameters.values()]) for level in tower.levels]
    return [losses, *[w.numpy() for w in run[0].values()], *hyperparameters], train


@pytest.mark.skipif(compiler_is_off(), reason="numba is off, so nothing is native")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TOWERS)
def test_what_is_computed_once_for_all_targets_has_the_same_bits(name, dtype, monkeypatch):
    found, train = trained(TOWERS[name](), dtype)
    monkeypatch.setattr(layout, "lowered", as_it_is)
    expected, other = trained(TOWERS[name](), dtype)
    for one, alike in zip(found, expected):
        assert one.tobytes() == alike.tobytes()
    one, alike = (run.program._replace(buffers={}) for run in (train, other))  # which hold scalars in one of them
    assert str(one) == str(alike)


def test_rules_of_many_targets_share_what_they_compute_of_scalars():
    _, train = trained(Adam(1e-2, optimizer=SGD(1e-4)), np.float32, 8)
    program, numbers = lowered(train.program)
    [body], [places] = program.bodies, numbers
    shared = [i for i in body.instructions if i.op.name.endswith(".scalars")]
    assert [i.op.name for i in shared] == ["Adam.rule.vjp.scalars", "Adam.rule.scalars"]
    for original, place in zip(train.program.bodies[0].instructions, places):
        assert body.instructions[place].writes == original.writes
    for made in shared:
        last = max(n for n, i in enumerate(body.instructions) if {*made.writes} & {*i.reads})
        assert {*made.writes} <= {*body.instructions[last].frees}
        for slot in made.writes:
            assert program.slots[slot].spec.shape == () and slot >= len(train.program.slots)


def test_a_rule_of_one_target_and_operations_of_scalars_alone_stay_as_they_are():
    x = np.linspace(-1.0, 1.0, 10)
    params = {"w": th.tensor(np.ones(3), requires_grad=True)}
    train = th.replay(lambda p, x: th.sum(p["w"] * x), params, Adam(1e-2, optimizer=Adam(1e-4)))
    train.over(x)
    assert lowered(train.program) == as_it_is(train.program)
