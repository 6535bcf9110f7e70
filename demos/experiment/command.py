"""python -m demos NAME, for an experiment: carry out what is not finished, then the table and the pictures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import tinyhyper as th
from tinyhyper.inspect import files
from tinyhyper.kernels.threads import available

from .. import output
from ..settings import Settings, UsageError
from .conduct import Conductor, Follow, Hire, nothing, planned
from .place import Place, Stopped
from .run import Line, Run
from .store import Store
from .workers import Here, cluster, processes


@dataclass(frozen=True)
class Experiment:
    """What `python -m demos NAME` does.

    plan: its runs.  follow: those that begin where one has ended, of the run and its result.  ahead: how many will.
    alone: runs that are timed, so that they come last, one by one, in this process.
    markdown: the fragment for a page, of the finished lines.  pictures: files by name, of the same.
    """

    name: str
    plan: Callable[[Settings], Sequence[Run]]
    markdown: Callable[[Sequence[Line]], str]
    pictures: Callable[[Sequence[Line]], Mapping[str, str | bytes]]
    follow: Follow = nothing
    ahead: Callable[[Run], int] = lambda run: 0
    alone: Callable[[Settings], Sequence[Run]] = lambda settings: ()


def main(experiment: Experiment, settings: Settings) -> int:
    """Carry out what is not finished, print the table, write it and the pictures. Returns the exit status.

    Raises UsageError before any run, also for data that is not there.
    """
    try:
        return perform(experiment, settings)
    except th.DataError as error:
        raise UsageError(str(error)) from error


def perform(experiment: Experiment, settings: Settings) -> int:
    """As `main`; raises DataError."""
    name = experiment.name
    folder = output.prepare(settings.out)
    store = Store(folder / f"{name}.jsonl", complain)
    runs, alone = experiment.plan(settings), experiment.alone(settings)
    failed, interrupted = {}, False
    if not settings.again:
        try:
            failed = conduct(experiment, settings, runs, alone, store)
        except (KeyboardInterrupt, Stopped):
            interrupted = True
    known = planned([*runs, *alone], experiment.follow, store)
    lines = store.of(known)
    written = write(experiment, folder, lines)
    if lines:
        print(experiment.markdown(lines))
        print(f"\nIn {folder}: {', '.join([*written, store.path.name])}")
    if interrupted:
        print(f"\nInterrupted: {len(lines)} of {len(known)} runs are finished. The same command goes on from there.")
        return 130
    for key, why in failed.items():
        complain(f"the run {key} failed: {why}")
    if missing := len(known) - len(lines) - len(failed):
        complain(f"{missing} of {len(known)} runs are not finished; {settings.command(name)} carries them out")
    return 0 if len(lines) == len(known) else 1


def conduct(
    experiment: Experiment, settings: Settings, runs: Sequence[Run], alone: Sequence[Run], store: Store
) -> dict[str, str]:
    """Carry out all runs; what those that failed have raised."""
    name, cores = experiment.name, available()
    if not settings.dask:  # whose workers have data of their own
        for kind in dict.fromkeys(run.kind for run in [*runs, *alone] if not store.of([run])):
            getattr(import_module(kind), "ready", lambda folder: None)(settings.data)
    jobs = settings.jobs or max(1, min(cores, len(runs)))
    place = Place(
        folder=(settings.out / f"{name}.runs").absolute(),
        data=settings.data and settings.data.absolute(),
        threads=1 if settings.dask else max(1, cores // jobs),
        command=settings.command(name),
        starter=f"{os.getpid()} {time.time_ns()}",
    )
    conductor = Conductor(experiment.follow, experiment.ahead, store, place)
    conductor.conduct(runs, hire(settings, jobs, place.threads))
    conductor.conduct(alone, here)
    return conductor.failed


def hire(settings: Settings, jobs: int, threads: int) -> Hire:
    """The executor that was asked for."""
    if settings.dask:
        return partial(cluster, settings.dask)
    return here if jobs == 1 else partial(processes, jobs, threads)


def here() -> AbstractContextManager[Executor]:
    return nullcontext(Here())


def write(experiment: Experiment, folder: Path, lines: Sequence[Line]) -> list[str]:
    """The table and the pictures, as files; their names."""
    if not lines:
        return []
    contents = {f"{experiment.name}.md": experiment.markdown(lines) + "\n", **experiment.pictures(lines)}
    return [files.write(folder / name, content).name for name, content in contents.items()]


def complain(text: str) -> None:
    print(f"python -m demos: {text}", file=sys.stderr)
