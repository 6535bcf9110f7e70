"""Bands beside arrows, and what came along each: where they run, and where the numbers stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from ..errors import ArgumentError
from ..plain import short
from .layout import AFTER, Layout, Room, Route
from .letters import wide
from .shapes import Arrow, Figure, Key

BOLD, WIDEST = 15.4, 130  # the size of letters, as wide as bold ones are; the widest text beside a band between steps
LEG = 6  # how far from a box the names beside a band to it stand
ROOM = 36  # on both sides of such a text; most of it on the right, where what came to weights may stand
BESIDE = 17  # how far beside its arrow a band runs that leads against it, so as not to seem one with it
Joint: TypeAlias = "tuple[int, Literal['start', 'end']]"  # the number of an arrow, and where a path leaves it


def joint_of(shown: Figure, here: Key, there: Key, name: Callable[[Key], str]) -> Joint:
    """The number of the arrow between two boxes of a trail, and at which of its ends the trail leaves it.

    name: what a box is called. Raises ArgumentError if no arrow joins the two.
    """
    for number, arrow in sorted(enumerate(shown.arrows), key=lambda one: one[1].flow != "kept"):
        if (arrow.source, arrow.target) == (there, here):
            return number, "start"
        if (arrow.source, arrow.target) == (here, there):
            return number, "end"
    ends = {end for arrow in shown.arrows for end in (arrow.source, arrow.target)}
    joined = [end for end in ends if any({here, end} == {a.source, a.target} for a in shown.arrows)]
    raise ArgumentError(
        f"trail: no arrow joins {name(here)} and {name(there)}; arrows join {name(here)} and "
        f"{', '.join(sorted(name(end) for end in joined)) or 'nothing'}"
    )


def band(layout: Layout, arrow: Arrow, end: Literal["start", "end"]) -> Route:
    """Where a band runs along an arrow. end: of the arrow, where the band leads."""
    return layout.route(arrow, BESIDE if end == "start" else 0)


def spread(
    shown: Figure, texts: Mapping[Joint, str], groups: Mapping[Joint, str], both: bool
) -> tuple[float, Room]:
    """How wide boxes are at least, and how far apart: numbers and names stand beside their bands.

    What came up to a box stands below it, to the left of the band; what came to a gradient, on its right.
    groups: as of `amounts`.  both: whether their names stand in one line with what came to a gradient.
    """
    arrows = shown.arrows
    gradients = {joint: text for joint, text in texts.items() if arrows[joint[0]].source.kind == "gradient"}
    across = [_width(text) + ROOM for text in gradients.values()]
    across += [_width(_both(groups.get(joint, ""), text)) + ROOM for joint, text in gradients.items() if both]
    up = [_width(text) for (number, _), text in texts.items() if arrows[number].source.kind == "values"]
    legs = [(arrows[number].target.step, names) for (number, _), names in groups.items() if _leg(arrows[number])]
    before = [2 * LEG + _width(names) - min([_rising(one, step) for one in shown.visible()]) for step, names in legs]
    after = max([AFTER, *[width for width in across if width <= WIDEST]])
    below = frozenset([arrows[number].source.lane for number, _ in groups if _up(arrows[number])])
    return 2 * (BESIDE + max(up, default=0)), Room(max(before, default=0), after, below)


def amounts(
    layout: Layout, arrows: Sequence[Arrow], texts: Mapping[Joint, str], groups: Mapping[Joint, str]
) -> Iterator[tuple[float, float, str, str]]:
    """What came along arrows: where it stands, the text, and which end of it stands there.

    groups: the names of the groups of paths that lead along an arrow, which stand beside the number.
    """
    for (number, end), text in texts.items():
        arrow, names = arrows[number], groups.get((number, end), "")
        (x, y), kinds = band(layout, arrow, end).mark, (arrow.source.kind, arrow.target.kind)
        both = _both(names, text)
        if _up(arrow):
            yield x - 8, y - 4, names, "end"
            yield x - 8, y + (11 if names else 5), text, "end"
        elif "gradient" not in kinds:
            yield x, y - 9, both, "middle"
        elif _leg(arrow):  # what came to the gradient leads on from it
            yield x - layout.before + LEG, y + 20, names, "start"
        elif kinds[0] == "gradient" and _width(both) + ROOM <= layout.after:
            yield x, y + 20, both, "end"
        elif kinds[0] == "gradient" and _width(text) + ROOM <= layout.after:
            yield x, y + 20, text, "end"
            yield x, y + 35, names, "end"
        elif kinds[0] == "gradient":
            yield layout.center(arrow.source)[0], layout.below(arrow.source), both, "middle"


def told(arrows: Sequence[Arrow], came: Mapping[Joint, float], norms: Collection[Key]) -> dict[Joint, str]:
    """What came along arrows, as text. norms: the boxes at which it is a norm."""
    return {joint: f"{'norm ' if arrows[joint[0]].source in norms else ''}{short(came[joint])}" for joint in came}


def _up(arrow: Arrow) -> bool:
    """Whether a band along an arrow leads to another lane, or from a loss."""
    return arrow.source.lane != arrow.target.lane or "loss" in (arrow.source.kind, arrow.target.kind)


def _leg(arrow: Arrow) -> bool:
    """Whether a band along an arrow leads from a gradient to values of its step."""
    return (arrow.source.kind, arrow.target.kind) == ("values", "gradient") and arrow.source.lane == arrow.target.lane


def _rising(arrow: Arrow, step: int) -> float:
    """How far beside the boxes of a step an arrow runs up to a gradient there; where none does, as far as gradients."""
    source, target = arrow.source, arrow.target
    across = 0 if source.kind != "loss" else 2 if arrow.flow == "kept" else 1
    there = target.kind == "gradient" and source.step == target.step == step
    return Layout.up[across] if there and (across or source.lane < target.lane) else Layout.before


def _both(names: str, text: str) -> str:
    """A number after the names of its groups, if it has some."""
    return f"{names}: {text}" if names else text


def _width(text: str) -> float:
    """About how wide a text of bold letters is."""
    return BOLD * wide(text)
