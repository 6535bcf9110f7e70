"""What a user asked for on the command line, and the options that several demos have."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

OUT = Path("tinyhyper-out")


class UsageError(Exception):
    """Something that the user asked for cannot be done; the text is the line that says so."""


@dataclass(frozen=True)
class Settings:
    """The choices of one call; what is empty or None is for the demo to choose."""

    stacks: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()
    epochs: int | None = None
    seed: int = 0
    out: Path = OUT
    quick: bool = False
    threads: tuple[int, ...] = ()
    only: tuple[str, ...] = ()
    again: bool = False
    seeds: int | None = None
    jobs: int | None = None
    dask: str | None = None
    data: Path | None = None
    lesson: int | None = None

    @classmethod
    def of(cls, chosen: Namespace) -> Settings:
        """The settings that were parsed; an option that was not given has its default."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in vars(chosen).items()
            if value is not None
        }
        return cls(**given)

    def command(self, demo: str) -> str:
        """What to type for this, without the options that say where and not what."""
        words = ["python -m demos", demo]
        for name in ("epochs", "only", "quick", "seed", "seeds"):
            value = getattr(self, name)
            if value != DEFAULTS[name]:
                several = value if isinstance(value, tuple) else (value,)
                words += [f"--{name}"] if value is True else [f"--{name} {item}" for item in several]
        return " ".join(words)


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}

# The types of arguments.


def checked(convert: Callable[[str], Any], holds: Callable[[Any], Any], wanted: str) -> Callable[[str], Any]:
    """An argument's type: what it converts to, as long as `holds` is true of that."""

    def argument(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise ArgumentTypeError(f"'{text}' is not {wanted}")
        return value

    return argument


whole = checked(int, lambda number: number > 0, "a whole number above 0")
positive = checked(float, lambda number: 0 < number < math.inf, "a finite number above 0")
address = checked(str, str.strip, "an address")


def folder(text: str) -> Path:
    """A folder; ~ stands for the home of the user."""
    expanded = os.path.expanduser(text)
    if not expanded.strip() or expanded[0] == "~":
        raise ArgumentTypeError(f"'{text}' is not a folder")
    return Path(expanded)


# Options that several demos have, as a parser takes them.

SHARED: dict[str, dict[str, Any]] = {
    "out": {"type": folder, "default": OUT, "metavar": "DIR", "help": f"for results (default: {OUT})"},
    "seed": {
        "type": checked(int, lambda number: number >= 0, "a whole number from 0 on"),
        "default": 0,
        "help": "of everything that is drawn at random (default: 0)",
    },
    "epochs": {"type": whole, "help": "passes over the training data (default: the demo's own)"},
    "quick": {"action": "store_true", "help": "a part of it, in about a minute"},
    "again": {"action": "store_true", "help": "compute nothing: read what lies in --out"},
}


def shared(*names: str) -> Callable[[ArgumentParser], None]:
    """A function that adds these options to a parser."""

    def options(parser: ArgumentParser) -> None:
        for name in names:
            parser.add_argument(f"--{name}", **SHARED[name])

    return options
