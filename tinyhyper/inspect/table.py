"""A table as a picture: text in columns, and one column of numbers as bars."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from .canvas import Canvas, Picture
from .plain import plain, short

ROW, LEFT, BAR, BASE = 26, 18, 300, 15  # heights and widths: of a row, the margin, the longest bar; a row's baseline
LETTER, LINE = 7.6, 112  # about the width of a letter, and how many there are in a line of words
MOST = 40  # rows in a picture


def shown(cell: Any) -> str:
    """A cell of a table as text."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return short(cell) if cell is None or isinstance(cell, float) else plain(str(cell))


def drawn_table(
    title: str, words: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], bar: str | None
) -> Picture:
    """The SVG of a table below its title and some words. bar: the column that is also drawn as bars."""
    lines = [title, *fill(words, LINE).splitlines()]
    numbers = [] if bar is None else [row[columns.index(bar)] or 0.0 for row in rows[:MOST]]
    cells = [tuple(columns), *[tuple(map(shown, row)) for row in rows[:MOST]]]
    if len(rows) > MOST:
        cells.append((f"and {len(rows) - MOST} more rows",))
    widths = [LETTER * max(map(len, column)) + 24 for column in zip(*cells[: MOST + 1])]
    starts = [LEFT + sum(widths[:n]) for n in range(len(widths) + 1)]
    top = ROW * (len(lines) + 1) + 10
    width = max(starts[-1] + (BAR + LEFT if numbers else 0), 2 * LEFT + LETTER * LINE)
    canvas = Canvas(width, top + ROW * len(cells) + 6, "th-answer")
    canvas.style("picture")
    canvas.add("rect", class_="th-ground", width="100%", height="100%")
    for n, line in enumerate(lines):
        canvas.write(LEFT, ROW * (n + 1) + 4, line, "" if n else "th-title")
    for n, row in enumerate(cells):
        for x, cell in zip(starts, row):
            canvas.write(x, top + ROW * n + BASE, cell, "" if n else "th-head")
    longest = max(map(abs, numbers), default=0.0) or 1.0
    for n, number in enumerate(numbers, start=1):
        style, length = "th-bar" if number >= 0 else "th-bar th-minus", BAR * abs(number) / longest
        canvas.add("rect", x=starts[-1], y=top + ROW * n + 3, height=ROW - 10, width=f"{length:.1f}", class_=style)
    return canvas.picture()
