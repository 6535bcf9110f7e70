"""All runs of an experiment through an executor: nothing is done twice, nothing is lost."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager
from typing import Any

from .bar import Bar
from .place import Place, Stopped
from .run import Line, Run
from .store import Store
from .workers import carry_out

MOST_BREAKDOWNS = 3  # in a row, without a run finished in between: then workers die of the runs themselves

Follow = Callable[[Run, dict[str, Any]], Sequence[Run]]
Hire = Callable[[], AbstractContextManager[Executor]]


def nothing(run: Run, result: dict[str, Any]) -> Sequence[Run]:
    """No run follows."""
    return ()


def planned(runs: Iterable[Run], follow: Follow, store: Store) -> list[Run]:
    """All runs that are known: each, and after a finished one those that follow it."""
    found = []
    for run in runs:
        found.append(run)
        for line in store.of([run]):
            found += planned(follow(run, line.result), nothing, store)
    return found


class Conductor:
    """Runs on their way to becoming lines of the store.

    follow: the runs that begin where one has ended.  ahead: how many will, each about as long.
    failed: what the runs that raised something have raised, by key.
    """

    def __init__(self, follow: Follow, ahead: Callable[[Run], int], store: Store, place: Place) -> None:
        self.follow, self.ahead, self.store, self.place = follow, ahead, store, place
        self.pending: dict[Future[Line], Run] = {}
        self.waiting: list[Run] = []
        self.failed: dict[str, str] = {}

    def conduct(self, runs: Iterable[Run], hire: Hire) -> None:
        """Carry out the runs without a line, the longest first, and those that follow.

        KeyboardInterrupt passes when the runs that are under way have made their checkpoints. Raises Stopped if they
        were stopped by a later start.
        """
        known = planned(runs, self.follow, self.store)
        self.waiting = sorted((run for run in known if not self.store.of([run])), key=lambda run: -run.cost)
        self.breakdowns, self.stopped = 0, False
        self.place.go()
        for run in self.waiting:
            self.place.begin(run)
        with Bar([(run, self.ahead(run)) for run in self.waiting], self.place) as self.bar:
            while self.waiting and self.breakdowns < MOST_BREAKDOWNS:
                self.breakdowns += 1
                with hire() as executor:
                    self._through(executor)
        if self.stopped:
            raise Stopped
        for run in self.waiting:
            self.failed[run.key] = f"its process died {MOST_BREAKDOWNS} times; was there enough memory?"
        self.place.leave()

    def _through(self, executor: Executor) -> None:
        """Until nothing is under way. What a broken executor gives back is waiting again."""
        runs, self.waiting = self.waiting, []
        try:
            self._submit(executor, runs)
            while self.pending:
                done, _ = wait(self.pending, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    self._submit(executor, self._take(future))
        except KeyboardInterrupt:
            self.place.stop()
            under_way = [future for future in self.pending if not future.cancel()]
            wait(under_way)
            for future in under_way:
                self._take(future)
            raise

    def _submit(self, executor: Executor, runs: Iterable[Run]) -> None:
        for run in runs:
            self.bar.begin(run)
            try:
                future = executor.submit(carry_out, run, self.place)
            except BrokenExecutor:
                self.waiting.append(run)
                continue
            self.pending[future] = run
            if future.done():  # in this process
                self._submit(executor, self._take(future))

    def _take(self, future: Future[Line]) -> Sequence[Run]:
        """What has become of a run; the runs that follow it."""
        run = self.pending.pop(future)
        try:
            line = future.result()
        except BrokenExecutor:
            self.waiting.append(run)
        except (Stopped, CancelledError):
            self.stopped = True
        except OSError as error:  # of a disk or of data, which the one line tells
            self.failed[run.key] = f"{type(error).__name__}: {error}"
        except Exception as error:
            self.failed[run.key] = f"{type(error).__name__}: {error}"
            traceback.print_exception(error)
        else:
            self.breakdowns = 0
            self.bar.end(run)
            try:
                self.store.add(line)
            except OSError as error:
                self.failed[run.key] = f"its line cannot be kept: {error}"
            else:
                self.place.clear(run)
            return self.follow(run, line.result)
        return ()
