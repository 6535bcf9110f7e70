"""Bands beside arrows, and what came along each: where they run, and where the numbers stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from .layout import Layout, Route
from .plain import short
from .shapes import Arrow, Key

BESIDE = 17  # how far beside its arrow a band runs that leads against it, so as not to seem one with it
Joint: TypeAlias = "tuple[int, Literal['start', 'end']]"  # the number of an arrow, and where a path leaves it


def band(layout: Layout, arrow: Arrow, end: Literal["start", "end"]) -> Route:
    """Where a band runs along an arrow. end: of the arrow, where the band leads."""
    return layout.route(arrow, BESIDE if end == "start" else 0)


def amounts(
    layout: Layout, arrows: Sequence[Arrow], came: Mapping[Joint, float], norms: Collection[Key]
) -> Iterator[tuple[float, float, str, str]]:
    """What came along arrows: where it stands, the text, and which end of it stands there.

    norms: the boxes at which it is a norm.
    """
    texts = {joint: f"{'norm ' if arrows[joint[0]].source in norms else ''}{short(came[joint])}" for joint in came}
    for (number, end), text in texts.items():
        arrow = arrows[number]
        (x, y), kinds = band(layout, arrow, end).mark, (arrow.source.kind, arrow.target.kind)
        if arrow.source.lane != arrow.target.lane or "loss" in kinds:
            yield x - 8, y + 5, text, "end"
        elif "gradient" not in kinds:
            yield x, layout.route(arrow).mark[1] - 7, text, "middle"
        elif kinds[0] == "gradient":  # what came to it leads on from it, too
            yield layout.center(arrow.source)[0], layout.below(arrow.source), text, "middle"
