"""A replayed run is the eager run: every loss, every value, every edge, whatever is done in between."""

import itertools
import pickle

import numpy as np
import pytest
from backends import SLOW_IF_COMPILED
from drawn_towers import bits, snapshot
from golden_towers import GOLDEN, towers
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import for_all
from replayed import batches, eager_step, in_parts, loss_of, make
from small_model import recorded_loss

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.core.tape import switched
from tinyhyper.ops.operation import LONGEST
from tinyhyper.optim import SGD, AdaGrad, Adam, RMSProp
from tinyhyper.optim.horizon import Window
from tinyhyper.optim.saving import twin
from tinyhyper.program import visible
from tinyhyper.program.build import Builder
from tinyhyper.program.compare import distance
from tinyhyper.program.handles import Handles
from tinyhyper.program.replaying import Replay
from tinyhyper.program.session import Session
from tinyhyper.program.trace import Trace
from tinyhyper.program.values import values_of
from tinyhyper.program.visible import Visible

SEEDS = st.integers(0, 10_000)
TOWERS = towers(SGD, AdaGrad, RMSProp, Adam)
ACTIONS = ("nothing", "look", "use", "set", "alpha", "rate", "asks", "replace", "step", "shape", "load", "grad")


def act(action, params, optimizer):
    """What a user may do between two steps."""
    window = optimizer.hooks[Window]
    if action == "look":
        assert all(np.isfinite(w.numpy()).all() for w in params.values())
        str(optimizer)
    elif action == "use":
        assert params["w"].requires_grad and params["w"].grad is None
    elif action == "set":
        params["w"].data = params["w"].numpy() * 0.5
    elif action == "alpha" and optimizer.optimizer is not None:
        for name in optimizer._tuned[:1]:
            optimizer.parameters[name].data = optimizer.parameters[name].numpy() * 0.75
    elif action == "rate" and optimizer.optimizer is not None:
        for name in optimizer._tuned[:1]:
            optimizer.parameters[name] = th.tensor(optimizer.parameters[name].numpy() * 0.75, requires_grad=True)
    elif action == "asks":
        top = optimizer.levels[-1]
        for name in [name for name in top.parameters if name not in top._tuned][:1]:
            top.parameters[name] = th.tensor(top.parameters[name].numpy(), requires_grad=True)
    elif action == "replace" and window.horizon == 1:
        params["b"] = th.tensor(params["b"].numpy() + 0.1, requires_grad=True)
    elif action == "step" and window.horizon == 1:
        eager_step(loss_of, params, optimizer, batches(1, params["w"].dtype, seed=7)[0])
    elif action == "load":
        optimizer.load_state_dict(optimizer.state_dict())
        if window.horizon != 1:
            for name, w in params.items():
                params[name] = th.tensor(w.numpy(), requires_grad=True)
    elif action == "grad" and window.horizon == 1:
        th.sum(params["w"]).backward(retain_graph=True)


def assert_same(one, other):
    (params, optimizer), (others, twin) = one, other
    assert snapshot(optimizer, params) == snapshot(twin, others)


@pytest.mark.either_backend
@settings(max_examples=25)
@given(
    tower=testing.towers(("w", "b")),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=SEEDS,
    actions=st.lists(st.tuples(st.integers(0, 27), st.sampled_from(ACTIONS)), max_size=4),
)
def test_a_replayed_run_has_the_bits_of_the_eager_one(tower, dtype, seed, actions):
    eager, replayed = (make(tower.build(), dtype, seed) for _ in range(2))
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(28, dtype, seed)):
        for at, action in sorted(actions, key=lambda pair: pair[1] != "use"):  # before another leaves a gradient
            if at == n:
                for run in (eager, replayed):
                    act(action, *run)
                if action == "shape":
                    batch = tuple(entry[:2] for entry in batch)
        assert repr(train(*batch)) == repr(eager_step(loss_of, *eager, batch))
    assert_same(eager, replayed)
    if not actions:
        assert train.program is not None
    for batch in batches(3, dtype, seed + 1):
        assert eager_step(loss_of, *replayed, batch) == eager_step(loss_of, *eager, batch)
    assert_same(eager, replayed)


