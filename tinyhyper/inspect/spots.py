"""Where scissors stand on a link, and their number beside them: where no other link, box or text is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil, hypot, inf
from typing import NamedTuple, TypeAlias

import numpy as np

Point: TypeAlias = "tuple[float, float]"
Area: TypeAlias = "tuple[float, float, float, float]"  # left, top, right, bottom

CLEAR, APART = 14.0, 5.0  # half the side of what scissors cover; from point to point of a link
HIGH = 14.0  # of a text
PLACES = (
    (15, -5, "start"), (15, 16, "start"), (-15, -5, "end"), (-15, 16, "end"), (0, -17, "middle"), (0, 27, "middle"),
    (15, 5, "start"), (-15, 5, "end"), (15, -14, "start"), (15, 25, "start"), (-15, -14, "end"), (-15, 25, "end"),
)  # fmt: skip


class Spot(NamedTuple):
    """Where the middle of the scissors is; from there, where the text begins or ends."""

    at: Point
    aside: Point
    anchor: str


def points(path: str) -> list[Point]:
    """Points along a path of M, H and C commands, close to one another."""
    found: list[Point] = []
    for letter, text in re.findall(r"([MHC])([^MHC]*)", path):
        numbers = [float(number) for number in text.split()]
        if letter == "H":
            numbers = [numbers[0], found[-1][1]]
        ends = list(zip(numbers[::2], numbers[1::2]))
        found += ends if letter == "M" else _along([found[-1], *ends])
    return found


def _along(ends: Sequence[Point]) -> list[Point]:
    """Points of a line or a curve between its ends, the first left out."""
    count = ceil(sum(hypot(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(ends)) / APART) or 1
    return [_between(ends, n / count) for n in range(1, count + 1)]


def _between(ends: Sequence[Point], part: float) -> Point:
    while len(ends) > 1:
        ends = [(a + (c - a) * part, b + (d - b) * part) for (a, b), (c, d) in pairwise(ends)]
    return ends[0]


class Spots:
    """What is in the way in a picture. lines: the points of its links.  areas: of boxes, and of what is placed."""

    def __init__(self, lines: Sequence[Sequence[Point]], areas: Iterable[Area]) -> None:
        self.lines, self.areas = lines, list(areas)

    def place(self, own: Sequence[Point], width: float) -> Spot:
        """The spot on a link with the least in the way, near its middle if there are several; it is taken then.

        width: of the text beside the scissors. The scissors hide what they cover, a text can be read on a line.
        """
        others = np.array([point for line in self.lines if line is not own for point in line] or [own[0]])
        every, middle = np.concatenate([others, own]), len(own) // 2
        best, least = Spot(own[middle], PLACES[0][:2], PLACES[0][2]), inf
        for at in sorted(own[::2], key=lambda point: abs(own.index(point) - middle)):
            hidden = 4 * self._met(others, _scissors(at))
            for x, y, anchor in PLACES:
                spot = Spot(at, (x, y), anchor)
                if hidden < least and (met := hidden + self._met(every, _text(spot, width))) < least:
                    best, least = spot, met
        self.areas += [_scissors(best.at), _text(best, width)]
        return best

    def _met(self, points: np.ndarray, area: Area) -> float:
        """How much of what is there is in an area."""
        inside = (points > area[:2]) & (points < area[2:])
        return float(inside.all(axis=1).sum()) + 20 * sum(_meet(area, other) for other in self.areas)


def _scissors(at: Point) -> Area:
    return at[0] - CLEAR, at[1] - CLEAR, at[0] + CLEAR, at[1] + CLEAR


def _text(spot: Spot, width: float) -> Area:
    (x, y), (dx, dy) = spot.at, spot.aside
    left = x + dx - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[spot.anchor]
    return left, y + dy - HIGH + 3, left + width, y + dy + 3


def _meet(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
