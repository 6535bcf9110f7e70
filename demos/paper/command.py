"""python -m demos paper NAME: carry out what is not finished, then the table and the pictures."""

from __future__ import annotations

import os
import shlex
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tinyhyper as th
from tinyhyper.data.store import VARIABLE
from tinyhyper.kernels.threads import available

from .. import output
from ..settings import OUT, Settings, UsageError, address, folder, shared, whole
from . import data
from .conduct import Conductor, Follow, Hire, nothing, planned
from .place import Place, Stopped
from .run import Line, Run
from .store import Store
from .workers import cluster, here, processes


@dataclass(frozen=True)
class Experiment:
    """What `python -m demos paper NAME` does.

    plan: its runs.  follow: those that begin where one has ended, of the run and its result.  ahead: how many will.
    alone: runs that are timed, so that they come last, one by one, in this process.  parts: what --only may name.
    markdown: the fragment for a page, of the finished lines.  pictures: files by name, of the same.
    """

    name: str
    plan: Callable[[Settings], Sequence[Run]]
    markdown: Callable[[Sequence[Line]], str]
    pictures: Callable[[Sequence[Line]], Mapping[str, str | bytes]]
    follow: Follow = nothing
    ahead: Callable[[Run], int] = lambda run: 0
    alone: Callable[[Settings], Sequence[Run]] = lambda settings: ()
    parts: Sequence[str] = ()

    def options(self, parser: ArgumentParser) -> None:
        """The options of an experiment; a finished run is not run again, and an interrupted one goes on."""
        if self.parts:
            parser.add_argument("--only", action="append", metavar="PART", help=", ".join(self.parts))
        shared("epochs", "seed", "quick", "again", "out")(parser)
        parser.add_argument("--seeds", type=whole, help="how many, from --seed on (default: the experiment's own)")
        parser.add_argument("--jobs", type=whole, metavar="N", help="processes (default: one a core); 1 is this one")
        parser.add_argument("--dask", type=address, metavar="ADDRESS", help="a Dask cluster, in place of processes")
        parser.add_argument("--data-dir", type=folder, metavar="DIR", dest="data", help="where data sets lie")

    def main(self, settings: Settings) -> int:
        """Carry out what is not finished, print the table, write it and the pictures. Returns the exit status.

        Raises UsageError before any run, also for data that is not there.
        """
        try:
            return perform(self, settings)
        except th.DataError as error:
            raise UsageError(str(error)) from error


def perform(experiment: Experiment, settings: Settings) -> int:
    """As `Experiment.main`; raises DataError."""
    name, folder = experiment.name, settings.out
    if settings.again and not folder.is_dir():
        complain(f"nothing is there to read: '{folder}' is no folder")
        return 1
    with prepared(folder):
        store = Store(folder / f"{name}.jsonl", complain)
        runs, alone = settled(experiment, settings, store)
    failed, ending = {}, ""
    if not settings.again:
        try:
            failed = conduct(experiment, settings, runs, alone, store)
        except KeyboardInterrupt:
            ending = "Interrupted"
        except Stopped:
            ending = "Another start with this folder took over"
        except OSError as error:  # a disk that takes nothing keeps nobody from seeing what is finished
            complain(f"no further run is carried out: {error}")
    known = planned([*runs, *alone], experiment.follow, store)
    lines = store.of(known)
    for key, why in failed.items():
        complain(f"the run {key} failed: {why}")
    if lines:
        text = experiment.markdown(lines)
        contents = {f"{name}.md": text + "\n", **experiment.pictures(lines)}
        output.finish(text, folder, contents, store.path.name)
    if ending:
        print(f"\n{ending}: {len(lines)} of {len(known)} runs are finished. The same command goes on from there.")
        return 130
    if missing := sum(run.key not in failed and run.key not in store.lines for run in known):
        complain(f"{missing} of {len(known)} runs are not finished; {typed(settings, name)} carries them out")
    return 1 if failed or missing else 0


@contextmanager
def prepared(folder: Path) -> Iterator[None]:
    """With the folder made, for a start that may yet be refused: then what was made for it and is empty goes again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    output.prepare(folder)
    try:
        yield
    except (th.DataError, UsageError):
        with suppress(OSError):
            for path in made:
                path.rmdir()
        raise


def settled(experiment: Experiment, settings: Settings, store: Store) -> tuple[Sequence[Run], Sequence[Run]]:
    """The planned runs and those that are to be timed, as the data at hand have them.

    Data is only looked at if it is named or needed, and not with Dask, whose workers have data of their own.
    Raises DataError, and UsageError if the store holds runs on other data.
    """
    runs, alone = experiment.plan(settings), experiment.alone(settings)
    if settings.dask:
        return runs, alone
    named = settings.data is not None or VARIABLE in os.environ
    kinds = {run.kind for run in [*runs, *alone] if named or not (settings.again or store.of([run]))}
    for kind in sorted(kinds):
        data.ready(kind, settings.data)
        ours = data.fingerprint(kind, settings.data)
        there = {line.record.get("data") for line in store.lines.values() if line.run.kind == kind}
        if ours and there - {ours, None}:  # a line of an earlier version has none
            raise UsageError(f"{store.path} holds runs on other data; choose another --out")

    def fitted(planned: Sequence[Run]) -> list[Run]:
        return [data.fitted(run, settings.data) if run.kind in kinds else run for run in planned]

    return fitted(runs), fitted(alone)


def typed(settings: Settings, name: str) -> str:
    """The command, with the folders that were named."""
    words = [settings.command(f"paper {name}")]
    if settings.out != OUT:
        words.append(f"--out {shlex.quote(str(settings.out))}")
    if settings.data is not None:
        words.append(f"--data-dir {shlex.quote(str(settings.data))}")
    return " ".join(words)


def conduct(
    experiment: Experiment, settings: Settings, runs: Sequence[Run], alone: Sequence[Run], store: Store
) -> dict[str, str]:
    """Carry out all runs; what those that failed have raised."""
    name, cores = experiment.name, available()
    jobs = settings.jobs or max(1, min(cores, len(runs)))
    place = Place(
        folder=(settings.out / f"{name}.runs").absolute(),
        data=settings.data and settings.data.absolute(),
        threads=1 if settings.dask else max(1, cores // jobs),
        command=settings.command(f"paper {name}"),
        starter=f"{os.getpid()} {time.time_ns()}",
    )
    conductor = Conductor(experiment.follow, experiment.ahead, store, place)
    conductor.conduct(runs, hire(settings, jobs, place))
    conductor.conduct(alone, partial(here, place))
    return conductor.failed


def hire(settings: Settings, jobs: int, place: Place) -> Hire:
    """The executor that was asked for."""
    if settings.dask:
        return partial(cluster, settings.dask)
    return partial(here, place) if jobs == 1 else partial(processes, jobs, place.threads)


def complain(text: str) -> None:
    print(f"python -m demos: {text}", file=sys.stderr)
