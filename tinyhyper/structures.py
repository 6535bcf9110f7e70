"""Dicts, lists and tuples of values, nested as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(structure: Any) -> Iterator[Any]:
    """The values, in order."""
    if isinstance(structure, (dict, list, tuple)):
        for item in structure.values() if isinstance(structure, dict) else structure:
            yield from leaves(item)
    else:
        yield structure


def mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """The structure with each value replaced by what a function makes of it."""
    if isinstance(structure, dict):
        return {key: mapped(item, function) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [mapped(item, function) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    return function(structure)


def rebuilt(structure: Any, values: Iterator[Any]) -> Any:
    """The structure with the values in the places of its leaves."""
    return mapped(structure, lambda _: next(values))
