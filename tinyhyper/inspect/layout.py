"""Where the boxes of a figure stand, and how its arrows run.

A lane has two tracks from one step to the next: above, what the new value takes from the old one; below, the gradient,
and what the new value takes from that. So a tall tower is no tall picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil, inf
from typing import NamedTuple

from .canvas import SLIDE
from .captions import FEW
from .shapes import FIXED, Arrow, Box, Figure, Key

HEADER = 212  # the width of the column of lane names
NARROW = 140, 172  # how wide boxes are at least, and those of gradients
BAR_HEIGHT, ROUND = 32, 12
AFTER, LAST = 48, 34  # between gradients and the next step, after the last
LOW = 19  # from row to row of a box
TOP, GAP, CLOSE, TIGHT, FOOT = 28, 39, 32, 31, 14  # above the highest box, between boxes, closer, below the lowest
TWO = 38  # between boxes with two lines of text between them
CONSTANT, ASIDE = 34, 10  # how far from a box's middle a constant's arrow ends; between two arrows
BESIDE = "cut", "value", "asked", "gate", "kept"  # flows between the same boxes, side by side


class Route(NamedTuple):
    """An arrow: SVG path data, and where its scissors stand."""

    path: str
    mark: tuple[float, float]


class Room(NamedTuple):
    """What texts beside bands need: before gradients, after them, and below which lanes two lines stand."""

    before: float = 0.0
    after: float = AFTER
    below: frozenset[int] = frozenset()


ROOM = Room()


class Layout:
    """Lanes from the bottom up, steps from left to right; a loss stands below its weights.

    top: where the lanes begin.  y: by lane, the middle of its boxes.  high: by lane, how high they are.
    wide, round: how wide boxes are, and those of gradients.  pitch: how wide a step is.
    few: so many rows a box may have.
    bars: lanes with nothing but fixed hyperparameters.  boxed: where these have a box of their own.
    narrow: whether the last step shows no more than its values.
    skips: whether arrows lead past boxes.
    needs: how wide the texts in boxes are, and in those of gradients.
    least: above which the figure should end: boxes come closer for it, then they have fewer rows.
    room: for texts beside bands.  after: how far gradients stand from the next step.
    gaps: between lanes, and where they are closer.  old, pill: down from the top of a box: the upper track, a gradient.
    before: between values and their gradients.  up: where arrows run up there: from values, for backward(), kept.
    widest: as wide as the picture may become.
    """

    gaps, old, pill = (GAP, CLOSE, TIGHT), 14, 26
    before, up = 32, [8, 14, 22]
    widest: float = SLIDE

    def __init__(
        self, shown: Figure, top: float, needs: tuple[float, float], least: float = inf, room: Room = ROOM
    ) -> None:
        self.steps, self.top = shown.steps, top
        self.boxes = shown.boxes
        self.arrows = {(arrow.source, arrow.target, arrow.flow) for arrow in shown.arrows}
        lanes = sorted({key.lane for key in shown.boxes} | {arrow.source.lane for arrow in shown.arrows})
        self.bars = {lane for lane in lanes if not any(key.lane == lane for key in shown.boxes)}
        ends = Counter((a.source, a.target) for a in shown.arrows if a.flow in BESIDE and a.source.kind == "values")
        lots = [n for (source, target), n in ends.items() if source.lane == target.lane]
        self.pill += ASIDE * (max(lots, default=1) - 1)  # tracks of one lane lie above its gradients
        self.past = ASIDE * any(map(self._nearer, shown.arrows))  # and so do those past a box
        self.pill += self.past
        self.pill += 12 * any(arrow.flow == "asked" for arrow in shown.arrows)  # and what arrives stands between
        self.boxed = self._boxed(shown)
        self.few = FEW
        self.narrow = not any(key.step == self.steps[-1] and key.kind != "values" for key in shown.boxes)
        more = ceil(max(room.before, 0))
        self.before, self.up = self.before + more, [across + more for across in self.up]
        self.after = ceil(room.after)
        self.wide, self.round = self._widths(needs)
        self.pitch = self.wide + self.round + self.before + self.after
        along = [(a.source.step, a.target.step) for a in shown.arrows if a.source.lane == a.target.lane]
        self.skips = any(FIXED != source < target - 1 for source, target in along)  # there must be room for them
        self.spread = room.below
        roomy, close, tight = [self.gaps[0]] * 3 if self.skips else self.gaps
        for gap, self.few in ((roomy, FEW), *((close, few) for few in range(FEW, 0, -1)), (tight, 1)):
            self._stack(lanes, gap)
            if self.bottom <= least:
                break
        else:
            if self.past:  # there is no room for them
                self.pill, self.past = self.pill - self.past, 0
                self._stack(lanes, gap)
        self.width = HEADER + self.pitch * len(self.steps) - (self.pitch - self.wide - LAST if self.narrow else 0)

    def _boxed(self, shown: Figure) -> set[int]:
        """The lanes whose fixed hyperparameters have a box of their own."""
        return self.bars

    def _widths(self, needs: tuple[float, float]) -> tuple[float, float]:
        """How wide boxes are: as their texts need, while the picture is not too wide."""
        wide, round_ = (max(least, ceil(need)) for least, need in zip(NARROW, needs))
        values, gradients = len(self.steps), len(self.steps) - self.narrow
        room = self.widest - HEADER - (self.before + self.after) * gradients - LAST * self.narrow
        over = values * wide + gradients * round_ - room
        if over > 0 and gradients and values * NARROW[0] + gradients * NARROW[1] <= room:
            less = min(ceil(over / gradients), round_ - NARROW[1])
            return wide - ceil(max(over - less * gradients, 0) / values), round_ - less
        return wide, round_

    def width_of(self, key: Key) -> float:
        """How wide a box is."""
        return self.round if key.kind == "gradient" else self.wide

    def rows(self, box: Box) -> int:
        """How many rows the text of a box has: one for each value while they fit, and one for its state."""
        count = len(box.names) + (len(box.names) > 1 and bool(box.state))
        return count if 0 < count <= self.few else 1

    def lines(self, lane: int) -> int:
        """For how many lines there is room below a lane's heading."""
        below = min([y for y in self.y.values() if y > self.y[lane]], default=self.loss + 11)
        return int((below - self.y[lane] - 33) // 18)

    def _stack(self, lanes: Sequence[int], gap: float) -> None:
        """Say how high each lane is, and where it stands."""
        self.high: dict[int, float] = {}
        self.y: dict[int, float] = {}
        self.bottom: float = self.top + TOP
        for lane in reversed(lanes):
            counts = [self.rows(box) for key, box in self.boxes.items() if key.lane == lane and key.kind != "loss"]
            self.high[lane] = BAR_HEIGHT if lane in self.bars else self.pill + _pill(max(counts, default=1))
            self.y[lane] = self.bottom + self.high[lane] / 2
            self.bottom += self.high[lane] + self._gap(lane, gap)
        self.loss = self.bottom + _pill(1) / 2
        self.bottom = self.loss + _pill(1) / 2 + FOOT

    def _gap(self, lane: int, gap: float) -> float:
        """How far the boxes below a lane are from its own. gap: where nothing stands between them."""
        return max(gap, TWO) if lane in self.spread else gap

    def center(self, key: Key) -> tuple[float, float]:
        """The middle of a box."""
        x = HEADER + 8 + self.wide / 2 + self.pitch * self.steps.index(key.step)
        match key.kind:
            case "loss":
                return x, self.loss
            case "gradient":
                return x + (self.wide + self.round) / 2 + self.before, self.y[key.lane] + self.pill / 2
        return x, self.y[key.lane]

    def still(self, lane: int) -> tuple[float, float, float, float]:
        """Where the box of a lane's fixed hyperparameters is: its left side, its middle, how wide and high it is."""
        return HEADER + 8, self.y[lane], self.width - HEADER - 26, BAR_HEIGHT

    def height(self, key: Key) -> float:
        """How high a box is."""
        match key.kind:
            case "loss":
                return _pill(1)
            case "gradient":
                return self.high[key.lane] - self.pill
        return self.high[key.lane]

    def below(self, key: Key) -> float:
        """The baseline of a text below a box."""
        return self.center(key)[1] + self.height(key) / 2 + 15

    def route(self, arrow: Arrow, apart: float = 0) -> Route:
        """Where an arrow runs, or a band beside it. Two arrows of different flow between the same boxes stay apart.

        apart: how far beside the arrow's own place: below it, and to the left, where nothing else runs down.
        """
        source, target = arrow.source, arrow.target
        x1, y1 = self.center(target)
        left, up = self.width_of(target) / 2, self.height(target) / 2
        if source.step == FIXED:
            bar = source.lane in self.bars
            x = x1 + (0 if bar and source.lane - target.lane == 1 else CONSTANT)
            return _line(x, self.y[source.lane] + self.high[source.lane] / 2, x, y1 - up)
        x0, y0 = self.center(source)
        right, down = self.width_of(source) / 2, self.height(source) / 2
        beside = [flow for flow in BESIDE if (source, target, flow) in self.arrows]
        own = ASIDE * beside.index(arrow.flow) if arrow.flow in beside else 0
        aside = own + apart
        match source.kind, target.kind:
            case "values", "loss" if source.lane and x1 >= x0:  # a hyperparameter outside the optimizer
                return _beside(x0 + right, y0 + down - 12, x1 - left if x1 > x0 else x1 + left, y1 + aside)
            case "values", "values" | "loss" if x0 == x1 and (source.lane - target.lane in (0, 1)):
                return _line(x0 + own - apart, y0 + down, x1 + own - apart, y1 - up)
            case "values", "values" | "loss" if x0 == x1:  # past a lane
                return _bend(x0 + right, y0 + down - 12, x1 + left, y1 - 7)
            case "gradient", "values" if source.lane == target.lane and x1 > x0:
                return _level(x0 + right, x1 - left, y0 + aside, x1 - left - 28)
            case "values", "values" if source.lane == target.lane and not self._free(source, target.step):
                start, turn = x0 + right - 14 - aside, x1 - self.pitch + left + 8
                low = self.past if self._nearer(arrow) else 0
                return _over(start, turn, x1 - left, y0 - down, y0 - down + self.old + aside + low, 76 + 3 * low)
            case "values", "values" if source.lane == target.lane and x1 > x0:
                kept = beside == ["kept"]  # a band runs above it, off the gradients
                track = self.pill - 5 - apart if kept else self.old + aside
                return _level(x0 + right, x1 - left, y0 - down + track, x1 - left - 76)
            case "values", "loss" if x1 > x0:
                return between(x0 + right - 34 + aside, x1 - left + 34 - aside, y0 + down, y1 - up, x1 + left)
            case "loss", "gradient" if source.step == target.step:
                if arrow.flow == "kept":
                    return _riser(x0 + right, y0 + 8, x1 - left, y1, self.up[2])
                low = 6 if (source, target, "kept") in self.arrows else 0
                return _riser(x0 + right, y0, x1 - left, y1 + low, self.up[1])
            case "values", "gradient" if source.step == target.step and source.lane == target.lane:
                low = 12 if apart else -11  # a band runs below what backward() leaves
                return _level(x0 + right, x1 - left + apart / 2, y1 + low, x1 - left)
            case "values", "gradient" if source.step == target.step and source.lane < target.lane:
                return _riser(x0 + right, y0 - 8, x1 - left, y1 + 11, self.up[0])
            case "values", _ if source.lane > target.lane and self._later(source, target):
                return elbow(x0 + right, y0 - down + self.old - 6 + aside, x1 - aside, y1 - up)
        if y1 < y0:
            up, down = -up, -down
        side = 0.6 if x1 > x0 else -0.6
        return _line(x0 + side * right, y0 + down, x1 - side * left + aside, y1 - up)

    def _nearer(self, arrow: Arrow) -> bool:
        """Whether values of the same lane lead to the target of an arrow from a later step, too."""
        source, target = arrow.source, arrow.target
        ends = [(one, end) for one, end, _ in self.arrows if one.kind == end.kind == "values"]
        return source.kind == "values" and any(end == target and source < one < end for one, end in ends)

    def _later(self, source: Key, target: Key) -> bool:
        """Whether something is of a later step than some values, and all between them is free."""
        return source.step < target.step and self._free(source, target.step + 1)

    def _free(self, source: Key, step: int) -> bool:
        """Whether no box stands to the right of some values, before a step."""
        return step > source.step and not any(
            source._replace(step=between) in self.boxes for between in range(source.step + 1, step)
        )


def _pill(count: int) -> float:
    """How high a gradient's box of so many rows is."""
    return 17 + LOW * count if count > 1 else 40


def _line(x0: float, y0: float, x1: float, y1: float) -> Route:
    return Route(f"M{x0:g} {y0:g} L{x1:g} {y1:g}", ((x0 + x1) / 2, (y0 + y1) / 2))


def _level(x0: float, x1: float, y: float, mark: float) -> Route:
    """To the right; its scissors stand in the last step that it passes."""
    return Route(f"M{x0:g} {y:g} H{x1:g}", (mark, y))


def _bend(x0: float, y0: float, x1: float, y1: float) -> Route:
    bend = x1 + 10
    return Route(f"M{x0:g} {y0:g} C{bend:g} {y0:g} {bend:g} {y1:g} {x1:g} {y1:g}", (bend - 6, (y0 + y1) / 2))


def elbow(x0: float, y0: float, x1: float, y1: float) -> Route:
    """First to the right, then round a corner and up or down."""
    turn = ROUND if y1 > y0 else -ROUND
    path = f"M{x0:g} {y0:g} H{x1 - ROUND:g} Q{x1:g} {y0:g} {x1:g} {y0 + turn:g} V{y1:g}"
    return Route(path, (x1, (y0 + y1) / 2 - 7))


def _over(x0: float, turn: float, x1: float, top: float, y: float, mark: float) -> Route:
    """Out of the top of a box, over those of later steps, and down to where the new value takes the old one.

    mark: how far before its end its scissors stand.
    """
    lane, bend = top - 17, 8
    up = f"M{x0:g} {top:g} V{lane + bend:g} Q{x0:g} {lane:g} {x0 + bend:g} {lane:g} H{turn - bend:g}"
    down = f"Q{turn:g} {lane:g} {turn:g} {lane + bend:g} V{y - bend:g} Q{turn:g} {y:g} {turn + bend:g} {y:g}"
    return Route(f"{up} {down} H{x1:g}", (x1 - mark, y))


def between(x0: float, x1: float, y0: float, y1: float, end: float) -> Route:
    """Out of the bottom of the weights, and between them and the losses of skipped steps to a later loss."""
    lane, bend = y1 - 11, 6
    along = f"M{x0:g} {y0:g} V{lane - bend:g} Q{x0:g} {lane:g} {x0 + bend:g} {lane:g} H{x1 - bend:g}"
    return Route(f"{along} Q{x1:g} {lane:g} {x1:g} {lane + bend:g} V{y1:g}", (end + 10, y1 - 15))


def _beside(x0: float, y0: float, x1: float, y1: float) -> Route:
    """Out of the right side of a box and down past the weights: to the loss below it, or to the left of a later one."""
    if x1 == x0:
        return Route(_bend(x0, y0, x1, y1).path, (x1 + 6, y0 + 28))
    x, bend = x1 - ROUND, 8
    path = f"M{x0:g} {y0:g} H{x - bend:g} Q{x:g} {y0:g} {x:g} {y0 + bend:g} V{y1 - bend:g}"
    return Route(f"{path} Q{x:g} {y1:g} {x + bend:g} {y1:g} H{x1:g}", (x, y0 + 28))


def _riser(x0: float, y0: float, x1: float, y1: float, across: float) -> Route:
    """To the right, up between two columns, and to the right again, as from a loss to its gradients."""
    x, bend = x0 + across, 8
    up = f"M{x0:g} {y0:g} H{x - bend:g} Q{x:g} {y0:g} {x:g} {y0 - bend:g} V{y1 + bend:g}"
    return Route(f"{up} Q{x:g} {y1:g} {x + bend:g} {y1:g} H{x1:g}", (x, (y0 + y1) / 2))
