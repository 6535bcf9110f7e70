"""Scalar pieces that generated loops call."""

from __future__ import annotations

import ctypes
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LONG = ir.IntType(64)


@intrinsic
def _add(typingctx: Any, total: Any, term: Any) -> Any:
    """total + term, of one dtype, in whatever order of terms vectorizes: all that a kernel may reassociate."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return total(total, total), codegen


@intrinsic
def _load(typingctx: Any, address: Any) -> Any:
    """The 64-bit integer at an address, as other threads have left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], LONG.as_pointer())
        return builder.load_atomic(place, "acquire", 8, typ=LONG)

    return types.int64(types.int64), codegen


@intrinsic
def _store(typingctx: Any, address: Any, value: Any) -> Any:
    """Put a 64-bit integer at an address, for other threads to see."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], builder.inttoptr(args[0], LONG.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _call(typingctx: Any, function: Any, words: Any) -> Any:
    """Call the C function at an address with the address of its words."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [LONG])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


if numba.config.DISABLE_JIT:

    def add(total: float, term: float) -> float:
        """A sum with one more term, in float64, as there is but one partial sum to hold all terms."""
        return float(total) + float(term)

    def load(address: int) -> int:
        return ctypes.c_int64.from_address(int(address)).value

    def store(address: int, value: int) -> None:
        ctypes.c_int64.from_address(int(address)).value = value

    def call(function: int, words: int) -> None:
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(int(function))(int(words))

else:  # pragma: no cover - compiled
    load, store, call = _load, _store, _call

    @numba.njit(error_model="numpy")
    def add(total: float, term: float) -> float:
        """A sum with one more term, of the same dtype."""
        return _add(total, term)
