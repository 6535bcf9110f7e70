"""What a replayed run holds: no more than its steps need, however many there are."""

import gc
import mmap
import tracemalloc
from unittest import mock
from weakref import ref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper import testing
from tinyhyper.core.tape import switched
from tinyhyper.optim import SGD, Adam
from tinyhyper.program import compare, handles, native
from tinyhyper.program.handles import SMALL, Handles
from tinyhyper.program.moment import Moment, restore
from tinyhyper.program.native import advise
from tinyhyper.program.trace import Trace
from tinyhyper.program.values import values_of
from tinyhyper.testing.alive import alive

NUMBER = 8  # bytes: all but numbers may go


class Living(Trace):
    """A watcher that notes after each operation which results are there, by number. records: whether it is a trace."""

    def __init__(self, run, records):
        super().__init__(Handles(), values_of(run.params, run.tower.levels), {}, ())
        self.records, self.results, self.there = records, [], []

    def operation(self, op, operands, outputs, call, nanoseconds):
        if self.records:
            super().operation(op, operands, outputs, call, nanoseconds)
        self.results += [ref(tensor.array) for tensor in outputs if tensor.array.nbytes > NUMBER]
        self.there.append({n for n, result in enumerate(self.results) if result() is not None})

    def cut(self, source, detached, reason):
        if self.records:
            super().cut(source, detached, reason)


class Run:
    """A random program whose inputs are weights."""

    def __init__(self, program):
        self.program, self.tower = program, Adam(1e-7, optimizer=SGD(1e-9))
        self.params = {f"x{n}": th.tensor(x, requires_grad=True) for n, x in enumerate(program.inputs)}

    def loss(self, params):
        return sum(th.sum(out) for out in self.program.run([*params.values()]))

    def step(self, records):
        """What is there after each operation, and the numbers of the results that are left as values or gradients."""
        tape = Living(self, records)
        with switched(watcher=tape):
            value = self.loss(self.params)
            value.backward()
            self.tower.step(self.params)
        left = [value, *values_of(self.params, self.tower.levels).values()]
        arrays = {id(tensor.array) for tensor in left} | {id(array) for array in tape.gradients.values()}
        return tape.there, {n for n, result in enumerate(tape.results) if id(result()) in arrays}


@settings(max_examples=50)
@given(program=testing.programs(max_steps=5))
def test_recording_keeps_nothing_alive_but_what_a_step_leaves(program):
    eager, recorded = Run(program), Run(program)
    for _ in range(2):
        expected, _ = eager.step(False)
        with mock.patch.object(handles, "SMALL", NUMBER):
            found, left = recorded.step(True)
        for there, more in zip(expected, found, strict=True):
            assert more - there <= left


@pytest.mark.parametrize(("horizon", "later"), [(1, 0), (3, 3)])
def test_what_is_large_and_recorded_is_gone_when_its_window_is_over(horizon, later, monkeypatch):
    made, of_result = [], Handles.of_result

    def noted(self, array):
        made[-1].append(ref(array))
        return of_result(self, array)

    def loss(params, x, y):
        hidden = th.tanh(x @ params["w"])
        return th.mean(th.square(hidden - y)) + 0.0 * th.sum(hidden.reshape(-1)) + th.sum(th.Tensor(hidden.numpy()))

    monkeypatch.setattr(Handles, "of_result", noted)
    train = th.replay(loss, *make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon)))
    for n, batch in enumerate(batches(5 * horizon, rows=SMALL)):
        made.append([])
        train(*batch)
        if train.program is not None:
            break
        there = [result() for results in made[: max(0, n + 1 - later)] for result in results]
        assert not [array for array in there if array is not None and array.nbytes > SMALL]
    assert len(made) > 3 * horizon and len(made[0]) > 5


@pytest.mark.parametrize("odd", [12, 13, 14])
def test_a_run_goes_on_in_the_midst_of_a_window_though_some_of_it_is_gone(either, odd):
    eager, replayed = (make(Adam(1e-2, optimizer=SGD(1e-4), horizon=3)) for _ in range(2))
    train = th.replay(loss_of, *replayed)
    given = [batches(1, rows=6)[0] if n == odd else batch for n, batch in enumerate(batches(30, rows=300))]
    for batch in given:  # after the odd one some steps are made by the eager engine
        np.testing.assert_allclose(train(*batch), eager_step(loss_of, *eager, batch), rtol=1e-12)
    for name, w in replayed[0].items():
        np.testing.assert_allclose(w.numpy(), eager[0][name].numpy(), rtol=1e-11)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system takes no such advice")
