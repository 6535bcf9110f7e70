"""python -m demos bench: tinyhyper and its peers, measured side by side."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`main` and `options`, when they are asked for: the measured processes import this package, but no pictures."""
    if name in ("main", "options"):
        from . import command

        return getattr(command, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
