"""The loss asked again with other batches and weights: what a program holds as a constant must stay the same.

So a mask is found that NumPy makes of the batch, and that was all ones in the steps that were recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..core.tape import switched
from ..core.tensor import Tensor, leaf
from ..draws import Draws
from .enter import same_arguments
from .handles import Handles, array_of, spec_of
from .moment import Batch
from .places import NUMPY, Difference, equal, same_op, where
from .program import Instruction, Program
from .trace import Trace, Traced
from .visible import Visible

FIRST = {"f": (np.nan, 0.0, np.inf), "i": (None, 0, -1), "u": (None, 0, None)}  # in the first row, in turn


def probe(
    program: Program,
    functions: Sequence[Callable[..., Any] | None],
    draws: Draws,
    visible: Visible,
    batch: Batch,
) -> None:
    """Raise Difference if a constant of a program is another one with other batches and weights.

    functions: the loss and the goal.  draws: what they may draw from.  batch: that of a recorded step.
    """
    loss, goal = functions
    for turn in range(3):
        given = [_other(entry, turn) for entry in batch]
        params = {name: leaf(Tensor(_other(w.array, turn))) for name, w in visible.params.items()}
        for function, body, part in ((goal, program.bodies[0], "goal"), (loss, program.bodies[-1], "loss")):
            instructions = [i for i in body.instructions if i.part == part]
            if function is not None and instructions:
                asked = _asked(function, draws, visible, params, given, part == "loss")
                _hold(program, instructions, [event for event in asked.events if event.part == "loss"])


def _other(entry: Any, turn: int) -> Any:
    """Another entry of a batch: the rows in another order, the signs changed, and a first row unlike the others."""
    if isinstance(entry, Tensor):
        return Tensor(_other(entry.array, turn))
    if not isinstance(entry, np.ndarray):
        return entry
    kind = entry.dtype.kind
    made = np.roll(entry, 1, 0) if entry.ndim else entry.copy()
    if kind in "fb":
        made = np.asarray(-made if kind == "f" else ~made)
    first = FIRST.get(kind, (None, None, None))[turn]
    if first is not None:
        (made[:1] if made.ndim else made)[...] = first
    return made


def _asked(
    function: Callable[..., Any],
    draws: Draws,
    visible: Visible,
    params: Mapping[str, Tensor],
    batch: Batch,
    is_loss: bool,
) -> Trace:
    """What a function does, until it refuses what it is given: an error proves nothing. All else stays as it was."""
    trace = Trace(Handles(), {}, {}, batch, batch)
    carried, drawn = dict(visible.carry), draws.state()
    try:
        with suppress(Exception), switched(watcher=trace), np.errstate(all="ignore"):
            function(params, *batch, **(visible.optimizer.outside if is_loss else {}))
    finally:
        visible.carry.update(carried)
        draws.put_back(drawn)
    return trace


def _hold(program: Program, instructions: Sequence[Instruction], events: Sequence[Traced]) -> None:
    """Raise Difference at the first operation that is another one, or reads another constant."""
    for instruction, event in zip(instructions, events):
        op, site = instruction.op, where((instruction.file, instruction.line))
        if not same_op(op, event.op) or not same_arguments(instruction.call, event.call):
            raise Difference(
                f"with another batch and other weights the loss does not do {op.name} as here, {site}. A branch in "
                "Python is not recorded: write th.where, or decide it before the step"
            )
        for slot, handle in zip(instruction.reads, event.reads):
            array, known = array_of(handle), program.constants.get(slot)
            if known is not None and (array is None or not equal(known, array)):
                raise Difference(
                    f"{op.name} reads an array of shape {spec_of(handle).shape} that NumPy or Python has made of the "
                    f"batch or of weights, {site}. {NUMPY}"
                )