@pytest.mark.either_backend
@settings(max_examples=10)
@given(tower=testing.towers(("w", "b")), seed=SEEDS, parts=st.lists(st.integers(0, 20), min_size=1, max_size=3))
def test_many_steps_at_once_are_as_one_by_one(tower, seed, parts):
    eager, replayed = (make(tower.build(), np.float64, seed) for _ in range(2))
    train = th.replay(loss_of, *replayed, exact=True)
    for losses, expected, kept, histories in in_parts(train, eager, parts, seed):
        np.testing.assert_array_equal(losses, expected)
        for name in histories:
            np.testing.assert_allclose(kept[name], histories[name], rtol=1e-15)
        assert_same(eager, replayed)


@pytest.mark.parametrize("name", TOWERS)
def test_a_replayed_tower_follows_its_record(name):
    record = np.load(GOLDEN / f"{name}.npz")
    params = {k[5:]: th.tensor(record[k], requires_grad=True) for k in record.files if k.startswith("init.layer")}
    tower = TOWERS[name]()
    train = th.replay(recorded_loss, params, tower)
    for t, (x, y) in enumerate(zip(record["X"], record["y"])):
        np.testing.assert_allclose(train(x, y), record["trace.loss"][t], rtol=1e-9)
        for height, level in enumerate(tower.levels):
            for key, value in level.parameters.items():
                if (recorded := f"trace.level{height}.{key}") in record.files:
                    np.testing.assert_allclose(value.item(), record[recorded][t], rtol=1e-9)
    assert train.program is not None
    for name, w in params.items():
        np.testing.assert_allclose(w.numpy(), record[f"final.{name}"], rtol=1e-9)


def adam():
    return Adam(1e-2, optimizer=SGD(1e-4))


@pytest.mark.parametrize("horizon", [1, 3])
def test_what_the_loss_carries_is_replayed_and_seen(horizon):
    def carrying(state):
        def loss(params, x, y):
            out = th.tanh(x @ params["w"] + params["b"] + 0.5 * th.tensor(state["h"]))
            state["h"], state["n"] = th.mean(out, 0).numpy(), (th.tensor(1.0) + state["n"]).detach()
            return th.mean(th.square(out - y))

        return loss

    states = [{"h": np.zeros(2), "n": th.tensor(0.0)} for _ in range(2)]
    eager, replayed = (make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon)) for _ in range(2))
    losses = [carrying(state) for state in states]
    train = th.replay(losses[1], *replayed, carry=states[1], exact=True)
    for n, batch in enumerate(batches(30)):
        assert train(*batch) == eager_step(losses[0], *eager, batch)
        assert states[0]["h"].tobytes() == states[1]["h"].tobytes() and states[1]["n"].item() == n + 1
        if n == 17:
            for state in states:
                state["h"] = np.ones(2)
        if n == 22:
            assert replayed[0]["w"].requires_grad
        if n == 26:
            for state in states:
                state["more"] = np.zeros(1)
        assert not 12 <= n < 22 or train._session.moment
    assert train.program is not None
    assert_same(eager, replayed)


@pytest.mark.parametrize("kept", [th.Tensor.detach, th.Tensor.numpy])
@pytest.mark.parametrize("taken", [th.tensor, lambda x: th.Tensor(np.asarray(x))], ids=["a copy", "itself"])
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_state_of_a_recurrent_net_is_carried(kept, taken, horizon):
    """The derivative of a later step in the window reads what the loss has taken of it, and of the batch."""
    net = th.nn.LSTM("net", 3, 4, 1)
    params = net.parameters(seed=0, dtype=np.float64)

    def run():
        tower = SGD(0.1, optimizer=SGD(1e-3), horizon=horizon)
        return {name: th.tensor(w.numpy(), requires_grad=True) for name, w in params.items()}, tower

    runs = [run(), run()]
    states = [{name: th.tensor(np.zeros((2, 4))) for name in "hc"} for _ in runs]

    def loss_with(state):
        def loss(params, x):
            out, ((h, c),) = net(params, taken(x), [(taken(state["h"]), taken(state["c"]))])
            state.update(h=kept(h), c=kept(c))
            return th.mean(th.square(out - 0.3))

        return loss

    train = th.replay(loss_with(states[1]), *runs[1], carry=states[1], exact=True)
    for x in np.random.default_rng(0).standard_normal((20, 5, 2, 3)):
        assert train(x) == eager_step(loss_with(states[0]), *runs[0], (x,))
        assert np.asarray(states[0]["h"]).tobytes() == np.asarray(states[1]["h"]).tobytes()
    assert train.program is not None and train._session.moment


