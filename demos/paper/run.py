"""A run as plain data: what is to be done, and what came of it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


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
