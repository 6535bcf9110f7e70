"""A run as plain data: what is to be done, where it works, and what came of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyhyper import files


class Stopped(Exception):
    """The run was told to stop, by its own starter or because a later one has come."""


@dataclass(frozen=True)
class Run:
    """One training, described by what decides its numbers; two runs of the same description are the same run.

    kind: the module whose `perform` carries it out.  stack: the optimizers, bottom first.  steps: how many at most.
    options: whatever else the kind wants to know, JSON-able.
    """

    experiment: str
    kind: str
    stack: str
    seed: int
    steps: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A name for files: the stack and the seed for people, and a hash of the whole description."""
        text = json.dumps(asdict(self), sort_keys=True, allow_nan=False)
        readable = re.sub(r"[^\w.-]+", "_", self.stack)[:40].strip("_")
        return f"{readable}-{self.seed}-{hashlib.blake2s(text.encode(), digest_size=6).hexdigest()}"

    @property
    def cost(self) -> float:
        """How long it takes, roughly, in milliseconds."""
        return self.steps * float(getattr(import_module(self.kind), "COST", 1.0))


@dataclass(frozen=True)
class Place:
    """What a run is told beside its description; none of it changes the numbers, but for last bits by threads.

    folder: for checkpoints.  data: the folder of data sets, None for the loaders' own places.
    threads: of kernels, in each run.  command: what the user typed.  starter: a name that no other starter has.
    every: seconds between two checkpoints.  look: seconds between two looks at whether something is due.
    fingerprint: of the data, once they are loaded.
    """

    folder: Path
    data: Path | None = None
    threads: int = 1
    command: str = ""
    starter: str = "this"
    every: float = 20.0
    look: float = 0.5
    fingerprint: str | None = None

    @property
    def turn(self) -> Path:
        """The file that names the starter whose runs may go on."""
        return self.folder / "turn"

    def checkpoint(self, run: Run) -> Path:
        """The file of the run's checkpoint."""
        return self.folder / f"{run.key}.npz"

    def go(self) -> None:
        """Let the runs of this starter go on; those of an earlier starter stop."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write(self.turn, self.starter)

    def stop(self) -> None:
        """Let all runs make a checkpoint and stop."""
        with suppress(OSError):
            files.write(self.turn, "nobody")

    def stopping(self) -> bool:
        """Whether runs of this starter are to stop. On a machine without the file they go on."""
        try:
            return self.turn.read_text() != self.starter
        except OSError:
            return False

    def leave(self) -> None:
        """Remove the folder, if no checkpoint is in it."""
        with suppress(OSError):
            self.turn.unlink()
            self.folder.rmdir()


class Line(NamedTuple):
    """A finished run.

    result: what its kind found; None stands for a number that was not finite.
    record: seconds, when it ended, the machine, threads, versions and the command.
    """

    run: Run
    result: dict[str, Any]
    record: dict[str, Any]

    def text(self) -> str:
        """As one line of JSON."""
        return json.dumps({"run": asdict(self.run), "result": self.result, "record": self.record}, allow_nan=False)

    @classmethod
    def read(cls, text: str) -> Line:
        """From one line of JSON. Raises ValueError, KeyError or TypeError for anything else."""
        data = json.loads(text)
        run, record = dict(data["run"]), dict(data["record"])
        run["kind"] = re.sub(r"^demos\.(?!paper\.)", "demos.paper.", run["kind"])  # an older line
        if "command" in record:
            record["command"] = re.sub(r"^python -m demos (?!paper )", "python -m demos paper ", record["command"])
        return cls(Run(**run), dict(data["result"]), record)


class Store:
    """The file of finished runs: a line of JSON each, by the key of its run. Of two lines of one run, the first counts.

    say: what to do with a word about lines that cannot be read, as after a crash in the middle of one.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        self.lines: dict[str, Line] = {}
        texts = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else [""]
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                continue
            try:
                line = Line.read(text)
            except (ValueError, KeyError, TypeError):
                say(f"{path}: line {number} is torn or damaged; it is ignored, and its run counts as not finished")
            else:
                self.lines.setdefault(line.run.key, line)
        self.torn = bool(texts[-1])

    def add(self, line: Line) -> None:
        """Append a line; when this returns, it is on the disk. Where that raises OSError, it is kept in memory."""
        self.lines.setdefault(line.run.key, line)
        before, self.torn = self.torn, True
        with open(self.path, "ab") as file:
            file.write(("\n" * before + line.text() + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self.torn = False

    def of(self, runs: Iterable[Run]) -> list[Line]:
        """The lines of those runs that are finished, in their order."""
        return [self.lines[run.key] for run in runs if run.key in self.lines]


def plain(value: Any) -> Any:
    """As JSON has it: NumPy's numbers as Python's, tuples as lists, and None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
