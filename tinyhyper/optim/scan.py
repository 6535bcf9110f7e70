"""Many small moves as one operation: a scan over the rows of a table, and one node on the tape.

A row is one number moved by a rule. Rows are worked off in order, so that one reads what an earlier one has moved. In
the sweep, cotangents flow through all rows in the other order before any tensor gets its gradient.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from ..tape import Node, current
from ..tensor import Tensor, leaf
from . import rows
from .update import Update


class Row(NamedTuple):
    """How one number is moved.

    places: where in a flat array each operand of the rule stands, and where each output goes.
    wanted: which operands have moved themselves, so that cotangents flow on to them.
    """

    update: Update
    places: tuple[int, ...]
    wanted: tuple[bool, ...]

    @property
    def flows(self) -> bool:
        """Whether a cotangent of what it moves reaches anything wanted."""
        given = (True, *[False] * len(self.update.kept))
        return bool(self.update.fusion.derivative(given, self.wanted, True).gives)


class Scan:
    """Rows over a flat array of numbers; row n moves what is then at place n.

    As an operation on the tape, its outputs are what the rows move. A row through which nothing flows makes a leaf;
    each read of it by another row is an input.
    """

    name = "scan"

    def __init__(self, table: Sequence[Row]) -> None:
        self._table = table
        self._flows = [row.flows for row in table]
        self._leaves = [n for n, flows in enumerate(self._flows) if not flows]
        self._reads: list[int] = []
        self._targets = [self._target(row) for row in reversed(table)][::-1]
        self._forward = [
            (rows.forward(fusion), np.array([row.places for row in run], np.uint32))
            for fusion, run in groupby(table, lambda row: row.update.fusion)
        ]
        flowing = [(row, target) for row, target, flows in zip(table, self._targets, self._flows) if flows]
        self._backward = [
            (rows.backward(*key), np.array([(*row.places, *target) for row, target in run], np.uint32))
            for key, run in groupby(flowing, lambda pair: (pair[0].update.fusion, pair[0].wanted))
        ]

    def _target(self, row: Row) -> list[int]:
        """Where the cotangent of each operand is added; each read of a leaf has a place of its own, as on the tape."""
        target = list(row.places[: len(row.wanted)])
        for k, wanted in enumerate(row.wanted):
            if wanted and not self._flows[target[k]]:
                self._reads.append(target[k])
                target[k] = len(self._table) + len(self._reads) - 1
        return target

    def __call__(self, values: np.ndarray) -> list[Tensor]:
        """Move the numbers, all in place; what has moved, as tensors that keep their gradient."""
        for kernel, table in self._forward:
            kernel(table, values)
        moved = [np.array(value) for value in values[: len(self._table)].tolist()]
        leaves = {n: leaf(Tensor(moved[n])) for n in self._leaves}
        if not self._backward:
            return list(leaves.values())
        node = ScanNode(self, tuple([leaves[n].edge for n in self._reads]), (values, moved), None, len(moved))
        tensors = [leaves[n] if n in leaves else Tensor(array, (node, n)) for n, array in enumerate(moved)]
        node.kept = {n: weakref.ref(tensor) for n, tensor in enumerate(tensors) if n not in leaves}
        return tensors

    def complete(self, node: Node, cotangents: list[Tensor | None]) -> None:
        """Let the cotangents of the outputs flow on, from the last row to the first, and add those of the inputs."""
        cotangents += [None] * len(self._reads)
        recording, tape = current()
        if recording or tape is not None:
            return self._expand(node, cotangents)
        reached = np.array([c is not None for c in cotangents])
        totals = np.array([-0.0 if c is None else c.array.item() for c in cotangents])  # -0.0 changes no sum, not 0.0's
        for kernel, table in reversed(self._backward):
            kernel(table, node.saved[0], totals, reached)
        cotangents[:] = [Tensor(np.array(t)) if r else None for t, r in zip(totals.tolist(), reached.tolist())]

    def _expand(self, node: Node, cotangents: list[Tensor | None]) -> None:
        """The same by each row's own node, whose pullback can be recorded."""
        for n, own in reversed(self.alone(node)):
            if cotangents[n] is None:
                continue
            for target, found in zip(
                self._targets[n], own.pullback([cotangents[n], *[None] * (own.width - 1)], self._table[n].wanted)
            ):
                if found is not None:
                    before = cotangents[target]
                    cotangents[target] = found if before is None else before + found

    def alone(self, node: Node) -> list[tuple[int, Node]]:
        """The rows through which something flows, each with the node that its move would have had by itself."""
        values, moved = node.saved
        edges = {**{n: (node, n) for n in range(len(moved))}, **dict(zip(self._reads, node.inputs))}
        found = []
        for n, ((update, places, wanted), flows) in enumerate(zip(self._table, self._flows)):
            if flows:
                arrays = [moved[place] if place < len(moved) else np.array(values[place]) for place in places]
                inputs = tuple([edges[place] if use else None for place, use in zip(places, wanted)])
                context = update.fusion.context(update.fusion.plan(arrays[: len(wanted)], update.weak), inputs)
                assert context is not None
                saved = [arrays[k] for k in context.reads]
                found.append((n, Node(update.fusion, inputs, saved, context, 1 + len(update.kept))))
        return found

    def pullback(self, node: Node, cotangents: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
        """The cotangents of the inputs, which stand behind those of the outputs."""
        return list(cotangents[len(self._table) :])


class ScanNode(Node):
    """A node whose outputs are computed from one another, so that their cotangents have to be completed first."""

    __slots__ = ()
    linked = True

    def complete(self, cotangents: list[Tensor | None]) -> None:
        self.op.complete(self, cotangents)
