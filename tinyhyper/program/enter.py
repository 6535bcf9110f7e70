"""Into a program from steps that the eager engine has made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, repeat
from typing import Any

import numpy as np

from .places import alike, equal, is_copy, same_op, shows
from .program import Body, Instruction, Program
from .readings import Reading
from .trace import Event, Trace


def entered(program: Program, traces: Sequence[Trace], newest: int) -> list[Any] | None:
    """The arrays of the slots after eager steps, or None if they are other steps.

    traces: the last one of each body.  newest: which of them is the newest.
    """
    arrays = program.empty()
    for body, trace in zip(program.bodies, traces, strict=True):
        known = program.empty()
        for key in trace.before.keys() & program.keys.keys():
            known[program.keys[key]] = trace.before[key]
        if not _agrees(program, known, body, trace):
            return None
    for slot, (n, kind, index) in program.kept.items():
        arrays[slot] = _array(traces[n], kind, index)
    for key, slot in program.keys.items():
        arrays[slot] = traces[newest].after[key]
    pairs = [(slot.spec, array) for slot, array in zip(program.slots, arrays) if array is not None]
    return arrays if all((spec.shape, spec.dtype) == (array.shape, array.dtype) for spec, array in pairs) else None


def follows(program: Program, traces: Sequence[Trace]) -> bool:
    """Whether windows were made as a program says, each operation from the arrays that it reads there.

    traces: of these windows, and of one before them.
    """
    length = len(program.bodies)
    fills = any(i.fills for body in program.bodies for i in body.instructions)
    arrays = None if fills else entered(program, traces[:length], length - 1)
    later = zip(cycle(program.bodies), traces[length:])
    return arrays is not None and all(_agrees(program, arrays, *pair) for pair in later)


def _agrees(program: Program, arrays: list[Any], body: Body, trace: Trace) -> bool:
    """Whether a step has made the operations that its program says, and read and left the arrays that it says.

    arrays: of the slots, None where that is not known; it becomes those after the step.
    """
    keys = program.keys.keys()
    if len(body.instructions) != len(trace.events) or not trace.after.keys() == keys >= trace.before.keys():
        return False
    if not all(map(_is_made_by, repeat(program), body.instructions, trace.events)):
        return False
    for source, target in body.moves:
        arrays[target] = arrays[source]
    for entry in body.batch:
        arrays[entry.slot] = trace.batch[entry.position]
    found: list[tuple[int, Any]] = [(program.keys[key], array) for key, array in trace.before.items()]
    found += [(slot, trace.gradients.get(key)) for key, slot in body.gradients.items()]
    for instruction, event in zip(body.instructions, trace.events):
        found += zip(instruction.reads, event.reads)
        found += [(program.keys[key], array) for key, array in zip(event.keys, event.reads) if key is not None]
        for slot, array in zip(instruction.writes, event.writes):
            arrays[slot] = array
    made, counted = dict(body.after), [key for key, slot in program.keys.items() if slot in body.counted]
    found += [(made.get(program.keys[k], program.keys[k]), x) for k, x in trace.after.items() if k not in counted]
    copied = {slot for key, slot in program.keys.items() if key[0] == "carry"}
    copied |= {entry.slot for entry in body.batch if entry.copies}
    constant = program.constants.keys()  # which are the same
    found = [(slot, x) for slot, x in (*found, (body.loss, trace.loss)) if slot not in constant]
    there = [(arrays[slot], x, slot in copied) for slot, x in found]
    agrees = all(known is None or shows(x, known) or copies and is_copy(x, known) for known, x, copies in there)
    counts = all(trace.after[key] == trace.before[key] + 1.0 for key in counted)
    for key, slot in program.keys.items():
        arrays[slot] = trace.after[key]
    return agrees and counts and trace.gradients.keys() == body.gradients.keys()


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
