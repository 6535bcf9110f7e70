"""Fusion: an expression over tensors as one node, and another expression for its VJP.

The tape's own sweep over the expression's symbols writes the VJP, which is a fusion again, so it can be recorded and
differentiated like anything else. Its outputs are the cotangents, summed down to the shapes of the operands. The VJP
shows which operands and outputs it reads: only those are saved.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..core.operation import SPEC, ArraySpec, Elementwise
from ..core.tape import Edge, Node, add_to, leading_to, reachable, sweep
from ..core.tensor import FLOATS, Tensor, apply, saved
from ..errors import ArgumentError
from ..operands import broadcast
from .plan import Plan
from .symbols import Symbol, lower, substitute, used

Mask = tuple[bool, ...]
UNKNOWN = object()


class Derivative(NamedTuple):
    """A VJP: a fusion of the cotangents and of what the forward pass saved.

    reads: the forward operands and then outputs that it needs, by number.  gives: the inputs that get a cotangent.
    """

    fusion: Fusion
    reads: tuple[int, ...]
    gives: tuple[int, ...]


class Context(NamedTuple):
    """What a node remembers beside its arrays: shared by all nodes of the same shapes.

    reads: what it saved, as in Derivative.  flows: the outputs that carry a gradient.  ways: its pullbacks so far.
    """

    plan: Plan
    reads: tuple[int, ...]
    through: bool
    flows: Mask
    ways: dict[tuple[Mask, Mask], Way]


class Way(NamedTuple):
    """A pullback for some cotangents and some inputs, ready to be called.

    reads: places in what the node saved.  gives: as in Derivative.
    """

    fusion: Fusion
    reads: tuple[int, ...]
    weak: Mask
    like: tuple[ArraySpec, ...]
    gives: tuple[int, ...]


def plan_by_numpy(
    fusion: Fusion, arrays: Sequence[Any], weak: Mask, shape: tuple[int, ...], like: tuple[ArraySpec, ...] | None
) -> Plan:
    """NumPy's plan."""
    return Plan(fusion.expression, arrays, weak, shape, like)


