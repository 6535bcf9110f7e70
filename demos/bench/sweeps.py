"""A sweep: many runs of one program side by side, with one core and with all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .plan import Plan
from .problems import HYPERSTEPS
from .turns import Left, Worker

WORKLOAD = "teaching-size net, Adam/SGD"
RUNS = 64


def measure(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """A record for one core and for all, each with a process of its own; they take turns."""
    workload, workers = HYPERSTEPS[WORKLOAD], dict[int, Worker]()
    records: dict[int, dict[str, Any]] = {
        cores: {"cores": cores, "steps": plan.swept, "seconds": []} for cores in sorted({1, threads})
    }
    try:
        for _ in range(plan.starts):
            for cores, record in records.items():
                try:
                    if cores not in workers:
                        workers[cores] = Worker("tinyhyper", cores)
                    record["seconds"].append(workers[cores].ask("sweep", workload, RUNS, plan.swept, cores))
                except Left as left:
                    record["left_out"] = str(left)
    finally:
        for worker in workers.values():
            worker.end()
    yield from records.values()
