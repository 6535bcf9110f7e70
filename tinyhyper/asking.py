"""Who asks a tensor for a number: what the running instruction of a frame calls or goes through.

C code that converts by itself (`array[0] = x`, `math.sqrt(x)`) has no frame, so its caller's instruction tells. Names
are looked up in the frame, and nothing is called.
"""

from __future__ import annotations

import bisect
import dis
import functools
import gc
import inspect
import math
import sys
import types
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

CONVERSIONS = [float, int, complex, math.isfinite, math.isinf, math.isnan]  # of the last three only the answer is left
PLAIN = [(load, name) for load in ("LOAD_GLOBAL", "LOAD_NAME") for name in ("float", "int", "complex")]
METHODS = ("__float__", "__int__")
LAZY = (map, filter, zip, enumerate, reversed, iter, functools.partial)  # they ask when others go through or call them
PASSING = ("builtins", "functools", "_functools", "itertools", "_contextvars", "collections")  # never ask
OF_C = (
    type, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    np.ufunc,
)  # fmt: skip

NAMED = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF"}  # and all of LOAD_FAST
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"}
KEYWORDS = {"CALL_KW", "CALL_FUNCTION_KW"}  # the names are one more operand
CALLS = {"PRECALL", "CALL", "CALL_FUNCTION", "CALL_METHOD", "CALL_FUNCTION_EX", *KEYWORDS}
FORMATTING = {"BINARY_OP", "BINARY_MODULO", "INPLACE_MODULO"}
SILENT = {"EXTENDED_ARG", "KW_NAMES", "GET_ITER", "GET_YIELD_FROM_ITER", "NOP", "NOT_TAKEN"}
SILENT |= {"CALL"} if "PRECALL" in dis.opmap else set()  # one call of Python 3.11 is two instructions
SHUFFLING = {"SWAP", "BUILD_LIST", "BUILD_SET", "BUILD_MAP", "LOAD_FAST_AND_CLEAR"}  # of an inlined comprehension
BRANCHING = ("RETURN", "RAISE", "JUMP", "POP_JUMP")  # the next row does not begin an argument
JUMPS = {*dis.hasjrel, *dis.hasjabs}


class Call(tuple):
    """The function and the arguments of a call: expressions, or what they mean."""


class Row(NamedTuple):
    """An instruction, the depth of the stack before it, and the first row that jumps there: itself, if none does."""

    offset: int
    name: str
    arg: int
    value: Any
    depth: int
    source: int


def by_name(frame: FrameType) -> bool:
    """Whether a frame's instruction says float(x), goes through map(float, xs) or the like, or formats by %."""
    said = _said(frame.f_code, frame.f_lasti)
    if said is True or said is False:
        return said
    function = _meant(said[0], frame)
    asks = _asks(function)
    arguments = [_meant(expression, frame) for expression in said[1:]]
    if asks or _module(function) not in PASSING:
        arguments = [argument for argument in arguments if _lazy(argument)]
    passed = _asks(Call(arguments))
    return bool(asks if passed is None else passed)


@functools.lru_cache(maxsize=1024)
def _said(code: CodeType, place: int) -> bool | Call:
    """The call that an instruction makes; where it goes through values instead, a call of `iter` with them."""
    rows = _rows(code)
    at = bisect.bisect_right(rows, place, key=lambda row: row.offset) - 1
    row = rows[at]
    if row.name in CALLS:
        said = _call(rows, at)
        return said[0] in PLAIN and row.name != "CALL_FUNCTION_EX" or said
    if row.name in FORMATTING or row.name.startswith("STORE"):
        return row.name in FORMATTING
    end = _start(rows, at, row.depth - 1) if row.name in ("SEND", "YIELD_FROM") else at
    end = next(end for end in range(end, 0, -1) if rows[end - 1].name not in SHUFFLING)
    return Call((("LOAD_GLOBAL", "iter"), _expression(rows, end - 1)))


