"""The paths of a gradient in groups: those that lead through the same boxes of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from string import ascii_uppercase
from typing import NamedTuple, TypeAlias

import numpy as np

from ..finite import norm
from ..plain import count, short
from .records import Place
from .shapes import Key

FEW, LISTED = 8, 4  # so many paths are told each by itself; of more, so many groups, and so many paths of each
ARROW = " → "


Row: TypeAlias = "tuple[str, str, str]"  # the name of a group, what leads where, and what that contributes


class Group(NamedTuple):
    """Paths that lead through the same boxes.

    name: a letter.  way: the boxes.  value: what they contribute.  number: how many they are.
    """

    name: str
    way: tuple[Key, ...]
    value: float
    number: int

    def rows(self, each: Sequence[tuple[str, int, float]], most: int, called: Callable[[Key], str]) -> list[Row]:
        """Of a table: its name and what it contributes, and its paths below that.

        each, most: as of `told`.  called: what a box is called.
        """
        whole = each or [(ARROW.join(map(called, self.way[1:-1])), self.number, self.value)]
        if whole[0][1] == self.number:
            return [(self.name, _led(whole[0][0], self.number), short(self.value))]
        found = [("", _led(between, paths), short(value)) for between, paths, value in each[:most]]
        more = self.number - sum(paths for _, paths, _ in each[:most])
        rest = [("", f"and {more} more", "")] if more else []
        return [(self.name, f"{count(self.number, 'path')} together", short(self.value)), *found, *rest]


def told(each: Sequence[tuple[str, int, float]], number: int, most: int) -> str:
    """What paths contribute, so many of them in words, and how many more there are.

    each: what one or more paths lead through, how many they are, what they contribute.  number: of all paths.
    """
    texts = []
    for between, paths, value in each[:most]:
        many, where = f"{count(paths, 'path')} " if paths > 1 else "", f"through {between}" if between else "directly"
        texts.append(f"{many}{where}: {together(value, paths)}")
    if (more := number - sum(paths for _, paths, _ in each[:most])) > 0:
        texts.append(f"and {more} more")
    return "; ".join(texts)


def together(value: float, paths: int) -> str:
    """What so many paths contribute."""
    return short(value) + (" together" if paths > 1 else "")


def contributions(parts: Sequence[np.ndarray], whole: np.ndarray) -> list[float]:
    """What each part adds to the whole; for arrays, along the direction of the whole."""
    direction = whole / (norm(whole) or 1.0) if whole.ndim else np.ones(())
    return [float(np.vdot(part, direction)) for part in parts]


def named(ways: Mapping[tuple[Key, ...], int], values: Sequence[float]) -> list[Group]:
    """The groups, those that contribute most first. ways: by its boxes, how many paths a group has."""
    found = sorted(zip(ways.items(), values), key=lambda each: -abs(each[1]))
    return [Group(_letter(n), way, value, number) for n, ((way, number), value) in enumerate(found)]


def way_of(through: Sequence[Place], where: Mapping[Place, Key]) -> tuple[Key, ...]:
    """The boxes that a path leads through. where: the boxes of places; a place without one is in the box before."""
    way: list[Key] = []
    for place in through:
        box = where.get(place, way[-1] if way else None)
        if box is not None and way[-1:] != [box]:
            way.append(box)
    return tuple(way)


def leading(groups: Sequence[Group], way: Sequence[Key]) -> str:
    """The names of the groups whose ways begin so."""
    return ", ".join([group.name for group in groups if group.way[: len(way)] == tuple(way)])


def beside(groups: Sequence[Group]) -> dict[tuple[Key, Key], str]:
    """By two neighbouring boxes, the names of the groups that lead from one to the other."""
    found: dict[tuple[Key, Key], list[str]] = {}
    for group in groups:
        for ends in pairwise(group.way):
            found.setdefault(ends, []).append(group.name)
    return {ends: _listed(names) for ends, names in found.items()}


def _led(between: str, paths: int) -> str:
    """What so many paths lead through."""
    return (between or "directly") + (f", {paths} paths" if paths > 1 else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < LISTED else f"{names[0]} … {names[-1]}"


def _letter(n: int) -> str:
    turn, place = divmod(n, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(turn + 1) if turn else "")
