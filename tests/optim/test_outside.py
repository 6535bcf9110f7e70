"""Hyperparameters outside the optimizer: what the loss reads is tuned by the levels above."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replayed import batches, make

import tinyhyper as th
from tinyhyper import hyper, testing
from tinyhyper.optim import COORDINATES, SGD, Adam, descend
from tinyhyper.optim.horizon import Window
from tinyhyper.optim.saving import twin

X, Y = batches(1, seed=5)[0]


def loss_of(params, x, y, decay, smooth):
    """A penalty on the weights, and labels that are smoothed: both act on the gradients."""
    error = th.tanh(x @ params["w"] + params["b"]) - (1.0 - smooth) * y
    return th.mean(th.square(error)) + decay * th.sum(th.square(params["w"]))


def goal_of(params):
    return th.mean(th.square(th.tanh(X @ params["w"] + params["b"]) - Y))


def train(params, tower, given_, goal=goal_of):
    """Steps, and after each window the goal."""
    window = tower.hooks[Window]
    for batch in given_:
        loss_of(params, *batch, **tower.outside).backward(create_graph=not window.cuts)
        tower.step(params)
        if window.cuts and goal is not None:
            descend(goal(params), tower, params)


def slope_of(tower, name):
    slope = tower.parameters[name].grad
    return 0.0 if slope is None else slope.item()


@st.composite
def towers(draw, max_height=2):
    """A random tower with a horizon, and two numbers outside it, of which some are tuned."""
    drawn = draw(testing.towers(("w", "b"), max_height=max_height).filter(lambda tower: len(tower.levels) > 1))
    bottom, names = drawn.levels[0], ("decay", "smooth")
    options = {"horizon": draw(st.integers(2, 3)), **bottom.options, "outside": {"decay": 0.1, "smooth": 0.3}}
    moved = {name: draw(st.sampled_from([*COORDINATES])) for name in names if draw(st.booleans())}
    options["coordinates"] = {**options.get("coordinates", {}), **moved}
    if "tune" in options:
        options["tune"] += tuple(draw(st.lists(st.sampled_from(names), unique=True)))
    return replace(drawn, levels=(bottom._replace(options=options), *drawn.levels[1:]))


@pytest.mark.parametrize("coordinate", COORDINATES)
def test_a_number_of_the_loss_has_a_row_in_the_table_of_its_level(coordinate):
    tower = SGD(0.1, horizon=2, outside={"decay": 0.5}, coordinates={"decay": coordinate}, optimizer=SGD(1e-3))
    row = tower.table["decay"]
    assert (row.default, row.coordinate.name, row.range) == (0.5, coordinate, (-np.inf, np.inf))
    assert "decay" not in SGD.table


@pytest.mark.either_backend
@settings(max_examples=25)
@given(towers())
def test_the_hypergradient_goes_through_all_steps_of_the_window_but_the_one_that_cuts(tower):
    params, bottom = make(tower.build())
    k = bottom.hooks[Window].horizon
    for given_ in (batches(k, seed=1), batches(k, seed=2)):
        train(params, bottom, given_[:1])
        start, run = {name: w.numpy() for name, w in params.items()}, twin(bottom)
        train(params, bottom, given_[1:])
        run = hyper.Training(loss_of, start, run, goal_of, batches=given_[1:])
        for name, expected in hyper.gradient(run).gradients.items():
            if name in bottom.outside:
                np.testing.assert_allclose(slope_of(bottom, name), expected, rtol=1e-7, atol=1e-12)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(towers(), st.integers(2, 4))
def test_hypergradients_at_every_level_are_those_of_differences_with_the_cuts_held(tower, steps):
    given_ = batches(steps + 1)
    params = {name: w.numpy() for name, w in make(None)[0].items()}
    testing.check_hypergradients(
        tower.build(), lambda params, step, **outside: loss_of(params, *given_[step], **outside), params, steps
    )


@pytest.mark.either_backend
@settings(max_examples=15)
@given(towers(max_height=1), st.integers(1, 4))
def test_without_a_cut_it_is_that_of_the_whole_run(tower, steps):
    options = {**tower.levels[0].options, "horizon": None, "objective": "last"}
    tower = replace(tower, levels=(tower.levels[0]._replace(options=options),))
    params, bottom = make(tower.build())
    start = {name: w.numpy() for name, w in params.items()}
    run = hyper.Training(loss_of, start, bottom, goal_of, batches=batches(steps))
    train(params, bottom, batches(steps), None)
    goal_of(params).backward()
    for name, expected in hyper.gradient(run).gradients.items():
        np.testing.assert_allclose(slope_of(bottom, name), expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("coordinate", COORDINATES)
def test_what_a_loss_says_of_the_number_itself_counts_nowhere(coordinate):
    """Twice the number added to each loss changes neither weights nor hyperparameters."""
    runs = []
    for factor in (0.0, 2.0):
        tower = SGD(0.1, horizon=3, objective="sum", outside={"decay": 0.1, "smooth": 0.3}, optimizer=Adam(0.01),
                    coordinates={"decay": coordinate})  # fmt: skip
        params, _ = make(tower)
        for n, batch in enumerate(batches(9)):
            outside = tower.outside
            loss = loss_of(params, *batch, **outside) + factor * outside["decay"]
            loss.backward(create_graph=n % 3 != 0)
            tower.step(params)
        runs.append((params["w"].numpy().tobytes(), tower.hyperparameters))
    assert runs[0] == runs[1] and runs[0][1]["decay"] != 0.1


def test_the_strength_of_a_penalty_is_learned_by_a_validation_loss_and_shrinks_by_the_training_loss():
    rng = np.random.default_rng(0)
    truth, x, heard = rng.standard_normal(20), rng.standard_normal((25, 20)), rng.standard_normal((400, 20))
    y, held_out = x @ truth + 3.0 * rng.standard_normal(25), heard @ truth + 3.0 * rng.standard_normal(400)

    def error(params, x, y):
        return th.mean(th.square(x @ params["w"] - y))

    def ridge(decay):
        return {"w": np.linalg.solve(x.T @ x / 25 + decay * np.eye(20), x.T @ y / 25)}

    found = []
    for validates in (False, True):
        params, outside = {"w": th.tensor(np.zeros(20), requires_grad=True)}, {"decay": 0.01}
        options = {"tune": ("decay",), "coordinates": {"decay": "log"}, "horizon": 20}
        tower = SGD(0.05, outside=outside, **options, optimizer=SGD(0.1))
        for n in range(1000):
            loss = error(params, x, y) + tower.outside["decay"] * th.sum(th.square(params["w"]))
            loss.backward(create_graph=n % 20 != 0)
            tower.step(params)
            if validates and n % 20 == 19:
                descend(error(params, heard, held_out), tower, params)
        found.append((tower.hyperparameters["decay"], error(params, heard, held_out).item()))
    best = min(error(ridge(decay), heard, held_out) for decay in np.logspace(-3, 1, 41))
    (shrunk, _), (_, least) = found
    assert shrunk < 0.01 and least < 1.001 * best.item()


def test_the_scale_of_the_first_weights_is_seen_through_the_whole_run():
    def error(params, x, y):
        return th.mean(th.square(th.tanh(x @ params["w"] + params["b"]) - y))

    tower = Adam(0.1, horizon=None, outside={"scale": 1.5}, coordinates={"scale": "log"})
    start = {name: w.numpy() for name, w in make(SGD(0.1))[0].items()}

    def first(scale):
        return {name: scale * w for name, w in start.items()}

    run = hyper.Training(error, first, tower, goal_of, batches=batches(4))
    params = first(**tower.outside)
    for w in params.values():
        w.retain_grad()
    for batch in batches(4):
        error(params, *batch).backward(create_graph=True)
        tower.step(params)
    descend(goal_of(params), tower, params)
    for name, expected in hyper.gradient(run).gradients.items():
        np.testing.assert_allclose(tower.parameters[name].grad.numpy(), expected, rtol=1e-9)


def test_a_number_is_read_anew_at_each_step():
    params, tower = make(SGD(0.1, horizon=2, outside={"decay": 0.1, "smooth": 0.3}, optimizer=SGD(0.1)))
    outside = tower.outside
    assert outside["decay"] is tower.outside["decay"] and outside["decay"].item() == pytest.approx(0.1)
    loss_of(params, X, Y, **outside).backward()
    tower.step(params)
    with pytest.raises(th.GraphReleasedError, match="Read optimizer.outside in the loss, anew at each step"):
        loss_of(params, X, Y, **outside).backward()
    tower.parameters["decay"].data = 0.2
    assert tower.outside["decay"].item() == 0.2
    loss_of(params, X, Y, **tower.outside).backward(create_graph=True)
    tower.step(params)


def test_a_number_that_nothing_tunes_is_a_constant():
    for options in ({}, {"tune": ("alpha",), "optimizer": SGD(0.1)}):
        tower = SGD(0.1, outside={"decay": 0.1}, **options)
        assert not tower.outside["decay"].requires_grad and tower.outside["decay"].item() == 0.1
    assert dict(SGD(0.1).outside) == {}


def test_it_is_read_whatever_the_mode_and_the_loss_may_be_made_twice():
    params, tower = make(SGD(0.1, horizon=2, outside={"decay": 0.1, "smooth": 0.3}, optimizer=SGD(0.1)))
    with th.no_grad():
        assert tower.outside["decay"].requires_grad
    for _ in range(2):  # the first consumes the graph
        loss_of(params, X, Y, **tower.outside).backward()
    tower.step(params)
    assert tower.parameters["decay"].grad is None


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"horizon": 1}, th.ArgumentError, "With horizon=1 each step cuts that"),
        ({"outside": {"alpha": 0.1}}, th.ArgumentError, "uses itself; rename it"),
        ({"outside": {"t": 0.1}}, th.ArgumentError, "uses itself; rename it"),
        ({"outside": {"w_alpha": 0.1}, "alpha": {"w": 0.1}}, th.ArgumentError, "uses itself; rename it"),
        ({"outside": {"nesterov": 0.1}}, th.ArgumentError, "uses itself; rename it"),
        ({"outside": {1: 0.1}}, th.ArgumentError, "must have names that can be keywords of a loss"),
        ({"outside": {"a b": 0.1}}, th.ArgumentError, "must have names that can be keywords of a loss"),
        ({"outside": [0.1]}, th.ArgumentError, "must be a dict from names to numbers"),
        ({"outside": {"decay": [0.1, 0.2]}}, th.ArgumentError, "must be a number"),
        ({"coordinates": {"decay": "log"}, "outside": {"decay": -1.0}}, th.ArgumentError, "the range of log"),
        ({"coordinates": {"decay": "cube"}}, th.ArgumentError, "there are no 'cube' coordinates"),
        ({"tune": ("deca",)}, th.ArgumentError, "no hyperparameter 'deca'; it has alpha, mu, weight_decay, decay"),
        ({"optimizer": SGD(0.1, outside={"decay": 0.1})}, th.ArgumentError, "to the bottom level alone"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        SGD(**{"alpha": 0.1, "horizon": 2, "outside": {"decay": 0.1}, "optimizer": SGD(0.1), **options})


def test_what_is_read_cannot_be_set():
    tower = SGD(0.1, outside={"decay": 0.1})
    with pytest.raises(TypeError):
        tower.outside["decay"] = 0.2
    with pytest.raises(AttributeError):
        tower.outside = {}


@pytest.mark.either_backend
@settings(max_examples=10)
@given(towers(), st.integers(1, 3))
def test_a_run_goes_on_from_a_file_as_it_would(tmp_path_factory, tower, windows):
    k = tower.build().hooks[Window].horizon
    given_ = batches((windows + 2) * k)
    path = tmp_path_factory.mktemp("run") / "run.npz"
    whole, (params, saved), other = make(tower.build()), make(tower.build()), tower.build()
    train(*whole, given_)
    train(params, saved, given_[: windows * k])
    th.save(path, params, saved)
    params = th.load(path, other).params
    train(params, other, given_[windows * k :])
    assert_same((params, other), whole)


def assert_same(one, other):
    for name, w in one[0].items():
        assert w.numpy().tobytes() == other[0][name].numpy().tobytes()
    assert [level.hyperparameters for level in one[1].levels] == [level.hyperparameters for level in other[1].levels]


@pytest.mark.parametrize("goal", [None, goal_of])
@pytest.mark.parametrize("objective", ["last", "sum"])
@pytest.mark.parametrize("bad", range(6))
@pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")
def test_a_batch_that_is_skipped_is_as_if_it_had_not_been(bad, objective, goal):
    given_, runs = batches(9), []
    for skipped in (0, 2):
        tower = Adam(0.1, outside={"decay": 0.1, "smooth": 0.3}, coordinates={"decay": "log"}, horizon=3,
                     objective=objective, on_nonfinite="skip", optimizer=SGD(1e-2))  # fmt: skip
        params, _ = make(tower)
        train(params, tower, given_[:bad], goal)
        for x, y in given_[:skipped]:
            loss_of(params, x * np.nan, y, **tower.outside).backward(create_graph=not tower.hooks[Window].cuts)
            tower.step(params)
        assert tower.skipped == skipped
        train(params, tower, given_[bad:], goal)
        runs.append((params, tower))
    assert_same(*runs)
    assert runs[0][1].hyperparameters["decay"] != 0.1


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("objective", ["last", "sum"])
def test_a_replayed_run_has_the_bits_of_an_eager_one(coordinate, objective):
    options = {"outside": {"decay": 0.1, "smooth": 0.3}, "coordinates": {"decay": coordinate}, "horizon": 2}
    tower = SGD(0.1, objective=objective, **options, optimizer=Adam(1e-2, optimizer=SGD(1e-3)))
    eager, replayed = make(twin(tower)), make(twin(tower))
    step, given_ = th.replay(loss_of, *replayed, exact=True), batches(24)
    train(*eager, given_, None)
    for batch in given_[:12]:
        step(*batch)
    assert step.program is not None
    xs, ys = zip(*given_[12:])
    _, kept = step.over(np.array(xs), np.array(ys), keep=["decay", "smooth"])
    assert_same(replayed, eager)
    for name, history in kept.items():
        assert history[-1] == eager[1].hyperparameters[name] == replayed[1].outside[name].item() != 0.1


@pytest.mark.parametrize("coordinate", COORDINATES)
def test_weights_of_float32_are_replayed_beside_a_number_of_float64(coordinate):
    options = {"outside": {"decay": 0.1, "smooth": 0.3}, "coordinates": {"decay": coordinate}, "horizon": 3}
    tower = Adam(0.05, **options, optimizer=SGD(1e-2))
    eager, replayed = make(twin(tower), np.float32), make(twin(tower), np.float32)
    step, given_ = th.replay(loss_of, *replayed), batches(40, np.float32)
    train(*eager, given_, None)
    for batch in given_:
        step(*batch)
    assert step.program is not None and replayed[0]["w"].dtype == np.float32
    np.testing.assert_allclose(replayed[0]["w"].numpy(), eager[0]["w"].numpy(), rtol=1e-3, atol=1e-3)
    assert replayed[1].hyperparameters == pytest.approx(eager[1].hyperparameters, rel=1e-3)


def test_a_replayed_run_goes_on_eagerly_to_a_goal():
    options = {"outside": {"decay": 0.1, "smooth": 0.3}, "coordinates": {"decay": "log"}, "horizon": 2}
    tower = SGD(0.1, **options, optimizer=SGD(1e-2))
    eager, replayed = make(twin(tower)), make(twin(tower))
    step, given_ = th.replay(loss_of, *replayed, exact=True), batches(12)
    train(*eager, given_)
    for n, batch in enumerate(given_):
        step(*batch)
        if n % 2:
            descend(goal_of(replayed[0]), replayed[1], replayed[0])
    assert_same(replayed, eager)


def test_runs_side_by_side_each_read_their_own_numbers():
    def start(decay):
        return make(SGD(0.1, horizon=2, outside={"decay": decay, "smooth": 0.3}, optimizer=SGD(1e-2)))

    given_ = batches(12)
    stacks = [np.array(stack) for stack in zip(*given_)]
    step = th.replay(loss_of, *start(0.1), exact=True)
    _, runs = step.sweep([start(decay) for decay in (0.1, 0.5)], tuple(stacks))
    for decay, run in zip((0.1, 0.5), runs):
        alone = start(decay)
        train(*alone, given_, None)
        assert_same(run, alone)


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("objective, goal", [("last", None), ("last", goal_of), ("sum", None)])
def test_a_recording_names_what_is_outside_and_explains_its_gradient(coordinate, objective, goal):
    options = {"outside": {"decay": 0.1, "smooth": 0.3}, "coordinates": {"decay": coordinate}, "horizon": 3}
    params, tower = make(SGD(0.1, objective=objective, **options, optimizer=SGD(1e-2)))
    with th.record(ghosts=True) as tape:
        train(params, tower, batches(6), goal)
        if goal is None:
            loss_of(params, X, Y, **tower.outside).backward()
    for name in ("decay", "smooth"):
        parts = th.inspect.paths(tape, name, limit=1000).rows
        assert sum(row[1] for row in parts) == pytest.approx(slope_of(tower, name), rel=1e-9)
        assert all(" → w[" in row[0] or " → b[" in row[0] for row in parts)  # through the weights
    inner = {"linear": "decay[1]", "unit": "u(decay[1])"}.get(coordinate, f"{coordinate} decay[1]")
    assert f"∂loss[3]/∂{inner}" in tape.tree()


def test_the_state_of_a_tower_holds_what_is_outside_and_copies_have_their_own():
    params, tower = make(SGD(0.1, horizon=2, outside={"decay": 0.1, "smooth": 0.3}, optimizer=SGD(0.1)))
    train(params, tower, batches(4))
    loss_of(params, X, Y, **tower.outside).backward()
    assert tower.hyperparameters["decay"] != 0.1
    tower.load_state_dict(tower.state_dict())
    for other in (copy.deepcopy(tower), pickle.loads(pickle.dumps(tower)), twin(tower)):
        assert other.hyperparameters == tower.hyperparameters
        assert {name: x.item() for name, x in other.outside.items()} == pytest.approx(
            {name: tower.hyperparameters[name] for name in ("decay", "smooth")}
        )
        assert other.outside["decay"] is not tower.outside["decay"]
    for options in ({"outside": {"decay": 0.1}}, {"coordinates": {"decay": "log"}}, {"tune": ("alpha", "decay")}):
        other = SGD(0.1, **{"horizon": 2, "outside": {"decay": 0.1, "smooth": 0.3}, "optimizer": SGD(0.1), **options})
        with pytest.raises(th.ArgumentError, match="this one has"):
            other.load_state_dict(tower.state_dict())
