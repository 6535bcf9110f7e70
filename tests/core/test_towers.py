"""Towers: hypergradients against formulas; life, names, errors. test_testing_hypergradients.py has the differences."""

import ast
import copy
import gc
import pickle
import tracemalloc
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.core.operation import Number
from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp, from_string

OPTIMIZERS = (SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW)


def run(optimizer, params, rng, steps):
    for _ in range(steps):
        loss_of(params, th.tensor(rng.standard_normal((4, 3)).astype(params["w"].dtype))).backward()
        optimizer.step(params)


# Hypergradients by formula.


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 12))
def test_adam_hypergradients_equal_the_hand_made_formulas(seed, steps):
    """Section 2.3 of the paper, with v started at eps."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(5)
    optimizer = Adam(0.01, 0.9, 0.99, eps=1e-3, tune=("alpha", "beta1", "beta2", "eps"), optimizer=SGD(0.0))
    params = {"w": th.tensor(w, requires_grad=True)}
    m, v = np.zeros(5), np.full(5, 1e-3)
    alpha, beta1, beta2, eps = 0.01, 0.9, 0.99, 1e-3
    for _ in range(1, steps + 1):
        g = rng.standard_normal(5)
        th.sum(params["w"] * g).backward()
        optimizer.step(params)
        m_before, v_before = m, v
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**steps), v / (1 - beta2**steps)
    s = np.sqrt(v_hat) + eps
    by_value = {
        "alpha": -m_hat / s,
        "eps": alpha * m_hat / s**2,
        "beta1": -alpha * (m_before - g + steps * beta1 ** (steps - 1) * m_hat) / ((1 - beta1**steps) * s),
        "beta2": alpha * m_hat * (v_before - g * g + steps * beta2 ** (steps - 1) * v_hat)
        / (2 * np.sqrt(v_hat) * s**2 * (1 - beta2**steps)),
    }  # fmt: skip
    last = rng.standard_normal(5)
    th.sum(params["w"] * last).backward()
    chain = {"alpha": 1.0, "eps": 1.0, "beta1": 2 * beta1 * (1 - beta1), "beta2": 2 * beta2 * (1 - beta2)}
    for name, derivative in by_value.items():
        got = optimizer.parameters[name].grad.item()
        np.testing.assert_allclose(got, last @ derivative * chain[name], rtol=1e-8, atol=1e-12, err_msg=name)


# One rule and a table.


def test_towers_cut_the_graph_on_one_line_and_carried_states_on_another():
    package = Path(th.__file__).parent  # in course/, students' towers make their own cuts
    cuts = {
        (path.name, call.lineno)
        for path in package.rglob("*.py")
        if package / "course" not in path.parents
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "detach"
    }
    # goal.py: after a goal, the weights; where the run ends with it, also the states.
    assert Counter(name for name, _ in cuts) == {"tower.py": 1, "recurrent.py": 1, "goal.py": 2}, cuts


def test_the_number_of_tuned_hyperparameters_is_chosen_by_name():
    for tune, moves in ((None, {"alpha", "beta1", "beta2"}), (("beta2", "eps"), {"beta2", "eps"}), ((), set())):
        rng = np.random.default_rng(0)
        params, optimizer = make_params(rng), Adam(0.01, tune=tune, optimizer=SGD(1e-4))
        before = optimizer.hyperparameters
        run(optimizer, params, rng, 4)
        after = optimizer.hyperparameters
        assert {name for name in before if before[name] != after[name]} == moves


def test_a_momentum_of_zero_is_absent_unless_it_is_tuned():
    rng = np.random.default_rng(2)
    params, plain = make_params(rng), SGD(0.1, optimizer=SGD(0.01))
    run(plain, params, rng, 4)
    assert plain.hyperparameters["mu"] == 0 and plain._states["w"] == {}
    params, tuned = make_params(rng), SGD(0.1, optimizer=SGD(0.01), tune=("alpha", "mu"))
    run(tuned, params, rng, 4)
    assert tuned.hyperparameters["mu"] != 0 and "velocity" in tuned._states["w"]


def test_rates_by_name_and_a_name_without_a_rate_stays_put():
    rng = np.random.default_rng(3)
    params = make_params(rng)
    bias = params["b"].data
    optimizer = SGD({"w": 0.1}, optimizer=SGD(0.01))
    run(optimizer, params, rng, 3)
    np.testing.assert_array_equal(params["b"].data, bias)
    assert params["b"].grad is None and list(optimizer.hyperparameters)[0] == "w_alpha"
    assert optimizer.hyperparameters["w_alpha"] != 0.1


def test_each_hyperparameter_has_its_own_rate_above():
    """Figure 2 of the paper steps alpha by one rate and mu by another."""
    rng = np.random.default_rng(4)
    grads, moves = {}, {}
    optimizer = SGD(0.05, 0.9, optimizer=SGD({"alpha": 1e-5, "mu": 1e-6}))
    params = make_params(rng)
    run(optimizer, params, rng, 2)
    loss_of(params, th.tensor(rng.standard_normal((4, 3)))).backward()
    before = {name: p.item() for name, p in optimizer.parameters.items()}
    grads = {name: optimizer.parameters[name].grad.item() for name in ("alpha", "mu")}
    optimizer.step(params)
    moves = {name: optimizer.parameters[name].item() - before[name] for name in grads}
    np.testing.assert_allclose(moves["alpha"], -1e-5 * grads["alpha"], rtol=1e-6)
    np.testing.assert_allclose(moves["mu"], -1e-6 * grads["mu"], rtol=1e-6)


@given(value=st.floats(0.001, 0.999), name=st.sampled_from(["linear", "log", "sqrt", "unit"]))
def test_coordinates_invert(value, name):
    optimizer = SGD(value, coordinates={"alpha": name})
    np.testing.assert_allclose(optimizer.hyperparameters["alpha"], value, rtol=1e-12)


@pytest.mark.parametrize("name, value", [("log", 0.0), ("sqrt", 0.0), ("unit", 0.0), ("unit", 1.0)])
def test_what_is_not_tuned_may_be_at_the_border_of_its_coordinate(name, value):
    optimizer = SGD(value, coordinates={"alpha": name})
    assert optimizer.hyperparameters["alpha"] == value
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    th.sum(params["w"]).backward()
    optimizer.step(params)
    np.testing.assert_array_equal(params["w"].data, [1.0 - value, 2.0 - value])


def test_a_state_that_only_its_own_next_value_reads_is_kept():
    class Measured(th.optim.Optimizer):
        table = {"alpha": 0.1}
        state = {"travelled": 0.0, "unused": 5.0}

        @staticmethod
        def rule(w, g, travelled, unused, *, alpha):
            step = alpha * g
            return w - step, travelled + abs(step), unused

    rng = np.random.default_rng(3)
    params, optimizer = {"w": th.tensor(rng.standard_normal(4), requires_grad=True)}, Measured()
    places = [params["w"].numpy()]
    for _ in range(3):
        th.sum(th.sin(3.0 * params["w"])).backward()
        optimizer.step(params)
        places.append(params["w"].numpy())
    kept = optimizer.state_dict()["levels"][0]["state"]["w"]
    np.testing.assert_allclose(kept["travelled"], np.abs(np.diff(places, axis=0)).sum(0), rtol=1e-12)
    assert set(kept) == {"travelled"}


# Numbers.


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("first", [False, True])
def test_a_number_of_a_tower_takes_on_the_dtype_of_an_array_and_stays_a_number_beside_numbers(dtype, first):
    number, array = Number(np.array(0.5)), np.full(2, 3.0, dtype)
    for other in (array, th.tensor(array), 3.0, 3):
        found = number / other if first else other / number
        plain = isinstance(other, (int, float))
        assert (type(found) is Number) == plain and found.dtype == (np.float64 if plain else dtype)
        np.testing.assert_allclose(found.numpy(), 0.5 / 3.0 if first else 6.0, 1e-7)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_a_float32_model_stays_float32_and_its_hyperparameters_float64(cls):
    rng = np.random.default_rng(9)
    params, optimizer = make_params(rng, np.float32), cls(optimizer=SGD(1e-12))
    before = optimizer.hyperparameters["alpha"]
    run(optimizer, params, rng, 4)
    assert all(w.dtype == np.float32 for w in params.values())
    assert all(p.dtype == np.float64 for p in optimizer.parameters.values())
    after = optimizer.hyperparameters["alpha"]
    assert after != before and abs(after - before) < 1e-6, "an update too small for float32 is kept"


def test_a_step_inside_no_grad_keeps_its_edge():
    rng = np.random.default_rng(12)
    params, optimizer = make_params(rng), SGD(0.1, optimizer=SGD(0.01))
    loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    with th.no_grad():
        optimizer.step(params)
    loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    assert optimizer.parameters["alpha"].grad.item() != 0


# Life.


@pytest.mark.slow
def test_memory_stays_flat_over_20000_steps():
    params = {"w": th.tensor(np.ones(3), requires_grad=True)}
    optimizer = Adam(1e-3, optimizer=SGD(1e-5, 0.9, optimizer=SGD(1e-6)))

    def steps(count):
        for _ in range(count):
            th.sum(th.square(params["w"])).backward()
            optimizer.step(params)

    gc.collect()
    gc.disable()
    try:
        steps(1000)
        tracemalloc.start()
        steps(1000)  # until Python's lists of free tuples are full
        before = tracemalloc.get_traced_memory()[0]
        steps(20_000)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 20_000, f"{after - before} bytes more after 20,000 steps"


def test_a_tower_of_1000_levels_steps():
    optimizer = None
    for _ in range(1000):
        optimizer = SGD(1e-3, optimizer=optimizer)
    params = {"w": th.tensor(np.ones(3), requires_grad=True)}
    for _ in range(3):
        th.sum(th.square(params["w"])).backward()
        optimizer.step(params)
    assert len(optimizer.levels) == 1000 and optimizer.hyperparameters["alpha"] > 1e-3
    assert str(optimizer).count("/") == 999


# Saving.


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_state_dict_goes_on_from_the_same_numbers(cls):
    def make():
        return cls(optimizer=SGD(1e-5))

    rng = np.random.default_rng(14)
    params, optimizer = make_params(rng), make()
    run(optimizer, params, rng, 4)
    other = make()
    other.load_state_dict(optimizer.state_dict())
    copies = {name: th.tensor(w.data, requires_grad=True) for name, w in params.items()}
    x = th.tensor(rng.standard_normal((4, 3)))
    for tower, weights in ((optimizer, params), (other, copies)):
        for level in tower.levels[:-1]:
            for parameter in level.parameters.values():
                parameter.grad = None
        loss_of(weights, x).backward()
    for level in optimizer.levels[:-1]:
        for parameter in level.parameters.values():
            parameter.grad = None
    optimizer.step(params)
    other.step(copies)
    for name in params:
        np.testing.assert_array_equal(params[name].data, copies[name].data)
    assert str(other) == str(optimizer)


@pytest.mark.parametrize("cls", OPTIMIZERS)
def test_what_is_written_into_a_state_dict_changes_no_tower(cls):
    rng, optimizer = np.random.default_rng(14), cls(optimizer=Adam(1e-5))
    run(optimizer, make_params(rng), rng, 2)
    before, given = repr(optimizer.state_dict()), optimizer.state_dict()
    for level in given["levels"]:
        for own in level["state"].values():
            for array in own.values():
                array[...] = 7.0
        level["parameters"]["alpha"] = 7.0
    assert repr(given) != before and repr(optimizer.state_dict()) == before


def test_a_saved_tower_does_not_change_when_the_run_goes_on():
    rng = np.random.default_rng(15)
    params, optimizer = make_params(rng), Adam(0.01, optimizer=SGD(1e-4))
    run(optimizer, params, rng, 2)
    saved = optimizer.state_dict()
    m = saved["levels"][0]["state"]["w"]["m"].copy()
    run(optimizer, params, rng, 2)
    np.testing.assert_array_equal(saved["levels"][0]["state"]["w"]["m"], m)


# Names and errors.


@pytest.mark.parametrize(
    "stack, expected",
    [
        ("sgd", "SGD(alpha=0.01)"),
        ("adam/sgd", "Adam(alpha=0.001, beta1=0.9, beta2=0.999) / SGD(alpha=0.01)"),
        (" SGD(0.1, mu=0.9) / rmsprop ", "SGD(alpha=0.1, mu=0.9) / RMSProp(alpha=0.01, gamma=0.99)"),
        ("adagrad/adagrad(1e-3)", "AdaGrad(alpha=0.01) / AdaGrad(alpha=0.001)"),
    ],
)
def test_stacks_read_as_the_paper_writes_them(stack, expected):
    assert str(from_string(stack)) == expected


def test_a_hyphen_names_what_is_tuned():
    assert from_string("adam-alpha/sgd(1e-5)")._tuned == ("alpha",)
    assert from_string("adam/sgd", alpha=0.5).hyperparameters["alpha"] == 0.5


def test_a_wrong_step_is_told_and_changes_nothing():
    rng = np.random.default_rng(16)
    optimizer = SGD(0.1, 0.9, optimizer=SGD(0.01))
    params = make_params(rng)
    with pytest.raises(RuntimeError, match=r"loss.backward\(\)"):
        optimizer.step(params)
    run(optimizer, params, rng, 2)
    before = optimizer.state_dict(), {name: w.data for name, w in params.items()}
    wrong = {**params, "b": th.tensor(np.ones(7), requires_grad=True)}
    wrong["b"].grad = th.tensor(np.ones(7))
    for bad, error, words in (
        (wrong, ValueError, "'b'"),
        ({"w": np.ones((3, 2))}, TypeError, "'w'"),
        ({"w": th.tensor(np.ones((3, 2)))}, TypeError, "requires_grad"),
        ([1, 2], TypeError, "dict"),
    ):
        with pytest.raises(error, match=words):
            optimizer.step(bad)
    assert optimizer.t == 2
    np.testing.assert_equal(optimizer.state_dict(), before[0])
    for name, w in params.items():
        np.testing.assert_array_equal(w.data, before[1][name])


@pytest.mark.parametrize("key", ["coordinates", "options", "tuned", "used"])
def test_a_state_dict_in_which_something_is_missing_is_refused(key):
    optimizer = SGD(0.1, optimizer=SGD(1e-3))
    before, saved = optimizer.state_dict(), optimizer.state_dict()
    saved["levels"][0][key] = None
    with pytest.raises(th.ArgumentError, match=f"level 0, SGD, was saved with {key} None, but this one has"):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_tune_may_be_any_iterable():
    assert SGD(tune=(name for name in ["alpha"]), optimizer=SGD())._tuned == ("alpha",)


ALPHA = {"alpha": 0.1}
WRONG_OPTIMIZERS = {
    "no rule": ({"table": ALPHA}, "no rule"),
    "no table": ({"rule": lambda w, g, *, alpha: w}, "no table"),
    "a misspelled name": ({"table": ALPHA, "rule": lambda w, g, *, alhpa: w}, "alhpa"),
    "a state it does not take": (
        {"table": ALPHA, "state": {"m": 0.0}, "rule": lambda w, g, *, alpha: w},
        r"m, \*, alpha",
    ),
    "a name that is taken": ({"table": {"tune": 0.1}, "rule": lambda w, g, *, tune: w}, "'tune'"),
    "a start that is not there": (
        {"table": ALPHA, "state": {"m": "eps"}, "rule": lambda w, g, m, *, alpha: (w, m)},
        "'eps'",
    ),
}


@pytest.mark.parametrize("what", WRONG_OPTIMIZERS)
def test_a_wrong_optimizer_of_ones_own_is_told_where_it_is_written(what):
    members, words = WRONG_OPTIMIZERS[what]
    with pytest.raises(th.TinyhyperError, match=words):
        type("Mine", (th.optim.Optimizer,), members)


def test_plain_numbers_plain_functions_and_lists_are_enough_for_an_optimizer():
    class Plain(th.optim.Optimizer):
        table = {"alpha": 0.5}
        state = {"seen": 0.0}

        def rule(w, g, seen, *, alpha):
            return [w - alpha * np.tanh(g), seen + g]

    params = {"w": th.tensor([1.0], requires_grad=True)}
    th.sum(params["w"]).backward()
    Plain().step(params)
    np.testing.assert_allclose(params["w"].data, 1 - 0.5 * np.tanh(1.0))


@pytest.mark.parametrize("height, shape", [(0, (3,)), (0, (1,)), (1, (2,)), (4, (2,))])
@pytest.mark.parametrize("watched", [False, True])
def test_a_wrong_hypergradient_is_refused_before_anything_moves(height, shape, watched):
    optimizer = SGD(0.1)
    for _ in range(6):
        optimizer = SGD(0.1, optimizer=optimizer)
    params = {"w": th.tensor([1.0, 2.0, 3.0], requires_grad=True)}
    for _ in range(2):
        th.sum(params["w"] ** 2).backward()
        optimizer.step(params)
    th.sum(params["w"] ** 2).backward()
    optimizer.levels[height].parameters["alpha"].grad = th.tensor(np.ones(shape))
    before = str(optimizer), params["w"], optimizer.t
    with th.record() if watched else nullcontext(), pytest.raises(th.ShapeError, match="alpha"):
        optimizer.step(params)
    assert (str(optimizer), params["w"], optimizer.t) == before


def test_a_wrong_hypergradient_is_told_with_its_level_and_the_call():
    optimizer = Adam(0.1, optimizer=SGD(0.1, optimizer=RMSProp(0.1)))
    params = {"w": th.tensor([1.0, 2.0, 3.0], requires_grad=True)}
    th.sum(params["w"] ** 2).backward()
    optimizer.levels[1].parameters["alpha"].grad = th.tensor(np.ones(2))
    with pytest.raises(th.ShapeError, match=r"^Adam\.step: SGD's alpha has shape \(\), its \.grad is of shape \(2,\)"):
        optimizer.step(params)


def test_hyperparameters_can_be_replaced_by_tensors_and_copied():
    optimizer = th.optim.SGD(0.1, optimizer=th.optim.SGD(1e-3))
    optimizer.parameters["alpha"] = other = th.tensor(0.2, requires_grad=True)
    assert optimizer.parameters["alpha"] is other and optimizer.hyperparameters["alpha"] == 0.2
    assert copy.deepcopy(optimizer.parameters)["alpha"].item() == 0.2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_the_hyperparameters_is_a_dict_to_write_to(copied):
    optimizer = Adam(0.25, optimizer=SGD(0.1))
    found = copied(optimizer.hyperparameters)
    assert type(found) is dict and found == optimizer.hyperparameters and found["alpha"] == 0.25
    found["alpha"] = 1.0
    assert optimizer.hyperparameters["alpha"] == 0.25


def detached(weights):
    return {name: w.detach() for name, w in weights.items()}


@pytest.mark.parametrize("top", [None, lambda: SGD(1e-3)])
def test_two_towers_take_turns_at_one_loss(top):
    """Each as if the other's weights were numbers; where they are not cut, the error says so, and nothing changes."""

    def game(x, y):
        return th.sum(x["x"] * y["y"] + 0.1 * x["x"] ** 2)

    def player(name):
        return SGD(0.1, optimizer=SGD(0.01, optimizer=top and top())), {name: th.tensor([1.0, 2.0], requires_grad=True)}

    (down, x), (up, y), (alone, z) = player("x"), player("y"), player("y")
    for _ in range(5):
        game(x, detached(y)).backward()
        down.step(x)
        numbers = {"x": x["x"].numpy()}
        (-game(detached(x), y)).backward()
        up.step(y)
        (-game(numbers, z)).backward()
        alone.step(z)
        assert up.hyperparameters == alone.hyperparameters and (y["y"].data == z["y"].data).all()
    game(x, y).backward()
    down.step(x)
    before = down.state_dict(), up.state_dict(), up.parameters["alpha"].grad.item()
    with pytest.raises(th.GraphReleasedError, match=r"SGD.rule #\d+ released> .*another optimizer .*detach\(\)"):
        (-game(x, y)).backward()
    assert repr(before) == repr((down.state_dict(), up.state_dict(), up.parameters["alpha"].grad.item()))


def test_a_loop_interrupted_before_its_step_goes_on_with_it():
    runs = []
    for interrupted in (False, True):
        optimizer, params = Adam(0.1, optimizer=SGD(1e-3)), {"w": th.tensor([1.0, 2.0], requires_grad=True)}
        for step in range(4):
            th.sum(params["w"] ** 2).backward()
            if interrupted and step == 2:
                with pytest.raises(th.GraphReleasedError, match=r"interrupted .* call step\(params\)"):
                    th.sum(params["w"] ** 2).backward()
            optimizer.step(params)
        runs.append(repr(optimizer.state_dict()))
    assert runs[0] == runs[1]
