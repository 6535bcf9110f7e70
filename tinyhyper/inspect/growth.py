"""Does the graph grow from step to step, and through which edge? It grows in two ways: a cut is missing in what goes
on from step to step, or the user's own code holds values with graphs, such as a list of losses."""

from __future__ import annotations

from collections.abc import Iterator

from ..plain import count
from .findings import Finding, finding
from .graph import Graph
from .names import named
from .records import Edge, Label, Node, Place

RULE = "growing graph"


def growing(graph: Graph) -> Iterator[Finding]:
    """Over the last three windows of the horizon (steps, if it is 1), ever more old nodes are still alive."""
    window, ends = graph.tape.horizon, min(len(graph.tape.ends), graph.tape.steps)
    if window is None or ends < 2 * window + 1:
        return
    last = _old(graph, ends, window)
    if not _old(graph, ends - 2 * window, window) < _old(graph, ends - window, window) < last:
        return
    alive = {node.number for node in graph.nodes if _alive(graph, node, ends)}
    sizes = [
        sum(_alive(graph, node, end) for node in graph.nodes) for end in range(ends - 2 * window, ends + 1, window)
    ]
    length = "steps" if window == 1 else f"windows of {count(window, 'step')}"
    grown = f"and {', '.join(map(str, sizes))} nodes were alive after the last three {length}"
    explained: set[int] = set()
    for value in _values(graph, alive - last):
        for edge in _entries(graph, value):
            held = graph.back(edge.source)
            old = held & last if _label(graph, value) else held & last - explained
            if len({graph.nodes[number].step for number in old}) > 1 and not _on_purpose(graph, edge, value):
                explained |= held
                yield from _missing_cuts(graph, edge, value, alive, grown)
    read = {edge.source for edge in graph.tape.edges if edge.flow == "kept" and edge.target in alive}
    for number in sorted(last - read - explained):
        node, name = graph.nodes[number], _called(graph, (number, 0))
        what = f"{name} is still alive with its graph, though no kept edge leads on from it, {grown}"
        advice = f"your code holds {name}, perhaps in a list: hold its number, x.item(), or its values, x.detach()"
        yield finding(RULE, f"held {node.op}:{node.file}:{node.line}", node, what, advice, [number])


def _alive(graph: Graph, node: Node, end: int) -> bool:
    return node.until is not None and node.until >= end and node.number < graph.tape.ends[end - 1]


def _old(graph: Graph, end: int, window: int) -> set[int]:
    """The nodes alive at the end of a step that are older than its window and than the loss that led to it."""
    return {node.number for node in graph.nodes if node.step < end - window and _alive(graph, node, end)}


def _values(graph: Graph, young: set[int]) -> list[int]:
    """What may go on from step to step: the labelled values, newest first; then those that nothing reads."""
    labelled = [number for number in young if _label(graph, number) is not None]
    unread = [
        number
        for number in young
        if not graph.nodes[number].sweep and not any(edge.target in young for edge in graph.readers(number))
    ]
    return sorted(labelled, reverse=True) + sorted(set(unread) - set(labelled), reverse=True)


def _label(graph: Graph, number: int) -> Label | None:
    return next((out.label for out in graph.nodes[number].outputs if out.label is not None), None)


def _entries(graph: Graph, number: int) -> Iterator[Edge]:
    """The kept edges by which a value comes from an earlier step, or from a gradient."""
    step = graph.nodes[number].step
    met, waiting = {number}, [number]
    while waiting:
        for edge in graph.into[waiting.pop()]:
            source = graph.nodes[edge.source]
            if edge.flow != "kept" or edge.source in met:
                continue
            met.add(edge.source)
            if source.kind == "gradient" or source.sweep or source.step < step:
                yield edge
            elif _label(graph, edge.source) is None:
                waiting.append(edge.source)


def _on_purpose(graph: Graph, edge: Edge, value: int) -> bool:
    """Whether the edge leads from a hyperparameter to what it moves, as in any tower."""
    source, target = graph.label(edge.place), _label(graph, value)
    if source is None or target is None or source.role != "hyperparameter":
        return False
    return target.role != "hyperparameter" or target.level < source.level


def _missing_cuts(graph: Graph, edge: Edge, value: int, alive: set[int], grown: str) -> Iterator[Finding]:
    """The edge without a cut, and those like it in the steps before."""
    subject = _kind(graph, value), _kind(graph, edge.source)
    for number in sorted(alive):
        if _kind(graph, number) != subject[0] or number > value:
            continue
        for entry in _entries(graph, number):
            if _kind(graph, entry.source) == subject[1] and graph.nodes[entry.source].kind != "leaf":
                name, source = _called(graph, (number, 0)), _called(graph, entry.place)
                what = f"{name} is computed from {source} along a kept edge, {grown}"
                todo = f"detach {source} where {name} is computed, unless gradients should flow back through every step"
                nodes, edges = (entry.source, number), [graph.edge_numbers[entry.target, entry.operand]]
                yield finding(RULE, " ← ".join(subject), graph.nodes[number], what, todo, nodes, edges)


def _kind(graph: Graph, number: int) -> str:
    """What a value is, whatever its step."""
    node, label = graph.nodes[number], _label(graph, number)
    return f"{node.op or node.kind}:{node.line}" if label is None else f"{label.role} {graph.title(named(label))}"


def _called(graph: Graph, place: Place) -> str:
    """A value's name, or its operation and step."""
    return graph.known(place) or f"{graph.name(place)} of step {graph.tape.node(place).step}"
