"""The tape: nodes, the reverse sweep over them, and their release.

A `Node` remembers one operation: which edges it read, and what its vector-Jacobian product (VJP) needs. An edge is
`(node, index)`: the index-th output of that node. Nodes point backward only, so a graph that nobody holds is gone at
once; the one pointer forward, to the tensor whose `.grad` is kept, is weak.

The sweep asks of a node only `inputs`, `serial`, `width`, `released` and `pullback`, and of a cotangent only `+`: so
the same few lines differentiate arrays, recorded tensors (giving derivatives of derivatives) and symbols.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import Context, ContextVar
from functools import partial
from itertools import compress, count
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from .errors import GraphReleasedError

REMEDY = (
    "Pass retain_graph=True to the first of two backward passes through it, compute the loss again, or detach() what "
    "an earlier step has handed on."
)
SERIAL, RELEASED, SEAM = attrgetter("serial"), attrgetter("released"), attrgetter("seam")
Edge: TypeAlias = "tuple[Node, int]"
_serials = count()


class Node:
    """One operation of the graph.

    op: what was done; None for a leaf.  inputs: the edges it read, None for constants.
    saved: the arrays its VJP needs.  context: shapes, dtypes and options.  width: how many outputs it has.
    receivers: weak references to the tensors that receive a gradient, by output.
    seam: whether a recorded `backward()` stops here and leaves its cotangents with it, for a later sweep.
    """

    seam = False
    __slots__ = ("op", "inputs", "saved", "context", "width", "serial", "receivers", "released", "__weakref__")

    def __init__(self, op: Any = None, inputs: Any = (), saved: Any = (), context: Any = None, width: int = 1) -> None:
        self.op, self.inputs, self.saved, self.context, self.width = op, inputs, saved, context, width
        self.serial, self.released = next(_serials), False
        self.receivers: dict[int, weakref.ref[Any]] | None = None

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> Sequence[Any]:
        """The cotangents of the inputs that are wanted, from those of the outputs; None where there is none."""
        return self.op.pullback(self, cotangents, wanted)

    def deliver_to(self, index: int, tensor: Any) -> None:
        """Let `tensor`, the index-th output, receive its gradient."""
        own = {index: weakref.ref(tensor)}
        self.receivers = self.receivers | own if self.receivers else own

    def release(self) -> None:
        """Forget the inputs and what was saved. A leaf has nothing to forget."""
        if self.op is not None:
            self.inputs, self.saved, self.context, self.released = (), (), None, True

    def __repr__(self) -> str:
        return f"<{'leaf' if self.op is None else self.op.name} #{self.serial}{' released' if self.released else ''}>"


class Watcher:
    """What the engine tells whoever watches. This one, nobody, does nothing; `apply` alone asks who it is."""

    cut = copied = gradient = swept = moving = moved = lambda self, *told: None
    within = stepping = cast(Any, staticmethod(nullcontext))  # around a sweep over nodes, around a step of a level


class State(NamedTuple):
    """What this thread, or this task of an event loop, does: whether it records a graph, and who watches."""

    recording: bool = True
    watcher: Any = Watcher()


RECORDING = State()
NOBODY = RECORDING.watcher
state = ContextVar("tinyhyper", default=RECORDING)
current = state.get


@contextmanager
def switched(**changes: Any) -> Iterator[None]:
    """Change the state inside the block, or inside the decorated function."""
    before = current()
    state.set(before._replace(**changes))
    try:
        yield
    finally:
        state.set(before)


no_grad = partial(switched, recording=False)
recording = partial(switched, recording=True)
unwatched = partial(switched, watcher=NOBODY)

QUIET, _quiet = Context(), ContextVar("quiet", default=False)
QUIET.run(np.seterr, all="ignore")
QUIET.run(_quiet.set, True)
is_quiet = _quiet.get


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs) without NumPy's warnings: overflow and NaN are values like others.

    It runs in a context of its own, which nobody else sees. Any thread can enter it, and from within another.
    """
    return function(*args, **kwargs) if is_quiet() else QUIET.copy().run(function, *args, **kwargs)


