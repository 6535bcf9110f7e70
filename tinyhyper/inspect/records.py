"""What a recording is made of: nodes, edges and cuts as plain data, which outlive the graph they were read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["operation", "leaf", "constant", "earlier", "gradient"]
Flow = Literal["kept", "cut", "value"]
Role = Literal["weights", "gradient", "state", "hyperparameter"]


@dataclass(slots=True)
class Label:
    """What an optimizer calls a value: its name and role, and the level of the tower that it belongs to.

    value: the number a person means, where the tensor holds it in another coordinate.
    """

    name: str
    role: Role
    level: int
    value: float | None = None


@dataclass(slots=True)
class Output:
    """One output of a node. value: the number, if it is a single one.  label: what an optimizer calls it."""

    shape: tuple[int, ...]
    dtype: str
    value: float | None = None
    label: Label | None = None


@dataclass(slots=True)
class Node:
    """One operation, or a value that operations read.

    number: its place in `Tape.nodes`.  op: the operation's name, None for a value.
    kind: operation; leaf (a tensor that requires a gradient); constant; earlier (made by an operation outside the
    recording); gradient (put into a tensor's `.grad` by `backward`).
    file, line: the first frame outside the tinyhyper package.  step: how many optimizer steps had begun.
    sweep: whether a backward pass did it.  serial: the number of the engine's own node, None where none was made.
    of, loss: for a gradient, the place (node, output) that it is the gradient of, and of which loss.
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
    of: tuple[int, int] | None = None
    loss: tuple[int, int] | None = None


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
