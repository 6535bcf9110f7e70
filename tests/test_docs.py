"""README and docs: every Python block runs, in order, and prints what the text block after it shows.

The pictures that a page's blocks write, and those of `python -m demos figure1`, are the ones in docs/figures.
`demos/course/examples.py` says what may differ. `PYTHONPATH=. python tests/test_docs.py` writes into the pages what
their blocks print today, and draws the pictures anew.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from backends import SLOW_IF_COMPILED

from demos import figure1
from demos.course.examples import FIGURES, ROOT, differences, rendered
from tinyhyper.inspect import canvas
from tinyhyper.inspect.answers import GLOSSARY

COURSE = ROOT / "docs" / "course"
PAGES = [ROOT / "README.md", *sorted([*(ROOT / "docs").glob("*.md"), *COURSE.glob("*.md")])]
CODE = re.compile(r"^```.*?^```\n", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)(?P<path>[^)#\s]*)#?(?P<section>[^)\s]*)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ENTRY = re.compile(r"^\*\*(?P<words>[^*]+)\.\*\* (?P<text>.*?)\n(?:\n|$)", re.MULTILINE | re.DOTALL)

DEAR = ("hypergradients.md", "replay.md")  # these compile for many seconds; the site's build runs them as well


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=SLOW_IF_COMPILED) if page.name in DEAR else page for page in PAGES],
    ids=lambda page: page.name,
)  # fmt: skip
def test_examples_run_and_print_and_draw_what_the_page_shows(page, tmp_path):
    assert [*differences(page, tmp_path)] == []


def test_the_pictures_are_those_of_the_demo():
    drawn = {name: picture.svg for name, picture in figure1.pictures()}
    assert {path.name: path.read_text(encoding="utf-8") for path in FIGURES.glob("*.svg")} == drawn


def test_code_that_is_no_longer_in_the_file_is_noticed():
    page = "```py\n# demos/course/examples.py, without_numbers\ndef without_numbers(text):\n    return text\n```\n"
    assert "Lines may break elsewhere" in rendered(page, "page.md")
    page = rendered(page.replace("without_numbers", "ROOT"), "page.md")
    assert page.endswith("ROOT = Path(__file__).parents[2]\n```\n")


def test_an_example_that_prints_something_else_is_noticed():
    page = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    assert rendered(page, "page.md") == page.replace("2", "1")
    page = page.replace("text", "text varies")
    assert rendered(page, "page.md") == page
    assert rendered(page, "page.md", anew=True) == page.replace("2", "1")
    assert rendered(page.replace("2", "one"), "page.md") == page.replace("2", "1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.finditer(INLINE.sub("", CODE.sub("", page.read_text()))):
        path = page.parent / link["path"] if link["path"] else page
        assert path.exists(), link["path"]
        assert not link["section"] or link["section"] in sections(path), link[0]


def sections(path):
    """What a link to a section of a page says after #."""
    titles = HEADING.findall(CODE.sub("", path.read_text()))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_glossary_explains_each_word_once_and_leads_on():
    entries = [*ENTRY.finditer((ROOT / "docs" / "glossary.md").read_text())]
    words = [word for entry in entries for word in re.findall(r"\w+", entry["words"].lower())]
    named = re.findall(r"\w+", GLOSSARY.partition("such as ")[2].replace(" and ", " "))
    assert len(named) > 4 and set(named) <= set(words) and len(words) == len(set(words)) > 30
    for entry in entries:
        assert LINK.search(entry["text"]) and entry["text"].count(". ") < 5, entry["words"]


def test_the_words_of_the_explorer_are_those_of_the_glossary():
    entries = {
        entry["words"]: " ".join(re.sub(r"`|\*(?=\w)|(?<=\w)\*", "", entry["text"]).split())
        for entry in ENTRY.finditer((ROOT / "docs" / "glossary.md").read_text())
    }
    said = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", canvas.part("page.html").partition('class="words"')[2])
    assert len(said) > 5
    for word, text in said:
        assert f"{entries[word]} ".startswith(f"{text} "), word


if __name__ == "__main__":
    for page in PAGES:
        os.chdir(tempfile.mkdtemp())
        page.write_text(rendered(page.read_text(), page.name, anew=True))
        for picture in Path.cwd().glob("*.svg"):
            if (folder := FIGURES / page.stem).exists():
                shutil.copy(picture, folder)
    for name, picture in figure1.pictures():
        (FIGURES / name).write_text(picture.svg, encoding="utf-8")
