"""A lowered program computes the very same numbers."""

from dataclasses import replace

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


def as_it_is(program, side_by_side=False):
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
def test_what_is_lowered_has_the_same_bits(name, dtype, monkeypatch):
    found, train = trained(TOWERS[name](), dtype)
    monkeypatch.setattr(layout, "lowered", as_it_is)
    expected, other = trained(TOWERS[name](), dtype)
    for one, alike in zip(found, expected):
        assert one.tobytes() == alike.tobytes()
    one, alike = (replace(run.program, buffers={}, ways=other.program.ways) for run in (train, other))
    assert str(one) == str(alike)


def test_rules_of_many_targets_share_what_they_compute_of_scalars():
    _, train = trained(Adam(1e-2, optimizer=SGD(1e-4)), np.float32, 8)
    program, numbers, _ = lowered(train.program)
    [body], [places] = program.bodies, numbers
    shared = [i for i in body.instructions if i.op.name.endswith(".scalars")]
    assert [i.op.name for i in shared] == ["Adam.rule.vjp.scalars", "Adam.rule.scalars"]
    for original, place in zip(train.program.bodies[0].instructions, places):
        assert body.instructions[place].op.name == original.op.name
    for made in shared:
        last = max(n for n, i in enumerate(body.instructions) if {*made.writes} & {*i.reads})
        assert {*made.writes} <= {*body.instructions[last].frees}
        for slot in made.writes:
            assert program.slots[slot].spec.shape == () and slot >= len(train.program.slots)


def lowered_step(loss, tower):
    """The instructions of a step before and after it is lowered."""
    params = {"w": th.tensor(np.ones(3), requires_grad=True)}
    train = th.replay(loss, params, tower)
    train.over(np.linspace(-1.0, 1.0, 10))
    return train.program.bodies[0].instructions, lowered(train.program).program.bodies[0].instructions


def test_a_rule_of_one_target_and_operations_of_scalars_alone_stay_as_they_are():
    old, new = lowered_step(lambda p, x: th.sum(p["w"] + x), Adam(1e-2, optimizer=Adam(1e-4)))
    assert [i.op.name for i in new] == [i.op.name for i in old]


def test_what_is_computed_twice_is_computed_once():
    """The derivative of w * w is g * w twice."""
    old, new = lowered_step(lambda p, x: th.sum(p["w"] * p["w"]) * x, SGD(1e-2))
    assert [i.op.name for i in old].count("multiply") == 5 and [i.op.name for i in new].count("multiply") == 4
    added = next(i for i in new if i.op.name == "add" and len({*i.reads}) == 1)
    assert {*added.reads} <= {*added.frees}


def test_what_is_told_to_an_operation_in_another_way_is_computed_again():
    old, new = lowered_step(lambda p, x: th.sum(th.clip(p["w"], -0.0, 2.0) + th.clip(p["w"], 0.0, 2.0)), SGD(1e-2))
    assert [i.op.name for i in new].count("clip") == [i.op.name for i in old].count("clip")


def test_an_elementwise_operation_reads_the_number_that_an_array_is_filled_with():
    old, new = lowered_step(lambda p, x: th.sum(th.tanh(p["w"])) * x, SGD(1e-2, optimizer=SGD(1e-4)))
    before, now = ([i for i in each if i.op.name == "multiply"][-1] for each in (old, new))
    filled = next(i for i in old if i.op.name == "broadcast_to")
    assert before.reads[0] == filled.writes[0] and now.reads[0] == filled.reads[0]
    assert {*filled.writes} == {*next(i for i in new if i.op.name == "broadcast_to").frees}
