"""An answer in three forms: text for a terminal, HTML for a notebook, and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Any

from ..files import write
from .canvas import Picture
from .diagram import diagram
from .figure import Key, figure, steps_of
from .plain import markup, plain, plain_lines, table
from .records import Place, Recording
from .svg import Drawing
from .table import drawn_table, shown
from .text import WIDTH

GLOSSARY = "docs/glossary.md explains the words, such as cut, path, ghost, level, coordinate and window."
MOST = 6  # steps that a picture shows of a path


@dataclass(frozen=True)
class Answer:
    """A question, the answer in words, and a table of what the answer rests on.

    print it for text; in a notebook it shows itself; `svg()` and `save_svg(path)` give the picture. docs/glossary.md
    explains the words.
    columns, rows: the table, its numbers as they are.  bar: the column that a drawn table shows as bars.
    looks: of each row, how its bar looks.
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
        return write(path, self.svg())

    def _repr_html_(self) -> str:
        words = markup(self.text).replace("\n", "<br>")
        picture = "" if self.draw is None else self.svg()
        rows = table(self._cells, self.columns, self._numeric) if self.rows else ""
        return f"<div><p><b>{markup(self.question)}</b></p><p>{words}</p>{picture}{rows}<small>{GLOSSARY}</small></div>"


def picture(
    tape: Recording,
    trail: Sequence[Place] = (),
    marks: Collection[int] = (),
    caption: str | None = None,
    *,
    opened: Collection[int] = (),
    amounts: Callable[[Mapping[Place, Key]], Mapping[tuple[Key, Key], float]] | None = None,
    differing: Sequence[tuple[Place, Place]] = (),
) -> Callable[[], Picture] | None:
    """The graph of the steps around a path or some cuts, to be drawn on demand; without steps, the whole graph.

    opened: cuts that are left out.  amounts: what came along the arrow from one box
    to another, by the boxes of places.  differing: the ends of links that another recording has not, or has otherwise.
    """
    steps = [tape.node(place).step for place in trail] + [tape.cuts[number].step - 1 for number in (*marks, *opened)]
    steps += [tape.node(target).step - 1 for _, target in differing[-1:]]
    known = steps_of(tape)
    if not known:
        return partial(diagram, tape, (), caption) if tape.nodes else None

    def draw() -> Picture:
        first = None
        if steps:
            wanted = min(*steps, figure(tape).steps[-1] - 1)
            first = max((step for step in known if step <= wanted), default=known[0])
        last = max((tape.node(place).step for place in trail), default=0)
        drawn = figure(tape, first, opened, 2 if first is None else min(max(last - first + 1, 2), MOST))
        joined = {frozenset((arrow.source, arrow.target)) for arrow in drawn.arrows}

        def boxes(trail: Sequence[Place]) -> list[Key]:
            keys = [drawn.where[place] for place in trail if place in drawn.where]
            found = [key for n, key in enumerate(keys) if not n or key != keys[n - 1]]
            return found if joined.issuperset(map(frozenset, pairwise(found))) else []

        cuts = {cut.number for arrow in drawn.arrows for cut in arrow.cuts}
        came = {} if amounts is None else amounts(drawn.where)
        others = [(ends, amount) for ends, amount in came.items() if frozenset(ends) in joined]
        band = drawn.trail() if caption is None else boxes(trail)
        here = drawn.where
        ends = {(here[a], here[b]) for a, b in differing if a in here and b in here}
        return Drawing(drawn, band, [n for n in marks if n in cuts], caption, others, ends).draw()

    return draw
