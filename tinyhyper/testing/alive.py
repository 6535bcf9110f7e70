"""What lives: tensors and nodes that outlive their use keep a graph, and all its arrays, in memory."""

from __future__ import annotations

import gc
import weakref
from contextlib import ContextDecorator
from typing import Any

from ..collector import collector_off
from ..core.tape import Node
from ..core.tensor import Tensor
from ..errors import LeakError

__tracebackhide__ = True  # pytest shows the line that called, not those in here

SHOWN = 20
WHY = "Something holds them: a list, a global, a closure, an exception, or a cycle of references"


def alive(*kinds: type) -> int:
    """How many objects there are of these classes, `kinds`, and of classes derived from them."""
    return len(living(*kinds))


def living(*kinds: type) -> list[Any]:
    """All objects of these classes. By their type: a weak proxy of what is gone has no class to ask."""
    return [x for x in gc.get_objects() if issubclass(type(x), kinds)]


class nothing_alive(ContextDecorator):
    """Within a block, or the decorated function, every tensor and node that is made must also go.

    The garbage collector is off meanwhile, so that a cycle of references counts as a leak. Raises LeakError, which
    lists what is alive and the operation that made it. An exception passes, as its traceback holds what it has met.
    """

    def __enter__(self) -> None:
        gc.collect()
        self._off = collector_off()
        self._off.__enter__()
        self._before = {id(x): weakref.ref(x) for x in living(Tensor, Node)}

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        before = self._before
        left = [x for x in living(Tensor, Node) if id(x) not in before or before[id(x)]() is not x]
        self._off.__exit__(None, None, None)
        if left and kind is None:
            raise LeakError(_report(left))

    def _recreate_cm(self) -> nothing_alive:  # one for each call, which may be within another
        return type(self)()


def _report(left: list[Any]) -> str:
    nodes, tensors = ([x for x in left if isinstance(x, kind)] for kind in (Node, Tensor))
    lines = [_told(x) for x in (*tensors, *nodes)]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n  ".join(
        [
            f"{_count(len(tensors), 'tensor')} and {_count(len(nodes), 'node')} made here are still alive. {WHY}",
            *lines[:SHOWN],
            *more,
        ]
    )


def _told(x: Any) -> str:
    if isinstance(x, Node):
        return f"node {x!r}"
    maker = "a constant" if x.edge is None else f"of {x.edge[0]!r}"
    return f"tensor {x.dtype} {x.shape}, {maker}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
