"""Questions about a run: what it keeps alive, what changed, what cost the time, what moved a value, what broke it."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

from ..optim.ranges import bounding, in_range
from .answers import Answer, picture
from .findings import Reading
from .finite import not_finite
from .gradients import ARROW, count, listed
from .graph import Graph, amount
from .memory import alive, nbytes
from .names import LOSS
from .records import Label, Node, Place, Recording

MOST = 3  # edges told in words
NO_FLOW = {"kept": "kept", "cut": "cut", "value": "no gradient"}


def kept_alive(tape: Recording) -> Answer:
    """What each step keeps alive, in nodes and bytes, who holds it, and until when."""
    graph = Graph(tape)
    found = alive(tape)
    rows: list[tuple[Any, ...]] = []
    for now in found:
        last = now.step == len(found)
        untils = {graph.tape.nodes[number].until for number in now.nodes}
        until = "" if not now.nodes else _until(tape, now.step, max(n for n in untils if n is not None))
        held = ", ".join(name or "a tensor without a name, in your code" for name in now.holders)
        rows.append(("at the end" if last else f"step {now.step}", len(now.nodes), now.bytes, held, until))
    text = "Nothing of the graph was alive when the recording ended."
    if found[-1].nodes:
        saved = listed(graph.name(place) for place in found[-1].saved)
        text = (
            f"When the recording ended, {count(len(found[-1].nodes), 'node')} kept {found[-1].bytes} bytes: {saved}. "
        )
        text += "The next backward pass needs them to reach the hyperparameters, and consumes them."
    columns = ("after", "nodes", "bytes", "held by", "until")
    return Answer("What does a step keep alive, and until when?", text, columns, rows, "bytes")


def checkpoint(tape: Recording) -> Answer:
    """What a checkpoint must hold so that the next hypergradient is right: values, and what the live edge saved."""
    graph = Graph(tape)
    at_end = alive(tape)[-1]
    values = [places[-1] for name, places in graph.names.places.items() if name != LOSS]
    live = {number for name, reached in at_end.holders.items() if name is not None for number in reached}
    edge = sorted({place for number in live for place in tape.nodes[number].saved} - set(values))
    rows = [(graph.name(p), str(tape.output(p).shape), nbytes(tape, p), "its value") for p in values]
    rows += [(graph.name(p), str(tape.output(p).shape), nbytes(tape, p), "saved by the live edge") for p in edge]
    held, extra = (sum(nbytes(tape, place) for place in places) for places in (values, edge))
    text = f"Its values: {count(len(values), 'tensor')}, {held} bytes. "
    if live:
        text += (
            "With them alone the first hypergradients after loading are zero: nothing leads from the weights to the "
            f"hyperparameters. The live edge is {count(len(live), 'node')} that saved "
            f"{count(len(edge), 'more array')}, {extra} bytes; a checkpoint that holds them too continues exactly."
        )
    else:
        text += "No edge leads from the weights to a hyperparameter, so nothing else is needed."
    return Answer("What must a checkpoint hold?", text, ("what", "shape", "bytes", "why"), rows, "bytes")


def differences(first: Recording, second: Recording) -> Answer:
    """What changed between two tapes: edges between named values that are kept, cut or absent in one only."""
    graphs = Graph(first), Graph(second)
    for names, other in zip((graph.names for graph in graphs), (graph.names for graph in graphs[::-1])):
        names.unclear |= other.unclear  # what two names are in one recording is told apart in both
    edges = _relations(graphs[0]), _relations(graphs[1])
    both = [key for key in edges[0] if key in edges[1]]
    changed = [key for key in both if edges[0][key] != edges[1][key]]
    alone = [[key for key in mine if key not in other] for mine, other in (edges, edges[::-1])]
    rows = [(*key, edges[0][key], edges[1][key]) for key in changed]
    rows += [(*key, edges[0][key], "–") for key in alone[0]] + [(*key, "–", edges[1][key]) for key in alone[1]]
    text = f"Nothing: the same {len(both)} edges between named values are kept and cut in both."
    if rows:
        text = f"{count(len(changed), 'edge')} of {len(both)} in both differ{'s' if len(changed) == 1 else ''}"
        for key in changed[:MOST]:
            text += f"; {ARROW.join(key)} is {edges[0][key]} in the first and {edges[1][key]} in the second"
        text += f"; and so on for {len(changed) - MOST} more" if len(changed) > MOST else ""
        text += f". {len(alone[0])} are in the first only, {len(alone[1])} in the second only."
    text += f"\n{_sizes(first, second)}."
    columns = ("from", "to", "in the first", "in the second")
    return Answer("What changed between the two?", text, columns, rows, draw=picture(second))


def times(tape: Recording) -> Answer:
    """Which operations cost the time. The first call of a kernel includes its compilation."""
    groups = _durations(tape, _part)
    total = sum(map(sum, groups.values()))
    share = 100 / (total or 1.0)
    ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))
    rows = [(op, part, len(t), 1e6 * median(t), 1e3 * sum(t), share * sum(t)) for (op, part), t in ranked]
    text = f"{count(sum(map(len, groups.values())), 'operation')} took {1e3 * total:.4g} ms."
    if ranked:
        (op, part), most = ranked[0]
        text += f" Most of it, {share * sum(most):.3g} %, went to {op} ({part})."
    return Answer(
        "Which operations cost the time?", text, ("operation", "part", "calls", "median us", "ms", "%"), rows, "%"
    )


def moved(tape: Recording, of: str) -> Answer:
    """Which level moved a value, and by how much at each step.

    of: a name as in `paths`, all its steps. Raises ArgumentError for an unknown name.
    """
    graph = Graph(tape)
    found = [(place, _move(graph, place)) for place in graph.find(of)]
    rows: list[tuple[Any, ...]] = []
    trail: list[Place] = []
    for place, (old, gradient, by) in found:
        if old is not None and gradient is not None:
            numbers = graph.number(old), graph.number(place), _change(graph, old, place), graph.number(gradient)
            rows.append((tape.node(place).step, *numbers, by))
            trail = [gradient, place]
    text = f"Nothing moved {of}: in this recording it was not made of an earlier value and a gradient."
    if rows:
        total = sum(row[3] for row in rows if row[3] is not None)
        text = f"{of} was moved {count(len(rows), 'time')} by {rows[-1][5]}, "
        text += f"from {amount(rows[0][1])} to {amount(rows[-1][2])}"
        text += f" ({total:+.4g} in all)." if rows[0][3] is not None else "; of an array, norms are shown."
    columns = ("step", "from", "to", "change", "gradient", "by")
    return Answer(
        f"Which level moved {of}, and by how much?", text, columns, rows, "change", picture(tape, trail, (), text)
    )


def left_range(tape: Recording, of: str) -> Answer:
    """Why a hyperparameter left the range where it makes sense, an alpha turned negative say, and when."""
    graph = Graph(tape)
    rows, gone, label, low, high = [], None, None, 0.0, 0.0
    for place in graph.find(of):
        label, value = graph.label(place), graph.number(place)
        if label is None or label.range is None or value is None:
            continue
        low, high = label.range
        inside = in_range(value, label.range)
        gone = gone if gone is not None or inside else place
        rows.append((graph.name(place), value, "" if inside else f"outside {low:g} to {high:g}"))
    if gone is None or label is None:
        lost = next((name for name, value, _ in rows if not math.isfinite(value)), None)
        text = (
            f"It did not: {count(len(rows), 'value')} of {of} {'is' if len(rows) == 1 else 'are'} where it makes sense."
        )
        if lost is not None:
            text = f"It was lost: {lost} is not finite. th.inspect.first_nonfinite(tape) tells where that came from."
        if not rows:
            text = (
                f"No range is known for {of}. In steps written by hand, tape.label(..., range=(low, high)) gives one."
            )
        return Answer(f"Why did {of} leave its range, and when?", text, ("value", "is", ""), rows)
    old, gradient, by = _move(graph, gone)
    name, step = graph.name(gone), tape.node(gone).step
    text = f"At step {step}: {name} is {amount(graph.number(gone))}."
    change = None if old is None else _change(graph, old, gone)
    if old is not None and gradient is not None and change is not None:
        text += (
            f" {by} moved it from {amount(graph.number(old))}, against a gradient of {amount(graph.number(gradient))}: "
            f"one step of {change:+.4g} was longer than the way to the border. "
            f'A smaller step size above, or coordinates={{"{label.name}": "{bounding((low, high))}"}}, keeps it inside.'
        )
    return Answer(
        f"Why did {of} leave its range, and when?",
        text,
        ("value", "is", ""),
        rows,
        draw=picture(tape, [*([gradient] if gradient else []), gone], (), text),
    )


def first_nonfinite(tape: Recording) -> Answer:
    """Where the first NaN or infinity was made: the operation, its line, and what it read."""
    graph = Reading(tape)
    question = "Where was the first NaN or infinity?"
    found = next(not_finite(graph), None)
    if found is None:
        return Answer(question, f"Nowhere: {count(len(tape.nodes), 'node')} were checked.")
    node = tape.nodes[found.nodes[0]]
    places = [(edge.source, edge.output) for edge in graph.into[node.number]]
    rows = [(graph.name(place), graph.number(place)) for place in places]
    text = f"At step {node.step}, {graph.line(node.file, node.line)}: {found.what}. To do: {found.advice}."
    return Answer(question, text, ("it read", "value or norm"), rows)


def _part(node: Node) -> str:
    return "backward pass" if node.sweep else "optimizer step" if (node.op or "").endswith(".rule") else "forward pass"


def _move(graph: Graph, place: Place) -> tuple[Place | None, Place | None, str]:
    """What a rule made a value of: the old value, its gradient, and the optimizer's name and level."""
    node = graph.tape.node(place)
    label = graph.label(place)
    if node.op is None or label is None:
        return None, None, ""
    if not node.op.endswith(".rule") or len(graph.into[node.number]) < 2:  # what it read may be from before
        return _move_by_hand(graph, place, label)
    level = label.level + (label.role == "hyperparameter")
    old, gradient = [(edge.source, edge.output) for edge in graph.into[node.number][:2]]
    rates = [
        f"{graph.name(p)} = {amount(graph.number(p))}"
        for p in ((e.source, e.output) for e in graph.into[node.number])
        if (made := graph.label(p)) is not None
        and made.role == "hyperparameter"
        and made.level == level
        and made.name != "t"
    ]
    return old, gradient, f"{node.op.removesuffix('.rule')} of level {level} ({', '.join(rates)})"


