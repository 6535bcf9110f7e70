"""What every watcher of the engine knows: the user's line that runs, and the step."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .sites import Site, caller, inside

if TYPE_CHECKING:
    from .core.tape import Node
    from .core.tensor import Tensor
    from .core.tower import Optimizer


class Watcher:
    """The part that all watchers share. A subclass adds what it is told of operations, cuts and gradients."""

    def __init__(self) -> None:
        self.steps = 0
        self._site: Site | None = None
        self._sweep = False
        self._node: Node | None = None

    @contextmanager
    def within(self, nodes: Iterable[Node]) -> Iterator[Iterable[Node]]:
        """A backward pass over the nodes; everything in it counts as done by the line that called the package."""
        before = self._site, self._sweep
        self._site, self._sweep = self._site or caller(sys._getframe()), True
        try:
            yield self._noted(nodes)
        finally:
            self._site, self._sweep = before

    def _noted(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """The nodes; notes the one that the backward pass is at."""
        before = self._node
        for self._node in nodes:
            yield self._node
        self._node = before

    def _vjp_of(self) -> str | None:
        """The name of the operation whose VJP is being computed."""
        return None if self._node is None or self._node.op is None else self._node.op.name

    @contextmanager
    def stepping(self, title: Any = None) -> Iterator[None]:
        """An optimizer's step. If the package called this, everything in it counts as done by the line that called the
        package.

        title: of the recording, or the optimizer itself.
        """
        before, frame = self._site, sys._getframe(2)
        if inside(frame.f_globals.get("__name__", "")):
            self._site = caller(frame)
        self.step(title)
        try:
            yield
        finally:
            self.stepped()
            self._site = before

    def step(self, title: Any = None) -> None:
        """A step begins."""

    def moving(self, levels: Sequence[Optimizer], height: int, name: Any, operands: Any) -> None:
        """A level is about to move a target. operands: the target, its gradient, its states and the hyperparameters."""

    def moved(self, levels: Sequence[Optimizer], height: int, name: Any, w: Tensor, states: Any) -> None:
        """A level has made this of a target, and these states."""

    def copied(self, values: Any, array: np.ndarray) -> None:
        """The engine has made an array of values: for an operation, for a tensor, or for NumPy."""

    def stepped(self) -> None:
        """A step has ended."""
