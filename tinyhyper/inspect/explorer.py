"""The explorer: a recording, or a program, as one page that needs neither a server nor a network.

The parts of the pages stand in `page/`; this module puts them together. A program's page holds its JSON; a
recording's holds what its JSON says, packed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..arguments import whole
from ..errors import ArgumentError, DtypeError
from ..files import write
from .arrivals import arrivals
from .canvas import DARK_PAGES, part
from .curves import curves, together
from .exchange import file
from .memory import alive
from .opened import formulas
from .packing import packed
from .passes import passes
from .plain import markup
from .records import Recording
from .schema import dumps
from .waiting import waiting

LIBRARIES = ("cytoscape", "dagre")
SCRIPTS = (
    "elements", "packing", "tape", "lanes", "layout", "inside", "paths", "stock", "look", "curves", "details", "lists",
    "page", "passes", "controls",
)  # fmt: skip
# Comments, indents and empty lines: a page is no larger for them. What has a quotation mark may be no comment.
UNREAD = re.compile(r"^ */\*[^*]*\*/\n|^ +|^\n| +// [^'\"`\n]*$", re.MULTILINE)
GAPS = re.compile(r"(?<=[{;:,]) | (?=[{}])")  # of a style sheet
ENDS = re.compile(r"(?<=[{,;])\n| (?==> )|(?<==>) ")  # of lines that go on, and of statements; around arrows
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

    beside: another recording, whose curves are drawn over those of the first.  at: the step of the first with which the
    other one begins; the step to which it was rewound.
    Raises DtypeError if `beside` is no recording, ArgumentError if `at` is no step of the first.
    """
    at = whole("explorer: at", at, 0)
    if beside is not None and not isinstance(beside, Recording):
        raise DtypeError(f"explorer: beside must be a recording, not a value of type {type(beside).__name__}")
    if at and beside is None:
        raise ArgumentError(f"explorer: at={at}: give beside=, the run that begins there")
    if at > tape.steps:
        raise ArgumentError(f"explorer: at={at}: this recording has the steps 0 to {tape.steps}")
    libraries = "\n".join(_script(MAP.sub("", part(f"vendor/{name}.min.js"))) for name in LIBRARIES)
    with waiting(f"making a page of {tape.steps} steps"):
        held = file(tape)
        other = {} if beside is None else curves(beside, alive(beside))
        drawn = together(curves(tape, held.alive), other, at)
        views = {"formulas": formulas(tape), "curves": drawn}
        views |= {"passes": packed(passes(tape)), "arrivals": packed(arrivals(tape))}
        views["at"] = None if beside is None else at
        data, seen = dumps(packed(held)), _safe(dumps(views))
    return _filled("page.html", SCRIPTS, tape.title or "A recording", data, views=seen, libraries=libraries)


def program_page(title: str, data: str, picture: str) -> Page:
    """The page of a program. data: its JSON.  picture: its SVG."""
    return _filled("program.html", ("elements", "program"), title, data, picture=picture)


def save_html(
    tape: Recording, path: str | os.PathLike[str], *, beside: Recording | None = None, at: int = 0
) -> Path:
    """Write the page to a file, which appears whole or not at all; returns its path. beside, at: as in `explore`."""
    return write(path, page(tape, beside=beside, at=at), ".html")


def _filled(name: str, scripts: Sequence[str], title: str, data: str, **parts: str) -> Page:
    """A page. Nothing in the title and the data can become markup."""
    parts |= {
        "title": markup(title),
        "style": ENDS.sub("", GAPS.sub("", _short(part("page.css")))),
        "data": _safe(data),
        "scripts": "\n".join(_script(ENDS.sub("", _short(part(f"{script}.js")))) for script in scripts),
    }
    return Page(re.sub(r"\{\{(\w+)\}\}", lambda slot: parts[slot[1]], _short(part("head.html") + part(name))))


def _safe(data: str) -> str:
    """JSON that cannot become markup: "<" is written as an escape."""
    return data.replace("<", "\\u003c")


def _script(text: str) -> str:
    return f"<script>\n{text}\n</script>"


def _short(text: str) -> str:
    return UNREAD.sub("", text)
