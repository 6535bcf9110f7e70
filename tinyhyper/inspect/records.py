"""What a recording is made of: nodes, edges and cuts as plain data, which outlive the graph they were read from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind = Literal["operation", "leaf", "constant", "earlier", "gradient"]
Flow = Literal["kept", "cut", "value"]
Role = Literal["weights", "gradient", "state", "hyperparameter"]
Place: TypeAlias = "tuple[int, int]"  # a node's number and one of its outputs
STRENGTH: dict[str, int] = {"kept": 0, "value": 1, "cut": 2}  # of flows that meet on one way, the strongest is its flow


@dataclass(slots=True)
class Label:
    """What an optimizer calls a value: its name and role, and the level of the tower that it belongs to.

    value: the number a person means, where the tensor holds it in another coordinate.
    range: between which values it makes sense, (low, high); None for what has no range.
    """

    name: str
    role: Role
    level: int
    value: float | None = None
    range: tuple[float, float] | None = None


@dataclass(slots=True)
class Output:
    """One output of a node.

    value: the number, if it is a single one.  norm: the root of the sum of squares; not finite if an element is not.
    gradient: the cotangent that arrived here, a number or a norm; known if ghosts were recorded.
    label: what an optimizer calls it.
    """

    shape: tuple[int, ...]
    dtype: str
    value: float | None = None
    norm: float | None = None
    gradient: float | None = None
    label: Label | None = None


@dataclass(slots=True)
class Node:
    """One operation, or a value that operations read.

    number: its place in `Tape.nodes`.  op: the operation's name, None for a value.
    kind: operation; leaf (a tensor that requires a gradient); constant; earlier (made by an operation outside the
    recording); gradient (put into a tensor's `.grad` by `backward`).
    file, line: the first frame outside the tinyhyper package.  step: how many optimizer steps had begun.
    sweep: whether a backward pass did it.  serial: the number of the engine's own node, None where none was made.
    of, loss: for a gradient, the place that it is the gradient of, and of which loss.
    seconds: how long the operation took.  saved: the places whose arrays it kept for its VJP.
    until: the last step at whose end it was still there, None if it was gone before the end of any.
    depends: for each output, the operands that it is computed from; None where that is all of them.
    inside: for a fused operation, its number in `Tape.insides`.
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


@dataclass(slots=True)
class Edge:
    """One reading: the target's operand is an output of the source.

    flow: kept (a gradient flows back along it), cut (it would, or could, were it not for a `detach`), or value
    (no gradient was recorded: the source is a constant, or nobody asked).  cut: the number of the cut.
    """

    source: int
    output: int
    target: int
    operand: int
    flow: Flow
    cut: int | None = None


@dataclass(slots=True)
class Cut:
    """One `detach`: the value passes, the gradient stops.

    source, output: the value that was detached.  targets: the nodes that read the detached tensor.
    file, line: the caller of `detach`.  severed: whether a gradient would have flowed on; a cut of something that had
    no graph (the gradient of a plain `backward`, say) stops nothing.
    ghost: the gradient that ended here, a number or a norm; known if ghosts were recorded. `Tape.ghost(cut)` has all
    of it.
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


@dataclass(slots=True)
class Inside:
    """The operations in a fused one.

    Its values are numbered: the operands first, then the constants, then one a line.  lines: an operation's name and
    the numbers that it reads.  outputs: the numbers of its outputs.
    """

    name: str
    operands: int
    constants: list[Any]
    lines: list[tuple[str, tuple[int, ...]]]
    outputs: tuple[int, ...]


def by_target(edges: Iterable[Edge]) -> dict[int, list[Edge]]:
    """The edges into each node, in the order of its operands; none for a node without."""
    into: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        into[edge.target].append(edge)
    return into
