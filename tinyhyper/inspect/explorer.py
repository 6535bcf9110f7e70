"""The explorer: a recording, or a program, as one page that needs neither a server nor a network.

The parts of the pages stand in `page/`; this module puts them together. A page shows the JSON of what it is of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..files import write
from .canvas import part
from .exchange import to_json
from .plain import markup
from .records import Recording

LIBRARIES = ("cytoscape", "dagre")
SCRIPTS = (
    "elements", "tape", "lanes", "layout", "inside", "paths", "stock", "look", "curves", "details", "page", "controls",
)  # fmt: skip


def page(tape: Recording) -> str:
    """The page of a recording, as text."""
    libraries = "\n".join(_script(f"vendor/{name}.min.js") for name in LIBRARIES)
    return _filled("page.html", SCRIPTS, tape.title or "A recording", to_json(tape), libraries=libraries)


def program_page(title: str, data: str, picture: str) -> str:
    """The page of a program, as text. data: its JSON.  picture: its SVG."""
    return _filled("program.html", ("elements", "program"), title, data, picture=picture)


def save_html(tape: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, which appears whole or not at all; returns its path."""
    return write(path, page(tape))


def _filled(name: str, scripts: Sequence[str], title: str, data: str, **parts: str) -> str:
    """A page. Nothing in the title and the data can become markup: "<" is written as an escape."""
    parts |= {
        "title": markup(title),
        "style": part("page.css"),
        "data": data.replace("<", "\\u003c"),
        "scripts": "\n".join(_script(f"{script}.js") for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: parts[slot[1]], part("head.html") + part(name))


def _script(name: str) -> str:
    text = re.sub(r"//# sourceMappingURL=.*", "", part(name))  # a browser's tools would look for that file
    return f"<script>\n{text}\n</script>"
