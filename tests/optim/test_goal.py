"""What the levels above descend: a goal of the user's choice in place of the training losses."""

import numpy as np
import pytest
from drawn_towers import snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper import hyper, testing
from tinyhyper.optim import SGD, Adam, descend
from tinyhyper.optim.horizon import Window
from tinyhyper.optim.saving import twin
from tinyhyper.testing.tower import Tower

X, Y = batches(1, seed=5)[0]


def goal_of(params):
    return th.mean(th.square(x_of(params) - Y))


def x_of(params):
    return th.tanh(X @ params["w"] + params["b"])


def train(params, tower, given_):
    """Steps, and after each window the goal."""
    window = tower.hooks[Window]
    for batch in given_:
        loss_of(params, *batch).backward(create_graph=not window.cuts)
        tower.step(params)
        if window.cuts:
            descend(goal_of(params), tower, params)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(testing.towers(("w", "b"), max_height=2).filter(lambda tower: len(tower.levels) > 1))
def test_the_hypergradient_is_that_of_the_goal_through_the_window(tower):
    params, bottom = make(tower.build())
    k = bottom.hooks[Window].horizon
    given_ = batches(2 * k)
    train(params, bottom, given_[:k])
    start, before = {name: w.numpy() for name, w in params.items()}, twin(bottom)
    for level, other in zip(before.levels, bottom.levels):  # the step that cuts moves these first
        for name in level._tuned:
            level.parameters[name].grad = other.parameters[name].grad
    train(params, bottom, given_[k:])
    run = hyper.Training(loss_of, start, moved(before, start, given_[k]), goal_of, batches=given_[k:])
    for name, expected in hyper.gradient(run, "window", k=k).gradients.items():
        found = bottom.parameters[name].grad
        assert found is not None
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-12)
    assert all(w.grad is None and w.is_leaf and w.requires_grad for w in params.values())


def moved(tower, start, batch):
    """The tower with its hyperparameters as its next step moves them, and its states as that step reads them."""
    after = twin(tower)
    params = {name: th.tensor(w, requires_grad=True) for name, w in start.items()}
    for level, other in zip(tower.levels, after.levels):
        for name in level._tuned:
            other.parameters[name].grad = level.parameters[name].grad
    loss_of(params, *batch).backward()
    after.step(params)
    for name in tower._tuned:
        tower.parameters[name].data = after.parameters[name].numpy()
    return tower


def test_alpha_descends_the_goal_and_the_training_loss_adds_nothing():
    kappa, params, tower = 1e-2, *make(SGD(0.1, optimizer=SGD(1e-2)))
    given_ = batches(3)
    train(params, tower, given_[:1])
    slope, alpha = tower.parameters["alpha"].grad.item(), tower.parameters["alpha"].item()
    loss_of(params, *given_[1]).backward()
    assert tower.parameters["alpha"].grad.item() == slope
    tower.step(params)
    assert tower.parameters["alpha"].item() == alpha - kappa * slope


def test_every_level_above_descends_it():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-2, optimizer=SGD(1e-3))))
    given_ = batches(2)
    train(params, tower, given_[:1])
    slope = tower.parameters["alpha"].grad.item()
    train(params, tower, given_[1:])
    expected = -slope * tower.parameters["alpha"].grad.item()  # alpha' = alpha - kappa * slope
    assert tower.optimizer.parameters["alpha"].grad.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")
def test_a_batch_that_is_skipped_takes_nothing_from_the_goal(horizon):
    given_ = batches(6)
    bad = [(x * np.nan, y) for x, y in given_[:1]]
    runs = [make(Adam(0.1, optimizer=SGD(1e-3), horizon=horizon, on_nonfinite="skip")) for _ in range(2)]
    train(*runs[0], given_)
    params, tower = runs[1]
    train(params, tower, given_[:2])
    loss_of(params, *bad[0]).backward()
    tower.step(params)
    assert tower.skipped == 1
    train(params, tower, given_[2:])
    assert params["w"].numpy().tobytes() == runs[0][0]["w"].numpy().tobytes()
    assert tower.hyperparameters == runs[0][1].hyperparameters


