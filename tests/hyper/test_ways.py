"""Hypergradients of whole runs: each way against its referee, over rules, hyperparameters and coordinates."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper import hyper, testing
from tinyhyper.differences import along, lengths, settled
from tinyhyper.optim import SGD, Adam

BACK = ("one step", "window", "unroll", "checkpointed")
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 3)), RNG.standard_normal((12, 2))
BATCHES = [(X[n : n + 6], Y[n : n + 6]) for n in range(6)]
W, B = 0.3 * RNG.standard_normal((3, 2)), np.zeros(2)


def loss_of(params, x, y, decay=0.0, weights=1.0):
    error = th.tanh(x @ params["w"] + params["b"]) - y
    return th.mean(weights * th.square(error)) + decay * th.sum(th.square(params["w"]))


def goal_of(params):
    return th.mean(th.square(th.tanh(X @ params["w"] + params["b"]) - Y))


def made(optimizer, steps=4, **options):
    params = options.pop("params", {"w": W, "b": B})
    return hyper.Training(loss_of, params, optimizer, goal_of, batches=BATCHES[:steps], **options)


def scaled(scale):
    """Weights that begin at a hyperparameter, but for one."""
    return {"w": scale * W, "b": B}


outsides = st.sampled_from(
    [
        {},
        {"outside": {"decay": 0.1}},
        {"outside": {"decay": 0.1}, "coordinates": {"decay": "log"}},
        {"outside": {"decay": 0.2, "weights": [0.5, 0.8]}, "coordinates": {"decay": "sqrt", "weights": "unit"}},
        {"outside": {"scale": 1.5, "decay": 0.1}, "coordinates": {"scale": "log"}, "params": scaled},
    ]
)


@st.composite
def trainings(draw):
    tower = draw(testing.towers(("w", "b"), max_height=1).filter(lambda tower: len(tower.levels) > 1))
    return made(tower.build(), draw(st.integers(1, 5)), **draw(outsides))


def frozen(training, k):
    """The gradient through the last k steps by differences: what the step before them has left is held."""
    arrays = training.start().arrays()
    for n in range(training.steps - k):
        arrays = training.step(n, arrays).arrays()
    names, values = [*training.hyperparameters], [*training.hyperparameters.values()]

    def value(*given):
        other, at = training.at(dict(zip(names, given))), arrays
        for n in range(training.steps - k, training.steps):
            at = other.step(n, at).arrays()
        return np.array(other.ask(at)[0])

    found = {}
    for number, (name, array) in enumerate(training.hyperparameters.items()):
        slopes = []
        for place, length in enumerate(lengths(array).flat):
            slope = settled(value, values, along(values, number, place, length))
            slopes.append((slope.value / length, slope.error / length))
        found[name] = [np.reshape([s[n] for s in slopes], array.shape) for n in (0, 1)]
    return found


def assert_near(found, expected, rtol=1e-6, uncertain=None):
    largest = max(float(np.abs(x).max()) for x in expected.values())
    for name, array in expected.items():
        room = 0.0 if uncertain is None else 10.0 * uncertain[name]
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=rtol, atol=rtol * largest + np.max(room))


@pytest.mark.either_backend
@settings(max_examples=40)
@given(trainings())
def test_the_whole_run_is_differentiated_as_differences_do(training):
    referee = hyper.gradient(training, "differences")
    found = hyper.gradient(training)
    assert found.way == "unroll" and found.value == referee.value
    assert_near(found.gradients, referee.gradients, uncertain=referee.detail)


def test_clipped_gradients_are_differentiated():
    training = made(Adam(0.1, clip_norm=0.05, horizon=None), outside={"decay": 0.1})
    referee = hyper.gradient(training, "differences")
    assert_near(hyper.gradient(training).gradients, referee.gradients, uncertain=referee.detail)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(trainings(), st.integers(1, 5))
def test_a_window_is_differentiated_as_differences_do_with_the_cut_held(training, k):
    k = min(k, training.steps)
    referee = frozen(training, k)
    found = hyper.gradient(training, "window", k=k).gradients
    assert_near(found, {n: v for n, (v, _) in referee.items()}, uncertain={n: e for n, (_, e) in referee.items()})
    if k == 1:
        assert_same(hyper.gradient(training, "one step").gradients, found)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(trainings(), st.integers(1, 6))
def test_checkpoints_change_no_bit_and_tangents_agree(training, every):
    whole = hyper.gradient(training, "unroll")
    for options in ({}, {"every": every}):
        assert_same(hyper.gradient(training, "checkpointed", **options).gradients, whole.gradients)
    assert_near(hyper.gradient(training, "forward").gradients, whole.gradients, rtol=1e-9)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes()


@pytest.mark.either_backend
@settings(max_examples=25)
@given(trainings(), st.sampled_from(BACK))
def test_scaled_cotangents_change_nothing_where_floats_reach(training, way):
    options = {"k": 2} if way == "window" else {}
    plain = hyper.gradient(training, way, **options)
    scaled = hyper.gradient(training, way, scaled=True, **options)
    assert scaled.exponent == plain.exponent == 0
    assert_near(scaled.gradients, plain.gradients, rtol=1e-12)


def test_a_goal_that_is_flat_has_no_exponent():
    def goal(params):
        return 0.0 * th.sum(params["w"])

    training = hyper.Training(loss_of, {"w": W, "b": B}, SGD(0.1, horizon=None), goal, batches=BATCHES[:3])
    found = hyper.gradient(training, scaled=True)
    assert found.gradients["alpha"] == 0.0 and found.exponent == 0


# Where floats do not reach: gradient descent on w'Hw/2, whose derivatives are known in closed form.


def quadratic(seed, dtype, eta, steps, goal):
    """The run, and the exact derivative of the logarithm of its last loss, over the steps, with respect to alpha."""
    rng = np.random.default_rng(seed)
    x, start = rng.standard_normal((20, 20)), rng.standard_normal(20)
    h, start = (x.T @ x).astype(dtype), (start / np.linalg.norm(start)).astype(dtype)

    def loss(params):
        return 0.5 * th.sum(params["w"] * (h @ params["w"]))

    values, vectors = np.linalg.eigh(h.astype(float))
    factors, parts = 1.0 - eta * values, vectors.T @ start.astype(float)
    largest = np.abs(factors).max()
    shares = parts**2 * values * (factors / largest) ** (2 * steps)
    exact = -2.0 * np.sum(shares * values / factors) / np.sum(shares)
    asked = {"log": lambda params: th.log(loss(params)) / steps, "raw": loss}[goal]
    return hyper.Training(loss, {"w": start}, SGD(eta, horizon=None), asked, steps=steps), exact


@pytest.mark.parametrize("steps", [20, 40, 160, 640])
def test_an_exploding_run_is_differentiated_in_float32(steps):
    training, exact = quadratic(0, np.float32, 0.1, steps, "log")
    found = hyper.gradient(training, "checkpointed", scaled=True, homogeneous=0)
    assert found.gradients["alpha"] == pytest.approx(exact, rel=1e-4)
    with np.errstate(all="ignore"):
        plain = hyper.gradient(training).gradients["alpha"]
    assert plain == pytest.approx(exact, rel=1e-4) if steps == 20 else plain == 0.0 if steps == 40 else np.isnan(plain)


@settings(max_examples=8)
@given(st.integers(0, 1000), st.floats(0.001, 0.2), st.integers(2, 300))
def test_scaled_numbers_are_exact_to_float64_however_far_a_run_goes(seed, eta, steps):
    training, exact = quadratic(seed, np.float64, eta, steps, "log")
    found = hyper.gradient(training, scaled=True, homogeneous=0)
    np.testing.assert_allclose(found.gradients["alpha"], exact, rtol=1e-9)


def test_what_no_float_holds_has_an_exponent():
    training, exact = quadratic(0, np.float64, 0.1, 640, "raw")
    log, _ = quadratic(0, np.float64, 0.1, 640, "log")
    value = hyper.gradient(log, scaled=True, homogeneous=0).value * 640  # of the logarithm of the loss
    found = hyper.gradient(training, scaled=True, homogeneous=2)
    assert found.value == np.inf and 0.5 <= abs(found.gradients["alpha"]) < 1.0
    size = math.log(abs(found.gradients["alpha"])) + found.exponent * math.log(2.0)
    assert size == pytest.approx(value + math.log(exact * 640), rel=1e-9)  # d f = f d log f


def test_what_is_not_homogeneous_is_refused():
    with pytest.raises(th.ArgumentError, match="does not make twice the"):
        hyper.gradient(made(SGD(0.1, horizon=None)), scaled=True, homogeneous=0)
    with pytest.raises(th.ArgumentError, match="scaled=True"):
        hyper.gradient(made(SGD(0.1, horizon=None)), homogeneous=0)


def test_where_a_run_begins_is_seen_by_the_whole_run_alone():
    training = made(SGD(0.1, horizon=None), outside={"scale": 1.5}, params=scaled)
    assert hyper.gradient(training, "window", k=4).gradients["scale"] == 0.0
    assert hyper.gradient(training).gradients["scale"] != 0.0
    minimum = hyper.Training(
        lambda params: th.sum(th.square(params["w"] - 1.0)), lambda scale: {"w": scale * W}, SGD(0.3, horizon=None),
        lambda params: th.sum(params["w"]), steps=60, outside={"scale": 2.0},
    )  # fmt: skip
    assert hyper.gradient(minimum, "implicit").gradients["scale"] == 0.0


# At a minimum.


def ridge(decay, steps=300, coordinate="linear", weights=None):
    """Ridge regression, and the exact derivative of its validation loss with respect to the strength."""

    def loss(params, decay):
        return 0.5 * th.sum(th.square(X @ params["w"] - Y)) + 0.5 * decay * th.sum(th.square(params["w"]))

    def goal(params):
        return th.sum(th.square(params["w"] - W))

    curved = X.T @ X + decay * np.eye(3)
    least = np.linalg.solve(curved, X.T @ Y)
    slope = -2.0 * np.sum((least - W) * np.linalg.solve(curved, least))
    training = hyper.Training(
        loss, {"w": least if weights is None else weights}, SGD(0.02, horizon=None), goal, steps=steps,
        outside={"decay": decay}, coordinates={"decay": coordinate},
    )  # fmt: skip
    return training, slope * (decay if coordinate == "log" else 1.0)


@given(st.floats(0.01, 10.0), st.sampled_from(["linear", "log"]))
def test_ridge_regression_has_its_closed_form(decay, coordinate):
    training, exact = ridge(decay, 1, coordinate)
    found = hyper.gradient(training, "implicit")
    assert found.gradients["decay"] == pytest.approx(exact, rel=1e-8)
    assert found.gradients["alpha"] == 0.0 and found.detail["residual"] <= 1e-10
    series = hyper.gradient(training, "implicit", solver="neumann", iterations=10_000, tolerance=1e-12)
    assert series.gradients["decay"] == pytest.approx(exact, rel=1e-6)


def test_a_long_run_ends_at_the_minimum():
    training, exact = ridge(1.0, 600, weights=np.zeros((3, 2)))
    assert hyper.gradient(training, "implicit").gradients["decay"] == pytest.approx(exact, rel=1e-8)
    assert hyper.gradient(training, "unroll").gradients["decay"] == pytest.approx(exact, rel=1e-6)


def test_an_end_that_is_no_minimum_is_refused():
    with pytest.raises(th.GradientError, match="does not end at a minimum of the last loss: Newton's step"):
        hyper.gradient(ridge(1.0, 3, weights=np.zeros((3, 2)))[0], "implicit")
    saddle = hyper.Training(
        lambda params, scale: scale * params["w"][0] ** 2 - params["w"][1] ** 2 + 1e-3 * th.sum(params["w"]),
        {"w": np.ones(2)}, SGD(0.01, horizon=None), steps=2, outside={"scale": 1.0},
    )  # fmt: skip
    with pytest.raises(th.GradientError, match="its curvature is .*, not above 0"):
        hyper.gradient(saddle, "implicit")
    with pytest.raises(th.GradientError, match="left a residual"):
        hyper.gradient(ridge(0.01, 1)[0], "implicit", solver="neumann", iterations=2)
    with pytest.raises(th.ArgumentError, match="solver must be one of .*, not 'lu'"):
        hyper.gradient(ridge(1.0, 1)[0], "implicit", solver="lu")
    flat = hyper.Training(
        lambda params, scale: scale * th.sum(th.square(params["w"])), {"w": np.zeros(2)}, SGD(0.01, horizon=None),
        goal=lambda params: th.sum(th.square(params["w"])), steps=1, outside={"scale": 1.0},
    )  # fmt: skip
    for solver in ("cg", "neumann"):
        assert hyper.gradient(flat, "implicit", solver=solver).gradients["scale"] == 0.0


def test_weight_decay_of_the_optimizer_moves_its_end_away_from_the_minimum():
    training = hyper.Training(
        lambda params: th.sum(th.square(params["w"] - 1.0)), {"w": np.zeros(2)},
        SGD(0.1, weight_decay=0.5, horizon=None), steps=200,
    )  # fmt: skip
    with pytest.raises(th.GradientError, match="does not end at a minimum"):
        hyper.gradient(training, "implicit")


# Memory.


def peak(training, way):
    tracemalloc.start()
    try:
        hyper.gradient(training, way)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chain(steps):
    return hyper.Training(
        lambda params: th.mean(th.square(params["w"] - 1.0)), {"w": np.zeros(1000)}, SGD(0.01, horizon=None),
        steps=steps,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [144, pytest.param(10_000, marks=pytest.mark.slow)])
def test_tangents_keep_nothing_and_checkpoints_the_root_of_the_steps(steps):
    for way in ("unroll", "checkpointed", "forward"):
        peak(chain(100), way)  # what is made once
    one = (peak(chain(200), "unroll") - peak(chain(100), "unroll")) / 100
    assert peak(chain(steps), "checkpointed") <= 3.0 * math.sqrt(steps) * one
    least = min(peak(chain(steps), "forward") for _ in range(3))  # the interpreter's own caches grow at first
    assert least <= 1.5 * peak(chain(20), "forward")


# The meter, and mistakes.


def test_the_meter_tells_how_far_each_way_is_from_the_referee():
    answer = hyper.myopia(made(SGD(0.1, horizon=None), 6, outside={"decay": 0.1}))
    rows = {row[:2]: row[2:] for row in answer.rows}
    ways = ["differences", "the last step", "the last 2 steps", "the last 3 steps", "all 6 steps", "from checkpoints"]
    assert [way for name, way in rows if name == "decay"] == [*ways, "forward"]
    assert rows["alpha", "all 6 steps"][1] < 1e-6 < 10.0 < rows["alpha", "the last step"][1]
    assert "There is no implicit one: the run does not end at a minimum" in answer.text
    share = 100.0 * rows["alpha", "the last step"][0] / rows["alpha", "differences"][0]
    assert f"with respect to alpha is {share:.3g} % of the whole run's" in answer.text
    assert str(answer) and answer.svg()


def test_the_meter_says_what_has_the_wrong_sign_what_is_nothing_and_takes_arrays():
    wrong = hyper.Training(
        lambda params, target: th.sum(th.square(params["w"] - target)), {"w": np.zeros(1)}, SGD(0.05, horizon=None),
        lambda params: th.sum(th.square(params["w"] - 2.0)), batches=[(1.0,), (1.0,), (1.0,), (-1.0,)],
    )  # fmt: skip
    assert "has the wrong sign" in hyper.myopia(wrong).text
    unread = made(SGD(0.1, horizon=None), 2, outside={"weights": [1.0, 1.0], "decay": 0.0})
    tracemalloc.start()  # somebody's own measurement goes on
    answer = hyper.myopia(unread, windows=[1])
    assert tracemalloc.is_tracing()
    tracemalloc.stop()
    norm = np.linalg.norm(hyper.gradient(unread, "differences").gradients["weights"])
    assert next(row[2] for row in answer.rows if row[0] == "weights") == pytest.approx(norm)
    minimum = ridge(1.0, 1)[0]
    answer = hyper.myopia(minimum)
    assert "with respect to alpha is 0, or too small for differences" in answer.text
    assert ("decay", "implicit") in [row[:2] for row in answer.rows]


def test_without_a_goal_the_last_loss_counts_and_a_tower_goes_on_from_where_it_stands():
    params, tower = {"w": th.tensor(W, requires_grad=True), "b": th.tensor(B, requires_grad=True)}, Adam(
        0.1, optimizer=SGD(1e-3)
    )
    for batch in BATCHES[:3]:
        loss_of(params, *batch).backward()
        tower.step(params)
    training = hyper.Training(loss_of, params, tower, batches=BATCHES[3:5])
    referee = hyper.gradient(training, "differences")
    found = hyper.gradient(training)
    assert_near(found.gradients, referee.gradients, uncertain=referee.detail)
    assert tower.t == 3 and params["w"].grad is None
    loss_of(params, *BATCHES[3]).backward()  # as the tower's own hypergradient, of one step
    tower.step(params)
    one = hyper.Training(loss_of, {"w": W, "b": B}, SGD(0.1, horizon=None), batches=[BATCHES[0]])
    bottom = SGD(0.1, optimizer=SGD(0.0))
    params = {"w": th.tensor(W, requires_grad=True), "b": th.tensor(B, requires_grad=True)}
    for _ in range(2):
        loss_of(params, *BATCHES[0]).backward()
        if _ == 0:
            bottom.step(params)
    expected = bottom.parameters["alpha"].grad.numpy()
    np.testing.assert_allclose(hyper.gradient(one, "one step").gradients["alpha"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (lambda: hyper.gradient(3), th.DtypeError, "must be a th.hyper.Training"),
        (lambda: hyper.myopia(3), th.DtypeError, "must be a th.hyper.Training"),
        (lambda: hyper.gradient(made(SGD(0.1, horizon=None)), "magic"), th.ArgumentError, "way must be.*'magic'"),
        (lambda: hyper.gradient(made(SGD(0.1, horizon=None)), "unroll", k=3), th.CallError, "options do not fit"),
        (lambda: hyper.gradient(made(SGD(0.1, horizon=None)), "window", k=0), th.ArgumentError, "k must be"),
        (lambda: hyper.gradient(made(SGD(0.1, horizon=None)), "checkpointed", every=0), th.ArgumentError, "every"),
        (lambda: made(3), th.DtypeError, "optimizer must be an optimizer, such as"),
        (lambda: made(SGD(0.1)), th.ArgumentError, "no hyperparameter to differentiate with respect to"),
        (lambda: made(SGD(0.1), 0), th.ArgumentError, "not empty"),
        (lambda: made(SGD(0.1), outside={"decay": -1.0}, coordinates={"decay": "log"}), th.ArgumentError, "range"),
        (lambda: made(SGD(0.1), coordinates={"decay": "log"}), th.ArgumentError, "not in outside="),
        (lambda: made(SGD(0.1), outside={"alpha": 1.0}), th.ArgumentError, "which the optimizer has already"),
        (lambda: hyper.Training(loss_of, {"w": W}, SGD(0.1)), th.ArgumentError, "either batches="),
        (lambda: made(SGD(0.1, horizon=None), params={"w": [1]}), th.DtypeError, "must hold floats"),
        (lambda: made(SGD(0.1, horizon=None), params=3), th.DtypeError, "params must be a dict"),
        (lambda: made(SGD(0.1, horizon=None), params=scaled), th.ArgumentError, "reads scale, which is not in outside"),
    ],
)
def test_mistakes_are_told(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


def test_a_loss_or_goal_that_is_no_number_is_told():
    def asked(loss, goal=None):
        return hyper.Training(loss, {"w": W}, SGD(0.1, horizon=None), goal, steps=1)

    with pytest.raises(th.DtypeError, match="the loss must be a tensor of one element"):
        hyper.gradient(asked(lambda params: 3.0))
    with pytest.raises(th.ShapeError, match="the loss must have one element"):
        hyper.gradient(asked(lambda params: params["w"]))
    with pytest.raises(th.ArgumentError, match="the goal does not depend on the weights"):
        hyper.gradient(asked(lambda params: th.sum(params["w"]), lambda params: th.tensor(1.0)))
    forgets = hyper.Training(
        lambda params: th.sum(params["w"]), {"w": W}, SGD(0.1, horizon=None), steps=1, outside={"decay": 0.1}
    )
    with pytest.raises(TypeError, match=r"^\S+ got an unexpected keyword argument 'decay'"):
        hyper.gradient(forgets)
