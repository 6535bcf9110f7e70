"""How a value became infinite or NaN, as a picture: the values that led to it, on a logarithmic scale."""

from __future__ import annotations

from math import inf, isfinite, isnan, log10

import numpy as np

from ..plain import count, short
from .canvas import Picture
from .graph import Graph
from .letters import clip
from .names import sized
from .records import Place
from .table import BASE, LEFT, ROW, Sheet, starts

MOST, WIDE, LONGEST = 14, 400, 26  # values that are drawn; how wide the scale is; characters of a text
KEYS = {"th-bar": "finite", "th-bar th-minus": "not finite"}


def chain(graph: Graph, place: Place, smallest: bool) -> list[Place]:
    """A value after those that it came from, oldest first: of each operation the largest operand, or the smallest.

    Of a division that is the divisor, as the norm of an array does not show its zeros. Of a rule without a gradient it
    is what the rule moves: nothing else has an effect.
    """
    found = [place]
    while edges := graph.sources(found[-1]):
        if any(graph.waiting(edge.place) for edge in edges):
            edges = edges[:1]
        sizes = {edge.place: _decades(graph.number(edge.place)) for edge in edges}
        divided = smallest and graph.tape.node(found[-1]).op == "divide"
        found.append(edges[-1].place if divided else (min if smallest else max)(sizes, key=sizes.__getitem__))
    return found[::-1]


def fitting(graph: Graph, found: list[Place]) -> list[Place]:
    """As many of a chain as fit: those without a name are left out first, then the oldest."""
    newest = found[::-1]
    newest.sort(key=lambda each: each != found[-1] and graph.known(each) is None)
    return [each for each in found if each in newest[:MOST]]


def drawn_chain(title: str, words: str, graph: Graph, place: Place, smallest: bool) -> Picture:
    """The picture of such a chain. place: the value at its end."""
    whole, info = chain(graph, place, smallest), np.finfo(graph.tape.output(place).dtype)
    found = fitting(graph, whole)
    cells = [("value", "made by", "number, or norm [shape]"), *[_row(graph, each) for each in found]]
    *places, end = starts(cells)
    left = end + LEFT
    low, high = _decades(float(info.tiny)), _decades(float(info.max))
    sheet, drawn = Sheet(title, words, left + WIDE + 2 * LEFT, ROW * (len(cells) + 5) + 6), set()
    one, bottom = left - low / (high - low) * WIDE, sheet.top + ROW * len(cells)
    least, most = (short(float(number)) for number in (info.tiny, info.max))
    for x, label, anchor in ((left, least, "start"), (one, "1", "middle"), (left + WIDE, most, "end")):
        sheet.write(x, sheet.top + BASE, label, "th-head", None, anchor)
        sheet.add("path", d=f"M{x:g} {sheet.top + ROW - 4} V{bottom}", class_="th-value")
    for n, row in enumerate(cells):
        sheet.row(n, places, row, "" if n else "th-head")
    for n, each in enumerate(found, start=1):
        number = graph.number(each)
        if number is not None and not isnan(number):
            there = left + WIDE * (min(max(_decades(number), low), high) - low) / (high - low)
            style = "th-bar" if isfinite(number) else "th-bar th-minus"
            sheet.bar(n, min(one, there), abs(there - one), style)
            drawn.add(style)
    which = "smallest" if smallest else "largest"
    more = len(whole) - len(found)
    through = f", or through {count(more, 'value')} without a row between them" if more else ""
    notes = [f"A row was computed from the row above it{through}."]
    notes += [f"Of several operands that had an effect, the {which} has the row."]
    notes += [f"The scale is logarithmic and holds all sizes of {info.dtype}."]
    for n, note in enumerate(notes):
        sheet.row(len(cells) + 1 + n, [LEFT], [note], "th-small")
    sheet.keys(len(cells) + 1 + len(notes), {style: words for style, words in KEYS.items() if style in drawn})
    return sheet.picture()


def _row(graph: Graph, place: Place) -> tuple[str, str, str]:
    """A value's name, what made it, and its number or norm."""
    node, output = graph.tape.node(place), graph.tape.output(place)
    made = node.op or {"gradient": "backward()", "earlier": "before the recording"}.get(node.kind, f"a {node.kind}")
    made += f" in {node.vjp_of}'s VJP" if node.vjp_of and not made.endswith(".vjp") else ""
    number = short(graph.number(place))
    size = number if output.number is not None else f"norm {number} {sized(output)}"
    return clip(graph.known(place) or "no name", LONGEST), clip(made, LONGEST), size


def _decades(number: float | None) -> float:
    """The logarithm of how large a number is."""
    return -inf if not number or isnan(number) else log10(abs(number))
