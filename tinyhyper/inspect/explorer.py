"""The explorer: a recording as one page that needs neither a server nor a network.

The parts of the page stand in `page/`; this module puts them together. The page shows the recording's JSON.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..files import write
from .canvas import part
from .exchange import to_json
from .plain import markup
from .records import Recording

LIBRARIES = ("cytoscape", "dagre")
SCRIPTS = ("tape", "lanes", "layout", "inside", "paths", "stock", "look", "curves", "details", "page", "controls")


def page(tape: Recording) -> str:
    """The page, as text. Nothing in the recording can become markup: "<" is written as an escape."""
    parts = {
        "title": markup(tape.title or "A recording"),
        "style": part("page.css"),
        "tape": to_json(tape).replace("<", "\\u003c"),
        "libraries": "\n".join(_script(f"vendor/{name}.min.js") for name in LIBRARIES),
        "scripts": "\n".join(_script(f"{name}.js") for name in SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: parts[slot[1]], part("page.html"))


def save_html(tape: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, which appears whole or not at all; returns its path."""
    return write(path, page(tape))


def _script(name: str) -> str:
    text = re.sub(r"//# sourceMappingURL=.*", "", part(name))  # a browser's tools would look for that file
    return f"<script>\n{text}\n</script>"
