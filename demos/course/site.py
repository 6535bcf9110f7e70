"""An extension of Sphinx, for docs/conf.py.

It describes the public names, makes notebooks of the lessons, which MyST-NB runs and shows, and runs the code of each
page, to warn where this prints or draws something else than the page shows.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import nbformat
from docutils import nodes
from nbformat.v4 import new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

import tinyhyper

from .examples import differences
from .notebooks import notebook
from .pages import EXPLORER, lessons, linked

LOGGER = logging.getLogger(__name__)
ARGUMENTS = r"[a-z]\w*(?:, [a-z]\w*)*(?: \([^)]*\))?"  # as a docstring names them: "x, y: ..." or "alpha (0.1): ..."
ARGUMENT = re.compile(rf"({ARGUMENTS}): ")
SAME_LINE = re.compile(rf"(?<=\.)  (?={ARGUMENTS}: )")
SENTENCE = re.compile("[A-Z`]")
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+tinyhyper[^)]*\)")
MINUTES = re.compile(r"^\*\d+ minutes\..*\*$", re.MULTILINE)
# What is in a frame can ask for nothing of the page around it.
FRAME = """
<iframe class="explorer" title="The explorer of this run" src="{0}" sandbox="allow-scripts" loading="lazy"></iframe>
<p><a href="{0}">The explorer on a page of its own</a></p>
"""


def markdown(docstring: str) -> str:
    """A docstring as Markdown: an argument that begins a line is an item of a list, another sentence a paragraph."""
    first, _, rest = docstring.partition("\n\n")
    lines = [first, ""]
    for line in SAME_LINE.sub("\n", rest).splitlines():
        if lines[-1] == "" or lines[-1].endswith("."):
            if argument := ARGUMENT.match(line):
                line = f"- **{argument[1]}**: {line[argument.end() :]}"
            elif SENTENCE.match(line):
                lines.append("")
        lines.append(line)
    return "\n".join(lines)


def signature(value: Any, bound: bool = False) -> str:
    """What a call takes, with types as they are written; a method's without its first parameter.

    Nothing for an error, which nobody makes by hand.
    """
    if isinstance(value, type) and issubclass(value, BaseException):
        return ""
    takes = inspect.signature(value)
    takes = takes.replace(parameters=[*takes.parameters.values()][bound:])
    return stringify_signature(takes, show_return_annotation=not isinstance(value, type))


def entry(kind: str, name: str, text: str, module: str) -> str:
    """An object of Sphinx's Python domain."""
    fence = "~~~~~" if kind in ("class", "exception") else "~~~"
    return f"{fence}{{py:{kind}}} {name}\n:module: {module}\n\n{text}\n{fence}\n"


def members(cls: type, module: str) -> Iterator[str]:
    """The properties, and the methods that have a docstring."""
    for name, value in sorted(vars(cls).items()):
        text, place = markdown(inspect.getdoc(value) or ""), f"{cls.__name__}.{name}"
        if name.startswith("_"):
            continue
        if isinstance(value, property):  # of an attrgetter there is only what it says of itself
            yield entry("property", place, text if inspect.isfunction(value.fget) else "", module)
        elif text.strip() and (callable(value) or isinstance(value, classmethod)):
            free = isinstance(value, (classmethod, staticmethod))
            yield entry("method", place + signature(getattr(cls, name), bound=not free), text, module)


def described(module: ModuleType, name: str) -> str:
    """A public name with its signature and docstring."""
    value = getattr(module, name)
    if isinstance(value, dict):
        return entry("data", name, f"A dict of {', '.join(f'`{key!r}`' for key in value)}.", module.__name__)
    text = markdown(inspect.getdoc(value) or "")
    if not isinstance(value, type):
        return entry("function", name + signature(value), text, module.__name__)
    if value.__name__ != name:
        return entry("class", name, f"Another name of {value.__name__}.", module.__name__)
    kind = "exception" if issubclass(value, BaseException) else "class"
    text = "\n".join([text, "", *members(value, module.__name__)])
    return entry(kind, name + signature(value), text, module.__name__)


class Public(SphinxDirective):
    """The public names of a module, without those that tinyhyper itself has; of tinyhyper, those from certain files."""

    required_arguments = 1
    option_spec = {"from": str}

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        return self.parse_text_to_nodes("\n".join(described(module, name) for name in self.names(module)))

    def names(self, module: ModuleType) -> Iterator[str]:
        files = re.compile(rf"tinyhyper\.(?:{self.options.get('from', '.*')})(?:\.|$)")
        for name in sorted(module.__all__):
            value = getattr(module, name)
            told = module is not tinyhyper and value is getattr(tinyhyper, name, None)
            place = getattr(value, "__module__", module.__name__)
            if not isinstance(value, ModuleType) and not told and files.match(place):
                yield name


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """A lesson links to its notebook, and shows its explorer; of a link to a file outside docs the words are left."""
    page, explorers = app.env.doc2path(name), [found["file"] for found in EXPLORER.finditer(source[0])]
    run(page, Path(app.outdir, name), explorers)
    source[0] = OUTSIDE.sub(r"\1", source[0])
    if page.name in {lesson.name for lesson in lessons().values()}:
        link = f'<a href="{page.stem}.ipynb" download>The notebook</a>'
        source[0] = EXPLORER.sub(lambda found: found[0] + FRAME.format(f"{page.stem}/{found['file']}"), source[0])
        source[0] = MINUTES.sub(rf"\g<0> {link}", source[0], count=1)


def include(app: Sphinx, path: Path, name: str, source: list[str]) -> None:
    """README, of which the first page is made."""
    run(Path(app.srcdir, path), Path(app.outdir, name), [])


def run(page: Path, target: Path, explorers: list[str]) -> None:
    """Run a page's code, warn of what it does not show so, and keep the explorers that it has written."""
    with TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        try:
            found = [*differences(page, Path(folder))]
            for name in explorers:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(folder, name), target)
        except Exception:  # the page's
            found = [traceback.format_exc()]
    if found:
        LOGGER.warning("%s is not what its code prints or draws:\n%s", page.name, "\n".join(found), location=str(page))


def cells(text: str) -> nbformat.NotebookNode:
    """What MyST-NB reads: a lesson's notebook; of another page a notebook of one cell, which needs no kernel."""
    if text.startswith("# Lesson "):
        return notebook(text)
    how = {"source_map": [0], "mystnb": {"execution_mode": "off"}}
    return new_notebook(cells=[new_markdown_cell(text)], metadata=how)


def within(app: Sphinx) -> None:
    """MyST-NB would leave notebooks and pictures beside the folder of the site."""
    env: Any = app.env
    env.mystnb_config = env.mystnb_config.copy(output_folder=str(Path(app.doctreedir, "notebooks")))


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the notebooks beside the lessons, without outputs."""
    for page in lessons().values() if error is None else ():
        made = notebook(linked(page.read_text(encoding="utf-8"), "ipynb"))
        Path(app.outdir, "course", f"{page.stem}.ipynb").write_text(nbformat.writes(made), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    os.environ["JUPYTER_PATH"] = str(Path(__file__).parent)  # whose kernel warns of no unencrypted connection
    app.add_directive("public", Public)
    app.connect("builder-inited", within, priority=600)  # after MyST-NB
    app.connect("source-read", read)
    app.connect("include-read", include)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