def reachable(roots: Iterable[Any], to_seams: bool = False) -> list[Any]:
    """Every node that the roots depend on, no further than seams if `to_seams`, each before its inputs."""
    found = {*roots}
    for node in (waiting := [*found]):  # which grows
        if not (to_seams and node.seam):
            for edge in node.inputs:
                if edge is not None and (below := edge[0]) not in found:
                    found.add(below)
                    waiting.append(below)
    return sorted(waiting, key=SERIAL, reverse=True)


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

    nodes: newest first.  pending: the cotangents known so far, by node and output; consumed. One that is callable is a
    sum that nobody has added up yet: the call does.  wanted: the nodes whose cotangents are of use, all if None.
    """
    for node in filter(pending.__contains__, nodes):
        cotangents, useful = pending.pop(node), []
        for n, cotangent in enumerate(cotangents):
            if callable(cotangent):
                cotangents[n] = cotangent()
        yield node, cotangents
        for edge in node.inputs:
            useful.append(edge is not None and (wanted is None or edge[0] in wanted))
        if True in useful:
            add_to(pending, compress(zip(node.inputs, node.pullback(cotangents, tuple(useful))), useful))


def add_to(pending: dict[Any, list[Any]], arrived: Iterable[tuple[Any, Any]]) -> None:
    """Add cotangents to what their edges have received so far."""
    for edge, cotangent in arrived:
        if cotangent is not None:
            node, index = edge
            if (slots := pending.get(node)) is None:
                slots = pending[node] = [None] * node.width
            slots[index] = cotangent if slots[index] is None else slots[index] + cotangent


def backward(
    seeds: Sequence[tuple[Edge, Any]], targets: Sequence[Edge] | None, *, retain_graph: bool, create_graph: bool
) -> list[tuple[Any, Any]]:
    """Sweep from the seeds; the caller deposits what comes back.

    seeds: edges with their cotangents.  targets: the edges asked for, or None for every tensor that keeps a gradient.
    Without targets, a recorded sweep stops at seams; a plain one passes them and takes along what was left there.
    Returns pairs, (tensor or position in targets, cotangent). Raises GraphReleasedError before anything has changed.
    """
    return QUIET.copy().run(_backward, State(create_graph, current().watcher), seeds, targets, retain_graph)


def _backward(inside: State, seeds: Any, targets: Sequence[Edge] | None, retain_graph: bool) -> list[tuple[Any, Any]]:
    state.set(inside)  # in a context of its own
    stops = inside.recording and targets is None
    nodes, wanted, ends = reachable([edge[0] for edge, _ in seeds], stops), None, [node for node, _ in targets or ()]
    if targets is not None:
        wanted = leading_to(nodes, {*ends, *filter(RELEASED, nodes)})
        nodes = [node for node in nodes if node in wanted]
    for node in filter(RELEASED, nodes):
        if node not in ends:
            raise GraphReleasedError(
                f"{node!r} has been released by an earlier backward(). {getattr(node.op, 'remedy', REMEDY)}"
            )
    left = [c for seam in filter(SEAM, nodes) for c in seam.collect()] if targets is None and not stops else []
    pending: dict[Any, list[Any]] = {}
    found: list[tuple[Any, Any]] = []
    with inside.watcher.within(nodes) as visited:
        add_to(pending, (*seeds, *left))
        for node, cotangents in sweep(visited, pending, wanted):
            if targets is not None:
                found += [(n, cotangents[index]) for n, (target, index) in enumerate(targets) if target is node]
            elif node.receivers:
                for index, ref in node.receivers.items():
                    found.append((ref(), cotangents[index]))
            if stops and node.seam:
                node.leave(cotangents)
    for node in () if retain_graph or inside.recording else nodes:
        if wanted is None or any(edge is not None and edge[0] in wanted for edge in node.inputs):
            node.release()
    return [(where, cotangent) for where, cotangent in found if where is not None and cotangent is not None]
