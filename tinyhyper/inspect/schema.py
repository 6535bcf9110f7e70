"""What the JSON of a tape must be: of which types, and within which bounds.

A check is called with a value and its place, as in `nodes[3].outputs[0].shape`. All raise ArgumentError with the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias, get_args

from ..errors import ArgumentError
from .records import Flow, Kind, Role

Check: TypeAlias = "Callable[[Any, str], None]"

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # numbers that JSON has not
MOST = 2**53  # the whole numbers that every reader of JSON holds
BYTES = 2**62  # of an array
DTYPES = ("bool", "float32", "float64", *[f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)])


def refuse(at: str, what: str) -> NoReturn:
    raise ArgumentError(f"this is not the JSON of a tape: {at} {what}")


def whole(most: int = MOST) -> Check:
    """A whole number from 0 on."""

    def check(value: Any, at: str) -> None:
        if type(value) is not int or not 0 <= value <= most:
            refuse(at, f"is no whole number from 0 to {most}")

    return check


def of_type(kind: type, name: str) -> Check:
    def check(value: Any, at: str) -> None:
        if type(value) is not kind:
            refuse(at, f"is no {name}")

    return check


def number(value: Any, at: str) -> None:
    """A number, a boolean as a tensor may hold it, or the word for what JSON has not."""
    if isinstance(value, str) and value in WORDS:
        return
    if not isinstance(value, (int, float)) or not -(2**64) < value < 2**64 and isinstance(value, int):
        refuse(at, f"is neither a number nor one of {', '.join(WORDS)}")


def duration(value: Any, at: str) -> None:
    if type(value) not in (int, float) or not 0 <= value < MOST:
        refuse(at, "is no number of seconds")


def span(value: Any, at: str) -> None:
    """The two ends of a range."""
    sequence(number, 2)(value, at)
    low, high = (float(WORDS.get(end, end)) for end in value)
    if not low <= high:
        refuse(at, "does not begin below its end")


def one_of(*words: Any) -> Check:
    def check(value: Any, at: str) -> None:
        if not isinstance(value, str) or value not in words:
            refuse(at, f"is none of {', '.join(words)}")

    return check


def optional(check: Check) -> Check:
    return lambda value, at: None if value is None else check(value, at)


def sequence(check: Check, length: int | None = None) -> Check:
    def each(value: Any, at: str) -> None:
        if type(value) is not list or length is not None and len(value) != length:
            refuse(at, "is no list" if length is None else f"is no list of {length}")
        for n, item in enumerate(value):
            check(item, f"{at}[{n}]")

    return each


def record(checks: Mapping[str, Check]) -> Check:
    """An object with these keys and no others."""

    def check(value: Any, at: str) -> None:
        if type(value) is not dict:
            refuse(at or "it", "is no object")
        for key in checks.keys() ^ value.keys():
            refuse(at or "it", f"has no {key!r}" if key in checks else f"has {key!r}, which is not known")
        for key, own in checks.items():
            own(value[key], f"{at}.{key}" if at else key)

    return check


def line_of_inside(value: Any, at: str) -> None:
    """An operation's name, and the numbers that it reads."""
    sequence(lambda item, place: None, 2)(value, at)
    TEXT(value[0], f"{at}[0]")
    sequence(WHOLE)(value[1], f"{at}[1]")


WHOLE, TEXT, BOOLEAN = whole(), of_type(str, "text"), of_type(bool, "boolean")
PLACE = sequence(WHOLE, 2)
SHAPE = sequence(WHOLE)
LABEL = {
    "name": TEXT,
    "role": one_of(*get_args(Role)),
    "level": whole(10**6),
    "value": optional(number),
    "range": optional(span),
}
OUTPUT = {
    "shape": SHAPE,
    "dtype": one_of(*DTYPES),
    "value": optional(number),
    "norm": optional(number),
    "gradient": optional(number),
    "label": optional(record(LABEL)),
}
NODE = {
    "number": WHOLE,
    "op": optional(TEXT),
    "kind": one_of(*get_args(Kind)),
    "outputs": sequence(record(OUTPUT)),
    "file": TEXT,
    "line": WHOLE,
    "step": WHOLE,
    "sweep": BOOLEAN,
    "serial": optional(WHOLE),
    "of": optional(PLACE),
    "loss": optional(PLACE),
    "seconds": optional(duration),
    "saved": sequence(PLACE),
    "until": optional(WHOLE),
    "depends": optional(sequence(sequence(WHOLE))),
    "inside": optional(WHOLE),
}
EDGE = {
    "source": WHOLE,
    "output": WHOLE,
    "target": WHOLE,
    "operand": WHOLE,
    "flow": one_of(*get_args(Flow)),
    "cut": optional(WHOLE),
}
CUT = {
    "number": WHOLE,
    "source": WHOLE,
    "output": WHOLE,
    "reason": optional(TEXT),
    "file": TEXT,
    "line": WHOLE,
    "step": WHOLE,
    "shape": SHAPE,
    "severed": BOOLEAN,
    "targets": sequence(WHOLE),
    "ghost": optional(number),
}
INSIDE = {
    "name": TEXT,
    "operands": WHOLE,
    "constants": sequence(number),
    "lines": sequence(line_of_inside),
    "outputs": sequence(WHOLE),
}
HOLDER = {"name": optional(TEXT), "nodes": WHOLE}
PART = {"through": sequence(PLACE), "value": number, "ways": WHOLE}
TAPE = record(
    {
        "format": TEXT,
        "version": WHOLE,
        "title": optional(TEXT),
        "steps": WHOLE,
        "objective": one_of("last", "sum"),
        "horizon": optional(WHOLE),
        "ends": sequence(WHOLE),
        "nodes": sequence(record(NODE)),
        "edges": sequence(record(EDGE)),
        "cuts": sequence(record(CUT)),
        "insides": sequence(record(INSIDE)),
        "alive": sequence(
            record({"step": WHOLE, "nodes": WHOLE, "bytes": whole(2**80), "holders": sequence(record(HOLDER))})
        ),
        "paths": sequence(
            record({"target": PLACE, "loss": optional(PLACE), "total": number, "parts": sequence(record(PART))})
        ),
    }
)
