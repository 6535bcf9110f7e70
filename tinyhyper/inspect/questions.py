"""Questions about a run: what it keeps alive, what changed, what took the time, what moved a value, what broke it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

from ..optim.ranges import bounding, in_range
from .answers import Answer, picture
from .chain import drawn_chain
from .contents import contents
from .finite import TOO_LARGE, not_finite, word
from .gradients import ARROW, listed
from .graph import Graph
from .memory import alive, nbytes
from .names import LOSS, Name
from .plain import short
from .records import Node, Place, Recording
from .saved import Saved
from .text import count, site
from .timeline import timeline

MOST = 3  # edges that the text names
FLOWS = {"kept": "kept", "cut": "cut", "value": "without a gradient"}


class Move(NamedTuple):
    """What a value was made of: the old value, its gradient, and by whom; None where it is not known."""

    old: Place | None = None
    gradient: Place | None = None
    by: str = ""


def kept_alive(tape: Recording) -> Answer:
    """What each step keeps alive, in nodes and bytes, who holds it, and until when."""
    graph, found = Graph(tape), alive(tape)
    rows: list[tuple[Any, ...]] = []
    for now in found:
        last = max((tape.nodes[number].until or 0 for number in now.nodes), default=0)
        if last >= len(tape.ends):
            until = "still alive at the end"
        else:
            until = "" if not now.nodes else "the next step" if last == now.step else f"step {last + 1}"
        held = ", ".join(name or "an unnamed tensor in your code" for name in now.holders)
        after = "at the end" if now is found[-1] else f"step {now.step}"
        rows.append((after, len(now.nodes), now.bytes, held, until))
    text = "No node was alive when the recording ended."
    if found[-1].nodes:
        saved = listed(graph.name(place) for place in found[-1].saved)
        text = (
            f"When the recording ended, {count(len(found[-1].nodes), 'node')} kept arrays of {found[-1].bytes} bytes: "
            f"{saved}. The next backward pass reads them on its path to the hyperparameters, and then releases them."
        )
    columns, question = ("after", "nodes", "bytes", "held by", "until"), "What does a step keep alive, and until when?"
    return Answer(question, text, columns, rows, draw=partial(timeline, question, text, graph, found))


def checkpoint(tape: Recording) -> Answer:
    """What `th.save` writes when the recording ends: values, gradients, and what the last step has read."""
    graph, holders = Graph(tape), alive(tape)[-1].holders
    question, columns = "What must a checkpoint hold?", ("what", "shape", "bytes", "why")
    if isinstance(tape.saved, str):
        return Answer(question, f"No file can hold this run as it is now. {tape.saved}.")
    if tape.saved is None:
        last = [places[-1] for name, places in graph.places.items() if name != LOSS]
        rows = [(graph.name(p), str(tape.output(p).shape), nbytes(tape, p), "value") for p in last]
        text = "th.save(path, params, optimizer) writes what an optimizer knows, but none was there when the recording "
        text += "ended. Keep the optimizer until then, or save these values yourself, where no graph is alive."
        return Answer(question, text, columns, rows, "bytes")
    whys = [row.why.replace(" read", ", read by the last step") for row in tape.saved]
    named = [(_saved_name(graph, row), row) for row in tape.saved]
    rows = [(name, str(row.shape), row.bytes, why) for (name, row), why in zip(named, whys)]
    groups = {why: [row.bytes for row in tape.saved if row.why.endswith(why)] for why in ("value", "gradient", "read")}
    amounts = {why: f"({count(len(sizes), 'array')}, {sum(sizes)} bytes)" for why, sizes in groups.items()}
    text = f"A file holds the values as they are now {amounts['value']} and the gradients in .grad "
    text += f"{amounts['gradient']}. "
    live = {number for name, reached in holders.items() if name is not None for number in reached}
    hyperparameters = [row.place for row in tape.saved if row.role == "hyperparameter" and row.place is not None]
    tuned = any(tape.node(place).kind != "constant" for place in hyperparameters)
    if not tuned:
        text += "No hyperparameter is tuned, so nothing else is needed."
    elif not groups["read"]:
        text += "The hypergradients of the whole window are among these gradients, so th.load repeats no step."
    elif live:
        text += (
            "With these alone the first hypergradients after loading would be zero: no edge would lead from the "
            f"weights to the hyperparameters. So the file also holds what the last step read {amounts['read']}: "
            f"th.load repeats that step, which makes its graph again ({count(len(live), 'node')})."
        )
    else:
        text += (
            f"The file also holds what the last step read {amounts['read']}. backward() has released the graph of that "
            "step; the gradients that it computed are in the file."
        )
    return Answer(question, text, columns, rows, draw=partial(contents, question, text, named, bool(live)))


def differences(first: Recording, second: Recording) -> Answer:
    """What changed between two recordings: edges between named values that are kept, cut or absent in one only."""
    graphs = Graph(first), Graph(second)
    for graph in graphs:  # a name that is unclear in one recording is exact in both
        graph.unclear = graphs[0].unclear | graphs[1].unclear
    one, two = map(_relations, graphs)
    changed = [key for key in one if key in two and one[key] != two[key]]
    only_one, only_two = ([key for key in mine if key not in other] for mine, other in ((one, two), (two, one)))
    rows = [(*key, one.get(key, "–"), two.get(key, "–")) for key in (*changed, *only_one, *only_two)]
    both = len(one) - len(only_one)
    text = f"Nothing: each of the {both} edges between named values is kept or cut alike in both."
    if rows:
        text = f"{len(changed)} of the {count(both, 'edge')} in both differ{'s' if len(changed) == 1 else ''}."
        for key in changed[:MOST]:
            text += f" {ARROW.join(key)} is {one[key]} in the first, and {two[key]} in the second."
        text += f" The table lists {len(changed) - MOST} more." if len(changed) > MOST else ""
        text += f" The first has {count(len(only_one), 'edge')} that the second lacks; the second has {len(only_two)} "
        text += "that the first lacks."
    text += "".join(f"\nA step of the {which} {_size(tape)}." for which, tape in (("first", first), ("second", second)))
    columns = ("from", "to", "in the first", "in the second")
    return Answer("What changed between the two?", text, columns, rows, draw=picture(second))


def times(tape: Recording) -> Answer:
    """Which operations took the time. The first call of a kernel includes its compilation."""
    groups = _durations(tape, _part)
    total = sum(map(sum, groups.values()))
    share = 100 / (total or 1.0)
    ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))
    rows = [(op, part, len(t), 1e6 * median(t), 1e3 * sum(t), share * sum(t)) for (op, part), t in ranked]
    text = f"{count(sum(map(len, groups.values())), 'operation')} took {1e3 * total:.4g} ms."
    if ranked:
        (op, part), most = ranked[0]
        text += f" {op} ({part}) took the largest share, {share * sum(most):.3g} %."
    columns = ("operation", "part", "calls", "median us", "ms", "%")
    return Answer("Which operations took the time?", text, columns, rows, "%")


def moved(tape: Recording, of: str) -> Answer:
    """Which level moved a value, and by how much at each step.

    of: a name as in `paths`, all its steps. Raises ArgumentError for an unknown name.
    """
    graph = Graph(tape)
    moves = [(_move(graph, place), place) for place in graph.find(of)]
    made = [(m.old, place, m.gradient, m.by) for m, place in moves if m.old is not None and m.gradient is not None]
    question, what = f"Which level moved {of}, and by how much?", ""
    if not made:
        text = f"Nothing moved {of}: no step of this recording computed it from an earlier value and a gradient."
        return Answer(question, text, draw=picture(tape, (), (), text))
    columns: tuple[str, ...] = ("change", "gradient")
    _, last, gradient, by = made[-1]
    if graph.coordinate(last):  # the level above moves it in another coordinate
        name, what = graph.known(last, timeless=True), f"{graph.tuned(last, timeless=True)}: "
        columns = (f"change of {what[:-2]}", f"∂loss/∂{what[:-2]}", f"∂loss/∂{name}")
    rows: list[tuple[Any, ...]] = []
    for old, new, slope, level in made:
        number = graph.number(slope)
        numbers = _change(graph, old, new), number, graph.meant(old, number)
        rows.append((tape.node(new).step, graph.number(old), graph.number(new), *numbers[: len(columns)], level))
    text = f"{of} was moved {count(len(rows), 'time')} by {by}, from {short(rows[0][1])} to {short(rows[-1][2])}"
    total = sum(row[3] for row in rows if row[3] is not None)
    text += f" ({what}{total:+.4g} in all)." if rows[0][3] is not None else f"; these are norms, as {of} is an array."
    drawing = picture(tape, [gradient, last], (), text)
    return Answer(question, text, ("step", "from", "to", *columns, "by"), rows, columns[0], drawing)


def left_range(tape: Recording, of: str) -> Answer:
    """Why and when a hyperparameter left its range, as an alpha that turned negative did."""
    graph = Graph(tape)
    question, columns = f"Why did {of} leave its range, and when?", ("value", "is", "")
    rows: list[tuple[str, float, str]] = []
    gone = None
    for place in graph.find(of):
        label, value = graph.label(place), graph.number(place)
        if label is None or label.range is None or value is None:
            continue
        inside = in_range(value, label.range)
        if gone is None and not inside:
            gone = place, label.name, label.range
        low, high = label.range
        rows.append((graph.name(place), value, "" if inside else f"outside {low:g} to {high:g}"))
    if gone is None:
        lost = next((name for name, value, _ in rows if not math.isfinite(value)), None)
        if not rows:
            text = f"No range is known for {of}. In a step of your own, tape.label(..., range=(low, high)) gives one."
        elif lost is not None:
            text = f"It was lost: {lost} is not finite. th.inspect.first_nonfinite(tape) shows where that began."
        else:
            are = "is" if len(rows) == 1 else "are"
            text = f"It did not: {count(len(rows), 'value')} of {of} {are} in the range."
        return Answer(question, text, columns, rows)
    place, name, span = gone
    old, gradient, by = _move(graph, place)
    text = f"At step {tape.node(place).step}: {graph.name(place)} is {short(graph.number(place))}."
    change = None if old is None else _change(graph, old, place)
    if old is not None and gradient is not None and change is not None:
        text += (
            f" {by} moved it from {short(graph.number(old))}, against a gradient of {short(graph.number(gradient))}. "
            f"This step of {change:+.4g} was longer than the distance to the end of the range. To keep {of} inside, "
            f'use a smaller step size at the level above, or coordinates={{"{name}": "{bounding(span)}"}}.'
        )
    drawing = picture(tape, [place] if gradient is None else [gradient, place], (), text)
    return Answer(question, text, columns, rows, draw=drawing)


def first_nonfinite(tape: Recording) -> Answer:
    """Where the first NaN or infinity was made: the operation, its line, and what it read."""
    graph, question = Graph(tape), "Where was the first NaN or infinity?"
    found = next(not_finite(graph), None)
    if found is None:
        return Answer(question, f"There was none: {count(len(tape.nodes), 'node')} were checked.")
    node = tape.nodes[found.nodes[0]]
    rows = [(graph.name(edge.place), graph.number(edge.place)) for edge in graph.into[node.number]]
    text = f"At step {node.step}, {site(node)}: {found.what}. To do: {found.advice}."
    draw = None
    if node.kind == "operation":
        bad = next(n for n, output in enumerate(node.outputs) if word(output))
        draw = partial(drawn_chain, question, text, graph, (node.number, bad), not found.advice.endswith(TOO_LARGE))
    return Answer(question, text, ("operand", "value or norm"), rows, draw=draw)


def _saved_name(graph: Graph, row: Saved) -> str:
    """What an array of a checkpoint is called."""
    if row.place is not None and (name := graph.known(row.place)) is not None:
        return name
    title = graph.title(Name(row.role, row.level, row.name))
    return f"∂loss/∂{title}" if row.why.startswith("gradient") else title


def _part(node: Node) -> str:
    return "backward pass" if node.sweep else "optimizer step" if (node.op or "").endswith(".rule") else "forward pass"


def _move(graph: Graph, place: Place) -> Move:
    """What a step made a value of, by an optimizer's rule or written out."""
    node, label = graph.tape.node(place), graph.label(place)
    read = [edge.place for edge in graph.into[node.number]]
    if node.op is None or label is None:
        return Move()
    if not node.op.endswith(".rule") or len(read) < 2:  # a rule reads less if its operands are from before
        sources = [link.source for link in graph.links(place)]
        named = [(source, own) for source in sources if (own := graph.label(source)) is not None]
        meant = label.name, label.role, label.level
        old = next((source for source, own in named if (own.name, own.role, own.level) == meant), None)
        gradients = [p for p in sources if graph.tape.node(p).kind == "gradient" and graph.tape.node(p).of == old]
        return Move(old, gradients[0] if gradients else None, site(node))
    level = label.level + (label.role == "hyperparameter")
    rates = [
        f"{graph.name(p)} = {short(graph.number(p))}"
        for p in read
        if (own := graph.label(p)) and own.role == "hyperparameter" and own.level == level and own.name != "t"
    ]
    return Move(read[0], read[1], f"{node.op.removesuffix('.rule')} of level {level} ({', '.join(rates)})")


