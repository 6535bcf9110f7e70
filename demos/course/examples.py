"""The examples of README and docs: what a page's Python blocks print and draw, beside what the page shows.

A `py` block whose first line names a file and a definition in it shows that definition as it stands there. In a block
marked `text varies` the numbers may differ, and in a picture whose name ends in `.varies.svg`.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?P<shown>\n?^```text(?P<varies> varies)?\n.*?^```\n)?", re.MULTILINE | re.DOTALL
)
QUOTE = re.compile(r"^```py\n# (?P<file>\S+), (?P<name>[\w.]+)\n.*?^```\n", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?\s*")


def without_numbers(text: str) -> str:
    """Lines may break elsewhere where a number has another length."""
    return " ".join(NUMBER.sub("# ", text).split())


def rendered(text: str, name: str, anew: bool = False) -> str:
    """The page with each text block holding what the Python block before it prints; what varies, only if `anew`."""
    names = {"__name__": name}

    def run(block: re.Match[str]) -> str:
        line = text.count("\n", 0, block.start("code"))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["code"], name, "exec", dont_inherit=True), names)
        kind = f"text{block['varies'] or ''}"
        shown = block["shown"] and f"\n```{kind}\n{printed.getvalue().strip(chr(10))}\n```\n"
        if block["varies"] and not anew and without_numbers(shown) == without_numbers(block["shown"]):
            shown = block["shown"]
        return f"```python\n{block['code']}```\n{shown or ''}"

    return BLOCK.sub(run, QUOTE.sub(quoted, text))


def quoted(block: re.Match[str]) -> str:
    """The block with the definition that its first line names, as it stands in the file."""
    source, name = (ROOT / block["file"]).read_text(encoding="utf-8"), block["name"]
    body = ast.parse(source).body
    for part in name.split("."):
        found = next(node for node in body if part in defined(node))
        body = getattr(found, "body", [])
    lines = source.splitlines()[found.lineno - 1 : found.end_lineno]
    return f"```py\n# {block['file']}, {name}\n{textwrap.dedent(chr(10).join(lines))}\n```\n"


def defined(node: ast.stmt) -> set[str | None]:
    """The names that a statement defines."""
    targets = getattr(node, "targets", [getattr(node, "target", node)])
    return {getattr(target, "name", getattr(target, "id", None)) for target in targets}


def differences(page: Path, folder: Path) -> Iterator[str]:
    """Run a page's blocks in an empty folder: a diff of what they print, and the name of each picture that differs."""
    text, before = page.read_text(encoding="utf-8"), Path.cwd()
    os.chdir(folder)
    try:
        now = rendered(text, page.name)
    finally:
        os.chdir(before)
    yield from difflib.unified_diff(text.splitlines(), now.splitlines(), page.name, "today", lineterm="")
    for picture in sorted(folder.glob("*.svg")):
        if (shown := FIGURES / page.stem).exists() and not picture.name.endswith(".varies.svg"):
            if picture.read_text(encoding="utf-8") != (shown / picture.name).read_text(encoding="utf-8"):
                yield f"{picture.name} is drawn otherwise"
