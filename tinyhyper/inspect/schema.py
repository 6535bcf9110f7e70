"""Records as JSON, and JSON read by type hints: a reader checks a value against a hint and returns what the hint says.

Every error is an ArgumentError with the place of the value, as in `nodes[3].outputs[0].shape`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import repeat
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, get_args, get_origin, get_type_hints

from ..errors import ArgumentError
from ..plain import SURROGATES

Reader: TypeAlias = Callable[[Any], Any]  # raises Misfit

WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # numbers that JSON does not have
AS_THEY_ARE = {str, int, bool, NoneType}
MOST = 2**53  # every reader of JSON holds the integers up to it
TYPES = {str: "text", bool: "a boolean"}


def dumps(record: Any) -> str:
    """A dataclass of plain records, or dicts and lists, as JSON."""
    text = json.dumps(_plain(record), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # UTF-8 cannot hold them


def _plain(value: Any) -> Any:
    """Records as dicts, sequences as lists, and words for the numbers that JSON does not have."""
    if type(value) in AS_THEY_ARE:
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if (fields := getattr(value, "__dataclass_fields__", None)) is not None:
        return {name: _plain(getattr(value, name)) for name in fields}
    return value


def refuse(at: str, what: str) -> NoReturn:
    raise ArgumentError(f"this is not the JSON of a tape: {at or 'it'} {what}")


class Misfit(Exception):
    """A value does not fit its hint. Its place is told only then, from the inside out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.place = ""

    def within(self, place: str) -> Misfit:
        """The same, of a part of a larger value."""
        self.place = place + self.place
        return self


def read(hint: Any, value: Any) -> Any:
    """What a hint says, from a value that JSON held. Raises ArgumentError, with the place of what does not fit."""
    try:
        return reader(hint)(value)
    except Misfit as misfit:
        refuse(misfit.place.removeprefix("."), str(misfit))


@cache
def reader(hint: Any) -> Reader:
    """What reads a value by a hint: a dataclass, list, tuple, Literal, int >= 0, float, str, bool, or a hint or None.

    `Annotated[int, most]` sets the largest integer.
    """
    kind, args = get_origin(hint), get_args(hint)
    if NoneType in args:
        return partial(_optional, reader(args[0]))
    if kind is Literal:
        return partial(_literal, args)
    if kind is list or args[-1:] == (...,):
        return partial(_sequence, kind, reader(args[0]))
    if kind is tuple:
        return partial(_tuple, [reader(own) for own in args])
    if hint is int or kind is Annotated:
        return partial(_integer, args[1] if args else MOST)
    if hint is float:
        return _number
    if hint in TYPES:
        return partial(_typed, hint)
    return partial(_object, hint, {key: reader(own) for key, own in get_type_hints(hint, include_extras=True).items()})


def _optional(present: Reader, value: Any) -> Any:
    return None if value is None else present(value)


def _literal(words: tuple[str, ...], value: Any) -> str:
    if not isinstance(value, str) or value not in words:
        raise Misfit(f"is not one of {', '.join(words)}")
    return value


def _sequence(kind: Any, item: Reader, value: Any) -> Any:
    if type(value) is not list:
        raise Misfit("is not a list")
    return kind(_each(repeat(item), value))


def _tuple(items: list[Reader], value: Any) -> tuple[Any, ...]:
    if type(value) is not list or len(value) != len(items):
        raise Misfit(f"is not a list of {len(items)}")
    return tuple(_each(items, value))


def _each(items: Iterable[Reader], values: list[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        for item, value in zip(items, values):
            found.append(item(value))
    except Misfit as misfit:
        raise misfit.within(f"[{len(found)}]") from None
    return found


def _integer(most: int, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Misfit(f"is not an integer from 0 to {most}")
    return value


def _number(value: Any) -> Any:
    """A number, a boolean as a tensor may hold it, or the number that a word stands for."""
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if not isinstance(value, (int, float)) or not -(2**64) < value < 2**64 and isinstance(value, int):
        raise Misfit(f"is neither a number nor one of {', '.join(WORDS)}")
    return value


def _typed(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise Misfit(f"is not {TYPES[kind]}")
    return value


def _object(kind: Any, fields: dict[str, Reader], value: Any) -> Any:
    """A dataclass, from an object with its fields as keys and no others."""
    if type(value) is not dict:
        raise Misfit("is not an object")
    if fields.keys() != value.keys():
        key = sorted(fields.keys() ^ value.keys())[0]
        raise Misfit(f"has no {key!r}" if key in fields else f"has {key!r}, which is not known")
    found = {}
    try:
        for key, field in fields.items():
            found[key] = field(value[key])
    except Misfit as misfit:
        raise misfit.within(f".{key}") from None
    return kind(**found)
