"""Tensors that are filled in when somebody looks at them.

A replayed step leaves new tensors where the eager one would, in `params` and in the levels. Most are replaced by the
next step before anybody has looked; so an array is fetched when it is read, and edges are made when they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import READERS, Elementwise, attach
from ..core.tape import Edge, Node, current
from ..core.tensor import Tensor, leaf
from ..errors import GraphError
from .moment import Moment
from .values import Key

ARRAY: Any = vars(Tensor)["array"]  # the slot, which `Pending` covers
DATA: Any = vars(Tensor)["data"]


class Gone(Node):
    """In place of the graph of steps that cannot be made again: who asks for a gradient through it is told why."""

    __slots__ = ("why",)
    name = "gone"

    def __init__(self, why: str, inputs: tuple[Edge, ...]) -> None:
        super().__init__(Gone, inputs)
        self.why = why

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> Sequence[Any]:
        raise GraphError(self.why)


class Look:
    """Where pending tensors look for their values: at the end of a step, or of the last one.

    session: the run.  moment: the end of that step; None for the last one.  by: what has made it.
    stays: whether it is always the same step.  seen: whether somebody has looked.
    """

    def __init__(self, session: Any, moment: Moment | None = None, by: Any = None) -> None:
        self._session, self.moment, self.by = session, moment, by
        self.stays, self.seen = moment is not None, False
        self._gone: dict[Key, Edge] = {}
        self._inputs: tuple[Edge, ...] = ()  # of what depends on all hyperparameters

    def array(self, key: Key) -> np.ndarray:
        self.seen = True
        moment: Moment = self._session.moment if self.moment is None else self.moment
        return moment.array(key)

    def hand_over(self) -> None:
        """Let the tensors be as an eager step leaves them, if this is the last one."""
        if self._is_last():
            self._session.hand_over()

    def gone(self, key: Key) -> Edge | None:
        """The edge of a tensor whose own cannot be made; None if it can, or if this is an earlier step, of leaves."""
        self.seen = True
        if not self._is_last() or not (why := self._session.gone()):
            return None
        if not self._inputs:
            self._inputs = ((Node(), 0),)
            for height, level in reversed([*enumerate(self._session.visible.levels)]):
                made = {("hyperparameter", height, name): (Gone(why, self._inputs), 0) for name in level._tuned}
                self._gone |= made
                self._inputs = tuple(made.values()) or self._inputs
        return self._gone.setdefault(key, (Gone(why, self._inputs), 0))

    def _is_last(self) -> bool:
        return not self.stays or self._session.stands_at(self.moment)


class Pending(Tensor):
    """A tensor that a replayed step has left; it becomes a Tensor when its edge is read, or something is put there.

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

    def _edge(self) -> Edge | None:
        look, key = self.mark
        return look.gone(key) or self._fill().edge

    array = property(_array)
    edge = property(_edge, lambda self, edge: setattr(self._fill(), "edge", edge))
    grad = property(lambda self: None, lambda self, grad: setattr(self._fill(), "grad", grad))  # a step has left none
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
    args = [_operand(x) if type(x) is Pending else x for x in args]
    return op(*args) if isinstance(op, Elementwise) else args[0]


def _operand(x: Pending) -> Tensor:
    edge = x.edge if current().recording else None  # with which it has become a Tensor, unless that is gone
    return Tensor(x.array, edge) if type(x) is Pending else x


attach(READERS, {Pending: _read})
