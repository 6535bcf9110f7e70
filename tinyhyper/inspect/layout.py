"""Where the boxes of a figure stand, and how its arrows run."""

from __future__ import annotations

from typing import NamedTuple

from .figure import FIXED, Arrow, Figure, Key

HEADER, PITCH = 176, 316  # the widths of the column of lane names, and of one step
LANE, BAR = 160, 72  # the heights of a lane, and of one with only a bar
LABEL, VALUES, ROW, LOSS, FOOT = 28, 38, 86, 156, 46  # down from the top of a band or lane, and below the lowest row
BOX_WIDTH, BOX_HEIGHT, BAR_HEIGHT, ROUND = 132, 46, 32, 12
ACROSS = 160  # from values to their gradients
GRADIENT, CONSTANT, ASIDE = -36, 40, 16  # where on a box an arrow from a gradient or a constant ends; between two


class Route(NamedTuple):
    """An arrow: SVG path data, and where its scissors stand."""

    path: str
    mark: tuple[float, float]


class Layout:
    """Lanes from the bottom up, steps from left to right; a loss stands below its weights.

    top: where the lanes begin.  y: by lane, the height of its values; gradients stand a row below, losses two.
    bars: lanes with nothing but fixed hyperparameters.  narrow: whether the last step shows no more than its values.
    """

    def __init__(self, shown: Figure, top: float) -> None:
        self.steps, self.top = shown.steps, top
        self.boxes = set(shown.boxes)
        self.arrows = {(arrow.source, arrow.target, arrow.flow) for arrow in shown.arrows}
        lanes = sorted({key.lane for key in shown.boxes} | {arrow.source.lane for arrow in shown.arrows})
        self.bars = {lane for lane in lanes if not any(key.lane == lane for key in shown.boxes)}
        self.y: dict[int, float] = {}
        self.bottom: float = top + LABEL
        for lane in reversed(lanes):
            self.y[lane] = self.bottom + (BAR_HEIGHT / 2 if lane in self.bars else VALUES)
            self.bottom += BAR if lane in self.bars else LANE
        self.bottom = self.y[lanes[0]] + LOSS + FOOT
        self.narrow = not any(key.step == self.steps[-1] and key.kind != "values" for key in shown.boxes)
        self.width = HEADER + PITCH * len(self.steps) - (PITCH - BOX_WIDTH - 34 if self.narrow else 0)

    def center(self, key: Key) -> tuple[float, float]:
        """The middle of a box."""
        x = HEADER + 8 + BOX_WIDTH / 2 + PITCH * self.steps.index(key.step)
        down = {"values": 0, "gradient": ROW, "loss": LOSS}[key.kind]
        return x + (ACROSS if key.kind == "gradient" else 0), self.y[key.lane] + down

    def route(self, arrow: Arrow) -> Route:
        """Where an arrow runs. Two arrows of different flow between the same boxes stay apart."""
        source, target = arrow.source, arrow.target
        x1, y1 = self.center(target)
        right, up = BOX_WIDTH / 2, BOX_HEIGHT / 2
        if source.step == FIXED:
            bar = source.lane in self.bars
            x = x1 + (0 if bar and source.lane - target.lane == 1 else CONSTANT)
            return _line(x, self.y[source.lane] + (BAR_HEIGHT / 2 if bar else up), x, y1 - up)
        x0, y0 = self.center(source)
        aside = ASIDE if arrow.flow != "cut" and (source, target, "cut") in self.arrows else 0
        match source.kind, target.kind:
            case "values", "values" | "loss" if x0 == x1 and (source.lane - target.lane in (0, 1)):
                return _line(x0 + aside, y0 + up, x1 + aside, y1 - up)
            case "values", "values" | "loss" if x0 == x1:  # past a lane
                return _bend(x0 + right, y0 + 12, x1 + right, y1 - 12)
            case "gradient", "values" if source.lane == target.lane:
                return _elbow(x0 + right, y0 + aside, x1 + GRADIENT + aside, y1 + up)
            case "loss", "gradient" if source.step == target.step:
                return _riser(x0 + right, y0, x1 - right, y1)
            case "values", "values" if source.lane > target.lane and self._free(source, target.step):
                return _elbow(x0 + right, y0 + ASIDE, x1 + aside, y1 - up)
        if y0 == y1:
            level = _line(x0 + right, y0 + aside, x1 - right, y1 + aside)
            return level._replace(mark=(x1 - PITCH / 2, y1 + aside)) if x1 > x0 else level
        down = up if y1 > y0 else -up
        side = right if x1 > x0 else -right
        return _line(x0 + side * 0.6, y0 + down, x1 - side * 0.6 + aside, y1 - down)

    def _free(self, source: Key, step: int) -> bool:
        """Whether no box stands to the right of some values, up to a step."""
        return step > source.step and not any(
            source._replace(step=between) in self.boxes for between in range(source.step + 1, step + 1)
        )


def _line(x0: float, y0: float, x1: float, y1: float) -> Route:
    return Route(f"M{x0:g} {y0:g} L{x1:g} {y1:g}", ((x0 + x1) / 2, (y0 + y1) / 2))


def _bend(x0: float, y0: float, x1: float, y1: float) -> Route:
    bend = x1 + 26
    return Route(f"M{x0:g} {y0:g} C{bend:g} {y0:g} {bend:g} {y1:g} {x1:g} {y1:g}", (bend - 6, (y0 + y1) / 2))


def _elbow(x0: float, y0: float, x1: float, y1: float) -> Route:
    """First to the right, then round a corner and up or down."""
    turn = ROUND if y1 > y0 else -ROUND
    path = f"M{x0:g} {y0:g} H{x1 - ROUND:g} Q{x1:g} {y0:g} {x1:g} {y0 + turn:g} V{y1:g}"
    return Route(path, (x1, (y0 + y1) / 2 - 7))


def _riser(x0: float, y0: float, x1: float, y1: float) -> Route:
    """To the right, up between two columns, and to the right again: from a loss to its gradients."""
    x, bend = (x0 + x1) / 2, 8
    up = f"M{x0:g} {y0:g} H{x - bend:g} Q{x:g} {y0:g} {x:g} {y0 - bend:g} V{y1 + bend:g}"
    return Route(f"{up} Q{x:g} {y1:g} {x + bend:g} {y1:g} H{x1:g}", (x, (y0 + y1) / 2))
