"""A replayed step held against an eager one, which starts from the same moment on copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..errors import GraphError
from ..optim.ranges import RangeWatch
from ..optim.saving import bare
from .moment import Batch, Moment, live
from .runners import Made
from .values import Key, arrays_of, named, values_of
from .visible import Visible

CLOSE = {"f": 1e-5, "d": 1e-12}  # by the coarsest dtype of the values, of the largest element
PIECE = 1 << 14  # elements that are compared at once, as what is computed of them needs memory


class Comparisons:
    """At which steps a program is held against the eager engine: 1, 2, 4, 8 and so on, and each so many-th.

    verify: how many that is; None for none.  steps: that the program has made.  due: the step that is next.
    moment: where both last agreed; with a horizon, the end of the first step of that window.
    """

    def __init__(self, verify: int | None) -> None:
        self._verify = verify
        self.moment: Moment | None = None
        self.steps = self._at = 0
        self.begin(1)

    def begin(self, due: int) -> None:
        """There is another program."""
        self.steps, self.due, self._at = 0, due, self._at - self.steps

    def move_on(self) -> None:
        """A step is held: say which is next."""
        verify, steps = self._verify, self.steps
        self.due = 1 << steps.bit_length()
        if verify:
            self.due = min(self.due, steps - steps % verify + verify)

    def agreed(self, moment: Moment) -> None:
        """Both agree at a moment."""
        self.moment, self._at = moment.back(), self.steps - len(moment.since)

    @property
    def since(self) -> int:
        """How many steps were made since then."""
        return self.steps - self._at


def differs(
    before: Moment, steps: Iterable[Callable[[], Made | None]], visible: Visible, batch: Batch,
    step: Callable[[MutableMapping[str, Tensor], Batch, Any], Tensor],
) -> str | None:  # fmt: skip
    """What an eager step makes else of a moment, in words; None if it makes the same.

    steps: what the program makes of it; and where that is another thing, what it makes by what the eager engine calls.
    There only the program of another loss differs: a step may be so badly conditioned that the last bit matters.
    step: step(params, batch, optimizer) makes a step.
    """
    tower, kept = bare(visible.optimizer), dict(visible.carry)
    tower.hooks[RangeWatch].in_use = False  # the run's own tower tells, once
    try:
        visible.put_carry(before.cut().carried.__getitem__)
        params = live(before, tower, lambda params, batch: step(params, batch, tower))
        for key, made in values_of(params, tower.levels).items():
            made.array = before.array(key)  # the bits that eager made go, as these are there already
        visible.put_carry(before.array)
        expected = step(params, batch, tower)
        found = {key: tensor.array for key, tensor in values_of(params, tower.levels).items()}
        found |= arrays_of(visible.carry)
    finally:
        visible.carry.update(kept)
    what = None
    for make in steps:
        result = make()
        if result is not None:
            after, loss = result
            what = _difference(after, loss, expected.array, found)
            if what is None:
                break
    return what


def _difference(after: Moment, loss: np.ndarray, expected: np.ndarray, found: Mapping[Key, np.ndarray]) -> str | None:
    """The first value that is not within rounding, in words."""
    pairs = [("the loss", loss, expected), *[(named(key), after.array(key), found[key]) for key in after.keys]]
    close = max(CLOSE.get(mine.dtype.char, 0.0) for _, mine, _ in pairs)
    for name, mine, its in pairs:
        error = distance(mine, its)
        if not error <= close:
            if (mine.shape, mine.dtype) != (its.shape, its.dtype):
                return f"{name} is {mine.dtype} of shape {mine.shape}, and {its.dtype} of {its.shape} in the eager step"
            if mine.size == 1:
                return f"{name} is {mine.item():.17g}, and {its.item():.17g} in the eager step"
            return f"{name}, of shape {its.shape}, is {error:.2g} times its largest element away from the eager step's"
    return None


def apart(what: str, steps: int) -> GraphError:
    """Program and loss are apart. what: says where.  steps: that are dropped."""
    dropped = "The last step is" if steps == 1 else f"The last {steps} steps are"
    return GraphError(
        f"replay: the program no longer computes what the loss does: {what}. {dropped} dropped, and the run stands "
        "where program and loss last agreed. Something has changed that a recording cannot see; give it to the "
        "step with the batch, or as an array in carry="
    )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, as a share of the largest finite element; 0 for equal arrays, NaN is NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return np.inf
    error = largest = np.float64(0.0)
    for first in range(0, one.size, PIECE):
        mine, its = (array.reshape(-1)[first : first + PIECE] for array in (one, other))
        largest = np.maximum(largest, np.max(np.abs(its), where=np.isfinite(its), initial=0.0))
        same = (mine == its) | ((mine != mine) & (its != its))
        if not same.all():
            error = np.maximum(error, np.max(np.abs(mine - its), where=~same, initial=0.0))
    return float(error / largest) if largest else np.inf if error else 0.0
