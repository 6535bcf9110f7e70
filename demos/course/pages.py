"""A lesson is a page of docs/course; here it becomes a list of cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "docs" / "course"

# Code and what the page says that it prints, or a picture that the code before it has drawn.
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n?^```text(?: varies)?\n.*?^```\n)?"
    r"|^!\[(?P<words>(?:[^\]]|\](?!\())*)\]\(\.\./figures/[^/]+/(?P<file>[^)]+)\)\n",
    re.MULTILINE | re.DOTALL,
)
# The last line of a block of code, and its fence: an explorer that it has written, and of which recording.
EXPLORER = re.compile(r'^(?P<tape>\w+)\.save_html\("(?P<file>[^"]+)"\)\n```\n', re.MULTILINE)
LINK = re.compile(r"\[(?P<words>[^\]]*)\]\((?P<page>[^):]*)\.md(?P<section>#[^)]*)?\)")


class Cell(NamedTuple):
    """A cell.

    kind: "text", "code", "picture" or "explorer".  source: Markdown; Python; the file of the picture or the explorer.
    words: what the picture shows; the name of the explorer's recording.
    before: the number of lines before it on the page.
    """

    kind: str
    source: str
    words: str = ""
    before: int = 0


def lessons() -> dict[int, Path]:
    """The pages, by the numbers of their lessons."""
    return {int(page.name[:2]): page for page in sorted(COURSE.glob("[0-9][0-9]-*.md"))}


def cells(text: str) -> Iterator[Cell]:
    """A page, cell by cell, without what its code prints."""
    end = 0
    for block in BLOCK.finditer(text):
        if words := text[end : block.start()].strip():
            yield Cell("text", words, before=text.count("\n", 0, text.index(words, end)))
        if block["file"]:
            yield Cell("picture", block["file"], " ".join(block["words"].split()))
        else:
            yield Cell("code", block["code"].strip(), before=text.count("\n", 0, block.start("code")))
            if explorer := EXPLORER.search(block[0]):
                yield Cell("explorer", explorer["file"], explorer["tape"])
        end = block.end()
    if words := text[end:].strip():
        yield Cell("text", words, before=text.count("\n", 0, text.index(words, end)))


def linked(text: str, suffix: str) -> str:
    """A text in which a link to another lesson leads to its file here; of one to another page the words are left."""

    def link(found: re.Match[str]) -> str:
        lesson = re.fullmatch(r"\d\d-[\w-]+", found["page"])
        return f"[{found['words']}]({found['page']}.{suffix})" if lesson else found["words"]

    return LINK.sub(link, text)
