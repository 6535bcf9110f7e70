"""What is alive when, as a picture: a row for nodes that were made and released together, a column for each step."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from ..plain import count, short
from .canvas import SLIDE, Picture
from .graph import Graph
from .memory import Alive, nbytes
from .records import Place
from .table import BASE, LEFT, LETTER, ROW, Sheet, starts
from .text import counted

WIDE, MOST, ROWS = 128, 7, 16  # how wide a column is; how many columns and rows are drawn, the last ones
AMOUNTS = 230  # about the width of what a row's nodes keep, and of what is beside it
KEYS = {"th-bar": "alive at one of these times", "th-bar th-minus": "alive at several of them"}


def timeline(title: str, words: str, graph: Graph, found: list[Alive]) -> Picture:
    """The picture of what was alive after each step, and at the end, if that differs. found: that, of all steps."""
    ends, times = graph.tape.ends, found[:-1] if found[-2:-1] and found[-2].nodes == found[-1].nodes else found
    shown = times[-MOST:]
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in sorted({number for now in shown for number in now.nodes}):
        groups[bisect_right(ends, number) + 1, graph.nodes[number].until or 0].append(number)
    spans, left_out = sorted(groups)[-ROWS:], []
    if earlier := len(times) - len(shown):
        left_out.append(count(earlier, "earlier step"))
    if rows := len(groups) - len(spans):
        left_out.append(count(rows, "older row"))
    head = ("nodes of", "they keep")
    room = int((SLIDE - 2 * LEFT - AMOUNTS - WIDE * len(shown)) / LETTER)
    cells = [head, *[_row(graph, groups[span], room) for span in spans], ("in all", "each array once")]
    (*places, left), keys = starts(cells), {}
    sheet = Sheet(title, words, left + WIDE * len(shown) + 2 * LEFT, ROW * (len(cells) + 2 + bool(left_out)) + 6)
    for n, row in enumerate(cells):
        sheet.row(n, places, row, "" if n else "th-head")
    steps = [now.step for now in shown]
    for column, now in enumerate(shown):
        x, size = left + WIDE * column, amount(now.bytes)
        sheet.row(0, [x], ["at the end" if now is found[-1] else f"after step {now.step}"], "th-head")
        sheet.row(len(cells) - 1, [x], [size])
        sheet.add("path", d=f"M{x - 8:g} {sheet.top} V{sheet.top + ROW * len(cells)}", class_="th-value")
    for n, (born, until) in enumerate(spans, start=1):
        begin, end = max(born, steps[0]) - steps[0], min(until, steps[-1]) - steps[0] + 1
        style = "th-bar th-minus" if min(until, steps[-1]) > born else "th-bar"
        keys[style] = KEYS[style]
        sheet.bar(n, left + WIDE * begin - 8, WIDE * (end - begin), style)
        if until >= len(ends):
            sheet.write(left + WIDE * end, sheet.top + ROW * n + BASE, "→")
    sheet.keys(len(cells) + 1, keys, "→ still alive at the end" if spans and spans[-1][1] >= len(ends) else "")
    if left_out:
        sheet.row(len(cells) + 2, [LEFT], [f"{' and '.join(left_out)} left out"], "th-small")
    return sheet.picture()


def _row(graph: Graph, numbers: list[int], room: int) -> tuple[str, str]:
    """What a row of nodes is called, in about so many characters, and the arrays that they keep."""
    places: list[Place] = [(number, 0) for number in numbers]
    names = [graph.name(place) for place in sorted(places, key=lambda place: graph.known(place) is None)]
    kept = {place for number in numbers for place in graph.nodes[number].saved}
    size = amount(sum(nbytes(graph.tape, place) for place in kept))
    few = max([n for n in range(2, len({*names}) + 1) if len(counted(names, n)) <= room], default=1)
    return counted(names, few), f"{count(len(kept), 'array')}, {size}"


def amount(size: float) -> str:
    """So many bytes, in few digits."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{short(size)} {unit}"
        size /= 1000
    return f"{short(size)} GB"
