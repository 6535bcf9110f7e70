"""A backward pass as pictures, one for each stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..arguments import whole
from ..errors import ArgumentError
from ..plain import short
from .boxes import Boxes
from .canvas import SLIDE, Picture
from .captions import numbered
from .diagram import Diagram
from .figure import figure, steps_of
from .graph import Graph
from .passes import Pass, Stop, passes
from .picture import Drawing
from .records import Place, Recording
from .shapes import Key
from .text import listed

D = TypeVar("D", bound=Drawing | Diagram)
EARLIER = 3  # so many steps before that of the loss are drawn, if the gradient comes so far


def frames(tape: Recording, step: int | None = None, *, scale: float = 1.0) -> list[Picture]:
    """One backward pass as pictures, one for each stop: the loss, each box where the gradient arrives, each cut.

    They follow one another as the recorded sweep did. With `th.record(ghosts=True)` each stop has its number; without,
    those where `backward()` left a gradient.
    step: the number of that of the loss; by default the last that has one.  scale: how large the pictures are, a number
    > 0.
    A graph without optimizer steps is drawn whole. Raises ArgumentError if no backward pass began in that step.
    """
    graph = Graph(tape)
    found = passes(graph)
    steps = sorted({tape.node(one.loss).step for one in found})
    if not steps:
        raise ArgumentError("frames: this recording holds no backward pass; record loss.backward() with the loss")
    step = steps[-1] if step is None else whole("frames: step", step, 0)
    if step not in steps:
        raise ArgumentError(
            f"frames: no backward pass began in step={step}; some began in the steps {', '.join(map(str, steps))}"
        )
    draw = _steps if step in steps_of(tape) else _whole
    shown = [one for one in found if tape.node(one.loss).step == step]
    return [picture.draw(scale) for one in shown for picture in draw(graph, one)]


class Halt(NamedTuple):
    """The stops that are drawn at one place.

    value: what arrived, as a number or a norm; None where it is not known.  norm: whether it is a norm.
    """

    place: Any
    stops: list[Stop]
    norm: bool

    @property
    def value(self) -> float | None:
        values = [stop.value for stop in self.stops if stop.value is not None]
        if len(values) < len(self.stops):
            return None
        return values[0] if len(values) == 1 else math.hypot(*values)

    @property
    def cuts(self) -> list[int]:
        return [stop.cut for stop in self.stops if stop.cut is not None]


def halts(graph: Graph, stops: Sequence[Stop], where: Callable[[Stop], Any]) -> list[Halt]:
    """The stops by where they are drawn. What arrives at one place is complete with its last stop.

    where: None for a stop that is not drawn.
    """
    found: dict[Any, list[Stop]] = {}
    for stop in stops:
        if (place := where(stop)) is not None:
            found[place] = [*found.pop(place, []), stop]

    def norm(those: Sequence[Stop]) -> bool:
        return len(those) > 1 or graph.tape.output(_at(graph, those[0])).number is None

    return [Halt(place, those, norm(those)) for place, those in found.items()]


class _Steps(Drawing):
    """Some steps."""

    broad, tells = SLIDE, True


def _steps(graph: Graph, one: Pass) -> list[_Steps]:
    tape, last = graph.tape, graph.nodes[one.loss[0]].step
    came = min(tape.node(_at(graph, stop)).step for stop in one.stops)
    first = min(step for step in steps_of(tape) if step >= max(came, last - EARLIER))
    shown = figure(tape, first, count=last - first + 1)
    cut = {cut.number: (arrow.target, arrow.source) for arrow in shown.arrows for cut in arrow.cuts}
    start = shown.where[one.loss]

    def where(stop: Stop) -> tuple[Key, Key] | None:
        """The target and the source of what is cut; a box, twice."""
        if stop.cut is not None:
            return cut.get(stop.cut)
        assert stop.place is not None
        key = shown.where.get(stop.place)
        return None if key is None or (key.kind == "loss" and stop.place != one.loss) else (key, key)

    found, drawn = halts(graph, one.stops, where), []
    norms = {halt.place[0] for halt in found if halt.norm}
    branches: list[tuple[list[Key], float]] = []
    ghosts: dict[int, str] = {}
    for halt in found:
        key, source = halt.place
        way = shown.way(start, key)
        if source != key:
            ghosts = ghosts | dict.fromkeys(halt.cuts, _ghost(halt))
        elif halt.value is not None and len(way) > 1:
            branches = [*branches, (way[-2:], halt.value)]
        caption = _caption(graph, one, found, halt)
        drawn.append(partial(_Steps, shown, way, halt.cuts, caption, branches, ghosts=ghosts, norms=norms))
    return _of_one_height(drawn)


class _Whole(Diagram):
    """A graph without steps."""

    above, down, cut, head = 40, 84, 160, 20  # there is room for the numbers


def _whole(graph: Graph, one: Pass) -> list[_Whole]:
    boxes = Boxes(graph.tape)
    cuts = {cut for *_, cut in boxes.joins}

    def where(stop: Stop) -> tuple[str, int] | None:
        """A box stands for the newest operation in it."""
        if stop.cut is not None:
            return ("cut", stop.cut) if stop.cut in cuts else None
        assert stop.place is not None
        return ("box", stop.place[0]) if stop.place[0] in boxes.inside else None

    found, drawn = halts(graph, one.stops, where), []
    arrived: dict[int, str] = {}
    ghosts: dict[int, str] = {}
    for halt in found:
        if halt.cuts:
            ghosts = ghosts | dict.fromkeys(halt.cuts, _ghost(halt))
        else:
            arrived = arrived | {halt.place[1]: _told(halt)}
        caption = _caption(graph, one, found, halt)
        drawn.append(partial(_Whole, boxes, halt.cuts, caption, arrived=arrived, ghosts=ghosts))
    return _of_one_height(drawn)


def _of_one_height(drawn: Sequence[Callable[..., D]]) -> list[D]:
    """Pictures that each leave room for the longest caption."""
    least = max(len(draw().lines) for draw in drawn)
    return [draw(least=least) for draw in drawn]


def _at(graph: Graph, stop: Stop) -> Place:
    """What a stop is at, or what is behind its cut."""
    return stop.place or graph.cuts[stop.cut or 0].place


def _told(halt: Halt) -> str:
    return "" if halt.value is None else f"{'norm ' if halt.norm else ''}{short(halt.value)}"


def _ghost(halt: Halt) -> str:
    return "" if halt.value is None else f"ghost {_told(halt)}"


def _caption(graph: Graph, one: Pass, found: Sequence[Halt], halt: Halt) -> str:
    """What happens at a stop."""
    loss, after = graph.name(one.loss), graph.nodes[one.loss[0]].step + 1
    skipped = f"; step {after} was skipped" if after in graph.tape.skipped else ""
    number = f"Stop {found.index(halt) + 1} of {len(found)}{skipped}."
    value = halt.value
    if halt.cuts:
        cuts, s = [graph.cuts[cut] for cut in halt.cuts], "" if len(halt.cuts) == 1 else "s"
        many = numbered(halt.cuts)
        stops = f"{many[0].upper()}{many[1:]} stop{'' if s else 's'}"
        told = f"{stops} the gradient on its path to {listed(graph.name(cut.place) for cut in cuts)}"
        ghost = "" if value is None else f"; the {'norm of the ' if halt.norm else ''}ghost{s} is {short(value)}"
        behind = "" if any(cut.severed for cut in cuts) else f" Without the cut{s} it would end here, too."
        return f"{number} {told}{ghost}.{behind}"
    places = [stop.place for stop in halt.stops if stop.place is not None]
    if places == [one.loss]:
        return f"{number} backward() begins at {loss}" + ("." if value is None else f", with {short(value)}.")
    told = f"The gradient of {loss} arrives at {listed(map(graph.name, places))}"
    if value is None:
        return f"{number} {told}."
    return f"{number} {told}: {_told(halt) if halt.norm else graph.left(places[0], value)}."
