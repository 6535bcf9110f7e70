"""A run as nested data, and back: weights and a tower, their gradients, and the graph behind them."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from ..core.tape import Edge
from ..core.tensor import FLOATS, Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from ..optim import live, saving
from ..optim.clipping import Limits
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from .tree import constant_or_leaf

Content = dict[str, Any]


def model(params: Mapping[str, Tensor]) -> Content:
    """The values alone."""
    return {"params": _entries(params, lambda w: {"value": w.array, "requires_grad": w.requires_grad}), "tower": None}


def leaves(content: Content) -> dict[str, Tensor]:
    """The parameters without what is behind them."""

    return _tensors(content["params"], lambda entry: constant_or_leaf(entry["value"], entry["requires_grad"]))


def _entries(tensors: Mapping[str, Tensor], entry: Callable[[Tensor], Content]) -> Content:
    """An entry for each tensor, by name; a further name of one tensor says which other name it has."""
    first: dict[int, str] = {}
    names = {name: first.setdefault(id(w), name) for name, w in tensors.items()}
    return {name: entry(w) | ({} if names[name] == name else {"same": names[name]}) for name, w in tensors.items()}


def _tensors(entries: Content, tensor: Callable[[Content], Tensor]) -> dict[str, Tensor]:
    """The tensors of the entries; one tensor where it was one."""
    found: dict[str, Tensor] = {}
    for name, entry in entries.items():
        found[name] = found[entry["same"]] if "same" in entry else tensor(entry)
    return found


def described(params: Mapping[str, Tensor], optimizer: Optimizer) -> Content:
    """All that the rest of a run depends on. Raises GraphError inside a window of the horizon."""
    window, named = optimizer.hooks[Window], [params, *[level.parameters for level in optimizer.levels]]
    begun = window.steps > 0 and window.horizon != 1
    ended = begun and window.cuts and any(w.grad is not None for w in params.values())
    if begun and not ended:
        raise GraphError(_inside(window))
    graph = live.Description(optimizer, [tensor for tensors in named for tensor in tensors.values()], ended)
    owed = {id(tensor): gradient for tensor, gradient in window.owed()}

    def entry(tensor: Tensor) -> dict[str, Any]:
        gradient, more = tensor.grad, owed.get(id(tensor))
        if more is not None:
            gradient = more if gradient is None else gradient.plus(more)
        return {
            "value": tensor.array,
            "requires_grad": tensor.requires_grad,
            "gradient": None if gradient is None else gradient.array,
            "edge": graph.number(tensor.edge),
        }

    weights, *hyperparameters = [_entries(tensors, entry) for tensors in named]
    tower = {
        "settings": settings(optimizer),
        "levels": saving.described(optimizer),
        "hyperparameters": hyperparameters,
        "graph": graph.entries,
    }
    return {"params": weights, "tower": tower}


def _inside(window: Window) -> str:
    """What to say where a window has begun and does not end."""
    what = "the graph is the whole program since the last cut, which no file can hold"
    if window.horizon is None:
        return f"save: with a horizon of None {what}. Save before the first step; state_dict() has the values alone"
    return (
        f"save: after step {(window.steps - 1) % window.horizon + 1} of {window.horizon} in a window of the horizon "
        f"{what}. Save where the window ends: between the backward() and the step() with which the next one begins"
    )


def go_on(content: Content, optimizer: Optimizer) -> dict[str, Tensor]:
    """Let a tower go on from what was saved of it; its weights. Raises ArgumentError before anything has changed."""
    tower = content["tower"]
    levels = saving.checked(optimizer, tower)
    for name, mine in settings(optimizer).items():
        if tower["settings"][name] != mine:
            raise ArgumentError(f"the tower was saved with {name}={tower['settings'][name]!r}, this one has {mine!r}")
    saved = [content["params"], *tower["hyperparameters"]]
    shapes = {entry["value"].shape for entries in saved for entry in entries.values()}
    edges = live.rebuilt(optimizer, tower["graph"], shapes)
    read = {number for entry in tower["graph"] for number in entry.get("edges", ())}
    weights, *hyperparameters = [_tensors(entries, lambda entry: _tensor(entry, edges, read)) for entries in saved]
    for height, (level, parameters) in enumerate(zip(optimizer.levels, hyperparameters, strict=True)):
        if set(parameters) != set(level.parameters) or any(tensor.ndim for tensor in parameters.values()):
            raise ArgumentError(f"level {height} does not have {', '.join(level.parameters)}, each a number")
    for height, (moved, entry) in enumerate(zip((weights, *hyperparameters), levels)):
        for name, kept in entry["state"].items():
            w = moved.get(name)
            if w is not None and any((s.shape, s.dtype) != (w.shape, w.dtype) for s in kept.values()):
                raise ArgumentError(f"level {height}: the state of {name!r} is not {w.dtype} of shape {w.shape}")
    saving.put(optimizer, levels)
    for level, parameters in zip(optimizer.levels, hyperparameters):
        level.parameters.update(parameters)
    if all(w.grad is None for w in weights.values()):  # a step had been made: the next one may be skipped
        optimizer.hooks[Guard].settle(optimizer, weights, optimizer.hooks[Window].cuts)
    return weights


def settings(optimizer: Optimizer) -> dict[str, Any]:
    """What a tower does beside its rules."""
    window = optimizer.hooks[Window]
    return {
        "horizon": window.horizon,
        "objective": window.objective,
        "on_nonfinite": str(optimizer.hooks[Guard]) or None,
        "clipping": [str(level.hooks[Limits]) or None for level in optimizer.levels],
    }


def _tensor(entry: Mapping[str, Any], edges: Mapping[int, Edge], read: Container[int]) -> Tensor:
    number, gradient = entry["edge"], entry["gradient"]
    tensor = constant_or_leaf(entry["value"], number is not None)
    if number is not None:
        tensor.edge = edges[number]
        live.check(tensor, number in read)
        tensor.retain_grad()
    if gradient is not None:
        tensor.grad = constant_or_leaf(gradient, False)
        if gradient.shape != tensor.shape or gradient.dtype not in FLOATS:
            raise ArgumentError(f"{gradient.dtype} of shape {gradient.shape} is no gradient of shape {tensor.shape}")
    return tensor
