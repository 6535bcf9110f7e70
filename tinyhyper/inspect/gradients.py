"""Questions about gradients: where they are cut, which way they came, why one is zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..kernels.finite import norm
from .answers import Answer, picture
from .ghosts import Rerun, arrived, ghosts_of, size
from .graph import Graph, amount
from .paths import Part, Paths
from .records import Cut, Place, Recording

ARROW = " → "


def cuts(tape: Recording) -> Answer:
    """Which edges are cut, where in the code and why: one row a reason and line, with what it cut in the last step."""
    graph = Graph(tape)
    groups: dict[tuple[str, str], list[Cut]] = {}
    for cut in tape.cuts:
        groups.setdefault((cut.reason or "no reason given", graph.line(cut.file, cut.line)), []).append(cut)
    rows = []
    for (reason, line), found in groups.items():
        last = [graph.name((cut.source, cut.output)) for cut in found if cut.step == found[-1].step]
        rows.append((reason, line, len(found), sum(cut.severed for cut in found), ", ".join(dict.fromkeys(last))))
    lines = len({line for _, line in groups})
    text = (
        f"{count(len(tape.cuts), 'cut')} made by {count(lines, 'line')} of code. A value passes through a cut, a "
        "gradient does not; where no graph was behind the value, there was nothing to stop."
    )
    columns = ("reason", "line", "cuts", "stopped a graph", "the last were")
    return Answer("Which edges are cut, where and why?", text, columns, rows, draw=picture(tape))


def paths(tape: Recording, of: str, limit: int = 20) -> Answer:
    """Which ways a gradient came, and how much along each; the parts add up to the whole.

    of: a hyperparameter, "alpha", at the last step where it got a gradient; or "alpha[2]" at a step.
    limit: about how many ways to list. Raises ArgumentError for an unknown name, GraphError without ghosts.
    """
    graph = Graph(tape)
    place = _asked(graph, of)
    gradient = graph.gradient(place)
    if gradient is None:
        return why_zero(tape, of)
    ways = Paths(tape, limit)
    losses = ways.losses(gradient)
    parts = sorted((p for loss in losses for p in ways.parts(place, loss)), key=lambda p: -abs(size(p.value)))
    brought = _brought(parts)
    rows = [(_way(graph, part), value, _share(value, sum(brought))) for part, value in zip(parts, brought)]
    name = graph.name(place)
    text = _came(graph, place, gradient, losses, parts) if parts else _from_before(graph, name, gradient)
    drawing = picture(tape, parts[0].through if parts else (), (), text.split(". ")[0] + ".")
    question = f"Why does {name} get a gradient, and along which ways?"
    return Answer(question, text, ("way", "brings", "share"), rows, "brings", drawing)


def why_zero(tape: Recording, of: str) -> Answer:
    """Why a hyperparameter's gradient is zero or missing: no way, a way that is cut, or a product that is 0.

    of: as in `paths`. Raises ArgumentError for an unknown name, with the names there are.
    """
    graph = Graph(tape)
    place = _asked(graph, of, zero=True)
    name, gradient = graph.name(place), graph.gradient(place)
    question = f"Why is the gradient of {name} zero?"
    if gradient is None and tape.node(place).kind != "constant":
        return _unreached(graph, question, place)
    if gradient is None:
        text = f"{name} is a constant: no level above tunes it, so no gradient is asked for."
    elif graph.number(gradient) == 0:
        return _numerically(graph, question, place, gradient)
    else:
        text = f"It is not zero: backward() left {amount(graph.number(gradient))} in the .grad of {name}."
    return Answer(question, text, draw=picture(tape, [place], (), text))


def ghosts(tape: Recording) -> Answer:
    """What would have flowed on through each cut, the largest first. Raises GraphError without ghosts."""
    if all(cut.ghost is None for cut in tape.cuts):
        ghosts_of(tape)
    graph = Graph(tape)
    found = sorted((cut for cut in tape.cuts if cut.ghost is not None), key=lambda cut: -abs(cut.ghost or 0.0))
    rows = [
        (cut.number, cut.step, graph.name((cut.source, cut.output)), cut.reason, cut.ghost, cut.severed)
        for cut in found
    ]
    text = "No backward pass came to a cut."
    if found:
        largest = found[0]
        text = (
            f"A gradient of {amount(largest.ghost)} ended at cut {largest.number}, at {graph.cut_name(largest)}: the "
            f"largest of {len(found)}. {count(len(tape.cuts) - len(found), 'cut')} had no loss after them."
        )
    columns = ("cut", "step", "of", "reason", "ended here", "a graph was behind")
    return Answer("What would have flowed through the cuts?", text, columns, rows, "ended here")


def without(tape: Recording, cut: Cut | int) -> Answer:
    """What every gradient would be without one cut, all others as they are. cut: it, or its number.

    Raises GraphError without ghosts, ArgumentError for a number that no cut has.
    """
    graph, made = Graph(tape), tape.cut_of(cut)
    before, after = arrived(Rerun(tape)).places, arrived(Rerun(tape, opened={made.number})).places
    rows = []
    for place in sorted(after):
        old, new, node = before.get(place), after[place], tape.node(place)
        if old is not None and np.array_equal(old, new, equal_nan=True):
            continue
        name = graph.names.known(*place)
        if name is None and node.kind == "leaf":
            name = f"leaf of {graph.line(node.file, node.line)}"
        if name is not None:
            rows.append((name, None if old is None else size(old), size(new)))
    changed = "changes no gradient" if not rows else f"changes {count(len(rows), 'gradient')}"
    text = f"Without the cut of {graph.cut_name(made)} at step {made.step}, the same run {changed}."
    if not made.severed:
        text += " No graph was behind the value that it cut."
    drawing = picture(tape, (), [made.number], text)
    return Answer(
        f"What if cut {made.number} were not made?", text, ("gradient by", "with it", "without it"), rows, draw=drawing
    )


def _asked(graph: Graph, of: str, zero: bool = False) -> Place:
    """The value that is meant: the last with a gradient (with one that is 0, if there is), or else the last."""
    places = graph.find(of)
    graded = [(place, graph.gradient(place)) for place in places]
    if zero:
        nothing = [place for place, gradient in graded if gradient is not None and graph.number(gradient) == 0]
        return (nothing or places)[-1]
    return next((place for place, gradient in reversed(graded) if gradient is not None), places[-1])


def _numerically(graph: Graph, question: str, place: Place, gradient: Place) -> Answer:
    """A gradient came, and it is 0: because of what each way multiplied."""
    tape, name, loss = graph.tape, graph.name(place), graph.tape.node(gradient).loss
    text = f"There is a way, and what came along it is 0: backward() left {amount(graph.number(gradient))} for {name}."
    if tape.program is None or loss is None:
        text += " Record with ghosts=True to see where it became 0."
        return Answer(question, text, draw=picture(tape, [place], (), text))
    parts = Paths(tape).parts(place, loss)
    if any(size(part.value) for part in parts):
        text = f"The parts that came to {name} cancel each other."
    rows = [(_way(graph, part), size(part.value), _because(graph, part)) for part in parts]
    drawing = picture(tape, parts[0].through if parts else [place], (), text)
    return Answer(question, text, ("way", "brings", "because"), rows, draw=drawing)


def _because(graph: Graph, part: Part) -> str:
    """Why the part of one way is 0: a cotangent on it that is, or an operand that multiplies it."""
    if size(part.value):
        return ""
    for place in part.through[1:-1]:
        if graph.tape.output(place).gradient == 0:
            return f"the gradient by {graph.name(place)} is 0 already"
    reader = part.through[-2]
    zeros = [
        graph.name((edge.source, edge.output))
        for edge in graph.into[reader[0]]
        if graph.tape.nodes[edge.source].outputs[edge.output].norm == 0
    ]
    return f"{graph.tape.node(reader).op} read {', '.join(dict.fromkeys(zeros))} = 0" if zeros else "a factor is 0"


def _stopping(graph: Graph, place: Place) -> list[Cut]:
    """The first cuts on the ways from a value to the losses."""
    readers: dict[Place, list[Any]] = {}
    for edge in graph.tape.edges:
        readers.setdefault((edge.source, edge.output), []).append(edge)
    before = graph.behind(graph.losses, ("kept", "value", "cut"))
    nodes = {number for number, _ in before}
    seen, waiting, found = set(), [place], []
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for edge in readers.get(here, []):
            if edge.flow == "cut" and edge.target in nodes and edge.cut is not None:
                found.append(graph.tape.cuts[edge.cut])
            elif edge.flow == "kept":
                outputs = range(len(graph.tape.nodes[edge.target].outputs))
                waiting += [(edge.target, n) for n in outputs if edge in graph.sources((edge.target, n))]
    return list({cut.number: cut for cut in found}.values())


def _unreached(graph: Graph, question: str, place: Place) -> Answer:
    """No gradient came to a value: each way is cut, or there is none."""
    name, stopping = graph.name(place), _stopping(graph, place)
    if place in graph.behind(graph.losses, ("kept",)):
        text = (
            f"A loss depends on {name} along kept edges, and no backward pass has come to it yet. In a window of the "
            "horizon the hypergradient is gathered when the window ends; where it never ends, by a plain backward()."
        )
        stopping = []
    elif stopping:
        text = f"Every way from a loss back to {name} is cut: by {', '.join(map(graph.cut_name, stopping))}."
    elif place in graph.behind(graph.losses, ("kept", "value")):
        text = f"A loss depends on {name}, through an operation that recorded no gradient (no_grad, a plain backward)."
    elif not any(loss > place for loss in graph.losses):
        text = f"There is no way yet: no loss was computed after {name} was there."
    else:
        text = (
            f"There is no way: no loss was computed from anything that {name} took part in. The step that reads it "
            "moves the weights, and only a loss of those weights depends on it."
        )
    rows = [
        (graph.name((cut.source, cut.output)), cut.reason, graph.line(cut.file, cut.line), cut.ghost)
        for cut in stopping
    ]
    drawing = picture(graph.tape, [place], [cut.number for cut in stopping], text)
    return Answer(question, text, ("cut", "reason", "line", "gradient that ended there"), rows, draw=drawing)


def _came(graph: Graph, place: Place, gradient: Place, losses: Sequence[Place], parts: Sequence[Part]) -> str:
    """In words: from which losses a gradient came, through what, and what was cut beside the ways."""
    name, start = graph.name(place), ", ".join(map(graph.name, losses))
    total = size(sum((part.value for part in parts), np.zeros(())))
    ways, left = sum(part.ways for part in parts), graph.number(gradient)
    text = f"{start} reach{'es' if len(losses) == 1 else ''} {name} along {count(ways, 'way')} without a cut; "
    text += f"together {'they bring' if ways > 1 else 'it brings'} {amount(total)}. "
    text += f"backward() left {amount(left)} in its .grad."
    if left is not None and not np.isclose(left, total, 1e-6, 1e-12):
        text += " That is more than this loss brought: .grad adds up what several passes bring."
    between = sorted({place for part in parts for place in part.through[1:-1]})
    if between:
        text += f" {name} reaches {listed(map(graph.name, between))}."
    nodes = {number for number, _ in between}
    beside = [graph.cut_name(cut) for cut in graph.tape.cuts if nodes & set(cut.targets)]
    return f"{text} Cut beside the ways: {listed(beside)}." if beside else text


def _from_before(graph: Graph, name: str, gradient: Place) -> str:
    """In words: a gradient came, and its ways are not in the recording."""
    return (
        f"backward() left {amount(graph.number(gradient))} in the .grad of {name}, and no way from a loss to it is in "
        "this recording: the loss was computed before it began. Record from the forward pass on to see the ways."
    )


def _brought(parts: Sequence[Part]) -> list[float]:
    """What each part adds to the whole; of arrays, along the direction of the whole."""
    whole = sum((part.value for part in parts), np.zeros(()))
    if not whole.ndim:
        return [float(part.value) for part in parts]
    direction = whole / (norm(whole) or 1.0)
    return [float(np.vdot(part.value, direction)) for part in parts]


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names in one sentence, each once, the first few of them."""
    once = list(dict.fromkeys(names))
    return ", ".join(once[:most]) + (f" and {len(once) - most} more" if len(once) > most else "")


def _way(graph: Graph, part: Part) -> str:
    names = [graph.name(place) for place in part.through]
    if part.ways > 1:
        names.insert(-1, f"({part.ways} ways)")
    return ARROW.join(names)


def _share(part: float, total: float) -> str:
    return f"{100 * part / total:.3g} %" if total else "–"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
