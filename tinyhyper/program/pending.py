"""Tensors that are filled in when somebody looks at them.

A replayed step leaves new tensors where the eager one would, in `params` and in the levels. Most are replaced by the
next step before anybody has looked; so an array is fetched when it is read, and edges are made when they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..core.operation import READERS, Elementwise
from ..core.tape import current
from ..core.tensor import Tensor, leaf
from .values import Key

ARRAY = Tensor.array  # the slot of Tensor, which `Pending` covers


class Moment(Protocol):
    """The end of a step, which has left values."""

    def array(self, key: Key) -> np.ndarray: ...
    def hand_over(self) -> None: ...


class Pending(Tensor):
    """A tensor that a replayed step has left; it becomes a Tensor when its edge or its gradient is asked for.

    Its mark is the moment that it is of, and its key there.
    """

    __slots__ = ()

    def _array(self) -> np.ndarray:
        try:
            return ARRAY.__get__(self)  # type: ignore[attr-defined]
        except AttributeError:
            moment, key = self.mark
            ARRAY.__set__(self, array := moment.array(key))  # type: ignore[attr-defined]
            return array

    def _fill(self) -> Tensor:
        """Become a Tensor: of the last step with its edge, of an earlier one as a leaf."""
        moment, key = self.mark
        moment.hand_over()
        if type(self) is Pending:
            become(self, Tensor(moment.array(key)))
            leaf(self)
        return self

    array = property(_array)
    edge = property(lambda self: self._fill().edge, lambda self, edge: setattr(self._fill(), "edge", edge))
    grad = property(lambda self: self._fill().grad, lambda self, grad: setattr(self._fill(), "grad", grad))
    data = property(lambda self: Tensor.data.fget(self), lambda self, value: Tensor.data.fset(self._fill(), value))


def pending(moment: Moment, keys: Sequence[Key]) -> list[Tensor]:
    """Tensors for the values of these keys."""
    found = [Pending.__new__(Pending) for _ in keys]
    for tensor, key in zip(found, keys):
        tensor.mark = moment, key
    return found


def become(tensor: Tensor, made: Tensor) -> None:
    """Let a pending tensor be what was made."""
    tensor.__class__ = Tensor
    tensor.array, tensor.edge, tensor.grad, tensor.mark = made.array, made.edge, None, None
    if tensor.edge is not None:
        tensor.retain_grad()


def _read(op: Any, args: Sequence[Any]) -> Any:
    """An operation of pending tensors: of the tensors that they become, or of their values where nothing is recorded."""
    args = [(x._fill() if current().recording else Tensor(x.array)) if type(x) is Pending else x for x in args]
    return op(*args) if isinstance(op, Elementwise) else args[0]


READERS[Pending] = _read
