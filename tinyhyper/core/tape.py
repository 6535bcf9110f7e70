"""The tape: nodes, the reverse sweep over them, their release, and the cuts.

A `Node` remembers one operation: which edges it read, and what its vector-Jacobian product (VJP) needs. An edge
is `(node, index)`: the index-th output of that node. Nodes point backward only, so a graph that nobody holds is
gone at once; the one pointer forward, to the tensor whose `.grad` is kept, is weak.

The sweep asks of a node only `inputs`, `serial`, `width`, `released` and `pullback`, and of a cotangent only `plus`:
so the same few lines differentiate arrays, recorded tensors (giving derivatives of derivatives) and symbols.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from contextvars import Context, ContextVar
from itertools import count
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .errors import GraphReleasedError

REMEDY = (
    "Pass retain_graph=True to the first of two backward passes through it, compute the loss again, or detach() what "
    "an earlier step has handed on."
)

_serials = count()
MANY = 4096  # elements that pieces of a cotangent may hold, however small the whole is
Edge: TypeAlias = "tuple[Node, int]"


class Node:
    """One operation of the graph.

    op: what was done; None for a leaf.  inputs: the edges it read, None for constants.
    saved: the arrays its VJP needs.  context: shapes, dtypes and options.  width: how many outputs it has.
    kept: weak references to the tensors that keep a gradient, by output.
    seam: whether a recorded `backward()` stops here and leaves its cotangents (see `optim/horizon.py`).
    """

    seam = False
    __slots__ = ("op", "inputs", "saved", "context", "width", "serial", "kept", "released", "__weakref__")

    def __init__(
        self, op: Any = None, inputs: tuple[Edge | None, ...] = (), saved: Any = (), context: Any = None, width: int = 1
    ) -> None:
        self.op, self.inputs, self.saved, self.context, self.width = op, inputs, saved, context, width
        self.serial, self.released = next(_serials), False
        self.kept: dict[int, weakref.ref[Any]] | None = None

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> Sequence[Any]:
        """The cotangents of the inputs that are wanted, from those of the outputs; None where there is none."""
        return self.op.pullback(self, cotangents, wanted)

    def keep(self, index: int, tensor: Any) -> None:
        """Let `tensor`, the index-th output, receive its gradient."""
        self.kept = {**(self.kept or {}), index: weakref.ref(tensor)}

    def release(self) -> None:
        """Forget the inputs and what was saved. A leaf has nothing to forget."""
        if self.op is not None:
            self.inputs, self.saved, self.context, self.released = (), (), None, True

    def __repr__(self) -> str:
        return f"<{'leaf' if self.op is None else self.op.name} #{self.serial}{' released' if self.released else ''}>"


class Pieces:
    """The cotangent of what was indexed: pieces and their places, put together when all of them have come.

    So n pieces of one tensor do not cost n arrays of its size.
    join: makes a cotangent of this shape from a list of pieces and one of indices.
    """

    edge = True  # Tensor.plus looks twice at what has one
    __slots__ = ("join", "shape", "pieces", "indices", "held")

    def __init__(self, join: Any, shape: tuple[int, ...], piece: Any, index: Any) -> None:
        self.join, self.shape, self.pieces, self.indices, self.held = join, shape, [piece], [index], piece.size

    def plus(self, other: Any) -> Pieces:
        """With another cotangent of the same tensor, whole or in pieces. Neither is to be used afterwards."""
        more = other if type(other) is Pieces else Pieces(self.join, self.shape, other, ...)
        self.pieces += more.pieces
        self.indices += more.indices
        self.held += more.held
        if self.held > max(MANY, prod(self.shape)):  # by now they take more memory than the whole
            self.pieces, self.indices, self.held = [self.whole()], [...], 0
        return self

    def whole(self) -> Any:
        """The sum, in the order in which they have come."""
        if len(self.pieces) == 1 and self.indices[0] is ...:
            return self.pieces[0]
        return self.join(self.pieces, self.indices, self.shape)


_QUIET, _quiet = Context(), ContextVar("quiet", default=False)
_QUIET.run(np.seterr, all="ignore")
_QUIET.run(_quiet.set, True)
_is_quiet = _quiet.get


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) without NumPy's warnings: overflow and NaN are values like others."""
    return function(*args, **kwargs) if _is_quiet() else apart(function, *args, **kwargs)


