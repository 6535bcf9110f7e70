"""Tensors, towers and recordings as HTML, for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..optim.tower import Optimizer
from .figure import steps_of
from .plain import markup
from .records import Recording
from .svg import svg
from .text import printed, short

MOST = 8
BEGIN = 5
GAP = "…"
LEFT, RIGHT = [f"text-align: {side}; padding: 0.15em 0.7em" for side in ("left", "right")]


def recording_svg(tape: Recording) -> str | None:
    """The picture of the last two steps; None if no step was recorded."""
    return svg(tape) if steps_of(tape) else None


def recording_html(tape: Recording) -> str:
    """The picture, and the tree below it."""
    tree = f"<details><summary>as text</summary><pre>{markup(printed(tape))}</pre></details>"
    return f"<div>{recording_svg(tape) or ''}{tree}</div>"


def tensor_html(tensor: Tensor) -> str:
    """What a tensor is, and its values as a table, up to two dimensions; long ones show their ends."""
    facts = [
        f"shape {tensor.shape}",
        str(tensor.dtype),
        "requires a gradient" if tensor.requires_grad else "requires no gradient",
        _origin(tensor),
    ]
    return f"<div><p>{markup(', '.join(facts))}</p>{_values(tensor.array)}</div>"


def tower_html(optimizer: Optimizer) -> str:
    """A tower's levels, bottom first, with the hyperparameters in use: values, hypergradients, and what tunes them."""
    rows = [row for height, level in enumerate(optimizer.levels) for row in _level(height, level)]
    head = ("level", "hyperparameter", "value", "coordinate", "hypergradient", "tuned by")
    cells = "".join(f"<th style='{LEFT}'>{text}</th>" for text in head)
    return f"<div><p>{markup(str(optimizer))}</p><table><tr>{cells}</tr>{''.join(rows)}</table></div>"


def _origin(tensor: Tensor) -> str:
    if tensor.edge is None:
        return "a constant"
    node = tensor.edge[0]
    if node.op is None:
        return "a leaf"
    return f"made by {node.op.name}{', whose graph is released' if node.released else ''}"


def _values(array: np.ndarray) -> str:
    if array.ndim > 2 or not array.size:
        return ""
    rows = list(array.reshape(1, -1) if array.ndim < 2 else array)
    lines = [[f"<td style='{RIGHT}'>{GAP}</td>"] if row is None else _cells(row) for row in _clipped(rows)]
    return "<table>" + "".join(["<tr>" + "".join(line) + "</tr>" for line in lines]) + "</table>"


def _cells(row: Sequence[Any]) -> list[str]:
    return [f"<td style='{RIGHT}'>{GAP if value is None else markup(_number(value))}</td>" for value in _clipped(row)]


def _clipped(items: Sequence[Any]) -> list[Any]:
    """All of a few items; else the first and the last, with None between them."""
    return list(items) if len(items) <= MOST else [*items[:BEGIN], None, *items[BEGIN + 1 - MOST :]]


def _number(value: Any) -> str:
    return short(float(value)) if isinstance(value, np.floating) else str(value)


def _level(height: int, level: Optimizer) -> list[str]:
    """The rows of one level; its name stands in the first."""
    values = level.hyperparameters
    keys = [key for key, row in level._rows.items() if row in level._in_use]
    rows = []
    for n, key in enumerate(keys):
        row, grad = level._rows[key], level.parameters[key].grad
        above = level.optimizer
        tuning = type(above).__name__ if above is not None and key in level._tuned else "–"
        name = f"{height} {type(level).__name__}, {level.t} step{'' if level.t == 1 else 's'}"
        first = f"<td style='{LEFT}' rowspan='{len(keys)}'>{markup(name)}</td>" if n == 0 else ""
        cells = [
            (LEFT, key),
            (RIGHT, short(values[key])),
            (LEFT, level._coordinates[row].name),
            (RIGHT, "–" if grad is None else short(grad.item())),
            (LEFT, tuning),
        ]
        others = "".join([f"<td style='{style}'>{markup(text)}</td>" for style, text in cells])
        rows.append(f"<tr>{first}{others}</tr>")
    return rows
