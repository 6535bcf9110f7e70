"""The picture of a graph without optimizer steps: each operation is a box to the right of what it reads.

Operations that follow one another without branching share a box, as they share a line of the printed tree. A backward
pass is drawn by what it leaves in `.grad`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from textwrap import wrap

from ..errors import ArgumentError
from .canvas import Canvas, Picture
from .captions import LEGEND, clip
from .figure import Drawn
from .legend import LEFT, Legend
from .names import sized
from .plain import short
from .records import STRENGTH, Place, Recording
from .text import Trees, site

MOST = 80  # boxes in a picture
WIDE, HIGH, ACROSS, DOWN = 180, 46, 270, 70  # the size of a box, and from box to box
TOP, LINE, LETTER = 36, 23, 8.4
LONGEST = 18  # characters in a box
Join = tuple[int, int, Drawn, "int | None"]  # from a box to a box, what it does to gradients, the cut


def diagram(
    tape: Recording, marks: Collection[int] = (), caption: str | None = None, scale: float = 1.0
) -> Picture:
    """An SVG of the newest operations of a recording, oldest on the left. marks, caption, scale: as in `svg`.

    Raises ArgumentError for a recording that holds nothing, for a mark at a cut that is not drawn, and for a bad scale.
    """
    if not tape.nodes:
        raise ArgumentError("this recording holds nothing to draw: record a loss or step in `with th.record() as tape`")
    return Diagram(tape, marks, caption).draw(scale)


class Boxes(Trees):
    """Which operations and values have a box, by node, and the links between boxes."""

    def __init__(self, tape: Recording) -> None:
        super().__init__(tape)
        self.box: dict[int, int] = {}  # of a node: the number of the box's last node
        self.inside: dict[int, list[int]] = defaultdict(list)  # the nodes in a box, the last one first
        for node in reversed(self.nodes):
            if self._has_box(node.number):
                here = self._after(node.number)
                self.box[node.number] = node.number if here is None else self.box[here]
                self.inside[self.box[node.number]].append(node.number)
        self.left_out = len(self.inside) - MOST
        shown = sorted(self.inside)[-MOST:]
        self.inside = defaultdict(list, {box: self.inside[box] for box in shown})
        self.joins = self._joins()

    def _has_box(self, number: int) -> bool:
        """Constants without a name stand in the brackets of what reads them."""
        node = self.nodes[number]
        cut = any(edge.cut is not None for edge in self.out[number])
        return not node.sweep and (node.kind != "constant" or cut or self.known((number, 0)) is not None)

    def _after(self, number: int) -> int | None:
        """The operation whose box an operation shares: the only one that reads it, and reads nothing else in a box."""
        readers = [edge for edge in self.out[number] if not self.nodes[edge.target].sweep]
        node = self.nodes[number]
        if node.kind != "operation" or len(readers) != 1 or readers[0].cut is not None or self.known((number, 0)):
            return None
        target = self.nodes[readers[0].target]
        read = sum(self._has_box(edge.source) for edge in self.into[target.number])
        return target.number if target.kind == "operation" and len(node.outputs) == read == 1 else None

    def _joins(self) -> list[Join]:
        found: dict[tuple[int, int, int | None], Drawn] = {}
        for box, numbers in self.inside.items():
            for edge in self.into[numbers[-1]]:
                source = self.box.get(edge.source)
                if source in self.inside:
                    key = source, box, edge.cut
                    found[key] = min(found.get(key, "cut"), edge.flow, key=STRENGTH.__getitem__)
            loss = self.nodes[box].loss
            if loss is not None and (source := self.box.get(loss[0])) in self.inside and source is not None:
                found[source, box, None] = "backward"
        return [(source, target, flow, cut) for (source, target, cut), flow in found.items()]

    def caption(self, box: int) -> tuple[str, str]:
        """The two lines of a box."""
        place, chain = (box, 0), [self.computed(number) or self.nodes[number].kind for number in self.inside[box]]
        known, output = self.known(place), self.tape.output((box, 0))
        value = sized(output) if output.number is None else short(output.number)
        text = clip(" ← ".join(chain), LONGEST)
        if known is None:
            return text, value
        if self.nodes[box].op is None:
            return clip(known, LONGEST), value
        both = f"{text} = {value}"
        return clip(known, LONGEST), both if len(both) <= LONGEST + 3 else text


class Diagram(Canvas):
    """Boxes in columns, each to the right of what it reads; a long link runs through a free row of each column."""

    def __init__(self, tape: Recording, marks: Collection[int], caption: str | None) -> None:
        self.tape, self.boxes, self.marks = tape, Boxes(tape), set(marks)
        self.cuts = {cut for *_, cut in self.boxes.joins if cut is not None}
        if missing := self.marks - self.cuts:
            raise ArgumentError(f"marks: cut {min(missing)} is not in the picture; its cuts are {sorted(self.cuts)}")
        self.column = self._columns()
        self.way: dict[tuple[int, int], list[tuple[int, float]]] = {}  # of a long link: column and row between its ends
        self.row = self._rows()
        rows = [*self.row.values(), *(row for way in self.way.values() for _, row in way)]
        flows = {flow: words for flow, words in LEGEND.items() if any(link[2] == flow for link in self.boxes.joins)}
        width = LEFT * 2 + ACROSS * max(self.column.values(), default=0) + WIDE
        self.wide = max(width, 560)
        text = self._reached() if caption is None else caption
        self.lines = wrap(text, int((self.wide - 2 * LEFT) / LETTER))
        self.top = TOP + LINE * len(self.lines) + HIGH / 2 + 22
        self.bottom = self.top + DOWN * max(rows, default=0) + HIGH / 2 + 26
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
            for wanted, box, end in sorted(units):
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

    def _reached(self) -> str:
        """Which named leaves get a gradient."""
        graph = self.boxes
        found = [graph.name((node.number, 0)) for node in graph.nodes if node.kind == "gradient"]
        words = f"backward() leaves {', '.join(dict.fromkeys(found))}." if found else ""
        more = f" The newest {MOST} boxes are drawn; tape.save_html(path) draws all." if graph.left_out > 0 else ""
        return f"{words}{more}".strip()

    def center(self, box: int) -> tuple[float, float]:
        """The middle of a box."""
        return LEFT + WIDE / 2 + ACROSS * self.column[box], self.top + DOWN * self.row[box]

    def draw(self, scale: float) -> Picture:
        """The whole picture."""
        title = self.tape.title or "A graph, read off the recording"
        self.add("title", text=title)
        self.style("picture")
        self.add("rect", width="100%", height="100%", class_="th-ground")
        self.write(LEFT, TOP, title, "th-title")
        for n, line in enumerate(self.lines):
            self.write(LEFT, TOP + LINE * (n + 1), line)
        for link in sorted(self.boxes.joins, key=lambda join: [*LEGEND][::-1].index(join[2])):
            self._link(*link)
        for box in self.boxes.inside:
            self._box(box)
        self.legend.draw(self, self.bottom + 6)
        return self.picture(scale)

    def _link(self, source: int, target: int, flow: Drawn, cut: int | None) -> None:
        (x0, y0), (x1, y1) = self.center(source), self.center(target)
        points: list[tuple[float, float]] = [(x0 + WIDE / 2, y0)]
        for column, row in self.way.get((source, target), []):
            left, middle = LEFT + ACROSS * column, self.top + DOWN * row
            points += [(left - 8, middle), (left + WIDE + 8, middle)]
        points.append((x1 - WIDE / 2, y1))
        path = f"M{points[0][0]:g} {points[0][1]:g}"
        for n, ((x, y), (there, below)) in enumerate(pairwise(points)):
            half = (x + there) / 2
            path += f" C{half:g} {y:g} {half:g} {below:g} {there:g} {below:g}" if n % 2 == 0 else f" H{there:g}"
        group = self.add("g")
        name = self.boxes.name
        self.add("title", group, text=f"{name((source, 0))} → {name((target, 0))}: {LEGEND[flow]}")
        marked = " th-marked" if cut in self.marks else ""
        self.arrow(group, path, f"th-arrow th-{flow}{marked}", flow)
        if cut is not None:
            (x, y), (there, below) = points[-2:]
            record = self.tape.cuts[cut]
            mark = self.scissors((x + there) / 2, (y + below) / 2, marked.strip())
            self.add("title", mark, text=f"✂ {record.reason or 'cut'} at {site(record)}")
            self.write(0, -31, clip(record.reason or "", 12), "th-reason", mark, "middle")
            self.write(0, -17, f"cut {cut}", "th-reason", mark, "middle")

    def _box(self, box: int) -> None:
        x, y = self.center(box)
        node, group = self.boxes.nodes[box], self.add("g")
        place: Place = (box, 0)
        self.add("title", group, text=f"{self.boxes.name(place)}, {site(node)}")
        kind = "gradient" if node.kind == "gradient" else "loss" if place in self.boxes.losses else "values"
        size = {"x": x - WIDE / 2, "y": y - HIGH / 2, "rx": HIGH / 2 if kind == "gradient" else 6}
        self.add("rect", group, "", **size, width=WIDE, height=HIGH, class_=f"th-box th-{kind}")
        first, second = self.boxes.caption(box)
        self.write(x, y - 2, first, "", group, "middle")
        self.write(x, y + 16, second, "th-small", group, "middle")
