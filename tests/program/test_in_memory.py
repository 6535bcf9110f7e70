"""A program in memory makes what the eager engine makes, within rounding."""

import numpy as np
import pytest
from backends import compiler_is_off
from drawn_towers import snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from lengths import for_all
from replayed import batches, eager_step, in_parts, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.optim import SGD, Adam
from tinyhyper.program import native

SEEDS = st.integers(0, 10_000)


def distance(one, other):
    """The largest difference, as a share of the largest element."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return np.max(np.abs(one - other), initial=0.0) / max(np.max(np.abs(other), initial=0.0), 1e-300)


def assert_close(one, other, tolerance=1e-12):
    (params, optimizer), (others, twin) = one, other
    for name, w in params.items():
        assert distance(w.numpy(), others[name].numpy()) <= tolerance, name
    for level, its in zip(optimizer.levels, twin.levels):
        assert level.t == its.t
        for key, value in level.hyperparameters.items():
            assert distance(value, its.hyperparameters[key]) <= tolerance, key
        for name, kept in level.state_dict()["levels"][0]["state"].items():
            for key, state in kept.items():
                assert distance(state, its.state_dict()["levels"][0]["state"][name][key]) <= tolerance, (name, key)


@for_all(
    4, 15,
    tower=testing.towers(("w", "b")),
    seed=SEEDS,
    looks=st.lists(st.tuples(st.integers(0, 49), st.sampled_from(["look", "use", "set", "step"])), max_size=3),
)
def test_a_run_in_memory_is_the_eager_one_within_rounding(tower, seed, looks):
    """Of 50 steps in float64, whatever is done in between."""
    eager, replayed = (make(tower.build(), np.float64, seed) for _ in range(2))
    train = th.replay(loss_of, *replayed)
    for n, batch in enumerate(batches(50, seed=seed)):
        for params, optimizer in (eager, replayed):
            for what in [what for at, what in looks if at == n]:
                if what == "look":
                    params["w"].numpy()
                elif what == "use":
                    assert params["w"].requires_grad
                elif what == "set":
                    params["w"].data = params["w"].numpy() * 0.5
                elif "horizon" not in str(optimizer):
                    eager_step(loss_of, params, optimizer, batch)
        assert distance(train(*batch), eager_step(loss_of, *eager, batch)) <= 1e-12
    assert_close(replayed, eager)
    for batch in batches(3, seed=seed + 1):
        eager_step(loss_of, *eager, batch)
        eager_step(loss_of, *replayed, batch)
    assert_close(replayed, eager)


@for_all(
    3, 10, tower=testing.towers(("w", "b")), seed=SEEDS, parts=st.lists(st.integers(0, 40), min_size=1, max_size=3)
)
def test_many_steps_in_memory_are_as_one_by_one(tower, seed, parts):
    eager, replayed = (make(tower.build(), np.float64, seed) for _ in range(2))
    train = th.replay(loss_of, *replayed)
    for losses, expected, kept, histories in in_parts(train, eager, parts, seed):
        assert distance(losses, expected) <= 1e-12
        for name in histories:
            assert distance(kept[name], histories[name]) <= 1e-12
        assert_close(replayed, eager)


def adam(**options):
    return Adam(1e-2, optimizer=SGD(1e-4), **options)


def test_tensors_that_were_taken_keep_their_values_while_memory_is_used_again(either):
    params, tower = make(adam())
    other, twin = make(adam())
    train, exact = th.replay(loss_of, params, tower), th.replay(loss_of, other, twin, exact=True)
    stacks = [np.array(entries) for entries in zip(*batches(9))]
    taken, expected = [], []
    for batch in batches(20):
        train(*batch), exact(*batch)
        taken.append((params["w"], tower.parameters["alpha"]))
        expected.append((other["w"].numpy(), twin.parameters["alpha"].numpy()))
    train.over(*stacks, keep=("alpha",))
    for tensors, arrays in zip(taken, expected):
        for tensor, array in zip(tensors, arrays):
            assert distance(tensor.numpy(), array) <= 1e-12 and tensor.requires_grad


def test_what_has_no_c_function_is_carried_out_by_python():
    def loss(params, x, y):
        picked = th.einsum("ij,jk->ik", th.tensor(x), params["w"])[np.array([0, 2, 0])]
        return th.mean(th.square(picked + params["b"] - y[:3]))

    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed)
    with pytest.raises(th.GraphError, match="no operation on tensors made it"):  # y[:3] is NumPy's
        train.over(*[np.array(entries) for entries in zip(*batches(30))])

    def better(params, x, y):
        picked = th.einsum("ij,jk->ik", th.tensor(x), params["w"])[np.array([0, 2, 0])]
        return th.mean(th.square(picked + params["b"] - th.tensor(y)[:3]))

    eager, replayed = make(adam()), make(adam())
    losses = th.replay(better, *replayed).over(*[np.array(entries) for entries in zip(*batches(30))])
    assert distance(losses, [eager_step(better, *eager, batch) for batch in batches(30)]) <= 1e-12
    assert_close(replayed, eager)


def test_labels_out_of_range_are_refused_at_their_step(either):
    def loss(params, x, labels):
        return th.cross_entropy(x @ params["w"] + params["b"], labels)

    params, tower = make(adam())
    train = th.replay(loss, params, tower)
    labels = np.random.default_rng(0).integers(0, 2, (20, 4))
    x = np.array([batch[0] for batch in batches(20)])
    train.over(x[:15], labels[:15])
    before = snapshot(tower, params)
    labels[15:] = 2
    with pytest.raises(th.ArgumentError, match="label 2 is out of range"):
        train.over(x[15:], labels[15:])
    assert snapshot(tower, params) == before


@pytest.mark.skipif(compiler_is_off(), reason="numba is off, so nothing is native")
def test_large_arrays_have_the_bits_of_the_eager_engine():
    """From 1,000 elements on both run the same kernels. (The sum is NumPy's, but no gradient depends on it.)"""
    rng, first = np.random.default_rng(0), np.linspace(-1, 1, 4096).reshape(64, 64)
    runs = [({"w": th.tensor(first, requires_grad=True)}, adam()) for _ in range(2)]

    def loss(params, x):
        return th.sum(th.square(th.tanh(params["w"] * x)))

    x = rng.standard_normal((30, 64, 64))
    losses = th.replay(loss, *runs[0]).over(x)
    np.testing.assert_allclose(losses, [eager_step(loss, *runs[1], (batch,)) for batch in x], rtol=1e-14)
    assert snapshot(*reversed(runs[0])) == snapshot(*reversed(runs[1]))


@pytest.mark.parametrize("horizon", [1, 3])
def test_steps_that_are_not_finite_are_skipped_in_the_middle_of_many(either, horizon):
    x, y = (np.array(entries) for entries in zip(*batches(60)))
    x[[31, 47]] = np.nan
    eager, replayed = (make(adam(on_nonfinite="skip", horizon=horizon)) for _ in range(2))
    train = th.replay(loss_of, *replayed)
    with pytest.warns(th.AnomalyWarning, match="skipped"):
        expected = [eager_step(loss_of, *eager, batch) for batch in zip(x, y)]
    with pytest.warns(th.AnomalyWarning, match="skipped"):
        losses = [*train.over(x[:40], y[:40]), *[train(*batch) for batch in zip(x[40:], y[40:])]]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert replayed[1].skipped == 2
    assert_close(replayed, eager)


def test_an_index_may_come_with_the_batch(either):
    def loss(params, ids, weights):
        return th.sum(params["w"][ids] * weights) ** 2 + th.sum(th.square(params["b"] - th.tensor(params["w"])[0]))

    rng = np.random.default_rng(0)
    ids, weights = rng.integers(0, 3, (40, 5)), rng.standard_normal((40, 5, 2))
    eager, exact, replayed = make(adam()), make(adam()), make(adam())
    expected = [eager_step(loss, *eager, batch) for batch in zip(ids, weights)]
    assert [*th.replay(loss, *exact, exact=True).over(ids, weights)] == expected
    np.testing.assert_allclose(th.replay(loss, *replayed).over(ids, weights), expected, rtol=1e-12)
    assert_close(replayed, eager)


@pytest.mark.parametrize("horizon", [1, 2])
def test_rows_by_numbers_of_the_batch_are_native_and_one_out_of_range_is_refused(either, horizon, request):
    def loss(params, ids, y):
        return th.mean(th.square(th.sum(params["w"][ids], 1) + params["b"] - y))

    rng = np.random.default_rng(0)
    ids, y = rng.integers(-3, 3, (40, 4, 5)), rng.standard_normal((40, 4, 2))
    eager, replayed = (make(adam(horizon=horizon)) for _ in range(2))
    train = th.replay(loss, *replayed)
    expected = [eager_step(loss, *eager, batch) for batch in zip(ids[:30], y)]
    np.testing.assert_allclose(train.over(ids[:30], y[:30]), expected, rtol=1e-12)
    if horizon == 1 and request.node.callspec.params["either"] == "c" and not compiler_is_off():
        assert "np" not in train.program.ways[0]
    before = {name: w.numpy().copy() for name, w in replayed[0].items()}
    ids[30, 0, 0] = 3
    with pytest.raises(th.ShapeError, match="index 3 is out of bounds"):
        train.over(ids[30:], y[30:])
    assert all(np.array_equal(w.numpy(), before[name]) for name, w in replayed[0].items())
    ids[30, 0, 0] = 0
    expected = [eager_step(loss, *eager, batch) for batch in zip(ids[30:], y[30:])]
    np.testing.assert_allclose(train.over(ids[30:], y[30:]), expected, rtol=1e-12)
    assert_close(replayed, eager)


def test_tensors_numbers_and_large_arrays_are_batches(either):
    def loss(params, x, scale, name):
        assert name == "a name"
        return th.mean(th.square(x @ params["w"])) * scale

    x = np.random.default_rng(0).standard_normal((20, 1100, 3))
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed)
    for n, rows in enumerate(x):
        batch = (th.tensor(rows) if n < 14 else rows, 2.0 if n < 10 else 3.0, "a name")
        assert distance(train(*batch), eager_step(loss, *eager, batch)) <= 1e-12
    assert_close(replayed, eager)
    losses = th.replay(lambda params, x: th.mean(x @ params["w"]), *make(SGD(0.1))).over(th.tensor(x))
    assert losses.shape == (20,)


