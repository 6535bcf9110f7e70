"""A recording run again: the same operations on the same values, with other cuts, or with places where a sweep stops.

So a question about gradients is answered by the engine itself, on the graph that was recorded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import GraphError
from ..interop import FLOATS
from ..kernels.finite import norm
from ..ops.elementwise import positive
from ..tape import add_to, no_grad, recording, sweep, unwatched
from ..tensor import Tensor, leaf
from .records import Edge, Node, Place, by_target

if TYPE_CHECKING:
    from .recording import Tape


class Replay:
    """The recorded operations, computed again.

    gates: places that are read through a leaf of their own.  opened: the numbers of cuts that are not made.
    ghosts: whether each cut value is read through a leaf, so that a sweep tells what would flow on through the cut.
    tensors: what was computed, by place.  gates: the leaves, by place.  cuts: what each cut value is read by.
    Raises GraphError for a recording without ghosts, and where a number comes out other than it was recorded.
    """

    def __init__(
        self, tape: Tape, gates: Collection[Place] = (), opened: Collection[int] = (), ghosts: bool = False
    ) -> None:
        if tape._arrays is None:
            raise GraphError(
                "this runs the recording again: record with th.record(ghosts=True). A tape read from JSON cannot be run"
            )
        self.tape, self.opened, self.ghosts = tape, opened, ghosts
        self.tensors: dict[Place, Tensor] = {}
        self.gates: dict[Place, Tensor] = {}
        self.cuts: dict[int, Tensor] = {}
        self._operands = by_target(tape.edges)
        self._kept: set[Place] = set()
        with recording(), unwatched():
            for node in tape.nodes:
                for n, tensor in enumerate(self._compute(node)):
                    self._check(node, n, tensor)
                    self.tensors[node.number, n] = tensor
                    if (node.number, n) in gates:
                        self.gates[node.number, n] = leaf(Tensor(tensor.array))

    def cotangent(self, loss: Place) -> np.ndarray:
        """What the backward passes from a loss began with; ones where none began there."""
        found = self.tape._cotangents.get(loss)
        return np.ones_like(self.tensors[loss].array) if found is None else found

    def on_graph(self, place: Place) -> bool:
        """Whether a gradient could flow to a value in the run that was recorded, as far as it is computed again."""
        node = self.tape.node(place)
        kept = node.kind == "gradient" and any(edge.flow == "kept" for edge in self._operands[node.number])
        return kept or node.serial is not None or place in self._kept

    def _compute(self, node: Node) -> list[Tensor]:
        edges, arrays = self._operands[node.number], self.tape._arrays
        assert arrays is not None
        operands = [self._operand(edge, node.kind == "operation") for edge in edges]
        if node.kind == "operation":
            op, call, recorded = self.tape._calls[node.number]
            with recording() if recorded else no_grad():
                result = op(operands, *call)
            return result if isinstance(result, list) else [result]
        if node.kind == "gradient" and operands:
            return operands
        if operands and operands[0].edge is not None:  # made of a cut value, to which a gradient flows here
            return [positive(operands[0])]
        tensor = Tensor(arrays[node.number])
        return [tensor if node.kind in ("constant", "gradient") else leaf(tensor)]

    def _operand(self, edge: Edge, flows: bool) -> Tensor:
        """What a node reads. flows: whether a gradient may, where none did because it was computed from a cut value."""
        place = edge.source, edge.output
        tensor = self.gates.get(place, self.tensors[place])
        if edge.cut is not None:
            return self._cut(edge.cut, tensor)
        if edge.flow == "value":
            constant = not flows or self.on_graph(place)
            return Tensor(tensor.array) if constant else self.tensors[place]
        self._kept.add(place)
        if tensor.edge is None and tensor.dtype in FLOATS:
            leaf(tensor)  # an optimizer made a leaf of it
        return tensor

    def _cut(self, number: int, tensor: Tensor) -> Tensor:
        dtype = self.tape._dtypes[number]
        if number in self.opened:
            return tensor if tensor.dtype == dtype else tensor.astype(dtype)
        if number not in self.cuts:
            detached = Tensor(tensor.array.astype(dtype, copy=False))
            self.cuts[number] = leaf(detached) if self.ghosts and detached.dtype in FLOATS else detached
        return self.cuts[number]

    def _check(self, node: Node, n: int, tensor: Tensor) -> None:
        recorded = node.outputs[n].value
        if recorded is not None and not self.opened and not np.isclose(tensor.item(), recorded, 1e-4, equal_nan=True):
            raise GraphError(
                f"{node.op or node.kind} at {node.file}:{node.line} gives {tensor.item()} when the recording is run "
                f"again, and gave {recorded}: something that it reads was changed in between"
            )


class Ghosts(NamedTuple):
    """The cotangents of a recording, summed over its losses: by place, and by cut those that ended there."""

    places: dict[Place, np.ndarray]
    cuts: dict[int, np.ndarray]


def haunt(tape: Tape) -> Ghosts:
    """The cotangents that arrived, and those that would have flowed on through each cut; noted on the tape, too."""
    ghosts = arrived(Replay(tape, ghosts=True))
    for (number, n), cotangent in ghosts.places.items():
        tape._nodes[number].outputs[n].gradient = size(cotangent)
    for number, cotangent in ghosts.cuts.items():
        tape._cuts[number].ghost = size(cotangent)
    return ghosts


def arrived(replay: Replay) -> Ghosts:
    """The cotangents of a replay. What a graph leads to for the ghosts' sake alone is no place."""
    places: dict[Any, Any] = {
        tensor.edge: place
        for place, tensor in replay.tensors.items()
        if tensor.edge is not None and (not replay.ghosts or replay.on_graph(place))
    }
    cuts: dict[Any, int] = {t.edge: number for number, t in replay.cuts.items() if t.edge is not None}
    ghosts = Ghosts({}, {})
    for loss, stops in sweeps(replay.tape).items():
        for edge, cotangent in cotangents(replay, loss, stops):
            if edge in cuts:
                _add(ghosts.cuts, cuts[edge], cotangent)
            elif edge in places:
                _add(ghosts.places, places[edge], cotangent)
    return ghosts


