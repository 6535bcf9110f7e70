"""All runs of an experiment, through an executor of `concurrent.futures`: nothing is done twice, nothing is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from tqdm import tqdm

import tinyhyper as th

from ..bench.turns import POOLS
from ..shared.settings import UsageError
from . import record
from .run import Line, Place, Run, Stopped, Store, plain

ATTEMPTS = 3  # without a run finished in any of them: then workers die of the runs themselves
PATIENCE = 10  # seconds for a cluster to answer

Follow = Callable[[Run, dict[str, Any]], Sequence[Run]]
Hire = Callable[[], AbstractContextManager[Executor]]


def carry_out(run: Run, place: Place) -> Line:
    """Do one run, in whatever process this is. Raises Stopped when it is told to stop."""
    if place.stopping():
        raise Stopped(run.key)
    place.folder.mkdir(parents=True, exist_ok=True)
    th.set_num_threads(place.threads)
    place = replace(place, fingerprint=record.fingerprint(run.kind, place.data))
    begun = time.monotonic()
    result = import_module(run.kind).perform(run, place)
    seconds = result.pop("seconds", time.monotonic() - begun)
    return Line(run, plain(result), record.of(seconds, place))


def nothing(run: Run, result: dict[str, Any]) -> Sequence[Run]:
    """No run follows."""
    return ()


def planned(runs: Iterable[Run], follow: Follow, store: Store) -> list[Run]:
    """All runs that are known: each, and after a finished one those that follow it."""
    found = []
    for run in runs:
        found += [run, *(next_run for line in store.of([run]) for next_run in follow(run, line.result))]
    return found


def conduct(runs: Iterable[Run], follow: Follow, hire: Hire, store: Store, place: Place) -> dict[str, str]:
    """Carry out the runs that have no line yet, the longest first, and then the runs that follow them.

    A worker that dies breaks its executor; then another executor is hired for what is left.
    Returns what the runs that failed have raised, by key. KeyboardInterrupt passes once the runs that are under way
    have made their checkpoints. Raises Stopped if a later start has stopped them.
    """
    failed: dict[str, str] = {}
    under_way: dict[Future[Line], Run] = {}
    left = ATTEMPTS

    def settle(done: Iterable[Future[Line]]) -> None:
        for future in done:
            run = under_way.pop(future)
            try:
                store.add(future.result())
                place.checkpoint(run).unlink(missing_ok=True)
            except (BrokenExecutor, CancelledError, Stopped):
                pass  # the run has no line and has not failed, so it is waiting again
            except Exception as error:
                failed[run.key] = f"{type(error).__name__}: {error}"
                if not isinstance(error, OSError):  # of a disk or of data, the one line tells enough
                    traceback.print_exception(error)
            bar.update()

    place.go()
    with tqdm(unit="run", smoothing=0, leave=False, disable=None) as bar:
        while left and not place.stopping():
            known = planned(runs, follow, store)
            waiting = [run for run in known if run.key not in {*store.lines, *failed}]
            if not waiting:
                break
            bar.reset(len(known))
            bar.update(len(known) - len(waiting))
            finished = len(store.lines)
            with hire() as executor:
                try:
                    with suppress(BrokenExecutor):
                        for run in sorted(waiting, key=lambda run: -run.cost):
                            under_way[executor.submit(carry_out, run, place)] = run
                    while under_way:  # on Windows, Ctrl-C is only seen between two waits
                        settle(wait(under_way, timeout=1, return_when=FIRST_COMPLETED).done)
                except KeyboardInterrupt:
                    place.stop()
                    settle(wait([future for future in under_way if not future.cancel()]).done)
                    raise
            left = ATTEMPTS if len(store.lines) > finished else left - 1
    if place.stopping():
        raise Stopped
    for run in waiting if not left else ():
        failed.setdefault(run.key, f"its process died {ATTEMPTS} times; was there enough memory?")
    place.leave()
    return failed


@contextmanager
def processes(jobs: int, threads: int) -> Iterator[Executor]:
    """So many processes, each with so many threads for NumPy's BLAS, whichever it is."""
    os.environ.update(dict.fromkeys(POOLS, str(threads)))  # a BLAS reads them when a process loads it
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        yield pool


def _begin() -> None:
    """A worker process: Ctrl-C is for its parent, and without a parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


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
