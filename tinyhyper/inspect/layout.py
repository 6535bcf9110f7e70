"""Where the boxes of a figure stand, and which way its arrows run."""

from __future__ import annotations

from typing import NamedTuple

from .figure import FIXED, Arrow, Figure, Key

HEADER, PITCH = 232, 478  # the widths of the lanes' names, and of one step
TOP, LANE, BAR, ROW = 84, 168, 96, 84  # heights: of the title, of a lane, of one with a bar only, and of its upper row
BOX_WIDTH, BOX_HEIGHT, ROUND = 128, 44, 12
OFFSETS = {"values": 0, "loss": 150, "gradient": 312}


class Route(NamedTuple):
    """The way of an arrow: SVG path data, and where its scissors stand."""

    path: str
    mark: tuple[float, float]


class Layout:
    """Lanes from the bottom up, steps from left to right.

    y: by lane, the height of its values; gradients and losses stand a row below.  bars: lanes with nothing but fixed
    hyperparameters.  narrow: whether the last step shows no more than its values.
    """

    def __init__(self, shown: Figure) -> None:
        self.steps = shown.steps
        self.arrows = {(arrow.source, arrow.target, arrow.flow) for arrow in shown.arrows}
        lanes = sorted({key.lane for key in shown.boxes} | {arrow.source.lane for arrow in shown.arrows})
        self.bars = {lane for lane in lanes if not any(key.lane == lane for key in shown.boxes)}
        self.y: dict[int, float] = {}
        self.bottom: float = TOP
        for lane in reversed(lanes):
            self.y[lane] = self.bottom + 40
            self.bottom += BAR if lane in self.bars else LANE
        self.narrow = not any(key.step == self.steps[-1] and key.kind != "values" for key in shown.boxes)
        self.width = HEADER + PITCH * len(self.steps) + 10 - (PITCH - BOX_WIDTH - 40 if self.narrow else 0)

    def center(self, key: Key) -> tuple[float, float]:
        """The middle of a box."""
        x = HEADER + 16 + BOX_WIDTH / 2 + PITCH * self.steps.index(key.step) + OFFSETS[key.kind]
        return x, self.y[key.lane] + (0 if key.kind == "values" else ROW)

    def route(self, arrow: Arrow) -> Route:
        """Where an arrow runs. Two arrows of different flow between the same boxes stay apart."""
        source, target = arrow.source, arrow.target
        x1, y1 = self.center(target)
        left, right, up = -BOX_WIDTH / 2, BOX_WIDTH / 2, BOX_HEIGHT / 2
        if source.step == FIXED:
            y0 = self.y[source.lane] + (up - 6 if source.lane in self.bars else 0)
            return _line(x1 + 24, y0, x1 + 24, y1 - up)
        x0, y0 = self.center(source)
        aside = -13 if arrow.flow != "cut" and (source, target, "cut") in self.arrows else 0
        here = source.lane == target.lane
        match source.kind, target.kind:
            case "values", "values" if here:  # into the next step
                return _line(x0 + right, y0 + aside, x1 + left, y1 + aside)._replace(mark=(x1 - 166, y1 + aside))
            case "values", "values" if source.step == target.step and source.lane - target.lane == 1:
                return _line(x0 + 24 + aside, y0 + up, x1 + 24 + aside, y1 - up)
            case "values", "values" if source.step == target.step:  # past a lane
                x0, x1, bend = x0 + right, x1 + right, x1 + right + 26
                y0, y1 = y0 + 12, y1 - 12
                return Route(
                    f"M{x0:g} {y0:g} C{bend:g} {y0:g} {bend:g} {y1:g} {x1:g} {y1:g}", (bend - 6, (y0 + y1) / 2)
                )
            case "gradient", "values" if here:
                return _elbow(x0 + right, y0 + aside, x1 - 30 + aside, y1 + up, across=True)
            case "values", "loss" if here and source.step == target.step:
                return _elbow(x0 + 24 + aside, y0 + up, x1 + left, y1 + aside, across=False)
            case "loss", "gradient" if not here:
                return _elbow(x0 + aside, y0 - up, x1 + left, y1 + aside, across=False)
        if y0 == y1:
            return _line(x0 + right, y0 + aside, x1 + left, y1 + aside)
        down = up if y1 > y0 else -up
        side = right if x1 > x0 else left
        return _line(x0 + side * 0.6, y0 + down, x1 - side * 0.6 + aside, y1 - down)


def _line(x0: float, y0: float, x1: float, y1: float) -> Route:
    return Route(f"M{x0:g} {y0:g} L{x1:g} {y1:g}", ((x0 + x1) / 2, (y0 + y1) / 2))


def _elbow(x0: float, y0: float, x1: float, y1: float, across: bool) -> Route:
    """A way with one round corner: first across, then up or down, or the reverse. Marked on its upright part."""
    down = ROUND if y1 > y0 else -ROUND
    if across:
        corner = f"H{x1 - ROUND:g} Q{x1:g} {y0:g} {x1:g} {y0 + down:g} V{y1:g}"
    else:
        corner = f"V{y1 - down:g} Q{x0:g} {y1:g} {x0 + ROUND:g} {y1:g} H{x1:g}"
    return Route(f"M{x0:g} {y0:g} {corner}", (x1 if across else x0, (y0 + y1) / 2 + (4 if across else 0)))
