"""A linter for graphs: what is wrong in a recording, where, and what to do.

A rule is a function from a graph to findings. It would rather be silent than wrong: it reports what the recording
shows, and nothing that a longer one might.
"""

from __future__ import annotations

import ast
import linecache
import math
import os
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from ..optim.ranges import ends, in_range, kept_inside
from ..plain import count, short
from .findings import Finding, Findings, finding
from .finite import not_finite
from .graph import Graph
from .growth import growing
from .records import Cut, Edge, Node, Output, Place, Recording, walk
from .text import shorten


def check(tape: Recording) -> Findings:
    """Look for mistakes in a recording: each finding says where, what, and what to do. RULES lists the rules.

    Check after the block of `th.record()`, when it is known what is kept.
    """
    graph = Graph(tape)
    counts = f"{count(tape.steps, 'step')}, {count(len(tape.nodes), 'node')} and {count(len(tape.cuts), 'cut')}"
    return Findings([found for rule in RULES for found in rule(graph)], counts)


def unreached(graph: Graph) -> Iterator[Finding]:
    """No loss depends on a hyperparameter that requires a gradient, though one was computed after it was there."""
    if graph.tape.steps < 2:
        return
    losses = {number for number, _ in graph.losses} | {n.number for n in graph.nodes if _may_be_loss(graph, n)}
    for name, _, places in _hyperparameters(graph):
        own = {number for number, _ in places if graph.nodes[number].kind != "constant"}
        if any(_requires_gradient(graph, number) for number in own) and max(losses, default=-1) > min(own):
            reached = graph.forward(own)
            reached |= graph.forward(node.number for made, node in _replaced(graph) if made.number in reached)
            if not reached & losses:
                yield _unreached(graph, name, own, reached)


def _requires_gradient(graph: Graph, number: int) -> bool:
    """Whether a value has a graph, or was made a leaf later: then it is read along kept edges, or cut from them."""
    kept = any(edge.flow == "kept" for edge in graph.readers(number))
    return kept or graph.nodes[number].serial is not None or any(c.source == number and c.severed for c in graph.cuts)


def _may_be_loss(graph: Graph, node: Node) -> bool:
    """Whether a node made a single number, with a graph, that nothing reads, and that has no other name."""
    output = node.outputs[0]
    unread = output.value is not None and output.label is None and not graph.readers(node.number)
    return unread and not node.sweep and any(edge.flow == "kept" for edge in graph.into[node.number])


def _hyperparameters(graph: Graph) -> Iterator[tuple[str, str, list[Place]]]:
    """For each hyperparameter, what it is called here, its own name, and its values."""
    for name, places in graph.places.items():
        if name.role == "hyperparameter":
            yield graph.title(name), name.name, places


def _unreached(graph: Graph, name: str, own: set[int], reached: set[int]) -> Finding:
    moving = _moving(graph, own)
    readers = [edge for number in sorted(reached) for edge in graph.readers(number) if edge.target not in moving]
    stop = next((edge for flow in ("cut", "value") for edge in readers if edge.flow == flow), None)
    at: Node | Cut = graph.nodes[min(own) if stop is None else stop.target]
    if stop is None:
        advice = f"use {name} in a rule that makes what a loss depends on, or do not tune it"
    elif stop.cut is None:
        advice = f"{name} is read where no gradient is recorded: use the tensor itself, outside no_grad()"
    elif stop.source in own:
        advice = "remove this detach: a hyperparameter must not be cut"
    else:
        advice = f"this detach comes after {name} was used: cut what the rule reads, not what it returns"
    if stop is not None and stop.cut is not None:
        at = graph.cuts[stop.cut]
    what = f"no gradient ever reaches {name}: no loss depends on {name} along kept edges"
    stops = [] if stop is None else [stop]
    edges = [graph.edge_numbers[edge.target, edge.operand] for edge in stops]
    return finding("unreached hyperparameter", name, at, what, advice, sorted(own), edges, _cuts(stops))


def _moving(graph: Graph, own: Iterable[int]) -> set[int]:
    """The operations by which a hyperparameter is moved from one step to the next, and its values."""

    def before(number: int) -> Iterator[int]:
        for edge in graph.into[number]:
            source = graph.nodes[edge.source]
            if source.kind == "operation" and not source.sweep and graph.label(edge.place) is None:
                yield edge.source

    return set(walk(own, before))


