"""python -m demos paper NAME: carry out what is not finished, then the table and the pictures."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import tinyhyper as th
from tinyhyper.data.store import VARIABLE
from tinyhyper.kernels.threads import available

from ..shared import output
from ..shared.settings import Settings, UsageError, address, folder, shared, whole
from . import record
from .queue import Follow, Hire, cluster, conduct, nothing, planned, processes
from .run import Line, Place, Run, Stopped, Store

HERE: Hire = partial(ThreadPoolExecutor, 1)  # this process: Ctrl-C reaches the main thread, which stops the run


@dataclass(frozen=True)
class Experiment:
    """What `python -m demos paper NAME` does.

    plan: its runs.  follow: those that begin where one has ended, of the run and its result.
    alone: runs that are timed, so that they come last, one by one, in this process.  parts: what --only may name.
    markdown: the fragment for a page, of the finished lines.  pictures: files by name, of the same.
    """

    name: str
    plan: Callable[[Settings], Sequence[Run]]
    markdown: Callable[[Sequence[Line]], str]
    pictures: Callable[[Sequence[Line]], Mapping[str, str | bytes]]
    follow: Follow = nothing
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

        Raises UsageError before any run and before a folder is made, also for data that is not there.
        """
        name, folder = self.name, settings.out
        if settings.again and not folder.is_dir():
            complain(f"nothing is there to read: '{folder}' is no folder")
            return 1
        store = Store(folder / f"{name}.jsonl", complain)
        try:
            runs, alone = self.fitted(settings, store)
        except th.DataError as error:
            raise UsageError(str(error)) from error
        output.prepare(folder)
        failed, ending = {}, ""
        if not settings.again:
            try:
                failed = self.conduct(settings, runs, alone, store)
            except KeyboardInterrupt:
                ending = "Interrupted"
            except Stopped:
                ending = "Another start with this folder took over"
            except OSError as error:  # a disk that takes nothing keeps nobody from seeing what is finished
                complain(f"no further run is carried out: {error}")
        known = planned([*runs, *alone], self.follow, store)
        lines = store.of(known)
        for key, why in failed.items():
            complain(f"the run {key} failed: {why}")
        if lines:
            text = self.markdown(lines)
            output.finish(text, folder, {f"{name}.md": text + "\n", **self.pictures(lines)}, store.path.name)
        if ending:
            print(f"\n{ending}: {len(lines)} of {len(known)} runs are finished. The same command goes on from there.")
            return 130
        if missing := sum(run.key not in failed and run.key not in store.lines for run in known):
            complain(f"{missing} of {len(known)} runs are not finished; without --again the command carries them out")
        return 1 if failed or missing else 0

    def fitted(self, settings: Settings, store: Store) -> tuple[list[Run], list[Run]]:
        """The planned runs and those that are to be timed, as the data at hand have them.

        Data is only looked at if it is named or needed, and not for the workers of Dask, which have data of their own.
        Raises DataError, and UsageError if the store holds runs on other data.
        """
        runs, alone = [*self.plan(settings)], [*self.alone(settings)]
        named = settings.data is not None or VARIABLE in os.environ
        ours = alone if settings.dask else [*runs, *alone]
        kinds = {run.kind for run in ours if named or not (settings.again or store.of([run]))}
        for kind in sorted(kinds):
            found = record.fingerprint(kind, settings.data)
            there = {line.record.get("data") for line in store.lines.values() if line.run.kind == kind}
            if found and there - {found, None}:  # a line of an earlier version has none
                raise UsageError(f"{store.path} holds runs on other data; choose another --out")

        def fit(run: Run) -> Run:
            fitted = getattr(import_module(run.kind), "fitted", None) if run.kind in kinds else None
            return run if fitted is None else fitted(run, settings.data)

        return [fit(run) for run in runs], [fit(run) for run in alone]

    def conduct(
        self, settings: Settings, runs: Sequence[Run], alone: Sequence[Run], store: Store
    ) -> dict[str, str]:
        """Carry out all runs; what those that failed have raised."""
        cores = available()
        jobs = settings.jobs or max(1, min(cores, len(runs)))
        place = Place(
            folder=(settings.out / f"{self.name}.runs").absolute(),
            data=settings.data and settings.data.absolute(),
            threads=1 if settings.dask else max(1, cores // jobs),
            command=settings.command(f"paper {self.name}"),
            starter=f"{os.getpid()} {time.time_ns()}",
        )
        if settings.dask:
            hire: Hire = partial(cluster, settings.dask)
        else:
            hire = HERE if jobs == 1 else partial(processes, jobs, place.threads)
        failed = conduct(runs, self.follow, hire, store, place)
        return failed | conduct(alone, nothing, HERE, store, place)


def complain(text: str) -> None:
    print(f"python -m demos: {text}", file=sys.stderr)
