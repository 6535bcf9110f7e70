"""`python -m demos lesson 3` shows a lesson in the terminal: cell by cell, with a prompt before each and at the end."""

from __future__ import annotations

import code
import os
import sys
from argparse import ArgumentParser

from tinyhyper.course import check

from ..shared import output
from ..shared.settings import Settings, UsageError, shared, whole
from .pages import Cell, cells, lessons

STOP = "[Enter runs this cell. Anything else that you type is run as Python] "
END = "Here are the lesson's names. Answer an exercise: check(...). Ctrl-D ends the lesson."


def options(parser: ArgumentParser) -> None:
    parser.add_argument("lesson", type=whole, help="its number, from 1 on")
    shared("out")(parser)


def main(settings: Settings) -> int:
    """Show the lesson. It reads a pipe as it reads a terminal; where the pipe ends, the lesson runs through."""
    pages = lessons()
    if settings.lesson not in pages:
        raise UsageError(f"there is no lesson {settings.lesson}; there are {', '.join(map(str, pages))}")
    os.chdir(output.prepare(settings.out))  # where the lesson's pictures go
    console = code.InteractiveConsole({"__name__": "__main__", "check": check})  # asked for at each stop
    page = pages[settings.lesson]
    try:
        for cell in cells(page.read_text(encoding="utf-8")):
            show(cell, page.name, console)
    except EOFError:  # Ctrl-D at a stop
        print()
        return 0
    if sys.stdin.isatty():
        console.interact(END, exitmsg="")
    else:
        for line in sys.stdin:  # what a pipe has for after the last cell
            console.push(line.rstrip("\n"))
    return 0


def show(cell: Cell, page: str, console: code.InteractiveConsole) -> None:
    """Print a cell, and run it if it is code. A tape then names the page's lines."""
    if cell.kind == "text":
        print(f"\n{cell.source}\n")
    elif cell.kind == "picture":
        print(f"A picture is in {os.path.abspath(cell.source)}: {cell.words}")
    elif cell.kind == "explorer":
        print(f"The explorer is in {os.path.abspath(cell.source)}: open this file in a browser.")
    else:
        print("\n".join(f">>> {line}" for line in cell.source.splitlines()))
        stop(console)
        exec(compile("\n" * cell.before + cell.source, page, "exec"), console.locals)


def stop(console: code.InteractiveConsole) -> None:
    """Run what is typed or piped, such as an answer, until an empty line or the end of a pipe goes on.

    Raises EOFError at the end of what is typed.
    """
    typed, more = sys.stdin.isatty(), False
    try:
        while (line := input(("... " if more else STOP) if typed else "")) or more:
            more = console.push(line)
    except EOFError:
        if typed:
            raise
