"""The targets of one level, moved together.

Moved one by one, each would be an operation of its own, with tensors around every array and a node of the tape. So
where nobody watches and every step cuts, they share one node. The numbers are those of `apply_cut`, bit for bit: an
array has no graph, so all is cut but the hyperparameters.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import GraphReleasedError
from ..kernels.plan import Plan, elementwise_backend
from ..ops.fusion import Mask, Way
from ..tape import Edge, Node, current
from ..tensor import Tensor, leaf
from .update import Update

Operands: TypeAlias = "tuple[str, Update, dict[str, Tensor], Tensor, Tensor, list[Tensor]]"
Edges: TypeAlias = "tuple[Edge, ...]"


def move_together(operands: Iterable[Operands]) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """The moved targets, which keep their gradient, and their new states, by name.

    operands: for each target its name, the rule, the hyperparameters by the rule's names, w, g, and the state.
    """
    moved, states = dict[str, Tensor](), dict[str, dict[str, Tensor]]()
    node, applied = GroupNode(), None
    for name, rule, hyperparameters, w, g, state in operands:
        if applied is None or applied.hyperparameters is not hyperparameters:
            applied = Applied(rule, hyperparameters)
        arrays = [w.array, g.array, *[s.array for s in state]]
        kind = applied.kind(arrays)
        arrays += applied.arrays
        results = kind.plan.run(arrays)
        moved[name] = new_w = Tensor(results[0])
        states[name] = dict(zip(rule.kept, map(Tensor, results[1:]))) if rule.kept else {}
        if kind.reads is None:
            leaf(new_w)
        else:
            arrays += results
            node.add(new_w, kind, applied.edges, tuple([arrays[n] for n in kind.reads]))
    node.close()
    return moved, states


class Applied:
    """A rule by given hyperparameters, for many targets. edges: of those hyperparameters that are on the graph."""

    def __init__(self, rule: Update, hyperparameters: Mapping[str, Tensor]) -> None:
        self.rule, self.hyperparameters = rule, hyperparameters
        tensors = [hyperparameters[name] for name in rule.names]
        self.arrays = [tensor.array for tensor in tensors]
        self._edges = (*[None] * (2 + len(rule.kept)), *[tensor.edge for tensor in tensors])
        self.edges = tuple([edge for edge in self._edges if edge is not None])
        known = [(a.shape, a.strides, a.dtype, tensor.edge is None) for a, tensor in zip(self.arrays, tensors)]
        self._kinds = rule.kinds.setdefault((elementwise_backend.chosen, *known), {})

    def kind(self, arrays: Sequence[np.ndarray]) -> Kind:
        """What a target is of whose array, gradient and state are these."""
        key = tuple([(a.shape, a.strides, a.dtype) for a in arrays])
        if (kind := self._kinds.get(key)) is None:
            plan = self.rule.fusion.plan([*arrays, *self.arrays], self.rule.weak)
            kind = self._kinds[key] = Kind(self.rule, plan, self._edges)
        return kind


class Kind:
    """Targets whose arrays lie in memory alike: how one is moved, and how its cotangent flows on; for every step.

    reads: the operands and then outputs of the rule that are to be saved; None where a target becomes a leaf.
    """

    def __init__(self, rule: Update, plan: Plan, edges: Sequence[Edge | None]) -> None:
        self.plan, self.fusion = plan, rule.fusion
        self._given = (True, *[False] * len(rule.kept))  # the state is cut
        self._flows = tuple([edge is not None for edge in edges])
        self._context = rule.fusion.context(plan, edges)
        self.reads = self._context.reads if self._context is not None and self._context.flows[0] else None
        self._ways: dict[Mask, tuple[Way, list[int | None]]] = {}

    def pullback(self, cotangent: Tensor, saved: Sequence[np.ndarray], edges: Edges, wanted: Mask) -> list[Any]:
        """The cotangents of the hyperparameters that are on the graph, whose edges are given; None for the unwanted."""
        recording, tape = current()
        if recording or tape is not None:
            return self._expand(cotangent, saved, edges, wanted)
        way, found = self._ways.get(wanted) or self._way(wanted)
        results = way.run([cotangent.array], saved)
        return [None if n is None else Tensor(results[n]) for n in found]

    def _way(self, wanted: Mask) -> tuple[Way, list[int | None]]:
        """The pullback for some hyperparameters, and which of its results each gets."""
        assert self._context is not None
        way = self.fusion.way(self._context, self._given, self._spread(wanted, False))
        place = {n: k for k, n in enumerate(way.gives)}
        self._ways[wanted] = way, [place.get(n) for n, flow in enumerate(self._flows) if flow]
        return self._ways[wanted]

    def _expand(self, cotangent: Tensor, saved: Sequence[np.ndarray], edges: Edges, wanted: Mask) -> list[Any]:
        """The same by the target's own node, which can be watched and recorded."""
        own = self.node(saved, edges)
        found = own.pullback([cotangent, *[None] * (own.width - 1)], self._spread(wanted, False))
        return [found[n] for n, flow in enumerate(self._flows) if flow]

    def node(self, saved: Sequence[np.ndarray], edges: Edges) -> Node:
        """The node that the target would have had by itself."""
        return Node(self.fusion, self._spread(edges, None), saved, self._context, len(self._given))

    def _spread(self, values: Sequence[Any], other: Any) -> tuple[Any, ...]:
        """Something of the hyperparameters that are on the graph, as one of all operands."""
        rest = iter(values)
        return tuple([next(rest) if flow else other for flow in self._flows])


class GroupNode(Node):
    """The moves of many targets as one node; output n is what the n-th of them has moved.

    Inputs and kept tensors are those of the last move first, as if each had a node of its own: so cotangents are added
    up in the same order.
    A sweep releases the moves that it goes through, and with the last of them the node.
    saved: by output, what the move needs, if it is not released.  context: by output, its kind and edges.
    swept: the outputs that the last sweep came through.
    """

    __slots__ = ("swept",)
    kept: dict[int, weakref.ref[Any]]

    def __init__(self) -> None:
        super().__init__(saved={}, context=[], width=0)
        self.kept, self.swept = {}, list[int]()

    def add(self, target: Tensor, kind: Kind, edges: Edges, saved: Sequence[np.ndarray]) -> None:
        """Make a moved target the next output."""
        n = self.width
        target.edge, self.kept[n], self.saved[n] = (self, n), weakref.ref(target), saved
        self.context.append((kind, edges))
        self.op, self.width = kind.fusion, n + 1

    def close(self) -> None:
        """All is added: put the last first."""
        self.inputs = tuple([edge for _, edges in reversed(self.context) for edge in edges])
        self.kept = dict(reversed(self.kept.items()))

    def alone(self, n: int) -> Node:
        """The node that the n-th target would have had by itself."""
        kind, edges = self.context[n]
        return kind.node(self.saved[n], edges)

    def pullback(self, cotangents: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
        self.swept = [n for n, cotangent in enumerate(cotangents) if cotangent is not None]
        if not self.saved.keys() >= set(self.swept):
            raise GraphReleasedError(
                f"a part of {self!r} has been released by an earlier backward(). {self.op.remedy}"
            )
        found: list[Any] = []
        for n in reversed(range(self.width)):
            kind, edges = self.context[n]
            use = wanted[len(found) : len(found) + len(edges)]
            if cotangents[n] is None or True not in use:
                found += [None] * len(edges)
            else:
                found += kind.pullback(cotangents[n], self.saved[n], edges, use)
        return found

    def release(self) -> None:
        for n in self.swept:
            self.saved.pop(n, None)
        if not self.saved:
            super().release()
