"""Roots and quotients as an optimizer's rule means them: what has vanished moves nothing.

A running average of squares decays to exactly 0 where a weight's gradient is 0 for long enough. There a root has an
infinite slope, and 0 * inf would make NaN of the hypergradient of the whole model. So in a rule a quotient by 0 is 0, a
negative power of 0 is 0, and so are the slopes of roots at 0; it is the same where the divisor is so near 0 that the
quotient of two numbers overflows. Elsewhere nothing differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import Elementwise
from ..core.rules import divide, equal, log, power, reciprocal, sqrt, where
from ..core.tape import leading_to, reachable
from ..fusion.symbols import Symbol, substitute


def _numpy_quotient(x: Any, y: Any) -> Any:
    out = np.divide(x, y)
    return _vanished(out - out != 0, out, x, y)


def _numpy_power(x: Any, y: Any) -> Any:
    out = np.power(x, y)
    return _vanished(np.abs(out) == np.inf, out, x, y)


def _vanished(lost: Any, out: Any, x: Any, y: Any) -> Any:
    """0 where out is lost though x and y are finite, else out. Of a number less itself, 0 says that it is finite."""
    return np.where(lost, np.where(x - x == 0, np.where(y - y == 0, 0, out), out), out)


quotient: Elementwise = Elementwise(
    "quotient", lambda x, y: _numpy_quotient(x, y), "x / y, and 0 where no number is so large.",
    x=lambda g, y: quotient(g, y), y=lambda g, out, y: -quotient(g * out, y),
)  # fmt: skip
inverse = Elementwise(
    "reciprocal", lambda x: _numpy_quotient(1.0, x), "1 / x, and 0 where no number is so large.",
    x=lambda g, x: -quotient(quotient(g, x), x),
)  # fmt: skip
root = Elementwise(
    "sqrt", np.sqrt, "The square root; its slope at 0 is 0.", x=lambda g, out: quotient(g * 0.5, out)
)  # fmt: skip
scale: Elementwise = Elementwise(
    "power", lambda x, y: _numpy_power(x, y),
    "x ** y, and 0 where no number is so large; its slope where x is 0 is 0, or 1 if y is 1.",
    x=lambda g, out, x, y: where(equal(y, 1.0), g, quotient(g * y * out, x)),
    y=lambda g, out, x: g * where(equal(x, 0.0), 0.0, out * log(where(equal(x, 0.0), 1.0, x))),
)  # fmt: skip

# By operation: what takes its place in a rule, and which argument must not be a number of the tower alone.
REPLACED = {divide: (quotient, 1), reciprocal: (inverse, 0), sqrt: (root, 0), power: (scale, 0)}


def vanishing(outputs: Sequence[Any], arrays: Sequence[Symbol]) -> list[Any]:
    """A rule's outputs with the operations above in place of those that read the weight, its gradient or a state."""
    moving = leading_to(reachable(out for out in outputs if isinstance(out, Symbol)), arrays)

    def meant(symbol: Symbol) -> Elementwise | None:
        if symbol.op in REPLACED:
            other, place = REPLACED[symbol.op]
            return other if symbol.args[place] in moving else symbol.op
        return symbol.op

    return substitute(outputs, {symbol: symbol for symbol in arrays}, meant)
