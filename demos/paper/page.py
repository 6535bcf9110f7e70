"""What fragments and pictures of experiments have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from ..shared.settings import Settings
from .run import Line

MEASURED, PAPER, OPEN = "measured here", "from the paper", "not verified"  # where a claim comes from
CHANCE = 90.0  # per cent of ten classes that are wrong without knowing anything


def seeds(settings: Settings, count: int) -> range:
    """The seeds of the runs, as many as `count` unless the user asked for another number; one with --quick."""
    chosen = settings.seeds or (1 if settings.quick else count)
    return range(settings.seed, settings.seed + chosen)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; its columns are as wide as their widest cell, so that it can be read as text too."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean and standard deviation, "4.81 ± 0.10"; the mean alone of one value; "NaN" where one was not a number."""
    numbers = [math.nan if value is None else value for value in values]
    if not numbers:
        return ""
    text = f"{fmean(numbers):.{digits}f}".replace("nan", "NaN")
    return text + (f" ± {stdev(numbers):.{digits}f}".replace("nan", "NaN") if len(numbers) > 1 else "")


def grouped(lines: Iterable[Line], *options: str) -> dict[tuple[Any, ...], dict[str, list[Line]]]:
    """The lines by these options, and then by their name."""
    found: dict[tuple[Any, ...], dict[str, list[Line]]] = {}
    for line in lines:
        group = found.setdefault(tuple(line.run.options[option] for option in options), {})
        group.setdefault(line.run.options["name"], []).append(line)
    return found


def last(lines: Iterable[Line], name: str, digits: int) -> str:
    """Where a hyperparameter ended."""
    return spread([line.result["hyperparameters"][-1][name] for line in lines], digits)


def result(lines: Iterable[Line], name: str, digits: int = 2) -> str:
    """What was measured at the end."""
    return spread([line.result[name] for line in lines], digits)
