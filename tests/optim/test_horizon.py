"""The horizon: hypergradients over a window, against differences of the window itself; its life, cost and errors."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizers import RULES
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.core import tape
from tinyhyper.optim import SGD, Adam, from_string
from tinyhyper.optim.boundary import Boundary
from tinyhyper.testing import alive

SEEDS = st.integers(0, 2**32 - 1)
OBJECTIVES = st.sampled_from(["last", "sum"])


def batches(rng, count):
    return [th.tensor(rng.standard_normal((4, 3))) for _ in range(count)]


def train(optimizer, params, xs, losses=loss_of):
    """The natural loop; returns the value of each loss."""
    values = []
    for x in xs:
        loss = losses(params, x)
        loss.backward(create_graph=True)
        optimizer.step(params)
        values.append(loss.item())
    return values


def all_tuned(name):
    return lambda **kw: RULES[name](tune=tuple(RULES[name]().table), **kw)


def assert_is_the_slope(got, f, u, what=""):
    """`got` is df/du, by a fourth-order central difference with an estimate of its own error."""
    h = 1e-4 * max(abs(u), 0.1)
    d1, d2 = ((f(u + k * h) - f(u - k * h)) / (2 * k * h) for k in (1, 2))
    expected, error = (4 * d1 - d2) / 3, abs(d1 - d2) + 1e-13 * max(1.0, abs(f(u))) / h
    assert abs(got - expected) <= 1e-6 * abs(expected) + error, (what, got, expected)


# None: the whole run.


def whole_run(make, seed, steps, objective, moved=None, losses=loss_of):
    """A run that is never cut, with some hyperparameters at other internal values; the optimizer and its objective."""
    rng = np.random.default_rng(seed)
    optimizer, params = make(horizon=None, objective=objective), make_params(rng)
    for name, u in (moved or {}).items():
        optimizer.parameters[name].data = u
    *xs, last = batches(rng, steps + 1)
    values = train(optimizer, params, xs, losses)
    loss = losses(params, last)
    loss.backward()
    return optimizer, loss.item() + (sum(values[1:]) if objective == "sum" else 0.0)


def assert_equals_differences(make, seed, steps, objective, losses=loss_of):
    optimizer, _ = whole_run(make, seed, steps, objective, losses=losses)
    for name, parameter in optimizer.parameters.items():
        assert_is_the_slope(
            parameter.grad.item(),
            lambda u, name=name: whole_run(make, seed, steps, objective, {name: u}, losses)[1],
            parameter.item(),
            name,
        )


def test_a_state_that_starts_at_a_hyperparameter_moves_with_it():
    """Adam's v starts at eps: optimizers made anew with another eps differ in that, too."""
    rng = np.random.default_rng(0)
    xs = batches(rng, 5)

    def run(eps):
        optimizer = Adam(0.05, eps=eps, tune=("alpha", "beta1", "beta2", "eps"), horizon=None)
        params = make_params(np.random.default_rng(1))
        train(optimizer, params, xs[:-1])
        loss = loss_of(params, xs[-1])
        loss.backward()
        return optimizer, loss.item()

    assert_is_the_slope(run(0.01)[0].parameters["eps"].grad.item(), lambda eps: run(eps)[1], 0.01)