@pytest.mark.parametrize("exact", [True, pytest.param(False, marks=SLOW_IF_COMPILED)])
def test_the_running_statistics_of_layers_are_replayed(exact):
    class Model(th.nn.Layer):
        def __init__(self):
            super().__init__("model", parts=[th.nn.Conv2d("conv", 3, 4, 3), th.nn.BatchNorm2d("norm", 4)])

        def __call__(self, params, x):
            conv, norm = self.parts
            return norm(params, conv(params, x))

    def run():
        model = Model()
        return model, model.parameters(seed=0, dtype=np.float64), adam()

    def loss_with(model):
        return lambda params, x: th.mean(th.square(th.relu(model(params, x)) - 0.5))

    (eager, *ours), (replayed, *theirs) = run(), run()
    train = th.replay(loss_with(replayed), *theirs, carry=replayed.live_buffers, exact=exact)
    for n, x in enumerate(np.random.default_rng(0).standard_normal((20, 2, 5, 5, 3))):
        error = distance(np.array(train(x)), np.array(eager_step(loss_with(eager), *ours, (x,))))
        assert error <= (0.0 if exact else 1e-12)
        for name, buffer in eager.buffers.items():
            assert distance(replayed.buffers[name], buffer) <= (0.0 if exact else 1e-12)
        if n == 12:
            for model in (eager, replayed):
                model.load_buffers({name: buffer * 0.5 for name, buffer in model.buffers.items()})
    assert train.program is not None
    with pytest.raises(th.GraphError, match="carry="):
        wrong = th.replay(loss_with(replayed), *theirs)
        for x in np.random.default_rng(0).standard_normal((20, 2, 5, 5, 3)):
            wrong(x)


@pytest.mark.parametrize("exact, steps", [(True, 15), (False, 150)])
def test_steps_by_rows_of_whole_data_sets_are_those_of_their_batches(exact, steps):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    rows = rng.integers(-20, 20, (steps, 4))
    one, other = make(adam()), make(adam())
    losses = th.replay(loss_of, *one, exact=exact).over(x, y, index=rows)
    np.testing.assert_array_equal(losses, th.replay(loss_of, *other, exact=exact).over(x[rows], y[rows]))
    assert_same(one, other)


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1])
def test_long_sequences_are_replayed(length):
    def loss(params, y):
        w = params["w"]
        return th.sum(th.square(th.stack([w[n] for n in range(length)]) - y))

    y = np.arange(1.0, length + 1)
    one, other = [({"w": th.tensor(-y, requires_grad=True)}, SGD(0.1)) for _ in range(2)]
    train = th.replay(loss, *one, exact=True)
    assert [train(y) for _ in range(8)] == [eager_step(loss, *other, (y,)) for _ in range(8)]
    assert train.program is not None


def test_steps_without_a_batch_are_counted():
    x, y = batches(1)[0]
    one, other = make(adam()), make(adam())
    train = th.replay(lambda params: loss_of(params, x, y), *one, exact=True)
    np.testing.assert_array_equal(train.over(steps=12), [eager_step(loss_of, *other, (x, y)) for _ in range(12)])


def test_a_call_between_steps_sees_the_run_and_may_end_it():
    params, tower = make(adam())
    stacks = [np.array(entries) for entries in zip(*batches(30))]
    seen = []

    def call(made, losses):
        seen.append((made, len(losses), tower.t, params["w"].numpy().copy()))
        return made >= 20

    losses = th.replay(loss_of, params, tower, exact=True).over(*stacks, every=8, call=call)
    assert [entry[:3] for entry in seen] == [(n, n, n) for n in (8, 16, 24)] and len(losses) == 24
    assert not np.array_equal(seen[0][3], seen[1][3])


