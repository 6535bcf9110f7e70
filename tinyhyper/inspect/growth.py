"""Does the graph grow from step to step, and through which edge? Two ways to make it: a cut that is missing in what
goes on from step to step, or values with graphs that the user's own code holds, such as a list of losses."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Finding, Reading
from .names import named
from .records import Edge, Label, Node, Place

RULE = "growing graph"


def growing(graph: Reading) -> Iterator[Finding]:
    """Over the last three windows of the horizon (steps, where it is 1), ever more old nodes are still there."""
    window, ends = graph.horizon, min(len(graph.tape.ends), graph.tape.steps)
    if window is None or ends < 2 * window + 1:
        return
    last = _old(graph, ends, window)
    if not _old(graph, ends - 2 * window, window) < _old(graph, ends - window, window) < last:
        return
    alive = {node.number for node in graph.nodes if _alive(graph, node, ends)}
    sizes = [
        sum(_alive(graph, node, end) for node in graph.nodes) for end in range(ends - 2 * window, ends + 1, window)
    ]
    length = "steps" if window == 1 else f"windows of {window} steps"
    grown = f"and {', '.join(map(str, sizes))} nodes were kept after the last three {length}"
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
        yield _held(graph, number, grown)


def _alive(graph: Reading, node: Node, end: int) -> bool:
    return node.until is not None and node.until >= end and node.number < graph.tape.ends[end - 1]


def _old(graph: Reading, end: int, window: int) -> set[int]:
    """What is there at the end of a step though made before the window, and before the loss, that led to it."""
    return {node.number for node in graph.nodes if node.step < end - window and _alive(graph, node, end)}


def _values(graph: Reading, young: set[int]) -> list[int]:
    """What may go on from step to step: the newest values with labels; then, those that nothing reads."""
    labelled = [number for number in young if _label(graph, number) is not None]
    unread = [
        number
        for number in young
        if not graph.nodes[number].sweep and not any(edge.target in young for edge in graph.readers(number))
    ]
    return sorted(labelled, reverse=True) + sorted(set(unread) - set(labelled), reverse=True)


def _label(graph: Reading, number: int) -> Label | None:
    return next((out.label for out in graph.nodes[number].outputs if out.label is not None), None)


def _entries(graph: Reading, number: int) -> Iterator[Edge]:
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


def _on_purpose(graph: Reading, edge: Edge, value: int) -> bool:
    """The edge that towers are made of: from a hyperparameter to what it moves."""
    source, target = graph.tape.output((edge.source, edge.output)).label, _label(graph, value)
    if source is None or target is None or source.role != "hyperparameter":
        return False
    return target.role != "hyperparameter" or target.level < source.level


def _missing_cuts(graph: Reading, edge: Edge, value: int, alive: set[int], grown: str) -> Iterator[Finding]:
    """The edge without a cut, and those like it in the steps before."""
    subject = _kind(graph, value), _kind(graph, edge.source)
    for number in sorted(alive):
        if _kind(graph, number) != subject[0] or number > value:
            continue
        for found in _entries(graph, number):
            if _kind(graph, found.source) == subject[1] and graph.nodes[found.source].kind != "leaf":
                name, source = _called(graph, (number, 0)), _called(graph, (found.source, found.output))
                node = graph.nodes[number]
                yield Finding(
                    RULE,
                    f"{subject[0]} ← {subject[1]}",
                    node.step,
                    node.file,
                    node.line,
                    f"{name} is computed from {source} along a kept edge, {grown}",
                    f"detach {source} where {name} is computed, unless gradients are to flow back through every step",
                    nodes=(found.source, number),
                    edges=(graph.edge_numbers[found.target, found.operand],),
                )


def _kind(graph: Reading, number: int) -> str:
    """What a value is, whatever its step."""
    node, label = graph.nodes[number], _label(graph, number)
    return f"{node.op or node.kind}:{node.line}" if label is None else f"{label.role} {graph.names.title(named(label))}"


def _called(graph: Reading, place: Place) -> str:
    """A value's name, or its operation and step."""
    return graph.names.known(*place) or f"{graph.name(place)} of step {graph.tape.node(place).step}"


def _held(graph: Reading, number: int, grown: str) -> Finding:
    node, name = graph.nodes[number], _called(graph, (number, 0))
    return Finding(
        RULE,
        f"held {node.op}:{node.file}:{node.line}",
        node.step,
        node.file,
        node.line,
        f"{name} is still there with its graph, though nothing goes on from it, {grown}",
        f"your code holds {name}, in a list perhaps: hold its number, .item(), or its values, .detach()",
        nodes=(number,),
    )
