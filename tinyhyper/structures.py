"""Mappings, lists and tuples of values, nested as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from typing import Any

import numpy as np

from .core.tensor import Tensor, as_tensor
from .errors import DtypeError, ShapeError

LONGEST = 300  # characters of a structure in a message
ENDLESS = "a structure of values is nested too deeply, or contains itself"
VALUES = {Tensor, np.ndarray, np.float64, float, int}  # told quickly from a mapping of whatever type


def nested(value: Any) -> bool:
    """Whether it holds values, not is one."""
    return type(value) not in VALUES and isinstance(value, (dict, list, tuple, Mapping))


def leaves(structure: Any) -> list[Any]:
    """The values, in order. Raises DtypeError for a structure that is nested too deeply."""
    try:
        return [*_leaves(structure)]
    except RecursionError:
        raise DtypeError(ENDLESS) from None


def _leaves(structure: Any) -> Iterator[Any]:
    if nested(structure):
        for _, item in _items(structure):
            yield from _leaves(item)
    else:
        yield structure


def mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """The structure, of the same types, with each value replaced by what a function makes of it.

    Raises DtypeError for a type that cannot be rebuilt with other values, and for a structure that is nested too
    deeply.
    """
    try:
        return _mapped(structure, function)
    except RecursionError:
        raise DtypeError(ENDLESS) from None


def _mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    if not nested(structure):
        return function(structure)
    kind = type(structure)
    if kind is tuple or kind is list:
        return kind([_mapped(item, function) for item in structure])
    items = {key: _mapped(item, function) for key, item in _items(structure)}
    if kind is dict:
        return items
    try:
        made = _mapping(structure, items) if isinstance(structure, Mapping) else _sequence(structure, [*items.values()])
        if all(new is old for (_, new), old in zip(_items(made), items.values(), strict=True)):
            return made
    except Exception as error:
        raise DtypeError(
            f"a {kind.__name__} cannot be rebuilt with other values in it ({error!r}); use a dict, a list or a tuple"
        ) from error
    raise DtypeError(f"a {kind.__name__} changes the values that it is built with; use a dict, a list or a tuple")


def rebuilt(structure: Any, values: Iterator[Any]) -> Any:
    """The structure with the values in the places of its leaves."""
    return mapped(structure, lambda _: next(values))


def copied(structure: Any) -> Any:
    """The structure made anew, with the same values in it."""
    return mapped(structure, lambda value: value)


def matching(values: Any, pattern: Any, name: str, what: str) -> list[Tensor]:
    """The tensors in a structure that must be like another one, in the order of that.

    Raises ShapeError where they differ, DtypeError for booleans and for a structure that is nested too deeply.
    """
    pairs: list[tuple[tuple[Any, ...], Any, Any]] = []
    try:
        _pair(values, pattern, (), pairs)
        for place, value, like in pairs:
            if nested(value) or nested(like) or np.shape(value) != np.shape(like):
                where = "".join([f"[{key!r}]" for key in place])
                whole = f"; the whole must be {_shown(pattern)}, not {_shown(values)}" if place else ""
                raise ShapeError(f"{name}: {what}{where} must be of shape {_shown(like)}, not {_shown(value)}{whole}")
    except RecursionError:
        raise DtypeError(f"{name}: {what}: {ENDLESS}") from None
    tensors = [as_tensor(value) for _, value, _ in pairs]
    if any(tensor.dtype == bool for tensor in tensors):
        raise DtypeError(f"{name}: {what} must be numbers, not bool")
    return tensors


def _pair(values: Any, pattern: Any, place: tuple[Any, ...], pairs: list[tuple[tuple[Any, ...], Any, Any]]) -> None:
    """Add the place, the value there and the pattern's own: of each leaf, or of what is structured otherwise."""
    if nested(pattern) and nested(values) and _alike(values, pattern):
        for key, item in _items(pattern):
            _pair(values[key], item, (*place, key), pairs)
    else:
        pairs.append((place, values, pattern))


def _alike(values: Any, pattern: Any) -> bool:
    """Whether mappings have the same keys, sequences the same length and no other names for their places."""
    if isinstance(values, (list, tuple)) and isinstance(pattern, (list, tuple)):
        fields = {_fields(values), _fields(pattern)}
        return len(values) == len(pattern) and len(fields - {None}) < 2
    return isinstance(values, Mapping) and isinstance(pattern, Mapping) and {*values} == {*pattern}


def _fields(sequence: Any) -> tuple[str, ...] | None:
    """The names of a named tuple's places; None for another sequence."""
    fields: tuple[str, ...] | None = getattr(sequence, "_fields", None)
    return fields


def _shown(structure: Any) -> str:
    """The structure with the shapes of its values, as text that is not too long."""
    text = _described(structure)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _described(structure: Any) -> str:
    if not nested(structure):
        known = isinstance(structure, (Tensor, np.ndarray, np.generic, float, int))
        return str(np.shape(structure)) if known else f"a {type(structure).__name__}"
    items = [(key, _described(item)) for key, item in _items(structure)]
    if isinstance(structure, Mapping):
        return "{" + ", ".join(f"{key!r}: {item}" for key, item in items) + "}"
    text = [item for _, item in items]
    if isinstance(structure, list):
        return f"[{', '.join(text)}]"
    if (fields := _fields(structure)) is not None:
        return f"{type(structure).__name__}({', '.join(map('{}={}'.format, fields, text))})"
    return f"({', '.join(text)}{',' * (len(text) == 1)})"


def _items(structure: Any) -> list[tuple[Any, Any]]:
    """Keys and what is there. A mapping may have a key `items` that hides its method."""
    if isinstance(structure, Mapping):
        return [(key, structure[key]) for key in structure]
    return list(enumerate(structure))


def _mapping(structure: Any, items: dict[Any, Any]) -> Any:
    """A mapping of the same type, with what else it keeps: a default, attributes."""
    kind, attributes = type(structure), getattr(structure, "__dict__", {})
    if isinstance(structure, dict):
        slots = any(vars(base).get("__slots__") for base in kind.__mro__)
        more = slots or attributes or kind.__init__ is not dict.__init__
    else:
        more = "__copy__" in dir(kind) and isinstance(structure, MutableMapping)
    if not more or attributes.keys() & items.keys():  # where an attribute is an item, only the type knows both
        return kind(items)
    made, put = copy(structure), dict.__setitem__ if isinstance(structure, dict) else kind.__setitem__
    for key, item in items.items():
        put(made, key, item)
    return made


def _sequence(structure: Any, items: list[Any]) -> Any:
    if _fields(structure) is not None:
        return structure._make(items)
    if not isinstance(structure, list):
        return type(structure)(items)
    made = copy(structure)
    list.__setitem__(made, slice(None), items)
    return made
