"""`detect_anomaly`: the first operation that makes a NaN or an infinity raises, and says where it was written.

It watches as a recording does, but keeps only the line of each node that is alive, so its memory stays flat.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ..calls import Block
from ..core.tape import unwatched
from ..errors import AnomalyError
from ..finite import all_finite, first, worded
from ..optim.ranges import Ranges
from ..plain import short
from ..sites import Site, caller
from .blame import Fault, blame
from .finite import ADVICE, advice
from .labels import Labels
from .names import named
from .records import Label
from .text import shorten

if TYPE_CHECKING:
    from ..core.tape import Node
    from ..core.tensor import Tensor


class Origin(NamedTuple):
    """Where the forward operation of a node was written."""

    op: str
    site: Site


class Watch(Labels):
    """What the engine calls inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self._origins: WeakKeyDictionary[Node, Origin] = WeakKeyDictionary()
        self._moving: Label | None = None
        self._came: dict[str, str] = {}
        self._ranges = Ranges()

    # Called by the engine.

    def operation(
        self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor], call: Any, nanoseconds: int
    ) -> None:
        """An operation was computed. Raises AnomalyError if it made a NaN or an infinity."""
        site = self._site or caller(sys._getframe(1))
        bad = next((out for out in outputs if not all_finite(out.array)), None)
        if bad is not None:
            kind = "NaN" if np.isnan(bad.array).any() else "infinity"
            self._look(op, operands, blame(op, operands, outputs), kind, site)
        made = next((out.edge[0] for out in outputs if out.edge is not None), None)
        if made is not None:
            self._origins[made] = self._origin() or Origin(op.name, site)

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached; it keeps its name."""
        detached.mark = getattr(source, "mark", None)

    def swept(self, loss: Tensor, cotangent: Tensor) -> None:
        """A backward pass has ended. Raises AnomalyError if it began at a number that is not finite.

        No operation need have met that: the derivative of a logarithm, say, is 0 at infinity.
        """
        if loss.size == 1 and not all_finite(loss.array):
            kind, step = worded(loss.item()), f", step {self.steps}" if self.steps else ""
            raise AnomalyError(
                f"the backward pass at {_line(caller(sys._getframe(1)))}{step} began at {kind}, so what it has left in "
                f".grad may be 0 in silence.\n    To do: {self._came_from(kind.removeprefix('-'))}."
            )

    # Called by an optimizer.

    def step(self, title: Any = None) -> None:
        self.steps = getattr(title, "t", self.steps) + 1

    def stepped(self) -> None:
        self._moving = None

    def label(
        self, tensor: Tensor, name: str, role: Any, level: int, coordinate: Any = None, range: Any = None
    ) -> None:
        """Note what a tensor is to an optimizer, and warn if a hyperparameter leaves its range."""
        label = Label(name, role, level, None, range)
        tensor.mark = (self, label)
        if role == "gradient":
            self._moving = label
        elif role == "hyperparameter" and range is not None and not tensor.shape:
            with unwatched():
                value = tensor.item() if coordinate is None else coordinate.value(tensor.item())
            self._ranges.check(level, name, float(value), range)

    def labelled(self, tensor: Tensor) -> bool:
        return False

    # Finding out, and saying so.

    def _look(self, op: Any, operands: Sequence[Tensor], fault: Fault | None, kind: str, site: Site) -> None:
        """Raise AnomalyError if the operation made the NaN or infinity, or if one that came in must go no further."""
        moves = op.name.endswith(".rule")
        if fault is None:
            if not moves and not (self._sweep and kind == "NaN"):
                self._came.setdefault(kind, f"was first read by {op.name}, {_line(site)}")
                return
            what, todo = f"{op.name} passes on {kind}", self._came_from(kind)
        else:
            origin = self._origin()
            vjp = f"{origin.op}.vjp" if origin is not None else op.name
            own = moves or op.name in ADVICE
            maker = op.name if fault.maker == op.name else f"{fault.maker} inside {op.name}"
            place, call = (f" at {list(fault.place)}" if fault.place else ""), (f": {fault.call}" if fault.call else "")
            what = f"{maker} made {fault.made}{place}{call}"
            name, single = vjp if vjp in ADVICE else op.name if own else fault.maker, all(x.size == 1 for x in operands)
            todo = advice(name, [fault.maker], moves, single)
        read = "; ".join(self._shown(x, n, fault) for n, x in enumerate(operands))
        raise AnomalyError(f"{what}, {self._where(site)}.\n    It read {read}.\n    To do: {todo}.")

    def _came_from(self, kind: str) -> str:
        """What to do about a NaN or infinity that no operation in the block has made."""
        came = self._came.get(kind, "was there before this block")
        return (
            f"no operation in this block made it: it {came}. Look at the data and the initial values: "
            "np.isfinite(x.numpy()) shows which elements"
        )

    def _where(self, site: Site) -> str:
        """In the forward pass, the backward pass or a step; which lines, and which step."""
        step = f", step {self.steps}" if self.steps else ""
        origin, moving = self._origin(), self._moving
        if origin is not None:
            return f"in the backward pass of {origin.op}, {_line(origin.site)}, begun at {_line(site)}{step}"
        if self._sweep:
            return f"in the backward pass begun at {_line(site)}{step}"
        if moving is not None:
            return f"as level {moving.level} moves {named(moving).title}, {_line(site)}{step}"
        return f"in the forward pass, {_line(site)}{step}"

    def _origin(self) -> Origin | None:
        """The forward operation whose VJP is being computed, if it is known."""
        return self._origins.get(self._node) if self._sweep and self._node is not None else None

    def _shown(self, operand: Tensor, number: int, fault: Fault | None) -> str:
        """An operand's name, shape and size, and the number in it that led to a fault."""
        mark, array = getattr(operand, "mark", None), operand.array
        name = named(mark[1]).title if isinstance(mark, tuple) and mark[0] is self else f"operand {number}"
        if not array.shape:
            return f"{name} = {short(array.item())}"
        text = f"{name} of shape {array.shape}"
        if not all_finite(array):
            place = first(~np.isfinite(array))
            return f"{text}, {worded(array[place])} at {list(place)}"
        if fault is not None and fault.call and len(fault.place) >= array.ndim:
            last = fault.place[len(fault.place) - array.ndim :]  # the operands were broadcast together
            place = tuple(0 if length == 1 else n for n, length in zip(last, array.shape))
            return f"{text}, {short(array[place])} at {list(place)}"
        return f"{text}, at most {short(float(np.abs(array).max(initial=0)))} in size"


def _line(site: Site) -> str:
    return f"{shorten(site[0])}:{site[1]}"


class detect_anomaly(Block):
    """Raise AnomalyError where a NaN or an infinity is first made, in the block or in the decorated function.

    The message has the operation, the line that wrote it, the numbers that led to it, and what to do; for a backward
    pass also the line of the forward operation. A NaN or infinity from before the block, as in the data, is reported
    when it makes a gradient NaN or reaches a weight. Everything is watched, so the block runs slower; it keeps no
    memory. As with recordings, the innermost block watches.
    Raises CallError where the parentheses are missing, DtypeError if it decorates anything but a function.
    """

    name = "watcher"

    def __init__(self) -> None:
        super().__init__()
        self.value = Watch()
