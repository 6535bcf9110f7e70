"""The lines of a program's tables: C functions, or what Python does, and what they read and write."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..core.operation import ArraySpec
from .program import Instruction


class External(NamedTuple):
    """In place of a slot, an array outside: of the batch, or where the loss or a history of a value goes."""

    number: int
    spec: ArraySpec


class Row(NamedTuple):
    """One line of a table, in every turn of the buffers.

    entry: the C function, None for what Python does.  reads, writes: slots, or what lies outside.
    instruction: of the program; None for what the machine adds.  inside: the slots in its arguments.
    """

    entry: Any
    reads: tuple[Any, ...]
    writes: tuple[Any, ...]
    instruction: Instruction | None = None
    inside: Mapping[int, Any] = MappingProxyType({})


def carried_out(row: Row) -> str:
    """How an instruction is carried out, as in `Program.ways`."""
    return "np" if row.entry is None else "=" if row.entry.exact else "~"