PARTIAL_LOSSES = {
    "one weight at a time": lambda p, x: th.sum(th.square(p["w"] if x.item() else p["b"])),
    "the last on one alone": lambda p, x: loss_of(p, np.ones((4, 3))) if x.item() else th.sum(th.square(p["b"])),
    "linear": lambda p, x: th.sum(p["w"]) + 2.0 * th.sum(p["b"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["last", "sum"])
@pytest.mark.parametrize("losses", PARTIAL_LOSSES)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_losses_that_do_not_reach_every_weight_count_in_full(name, losses, objective, monkeypatch):
    flags = [th.tensor(float(n % 2 == 1)) for n in range(5)]
    monkeypatch.setitem(globals(), "batches", lambda rng, count: flags[:count])
    assert_equals_differences(all_tuned(name), 0, 4, objective, PARTIAL_LOSSES[losses])


@pytest.mark.parametrize("objective", ["last", "sum"])
def test_a_loss_may_read_the_weights_of_an_earlier_step(objective):
    def losses(params, x):
        near = th.sum(th.square(params["w"] - before[-1])) if len(before) > 1 else 0.0
        before.append(params["w"])
        return loss_of(params, x) + near

    def run(u):
        before.clear()
        return whole_run(RULES["sgd"], 7, 4, objective, {"alpha": u}, losses)

    before = []
    assert_is_the_slope(run(0.05)[0].parameters["alpha"].grad.item(), lambda u: run(u)[1], 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["last", "sum"])
def test_gradients_and_weights_may_be_changed_by_recorded_operations(objective):
    def run(u):
        rng = np.random.default_rng(8)
        optimizer, params = RULES["adam"](horizon=None, objective=objective), make_params(rng)
        optimizer.parameters["alpha"].data = u
        total = 0.0
        for n, x in enumerate(batches(rng, 5)):
            loss = loss_of(params, x)
            total = loss.item() + (total if objective == "sum" and n > 1 else 0.0)
            if n == 4:
                loss.backward()
                return optimizer.parameters["alpha"].grad.item(), total
            loss.backward(create_graph=True)
            for w in params.values():
                w.grad = 2.0 * th.tanh(w.grad)
            optimizer.step(params)
            params["w"] = (0.9 * params["w"]).retain_grad()

    assert_is_the_slope(run(0.05)[0], lambda u: run(u)[1], 0.05)


def test_the_first_step_needs_no_recorded_gradient_and_a_missing_one_is_zero():
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True), "b": th.tensor([3.0], requires_grad=True)}
    optimizer = SGD(0.1, horizon=None)
    th.sum(th.square(params["w"])).backward()
    optimizer.step(params)
    for _ in range(2):
        th.sum(th.square(params["w"])).backward(create_graph=True)
        optimizer.step(params)
    th.sum(th.square(params["w"])).backward()
    # w = w0 (1 - 2 alpha)^3, and the loss is its square.
    np.testing.assert_allclose(optimizer.parameters["alpha"].grad.item(), -12 * 0.8**5 * 5.0, rtol=1e-12)
    np.testing.assert_array_equal(params["b"].data, [3.0])


def test_none_stands_still_also_below_a_level():
    rng = np.random.default_rng(2)
    optimizer = Adam(0.01, optimizer=SGD(0.1), horizon=None)
    before = optimizer.hyperparameters
    train(optimizer, make_params(rng), batches(rng, 4))
    assert optimizer.hyperparameters == before and optimizer.t == 4 and optimizer.optimizer.t == 0


# k: a window. test_testing_hypergradients.py compares it with differences, what it cuts held frozen.


@given(seed=SEEDS, k=st.integers(1, 4), objective=OBJECTIVES)
def test_the_levels_above_move_once_a_window_top_first(seed, k, objective):
    """For SGD over SGD over SGD, d loss/d kappa is minus the product of alpha's gradients of two windows."""
    rng = np.random.default_rng(seed)
    optimizer = SGD(0.05, optimizer=SGD(1e-3, optimizer=SGD(1e-5)), horizon=k, objective=objective)
    middle, top = optimizer.levels[1:]
    params, held, gradients = make_params(rng), [], []
    for window in range(1, 5):
        train(optimizer, params, batches(rng, 1))
        alpha, kappa = optimizer.parameters["alpha"], middle.parameters["alpha"]
        held.append((alpha, kappa))
        train(optimizer, params, batches(rng, k - 1))
        assert optimizer.parameters["alpha"] is alpha and middle.parameters["alpha"] is kappa
        assert (middle.t, top.t, optimizer.t) == (window, window, window * k)
    for (alpha, kappa), (next_alpha, next_kappa) in zip(held, held[1:]):
        gradients.append(alpha.grad.item())
        expected = -gradients[-1] * gradients[-2] if len(gradients) > 1 else 0.0
        np.testing.assert_allclose(kappa.grad.item(), expected, rtol=1e-10)
        assert next_kappa.item() == kappa.item() - 1e-5 * kappa.grad.item()
        assert next_alpha.item() == alpha.item() - next_kappa.item() * alpha.grad.item()


def test_from_one_step_to_the_whole_run_on_one_trajectory():
    """A horizon as long as the run is the whole run; a shorter one is another number."""

    def slope(horizon):
        rng = np.random.default_rng(4)
        above = None if horizon is None else SGD(0.0)
        optimizer, params = SGD(0.05, 0.5, horizon=horizon, optimizer=above), make_params(rng)
        *xs, last = batches(rng, 7)
        train(optimizer, params, xs)
        loss_of(params, last).backward()
        return optimizer.parameters["alpha"].grad.item()

    slopes = {horizon: slope(horizon) for horizon in (1, 2, 3, 6, None)}
    assert slopes[6] == slopes[None]
    assert len(set(slopes.values())) == 4


