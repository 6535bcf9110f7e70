"""A recording as plain data: nodes, edges and cuts, which outlive the graph that they describe."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from ..errors import ArgumentError

T = TypeVar("T")
Kind = Literal["operation", "leaf", "constant", "earlier", "gradient"]
Flow = Literal["kept", "cut", "value", "gate"]
Role = Literal["weights", "gradient", "state", "hyperparameter"]
Place: TypeAlias = tuple[int, int]  # the number of a node and the index of one of its outputs
STRENGTH: dict[str, int] = {"kept": 0, "asked": 1, "gate": 2, "value": 3, "cut": 4}  # a path has its edges' strongest


@dataclass(slots=True)
class Label:
    """The name that an optimizer gives to a value, the value's role, and its level in the tower.

    value: the number that a user sees, if the tensor holds it in another coordinate.
    range: the values (low, high) that make sense; None if all do.  coordinate: in which the tensor holds it, by name;
    None for the value itself.  slope: the derivative of the value with respect to what the tensor holds.
    """

    name: str
    role: Role
    level: int
    value: float | None = None
    range: tuple[float, float] | None = None
    coordinate: str | None = None
    slope: float | None = None


@dataclass(slots=True)
class Output:
    """One output of a node. shape, dtype: of its array.

    value: the number, if the output has one element.  norm: the Euclidean norm; not finite if an element is not.
    gradient: the cotangent that arrived here, as a number or a norm; set if ghosts were recorded.
    label: the optimizer's name for it.
    """

    shape: tuple[int, ...]
    dtype: str
    value: float | None = None
    norm: float | None = None
    gradient: float | None = None
    label: Label | None = None

    @property
    def number(self) -> float | None:
        """The number that a user sees; None for an array."""
        return self.value if self.label is None or self.label.value is None else self.label.value


@dataclass(slots=True)
class Node:
    """One operation, or a value that operations read.

    number: its index in `Recording.nodes`.  op: the operation's name; None for a leaf, a constant and a gradient.
    kind: operation; leaf (a tensor that requires a gradient); constant; earlier (made by an operation before the
    recording began); gradient (stored in a tensor's `.grad` by `backward`).
    file, line: the first frame outside the tinyhyper package.  step: how many optimizer steps had begun.
    sweep: whether a backward pass computed it.  serial: of the engine's node, if there is one.  outputs: by number.
    of, loss: for a gradient, the place of the tensor whose `.grad` it is, and the place of the loss.
    seconds: how long the operation took.  saved: the places whose arrays the node kept for its VJP.
    until: the last step at whose end the node was alive, if there is one.
    depends: for each output, the operands that it depends on; None if every output depends on all of them.
    inside: for a fused operation, its index in `Recording.insides`.  called: the name of a value in the user's code.
    vjp_of: in a backward pass, the operation whose VJP this is a part of.
    """

    number: int
    op: str | None
    kind: Kind
    outputs: list[Output]
    file: str
    line: int
    step: int
    sweep: bool = False
    serial: int | None = None
    of: Place | None = None
    loss: Place | None = None
    seconds: float | None = None
    saved: tuple[Place, ...] = ()
    until: int | None = None
    depends: tuple[tuple[int, ...], ...] | None = None
    inside: int | None = None
    vjp_of: str | None = None
    called: str | None = None


@dataclass(slots=True)
class Edge:
    """The target's operand is an output of the source.

    flow: kept (a gradient flows back along the edge), cut (a `detach` stops the gradient), or value (no gradient was
    recorded: the source is a constant, or recording was off).  cut: the number of the cut.
    """

    source: int
    output: int
    target: int
    operand: int
    flow: Literal["kept", "cut", "value"]
    cut: int | None = None

    @property
    def place(self) -> Place:
        """The value that is read."""
        return self.source, self.output


@dataclass(slots=True)
class Cut:
    """One `detach`: the value passes, the gradient stops.

    source, output: the value that was detached.  targets: the nodes that read the detached tensor.
    file, line: the caller of `detach`.  severed: whether the value had a graph; at a value without one, such as the
    gradient of a plain `backward`, the gradient would have ended without the cut, too.
    ghost: the gradient that the cut stopped, as a number or a norm; set if ghosts were recorded.
    `Recording.ghost(cut)` gives the whole array.  number: in `Recording.cuts`.  reason, step, shape: of the `detach`.
    """

    number: int
    source: int
    output: int
    reason: str | None
    file: str
    line: int
    step: int
    shape: tuple[int, ...]
    severed: bool
    targets: list[int] = field(default_factory=list)
    ghost: float | None = None

    @property
    def place(self) -> Place:
        """The value that was detached."""
        return self.source, self.output


@dataclass(slots=True)
class Inside:
    """The operations inside a fused one.

    Its values are numbered: the operands first, then the constants, then one value a line.
    lines: the name of each operation and the numbers that it reads.  outputs: the numbers of the outputs.
    """

    name: str
    operands: int
    constants: list[float]
    lines: list[tuple[str, tuple[int, ...]]]
    outputs: tuple[int, ...]


class RerunData(NamedTuple):
    """What a second run of the recorded operations needs.

    arrays: by node, the values that no recorded operation computed.  dtypes: of detached tensors, by cut.
    calls: by node, the operation, what it was told beside the operands, and whether it recorded a gradient.
    cotangents: by loss, the sum of the cotangents that its backward passes started with.
    """

    arrays: dict[int, np.ndarray]
    calls: dict[int, tuple[Any, Any, bool]]
    cotangents: dict[Place, np.ndarray]
    dtypes: list[np.dtype]


class Recording:
    """A recording: `nodes`, `edges` and `cuts`, each numbered in order. `print(recording)` shows it as a tree.

    title: the recorded tower, or a title of your own.  steps: how many optimizer steps began.  skipped: those of them
    that changed nothing, as `on_nonfinite="skip"` has it.
    objective, horizon: of the recorded tower: "last" or "sum", and the number of steps between two cuts.
    towers: those that moved parameters of their own, as text.
    ends: how many nodes there were at the end of each step, and at the end.
    paths: the contribution of each path to each hypergradient, as JSON has it; empty unless read from JSON.
    gates: where losses read hyperparameters outside the optimizer: the value passes, the gradient of this loss stops.
    saved: what `th.save` would write at the end, or why not.  closed: whether the block has ended.
    pasts: what `rewind` needs.  program: what a second run needs, if ghosts are recorded.
    """

    def __init__(self) -> None:
        self.title: str | None = None
        self.steps, self.objective, self.closed = 0, "last", False
        self.horizon: int | None = 1
        self.towers: list[str] = []
        self.ends: list[int] = []
        self.skipped: list[int] = []
        self.gates: set[Place] = set()
        self.paths: list[Any] = []
        self.saved: list[Any] | str | None = None
        self.pasts: Any = None
        self.program: RerunData | None = None
        self.ghosts: Any = None  # `ghosts.Ghosts`, once they are asked for
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._cuts: list[Cut] = []
        self._insides: list[Inside] = []

    if TYPE_CHECKING:  # attached from the table of tinyhyper.inspect
        @staticmethod
        def from_json(text: str) -> Recording: ...
        def explore(self, *, beside: Recording | None = None, at: int = 0) -> str: ...
        def frames(self, step: int | None = None, *, scale: float = 1.0) -> list[Any]: ...
        def ghost(self, cut: Cut | int) -> np.ndarray: ...
        def rewind(self, step: int) -> tuple[dict[str, Any], Any]: ...
        def tree(self, limit: int | None = None, of: str | Place | None = None) -> str: ...
        def to_dot(self) -> str: ...
        def to_json(self) -> str: ...
        def to_networkx(self) -> Any: ...
        def save_html(self, path: str | os.PathLike[str], **how: Any) -> Path: ...
        def save_svg(self, path: str | os.PathLike[str], **how: Any) -> Path: ...
        def _repr_html_(self) -> str: ...
        def _repr_svg_(self) -> str | None: ...

    def read(self) -> None:
        """Update the records; a recorder overrides this."""

    @property
    def nodes(self) -> list[Node]:
        """The operations and values, oldest first."""
        self.read()
        return self._nodes

    @property
    def edges(self) -> list[Edge]:
        """The edges into each node, in the order of the nodes and of their operands."""
        self.read()
        return self._edges

    @property
    def cuts(self) -> list[Cut]:
        """Every `detach`, oldest first."""
        self.read()
        return self._cuts

    @property
    def insides(self) -> list[Inside]:
        """The operations inside the fused ones, each once."""
        self.read()
        return self._insides

    def node(self, place: Place) -> Node:
        """The node that made the value at a place."""
        return self.nodes[place[0]]

    def output(self, place: Place) -> Output:
        """The record of the value at a place: the number of a node, and that of an output."""
        return self.nodes[place[0]].outputs[place[1]]

    def dropped(self, place: Place) -> bool:
        """Whether a step made the value at a place and was skipped."""
        node = self.node(place)
        return node.step in self.skipped and node.kind == "operation" and node.number < self.ends[node.step - 1]

    def cut_of(self, cut: Cut | int) -> Cut:
        """A cut, or the one with that number, from 0. Raises ArgumentError if this recording does not hold it."""
        number = cut.number if isinstance(cut, Cut) else cut
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number not in range(len(self.cuts)):
            there = f"has cuts 0 to {len(self.cuts) - 1}" if self.cuts else "has no cuts"
            raise ArgumentError(f"cut {number!r}: this recording {there}")
        if isinstance(cut, Cut) and cut is not self.cuts[number]:
            raise ArgumentError(f"cut {number}: it belongs to another recording, made at {cut.file}:{cut.line}")
        return self.cuts[number]

    def __repr__(self) -> str:
        counts = f"{self.steps} steps, {len(self.nodes)} nodes, {len(self.edges)} edges, {len(self.cuts)} cuts"
        return f"<Recording: {counts}>"


def by_target(edges: Iterable[Edge]) -> dict[int, list[Edge]]:
    """The edges into each node, in the order of its operands."""
    into: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        into[edge.target].append(edge)
    return into


def walk(starts: Iterable[T], ahead: Callable[[T], Iterable[T]]) -> dict[T, T | None]:
    """Everything that can be reached, nearest first, each with the one before it; None before a start."""
    found: dict[T, T | None] = dict.fromkeys(starts)
    waiting = list(found)
    for here in waiting:  # which grows
        for there in ahead(here):
            if there not in found:
                found[there] = here
                waiting.append(there)
    return found