class Fusion:
    """Elementwise outputs as symbols over input symbols; called on tensors, it is one operation.

    eager: whether small arrays are to be computed by NumPy, whatever an outer ring can do.
    planner: what makes its plans.  mark: under another one they are made again.
    """

    planner: ClassVar[Callable[..., Plan]] = plan_by_numpy
    mark: ClassVar[Any] = None

    def __init__(self, name: str, inputs: Sequence[Symbol], outputs: Sequence[Any], eager: bool) -> None:
        self.name, self.inputs, self.outputs, self.eager = name, tuple(inputs), tuple(outputs), eager
        self.expression = lower(self.outputs, self.inputs)
        self._plans: dict[Any, Plan] = {}
        self._derivatives: dict[Any, Derivative] = {}

    def __call__(
        self, operands: Sequence[Tensor], weak: Mask = (), like: tuple[ArraySpec, ...] | None = None
    ) -> list[Tensor]:
        """Apply to tensors.

        weak: which operands are scalars that take on the dtype of what they meet (NEP 50); none if empty.
        like: what the outputs have the shapes and dtypes of, summed down to them; broadcast if None.
        Raises ShapeError for shapes that do not broadcast, DtypeError for dtypes that an operation has not,
        ArgumentError for integers whose result is none.
        """
        return apply(self, operands, weak or (False,) * len(operands), like)

    def compute(
        self, arrays: Sequence[np.ndarray], weak: Mask, like: tuple[ArraySpec, ...] | None
    ) -> tuple[Sequence[np.ndarray], Plan]:
        plan = self.plan(arrays, weak, like)
        try:
            return plan.run(arrays), plan
        except (ValueError, OverflowError) as error:  # a negative power of integers, a number that they do not hold
            raise ArgumentError(f"{self.name}: {error}") from error

    def node(
        self, edges: tuple[Edge | None, ...], arrays: Sequence[np.ndarray], results: Sequence[np.ndarray], plan: Plan
    ) -> list[Edge | None]:
        """The outputs' edges; None for one that carries no gradient."""
        context = self.context(plan, edges)
        if context is None:
            return [None] * len(results)
        values = (*arrays, *results)
        node = Node(self, edges, [values[n] for n in context.reads], context, len(results))
        return [(node, n) if flow else None for n, flow in enumerate(context.flows)]

    def pullback(self, node: Node, cotangents: Sequence[Tensor | None], wanted: Mask) -> list[Tensor | None]:
        context: Context = node.context
        way = self.way(context, tuple([c is not None for c in cotangents]), wanted)
        kept = saved(node)
        operands = [*[c for c in cotangents if c is not None], *[kept[place] for place in way.reads]]
        found: list[Tensor | None] = [None] * len(wanted)
        for n, result in zip(way.gives, apply(way.fusion, operands, way.weak, way.like)):
            found[n] = result
        return found

    def reads(self, node: Node) -> tuple[int, ...]:
        """Which arrays a node saved: operands, then outputs, by number."""
        return node.context.reads

    @functools.cached_property
    def depends(self) -> tuple[tuple[int, ...], ...]:
        """For each output, the operands that it is computed from."""
        found = [set(reachable([out])) if isinstance(out, Symbol) else set() for out in self.outputs]
        return tuple(tuple(n for n, symbol in enumerate(self.inputs) if symbol in read) for read in found)

    def way(self, context: Context, given: Mask, wanted: Mask) -> Way:
        """The pullback for the cotangents that are given and the inputs wanted."""
        return context.ways.get((given, wanted)) or self._make_way(context, given, wanted)

    def _make_way(self, context: Context, given: Mask, wanted: Mask) -> Way:
        plan, width = context.plan, len(self.inputs)
        fusion, reads, gives = self.derivative(given, wanted, context.through)
        weak = (False,) * sum(given) + tuple([n < width and plan.weak[n] for n in reads])
        places = tuple(map(context.reads.index, reads))
        way = context.ways[given, wanted] = Way(
            fusion, places, weak, tuple([plan.samples[n] for n in gives]), gives
        )
        return way

    def derivative(self, given: Mask, wanted: Mask, through: bool) -> Derivative:
        """The VJP for the cotangents that are given and the inputs wanted, reading saved outputs if `through`."""
        key = (given, wanted, through)
        if key not in self._derivatives:
            self._derivatives[key] = self._derive(*key)
        return self._derivatives[key]

    def _derive(self, given: Mask, wanted: Mask, through: bool) -> Derivative:
        cotangents = [Symbol() for flag in given if flag]
        pending: dict[Any, list[Any]] = {}
        for out, cotangent in zip([out for out, flag in zip(self.outputs, given) if flag], cotangents):
            if isinstance(out, Symbol):
                add_to(pending, (out, 0), cotangent)
        nodes = reachable(pending)
        leading = leading_to(nodes, [symbol for symbol, flag in zip(self.inputs, wanted) if flag])
        found = {
            node: c[0] for node, c in sweep([n for n in nodes if n in leading], pending, leading) if node.op is None
        }
        gives = tuple(n for n, symbol in enumerate(self.inputs) if wanted[n] and symbol in found)
        results = [found[self.inputs[n]] for n in gives]

        fresh = [Symbol() for _ in (*self.inputs, *self.outputs)]
        computed = {
            out: new
            for out, new in zip(self.outputs, fresh[len(self.inputs) :])
            if isinstance(out, Symbol) and out.op
        }
        results = substitute(results, {**dict(zip(self.inputs, fresh)), **(computed if through else {})})
        reads = tuple(n for n, read in enumerate(used(results, fresh)) if read)
        inputs = [*cotangents, *[fresh[n] for n in reads]]
        return Derivative(Fusion(f"{self.name}.vjp", inputs, results, self.eager), reads, gives)

    def plan(self, arrays: Sequence[Any], weak: Mask, like: tuple[ArraySpec, ...] | None = None) -> Plan:
        """How to compute it for arrays of these shapes, strides and dtypes."""
        key = (self.mark, weak, like, *map(SPEC, arrays))
        if (plan := self._plans.get(key)) is None:
            shape = broadcast(self.name, arrays, *[x.shape for x in like or ()])
            try:
                plan = self._plans[key] = self.planner(arrays, weak, shape, like)
            except (ValueError, OverflowError) as error:  # as in __call__, of a constant
                raise ArgumentError(f"{self.name}: {error}") from error
        return plan

    def context(self, plan: Plan, edges: Sequence[Edge | None]) -> Context | None:
        """What a node is to remember, by the edges of its operands; None if no gradient flows."""
        wanted = tuple([edge is not None for edge in edges])
        if (context := plan.contexts.get(wanted, UNKNOWN)) is UNKNOWN:
            context = plan.contexts[wanted] = self._make_context(plan, wanted)
        return context

    def _make_context(self, plan: Plan, wanted: Mask) -> Context | None:
        """None if no gradient flows. Saved outputs are read where that saves no more arrays than recomputing them.

        A sum is not read: what the derivative needs is its terms.
        """
        floats = tuple(dtype in FLOATS for dtype in plan.dtypes)
        flows = tuple(
            flag and bool(self.derivative(tuple(n == m for m in range(len(floats))), wanted, False).gives)
            for n, flag in enumerate(floats)
        )
        if not any(flows):
            return None
        kept, computed = (self.derivative(flows, wanted, through).reads for through in (True, False))
        through = plan.whole and len(kept) <= len(computed)
        return Context(plan, kept if through else computed, through, flows, {})


def fused(op: Elementwise) -> Fusion:
    """The elementwise operation as a fusion."""
    if (found := _FUSED.get(op)) is None:
        inputs = [Symbol() for _ in op.inputs]
        found = _FUSED[op] = Fusion(op.name, inputs, [Symbol(op, tuple(inputs))], eager=True)
    return found


_FUSED: dict[Elementwise, Fusion] = {}


def plan_by(planner: Callable[..., Plan], mark: Any) -> None:
    """Let an outer ring plan how fusions are computed. Only its own mark can change."""
    if Fusion.planner not in (plan_by_numpy, planner):
        raise ArgumentError("plan_by: fusions are planned by another way already")
    Fusion.planner, Fusion.mark = planner, mark