def test_a_step_that_is_refused_changes_nothing():
    params, tower = make(Adam(1e-2, optimizer=SGD(1e-4), on_nonfinite="raise"))
    train = th.replay(loss_of, params, tower, exact=True)
    for batch in batches(8):
        train(*batch)
    before = snapshot(tower, params)
    x, y = batches(1)[0]
    with pytest.raises(th.AnomalyError):
        train(x * np.nan, y)
    for w in [*params.values(), *tower.parameters.values()]:
        w.grad = None
    assert snapshot(tower, params) == before


def test_a_run_is_saved_and_goes_on_elsewhere(tmp_path):
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for batch in batches(10):
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    th.save(tmp_path / "run", *replayed)
    loaded = adam()
    params = th.load(tmp_path / "run", loaded).params
    for batch in batches(5, seed=3):
        assert eager_step(loss_of, params, loaded, batch) == eager_step(loss_of, *eager, batch) == train(*batch)


def test_under_a_recording_a_step_is_eager_and_recorded():
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for batch in batches(10):
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    tapes = []
    for step in (lambda b: train(*b), lambda b: eager_step(loss_of, *eager, b)):
        with th.record() as tape:
            step(batches(1, seed=5)[0])
        tapes.append([(node.op, node.kind, len(node.outputs)) for node in tape.nodes])
    assert tapes[0] == tapes[1]
    with th.detect_anomaly():
        assert train(*batches(1)[0]) == eager_step(loss_of, *eager, batches(1)[0])


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("exact", [True, False])
def test_a_tensor_that_was_taken_before_keeps_its_values(exact, counts, monkeypatch):
    monkeypatch.setattr(visible, "COUNTS", counts)
    (params, tower), (other, twin) = make(adam()), make(adam())
    train, alike = th.replay(loss_of, params, tower, exact=exact), th.replay(loss_of, other, twin, exact=exact)
    seen, taken = [], []
    for n, batch in enumerate(batches(24)):
        train(*batch), alike(*batch)
        seen.append((bits(other["w"]), bits(twin.parameters["alpha"])))
        if n % 3 != 1:  # between two steps that nobody looks at there is one that somebody does
            taken.append((n, params["w"], tower.parameters["alpha"]))
        if n % 4 == 3:
            assert bits(params["b"]) == bits(other["b"])
    for n, w, alpha in taken:
        assert (bits(w), bits(alpha)) == seen[n]


def replayed_until_refused(loss, count=40):
    train = th.replay(loss, *make(adam()), exact=True)
    for batch in batches(count):
        train(*batch)


def test_what_differs_between_two_recordings_is_refused():
    steps = itertools.count(1)
    with pytest.raises(th.GraphError, match=r"multiply reads an array of shape \(\).*test_replay.py:\d+"):
        replayed_until_refused(lambda params, x, y: loss_of(params, x, y) * (1.0 / next(steps)))

    def branch(params, x, y):
        return loss_of(params, x, y) * 2.0 if next(steps) % 2 else -loss_of(params, x, y)

    with pytest.raises(th.GraphError, match=r"(multiply|negative) at .* where the one before it had"):
        replayed_until_refused(branch)


def test_a_step_that_differs_while_others_are_recorded_is_left_behind():
    eager, replayed = (make(AdaGrad({"w": 0.003}, optimizer=SGD(1e-8))) for _ in range(2))
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(12)):
        if n == 3:
            for run in (eager, replayed):
                act("grad", *run)
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    assert train.program is not None


def test_a_loss_that_draws_is_refused_before_anything_changes():
    rng = np.random.default_rng(0)
    params, tower = make(adam())
    before, state = snapshot(tower, params), repr(rng.bit_generator.state)
    train = th.replay(lambda params, x, y: loss_of(params, x * rng.random(3), y), params, tower)
    with pytest.raises(th.GraphError, match="draws random numbers"):
        train(*batches(1)[0])
    assert snapshot(tower, params) == before and repr(rng.bit_generator.state) == state


