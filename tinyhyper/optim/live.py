"""The live edge as plain data, and back: all that the graph behind a tower's tensors holds after a step.

That is one application of a rule for each tensor that was moved, what it saved, and the edges to the hyperparameters
that it was moved by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.operation import ArraySpec
from ..core.tape import Edge, Node, reachable
from ..core.tensor import Tensor
from ..core.tower import Optimizer
from ..errors import ArgumentError, GraphError
from .horizon import Seam

Entry = dict[str, Any]


class Released(Node):
    """Stands for a node that had been released when the graph was saved."""

    __slots__ = ()
    name = "step before the checkpoint"

    def __init__(self) -> None:
        super().__init__(Released)
        self.release()


class Description:
    """The graph behind some tensors.

    entries: one for each node, oldest first. A leaf is {}; what was released, {"released": True}; a rule that was
      applied has its place in the tower, what its operands were like, what it saved, and an edge for each operand.
    swept: whether nothing behind a window's last step counts any more.
    Raises GraphError for a graph that no step of the tower has made.
    """

    def __init__(self, optimizer: Optimizer, tensors: Iterable[Tensor], swept: bool) -> None:
        self._rules = _rules(optimizer)
        self._swept = swept
        self._numbers: dict[Edge, int] = {}
        self.entries: list[Entry] = []
        edges = [tensor.edge for tensor in tensors if tensor.edge is not None]
        for node in reversed(reachable([node for node, _ in edges], to_seams=True)):
            self._add(node)

    def number(self, edge: Edge | None) -> int | None:
        """The number of the entry that an edge leads to."""
        return None if edge is None else self._numbers[edge]

    def _add(self, node: Any) -> None:
        if node.released or (self._swept and isinstance(node, Seam)):
            for n in range(node.width):
                self._put((node, n), {"released": True})
        elif node.op is None:
            self._put((node, 0), {})
        elif node.op in self._rules:
            self._put((node, 0), self._rule(node))
        else:
            raise GraphError(
                f"save: {node!r} leads to what the tower moves, and no file can hold the graph of a program. Save "
                "after a step of the tower, or between backward() and the step; detach what else has been computed"
            )

    def _put(self, edge: Edge, entry: Entry) -> None:
        self._numbers[edge] = len(self.entries)
        self.entries.append(entry)

    def _rule(self, node: Node) -> Entry:
        context = node.context
        return {
            "rule": self._rules[node.op],
            "operands": [(sample.shape, sample.dtype.str) for sample in context.plan.samples],
            "saved": dict(zip(context.reads, node.saved)),
            "edges": [self.number(edge) for edge in node.inputs],
        }


def _rules(optimizer: Optimizer) -> dict[Any, tuple[int, str]]:
    """Where in the tower each rule is applied that has been: the height, and the name of a target."""
    return {
        update.fusion: (height, name)
        for height, level in enumerate(optimizer.levels)
        for name, (update, _) in level._updates.items()
    }


def rebuilt(optimizer: Optimizer, entries: Sequence[Entry], shapes: Iterable[tuple[int, ...]]) -> dict[int, Edge]:
    """The edges to new nodes, by the number of their entry.

    shapes: those of the tensors that are moved. Raises ArgumentError where a rule of the tower is another.
    """
    edges: dict[int, Edge] = {}
    known = {(), *shapes}
    for number, entry in enumerate(entries):
        edges[number] = (_node(optimizer, entry, edges, known), 0)
    return edges


def check(tensor: Tensor, read: bool) -> None:
    """Raise ArgumentError unless a tensor is what the move that its edge leads to has made, or a leaf of its own.

    read: whether a move has read it, which is true of hyperparameters alone.
    """
    assert tensor.edge is not None
    node, output = tensor.edge
    plan = node.context and node.context.plan
    moved = plan and (plan.shape, plan.dtypes[output])
    if node.kept or (read and tensor.ndim) or moved not in (None, (tensor.shape, tensor.dtype)):
        raise ArgumentError(f"{node!r} is no edge of a tensor of {tensor.dtype} and of shape {tensor.shape}")


def _node(optimizer: Optimizer, entry: Entry, edges: Mapping[int, Edge], shapes: set[tuple[int, ...]]) -> Node:
    if "rule" not in entry:
        return Released() if entry else Node()
    (height, name), saved = entry["rule"], entry["saved"]
    update = optimizer.levels[height]._update(name)[0]
    inputs = tuple([None if number is None else edges[number] for number in entry["edges"]])
    fusion, samples = update.fusion, [ArraySpec(tuple(shape), np.dtype(dtype)) for shape, dtype in entry["operands"]]
    fits = len(samples) == len(inputs) == len(update.weak)
    if fits and all(
        sample.shape == () if hyperparameter else edge is None and sample.shape in shapes
        for sample, edge, hyperparameter in zip(samples, inputs, update.weak)
    ):
        operands = [saved[n] if n in saved else np.empty(*sample[:2]) for n, sample in enumerate(samples)]
        context = fusion.context(fusion.plan(operands, update.weak), inputs)
        if context is not None and set(context.reads) == set(saved):
            plan = context.plan
            made = [*samples, *[ArraySpec(plan.shape, dtype) for dtype in plan.dtypes]]
            if all((saved[n].shape, saved[n].dtype) == made[n][:2] for n in saved):
                return Node(fusion, inputs, [saved[n] for n in context.reads], context, len(fusion.outputs))
    raise ArgumentError(f"level {height}: {fusion.name} is another rule than the one that was saved")
