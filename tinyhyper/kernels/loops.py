"""Scalar pieces that generated loops call."""

from __future__ import annotations

from typing import Any

import numba
from numba.extending import intrinsic


@intrinsic
def _add(typingctx: Any, total: Any, term: Any) -> Any:
    """total + term, of one dtype, in whatever order of terms vectorizes: all that a kernel may reassociate."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("reassoc",))

    return total(total, total), codegen


if numba.config.DISABLE_JIT:

    def add(total: float, term: float) -> float:
        """A sum with one more term, of the same dtype."""
        return total + term

else:

    @numba.njit(error_model="numpy")
    def add(total: float, term: float) -> float:
        """A sum with one more term, of the same dtype."""
        return _add(total, term)
