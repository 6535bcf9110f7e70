"""One peer in a process of its own: it does what it is told over its pipes, a turn at a time, and else sleeps."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

CHECKED_STEPS = 8  # after which the runs of all peers must have come to the same numbers
WARM_UP = 0.03  # seconds at the start of each turn, in which processors and threads wake up
UNCOUNTED = 2  # calls before those that count
SAMPLE = 20e-6  # seconds: shorter calls are timed several at a time
LOOP = 20e-3  # seconds: a peer's own loop is timed for at least so long at a time, and
SPREAD = 30  # times as long as for one step, as a call of it has a cost of its own
MOST_SAMPLES = 50
BEYOND_MEMORY = "takes more than the memory there is"


class Absent(Exception):
    """A peer cannot do what was asked of it; the text is the word that says why."""


class Peer:
    """What a process can be asked to do: its public methods."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loops: dict[str, Callable[[int], Any]] = {}
        self.samples: dict[str, tuple[int, int]] = {}

    def load(self) -> None:
        """Import the library."""
        self.module = import_module(f"demos.bench.peers.{self.name}")

    def build(self, kind: str, arguments: tuple[Any, ...], seconds: float) -> dict[str, Any]:
        """Make the steps of a task, and find out how often each is called in a turn of so many seconds.

        Where each training run stands after one step, and after `CHECKED_STEPS` more.
        """
        made = getattr(self.module, kind)(*arguments)
        parts = made if isinstance(made, dict) else {"": made}
        results = {}
        for name, part in parts.items():
            own = getattr(part, "loop", None)
            loop = self.loops[name] = own or repeated(getattr(part, "step", part))
            if hasattr(part, "result"):
                part.step()
                first = part.result()
                loop(CHECKED_STEPS)
                results[name] = first, part.result()
            self.samples[name] = samples(loop, own is not None, seconds)
        return results

    def turn(self) -> dict[str, list[float]]:
        """The seconds of each counted call."""
        times: dict[str, list[float]] = {}
        end = time.perf_counter() + WARM_UP
        while time.perf_counter() < end:
            next(iter(self.loops.values()))(1)
        for name, loop in self.loops.items():
            inner, count = self.samples[name]
            for _ in range(UNCOUNTED):
                loop(1)
            times[name] = [timed(loop, inner) for _ in range(count)]
        return times

    def drop(self) -> None:
        """Forget the task."""
        self.loops, self.samples = {}, {}
        gc.collect()

    def memory(self, kind: str, small: tuple[Any, ...], arguments: tuple[Any, ...], steps: int) -> dict[str, int]:
        """Peaks in bytes, after a small run, which loads and compiles what can be, and the run itself.

        process: of all.  grown: above what was held before the small run.  own: above what was held after it; so it is
        the arrays of the run itself: weights, data, states and what a step holds.
        """
        imported, held = status("VmHWM"), status("VmRSS")
        loading = peak_growth(lambda: self.train(kind, small, steps))
        before = status("VmRSS")
        own = peak_growth(lambda: self.train(kind, arguments, steps))
        peak = max(held + loading, before + own)
        return {"process": max(imported, peak), "grown": peak - held, "own": own}

    def train(self, kind: str, arguments: tuple[Any, ...], steps: int) -> None:
        """Some steps of a training run."""
        repeated(getattr(self.module, kind)(*arguments).step)(steps)

    def growth(self, height: int, steps: int) -> dict[str, int]:
        """Bytes that the process holds after a twentieth of the steps of a small tower, and after all of them."""
        loop = self.module.towers([height], "over")[str(height)].loop
        part, held = max(1, steps // 100), []
        for count in (5, 95):
            for _ in range(count):
                loop(part)
            held.append(status("VmRSS"))
        return {"early": held[0], "late": held[1], "steps": 100 * part}

    def sweep(self, workload: Any, runs: int, steps: int, workers: int) -> float:
        """The seconds of a sweep of so many runs; one alone goes first, for which kernels are compiled."""
        sweep = self.module.sweep(workload, runs, steps, workers)
        sweep(1)
        return runs * timed(sweep, runs)

    def pools(self) -> list[dict[str, Any]]:
        """The thread pools of the libraries that are loaded."""
        from threadpoolctl import threadpool_info

        shown = ("internal_api", "architecture", "version", "num_threads", "threading_layer")
        return [{key: pool[key] for key in shown if pool.get(key)} for pool in threadpool_info()]


def repeated(step: Callable[[], Any]) -> Callable[[int], None]:
    """A loop of calls."""

    def loop(count: int) -> None:
        for _ in range(count):
            step()

    return loop


def timed(loop: Callable[[int], Any], inner: int) -> float:
    """Seconds of one step, of so many in a row."""
    begun = time.perf_counter()
    loop(inner)
    return (time.perf_counter() - begun) / inner


def samples(loop: Callable[[int], Any], own: bool, seconds: float) -> tuple[int, int]:
    """Steps in a row that make a sample, and samples that make a turn of so many seconds.

    own: whether the loop is the peer's own. Then a call of it has a cost of its own, which is to be spread out.
    """
    loop(1)
    each, inner = quickest(loop, 1), 1
    least = max(LOOP, SPREAD * each) if own else SAMPLE
    while inner * each < least / 2:
        inner *= 2
        each = quickest(loop, inner)
    inner = max(1, round(least / each))
    return inner, min(max(round(seconds / (each * inner)), 2), MOST_SAMPLES)


def quickest(loop: Callable[[int], Any], inner: int) -> float:
    """The least seconds of a step in some tries, as of replay's steps one in a while is also made eagerly."""
    return max(1e-9, min(timed(loop, inner) for _ in range(3)))


def status(key: str) -> int:
    """A line of /proc/self/status, in bytes. Raises Absent where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        raise Absent("no /proc/self/status here") from None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak_growth(run: Callable[[], Any]) -> int:
    """By how many bytes the memory in use peaks above where it was before."""
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    run()
    return max(status("VmHWM") - before, 0)


def answer(peer: Peer, command: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Whether it was done, and what came of it or the word that says why not."""
    try:
        return True, getattr(peer, command)(*arguments)
    except ModuleNotFoundError as error:
        return False, f"{error.name} is not installed"
    except Absent as error:
        return False, str(error)
    except MemoryError:
        return False, BEYOND_MEMORY
    except Exception as error:
        lines = str(error).splitlines() or [""]
        return False, f"failed: {type(error).__name__}: {lines[0][:100]}"


def main(name: str) -> None:
    """Answer what comes in, until nothing more comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives out the turns
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    peer = Peer(name)
    while True:
        try:
            command, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(answer(peer, command, arguments), out)
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
