"""An SVG that is drawn part by part."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from math import atan2, degrees, inf
from typing import Literal
from xml.etree import ElementTree

from ..errors import ArgumentError
from ..plain import plain_lines

SLIDE, HALL = 1280, 720  # the width and the height of a slide, which pictures keep to where they can

# How notebooks and other pages say that they are dark. In others a picture is light; in a file of its own it is as the
# system is.
DARK_PAGES = (
    '[data-jp-theme-light="false"]', '[data-theme="dark"]', '[theme="dark"]', ".vscode-dark",
    ".vscode-high-contrast:not(.vscode-high-contrast-light)",
)  # fmt: skip


@cache
def part(name: str) -> str:
    """A file of the folder `page`."""
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


class Picture(str):
    """The text of an SVG, which shows itself in a notebook."""

    def __repr__(self) -> str:
        return f"<a picture, {len(self):,} characters of SVG: a notebook shows it, print() gives its text>"

    def _repr_html_(self) -> str:  # within the page, so that it knows the notebook's theme
        return str(self)

    def _repr_svg_(self) -> str:
        return str(self)


class Canvas:
    """An SVG element of a size. style: its class."""

    def __init__(self, width: float, height: float, style: str) -> None:
        size = {"width": f"{width:.0f}", "height": f"{height:.0f}", "viewBox": f"0 0 {width:.0f} {height:.0f}"}
        facts = {"xmlns": "http://www.w3.org/2000/svg", "class": f"th-picture {style}", "role": "img"}
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

    def style(self, *names: str) -> None:
        """Add style sheets, each with its darker one."""
        light, dark = ("".join([part(f"{name}{kind}.css") for name in names]) for kind in ("", ".dark"))
        inside = ", ".join([f"{page} .th-picture" for page in DARK_PAGES])
        alone = f"@media (prefers-color-scheme: dark) {{ .th-picture:root {{\n{dark}}} }}"
        self.add("style", text=f"{light}{inside} {{\n{dark}}}\n{alone}\n")

    def arrow(
        self,
        parent: ElementTree.Element | None,
        path: str,
        style: str,
        flow: str,
        end: Literal["start", "end"] = "end",
        size: int = 12,
    ) -> None:
        """Draw a path of absolute commands with a tip at one of its ends.

        The tip is no marker: a marker is found by its id, and not at all once the first figure that has it is hidden.
        """
        self.add("path", parent, d=path, class_=style)
        (x, y), (x0, y0) = corners(path)[:2] if end == "start" else corners(path)[:-3:-1]
        turn = f"translate({x:g} {y:g}) rotate({degrees(atan2(y - y0, x - x0)):.1f}) scale({size / 10:g})"
        self.add("path", parent, d="M-9 -4 L1 0 L-9 4 z", class_=f"th-tip th-tip-{flow}", transform=turn)

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

    def gate(self, x: float, y: float, style: str = "", parent: ElementTree.Element | None = None) -> None:
        """Draw a gate: a ring with a bar across it."""
        group = self.add("g", parent, class_=f"th-ring {style}".rstrip(), transform=f"translate({x:.1f} {y:.1f})")
        self.add("circle", group, cx=0, cy=0, r=8)
        self.add("path", group, d="M-5 5 L5 -5")

    def picture(self, scale: float = 1.0) -> Picture:
        """What has been drawn, so many times as large. Raises ArgumentError unless it is > 0."""
        if not isinstance(scale, (int, float)) or not 0 < scale < inf:
            raise ArgumentError(f"scale must be a number > 0, where 1 is the usual size, not {scale!r}")
        for side in ("width", "height"):
            self.root.set(side, f"{float(self.root.attrib[side]) * scale:.0f}")
        return Picture(ElementTree.tostring(self.root, encoding="unicode") + "\n")


def corners(path: str) -> list[tuple[float, float]]:
    """The points that absolute commands of an SVG path name, those that bend it included.

    Each differs from the one before it: two of them tell a direction.
    """
    found: list[tuple[float, float]] = []
    for letter, numbers in re.findall(r"([MLHVQC])([^MLHVQC]*)", path):
        values = [float(number) for number in numbers.split()]
        if letter == "H":
            values.append(found[-1][1])
        elif letter == "V":
            values.insert(0, found[-1][0])
        found += zip(values[::2], values[1::2])
    return [point for point, before in zip(found, [None, *found]) if point != before]
