"""Threads, forked and new processes: each run is one thread's at a time, and has the same bits wherever it is made."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
from backends import kernels
from drawn_towers import snapshot
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam
from tinyhyper.program import forks

STACKS = [np.array(entries) for entries in zip(*batches(60))]


def adam():
    return Adam(1e-2, optimizer=SGD(1e-4))


def trained():
    """The end of a run that is replayed: all its numbers."""
    run = make(adam())
    train = th.replay(loss_of, *run)
    losses = train.over(*STACKS)
    return losses.tobytes(), repr(snapshot(*reversed(run)))


def in_a_fork(work, seconds=60):
    """What work() gives in a forked process, as text; fails where that does not end."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(theirs, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    end = time.monotonic() + seconds
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("a forked process hangs")
        time.sleep(0.01)
    with os.fdopen(ours, "rb") as found:
        return found.read().decode()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_may_be_forked_while_another_thread_steps():
    """What is idle goes on in the child, and something new begins; what the other thread steps is refused."""
    idle, busy = make(adam()), make(adam())
    trains = [th.replay(loss_of, *run) for run in (idle, busy)]
    for train in trains:
        train.over(*STACKS)
    large = th.tensor(np.ones((500, 500)))
    th.sum(th.tanh(large) * large)  # kernels have started their threads
    stop = threading.Event()
    inside = threading.Event()

    def step():
        while not stop.is_set():
            trains[1].over(*STACKS, every=20, call=lambda made, losses: inside.set() or stop.wait(0.05))

    thread = threading.Thread(target=step)
    thread.start()
    inside.wait(30)

    def work():
        with pytest.raises(th.GraphError, match="when the process was forked"):
            trains[1](*batches(1)[0])
        return trained(), trains[0].over(*STACKS).tobytes(), repr(snapshot(*reversed(idle)))

    try:
        found = in_a_fork(work)
    finally:
        stop.set()
        thread.join()
    assert found == repr((trained(), trains[0].over(*STACKS).tobytes(), repr(snapshot(*reversed(idle)))))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_is_not_forked_while_a_function_is_loaded():
    loading, holds = kernels("native")._loading, threading.Event()

    def load():
        with loading:
            holds.set()
            time.sleep(0.2)

    thread = threading.Thread(target=load)
    thread.start()
    holds.wait(30)
    assert in_a_fork(lambda: loading.acquire(timeout=5)) == "True"
    thread.join()
    assert loading.acquire(timeout=5)
    loading.release()


def test_a_lock_that_a_vanished_thread_holds_is_told():
    run = make(adam())
    session = th.replay(loss_of, *run)._session
    forks._let_go()
    with session.lock:
        pass
    holds, ends = threading.Event(), threading.Event()

    def hold():
        with session.lock:
            holds.set()
            ends.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(30)
    forks._let_go()
    ends.set()
    thread.join()
    with pytest.raises(th.GraphError, match="when the process was forked"), session.lock:
        pass


def report(connection):
    connection.send(trained())


@pytest.mark.slow
def test_a_new_process_makes_the_same_run():
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=report, args=(theirs,))
    worker.start()
    assert ours.poll(120), "a worker does not answer"
    assert ours.recv() == trained()
    worker.join()
    assert worker.exitcode == 0


def test_threads_step_one_run_in_turn(either):
    """One by one and many at once, with one batch; another thread looks on."""
    params, tower = make(adam())
    train = th.replay(loss_of, params, tower)
    batch = batches(1)[0]
    stacks = [np.repeat(entry[None], 10, 0) for entry in batch]
    start, seen = threading.Barrier(3), []

    def one():
        start.wait()
        for _ in range(30):
            train(*batch)

    def several():
        start.wait()
        for _ in range(3):
            train.over(*stacks)

    def look():
        start.wait()
        for _ in range(50):
            seen.append(all(np.isfinite(w.numpy()).all() for w in [*params.values()]))

    threads = [threading.Thread(target=action) for action in (one, several, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(seen) and len(seen) == 50 and tower.t == 60
    other, twin = make(adam())
    for _ in range(60):
        eager_step(loss_of, other, twin, batch)
    for name, w in params.items():
        np.testing.assert_allclose(w.numpy(), other[name].numpy(), rtol=1e-10)


def another_loss(params, x, y):
    return th.sum(th.square(x @ params["w"])) * 0.1


def test_two_trainings_of_one_optimizer_take_turns():
    eager, replayed = make(adam()), make(adam())
    losses = loss_of, another_loss
    trains = [th.replay(loss, *replayed, exact=True) for loss in losses]
    for n, batch in enumerate(batches(60)):
        which = n // 12 % 2 if n < 40 else n % 2
        assert trains[which](*batch) == eager_step(losses[which], *eager, batch)
        assert snapshot(*reversed(replayed)) == snapshot(*reversed(eager))
        assert n != 23 or all(train.program is not None for train in trains)


def test_every_other_step_may_be_made_outside():
    """Such steps are never alike as they follow one another, which is no fault of the loss."""
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(60)):
        found = train(*batch) if n % 2 else eager_step(loss_of, *replayed, batch)
        assert found == eager_step(loss_of, *eager, batch)
    assert snapshot(*reversed(replayed)) == snapshot(*reversed(eager))


@pytest.mark.parametrize("exact", [True, False])
def test_a_weight_may_be_taken_away_and_come_back(exact):
    def loss(params, x, y):
        return loss_of(params, x, y) + sum(th.sum(th.square(w)) for w in params.values())

    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss, *replayed, exact=exact)
    for n, batch in enumerate(batches(45)):
        for params, _ in (eager, replayed):
            if n == 15:
                params["more"] = th.tensor([1.0, 2.0], requires_grad=True)
            if n == 30:
                del params["more"]
        np.testing.assert_allclose(train(*batch), eager_step(loss, *eager, batch), rtol=0 if exact else 1e-12)
        assert replayed[0].keys() == eager[0].keys()
    assert train.program is not None


@pytest.mark.parametrize("at", [1, 14, 20])
@pytest.mark.parametrize("looks", [True, False])
def test_a_level_may_be_replaced(at, looks):
    """The tower is another one from then on; the new level begins with values of its own, whoever has looked before."""
    eager, replayed = make(adam()), make(adam())
    train = th.replay(loss_of, *replayed, exact=True)
    for n, batch in enumerate(batches(40)):
        if n in (at, 30):
            for _, tower in (eager, replayed):
                tower.optimizer = SGD(1e-3, optimizer=SGD(1e-6)) if n == at else SGD(1e-5)
        assert train(*batch) == eager_step(loss_of, *eager, batch)
        assert not looks or snapshot(*reversed(replayed)) == snapshot(*reversed(eager))
    assert train.program is not None and snapshot(*reversed(replayed)) == snapshot(*reversed(eager))
