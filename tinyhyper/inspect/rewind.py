"""Rewind: from any step of a recording a run begins anew, to go on otherwise."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

from ..arguments import whole
from ..checkpoint.past import Past, past
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from ..optim.boundary import Carry, carry
from ..optim.horizon import Window
from ..optim.saving import twin
from .records import Recording

Run = tuple[Mapping[str, Tensor], Optimizer]


class Pasts:
    """What a recording holds of its run before each step. No array of it is a copy. held: whether it holds anything."""

    def __init__(self, held: bool) -> None:
        self.held = held
        self._found: dict[int, Past] = {}
        self._run: tuple[Mapping[str, Tensor], weakref.ref[Optimizer]] | None = None
        self._skipped = 0  # steps, when the run was noted last
        self._levels: list[weakref.ref[Optimizer]] = []
        self._tower: Optimizer | None = None  # of these levels
        self._cut: tuple[tuple[int, int], Carry] | None = None  # a step that cut: the counts after it, what it has read

    def note(self, step: int, params: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        """A step of the optimizer would move these now."""
        self._run, self._skipped = (params, weakref.ref(optimizer)), optimizer.skipped
        if not self.held:
            return
        self._found[step] = self._now(params, optimizer)
        window = optimizer.hooks[Window]
        if window.cuts and window.horizon != 1:
            self._cut = (window.steps + 1, optimizer.t + 1), carry(optimizer.levels, params)

    def skipped(self) -> bool:
        """Whether the run has skipped the step that was noted last."""
        return (run := self._alive()) is not None and run[1].skipped > self._skipped

    def close(self, steps: int) -> Run | None:
        """Forget the run; it is what is given, if it is still there."""
        self._found, run = self.found(steps), self._alive()
        self._run, self._levels = None, []
        return run

    def found(self, steps: int) -> dict[int, Past]:
        """The run before each step, and as it is now, after so many of them."""
        run = self._alive()
        return self._found | {steps: self._now(*run)} if self.held and run is not None else self._found

    def _alive(self) -> Run | None:
        """The run that has stepped last."""
        if self._run is None or (optimizer := self._run[1]()) is None:
            return None
        return self._run[0], optimizer

    def _now(self, params: Mapping[str, Tensor], optimizer: Optimizer) -> Past:
        levels = optimizer.levels
        if self._tower is None or [ref() for ref in self._levels] != [*levels]:
            self._levels, self._tower, self._cut = [*map(weakref.ref, levels)], twin(optimizer), None
        counts, cut = self._cut or (None, None)
        followed = counts == (optimizer.hooks[Window].steps, optimizer.t)
        return past(params, optimizer, self._tower, cut if followed else None)


def rewind(tape: Recording, step: int) -> Run:
    """New (params, optimizer), as they were before the loss of a step, to go on otherwise from there.

    step: its number, as the printed tape counts; 0 is where the recording began, and the last is where it ended.
    The step before is made again for its edge, so the next hypergradients are those of the recorded run, which stays
    as it is. Where several towers take turns, the one that moves next is given.
    Raises ArgumentError for a step that is not there, for a recording with rewind=False and for a tape read from JSON;
    GraphError where the run hangs on more than its last step: within a window of the horizon, and where weights were
    computed between two steps.
    """
    step = whole("rewind: step", step, 0)
    if tape.pasts is None:
        raise ArgumentError(
            "rewind: this recording was read from JSON, which holds no arrays of the run; use the recording itself"
        )
    if not tape.pasts.held:
        raise ArgumentError("rewind: th.record(rewind=False) held no arrays of the run: record it without rewind=False")
    found: dict[int, Past] = tape.pasts.found(tape.steps)
    if step not in found:
        there = f"steps {min(found)} to {max(found)}" if found else "no steps"
        raise ArgumentError(f"rewind: step={step}: this recording holds {there} of an optimizer")
    if found[step].refusal is not None:
        before = [n for n in found if n < step and found[n].refusal is None]
        hint = f". Rewind to step {max(before)}, and make the steps from there again" if before else ""
        raise GraphError(f"rewind: step {step} {found[step].refusal}{hint}")
    return found[step].begin()
