"""What a user asked for on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class UsageError(Exception):
    """Something that the user asked for cannot be done; the text is the line that says so."""


@dataclass(frozen=True)
class Settings:
    """The choices of one call; what is empty or None is for the demo to choose."""

    stacks: tuple[str, ...]
    alphas: tuple[float, ...]
    epochs: int | None
    seed: int
    out: Path
