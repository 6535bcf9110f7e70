"""Questions about moves: which level moved a value, by how much, and why it left its range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from ..optim.ranges import bounding, in_range
from ..plain import NOUGHT, Printed, apart, count, short, signed, steps_told
from .answers import Answer
from .canvas import Picture
from .graph import Graph
from .records import Place, Recording
from .scene import Scene
from .text import site

MOST = 5  # moves that a picture shows
MORE = 9  # digits that are too many


class MoveRecord(NamedTuple):
    """What a value was made of: the old value, its gradient, by whom, and the rates; None where it is not known.

    factors: the rate and the gradient whose product is the move, each in as many digits as show that it is.
    """

    old: Place | None = None
    gradient: Place | None = None
    by: str = ""
    rates: tuple[Place, ...] = ()
    factors: Mapping[Place, float] = MappingProxyType({})


def moved(tape: Recording, of: str) -> Answer:
    """Which level moved a value, and by how much at each step.

    of: a name as in `paths`, all its steps. Raises ArgumentError for an unknown name, DtypeError if it is not a string.
    """
    graph = Graph(tape)
    moves = [(_move(graph, place), place) for place in graph.find(of)]
    found = [(m.old, place, m.gradient, m.by) for m, place in moves if m.old is not None and m.gradient is not None]
    made = [move for move in found if not tape.dropped(move[1])]
    question, what = f"Which level moved {of}, and by how much?", ""
    skipped = [tape.node(place).step for _, place, *_ in found if tape.dropped(place)]
    if not made:
        text = f"Nothing moved {of}: no step of this recording computed it from an earlier value and a gradient."
        text = f"Nothing moved {of}.{_dropped(skipped)}" if skipped else text
        return Answer(question, text, draw=Scene(tape, question, text).draw)
    still = [move for move in made if _still(graph, *move[:3])]
    shown = [move for move in made if move not in still] or made
    last, by = made[-1][1], shown[-1][3]
    name = graph.known(last, timeless=True)
    columns: tuple[str, ...] = ("change", f"∂loss/∂{name}")
    records = {place: move for move, place in moves}
    if len({by for *_, by in shown}) > 1:  # the rates were moved, too
        by = by.partition(" (")[0]
    if graph.coordinate(last):  # the level above moves it in another coordinate
        what = str(graph.tuned(last, timeless=True))
        columns = (f"change of {what}", f"∂loss/∂{what}", f"∂loss/∂{name}")
    rows: list[tuple[Any, ...]] = []
    for old, place, slope, level in found:
        new = place
        number, step = graph.number(slope), tape.node(new).step
        if step in skipped:
            new, level = old, "nothing: the step was skipped"
        numbers = _change(graph, old, new), records[place].factors.get(slope, number), graph.meant(old, number)
        rows.append((step, graph.number(old), graph.number(new), *numbers[: len(columns)], level))
    ends = apart([number for row in rows for number in row[1:3]])
    rows = [(row[0], *ends[2 * n : 2 * n + 2], *row[3:]) for n, row in enumerate(rows)]
    total = sum(row[3] for row in rows if row[3] is not None)
    begin, end = _both(graph, made[0][0], last)
    array, text = rows[0][3] is None, f"Nothing moved {of}"
    if shown != still:
        text = f"{of} was moved {count(len(shown), 'time')} by {by}, from {begin} to {end}"
        text += "" if array or what else f" ({signed(total)} in all)"
    for (_, new, *_), (old, then, *_) in pairwise(made):
        before, after = _both(graph, new, old)
        if before != after:
            text += f", and set by hand from {before} to {after} before step {tape.node(then).step}"
    text += f"; these are norms, as {of} is an array." if array and shown != still else "."
    if what and shown != still:
        text += f" The level moves {what}: this changed by {signed(total)} in all."
    text += _stayed(graph, still) + _dropped(skipped)
    changes = [(_change(graph, old, new), tape.node(new).step) for old, new, *_ in shown]
    steps = [f"{signed(change)} at step {step}" for change, step in changes if change is not None]

    def draw() -> Picture:
        """As many of the last moves as a slide is wide enough for."""
        for most in range(min(len(shown), MOST), 0, -1):
            few = "Moves" if most == len(shown) else "Last moves" if what else "Last"
            each = f" {few}{f' of {what}' if what else ''}: {', '.join(steps[-most:])}." if steps else ""
            pairs = [(slope, new) for _, new, slope, _ in shown[-most:]]
            asked = [place for old, new, slope, _ in shown[-most:] for place in (old, slope, new, *records[new].rates)]
            factors = {at: number for _, new, *_ in shown[-most:] for at, number in records[new].factors.items()}
            scene = Scene(tape, question, text + each, asked=asked, moves=pairs, numbers=factors)
            if scene.fits:
                break
        return scene.draw()

    return Answer(question, text, ("step", "from", "to", *columns, "by"), rows, columns[0], draw)


def left_range(tape: Recording, of: str) -> Answer:
    """Why and when a hyperparameter left its range, as an alpha that turned negative did.

    of: a name as in `paths`, all its steps. Raises ArgumentError for an unknown name, DtypeError if it is not a string.
    """
    graph = Graph(tape)
    question, columns = f"Why did {of} leave its range, and when?", ("value", "is", "")
    rows: list[tuple[str, float, str]] = []
    gone = None
    for place in graph.find(of):
        label, value = graph.label(place), graph.number(place)
        if label is None or label.range is None or value is None:
            continue
        if tape.dropped(place):
            rows.append((graph.name(place), value, "skipped"))
            continue
        fits = in_range(value, label.range)
        if gone is None and not fits:
            gone = place, label.name, label.range
        low, high = label.range
        rows.append((graph.name(place), value, "" if fits else f"outside {low:g} to {high:g}"))
    if gone is None:
        lost = next((name for name, value, how in rows if not how and not math.isfinite(value)), None)
        if not rows:
            text = f"No range is known for {of}. In a step of your own, tape.label(..., range=(low, high)) gives one."
        elif lost is not None:
            text = f"It was lost: {lost} is not finite. th.inspect.first_nonfinite(tape) shows where that began."
        else:
            inside = sum(not how for *_, how in rows)
            are = "is" if inside == 1 else "are"
            text = f"It did not: {count(inside, 'value')} of {of} {are} in the range."
        return Answer(question, text, columns, rows)
    place, name, span = gone
    rows = [(row[0], number, row[2]) for row, number in zip(rows, apart([row[1] for row in rows]))]
    outside = [(name, number) for name, number, how in rows if how.startswith("outside")]
    old, gradient, by, rates, factors = _move(graph, place)
    text = (
        f"At step {tape.node(place).step}: {graph.name(place)} is {short(graph.number(place))}, outside its range of "
    )
    text += f"{span[0]:g} to {span[1]:g}."
    change = None if old is None else _change(graph, old, place)
    if old is not None and gradient is not None and change is not None:
        slope = short(factors.get(gradient, graph.number(gradient)))
        text += (
            f" {by} moved it from {short(graph.number(old))}, against a gradient of {slope}. "
            f"This step of {signed(change)} was longer than the distance to the end of the range. To keep {of} inside, "
            f'use a smaller step size at the level above, or coordinates={{"{name}": "{bounding(span)}"}}.'
        )
    if len(outside) > 1:
        (last, number), others = outside[-1], len(outside) - 1
        are = "is" if others == 1 else f"are {others} later values, the last"
        text += f" Outside, too, {are} {last}: {short(number)}."
    moves = [] if gradient is None else [(gradient, place)]
    asked = [place, *rates, *[slope for slope, _ in moves]]
    scene = Scene(tape, question, text, [place], asked=asked, moves=moves, numbers=factors)
    return Answer(question, text, columns, rows, draw=scene.draw)


def _move(graph: Graph, place: Place) -> MoveRecord:
    """What a step made a value of, by an optimizer's rule or written out."""
    node, label = graph.tape.node(place), graph.label(place)
    read = [edge.place for edge in graph.into[node.number]]
    if node.op is None or label is None:
        return MoveRecord()
    if not node.op.endswith(".rule") or len(read) < 2:  # a rule reads less if its operands are from before
        sources = [link.source for link in graph.links(place)]
        named = [(source, own) for source in sources if (own := graph.label(source)) is not None]
        meant = label.name, label.role, label.level
        old = next((source for source, own in named if (own.name, own.role, own.level) == meant), None)
        gradients = [p for p in sources if graph.tape.node(p).kind == "gradient" and graph.tape.node(p).of == old]
        return MoveRecord(old, gradients[0] if gradients else None, site(node))
    level = label.level + (label.role == "hyperparameter")
    rates = [
        p
        for p in read
        if (own := graph.label(p)) and own.role == "hyperparameter" and own.level == level and own.name != "t"
    ]
    factors = _factors(graph, (rates[0], read[1]), _change(graph, read[0], place)) if len(rates) == 1 else {}
    numbers = ", ".join([f"{graph.name(p)} = {short(factors.get(p, graph.number(p)))}" for p in rates])
    by = f"{node.op.removesuffix('.rule')} of level {level} ({numbers})"
    return MoveRecord(read[0], read[1], by, tuple(rates), factors)