@pytest.mark.parametrize("exact, looks", [(False, True), (True, True), (False, False)])
@pytest.mark.parametrize("when", range(20, 26))
def test_a_hyperparameter_set_by_hand_inside_a_window_is_kept(when, exact, looks, either):
    eager, replayed = make(adam(horizon=3)), make(adam(horizon=3))
    train = th.replay(loss_of, *replayed, exact=exact)
    for n, batch in enumerate(batches(32)):
        if n == when:
            for _, tower in (eager, replayed):
                tower.parameters["alpha"].data = tower.parameters["alpha"].numpy() * 0.5
        assert distance(train(*batch), eager_step(loss_of, *eager, batch)) <= 1e-12
        if looks and n in (when, when + 1):
            assert replayed[0]["w"].requires_grad
    assert_close(replayed, eager)


def test_values_set_by_hand_before_many_steps_are_seen(either):
    x, y = (np.array(entries) for entries in zip(*batches(40)))
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed)
    for first in (0, 20):
        expected = [eager_step(loss_of, *eager, batch) for batch in zip(x[first : first + 20], y[first : first + 20])]
        np.testing.assert_allclose(train.over(x[first : first + 20], y[first : first + 20]), expected, rtol=1e-12)
        for params, _ in (eager, replayed):
            params["w"].data = params["w"].numpy() * 0.5
    assert_close(replayed, eager)


