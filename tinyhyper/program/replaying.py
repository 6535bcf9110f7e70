"""`th.replay`: a training step that is recorded, and from then on run as a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import whole
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, DtypeError
from ..sites import said_of
from .batches import Batches, Histories
from .program import Program
from .session import Known, Session
from .sweeping import all_steps, copies, on_one_thread, side_by_side
from .visible import check_run


class Replay:
    """A training step, made by `replay`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    if TYPE_CHECKING:  # attached from the table of tinyhyper.inspect
        def profile(self, *batch: Any, repeat: int = 20) -> Any: ...

    def __repr__(self) -> str:
        loss, program = self._session.loss, self.program
        shown = "no program yet" if program is None else repr(program)
        return f"<Replay of {getattr(loss, '__name__', type(loss).__name__)}, {shown}>"

    @property
    def program(self) -> Program | None:
        """What the step does; None until it has been recorded."""
        return self._session.learner.program

    def __call__(self, *batch: Any) -> float:
        """Make one step; returns the loss.

        batch: what the loss takes after params: arrays, tensors, plain values.
        Raises GraphError where steps differ in what they compute, so that no program can be made of them, and where the
        program is found to compute something else than the loss does now.
        """
        session = self._session
        with session.lock:
            try:
                loss = session.step(batch)
                session.show()
                return loss
            except BaseException:
                session.settle()
                raise

    def over(
        self,
        *stacks: Any,
        index: Any = None,
        steps: int | None = None,
        keep: Sequence[str] = (),
        every: int | None = None,
        call: Callable[[int, np.ndarray], Any] | None = None,
    ) -> Any:
        """Make many steps; returns the losses, or the losses and a dict of histories if `keep` names any.

        stacks: of each argument that the loss takes after params, what it is at each step: an array of any dtype and of
        shape (steps, ...).
        index: integers, (steps, batch). Then the stacks are whole data sets, of which each step takes these rows.
        steps: how many, an integer, where the loss takes no batch.
        keep: hyperparameters, such as "alpha" or "kappa", the alpha of level 1; a history is the value after each step.
        every, call: call(made, losses) after every so many steps, an integer >= 1, and after the last one, after that
            alone without `every`; if it returns something true, no more are made.
        Losses and histories are float64, of shape (steps,).
        Raises as a call does, and ArgumentError or ShapeError where the arguments do not fit together, DtypeError for
        stacks that are not of numbers.
        """
        with self._session.lock:
            session, batches = self._session, Batches(stacks, index, steps, "over")
            if call is None and every is not None:
                raise ArgumentError("over: every= needs call=, the function that is called so often")
            if call is not None and not callable(call):
                raise ArgumentError(f"over: call must be a function, call(made, losses), not a {type(call).__name__}")
            count, made = len(batches), 0
            losses, histories = np.empty(count), Histories(session.visible, keep, count)
            pause = count if every is None else whole("over: every", every)
            try:
                while made < count:
                    made += session.some(batches, made, min(count, made - made % pause + pause), losses, histories)
                    if call is not None and (made % pause == 0 or made == count):
                        session.show()
                        session.visible.watch()
                        if call(made, losses[:made].copy()):
                            break
                session.show()
            except BaseException:
                session.settle()
                raise
            finally:
                session.visible.watch()
            return (losses[:made], histories.values(made)) if keep else losses[:made]

    def sweep(
        self,
        starts: Iterable[tuple[Mapping[str, Tensor], Optimizer]],
        batches: Sequence[Any] = (),
        *,
        index: Any = None,
        steps: int | None = None,
        workers: int | None = None,
    ) -> tuple[np.ndarray, list[tuple[dict[str, Tensor], Optimizer]]]:
        """Many runs of this step side by side, each on one thread: of other seeds, or other hyperparameters.

        starts: pairs (params, optimizer), from copies of which the runs begin; params have the names, shapes and dtypes
        of this run's.
        batches, index, steps: arrays and integers as `over` takes them, batches of shape (steps, ...) and an index
        (steps, batch); all runs have the same.
        workers: how many runs there are at a time, an integer >= 1; as many as processors if None.
        Returns the losses, (runs, steps), and for each run its params and optimizer. This run stays where it is.
        Raises as `over` does, and ArgumentError or DtypeError for a start that is not such a pair, or that `replay`
        would refuse. The error of a run, and a warning, says of which start it is.
        """
        session = self._session
        if session.visible.carry:
            raise ArgumentError("sweep: a loss with carry= belongs to one run; make each run by a replay of its own")
        if not isinstance(batches, (tuple, list)):
            kind = type(batches).__name__
            raise ArgumentError(f"sweep: batches must be a tuple of stacks, such as (xs, ys) or (xs,), not a {kind}")
        workers = workers if workers is None else whole("sweep: workers", workers)
        runs, turn = copies(starts, session.visible.params.keys(), session.goal), Lock()
        rows = Batches(batches, index, steps, "sweep")

        def make(n: int, known: Known | None) -> tuple[Session, np.ndarray]:
            with said_of(f"sweep: starts[{n}]"):
                exact, verify, alike = session.exact, session.verify, session.side_by_side
                made = Session(session.loss, *runs[n], {}, exact, verify, alike, known, session.goal)
                return made, all_steps(made, rows, turn)

        with session.lock, on_one_thread():
            known = session.known()
            first = [make(0, None)] if runs and known is None else []
            known = first[0][0].known() if first else known
            rest = side_by_side([partial(make, n, known) for n in range(len(first), len(runs))], workers)
        return np.array([losses for _, losses in (*first, *rest)]).reshape(len(runs), len(rows)), runs