@pytest.mark.parametrize("name", RULES)
def test_a_horizon_of_one_is_the_algorithm_of_the_paper_bit_for_bit(name):
    def final(create_graph, **kw):
        rng = np.random.default_rng(5)
        optimizer, params = RULES[name](optimizer=Adam(1e-3, optimizer=SGD(1e-5)), **kw), make_params(rng)
        for x in batches(rng, 6):
            loss_of(params, x).backward(create_graph=create_graph)
            optimizer.step(params)
        return [w.data.tobytes() for w in params.values()], repr(optimizer.state_dict())

    plain = final(False)
    assert plain == final(True) == final(False, horizon=1) == final(True, horizon=1, objective="sum")[:2]


def test_a_window_trains():
    x = th.tensor(np.random.default_rng(6).standard_normal((4, 3)))
    optimizer, params = Adam(1e-3, optimizer=SGD(1e-3), horizon=5), make_params(np.random.default_rng(6))
    values = train(optimizer, params, [x] * 60)
    assert values[-1] < 0.5 * values[0] and optimizer.hyperparameters["alpha"] > 1e-2


@pytest.mark.slow
def test_a_float32_model_stays_float32():
    rng = np.random.default_rng(9)
    optimizer, params = Adam(0.01, tune=("alpha", "eps"), horizon=None), make_params(rng, np.float32)
    xs = [th.tensor(x.data.astype(np.float32)) for x in batches(rng, 4)]
    train(optimizer, params, xs)
    loss_of(params, xs[0]).backward()
    assert {w.dtype for w in params.values()} == {np.dtype(np.float32)}
    assert all(optimizer.parameters[name].grad.dtype == np.float64 for name in ("alpha", "eps"))


# th.gradients sees through the seams.


@pytest.mark.slow
def test_a_recorded_second_derivative():
    def slope(u, create_graph=False):
        rng = np.random.default_rng(10)
        optimizer, params = RULES["adam"](horizon=None), make_params(rng)
        optimizer.parameters["alpha"].data = u
        *xs, last = batches(rng, 4)
        train(optimizer, params, xs)
        alpha = optimizer.parameters["alpha"]
        (first,) = th.gradients(loss_of(params, last), alpha, create_graph=create_graph)
        return th.gradients(first, alpha)[0].item() if create_graph else first.item()

    assert_is_the_slope(slope(0.05, create_graph=True), slope, 0.05)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_pure_derivative_ignores_what_was_left_and_leaves_it(create_graph):
    rng = np.random.default_rng(11)
    optimizer, params = SGD(0.05, horizon=None, objective="sum"), make_params(rng)
    xs = batches(rng, 4)
    train(optimizer, params, xs[:3])
    alpha = optimizer.parameters["alpha"]
    loss = loss_of(params, xs[3])
    (only,) = th.gradients(loss, alpha, retain_graph=True, create_graph=create_graph)
    assert alpha.grad is None
    loss.backward()
    other, again = SGD(0.05, horizon=None), make_params(np.random.default_rng(11))
    train(other, again, xs[:3])
    loss_of(again, xs[3]).backward()
    np.testing.assert_allclose(only.item(), other.parameters["alpha"].grad.item(), rtol=1e-12)
    assert abs(alpha.grad.item() - only.item()) > 1e-3 * abs(only.item())


@pytest.mark.parametrize("objective", ["last", "sum"])
def test_looking_at_the_hypergradient_on_the_way_counts_each_loss_once(objective):
    rng = np.random.default_rng(12)
    xs = batches(rng, 5)
    found = []
    for look in (False, True):
        optimizer, params = SGD(0.05, horizon=None, objective=objective), make_params(np.random.default_rng(12))
        for n, x in enumerate(xs[:-1]):
            if look and n:
                loss_of(params, x).backward(retain_graph=True)
                for w in params.values():
                    w.grad = None
            train(optimizer, params, [x])
        before = optimizer.parameters["alpha"].grad if look else None
        loss_of(params, xs[-1]).backward()
        found.append((optimizer.parameters["alpha"].grad, before))
    (plain, _), (looked, before) = found
    assert before is not None
    if objective == "last":  # what the looks have found was added, and nothing else
        np.testing.assert_allclose(looked.item() - before.item(), plain.item(), rtol=1e-9)


