"""Threads: every call is made once, errors come through, forks and several callers are safe, wrong numbers refused."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import types
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.kernels import threads
from tinyhyper.kernels.backend import compiler_is_off


@pytest.fixture(autouse=True)
def _as_many_threads_as_before():
    before = th.num_threads()
    yield
    th.set_num_threads(before)


@given(number=st.integers(1, 6), calls=st.integers(0, 20), pause=st.booleans())
def test_every_call_is_made_once(number, calls, pause):
    made = []
    th.set_num_threads(number)
    threads.run(lambda n: (time.sleep(0.001 * pause), made.append(n)), [(n,) for n in range(calls)])
    assert sorted(made) == list(range(calls))


FIRST = """
import threading, warnings
import numpy as np
import tinyhyper as th

errors = []
threading.excepthook = lambda args: errors.append(args.exc_value)

def train():
    params = {"w": th.tensor(np.eye(128, dtype="f4"), requires_grad=True)}
    optimizer = th.optim.SGD(0.1, optimizer=th.optim.SGD(1e-3))
    for _ in range(2):
        th.sum(th.linear(params["w"], params["w"], None, th.tanh)).backward()
        optimizer.step(params)

threads = [threading.Thread(target=train) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(errors)
"""


@pytest.mark.slow
def test_the_first_use_may_be_that_of_several_threads(tmp_path):
    environment = {**os.environ, "TINYHYPER_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.mark.parametrize("parts", [{}, {"config": types.SimpleNamespace()}])
def test_a_compiler_that_is_just_being_imported_is_not_asked(monkeypatch, parts):
    module = types.ModuleType("numba")
    module.__dict__.update(parts)
    monkeypatch.setitem(sys.modules, "numba", module)
    for value, off in (("0", False), ("1", True)):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
        assert compiler_is_off() == off


def test_calls_run_side_by_side():
    """Three calls that wait for each other: fewer than three threads at once would never end."""
    th.set_num_threads(3)
    meeting = threading.Barrier(3, timeout=20)
    threads.run(meeting.wait, [()] * 3)


def test_no_more_threads_than_allowed():
    th.set_num_threads(2)
    seen = set()
    threads.run(lambda: (time.sleep(0.005), seen.add(threading.get_ident())), [()] * 12)
    assert 1 <= len(seen) <= 2
    th.set_num_threads(1)
    seen.clear()
    threads.run(lambda: seen.add(threading.get_ident()), [()] * 12)
    assert seen == {threading.get_ident()}


@given(number=st.integers(1, 4), wrong=st.integers(0, 5), error=st.sampled_from([KeyError, IndexError]))
def test_an_error_is_raised_when_all_calls_have_ended(number, wrong, error):
    ended = []

    def kernel(n):
        if n == wrong:
            raise error(n)
        time.sleep(0.001)
        ended.append(n)

    th.set_num_threads(number)
    with pytest.raises(error, match=str(wrong)):
        threads.run(kernel, [(n,) for n in range(6)])
    now = list(ended)
    assert number == 1 or sorted(now) == [n for n in range(6) if n != wrong]
    time.sleep(0.002)
    assert ended == now


def test_several_python_threads_may_call_at_once():
    th.set_num_threads(3)
    totals = np.zeros(8)

    def caller(row):
        for _ in range(50):
            parts = np.zeros(4)
            threads.run(parts.__setitem__, [(n, n + row) for n in range(4)])
            totals[row] += parts.sum()

    callers = [threading.Thread(target=caller, args=(row,)) for row in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
    assert np.array_equal(totals, 50 * (6 + 4 * np.arange(8)))


def test_a_kernel_may_itself_use_threads():
    th.set_num_threads(2)
    made = []
    threads.run(lambda n: threads.run(lambda m: made.append((n, m)), [(0,), (1,), (2,)]), [(0,), (1,), (2,)])
    assert sorted(made) == [(n, m) for n in range(3) for m in range(3)]


def test_arrays_are_let_go():
    th.set_num_threads(3)

    class Held:
        pass

    held = [Held() for _ in range(6)]
    gone = []
    for one in held:
        weakref.finalize(one, gone.append, 1)
    threads.run(lambda one: None, [(one,) for one in held])
    held.clear()
    del one
    time.sleep(0.05)
    assert len(gone) == 6


def _sum_in_threads(results):
    seen = []
    threads.run(lambda n: (time.sleep(0.01), seen.append(n)), [(n,) for n in range(4)])
    results.put(sum(seen))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_workers_of_its_own():
    th.set_num_threads(3)
    threads.run(lambda n: time.sleep(0.001), [(n,) for n in range(6)])
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_sum_in_threads, args=(results,))
    process.start()
    process.join(20)
    assert process.exitcode == 0 and results.get(timeout=5) == 6


def test_at_first_as_many_as_the_process_may_run_on():
    assert threads.available() >= 1
    if hasattr(os, "sched_getaffinity"):
        assert threads.available() == len(os.sched_getaffinity(0))


def test_a_numpy_integer_is_a_number():
    th.set_num_threads(np.int64(3))
    assert th.num_threads() == 3 and type(th.num_threads()) is int


def test_numpys_blas_follows():
    info = pytest.importorskip("threadpoolctl").ThreadpoolController()
    if not any(pool["prefix"].startswith("libscipy_openblas") for pool in info.info()):
        pytest.skip("another BLAS")
    for n in (1, 2):
        th.set_num_threads(n)
        numbers = [pool["num_threads"] for pool in info.info() if "numpy" in pool["filepath"]]
        assert numbers == [n]


def test_a_fork_forgets_the_workers_that_it_has_not():
    th.set_num_threads(3)
    threads.run(lambda n: time.sleep(0.001), [(n,) for n in range(6)])
    before = threads._workers
    assert before
    threads._forget_workers()
    assert not threads._workers
    made = []
    threads.run(made.append, [(n,) for n in range(6)])
    assert sorted(made) == list(range(6)) and not set(threads._workers) & set(before)
