"""Tensors that are filled in when somebody looks at them.

A replayed step leaves new tensors where the eager one would, in `params` and in the levels. Most are replaced by the
next step before anybody has looked; so an array is fetched when it is read, and edges are made when they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import READERS, Elementwise
from ..core.tape import current
from ..core.tensor import Tensor, leaf
from .moment import Moment
from .values import Key

ARRAY: Any = vars(Tensor)["array"]  # the slot, which `Pending` covers
DATA: Any = vars(Tensor)["data"]


class Look:
    """Where pending tensors look for their values: at the end of a step, or of the last one.

    session: the run.  moment: the end of that step; None for the last one.  by: what has made it.
    stays: whether it is always the same step.  seen: whether somebody has looked.
    """

    def __init__(self, session: Any, moment: Moment | None = None, by: Any = None) -> None:
        self._session, self.moment, self.by = session, moment, by
        self.stays, self.seen = moment is not None, False

    def array(self, key: Key) -> np.ndarray:
        self.seen = True
        moment: Moment = self._session.moment if self.moment is None else self.moment
        return moment.array(key)

    def hand_over(self) -> None:
        """Let the tensors be as an eager step leaves them, if this is the last one."""
        if not self.stays or self._session.stands_at(self.moment):
            self._session.hand_over()


class Pending(Tensor):
    """A tensor that a replayed step has left; it becomes a Tensor when its edge or its gradient is asked for.

    Its mark says where to look, and its key there.
    """

    __slots__ = ()

    def _array(self) -> np.ndarray:
        try:
            return ARRAY.__get__(self)
        except AttributeError:
            look, key = self.mark
            array = look.array(key)
            if look.stays:
                ARRAY.__set__(self, array)
            return array

    def _fill(self) -> Tensor:
        """Become a Tensor: of the last step with its edge, of an earlier one as a leaf."""
        look, key = self.mark
        look.hand_over()
        if type(self) is Pending:
            become(self, leaf(Tensor(look.array(key))))
        return self

    array = property(_array)
    edge = property(lambda self: self._fill().edge, lambda self, edge: setattr(self._fill(), "edge", edge))
    grad = property(lambda self: self._fill().grad, lambda self, grad: setattr(self._fill(), "grad", grad))
    data = property(DATA.fget, lambda self, value: setattr(self._fill(), "data", value))


def pending(look: Look, keys: Sequence[Key]) -> list[Tensor]:
    """Tensors for the values of these keys."""
    found: list[Tensor] = [Pending.__new__(Pending) for _ in keys]
    for tensor, key in zip(found, keys):
        tensor.mark = look, key
    return found


def become(tensor: Tensor, made: Tensor) -> None:
    """Let a tensor be what was made, and receive its gradient."""
    tensor.__class__ = Tensor
    tensor.array, tensor.edge, tensor.grad, tensor.mark = made.array, made.edge, None, None
    if tensor.edge is not None:
        tensor.retain_grad()


def _read(op: Any, args: Sequence[Any]) -> Any:
    """An operation of pending tensors: of what they become, or of their values alone where nothing is recorded."""
    args = [(x._fill() if current().recording else Tensor(x.array)) if type(x) is Pending else x for x in args]
    return op(*args) if isinstance(op, Elementwise) else args[0]


READERS[Pending] = _read
