"""Questions about cuts: where they are, what they stopped, and what a gradient would be without one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..naming import within
from ..plain import apart, count, short
from .answers import Answer
from .figure import figure, steps_of
from .ghosts import Ghosts, Rerun, arrived, ghosts_of, size
from .graph import Graph
from .legend import COORDINATE
from .numbering import numbers
from .passes import vanishing
from .records import Cut, Place, Recording
from .scene import Scene
from .table import drawn_table
from .text import listed, site

MOST, UNTOLD = 3, "no reason given"  # gradients that the text names; the reason of a cut that has none


def cuts(tape: Recording) -> Answer:
    """Which edges are cut, where in the code and why: one row a reason and line, with what it cut in the last step."""
    graph = Graph(tape)
    groups: dict[tuple[str, str], list[Cut]] = {}
    for cut in tape.cuts:
        groups.setdefault((cut.reason or UNTOLD, site(cut)), []).append(cut)
    rows = []
    reasons: dict[str, list[bool]] = defaultdict(list)
    for (reason, line), found in groups.items():
        last = [f"{cut.number} {graph.name(cut.place)}" for cut in found if cut.step == found[-1].step]
        rows.append((reason, line, len(found), sum(cut.severed for cut in found), ", ".join(dict.fromkeys(last))))
        reasons[reason] += [cut.severed for cut in found]
    lines, severed = len({line for _, line in groups}), sum(cut.severed for cut in tape.cuts)
    text = caption = "No cut was made."
    notes: list[str] = []
    if rows:
        text = f"{count(lines, 'line')} of code made {count(len(tape.cuts), 'cut')}. "
        some = "all" if severed == len(tape.cuts) else severed or "none"
        text += f"At {some} of them the value had a graph, along which the gradient would flow on."
        each = [f"{sum(own)} of {len(own)} with {reason}" for reason, own in reasons.items()]
        begin = " cuts with " if reasons.keys() <= {UNTOLD} else " cuts with the reason "
        caption = f"{text[:-1]}: at {', '.join(each).replace(' with ', begin, 1)}.{_bare(graph)}"
        arrows = figure(tape).arrows if steps_of(tape) else []
        shown = {cut.number: cut.step for arrow in arrows for cut in arrow.cuts}
        notes = [numbers(graph, shown)] if any(len(arrow.cuts) > 1 for arrow in arrows) else []
        if steps_of(tape) and len(shown) < len(tape.cuts):
            steps = sorted({*shown.values()})
            made = f", made by step{'s' * (len(steps) > 1)} {' and '.join(map(str, steps))}" if steps else ""
            caption += f" The picture shows {len(shown)} of the cuts{made}."
    if severed < len(tape.cuts):
        text += " At the others it would end without the cut, too." + _bare(graph)
    text += " A cut lets the value pass, and stops the gradient."
    columns = ("reason", "line", "cuts", "had a graph", "number and value of each in the last step")
    question = "Which edges are cut, where and why?"
    return Answer(question, text, columns, rows, draw=Scene(tape, question, caption, notes=notes).draw)


def _bare(graph: Graph) -> str:
    """In words, what of that which was cut never has a graph."""
    idle = [cut.place for cut in graph.cuts if not cut.severed]
    given = [graph.label(place) for place in idle if graph.nodes[place[0]].kind != "operation"]
    told = ["gradients of a plain backward()"] if any(graph.nodes[number].of for number, _ in idle) else []
    told += ["states before the first step"] if any(label and label.role == "state" for label in given) else []
    words = " and ".join(told)
    return f" {words[0].upper()}{words[1:]} have no graph." if told else ""


def ghosts(tape: Recording) -> Answer:
    """The gradient that each cut stopped: first where a graph was cut off, the largest first.

    The picture has these alone, without those that are 0. Raises GraphError without ghosts.
    """
    if all(cut.ghost is None for cut in tape.cuts):
        ghosts_of(tape)
    graph = Graph(tape)
    known, zero = [cut for cut in tape.cuts if cut.ghost is not None], vanishing(graph)
    sizes = {cut.number: abs(cut.ghost or 0.0) for cut in known}
    found = sorted(known, key=lambda cut: (not cut.severed, not math.isfinite(sizes[cut.number]), -sizes[cut.number]))
    rows, drawn, looks = [], [], []
    for cut in found:
        number, name = math.prod(cut.shape) == 1, graph.tuned(cut.place) or graph.name(cut.place)
        kind = "0 up to rounding" if cut.ghost and cut.number in zero else "a number" if number else "a norm"
        rows.append((cut.number, cut.step, name, cut.reason, cut.ghost, kind, cut.severed))
        if cut.severed and cut.number not in zero:
            drawn.append(rows[-1][:-1])
            looks.append("th-bar th-norm" if not number else "th-bar th-minus" if (cut.ghost or 0) < 0 else "th-bar")
    text = caption = "No backward pass reached a cut."
    if found:
        text = f"A ghost is the gradient that a cut stopped. {_largest(graph, [c for c in found if c.severed], zero)}"
        idle, rest = sum(not cut.severed for cut in found), [cut for cut in tape.cuts if cut.ghost is None]
        where = f" A backward pass also came to {count(idle, 'cut')} of values without a graph, where it ends anyway"
        left, had = f" No backward pass reached the other {count(len(rest), 'cut')}", sum(cut.severed for cut in rest)
        left = f"{left}; at {had or 'none'} of these the value had a graph." if rest else ""
        signs = sorted({within(coordinate, "…") for cut in found if (coordinate := graph.coordinate(cut.place))})
        left += f" {' and '.join(signs)}: {COORDINATE}." if signs else ""
        text, caption = (text + (f"{where}{end}." if idle else "") + left for end in ("", "; they are not drawn"))
    question = "What would have flowed through the cuts?"
    columns = ("cut", "step", "with respect to", "reason", "ghost", "which is", "had a graph")
    drawing = partial(drawn_table, question, caption, columns[:-1] if drawn else (), drawn, "ghost", looks)
    return Answer(question, text, columns, rows, draw=drawing)


def _largest(graph: Graph, found: Sequence[Cut], zero: Collection[int]) -> str:
    """How many ghosts would have flowed on, and the largest of them. found: their cuts, the largest first.

    zero: the cuts whose ghost is 0.
    """
    wild = [cut for cut in found if not math.isfinite(cut.ghost or 0.0)]
    none = [cut for cut in found if cut.number in zero]
    some = [cut for cut in found if cut not in (*wild, *none)]
    flowed = len(wild) + len(some)
    text = f"{flowed or 'No'} ghost{'' if flowed == 1 else 's'} would have flowed on."
    if some:
        text += f" The largest of these is {graph.left(some[0].place, some[0].ghost)}, at cut {some[0].number} of "
        text += f"{graph.cut_name(some[0])}."
    if len({graph.known(cut.place, timeless=True) or cut.place for cut in some}) > 1:
        text += " Ghosts with respect to different values do not compare: "
        text += f"inspect.without(tape, {some[0].number}) says what changes without this cut."
    for cuts, what in ((wild, "not finite"), (none, "0 up to rounding" if any(cut.ghost for cut in none) else "0")):
        where = listed(f"at cut {cut.number} of {graph.name(cut.place)}" for cut in cuts)
        text += f" {count(len(cuts), 'ghost')} {'is' if len(cuts) == 1 else 'are'} {what}: {where}." if cuts else ""
    return text


def without(tape: Recording, cut: Cut | int) -> Answer:
    """What every gradient would be without one cut, all others as they are, and how much of it the cut stops.

    cut: it, or its number. Raises GraphError without ghosts, ArgumentError for a number that no cut has.
    """
    graph, made = Graph(tape), tape.cut_of(cut)
    passes, opened = arrived(Rerun(tape)), arrived(Rerun(tape, opened={made.number}))
    before, after = passes.places, opened.places
    rows: list[tuple[Any, ...]] = []
    senders: list[str] = []
    instead: dict[Place, float] = {}
    asked: list[Place] = []
    for place in sorted(after, key=lambda place: (place != made.place, place)):
        old, new, node = before.get(place), after[place], tape.node(place)
        if old is not None and graph.alike(place, old, new):
            continue
        name = graph.tuned(place) or (f"leaf of {site(node)}" if node.kind == "leaf" else None)
        if name is not None:
            more, kind = new if old is None else new - old, "a number" if new.size == 1 else "a norm"
            gradient, was = graph.gradient(place), None if old is None else size(old)
            sent = _senders(passes, opened, place)
            senders.append(_of(graph, sent))
            if gradient is not None and sent == [tape.node(gradient).loss]:
                instead[gradient] = size(new)
            elif (label := graph.label(place)) is not None and label.role != "state":
                asked.append(place)
            if gradient is not None:
                was = graph.number(gradient) if was == tape.output(gradient).value else was
            rows.append((name, was, size(more), size(new), kind))
    differ = f"{len(rows)} gradients differ" if len(rows) > 1 else f"{len(rows) or 'no'} gradient differs"
    text = f"Without cut {made.number}, of {graph.cut_name(made)} at step {made.step}, {differ}."
    text += "".join(map(_added, rows[:MOST], senders))
    text += f" The table lists {len(rows) - MOST} more." if len(rows) > MOST else ""
    if not made.severed:
        text += " The value that it cut had no graph: the gradient would have ended there without the cut, too."
    columns = ("gradient with respect to", "with the cut", "added", "without the cut", "which is")
    question = f"What if cut {made.number} were not made?"
    told = {}
    if (there := after.get(made.place)) is not None:
        more = size(there - before.get(made.place, 0.0))
        of = _of(graph, _senders(passes, opened, made.place))
        told = {made.number: f"{'' if there.size == 1 else 'norm '}{short(more)}{of} arrives"}
    scene = Scene(tape, question, text, opened=[made.number], ghosts=told, asked=asked, instead=instead)
    return Answer(question, text, columns, rows, draw=scene.draw)


def _senders(before: Ghosts, after: Ghosts, place: Place) -> list[Place]:
    """The losses of which another cotangent arrives at a place in a second run than in a first."""
    found = []
    for loss, alone in after.passes.items():
        old, new = before.passes[loss].get(place), alone.get(place)
        if new is not None and (old is None or not np.array_equal(old, new, equal_nan=True)):
            found.append(loss)
    return found


def _of(graph: Graph, losses: Sequence[Place]) -> str:
    """Of which loss a gradient is, where a recording has several."""
    return f" of {graph.name(losses[0])}" if len(graph.losses) > 1 and len(losses) == 1 else ""


def _added(row: tuple[Any, ...], of: str) -> str:
    """What arrives at a value without a cut, and how much that is in all. of: of which loss it is."""
    name, old, more, new, kind = row
    norm = "" if kind == "a number" else " (norm)"
    if old is None:
        return f" At {name}, {short(new)}{norm}{of} arrives, where nothing did."
    before, after = map(short, apart([old, new]))
    return f" At {name}, {short(more)}{norm}{of} adds to {before}: {after} in all."
