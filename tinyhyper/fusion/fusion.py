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

from ..core.operation import ArraySpec, Elementwise
from ..core.tape import Edge, Node, add_to, leading_to, reachable, sweep
from ..core.tensor import FLOATS, Tensor, apply, saved
from ..errors import ArgumentError
from ..operands import broadcast
from .plan import Plan
from .symbols import Symbol, lower, substitute, used

Mask = tuple[bool, ...]
UNKNOWN = object()


class VJP(NamedTuple):
    """A VJP: a fusion of the cotangents and of what the forward pass saved.

    reads: the forward operands and then outputs that it needs, by number.  wrt: the inputs that get a cotangent.
    """

    fusion: Fusion
    reads: tuple[int, ...]
    wrt: tuple[int, ...]


class SavedSpec(NamedTuple):
    """What all nodes of the same shapes share: which arrays are saved, and which outputs carry a gradient.

    reads: what it saved, as in VJP.  uses_outputs: whether saved outputs are read, not computed again.
    differentiable: which outputs carry a gradient.
    vjps: those compiled so far, by which outputs have a cotangent and which inputs need a gradient.
    """

    plan: Plan
    reads: tuple[int, ...]
    uses_outputs: bool
    differentiable: Mask
    vjps: dict[tuple[Mask, Mask], CompiledVJP]


class CompiledVJP(NamedTuple):
    """The compiled VJP for one choice of outputs that have a cotangent and of inputs that need a gradient.

    reads: places in what the node saved.  like: as in `Fusion.compute`.  wrt: as in VJP.
    """

    fusion: Fusion
    reads: tuple[int, ...]
    like: tuple[ArraySpec, ...]
    wrt: tuple[int, ...]


