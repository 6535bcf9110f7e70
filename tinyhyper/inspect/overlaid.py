"""The picture of two recordings: bands mark what differs, and a table says what a step of each costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from .canvas import HALL, SLIDE, Picture
from .layout import ASIDE, BESIDE, CONSTANT, HEADER, LOW, Layout, Route, between, elbow
from .letters import fitted
from .picture import LINE, TIP, Drawing
from .rows import SMALL
from .shapes import FIXED, Arrow, Box, Figure

LEAST = 12  # the size of small letters on a slide
CLOSE, SIDE = 26, 12  # between lanes; how far left of the steps a lane's line of constants begins
RAIL, NEAR = 9, 4  # how far below a lane it runs, and where arrows past a box run there, too
COLUMNS = (0, 190, 320, 430)  # of the table, from the right: where its numbers end


class Lanes(Layout):
    """Closer lanes: no number of a cut stands between them, and the lines of constants run there, from the left."""

    gaps, old, pill = (CLOSE + RAIL, CLOSE, CLOSE), 12, 22
    before, up = 46, [8, 21, 35]  # bands run there side by side
    widest = SLIDE * SMALL / LEAST  # in letters as small as they may be

    def _boxed(self, shown: Figure) -> set[int]:
        return {arrow.source.lane for arrow in shown.arrows if arrow.source.step == FIXED}

    def _gap(self, lane: int, gap: float) -> float:
        """More than CLOSE only below a lane whose constants' line runs there, if no arrow past a box needs the room."""
        rail = lane in self.boxed - self.bars and not self.skips
        return super()._gap(lane, gap if rail else min(gap, CLOSE))

    def rail(self, lane: int) -> float:
        """Where the line of a lane's constants runs."""
        return self.y[lane] + self.high[lane] / 2 + (NEAR if self.skips else RAIL)

    def lines(self, lane: int) -> int:
        """For how many lines there is room below a lane's heading."""
        return int((self.high[lane] / 2 + 7) // 18)

    def still(self, lane: int) -> tuple[float, float, float, float]:
        """Where the box of a lane's fixed hyperparameters stands."""
        if lane in self.bars:
            return super().still(lane)
        return 14, self.rail(lane), HEADER - SIDE - 14, 22

    def route(self, arrow: Arrow, apart: float = 0) -> Route:
        """Where an arrow runs."""
        source, target = arrow.source, arrow.target
        x1, y1 = self.center(target)
        top = y1 - self.height(target) / 2
        if source.step == FIXED and source.lane not in self.bars:
            return elbow(HEADER - SIDE, self.rail(source.lane), x1 + CONSTANT, top)
        if source.kind == target.kind == "gradient" and source.lane < target.lane and source.step < target.step:
            x0, y0 = self.center(source)
            side = x0 + self.round / 2
            y = self.rail(target.lane) + 6  # it passes boxes between the lanes
            path = f"M{side:g} {y0 - 8:g} H{side + 14:g} V{y:g} H{x1:g} V{y1 + self.height(target) / 2:g}"
            return Route(path, (x1, y))
        values = source.kind == target.kind == "values"
        if values and source.lane == target.lane and not self._free(source, target.step):
            return self._past(arrow, top)
        if values and source.lane > target.lane and FIXED < source.step < target.step:
            x0, y0 = self.center(source)
            side = self.wide / 2
            return between(x0 + side - 14, x1 - side + 34, y0 + self.height(source) / 2, top, x1)
        return super().route(arrow, apart)

    def _past(self, arrow: Arrow, top: float) -> Route:
        """Over the boxes of later steps, and down to the top of the last: the arrows from those come to its side."""
        flows = [flow for flow in BESIDE if (arrow.source, arrow.target, flow) in self.arrows]
        own, side, bend = ASIDE * flows.index(arrow.flow), self.wide / 2, 8
        x0, x1, y = self.center(arrow.source)[0] + side - 14 - own, self.center(arrow.target)[0] - side, top - 17 + own
        end = x1 + 22 + own
        path = f"M{x0:g} {top:g} V{y + bend:g} Q{x0:g} {y:g} {x0 + bend:g} {y:g} H{end - bend:g}"
        return Route(f"{path} Q{end:g} {y:g} {end:g} {y + bend:g} V{top:g}", (x1 - 76, y))


class Overlaid(Drawing):
    """The figure of two recordings. rows: of the table, below its head."""

    lay, hall = Lanes, HALL * SMALL / LEAST
    head = "", "", "nodes a step", "cuts a step", "kept, at most", "time of a warm step"

    def __init__(self, shown: Figure, title: str, caption: str, rows: Sequence[Sequence[str]]) -> None:
        self.rows = self.head, *rows
        self.below = float(LINE * len(self.rows))
        super().__init__(replace(shown, title=title), (), (), caption)

    def _size(self, flows: Any, width: float) -> None:
        """Find where all is; in a picture that is higher than a slide letters are smaller, so it is wider, too."""
        super()._size(flows, max(width, SLIDE))
        if self.height > HALL:
            super()._size(flows, SLIDE * self.height / HALL)

    def draw(self, scale: float = 1.0) -> Picture:
        """The whole picture, as large as a slide if its letters are then large enough."""
        return super().draw(scale * max(LEAST / SMALL, min(1, HALL / self.height, SLIDE / self.width)))

    def _head(self) -> None:
        super()._head()
        ends = [self.width - 18 - column for column in COLUMNS]
        for n, (name, tower, *numbers) in enumerate(self.rows):
            y = self.under + LINE * n
            self.write(18, y, name, "th-row")
            self.write(80, y, fitted(tower, (ends[-1] - 180) / SMALL), "th-row")
            for x, text in zip(ends, reversed(numbers)):
                self.write(x, y, text, "th-row" if n else "th-small", None, "end")

    def _marks_below(self) -> None:
        for arrow in reversed(self.figure.visible()):  # of the lines of constants the longest comes first
            if arrow.mark:
                self.arrow(None, self.layout.route(arrow).path, f"th-{arrow.mark}", arrow.mark, size=TIP)
        for box in self.figure.boxes.values():
            if box.mark:
                self._rect(None, box.key, f"th-{box.mark}")
        for lane, mark in self.figure.fixed_marks().items():
            x, y, wide, high = self.layout.still(lane)
            self.add("rect", x=x, y=y - high / 2, width=wide, height=high, rx=6, class_=f"th-{mark}")

    def _lane(self, lane: int, y: float) -> None:
        super()._lane(lane, y if lane in self.layout.bars or lane not in self.layout.boxed else y - 17)

    def _fixed(self, lane: int, x: float, y: float, wide: float, high: float, gone: bool = False) -> None:
        super()._fixed(lane, x, y, wide, high, gone)
        self._tint(x, y, wide, high, self.figure.alone[lane] if self.figure.alone else ())

    def _box(self, box: Box) -> None:
        super()._box(box)
        (x, y), wide = self.layout.center(box.key), self.layout.width_of(box.key)
        states = [look for name, look in box.alone.items() if name.startswith("with ")]
        looks = [[box.alone[name]] if name in box.alone else [] for name in box.names] + [states]
        count, high = self.layout.rows(box), float(LOW)
        if count == 1:
            looks, high = [[look for row in looks for look in row]], self.layout.height(box.key) - 8
        for n, row in enumerate(looks):
            self._tint(x - wide / 2 + 4, y + LOW * (n - (count - 1) / 2), wide - 8, high, row)

    def _tint(self, x: float, y: float, wide: float, high: float, looks: Collection[str]) -> None:
        """Set apart what one of the recordings alone has. x, y: its left side, its middle."""
        for n, look in enumerate(sorted({*looks})):
            part = wide / len({*looks})
            place = {"x": x + part * n, "y": y - high / 2}
            self.add("rect", None, "", **place, width=part, height=high, class_=f"th-row-{look}")
