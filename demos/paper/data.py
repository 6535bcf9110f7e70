"""What data a kind of training has found: whether it is there, which it is, and runs to its measure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .run import Run

MOST = 1 << 25  # bytes of an array that are looked at; of a larger one, every nth row


def ready(kind: str, folder: Path | None) -> None:
    """See that a kind can use the data at hand, where that takes more than `load` does. Raises DataError."""
    getattr(import_module(kind), "ready", lambda folder: None)(folder)


def fitted(run: Run, folder: Path | None) -> Run:
    """The run as its kind makes it of the data at hand; of the usual data it is the same. Raises DataError."""
    return getattr(import_module(run.kind), "fitted", lambda run, folder: run)(run, folder)


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
