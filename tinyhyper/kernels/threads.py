"""Threads that share one kernel's work. Kernels let go of Python's lock while they run, so threads run side by side.

Workers start with the first work for them, and sleep in between. Calls are claimed one by one, by the calling thread
too: where a worker wakes up late (30 to 60 us on an idle machine) or the machine is busy with something else, the
caller does the work itself instead of waiting for it. What each call computes is fixed beforehand, so results do not
depend on who did it. Several Python threads may call at once; they share the workers.

NumPy's BLAS has threads of its own. A kernel and a BLAS call of one Python thread follow each other, so the two pools
do not compete.
"""

from __future__ import annotations

import ctypes
import operator
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from numpy.linalg import _umath_linalg  # type: ignore[attr-defined]

from ..errors import ArgumentError

Kernel = Callable[..., None]


def available() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_threads = available()


def num_threads() -> int:
    """How many threads a kernel may use: at first, as many as there are processors that the process may run on."""
    return _threads


def set_num_threads(n: int) -> None:
    """Let kernels use n threads, and NumPy's BLAS too if it is the OpenBLAS of NumPy's own wheels.

    For another BLAS set its environment variable (OMP_NUM_THREADS, MKL_NUM_THREADS) or use the package threadpoolctl.
    Sums are cut at other places for another n, so their last bits may differ; for the same n they are the same.
    Raises ArgumentError unless n is a whole number and at least 1.
    """
    global _threads
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if count < 1 or isinstance(n, bool):
        raise ArgumentError(f"set_num_threads: a whole number of threads, at least 1, is needed, not {n!r}")
    _threads = count
    with suppress(AttributeError):  # another BLAS
        ctypes.CDLL(_umath_linalg.__file__).scipy_openblas_set_num_threads64_(count)


class Job:
    """Calls of one kernel, to be claimed; for each one made, `ended` gets what it raised, or None."""

    __slots__ = ("kernel", "calls", "ended")

    def __init__(self, kernel: Kernel, calls: Sequence[Sequence[Any]]) -> None:
        self.kernel, self.calls = kernel, deque(calls)
        self.ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work(self, claim: Callable[[], Sequence[Any]]) -> None:
        """Make calls until all are claimed."""
        with suppress(IndexError):
            while True:
                self.ended.put(self._attempt(claim()))

    def _attempt(self, call: Sequence[Any]) -> BaseException | None:
        try:
            self.kernel(*call)
        except BaseException as error:
            return error
        return None


class Pool:
    """Worker threads, as many as a job has asked for at most, and the jobs that wait for them."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.workers = 0
        self.growing = threading.Lock()

    def offer(self, job: Job, workers: int) -> None:
        """Wake this many workers for the job."""
        if self.workers < workers:
            self._grow(workers)
        for _ in range(workers):
            self.jobs.put(job)

    def _grow(self, workers: int) -> None:
        with self.growing:
            while self.workers < workers:
                threading.Thread(target=_serve, args=(self.jobs,), name="tinyhyper", daemon=True).start()
                self.workers += 1


def _serve(jobs: SimpleQueue[Job]) -> None:
    while True:
        job = jobs.get()
        job.work(job.calls.pop)
        del job  # and with it the arrays, while there is nothing to do


_pool = Pool()


def _forget_workers() -> None:
    """A forked process has a copy of everything but the other threads."""
    global _pool
    _pool = Pool()


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
    _pool.offer(job, helpers)
    job.work(job.calls.popleft)
    for error in [job.ended.get() for _ in calls]:
        if error is not None:
            raise error
