"""Two ways to make the steps of a program: by NumPy, one operation after another, or by C functions in memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..errors import DtypeError
from ..finite import all_finite
from . import native
from .layout import Layout
from .memory import Loans, Memory, Snapshot
from .moment import Batch, LastCut, Moment, Since
from .native import Native
from .program import Body, Program, run
from .values import Key
from .verify import verify

Made = tuple[Moment, Any]  # where a step has led to, and its loss
NOWHERE: tuple[Any, int, Sequence[Batch]] = None, 0, ()


def arrays_in(batch: Batch) -> list[Any]:
    """The entries of a batch, tensors as arrays."""
    return [entry.array if isinstance(entry, Tensor) else entry for entry in batch]


def signature_of(batch: Batch) -> tuple[Any, ...]:
    """What two batches have in common for which one program serves. Raises DtypeError for what cannot be in a batch."""
    found: tuple[Any, ...] = ()
    for entry in batch:
        if isinstance(entry, Tensor):
            array = entry.array
            found += Tensor, array.shape, array.dtype
        elif isinstance(entry, np.ndarray):
            found += np.ndarray, entry.shape, entry.dtype
        elif isinstance(entry, (int, float, str, bool, type(None), np.generic)):
            found += type(entry), entry
        else:
            raise DtypeError(
                f"replay: an argument of the loss must be an array, a tensor, a number or a str, not a {_told(entry)}"
            )
    return found


def _told(entry: Any) -> str:
    """The type of what cannot be in a batch, and what to give instead."""
    kind, module = type(entry).__name__, type(entry).__module__.partition(".")[0]
    if isinstance(entry, Mapping):
        return f"{kind}. Give what it holds one by one: train(*batch.values())"
    if isinstance(entry, (list, tuple)):
        return f"{kind}. Make an array of it, by np.array(...), or give what it holds one by one: train(*batch)"
    if hasattr(entry, "__array__"):
        return f"{module}.{kind}. Give its values, by .numpy() or np.asarray(...)"
    return kind


def own(entry: Any) -> Any:
    """An entry of a batch, for later: one that is an array could be overwritten."""
    return entry.copy("K") if isinstance(entry, np.ndarray) else entry


def by_numpy(
    program: Program, before: Moment, changed: Mapping[Key, np.ndarray], batch: Batch, checks: bool
) -> Made | None:
    """A step by what the eager engine calls. None where something is not finite, if that is checked.

    changed: the values of `before` that were set by hand.
    """
    n, held = before.steps % len(program.bodies), [*before]
    body, arrays = program.bodies[n], [*held]
    run(body, arrays, arrays_in(batch))
    if checks and not all(all_finite(arrays[slot]) for slot in body.finite):
        return None
    cut = _cut(body, before.keys, held, arrays) if n == 0 else before.cut
    since = _since(before.since, n == 0, changed, batch)
    return Moment(before.keys, arrays, cut, since, before.steps + 1), arrays[body.loss]


def _cut(body: Body, keys: Mapping[Key, int], held: Sequence[Any], arrays: Sequence[Any]) -> Callable[[], LastCut]:
    """What a step that cuts has read, and nothing else is kept for it. held, arrays: of the slots, before and after."""
    carried = {key: arrays[slot] for key, slot in keys.items() if key[0] == "carry"}
    gradients = {key: arrays[slot] for key, slot in body.gradients.items()}
    cut = LastCut({key: held[slot] for key, slot in keys.items()}, gradients, carried)
    return lambda: cut


def _since(
    before: tuple[Since, ...], cuts: bool, changed: Mapping[Key, np.ndarray], batch: Batch
) -> tuple[Since, ...]:
    """The steps since the last cut, with one more. cuts: whether this is a step that does."""
    return () if cuts else (*before, Since(changed, tuple(map(own, batch))))


class Natively:
    """The steps of a program by C functions. watched: the values of which `many` gives histories."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.program, self.watched = layout, layout.program, tuple(layout.watched)
        self.native = Native(layout)
        self.memory = Memory(self.native)
        self._looks: list[Any] = []  # weak references
        self._from = NOWHERE  # where `many` began: moment, call, and batches

    def goes_on(self, moment: Moment) -> bool:
        """Whether it stands at a moment, or can go there."""
        if isinstance(moment, Snapshot) and moment.call == self.native.call and moment.memory is self.memory:
            return True
        self._keep_seen(self.native.call + self.native.reach + 1)
        return self.memory.load(moment)

    def look(self, look: Any) -> None:
        """Somebody may look at `look.moment` as long as `look` lives."""
        self._looks.append(weakref.ref(look))

    def _keep_seen(self, last: int) -> None:
        """Before the steps up to `last`, fetch what can still be seen of moments whose buffers they write to."""
        while self._looks:
            if (look := self._looks[0]()) is not None:
                moment = look.moment
                if isinstance(moment, Snapshot):
                    if moment.call + self.native.reach >= last:
                        return
                    moment.keep(self.program.keys.values())
            del self._looks[0]

    def step(self, moment: Moment, batch: Batch) -> Made | None:
        """A step from the moment at which it stands. None where it would not be good."""
        native, self._from = self.native, NOWHERE
        last = native.call + 1
        if not self._looks or (look := self._looks[0]()) is None or look.moment is not moment:
            self._keep_seen(last)
        native.give(batch)
        if not native.run(last):
            return None
        since = moment.since
        if native.length > 1:
            since = _since(since, moment.steps % native.length == 0, {}, batch)
        return Snapshot(self.memory, since, moment.steps + 1), native.loss.shared

    def many(
        self, moment: Moment, stacks: Sequence[np.ndarray], batches: Sequence[Batch], out: Sequence[np.ndarray]
    ) -> tuple[Moment, int]:
        """Steps from the moment at which it stands, until one would not be good; where they lead to, and how many.

        stacks: of each entry of the batch.  batches: the same, as the loss would take them.
        out: arrays for the losses and for the histories of what is watched, as long as there are to be steps.
        """
        native = self.native
        first, count = native.call, len(out[0])
        self._from = moment, first, batches
        self._keep_seen(first + count)
        native.follow(stacks, out)
        native.run(first + count)
        return self.reached(moment), native.call - first

    def reached(self, moment: Moment) -> Moment:
        """Where a run stands that was at a moment, though a signal has raised an error since: after whole steps.

        That is where `many` has come to. What `step` has made counts as not made, unless it has told of it.
        """
        start, first, batches = self._from
        if start is moment and (made := self.native.call - first):
            since, length = moment.since, self.native.length
            for steps, batch in enumerate(batches[:made], start=moment.steps):
                since = _since(since, steps % length == 0, {}, batch)
            return Snapshot(self.memory, since, moment.steps + made)
        is_past = isinstance(moment, Snapshot) and moment.memory is self.memory and moment.call != self.native.call
        return moment.plain() if is_past else moment


