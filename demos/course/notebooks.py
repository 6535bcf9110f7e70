"""`python -m demos course` writes each lesson as a Jupyter notebook and as a script."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ..shared import output
from ..shared.settings import Settings, shared
from .pages import Cell, cells, lessons, linked
from .scripts import script

options = shared("out")


def notebook(text: str) -> nbformat.NotebookNode:
    """A page as a notebook, whose pictures are those that its own cells have drawn.

    MyST-NB reads the line of a cell on the page, and the tags. The site has the explorer on a page of its own.
    """
    found = [*cells(text)]
    folded = {*_answers(found)}
    return new_notebook(
        cells=[_cell(number, cell, number in folded) for number, cell in enumerate(found)],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "source_map": [cell.before for cell in found],
        },
    )


def _answers(found: list[Cell]) -> Iterator[int]:
    """The cells of the section Run that print: this would tell a reader of the site what there is to predict."""
    section = ""
    for number, cell in enumerate(found):
        if cell.kind == "text":
            section = [section, *re.findall(r"^## (.*)$", cell.source, re.MULTILINE)][-1]
        elif cell.kind == "code" and section == "Run" and "print(" in cell.source:
            yield number


def _cell(number: int, cell: Cell, folded: bool) -> nbformat.NotebookNode:
    name = f"cell-{number}"
    if cell.kind == "text":
        return new_markdown_cell(cell.source, id=name)
    if cell.kind == "code":
        return new_code_cell(cell.source, id=name, metadata={"tags": ["hide-output"]} if folded else {})
    if cell.kind == "explorer":
        return new_code_cell(f"{cell.words}.explore()", id=name, metadata={"tags": ["remove-cell"]})
    source = f'from IPython.display import SVG\n\nSVG("{cell.source}")  # {cell.words}'
    return new_code_cell(
        source, id=name, metadata={"tags": ["remove-input"], "mystnb": {"image": {"alt": cell.words}}}
    )


def main(settings: Settings) -> int:
    """Write a notebook and a script for each lesson."""
    folder, made = output.prepare(settings.out), dict[str, str]()
    for page in lessons().values():
        text = page.read_text(encoding="utf-8")
        made[f"{page.stem}.ipynb"] = nbformat.writes(notebook(linked(text, "ipynb")))
        made[f"{page.stem}.py"] = script(text)
    output.finish(f"{len(lessons())} lessons. To open the notebooks: jupyter lab {folder}", folder, made)
    return 0
