"""Executors: where runs are carried out. Each is a `concurrent.futures.Executor`."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import tinyhyper as th

from ..bench.turns import POOLS
from ..settings import UsageError
from . import data, record
from .place import Place, Stopped
from .run import Line, Run, plain

PATIENCE = 10  # seconds for a cluster to answer


def carry_out(run: Run, place: Place) -> Line:
    """Do one run, in whatever process this is. Raises Stopped when it is told to stop."""
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.stopping():
        raise Stopped(run.key)
    th.set_num_threads(place.threads)
    perform = import_module(run.kind).perform
    gc.freeze()  # what is imported by now need not be looked through again and again
    place = replace(place, fingerprint=data.fingerprint(run.kind, place.data))
    begun = time.monotonic()
    result = perform(run, place)
    seconds = result.pop("seconds", time.monotonic() - begun)
    return Line(run, plain(result), record.of(seconds, place))


class Here(Executor):
    """This process: a call is made when it is submitted, and what it raises is raised there, but for a disk's error."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


@contextmanager
def here(place: Place) -> Iterator[Executor]:
    """This process. Ctrl-C lets the run make its checkpoint and stop; a second one interrupts at once.

    Raises KeyboardInterrupt when all that was under way has ended after Ctrl-C.
    """
    interrupted = threading.Event()

    def stop(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)
        place.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield Here()
    except Stopped:
        if not interrupted.is_set():  # a later start has come
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def processes(jobs: int, threads: int) -> Iterator[Executor]:
    """So many processes, each with so many threads for NumPy's BLAS, whichever it is."""
    before = {name: os.environ.get(name) for name in POOLS}
    os.environ.update(dict.fromkeys(POOLS, str(threads)))  # BLAS reads them when a process loads it
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin() -> None:
    """A worker process: Ctrl-C is for its parent, and without a parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster; one that dies is replaced, and its run goes on if they share the results' folder.

    They import this package and load data as any process does. Raises UsageError without Dask, or if nobody answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise UsageError(f'--dask needs {error.name}: pip install "tinyhyper[dask]"') from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise UsageError(f"--dask: no cluster answers at '{address}' ({error})") from None
    with client, client.get_executor(pure=False) as executor:
        yield executor
