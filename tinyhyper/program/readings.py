"""Slots in the arguments of an operation, beside its operands: of an index that comes with the batch, for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Reading(NamedTuple):
    """In the arguments of an operation: the array of a slot."""

    slot: int


def mapped(change: Callable[[Any], Any], argument: Any) -> Any:
    """An argument of an operation with each item changed, in tuples, lists and dicts too."""
    kind = type(argument)
    if kind in (tuple, list):
        return kind([mapped(change, item) for item in argument])
    if kind is dict:
        return {key: mapped(change, item) for key, item in argument.items()}
    return change(argument)


def items_in(argument: Any) -> list[Any]:
    """The items of an argument of an operation, in tuples, lists and dicts too."""
    if type(argument) is dict:
        argument = argument.values()
    elif type(argument) not in (tuple, list):
        return [argument]
    return [found for item in argument for found in items_in(item)]


def filled(argument: Any, arrays: Any) -> Any:
    """An argument of an operation, with the arrays that it reads."""
    return mapped(lambda item: arrays[item.slot] if type(item) is Reading else item, argument)


def slots_in(argument: Any) -> list[int]:
    """The slots in the arguments of an operation."""
    return [item.slot for item in items_in(argument) if type(item) is Reading]


def numbers_in(instruction: Any) -> int | None:
    """The slot of the index of an instruction that reads or adds up rows by it alone; None for any other."""
    call = instruction.call if type(instruction.call) is dict and len(instruction.reads) == 1 else {}
    [index, *others] = call.get("indices", [call.get("index")])
    return index.slot if isinstance(index, Reading) and not others else None


class Strip(tuple[int, ...]):
    """Slots whose arrays lie one after another, so that an instruction can read them, or write to them, as one."""


def each(places: Iterable[Any]) -> list[Any]:
    """The slots that an instruction reads or writes, those of strips one by one."""
    return [slot for place in places for slot in (place if isinstance(place, Strip) else (place,))]