def test_what_lives_within_a_step_is_given_back_while_the_eager_engine_makes_one(by_python, monkeypatch):
    given_back = []

    def noted(memory, name, *place):
        advise(memory, name, *place)
        if name == "MADV_DONTNEED":
            given_back.append(memory[place[0] :])

    monkeypatch.setattr(native, "LARGE", 0)
    monkeypatch.setattr(native, "advise", noted)
    eager, replayed = (make(Adam(1e-2, optimizer=SGD(1e-4))) for _ in range(2))
    train = th.replay(loss_of, *replayed, verify=3)
    for batch in batches(20, rows=300):
        np.testing.assert_allclose(train(*batch), eager_step(loss_of, *eager, batch), rtol=1e-12)
    assert len(given_back) > 5 and not any(map(any, given_back))
    assert sum(map(len, given_back)) > 5 * SMALL


def test_the_last_moment_that_was_compared_holds_nothing_twice(either):
    train = th.replay(loss_of, *make(Adam(1e-2, optimizer=SGD(1e-4))), verify=1)
    for batch in batches(8):
        train(*batch)
    values, gradients, _ = train._session._held.moment.cut()
    held = {id(x): x for x in (*values.values(), *gradients.values()) if x.nbytes > NUMBER}
    assert len(held) == len({array.tobytes() for array in held.values()}) > 5


def whole_distance(one, other):
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    largest = max([0.0, *np.abs(other[np.isfinite(other)])])
    return 0.0 if same.all() else np.max(np.abs(one - other)[~same]) / largest if largest else np.inf


ELEMENTS = st.floats(-2, 2) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0])


@given(st.lists(st.tuples(ELEMENTS, ELEMENTS) | ELEMENTS.map(lambda x: (x, x)), max_size=7), st.sampled_from([1, 3]))
def test_a_distance_is_that_of_all_pieces(pairs, size):
    one, other = np.array(pairs).reshape(-1, 2).T
    with mock.patch.object(compare, "PIECE", size), np.errstate(all="ignore"):
        np.testing.assert_equal(compare.distance(one, other), whole_distance(one, other))


def test_to_compare_large_arrays_takes_little_memory():
    one, other = np.ones((1000, 1000)), np.full((1000, 1000), 1.0 + 1e-9)
    compare.distance(one, other)
    tracemalloc.start()
    try:
        assert 0.0 < compare.distance(one, other) < 1e-8
        assert tracemalloc.get_traced_memory()[1] < one.nbytes / 8
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("part", [lambda w: w, lambda w: w[1:]])
def test_what_a_loss_keeps_of_a_comparison_stays_as_it_was(either, part):
    """The eager step of a comparison reads where the program's arrays lie."""
    kept = []

    def keeping():
        while True:
            array = yield
            kept.append((array, array.copy()))

    keeper = keeping()  # into which no guard looks
    next(keeper)

    def loss(params, x, y):
        keeper.send(part(params["w"].array))
        return loss_of(params, x, y)

    eager, replayed = make(Adam(1e-2, optimizer=SGD(1e-4))), make(Adam(1e-2, optimizer=SGD(1e-4)))
    train = th.replay(loss, *replayed, verify=3)
    for batch in batches(30):
        np.testing.assert_allclose(train(*batch), eager_step(loss_of, *eager, batch), rtol=1e-12)
    assert len(kept) > 8
    for array, before in kept:
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("horizon", [1, 3])
def test_a_long_run_holds_no_more_moments_than_a_short_one(exact, horizon):
    train = th.replay(loss_of, *make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon)), exact=exact)
    for n, batch in enumerate(batches(100)):
        train(*batch)
        if n in (39, 66, 99):  # in one place of the window
            gc.collect()
            assert alive(Moment) < 10


def test_a_value_that_is_put_in_leaves_the_array_of_a_graph_where_its_bits_are_the_same():
    made, other = th.tensor([1.0, -0.0]), np.array([1.0, 0.0])
    array = made.array
    for known in (None, array.copy()):
        restore(made, known)
        assert made.array is array
    restore(made, other)
    assert made.array is other