def test_a_gradient_shares_no_memory():
    rng = np.random.default_rng(13)
    optimizer, params = SGD({"w": 0.1}, optimizer=SGD(1e-3), horizon=4, objective="sum"), make_params(rng)
    held = [dict(params)]
    for x in batches(rng, 3):
        train(optimizer, params, [x])
        held.append(dict(params))
    loss_of(params, x).backward()
    tensors = [w for weights in held for w in weights.values()]
    for n, w in enumerate(tensors):
        for m, other in enumerate(tensors):
            if n != m and w.grad is not None and other.grad is not None:
                assert w.grad is not other.grad


# Cost and life.


@pytest.fixture
def visits(monkeypatch):
    """How many nodes each sweep has walked over."""
    counts, walk = [], tape.reachable

    def counted(*args):
        nodes = walk(*args)
        counts.append(len(nodes))
        return nodes

    monkeypatch.setattr(tape, "reachable", counted)
    return counts


def live_nodes():
    gc.collect()
    return alive(tape.Node)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["last", "sum"])
@pytest.mark.parametrize("closing", ["plain", "recorded"])
def test_time_and_memory_grow_linearly(visits, closing, objective):
    rng = np.random.default_rng(14)
    totals, alive = {}, {}
    for k in (8, 16, 32):
        before = live_nodes()
        optimizer, params = Adam(0.01, optimizer=SGD(1e-5), horizon=k, objective=objective), make_params(rng)
        visits.clear()
        train(optimizer, params, batches(rng, k))
        assert len(set(visits[2:])) == 1, "each recorded sweep goes back one step, however long the window is"
        alive[k] = live_nodes() - before
        loss_of(params, batches(rng, 1)[0]).backward(create_graph=closing == "recorded")
        optimizer.step(params)
        totals[k] = sum(visits)
        del optimizer, params
    assert totals[32] - totals[16] == 2 * (totals[16] - totals[8])
    assert alive[32] - alive[16] == 2 * (alive[16] - alive[8]) > 0


@pytest.mark.slow
def test_a_run_that_is_given_up_leaves_nothing():
    before = live_nodes()
    for _ in range(2):
        rng = np.random.default_rng(16)
        optimizer, params = Adam(0.01, horizon=None, objective="sum"), make_params(rng)
        train(optimizer, params, batches(rng, 5))
        gc.collect()
        del optimizer, params
        assert gc.collect() == 0
    assert live_nodes() == before


@pytest.mark.slow
def test_memory_stays_flat_over_500_windows():
    optimizer = Adam(1e-3, optimizer=SGD(1e-5, optimizer=SGD(1e-6)), horizon=4)
    params = {"w": th.tensor(np.ones(3), requires_grad=True)}

    def run(windows):
        for _ in range(4 * windows):
            th.sum(th.square(params["w"])).backward(create_graph=True)
            optimizer.step(params)

    def memory_after(windows):
        run(windows)
        assert gc.collect() == 0  # nothing to collect, but Python empties its lists of free tuples
        return tracemalloc.get_traced_memory()[0]

    run(20)  # makes the kernels
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        memory_after(20)
        before, after = memory_after(20), memory_after(500)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 2_000, f"{after - before} bytes more after 500 windows"


def test_a_window_of_3000_steps_is_swept():
    params, optimizer = {"w": th.tensor([1.0], requires_grad=True)}, SGD(1e-4, horizon=None)
    for _ in range(3000):
        th.sum(th.square(params["w"])).backward(create_graph=True)
        optimizer.step(params)
    th.sum(th.square(params["w"])).backward()
    expected = -12000 * (1 - 2e-4) ** 5999
    np.testing.assert_allclose(optimizer.parameters["alpha"].grad.item(), expected, rtol=1e-9)


def test_a_step_inside_no_grad_keeps_the_window():
    rng = np.random.default_rng(17)
    optimizer, params = SGD(0.05, horizon=None), make_params(rng)
    for x in batches(rng, 3):
        loss_of(params, x).backward(create_graph=True)
        with th.no_grad():
            optimizer.step(params)
    loss_of(params, x).backward()
    assert optimizer.parameters["alpha"].grad.item() != 0


