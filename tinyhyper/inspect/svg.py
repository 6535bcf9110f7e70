"""The picture of two consecutive steps: time runs to the right, each level of the tower is a lane above the weights.

Everything drawn comes from the recording. A band is what one step computed; scissors stand on every arrow that a
`detach` cut. Colours are safe for the colour-blind, and no colour is the only sign of anything.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Literal, TypeAlias
from xml.etree import ElementTree

from ..errors import ArgumentError
from ..files import write
from .canvas import Canvas, Picture
from .captions import CARRY, LEGEND, Captions
from .diagram import diagram
from .figure import Arrow, Box, Figure, Key, figure, steps_of
from .layout import BAR_HEIGHT, BOX_HEIGHT, BOX_WIDTH, HEADER, PITCH, Layout
from .plain import short
from .records import Recording
from .text import site

TOP, TITLE, LINE, ROW = 36, 26, 23, 26  # the title's baseline; from line to line of title, caption and legend
SMALL, LETTER, LARGE = 7.6, 8.7, 12.0  # about the widths of a letter: in small type, in a line, in the title
Joint: TypeAlias = "tuple[int, Literal['start', 'end']]"  # the number of an arrow, and where a path leaves it


def svg(
    tape: Recording,
    step: int | None = None,
    *,
    trail: Sequence[str | tuple[int, int, str]] = (),
    marks: Collection[int] = (),
    caption: str | None = None,
) -> Picture:
    """An SVG of two consecutive optimizer steps, read off the recording: boxes, edges kept, edges cut.

    The text of the SVG, which a notebook shows as a picture, in its own theme.

    step: the first of the steps to show; by default the last two are shown.
    trail: boxes to join by a broad band, each next to the one before: by name, as in ("loss[2]", "w[2]", "alpha[2]"),
    or by `figure.Key`.  marks: the numbers of cuts whose scissors stand out.
    caption: the text below the title; by default, which boxes the last loss reaches.
    Without optimizer steps the whole graph is drawn, an operation a box; it has no trail.
    Raises ArgumentError for a recording that holds nothing, or if a step, box, arrow or cut asked for is not drawn.
    """
    if not steps_of(tape) and step is None and not trail:
        return diagram(tape, marks, caption)
    return Drawing(figure(tape, step), trail, marks, caption).draw()


def save_svg(tape: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the picture to a file, which appears whole or not at all; returns its path."""
    return write(path, svg(tape))


