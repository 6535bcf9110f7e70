"""Recording: the Tape that watches one thread's operations, cuts and gradients, and keeps them as plain data.

While recording, tensors are recognised by their place on the graph and by weak references; none is held alive, and
after the block only numbers and strings are left. Where nothing is recorded, nothing here is called.
"""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..tape import backward, mode
from .records import Cut, Edge, Flow, Kind, Label, Node, Output, Role
from .svg import svg
from .text import tree

if TYPE_CHECKING:
    import numpy as np

    from ..tensor import Tensor

PACKAGE = __name__.partition(".")[0]


class Place(NamedTuple):
    """Where a tensor comes from: an output of a node, seen through a cut if it was detached."""

    node: int
    output: int
    cut: int | None = None


class Tape:
    """What was recorded: `nodes`, `edges` and `cuts`, each numbered in order. `print(tape)` shows it as a tree.

    steps: how many optimizer steps have begun.  title: what was recorded, a tower say, or None.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.cuts: list[Cut] = []
        self.steps = 0
        self.title: str | None = None
        self._by_edge: dict[tuple[int, int], Place] = {}
        self._by_tensor: dict[int, tuple[weakref.ref[Tensor], Place]] = {}
        self._by_array: dict[int, tuple[weakref.ref[np.ndarray], Place]] = {}

    # Called by the engine while recording.

    def operation(self, op: Any, operands: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """An operation was computed; each output's edge says whether it went on the graph."""
        places = [self._place(operand) for operand in operands]
        made = next((out.edge[0] for out in outputs if out.edge is not None), None)
        node = self._node("operation", outputs, op.name)
        if made is not None:
            node.serial = made.serial
        for n, place in enumerate(places):
            kept = made is not None and made.inputs[n] is not None
            self._connect(place, node.number, n, "kept" if kept else "value")
        for n, out in enumerate(outputs):
            self._know(out, Place(node.number, n))

    def cut(self, source: Tensor, detached: Tensor, reason: str | None) -> None:
        """A tensor was detached."""
        node, output, _ = self._place(source)
        caller = sys._getframe(2)
        file, line = caller.f_code.co_filename, caller.f_lineno
        severed = source.edge is not None
        cut = Cut(len(self.cuts), node, output, reason, file, line, self.steps, source.shape, severed)
        self.cuts.append(cut)
        self._by_tensor[id(detached)] = (weakref.ref(detached), Place(node, output, cut.number))

    def gradient(self, tensor: Tensor, gradient: Tensor, loss: Tensor | None = None) -> None:
        """A gradient was put into `tensor.grad`; without `loss`, it is looked for among the recorded operations."""
        of, source = self._place(tensor), self._known(gradient)
        node = self._node("gradient", [gradient], None)
        node.of = of[:2]
        place = self._place(loss) if loss is not None else self._last_root(of.node)
        node.loss = None if place is None else place[:2]
        if source is not None:
            self._connect(source, node.number, 0, "value" if gradient.edge is None else "kept")
        here = Place(node.number, 0)
        self._by_tensor[id(gradient)] = (weakref.ref(gradient), here)
        self._know(gradient, here)

    # Called by an optimizer while recording.

    def step(self, title: str | None = None) -> None:
        """An optimizer step begins. title: what a picture of it should be called."""
        self.steps += 1
        self.title = title or self.title

    def label(self, tensor: Tensor, name: str, role: Role, level: int, value: float | None = None) -> None:
        """Say what a tensor is to an optimizer. value: the number a person means, if the tensor holds another."""
        met = len(self.nodes)
        number, output, _ = self._place(tensor)
        node = self.nodes[number]
        if number == met and node.kind != "operation" and self.steps:
            node.step = self.steps - 1  # met only now, so it was there before this step
        node.outputs[output].label = Label(name, role, level, value)

    # Reading.

    def tree(self, limit: int | None = None) -> str:
        """The recorded graphs as text, the last one first; every line, or the first `limit` of them."""
        return tree(self, limit)

    def __str__(self) -> str:
        return tree(self, 120)

    def __repr__(self) -> str:
        return f"<Tape: {self.steps} steps, {len(self.nodes)} nodes, {len(self.edges)} edges, {len(self.cuts)} cuts>"

    def _repr_svg_(self) -> str | None:
        return svg(self) if self.steps else None

    def save_svg(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture of two consecutive steps to a file, which appears whole or not at all; returns its path."""
        target, text = Path(path), svg(self)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        return target

    # Recognising tensors.

    def _known(self, tensor: Tensor) -> Place | None:
        """Where a tensor comes from, if the recording has met it."""
        entry = self._by_tensor.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        if tensor.edge is not None:
            place = self._by_edge.get((tensor.edge[0].serial, tensor.edge[1]))
            if place is not None:
                return place
        found = self._by_array.get(id(tensor.array))
        return found[1] if found is not None and found[0]() is tensor.array else None

    def _place(self, tensor: Tensor) -> Place:
        """Where a tensor comes from; one that is met for the first time becomes a node."""
        place = self._known(tensor)
        if place is not None and (place.cut is None or tensor.edge is None):
            return place
        kind: Kind = "constant"
        if tensor.edge is not None:
            kind = "leaf" if tensor.edge[0].op is None else "earlier"
        node = self._node(
            kind, [tensor], tensor.edge[0].op.name if tensor.edge is not None and tensor.edge[0].op else None
        )
        if tensor.edge is not None:
            node.serial = tensor.edge[0].serial
        if place is not None:  # a leaf made of a detached tensor
            self._connect(place, node.number, 0, "cut")
            self._by_tensor.pop(id(tensor))
        place = Place(node.number, 0)
        self._know(tensor, place)
        return place

    def _know(self, tensor: Tensor, place: Place) -> None:
        if tensor.edge is not None:
            self._by_edge[tensor.edge[0].serial, tensor.edge[1]] = place
        self._by_array[id(tensor.array)] = (weakref.ref(tensor.array), place)

    def _node(self, kind: Kind, tensors: Sequence[Tensor], op: str | None) -> Node:
        outputs = []
        for tensor in tensors:
            array = tensor.array
            outputs.append(Output(array.shape, _dtype_name(array.dtype), array.item() if array.size == 1 else None))
        frame, sweep, sweeping = sys._getframe(2), False, backward.__code__
        while frame.f_back is not None and _inside(frame.f_globals.get("__name__", "")):
            sweep = sweep or frame.f_code is sweeping
            frame = frame.f_back
        node = Node(len(self.nodes), op, kind, outputs, frame.f_code.co_filename, frame.f_lineno, self.steps, sweep)
        self.nodes.append(node)
        return node

    def _connect(self, source: Place, target: int, operand: int, flow: Flow) -> None:
        if source.cut is not None:
            flow = "cut"
            targets = self.cuts[source.cut].targets
            if target not in targets:
                targets.append(target)
        self.edges.append(Edge(source.node, source.output, target, operand, flow, source.cut))

    def _last_root(self, number: int) -> Place | None:
        """The newest single number that depends on a node and that no gradient-recording operation has read."""
        reached, read = {number}, set()
        for edge in self.edges[bisect_right(self.edges, number, key=lambda edge: edge.target) :]:
            if edge.flow == "kept" and edge.source in reached and not self.nodes[edge.target].sweep:
                reached.add(edge.target)
                read.add(edge.source)
        for n in sorted(reached - read - {number}, reverse=True):
            if self.nodes[n].outputs[0].value is not None:
                return Place(n, 0)
        return None

    def _close(self) -> None:
        """Forget the tensors; what is left is plain data."""
        self._by_edge.clear()
        self._by_tensor.clear()
        self._by_array.clear()


@cache
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return dtype.name


@cache
def _inside(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


@contextmanager
def record() -> Iterator[Tape]:
    """Record this thread's operations, cuts and gradients: `with th.record() as tape: ...`.

    An inner recording hides the outer one. The tape can be read during the block and after it.
    """
    before, tape = mode.tape, Tape()
    mode.tape = tape
    try:
        yield tape
    finally:
        mode.tape = before
        tape._close()