@pytest.mark.either_backend
@settings(max_examples=10)
@given(
    testing.towers(("w", "b"), max_height=2).filter(lambda tower: len(tower.levels) > 1), st.integers(1, 3), st.data()
)
def test_a_run_goes_on_from_a_file_and_in_a_replay_as_it_would(tmp_path_factory, tower, windows, data):
    k = tower.build().hooks[Window].horizon
    given_ = batches((windows + 2) * k)
    whole, saved = make(tower.build()), make(tower.build())
    train(*whole, given_)
    train(*saved, given_[: windows * k])
    path = tmp_path_factory.mktemp("run") / "run.npz"
    th.save(path, *saved)
    other = tower.build()
    params = th.load(path, other)
    params = getattr(params, "params", params)
    train(params, other, given_[windows * k :])
    for name, w in whole[0].items():
        assert params[name].numpy().tobytes() == w.numpy().tobytes()


@pytest.mark.parametrize("tower", [SGD(0.1, optimizer=SGD(1e-2)), Adam(0.1, optimizer=SGD(1e-3, optimizer=SGD(1e-5)))])
def test_a_replayed_run_goes_on_eagerly_with_the_same_numbers(tower):
    eager, replayed = make(twin(tower)), make(twin(tower))
    step = th.replay(loss_of, *replayed, exact=True)
    for batch in batches(12):
        train(*eager, [batch])
        step(*batch)
        descend(goal_of(replayed[0]), replayed[1], replayed[0])
    for name, w in eager[0].items():
        assert replayed[0][name].numpy().tobytes() == w.numpy().tobytes()
    assert replayed[1].hyperparameters == eager[1].hyperparameters


def test_what_leads_to_no_step_is_refused_and_nothing_has_changed():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-2)))
    goal = goal_of(params)
    with pytest.raises(th.GraphError, match="depends on no step"):
        descend(goal, tower, params)
    assert params["w"].grad is None
    with pytest.raises(th.GraphError, match="depends on no step"):
        descend(th.tensor(1.0), tower, params)
    train(params, tower, batches(1))
    with pytest.raises(th.GraphError, match="depends on no step"):
        descend(goal_of(params), tower, params)  # twice
    with pytest.raises(th.DtypeError, match="optimizer must be a tower"):
        descend(goal, params, tower.optimizer and params)
    with pytest.raises(th.DtypeError, match="the goal must be a tensor"):
        descend(1.0, tower, params)
    loss_of(params, *batches(1)[0]).backward()
    tower.step(params)
    with pytest.raises(th.ShapeError):
        descend(x_of(params), tower, params)
    descend(goal_of(params), tower, params)


def test_a_goal_that_is_refused_leaves_the_window_as_it_was():
    runs = [make(SGD(0.1, optimizer=SGD(1e-2), horizon=2, objective="sum")) for _ in range(2)]
    for params, tower in runs:
        for create_graph in (False, True, False):
            loss_of(params, X, Y).backward(create_graph=create_graph)
            if not create_graph or tower.hooks[Window].steps < 2:
                tower.step(params)
            if tower.hooks[Window].steps == 2 and params is runs[0][0]:
                with pytest.raises(th.ShapeError):
                    descend(x_of(params), tower, params)
    assert runs[0][1].hyperparameters == runs[1][1].hyperparameters != {"alpha": 0.1, "mu": 0.0}


def test_within_a_window_it_is_refused():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-2), horizon=3))
    loss_of(params, X, Y).backward()
    tower.step(params)
    with pytest.raises(th.GraphError, match="1 of the 3 steps of this window are made"):
        descend(goal_of(params), tower, params)


# The whole run, which nothing cuts.


