"""The legend of a picture: what each kind of arrow, box and mark in it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

from ..naming import within
from ..plain import NOUGHT, short
from .canvas import Canvas
from .letters import clip
from .shapes import Box

LEFT, ROW, KEY, APART = 18, 23, 62, 16  # margin; height of a row; from a key to its words, to the next key
SMALL = 7.2  # about the width of a letter
BACK = "trail", "branch"  # bands that run from a loss back
NORM, COORDINATE = "the norm of an array", "the coordinate that the level above moves"
ROUNDING = "0 up to rounding"
MARKS = {
    "marked": "the cut in question",
    "ghost": "the gradient that the cut stopped",
    "row-asked": "a value in question",
}


def texts(boxes: Iterable[Box], rows: Callable[[Box], int]) -> dict[str, str]:
    """What gradients are called in boxes, and what it means. rows: how many a box has."""
    shown = [box for box in boxes if box.key.kind == "gradient" and (len(box.names) == 1 or rows(box) > 1)]
    found = {"|…|": NORM} if any(box.norms and rows(box) > 1 for box in shown) else {}
    if any(short(value) == NOUGHT for box in shown for value in box.names.values()):
        found[NOUGHT] = ROUNDING
    coordinates = sorted({coordinate for box in shown for coordinate in box.coordinates.values()})
    return found | {within(coordinate, "…"): COORDINATE for coordinate in coordinates}


class Legend:
    """Keys in rows, as many as fit, and notes after them.

    flows: what each kind of arrow, box or mark means.  width: of the picture.  height: of the legend.
    """

    def __init__(self, flows: Mapping[str, str], width: float, notes: Sequence[str] = ()) -> None:
        self.cells: list[tuple[float, int, str, str]] = []
        x, row = float(LEFT), 0
        for kind, words in [*flows.items(), *[("", note) for note in notes]]:
            key = KEY if kind else 0
            if x > LEFT and x + key + SMALL * len(words) > width - LEFT:
                x, row = LEFT, row + 1
            self.cells.append((x, row, kind, clip(words, int((width - x - key - LEFT) / SMALL))))
            x += key + SMALL * len(words) + APART
        self.height = ROW * (row + 1) if self.cells else 0

    def draw(self, canvas: Canvas, top: float) -> None:
        """Draw it on a picture. top: the baseline of the first row."""
        for x, row, kind, words in self.cells:
            y = top + ROW * row
            if kind:
                _key(canvas, kind, x, y - 5)
            canvas.write(x + (KEY if kind else 0), y, words, "th-small")


def _key(canvas: Canvas, kind: str, x: float, y: float) -> None:
    """Draw what a cell explains. y: its middle."""
    pill = partial(canvas.add, "rect", None, "", y=y - 8, height=16, rx=8, class_="th-box th-gradient th-key")
    if kind in ("ghost", NOUGHT) or "…" in kind:  # a text
        canvas.write(x + 8, y + 5, kind, "th-reason" if kind == "ghost" else "th-row")
        return
    if kind == "row-asked":
        canvas.add("rect", x=x + 10, y=y - 8, width=32, height=16, class_="th-row-asked th-key")
    elif kind == "gradient":
        pill(x=x + 10, width=32)
    elif kind != "marked":
        end: Literal["start", "end"] = "start" if kind in BACK else "end"
        long = 22 if kind == "backward" else 52
        canvas.arrow(None, f"M{x:g} {y:g} H{x + long:g}", f"th-arrow th-{kind} th-key", kind, end)
    if kind == "backward":
        pill(x=x + 24, width=28)
    if kind == "gate":
        canvas.gate(x + 22, y, "th-key")
    if kind in ("cut", "idle", "marked"):
        canvas.scissors(x + 22, y, f"th-{kind} th-key".removeprefix("th-cut "))