def test_what_the_loss_closes_over_is_compared_at_each_call():
    scale, table = [1.0], {"shift": np.zeros(2)}

    def loss(params, x, y):
        return loss_of(params, x, th.tensor(y) + table["shift"]) * scale[0]

    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed, exact=True)
    for n, batch in enumerate(batches(24)):
        if n == 9:
            scale[0] = 0.5
        if n == 16:
            table["shift"][:] = 0.25
        assert train(*batch) == eager_step(loss, *eager, batch)
    assert train.program is not None


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_a_change_that_no_guard_sees_leads_back_to_the_first_step_of_a_window(horizon):
    hidden = np.zeros((1000, 2))  # so large that only its identity is watched

    def loss(params, x, y):
        return loss_of(params, x, th.tensor(y) + hidden[0])

    replayed = make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon))
    train = th.replay(loss, *replayed, exact=True, verify=4)
    for batch in batches(made := 30):
        train(*batch)
    hidden[0] = 1.0
    with pytest.raises(th.GraphError) as error:
        for batch in batches(6, seed=4):
            train(*batch)
            made += 1
    steps = replayed[1].t
    assert horizon == 1 or steps % horizon == 1
    assert f"The last {made + 1 - steps} steps are dropped" in str(error.value)
    hidden[0] = 0.0
    eager = make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon))
    for batch in batches(30)[:steps]:
        eager_step(loss, *eager, batch)
    assert snapshot(*reversed(replayed)) == snapshot(*reversed(eager))
    for batch in batches(9, seed=6):
        assert train(*batch) == eager_step(loss, *eager, batch)


def test_wrong_arguments_are_refused():
    params, tower = make(adam())
    for wrong, message in (
        ((None, params, tower), "the loss must be a function"),
        ((loss_of, [], tower), "params must be a dict"),
        ((loss_of, params, None), "optimizer must be a tower"),
        ((loss_of, params, SGD(0.1, horizon=None)), "horizon=None"),
    ):
        with pytest.raises(th.TinyhyperError, match=message):
            th.replay(*wrong)
    with pytest.raises(th.DtypeError, match="carry"):
        th.replay(loss_of, params, tower, carry=3)
    with pytest.raises(th.ArgumentError, match="verify"):
        th.replay(loss_of, params, tower, verify=0)
    train = th.replay(loss_of, params, tower)
    x, y = (np.array(entries) for entries in zip(*batches(3)))
    for options, message in (
        ({"steps": 3}, "leave out steps="),
        ({"keep": ("beta",)}, "keep='beta'.*kappa"),
        ({"every": 0, "call": print}, "every"),
    ):
        with pytest.raises(th.TinyhyperError, match=message):
            train.over(x, y, **options)
    with pytest.raises(th.DtypeError, match="an array, a tensor, a number or a str, not a list"):
        train([1.0], y[0])


def anew(params, tower):
    params["b"] = th.tensor(np.ones(2), requires_grad=True)


def another(params, tower):
    params["c"] = th.tensor(np.ones(2), requires_grad=True)


def renamed(params, tower):
    params["c"] = params.pop("b")


def set_alpha(params, tower):
    tower.parameters["alpha"] = th.tensor(0.1, requires_grad=True)


def set_top(params, tower):
    tower.optimizer.parameters["alpha"].data = 0.01


@pytest.mark.parametrize("change", [anew, another, renamed, set_alpha, set_top])
@pytest.mark.parametrize("exact", [True, False])
def test_what_users_put_there_counts_though_they_then_ask_for_an_edge(exact, change):
    def loss(params, x, y):
        return th.mean(th.square(th.tanh(x @ params["w"] + sum(params[name] for name in params if name != "w")) - y))

    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed, exact=exact)
    for n, batch in enumerate(batches(20)):
        if n == 10:
            for params, tower in (eager, replayed):
                change(params, tower)
                assert params["w"].requires_grad
        assert distance(np.array(train(*batch)), np.array(eager_step(loss, *eager, batch))) <= 1e-12
    assert train.program is not None and [*eager[0]] == [*replayed[0]]


def test_a_gradient_that_users_put_on_what_nothing_tunes_is_as_in_the_eager_loop():
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(20)):
        if n == 10:
            for _, tower in (eager, replayed):
                tower.optimizer.parameters["alpha"].grad = th.tensor(1.0)
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    assert_same(eager, replayed)


