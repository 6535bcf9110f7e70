"""Which implementation runs: by sizes and dtypes, or the one that a user forces."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ..errors import ArgumentError


class Backend:
    """A choice among named implementations and "auto", by sizes and dtypes. `chosen` is the one in force.

    Called with a name, it puts that one in force; it returns the one in force. Raises ArgumentError for another name.
    """

    def __init__(self, name: str, *choices: str) -> None:
        self.__name__, self.choices, self.chosen = name, (*choices, "auto"), "auto"
        self._followers: list[Callable[[str], None]] = []

    def __call__(self, name: str | None = None) -> str:
        if name is not None and name not in self.choices:
            known = ", ".join(f'"{choice}"' for choice in self.choices)
            raise ArgumentError(f"{self.__name__}: {name!r} is not one of {known}")
        if name is not None:
            self.chosen = name
            for follow in self._followers:
                follow(name)
        return self.chosen

    def follow(self, follow: Callable[[str], None]) -> None:
        """Call follow(name) now, and whenever another implementation is put in force."""
        self._followers.append(follow)
        follow(self.chosen)


def compiler_is_off() -> bool:
    """Whether numba compiles nothing (NUMBA_DISABLE_JIT=1): by its config if it is loaded, else by the environment.

    Another thread may be loading it, so its config may not be there yet.
    """
    off = getattr(getattr(sys.modules.get("numba"), "config", None), "DISABLE_JIT", None)
    if off is not None:
        return bool(off)
    return os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("0", "")
