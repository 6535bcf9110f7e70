"""Scalar pieces that generated loops call."""

from __future__ import annotations

from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def _add(typingctx: Any, total: Any, term: Any) -> Any:
    """total + term, in whatever order of terms vectorizes: the one place where a kernel may reassociate."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return types.float64(types.float64, types.float64), codegen


if numba.config.DISABLE_JIT:

    def add(total: float, term: float) -> float:
        """A term of a float64 sum."""
        return total + term

else:

    @numba.njit(error_model="numpy")
    def add(total: float, term: float) -> float:
        """A term of a float64 sum."""
        return _add(total, term)
