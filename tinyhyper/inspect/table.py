"""A table as a picture: text in columns, and one column of numbers as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, isfinite, log10
from textwrap import fill
from typing import Any

from ..plain import plain, short
from .canvas import HALL, Canvas, Picture
from .letters import wide as breadth

ROW, LEFT, BAR, BASE = 26, 18, 300, 15  # heights and widths: of a row, the margin, the longest bar; a row's baseline
CLOSE = 19  # how high a row of a long table is
SIZE, LARGE = 15, 21  # of the letters, and of the title, which is bold
LETTER, LINE = 7.6, 112  # about the width of a letter, and how many there are in a line of words
MANY = 300  # so many times as large as the smallest bar the longest is before the scale is logarithmic
KEYS = {
    "th-bar": "a number above 0",
    "th-bar th-minus": "a number below 0",
    "th-bar th-norm": "the norm of an array",
}  # what a bar means by how it looks


def shown(cell: Any) -> str:
    """A cell of a table as text."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return short(cell) if cell is None or isinstance(cell, float) else plain(str(cell))


def starts(cells: Sequence[Sequence[str]]) -> list[float]:
    """Where the columns of a table begin, and where the last one ends."""
    widths = [LETTER * max(map(len, column)) + 24 for column in zip(*cells)]
    return [LEFT + sum(widths[:n]) for n in range(len(widths) + 1)]


def above(words: str) -> float:
    """How high the title and some words are."""
    return ROW * (len(fill(words, LINE).splitlines()) + 2) + 10


def fitting(words: str, beside: int, line: int = ROW) -> int:
    """How many rows fit on a slide below some words. beside: rows of something else.  line: how high a row is."""
    return max(int((HALL - 6 - above(words)) / line) - beside, 1)


def logarithmic(numbers: Sequence[float]) -> bool:
    """Whether bars of these sizes are drawn on a logarithmic scale: the smallest would not be seen on another."""
    sizes = [abs(number) for number in numbers if number and isfinite(number)]
    return bool(sizes) and max(sizes) > MANY * min(sizes)


def lengths(numbers: Sequence[float]) -> list[float]:
    """How long the bars of some numbers are, as parts of the scale, which ends with the longest if it is not
    logarithmic; what is not finite is as long as the scale.
    """
    sizes = [abs(number) for number in numbers if number and isfinite(number)]
    if logarithmic(numbers):
        low, high, _ = _decades(sizes)
        found = [(log10(abs(n)) - low) / (high - low) if n and isfinite(n) else 0.0 for n in numbers]
    else:
        found = [abs(number) / max(sizes, default=1.0) for number in numbers]
    return [length if isfinite(number) else 1.0 for number, length in zip(numbers, found)]


def ticks(numbers: Sequence[float]) -> dict[str, float]:
    """Some powers of ten on the logarithmic scale of some bars, with both its ends, and where they stand as parts of
    it.
    """
    low, high, apart = _decades([abs(number) for number in numbers if number and isfinite(number)])
    return {short(10.0**n): (n - low) / (high - low) for n in range(low, high + 1, apart)}


def _decades(sizes: Sequence[float]) -> tuple[int, int, int]:
    """Between which powers of ten a logarithmic scale is, and how far apart its ticks are.

    It begins so far below the smallest size that its bar is seen.
    """
    low, high = floor(log10(min(sizes)) - 0.1), log10(max(sizes))
    apart = ceil((high - low) / 4)
    return low, low + apart * ceil((high - low) / apart), apart


class Sheet(Canvas):
    """The picture of an answer, below the question and some words. top: where the drawing begins.

    wide, high: how large the drawing is.  line: how high a row of it is.
    """

    def __init__(self, title: str, words: str, wide: float, high: float, line: int = ROW) -> None:
        lines = [title, *fill(words, LINE).splitlines()]
        broad = max(LARGE * breadth(title), SIZE * max(map(breadth, lines)))
        self.top, self.wide, self.line = above(words), max(wide, 2 * LEFT + broad), line
        super().__init__(self.wide, self.top + high, "th-answer")
        self.style("picture", "table")
        self.add("rect", class_="th-ground", width="100%", height="100%")
        for n, text in enumerate(lines):
            self.write(LEFT, ROW * (n + 1) + 4, text, "" if n else "th-title")

    def row(self, n: int, places: Sequence[float], cells: Sequence[str], style: str = "") -> None:
        """Write a row of text."""
        for x, cell in zip(places, cells):
            self.write(x, self.top + self.line * n + BASE, cell, style)

    def bar(self, n: int, x: float, length: float, style: str) -> None:
        """Draw a bar in a row."""
        y, high = self.top + self.line * n + 3, min(self.line, ROW - 7) - 3
        self.add("rect", x=x, y=y, height=high, width=f"{length:.1f}", class_=style)

    def keys(self, n: int, keys: Mapping[str, str], note: str = "") -> None:
        """Say in a row what bars mean, by how they look, and a word more."""
        x: float = LEFT
        for style, words in keys.items():
            self.bar(n, x, 24, f"{style} th-key")
            self.write(x + 32, self.top + self.line * n + BASE, words, "th-small")
            x += 56 + LETTER * len(words)
        self.write(x, self.top + self.line * n + BASE, note, "th-small")


def drawn_table(
    title: str,
    words: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    bar: str | None,
    looks: Sequence[str] = (),
) -> Picture:
    """The SVG of the first rows of a table below its title and some words. bar: the column that is also drawn as bars.

    Below them it says how many rows are left out, and how large their bars would be at most.
    looks: of each row, how its bar looks.
    """
    beside = 5 if looks else 3
    line = next((line for line in range(ROW, CLOSE, -1) if fitting(words, beside, line) >= len(rows)), CLOSE)
    most = fitting(words, beside, line)
    keys = {look: KEYS[look] for look in KEYS if look in looks[:most]}
    every = [] if bar is None else [row[columns.index(bar)] or 0.0 for row in rows]
    numbers, rest = every[:most], [abs(number) for number in every[most:]]
    cells = [tuple(columns), *[tuple(map(shown, row)) for row in rows[:most]]]
    places, more = starts(cells), len(rows) - most
    log = logarithmic(numbers)
    high = line * (len(cells) + (more > 0) + log + 2 * bool(keys)) + 6
    sheet = Sheet(title, words, places[-1] + (BAR + 2 * LEFT if numbers else 0), high, line)
    for n, row in enumerate(cells):
        sheet.row(n, places, row, "" if n else "th-head")
    if more > 0:
        size = f", {bar} at most {short(max(rest))} in size" if rest else ""
        sheet.row(len(cells) + log, places, [f"and {more} more row{'s' * (more > 1)}{size}: print the answer"])
    for n, length in enumerate(lengths(numbers), start=1):
        sheet.bar(n, places[-1], BAR * length, looks[n - 1] if looks else "th-bar")
    if log:
        sheet.row(len(cells), places[-1:], [f"{bar}, on a logarithmic scale"], "th-small")
        for text, part in ticks(numbers).items():
            x = places[-1] + BAR * part
            sheet.write(x, sheet.top + BASE, text, "th-head", None, "middle" if part else "start")
            path = f"M{x:.1f} {sheet.top + line - 4:g} V{sheet.top + line * len(cells):g}"
            sheet.add("path", d=path, class_="th-value")
    sheet.keys(len(cells) + (more > 0) + log + 1, keys)
    return sheet.picture()
