"""Where, how and on which data a run was made; and the same of many runs, as a paragraph."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import tinyhyper as th
from tinyhyper.kernels.threads import available

from ..bench.machine import cpuinfo
from .run import Line, Place

QUICK = "**A quick part: fewer runs and fewer steps than published, so the numbers are others.** "
MOST = 1 << 25  # bytes of an array that are hashed; of a larger one, every nth row


@cache
def fingerprint(kind: str, folder: Path | None) -> str | None:
    """A short hash of what a kind's `load` gives, None for a kind without. Raises DataError."""
    load = getattr(import_module(kind), "load", None)
    return None if load is None else digest(load(folder))


def digest(parts: Iterable[Any]) -> str:
    """A short hash of arrays and texts: their types, shapes and bytes."""
    found = hashlib.blake2b(digest_size=6)
    for part in parts:
        array = np.frombuffer(part.encode(), np.uint8) if isinstance(part, str) else np.asarray(part)
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array[:: 1 + array.nbytes // MOST]).data)
    return found.hexdigest()


@cache
def machine() -> dict[str, Any]:
    """The processor, how many cores this process may use, and versions."""
    return {
        "processor": cpuinfo()[0],
        "cores": available(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "tinyhyper": th.__version__,
    }


def of(seconds: float, place: Place) -> dict[str, Any]:
    """The record of a run that has just ended."""
    known = {"threads": place.threads, "command": place.command, "data": place.fingerprint}
    return {"seconds": seconds, "ended": time.time(), **known, **machine()}


def busy(lines: Sequence[Line]) -> float:
    """Seconds during which at least one of the runs was under way."""
    spans = sorted((line.record["ended"] - line.record["seconds"], line.record["ended"]) for line in lines)
    total, reached = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def duration(seconds: float) -> str:
    """As a person says it: "48 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def each(lines: Sequence[Line], form: str) -> str:
    """The different texts that the records of the lines give, in the order of the lines."""
    return ", ".join(dict.fromkeys(form.format(**line.record) for line in lines))


def provenance(lines: Sequence[Line]) -> str:
    """A paragraph of Markdown: the command, steps, seeds, machine, versions, and how long it took."""
    if not lines:
        return "No run is finished yet."
    quick = any("--quick" in line.record["command"].split() for line in lines)
    steps = ", ".join(f"{count:,}" for count in sorted({line.run.steps for line in lines}))
    seeds = ", ".join(map(str, sorted({line.run.seed for line in lines})))
    return (
        f"{QUICK if quick else ''}Made by {each(lines, '`{command}`')}. Steps a run: {steps}. Seeds: {seeds}. "
        f"Machine: {each(lines, '{processor}, cores: {cores}')} ({each(lines, '{system}')}), threads a run: "
        f"{each(lines, '{threads}')}; Python {each(lines, '{python}')}, NumPy {each(lines, '{numpy}')}, "
        f"tinyhyper {each(lines, '{tinyhyper}')}. Runs: {len(lines)}, in {duration(busy(lines))} "
        f"({duration(sum(line.record['seconds'] for line in lines))} one after the other)."
    )