def test_what_users_carry_counts_though_they_then_ask_for_an_edge():
    state = {"h": np.zeros(2)}

    def loss(params, x, y):
        out = th.tanh(x @ params["w"] + params["b"] + 0.5 * th.tensor(state["h"]))
        state["h"] = th.mean(out, 0).numpy()
        return th.mean(th.square(out - y))

    run, losses = make(adam()), []
    train = th.replay(loss, *run, carry=state, exact=True)
    for n, batch in enumerate(batches(20)):
        if n >= 10:
            state["h"] = np.ones(2)
            assert run[0]["w"].requires_grad
            before = loss(run[0], *batch).item()
            state["h"] = np.ones(2)
            losses.append((before, train(*batch)))
    assert losses and all(before == after for before, after in losses)


@pytest.mark.parametrize(
    "tower", [adam(), SGD(0.1, horizon=2, optimizer=SGD(1e-3)), SGD(0.1), SGD(0.1, optimizer=SGD(1e-3))], ids=str
)
def test_weights_that_are_projected_by_hand_from_the_first_step_on_have_a_program(tower):
    eager, replayed = make(twin(tower)), make(twin(tower))
    train = th.replay(loss_of, *replayed, exact=True)
    for batch in batches(20):
        assert train(*batch) == eager_step(loss_of, *eager, batch)
        for params, _ in (eager, replayed):
            params["w"].data = np.clip(params["w"].data, -0.2, 0.2)
    assert train.program is not None
    assert_same(eager, replayed)


def test_what_the_loss_takes_without_its_gradient_in_another_dtype_is_not_the_weight(either):
    def loss(params, x, y):
        rounded = th.tensor(params["w"], dtype="float32")
        return th.mean(th.square(x @ (params["w"] * rounded) + params["b"] - y))

    runs = [make(adam()) for _ in range(3)]
    x, y = (np.array(entries) for entries in zip(*batches(20)))
    expected = [eager_step(loss, *runs[0], batch) for batch in zip(x, y)]
    assert [*th.replay(loss, *runs[1], exact=True).over(x, y)] == expected
    np.testing.assert_allclose(th.replay(loss, *runs[2]).over(x, y), expected, rtol=1e-12)
    assert_same(*runs[:2])


def test_pending_tensors_are_copied_and_shown_as_others():
    params, tower = make(adam())
    train = th.replay(loss_of, params, tower, exact=True)
    for batch in batches(8):
        train(*batch)
    assert "tensor(" in repr(params["w"]) and len(params["w"]) == 3
    with th.no_grad():
        assert (params["b"] * 2.0).shape == (2,) and th.sum(params["b"]).shape == ()
    train(*batches(1)[0])
    leaf = params["b"]
    train.over(*[np.array(entries) for entries in zip(*batches(2))])
    assert leaf.requires_grad and pickle.loads(pickle.dumps(leaf)).shape == (2,)
    assert th.sum(params["b"] * 2.0).requires_grad
    train(*batches(1)[0])
    params["w"].grad = th.tensor(np.ones((3, 2)))
    assert params["w"].grad.shape == (3, 2)


@for_all(
    3, 15,
    tower=testing.towers(("w", "b")),
    others=st.lists(testing.towers(("w", "b")), max_size=2),
    told=st.booleans(),
    exact=st.booleans(),
)
def test_runs_of_other_towers_than_the_first_are_those_made_alone(tower, others, told, exact):
    x, y = (np.array(entries) for entries in zip(*batches(15)))
    original = make(tower.build())
    train = th.replay(loss_of, *original, exact=exact)
    if told:
        train.over(x, y)
    before = snapshot(*reversed(original))
    towers = [tower, *others, tower]
    starts = [make(t.build(), seed=n) for n, t in enumerate(towers)]
    losses, runs = train.sweep(starts, (x, y), workers=2)
    assert losses.shape == (len(towers), 15) and snapshot(*reversed(original)) == before
    for n, (tower, row, run) in enumerate(zip(towers, losses, runs)):
        alone = make(tower.build(), seed=n)
        np.testing.assert_array_equal(th.replay(loss_of, *alone, exact=exact).over(x, y), row)
        assert_same(alone, run)
        assert starts[n][1].t == 0


