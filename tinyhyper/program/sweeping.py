"""Many runs of one program, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from ..core.tensor import Tensor, tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError
from ..optim.saving import twin
from ..sites import said_of
from . import native
from .batches import Batches, Histories
from .session import Session
from .visible import check_run

Start = tuple[dict[str, Tensor], Optimizer]


def copies(starts: Any, names: Collection[str], goal: Any) -> list[Start]:
    """Runs of their own that begin where others are. Raises DtypeError or ArgumentError for anything else.

    names: of the params that the loss takes.  goal: what the levels above descend; None for the loss.
    """
    found = []
    for n, start in enumerate(starts):
        with said_of(f"sweep: starts[{n}]"):
            if not isinstance(start, tuple) or len(start) != 2:
                raise ArgumentError(f"a start must be a pair (params, optimizer), not {type(start).__name__}")
            params, optimizer = start
            if not isinstance(params, Mapping) or not isinstance(optimizer, Optimizer):
                raise DtypeError("a start must be a pair (params, optimizer): a dict of named tensors, and a tower")
            check_run({**params}, optimizer, goal)
            if params.keys() != {*names}:
                raise ArgumentError(f"params must have the names {', '.join(names)}, not {', '.join(map(str, params))}")
            own = {name: tensor(w.numpy(), requires_grad=True) for name, w in params.items()}
            found.append((own, twin(optimizer)))
    return found


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Let kernels and BLAS use one thread each."""
    if native.machine is None:
        yield
        return
    threads = native.machine.threads
    before = threads.num_threads()
    threads.set_num_threads(1)
    try:
        yield
    finally:
        threads.set_num_threads(before)


def side_by_side(calls: Sequence[Callable[[], Any]], workers: int | None) -> list[Any]:
    """What all calls give, made by threads."""
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return [*pool.map(lambda call: call(), calls)]


def all_steps(run: Session, batches: Batches, turn: AbstractContextManager[Any]) -> np.ndarray:
    """Make all steps of a run; the losses.

    turn: held by one run at a time, until it has a program. Python computes for one run alone whatever the threads. So
    while one begins the others go on, and none waits in the midst of its beginning, which would set them all in step.
    """
    count, made = len(batches), 0
    losses, histories = np.empty(count), Histories(run.visible, (), count)
    with turn:
        while made < count and run.learner.program is None:
            made += run.some(batches, made, count, losses, histories)
    while made < count:
        made += run.some(batches, made, count, losses, histories)
    run.show()
    run.visible.watch()
    return losses
