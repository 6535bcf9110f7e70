"""Scalar pieces that generated loops call."""

from __future__ import annotations

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
def load(typingctx: Any, address: Any) -> Any:
    """The 64-bit integer at an address, as other threads have left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], LONG.as_pointer())
        return builder.load_atomic(place, "acquire", 8, typ=LONG)

    return types.int64(types.int64), codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Put a 64-bit integer at an address, for other threads to see."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], builder.inttoptr(args[0], LONG.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


if numba.config.DISABLE_JIT:

    def add(total: float, term: float) -> float:
        """A sum with one more term, in float64, as there is but one partial sum to hold all terms."""
        return float(total) + float(term)

else:  # pragma: no cover - compiled

    @numba.njit(error_model="numpy")
    def add(total: float, term: float) -> float:
        """A sum with one more term, of the same dtype."""
        return _add(total, term)
