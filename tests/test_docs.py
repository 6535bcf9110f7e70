"""README and docs: every Python block runs, in order, and prints what the text block after it shows.

The pictures in docs/figures are those that `python -m demos figure1` writes. `PYTHONPATH=. python tests/test_docs.py`
writes into the pages what their blocks print today, and draws the pictures anew.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

import pytest

from demos import figure1

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?P<shown>\n?^```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)(?P<path>[^)#\s]+)")


def rendered(text, name):
    """The page with each text block holding what the Python block before it prints."""
    names = {"__name__": name}

    def run(block):
        line = text.count("\n", 0, block.start("code"))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["code"], name, "exec"), names)
        shown = block["shown"] and f"\n```text\n{printed.getvalue().strip()}\n```\n"
        return f"```python\n{block['code']}```\n{shown or ''}"

    return BLOCK.sub(run, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    assert rendered(text, page.name) == text


def test_the_pictures_are_those_of_the_demo():
    drawn = {name: picture.svg for name, picture in figure1.pictures()}
    assert {path.name: path.read_text(encoding="utf-8") for path in FIGURES.glob("*.svg")} == drawn


def test_an_example_that_prints_something_else_is_noticed():
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    assert rendered(page, "page.md") == page.replace("2", "1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.finditer(page.read_text()):
        assert (page.parent / link["path"]).exists(), link["path"]


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())
    for page in PAGES:
        page.write_text(rendered(page.read_text(), page.name))
    for name, picture in figure1.pictures():
        (FIGURES / name).write_text(picture.svg, encoding="utf-8")
