"""`python -m demos course` writes each lesson as a Jupyter notebook and as a script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ..shared import output
from ..shared.settings import Settings, shared
from .pages import ROOT, Cell, cells, lessons, linked
from .scripts import script

options = shared("out")


def notebook(text: str) -> nbformat.NotebookNode:
    """A page as a notebook, whose pictures are those that its own cells have drawn."""
    return new_notebook(
        cells=[_cell(number, cell) for number, cell in enumerate(cells(text))],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def _cell(number: int, cell: Cell) -> nbformat.NotebookNode:
    name = f"cell-{number}"
    if cell.kind == "text":
        return new_markdown_cell(linked(cell.source, "ipynb"), id=name)
    if cell.kind == "code":
        return new_code_cell(cell.source, id=name)
    if cell.kind == "explorer":
        return new_code_cell(f"{cell.words}.explore()", id=name)
    return new_code_cell(f'from IPython.display import SVG\n\nSVG("{cell.source}")  # {cell.words}', id=name)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run a notebook's cells in a folder, from top to bottom; it keeps their outputs. Raises at a cell that fails."""
    from nbclient import NotebookClient  # which needs more than writing notebooks does

    client = NotebookClient(notebook, timeout=45, resources={"metadata": {"path": folder}})
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    client.execute(env=env, stderr=subprocess.DEVNULL)  # a kernel says there that it listens


def main(settings: Settings) -> int:
    """Write a notebook and a script for each lesson."""
    folder, made = output.prepare(settings.out), dict[str, str]()
    for page in lessons().values():
        text = page.read_text(encoding="utf-8")
        made |= {f"{page.stem}.ipynb": nbformat.writes(notebook(text)), f"{page.stem}.py": script(text)}
    output.finish(f"{len(lessons())} lessons. To open the notebooks: jupyter lab {folder}", folder, made)
    return 0
