"""The site: it is built without a warning, has every page and every public name, and no link leads nowhere."""

import html
import importlib
import json
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import tinyhyper as th

pytest.importorskip("sphinx", reason="the site needs the extra docs")
pytest.importorskip("myst_nb", reason="the site needs the extra docs")

from demos.course.pages import cells, lessons
from demos.course.site import described, markdown, signature

ROOT = Path(__file__).parents[2]
MODULES = [th, *(value for name in th.__all__ if isinstance(value := getattr(th, name), ModuleType)), th.nn.initial]
MODULES += [importlib.import_module(f"tinyhyper.{name}") for name in ("testing", "course")]


class Page(HTMLParser):
    """What the links of a page lead to, which places it has, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places, self.loads, self.unsaid = [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places.add(attrs.get("id"))
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        elif source := attrs.get("src") or (tag == "link" and attrs.get("href")):
            self.loads.append(source)
        if tag == "img" and not attrs.get("alt"):
            self.unsaid.append(attrs["src"])


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


@pytest.mark.slow
def test_each_page_is_in_the_site_and_in_its_contents(site, pages):
    written = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    listed = {urlsplit(link).path for link in pages[site / "index.html"].links}
    assert len(written) > 40
    for page in written:
        assert (site / page).exists() and (page.as_posix() in listed or page.name == "index.html"), page


@pytest.mark.slow
def test_no_link_leads_nowhere_and_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                assert link in page.links, (path, link)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), (path, link)
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].places, (path, link)
        assert not page.unsaid, path


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site):
    listing = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    names = {line.split()[0] for line in zlib.decompress(listing).decode().splitlines()}
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            places = {f"{module.__name__}.{name}", f"tinyhyper.{name}" if value is getattr(th, name, None) else ""}
            assert isinstance(value, ModuleType) or places & names, places


@pytest.mark.slow
def test_every_public_name_leads_to_the_lines_that_define_it(site, pages):
    for path in (site / "reference").glob("*.html"):
        for name, shown in re.findall(r'<dt class="sig[^>]*id="([^"]+)">(.*?)</dt>', path.read_text(), re.DOTALL):
            module, place = re.search(r'href="\.\./_modules/([^"]*)\.html#([^"]*)"', shown).groups()
            text = (site / "_modules" / f"{module}.html").read_text()
            block = text.partition(f'<div class="viewcode-block" id="{place}">')[2].partition("[docs]")[2]
            assert name.endswith(place) and block.strip(), name


@pytest.mark.slow
def test_a_lesson_gives_its_notebook_and_shows_what_that_prints_and_draws(site, pages):
    for lesson in lessons().values():
        path = site / "course" / f"{lesson.stem}.html"
        (link,) = [link for link in pages[path].links if link.endswith(".ipynb")]
        assert json.loads((path.parent / link).read_text())["nbformat"] == 4
        shown, made = path.read_text(encoding="utf-8"), [*cells(lesson.read_text(encoding="utf-8"))]
        assert shown.count('<div class="cell_input') == sum(cell.kind == "code" for cell in made)
        for cell in made:
            assert cell.kind != "picture" or f'<img alt="{html.escape(cell.words)}" src="../_images/' in shown
        assert "is open. Put " in shown and "Posix" not in shown


@pytest.mark.parametrize(
    ("root", "fault", "word"),
    [
        ("03-scissors", "print(2)", "+2"),
        ("03-scissors", "Path('slide3.svg').write_text('')", "slide3.svg is drawn otherwise"),
        ("03-scissors", "1 / 0", 'File "03-scissors.md", line 6'),
        ("03-scissors", "assert 'get_ipython' not in dir(__import__('builtins'))", "AssertionError"),  # in its notebook
        ("index", "print(2)", "+2"),
    ],
)
def test_a_build_stops_at_a_page_that_is_not_what_its_code_prints_or_draws(tmp_path, root, fault, word):
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    (tmp_path / "conf.py").write_text(f"{conf}html_static_path, root_doc = [], '{root}'\n", encoding="utf-8")
    if root == "index":
        (tmp_path / "index.md").write_text("```{include} 03-scissors.md\n```\n")
    code = f"from pathlib import Path\nprint(1)\n{fault}\n"
    (tmp_path / "03-scissors.md").write_text(f"# Lesson 3: Page\n\n```python\n{code}```\n\n```text\n1\n```\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", tmp_path, tmp_path / "site"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode != 0 and word in built.stderr, built.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_name_is_shown_with_an_address_or_with_what_python_says_of_its_type(module):
    for name in module.__all__:
        if not isinstance(getattr(module, name), ModuleType):
            text = described(module, name)
            assert not re.search(r" at 0x|attrgetter|Alias for field", text), text


def test_arguments_of_a_docstring_are_a_list():
    text = markdown("What.\n\nx, y: of a shape\nor other: two.  n (1): how\n  many.\nRaises it.\nAnd\nMore.")
    items = "- **x, y**: of a shape\nor other: two.\n- **n (1)**: how\n  many.\n"
    assert text == f"What.\n\n{items}\nRaises it.\n\nAnd\nMore."


def test_a_signature_has_types_as_they_are_written():
    assert signature(th.grad) == "(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]"
    assert signature(th.Tensor.item, bound=True) == "() -> Any"
    assert signature(th.record) == "(ghosts: bool = False, *, rewind: bool = True)"
    assert signature(th.ShapeError) == ""
