"""The curves of a run over its steps: the loss, each hyperparameter, the memory that is alive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Protocol, TypeAlias

from ..naming import LOSS
from .figure import STEP_NUMBER
from .names import named
from .records import Recording

Point: TypeAlias = tuple[int, float | None]  # None where the step was skipped
MEMORY = "memory alive, bytes"


class MemoryAfter(Protocol):
    """What was alive after a step."""

    step: int
    bytes: int


@dataclass(slots=True)
class Curve:
    """A number over the steps. beside: that of another run, at the steps of this one."""

    name: str
    points: list[Point]
    beside: list[Point]


def curves(tape: Recording, alive: Sequence[MemoryAfter]) -> dict[str, list[Point]]:
    """The curves of one run by their names: the loss, the hyperparameters from the bottom up, the memory.

    alive: what was alive after each step.
    """
    losses: dict[int, float | None] = {}
    for loss in sorted({node.loss for node in tape.nodes if node.loss is not None}):
        step, value = tape.node(loss).step, tape.output(loss).number
        if value is not None:
            losses[step] = value if isfinite(value) or step + 1 not in tape.skipped else None
    tuned: dict[tuple[int, str], dict[int, float | None]] = defaultdict(dict)
    for node in tape.nodes:
        for n, output in enumerate(node.outputs if node.kind != "constant" else ()):
            label = output.label
            if label is not None and label.role == "hyperparameter" and (label.role, label.name) != STEP_NUMBER:
                value = None if tape.dropped((node.number, n)) else output.number
                tuned[label.level, named(label).title][node.step] = value
    memory: dict[int, float | None] = {now.step: now.bytes for now in alive if now.step <= tape.steps}
    levels = sorted(tuned, key=lambda key: key[0])
    found = {LOSS.name: losses, **{name: tuned[level, name] for level, name in levels}, MEMORY: memory}
    return {name: sorted(values.items()) for name, values in found.items()}


def together(first: dict[str, list[Point]], other: dict[str, list[Point]], at: int) -> list[Curve]:
    """The curves that have at least two points, each with that of another run, which began at a step of the first."""
    found = [
        Curve(name, first.get(name, []), [(at + step, value) for step, value in other.get(name, [])])
        for name in dict.fromkeys([*first, *other])
    ]
    return [curve for curve in found if max(len(curve.points), len(curve.beside)) > 1]
