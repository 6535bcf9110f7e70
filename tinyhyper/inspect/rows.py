"""The rows of a box of several values: what each is called, and its number."""

from __future__ import annotations

from itertools import product
from math import inf, isfinite

from ..naming import KAPPA, own, within
from ..plain import EXPONENT, Printed, apart, plain, short
from .letters import first, fitted, wide
from .shapes import Box

SKIPPED = "skipped"
SMALL, BESIDE, MARGIN = 14, 0.4, 16  # of letters; how far a number is from its name, in such sizes; of rows, both sides


def rows(box: Box, width: float) -> list[tuple[str, str]]:
    """The rows of a box of several values: what each is called, and its number. width: of the box.

    Where both do not fit, only what a gradient would be stands in its row.
    """
    room, at = (width - MARGIN) / SMALL, "" if box.key.kind == "gradient" else f"[{box.key.step}]"
    both = (True, False) if box.instead else (True,)
    for old, least, form in product(both, (4, 3) if box.coordinates else (4,), forms(box)):
        found = [number(box, name, old, least, room - wide(text) - BESIDE) for name, text in zip(box.names, form)]
        rooms = [room - (wide(text) + BESIDE if text else 0) for text in found]
        if all(wide(text) <= room for text, room in zip(form, rooms)):
            break
    names = [text.removesuffix(at) for text in form]
    lines = [(fitted(text, left - wide(at)) + at, number) for text, left, number in zip(names, rooms, found)]
    return [*lines, (fitted(with_state(box), room), "")] if box.state else lines


def with_state(box: Box) -> str:
    """The names of the optimizer's state in a box, and which of it is 0 where that is in question."""
    found = []
    for state in sorted(box.state):
        of = [name for name, own in box.zeros if own == state]
        some = "" if len(of) == len(box.names) else f" of {', '.join(of)}"
        found.append(f"{state}{some} = 0" if of else state)
    return f"with {', '.join(found)}"


def forms(box: Box) -> list[list[str]]:
    """What the rows of a box call its values: with their levels, and as their lane says the level, without."""
    titles = [own(name, box.key.lane).title for name in box.names]
    bare = [KAPPA if title == KAPPA else plain(name) for title, name in zip(titles, box.names)]
    if box.key.kind != "gradient":
        return [[f"{name}[{box.key.step}]" for name in form] for form in (titles, bare)]
    both = [[f"∂loss/∂{tuned(box, *each)}" for each in zip(box.names, form)] for form in (titles, bare)]
    return [[f"|{text}|" if name in box.norms else text for name, text in zip(box.names, form)] for form in both]


def usual(box: Box) -> list[str]:
    """The numbers of a box in four digits."""
    return [number(box, name) for name in box.names]


def number(box: Box, name: str, old: bool = True, least: int = 4, room: float = inf) -> str:
    """The number of a value in a box, and what a gradient would be without the cut in question.

    old: whether what a gradient is stands before what it would be.  least: in how few digits it may be written, if it
    would be wider than `room` in four.
    """
    value = box.norms.get(name, box.names[name])
    each = [] if value is None else [value]
    asked = name in box.instead
    if asked:
        each = apart([*each, box.instead[name]])[0 if old else -1 :]
    arrow = "→ " if asked and len(each) == 1 else ""
    ways = [arrow + " → ".join([_in_digits(box, one, digits) for one in each]) for digits in (None, 4, least)]
    return first(ways if least < 4 else ways[:1], room)


def _in_digits(box: Box, value: float, digits: int | None) -> str:
    """A number in so many digits, as short as they can be written; None for the usual way."""
    text = told(box, value)
    if digits is None or text == SKIPPED or isinstance(value, Printed):
        return text
    return min(text, short(value, digits), EXPONENT.sub(r"e\1", f"{value:.{digits - 1}e}"), key=wide)


def needed(box: Box) -> float:
    """How wide a box is for its rows, with short names and whole numbers."""
    found = zip(forms(box)[-1], usual(box))
    state = wide(with_state(box)) if box.state else 0
    return SMALL * max(state, *[wide(name + number) + BESIDE for name, number in found]) + MARGIN


def told(box: Box, value: float) -> str:
    """A number in a box. Of a skipped step, what it made and what is not finite is said to be skipped."""
    return SKIPPED if box.skipped and (box.key.kind == "values" or not isfinite(value)) else short(value)


def tuned(box: Box, name: str, called: str) -> str:
    """What a gradient in a box is with respect to."""
    return within(box.coordinates.get(name), called)