@pytest.mark.parametrize(
    "other",
    [
        adam(),
        Adam(1e-2, tune=("beta1",), optimizer=SGD(1e-4)),
        Adam(1e-2, tune=("beta2",), optimizer=SGD(1e-4)),
        Adam({"w": 0.01, "b": 0.02}, tune=("alpha",), optimizer=SGD(1e-4)),
        Adam(1e-2, tune=("alpha",), optimizer=SGD(1e-4), clip_norm=0.1),
        Adam(1e-2, tune=("alpha",), optimizer=SGD(1e-4), coordinates={"alpha": "log"}),
        Adam(1e-2, tune=("alpha",), optimizer=SGD(1e-4), horizon=2),
        SGD(1e-2, optimizer=Adam(1e-4)),
    ],
    ids=str,
)
def test_a_run_that_is_like_the_first_takes_its_program_and_no_other_run_does(other):
    x, y = (np.array(entries) for entries in zip(*batches(8)))
    train = th.replay(loss_of, *make(Adam(1e-2, tune=("alpha",), optimizer=SGD(1e-4))), exact=True)
    train.over(x, y)
    known = train._session.known()
    run = Session(loss_of, *make(twin(other)), {}, True, None, False, known)
    Replay(run).over(x, y)
    assert run.learner.program is not None and run.learner.program is not train.program
    same = Session(loss_of, *make(Adam(3e-2, tune=("alpha",), optimizer=SGD(2e-4))), {}, True, None, False, known)
    Replay(same).over(x[:4], y[:4])  # as soon as one that begins anew has a program
    assert same.learner.program is train.program


def test_a_sweep_takes_rows_of_a_whole_data_set():
    x, rows = batches(1)[0][0], np.arange(60)[:, None] % 4 + np.zeros((60, 4), int)
    train = th.replay(lambda params, x: th.sum(x @ params["w"]), *make(SGD(0.1)))
    losses, _ = train.sweep([make(SGD(0.1))], (x,), index=rows)
    np.testing.assert_array_equal(losses, train.sweep([make(SGD(0.1))], (x[rows],))[0])


def test_wrong_starts_are_refused():
    train = th.replay(loss_of, *make(adam()))
    with pytest.raises(th.ArgumentError, match="a start must be a pair"):
        train.sweep([adam()], steps=3)
    with pytest.raises(th.DtypeError, match="a dict of named tensors, and a tower"):
        train.sweep([(adam(), adam())], steps=3)
    with pytest.raises(th.ArgumentError, match="a loss with carry= belongs to one run"):
        th.replay(loss_of, *make(adam()), carry={"h": np.zeros(2)}).sweep([], steps=3)


@pytest.mark.parametrize("size", [1e-145, 1.0, 1e145])
def test_clipping_follows_the_gradients_it_meets(size):
    """What is clipped at one step is not at another; the program chooses as the eager engine does."""
    tower = {"clip_value": 3.0 * size, "clip_norm": 1.5 * size}
    eager, replayed = (make(SGD(1e-2 / size, optimizer=SGD(1e-4 / size, clip_norm=0.1), **tower)) for _ in range(2))

    def loss(params, x, y):
        return loss_of(params, x, y) * th.mean(x) * size

    train = th.replay(loss, *replayed, exact=True)
    for n, (x, y) in enumerate(batches(30)):
        batch = x * (10.0 if n % 3 else 0.1), y
        assert train(*batch) == eager_step(loss, *eager, batch)
    assert train.program is not None
    assert_same(eager, replayed)


def test_a_program_prints_what_a_step_does():
    params, tower = make(adam())
    train = th.replay(loss_of, params, tower, exact=True)
    assert train.program is None
    for batch in batches(6):
        train(*batch)
    text = str(train.program)
    assert "the loss\n" in text and "∂w = matmul(" in text and "replayed.py:" in text
    assert "alpha* = SGD.rule(✂ alpha, ✂ ∂alpha, kappa)" in text
    assert "w*, w.m*, w.v* = Adam.rule(✂ w, ✂ ∂w, ✂ w.m, ✂ w.v, alpha*, beta1*, beta2*, eps, t*)" in text
    assert "level1.t* = level1.t + 1" in text and "  np " in text and "  ~  " not in text.split("\n* ")[0]
    params, tower = make(Adam(1e-2, optimizer=SGD(1e-4), horizon=2))
    train = th.replay(loss_of, params, tower)
    for batch in batches(10):
        train(*batch)
    assert "step 2 of 2 in a window:" in str(train.program)


