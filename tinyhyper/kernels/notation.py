"""How a kernel writes each elementwise operation: numba source, with `{0}`, `{1}` for its arguments.

`{one}` is a 1 of its dtype. It counts where `special` has no function of that name. An operation that is not in the
table is read as a fused function is: NumPy's way is run on symbols, and a kernel computes what that writes down.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from ..core.operation import OPERATIONS, Elementwise
from ..errors import TinyhyperError
from ..fusion.expression import Expression
from ..fusion.symbols import Scalar, Symbol, lower, substitute

SOURCES = {
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "isnan": "{0} != {0}",
    "sign": "np.sign({0}) + 0",
    "floor": "np.floor({0})",
    "where": "({1} if {0} else {2})",
    "maximum": "({0} if {0} >= {1} or {0} != {0} else {1})",
    "minimum": "({0} if {0} <= {1} or {0} != {0} else {1})",
    "abs": "abs({0})",
    "fabs": "abs({0})",
    "relu": "({0} if {0} > 0 or {0} != {0} else 0)",
    "positive": "{0}",
    "negative": "-{0}",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "power": "{0} ** {1}",
    "float_power": "{0} ** {1}",
    "square": "{0} * {0}",
    "reciprocal": "{one} / {0}",
    "sqrt": "math.sqrt({0})",
    "exp": "math.exp({0})",
    "expm1": "math.expm1({0})",
    "log": "math.log({0})",
    "log1p": "math.log1p({0})",
    "sigmoid": "1 / (1 + math.exp(-{0}))",
    "sigmoid_slope": "{one} / (2 + 2 * math.cosh({0}))",
    "softplus": "(max({0}, 0) + math.log1p(math.exp(-abs({0}))))",
    "logaddexp": (
        f"({{0}} + {math.log(2)} if {{0}} == {{1}} else max({{0}}, {{1}}) + math.log1p(math.exp(-abs({{0}} - {{1}}))))"
    ),
    "sin": "math.sin({0})",
    "cos": "math.cos({0})",
    "tan": "math.tan({0})",
    "arcsin": "math.asin({0})",
    "arccos": "math.acos({0})",
    "arc_slope": "{one} / math.sqrt(({one} - {0}) * ({one} + {0}))",
    "arctan": "math.atan({0})",
    "sinh": "math.sinh({0})",
    "cosh": "math.cosh({0})",
    "tanh": "math.tanh({0})",
    "tanh_slope": "{one} / math.cosh({0}) ** 2",
    "erf": "math.erf({0})",
    "hold": "({1} if {0} < {1} else ({2} if {0} > {2} else {0}))",
    # A number less itself is 0 only if the number is finite; the operator | leaves no branches in a kernel.
    "quotient": "({0} / {1} if ({0} / {1} - {0} / {1} == 0) | ({0} - {0} != 0) | ({1} - {1} != 0) else 0)",
    "as_float": "{0}",
}


def source(op: Elementwise) -> str:
    """How a kernel writes an operation that has a notation."""
    return SOURCES[op.name]


def is_written(expression: Expression) -> bool:
    """Whether kernels can hold all operations of an expression."""
    return all(_read(line.op) is not None for line in expression.lines)


def written(expression: Expression) -> Expression:
    """The expression in operations that have a notation, by what NumPy's way of the others does to symbols."""
    if all(_has_notation(line.op) for line in expression.lines):
        return expression
    inputs = [Scalar() if is_scalar else Symbol() for is_scalar in expression.scalars]
    values: list[Any] = [*inputs, *expression.constants]
    for op, args in expression.lines:
        reading = _read(op)
        assert reading is not None  # as is_written has found
        symbols, out = reading
        values += substitute([out], dict(zip(symbols, [values[n] for n in args])))
    return lower([values[n] for n in expression.outputs], inputs)


def _has_notation(op: Elementwise) -> bool:
    """Another operation may have the name of one that is in the table."""
    return op.name in SOURCES and OPERATIONS.get(op.name, op) is op


@cache
def _read(op: Elementwise) -> tuple[list[Symbol], Symbol] | None:
    """Symbols, and what the operation makes of them with operations that have a notation; None if it cannot be read."""
    symbols = [Symbol() for _ in op.inputs]
    if _has_notation(op):
        return symbols, Symbol(op, tuple(symbols))
    try:
        out = op.forward(*symbols)
    except TinyhyperError:
        return None
    return (symbols, out) if all(_has_notation(line.op) for line in lower([out], symbols).lines) else None
