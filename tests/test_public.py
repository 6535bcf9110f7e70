"""The public names, and how each is called, are those of tests/reference/public.txt.

Programs of users rely on them. docs/CONTRIBUTING.md says how a name changes. Public is what `tinyhyper`, its public
modules and `tinyhyper.testing` list in `__all__`, with the methods of classes and of what `replay` gives, and what
README and docs import.
`PYTHONPATH=. python tests/test_public.py` writes the list anew.
"""

import ast
import inspect
import re
import subprocess
import sys
import types
from collections import namedtuple
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

import tinyhyper as th
from tinyhyper.calls import Parenthesized
from tinyhyper.program.replaying import Replay

ROOT = Path(__file__).parent.parent
LIST = ROOT / "tests" / "reference" / "public.txt"
CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
EMPTY = inspect.Parameter.empty
FIELD = type(namedtuple("Example", "field").field)
ATTRIBUTES = (property, cached_property, types.MemberDescriptorType, FIELD)


def public():
    """A line for each public name, sorted."""
    modules, lines = ["tinyhyper", "tinyhyper.testing"], {*imported(), *members("tinyhyper.replay()", Replay)}
    for module in modules:
        for name in import_module(module).__all__:
            value = getattr(import_module(module), name)
            if isinstance(value, types.ModuleType):
                modules.append(value.__name__)
            lines.update(described(f"{module}.{name}", value))
    return sorted(lines)


def imported():
    """What the pages import from modules of the package."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for code in CODE.findall(page.read_text(encoding="utf-8")):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "tinyhyper":
                    for alias in node.names:
                        value = getattr(import_module(node.module), alias.name)
                        yield from described(f"{node.module}.{alias.name}", value)


def described(name, value):
    """The line of a value, and those of the methods of a class."""
    if isinstance(value, types.ModuleType):
        yield f"{name}: module"
    elif isinstance(value, dict):
        yield f"{name}: {', '.join(map(str, value))}"
    elif not callable(value):
        yield f"{name}: {type(value).__name__}"
    elif getattr(value, "__name__", name).rpartition(".")[2] != name.rpartition(".")[2]:
        yield f"{name} = {value.__name__}"
    elif isinstance(value, type) and issubclass(value, Exception):
        yield f"{name}: {', '.join(base.__name__ for base in value.__bases__)}"
    else:
        yield name + arguments(value.__init__ if isinstance(value, Parenthesized) else value)
        if isinstance(value, type):
            yield from members(name, value)


def members(name, cls):
    """A line for each method and property of a class, without those of a base that has a name of its own."""
    private = [c for c in cls.__mro__[1:] if c.__module__.startswith("tinyhyper") and not named(c)]
    for part in (cls, *private):
        for member, value in vars(part).items():
            value = getattr(value, "__func__", value)  # of a static or class method
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, ATTRIBUTES)):
                yield f"{name}.{member}" + (arguments(value) if inspect.isfunction(value) else "")


def named(cls):
    return any(vars(module).get(cls.__name__) is cls for module in (th, th.inspect, th.nn, th.optim))


def arguments(function):
    """The signature without annotations; a default that is no plain value is only said to be there."""
    found = inspect.signature(function)
    plain = [
        p.replace(annotation=EMPTY, default=EMPTY if p.default is EMPTY else Default(p.default))
        for p in found.parameters.values()
        if p.name != "self"
    ]
    return str(inspect.Signature(plain))


class Default:
    """A default as the list shows it."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        plain = isinstance(self.value, (type(None), bool, int, float, str)) or self.value == ()
        return repr(self.value) if plain else "..."


def test_the_public_names_are_those_of_the_list():
    listed, found = LIST.read_text(encoding="utf-8").splitlines(), public()
    gone, new = sorted({*listed} - {*found}), sorted({*found} - {*listed})
    assert not gone, f"a user's program may need {gone}; new is {new}. docs/CONTRIBUTING.md says how a name changes"
    assert found == listed, f"not in {LIST.name}: {new}"


def test_the_version_is_the_same_everywhere():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
    changed = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert cited == changed == th.__version__


def test_testing_is_there_without_an_import_of_its_own():
    told = "import tinyhyper as th; print(th.testing.check_gradients.__name__, hasattr(th, 'tests'))"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout == "check_gradients False\n"
    assert th.__getattr__("testing") is import_module("tinyhyper.testing")


def test_what_needs_the_folder_of_kernels_says_so():
    with pytest.raises(th.MissingAttributeError, match="tinyhyper.num_threads: the folder tinyhyper/kernels"):
        th.__getattr__("num_threads")


if __name__ == "__main__":
    LIST.write_text("\n".join(public()) + "\n", encoding="utf-8")
