"""What a user asked for on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class UsageError(Exception):
    """Something that the user asked for cannot be done; the text is the line that says so."""


@dataclass(frozen=True)
class Settings:
    """The choices of one call; what is empty or None is for the demo to choose.

    quick, threads, only, again: for the demo `bench`.
    """

    stacks: tuple[str, ...]
    alphas: tuple[float, ...]
    epochs: int | None
    seed: int
    out: Path
    quick: bool = False
    threads: tuple[int, ...] = ()
    only: tuple[str, ...] = ()
    again: bool = False


def refuse(settings: Settings, demo: str, *options: str) -> None:
    """Raise UsageError if any of these options, for which the demo has no use, was given."""
    given = {
        "--stack": settings.stacks,
        "--alpha": settings.alphas,
        "--epochs": settings.epochs,
        "--seed": settings.seed,
        "--quick": settings.quick,
        "--threads": settings.threads,
        "--only": settings.only,
        "--again": settings.again,
    }
    for option in options:
        if given[option]:
            raise UsageError(f"{option}: the demo '{demo}' chooses its own; leave it out")