def idle(graph: Graph) -> Iterator[Finding]:
    """A `detach` in the user's code of a value that never has a graph, over two steps; or one whose result is lost.

    The detach of a gradient is not a finding: the gradient has a graph as soon as someone writes create_graph=True.
    """
    lines: dict[tuple[str, int], list[Cut]] = defaultdict(list)
    for cut in graph.cuts:
        if cut.reason != "copy" and "/" not in shorten(cut.file):  # no file of the package
            lines[cut.file, cut.line].append(cut)
    for (file, line), cuts in lines.items():
        name = graph.name(cuts[0].place)
        if not any(cut.targets for cut in cuts) and line in _lost_detaches(file):
            what = f"the result of this detach of {name} is not used, and {name} itself is not cut"
            advice = "use the result, as in x = x.detach(), or remove the detach"
        elif len({cut.step for cut in cuts}) > 1 and not any(_matters(graph, cut) for cut in cuts):
            what = f"this detach of {name} has no effect: the value that it cuts never has a graph"
            advice = "remove it, or cut a value that has a graph"
        else:
            continue
        for cut in cuts:
            yield finding("idle detach", f"{file}:{line}", cut, what, advice, cuts=[cut.number])


def _matters(graph: Graph, cut: Cut) -> bool:
    """Whether a cut stops a gradient, or guards against one: what it cuts is itself a gradient."""
    source, label = graph.nodes[cut.source], graph.label(cut.place)
    return cut.severed or source.kind == "gradient" or source.sweep or (label is not None and label.role == "gradient")


@cache
def _lost_detaches(file: str) -> frozenset[int]:
    """The lines of a file that consist of a call of `detach`, whose result is lost."""
    if file not in linecache.cache and not (file.endswith(".py") and os.path.isfile(file)):
        return frozenset()  # a recording from elsewhere may name any file, and a device never ends
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    calls = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return frozenset(
        line
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "detach"
        for line in range(call.lineno, (call.end_lineno or call.lineno) + 1)
    )


def recorded_in_vain(graph: Graph) -> Iterator[Finding]:
    """The gradients of a line with create_graph=True are only ever cut; in a window of the horizon they are not."""
    if graph.tape.horizon != 1:
        return
    lines: dict[tuple[str, int], list[Node]] = defaultdict(list)
    for node in graph.nodes:
        if node.kind == "gradient" and _recorded(graph, node):
            lines[node.file, node.line].append(node)
    differentiated = _differentiated(graph)
    for (file, line), nodes in lines.items():
        readers = [edge for node in nodes for edge in graph.readers(node.number)]
        cut = {edge.source for edge in readers if edge.flow == "cut"}
        if len({graph.nodes[n].step for n in cut}) < 2 or any(edge.flow != "cut" for edge in readers):
            continue
        if any(first <= node.number <= last for node in nodes for first, last in differentiated):
            continue
        for node in (node for node in nodes if node.number in cut):
            name, cuts = graph.name((node.number, 0)), _cuts(graph.readers(node.number))
            what = f"create_graph=True records the graph of {name}, but {name} is cut wherever it is used"
            advice = "leave create_graph=True out, or, if you need its derivative, do not cut the gradient"
            yield finding("gradient recorded in vain", f"{file}:{line}", node, what, advice, [node.number], cuts=cuts)


def _recorded(graph: Graph, node: Node) -> bool:
    """Whether the backward pass that left a gradient recorded it; the one that it was added to may have been, alone."""
    made = [edge.source for edge in graph.into[node.number] if edge.flow == "kept"]
    sums = [n for n in made if any(graph.nodes[edge.source].kind == "gradient" for edge in graph.into[n])]
    own = [edge for n in sums for edge in graph.into[n] if graph.nodes[edge.source].kind != "gradient"]
    return len(made) > len(sums) or any(edge.flow == "kept" for edge in own)


def _cuts(edges: Iterable[Edge]) -> list[int]:
    return [edge.cut for edge in edges if edge.cut is not None]


