"""Forked processes: a run that another thread was in the midst of then is not gone on with in the child."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

from ..errors import GraphError

_runs: WeakSet[Any] = WeakSet()


class Broken:
    """In place of the lock that a thread holds which a forked process does not have."""

    def __enter__(self) -> None:
        raise GraphError(
            "replay: another thread was in the midst of a step of this run when the process was forked. Fork between "
            "steps, or let the child begin from copies of params and optimizer"
        )

    def __exit__(self, *error: Any) -> None: ...


def lock_of(run: Any) -> Any:
    """A lock for a run, which keeps it as `lock`."""
    _runs.add(run)
    return threading.RLock()


def _let_go() -> None:
    """In a forked process, see which locks nobody will ever let go of."""
    for run in [*_runs]:
        if run.lock.acquire(blocking=False):
            run.lock.release()
        else:
            run.lock = Broken()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
