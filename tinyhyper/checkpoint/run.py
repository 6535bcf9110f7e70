"""A run as nested data, and back: weights and a tower, their gradients, and what the last step has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.tape import Node
from ..core.tensor import FLOATS, Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from ..optim import saving
from ..optim.boundary import Boundary, Carry, Value, Values, carry, make_again, values
from ..optim.clipping import Limits
from ..optim.horizon import Window
from ..optim.nonfinite import Guard
from .tree import constant_or_leaf

Content = dict[str, Any]


class Consumed(Node):
    """Stands for a graph that had been consumed when the run was saved."""

    __slots__ = ()
    name = "step before the checkpoint"

    def __init__(self) -> None:
        super().__init__(Consumed)
        self.release()


def model(params: Mapping[str, Tensor]) -> Content:
    """The values alone."""
    bare: Values = {name: (array, None, flows) for name, (array, _, flows) in values(params).items()}
    return {"params": _entries(params, bare), "tower": None}


def leaves(content: Content) -> dict[str, Tensor]:
    """The parameters without what is behind them."""
    return _tensors({name: {**e, "gradient": None} for name, e in content["params"].items()}, {}, False)


def _entries(tensors: Mapping[str, Tensor], found: Values) -> Content:
    """The values of tensors, by name; a further name of one tensor says which other name it has."""
    first: dict[int, str] = {}
    return {
        name: Value(*found[name])._asdict()
        | {"leaf": w.is_leaf}
        | ({} if (own := first.setdefault(id(w), name)) == name else {"same": own})
        for name, w in tensors.items()
    }


def _tensors(entries: Content, made: Mapping[str, Tensor], consumed: bool) -> dict[str, Tensor]:
    """The tensors of the entries; one tensor where it was one.

    made: those that have edges.  consumed: whether another that was no leaf had one, which is gone.
    """
    found: dict[str, Tensor] = {}
    for name, entry in entries.items():
        found[name] = found[entry["same"]] if "same" in entry else _tensor(entry, made.get(name), consumed)
    return found


def described(params: Mapping[str, Tensor], optimizer: Optimizer) -> Content:
    """All that the rest of a run depends on. Raises GraphError where that is more than arrays."""
    window, levels = optimizer.hooks[Window], optimizer.levels
    ended = window.steps > 0 and window.cuts
    ended = ended and (window.seam is None or any(w.grad is not None for w in params.values()))
    if window.steps and not ended:
        raise GraphError(_inside(window))
    now, last = carry(levels, params), optimizer.hooks[Boundary].last
    owed = {id(tensor): gradient.array for tensor, gradient in window.owed()}

    def entries(tensors: Mapping[str, Tensor], found: Values) -> Content:
        for name, (array, gradient, flows) in found.items():
            if (more := owed.get(id(tensors[name]))) is not None:
                found[name] = array, more if gradient is None else gradient + more, flows
        return _entries(tensors, found)

    tower = {
        "settings": settings(optimizer),
        "levels": saving.described(optimizer),
        "rules": [{name: _rule(level, name) for name in level._updates} for level in levels],
        "hyperparameters": [entries(level.parameters, u) for level, u in zip(levels, now.hyperparameters)],
        "consumed": ended or _consumed(params, optimizer),
        "last": plain(last),
    }
    return {"params": entries(params, now.weights), "tower": tower}


def _consumed(params: Mapping[str, Tensor], optimizer: Optimizer) -> bool:
    """Whether no edge is left of the last step; if not, all are there. Raises GraphError for anything between."""
    last = optimizer.hooks[Boundary].last
    rest = {f"params[{name!r}]" for name in params if last is not None and name not in last.weights}
    places = {f"params[{name!r}]": w for name, w in params.items()}
    for height, level in enumerate(optimizer.levels):
        places |= {f"{key} of level {height}": tensor for key, tensor in level.parameters.items()}
    nodes = {place: w.edge[0] for place, w in places.items() if w.edge is not None and w.edge[0].op is not None}
    alive = [place for place, node in nodes.items() if not node.released]
    rules = fusions(optimizer)
    for place in alive:
        if nodes[place].op not in rules:
            raise GraphError(
                f"save: {place} leads to {nodes[place]!r}, and a file cannot hold the graph of a program. Save after a "
                "step of the tower, or between backward() and the step; detach() other values that were computed"
            )
        if len(alive) < len(nodes) or place in rest:  # what the last step has not moved
            raise GraphError(
                f"save: {place} still leads to a step of the tower, and other values no longer do. A file holds the "
                "graph of the last step, whole or not at all: save right after a step that moves all weights, or when "
                "the last backward() has released all of it"
            )
    return not alive


def fusions(optimizer: Optimizer) -> set[Any]:
    """The operations by which a tower moves."""
    return {update.fusion for level in optimizer.levels for update, _ in level._updates.values()}


def _rule(level: Optimizer, name: str) -> str:
    """What the rule for a target computes, but for the constants in it."""
    expression = level._update(name)[0].fusion.expression
    return repr(([(op.name, args) for op, args in expression.lines], expression.outputs))


def plain(found: Any) -> Any:
    """What a step has read, as nested dicts."""
    if isinstance(found, Carry):
        return plain(found._asdict())
    if isinstance(found, tuple):
        return Value(*found)._asdict()
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return [plain(item) for item in found] if isinstance(found, list) else found


def _inside(window: Window) -> str:
    """What to say where a window has begun and does not end."""
    what = "the graph is the whole program since the last cut, and a file cannot hold that"
    if window.horizon is None:
        return f"save: with a horizon of None {what}. Save before the first step; state_dict() has the values alone"
    return (
        f"save: after step {(window.steps - 1) % window.horizon + 1} of {window.horizon} in a window of the horizon "
        f"{what}. Save where a window ends: after its last backward(), before the step() that begins the next window"
    )


def resume(content: Content, optimizer: Optimizer, steps: int = 0) -> dict[str, Tensor]:
    """Let a tower resume from what was saved of it; its weights. Raises ArgumentError before anything has changed.

    steps: since the tower's window of more than one step began, the last of which has cut.
    """
    tower = content["tower"]
    if "graph" in tower:
        raise ArgumentError(
            "tinyhyper 0.1.0 saved it with the graph of a tower, which this version cannot read. Load the weights "
            "without an optimizer, or save the optimizer's state_dict() with that version"
        )
    levels = saving.checked(optimizer, tower)
    for name, mine in settings(optimizer).items():
        if tower["settings"][name] != mine:
            raise ArgumentError(
                f"the tower was saved with {name}={tower['settings'][name]!r}, but this one has {mine!r}"
            )
    for height, (level, rules) in enumerate(zip(optimizer.levels, tower["rules"], strict=True)):
        for name, rule in rules.items():
            if _rule(level, name) != rule:
                raise ArgumentError(f"level {height}: {type(level).__name__}.rule differs from the rule that was saved")
    now, last = [content["params"], *tower["hyperparameters"]], None
    for height, (level, entries) in enumerate(zip(optimizer.levels, now[1:], strict=True)):
        if set(entries) != set(level.parameters) or any(entry["value"].ndim for entry in entries.values()):
            raise ArgumentError(f"level {height} must have one number for each of {', '.join(level.parameters)}")
    _check_states(now, [entry["state"] for entry in levels])
    made: list[Mapping[str, Tensor]] = [{} for _ in now]
    if tower["last"] is not None:
        last = _last(tower["last"], optimizer, now)
        twin = saving.twin(optimizer)
        made = [make_again(twin, last), *[level.parameters for level in twin.levels]]
    consumed, gradients = tower["consumed"], [_gradients(entries) for entries in now]
    weights, *hyperparameters = [_tensors(entries, again, consumed) for entries, again in zip(now, made)]
    saving.put(optimizer, levels)
    for level, parameters in zip(optimizer.levels, hyperparameters):
        level.parameters.update(parameters)
    if steps:
        for name, own in optimizer._states.items():
            for key, state in own.items():
                state.edge = twin._states[name][key].edge  # a window goes on through the states too
        optimizer.hooks[Window].stand(optimizer.levels, weights, steps)
    optimizer.hooks[Boundary].last = last
    optimizer.hooks[Guard].settle(optimizer, weights, cuts=True)
    for found, tensors in zip(gradients, (weights, *hyperparameters)):
        for name, tensor in tensors.items():
            tensor.grad = found.get(name)
            if consumed and tensor.edge is not None:
                tensor.edge[0].release()
    return weights


def _gradients(entries: Content) -> dict[str, Tensor]:
    """The gradients of the entries that have one."""
    found = {name: entry["gradient"] for name, entry in entries.items() if entry["gradient"] is not None}
    return {name: constant_or_leaf(gradient, False) for name, gradient in found.items()}


def _check_states(targets: list[Content], states: list[dict[str, dict[str, np.ndarray]]]) -> None:
    """Raise ArgumentError unless the states of each level are like what it moves."""
    for height, (entries, found) in enumerate(zip(targets, states)):
        for name, own in found.items():
            w = entries.get(name, {}).get("value")
            if w is not None and any((s.shape, s.dtype) != (w.shape, w.dtype) for s in own.values()):
                raise ArgumentError(f"level {height}: the state of {name!r} must be {w.dtype} of shape {w.shape}")


def _last(saved: Content, optimizer: Optimizer, now: list[Content]) -> Carry:
    """What the last step has read. Raises ArgumentError where that is not like what it has made."""
    before = [saved["weights"], *saved["hyperparameters"]]
    for targets, made in zip(before, now, strict=True):
        for name, entry in targets.items():
            like = made.get(name, entry)["value"]
            arrays = [array for array in (entry["value"], entry["gradient"]) if array is not None]
            if entry["value"].dtype != like.dtype or any(
                array.shape != like.shape or array.dtype not in FLOATS for array in arrays
            ):
                raise ArgumentError(f"the last step must have read {like.dtype} of shape {like.shape} for {name!r}")
    _check_states(before, saved["states"])
    for level, entries, states in zip(optimizer.levels, before[1:], saved["states"], strict=True):
        keys = {name: level._update(name)[0].states for name in states}
        if set(entries) != set(level.parameters) or any(set(states[name]) != set(keys[name]) for name in states):
            raise ArgumentError(f"the last step was made by another {type(level).__name__}")
    found: list[Values] = [{name: Value(**entry) for name, entry in targets.items()} for targets in before]
    return Carry(found[0], found[1:], saved["states"], saved["t"])


def settings(optimizer: Optimizer) -> dict[str, Any]:
    """What a tower does beside its rules."""
    window = optimizer.hooks[Window]
    return {
        "horizon": window.horizon,
        "objective": window.objective,
        "on_nonfinite": str(optimizer.hooks[Guard]) or None,
        "clipping": [str(level.hooks[Limits]) or None for level in optimizer.levels],
    }


def _tensor(entry: Content, made: Tensor | None, consumed: bool) -> Tensor:
    """The tensor of an entry. made: what the last step, made again, has made of it.

    An edge that is neither made again nor consumed led to hyperparameters that were loaded since: a leaf is the same.
    """
    value, gradient = entry["value"], entry["gradient"]
    tensor = constant_or_leaf(value, entry["requires_grad"])
    if gradient is not None and (gradient.shape != tensor.shape or gradient.dtype not in FLOATS):
        raise ArgumentError(
            f"a gradient of {gradient.dtype} and shape {gradient.shape} does not fit a value of shape {tensor.shape}"
        )
    if tensor.edge is not None and not (entry["leaf"] and (made is None or not made.is_leaf)):
        if made is not None or consumed:
            tensor.edge = (Consumed(), 0) if made is None else made.edge
            tensor.retain_grad()
    return tensor
