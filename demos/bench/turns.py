"""Turns: one process a peer, all waiting but the one that is being measured.

In one process libraries disturb each other: the threads of one spin on for a while after its work is done, and slow the
next.
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .agreement import TOLERANCE, disagreement
from .statistics import Times, summary

ROOT = Path(__file__).resolve().parents[2]
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Some systems set these, and NumPy's matrix products then run at half their speed.
HARMFUL = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TIMEOUT = 100  # seconds to build a task: some peers compile for a minute
PAUSE = 0.03  # seconds between two turns: for so long the threads of a BLAS spin


class Row(NamedTuple):
    """What a table calls it, the module of `peers` that does it, and in which variant."""

    label: str
    peer: str
    variant: str = ""


class Task(NamedTuple):
    """What every row does.

    kind: the function of the peers.  arguments: its arguments but the variant.  alike: the rows whose training must
    come to the same numbers.  seconds: of a turn, for each part.
    """

    kind: str
    name: str
    arguments: tuple[Any, ...]
    rows: tuple[Row, ...]
    alike: tuple[str, ...] = ()
    seconds: float = 0.1


class Left(Exception):
    """A row is left out; the text says why."""


@contextmanager
def pinned(threads: int) -> Iterator[dict[str, str]]:
    """The environment for processes of so many threads; those that are started here keep to so many cores."""
    environment = {name: value for name, value in os.environ.items() if name not in HARMFUL}
    environment |= dict.fromkeys(POOLS, str(threads))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if not hasattr(os, "sched_setaffinity"):
        yield environment
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield environment
    finally:
        os.sched_setaffinity(0, cores)


class Worker:
    """A process that holds one peer. Raises Left where the peer cannot be loaded."""

    def __init__(self, peer: str, threads: int) -> None:
        with pinned(threads) as environment:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demos.bench.worker", peer],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        assert self.process.stdout is not None
        self.answered = selectors.DefaultSelector()
        self.answered.register(self.process.stdout, selectors.EVENT_READ)
        try:
            self.ask("load")
        except BaseException:
            self.end()
            raise

    def ask(self, command: str, *arguments: Any) -> Any:
        """What a method of `worker.Peer` gives. Raises Left if it could not be done."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            pickle.dump((command, arguments), self.process.stdin)
            self.process.stdin.flush()
            if not self.answered.select(TIMEOUT if command == "build" else None):
                self.end()
                raise Left(f"takes more than {TIMEOUT} s to {command}")
            done, value = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError):
            raise Left(f"failed: its process ended with status {self.process.wait()}") from None
        if not done:
            raise Left(value)
        return value

    def end(self) -> None:
        """Stop the process."""
        self.answered.close()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass


class Crew:
    """The workers of one thread count; each is started when it is first needed, and lasts until the crew ends."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.workers: dict[tuple[str, str], Worker] = {}
        self.absent: dict[str, str] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.end()

    def worker(self, row: Row) -> Worker:
        """A process for each row, as two variants of one library would share its state. Raises Left."""
        if row.peer in self.absent:
            raise Left(self.absent[row.peer])
        key = (row.peer, row.variant)
        if key not in self.workers or self.workers[key].process.poll() is not None:
            try:
                self.workers[key] = Worker(row.peer, self.threads)
            except Left as left:
                self.absent[row.peer] = str(left)
                raise
        return self.workers[key]

    def measure(self, task: Task, rounds: int, without: dict[str, str]) -> dict[str, Any]:
        """Build the task in every row, see that all come to the same numbers, and let them take turns.

        without: rows that are left out from the start, and why.
        """
        begun = time.perf_counter()
        left_out = dict(without)
        results: dict[str, Any] = {}
        for row in (row for row in task.rows if row.label not in without):
            try:
                arguments = (*task.arguments, row.variant)
                results[row.label] = self.worker(row).ask("build", task.kind, arguments, task.seconds)
            except Left as left:
                left_out[row.label] = str(left)
        errors = disagreement({label: results[label] for label in task.alike if label in results}, task.rows[0].label)
        left_out |= {
            label: f"came to other numbers, off by {error:.2g}"
            for (label, _), error in errors.items()
            if error > TOLERANCE
        }
        present = [row for row in task.rows if row.label in results]
        times: Times = {}
        for turn in range(rounds):
            for row in present if turn % 2 == 0 else reversed(present):
                if row.label in left_out:
                    continue
                time.sleep(PAUSE if self.threads > 1 else 0.0)
                try:
                    counted = self.worker(row).ask("turn")
                except Left as left:
                    left_out[row.label] = str(left)
                    continue
                for part, seconds in counted.items():
                    times.setdefault((row.label, part), []).append(seconds)
        for row in present:
            if row.label not in left_out:
                self.worker(row).ask("drop")
        rows = [
            {"label": label, "part": part, **summary(turns), "error": errors.get((label, part))}
            for (label, part), turns in times.items()
            if label not in left_out
        ]
        record = {"kind": task.kind, "name": task.name, "threads": self.threads, "seconds": time.perf_counter() - begun}
        return record | {"rows": rows, "left_out": left_out}
