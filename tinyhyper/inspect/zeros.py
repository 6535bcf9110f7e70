"""What makes a contribution 0: the step from one named value to the next is differentiated once more, with one value or
another at 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.tape import backward, recording, unwatched
from ..core.tensor import Tensor, apply, leaf
from ..finite import norm
from .equation import Equation, filled
from .ghosts import Rerun
from .graph import Graph
from .opened import Rule, equations
from .records import Node, Place, by_target, walk
from .text import listed

ROUNDING = 1e-8  # as a part of the largest, what is 0 but for rounding


class Zeros(NamedTuple):
    """What an operation read that is 0, and to blame for a derivative of 0.

    made: what does not change with the value in question.  changed: the states that it made, which do.
    lost: where their change cancels on the way to what does not, in words.
    """

    op: str
    made: Place
    blamed: list[Place]
    changed: list[Place]
    lost: str


def blamed(graph: Graph, name: str, read: Sequence[Zeros]) -> str:
    """Which zeros were read, and what follows for the value of that name, in a sentence or two for each operation."""
    text = ""
    for op in dict.fromkeys(each.op for each in read):
        mine = [each for each in read if each.op == op]
        zeros = sorted({zero for each in mine for zero in each.blamed})
        are = "this is" if len(zeros) == 1 else "these are"
        why = ", as no loss has sent one yet" if all(map(graph.waiting, zeros)) else ""
        text += f" {op} read {listed(map(graph.name, zeros))}: {are} 0{why}."
        made, states = {each.made for each in mine}, sorted(state for each in mine for state in each.changed)
        same = listed(map(graph.name, sorted(made)))
        text += f" So {same} {'does' if len(made) == 1 else 'do'} not change with {name}."
        if states:
            lost = [f"in {each.lost}" if each.lost else f"where {op} computes {graph.name(each.made)}" for each in mine]
            text += f" {listed(map(graph.name, states))} {'does' if len(states) == 1 else 'do'}, but this change "
            text += f"cancels {listed(lost)}."
    return text


def read_by(graph: Graph, node: Node) -> list[int]:
    """The outputs of a node that its first output is computed from."""
    inside = None if node.inside is None else graph.tape.insides[node.inside]
    first = 0 if inside is None else inside.operands + len(inside.constants)
    lines, outputs = ([], range(len(node.outputs))) if inside is None else (inside.lines, inside.outputs)
    read = walk(outputs[:1], lambda number: lines[number - first][1] if number >= first else ()) if lines else outputs
    return [n for n, number in enumerate(outputs) if number in read]


def lost(rerun: Rerun, graph: Graph, node: Node, outputs: Collection[int], target: Place) -> str:
    """The line of a fused operation in which the change of some outputs with a target cancels; empty if none does."""
    op = rerun.program.calls[node.number][0]
    found = equations(graph, [node.number]).get(node.number)
    if found is None or not outputs:
        return ""
    expression, edges = op.expression, graph.into[node.number]
    values = [Tensor(np.asarray(rerun.tensors[edge.place].array, float)) for edge in edges]
    for value, edge in zip(values, edges):
        if edge.place == target and edge.flow == "kept":
            leaf(value)
    values += [Tensor(np.asarray(constant, float)) for constant in expression.constants]
    ends = [value.edge for value in values if value.edge is not None]
    first, reached, still = len(values), {expression.outputs[n] for n in outputs}, list[int]()
    with recording(), unwatched():
        sizes = [_size(value, ends) for value in values]
        for number, (line, args) in enumerate(expression.lines, start=first):
            values.append(apply(line, [values[arg] for arg in args], {})[0])
            sizes.append(_size(values[-1], ends))
            if number not in reached and not reached.isdisjoint(args):
                reached.add(number)
                still += [number] if sizes[-1] <= ROUNDING * max(sizes[arg] for arg in args) else []
    written = [number for number in still if number in found.lines]
    return _written(found, Rule(graph, node.number, found), written[0]) if written else ""


def _written(equation: Equation, rule: Rule, number: int) -> str:
    """A line of a fused operation with the names of what is read, or what it divides by."""
    name, reads = equation.lines[number]
    text = filled(equation.line(reads[1] if name == "divide" else number), [*rule.called.values()], rule.gives)
    return f"the division by {text}" if text and name == "divide" else text


def _size(value: Tensor, ends: Sequence[Any]) -> float:
    """How large the derivative of a value is with respect to leaves."""
    if value.edge is None:
        return 0.0
    found = backward([(value.edge, _seed(value))], ends, retain_graph=True, create_graph=False)
    return norm(np.array([norm(gradient.array) for _, gradient in found]))


def _seed(value: Tensor) -> Tensor:
    """A cotangent without round numbers: with ones, 8 * 1 - 4 * 2 would be 0."""
    return Tensor(np.sqrt(np.linspace(2.0, 3.0, value.size)).astype(value.dtype).reshape(value.shape))


class Segment:
    """The operations between two neighbours on a path: a place, and the target that it was computed from."""

    def __init__(self, rerun: Rerun, place: Place, target: Place) -> None:
        self.rerun, self.place, self.target = rerun, place, target
        into = by_target(rerun.tape.edges)
        back = walk([place[0]], lambda n: [e.source for e in into[n] if e.flow == "kept" and e.source > target[0]])
        between = {target[0]}
        for number in sorted(back):
            if any(edge.flow == "kept" and edge.source in between for edge in into[number]):
                between.add(number)
        self.into = {number: into[number] for number in sorted(between - {target[0]})}
        read = {edge.place for edges in self.into.values() for edge in edges if edge.source not in between}
        self.zeros = [zero for zero in sorted(read) if rerun.tape.output(zero).norm == 0]

    def to_blame(self) -> list[Place]:
        """The values of 0 without which the derivative would not be 0: each of them alone, or else those that must go
        together; none if nothing of the kind is to blame.
        """
        sizes = {zero: self._flow([zero]) for zero in self.zeros}
        alone = [zero for zero, size in sizes.items() if size > ROUNDING * max(sizes.values())]
        if alone or not self._flow(self.zeros):
            return alone
        return [zero for zero in self.zeros if not self._flow([other for other in self.zeros if other != zero])]

    def flows(self) -> bool:
        """Whether the place changes with the target."""
        return self._flow(()) > 0

    def flat(self) -> int | None:
        """The operation whose own slope is 0: the number of its node."""
        slopes = self._slopes(())
        for number in reversed(self.into):
            ahead = any(slope.any() for place, slope in slopes.items() if place[0] == number)
            read = [edge.place for edge in self.into[number] if edge.flow == "kept"]
            if ahead and not any(slopes[place].any() for place in read if place in slopes):
                return number
        return None

    def _flow(self, ones: Collection[Place]) -> float:
        """How large the derivative is, with some of the values at 1."""
        return norm(self._slopes(ones)[self.target])

    def _slopes(self, ones: Collection[Place]) -> dict[Place, np.ndarray]:
        """The derivatives of the place with respect to the target and all between, with some of the values at 1."""
        rerun, made = self.rerun, {self.target: leaf(Tensor(self.rerun.tensors[self.target].array))}
        with recording(), unwatched():
            for number, edges in self.into.items():
                operands = []
                for edge in edges:
                    array = rerun.tensors[edge.place].array
                    array = np.ones_like(array) if edge.place in ones else array
                    array = array if edge.cut is None else array.astype(rerun.program.dtypes[edge.cut], copy=False)
                    passes = edge.flow == "kept" and edge.place in made
                    operands.append(made[edge.place] if passes else Tensor(array))
                op, call, _ = rerun.program.calls[number]
                made.update({(number, n): output for n, output in enumerate(apply(op, operands, call))})
            output = made[self.place]
            ends = {place: tensor.edge for place, tensor in made.items() if tensor.edge is not None}
            seeds = [(ends[self.place], _seed(output))]
            found = backward(seeds, [*ends.values()], retain_graph=False, create_graph=False)
        slopes = {place: np.zeros(()) for place in ends}
        return slopes | {[*ends][n]: gradient.array for n, gradient in found}
