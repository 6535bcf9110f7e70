"""Records packed for a page: each field of all records of a kind is one column, which says what repeats only once.

`page/packing.js` reads it. A packed column is a list of values, or one of

    {"of": values, "at": indices}     few values, each said once; at is the count if there is one value
    {"sum": differences}              integers, each by how much it is more than the one before
    {"fields": columns}               records by the names of their fields, and tuples of one length by position
    {"lengths": column, "items": column}    lists, one after the other
    {"some": column, "found": column}       which values are not None, and those
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

FEW = 4  # a table pays if each of its values stands so often


def packed(record: Any) -> Any:
    """A dataclass of plain records as one column of one record."""
    return _column([record])


def _column(values: Sequence[Any]) -> Any:
    found = [value for value in values if value is not None]
    if (table := _table(values, found)) is not None:
        return table
    column: Any
    if not found:
        return list(values)
    if all(type(value) is int for value in found):
        column = {"sum": [after - before for before, after in zip([0, *found], found)]}
    elif _record(found[0]):
        names = found[0].__dataclass_fields__
        column = {"fields": {name: _column([getattr(value, name) for value in found]) for name in names}}
    elif not all(isinstance(value, (list, tuple)) for value in found):
        return list(values)
    elif isinstance(found[0], tuple) and found[0] and {*map(len, found)} == {len(found[0])}:
        column = {"fields": [_column(position) for position in zip(*found)]}
    else:
        column = {"lengths": _column([*map(len, found)]), "items": _column([*chain.from_iterable(found)])}
    if len(found) == len(values):
        return column
    return {"some": _column([value is not None for value in values]), "found": column}


def _table(values: Sequence[Any], found: Sequence[Any]) -> dict[str, Any] | None:
    """The distinct values and where each stands; None where they are many, or are records.

    found: the values that are not None, which are of one kind.
    """
    first = found[0] if found else None
    lists = isinstance(first, (list, tuple))
    if len(values) < FEW or _record(next((value[0] for value in found if value), None) if lists else first):
        return None
    if not lists and len({*values}) * FEW > len(values):  # no fewer are written differently
        return None
    said = [*map(repr, values)]  # by which 1, True and 1.0 differ, and 0.0 and -0.0
    order = {text: n for n, text in enumerate(dict.fromkeys(said))}
    if len(order) * FEW > len(values):
        return None
    own = dict(zip(said, values))
    return {"of": [own[text] for text in order], "at": len(said) if len(order) == 1 else [order[text] for text in said]}


def _record(value: Any) -> bool:
    return hasattr(value, "__dataclass_fields__")
