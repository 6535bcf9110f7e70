"""A recording as a graph: its values by name, what reads them, and what they were computed from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ..finite import norm
from ..plain import NOUGHT, Printed, short
from .names import Names
from .records import STRENGTH, Cut, Edge, Flow, Label, Place, Recording, by_target, walk
from .terms import Terms


class Link(NamedTuple):
    """A path between two named values without another between them. flow: kept, or what stops the gradient."""

    source: Place
    target: Place
    flow: Flow


def flow_in(tape: Recording, edge: Edge) -> Flow:
    """What an edge does to gradients. At a gate, that of the loss which reads the value stops, and no later loss's."""
    gate = edge.flow == "kept" and edge.place in tape.gates and not tape.nodes[edge.target].sweep
    return "gate" if gate else edge.flow


def flow_of(tape: Recording, edge: Edge, opened: Collection[int]) -> Flow | Literal["asked"]:
    """What an edge does to gradients if some cuts are left out. opened: their numbers."""
    if edge.cut is None or edge.cut not in opened:
        return flow_in(tape, edge)
    return "asked" if tape.cuts[edge.cut].severed else "value"


class Graph(Names):
    """The values and edges of a recording.

    into: by node, the edges of its operands.  out: by node, the edges of those that read it.
    edge_numbers: the number of an edge, by target and operand.
    """

    def __init__(self, tape: Recording) -> None:
        super().__init__(tape)
        self.cuts, self.into = tape.cuts, by_target(tape.edges)
        self.out: dict[int, list[Edge]] = defaultdict(list)
        self.edge_numbers: dict[tuple[int, int], int] = {}
        for number, edge in enumerate(tape.edges):
            self.out[edge.source].append(edge)
            self.edge_numbers[edge.target, edge.operand] = number

    @cached_property
    def terms(self) -> Terms:
        return Terms(self.tape, self.into)

    def bound(self, place: Place) -> float:
        """How large a gradient with respect to a hyperparameter may be that is 0 up to rounding."""
        return sum(map(self.terms.rounding, self.gradients(place))) if self.is_hyperparameter(place) else 0.0

    def label(self, place: Place) -> Label | None:
        return self.tape.output(place).label

    def is_hyperparameter(self, place: Place) -> bool:
        """Whether a value is that of a hyperparameter, tuned or not."""
        label = self.label(place)
        return label is not None and label.role == "hyperparameter"

    def scalar(self, place: Place) -> float | None:
        """The number that a user sees; None for an array."""
        of, number = self.tape.node(place).of, self.tape.output(place).number
        if number and of is not None and self.is_hyperparameter(of):
            return Printed(number, NOUGHT) if abs(number) <= self.terms.rounding(place) else number
        return number

    def number(self, place: Place) -> float | None:
        """The number that a user sees, or the norm of an array."""
        value = self.scalar(place)
        return self.tape.output(place).norm if value is None else value

    def waiting(self, place: Place) -> bool:
        """Whether a value is a gradient that is 0 because no loss has sent one yet."""
        label = self.label(place)
        gradient = label is not None and label.role == "gradient" and self.tape.node(place).kind == "constant"
        return gradient and self.tape.output(place).number == 0

    def sources(self, place: Place) -> list[Edge]:
        """The edges that this output of a node depends on."""
        depends = self.nodes[place[0]].depends
        edges = self.into[place[0]]
        return edges if depends is None else [edge for edge in edges if edge.operand in depends[place[1]]]

    def readers(self, number: int) -> list[Edge]:
        """The edges to the readers of a node, but for backward passes, which read what was saved."""
        return [edge for edge in self.out[number] if not self.nodes[edge.target].sweep]

    def behind(self, starts: Iterable[Place], flows: Collection[str]) -> set[Place]:
        """Some values, and those that they depend on along edges of these flows."""
        return set(walk(starts, lambda place: [e.place for e in self.sources(place) if flow_in(self.tape, e) in flows]))

    def back(self, number: int) -> set[int]:
        """A node and all those to which gradients flow from it: what it keeps alive."""
        return set(walk([number], lambda here: [edge.source for edge in self.into[here] if edge.flow == "kept"]))

    def forward(self, numbers: Iterable[int]) -> set[int]:
        """Some nodes, and those from which gradients flow to them."""
        return set(walk(numbers, lambda here: [edge.target for edge in self.readers(here) if edge.flow == "kept"]))

    def links(self, target: Place) -> list[Link]:
        """The nearest named values that a value was computed from, through those without a name."""
        start: tuple[Place, Flow] = target, "kept"

        def ahead(state: tuple[Place, Flow]) -> list[tuple[Place, Flow]]:
            if state != start and self.known(state[0]) is not None:
                return []
            edges = self.sources(state[0])
            return [(edge.place, max(state[1], flow_in(self.tape, edge), key=STRENGTH.__getitem__)) for edge in edges]

        found = [state for state in walk([start], ahead) if state != start]
        return [Link(place, target, flow) for place, flow in found if self.known(place) is not None]

    def gradient(self, place: Place) -> Place | None:
        """The last gradient that a backward pass left in a value's `.grad`, as a place; None if none did."""
        return found[-1] if (found := self.gradients(place)) else None

    def gradients(self, place: Place) -> list[Place]:
        """All that backward passes left there, oldest first."""
        return self._graded.get(place, [])

    @cached_property
    def _graded(self) -> dict[Place, list[Place]]:
        found: dict[Place, list[Place]] = defaultdict(list)
        for node in self.nodes:
            if node.kind == "gradient" and node.of is not None:
                found[node.of].append((node.number, 0))
        return found

    def alike(self, place: Place, old: np.ndarray, new: np.ndarray) -> bool:
        """Whether two gradients with respect to a value are the same, or both 0 up to rounding."""
        if np.array_equal(old, new, equal_nan=True):
            return True
        return max(norm(old), norm(new)) <= self.bound(place)

    def meant(self, place: Place, gradient: float | None) -> float | None:
        """A gradient in the coordinate of a value, as one with respect to the value itself; None where there is none,
        or where no other coordinate is.
        """
        label = self.label(place)
        if gradient is None or label is None or not label.slope:
            return None
        meant = gradient / label.slope
        return Printed(meant, gradient.text) if isinstance(gradient, Printed) else meant

    def left(self, place: Place, gradient: float | None) -> str:
        """What backward() left in the `.grad` of a value, in words; in both coordinates, where there are two."""
        meant, text = self.meant(place, gradient), short(gradient)
        if self.coordinate(place):
            text += f" = ∂loss/∂{self.tuned(place)}"
        return text if meant is None else f"{text} (∂loss/∂{self.known(place)} = {short(meant)})"

    def cut_name(self, cut: Cut) -> str:
        """What a cut stopped, with its reason."""
        return f"{self.name(cut.place)}{f' ({cut.reason})' if cut.reason else ''}"
