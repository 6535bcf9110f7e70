"""An SVG that is drawn part by part."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

from .plain import plain_lines


@cache
def part(name: str) -> str:
    """A file of the folder `page`."""
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


class Canvas:
    """An SVG element of a size. style: its class."""

    def __init__(self, width: float, height: float, style: str) -> None:
        size = {"width": f"{width:.0f}", "height": f"{height:.0f}", "viewBox": f"0 0 {width:.0f} {height:.0f}"}
        facts = {"xmlns": "http://www.w3.org/2000/svg", "class": style, "role": "img"}
        self.root = ElementTree.Element("svg", {**facts, **size})

    def add(
        self, tag: str, parent: ElementTree.Element | None = None, text: str = "", **attributes: object
    ) -> ElementTree.Element:
        """Add an element. attributes: `class_` and `text_anchor` are class and text-anchor; "" leaves one out."""
        values = {
            name.rstrip("_").replace("_", "-"): f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
            if value != ""
        }
        element = ElementTree.SubElement(self.root if parent is None else parent, tag, values)
        element.text = plain_lines(text) or None
        return element

    def write(
        self,
        x: float,
        y: float,
        text: str,
        style: str = "",
        parent: ElementTree.Element | None = None,
        anchor: str = "start",
    ) -> None:
        """Write a line of text."""
        if text:
            self.add("text", parent, text=text, x=x, y=y, class_=style, text_anchor=anchor)

    def tip(self, definitions: ElementTree.Element, flow: str, size: int) -> None:
        """Define the tip of an arrow."""
        box = {"viewBox": "0 0 10 10", "refX": "9", "refY": "5", "orient": "auto-start-reverse"}
        tip = self.add("marker", definitions, id=f"th-{flow}")
        tip.attrib.update(box, markerWidth=f"{size}", markerHeight=f"{size}", markerUnits="userSpaceOnUse")
        self.add("path", tip, d="M0 1 L10 5 L0 9 z", class_=f"th-tip-{flow}")

    def scissors(
        self, x: float, y: float, style: str = "", parent: ElementTree.Element | None = None
    ) -> ElementTree.Element:
        """Draw scissors, opening to the right; texts beside them can be added."""
        group = self.add("g", parent, class_=f"th-scissors {style}".rstrip(), transform=f"translate({x:.1f} {y:.1f})")
        self.add("circle", group, cx=0, cy=0, r=12, class_="th-back")
        self.add("circle", group, cx=-6, cy=-5, r=3)
        self.add("circle", group, cx=-6, cy=5, r=3)
        self.add("path", group, d="M-3.5 -3.4 L9 5.5 M-3.5 3.4 L9 -5.5")
        return group

    def __str__(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode") + "\n"
