"""From eager steps to a program: a step is recorded until two windows that follow one another are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..closures import Closure
from ..core.tape import switched
from ..core.tensor import Tensor
from ..draws import Draws
from ..errors import GraphError
from ..sites import warn
from .build import Builder
from .enter import entered, follows
from .handles import Handles
from .moment import Batch, LastCut, Moment, Since
from .places import Difference
from .probing import probe
from .program import Program
from .runners import arrays_in, own
from .trace import Trace
from .values import Key
from .visible import Visible

CHANGES = (
    "The loss reads, beside its arguments, a value that changes at each step; this time its type is {}. Give it to the "
    "step with the batch. What the loss keeps for its next call, such as the state of a recurrent net, belongs in "
    "carry=. What it only notes, such as losses in a list, take from what train returns"
)
IN_WINDOW = (
    "replay: what the loss closes over has changed within a window of {} steps. The hypergradient needs the graphs of "
    "its last {}, which cannot be made again with what it was. "
)
DROPPED = (
    "The run stands after the window's first step; what came after is dropped. Give what changes to the step with the "
    "batch"
)
GONE = (
    "Nothing is dropped. Let what has changed be as it was, by model.train() for one, and ask again. For a look at the "
    "model th.no_grad() is enough"
)
NUMBER = (
    "replay: a number among the arguments of the loss changes at each step, and a program holds it as a constant. "
    "So each step is eager. Give it as an array of the weights' dtype, such as np.array(0.5, np.float32)"
)
SLOW = 8  # steps with other numbers, one after another, after which that is told
TRIES = 4  # windows that may differ from the one before, one after another, until replay is refused


class Learner:
    """What is known of a loss from its last steps.

    reads: the functions that a step calls, the loss and what the levels above descend.
    period: how many steps a window has.  apart: what the loss may read though it changes.
    program: what two windows have done, None until they were the same.  signature: of the batches that it is for.
    alike: the arrays of the batch, if all recorded ones were the same.
    known: a program that may be that of the loss; it is, if two windows follow it.
    is_stale: whether what the loss closes over is another thing than at the last steps.
    """

    def __init__(
        self,
        reads: Sequence[Callable[..., Tensor] | None],
        period: int,
        apart: Sequence[Any],
        known: Program | None = None,
    ) -> None:
        self.program: Program | None = None
        self.signature: tuple[Any, ...] = ()
        self.alike: list[Any] | None = None
        self._missed = 0  # steps that the program could not make since it has made one
        self._handles = Handles()
        self.is_stale = False
        self._period, self._tries, self._known = period, 0, known
        self._refused: GraphError | None = None
        self._last: tuple[Any, ...] = ()  # the signature of the last step
        self._has_changed = False  # whether what the loss closes over has, since then
        self._unlike = self._others = 0  # steps, one after another, before which that has, or with other numbers
        self._traces: list[tuple[int, Trace]] = []
        self._reads, self._closure = reads, Closure(reads, apart)
        self._closure.changed()  # from now on

    def look(self) -> None:
        """Forget the program if what the loss closes over has changed; the steps before cannot be made again then."""
        if self._closure.changed():
            self.is_stale, self._has_changed = True, True
            self.forget()

    def has_changed(self) -> bool:
        """Whether what the loss closes over is another thing than at the last steps; nothing is forgotten."""
        return self.is_stale or self._closure.differs()

    def draws(self) -> Draws:
        """What the loss may draw from."""
        return Draws(self._closure.generators)

    def check(self) -> None:
        """Raise GraphError if there will be no program."""
        if self._refused is not None:
            raise self._refused

    def made(self) -> None:
        """The program has made a step."""
        self._missed = self._unlike = self._others = 0

    def _compare(self, signature: tuple[Any, ...]) -> None:
        """Refuse the run if what the loss closes over has changed before each of the last steps; warn, once, if a
        number among its arguments has."""
        self._unlike = self._unlike + 1 if self._has_changed else 0
        if self._unlike > TRIES:
            self._refuse(CHANGES.format(self._closure.kind))
        is_other = len(signature) == len(self._last) and any(map(_is_another_number, signature, self._last))
        self._others = self._others + 1 if is_other else 0
        if self._others == SLOW:
            warn(NUMBER)
        self._last, self._has_changed = signature, False

    def _refuse(self, why: str) -> None:
        self._refused = GraphError(
            f"replay: no two steps are alike, so there is no program. The steps before this one were made. {why}"
        )

    def forget(self) -> None:
        """The program is not that of the loss, or the steps were not recorded: begin anew."""
        self.program, self._traces = None, []

    def lose(self) -> None:
        """A step was made that is not recorded: what comes does not follow on what was."""
        self._traces = []

    @contextmanager
    def recording(self, visible: Visible, batch: Batch, asks: bool) -> Iterator[Trace]:
        """Note the operations of a step; if it raises an error, what comes does not follow on what was.

        asks: whether it begins with a goal.
        """
        trace = Trace(self._handles, visible.tensors(), visible.arrays(), tuple(map(own, batch)), batch, asks)
        try:
            with switched(watcher=trace):
                yield trace
        except BaseException:
            self.lose()
            raise

    def _begin_anew(self, why: str) -> None:
        """Record again, unless that has failed too often."""
        self.program, self._traces, self._tries = None, self._traces[-2 * self._period :], self._tries + 1
        if self._tries > TRIES:
            self._refuse(why)

    def learn(self, n: int, trace: Trace, signature: tuple[Any, ...], visible: Visible) -> bool:
        """Take note of step n of a window. True if that has made a program."""
        self._compare(signature)
        self._missed += 1
        if self._missed > TRIES * self._period:  # the steps are others now
            self.program = None
        if self.program is None and signature != self.signature:
            self.signature, self._traces = signature, []
        period = self._period
        self._traces = [*self._traces[1 - 3 * period :], (n, trace)]
        in_order = [m for m, _ in self._traces] == [(n - ago) % period for ago in reversed(range(len(self._traces)))]
        self._traces = self._traces if in_order else [(n, trace)]
        traces = [trace for _, trace in self._traces]
        if self.program is not None or n != period - 1 or len(traces) < 2 * period:
            return False
        if self._goes_on_as_known(traces[-2 * period :]):
            self.program, self.alike = self._known, None
        elif len(traces) < 3 * period:
            return False
        else:
            try:
                self.program = self._built(traces, visible)
            except Difference as error:
                self._begin_anew(str(error))
                return False
            first, *rest = [trace.given for trace in traces]
            self.alike = arrays_in(first) if first and all(_same(first, batch) for batch in rest) else None
        self._tries = self._missed = 0
        return True

    def is_new(self, batch: Batch) -> bool:
        """Whether a batch is another than all recorded ones, which were the same; False if they differed."""
        if self.alike is not None:
            for known, entry in zip(self.alike, batch):
                array = entry.array if isinstance(entry, Tensor) else entry
                if array is not known and np.asarray(array).tobytes() != np.asarray(known).tobytes():
                    return True
        return False

    def _goes_on_as_known(self, traces: Sequence[Trace]) -> bool:
        """Whether the windows of these traces follow the program that is known."""
        known = self._known
        if known is None or len(known.bodies) != self._period:
            return False
        fills = any(instruction.fills for body in known.bodies for instruction in body.instructions)
        return not fills and follows(known, traces)

    def _built(self, traces: Sequence[Trace], visible: Visible) -> Program:
        """The program that the windows of these traces follow. Raises Difference where there is none."""
        program = Builder(traces, self._period).program()
        if not follows(program, traces):  # only then is a run that takes a known program as soon where it has its own
            raise Difference("a run begins with another step than the one that follows")
        probe(program, self._reads, self.draws(), visible, traces[-1].given)
        return program

    def count_alike(self, stacks: Sequence[np.ndarray], steps: int) -> int:
        """How many of some steps, from the first on, have the batch that all recorded ones had; all if these differed.

        stacks: of each entry of the batch.
        """
        if self.alike is None:
            return steps
        pairs = zip(stacks, self.alike)
        alike = np.all([(stack == entry).reshape(len(stack), -1).all(1) for stack, entry in pairs], 0)
        return len(alike) if alike.all() else int(np.argmin(alike))

    def moment(self, n: int, steps: int) -> Moment | None:
        """Where the program stands after the last step, which was step n of a window; None if that was another step.

        steps: of the window.
        """
        if self.program is None or len(self._traces) < self._period:
            return None
        latest = [trace for _, trace in sorted(self._traces[-self._period :], key=lambda pair: pair[0])]
        if (arrays := entered(self.program, latest, n)) is None:
            return None
        cut = LastCut(latest[0].before, latest[0].gradients, latest[0].after)
        row = [trace for _, trace in self._traces[len(self._traces) - n - 1 :]]
        since = tuple([Since(_set(*pair), pair[1].given) for pair in zip(row, row[1:])])
        return Moment(self.program.keys, arrays, lambda: cut, since, steps)


def _is_another_number(one: Any, other: Any) -> bool:
    """Whether entries of two signatures are numbers, and not the same."""
    return isinstance(one, (int, float, np.generic)) and type(one) is type(other) and one != other


def _set(one: Trace, other: Trace) -> dict[Key, np.ndarray]:
    """The values that were set by hand between two calls."""
    return {key: array for key, array in other.before.items() if array is not one.after.get(key)}


def _same(one: Batch, other: Batch) -> bool:
    """Whether two batches of one signature hold the same."""
    return all(x is y or np.array_equal(*arrays_in([x, y])) for x, y in zip(one, other))
