"""A line for whoever waits at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import perf_counter

LATE, EVERY = 2.0, 0.5  # seconds until the line appears, and from one to the next


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on stderr what the block does, and for how many seconds, once it takes two; nothing where no terminal is."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = Event()
    teller = Thread(target=_tell, args=(text, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(text: str, done: Event) -> None:
    start, line = perf_counter(), ""
    while not done.wait(EVERY if line else LATE):
        line = f"{text}, {perf_counter() - start:.0f} s"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
    if line:
        print(f"\r{' ' * len(line)}\r", end="", file=sys.stderr, flush=True)
