"""The picture of a gradient's paths in groups: a table above the steps says what each path contributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .canvas import SLIDE
from .groups import Row
from .layout import LOW
from .letters import fitted, wide
from .picture import Drawing
from .rows import SMALL

COLUMNS, APART, NAME = 3, 36, 26  # how many blocks are side by side; between them; of the names of groups


class Grouped(Drawing):
    """A drawing with a table. blocks: of each group, its rows; they stand in columns, in their order from the left."""

    def __init__(self, blocks: Sequence[Sequence[Row]], *how: Any) -> None:
        self.columns: list[list[Row]] = [[] for _ in blocks[:COLUMNS]]
        for block in blocks:
            min(self.columns, key=len).extend(block)
        self.below = float(LOW * max(map(len, self.columns)))
        super().__init__(*how)

    def _size(self, flows: Any, width: float) -> None:
        """Find where all is. The table is as wide as a slide."""
        super()._size(flows, max(width, SLIDE))

    def _head(self) -> None:
        super()._head()
        broad = (SLIDE - 36 + APART) / COLUMNS
        for n, column in enumerate(self.columns):
            for row, (name, text, number) in enumerate(column):
                x, y, end = 18 + n * broad, self.under + LOW * row, 18 + (n + 1) * broad - APART
                self.write(x, y, name, "th-amount")
                room = (end - x - NAME) / SMALL - wide(number) - 0.4
                self.write(x + NAME, y, fitted(text, room), "th-row")
                self.write(end, y, number, "th-row" if name else "th-small", None, "end")
