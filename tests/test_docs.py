"""README and docs: every Python block runs, in order, and prints what the text block after it shows.

In a block marked `text varies` the numbers may differ. The pictures that a page's blocks write, and those of
`python -m demos figure1`, are the ones in docs/figures. `PYTHONPATH=. python tests/test_docs.py` writes into the pages
what their blocks print today, and draws the pictures anew.
"""

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from demos import figure1

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
QUESTIONS = FIGURES / "questions"
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?P<shown>\n?^```text(?P<varies> varies)?\n.*?^```\n)?", re.MULTILINE | re.DOTALL
)
NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?\s*")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)(?P<path>[^)#\s]+)")


def without_numbers(text):
    """Lines may break elsewhere where a number has another length."""
    return " ".join(NUMBER.sub("# ", text).split())


def rendered(text, name, anew=False):
    """The page with each text block holding what the Python block before it prints; what varies, only if `anew`."""
    names = {"__name__": name}

    def run(block):
        line = text.count("\n", 0, block.start("code"))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["code"], name, "exec"), names)
        kind = f"text{block['varies'] or ''}"
        shown = block["shown"] and f"\n```{kind}\n{printed.getvalue().strip()}\n```\n"
        if block["varies"] and not anew and without_numbers(shown) == without_numbers(block["shown"]):
            shown = block["shown"]
        return f"```python\n{block['code']}```\n{shown or ''}"

    return BLOCK.sub(run, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    assert rendered(text, page.name) == text
    for picture in tmp_path.glob("*.svg"):
        if page.name == "questions.md":
            assert picture.read_text(encoding="utf-8") == (QUESTIONS / picture.name).read_text(encoding="utf-8")


def test_the_pictures_are_those_of_the_demo():
    drawn = {name: picture.svg for name, picture in figure1.pictures()}
    assert {path.name: path.read_text(encoding="utf-8") for path in FIGURES.glob("*.svg")} == drawn


def test_an_example_that_prints_something_else_is_noticed():
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    assert rendered(page, "page.md") == page.replace("2", "1")
    page = page.replace("text", "text varies")
    assert rendered(page, "page.md") == page
    assert rendered(page, "page.md", anew=True) == page.replace("2", "1")
    assert rendered(page.replace("2", "one"), "page.md") == page.replace("2", "1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.finditer(page.read_text()):
        assert (page.parent / link["path"]).exists(), link["path"]


if __name__ == "__main__":
    QUESTIONS.mkdir(exist_ok=True)
    os.chdir(tempfile.mkdtemp())
    for page in PAGES:
        page.write_text(rendered(page.read_text(), page.name, anew=True))
        if page.name == "questions.md":
            for picture in Path.cwd().glob("*.svg"):
                shutil.copy(picture, QUESTIONS)
    for name, picture in figure1.pictures():
        (FIGURES / name).write_text(picture.svg, encoding="utf-8")