def _differentiated(graph: Graph) -> list[tuple[int, int]]:
    """From where to where one backward pass reads what another made, because it differentiates it."""
    gradients = [node.number for node in graph.nodes if node.kind == "gradient"]
    return [
        (edge.source, edge.target)
        for edge in graph.tape.edges
        if graph.nodes[edge.source].sweep
        and graph.nodes[edge.target].sweep
        and bisect(gradients, edge.source) != bisect(gradients, edge.target)
    ]


def out_of_range(graph: Graph) -> Iterator[Finding]:
    """A hyperparameter outside its range, or there at the next step if it changes as it did at the last.

    The lower end belongs to a range, as 0 turns most things off; the upper end does not: a momentum of 1 never forgets.
    """
    for name, own, places in _hyperparameters(graph):
        values = [_meaning(graph.tape.output(place)) for place in places]
        outside = [(place, value, span) for place, (value, span, _) in zip(places, values) if not in_range(value, span)]
        for place, value, span in outside:
            node = graph.tape.node(place)
            what = f"{graph.name(place)} is {short(value)}, outside its range from {ends(span)}"
            advice = f"give {name} a value in the range" if node.kind == "constant" else kept_inside(own, span)
            yield finding("hyperparameter out of range", name, node, what, advice, [node.number])
        if outside or not _moved(graph, places[-2:]) or not all(linear for _, _, linear in values[-2:]):
            continue
        (before, _, _), (now, span, _) = values[-2:]
        then = now + (now - before)
        if not in_range(then, span):
            what = (
                f"{graph.name(places[-1])} went from {short(before)} to {short(now)}; one more such change would take "
                f"it to {short(then)}, outside its range from {ends(span)}"
            )
            rule, node = "hyperparameter about to leave its range", graph.tape.node(places[-1])
            yield finding(rule, name, node, what, kept_inside(own, span), [node.number])


def moved_twice(graph: Graph) -> Iterator[Finding]:
    """One step makes several values of a hyperparameter, as in a loop over the parameters."""
    for name, _, places in _hyperparameters(graph):
        made: dict[int, list[Node]] = defaultdict(list)
        for number, _ in places:
            if graph.nodes[number].kind == "operation":
                made[graph.nodes[number].step].append(graph.nodes[number])
        for nodes in made.values():
            if len(nodes) > 1:
                what = f"one step moves {name} {len(nodes)} times: only what the last value moved is in its gradient"
                advice = f"move {name} once a step, before the loop over the parameters that it moves"
                numbers = [node.number for node in nodes]
                yield finding("hyperparameter moved twice", name, nodes[0], what, advice, numbers)


def values_assigned(graph: Graph) -> Iterator[Finding]:
    """A computed tensor was given other values: its graph is still that of the old ones."""
    for made, node in _replaced(graph):
        what = f"the result of {made.op} was given other values (x.data = ...); gradients are still of the old ones"
        advice = "compute the new values by operations, so that they have a graph of their own"
        yield finding("values assigned", f"{made.file}:{made.line}", made, what, advice, (made.number, node.number))


def _replaced(graph: Graph) -> list[tuple[Node, Node]]:
    """What operations made, each with what took its place: the same tensor with other values."""
    made = {node.serial: node for node in graph.nodes if node.kind == "operation" and node.serial is not None}
    earlier = [node for node in graph.nodes if node.kind == "earlier" and not node.sweep]
    return [(made[node.serial], node) for node in earlier if node.serial in made]


def _moved(graph: Graph, places: list[Place]) -> bool:
    """Whether the second of two values was made of the first."""
    if len(places) < 2:
        return False
    moving = _moving(graph, [places[1][0]])
    return any(edge.target in moving for edge in graph.readers(places[0][0]))


def _meaning(output: Output) -> tuple[float, tuple[float, float], bool]:
    """The number that a user sees, its range, and whether its coordinate is linear, so that it can leave the range."""
    label, value = output.label, math.nan if output.number is None else output.number
    if label is None or label.range is None:
        return value, (-math.inf, math.inf), True
    return value, label.range, label.coordinate is None


RULES: tuple[Callable[[Graph], Iterator[Finding]], ...] = (
    not_finite, growing, unreached, moved_twice, values_assigned, out_of_range, recorded_in_vain, idle,
)  # fmt: skip
