"""Fresh processes: how long an import takes, and then the first steps, with compiled kernels on disk or without.

As a module of its own, `python -m demos.bench.startup PEER VARIANT WORKLOAD STEPS LIBRARY...` prints both times.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .plan import Plan

MLP, NET = "MLP, Adam/SGD", "teaching-size net, Adam/SGD"
TIMEOUT = 300


class Start(NamedTuple):
    """A row: its peer and variant, what it imports, and the environment variable that names its folder of kernels.

    workload, steps: what it trains, and how many steps count. The first has no hypergradient; replay records the first,
    and by the last its program runs.
    """

    label: str
    peer: str
    variant: str
    libraries: tuple[str, ...]
    cache: str = ""
    workload: str = MLP
    steps: int = 2

    def command(self, folder: str) -> list[str]:
        """What to run. folder: for files."""
        if self.peer == "digits":
            return ["demos", "--out", folder]
        options = [self.peer, self.variant, self.workload, str(self.steps)]
        return ["demos.bench.startup", *options, *self.libraries]


KERNELS = "TINYHYPER_CACHE"
REPLAY, MAIN_JOB = "replay, teaching-size net", "python -m demos, all of it"
STARTS = (
    Start("tinyhyper", "tinyhyper", "", ("tinyhyper",), KERNELS),
    Start(REPLAY, "tinyhyper", "call", ("tinyhyper",), KERNELS, NET, 8),
    Start(MAIN_JOB, "digits", "", (), KERNELS),
    Start(
        "published package",
        "torch",
        "published",
        ("torch", "gradient_descent_the_ultimate_optimizer"),
    ),
    Start("JAX, jitted", "jax", "", ("jax", "jax.numpy")),
    Start("torch.compile", "torch_compile", "", ("torch",), "TORCHINDUCTOR_CACHE_DIR"),
)


def main(peer: str, variant: str, workload: str, steps: str, *libraries: str) -> None:
    begun = time.perf_counter()
    for library in libraries:
        import_module(library)
    imported = time.perf_counter()
    problems = import_module("demos.bench.problems")
    module = import_module(f"demos.bench.peers.{peer}")
    ready = time.perf_counter()
    step = module.hyperstep(problems.HYPERSTEPS[workload], variant).step
    for _ in range(int(steps)):
        step()
    print("seconds", imported - begun, time.perf_counter() - ready)


def once(start: Start, environment: dict[str, str]) -> dict[str, float] | str:
    """Seconds of the import and of the first steps, or of the whole process; or the word that says why there are none.
    """
    begun = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", *start.command(folder)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"took more than {TIMEOUT} s"
    whole = time.perf_counter() - begun
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["failed"])[-1]
        return "is not installed" if "ModuleNotFoundError" in last else last[:100]
    if not start.libraries:
        return {"first": whole}
    imported, first = map(float, done.stdout.split("seconds")[-1].split())
    return {"import": imported, "first": first}


def chosen(plan: Plan) -> list[Start]:
    """The peers of a plan."""
    return [start for start in STARTS if start.peer not in plan.without]


def measure(threads: int, plan: Plan) -> Iterator[dict[str, Any]]:
    """A record for each peer. Cold is a folder of kernels that is new, warm the same folder once more."""
    from .turns import pinned

    with pinned(threads) as environment:
        for start in chosen(plan):
            record: dict[str, Any] = {"label": start.label, "threads": threads, "import": [], "cold": [], "warm": []}
            for _ in range(plan.starts):
                with tempfile.TemporaryDirectory() as folder:
                    kept = environment | ({start.cache: folder} if start.cache else {})
                    for state in ("cold", *("warm",) * plan.starts):
                        times = once(start, kept)
                        if isinstance(times, str):
                            record["left_out"] = times
                            break
                        record[state].append(times.pop("first"))
                        record["import"] += times.values()
                if "left_out" in record:
                    break
            record["import"] = record["import"][1:] or record["import"]  # the first read the files from disk
            yield record


if __name__ == "__main__":
    main(*sys.argv[1:])
