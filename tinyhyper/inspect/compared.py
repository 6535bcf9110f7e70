"""What differs between two recordings: pairs of named values whose edges differ, what the picture marks, and costs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from ..plain import count
from .answers import Answer
from .boxes import Boxes
from .canvas import Picture
from .captions import ONLY
from .cost import Cost, cost
from .diagram import Diagram
from .figure import steps_of, whole
from .finite import not_finite
from .graph import Graph
from .groups import ARROW
from .overlaid import Overlaid
from .overlay import overlay, telling
from .pair import Pair
from .records import Flow, Recording
from .scene import Scene
from .shapes import FIXED, Figure

OPTION = re.compile(r"\w+=(?:\{.*?\}|\(.*?\)|[^,()]+)")  # of an optimizer, as it is printed
STEPS, MOST = 2, 3  # in the picture; edges that the text names
FLOWS: dict[Flow, str] = {"kept": "kept", "cut": "cut", "value": "without a gradient", "gate": "kept for later losses"}
WHICH = "first", "second"
QUESTION = "What changed between the two?"
NUMBERS = "What is in both has the numbers of the second."
Ends: TypeAlias = "tuple[str, str]"  # the names of the values that an edge joins


def differences(first: Recording, second: Recording) -> Answer:
    """What changed between two recordings: edges between named values that are kept, cut or absent in one only."""
    tapes, shown = (first, second), _overlaid(first, second)
    one, two = _relations(first, second)
    changed = [key for key in one if key in two and one[key] != two[key]]
    alone = [[key for key in these if key not in those] for these, those in ((one, two), (two, one))]
    rows = [(*key, one.get(key, "–"), two.get(key, "–")) for key in (*changed, *alone[0], *alone[1])]
    both = len(one) - len(alone[0])
    told = f"Both recordings have edges between {count(both, 'pair')} of named values"
    if rows:
        told += f". {len(changed) or 'None'} of them {'differs' if len(changed) < 2 else 'differ'}."
    else:
        told = f"Nothing. {told}, each kept or cut alike"
        told += ", but not in the same steps." if shown is not None and shown.marks() else "."
    named = [
        f" {ARROW.join(key)} is {one[key]} in the first. In the second it is {two[key]}." for key in changed[:MOST]
    ]
    more = f" The table has {len(changed) - MOST} more." if len(changed) > MOST else ""
    rest = "".join([_alone(len(keys), which) for keys, which in zip(alone, WHICH) if keys])
    costs = [*map(cost, tapes)]
    words = "\n".join(map(_words, tapes, costs, WHICH))
    marked = "" if shown is None else _marked(shown)
    wild = " ".join(filter(None, map(_not_finite, tapes, WHICH)))
    question = f"{QUESTION} {_tower(first.title or '', second.title or '')}".strip()
    draw = partial(_drawn, question, tapes, shown, f"{marked or told + rest} {wild}".strip(), words, costs)
    columns = ("from", "to", "in the first", "in the second")
    lines = f"{told}{''.join(named)}{more}{rest}", marked, wild, *map(_window, tapes, WHICH), words
    text = "\n".join(filter(None, lines))
    return Answer(question, text, columns, rows, draw=draw)


def _tower(first: str, second: str) -> str:
    """What sets the tower of the second recording apart, if that is some levels, or options of one level."""
    one, two = first.split(" / "), second.split(" / ")
    if len(one) != len(two):
        longer, level = max(one, two, key=len), min(len(one), len(two))
        if longer[:level] != min(one, two, key=len):
            return ""
        return f"The second has {'' if longer == two else 'no '}level {level}, {' / '.join(longer[level:])}."
    differ = [n for n, (mine, theirs) in enumerate(zip(one, two)) if mine != theirs]
    options = [OPTION.findall(tower[differ[0]]) for tower in (one, two)] if len(differ) == 1 else [[], []]
    mine, theirs = ([option for option in those if option not in others] for those, others in (options, options[::-1]))
    at = f" at level {differ[0]}" if differ and differ[0] else ""
    told = [", ".join(theirs), f"{'not' if theirs else 'no'} {', '.join(mine)}" if mine else ""]
    return f"The second has {', '.join(filter(None, told))}{at}." if mine or theirs else ""


def _relations(first: Recording, second: Recording) -> list[dict[Ends, str]]:
    """Of each, by the names of two values, what gradients do from one to the other, over all steps, in words."""
    timeless = bool(first.steps or second.steps)  # else each loss is one of its own
    graphs = Graph(first), Graph(second)
    for graph in graphs:  # a name that is unclear in one recording is exact in both
        graph.unclear = graphs[0].unclear | graphs[1].unclear
    return [_flows(graph, timeless) for graph in graphs]


def _flows(graph: Graph, timeless: bool) -> dict[Ends, str]:
    """By the names of two values without steps, what gradients do from one to the other. timeless: of losses, too."""
    flows: dict[Ends, set[str]] = defaultdict(set)
    for node in graph.nodes:
        for place in [(node.number, n) for n in range(len(node.outputs))]:
            for link in graph.links(place) if graph.known(place) is not None else ():
                if node.kind == "gradient" and link.flow == "value":
                    continue
                ends = [graph.known(end, timeless or end not in graph.losses) for end in link[:2]]
                flows[str(ends[0]), str(ends[1])].add(FLOWS[link.flow])
    return {
        ends: ", ".join([f"sometimes {flow}" for flow in sorted(each)]) if len(each) > 1 else min(each)
        for ends, each in flows.items()
    }


def _alone(number: int, which: str) -> str:
    """How many pairs have edges in one of the recordings alone."""
    return f" {count(number, 'pair')} {'has' if number < 2 else 'have'} edges only in the {which}."


def _marked(shown: Figure) -> str:
    """What the picture marks, counted as it is drawn, in the words of its legend."""
    steps = shown.steps[1:] or shown.steps
    where = f"step{'s' if len(steps) > 1 else ''} {' and '.join(map(str, steps))}"
    told = []
    for mark, words in ONLY.items():
        arrows, boxes, parts = shown.marked(mark)
        counted = (arrows, "arrow", "arrows"), (boxes, "box", "boxes"), (parts, "box in part", "boxes in part")
        if found := [f"{number} {one if number == 1 else more}" for number, one, more in counted if number]:
            verb = "is" if arrows + boxes + parts == 1 else "are"
            some = " and ".join(filter(None, (", ".join(found[:-1]), found[-1])))
            told.append(f"{some} {verb} {words.removesuffix(': pale')}.")
    if not told:
        return f"The arrows and boxes of {where} are the same in both."
    return f"In the picture of {where}, {' '.join(told)}"


def _window(tape: Recording, which: str) -> str:
    """How often the hyperparameters of a recording move, if that is not at every step."""
    return f"In the {which} the hyperparameters move every {tape.horizon} steps." if (tape.horizon or 1) > 1 else ""


def _not_finite(tape: Recording, which: str) -> str:
    """Where a recording has its first number that is not finite, if it has one."""
    found = next(not_finite(Graph(tape)), None)
    return f"Not all numbers of the {which} are finite: {found.what}, at {found.where}." if found else ""


def _words(tape: Recording, costs: Cost, which: str) -> str:
    """What a step of a recording costs, or how large one without steps is."""
    nodes, cuts = (f"{n} {noun}{'' if n == '1' else 's'}" for n, noun in ((costs.nodes, "node"), (costs.cuts, "cut")))
    if not tape.steps:
        return f"The {which} has {nodes} and {cuts}."
    kept = "" if costs.kept is None else f" Its graph keeps up to {costs.kept}."
    time = " Record more steps to know its time." if costs.time is None else f" Its operations take {costs.time}."
    return f"On average a step of the {which} has {nodes} and {cuts}.{kept}{time}"


def _overlaid(first: Recording, second: Recording) -> Figure | None:
    """The steps that show most of what differs; None where the recordings have no step in common.

    Constants that are the same in both have no arrows beside other values: their lane names them.
    """
    if not {*steps_of(first)} & {*steps_of(second)}:
        return None
    shown = overlay(whole(first), whole(second))
    last = shown.steps[-1]
    some = [step for step in shown.steps if step + STEPS <= last and step not in (*first.skipped, *second.skipped)]
    start = telling(shown, some or shown.steps[:1], STEPS)
    shown = shown.part(start, max(min(STEPS, last - start), 1))
    lanes, alone = {key.lane for key in shown.boxes}, shown.alone or {}
    same = [a for a in shown.arrows if a.source.step == FIXED and not a.mark and not alone[a.source.lane]]
    return replace(shown, arrows=[a for a in shown.arrows if a not in same or a.source.lane not in lanes])


def _drawn(
    title: str, tapes: Sequence[Recording], shown: Figure | None, caption: str, words: str, costs: Sequence[Cost]
) -> Picture:
    """Both recordings in one picture; of whole graphs the second alone where one is too large to be drawn whole."""
    if shown is not None:
        rows = [(which, tape.title or "", *_cells(each)) for tape, each, which in zip(tapes, costs, WHICH)]
        return Overlaid(shown, title, f"{caption} {NUMBERS}", rows).draw()
    graphs = [Boxes(tape) for tape in tapes]
    if any(steps_of(tape) or not tape.nodes for tape in tapes) or any(one.left_out > 0 for one in graphs):
        return Scene(tapes[1], title, f"{caption}\n{words}").draw()
    return Diagram(Pair(*graphs), (), f"{caption}\n{words}", title).draw()


def _cells(costs: Cost) -> list[str]:
    """What a step costs, as the cells of a table."""
    return [costs.nodes, costs.cuts, costs.kept or "not known yet", costs.time or "too few steps"]