@st.composite
def uncut(draw):
    """A tower that never cuts."""
    bottom, *above = draw(testing.towers(("w", "b"), max_height=1).filter(lambda tower: len(tower.levels) > 1)).levels
    options = {"objective": draw(st.sampled_from(["last", "sum"])), **bottom.options, "horizon": None}
    return Tower((bottom._replace(options=options), *above))


def run_to_the_goal(params, tower, given_):
    """Steps, and at their end the goal."""
    for batch in given_:
        loss_of(params, *batch).backward(create_graph=True)
        tower.step(params)
    descend(goal_of(params), tower, params)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(uncut(), st.integers(1, 4), st.integers(1, 3))
def test_without_a_cut_the_gradient_is_that_of_the_whole_run_and_a_new_run_begins(tower, first, second):
    params, bottom = make(tower.build())
    given_, before = batches(first + second), dict.fromkeys(bottom._tuned, 0.0)
    for part in (given_[:first], given_[first:]):
        start = {name: w.numpy() for name, w in params.items()}
        expected = hyper.gradient(hyper.Training(loss_of, start, bottom, goal_of, batches=part)).gradients
        run_to_the_goal(params, bottom, part)
        for name in bottom._tuned:
            found = bottom.parameters[name].grad.numpy()
            np.testing.assert_allclose(found - before[name], expected[name], rtol=1e-7, atol=1e-12)
            before[name] = found
    assert all(w.grad is None and w.is_leaf and w.requires_grad for w in params.values())


@pytest.mark.either_backend
@settings(max_examples=10)
@given(uncut())
def test_a_run_that_begins_anew_is_saved(tmp_path_factory, tower):
    whole, saved, other = make(tower.build()), make(tower.build()), tower.build()
    given_ = batches(5)
    for run in (whole, saved):
        run_to_the_goal(*run, given_[:3])
    path = tmp_path_factory.mktemp("run") / "run.npz"
    th.save(path, *saved)
    params = th.load(path, other).params
    for run in (whole, (params, other)):
        run_to_the_goal(*run, given_[3:])
    assert snapshot(other, params) == snapshot(whole[1], whole[0])


# A goal that is not finite.


def explode(params):
    """A goal that is infinite, and has the gradient 0."""
    return th.log(th.sum(th.square(params["w"] * 1e200)))


def bad(params):
    """A goal that is finite, and whose gradient is not."""
    return th.sqrt(th.sum(params["w"] * 0.0))


@pytest.mark.parametrize("horizon", [1, 2, None])
@pytest.mark.parametrize("goal", [explode, bad])
def test_a_goal_that_is_not_finite_contributes_nothing_where_such_steps_are_skipped(horizon, goal):
    runs = [make(Adam(0.1, optimizer=SGD(1e-3), horizon=horizon, on_nonfinite="skip")) for _ in range(2)]
    for n, (params, tower) in enumerate(runs):
        for count, batch in enumerate(batches(8)):
            loss_of(params, *batch).backward(create_graph=not tower.hooks[Window].cuts)
            tower.step(params)
            if count == 3 and n:
                with pytest.warns(th.AnomalyWarning, match="not finite; it contributes nothing"):
                    descend(goal(params), tower, params)
            elif count % 2:
                descend(goal_of(params) if count != 3 else 0.0 * goal_of(params), tower, params)
            assert all(np.isfinite(x.grad.numpy()) for x in tower.parameters.values() if x.grad is not None)
        assert tower.skipped == 0
    if horizon is not None:  # else what had come before is dropped, too
        assert snapshot(runs[0][1], runs[0][0]) == snapshot(runs[1][1], runs[1][0])


def test_a_goal_that_is_not_finite_is_refused_and_nothing_has_changed():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-3), on_nonfinite="raise"))
    loss_of(params, X, Y).backward()
    tower.step(params)
    before, tensors = snapshot(tower, params), dict(params)
    with pytest.raises(th.AnomalyError, match="the goal is infinity, so its gradient may be 0 in silence"):
        descend(explode(params), tower, params)
    assert snapshot(tower, params) == before and params == tensors
    descend(goal_of(params), tower, params)