class Runner:
    """How the programs of a run are carried out: by C functions in memory, where there are kernels, or by NumPy.

    exact: whether always by NumPy.  checks: whether a step that is not finite is not good.
    side_by_side: whether operations that are alike are one.  layout: how a program may lie that the run will have.
    natively: the program in memory; None where NumPy carries it out.
    """

    def __init__(self, exact: bool, checks: bool, side_by_side: bool, layout: Layout | None) -> None:
        self._exact, self._checks, self._side_by_side, self._layout = exact, checks, side_by_side, layout
        self.natively: Natively | None = None

    @property
    def layout(self) -> Layout | None:
        """How the program lies in memory now."""
        return None if self.natively is None else self.natively.layout

    def layout_of(self, program: Program, watched: tuple[Key, ...] = ()) -> Layout | None:
        """How a program lies in memory; None if NumPy is to carry it out. watched: the values to give histories of."""
        return None if self._exact else laid_out(program, watched, self._checks, self._side_by_side, self._layout)

    def lie(self, program: Program, watched: tuple[Key, ...] = ()) -> Program:
        """Let a program be carried out in memory, if there are kernels; the program as it is then."""
        if (layout := self.layout_of(program, watched)) is None:
            return program
        self.natively, self._layout = Natively(layout), self._layout if watched else layout
        return layout.program

    def forget(self) -> None:
        """There is no program."""
        self.natively = None

    def serves(self, program: Program, watched: tuple[Key, ...]) -> bool:
        """Whether the program lies in memory in such a way that it can go on, and give histories of these values."""
        layout = self.layout
        return layout is not None and layout.serves(program, watched, self._checks, self._side_by_side)

    def step(self, program: Program, before: Moment, changed: Mapping[Key, np.ndarray], batch: Batch) -> Made | None:
        """A step from a moment; None where it would not be good. changed: the values of that which were set by hand."""
        natively = self.natively
        if natively is not None and not changed and natively.goes_on(before):
            return natively.step(before, batch)
        return by_numpy(program, before, changed, batch, self._checks)

    @contextmanager
    def lending(self) -> Iterator[Loans]:
        """Within, between two steps, the eager engine may read what lies in memory, and use what is not in use."""
        loans, natively = Loans(), self.natively
        if natively is None:
            yield loans
            return
        try:
            with natively.native.resting():
                yield loans
        finally:
            if loans.are_held():
                self.natively = Natively(natively.layout)


def laid_out(
    program: Program, watched: tuple[Key, ...], checks: bool, side_by_side: bool, known: Layout | None
) -> Layout | None:
    """How a program lies in memory, as is known or anew and verified; None where no kernels are there for it."""
    options = watched, checks, side_by_side
    if native.machine is None or known is not None and known.serves(program, *options):
        return known
    found = Layout(program, *options, native.machine)
    if not found.is_native:
        return None
    verify(found, native.machine.entries)  # pragma: no cover - compiled
    return found  # pragma: no cover - compiled
