"""Memory that kernels write to on the way, kept for the next call: fresh memory costs a page fault every 4 KB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

KEPT = 8


class Scratch(threading.local):
    """What the calling thread keeps, for the last KEPT owners. What is in use is not kept, so an interrupted call that
    another thread still works on loses it, and never shares it."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, Any] = {}

    def take(self, owner: Hashable, make: Callable[[], Any]) -> Any:
        """What the owner gave back last, or something new."""
        found = self.kept.pop(owner, None)
        return make() if found is None else found

    def give(self, owner: Hashable, arrays: Any) -> None:
        """Keep this for the owner's next call."""
        self.kept[owner] = arrays
        if len(self.kept) > KEPT:
            del self.kept[next(iter(self.kept))]


scratch = Scratch()
