"""Recording: the Tape that watches one thread's operations, cuts and gradients, and reads as plain data."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, GraphError
from ..files import write
from ..tape import Switch, unwatched
from .dot import to_dot, to_networkx
from .exchange import read_json, to_json
from .explorer import save_html
from .figure import steps_of
from .names import Names
from .plain import markup
from .recorder import Recorder
from .records import Cut, Edge, Inside, Label, Node, Output, Place
from .replay import Ghosts, haunt
from .svg import svg
from .text import tree


class Tape(Recorder):
    """What was recorded: `nodes`, `edges` and `cuts`, each numbered in order. `print(tape)` shows it as a tree.

    steps: how many optimizer steps have begun.  title: what was recorded, a tower say, or None.
    insides: what is in the fused operations.  ends: how many nodes there were at the end of each step, and at last.
    """

    def __init__(self, ghosts: bool = False) -> None:
        super().__init__(ghosts)
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._cuts: list[Cut] = []
        self._insides: list[Inside] = []
        self._opened: dict[int, int] = {}
        self._paths: list[Any] = []
        self._haunted: Ghosts | GraphError | bool | None = None

    @property
    def nodes(self) -> list[Node]:
        """The operations and values, oldest first."""
        self._read()
        return self._nodes

    @property
    def edges(self) -> list[Edge]:
        """What each node read, in the order of the nodes."""
        self._read()
        return self._edges

    @property
    def cuts(self) -> list[Cut]:
        """Every `detach`, oldest first."""
        self._read()
        return self._cuts

    @property
    def insides(self) -> list[Inside]:
        """The operations in the fused ones, each kind of fused operation once."""
        self._read()
        return self._insides

    def node(self, place: Place) -> Node:
        """The node that made a value."""
        return self.nodes[place[0]]

    def output(self, place: Place) -> Output:
        """What is known of a value."""
        return self.nodes[place[0]].outputs[place[1]]

    def ghost(self, cut: Cut | int) -> np.ndarray:
        """The gradient that ended at a cut, summed over the losses whose passes came to it; zeros if none did.

        Raises GraphError for a recording without ghosts, and before its end; ArgumentError for what is no cut of it.
        """
        cut = self.cut_of(cut)
        return self.replayed().cuts.get(cut.number, np.zeros(cut.shape))

    def cut_of(self, cut: Cut | int) -> Cut:
        """A cut, or the one with a number. Raises ArgumentError for what is no cut of this recording."""
        number = cut.number if isinstance(cut, Cut) else cut
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or number not in range(len(self.cuts)):
            there = f"has cuts 0 to {len(self.cuts) - 1}" if self.cuts else "has no cuts"
            raise ArgumentError(f"cut {number!r}: this recording {there}")
        if isinstance(cut, Cut) and cut is not self.cuts[number]:
            raise ArgumentError(f"cut {number}: it was made in another recording, at {cut.file}:{cut.line}")
        return self.cuts[number]

    def replayed(self) -> Ghosts:
        """The cotangents of the whole recording, found by running it again. Raises GraphError without ghosts."""
        self._read()
        if isinstance(self._haunted, GraphError):
            raise self._haunted
        if not isinstance(self._haunted, Ghosts):
            when = "ask when the block has ended" if self._arrays is not None else "record with th.record(ghosts=True)"
            raise GraphError(f"this needs the gradients that ended at the cuts: {when}")
        return self._haunted

    # Pictures and texts.

    def tree(self, limit: int | None = None, of: str | None = None) -> str:
        """The recorded graphs as text, the last one first; every line, or the first `limit` of them.

        of: a name, as in "alpha" or "alpha[2]": only what that value was computed from, at its last step.
        Raises ArgumentError for a name that is not in the recording.
        """
        return tree(self, limit, None if of is None else Names(self).find(of)[-1])

    def __str__(self) -> str:
        return tree(self, 120)

    def __repr__(self) -> str:
        return f"<Tape: {self.steps} steps, {len(self.nodes)} nodes, {len(self.edges)} edges, {len(self.cuts)} cuts>"

    def _repr_svg_(self) -> str | None:
        return svg(self) if steps_of(self) else None

    def _repr_html_(self) -> str:
        tree = f"<details><summary>as text</summary><pre>{markup(str(self))}</pre></details>"
        return f"<div>{self._repr_svg_() or ''}{tree}</div>"

    def save_svg(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture of two consecutive steps to a file, which appears whole or not at all; returns its path."""
        return write(path, svg(self))

    def save_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the explorer of this recording: one page to open from disk, without server or network; its path."""
        return save_html(self, path)

    def to_dot(self) -> str:
        """The recording for Graphviz, a cluster a step."""
        return to_dot(self)

    def to_networkx(self) -> Any:
        """The recording as a `networkx.MultiDiGraph`. Raises MissingPackageError (an ImportError) without networkx."""
        return to_networkx(self)

    def to_json(self) -> str:
        """The recording as JSON, for other programs and for `from_json`; docs/inspect.md describes it."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Tape:
        """The tape that `to_json` wrote. It cannot be run again. Raises ArgumentError for any other text."""
        tape = cls()
        read_json(tape, text)
        return tape

    # Reading the events.

    def _read(self) -> None:
        with unwatched():  # a label's value is computed by operations
            self._read_events()
        if self._closed and self._haunted is None and self._arrays is not None:
            self._haunted = False
            try:
                self._haunted = haunt(self)
            except GraphError as error:  # all else can be read; who asks for ghosts is told
                self._haunted = error

    def _read_events(self) -> None:
        first, labels = len(self._nodes), self._label_events
        for n in range(len(self._cuts), len(self._cut_events)):
            source, output, reason, (file, line), step, shape, severed = self._cut_events[n]
            self._cuts.append(Cut(n, source, output, reason, file, line, step, shape, severed))
        for n in range(first, len(self._events)):
            self._read_event(*self._events[n])
            self._events[n] = ()
        for node in self._nodes[first:]:
            if node.kind == "gradient" and node.loss is None and node.of is not None:
                node.loss = self._last_root(node.of[0])
        self._label_events = []
        for (number, n), *label in labels:
            output = self._nodes[number].outputs[n]
            output.label = _label(output, *label)
        gone, self._gone = self._gone, []
        for number, last in gone:
            self._nodes[number].until = last if last and number < self.ends[last - 1] else None

    def _read_event(
        self,
        kind: Any,
        op: Any,
        facts: Any,
        site: Any,
        step: int,
        sweep: bool,
        serial: int | None,
        nanoseconds: int | None,
        reads: Any,
        places: Any,
        kept: Any,
        of: Any = None,
        root: Any = None,
    ) -> None:
        number = len(self._nodes)
        outputs = [
            Output(shape, dtype.name, value, norm if value is None else abs(float(value)))
            for shape, dtype, value, norm in facts
        ]
        file, line = site
        node = Node(number, op and op.name, kind, outputs, file, line, step, sweep, serial)
        node.of, node.loss, node.seconds = of and of[1:3], root and root[1:3], nanoseconds and 1e-9 * nanoseconds
        if reads:
            among = [*[place[1:3] for place in places], *[(number, n) for n in range(len(outputs))]]
            node.saved = tuple(among[n] for n in reads)
        if kind == "operation":
            node.depends, node.inside = op.depends, self._look_inside(op)
        self._nodes.append(node)
        for operand, (_, source, output, cut) in enumerate(places):
            flow: Any = "cut" if cut is not None else "kept" if kept and kept[operand] else "value"
            if cut is not None and number not in self._cuts[cut].targets:
                self._cuts[cut].targets.append(number)
            self._edges.append(Edge(source, output, number, operand, flow, cut))

    def _look_inside(self, op: Any) -> int | None:
        """The number of a fused operation among the insides; None for an operation that has none."""
        expression = getattr(op, "expression", None)
        if expression is None or len(expression.lines) < 2:
            return None
        if id(op) not in self._opened:
            self._opened[id(op)] = len(self._insides)
            lines = [(line.formula.name, line.args) for line in expression.lines]
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


def _label(output: Output, name: str, role: Any, level: int, coordinate: Any, range: Any) -> Label:
    if coordinate is None or output.value is None:
        return Label(name, role, level, None, range)
    return Label(name, role, level, float(coordinate.value(output.value)), range)


class record(Switch):
    """Record this thread's operations, cuts and gradients: `with th.record() as tape: ...`.

    ghosts: also find the gradient that would have flowed on through each cut. This keeps the operations' constants,
    and runs them once more when the tape is read after the block.
    An inner recording hides the outer one. The tape can be read during the block and after it.
    """

    name = "tape"

    def __init__(self, ghosts: bool = False) -> None:
        super().__init__()
        self.value = Tape(ghosts)

    def __enter__(self) -> Tape:
        super().__enter__()
        return self.value

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.value._close()
