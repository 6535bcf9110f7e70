"""Events: what the engine reports while it is watched, kept as tuples until somebody reads the recording."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..core.coordinates import LINEAR
from ..core.tape import backward, recording, unwatched
from ..core.tensor import Tensor, leaf
from ..finite import norm
from ..sites import Site
from .ghosts import Ghosts, compute_ghosts
from .records import Edge, Inside, Kind, Label, Node, Output, Place, Recording

Mark: TypeAlias = "tuple[int, int, int, int | None]"  # the recorder's key, a node, an output, the cut in between
Facts: TypeAlias = "tuple[tuple[int, ...], np.dtype, Any, float | None]"  # shape, dtype, the one number, the norm


class Event(NamedTuple):
    """The report of one node.

    outputs: the facts of each.  operands: the mark of each.  kept: for each operand, whether a gradient flows to it.
    serial: of the engine's node.  saved: the arrays kept for the VJP, as indices into the operands and outputs.
    of, loss: the marks of a gradient's tensor and of its loss.  vjp_of: the operation whose VJP it is a part of.
    called: the name of a value in the user's code.
    """

    kind: Kind
    op: Any
    outputs: tuple[Facts, ...]
    site: Site
    step: int
    sweep: bool
    operands: tuple[Mark, ...] = ()
    kept: tuple[bool, ...] = ()
    serial: int | None = None
    saved: tuple[int, ...] = ()
    nanoseconds: int | None = None
    of: Mark | None = None
    loss: Mark | None = None
    vjp_of: str | None = None
    called: str | None = None

    def node(self, number: int) -> Node:
        """The record of the node, which has this number."""
        outputs = [
            Output(shape, dtype.name, value, size if value is None else abs(float(value)))
            for shape, dtype, value, size in self.outputs
        ]
        node = Node(
            number, self.op and self.op.name, self.kind, outputs, *self.site, self.step, self.sweep, self.serial
        )
        node.of, node.loss = self.of and self.of[1:3], self.loss and self.loss[1:3]
        node.seconds, node.vjp_of = self.nanoseconds and 1e-9 * self.nanoseconds, self.vjp_of
        node.called = self.called
        if self.saved:
            places = [mark[1:3] for mark in self.operands] + [(number, n) for n in range(len(outputs))]
            node.saved = tuple(places[n] for n in self.saved)
        if self.kind == "operation":
            node.depends = self.op.depends
        return node

    def edges(self, number: int) -> list[Edge]:
        """The edges into the node."""
        found = []
        for operand, (_, source, output, cut) in enumerate(self.operands):
            kept: Literal["kept", "value"] = "kept" if self.kept and self.kept[operand] else "value"
            found.append(Edge(source, output, number, operand, kept if cut is None else "cut", cut))
        return found


def facts(array: np.ndarray) -> Facts:
    """The shape and dtype of an array; its number if it has one element, and the norm if it has more floats."""
    if array.size == 1:
        return array.shape, array.dtype, array.item(), None
    return array.shape, array.dtype, None, norm(array) if array.dtype.kind == "f" else None


def _named(coordinate: Any) -> str | None:
    """What a gradient in a coordinate is named by; None where the coordinate is the value itself."""
    return None if coordinate is None or coordinate.name == LINEAR.name else str(coordinate.name)


def _slope(coordinate: Any, internal: float) -> float:
    """The derivative of the value in a coordinate with respect to the internal number."""
    u = leaf(Tensor(np.array(internal)))
    with recording():
        value = coordinate.value(u)
    assert value.edge is not None and u.edge is not None
    ((_, slope),) = backward([(value.edge, Tensor(np.ones(())))], [u.edge], retain_graph=False, create_graph=False)
    return float(slope.item())


class EventRecording(Recording):
    """A recording that makes its records from events when somebody asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Event | None] = []  # None where it has been read
        self._labels: list[tuple[Place, Label, Any]] = []  # the labels not read yet, each with its coordinate
        self._graphs: list[tuple[int, Kind, Any, int | None]] = []  # what nodes are on the graph, as is found out later
        self._gone: list[tuple[int, int]] = []  # a node that is gone, and the last step at whose end it was alive
        self._complete = False  # whether all there will ever be has been read
        self._opened: dict[int, int] = {}  # the number of an inside, by the id of the fused operation

    def read(self) -> None:
        """Turn the events since the last reading into records, and run the recording again for its ghosts."""
        if self._complete:
            return
        with unwatched():  # a coordinate computes a label's number by operations
            self._read()
        self._complete = self.closed
        if self.closed and self.program is not None and self.ghosts is None:
            self.ghosts = Ghosts({}, {}, {})  # the second run reads the records
            self.ghosts = compute_ghosts(self)

    def _read(self) -> None:
        first = len(self._nodes)
        for number in range(first, len(self._events)):
            event = self._events[number]
            assert event is not None
            node, edges = event.node(number), event.edges(number)
            node.inside = self._look_inside(event.op)
            self._nodes.append(node)
            self._edges += edges
            for edge in edges:
                if edge.cut is not None and number not in self._cuts[edge.cut].targets:
                    self._cuts[edge.cut].targets.append(number)
            self._events[number] = None
        for node in self._nodes[first:]:
            if node.loss is None and node.of is not None:
                node.loss = self._last_root(node.of[0])
        labels, self._labels = self._labels, []
        for (number, n), label, coordinate in labels:
            output = self._nodes[number].outputs[n]
            output.label = label
            label.coordinate = _named(coordinate)
            if coordinate is not None and output.value is not None and label.role != "gradient":
                label.value = float(coordinate.value(output.value))
                label.slope = None if label.coordinate is None else _slope(coordinate, output.value)
        graphs, self._graphs = self._graphs, []
        for number, kind, op, serial in graphs:
            if (node := self._nodes[number]).kind == "constant":
                node.kind, node.op, node.serial = kind, op and op.name, serial
        gone, self._gone = self._gone, []
        for number, last in gone:
            self._nodes[number].until = last if last and number < self.ends[last - 1] else None

    def _look_inside(self, op: Any) -> int | None:
        """The index of a fused operation among the insides; None for an operation that is not fused."""
        expression = getattr(op, "expression", None)
        if expression is None or len(expression.lines) < 2:
            return None
        if id(op) not in self._opened:
            self._opened[id(op)] = len(self._insides)
            lines = [(line.op.name, line.args) for line in expression.lines]
            constants = [float(value) for value in expression.constants]
            self._insides.append(Inside(op.name, expression.inputs, constants, lines, expression.outputs))
        return self._opened[id(op)]

    def _last_root(self, number: int) -> Place | None:
        """The newest single number that depends on a node and that no gradient-recording operation has read."""
        reached, read = {number}, set()
        for edge in self._edges[bisect_right(self._edges, number, key=lambda edge: edge.target) :]:
            if edge.flow == "kept" and edge.source in reached and not self._nodes[edge.target].sweep:
                reached.add(edge.target)
                read.add(edge.source)
        for n in sorted(reached - read - {number}, reverse=True):
            if self._nodes[n].outputs[0].value is not None:
                return n, 0
        return None
