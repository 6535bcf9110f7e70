"""A profile says what each instruction costs, and leaves the run where it is."""

import numpy as np
import pytest
from backends import compiler_is_off
from drawn_towers import snapshot
from hypothesis import strategies as st
from lengths import for_all
from replayed import batches, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.optim import SGD, Adam
from tinyhyper.program.sheet import sheet


def assert_complete(found, program):
    """Each instruction that is carried out is there, in order; what has no number is computed for several."""
    lines = [line for line in sheet(program).lines if line.way]
    numbered = [row for row in found.rows if row[0].strip()]
    assert [row[:4] for row in numbered] == [(f"{line.number:>3}", line.op, line.part, line.way) for line in lines]
    assert {row[1].partition(".scalars")[1] for row in found.rows[:-2] if not row[0].strip()} <= {".scalars"}
    assert all(row[5] > 0.0 for row in found.rows)


def adam(**options):
    return Adam(1e-2, optimizer=SGD(1e-4), **options)


@for_all(
    3, 10,
    tower=testing.towers(("w", "b")),
    exact=st.booleans(),
    seed=st.integers(0, 10_000),
    at=st.sets(st.integers(12, 29), min_size=1, max_size=3),
    alone=st.booleans(),
)
def test_a_run_that_is_profiled_makes_the_steps_of_one_that_is_not(tower, exact, seed, at, alone):
    runs = [make(tower.build(), seed=seed) for _ in range(2)]
    trains = [th.replay(loss_of, *run, exact=exact) for run in runs]
    given = batches(30, seed=seed)
    for n, batch in enumerate(given):
        if n in at and trains[0].program is not None:
            taken = runs[0][0]["w"]
            before = taken.numpy().copy()
            assert_complete(trains[0].profile(*given[0], repeat=1), trains[0].program)
            np.testing.assert_array_equal(taken.numpy(), before)
        assert trains[0](*batch) == trains[1](*batch)
        if alone:
            assert snapshot(*reversed(runs[0])) == snapshot(*reversed(runs[1]))
    assert snapshot(*reversed(runs[0])) == snapshot(*reversed(runs[1]))


def profiled(train, batch=None, repeat=3):
    for step in batches(12):
        train(*step)
    return train.profile(*(batch or batches(1)[0]), repeat=repeat)


@pytest.mark.parametrize("exact", [True, False])
def test_bytes_are_what_is_read_and_written_and_the_sums_stand_below(exact, either):
    train = th.replay(loss_of, *make(adam()), exact=exact)
    found = profiled(train)
    assert_complete(found, train.program)
    *rows, together, whole = found.rows
    size = {row[1:3]: row[4] for row in rows}
    assert size["matmul", "loss"] == 8 * (4 * 3 + 3 * 2 + 4 * 2)  # x @ w
    assert size["square", "loss"] == 8 * (4 * 2 + 4 * 2)
    assert together[4] == whole[4] == sum(row[4] for row in rows)
    np.testing.assert_allclose([sum(row[n] for row in rows) for n in (5, 6)], [together[5], 100.0])
    np.testing.assert_allclose(whole[6], 100 * whole[5] / together[5])
    assert "a whole step" in str(found) and "us" in found.svg()


def test_a_large_operation_takes_longer_than_a_small_one(either):
    def loss(params, x):
        return th.mean(th.exp(params["w"] * x)) * 2.0

    train = th.replay(loss, {"w": th.tensor(np.zeros(30_000), requires_grad=True)}, SGD(1e-3))
    x = np.ones(30_000)
    for _ in range(8):
        train(x)
    seconds = {(row[1], row[2]): row[5] for row in train.profile(x, repeat=5).rows}
    assert seconds["exp", "loss"] > 3 * seconds["multiply", "loss"] > 0.0  # the last one is of two numbers
    assert seconds["a whole step", ""] > seconds["exp", "loss"]


@pytest.mark.parametrize("exact", [True, False])
def test_a_window_is_profiled_as_a_whole(exact, either):
    train = th.replay(loss_of, *make(adam(horizon=2)), exact=exact)
    found = profiled(train)
    assert "a window of 2 steps" in str(found)
    assert_complete(found, train.program)


def test_what_cannot_be_profiled_is_refused(by_python):
    run = make(adam(horizon=2))
    train = th.replay(loss_of, *run)
    with pytest.raises(th.GraphError, match="there is no program"):
        train.profile(*batches(1)[0])
    with pytest.raises(th.GraphError, match="there is no program"):
        profiled(train, batches(1, rows=5)[0])
    with pytest.raises(th.ArgumentError, match="repeat must be an integer >= 1"):
        train.profile(*batches(1)[0], repeat=0)
    train(*batches(1)[0])
    run[1].parameters["alpha"].data = run[1].parameters["alpha"].numpy() * 0.5
    train(*batches(1)[0])
    with pytest.raises(th.GraphError, match="set by hand within a window"):
        train.profile(*batches(1)[0])
    train(*batches(1)[0])
    assert train.profile(*batches(1)[0], repeat=1).rows


@pytest.mark.skipif(compiler_is_off(), reason="numba is off, so nothing is native")
def test_a_batch_that_the_program_refuses_is_not_profiled():
    def loss(params, x, labels):
        return th.cross_entropy(x @ params["w"] + params["b"], labels)

    train, labels = th.replay(loss, *make(adam())), np.array([0, 1, 1, 0])
    for x, _ in batches(12):
        train(x, labels)
    with pytest.raises(th.GraphError, match="cannot make a step with this batch"):
        train.profile(x, labels + 1)
    assert np.isfinite(train(x, labels))
