"""The legend of a picture: what each kind of arrow in it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .canvas import Canvas
from .letters import clip

LEFT, ROW, KEY = 18, 26, 62  # the margin, the height of a row, from a key to its words
SMALL = 7.2  # about the width of a letter
BACK = "trail", "branch"  # bands that run from a loss back


class Legend:
    """Keys in as many columns as fit, and a note in the cell after them.

    flows: what each kind of arrow means.  width: of the picture.  height: of the legend.
    """

    def __init__(self, flows: Mapping[str, str], width: float, note: str = "") -> None:
        pitch = KEY + 14 + SMALL * max(map(len, flows.values()), default=0)
        columns = max(1, int((width - LEFT) / pitch))
        self.cells = [(LEFT + pitch * (n % columns), n // columns, *cell) for n, cell in enumerate(flows.items())]
        if note:
            row, column = divmod(len(flows), columns)
            if column and LEFT + pitch * column + KEY + SMALL * len(note) > width - LEFT:
                row, column = row + 1, 0
            x = LEFT + pitch * column
            self.cells.append((x, row, "", clip(note, int((width - x - KEY - LEFT) / SMALL))))
        self.height = ROW * (1 + max([row for _, row, *_ in self.cells], default=-1))

    def draw(self, canvas: Canvas, top: float) -> None:
        """Draw it on a picture. top: the baseline of the first row."""
        for x, row, flow, words in self.cells:
            y = top + ROW * row
            if flow:
                end: Literal["start", "end"] = "start" if flow in BACK else "end"
                canvas.arrow(None, f"M{x:g} {y - 5:g} H{x + 52:g}", f"th-arrow th-{flow} th-key", flow, end)
            if flow == "cut":
                canvas.scissors(x + 22, y - 5, "th-key")
            canvas.write(x + KEY, y, words, "th-small")