# Recorded.


def test_a_recording_shows_that_the_training_loss_leads_to_no_hyperparameter():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-2)))

    def is_alpha(label):
        return label is not None and label.name == "alpha"

    with th.record() as tape:
        train(params, tower, batches(2))
        loss_of(params, X, Y).backward()
    cuts = [cut for cut in tape.cuts if cut.reason == "goal"]
    assert [(cut.step, cut.severed) for cut in cuts] == [(1, True), (1, True), (2, True), (2, True)]
    left = [node for node in tape.nodes if node.kind == "gradient" and is_alpha(tape.output(node.of).label)]
    assert [node.step for node in left] == [1, 2]
    losses = {node.loss for node in tape.nodes if node.kind == "gradient"} - {node.loss for node in left}
    assert len(losses) == 3  # those of the training
    shown = th.inspect.svg(tape)
    assert "goal at" in shown


# Replayed.


def weighed(params, x, y):
    """A goal of the batch."""
    return th.log(th.mean(th.square(x @ params["w"] + params["b"] - y)))


def eager(params, tower, given_, loss_of=loss_of, goal=weighed):
    """The losses of steps of which each window's first begins with the goal."""
    losses, window = [], tower.hooks[Window]
    for batch in given_:
        if window.cuts and not all(w.is_leaf for w in params.values()):
            descend(goal(params, *batch), tower, params)
        loss = loss_of(params, *batch)
        loss.backward(create_graph=not window.cuts)
        tower.step(params)
        losses.append(loss.item())
    return losses


tuning = testing.towers(("w", "b"), max_height=2).filter(lambda tower: len(tower.levels) > 1)


@pytest.mark.either_backend
@settings(max_examples=20)
@given(tuning, st.integers(1, 25), st.integers(0, 12))
def test_a_replayed_goal_has_the_bits_of_the_eager_loop(tower, first, more):
    known, replayed = make(tower.build()), make(tower.build())
    given_ = batches(first + more + 3)
    step = th.replay(loss_of, *replayed, goal=weighed, exact=True)
    losses = [step(*batch) for batch in given_[:first]]
    if more:
        losses += [*step.over(*map(np.array, zip(*given_[first:][:more])))]
    assert losses == eager(*known, given_[: first + more])
    assert snapshot(replayed[1], replayed[0]) == snapshot(known[1], known[0])
    assert eager(*replayed, given_[-3:]) == eager(*known, given_[-3:])
    assert snapshot(replayed[1], replayed[0]) == snapshot(known[1], known[0])


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_goal_has_a_program_which_says_what_it_leaves_and_runs_in_memory(horizon):
    def tower():
        return Adam(0.05, optimizer=SGD(1e-3), horizon=horizon)

    known, replayed, other = make(tower()), make(tower()), make(tower())
    given_ = batches(40)
    stacks = [np.array(entry) for entry in zip(*given_)]
    step = th.replay(loss_of, *replayed, goal=weighed)
    np.testing.assert_allclose(step.over(*stacks), eager(*known, given_), rtol=1e-12)
    text = str(step.program)
    assert text.count("the goal, and the gradients of the hyperparameters") == 1
    assert text.count("backward: the gradients of the weights") == 1
    assert text.index("∂alpha") < text.index("the loss\n") and step.program.svg()
    np.testing.assert_allclose(replayed[1].hyperparameters["alpha"], known[1].hyperparameters["alpha"], rtol=1e-12)
    losses, runs = step.sweep([other], stacks)
    np.testing.assert_allclose(losses[0], eager(*make(tower()), given_), rtol=1e-12)
    np.testing.assert_allclose(runs[0][0]["w"].numpy(), known[0]["w"].numpy(), rtol=1e-12)


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("skipped", [(3, 17, 18, 25), range(3, 40, 4)])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")
def test_a_skipped_step_keeps_what_its_goal_has_left(horizon, skipped, both):
    """Every fourth one: then there are never as many alike as a program takes.

    both: whether the goal is bad, too, and leaves nothing.
    """
    tower = Adam(0.05, optimizer=SGD(1e-3), horizon=horizon, on_nonfinite="skip")
    known, replayed = make(twin(tower)), make(tower)

    def loss(params, x, y, factor):
        return loss_of(params, x, y) * factor

    def goal(params, x, y, factor):
        return weighed(params, x, y) * (factor if both else 1.0)

    step = th.replay(loss, *replayed, goal=goal, exact=True)
    for n, batch in enumerate(batches(40)):
        batch = (*batch, np.array(np.nan if n in skipped else 1.0))
        eager(*known, [batch], loss, goal)
        step(*batch)
        assert snapshot(replayed[1], replayed[0]) == snapshot(known[1], known[0])
    assert replayed[1].skipped == len(skipped) and (step.program is None) == (len(skipped) > 4)


