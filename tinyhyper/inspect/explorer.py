"""The explorer: a recording, or a program, as one page that needs neither a server nor a network.

The parts of the pages stand in `page/`; this module puts them together. A page holds its scripts, its libraries
and its JSON deflated, as base64, of which nothing can become markup; `page/start.js` begins with them.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from zlib import compress

from ..arguments import whole
from ..collector import collector_off
from ..errors import ArgumentError, DtypeError
from ..files import write_as
from ..plain import NOUGHT, markup, short
from .arrivals import arrivals, uncut
from .canvas import DARK_PAGES, part
from .curves import curves, together
from .exchange import file
from .graph import Graph
from .memory import alive
from .opened import formulas
from .passes import passes, vanishing
from .records import Recording
from .schema import dumps
from .waiting import waiting

SCRIPTS = (
    "vendor/cytoscape.min", "vendor/dagre.min", "elements", "tape", "lanes", "layout", "inside", "paths", "stock",
    "look", "curves", "details", "lists", "page", "passes", "controls",
)  # fmt: skip
MAP = re.compile(r"//# sourceMappingURL=.*")  # for which a browser's tools would look


# A cell's frame can be drawn larger at its corner. What is in it can ask for nothing of the page around it, whose
# theme it knows from the scheme of the frame.
FRAME = """<style>
.th-explorer {{ display: block; width: 100%; height: 720px; border: 1px solid #8b949e; box-sizing: border-box }}
.th-explorer {{ resize: vertical; color-scheme: light }} {dark} {{ color-scheme: dark }}
</style>
<iframe class="th-explorer" sandbox="allow-scripts" srcdoc="{page}"></iframe>
"""


class Page(str):
    """The text of a page, which opens in a notebook's cell."""

    def __repr__(self) -> str:
        return f"<a page, {len(self):,} characters of HTML: a notebook shows it, print() gives its text>"

    def _repr_html_(self) -> str:
        dark = ", ".join([f"{page} .th-explorer" for page in DARK_PAGES])
        return FRAME.format(dark=dark, page=escape(self))


def page(tape: Recording, *, beside: Recording | None = None, at: int = 0) -> Page:
    """The explorer of the recording: the text of a page that opens in a notebook's cell; `save_html` writes it.

    beside: another recording, whose curves are drawn over those of the first.  at: the number of the step of the first
    with which the other one begins; of the step to which it was rewound.
    Raises DtypeError if `beside` is not a recording, ArgumentError if `at` is not a step of the first.
    """
    at = whole("explorer: at", at, 0)
    if beside is not None and not isinstance(beside, Recording):
        raise DtypeError(f"explorer: beside must be a recording, not a value of type {type(beside).__name__}")
    if at and beside is None:
        raise ArgumentError(f"explorer: at={at} needs beside=, the run that begins there")
    if at > tape.steps:
        raise ArgumentError(f"explorer: at={at}: this recording has the steps 0 to {tape.steps}")
    with waiting(f"making a page of {tape.steps} steps"), collector_off():  # searches took a third of the time
        held, graph = file(tape), Graph(tape)
        other = {} if beside is None else curves(beside, alive(beside))
        views = {
            "formulas": formulas(graph), "curves": together(curves(tape, held.alive), other, at),
            "sweeps": passes(graph), "arrivals": arrivals(graph), "uncut": uncut(graph), "noughts": _noughts(graph),
            "at": None if beside is None else at,
        }  # fmt: skip
        return _filled("page.html", SCRIPTS, tape.title or "A recording", {"tape": dumps(held), "views": dumps(views)})


def program_page(title: str, data: str, picture: str) -> Page:
    """The page of a program. data: its JSON.  picture: its SVG."""
    return _filled("program.html", ("elements", "program"), title, {"program": data}, picture=picture)


def save_html(
    tape: Recording, path: str | os.PathLike[str], *, beside: Recording | None = None, at: int = 0
) -> Path:
    """Write the page to a file, which appears whole or not at all; returns its path.

    beside, at: a recording and a number, as in `explore`.
    """
    return write_as(".html", path, page(tape, beside=beside, at=at))


def _noughts(graph: Graph) -> dict[str, list[int]]:
    """What is 0 up to rounding: the nodes of such gradients, and the cuts of such ghosts."""
    gradients = [node.number for node in graph.nodes if node.of is not None]
    gradients = [number for number in gradients if short(graph.number((number, 0))) == NOUGHT]
    zero = vanishing(graph)
    return {"gradients": gradients, "cuts": [number for number in sorted(zero) if graph.cuts[number].ghost]}


def _filled(name: str, scripts: Sequence[str], title: str, data: dict[str, str], **parts: str) -> Page:
    """A page. data: the JSON that its scripts read."""
    code = dumps([MAP.sub("", part(f"{script}.js")) for script in scripts])
    held = ",".join([f'"{key}":{text}' for key, text in {"scripts": code, **data}.items()])
    parts |= {
        "title": markup(title),
        "style": part("page.css"),
        "held": b64encode(compress(f"{{{held}}}".encode())).decode(),
        "start": part("start.js"),
    }
    return Page(re.sub(r"\{\{(\w+)\}\}", lambda slot: parts[slot[1]], part("head.html") + part(name)))