def plan_by_numpy(
    fusion: Fusion, arrays: Sequence[Any], shape: tuple[int, ...], like: tuple[ArraySpec, ...] | None
) -> Plan:
    """NumPy's plan."""
    return Plan(fusion.expression, arrays, shape, like)


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
        self._derivatives: dict[Any, VJP] = {}

    def __call__(self, operands: Sequence[Tensor], like: tuple[ArraySpec, ...] | None = None) -> list[Tensor]:
        """Apply to tensors.

        like: what the outputs have the shapes and dtypes of, summed down to them; broadcast if None.
        Raises ShapeError for shapes that do not broadcast, DtypeError for dtypes that an operation has not,
        ArgumentError for integers whose result is none.
        """
        return apply(self, operands, like)

    def compute(
        self, arrays: Sequence[np.ndarray], like: tuple[ArraySpec, ...] | None
    ) -> tuple[Sequence[np.ndarray], Plan]:
        """The outputs, and their plan. like: as in __call__."""
        plan = self.plan(arrays, like)
        try:
            return plan.run(arrays), plan
        except (ValueError, OverflowError) as error:  # a negative power of integers, a number that they do not hold
            raise ArgumentError(f"{self.name}: {error}") from error

    def node(
        self, edges: tuple[Edge | None, ...], arrays: Sequence[np.ndarray], results: Sequence[np.ndarray], plan: Plan
    ) -> list[Edge | None]:
        """The outputs' edges; None for one that carries no gradient."""
        flags = []
        for edge in edges:
            flags.append(edge is not None)
        if (context := plan.contexts.get(needs_grad := tuple(flags), UNKNOWN)) is UNKNOWN:
            context = plan.contexts[needs_grad] = self.context(plan, needs_grad)
        if context is None:
            return [None] * len(results)
        values, to_save = (*arrays, *results), []
        for n in context.reads:
            to_save.append(values[n])
        node, made = Node(self, edges, to_save, context, len(results)), []
        for n, flow in enumerate(context.differentiable):
            made.append((node, n) if flow else None)
        return made

    def pullback(self, node: Node, cotangents: Sequence[Tensor | None], needs_grad: Mask) -> list[Tensor | None]:
        context: SavedSpec = node.context
        has_cotangent, operands, values = [], [], saved(node)
        for cotangent in cotangents:
            has_cotangent.append(cotangent is not None)
            if cotangent is not None:
                operands.append(cotangent)
        key = tuple(has_cotangent), needs_grad
        vjp = context.vjps.get(key) or self.vjp(context, *key)
        for n in vjp.reads:
            operands.append(values[n])
        found: list[Tensor | None] = [None] * len(needs_grad)
        for n, result in zip(vjp.wrt, apply(vjp.fusion, operands, vjp.like)):
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

    def vjp(self, context: SavedSpec, has_cotangent: Mask, needs_grad: Mask) -> CompiledVJP:
        """The compiled VJP for outputs that have a cotangent and inputs that need a gradient."""
        fusion, reads, wrt = self.derivative(has_cotangent, needs_grad, context.uses_outputs)
        places = tuple(map(context.reads.index, reads))
        like = tuple([context.plan.samples[n] for n in wrt])
        vjp = context.vjps[has_cotangent, needs_grad] = CompiledVJP(fusion, places, like, wrt)
        return vjp

    def derivative(self, has_cotangent: Mask, needs_grad: Mask, uses_outputs: bool) -> VJP:
        """The VJP for outputs that have a cotangent and inputs that need a gradient; it may read outputs."""
        key = (has_cotangent, needs_grad, uses_outputs)
        if key not in self._derivatives:
            self._derivatives[key] = self._derive(*key)
        return self._derivatives[key]

    def _derive(self, has_cotangent: Mask, needs_grad: Mask, uses_outputs: bool) -> VJP:
        cotangents = [Symbol() for flag in has_cotangent if flag]
        pending: dict[Any, list[Any]] = {}
        outputs = [out for out, flag in zip(self.outputs, has_cotangent) if flag]
        add_to(pending, [((out, 0), c) for out, c in zip(outputs, cotangents) if isinstance(out, Symbol)])
        nodes = reachable(pending)
        leading = leading_to(nodes, [symbol for symbol, flag in zip(self.inputs, needs_grad) if flag])
        found = {
            node: c[0] for node, c in sweep([n for n in nodes if n in leading], pending, leading) if node.op is None
        }
        wrt = tuple(n for n, symbol in enumerate(self.inputs) if needs_grad[n] and symbol in found)
        results = [found[self.inputs[n]] for n in wrt]

        fresh = [*[type(symbol)() for symbol in self.inputs], *[Symbol() for _ in self.outputs]]
        computed = {
            out: new
            for out, new in zip(self.outputs, fresh[len(self.inputs) :])
            if isinstance(out, Symbol) and out.op
        }
        results = substitute(results, {**dict(zip(self.inputs, fresh)), **(computed if uses_outputs else {})})
        reads = tuple(n for n, read in enumerate(used(results, fresh)) if read)
        inputs = [*cotangents, *[fresh[n] for n in reads]]
        return VJP(Fusion(f"{self.name}.vjp", inputs, results, self.eager), reads, wrt)

    def plan(self, arrays: Sequence[Any], like: tuple[ArraySpec, ...] | None = None) -> Plan:
        """How to compute it for arrays of these shapes, strides and dtypes."""
        found = [self.mark, like]
        for x in arrays:  # flat, it is sooner made and looked up
            found.append(x.dtype)
            if shape := x.shape:
                found.append(shape)
                found.append(x.strides)
        if (plan := self._plans.get(key := tuple(found))) is None:
            shape = broadcast(self.name, arrays, *[x.shape for x in like or ()])
            try:
                plan = self._plans[key] = self.planner(arrays, shape, like)
            except (ValueError, OverflowError) as error:  # as in __call__, of a constant
                raise ArgumentError(f"{self.name}: {error}") from error
        return plan

    def context(self, plan: Plan, needs_grad: Mask) -> SavedSpec | None:
        """What a node saves, by which operands need a gradient; None if no gradient flows.

        Saved outputs are read where that saves no more arrays than recomputing them. A sum is not read: what the
        derivative needs is its terms.
        """
        floats = tuple(dtype in FLOATS for dtype in plan.dtypes)
        differentiable = tuple(
            flag and bool(self.derivative(tuple(n == m for m in range(len(floats))), needs_grad, False).wrt)
            for n, flag in enumerate(floats)
        )
        if not any(differentiable):
            return None
        given, computed = (self.derivative(differentiable, needs_grad, flag).reads for flag in (True, False))
        uses_outputs = plan.whole and len(given) <= len(computed)
        return SavedSpec(plan, given if uses_outputs else computed, uses_outputs, differentiable, {})


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
        raise ArgumentError("plan_by: another planner is set already")
    Fusion.planner, Fusion.mark = planner, mark
