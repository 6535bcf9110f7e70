"""What is in a checkpoint, as a picture of the file: a box for each array, and the step that `th.load` repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..plain import count
from .canvas import HALL, Picture
from .letters import clip, wide
from .saved import Saved
from .table import LEFT, Sheet, above
from .timeline import amount

WIDE, GAP, PAD = 540, 150, 14  # how wide a part is, and what is between parts; a part's margin
LINE, HIGH, DOWN = 23, 26, 30  # from line to line of words; how high a box is, and from row to row
FEW, LONGEST, LETTERS = (24, 12, 8, 4, 2), 26, 15  # boxes of a kind, as many as fit; characters in a box; their size
PARTS = {" read": "what the last step read", "value": "values as they are now", "gradient": "gradients in .grad"}
LEVEL = "hyperparameters"
SHAPES = "The shape of an array stands behind its name. What has none is one number."


class Section:
    """A part of the file: lines of words and boxes, with their places. high: its height.

    why: of its arrays.  rows: the arrays, each with what it is called.  few: how many of a kind have a box.
    With the hyperparameters as they are now stands t of their level, which is no array.
    """

    def __init__(self, why: str, rows: Sequence[tuple[str, Saved]], few: int) -> None:
        self.words: list[tuple[float, str, str]] = []
        self.boxes: list[tuple[float, float, float, str]] = []
        self.high: float = PAD
        size = sum(row.bytes for _, row in rows)
        kinds: dict[str, list[str]] = defaultdict(list)
        for name, row in rows:
            kinds[_kind(row)].append(clip(name, LONGEST) + (f" {row.shape}" if row.shape else ""))
        counted = [kind for kind in kinds if why == "value" and kind.startswith(LEVEL)]
        also = f" and {count(len(counted), 'number')} t" if counted else ""
        self._write(f"{PARTS[why]}: {count(len(rows), 'array')}, {amount(size)}{also}", "th-lane")
        for kind, names in kinds.items():
            self._write(kind, "th-small")
            more = [f"and {len(names) - few} more"] if len(names) > few else []
            self._put([*names[:few], *more, *(["t"] if kind in counted else [])])
        self.high += PAD - 8

    def _write(self, text: str, style: str) -> None:
        self.words.append((self.high + 14, text, style))
        self.high += LINE

    def _put(self, names: Sequence[str]) -> None:
        """Boxes, in as many rows as they need."""
        x: float = PAD
        for name in names:
            room = 12 + LETTERS * wide(name)
            if x + room > WIDE - PAD and x > PAD:
                x, self.high = PAD, self.high + DOWN
            self.boxes.append((x, self.high, room, name))
            x += room + 8
        self.high += DOWN

    def draw(self, sheet: Sheet, left: float, top: float) -> None:
        """Draw it on a picture."""
        sheet.add("rect", x=left, y=top, width=WIDE, height=self.high, rx=8, class_="th-band")
        for y, text, style in self.words:
            sheet.write(left + PAD, top + y, text, style)
        for x, y, room, name in self.boxes:
            sheet.add("rect", x=left + x, y=top + y, width=f"{room:.1f}", height=HIGH, rx=5, class_="th-box")
            sheet.write(left + x + room / 2, top + y + 18, name, "", None, "middle")


def contents(title: str, words: str, rows: Sequence[tuple[str, Saved]], live: bool) -> Picture:
    """The picture of a file. rows: its arrays, each with its name.  live: whether `th.load` repeats its last step."""
    arrays = {why: [row for row in rows if row[1].why.endswith(why)] for why in PARTS}
    for few in FEW:
        read, *now = [Section(why, found, few) if found else None for why, found in arrays.items()]
        stacked = [part for part in now if part is not None]
        high = max(sum(part.high + LEFT for part in stacked), 0 if read is None else read.high + LEFT)
        if above(words) + high + LINE <= HALL:
            break
    left: float = LEFT + (WIDE + GAP if read else 0)
    shapes = any(row.shape for _, row in rows)
    sheet = Sheet(title, words, left + WIDE + LEFT, high + LINE * shapes)
    sheet.write(LEFT, sheet.top + high + 8, SHAPES if shapes else "", "th-small")
    if read is not None:
        read.draw(sheet, LEFT, sheet.top)
        x, y, flow = LEFT + WIDE, sheet.top + 62, "kept" if live else "value"
        sheet.arrow(None, f"M{x + 4:g} {y:g} H{x + GAP - 6:g}", f"th-arrow th-{flow}", flow)
        for n, line in enumerate(("th.load repeats", "that step") if live else ("the last step",)):
            sheet.write(x + GAP / 2, y - 29 + 18 * n, line, "th-small", None, "middle")
    for n, part in enumerate(stacked):
        part.draw(sheet, left, sheet.top + sum(above.high + LEFT for above in stacked[:n]))
    return sheet.picture()


def _kind(row: Saved) -> str:
    """What kind of array it is."""
    if row.why.startswith("gradient"):
        return "gradients"
    level = f"of level {row.level}" if row.role != "weights" else ""
    return {"weights": "weights", "state": f"state {level}"}.get(row.role, f"{LEVEL} {level}")