class Drawing(Canvas):
    """A figure laid out and drawn. branches: the paths of a gradient, each with its contribution."""

    def __init__(
        self,
        shown: Figure,
        trail: Sequence[str | tuple[int, int, str]] = (),
        marks: Collection[int] = (),
        caption: str | None = None,
        branches: Sequence[tuple[Sequence[Key], float]] = (),
    ) -> None:
        self.figure, self.captions = shown, Captions(shown)
        self.trail = [self.captions.find(box) for box in trail]
        self.joints = [self._joint(*pair) for pair in pairwise(self.trail)]
        self.band = "carry" if self.joints and all(self._style(joint) == "carry" for joint in self.joints) else "trail"
        self.amounts: dict[Joint, float] = defaultdict(float)  # what came along an arrow
        for keys, amount in branches:
            for pair in pairwise(keys):
                self.amounts[self._joint(*pair)] += amount
        self.cuts = {cut.number: cut for arrow in shown.arrows for cut in arrow.cuts}
        self.marks = self._marks(marks)
        self.flows = {flow: words for flow, words in LEGEND.items() if any(a.flow == flow for a in shown.arrows)}
        if any(self._style(joint) == "carry" for joint in self.joints):
            self.flows["carry"] = CARRY
        self.width = Layout(shown, 0).width
        self.title = shown.title or "Optimizer steps, read off the recording"
        self.titles = wrap(self.title, int((self.width - 36) / LARGE))
        text = self.captions.reached() if caption is None else caption
        self.lines = wrap(text, int((self.width - 90) / LETTER))
        self.first = TOP + TITLE * len(self.titles) + 4  # the baseline of the caption
        self.layout = Layout(shown, self.first + LINE * len(self.lines) - 2)
        self.bottom = self.layout.bottom
        longest = max(map(len, self.flows.values()), default=0)
        self.columns = 2 if self.width / 2 >= 80 + SMALL * longest else 1
        self.height = self.bottom + 14 + ROW * (-(-len(self.flows) // self.columns) + bool(self.cuts))
        super().__init__(self.width, self.height, "th-figure")

    def draw(self) -> Picture:
        """The whole picture."""
        self.add("title", text=self.title)
        self.add("desc", text=" ".join([*self.lines, self.captions.description()]))
        self.style("picture")
        self.add("rect", width=self.width, height=self.height, class_="th-ground")
        for n, line in enumerate(self.titles):
            self.write(18, TOP + TITLE * n, line, "th-title")
        for n, line in enumerate(self.lines):
            self.write(76 if self.trail else 18, self.first + LINE * n, line, "")
        if self.trail:
            y, back = float(self.first - 5), self.band == "trail"
            self.arrow(None, f"M62 {y:g} H18" if back else f"M18 {y:g} H62", f"th-{self.band}", self.band, size=26)
        for n, step in enumerate(self.figure.steps):
            self._band(n, step)
        for lane, y in self.layout.y.items():
            self._lane(lane, y)
        for joint in [*(other for other in self.amounts if other not in self.joints), *self.joints]:
            style = self._style(joint) if joint in self.joints else "branch"
            path = self.layout.route(self.figure.arrows[joint[0]]).path
            self.arrow(None, path, f"th-{style}", style, joint[1], size=26)
        for key in self.trail:
            self._rect(None, key, f"th-{self.band}")
        for arrow in sorted(self.figure.arrows, key=lambda arrow: list(LEGEND)[::-1].index(arrow.flow)):
            self._arrow(arrow)
        for box in self.figure.boxes.values():
            self._box(box)
        for arrow in self.figure.arrows:
            if arrow.flow == "cut":
                self._scissors(*self.layout.route(arrow).mark, arrow)
            elif arrow.flow == "asked":
                x, y = self.layout.route(arrow).mark
                cuts = _numbered([cut.number for cut in arrow.cuts])
                self.write(x, y + 20, f"without {cuts}", "th-asked-for", None, "middle")
        if len(self.amounts) > len(self.joints):
            for (number, _), amount in self.amounts.items():
                self._amount(self.figure.arrows[number], amount)
        self._legend()
        return self.picture()

    def _amount(self, arrow: Arrow, amount: float) -> None:
        """What came along an arrow, beside it."""
        x, y = self.layout.route(arrow).mark
        (x0, y0), (x1, y1) = self.layout.center(arrow.source), self.layout.center(arrow.target)
        if x0 == x1:
            self.write(x + 12, y + 4, short(amount), "th-amount")
        elif y0 == y1:
            self.write(x, y + 20, short(amount), "th-amount", None, "middle")
        else:
            self.write(x - 10, y + 12, short(amount), "th-amount", None, "end")

    def _joint(self, here: Key, there: Key) -> Joint:
        """The number of the arrow between two boxes of the trail, and at which of its ends the trail leaves it."""
        for number, arrow in sorted(enumerate(self.figure.arrows), key=lambda one: one[1].flow != "kept"):
            if (arrow.source, arrow.target) == (there, here):
                return number, "start"
            if (arrow.source, arrow.target) == (here, there):
                return number, "end"
        name = self.captions.name
        ends = {end for arrow in self.figure.arrows for end in (arrow.source, arrow.target)}
        joined = [end for end in ends if any({here, end} == {a.source, a.target} for a in self.figure.arrows)]
        raise ArgumentError(
            f"trail: no arrow joins {name(here)} and {name(there)}; arrows join {name(here)} and "
            f"{', '.join(sorted(name(end) for end in joined)) or 'nothing'}"
        )

    def _style(self, joint: Joint) -> str:
        """How a trail looks along an arrow. Along one that is cut a value passes, and no gradient."""
        return "carry" if joint[1] == "end" and self.figure.arrows[joint[0]].flow == "cut" else "trail"

    def _marks(self, marks: Collection[int]) -> set[int]:
        for number in marks:
            if number not in self.cuts:
                raise ArgumentError(
                    f"marks: cut {number} is not in the picture of steps {self.figure.steps[0]} to "
                    f"{self.figure.steps[-1]}; its cuts are {', '.join(map(str, sorted(self.cuts))) or 'none'}"
                )
        return set(marks)

    def _marked(self, arrow: Arrow) -> str:
        return " th-marked" if any(cut.number in self.marks for cut in arrow.cuts) else ""

    def _band(self, n: int, step: int) -> None:
        x, top = HEADER + n * PITCH, self.layout.top
        wide = self.width - x - 10 if n == len(self.figure.steps) - 1 else PITCH - 8
        self.add("rect", x=x, y=top, width=wide, height=self.bottom - top - 10, rx=10, class_="th-band")
        self.write(x + 10, top + 20, f"step {step}" + ("" if n else ", time runs to the right →"), "th-small")

    def _arrow(self, arrow: Arrow) -> None:
        group = self.add("g")
        name = self.captions.name
        self.add("title", group, text=f"{name(arrow.source)} → {name(arrow.target)}: {LEGEND[arrow.flow]}")
        style = f"th-arrow th-{arrow.flow}{self._marked(arrow)}"
        self.arrow(group, self.layout.route(arrow).path, style, arrow.flow)

    def _scissors(self, x: float, y: float, arrow: Arrow) -> None:
        group = self.scissors(x, y, self._marked(arrow))
        where = "; ".join(sorted({f"{cut.reason or 'cut'} at {site(cut)}" for cut in arrow.cuts}))
        ends = f"{self.captions.name(arrow.source)} → {self.captions.name(arrow.target)}"
        self.add("title", group, text=f"✂ {ends}: {where}")
        reasons = ", ".join(dict.fromkeys(cut.reason for cut in arrow.cuts if cut.reason))
        if arrow.source.kind == "gradient":
            x, y, anchor = -17, -6, "end"
        else:
            x, y, anchor = 0, -33, "middle"
        self.write(x, y, reasons, "th-reason", group, anchor)
        self.write(x, y + 15, _numbered([cut.number for cut in arrow.cuts]), "th-reason", group, anchor)

    def _box(self, box: Box) -> None:
        x, y = self.layout.center(box.key)
        group = self.add("g")
        caption, remark = self.captions.box(box)
        self.add("title", group, text=self.captions.title(box))
        self._rect(group, box.key, f"th-box th-{box.key.kind}")
        self.write(x, y + (-2 if remark else 5), caption, "", group, "middle")
        self.write(x, y + 16, remark, "th-small", group, "middle")

    def _rect(self, group: ElementTree.Element | None, key: Key, style: str) -> None:
        x, y = self.layout.center(key)
        place = {"x": x - BOX_WIDTH / 2, "y": y - BOX_HEIGHT / 2, "rx": BOX_HEIGHT / 2 if key.kind == "gradient" else 6}
        self.add("rect", group, "", **place, width=BOX_WIDTH, height=BOX_HEIGHT, class_=style)

    def _lane(self, lane: int, y: float) -> None:
        heading, lines = self.captions.lane(lane)
        bar = lane in self.layout.bars
        if bar:
            x0, wide = HEADER + 8, self.width - HEADER - 26
            self.add("rect", x=x0, y=y - BAR_HEIGHT / 2, width=wide, height=BAR_HEIGHT, rx=6, class_="th-box")
            self.write(x0 + wide / 2, y + 5, self.captions.bar(lane, int((wide - 16) / LETTER)), "", None, "middle")
        self.write(18, y - 6, heading, "th-lane")
        for n, line in enumerate(lines):
            self.write(18, y + 14 + 18 * n, line, "th-small")
        loss = next((key for key in self.figure.boxes if key.kind == "loss" and key.lane == lane), None)
        if loss is not None:
            self.write(18, self.layout.center(loss)[1] + 5, "loss", "th-lane")

    def _legend(self) -> None:
        for n, (flow, words) in enumerate(self.flows.items()):
            row, column = divmod(n, self.columns)
            x, y = 18 + self.width / 2 * column, self.bottom + 20 + ROW * row
            style = f"th-arrow th-{flow} th-key"
            self.arrow(None, f"M{x:g} {y - 5:g} H{x + 52:g}", style, flow)
            if flow == "cut":
                self.scissors(x + 22, y - 5, "th-key")
            self.write(x + 62, y, words, "th-small")
        if self.cuts:
            places = list(dict.fromkeys(map(site, self.cuts.values())))
            more = f" and {len(places) - 3} more lines" if len(places) > 3 else ""
            text = f"the cuts drawn here were made in {', '.join(places[:3])}{more}"
            self.write(80, self.height - 20, text, "th-small")


def _numbered(cuts: Sequence[int]) -> str:
    """Cuts by their numbers: the first and the last of many."""
    numbers = ", ".join(map(str, sorted(cuts))) if len(cuts) <= 3 else f"{min(cuts)} … {max(cuts)}"
    return f"cut {numbers}" if len(cuts) == 1 else f"cuts {numbers}"
