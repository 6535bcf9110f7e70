"""The rows of a box of several values: what each is called, and its number."""

from __future__ import annotations

import re
from itertools import product
from math import isfinite

from ..naming import KAPPA, own, within
from ..plain import plain, short
from .letters import fitted, wide
from .shapes import Box

SKIPPED = "skipped"
SMALL, BESIDE, MARGIN = 14, 0.4, 16  # of letters; how far a number is from its name, in such sizes; of rows, both sides


def rows(box: Box, width: float) -> list[tuple[str, str]]:
    """The rows of a box of several values: what each is called, and its number. width: of the box.

    Where both do not fit, only what a gradient would be stands in its row.
    """
    room, at = (width - MARGIN) / SMALL, "" if box.key.kind == "gradient" else f"[{box.key.step}]"
    both = (True, False) if box.instead else (True,)
    for old, digits, form in product(both, (4, 3) if box.coordinates else (4,), forms(box)):
        found = numbers(box, digits, old)
        rooms = [room - (wide(number) + BESIDE if number else 0) for number in found]
        if all(wide(text) <= room for text, room in zip(form, rooms)):
            break
    names = [text.removesuffix(at) for text in form]
    lines = [(fitted(text, left - wide(at)) + at, number) for text, left, number in zip(names, rooms, found)]
    return [*lines, (fitted(f"with {', '.join(sorted(box.state))}", room), "")] if box.state else lines


def forms(box: Box) -> list[list[str]]:
    """What the rows of a box call its values: with their levels, and as their lane says the level, without."""
    titles = [own(name, box.key.lane).title for name in box.names]
    bare = [KAPPA if title == KAPPA else plain(name) for title, name in zip(titles, box.names)]
    if box.key.kind != "gradient":
        return [[f"{name}[{box.key.step}]" for name in form] for form in (titles, bare)]
    both = [[f"∂loss/∂{tuned(box, *each)}" for each in zip(box.names, form)] for form in (titles, bare)]
    return [[f"|{text}|" if name in box.norms else text for name, text in zip(box.names, form)] for form in both]


def numbers(box: Box, digits: int, old: bool = True) -> list[str]:
    """The numbers in the rows of a box. old: whether what a gradient is stands before what it would be."""
    values = [box.norms.get(name, value) for name, value in box.names.items()]
    found = ["" if v is None else told(box, v) for v in values]
    for n, v in enumerate(values if digits < 4 else ()):
        if v is not None and found[n] != SKIPPED:
            texts = (found[n], short(v, digits), f"{v:.{digits - 1}e}")
            found[n] = min((re.sub(r"e([-+])0", r"e\1", text) for text in texts), key=wide)
    return [became(box, name, text if old or name not in box.instead else "") for name, text in zip(box.names, found)]


def became(box: Box, name: str, text: str) -> str:
    """The number of a gradient, and what it would be without the cut in question. text: the number."""
    return f"{text} → {short(box.instead[name])}".strip() if name in box.instead else text


def needed(box: Box) -> float:
    """How wide a box is for its rows, with short names and whole numbers."""
    found = zip(forms(box)[-1], numbers(box, 4))
    return SMALL * max(wide(name + number) + BESIDE for name, number in found) + MARGIN


def told(box: Box, value: float) -> str:
    """A number in a box. Of a skipped step, what it made and what is not finite is said to be skipped."""
    return SKIPPED if box.skipped and (box.key.kind == "values" or not isfinite(value)) else short(value)


def tuned(box: Box, name: str, called: str) -> str:
    """What a gradient in a box is with respect to."""
    return within(box.coordinates.get(name), called)
