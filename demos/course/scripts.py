"""A lesson as a script, whose words are comments."""

from __future__ import annotations

from .pages import Cell, cells, linked


def script(text: str) -> str:
    """A page as a script. Editors take `# %%` for the beginning of a cell."""
    return "\n\n".join(_part(cell) for cell in cells(text)) + "\n"


def _part(cell: Cell) -> str:
    if cell.kind == "code":
        return f"# %%\n{cell.source}"
    if cell.kind == "text":
        return "\n".join(f"# {line}".rstrip() for line in ("%% [markdown]", *linked(cell.source, "py").splitlines()))
    shown = "open this file in a browser" if cell.kind == "explorer" else cell.words
    return f"# %%\nprint({f'{cell.source}: {shown}'!r})"
