"""The picture of two consecutive steps: time runs to the right, each level of the tower is a lane above the weights.

All that is drawn comes from the recording. A band is what one step computed; scissors stand on every arrow that a
`detach` cut. Colours are safe for the colour-blind, and no colour is the only sign of anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .figure import FIXED, Arrow, Box, Figure, Key, figure
from .layout import BOX_HEIGHT, BOX_WIDTH, HEADER, PITCH, TOP, Layout
from .text import short, shorten

if TYPE_CHECKING:
    from .recording import Tape

STYLE = """
.th-ground { fill: #ffffff } .th-band { fill: #f3f4f7 }
.th-figure text { font-family: system-ui, 'Helvetica Neue', Arial, sans-serif; fill: #1b1f24; font-size: 14px }
.th-figure .th-small { font-size: 12px; fill: #57606a } .th-figure .th-title { font-size: 17px; font-weight: 600 }
.th-figure .th-lane { font-weight: 600 } .th-figure .th-reason { font-size: 12px; fill: #a84300 }
.th-box { fill: #ffffff; stroke: #57606a; stroke-width: 1.3 } .th-box.th-loss { fill: #e4e7ec }
.th-arrow { fill: none; stroke-width: 2.6 }
.th-kept { stroke: #0072b2 } .th-cut { stroke: #d55e00; stroke-dasharray: 7 5 }
.th-value { stroke: #8b949e; stroke-width: 1.4 }
.th-backward { stroke: #8b949e; stroke-width: 1.6; stroke-dasharray: 1.5 4 }
.th-tip-kept { fill: #0072b2 } .th-tip-cut { fill: #d55e00 } .th-tip-value, .th-tip-backward { fill: #8b949e }
.th-scissors circle, .th-scissors path { fill: none; stroke: #c24e00; stroke-width: 2; stroke-linecap: round }
.th-scissors .th-back { stroke: none; fill: #ffffff }
@media (prefers-color-scheme: dark) {
.th-ground { fill: #0d1117 } .th-band { fill: #161b22 }
.th-figure text { fill: #e6edf3 } .th-figure .th-small { fill: #9aa4ae }
.th-figure .th-reason { fill: #ffa657 }
.th-box { fill: #0d1117; stroke: #9aa4ae } .th-box.th-loss { fill: #30363d }
.th-kept { stroke: #56b4e9 } .th-cut { stroke: #e69f00 } .th-tip-kept { fill: #56b4e9 } .th-tip-cut { fill: #e69f00 }
.th-scissors circle, .th-scissors path { stroke: #ffb13b } .th-scissors .th-back { fill: #0d1117 }
}
"""
LEGEND = {
    "kept": "kept: the gradient flows back along it",
    "cut": "cut by detach(): the value passes, the gradient stops",
    "backward": "backward() leaves a gradient in .grad",
    "value": "a constant, or no gradient recorded",
}


def svg(tape: Tape, step: int | None = None) -> str:
    """An SVG of two consecutive optimizer steps, read off the recording: boxes, edges kept, edges cut.

    step: the first of the steps to show; by default the last two are shown.
    Raises ArgumentError if the recording holds no optimizer step.
    """
    return Drawing(figure(tape, step)).text()


class Drawing:
    """A figure laid out and drawn."""

    def __init__(self, shown: Figure) -> None:
        self.figure = shown
        self.layout = Layout(shown)
        self.width, self.bottom = self.layout.width, self.layout.bottom
        self.cuts = list({id(cut): cut for arrow in shown.arrows for cut in arrow.cuts}.values())
        self.height = self.bottom + 60 + 24 * (len(self._flows()) + bool(self.cuts))
        size = {
            "width": f"{self.width:.0f}",
            "height": f"{self.height:.0f}",
            "viewBox": f"0 0 {self.width:.0f} {self.height:.0f}",
        }
        self.root = ElementTree.Element(
            "svg", {"xmlns": "http://www.w3.org/2000/svg", "class": "th-figure", "role": "img", **size}
        )

    def text(self) -> str:
        """The whole picture."""
        title = self.figure.title or "Optimizer steps, read off the recording"
        self._add("title", text=title)
        self._add("desc", text=self._description())
        self._add("style", text=STYLE)
        definitions = self._add("defs")
        for flow in LEGEND:
            tip = self._add(
                "marker",
                definitions,
                id=f"th-{flow}",
                viewBox="0 0 10 10",
                refX="9",
                refY="5",
                orient="auto-start-reverse",
            )
            tip.attrib.update(markerWidth="12", markerHeight="12", markerUnits="userSpaceOnUse")
            self._add("path", tip, d="M0 1 L10 5 L0 9 z", class_=f"th-tip-{flow}")
        self._add("rect", width=self.width, height=self.height, class_="th-ground")
        for n, step in enumerate(self.figure.steps):
            x = HEADER + n * PITCH
            wide = BOX_WIDTH + 32 if n == len(self.figure.steps) - 1 and self.layout.narrow else PITCH - 18
            self._add("rect", x=x, y=TOP - 10, width=wide, height=self.bottom - TOP + 10, rx=10, class_="th-band")
            self._write(x + 14, self.bottom + 20, f"step {step}", "th-small")
        self._write(18, 34, title, "th-title")
        self._write(18, 58, self._reached(), "")
        for lane, y in self.layout.y.items():
            self._lane(lane, y)
        for arrow in sorted(self.figure.arrows, key=lambda arrow: list(LEGEND)[::-1].index(arrow.flow)):
            self._arrow(arrow)
        for box in self.figure.boxes.values():
            self._box(box)
        for arrow in self.figure.arrows:
            if arrow.flow == "cut":
                self._scissors(*self.layout.route(arrow).mark, arrow)
        self._legend()
        return ElementTree.tostring(self.root, encoding="unicode") + "\n"

    def _arrow(self, arrow: Arrow) -> None:
        group = self._add("g")
        self._add("title", group, text=f"{self._name(arrow.source)} → {self._name(arrow.target)}: {LEGEND[arrow.flow]}")
        path = self.layout.route(arrow).path
        self._add("path", group, d=path, class_=f"th-arrow th-{arrow.flow}", marker_end=f"url(#th-{arrow.flow})")

    def _scissors(self, x: float, y: float, arrow: Arrow) -> None:
        group = self._add("g", class_="th-scissors", transform=f"translate({x:.1f} {y:.1f})")
        where = "; ".join(sorted({f"{cut.reason or 'cut'} at {shorten(cut.file)}:{cut.line}" for cut in arrow.cuts}))
        self._add("title", group, text=f"✂ {self._name(arrow.source)} → {self._name(arrow.target)}: {where}")
        _draw_scissors(self, group)
        reasons = ", ".join(dict.fromkeys(cut.reason for cut in arrow.cuts if cut.reason))
        beside = arrow.source.kind == "gradient"
        self._write(
            -16 if beside else 0, 4 if beside else -16, reasons, "th-reason", group, "end" if beside else "middle"
        )

    def _box(self, box: Box) -> None:
        x, y = self.layout.center(box.key)
        group = self._add("g")
        caption, remark = self._caption(box)
        self._add("title", group, text=", ".join([self._name(box.key), *box.names, *sorted(box.state)]))
        kind = f"th-box th-{box.key.kind}"
        round_ = BOX_HEIGHT / 2 if box.key.kind == "gradient" else 6
        rect = self._add("rect", group, x=x - BOX_WIDTH / 2, y=y - BOX_HEIGHT / 2, rx=round_, class_=kind)
        rect.attrib.update(width=str(BOX_WIDTH), height=str(BOX_HEIGHT))
        self._write(x, y + (-2 if remark else 5), caption, "", group, "middle")
        self._write(x, y + 14, remark, "th-small", group, "middle")

    def _caption(self, box: Box) -> tuple[str, str]:
        """The two lines in a box."""
        key, names = box.key, [_called(name, box.key.lane) for name in box.names]
        if key.kind == "loss":
            return f"loss[{key.step}]", "" if box.number is None else short(box.number)
        many = "values" if key.lane else "weights"
        value = next(iter(box.names.values())) if len(names) == 1 else None
        remark = "" if value is None else short(value)
        if key.kind == "gradient":
            known = any(arrow.target == key for arrow in self.figure.arrows)
            one = names[0] if len(names) == 1 and len(names[0]) <= 10 else many
            if not known:
                remark = "none yet: zero" if all(value == 0 for value in box.names.values()) else "of no loss shown"
            return f"∂loss/∂{one}", remark
        if box.state:
            remark = "with " + ", ".join(sorted(box.state))
        elif len(names) > 1:
            remark = ", ".join(names)
        return _clip(names[0] if len(names) == 1 else f"{len(names)} {many}", 13) + f"[{key.step}]", _clip(remark, 20)

    def _name(self, key: Key) -> str:
        """What a box is called where its lane does not show."""
        names = self.figure.fixed[key.lane] if key.step == FIXED else self.figure.boxes[key].names
        called = ", ".join(
            (f"level{key.lane - 1}." if key.lane > 2 else "") + _called(name, key.lane) for name in names
        )
        if key.kind == "loss":
            return f"loss[{key.step}]"
        several = f"({called})" if len(names) > 1 else called
        if key.kind == "gradient":
            return f"∂loss/∂{several}"
        return several if key.step == FIXED else f"{several}[{key.step}]"

    def _lane(self, lane: int, y: float) -> None:
        boxes = [box for key, box in self.figure.boxes.items() if key.lane == lane and key.kind == "values"]
        names = list(dict.fromkeys(name for box in boxes for name in box.names))
        lines = [", ".join(_called(name, lane) for name in names)] if lane or len(names) > 1 else []
        fixed = self.figure.fixed.get(lane, {})
        if lane in self.layout.bars:
            x0, x1 = HEADER + 16, self.layout.center(Key(0, self.figure.steps[-1], "values"))[0] + BOX_WIDTH / 2
            self._add("rect", x=x0, y=y - 16, width=x1 - x0, height=32, rx=6, class_="th-box")
            held = [
                _called(name, lane) + ("" if value is None else f" = {short(value)}") for name, value in fixed.items()
            ]
            self._write((x0 + x1) / 2, y + 5, f"{', '.join(held)}, fixed: nothing tunes it", "", None, "middle")
        elif fixed:
            lines.append(f"fixed: {', '.join(_called(name, lane) for name in fixed)}")
        rules = list(dict.fromkeys(box.rule for box in boxes if box.rule))
        lines += [f"moved by {rule}, level {lane}" for rule in rules]
        heading = "weights" if lane == 0 else f"hyperparameters, level {lane - 1}"
        self._write(18, y + (5 if lane in self.layout.bars else -8), heading, "th-lane")
        if lane == 2 and "alpha" in (*names, *fixed):
            lines.append("kappa is the alpha of level 1")
        for n, line in enumerate(lines):
            self._write(18, y + (24 if lane in self.layout.bars else 12) + 18 * n, _clip(line, 32), "th-small")

    def _legend(self) -> None:
        y = self.bottom + 52
        for flow in self._flows():
            self._add("path", d=f"M18 {y - 4} H78", class_=f"th-arrow th-{flow}", marker_end=f"url(#th-{flow})")
            if flow == "cut":
                _draw_scissors(self, self._add("g", class_="th-scissors th-key", transform=f"translate(44 {y - 4})"))
            self._write(92, y, LEGEND[flow], "")
            y += 24
        if self.cuts:
            places = list(dict.fromkeys(f"{shorten(cut.file)}:{cut.line}" for cut in self.cuts))
            more = f" and {len(places) - 3} more lines" if len(places) > 3 else ""
            self._write(92, y, f"cuts drawn here were made in {', '.join(places[:3])}{more}", "th-small")

    def _reached(self) -> str:
        """Which boxes the last loss sends a gradient to: those that kept arrows lead back to."""
        losses = [key for key in self.figure.boxes if key.kind == "loss"]
        if not losses:
            return ""
        loss = max(losses, key=lambda key: key.step)
        reached, waiting = [], [loss]
        while waiting:
            target = waiting.pop(0)
            for arrow in self.figure.arrows:
                if arrow.target == target and arrow.flow == "kept" and arrow.source not in reached:
                    reached.append(arrow.source)
                    waiting.append(arrow.source)
        names = [self._name(key) for key in reached]
        names = [
            self._caption(self.figure.boxes[key])[0] if not key.lane else name for key, name in zip(reached, names)
        ]
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return f"Along the kept edges, {self._name(loss)}.backward() reaches {', '.join(names[:6]) or 'nothing'}{more}."

    def _flows(self) -> list[str]:
        used = {arrow.flow for arrow in self.figure.arrows}
        return [flow for flow in LEGEND if flow in used]

    def _description(self) -> str:
        ways: dict[str, list[str]] = {flow: [] for flow in LEGEND}
        for arrow in self.figure.arrows:
            ways[arrow.flow].append(f"{self._name(arrow.source)} to {self._name(arrow.target)}")
        kept, cut = ("; ".join(ways[flow]) or "none" for flow in ("kept", "cut"))
        return f"{len(ways['kept'])} edges are kept: {kept}. {len(ways['cut'])} edges are cut: {cut}."

    def _write(
        self,
        x: float,
        y: float,
        text: str,
        style: str,
        parent: ElementTree.Element | None = None,
        anchor: str = "start",
    ) -> None:
        if text:
            self._add("text", parent, text=text, x=x, y=y, class_=style, text_anchor=anchor)

    def _add(
        self, tag: str, parent: ElementTree.Element | None = None, text: str = "", **attributes: object
    ) -> ElementTree.Element:
        values = {
            name.rstrip("_").replace("_", "-"): f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
            if value != ""
        }
        element = ElementTree.SubElement(self.root if parent is None else parent, tag, values)
        element.text = text or None
        return element


def _draw_scissors(drawing: Drawing, group: ElementTree.Element) -> None:
    """Scissors around (0, 0), opening to the right."""
    drawing._add("circle", group, cx=0, cy=0, r=12, class_="th-back")
    drawing._add("circle", group, cx=-6, cy=-5, r=3)
    drawing._add("circle", group, cx=-6, cy=5, r=3)
    drawing._add("path", group, d="M-3.5 -3.4 L9 5.5 M-3.5 3.4 L9 -5.5")


def _called(name: str, lane: int) -> str:
    """A name as the paper writes it: the alpha of level 1 is kappa."""
    return "kappa" if lane == 2 and name == "alpha" else name


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