@functools.lru_cache(maxsize=64)
def _rows(code: CodeType) -> list[Row]:
    """The instructions that matter. A depth need only be right relative to others of one expression."""
    rows: list[Row] = []
    met: dict[int, tuple[int, int]] = {}
    depth = source = 0
    for instruction in dis.get_instructions(code):
        offset, name, opcode, arg, value = (
            instruction.offset, instruction.opname, instruction.opcode, instruction.arg, instruction.argval,
        )  # fmt: skip
        depth, jumping = met.get(offset, (depth, len(rows)))
        source = min(source, jumping)
        if name not in SILENT:
            several = "FAST" in name and isinstance(value, tuple)  # one instruction loads two, from Python 3.13 on
            for more, one in enumerate(value if several else [value]):
                rows.append(Row(offset, name, arg or 0, one, depth + more, source))
            source = len(rows)
        if opcode in JUMPS and value > offset:
            met.setdefault(value, (depth + dis.stack_effect(opcode, arg, jump=True), len(rows) - 1))
        depth += dis.stack_effect(opcode, arg, jump=False)
    return rows


def _start(rows: list[Row], before: int, slot: int) -> int:
    """Where the expression begins whose value lies in a slot of the stack."""
    at = first = before
    while at and (at > first or at == before or rows[at].depth > slot or rows[at - 1].name.startswith(BRANCHING)):
        first = min(first, rows[at].source)
        at -= 1
    return at


def _call(rows: list[Row], at: int) -> Call:
    row = rows[at]
    count = row.arg + (row.name in KEYWORDS)
    if row.name == "CALL_FUNCTION_EX":
        count = 1 + (row.arg & 1 or sys.version_info >= (3, 14))
    ends = [*(_start(rows, at, slot) for slot in range(row.depth - count, row.depth)), at]
    return Call(_expression(rows, end - 1) for end in ends)


def _expression(rows: list[Row], at: int) -> tuple[Any, ...]:
    """The call, or the name and its attributes, that ends at a row: empty for any other expression."""
    at -= rows[at].name == "PUSH_NULL"  # which follows the function from Python 3.13 on
    row = rows[at]
    if rows[at + 1].source <= at:
        return ()
    if row.name in CALLS:
        return _call(rows, at)
    if row.name in ATTRIBUTES:
        owner = _expression(rows, at - 1)
        return (*owner, row.value) if owner and not isinstance(owner, Call) else ("", "", row.value)
    return (row.name, row.value) if row.name in NAMED or "LOAD_FAST" in row.name else ()


def _meant(expression: tuple[Any, ...], frame: FrameType) -> Any:
    """What an expression means in a frame: None where that cannot be told; of a call, only what asks later."""
    if isinstance(expression, Call):
        call = Call(_meant(part, frame) for part in expression)
        return call if _lazy(call) else None
    if not expression:
        return None
    load, name, *attributes = expression
    if attributes and attributes[-1] in METHODS:
        return float
    scopes = [{} if load == "LOAD_GLOBAL" else frame.f_locals, frame.f_globals, frame.f_builtins]
    value = next((scope[name] for scope in scopes if name in scope), None)
    for attribute in attributes:
        value = inspect.getattr_static(value, attribute, None)
    return value.__func__ if isinstance(value, (types.MethodType, staticmethod)) else value


def _lazy(value: Any) -> bool:
    """Whether values come out of this as it asks for them, or it is a function with some of its arguments."""
    kind = value[0] if type(value) is Call else type(value)
    return any(kind is one for one in LAZY) or (isinstance(kind, type) and kind.__module__ == "itertools")


def _asks(value: Any) -> bool | None:
    """True if a conversion asks in a function or an iterator, False if other code of C does, None if nothing does."""
    if any(value is conversion for conversion in CONVERSIONS):
        return True
    if isinstance(value, types.FunctionType):
        return value.__name__ in METHODS or None
    if type(value) in (Call, tuple) or _lazy(value):
        answers = [_asks(part) for part in (value if isinstance(value, tuple) else gc.get_referents(value))]
        return False if False in answers else True in answers or None
    return False if isinstance(value, OF_C) and _module(value) not in PASSING else None


def _module(value: Any) -> str | None:
    """The module that a function or a class of C comes from; None of anything else."""
    if not isinstance(value, OF_C):
        return None
    owner = getattr(value, "__objclass__", value)
    return getattr(owner, "__module__", None) or type(getattr(owner, "__self__", owner)).__module__
