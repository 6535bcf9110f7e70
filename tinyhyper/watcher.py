"""What every watcher of the engine knows: the user's line that runs, and the step."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .core.tape import Watcher
from .sites import Site, caller, inside

if TYPE_CHECKING:
    from .core.tape import Node


class SiteWatcher(Watcher):
    """A watcher that knows the step and the line of the user. A subclass says what it does with the rest."""

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
    def stepping(self, level: Any = None) -> Iterator[None]:
        """An optimizer's step. If the package called this, everything in it counts as done by the line that called the
        package.

        level: the optimizer, or the title of the recording for a step by hand.
        """
        before, frame = self._site, sys._getframe(2)
        if inside(frame.f_globals.get("__name__", "")):
            self._site = caller(frame)
        self.step(level)
        try:
            yield
        finally:
            self.stepped()
            self._site = before

    def step(self, title: Any = None) -> None:
        """A step begins."""

    def stepped(self) -> None:
        """A step has ended."""
