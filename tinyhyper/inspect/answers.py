"""An answer in three forms: text for a terminal, HTML for a notebook, and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from ..files import write_as
from ..plain import markup, plain, plain_lines, table
from .canvas import Picture
from .table import drawn_table, shown
from .text import WIDTH

GLOSSARY = "docs/glossary.md explains the words, such as cut, path, ghost, level, coordinate and window."


@dataclass(frozen=True)
class Answer:
    """A question, the answer in words, and a table of what the answer rests on.

    print it for text; in a notebook it shows itself; `svg()` and `save_svg(path)` give the picture. docs/glossary.md
    explains the words.
    columns, rows: the table, its numbers as they are.  bar: the column that a drawn table shows as bars.
    draw: makes the picture; None for the table as a picture.  looks: of each row, how its bar looks.
    """

    question: str
    text: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    bar: str | None = None
    draw: Callable[[], Picture] | None = None
    looks: Sequence[str] = ()

    @property
    def _cells(self) -> list[tuple[str, ...]]:
        return [tuple(map(shown, row)) for row in self.rows]

    @property
    def _numeric(self) -> list[int]:
        """The columns of numbers."""
        columns = enumerate(zip(*self.rows))
        return [n for n, column in columns if all(isinstance(cell, (int, float)) for cell in column)]

    def __str__(self) -> str:
        cells = [self.columns, *self._cells] if self.rows else []
        widths, right = [max(map(len, column)) for column in zip(*cells)], self._numeric
        lines = [
            "  ".join(f"{c:>{w}}" if n in right else f"{c:<{w}}" for n, (c, w) in enumerate(zip(row, widths))).rstrip()
            for row in cells
        ]
        words = "\n".join(fill(line, WIDTH) for line in plain_lines(self.text).split("\n"))
        return "\n".join([plain(self.question), words, *(["", *lines] if lines else [])])

    def svg(self) -> Picture:
        """The picture, as the text of an SVG, which a notebook shows."""
        if self.draw is not None:
            return self.draw()
        return drawn_table(self.question, self.text, self.columns, self.rows, self.bar, self.looks)

    def save_svg(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, which appears whole or not at all; returns its path."""
        return write_as(".svg", path, self.svg())

    def _repr_html_(self) -> str:
        words = markup(self.text).replace("\n", "<br>")
        picture = "" if self.draw is None else self.svg()
        rows = table(self._cells, self.columns, self._numeric) if self.rows else ""
        return f"<div><p><b>{markup(self.question)}</b></p><p>{words}</p>{picture}{rows}<small>{GLOSSARY}</small></div>"

