"""Questions about cuts: where they are, what they stopped, and what a gradient would be without one."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from .answers import Answer
from .figure import figure, steps_of
from .ghosts import Rerun, arrived, ghosts_of, size
from .graph import Graph
from .plain import short
from .records import Cut, Recording
from .scene import Scene
from .text import count, site

MOST = 3  # gradients that the text names


def cuts(tape: Recording) -> Answer:
    """Which edges are cut, where in the code and why: one row a reason and line, with what it cut in the last step."""
    graph = Graph(tape)
    groups: dict[tuple[str, str], list[Cut]] = {}
    for cut in tape.cuts:
        groups.setdefault((cut.reason or "no reason given", site(cut)), []).append(cut)
    rows = []
    for (reason, line), found in groups.items():
        last = [graph.name(cut.place) for cut in found if cut.step == found[-1].step]
        rows.append((reason, line, len(found), sum(cut.severed for cut in found), ", ".join(dict.fromkeys(last))))
    lines = len({line for _, line in groups})
    text = f"{count(lines, 'line')} of code made {count(len(tape.cuts), 'cut')}." if rows else "No cut was made."
    totals: dict[str, int] = defaultdict(int)
    for reason, _, number, *_ in rows:
        totals[reason] += number
    reasons = ", ".join(f"{reason} ({number})" for reason, number in totals.items())
    question, caption = "Which edges are cut, where and why?", text + (f" By reason: {reasons}." if rows else "")
    drawn = {c.number for arrow in figure(tape).arrows for c in arrow.cuts} if rows and steps_of(tape) else tape.cuts
    if len(drawn) < len(tape.cuts):
        caption += f" The picture shows {len(drawn)} of them, those of the last steps."
    if rows:
        graphs = ", ".join([f"{row[3]} by {row[0]}" for row in rows if row[3]]) or "none"
        caption += f" A gradient would have gone on without these: {graphs}."
    text += (
        " A value passes through a cut, a gradient does not. If the value had no graph, the gradient would have ended "
    )
    text += "there without the cut, too."
    columns = ("reason", "line", "cuts", "had a graph", "cut in the last step")
    return Answer(question, text, columns, rows, draw=Scene(tape, question, caption).draw)


def ghosts(tape: Recording) -> Answer:
    """The gradient that each cut stopped: first where a graph was cut off, the largest first.

    Raises GraphError without ghosts.
    """
    if all(cut.ghost is None for cut in tape.cuts):
        ghosts_of(tape)
    graph = Graph(tape)
    ghostly = [cut for cut in tape.cuts if cut.ghost is not None]
    sizes = {cut.number: abs(cut.ghost or 0.0) for cut in ghostly}
    found = sorted(ghostly, key=lambda cut: (not math.isfinite(size := sizes[cut.number]), not cut.severed, -size))
    wild = sum(not math.isfinite(cut.ghost or 0.0) for cut in found)
    names = [graph.tuned(cut.place) or graph.name(cut.place) for cut in found]
    kinds = ["a number" if math.prod(cut.shape) == 1 else "a norm" for cut in found]
    facts = zip(found, names, kinds)
    rows = [(cut.number, cut.step, name, cut.reason, cut.ghost, kind, cut.severed) for cut, name, kind in facts]
    signs = ["th-norm" if math.prod(cut.shape) != 1 else "th-minus" if (cut.ghost or 0) < 0 else "" for cut in found]
    looks = [f"th-bar {sign}{'' if cut.severed else ' th-pale'}" for cut, sign in zip(found, signs)]
    text = "No backward pass reached a cut."
    if found:
        text = f"{count(len(found), 'cut')} stopped a gradient, the ghost of the cut."
    if len(found) > wild:
        largest = sizes[found[0].number] == max(size for size in sizes.values() if math.isfinite(size))
        text += " The largest ghost" if largest else " Where a graph was cut off, the largest ghost"
        text += f" is {graph.left(found[0].place, found[0].ghost)}, at cut {found[0].number} of "
        text += f"{graph.cut_name(found[0])}."
    if wild:
        text += f" {count(wild, 'ghost')} {'is' if wild == 1 else 'are'} not finite."
    if found and len(found) < len(tape.cuts):
        text += f" No backward pass reached the other {count(len(tape.cuts) - len(found), 'cut')}."
    columns = ("cut", "step", "with respect to", "reason", "ghost", "which is", "had a graph")
    return Answer("What would have flowed through the cuts?", text, columns, rows, "ghost", looks=looks)


def without(tape: Recording, cut: Cut | int) -> Answer:
    """What every gradient would be without one cut, all others as they are, and how much of it the cut stops.

    cut: it, or its number.

    Raises GraphError without ghosts, ArgumentError for a number that no cut has.
    """
    graph, made = Graph(tape), tape.cut_of(cut)
    before, after = arrived(Rerun(tape)).places, arrived(Rerun(tape, opened={made.number})).places
    rows: list[tuple[Any, ...]] = []
    for place in sorted(after, key=lambda place: (place != made.place, place)):
        old, new, node = before.get(place), after[place], tape.node(place)
        if old is not None and np.array_equal(old, new, equal_nan=True):
            continue
        name = graph.tuned(place) or (f"leaf of {site(node)}" if node.kind == "leaf" else None)
        if name is not None:
            more, kind = new if old is None else new - old, "a number" if new.size == 1 else "a norm"
            rows.append((name, None if old is None else size(old), size(more), size(new), kind))
    differ = f"{len(rows)} gradients differ" if len(rows) > 1 else f"{len(rows) or 'no'} gradient differs"
    text = f"Without cut {made.number}, of {graph.cut_name(made)} at step {made.step}, {differ}."
    text += "".join(map(_added, rows[:MOST]))
    text += f" The table lists {len(rows) - MOST} more." if len(rows) > MOST else ""
    if not made.severed:
        text += " The value that it cut had no graph: the gradient would have ended there without the cut, too."
    columns = ("gradient with respect to", "with the cut", "added", "without the cut", "which is")
    question = f"What if cut {made.number} were not made?"
    return Answer(question, text, columns, rows, draw=Scene(tape, question, text, opened=[made.number]).draw)


def _added(row: tuple[Any, ...]) -> str:
    """What arrives at a value without a cut, and how much that is in all."""
    name, old, more, new, kind = row
    norm = "" if kind == "a number" else " (norm)"
    if old is None:
        return f" At {name}, {short(new)}{norm} arrives, where nothing did."
    return f" At {name}, another {short(more)}{norm} arrives: {short(new)} in all, not {short(old)}."
