"""Into a program from steps that the eager engine has made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .places import same_op
from .program import Program
from .trace import Trace


def entered(program: Program, traces: Sequence[Trace], newest: int) -> list[Any] | None:
    """The arrays of the slots after eager steps, or None if they are other steps.

    traces: the last one of each body.  newest: which of them is the newest.
    """
    arrays = program.empty()
    for body, trace in zip(program.bodies, traces, strict=True):
        if len(body.instructions) != len(trace.events) or trace.after.keys() != program.keys.keys():
            return None
        if not all(same_op(i.op, event.op) for i, event in zip(body.instructions, trace.events)):
            return None
    for slot, (n, kind, index) in program.kept.items():
        arrays[slot] = _array(traces[n], kind, index)
    for key, slot in program.keys.items():
        arrays[slot] = traces[newest].after[key]
    pairs = [(slot.spec, array) for slot, array in zip(program.slots, arrays) if array is not None]
    return arrays if all((spec.shape, spec.dtype) == (array.shape, array.dtype) for spec, array in pairs) else None


def _array(trace: Trace, kind: str, index: Any) -> np.ndarray:
    """What a trace has at a place."""
    if kind == "value":
        return trace.before[index]
    if kind == "made":
        return trace.events[index[0]].writes[index[1]]
    position = index.position if kind == "copied" else index
    return trace.batch[position]
