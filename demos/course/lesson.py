"""`python -m demos lesson 3` shows a lesson in the terminal, cell by cell, and ends at a prompt for the exercises."""

from __future__ import annotations

import code
import os
import sys
from argparse import ArgumentParser
from typing import Any

from .. import output
from ..settings import Settings, UsageError, shared, whole
from .pages import Cell, cells, lessons


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", type=whole, help="its number, from 1 on")
    shared("out")(parser)


def main(settings: Settings) -> int:
    """Show the lesson; Enter goes on. Without a terminal it runs through."""
    pages = lessons()
    if settings.lesson not in pages:
        raise UsageError(f"there is no lesson {settings.lesson}; there are {', '.join(map(str, pages))}")
    os.chdir(output.prepare(settings.out))  # where the lesson's pictures go
    names: dict[str, Any] = {"__name__": "__main__"}
    page = pages[settings.lesson]
    for number, cell in enumerate(cells(page.read_text(encoding="utf-8"))):
        show(cell, f"cell {number} of {page.name}", names)
    if sys.stdin.isatty():
        banner = "Here are the lesson's names. Answer an exercise: check(...). Ctrl-D ends the lesson."
        code.interact(banner, local=names, exitmsg="")
    return 0


def show(cell: Cell, place: str, names: dict[str, Any]) -> None:
    """Print a cell, and run it if it is code."""
    if cell.kind == "text":
        print(f"\n{cell.source}\n")
    elif cell.kind == "picture":
        print(f"A picture is in {os.path.abspath(cell.source)}: {cell.words}")
    else:
        print("\n".join(f">>> {line}" for line in cell.source.splitlines()))
        if sys.stdin.isatty():
            input("[Enter runs this] ")
        exec(compile(cell.source, place, "exec"), names)
