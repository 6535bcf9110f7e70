"""Questions about gradients: where they are cut, along which paths they flow, why one is zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..plain import NOUGHT, count, short
from .answers import Answer
from .captions import Captions
from .figure import steps_of
from .figure import whole as whole_figure
from .ghosts import size
from .graph import Graph
from .groups import ARROW, FEW, LISTED, Row, beside, contributions, leading, named, together, told, way_of
from .names import STEP, order
from .names import named as by_label
from .passes import passes, vanishing
from .paths import Part, Paths
from .records import Cut, Place, Recording, walk
from .scene import Flow, Scene
from .shapes import Key
from .text import listed, site
from .zeros import Segment, Zeros, blamed, lost, read_by

GROUPED = " Paths with the same boxes form a group."
WAYS = 100  # ways through the boxes of a picture that are followed


def paths(tape: Recording, of: str, limit: int = 20) -> Answer:
    """Along which paths a gradient flows, and what each contributes; the contributions add up to the gradient.

    of: a hyperparameter, "alpha", at the last step where it got a gradient; or "alpha[2]" at a step.
    limit: about how many paths to list. Raises ArgumentError for an unknown name, DtypeError if it is not a string,
    GraphError without ghosts.
    """
    graph = Graph(tape)
    place = _asked(graph, of)
    name, gradient = graph.name(place), graph.gradient(place)
    question = f"Why does {name} get a gradient, and along which paths?"
    if gradient is None:
        return _without(graph, question, place, "It gets none. ")
    found = Paths(tape, limit)
    losses = found.losses(gradient)
    parts = sorted((p for loss in losses for p in found.parts(place, loss)), key=lambda p: -abs(size(p.value)))
    whole: Any = sum((part.value for part in parts), np.zeros(()))
    values = contributions([part.value for part in parts], whole)
    shares = [f"{short(100 * value / sum(values))} %" if sum(values) else "–" for value in values]
    columns: tuple[str, ...] = ("path", "contribution", "share")
    rows: list[tuple[Any, ...]] = [
        (_path(graph, part), value, share) for part, value, share in zip(parts, values, shares)
    ]
    if graph.coordinate(place):
        columns += (f"to ∂loss/∂{graph.known(place, timeless=True)}",)
        rows = [(*row, graph.meant(place, row[1])) for row in rows]
    if parts:
        text = _came(graph, place, gradient, losses, parts)
        against = any(value * sum(values) < 0 for value in values)
        text += " A path with a negative share works against the others." if against else ""
    else:
        text = (
            f"backward() left {graph.left(place, graph.number(gradient))} in the .grad of {name}. This recording holds "
            f"no path from a loss to {name}: the loss was computed before the recording began. Record from the forward "
            "pass on to see the paths."
        )

    each = [(_between(graph, part), part.paths, value) for part, value in zip(parts, values)]
    shown = whole_figure(tape) if len(parts) > 1 and steps_of(tape) else None
    where = {} if shown is None else shown.where
    ways = found.ways(place, losses, where, WAYS)
    came = contributions([way.value for way in ways.values()], whole)
    groups = named({way: one.paths for way, one in ways.items()}, came) if len(ways) > 1 else []
    number = sum(part.paths for part in parts)
    most = FEW if number <= FEW else LISTED
    lines = told(each, number, most) if len(each) > 1 else ""
    lines = f" {lines[:1].upper()}{lines[1:]}." if lines else ""
    blocks: list[list[Row]] = []
    if groups and shown is not None:
        routes = [way_of(part.through[: -1 if part.paths > 1 else None], where) for part in parts]
        letters = [leading(groups, route) for route in routes]
        called = Captions(shown).brief
        columns, rows = (*columns, "group"), [(*row, letter) for row, letter in zip(rows, letters)]
        for group in groups[:most]:
            blocks.append(group.rows([one for one, letter in zip(each, letters) if letter == group.name], most, called))
        more = sum(group.number for group in groups[most:])
        question, text = f"Which part of the gradient of {name} came along which path?", text + GROUPED
        lines = GROUPED + (f" Other groups have {more} more." if more else "")

    def flow(boxes: Mapping[Place, Key]) -> Flow:
        """What came along each arrow of the picture, by which groups of paths, and which of them most."""
        between = found.between(place, losses, boxes)
        amounts = dict(zip(between, contributions([*between.values()], whole)))
        if not groups:
            return Flow(amounts, next(iter(found.ways(place, losses, boxes, WAYS)), ()), told=lines)
        first = groups[0]
        which = "path" if len(groups) == number else f"group of {count(first.number, 'path')}"
        words = f"the {which} that contributes most: {together(first.value, first.number)}"
        return Flow(amounts, first.way, words, lines, beside(groups), blocks)

    caption = text.split(". ")[0] + "."
    ends = [place, *(part.through[0] for part in parts)]
    scene = Scene(tape, question, caption, ends, flow=flow if parts else None, asked=[place])
    return Answer(question, text, columns, rows, "contribution", scene.draw)


def why_zero(tape: Recording, of: str) -> Answer:
    """Why a hyperparameter's gradient is zero or missing: no path, a path that is cut, or a product that is 0.

    of: "alpha", at the last step where its gradient is 0, or as in `paths` if it is 0 nowhere; or "alpha[2]" at a step.
    Raises ArgumentError for an unknown name, with the names there are, DtypeError if it is not a string.
    """
    graph = Graph(tape)
    place = _asked(graph, of, zero=True)
    name, gradient = graph.name(place), graph.gradient(place)
    question = f"Why is the gradient of {name} zero?"
    if gradient is None:
        return _without(graph, question, place)
    if _tiny(graph, gradient):
        return _numerically(graph, question, place, gradient)
    text = f"It is not zero: backward() left {graph.left(place, graph.number(gradient))} in the .grad of {name}."
    return Answer(question, text, draw=Scene(tape, question, text, [place], asked=[place]).draw)


def _asked(graph: Graph, of: str, zero: bool = False) -> Place:
    """The value that is meant: the last with a gradient (with one that is 0, if there is), or else the last."""
    places = graph.find(of)
    graded = {place: gradient for place in places if (gradient := graph.gradient(place)) is not None}
    none = [place for place, gradient in graded.items() if graph.number(gradient) == 0]
    tiny = [place for place, gradient in graded.items() if _tiny(graph, gradient)]
    return ((none or tiny if zero else ()) or [*graded] or places)[-1]


def _tiny(graph: Graph, gradient: Place) -> bool:
    """Whether a gradient is 0, at least up to rounding."""
    number = graph.number(gradient)
    return not number or short(number) == NOUGHT


def _numerically(graph: Graph, question: str, place: Place, gradient: Place) -> Answer:
    """The gradient is 0, at least up to rounding: each path multiplies by 0, or contributions cancel."""
    tape, name, loss = graph.tape, graph.name(place), graph.tape.node(gradient).loss
    left = f"backward() left {graph.left(place, float(graph.number(gradient) or 0.0))} in the .grad of {name}"
    text = f"A path without a cut leads from the loss to {name}, but it contributes 0: {left}."
    text = f"It is 0 up to rounding: {left}." if graph.number(gradient) else text
    if tape.program is None or loss is None:
        text += " Record with ghosts=True to see where it became 0."
        return Answer(question, text, draw=Scene(tape, question, text, [place], asked=[place]).draw)
    found = Paths(tape)
    parts = found.parts(place, loss)
    bound = graph.bound(place)
    if any(abs(size(part.value)) > bound for part in parts):
        text = f"The contributions of the paths to {name} cancel each other."
    parts.sort(key=lambda part: (-abs(size(part.value)) if abs(size(part.value)) > bound else 0.0, part.through[1:]))
    read: dict[str, Zeros] = {}  # by reason
    rows = [(_path(graph, part), size(part.value), _because(graph, found, part, bound, read)) for part in parts]
    text += blamed(graph, name, [*read.values()])
    if reasons := listed(why for *_, why in rows if why and why not in read):
        text += f" On the other paths, {reasons}." if read else f" {reasons[:1].upper()}{reasons[1:]}."
    answering = {zero for each in read.values() for zero in each.blamed}
    scene = Scene(tape, question, text, parts[0].through if parts else [place], asked=[place, gradient, *answering])
    return Answer(question, text, ("path", "contribution", "because"), rows, draw=scene.draw)


def _because(graph: Graph, paths: Paths, part: Part, bound: float, read: dict[str, Zeros]) -> str:
    """Why the contribution of one path is 0: a cotangent on it that is 0, or a value that multiplies it.

    bound: below which it is 0 up to rounding.  read: where to note which values of 0 an operation read.
    """
    if abs(size(part.value)) > bound:
        return ""
    for place in part.through[1:-1]:
        if graph.tape.output(place).gradient == 0:
            return f"the gradient with respect to {graph.name(place)} is 0 already"
    step = None if part.paths > 1 else Segment(paths.rerun, *part.through[-2:])
    if step is not None and (zeros := step.to_blame()):
        node, names = graph.nodes[part.through[-2][0]], listed(map(graph.name, zeros), len(zeros))
        when = "" if all(STEP.fullmatch(name) for name in map(graph.name, zeros)) else f" at step {node.step}"
        why = f"{node.op} read {names} = 0{when}"
        made = [(node.number, n) for n in read_by(graph, node) if n]
        made = [each for each in made if any(edge.place == part.through[-1] for edge in graph.sources(each))]
        changed = [each for each in made if Segment(paths.rerun, each, part.through[-1]).flows()]
        how = lost(paths.rerun, graph, node, [n for _, n in changed], part.through[-1])
        read[why] = Zeros(f"{node.op}", part.through[-2], zeros, changed, how)
        return why
    if step is not None and (number := step.flat()) is not None:
        return f"the derivative of {graph.nodes[number].op} is 0 there, {site(graph.nodes[number])}"
    return "its terms add up to 0"


def _stopping(graph: Graph, place: Place) -> list[Cut]:
    """The first cuts on the paths from a value to the losses."""

    def ahead(here: Place) -> list[Place]:
        return [
            (edge.target, n)
            for edge in graph.out[here[0]]
            if edge.output == here[1] and edge.flow == "kept"
            for n in range(len(graph.nodes[edge.target].outputs))
            if edge in graph.sources((edge.target, n))
        ]

    reached = walk([place], ahead)
    leading = {number for number, _ in graph.behind(graph.losses, ("kept", "value", "cut"))}
    return [cut for cut in graph.cuts if cut.place in reached and not leading.isdisjoint(cut.targets)]


def _without(graph: Graph, question: str, place: Place, begin: str = "") -> Answer:
    """No gradient reached a value: each path is cut, or there is none. begin: how the answer begins."""
    name, zero, constant = graph.name(place), vanishing(graph), graph.tape.node(place).kind == "constant"
    kept = place in graph.behind(graph.losses, ("kept",))
    stopping = [] if constant or kept else _stopping(graph, place)
    if constant:
        text = f"{name} is a constant: no level above tunes it, so it gets no gradient."
    elif place in graph.losses:
        begin, text = "", f"A backward pass begins at {name}. Paths lead from there to the values that it depends on."
    elif any(stop.place == place for one in passes(graph) for stop in one.stops):
        begin, text = "", f"A backward pass went through {name}. It is not a leaf: retain_grad() keeps its gradient."
    elif kept:
        text = (
            f"A loss depends on {name} along kept edges, but no backward pass has reached {name} yet. In a window of "
            "the horizon, step() computes the hypergradient when the window ends. With horizon=None the window never "
            "ends: a plain backward() computes it."
        )
    elif stopping:
        where = [f"cut {cut.number} of {graph.cut_name(cut)}" for cut in stopping]
        text = f"Every path from a loss back to {name} is cut, at {', '.join(where)}.{_stopped(graph, stopping, zero)}"
    elif place in graph.behind(graph.losses, ("kept", "gate")):
        text = (
            f"A loss reads {name} at a gate, where the gradient that this loss itself sends back stops. A later loss "
            f"of the window reaches {name} through the gradient by which a step has moved the weights."
        )
    elif place in graph.behind(graph.losses, ("kept", "value")):
        text = f"A loss depends on {name}, but only through an operation that recorded no gradient, as in no_grad()."
    elif not any(loss > place for loss in graph.losses):
        text = f"There is no path yet: no loss was computed after {name}."
    else:
        text = (
            f"There is no path: no loss depends on {name}. The step that reads {name} moves the weights; only a loss "
            "that is computed from the moved weights depends on it."
        )
    rows = [(c.number, graph.tuned(c.place) or graph.name(c.place), c.reason, site(c), c.ghost) for c in stopping]
    text = begin + text
    sizes = {cut.number: 0.0 if cut.number in zero else cut.ghost for cut in stopping if cut.ghost is not None}
    told = {number: f"ghost {short(size)}" for number, size in sizes.items()}
    scene = Scene(graph.tape, question, text, [place], [cut.number for cut in stopping], asked=[place], ghosts=told)
    return Answer(question, text, ("cut", "of", "reason", "line", "ghost"), rows, draw=scene.draw)


def _stopped(graph: Graph, cuts: Sequence[Cut], zero: Collection[int]) -> str:
    """The ghosts of some cuts, in words. zero: the cuts whose ghost is 0, at least up to rounding."""
    told = {cut.number: graph.left(cut.place, cut.ghost) for cut in cuts if cut.ghost is not None}
    told |= {c.number: f"0 up to rounding ({told[c.number]})" for c in cuts if c.ghost and c.number in zero}
    if len(cuts) == len(told) == 1:
        return f" The ghost of the cut, the gradient that it stopped, is {told[cuts[0].number]}."
    ghosts = "; ".join([f"{text} at cut {number}" for number, text in told.items()])
    return f" The ghosts of these cuts, the gradients that they stopped, are {ghosts}." if told else ""


def _came(graph: Graph, place: Place, gradient: Place, losses: Sequence[Place], parts: Sequence[Part]) -> str:
    """In words: which losses a gradient is of, what its paths lead through, and what was cut beside them."""
    name, start = graph.name(place), ", ".join(map(graph.name, losses))
    total = size(sum((part.value for part in parts), np.zeros(())))
    number, left = sum(part.paths for part in parts), graph.number(gradient)
    text = f"{start} reach{'es' if len(losses) == 1 else ''} {name} along {count(number, 'path')} without a cut; "
    text += f"together {'they contribute' if number > 1 else 'it contributes'} {short(total)}. "
    text += f"backward() left {graph.left(place, left)} in its .grad."
    if left is not None and not np.isclose(left, total, 1e-6, 1e-12, equal_nan=True):
        text += " That differs from the sum: .grad also holds the gradients of other backward passes."
    turns = order(graph.tape)

    def turn(place: Place) -> tuple[Any, ...]:
        """Values before the gradients of their step, and in the order in which a step moves them."""
        node, label = graph.tape.node(place), graph.label(graph.tape.node(place).of or place)
        return node.step, node.of is not None, turns.get(by_label(label), 0) if label else len(turns), place

    between = sorted({place for part in parts for place in part.through[1:-1]}, key=turn)
    if between:
        text += f" The path{'s lead' if number > 1 else ' leads'} through {listed(map(graph.name, between))}."
    nodes = {number for number, _ in between}
    beside = [graph.cut_name(cut) for cut in graph.cuts if not nodes.isdisjoint(cut.targets)]
    if beside:
        text += f" Off the path{'s' if number > 1 else ''} the gradient was cut, at {listed(beside)}."
    return text


def _path(graph: Graph, part: Part) -> str:
    """A path, or several, by the names on it."""
    first, *names, last = [graph.name(place) for place in part.through]
    return ARROW.join([first, *names, *([f"({part.paths} paths)"] if part.paths > 1 else []), last])


def _between(graph: Graph, part: Part) -> str:
    """What a path leads through, by names."""
    return ARROW.join([graph.name(place) for place in part.through[1:-1]])
