"""Tensors, towers and recordings as HTML, for a notebook."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..plain import count, markup, short, table
from .canvas import Picture
from .records import Recording
from .svg import svg
from .text import printed

MOST = 8
BEGIN = 5
GAP = "…"


def recording_svg(tape: Recording) -> Picture | None:
    """The picture of the last two steps, or of the graph without steps; None if nothing was recorded."""
    return svg(tape) if tape.nodes else None


def recording_html(tape: Recording) -> str:
    """The picture, and the tree below it."""
    tree = f"<details><summary>as text</summary><pre>{markup(printed(tape))}</pre></details>"
    return f"<div>{recording_svg(tape) or ''}{tree}</div>"


def tensor_html(tensor: Tensor) -> str:
    """What a tensor is, and its values as a table, up to two dimensions; of a long axis, the ends."""
    grad = "requires a gradient" if tensor.requires_grad else "requires no gradient"
    facts = f"shape {tensor.shape}, {tensor.dtype}, {grad}, {_origin(tensor)}"
    array, values = tensor.array, ""
    if array.ndim <= 2 and array.size:
        rows = _clipped(array.reshape(1, -1) if array.ndim < 2 else array)
        cells = [[GAP] if row is None else [_number(value) for value in _clipped(row)] for row in rows]
        values = table(cells, right=range(MOST))
    return f"<div><p>{markup(facts)}</p>{values}</div>"


def tower_html(optimizer: Optimizer) -> str:
    """A tower's levels, bottom first, with the hyperparameters in use: values, hypergradients, and what tunes them."""
    rows = [row for height, level in enumerate(optimizer.levels) for row in _level(height, level)]
    head = ("level", "hyperparameter", "value", "coordinate", "hypergradient", "tuned by")
    return f"<div><p>{markup(str(optimizer))}</p>{table(rows, head, right=(2, 4))}</div>"


def _origin(tensor: Tensor) -> str:
    if tensor.edge is None:
        return "a constant"
    node = tensor.edge[0]
    if node.op is None:
        return "a leaf"
    return f"made by {node.op.name}{', whose graph is released' if node.released else ''}"


def _clipped(items: Any) -> list[Any]:
    """All of a few items; else the first and the last, with None between them."""
    return list(items) if len(items) <= MOST else [*items[:BEGIN], None, *items[BEGIN + 1 - MOST :]]


def _number(value: Any) -> str:
    if value is None:
        return GAP
    return short(float(value)) if isinstance(value, np.floating) else str(value)


def _level(height: int, level: Optimizer) -> list[tuple[str, ...]]:
    """The rows of one level; the first has its name."""
    name = f"{height} {type(level).__name__}, {count(level.t, 'step')}"
    values, above = level.hyperparameters, level.optimizer
    rows: list[tuple[str, ...]] = []
    for key, row in level._rows.items():
        if row in level._in_use:
            grad = level.parameters[key].grad
            hypergradient = short(None if grad is None else grad.item())
            tuning = type(above).__name__ if above is not None and key in level._tuned else "–"
            coordinate = level._coordinates[row].name
            rows.append(("" if rows else name, key, short(values[key]), coordinate, hypergradient, tuning))
    return rows
