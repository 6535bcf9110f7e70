"""What a user asked for on the command line, and which demo takes which options."""

from __future__ import annotations

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

    def command(self, demo: str) -> str:
        """What to type for this, without the options that say where and not what."""
        words = ["python -m demos", demo]
        for option in TAKES.get(demo, frozenset()) - WHERE:
            value = getattr(self, OPTIONS[option])
            if value != DEFAULTS[OPTIONS[option]]:
                several = value if isinstance(value, tuple) else (value,)
                words += [option] if value is True else [f"{option} {item}" for item in several]
        return " ".join([*words[:2], *sorted(words[2:])])


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}

# The option, and the setting that it is.
OPTIONS = {
    "--stack": "stacks",
    "--alpha": "alphas",
    "--epochs": "epochs",
    "--seed": "seed",
    "--out": "out",
    "--quick": "quick",
    "--threads": "threads",
    "--only": "only",
    "--again": "again",
    "--seeds": "seeds",
    "--jobs": "jobs",
    "--dask": "dask",
    "--data-dir": "data",
}
WHERE = frozenset({"--out", "--jobs", "--dask", "--data-dir", "--again"})
RUNNER = frozenset({"--seed", "--seeds", "--quick"}) | WHERE

TAKES = {
    "digits": frozenset({"--stack", "--alpha", "--epochs", "--seed", "--out"}),
    "figure1": frozenset({"--out"}),
    "bench": frozenset({"--out", "--quick", "--threads", "--only", "--again"}),
    "horizon": frozenset({"--seed", "--out"}),
    "bugs": frozenset({"--seed", "--out"}),
    "table1": RUNNER | {"--epochs"},
    "walls": RUNNER | {"--epochs"},
    "resnet": RUNNER | {"--epochs"},
    "charrnn": RUNNER | {"--epochs"},
    "towers": RUNNER | {"--epochs", "--only"},
    "bounded": RUNNER | {"--epochs"},
    "soak": frozenset({"--seed", "--quick", "--out"}),
    "results": frozenset({"--out"}),
}


def refuse(settings: Settings, demo: str) -> None:
    """Raise UsageError if an option for which the demo has no use was given."""
    for option, name in OPTIONS.items():
        if option not in TAKES[demo] and getattr(settings, name) != DEFAULTS[name]:
            raise UsageError(f"{option}: the demo '{demo}' does not take it, but {', '.join(sorted(TAKES[demo]))}")
