"""Into a program from steps that the eager engine has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .places import alike, equal, same_op
from .program import Instruction, Program
from .readings import Reading
from .trace import Event, Trace


def entered(program: Program, traces: Sequence[Trace], newest: int) -> list[Any] | None:
    """The arrays of the slots after eager steps, or None if they are other steps.

    traces: the last one of each body.  newest: which of them is the newest.
    """
    arrays = program.empty()
    for body, trace in zip(program.bodies, traces, strict=True):
        if len(body.instructions) != len(trace.events) or trace.after.keys() != program.keys.keys():
            return None
        if not all(_is_made_by(program, *pair) for pair in zip(body.instructions, trace.events)):
            return None
    for slot, (n, kind, index) in program.kept.items():
        arrays[slot] = _array(traces[n], kind, index)
    for key, slot in program.keys.items():
        arrays[slot] = traces[newest].after[key]
    pairs = [(slot.spec, array) for slot, array in zip(program.slots, arrays) if array is not None]
    return arrays if all((spec.shape, spec.dtype) == (array.shape, array.dtype) for spec, array in pairs) else None


def _is_made_by(program: Program, instruction: Instruction, event: Event) -> bool:
    """Whether an event is what an instruction does, with the same constants."""
    read = zip(instruction.reads, event.reads)
    return (
        same_op(instruction.op, event.op)
        and all(equal(program.constants[slot], array) for slot, array in read if slot in program.constants)
        and _same_arguments(instruction.call, event.call)
    )


def _same_arguments(one: Any, other: Any) -> bool:
    """Whether arguments are the same, whatever is in their slots."""
    if isinstance(one, Reading):
        return True
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and equal(one, other)
    if type(one) is type(other) and type(one) in (tuple, list):
        return len(one) == len(other) and all(map(_same_arguments, one, other))
    if type(one) is type(other) is dict:
        return one.keys() == other.keys() and all(_same_arguments(one[key], other[key]) for key in one)
    return one is other or alike(one, other)


def _array(trace: Trace, kind: str, index: Any) -> np.ndarray:
    """What a trace has at a place."""
    if kind == "value":
        return trace.before[index]
    if kind == "made":
        return trace.events[index[0]].writes[index[1]]
    position = index.position if kind == "copied" else index
    return trace.batch[position]
