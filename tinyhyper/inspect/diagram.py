"""The picture of a graph without optimizer steps, or of an opened operation: boxes to the right of what they read.

Operations that follow one another without branching share a box, as they share a line of the printed tree. A backward
pass is drawn by what it leaves in `.grad`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise
from textwrap import wrap
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

from ..errors import ArgumentError
from .boxes import Boxes, Join
from .canvas import Canvas, Picture
from .captions import LEGEND, meanings
from .legend import LEFT, Legend
from .letters import clip, wide
from .opened import Opened
from .pair import Pair
from .shapes import Mark, look_of
from .spots import Area, Spot, Spots, points
from .text import site

HIGH = 46  # of a box
NEAR, CLOSE, FAR = 28, 80, 70  # from column to column of an opened operation, where a link is cut; of a graph
TOP, TITLE, LINE = 36, 26, 23  # the title's baseline; from line to line of title and caption
LETTER, LARGE = 8.4, 12.0  # about the widths of a letter: in a line, in the title
TIP = 18  # of a band
ASIDE = 14  # from link to link between the same boxes


class Diagram(Canvas):
    """Boxes in columns, each to the right of what it reads; a long link runs through a free row of each column.

    title: by default what the boxes are of.  keys: more of its legend.  least: how many lines a caption has at least.
    arrived: by box, the gradient that has come there.
    ghosts: by the number of a cut, what stands beside it.
    above, down, cut: from the caption to the first box, from row to row, from column to column where a link is cut.
    head: how high what stands above a box is.
    """

    above, down, cut, head = 22, 70, 130, 0

    def __init__(
        self,
        boxes: Boxes | Opened | Pair,
        marks: Collection[int],
        caption: str | None,
        title: str | None = None,
        keys: Mapping[str, str] = MappingProxyType({}),
        arrived: Mapping[int, str] = MappingProxyType({}),
        ghosts: Mapping[int, str] = MappingProxyType({}),
        least: int = 0,
    ) -> None:
        self.boxes, self.marks, self.arrived, self.ghosts = boxes, set(marks), arrived, ghosts
        self.differ: Mapping[Join, Mark] = boxes.differ if isinstance(boxes, Pair) else {}
        self.alone: Mapping[int, Mark] = boxes.alone if isinstance(boxes, Pair) else {}
        self.cuts = {cut for _, _, flow, cut in self.boxes.joins if cut is not None and flow == "cut"}
        if missing := self.marks - self.cuts:
            raise ArgumentError(f"marks: cut {min(missing)} is not in the picture; its cuts are {sorted(self.cuts)}")
        self.column = self._columns()
        self.way: dict[tuple[int, int], list[tuple[int, float]]] = {}  # of a long link: column and row between its ends
        self.row = self._rows()
        rows = [*self.row.values(), *(row for way in self.way.values() for _, row in way)]
        left_out = [cut for _, _, flow, cut in self.boxes.joins if flow == "asked" and cut is not None]
        kinds = [*map(self._look, self.boxes.joins), *map(self.boxes.kind, self.boxes.inside)]
        flows = {**meanings(kinds, left_out, {*self.differ.values(), *self.alone.values()}), **keys}
        self.left, self.right = self._sides()
        self.ports = self._ports()
        self.wide = max(self.right[-1] + LEFT, 560)
        self.title = self.boxes.heading if title is None else title
        self.titles = wrap(self.title, int((self.wide - 2 * LEFT) / LARGE))
        text = self.boxes.words if caption is None else caption
        self.lines = [part for line in text.split("\n") for part in wrap(line, int((self.wide - 2 * LEFT) / LETTER))]
        self.lines += [""] * (least - len(self.lines))
        self.first = TOP + TITLE * (len(self.titles) - 1) + LINE  # the baseline of the caption
        self.top = self.first + LINE * (len(self.lines) - 1) + HIGH / 2 + self.above
        self.bottom = self.top + self.down * max(rows, default=0) + HIGH / 2 + 26
        self.paths = {join: self._path(join) for join in self.boxes.joins}
        self.spots = self._spots()
        self.legend = Legend(flows, self.wide)
        super().__init__(self.wide, self.bottom + self.legend.height, "th-figure")

    def _columns(self) -> dict[int, int]:
        """A box stands to the right of all that it reads, what reads nothing just before its first reader."""
        column: dict[int, int] = {}
        before, after = defaultdict(list), defaultdict(list)
        for source, target, *_ in self.boxes.joins:
            before[target].append(source)
            after[source].append(target)
        for box in sorted(self.boxes.inside):
            column[box] = max((column[source] + 1 for source in before[box] if source in column), default=0)
        for box in sorted(self.boxes.inside, reverse=True):
            if not before[box] and after[box]:
                column[box] = min(column[target] for target in after[box]) - 1
        first = min(column.values(), default=0)
        return {box: place - first for box, place in column.items()}

    def _rows(self) -> dict[int, float]:
        """From left to right, each near the middle of what it reads, in a row of its own."""
        ends = {(source, target) for source, target, *_ in self.boxes.joins}
        long = {end: range(self.column[end[0]] + 1, self.column[end[1]]) for end in ends}
        row: dict[int, float] = {}
        for column in range(max(self.column.values(), default=0) + 1):
            units: list[tuple[float, int, tuple[int, int] | None]] = []
            for box in (box for box, place in self.column.items() if place == column):
                read = [self._row_before(row, end, column) for end in ends if end[1] == box and end[0] in row]
                units.append((sum(read) / len(read) if read else len(units), box, None))
            units += [(self._row_before(row, end, column), 0, end) for end in long if column in long[end]]
            free = 0.0
            for wanted, box, end in sorted(units, key=lambda unit: (unit[:2], unit[2] or ())):
                at = max(free, round(2 * wanted) / 2)
                if end is None:
                    row[box] = at
                else:
                    self.way.setdefault(end, []).append((column, at))
                free = at + (1.0 if end is None else 0.5)
        return row

    def _row_before(self, row: dict[int, float], end: tuple[int, int], column: int) -> float:
        way = [place for place in self.way.get(end, []) if place[0] < column]
        return way[-1][1] if way else row[end[0]]

    def _sides(self) -> tuple[list[float], list[float]]:
        """Where the columns begin and end."""
        cut = {self.column[target] for _, target, _, number in self.boxes.joins if number is not None}
        apart, scissors = (NEAR, CLOSE) if isinstance(self.boxes, Opened) else (FAR, self.cut)
        left: list[float] = []
        right: list[float] = []
        for column in range(max(self.column.values(), default=0) + 1):
            left.append(right[-1] + (scissors if column in cut else apart) if right else LEFT)
            wide = [self.boxes.wide(box) for box, place in self.column.items() if place == column]
            right.append(left[-1] + max(wide, default=0))
        return left, right

    def _ports(self) -> dict[Join, float]:
        """By link, how far from the middle of its target's side it ends: one below the other, as they come."""
        found = {}
        joins = sorted(self.boxes.joins, key=lambda join: self._from(*join[:2]))
        for box in self.boxes.inside:
            into = [join for join in joins if join[1] == box]
            apart = min(15.0, (HIGH - 16) / max(len(into) - 1, 1))
            found.update({join: apart * (n - (len(into) - 1) / 2) for n, join in enumerate(into)})
        return found

    def _from(self, source: int, target: int) -> float:
        """The row from which a link comes to its target."""
        return self._row_before(self.row, (source, target), self.column[target])

    def center(self, box: int) -> tuple[float, float]:
        """The middle of a box."""
        column = self.column[box]
        return (self.left[column] + self.right[column]) / 2, self.top + self.down * self.row[box]

    def draw(self, scale: float = 1.0) -> Picture:
        """The whole picture."""
        self.add("title", text=self.title)
        self.style("picture")
        self.add("rect", width="100%", height="100%", class_="th-ground")
        for n, line in enumerate(self.titles):
            self.write(LEFT, TOP + TITLE * n, line, "th-title")
        for n, line in enumerate(self.lines):
            self.write(LEFT, self.first + LINE * n, line)
        for join, mark in self.differ.items():
            self.arrow(None, self.paths[join], f"th-{mark}", mark, size=TIP)
        order = [*LEGEND][::-1]
        for link in sorted(self.boxes.joins, key=lambda join: (join[3] is not None, order.index(join[2]))):  # ✂ on top
            self._link(link)
        for box in self.boxes.inside:
            self._box(box)
        self.legend.draw(self, self.bottom + 6)
        return self.picture(scale)

    def _path(self, join: Join) -> str:
        """The path of a link. Links that join the same boxes run side by side."""
        source, target, *_ = join
        (x0, y0), (x1, y1) = self.center(source), self.center(target)
        alike = sorted([self.ports[other] for other in self.boxes.joins if other[:2] == join[:2]])
        aside = ASIDE * (alike.index(self.ports[join]) - (len(alike) - 1) / 2)
        y0, y1 = y0 + aside, y1 + self.ports[join]
        way = [(column, self.top + self.down * row + aside) for column, row in self.way.get((source, target), [])]
        path = f"M{x0 + self.boxes.wide(source) / 2:g} {y0:g}"
        for (column, y), (after, below) in pairwise([(self.column[source], y0), *way, (self.column[target], y1)]):
            right, left = self.right[column], self.left[after]
            x = (right + left) / 2
            path += f" H{right:g} C{x:g} {y:g} {x:g} {below:g} {left:g} {below:g}"
        return path + f" H{x1 - self.boxes.wide(target) / 2:g}"

    def _spots(self) -> dict[Join, Spot]:
        """Where the scissors of each cut stand, and the text beside them."""
        lines = {join: points(path) for join, path in self.paths.items()}
        spots = Spots([*lines.values()], [self._area(box) for box in self.boxes.inside])
        return {join: spots.place(lines[join], 14 * wide(self._beside(join))) for join in lines if join[3] is not None}

    def _beside(self, join: Any) -> str:
        """The text beside a cut. In an opened operation, what it is from says why. Two graphs number their own cuts."""
        *_, flow, cut = join
        if isinstance(self.boxes, Pair):
            return ""
        if flow == "asked":
            return f"without cut {cut}"
        reason = "" if isinstance(self.boxes, Opened) else clip(self.boxes.cuts[cut].reason or "", 12)
        why = self.ghosts.get(cut) or reason
        return f"cut {cut}: {why}" if why else f"cut {cut}"

    def _area(self, box: int) -> Area:
        (x, y), side = self.center(box), self.boxes.wide(box) / 2
        return x - side, y - HIGH / 2 - self.head, x + side, y + HIGH / 2

    def _look(self, join: Join) -> str:
        """How a link is drawn."""
        *_, flow, cut = join
        return look_of(flow, [] if cut is None else [self.boxes.cuts[cut]])

    def _link(self, join: Join) -> None:
        (source, target, flow, cut), path = join, self.paths[join]
        if flow == "kept" and {source, target} <= self.arrived.keys():
            self.arrow(None, path, "th-trail", "trail", "start", size=TIP)
        gone, look = "th-gone" if self.differ.get(join) == "first" else "", self._look(join)
        group = self.add("g", class_=gone)
        ends = " → ".join([self.boxes.caption(box)[0] for box in (source, target)])
        self.add("title", group, text=f"{ends}: {LEGEND[look]}")
        style = (" th-marked" if cut in self.marks else "") + (" th-idle" if look == "idle" else "")
        self.arrow(group, path, f"th-arrow th-{flow}{style}", look)
        if flow == "gate":
            self.gate(*(line := points(path))[len(line) // 2], parent=group)
        if cut is None:
            return
        record, spot, text = self.boxes.cuts[cut], self.spots[join], self._beside(join)
        if flow == "asked":
            (x, y), (right, down) = spot.at, spot.aside
            self.write(x + right, y + down, text, "th-small", group, spot.anchor)
            return
        mark = self.scissors(*spot.at, f"{gone}{style}")
        self.add("title", mark, text=f"✂ {record.reason or 'cut'} at {site(record)}")
        self.write(*spot.aside, text, "th-reason", mark, spot.anchor)

    def _box(self, box: int) -> None:
        x, y = self.center(box)
        wide, kind = self.boxes.wide(box), self.boxes.kind(box)
        size = {"x": x - wide / 2, "y": y - HIGH / 2, "rx": HIGH / 2 if kind == "gradient" else 6}
        if box in self.alone:
            self.add("rect", None, "", **size, width=wide, height=HIGH, class_=f"th-{self.alone[box]}")
        group = self.add("g", class_="th-gone" if self.alone.get(box) == "first" else "")
        self.add("title", group, text=self.boxes.about(box))
        if box in self.arrived:
            self.add("rect", group, "", **size, width=wide, height=HIGH, class_="th-trail")
            self._number(x - wide / 2, y - HIGH / 2 - 8, self.arrived[box], group)
        self.add("rect", group, "", **size, width=wide, height=HIGH, class_=f"th-box th-{kind}")
        first, second = self.boxes.caption(box)
        sign = len(first) < 3 and not second
        self.write(x, y - 3 if second else y + 5, first, "th-title" if sign else "", group, "middle")
        self.write(x, y + 15, second, "th-small", group, "middle")

    def _number(self, x: float, y: float, text: str, group: ElementTree.Element) -> None:
        """A number, on a ground of its own: a link may run behind it."""
        if text:
            self.add("rect", group, "", x=x, y=y - 12, width=14 * wide(text), height=15, class_="th-ground")
        self.write(x, y, text, "th-amount", group)