def apart(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The same in a context of its own, which nobody else sees. Any thread can enter it, and from within another."""
    return _QUIET.copy().run(function, *args, **kwargs)


class State(NamedTuple):
    """What is recorded: whether operations go on the graph, and the Tape that watches."""

    recording: bool = True
    tape: Any = None


RELEASED, SEAM = attrgetter("released"), attrgetter("seam")
UNWATCHED_STATES = State(False), State(True)
_state = ContextVar("tinyhyper", default=UNWATCHED_STATES[True])
current = _state.get  # quicker than `mode` where much is asked


class Mode:
    """The state of this thread, and of this task of an event loop."""

    @property
    def recording(self) -> bool:
        return current()[0]

    @property
    def tape(self) -> Any:
        return current()[1]

    def __setattr__(self, name: str, value: Any) -> None:
        recording, tape = current()
        if name == "tape":
            tape = value
        else:
            recording = value
        _state.set(UNWATCHED_STATES[recording] if tape is None else State(recording, tape))


mode, UNWATCHED = Mode(), nullcontext()


class Switch:
    """A mode inside a block, or inside the decorated function."""

    name: str = "recording"
    value: Any = False

    def __init__(self) -> None:
        self._before: list[State] = []

    def __enter__(self) -> Any:
        before = current()
        self._before.append(before)
        if getattr(before, self.name) is not self.value:
            setattr(mode, self.name, self.value)

    def __exit__(self, *error: object) -> None:
        _state.set(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)():  # one for each call: it may run in several threads at once
                return function(*args, **kwargs)

        return inside


class no_grad(Switch):
    """Put nothing on the graph inside the block, or inside the decorated function."""


class recording(Switch):
    """Put operations on the graph inside the block, even within no_grad."""

    value = True


class unwatched(Switch):
    """Let no Tape see what is done inside."""

    name, value = "tape", None


def reachable(roots: Iterable[Any], to_seams: bool = False) -> list[Any]:
    """Every node that the roots depend on, no further than seams if `to_seams`, each before its inputs."""
    found, waiting = set(), list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if not (to_seams and node.seam):
                waiting += [edge[0] for edge in node.inputs if edge is not None]
    return sorted(found, key=attrgetter("serial"), reverse=True)


def leading_to(nodes: Sequence[Any], targets: Iterable[Any]) -> set[Any]:
    """Those of the nodes, given newest first, that depend on a target, and the targets themselves."""
    leading = set(targets)
    for node in reversed(nodes):
        if any(edge is not None and edge[0] in leading for edge in node.inputs):
            leading.add(node)
    return leading


def sweep(
    nodes: Iterable[Any], pending: dict[Any, list[Any]], wanted: set[Any] | None = None
) -> Iterator[tuple[Any, list[Any]]]:
    """Reverse-mode differentiation: yield each node with the cotangents of its outputs, complete.

    nodes: newest first.  pending: the cotangents known so far, by node and output; consumed.
    wanted: the nodes whose cotangents are of use, all if None.
    """
    for node in nodes:
        if (cotangents := pending.pop(node, None)) is None:
            continue
        if Pieces in map(type, cotangents):
            cotangents[:] = [c.whole() if type(c) is Pieces else c for c in cotangents]
        yield node, cotangents
        if node.inputs:
            useful = tuple([edge is not None and (wanted is None or edge[0] in wanted) for edge in node.inputs])
            if True in useful:
                for edge, use, cotangent in zip(node.inputs, useful, node.pullback(cotangents, useful)):
                    if use and cotangent is not None:
                        add_to(pending, edge, cotangent)


def add_to(pending: dict[Any, list[Any]], edge: Any, cotangent: Any) -> None:
    """Add a cotangent to what an edge has received so far."""
    node, index = edge
    if (slots := pending.get(node)) is None:
        slots = pending[node] = [None] * node.width
    slots[index] = cotangent if slots[index] is None else slots[index].plus(cotangent)


def backward(
    seeds: Sequence[tuple[Edge, Any]], targets: Sequence[Edge] | None, *, retain_graph: bool, create_graph: bool
) -> list[tuple[Any, Any]]:
    """Sweep from the seeds; the caller deposits what comes back.

    seeds: edges with their cotangents.  targets: the edges asked for, or None for every tensor that keeps a gradient.
    Without targets, a recorded sweep stops at seams; a plain one passes them and takes along what was left there.
    Returns pairs, (tensor or position in targets, cotangent). Raises GraphReleasedError before anything has changed.
    """
    return apart(_backward, current(), seeds, targets, retain_graph, create_graph)


def _backward(
    state: State,
    seeds: Sequence[tuple[Edge, Any]],
    targets: Sequence[Edge] | None,
    retain_graph: bool,
    create_graph: bool,
) -> list[tuple[Any, Any]]:
    _state.set(State(create_graph, state.tape))  # in a context of its own
    stops = create_graph and targets is None
    nodes = reachable((edge[0] for edge, _ in seeds), stops)
    wanted = None
    if targets is not None:
        wanted = leading_to(nodes, {node for node, _ in targets} | {node for node in nodes if node.released})
        nodes = [node for node in nodes if node in wanted]
    for node in filter(RELEASED, nodes):
        if not (targets and any(node is target for target, _ in targets)):
            raise GraphReleasedError(
                f"{node!r} has been released by an earlier backward(). {getattr(node.op, 'remedy', REMEDY)}"
            )
    seams = [*filter(SEAM, nodes)] if targets is None else []
    left = [] if stops else [cotangent for seam in seams for cotangent in seam.collect()]
    pending: dict[Any, list[Any]] = {}
    with UNWATCHED if state.tape is None else state.tape.within(nodes) as way:
        for edge, cotangent in (*seeds, *left):
            add_to(pending, edge, cotangent)
        found: list[tuple[Any, Any]] = []
        for node, cotangents in sweep(way or nodes, pending, wanted):
            if targets is None:
                found += [(ref(), cotangents[index]) for index, ref in node.kept.items()] if node.kept else ()
            else:
                found += [(n, cotangents[index]) for n, (target, index) in enumerate(targets) if target is node]
            if stops and seams and node.seam:
                node.leave(cotangents)
    if not (retain_graph or create_graph):
        for node in nodes:
            if wanted is None or any(edge is not None and edge[0] in wanted for edge in node.inputs):
                node.release()
    return [(where, cotangent) for where, cotangent in found if where is not None and cotangent is not None]