# Recording.


def test_a_recording_shows_one_graph_a_window_cut_only_where_it_begins():
    rng = np.random.default_rng(18)
    optimizer, params = SGD(0.05, optimizer=SGD(1e-3), horizon=3), make_params(rng)
    xs = batches(rng, 7)
    with th.record() as recorded:
        train(optimizer, params, xs)
    assert {cut.step for cut in recorded.cuts} == {1, 4, 7}
    found = {
        (label.name, node.step): number
        for number, node in enumerate(recorded.nodes)
        for label in [node.outputs[0].label]
        if label is not None and label.role == "weights" and node.kind == "operation"
    }
    kept = {(edge.source, edge.target) for edge in recorded.edges if edge.flow == "kept"}
    joined = [step for step in range(1, 7) if (found["w", step], found["w", step + 1]) in kept]
    assert joined == [1, 2, 4, 5]


def test_a_recording_of_a_run_that_is_never_cut_has_no_cut():
    rng = np.random.default_rng(19)
    optimizer, params = Adam(0.01, horizon=None), make_params(rng)
    with th.record() as recorded:
        train(optimizer, params, batches(rng, 3))
    assert recorded.cuts == [] and "✂" not in str(recorded).split("\n", 2)[2]


# Errors.


def forgotten(params, x):
    loss_of(params, x).backward()


def retained(params, x):
    loss_of(params, x).backward(retain_graph=True)


def clipped(params, x):
    loss_of(params, x).backward(create_graph=True)
    params["w"].grad = th.tensor(np.clip(params["w"].grad.numpy(), -0.1, 0.1))


def assigned(params, x):
    for w in params.values():
        w.grad = th.tensor(np.ones(w.shape))


def first_plain(params, x):
    loss_of(params, x).backward(retain_graph=True)
    loss_of(params, x).backward(create_graph=True)


def then_plain(params, x):
    loss_of(params, x).backward(create_graph=True)
    loss_of(params, x).backward(retain_graph=True)


def replaced(params, x):
    params["w"] = th.tensor(params["w"].numpy(), requires_grad=True)
    loss_of(params, x).backward(create_graph=True)


@pytest.mark.parametrize("wrong", [forgotten, retained, clipped, assigned, first_plain, then_plain, replaced])
@pytest.mark.parametrize("horizon", [3, None])
@pytest.mark.parametrize("objective", ["last", "sum"])
def test_what_would_shorten_the_horizon_is_told_and_changes_nothing(wrong, horizon, objective):
    rng = np.random.default_rng(20)
    optimizer = Adam(0.01, optimizer=SGD(1e-3), horizon=horizon, objective=objective)
    params = make_params(rng)
    x, *xs = batches(rng, 2)
    train(optimizer, params, [x])
    wrong(params, xs[0])
    tensors, state = dict(params), optimizer.state_dict()
    gradients = {name: w.grad for name, w in params.items()}
    words = "new window" if wrong is replaced else r"create_graph=True"
    for _ in range(2):
        with pytest.raises(th.errors.GraphError, match=rf"Adam.step: .*params\['w'\].*{words}") as error:
            optimizer.step(params)
        assert "is 3 steps long" in str(error.value) if horizon else "never ends" in str(error.value)
        assert params == tensors and all(w.grad is gradients[name] for name, w in params.items())
        np.testing.assert_equal(optimizer.state_dict(), state)


def test_a_gradient_that_has_no_graph_because_it_is_constant_is_right():
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = SGD(0.1, horizon=None)
    for _ in range(3):
        for _ in range(2):
            th.sum(params["w"]).backward(create_graph=True)
        optimizer.step(params)
    th.sum(params["w"]).backward()
    assert optimizer.parameters["alpha"].grad.item() == -12.0