@pytest.mark.parametrize("what", ["argument", "length", "gradients", "kept", "weight"])
def test_steps_that_differ_are_told_apart(what):
    steps, kept = itertools.count(), []

    def loss(params, x, y):
        odd = next(steps) % 2
        value = loss_of(params, x, y)
        if what == "argument":
            return th.sum(th.sum(th.square(params["w"]), axis=odd)) + value
        if what == "gradients":
            return loss_of({"w": params["w"], "b": params["b"].detach() if odd else params["b"]}, x, y)
        if what == "weight":
            return th.sum(th.square(params["b"] if odd else params["c"])) + th.sum(params["b"] * params["c"]) + value
        if what == "kept":
            kept.append(value.detach())
            return value + (kept[-3] if len(kept) > 3 else 0.0 * kept[0])
        return value + th.sum(params["b"]) if odd else value

    params, tower = make(adam())
    params["c"] = th.tensor([1.0, 2.0], requires_grad=True)
    train = th.replay(loss, params, tower, exact=True)
    with pytest.raises(th.GraphError, match="no two steps are alike"):
        for batch in batches(40):
            train(*batch)


def test_what_was_made_before_the_window_is_no_part_of_a_step():
    params, tower = make(adam())
    kept, traces, handles = [], [], Handles()

    def loss(params, x, y):
        kept.append(loss_of(params, x, y))
        return kept[-1] + (kept[-3].detach() if len(kept) > 2 else 0.0)

    for batch in batches(7):
        trace = Trace(handles, values_of(params, tower.levels), Visible(params, tower, {}).arrays(), batch)
        with switched(watcher=trace):
            value = loss(params, *batch)
            value.backward()
            tower.step(params)
        trace.close(Visible(params, tower, {}).arrays(), value.array)
        traces.append(trace)
    with pytest.raises(th.GraphError, match=r"from 2 steps before.*carry="):
        Builder(traces, 1).program()


def test_more_and_fewer_weights_are_another_step():
    params, tower = make(adam())
    state = {"h": np.zeros(2)}

    def loss(params, x, y):
        return loss_of(params, x, y) + sum(th.sum(w) for w in params.values())

    train = th.replay(loss, params, tower)
    for name, count in (("c", 3), ("d", 10), ("b", 15)):  # before there is a program, and after
        for batch in batches(count):
            train(*batch)
        params[name] = th.tensor([1.0, 1.0], requires_grad=True)
    assert train.program is not None and "d*, d.m*, d.v* = Adam.rule(" in str(train.program)
    train(*batches(1)[0])
    assert 1.0 not in [*params["c"].numpy(), *params["d"].numpy(), *params["b"].numpy()]

    def carrying(params, x, y):
        state["h"] = th.mean(th.tensor(x) @ params["w"], 0).numpy()
        return loss_of(params, x, y)

    other = th.replay(carrying, *make(adam()), carry=state)
    for n, batch in enumerate(batches(16)):
        if n == 10:
            state["more"] = np.ones(3)
        other(*batch)


def test_a_comparison_sees_shapes_and_nan():

    assert distance(np.ones(2), np.ones(3)) == np.inf == distance(np.ones(2), np.zeros(2))
    assert distance(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])) == 0.0
    assert distance(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5


def test_another_shape_that_stays_gets_a_program_of_its_own():
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for rows in (4, 7):
        for batch in batches(20, rows=rows):
            assert train(*batch) == eager_step(loss_of, *eager, batch)
        assert f"float64 {rows}×2" in str(train.program)


def test_a_window_that_begins_anew_is_recorded_anew():
    eager, replayed = (make(Adam(1e-2, optimizer=SGD(1e-4), horizon=3)) for _ in range(2))
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(24)):
        for run in (eager, replayed):
            if n == 4:  # in the middle of a window
                act("load", *run)
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    assert train.program is not None
    assert_same(eager, replayed)
