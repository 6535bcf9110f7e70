"""Ctrl-C at any line of a replayed step leaves whole steps, as many as the optimizer says, and all that is of them."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from backends import kernels
from drawn_towers import snapshot
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam
from tinyhyper.program import visible
from tinyhyper.program.compare import distance

FOLDER = os.path.dirname(sys.modules[th.replay.__module__].__file__)
BATCHES = batches(64)
LINES = 6_000  # more than any action has


class Interrupt:
    """Raises KeyboardInterrupt when so many lines of program/ have begun. reached: whether there were so many."""

    def __init__(self, line):
        self.left, self.reached = line, False

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._called)

    def __exit__(self, *error):
        sys.settrace(self._before)

    def _called(self, frame, event, argument):
        return self._traced if frame.f_code.co_filename.startswith(FOLDER) else None

    def _traced(self, frame, event, argument):
        if event == "line":
            self.left -= 1
            if not self.left:
                self.reached = True
                raise KeyboardInterrupt
        return self._traced


def batch(step):
    return BATCHES[step % len(BATCHES)]


class Runs:
    """An eager run and a replayed one, past the steps that are recorded."""

    def __init__(self, exact, horizon):
        self.eager, self.replayed = (make(Adam(1e-2, optimizer=SGD(1e-4), horizon=horizon)) for _ in range(2))
        self.train = th.replay(loss_of, *self.replayed, exact=exact)
        for step in range(3 * horizon + 9):
            assert distance(np.array(self.train(*batch(step))), np.array(self.follow())) <= 1e-12
        assert self.train.program is not None

    def follow(self):
        return eager_step(loss_of, *self.eager, batch(self.eager[1].t))

    def assert_alike(self):
        """The eager run makes as many steps as the replayed one has made; then all numbers are alike."""
        while self.eager[1].t < self.replayed[1].t:
            self.follow()
        for one, other in zip(numbers(*self.eager), numbers(*self.replayed), strict=True):
            assert distance(np.asarray(one), np.asarray(other)) <= 1e-10


def numbers(params, optimizer):
    found = [w.numpy() for w in params.values()]
    for level in optimizer.levels:
        saved = level.state_dict()["levels"][0]
        found += [float(level.t), *level.hyperparameters.values()]
        found += [state for kept in saved["state"].values() for state in kept.values()]
    return found


def one(runs):
    runs.train(*batch(runs.replayed[1].t))


def several(runs):
    runs.train.over(*map(np.array, zip(*[batch(runs.replayed[1].t + n) for n in range(5)])))


def look_at_an_edge(runs):
    one(runs)
    assert runs.replayed[0]["w"].requires_grad


@pytest.mark.parametrize(
    "action, exact, horizon, apart",
    [
        (one, False, 1, 1), (one, True, 1, 4), (several, False, 1, 5), (several, False, 3, 9),
        (look_at_an_edge, False, 1, 17),
    ],
)  # fmt: skip
def test_an_interruption_leaves_whole_steps(action, exact, horizon, apart):
    """At every so many-th line; what follows, by the program or eagerly, goes on from there."""
    interrupt_at_lines(action, exact, horizon, apart)


@pytest.mark.parametrize("action, apart", [(one, 9), (several, 31)])
def test_an_interruption_leaves_whole_steps_by_python_in_memory(by_python, action, apart):
    interrupt_at_lines(action, False, 1, apart)


def interrupt_at_lines(action, exact, horizon, apart):
    runs = Runs(exact, horizon)
    for line in range(1, LINES, apart):
        interrupt = Interrupt(line)
        try:
            with interrupt:
                action(runs)
        except KeyboardInterrupt:
            pass
        if not interrupt.reached:
            break
        runs.assert_alike()
        if line % 3 == 0 and horizon == 1:
            given = batch(runs.eager[1].t)
            for run in (runs.eager, runs.replayed):
                eager_step(loss_of, *run, given)
            one(runs)  # by the eager engine, from where the program goes on
        one(runs)
        runs.assert_alike()
    assert line > 5 * apart and not interrupt.reached


def test_ctrl_c_in_the_midst_of_many_steps():
    """It comes within a moment, after whole steps; and the rest leads to where all at once would have."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100_000, 4, 3)), rng.standard_normal((100_000, 4, 2))
    (interrupted, whole), trains = [make(Adam(1e-2, optimizer=SGD(1e-4))) for _ in range(2)], []
    for run in (interrupted, whole):
        trains.append(th.replay(loss_of, *run))
        trains[-1].over(x[:100], y[:100])
    sent = []

    def send():
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.1, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            trains[0].over(x[100:], y[100:])
    assert time.monotonic() - sent[0] < 2.0
    timer.join()
    assert interrupted[1].t > 100
    for last in (interrupted[1].t, interrupted[1].t + 50):
        for train, (_, tower) in zip(trains, (interrupted, whole)):
            if tower.t < last:
                rows = 100 + np.arange(tower.t - 100, last - 100) % (len(x) - 100)
                train.over(x[rows], y[rows])
        assert snapshot(*reversed(interrupted)) == snapshot(*reversed(whole))


def once(monkeypatch, owner, name):
    """Let a function raise KeyboardInterrupt once it has done its work, whenever `told` is not empty."""
    told, function = [], getattr(owner, name)

    def interrupted(*args):
        found = function(*args)
        if told:
            told.pop()
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(owner, name, interrupted)
    return told


def assert_whole_steps_after_a_signal(runs, told, action):
    """Interrupted, a run stands after whole steps, and goes on from there."""
    told.append("now")
    with pytest.raises(KeyboardInterrupt):
        action(runs)
    runs.assert_alike()
    one(runs)
    runs.assert_alike()


def test_a_signal_acts_as_soon_as_the_driver_returns(either, monkeypatch):
    runs, told = Runs(False, 1), once(monkeypatch, kernels("driver").Driver, "run")
    if runs.train._session._runner.natively is None:
        pytest.skip("nothing is compiled, so no driver runs")
    for action in (one, several):
        assert_whole_steps_after_a_signal(runs, told, action)


@pytest.mark.parametrize("action", [one, several])
def test_a_signal_after_steps_in_memory_leaves_whole_steps(by_python, monkeypatch, action):
    """Without a tracer, so that coverage sees how the run comes to stand there."""
    runs = Runs(False, 1)
    told = once(monkeypatch, type(runs.train._session._runner.natively.native), "run")
    assert_whole_steps_after_a_signal(runs, told, action)


def test_a_signal_while_edges_are_made_leaves_them_made(monkeypatch):
    runs, told = Runs(True, 1), once(monkeypatch, visible, "live")
    one(runs)
    told.append("now")
    with pytest.raises(KeyboardInterrupt):
        runs.replayed[0]["w"].requires_grad  # noqa: B018
    runs.assert_alike()
    for params in (runs.eager[0], runs.replayed[0]):
        assert params["w"].requires_grad and not params["w"].is_leaf
    given = batch(runs.eager[1].t)
    for run in (runs.eager, runs.replayed):
        eager_step(loss_of, *run, given)
    runs.assert_alike()
