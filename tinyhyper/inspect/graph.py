"""A tape to be asked: its values by name, and the ways between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .names import Names
from .records import STRENGTH, Cut, Edge, Flow, Label, Place, Recording, by_target
from .text import short, shorten


class Link(NamedTuple):
    """Two named values with none between them on the way. flow: kept, or what stops the gradient."""

    source: Place
    target: Place
    flow: Flow


class Graph:
    """The values and edges of a tape. into: by node, the edges of its operands."""

    def __init__(self, tape: Recording) -> None:
        self.tape, self.names = tape, Names(tape)
        self.into = by_target(tape.edges)
        self.losses = {node.loss for node in tape.nodes if node.loss is not None}

    def name(self, place: Place) -> str:
        """What `print(tape)` calls a value."""
        return self.names.any(*place)

    def label(self, place: Place) -> Label | None:
        return self.tape.output(place).label

    def number(self, place: Place) -> float | None:
        """The number that a user sees, or the norm of an array."""
        output = self.tape.output(place)
        return output.norm if output.number is None else output.number

    def find(self, name: str) -> list[Place]:
        """The values of a name, oldest first. Raises ArgumentError as `Names.find`."""
        return self.names.find(name)

    def sources(self, place: Place) -> list[Edge]:
        """The edges that a value is computed from: all of its node's, but those that this output does not depend on."""
        depends = self.tape.nodes[place[0]].depends
        edges = self.into[place[0]]
        return edges if depends is None else [edge for edge in edges if edge.operand in depends[place[1]]]

    def behind(self, starts: Iterable[Place], flows: tuple[str, ...]) -> set[Place]:
        """The values that some depend on along edges of some flows, and the values themselves."""
        found, waiting = set(), list(starts)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += [(edge.source, edge.output) for edge in self.sources(place) if edge.flow in flows]
        return found

    def links(self, target: Place) -> list[Link]:
        """The nearest named values that a value was computed from, through whatever has no name."""
        found: dict[tuple[Place, Flow], Link] = {}
        seen = set()
        waiting: list[tuple[Place, Flow]] = [(target, "kept")]
        while waiting:
            here, so_far = waiting.pop()
            for edge in self.sources(here):
                flow: Flow = max(so_far, edge.flow, key=STRENGTH.__getitem__)
                place = edge.source, edge.output
                if self.names.known(*place) is not None:
                    found.setdefault((place, flow), Link(place, target, flow))
                elif (place, flow) not in seen:
                    seen.add((place, flow))
                    waiting.append((place, flow))
        return list(found.values())

    def gradient(self, place: Place) -> Place | None:
        """The last gradient that a backward pass left in a value's `.grad`, as a place; None if none did."""
        found = [node.number for node in self.tape.nodes if node.kind == "gradient" and node.of == place]
        return (found[-1], 0) if found else None

    def cut_name(self, cut: Cut) -> str:
        """What a cut stopped, with its reason."""
        return f"{self.name((cut.source, cut.output))}{f' ({cut.reason})' if cut.reason else ''}"

    def line(self, file: str, line: int) -> str:
        return f"{shorten(file)}:{line}"


def amount(value: float | None) -> str:
    """A number in few digits, or a dash for what is not known."""
    return "–" if value is None else short(value)
