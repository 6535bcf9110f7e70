"""No module imports, by way of others, a module that imports it: inside functions and for types only counts too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module(path): path for folder in ("tinyhyper", "demos") for path in sorted((ROOT / folder).rglob("*.py"))}


def imported(name, text, is_package, known):
    """The known modules that a module names in its imports, wherever in the text they stand."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*start, *(node.module or "").split(".")]).rstrip(".")
            modules = [f"{source}.{alias.name}" for alias in node.names]
            found |= {one if one in known else source for one in modules}
    return found & set(known) - {name}


def circles(imports):
    """A shortest circle through each module that is on one; each circle once."""
    found = {}
    for start in imports:
        paths, waiting = {}, [start]
        while waiting and start not in paths:
            here = waiting.pop(0)
            for target in sorted(imports[here] - set(paths)):
                paths[target] = [*paths.get(here, [start]), target]
                waiting.append(target)
        if start in paths:
            found.setdefault(frozenset(paths[start]), paths[start])
    return list(found.values())


def drawn(circle):
    return " -> ".join(circle)


IMPORTS = {
    name: imported(name, path.read_text(encoding="utf-8"), path.name == "__init__.py", FILES)
    for name, path in FILES.items()
}


def test_no_module_imports_itself_by_way_of_others():
    assert IMPORTS["tinyhyper.inspect.svg"] >= {"tinyhyper.inspect.records", "tinyhyper.files"}
    found = list(map(drawn, circles(IMPORTS)))
    assert not found, "\n".join(["modules that import each other:", *found])


@pytest.mark.parametrize(
    "ring, known", [("core", {"core"}), ("fusion", {"core", "fusion"}), ("ops", {"core", "fusion", "ops"})]
)
def test_a_ring_knows_none_further_out(ring, known):
    """By way of others too. (Rings are folders; the modules beside them belong to none.)"""
    found = [name for name in FILES if name.startswith(f"tinyhyper.{ring}.")]
    for name in found:
        found += IMPORTS[name] - {*found}
    assert {name.split(".")[1] for name in found if name.count(".") > 1} == known


def test_only_the_package_itself_imports_kernels():
    """So deleting the folder leaves all else as it is."""
    found = [name for name, known in IMPORTS.items() if any(one.startswith("tinyhyper.kernels") for one in known)]
    outside = [name for name in found if name.startswith("tinyhyper") and not name.startswith("tinyhyper.kernels")]
    assert outside == ["tinyhyper"]


@pytest.mark.parametrize(
    "text",
    [
        "import p.b",
        "from . import b",
        "from .b import name",
        "from p.b import name",
        "def later():\n    from .b import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import name",
    ],
)
def test_an_import_is_seen_wherever_it_stands(text):
    known = ["p", "p.a", "p.b"]
    imports = {
        name: imported(name, own, name == "p", known) for name, own in zip(known, ("", text, "from .a import x"))
    }
    assert list(map(drawn, circles(imports))) == ["p.a -> p.b -> p.a"]


def test_each_circle_is_drawn_once_and_modules_beside_it_are_not():
    imports = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set(), "e": {"a", "f"}, "f": {"e"}}
    assert list(map(drawn, circles(imports))) == ["a -> b -> c -> a", "e -> f -> e"]
