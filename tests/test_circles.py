"""No module imports, by way of others, a module that imports it, and no ring imports one further out.

An import inside a function, or for types only, counts too.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


# From the innermost on: what each ring imports, so no ring knows one that stands below it here.
RINGS = {
    "core": "",
    "beside": "core",  # modules beside the folders: errors, arguments, files, names, what several rings read
    "fusion": "core beside",
    "ops": "core beside fusion",  # linear, batch_norm and lstm are fusions; all else in ops is of the core alone
    "functional": "core beside ops",
    "data": "beside",
    "nn": "core beside ops",
    "kernels": "core beside fusion ops",  # quicker ways for their rules; nobody knows them but the package
    "optim": "core beside fusion ops",
    "checkpoint": "core beside optim",  # a file is the boundary of a step, which optim knows
    "program": "core beside fusion ops optim",  # what is replayed is a step of a tower; lowering knows no optimizer
    "inspect": "core beside fusion optim checkpoint program",  # views above, records below
    "hyper": "core beside functional optim inspect",
    "tinyhyper": "core beside fusion ops functional data nn kernels optim checkpoint program inspect hyper",
    "testing": "core beside functional optim tinyhyper",  # it draws programs of the public names
    "course": "core beside inspect hyper testing",
}


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


def ring_of(name):
    """The ring of a module: its folder, or its own name where the table has that."""
    top, *rest = FILES[name].relative_to(ROOT).parts
    if top == "demos" or name == top:
        return top
    found = rest[0].removesuffix(".py")
    return found if len(rest) > 1 or found in RINGS else "beside"


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


@pytest.mark.parametrize("ring", RINGS)
def test_a_ring_imports_what_the_table_says(ring):
    found = {ring_of(target) for name in IMPORTS if ring_of(name) == ring for target in IMPORTS[name]} - {ring}
    assert found == {*RINGS[ring].split()}


def test_every_module_has_a_ring_and_none_imports_one_further_out():
    assert {*map(ring_of, IMPORTS)} == {*RINGS, "demos"}
    for n, known in enumerate(RINGS.values()):
        assert {*known.split()} <= {*[*RINGS][:n]}


@pytest.mark.parametrize("module", ["lowering", "beside", "layout", "blocks", "verify", "native"])
def test_a_program_is_lowered_and_run_without_optimizers(module):
    """By way of others, too: what is lowered is any program; only a run that is replayed has a tower."""
    found = [f"tinyhyper.program.{module}"]
    for name in found:
        found += IMPORTS[name] - {*found}
    assert not {"optim", "inspect"} & {*map(ring_of, found)}


def test_only_apply_asks_whether_somebody_watches():
    """All else tells the watcher, whoever it is: also the one that does nothing, nobody."""
    asks = {
        (name, function.name)
        for name, path in FILES.items() if name.startswith("tinyhyper.")
        for function in ast.walk(ast.parse(path.read_text())) if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function) if isinstance(node, ast.Compare) and "NOBODY" in ast.unparse(node)
    }  # fmt: skip
    assert asks == {("tinyhyper.core.tensor", "apply")}


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