def test_a_recorded_gradient_may_be_assigned():
    """th.gradients gives gradients with their graph: the horizon is as long as with backward()."""
    found = []
    for assign in (False, True):
        rng = np.random.default_rng(21)
        optimizer, params = SGD(0.05, horizon=None), make_params(rng)
        *xs, last = batches(rng, 4)
        for x in xs:
            if assign:
                gradients = th.gradients(loss_of(params, x), list(params.values()), create_graph=True)
                for w, g in zip(params.values(), gradients):
                    w.grad = g
                optimizer.step(params)
            else:
                train(optimizer, params, [x])
        loss_of(params, last).backward()
        found.append(optimizer.parameters["alpha"].grad.item())
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SGD(optimizer=SGD(), horizon=0), "horizon must be .*not 0"),
        (lambda: SGD(optimizer=SGD(), horizon=-2), "horizon must be .*not -2"),
        (lambda: SGD(optimizer=SGD(), horizon=2.0), "horizon must be .*not 2.0"),
        (lambda: SGD(optimizer=SGD(), horizon=True), "horizon must be .*not True"),
        (lambda: SGD(optimizer=SGD(), horizon="all"), "horizon must be .*not 'all'"),
        (lambda: SGD(optimizer=SGD(), objective="mean"), "'mean'.*'last', 'sum'"),
        (lambda: SGD(optimizer=SGD(), objective=["last"]), "objective"),
        (lambda: SGD(optimizer=SGD(horizon=None)), "horizon=None.*bottom"),
        (lambda: SGD(optimizer=SGD(optimizer=SGD(), horizon=4)), "horizon=4.*bottom"),
        (lambda: SGD(optimizer=SGD(objective="sum")), "objective=sum.*bottom"),
        (lambda: SGD(horizon=4), "nothing is tuned.*optimizer="),
        (lambda: SGD(optimizer=SGD(), tune=(), horizon=4), "nothing is tuned"),
        (lambda: from_string("sgd(0.1, horizon=x)/sgd"), "horizon=x"),
        (lambda: from_string("sgd/sgd(horizon=3)"), "nothing is tuned|bottom"),
    ],
)
def test_a_wrong_horizon_is_told(make, words):
    with pytest.raises(th.errors.ArgumentError, match=words):
        make()


def test_none_alone_tunes_what_is_tuned_by_default_or_named():
    assert SGD(0.1, horizon=None)._tuned == ("alpha",)
    assert Adam(horizon=None)._tuned == ("alpha", "beta1", "beta2")
    assert Adam(horizon=None, tune=("eps",))._tuned == ("eps",)
    assert Adam()._tuned == ()


@pytest.mark.parametrize(
    "stack, expected",
    [
        ("sgd(0.1, horizon=4)/sgd(1e-3)", "SGD(alpha=0.1, horizon=4) / SGD(alpha=0.001)"),
        ("adam(horizon=None, objective=sum)", "Adam(alpha=0.001, beta1=0.9, beta2=0.999, horizon=None, objective=sum)"),
        ("sgd(0.1, horizon=1)", "SGD(alpha=0.1)"),
    ],
)
def test_a_horizon_is_read_and_printed(stack, expected):
    assert str(from_string(stack)) == expected
    assert str(from_string(expected)) == expected


# Saving.


@pytest.mark.parametrize("horizon, made_again", [(1, True), (2, False), (None, False)])
def test_only_where_each_step_cuts_is_the_last_one_noted(horizon, made_again):
    """Elsewhere a file does not make it again, and its arrays need not be kept."""
    rng = np.random.default_rng(25)
    optimizer, params = SGD(0.05, optimizer=SGD(1e-3), horizon=horizon), make_params(rng)
    for x in batches(rng, 3):
        loss_of(params, x).backward(create_graph=True)
        optimizer.step(params)
        assert (optimizer.hooks[Boundary].last is not None) == made_again


def test_a_load_begins_a_new_window():
    rng = np.random.default_rng(22)
    optimizer, params = Adam(0.01, optimizer=SGD(1e-4), horizon=4), make_params(rng)
    train(optimizer, params, batches(rng, 6))
    other = Adam(0.01, optimizer=SGD(1e-4), horizon=4)
    for tower in (optimizer, other):
        tower.load_state_dict(optimizer.state_dict())
    copies = {name: th.tensor(w.data, requires_grad=True) for name, w in params.items()}
    alphas, x = [], batches(rng, 1)[0]
    for weights in (params, copies):
        loss_of(weights, x).backward()  # the first gradient of a window needs no graph
    for tower, weights in ((optimizer, params), (other, copies)):
        tower.step(weights)
        train(tower, weights, batches(np.random.default_rng(23), 4))
        alphas.append(tower.hyperparameters["alpha"])
    assert alphas[0] == alphas[1] != 0.01
    for name in params:
        np.testing.assert_array_equal(params[name].data, copies[name].data)
