"""The file of finished runs: one line of JSON each, appended by one process, whole once it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .run import Line, Run


class Store:
    """The lines of one file, by the key of their run; of two lines of one run, the first counts.

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
