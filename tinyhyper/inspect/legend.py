"""The legend of a picture: what each kind of arrow, box and mark in it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from textwrap import wrap
from typing import Literal

from ..naming import within
from ..plain import NOUGHT
from .canvas import Canvas
from .letters import clip, wide
from .shapes import Box

LEFT, ROW, KEY, APART = 18, 23, 62, 16  # margin; height of a row; from a key to its words, to the next key
SMALL, LETTERS = 7.2, 14  # about the width of a letter; the size of letters
BACK = "trail", "branch"  # bands that run from a loss back
NORM, COORDINATE = "the norm of an array", "the coordinate that the level above moves"
ROUNDING, INSTEAD = "0 up to rounding", "the gradient without the cut"
MARKS = {
    "marked": "the cut in question",
    "ghost": "the gradient that the cut stopped",
    "row-asked": "a value in question",
}


def texts(boxes: Iterable[Box], numbers: Callable[[Box], Sequence[str]]) -> dict[str, str]:
    """What gradients and their numbers look like in boxes, and what it means. numbers: those in the rows of a box."""
    rows = [(box, numbers(box)) for box in boxes if box.key.kind == "gradient"]
    shown = [(box, found) for box, found in rows if len(box.names) == 1 or len(found) > 1]
    found = {"|…|": NORM} if any(box.norms and len(rows) > 1 for box, rows in shown) else {}
    for sign, words in ((NOUGHT, ROUNDING), ("→", INSTEAD)):
        if any(sign in text for _, rows in shown for text in rows):
            found[sign] = words
    coordinates = sorted({coordinate for box, _ in shown for coordinate in box.coordinates.values()})
    return found | {within(coordinate, "…"): COORDINATE for coordinate in coordinates}


class Legend:
    """Keys in rows, as many as fit, and notes after them: in rows of their own, where there is room.

    flows: what each kind of arrow, box or mark means.  width: of the picture.  height: of the legend.
    room: how high it may be for the sake of these rows.
    """

    def __init__(
        self, flows: Mapping[str, str], width: float, notes: Sequence[str] = (), room: float = 0.0
    ) -> None:
        self._place(flows, width, notes, len(flows))
        if self.height > room:
            self._place(flows, width, notes, None)

    def _place(self, flows: Mapping[str, str], width: float, notes: Sequence[str], begin: int | None) -> None:
        """Say where all is. begin: which cell begins a row in any case."""
        self.cells: list[tuple[float, int, str, str]] = []
        x, row = float(LEFT), 0
        lines = [("", line) for note in notes for line in wrap(note, int((width - 2 * LEFT) / SMALL))]
        for n, (kind, words) in enumerate([*flows.items(), *lines]):
            key = _wide(kind)
            if x > LEFT and (n == begin or x + key + SMALL * len(words) > width - LEFT):
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
            canvas.write(x + _wide(kind), y, words, "th-small")


def _text(kind: str) -> bool:
    """Whether a key is a text."""
    return kind in ("ghost", NOUGHT, "→") or "…" in kind


def _wide(kind: str) -> float:
    """How wide a key is."""
    return 18 + LETTERS * wide(kind) if _text(kind) else KEY if kind else 0


def _key(canvas: Canvas, kind: str, x: float, y: float) -> None:
    """Draw what a cell explains. y: its middle."""
    pill = partial(canvas.add, "rect", None, "", y=y - 8, height=16, rx=8, class_="th-box th-gradient th-key")
    if _text(kind):
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
