"""An extension of Sphinx, for docs/conf.py: beside a public name, the lines that define it, whatever they are.

sphinx.ext.viewcode alone finds a `def` or a `class` in the module that has the name. Here an operation is an entry, and
a method of Tensor may be a function of another file.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx

from .examples import defined

TAGS: dict[str, dict[str, tuple[str, int, int]]] = defaultdict(dict)  # by module and name, as viewcode has them
DOCS: dict[tuple[str, str], str] = {}  # what the same name is called in the reference
BACK = re.compile(r'(?<=<div class="viewcode-block" id=")(?P<name>[^"]+)(?P<link>">\n<a [^>]*href="[^"#]*)#[^"]*')


@cache
def lines(module: str) -> dict[str, tuple[int, int]]:
    """The first and the last line of what a module defines, members of its classes too."""
    return dict(_lines(ast.parse(inspect.getsource(sys.modules[module])).body, ""))


def _lines(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for node in body:
        first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
        for name in filter(None, defined(node)):
            yield prefix + name, (first, node.end_lineno or first)
            if isinstance(node, ast.ClassDef):
                yield from _lines(node.body, f"{name}.")


def candidates(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Modules, and names in them, that may define a public name: what it says of itself, its class, who has it."""
    owner: Any = None
    value: Any = import_module(module)
    for part in name.split("."):
        owner, value = value, inspect.getattr_static(value, part) if isinstance(value, type) else getattr(value, part)
    says: Any = getattr(value, "fget", None) or getattr(value, "__func__", value)
    yield getattr(says, "__module__", ""), getattr(says, "__qualname__", "")
    for base in owner.__mro__ if isinstance(owner, type) else ():
        yield base.__module__, f"{base.__qualname__}.{part}"
    for other in [other for other in sys.modules if other.startswith("tinyhyper")]:
        yield from ((other, key) for key, has in vars(sys.modules[other]).items() if has is value)


def follow(app: Sphinx, module: str, name: str) -> str | None:
    """The module that defines a public name; where in it is noted for `find`."""
    for place, within in candidates(module, name):
        if place in sys.modules and place.startswith("tinyhyper") and within in lines(place):
            TAGS[place][name], DOCS[place, name] = ("def", *lines(place)[within]), f"{module}.{name}"
            return place
    return None


def find(app: Sphinx, module: str) -> tuple[str, dict[str, tuple[str, int, int]]]:
    """A module's text, and the names that lead to it."""
    return inspect.getsource(sys.modules[module]), TAGS[module]


def back(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Lead from the lines to the reference: viewcode takes all names of a file to be those of one public module."""
    place = page.removeprefix("_modules/").replace("/", ".")

    def led(found: re.Match[str]) -> str:
        name = DOCS.get((place, found["name"]))
        return f"{found['name']}{found['link']}#{name}" if name else found[0]

    if place != page:
        context["body"] = BACK.sub(led, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("viewcode-follow-imported", follow)
    app.connect("viewcode-find-source", find)
    app.connect("html-page-context", back)
    return {"parallel_read_safe": False}
