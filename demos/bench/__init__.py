"""python -m demos bench: tinyhyper and its peers, measured side by side."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`main`, found when it is asked for: the measured processes are this package too, and must not import pictures."""
    if name == "main":
        from .command import main

        return main
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
