"""Into a program from steps that the eager engine has made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, repeat
from typing import Any

import numpy as np

from .handles import Handle, array_of
from .places import alike, equal, same_op
from .program import Body, Instruction, Program
from .readings import Reading
from .trace import Trace, Traced


def entered(program: Program, traces: Sequence[Trace], newest: int) -> list[Any] | None:
    """The arrays of the slots after eager steps, or None if they are other steps. What is gone no later step reads.

    traces: the last one of each body.  newest: which of them is the newest.
    """
    for body, trace in zip(program.bodies, traces, strict=True):
        if not _agrees(program, [None] * len(program.slots), {}, body, trace):
            return None
    arrays = program.empty()
    for slot, (n, kind, index) in program.handed_on.items():
        arrays[slot] = array_of(_handle(traces[n], kind, index))
    for key, slot in program.keys.items():
        arrays[slot] = traces[newest].after[key]
    pairs = [(slot.spec, array) for slot, array in zip(program.slots, arrays) if array is not None]
    return arrays if all((spec.shape, spec.dtype) == (array.shape, array.dtype) for spec, array in pairs) else None


def follows(program: Program, traces: Sequence[Trace]) -> bool:
    """Whether windows were made as a program says, each operation from the arrays that it reads there.

    traces: of windows in a row. What the first one reads of earlier steps is not known.
    """
    handles: list[Handle | None] = [None] * len(program.slots)
    copies: dict[int, Handle] = {}
    return all(_agrees(program, handles, copies, *pair) for pair in zip(cycle(program.bodies), traces))


def _agrees(
    program: Program, handles: list[Handle | None], copies: dict[int, Handle], body: Body, trace: Trace
) -> bool:
    """Whether a step has made the operations that its program says, and read and left the arrays that it says.

    handles: of the slots' arrays, None where that is not known; it becomes those after the step.
    copies: by the `id` of the handle of a copy, the handle of what it is a copy of; those of the step are added.
    """
    keys = program.keys.keys()
    if len(body.instructions) != len(trace.events) or not trace.after.keys() == keys >= trace.before.keys():
        return False
    if trace.gradients.keys() != body.gradients.keys():
        return False
    if not all(map(_is_made_by, repeat(program), body.instructions, trace.events)):
        return False
    for key, array in trace.before.items():
        handles[program.keys[key]] = trace.handle(array)
    for source, target in body.moves:
        handles[target] = handles[source]
    for entry in body.batch:
        handles[entry.slot] = trace.handle((trace.batch if entry.copies else trace.taken)[entry.position])
    found = [(body.gradients[key], trace.handle(array)) for key, array in trace.gradients.items()]
    for instruction, event in zip(body.instructions, trace.events):
        found += zip(instruction.reads, event.reads)
        found += [(program.keys[key], handle) for key, handle in zip(event.keys, event.reads) if key is not None]
        for slot, handle in zip(instruction.writes, event.writes):
            handles[slot] = handle
    made, counted = dict(body.after), [key for key, slot in program.keys.items() if slot in body.counted]
    after = {key: trace.handle(array) for key, array in trace.after.items()}
    found += [(made.get(program.keys[k], program.keys[k]), handle) for k, handle in after.items() if k not in counted]
    found.append((body.loss, trace.handle(trace.loss)))
    copies |= {number: source for number, (_, source, _) in trace.copies.items()}
    there = [(handles[slot], handle) for slot, handle in found if slot not in program.constants]
    agrees = all(known is None or known is handle or known is copies.get(id(handle)) for known, handle in there)
    counts = all(trace.after[key] == trace.before[key] + 1.0 for key in counted)
    for key, slot in program.keys.items():
        handles[slot] = after[key]
    return agrees and counts


def _is_made_by(program: Program, instruction: Instruction, event: Traced) -> bool:
    """Whether an event is what an instruction does, with the same constants."""
    read = zip(instruction.reads, event.reads)
    return (
        same_op(instruction.op, event.op)
        and all(equal(program.constants[slot], array_of(handle)) for slot, handle in read if slot in program.constants)
        and same_arguments(instruction.call, event.call)
    )


def same_arguments(one: Any, other: Any) -> bool:
    """Whether arguments are the same, whatever is in their slots."""
    if isinstance(one, Reading):
        return True
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and equal(one, other)
    if type(one) is type(other) and type(one) in (tuple, list):
        return len(one) == len(other) and all(map(same_arguments, one, other))
    if type(one) is type(other) is dict:
        return one.keys() == other.keys() and all(same_arguments(one[key], other[key]) for key in one)
    return one is other or alike(one, other)


def _handle(trace: Trace, kind: str, index: Any) -> Handle:
    """What a trace has at a place."""
    if kind == "made":
        return trace.events[index[0]].writes[index[1]]
    position = index.position if kind == "copied" else index
    return trace.handle(trace.before[index] if kind == "value" else trace.batch[position])
