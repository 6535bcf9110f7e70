"""numba, which takes as long to import as all else together. So it is imported late: small arrays do without it."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@functools.cache
def import_numba() -> None:
    """Import numba, whole: half of it would stay if Ctrl-C ended that, and no later import would mend it."""
    with uninterrupted():
        import numba  # noqa: F401


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C act only when the block is over. Python lets it act in the main thread alone."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:  # None: set by another than Python
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number in came[:1]:
            signal.raise_signal(number)
