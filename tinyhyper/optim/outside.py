"""Hyperparameters outside the optimizer: numbers that the loss reads, such as the strength of a regularisation.

They are tuned as those of the optimizer are, by the levels above, but they act in another place: on the gradient by
which a step moves the weights. So a hypergradient goes from the loss to the weights, through the steps to the gradients
that moved them, and from there to the number. It does not go directly from the loss to the number, which would say no
more than that a loss with less of a penalty is smaller.

A step that cuts reads a gradient that is cut. So of a window of k steps, k - 1 are seen, and of one step nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.coordinates import Hyperparameter, coordinate_of
from ..core.operation import attach
from ..core.rules import positive
from ..core.tape import Edge, Node, current, recording
from ..core.tensor import Tensor, leaf
from ..core.tower import HOOKS, KEYWORDS, RATE, Optimizer
from ..errors import ArgumentError
from .checks import number
from .hooks import Hook, extend


class Gate(Node):
    """Where a loss reads a number: what the loss itself sends back ends here.

    The gradient of the loss by the weights reads the number here too. Once a step has moved the weights by it, the gate
    is open: what comes back through that step goes on, along the edge.
    """

    __slots__ = ("edge",)
    name = "outside"

    def __init__(self, edge: Edge) -> None:
        super().__init__(Gate, (None,))
        self.edge = edge

    def open(self) -> None:
        """Let through what comes, unless it is released."""
        self.inputs = () if self.released else (self.edge,)

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> Sequence[Any]:
        return cotangents


class Stale(Node):
    """In place of the gate of a tensor that was read before the last step."""

    __slots__ = ()
    name = "outside of an earlier step"
    remedy = "It is of a step before. Read optimizer.outside in the loss, anew at each step."

    def __init__(self) -> None:
        super().__init__(Stale)
        self.release()


class Outside(Hook):
    """The hyperparameters that the loss reads. names: what they are called, among those of the level."""

    keywords = {"outside": None}

    def __init__(self, level: Optimizer, outside: Mapping[str, tuple[float, Any, bool]]) -> None:
        if level.optimizer is not None and level.optimizer.hooks[Outside].names:
            raise ArgumentError(
                f"{type(level).__name__}: the level above has outside=, but a loss is read by the bottom level: give "
                "outside to the bottom level alone"
            )
        self.__setstate__({"names": tuple(outside)})
        for name, (value, coordinate, tuned) in outside.items():
            internal = Tensor(np.array(coordinate.locate(value, f"{type(level).__name__}: {name}", tuned)))
            level.parameters[name] = leaf(internal) if tuned else internal
            level._coordinates[name] = coordinate.inside() if tuned else coordinate
            level._rows[name] = name
            level._in_use.add(name)
            level._tuned += (name,) * tuned
        if outside:
            rows = {name: Hyperparameter(*row[:2], range=(-np.inf, np.inf)) for name, row in outside.items()}
            vars(level)["table"] = {**level.table, **rows}

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.names: tuple[str, ...] = state["names"]
        self.in_use = bool(self.names)
        self._gates, self._read = list[Gate](), dict[str, tuple[tuple[Any, ...], Tensor]]()

    def after(self, levels: Sequence[Optimizer], params: MutableMapping[str, Tensor]) -> None:
        for gate in self._gates:
            gate.open()
        for _, tensor in self._read.values():
            if tensor.edge is not None:
                tensor.edge = Stale(), 0
        self._gates, self._read = [], {}

    def value(self, level: Optimizer, name: str) -> Tensor:
        """The number that a person means, on the graph, the same tensor until the next step."""
        internal = level.parameters[name]
        known, tensor = self._read.get(name, ((), None))
        now = internal.array, internal.edge, current().watcher  # which is to see it read
        if tensor is None or any(one is not other for one, other in zip(known, now)) or _is_released(tensor):
            with recording():  # whatever mode it is read in first
                tensor = positive(level._coordinates[name].value(internal))  # in all coordinates, another tensor
            if tensor.edge is not None:
                self._gates.append(gate := Gate(tensor.edge))
                tensor = Tensor(tensor.array, (gate, 0))
            self._read[name] = now, tensor
        return tensor


def _is_released(tensor: Tensor) -> bool:
    return tensor.edge is not None and tensor.edge[0].released


def outside(level: Optimizer) -> Mapping[str, Tensor]:
    """The hyperparameters outside the optimizer, which the loss reads, by name: tensors of the values a person means.

    Read them anew for each loss: loss(params, x, y, **optimizer.outside).
    """
    hook = level.hooks[Outside]
    return MappingProxyType({name: hook.value(level, name) for name in hook.names})


def given(optimizer: type[Optimizer], arguments: dict[str, Any]) -> None:
    """Take what is outside, once checked, apart from the optimizer's own: value, coordinate, whether it is tuned."""
    what, tune, coordinates = optimizer.__name__, arguments["tune"], arguments["coordinates"] or {}
    values = arguments["outside"] or {}
    rates = [f"{name}{RATE}" for name in arguments["alpha"]] if isinstance(arguments.get("alpha"), Mapping) else []
    for name in values:
        if not isinstance(name, str) or not name.isidentifier():
            raise ArgumentError(f"{what}: outside= must have names that can be keywords of a loss, not {name!r}")
        if name in (*arguments, *KEYWORDS, *rates, "t"):
            raise ArgumentError(
                f"{what}: outside= must not have the name {name!r}, which {what} uses itself; rename it"
            )
    tuning = arguments["optimizer"] is not None or any(function(arguments) for function in HOOKS["tunes"])
    found = {
        name: (
            number(f"{what}: outside[{name!r}]", value),
            coordinate_of(coordinates.get(name, "linear")),
            tuning and (tune is None or name in tune),
        )
        for name, value in values.items()
    }
    tuned = [name for name, (_, _, is_tuned) in found.items() if is_tuned]
    if tuned and arguments["horizon"] == 1:
        raise ArgumentError(
            f"{what}: what is outside, {', '.join(tuned)}, acts through the gradient of the loss. With horizon=1 each "
            "step cuts that, and the hypergradient would always be 0. Give horizon=2 or more: of a window of k steps "
            "it sees the last k - 1. Or leave it out of tune="
        )
    arguments["outside"] = found
    if tune is not None:
        arguments["tune"] = tuple([name for name in tune if name not in found])


def register() -> None:
    """Give every level the hyperparameters that are outside it."""
    extend(Outside)
    attach(Optimizer, {"outside": property(outside)})
