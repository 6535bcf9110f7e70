"""Operations that are alike, side by side: as one, with the same numbers but for the order in which terms are added."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replayed import eager_step, make

import tinyhyper as th
from tinyhyper.optim import SGD, AdaGrad, Adam, RMSProp
from tinyhyper.program.lowering import lowered
from tinyhyper.program.readings import Strip, each

HOLDS = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = st.lists(st.sampled_from([(3,), (4,), (2, 3), (1,), ()]), min_size=1, max_size=7)
TOWERS = {
    "sgd": lambda: SGD(0.01),
    "sgd/sgd": lambda: SGD(0.01, mu=0.5, optimizer=SGD(1e-5)),
    "adam/sgd/sgd": lambda: Adam(0.02, optimizer=SGD(1e-4, optimizer=SGD(1e-6))),
    "rmsprop/adagrad": lambda: RMSProp(0.02, optimizer=AdaGrad(1e-5)),
    "window": lambda: Adam(0.02, optimizer=SGD(1e-5), horizon=2),
    "checked": lambda: SGD(0.01, optimizer=SGD(1e-5), on_nonfinite="skip"),
}
PARTS = {
    "square": lambda w, _: th.sum(w**2),
    "distance": lambda w, c: th.sum((w - c) ** 2),
    "wave": lambda w, c: th.sum(th.cos(w * c) + th.exp(-w)),
    "mean": lambda w, _: th.mean(th.tanh(w * w)),
    "twice": lambda w, c: (lambda part: part + part * part)(th.sum(w * c)),
}


def model(shapes, parts, dtype, shared=False):
    """Weights, and a loss that is a sum of parts, each of a weight."""
    rng = np.random.default_rng(5)
    arrays = {f"w{n}": rng.uniform(0.2, 1, shape).astype(dtype) for n, shape in enumerate(shapes)}
    params = {name: th.tensor(array, requires_grad=True) for name, array in arrays.items()}
    constants = [rng.uniform(-1, 1, s).astype(dtype) for s in shapes]

    def loss(params):
        terms = [PARTS[part](w, c) for part, w, c in zip(parts, params.values(), constants)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return th.tanh(total) * total if shared else total

    return params, loss


def numbers(params, tower):
    """All that a run holds."""
    found = [w.numpy() for w in params.values()]
    return found + [np.array([*level.hyperparameters.values()]) for level in tower.levels]


def close(one, other, dtype):
    scale = np.abs(other).max(initial=0)
    assert np.abs(one - other).max(initial=0) <= (1e-12 if dtype is np.float64 else 1e-5) * scale


@pytest.mark.usefixtures("either")
@HOLDS
@given(
    shapes=SHAPES, tower=st.sampled_from([*TOWERS]), dtype=st.sampled_from([np.float32, np.float64]), data=st.data()
)
def test_steps_are_those_of_the_eager_engine(shapes, tower, dtype, data):
    parts = data.draw(st.lists(st.sampled_from([*PARTS]), min_size=len(shapes), max_size=len(shapes)))
    shared = data.draw(st.booleans())
    params, loss = model(shapes, parts, dtype, shared)
    twin, _ = model(shapes, parts, dtype, shared)
    optimizer, other = TOWERS[tower](), TOWERS[tower]()
    train = th.replay(loss, params, optimizer, side_by_side=True)
    expected = [eager_step(loss, twin, other, ()) for _ in range(20)]
    close(train.over(steps=20), np.array(expected), dtype)
    for one, alike in zip(numbers(params, optimizer), numbers(twin, other), strict=True):
        close(one, alike, dtype)


def recorded(shapes, parts, tower):
    params, loss = model(shapes, parts, np.float64)
    train = th.replay(loss, params, tower, exact=True)
    train.over(steps=8)
    return train.program


def operations(body):
    return [instruction.op.name for instruction in body.instructions]


def test_any_number_of_weights_takes_the_same_instructions():
    """Also where their shapes differ: what is done to each element does not ask for the shape."""
    few, many = (
        lowered(recorded(shapes, ["distance"] * len(shapes), Adam(0.02, optimizer=SGD(1e-5))), side_by_side=True)
        for shapes in ([(3,), (2, 3)], [(3,), (2, 3), (4,), (1,), (5, 1, 2)])
    )
    assert operations(few.program.bodies[0]) == operations(many.program.bodies[0])
    assert operations(few.program.bodies[0]) == [
        "subtract", "add", "multiply", "Adam.rule.vjp.scalars", "Adam.rule.vjp", "square", "SGD.rule", "SGD.rule",
        "add", "sum", "SGD.rule", "Adam.rule.scalars", "broadcast_to", "Adam.rule",
    ]  # fmt: skip


def test_the_rules_of_all_layers_are_one_though_their_gradients_come_one_after_another():
    params, tower = {f"w{n}": th.tensor(np.eye(3), requires_grad=True) for n in range(4)}, Adam(0.1, optimizer=SGD(0.1))

    def loss(params):
        x = th.tensor(np.linspace(-1, 1, 6).reshape(2, 3))
        for w in params.values():
            x = th.tanh(x @ w)
        return th.mean(x)

    train = th.replay(loss, params, tower, exact=True)
    train.over(steps=8)
    found = operations(lowered(train.program, side_by_side=True).program.bodies[0])
    assert found.count("Adam.rule") == found.count("Adam.rule.vjp") == 1
    assert found.count("add") == 1  # to t


def test_strips_are_of_what_is_carried_or_of_what_is_not():
    found = lowered(recorded([(3,)] * 4, ["wave"] * 4, Adam(0.02, optimizer=SGD(1e-5))), side_by_side=True)
    members = [slot for strip in found.strips for slot in strip]
    assert len({*members}) == len(members) and {len(strip) for strip in found.strips} == {4}
    for instruction in found.program.bodies[0].instructions:
        for place in (*instruction.reads, *instruction.writes):
            assert not isinstance(place, Strip) or len({found.program.slots[slot].kind for slot in place}) == 1
    freed = [slot for instruction in found.program.bodies[0].instructions for slot in instruction.frees]
    assert len({*freed}) == len(freed)


def test_each_instruction_of_the_program_is_found_in_what_it_has_become():
    program = recorded([(3,), (4,)], ["twice", "twice"], Adam(0.02, optimizer=SGD(1e-5)))
    found = lowered(program, side_by_side=True)
    loose = {slot for instruction in program.bodies[0].instructions for slot in instruction.frees}
    for old, number in zip(program.bodies[0].instructions, found.numbers[0], strict=True):
        new = found.program.bodies[0].instructions[number]
        assert new.op.name == old.op.name or {old.op.name, new.op.name} <= {"add", "sum", "Adam.rule.vjp"}
        assert {*old.writes} - loose <= {*each(new.writes)}


def test_weights_with_rates_of_their_own_stay_apart():
    tower = SGD({"w0": 0.1, "w1": 0.2}, optimizer=SGD(1e-5))
    found = lowered(recorded([(3,), (3,)], ["square"] * 2, tower), side_by_side=True)
    assert operations(found.program.bodies[0]).count("SGD.rule") == 4


def test_an_exact_run_is_not_side_by_side():
    params, tower = make(SGD(0.1))
    with pytest.raises(th.ArgumentError, match="side by side is added up in another order, so"):
        th.replay(lambda p: th.sum(p["w"]), params, tower, exact=True, side_by_side=True)


def test_runs_of_a_sweep_are_side_by_side_as_the_first_is():
    params, loss = model([(3,)] * 3, ["wave"] * 3, np.float64)
    train = th.replay(loss, params, Adam(0.02, optimizer=SGD(1e-5)), side_by_side=True)
    starts = [(params, Adam(alpha, optimizer=SGD(1e-5))) for alpha in (0.01, 0.02)]
    losses, runs = train.sweep(starts, steps=20)
    alone = train.over(steps=20)
    assert losses[1].tobytes() == alone.tobytes()
    assert runs[1][0]["w0"].numpy().tobytes() == params["w0"].numpy().tobytes()