def _factors(graph: Graph, places: Sequence[Place], change: float | None) -> dict[Place, float]:
    """Two numbers whose product is a change, in as many digits as a reader needs to see that; else none."""
    numbers = [graph.number(place) for place in places]
    for digits in range(4, MORE):
        printed = [Printed(number, short(number, digits)) for number in numbers if number is not None]
        product = math.prod([_rounded(number, digits) for number in printed])
        if change is not None and _rounded(product, 4) == _rounded(-change, 4):
            return dict(zip(places, printed))
    return {}


def _rounded(number: float, digits: int) -> float:
    """A number in so many digits."""
    return float(f"{number:.{digits}g}")


def _both(graph: Graph, old: Place, new: Place) -> list[str]:
    """The numbers of two values, in digits that tell them apart."""
    return [short(number) for number in apart([graph.number(place) for place in (old, new)])]


def _change(graph: Graph, old: Place, new: Place) -> float | None:
    """How far a number moved, in the coordinate in which it was moved; None for an array."""
    before, after = graph.tape.output(old).value, graph.tape.output(new).value
    return None if before is None or after is None else after - before


def _still(graph: Graph, old: Place, new: Place, gradient: Place) -> bool:
    """Whether a move left a value as it was; of an array, whether nothing tells that it changed."""
    change = _change(graph, old, new)
    return graph.number(old) == graph.number(new) and not graph.number(gradient) if change is None else change == 0


def _stayed(graph: Graph, moves: Sequence[tuple[Place, Place, Place, str]]) -> str:
    """At which steps a value stayed the same, and why, in words."""
    if not moves:
        return ""
    gradients, why = [gradient for *_, gradient, _ in moves], ""
    sizes = {short(graph.number(gradient)) for gradient in gradients}
    if all(map(graph.waiting, gradients)):
        why = ": no loss had sent a gradient yet"
    elif sizes <= {"0", NOUGHT}:
        why = f": its gradient was 0{' up to rounding' if NOUGHT in sizes else ''}"
    return f" At {steps_told([graph.tape.node(new).step for _, new, *_ in moves])} it stayed the same{why}."


def _dropped(steps: Sequence[int]) -> str:
    """Which steps were skipped, in words."""
    text = steps_told(steps).capitalize()
    return f" {text} {'was' if len(steps) == 1 else 'were'} skipped." if steps else ""