def sweeps(tape: Tape) -> dict[Place, list[Place]]:
    """The losses that backward passes began from, each with the places where its pass stopped.

    In a tower's window a recorded pass ends at the weights. The window's own sweep goes on from there, with the last
    loss or with all of them, as the tower's objective says.
    """
    deposits: dict[Place, list[Place]] = defaultdict(list)
    for node in tape.nodes:
        if node.kind == "gradient" and node.loss is not None and node.of is not None:
            deposits[node.loss].append(node.of)
    if tape.objective == "sum":
        return {loss: [] for loss in deposits}
    made = {edge.target for edge in tape.edges if edge.flow == "kept"}
    return {loss: found if all(place[0] in made for place in found) else [] for loss, found in deposits.items()}


def cotangents(replay: Replay, loss: Place, stops: Collection[Place]) -> list[tuple[Any, np.ndarray]]:
    """The engine's edges that a sweep from the loss comes to, with their cotangents."""
    root = replay.tensors[loss].edge
    if root is None:
        return []
    ends = {edge[0] for place in stops if (edge := replay.tensors[place].edge) is not None}
    wanted, waiting = set(), [root[0]]
    while waiting:
        node = waiting.pop()
        if node not in wanted:
            wanted.add(node)
            waiting += [] if node in ends else [edge[0] for edge in node.inputs if edge is not None]
    pending: dict[Any, list[Any]] = {}
    add_to(pending, root, Tensor(replay.cotangent(loss)))
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
    if cotangent.size == 1:
        return float(cotangent.item())
    return norm(cotangent)


def _add(sums: dict[Any, np.ndarray], key: Any, cotangent: np.ndarray) -> None:
    sums[key] = sums[key] + cotangent if key in sums else cotangent
