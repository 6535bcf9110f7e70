"""A second run of a recording: the same operations on the same values, with other cuts, or with stops for a sweep.

So the engine itself answers a question about gradients, on the graph that was recorded.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..core.rules import positive
from ..core.tape import add_to, no_grad, recording, sweep, unwatched
from ..core.tensor import FLOATS, Tensor, apply, leaf
from ..errors import GraphError
from ..finite import norm
from ..optim.outside import Gate
from .records import Cut, Edge, Node, Place, Recording, by_target, walk
from .text import shorten

GOAL = "tinyhyper/optim/goal.py"  # which cuts the weights once a goal has been differentiated
Arrival: TypeAlias = "Place | int"  # where a cotangent arrives: a place, or the cut with a number


class Ghosts(NamedTuple):
    """The cotangents of a recording, summed over its losses: those that arrived at places, and those that cuts stopped.

    passes: by loss, those of each alone, as the sweep came to them.
    error: raised when they are asked for, if the second run failed.
    """

    places: dict[Place, np.ndarray]
    cuts: dict[int, np.ndarray]
    passes: dict[Place, dict[Arrival, np.ndarray]]
    error: GraphError | None = None


class Rerun:
    """A second run of the recorded operations.

    gates: the places that later operations read through a leaf of their own; as an attribute, these leaves, by place.
    opened: the numbers of cuts to leave out.
    ghosts: whether operations read each detached value through a leaf, at which its ghost arrives; what a cut that is
    left out lets pass, through an operation of its own.
    tensors: the computed values, by place.  cuts: the detached tensors, by cut.
    Raises GraphError for a recording without ghosts, and if a number differs from the recorded one.
    """

    def __init__(
        self, tape: Recording, gates: Collection[Place] = (), opened: Collection[int] = (), ghosts: bool = False
    ) -> None:
        if tape.program is None:
            raise GraphError(
                "this question runs the recording again: record with th.record(ghosts=True). A tape read from JSON "
                "cannot be run again"
            )
        self.tape, self.program, self.opened, self.ghosts = tape, tape.program, opened, ghosts
        self.tensors: dict[Place, Tensor] = {}
        self.gates: dict[Place, Tensor] = {}
        self.cuts: dict[int, Tensor] = {}
        self._gates: dict[int, list[Gate]] = defaultdict(list)
        self._nodes, self._operands = tape.nodes, by_target(tape.edges)
        self._kept: set[Place] = set()
        with recording(), unwatched():
            for node in self._nodes:
                for n, tensor in enumerate(self._compute(node)):
                    self._check(node, n, tensor)
                    if (node.number, n) in tape.gates and tensor.edge is not None:
                        self._gates[node.step].append(gate := Gate(tensor.edge))
                        gate.open()
                        tensor = Tensor(tensor.array, (gate, 0))
                    self.tensors[node.number, n] = tensor
                    if (node.number, n) in gates:
                        self.gates[node.number, n] = leaf(Tensor(tensor.array))

    @contextmanager
    def sent_by(self, loss: Place) -> Iterator[None]:
        """Within, what a loss sends back itself to a hyperparameter outside the optimizer goes no further."""
        gates = self._gates.get(self._nodes[loss[0]].step, [])
        for gate in gates:
            gate.inputs = (None,)
        try:
            yield
        finally:
            for gate in gates:
                gate.open()

    def gated(self, loss: Place) -> bool:
        """Whether something that a loss sends back itself goes no further."""
        return self._nodes[loss[0]].step in self._gates

    def cotangent(self, loss: Place) -> np.ndarray:
        """The cotangent that the backward passes from a loss started with; ones if none started there."""
        found = self.program.cotangents.get(loss)
        return np.ones_like(self.tensors[loss].array) if found is None else found

    def on_graph(self, place: Place) -> bool:
        """Whether a gradient could flow to a value in the first run, as far as the second has come."""
        node = self._nodes[place[0]]
        kept = node.kind == "gradient" and any(edge.flow == "kept" for edge in self._operands[node.number])
        return kept or node.serial is not None or place in self._kept

    def _compute(self, node: Node) -> list[Tensor]:
        edges = self._operands[node.number]
        operands = [self._operand(edge, node.kind == "operation") for edge in edges]
        if node.kind == "operation":
            op, call, recorded = self.program.calls[node.number]
            if recorded:
                return apply(op, operands, call)
            with no_grad():
                return apply(op, operands, call)
        if node.kind == "gradient" and operands:
            return operands
        if operands and operands[0].edge is not None:  # made of a detached value, to which a gradient flows here
            return [positive(operands[0])]
        tensor = Tensor(self.program.arrays[node.number])
        return [tensor if node.kind in ("constant", "gradient") else leaf(tensor)]

    def _operand(self, edge: Edge, flows: bool) -> Tensor:
        """The tensor that is read. flows: whether a gradient may flow to one computed from detached values alone."""
        place = edge.place
        tensor = self.gates.get(place, self.tensors[place])
        if edge.cut is not None:
            return self._cut(edge.cut, tensor)
        if edge.flow == "value":
            constant = not flows or self.on_graph(place)
            return Tensor(tensor.array) if constant else self.tensors[place]
        self._kept.add(place)
        if tensor.edge is None and tensor.dtype in FLOATS:
            leaf(tensor)  # an optimizer had made it a leaf
        return tensor

    def _cut(self, number: int, tensor: Tensor) -> Tensor:
        dtype = self.program.dtypes[number]
        if number in self.opened and not self.ghosts:
            return tensor if tensor.dtype == dtype else tensor.astype(dtype)
        if number in self.opened and number not in self.cuts:
            self.cuts[number] = positive(tensor) if tensor.dtype == dtype else tensor.astype(dtype)
        elif number not in self.cuts:
            detached = Tensor(tensor.array.astype(dtype, copy=False))
            self.cuts[number] = leaf(detached) if self.ghosts and detached.dtype in FLOATS else detached
        return self.cuts[number]

    def _check(self, node: Node, n: int, tensor: Tensor) -> None:
        recorded = node.outputs[n].value
        if recorded is not None and not self.opened and not _close(tensor.item(), recorded):
            raise GraphError(
                f"{node.op or node.kind} at {node.file}:{node.line} gave {recorded}, and gives {tensor.item()} "
                "when run again: a value that it reads was changed in between"
            )


def _close(given: float, recorded: float) -> bool:
    both_nan = given != given and recorded != recorded
    return both_nan or math.isclose(given, recorded, rel_tol=1e-4, abs_tol=1e-8)


def compute_ghosts(tape: Recording) -> Ghosts:
    """The cotangents that arrived at each place, and those that each cut stopped; also noted in the records."""
    try:
        found = arrived(Rerun(tape, ghosts=True))
    except GraphError as error:  # the records can be read; only a question about ghosts raises
        return Ghosts({}, {}, {}, error)
    for place, cotangent in found.places.items():
        tape.output(place).gradient = size(cotangent)
    for number, cotangent in found.cuts.items():
        tape.cuts[number].ghost = size(cotangent)
    return found


def ghosts_of(tape: Recording) -> Ghosts:
    """The ghosts of a recording. Raises GraphError if there are none."""
    tape.read()
    if tape.ghosts is None:
        when = "ask when the block has ended" if tape.program is not None else "record with th.record(ghosts=True)"
        raise GraphError(f"this needs the ghosts, the gradients that the cuts stopped: {when}")
    if tape.ghosts.error is not None:
        raise tape.ghosts.error
    return tape.ghosts


def ghost(tape: Recording, cut: Cut | int) -> np.ndarray:
    """The gradient that a cut stopped, summed over the losses; zeros if no backward pass came to it.

    cut: it, or its number. The result has the shape and dtype of the value that was cut.
    Raises GraphError for a recording without ghosts, and before its end; ArgumentError for a cut that it does not hold.
    """
    cut = tape.cut_of(cut)
    return ghosts_of(tape).cuts.get(cut.number, np.zeros(cut.shape))


def arrived(rerun: Rerun) -> Ghosts:
    """The cotangents of a rerun; at places that had a graph in the first run, and at its cuts."""
    places: dict[Any, Any] = {
        tensor.edge: place
        for place, tensor in rerun.tensors.items()
        if tensor.edge is not None and (not rerun.ghosts or rerun.on_graph(place))
    }
    cuts: dict[Any, int] = {t.edge: number for number, t in rerun.cuts.items() if t.edge is not None}
    ghosts = Ghosts({}, {}, {})
    for loss, stops in sweeps(rerun.tape).items():
        alone = ghosts.passes[loss] = {}
        with rerun.sent_by(loss):
            found = cotangents(rerun, {loss: rerun.cotangent(loss)}, stops)
        for edge, cotangent in found:
            sums: dict[Any, np.ndarray] = ghosts.cuts if edge in cuts else ghosts.places
            key = cuts[edge] if edge in cuts else places.get(edge)
            if key is not None:
                alone[key] = cotangent
                sums[key] = sums[key] + cotangent if key in sums else cotangent
    return ghosts


def sweeps(tape: Recording) -> dict[Place, list[Place]]:
    """The losses that backward passes started from, each with the places where its pass stopped.

    In a tower's window a recorded pass stops at the weights. The window's own sweep goes on from there, with the last
    loss or with all of them, depending on the tower's objective; with a goal alone, where `descend` was given one.
    """
    deposits: dict[Place, list[Place]] = defaultdict(list)
    for node in tape.nodes:
        if node.kind == "gradient" and node.loss is not None and node.of is not None:
            deposits[node.loss].append(node.of)
    if tape.objective == "sum":
        reached = goals(tape)
        return {
            loss: found if any(place[0] in reached[goal] for goal in reached if goal != loss for place in found) else []
            for loss, found in deposits.items()
        }
    made = {edge.target for edge in tape.edges if edge.flow == "kept"}
    return {loss: found if all(place[0] in made for place in found) else [] for loss, found in deposits.items()}


def goals(tape: Recording) -> dict[Place, set[int]]:
    """The losses that `descend` was given, each with the nodes that its gradient reaches."""
    weights = {cut.place for cut in tape.cuts if cut.reason == "goal" and shorten(cut.file) == GOAL}
    last = {node.of: node.loss for node in tape.nodes if node.of in weights and node.loss is not None}
    into = by_target(tape.edges) if last else {}
    return {
        loss: {*walk([loss[0]], lambda number: [edge.source for edge in into[number] if edge.flow == "kept"])}
        for loss in last.values()
    }


def cotangents(
    rerun: Rerun, begun: Mapping[Place, np.ndarray], stops: Collection[Place] = ()
) -> list[tuple[Any, np.ndarray]]:
    """The engine's edges that one sweep reaches, with their cotangents. begun: those with which it begins, by place."""
    roots = [(edge, Tensor(begun[place])) for place in begun if (edge := rerun.tensors[place].edge) is not None]
    ends = {edge[0] for place in stops if (edge := rerun.tensors[place].edge) is not None}
    wanted = set(
        walk(
            [root[0] for root, _ in roots],
            lambda node: [] if node in ends else [edge[0] for edge in node.inputs if edge is not None],
        )
    )
    pending: dict[Any, list[Any]] = {}
    add_to(pending, roots)
    nodes = sorted(wanted, key=lambda node: node.serial, reverse=True)
    with no_grad(), unwatched():
        return [
            ((node, n), cotangent.array)
            for node, found in sweep(nodes, pending, wanted)
            for n, cotangent in enumerate(found)
            if cotangent is not None
        ]


def size(cotangent: np.ndarray) -> float:
    """A cotangent as one number: itself, or its norm."""
    return float(cotangent.item()) if cotangent.size == 1 else norm(cotangent)
