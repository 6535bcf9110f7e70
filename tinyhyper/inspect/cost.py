"""What a step of a recording costs: nodes, cuts, bytes that the graph keeps, and time."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any, NamedTuple

from ..plain import short
from .memory import alive
from .records import Recording
from .timeline import amount

FEWEST = 3  # windows whose median is a time


class Cost(NamedTuple):
    """What a step costs, in words. kept: after the step that keeps most; None while the recording is open.

    time: of the operations of a warm step; None if too few steps are warm.
    """

    nodes: str
    cuts: str
    kept: str | None
    time: str | None


def cost(tape: Recording) -> Cost:
    """What a step of a recording costs, or all of a recording without steps: nodes and cuts on average."""
    nodes, cuts = (f"{len(rows) / max(tape.steps, 1):.3g}" for rows in (tape.nodes, tape.cuts))
    kept = amount(max(now.bytes for now in alive(tape)[: tape.steps or 1])) if tape.closed else None
    time = seconds(tape)
    return Cost(nodes, cuts, kept, None if time is None else duration(time))


def seconds(tape: Recording) -> float | None:
    """How long the operations of a warm step take: the median of the windows; None if too few of them are warm.

    A step is warm if each of its operations was called in an earlier step for outputs of the same shapes: the first
    call of an operation may compile its kernel.
    """
    called: set[Any] = set()
    times: list[float] = []
    for begin, end in list(zip([0, *tape.ends], tape.ends))[: tape.steps]:
        taken = {node.number: node.seconds for node in tape.nodes[begin:end] if node.seconds is not None}
        new = {(node.op, *(output.shape for output in node.outputs)) for node in map(tape.nodes.__getitem__, taken)}
        if taken and new <= called:
            times.append(sum(taken.values()))
        called |= new
    long = tape.horizon or 1
    windows = [fmean(times[n : n + long]) for n in range(0, len(times) - long + 1, long)]
    return median(windows) if len(windows) >= FEWEST else None


def duration(time: float) -> str:
    """A number of seconds in two digits."""
    for unit in ("s", "ms"):
        if time >= 1:
            return f"{float(short(time, 2)):g} {unit}"
        time *= 1000
    return f"{float(short(time, 2)):g} µs"