def test_what_the_loss_reads_outside_the_tower_descends_a_goal_too():
    def decayed(params, x, y, decay):
        return loss_of(params, x, y) + decay * th.sum(th.square(params["w"]))

    params, tower = make(Adam(0.1, horizon=None, outside={"decay": 0.1}, coordinates={"decay": "log"}))
    run = hyper.Training(decayed, {k: w.numpy() for k, w in params.items()}, tower, goal_of, batches=batches(4))
    for batch in batches(4):
        decayed(params, *batch, **tower.outside).backward(create_graph=True)
        tower.step(params)
    descend(goal_of(params), tower, params)
    for name, expected in hyper.gradient(run).gradients.items():
        np.testing.assert_allclose(tower.parameters[name].grad.numpy(), expected, rtol=1e-9)
    tower = Adam(0.05, optimizer=SGD(1e-3), horizon=3, outside={"decay": 0.1})
    known, replayed = make(twin(tower)), make(tower)
    step = th.replay(decayed, *replayed, goal=weighed, exact=True)
    for batch in batches(24):
        assert [step(*batch)] == eager(*known, [batch], lambda p, x, y: decayed(p, x, y, **known[1].outside))
    assert step.program is not None and replayed[1].hyperparameters == known[1].hyperparameters
    assert known[1].hyperparameters["decay"] != 0.1


def test_a_goal_that_overflows_in_a_program_is_seen_by_the_eager_engine():
    params, tower = make(SGD(0.01, optimizer=SGD(1e-3), on_nonfinite="raise"))
    step = th.replay(loss_of, params, tower, goal=lambda params, x, y: th.log(th.sum(th.square(x @ params["w"]))))
    for x, y in batches(12):
        step(x, y)
    assert step.program is not None
    with pytest.raises(th.AnomalyError, match="the goal is infinity"):
        step(x * 1e200, y)


def test_goals_that_make_no_sense_are_refused():
    params, tower = make(SGD(0.1, optimizer=SGD(1e-2)))
    with pytest.raises(th.ArgumentError, match="the goal must be a function"):
        th.replay(loss_of, params, tower, goal=3.0)
    with pytest.raises(th.ArgumentError, match="tunes nothing, so a goal has nothing to move"):
        th.replay(loss_of, params, SGD(0.1), goal=weighed)
    step = th.replay(loss_of, params, tower, goal=lambda params, x, y: 3.0)
    step(*batches(1)[0])
    with pytest.raises(th.DtypeError, match="the goal must return a tensor of one element, not a float"):
        step(*batches(1)[0])
    rng = np.random.default_rng(0)
    step = th.replay(loss_of, *make(SGD(0.1, optimizer=SGD(1e-2))), goal=lambda p, x, y: goal_of(p) * rng.random())
    step(*batches(1)[0])
    with pytest.raises(th.GraphError, match="the goal draws random numbers"):
        step(*batches(1)[0])
