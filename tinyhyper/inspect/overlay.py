"""Two figures, one over the other: the second with what only the first has, and marks where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from .shapes import FIXED, Alone, Arrow, Box, Figure, Key, Mark

T = TypeVar("T")
NO_NUMBERS: dict[str, Any] = {"norms": {}, "meant": {}, "number": None}  # in the picture are those of the second
CHANGED: tuple[Mark, ...] = ("cut-first", "cut-second", "value-first", "value-second")


def differing(first: Mapping[T, Collection[str]], second: Mapping[T, Collection[str]]) -> dict[tuple[T, str], Mark]:
    """The marks of what two recordings do not share, by link and by what it does to gradients.

    first, second: by link, what it does to gradients. A link that does something else in the second is marked there.
    """
    found: dict[tuple[T, str], Mark] = {}
    for link in dict.fromkeys([*second, *first]):
        mine, theirs = set(first.get(link, ())), set(second.get(link, ()))
        gone, new = mine - theirs, theirs - mine
        found.update({(link, flow): _changed(gone, flow) if gone else "second" for flow in new})
        if not new:
            found.update({(link, flow): "first" for flow in gone})
    return found


def _changed(before: Collection[str], flow: str) -> Mark:
    """The mark of a link that is in both. before: what it does in the first, where it does not do this.

    At an idle cut no gradient would arrive, either.
    """
    cuts = {"cut", "idle"}
    if flow in cuts and cuts.intersection(before):
        return "value-first" if flow == "cut" else "value-second"
    if cuts.intersection(before):
        return "cut-first"
    if flow in cuts:
        return "cut-second"
    return "value-first" if "value" in before else "value-second"


def overlay(first: Figure, second: Figure) -> Figure:
    """The second figure with what only the first has, at the steps that both have."""
    found = differing(_flows(first), _flows(second))
    own, others = ({(arrow.source, arrow.target, arrow.flow) for arrow in one.arrows} for one in (second, first))
    arrows = [replace(arrow, mark=_mark(arrow, found, others)) for arrow in second.arrows]
    for arrow in first.arrows:
        ends = arrow.source, arrow.target, arrow.flow
        if ends not in own and any(found.get(((*ends[:2], *names), arrow.look)) == "first" for names in arrow.links):
            arrows.append(replace(arrow, mark="first"))
    boxes = {
        key: _both(first.boxes[key], box) if key in first.boxes else replace(box, mark="second")
        for key, box in second.boxes.items()
    }
    boxes |= {
        key: replace(box, **NO_NUMBERS, names=dict.fromkeys(box.names), mark="first", rule=None)
        for key, box in first.boxes.items()
        if key not in second.boxes
    }
    fixed, alone = {}, {}
    for lane in {**second.fixed, **first.fixed}:
        mine, theirs = first.fixed.get(lane, {}), second.fixed.get(lane, {})
        fixed[lane] = {**mine, **theirs}
        alone[lane] = {*_alone(mine, theirs).values()} if mine and theirs else set()
    steps = [step for step in second.steps if step in first.steps]
    return Figure(steps, boxes, arrows, fixed, None, {}, alone)


def telling(shown: Figure, steps: Collection[int], count: int) -> int:
    """The step from which so many steps show most of what differs; the last such step. steps: those to choose from."""
    seen: dict[int, set[Any]] = defaultdict(set)
    for arrow in shown.arrows:
        if arrow.mark:
            (lane, step, kind), target = arrow.source, arrow.target
            before = target.step if step == FIXED else step
            what = arrow.mark, arrow.flow, lane, kind, target.lane, target.kind, target.step - before
            for start in range(target.step - count + (target.kind != "values"), before + 1):
                seen[start].add(what)
    return max(steps, key=lambda step: (len(seen[step]), step))


def _flows(shown: Figure) -> dict[tuple[Key, Key, str, str], set[str]]:
    """By two boxes and the names of two values in them, what an edge between these does to gradients."""
    found: dict[tuple[Key, Key, str, str], set[str]] = defaultdict(set)
    for arrow in shown.arrows:
        for names in arrow.links:
            ends = (arrow.source, arrow.target, *names)
            found[ends].add(arrow.look)
    return found


def _mark(arrow: Arrow, found: Mapping[Any, Mark], others: Collection[Any]) -> Mark:
    """The mark of an arrow of the second figure. others: the arrows of the first."""
    ends = arrow.source, arrow.target
    here = {found.get(((*ends, *names), arrow.look)) for names in arrow.links}
    changed = next((mark for mark in CHANGED if mark in here), None)
    return changed or ("" if (*ends, arrow.flow) in others else "second")


def _both(mine: Box, theirs: Box) -> Box:
    """A box of both figures, as it is in the second, with the values that only the first has in it."""
    fields: dict[str, Any] = {}
    for field in ("names", "norms", "coordinates", "meant"):
        values = {name: value for name, value in getattr(mine, field).items() if name not in theirs.names}
        fields[field] = getattr(theirs, field) | values
    states = [{f"with {name}" for name in box.state} for box in (mine, theirs)]
    alone = _alone(mine.names, theirs.names) | _alone(*states)
    return replace(theirs, alone=alone, state=mine.state | theirs.state, **fields)


def _alone(mine: Collection[str], theirs: Collection[str]) -> dict[str, Alone]:
    """By name, the one of two that alone has it."""
    first: dict[str, Alone] = {name: "first" for name in mine if name not in theirs}
    return first | {name: "second" for name in theirs if name not in mine}
