"""`python -m demos course` writes the lessons as Jupyter notebooks."""

from __future__ import annotations

import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from .. import output
from ..settings import Settings, shared
from .pages import Cell, cells, lessons

LINK = re.compile(r"\[(?P<words>[^\]]*)\]\((?P<page>[^):]*)\.md(?P<section>#[^)]*)?\)")

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
        return new_markdown_cell(LINK.sub(_link, cell.source), id=name)
    if cell.kind == "code":
        return new_code_cell(cell.source, id=name)
    return new_code_cell(f'from IPython.display import SVG\n\nSVG("{cell.source}")  # {cell.words}', id=name)


def _link(link: re.Match[str]) -> str:
    """A link to another lesson leads to its notebook; of one to another page the words are left."""
    lesson = re.fullmatch(r"\d\d-[\w-]+", link["page"])
    return f"[{link['words']}]({link['page']}.ipynb)" if lesson else link["words"]


def main(settings: Settings) -> int:
    """Write a notebook for each lesson."""
    folder = output.prepare(settings.out)
    made = {
        f"{page.stem}.ipynb": nbformat.writes(notebook(page.read_text(encoding="utf-8"))) for page in lessons().values()
    }
    output.finish(f"{len(made)} lessons. To open them: jupyter lab {folder}", folder, made)
    return 0
