"""Threads that share one kernel's work. Kernels let go of Python's lock while they run, so threads run side by side.

Workers start with the first work for them. To wake a sleeping thread takes 30 to 60 us, longer than many a kernel runs,
so a worker first watches for its next job wide awake, and goes to sleep when none has come for about a millisecond; the
caller watches for the end in the same way. Both do so without Python's lock, which the other may need.

Calls are claimed one by one, by the calling thread too: where a worker is late, or the machine is busy with something
else, the caller does the work itself instead of waiting for it. What each call computes is fixed beforehand, so results
do not depend on who did it. Several Python threads may call at once; they share the workers.

NumPy's BLAS has threads of its own. A kernel and a BLAS call of one Python thread follow each other, so the two pools
do not compete.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.linalg import _umath_linalg

from ..errors import ArgumentError
from . import cache
from .backend import compiler_is_off

Kernel = Callable[..., None]

# Say that something has ended, and wait until a number is reached; then for a moment more, so that whoever reached it
# has let go of Python's lock.
WATCH = """
def kernel(ended, which, number, least, rounds, pause):
    if ended:
        store(ended, which)
    while rounds > 0 and load(number) < least:
        rounds -= 1
    while rounds > 0 and pause > 0 and load(number) >= least:
        pause -= 1

from tinyhyper.kernels.loops import load, store
"""
MOST = 1_024
AWAKE = 1_000_000  # rounds: about a millisecond
PAUSE = 10_000


def available() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_processors = _threads = available()


def num_threads() -> int:
    """How many threads a kernel may use: at first, as many as there are processors that the process may run on."""
    return _threads


def set_num_threads(n: int) -> None:
    """Let kernels use n threads, and NumPy's BLAS too if it is the OpenBLAS of NumPy's own wheels.

    n: an integer from 1 to 1,024.
    For another BLAS set its environment variable (OMP_NUM_THREADS, MKL_NUM_THREADS) or use the package threadpoolctl.
    Sums are cut at other places for another n, so their last bits may differ; for the same n they are the same.
    Raises ArgumentError for another n.
    """
    global _threads
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if not 1 <= count <= MOST or isinstance(n, bool):
        raise ArgumentError(f"set_num_threads: n must be an integer from 1 to {MOST}, not {n!r}")
    _threads = count
    with suppress(AttributeError):  # another BLAS
        ctypes.CDLL(_umath_linalg.__file__).scipy_openblas_set_num_threads64_(count)


class Job:
    """Calls of one kernel, to be claimed; for each one made, `ended` gets what it raised, or None."""

    __slots__ = ("kernel", "calls", "ended")

    def __init__(self, kernel: Kernel, calls: Sequence[Sequence[Any]]) -> None:
        self.kernel, self.calls = kernel, deque(calls)
        self.ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work(self, claim: Callable[[], Sequence[Any]]) -> int:
        """Make calls until all are claimed; how many it were."""
        made = 0
        with suppress(IndexError):
            while True:
                self.ended.put(self._attempt(claim()))
                made += 1
        return made

    def _attempt(self, call: Sequence[Any]) -> BaseException | None:
        try:
            self.kernel(*call)
        except BaseException as error:
            return error
        return None


class Worker:
    """A thread that waits for jobs: for a moment wide awake, without Python's lock, and then asleep.

    Of its two numbers, the first counts the jobs it was given, the second those it has ended.
    """

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Job] = SimpleQueue()
        self.numbers = np.zeros(16, np.int64)  # each in a cache line of its own
        self.given, self.ended = (int(self.numbers.ctypes.data) + 64 * n for n in range(2))
        self.lock = threading.Lock()
        watch = _watch()  # which imports numba: in this thread, as two that do so at once can get half of it
        threading.Thread(target=self._serve, args=(watch,), name="tinyhyper", daemon=True).start()

    def give(self, job: Job) -> int:
        """Let it work on the job; the number under which it will have ended."""
        with self.lock:
            self.inbox.put(job)
            self.numbers[0] += 1
            return int(self.numbers[0])

    def _serve(self, watch: Callable[..., None]) -> None:
        number = 0
        while True:
            watch(self.ended, number, self.given, number + 1, _rounds(), PAUSE)
            job = self.inbox.get()
            number += 1
            job.work(job.calls.pop)
            del job  # and with it the arrays, while there is nothing to do


@functools.cache
def _watch() -> Callable[..., None]:
    """What waits wide awake. Where nothing is compiled it does not wait."""
    return (lambda *numbers: None) if compiler_is_off() else cache.load(WATCH)


def _rounds() -> int:
    """How long to stay awake: not at all if threads have to share processors."""
    return AWAKE if _threads <= _processors else 0


_workers: list[Worker] = []  # as many as a job has asked for at most
_growing = threading.Lock()


def _first(count: int) -> list[Worker]:
    """So many workers; those that are missing are started."""
    with _growing:
        while len(_workers) < count:
            _workers.append(Worker())
        return _workers[:count]


def _forget_workers() -> None:
    """A forked process has a copy of everything but the other threads."""
    global _workers, _growing
    _workers, _growing = [], threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run(kernel: Kernel, calls: Sequence[Sequence[Any]]) -> None:
    """kernel(*call) for every call, on at most num_threads() threads; returns when all have ended.

    The calling thread claims calls from the first on, workers from the last on. What a call raises is raised here.
    """
    helpers = min(_threads, len(calls)) - 1
    if helpers < 1:
        for call in calls:
            kernel(*call)
        return
    job = Job(kernel, calls)
    given = [(worker, worker.give(job)) for worker in _first(helpers)]
    made = job.work(job.calls.popleft)
    if made < len(calls):
        for worker, number in given:
            _watch()(0, 0, worker.ended, number, _rounds(), 0)
    for error in [job.ended.get() for _ in calls]:
        if error is not None:
            raise error