def test_without_kernels_numpy_runs_the_program(monkeypatch):
    monkeypatch.setattr(native, "machine", None)
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed)
    for batch in batches(12):
        assert train(*batch) == eager_step(loss_of, *eager, batch)
    assert "  np " in str(train.program)
    x, y = (np.array(entries) for entries in zip(*batches(12)))
    losses, _ = train.sweep([make(adam())], (x, y))
    np.testing.assert_array_equal(losses[0], th.replay(loss_of, *make(adam())).over(x, y))


def test_steps_with_one_batch_are_made_at_once_until_another_comes(either):
    x, y = (np.array(entries) for entries in zip(*batches(1)))
    x, y = np.repeat(x, 60, 0), np.repeat(y, 60, 0)
    x[41] += 1.0
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed)
    expected = [eager_step(loss_of, *eager, batch) for batch in zip(x, y)]
    np.testing.assert_allclose(train.over(x, y), expected, rtol=1e-12)
    assert_close(replayed, eager)


def test_what_the_loss_does_with_the_first_batch_alone_is_found_before_another_comes():
    x, y = (np.array(entries) for entries in zip(*batches(1)))
    first = x[0].copy()
    train = th.replay(lambda p, x, y: loss_of(p, first if np.array_equal(x, first) else x * 2.0, y), *make(adam()))
    x, y = np.repeat(x, 60, 0), np.repeat(y, 60, 0)
    with pytest.raises(th.GraphError, match="of the batch or of weights"):
        train.over(x, y)


@settings(max_examples=10)
@given(made=st.sampled_from([np.array, th.tensor]), again=st.booleans())
def test_and_so_it_is_where_each_call_has_the_same_batch(made, again):
    """again: whether each call has arrays, or tensors, of its own."""
    [(x, y)] = batches(1)

    def loss(p, x, y):
        values = np.asarray(x.numpy() if isinstance(x, th.Tensor) else x)
        return loss_of(p, first if np.array_equal(values, first) else x * 2.0, y)

    first = x.copy()
    train, batch = th.replay(loss, *make(adam())), (made(x), made(y))
    with pytest.raises(th.GraphError, match="of the batch or of weights|with another batch"):
        for _ in range(20):
            train(*((made(x), made(y)) if again else batch))


def test_a_batch_that_the_loss_takes_as_it_is_may_be_overwritten(either):
    def loss(params, x):
        return th.sum(th.square(th.Tensor(x) @ params["w"] + params["b"]))

    eager, replayed = make(adam()), make(adam())
    train, x = th.replay(loss, *replayed), np.empty((4, 3))
    for n, (batch, _) in enumerate(batches(20)):
        x[:] = batch
        assert distance(train(x), eager_step(loss, *eager, (x,))) <= 1e-12, n
    train.profile(x, repeat=1)  # which is refused where the program could not make the next step
    assert_close(replayed, eager)


def test_an_index_that_comes_with_the_batch_is_taken_in_memory(either):
    def loss(params, rows, y):
        return th.mean(th.square(th.tanh(params["w"][rows] + params["b"]) - y))

    rng = np.random.default_rng(0)
    rows, y = rng.integers(0, 3, (20, 5)), rng.standard_normal((20, 5, 2))
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed)
    expected = [eager_step(loss, *eager, batch) for batch in zip(rows, y)]
    np.testing.assert_allclose([*train.over(rows[:12], y[:12]), *map(train, rows[12:], y[12:])], expected, rtol=1e-12)
    assert_close(replayed, eager)
