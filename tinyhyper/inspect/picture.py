"""The drawing of a figure: its bands, lanes, boxes and arrows, and what stands beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, pairwise
from math import inf
from textwrap import wrap
from types import MappingProxyType
from xml.etree import ElementTree

from ..plain import NOUGHT
from .bands import Joint, amounts, band, joint_of, spread, told
from .canvas import HALL, SLIDE, Canvas, Picture, corners
from .captions import BRANCH, CARRY, LEGEND, Captions, column, numbered
from .layout import BAR_HEIGHT, HEADER, LOW, Layout
from .legend import ROUNDING, Legend, texts
from .letters import clip, first, wide
from .rows import SMALL, rows, usual
from .shapes import FIXED, STATE, Arrow, Box, Figure, Key
from .text import site

TOP, TITLE, LINE = 36, 26, 23  # the title's baseline; from line to line of title and caption
LETTER, LARGE = 8.4, 12.0  # about the widths of a letter: in a line, in the title
TIP, EDGE = 21, 58  # of a band; how far right of scissors their column ends


class Drawing(Canvas):
    """A figure laid out and drawn.

    branches: the paths of a gradient, each with its contribution.  most: what the trail is among them.
    moves: gradients, each with the values that it moved; a band joins them.
    least, broad: how many lines a caption has, and how wide the picture is, at least.
    tells: whether the contributions are drawn, too.  under, below: where the caption ends, and how much is free then.
    lay, hall: how it is laid out, and how high it should be at most.
    ghosts: by the number of a cut, what stands beside it.  norms: the boxes at which a contribution is a norm.
    asked: by box, the names of the values whose rows stand out.  keys: more of its legend.
    """

    broad, tells, below = 0, False, 0.0
    lay: type[Layout] = Layout
    hall = float(HALL)

    def __init__(
        self,
        shown: Figure,
        trail: Sequence[str | tuple[int, int, str]] = (),
        marks: Collection[int] = (),
        caption: str | None = None,
        branches: Sequence[tuple[Sequence[Key], float]] = (),
        most: str = "",
        ghosts: Mapping[int, str] = MappingProxyType({}),
        asked: Mapping[Key, Collection[str]] = MappingProxyType({}),
        keys: Mapping[str, str] = MappingProxyType({}),
        moves: Sequence[tuple[Key, Key]] = (),
        groups: Mapping[tuple[Key, Key], str] = MappingProxyType({}),
        norms: Collection[Key] = (),
        least: int = 0,
    ) -> None:
        shown = shown if shown.alone is not None else shown.boxed()
        self.figure, self.captions, self.ghosts, self.asked = shown, Captions(shown), ghosts, asked
        found = [self.captions.find(box) for box in trail]
        self.joints = [joint_of(shown, *pair, self.captions.name) for pair in (*pairwise(found), *moves)]
        self.trail = [*found, *chain(*moves)]
        self.band = "carry" if self.joints and all(self._style(joint) == "carry" for joint in self.joints) else "trail"
        self.amounts: dict[Joint, float] = defaultdict(float)  # what came along an arrow
        for pair, amount in ((pair, amount) for boxes, amount in branches for pair in pairwise(boxes)):
            self.amounts[joint_of(shown, *pair, self.captions.name)] += amount
        joined = {(arrow.target, arrow.source) for arrow in shown.arrows} if groups else ()
        named = {ends: name for ends, name in groups.items() if ends in joined}
        self.groups = {joint_of(shown, *ends, self.captions.name): name for ends, name in named.items()}
        self.marks = self.captions.marked(marks)
        flows = {**self.captions.flows(), **keys}
        flows |= {"carry": CARRY} if any(self._style(joint) == "carry" for joint in self.joints) else {}
        flows |= {NOUGHT: ROUNDING} if NOUGHT in (caption or "") else {}
        self.led = bool(self.joints)  # a band in the caption says what the trail is
        if not self.tells and len(self.amounts) > len(self.joints):
            self.tells, self.led = True, False
            flows |= {"trail": most, "branch": BRANCH} if self.joints else {"branch": BRANCH}
        self.came = told(shown.arrows, self.amounts, norms) if self.tells else {}
        self.title = shown.title or "Optimizer steps, read off the recording"
        self.text, self.least = self.captions.reached() if caption is None else caption, least
        self._size(flows, max(self.broad, self._laid(0).width))
        if self.height > HALL or len(self.titles) > 1 or len(self.lines) > 1:
            self._size(flows, max(SLIDE, self.width))
        super().__init__(self.width, self.height, "th-figure")

    def _size(self, flows: Mapping[str, str], width: float) -> None:
        """Find where all is in a picture of a width."""
        self.width = width
        self.titles = wrap(self.title, int((width - 36) / LARGE))
        self.lines = [part for line in self.text.split("\n") for part in wrap(line, int((width - 90) / LETTER))]
        self.lines += [""] * (self.least - len(self.lines))
        self.first = TOP + TITLE * len(self.titles) + 4  # the baseline of the caption
        boxes, notes = self.figure.boxes.values(), self.captions.notes()
        most = 8 + Legend({**flows, **texts(boxes, usual)}, width, notes).height
        self.under = self.first + LINE * len(self.lines)
        self.layout = self._laid(self.under + self.below - 2, self.hall - most)
        self.bottom = self.layout.bottom
        self.legend = Legend({**flows, **texts(boxes, self._numbers)}, width, notes, HALL - self.bottom - 8)
        self.height = self.bottom + self.legend.height + 8

    def _numbers(self, box: Box) -> list[str]:
        """The numbers in the rows of a box, as they are drawn."""
        broad = self.layout.width_of(box.key)
        if self.layout.rows(box) == 1:
            return [self.captions.box(box, broad)[1]]
        return [number for _, number in rows(box, broad)]

    def _laid(self, top: float, least: float = inf) -> Layout:
        values, gradients = self.captions.needs()
        for both in (True, False):  # names of groups stand beside numbers, if the texts in boxes have room then
            broad, room = spread(self.figure, self.came, self.groups, both)
            layout = self.lay(self.figure, top, (max(values, broad), gradients), least, room)
            if layout.round >= gradients:
                break
        return layout

    def draw(self, scale: float = 1.0) -> Picture:
        """The whole picture."""
        self.add("title", text=self.title)
        self.add("desc", text=" ".join([*filter(None, self.lines), self.captions.description()]))
        self.style("picture")
        self.add("rect", width=self.width, height=self.height, class_="th-ground")
        self._head()
        for n, step in enumerate(self.figure.steps):
            self._band(n, step)
        for lane, y in self.layout.y.items():
            self._lane(lane, y)
        self._marks_below()
        for arrow in sorted(self.figure.visible(), key=lambda arrow: list(LEGEND)[::-1].index(arrow.flow)):
            self._arrow(arrow)
        for box in self.figure.boxes.values():
            self._box(box)
        for lane in self.layout.boxed:
            gone = all(arrow.gone for arrow in self.figure.arrows if arrow.source == (lane, FIXED, "values"))
            self._fixed(lane, *self.layout.still(lane), gone)
        for arrow in self.figure.arrows:
            if arrow.flow == "cut":
                self._scissors(*self.layout.route(arrow).mark, arrow)
            elif arrow.flow == "gate":
                self.gate(*self.layout.route(arrow).mark)
        for x, y, text, anchor in amounts(self.layout, self.figure.arrows, self.came, self.groups):
            self.write(x, y, text, "th-amount", None, anchor)
        self.legend.draw(self, self.bottom + 20)
        return self.picture(scale)

    def _head(self) -> None:
        """The title and the caption."""
        for n, line in enumerate(self.titles):
            self.write(18, TOP + TITLE * n, line, "th-title")
        for n, line in enumerate(self.lines):
            self.write(76 if self.led else 18, self.first + LINE * n, line, "")
        if self.led:
            y, back = float(self.first - 5), self.band == "trail"
            self.arrow(None, f"M62 {y:g} H18" if back else f"M18 {y:g} H62", f"th-{self.band}", self.band, size=TIP)

    def _marks_below(self) -> None:
        """What lies below arrows and boxes."""
        for joint in [*(other for other in self.amounts if other not in self.joints), *self.joints]:
            style = self._style(joint) if joint in self.joints else "branch"
            path = band(self.layout, self.figure.arrows[joint[0]], joint[1]).path
            self.arrow(None, path, f"th-{style}", style, joint[1], size=TIP)
        arrows = [self.figure.arrows[number] for number, _ in self.amounts]
        for key in dict.fromkeys([*chain(*((arrow.source, arrow.target) for arrow in arrows)), *self.trail]):
            self._rect(None, key, f"th-{self.band}" if key in self.trail else "th-branch")

    def _style(self, joint: Joint) -> str:
        """How a trail looks along an arrow. Along one that is cut a value passes, and no gradient."""
        return "carry" if joint[1] == "end" and self.figure.arrows[joint[0]].flow == "cut" else "trail"

    def _style_of(self, arrow: Arrow) -> str:
        """What sets it and its scissors apart, as classes."""
        marked = " th-marked" if any(cut.number in self.marks for cut in arrow.cuts) else ""
        return marked + (" th-idle" if arrow.look == "idle" else "")

    def _band(self, n: int, step: int) -> None:
        x, top = HEADER + n * self.layout.pitch, self.layout.top
        wide = self.layout.width - x - 10 if n == len(self.figure.steps) - 1 else self.layout.pitch - 8
        self.add("rect", x=x, y=top, width=wide, height=self.bottom - top - 10, rx=10, class_="th-band")
        self.write(x + 10, top + 20, column(step), "th-small")
        if n < len(self.figure.steps) - 1:
            self.write(x + wide - 10, top + 20, f"step {self.figure.steps[n + 1]} →", "th-small", None, "end")

    def _arrow(self, arrow: Arrow) -> None:
        group = self.add("g", class_="th-gone" if arrow.gone else "")
        name, look = self.captions.name, arrow.look
        self.add("title", group, text=f"{name(arrow.source)} → {name(arrow.target)}: {LEGEND[look]}")
        path = self.layout.route(arrow).path
        self.arrow(group, path, f"th-arrow th-{arrow.flow}{self._style_of(arrow)}", look)
        (x, y), (_, end), below = corners(path)[0], corners(path)[-1], arrow.source.kind == "gradient"
        if arrow.flow == "asked" and not (below and (arrow.source, arrow.target, "cut") in self.layout.arrows):
            arrives = "".join([self.ghosts.get(cut.number, "") for cut in arrow.cuts])
            place = (x, self.layout.below(arrow.source)) if below else (x + 26, y + 17)
            self.write(*place, arrives, "th-small", group, "end" if below else "start")
        fixed = arrow.source.step == FIXED and arrow.source.lane not in self.layout.bars
        if fixed and not self.layout.skips and self.figure.alone is None:
            self.write(x + 6, (y + end) / 2 + 4, self.captions.still(arrow.source.lane), "th-small", group)

    def _scissors(self, x: float, y: float, arrow: Arrow) -> None:
        group = self.scissors(x, y, self._style_of(arrow) + (" th-gone" if arrow.gone else ""))
        where = "; ".join(sorted({f"{cut.reason or 'cut'} at {site(cut)}" for cut in arrow.cuts}))
        ends = f"{self.captions.name(arrow.source)} → {self.captions.name(arrow.target)}"
        self.add("title", group, text=f"✂ {ends}: {where}")
        if self.figure.alone is not None:  # each of two recordings numbers its own cuts
            return
        told = [cut.number for cut in arrow.cuts if cut.number in self.ghosts]
        number, ghost = numbered(told or [cut.number for cut in arrow.cuts]), self.ghosts[told[0]] if told else ""
        reasons = ", ".join(sorted({cut.reason for cut in arrow.cuts if cut.reason}, reverse=True))  # weights, state
        many = f"{len(arrow.cuts)} cuts"
        forms = [number, number.replace("cuts", "✂"), many] if len(arrow.cuts) > 1 else [number]
        forms = [*[f"{reasons}: {form}" for form in forms if reasons], number, many]
        if arrow.source.kind == "gradient":
            forms = [f"{number}: {ghost}"] if ghost else forms
            x, room = (-46, self.layout.round - 8) if self.tells else (2, self.layout.round)
            below, text = self.layout.below(arrow.source) - y, first([*forms, ghost or forms[-1]], room / SMALL)
            self.write(x, below, text, "th-reason", group, "end")
            return
        if wide(number) * SMALL <= EDGE - 11:
            self.write(-16, -6, ghost or clip(reasons, 14), "th-reason", group, "end")
            self.write(EDGE, -6, number, "th-reason", group, "end")
            return
        end = 12 if self.tells else EDGE
        forms = [f"{number}: {ghost}", ghost] if ghost else forms
        text = first(forms, (self.layout.round + end - 8) / SMALL)
        x, y = (-16, -6) if len(text) <= 18 else (end, -12.5)
        self.write(x, y, text, "th-reason", group, "end")

    def _box(self, box: Box) -> None:
        x, y = self.layout.center(box.key)
        group = self.add("g", class_="th-gone" if box.gone else "")
        self.add("title", group, text=self.captions.title(box))
        self._rect(group, box.key, f"th-box th-{box.key.kind}")
        count, asked, broad = self.layout.rows(box), self.asked.get(box.key, ()), self.layout.width_of(box.key)
        side = broad / 2 - 8

        def mark(low: float) -> None:
            place = {"x": x - side - 4, "y": low - 14, "width": 2 * side + 8, "height": LOW}
            self.add("rect", group, "", **place, class_="th-row-asked")

        if count == 1:
            caption, remark = self.captions.box(box, broad)
            if {*asked} == {STATE}:
                mark(y + 13)
            elif asked:
                self._rect(group, box.key, "th-row-asked")
            self.write(x, y + (-4 if remark else 5), caption, "", group, "middle")
            self.write(x, y + 13, remark, "th-small", group, "middle")
        for n, (name, number) in enumerate(rows(box, broad) if count > 1 else ()):
            low = y + 5 + LOW * (n - (count - 1) / 2)
            if [*box.names, STATE][n] in asked:
                mark(low)
            self.write(x - side, low, name, "th-row", group)
            self.write(x + side, low, number, "th-small", group, "end")

    def _fixed(self, lane: int, x: float, y: float, wide: float, high: float, gone: bool = False) -> None:
        """Draw the box of a lane's hyperparameters that nothing tunes. x, y: its left side, its middle."""
        group = self.add("g", class_="th-gone" if gone else "")
        style = "" if high == BAR_HEIGHT else "th-small"
        look = "th-box th-row-asked" if self.asked.get(Key(lane, FIXED, "values")) else "th-box"
        self.add("rect", group, "", x=x, y=y - high / 2, width=wide, height=high, rx=6, class_=look)
        text = self.captions.bar(lane, int((wide - 12) / (7.6 if style else LETTER)))
        self.write(x + wide / 2, y + (4 if style else 5), text, style, group, "middle")

    def _rect(self, group: ElementTree.Element | None, key: Key, style: str) -> None:
        (x, y), wide, high = self.layout.center(key), self.layout.width_of(key), self.layout.height(key)
        place = {"x": x - wide / 2, "y": y - high / 2, "rx": 19 if key.kind == "gradient" else 6}
        self.add("rect", group, "", **place, width=wide, height=high, class_=style)

    def _lane(self, lane: int, y: float) -> None:
        heading, lines = self.captions.lane(lane, self.layout.few, self.layout.lines(lane))
        self.write(18, y - 6, heading, "th-lane")
        for n, line in enumerate(lines):
            self.write(18, y + 14 + 18 * n, line, "th-small")
        loss = next((key for key in self.figure.boxes if key.kind == "loss" and key.lane == lane), None)
        if loss is not None:
            self.write(18, self.layout.center(loss)[1] + 5, "loss", "th-lane")
