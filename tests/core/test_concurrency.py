"""Threads, forked and new processes: each records for itself, and the same seed gives the same bits in all of them."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.testing import programs, towers
from tinyhyper.testing.tower import Level, Tower

THREADS = 4
HERE = os.path.dirname(__file__)


def sweep(program):
    """The outputs of a program, and the gradient and second derivative of their sum: bytes."""
    xs = [th.tensor(array, requires_grad=True) for array in program.inputs]
    outputs = program.run(xs)
    first = th.gradients(outputs, xs, [np.ones(out.shape) for out in outputs], create_graph=True)
    again = [g for g in first if g.requires_grad]
    second = th.gradients(again, xs, [np.ones(g.shape) for g in again]) if again else ()
    return [t.data.tobytes() for t in (*outputs, *first, *second)]


def train(tower, steps=4):
    """Weights and hyperparameters at the end of a small run: bytes."""
    rng = np.random.default_rng(3)
    optimizer, horizon = tower.build(), tower.levels[0].options.get("horizon", 1)
    params = {"w": th.tensor(rng.standard_normal((40, 30)), requires_grad=True)}
    x = rng.standard_normal((20, 40))
    for step in range(steps):
        th.mean(th.square(th.tanh(x @ params["w"]) - 0.5)).backward(create_graph=step % horizon != 0)
        optimizer.step(params)
    return [params["w"].data.tobytes(), *[str(level.hyperparameters) for level in optimizer.levels]]


@settings(max_examples=10)
@given(several=st.lists(programs(max_steps=4), min_size=THREADS, max_size=THREADS))
def test_threads_build_and_sweep_graphs_of_their_own(several):
    expected = [sweep(program) for program in several]
    start = threading.Barrier(THREADS)

    def work(program):
        start.wait()
        return [sweep(program) for _ in range(3)]

    with ThreadPoolExecutor(THREADS) as pool:
        for found, once in zip(pool.map(work, several), expected):
            assert found == [once] * 3


@pytest.mark.slow
@settings(max_examples=10)
@given(several=st.lists(towers(), min_size=THREADS, max_size=THREADS))
def test_threads_train_towers_of_their_own(several):
    expected = [train(tower) for tower in several]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(train, several)) == expected


def test_no_grad_and_a_recording_are_of_one_thread():
    """While one thread records nothing, or is watched, the others go on as ever."""
    inside, done, seen = threading.Event(), threading.Event(), {}

    def other():
        inside.wait()
        x = th.tensor([1.0, 2.0], requires_grad=True)
        out = th.sum(x * x)
        out.backward()
        with th.record() as own:
            th.exp(x)
        seen.update(requires_grad=out.requires_grad, grad=x.grad.data.tolist(), own=[n.op for n in own.nodes if n.op])
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with th.no_grad(), th.record() as tape:
        inside.set()
        assert done.wait(30)
        mine = th.tensor([1.0], requires_grad=True) * 2.0
    thread.join()
    assert seen == {"requires_grad": True, "grad": [2.0, 4.0], "own": ["exp"]}
    assert not mine.requires_grad
    assert not {"sum", "exp"} & {node.op for node in tape.nodes}


ADAM_SGD = Tower((Level(th.optim.Adam, {"alpha": 0.01}, {}), Level(th.optim.SGD, {"alpha": 1e-4}, {})))


def test_a_decorated_function_may_run_in_several_threads():
    """Each call puts back what its own thread had, however the calls overlap."""
    inside, leave = threading.Barrier(2), threading.Event()

    @th.no_grad()
    def work(wait):
        inside.wait(30)
        if wait:
            leave.wait(30)

    def recorded(wait):
        work(wait)
        if not wait:
            leave.set()
        return (th.tensor([1.0], requires_grad=True) * 2.0).requires_grad

    def unrecorded(wait):
        with th.no_grad():
            return recorded(wait)

    for first, second in ((True, False), (False, True)):
        leave.clear()
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(recorded, first), pool.submit(unrecorded, second)]
            assert [future.result() for future in found] == [True, False]


def report(connection):
    connection.send(train(ADAM_SGD))


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_however_started_compute_what_their_parent_does(method):
    """A fork takes over the parent's memory, but none of its threads."""
    expected, context = train(ADAM_SGD), multiprocessing.get_context(method)
    pairs = [context.Pipe(duplex=False) for _ in range(2)]
    workers = [context.Process(target=report, args=(ours,)) for _, ours in pairs]
    for worker in workers:
        worker.start()
    for theirs, _ in pairs:
        assert theirs.poll(120), "a worker does not answer"
        assert theirs.recv() == expected
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


@pytest.mark.slow
@pytest.mark.parametrize("order", ["0", "1"])
def test_a_new_process_computes_the_same_bits(order):
    """Whatever the order in which Python's sets and dicts of text are walked there."""
    program = "import test_concurrency as t; print([x if type(x) is str else x.hex() for x in t.train(t.ADAM_SGD)])"
    environment = {**os.environ, "PYTHONHASHSEED": order, "PYTHONPATH": os.pathsep.join([HERE, *sys.path])}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str([x if type(x) is str else x.hex() for x in train(ADAM_SGD)])
