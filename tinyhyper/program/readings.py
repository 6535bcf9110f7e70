"""Slots in the arguments of an operation, beside its operands: of an index that comes with the batch, for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Reading(NamedTuple):
    """In the arguments of an operation: the array of a slot."""

    slot: int


def filled(argument: Any, arrays: Any) -> Any:
    """An argument of an operation, with the arrays that it reads."""
    kind = type(argument)
    if kind is Reading:
        return arrays[argument.slot]
    if kind in (tuple, list):
        return kind([filled(item, arrays) for item in argument])
    if kind is dict:
        return {key: filled(item, arrays) for key, item in argument.items()}
    return argument


def slots_in(argument: Any) -> list[int]:
    """The slots in the arguments of an operation."""
    if isinstance(argument, Reading):
        return [argument.slot]
    if type(argument) is dict:
        argument = argument.values()
    elif type(argument) not in (tuple, list):
        return []
    return [slot for item in argument for slot in slots_in(item)]


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
