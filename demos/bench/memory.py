"""Memory: the peak of each workload in a fresh process a peer, and whether a long run stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tinyhyper.kernels.threads import available

from .plan import OURS, Plan, tasks
from .problems import SMALL_MLP
from .turns import Left, Row, Task, Worker

STEPS = 12  # of each run whose peak is measured
SMALL_BATCH = 8  # of a network's small run
FLAT_HEIGHTS = (1,)  # of the towers whose memory must stay flat: minutes each


def asked(running: set[Worker], record: dict[str, Any], peer: str, threads: int, *command: Any) -> dict[str, Any]:
    """The record with what a fresh process answers, or with the word that says why there is no answer."""
    try:
        worker = Worker(peer, threads)
        running.add(worker)
        try:
            return record | worker.ask(*command)
        finally:
            running.discard(worker)
            worker.end()
    except Left as left:
        return record | {"left_out": str(left)}


def peak(running: set[Worker], task: Task, row: Row, threads: int) -> dict[str, Any]:
    """A record of one workload in one row."""
    workload = task.arguments[0]
    problem = SMALL_MLP if task.kind == "hyperstep" else replace(workload.problem, batch=SMALL_BATCH)
    small, full = ((w, row.variant) for w in (workload._replace(problem=problem), workload))
    record = {"name": task.name, "label": row.label, "threads": threads}
    return asked(running, record, row.peer, threads, "memory", task.kind, small, full, STEPS)


def growth(running: set[Worker], height: int, steps: int) -> dict[str, Any]:
    """A record of a long run of a small tower."""
    record = {"name": f"SGD tower of height {height}", "label": OURS}
    return asked(running, record, "tinyhyper", 1, "growth", height, steps)


def count(plan: Plan) -> int:
    """How many records there will be."""
    return sum(len(peaks(task)) for task in remembered(plan)) + len(FLAT_HEIGHTS)


def remembered(plan: Plan) -> list[Task]:
    """The workloads whose memory is measured."""
    return [task for task in tasks(plan, ("hypersteps", "networks")) if task.name in plan.remembered]


def peaks(task: Task) -> list[Row]:
    """The rows that train, a call a step."""
    return [row for row in task.rows if row.variant not in ("floor", "exact", "over", "loop")]


def measure(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """All records. Nothing is timed, so the processes may run side by side."""
    running: set[Worker] = set()
    with ThreadPoolExecutor(available()) as pool:
        long = [pool.submit(growth, running, height, plan.steps) for height in FLAT_HEIGHTS]
        waiting = [pool.submit(peak, running, task, row, threads) for task in remembered(plan) for row in peaks(task)]
        waiting += long
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()
            for worker in list(running):  # only after Ctrl-C are there any
                worker.process.kill()