def _move_by_hand(graph: Graph, place: Place, label: Label) -> tuple[Place | None, Place | None, str]:
    """The same of a step that is written out: the value of that name that it was computed from, and its gradient."""
    sources = [link.source for link in graph.links(place)]
    named = [(source, graph.label(source)) for source in sources]
    old = next(
        (p for p, own in named if own and (own.name, own.role, own.level) == (label.name, label.role, label.level)),
        None,
    )
    gradients = [p for p in sources if graph.tape.node(p).kind == "gradient" and graph.tape.node(p).of == old]
    node = graph.tape.node(place)
    return old, gradients[0] if gradients else None, graph.line(node.file, node.line)


def _change(graph: Graph, old: Place, new: Place) -> float | None:
    """How far a number moved; None for an array."""
    if graph.tape.output(new).value is None:
        return None
    before, after = graph.number(old), graph.number(new)
    return None if before is None or after is None else after - before


def _until(tape: Recording, step: int, until: int) -> str:
    if until >= len(tape.ends):
        return "still there at the end"
    return "the next step" if until == step else f"step {until + 1}"


def _relations(graph: Graph) -> dict[tuple[str, str], str]:
    """How named values are joined over all steps: by the names of both ends, whether gradients flow along."""
    found: dict[tuple[str, str], set[str]] = {}
    for node in graph.tape.nodes:
        for n in range(len(node.outputs)):
            if graph.names.known(node.number, n) is None or node.kind == "gradient":
                continue
            for link in graph.links((node.number, n)):
                source, target = (graph.names.known(*place, timeless=True) for place in (link.source, link.target))
                found.setdefault((str(source), str(target)), set()).add(NO_FLOW[link.flow])
    return {ends: " and ".join(sorted(flows)) for ends, flows in found.items()}


def _sizes(*tapes: Recording) -> str:
    """How big the steps of each tape are, and how long their operations took."""
    amounts: dict[str, list[float]] = {
        "nodes": [len(tape.nodes) for tape in tapes],
        "cuts": [len(tape.cuts) for tape in tapes],
        "microseconds in operations": [1e6 * _usual(tape) for tape in tapes],
    }
    each = {what: [amount(n / max(tape.steps, 1)) for n, tape in zip(row, tapes)] for what, row in amounts.items()}
    return "; ".join(f"{what} a step: {' and '.join(row)}" for what, row in each.items())


def _usual(tape: Recording) -> float:
    """The seconds in operations, each as long as the fastest like it, so that compilation does not count."""
    return sum(min(found) * len(found) for found in _durations(tape, lambda node: str(node.outputs[0].shape)).values())


def _durations(tape: Recording, by: Callable[[Node], str]) -> dict[tuple[str, str], list[float]]:
    """By operation and something else of its node, the seconds of each call."""
    groups: dict[tuple[str, str], list[float]] = {}
    for node in tape.nodes:
        if node.seconds is not None:
            groups.setdefault((node.op or "", by(node)), []).append(node.seconds)
    return groups