def _change(graph: Graph, old: Place, new: Place) -> float | None:
    """How far a number moved, in the coordinate in which it was moved; None for an array."""
    before, after = graph.tape.output(old).value, graph.tape.output(new).value
    return None if before is None or after is None else after - before


def _relations(graph: Graph) -> dict[tuple[str, str], str]:
    """By the names of two values, over all steps, whether gradients flow from one to the other."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for node in graph.nodes:
        for n in range(len(node.outputs)):
            if graph.known((node.number, n)) is None or node.kind == "gradient":
                continue
            for link in graph.links((node.number, n)):
                source, target = (graph.known(place, timeless=True) for place in (link.source, link.target))
                found[str(source), str(target)].add(FLOWS[link.flow])
    return {
        ends: ", ".join([f"sometimes {flow}" for flow in sorted(flows)]) if len(flows) > 1 else min(flows)
        for ends, flows in found.items()
    }


def _size(tape: Recording) -> str:
    """How big the steps of a recording are on average, and how long their operations took."""
    nodes, cuts, time = (short(n / max(tape.steps, 1)) for n in (len(tape.nodes), len(tape.cuts), 1e6 * _usual(tape)))
    return f"has {nodes} nodes and {cuts} cuts, and its operations take {time} microseconds"


def _usual(tape: Recording) -> float:
    """The seconds in operations, each as long as the fastest like it, so that compilation does not count."""
    return sum(min(found) * len(found) for found in _durations(tape, lambda node: str(node.outputs[0].shape)).values())


def _durations(tape: Recording, by: Callable[[Node], str]) -> dict[tuple[str, str], list[float]]:
    """The seconds of each call, by operation and what `by` says of its node."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node in tape.nodes:
        if node.seconds is not None:
            groups[node.op or "", by(node)].append(node.seconds)
    return groups