def replay(
    loss: Callable[..., Tensor],
    params: MutableMapping[str, Tensor],
    optimizer: Optimizer,
    *,
    goal: Callable[..., Tensor] | None = None,
    carry: MutableMapping[str, Any] | None = None,
    exact: bool = False,
    verify: int | None = None,
    side_by_side: bool = False,
) -> Replay:
    """A training step that is recorded once, and then run as a program.

    loss: loss(params, *batch), a scalar tensor, which also takes what the tower has outside, by name.
    params: tensors by name, of any shape, float32 or float64, which each step replaces.
    optimizer: a tower, with a horizon.
    goal: goal(params, *batch), a scalar tensor, which the levels above descend in place of the loss. Each step, or the
    first of each window, begins by `th.optim.descend` of it at the weights that the one before has made.
    carry: arrays or tensors of any shape and dtype, by name, that the loss reads, and replaces by what it has computed.
    exact: whether each instruction is what the eager engine would call, so that all numbers are its own.
    verify: hold each so many-th step, an integer >= 1, against an eager one; the steps 1, 2, 4, 8 and so on always are.
    side_by_side: whether what is done alike for many weights is one operation on all of them, where there is a program
    in memory. That is quicker for many small weights, and adds up in another order what all of them contribute.
    Raises DtypeError or ArgumentError for a loss, goal, params, tower or carry of the wrong type, for horizon=None,
    for a goal of a tower that tunes nothing, and for side_by_side of an exact run.
    """
    if not callable(loss):
        raise ArgumentError(f"replay: the loss must be a function, loss(params, *batch), not a {type(loss).__name__}")
    if goal is not None and not callable(goal):
        raise ArgumentError(f"replay: the goal must be a function, goal(params, *batch), not a {type(goal).__name__}")
    check_run(params, optimizer, goal)
    if carry is not None and not isinstance(carry, MutableMapping):
        raise DtypeError(f"replay: carry must be a dict of named arrays, not a {type(carry).__name__}")
    if exact and side_by_side:
        raise ArgumentError("replay: what is side by side is added up in another order, so it is not exact")
    if verify is not None:
        verify = whole("replay: verify", verify)
    session = Session(loss, params, optimizer, {} if carry is None else carry, exact, verify, side_by_side, goal=goal)
    session.visible.arrays()  # what it carries are arrays
    return Replay(session)
