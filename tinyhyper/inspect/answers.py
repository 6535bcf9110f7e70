"""An answer in three forms: text for a terminal, HTML for a notebook, and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill
from typing import Any

from ..files import write
from .table import drawn_table, shown
from .text import WIDTH


@dataclass(frozen=True)
class Answer:
    """What was asked, the answer in words, and a table of what it rests on.

    print it for text; in a notebook it shows itself; `svg()` and `save_svg(path)` give the picture.
    columns, rows: the table, its numbers as they are.  bar: the column that a drawn table shows as bars.
    """

    question: str
    text: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    bar: str | None = None
    draw: Callable[[], str] | None = None

    def __str__(self) -> str:
        cells = [self.columns, *[tuple(map(shown, row)) for row in self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells)] if self.rows else []
        numeric = [all(isinstance(row[n], (int, float)) for row in self.rows) for n in range(len(widths))]
        lines = [
            "  ".join(f"{c:>{w}}" if right else f"{c:<{w}}" for c, w, right in zip(row, widths, numeric)).rstrip()
            for row in (cells if self.rows else [])
        ]
        words = "\n".join(fill(line, WIDTH) for line in self.text.splitlines())
        return "\n".join([self.question, words, *(["", *lines] if lines else [])])

    def svg(self) -> str:
        """The picture."""
        return (
            drawn_table(self.question, self.text, self.columns, self.rows, self.bar)
            if self.draw is None
            else self.draw()
        )

    def save_svg(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, which appears whole or not at all; returns its path."""
        return write(path, self.svg())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.rows else ""
        picture = self.svg() if self.draw is not None else ""
        words = escape(self.text).replace("\n", "<br>")
        return f"<div><p><b>{escape(self.question)}</b></p><p>{words}</p>{picture}{table}</div>"
