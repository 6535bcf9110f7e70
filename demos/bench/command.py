"""Measure, and write what was measured: performance.json, and from it a table, a page and pictures."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

from tqdm import tqdm

from tinyhyper.kernels.threads import available

from ..shared import output
from ..shared.settings import Settings, UsageError, shared, whole
from . import machine, memory, page, picture, plan, startup, sweeps
from .run import Run
from .turns import Crew

DATA, PAGE = "performance.json", "performance.md"


def options(parser: ArgumentParser) -> None:
    """The options of this demo."""
    parser.add_argument(
        "--threads", action="append", type=whole, help="how many; may be repeated (default: 1 and all; quick: 1)"
    )
    parser.add_argument("--only", action="append", metavar="KIND", help=", ".join(plan.KINDS.values()))
    shared("quick", "again", "out")(parser)


def chosen_threads(settings: Settings) -> list[int]:
    """The thread counts to measure: 1 and all, in quick 1, unless others were asked for. Raises UsageError."""
    most = available()
    if too_many := [threads for threads in settings.threads if threads > most]:
        raise UsageError(f"--threads {too_many[0]}: this process may use {most}")
    return sorted(set(settings.threads or ((1,) if settings.quick else (1, most))))


def check(only: tuple[str, ...]) -> None:
    """Raises UsageError for a kind that is not there."""
    for kind in only:
        if kind not in plan.KINDS.values():
            raise UsageError(f"--only {kind}: there are {', '.join(plan.KINDS.values())}")


def gone(data: dict[str, Any], name: str) -> dict[str, str]:
    """The rows of a task that were left out at another thread count, and why: they are not tried again."""
    return {label: why for r in data["records"] if r["name"] == name for label, why in r["left_out"].items()}


def measure(chosen: plan.Plan, threads: list[int], only: tuple[str, ...], data: dict[str, Any]) -> None:
    """Put everything that is asked for into `data`, as it comes in."""
    tasks = plan.tasks(chosen, only)
    most, sweep, start, peaks = max(threads), *((not only or kind in only) for kind in ("sweep", "start", "memory"))
    total = len(tasks) * len(threads) + sweep + start * len(startup.chosen(chosen)) + peaks * memory.count(chosen)
    with tqdm(total=total, leave=False, disable=None) as progress:
        for count in threads:
            with Crew(count) as crew:
                for task in tasks:
                    progress.set_description(f"{task.name}, threads: {count}")
                    data["records"].append(crew.measure(task, chosen.rounds, gone(data, task.name)))
                    progress.update()
        if sweep:
            progress.set_description("sweep")
            data["sweeps"] += sweeps.measure(chosen, most)
            progress.update()
        if start:
            progress.set_description("fresh processes")
            for record in startup.measure(most, chosen):
                data["starts"].append(record)
                progress.update()
        if peaks:
            progress.set_description("memory")
            for record in memory.measure(chosen, most):
                data["memory" if "height" not in record["name"] else "growth"].append(record)
                progress.update()


def main(settings: Settings) -> int:
    """Measure or read again, print the tables and write the files. 1 if a peer computed something else."""
    check(settings.only)
    threads = chosen_threads(settings)
    folder = output.prepare(settings.out)
    interrupted = False
    if settings.again:
        try:
            data = json.loads((folder / DATA).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"--again: cannot read '{folder / DATA}': {error}") from None
    else:
        chosen = plan.QUICK if settings.quick else plan.FULL
        data = {"machine": machine.facts(threads), "rounds": chosen.rounds}
        data |= {"records": [], "sweeps": [], "starts": [], "memory": [], "growth": []}
        begun = time.perf_counter()
        try:
            measure(chosen, threads, settings.only, data)
        except KeyboardInterrupt:
            interrupted = True
        data["seconds"] = time.perf_counter() - begun
    run = Run(data)
    contents: dict[str, str | bytes] = {PAGE: page.markdown(run), **picture.pictures(run)}
    measured = {} if settings.again else {DATA: json.dumps(data) + "\n"}
    output.finish(page.screen(run), folder, contents | measured, *{DATA} - {*measured})
    if interrupted:
        print("\nInterrupted: what was finished stands above.")
        return 130
    for other in run.others():
        print(f"python -m demos bench: {other}", file=sys.stderr)
    return 1 if run.others() else 0
