"""How a kernel writes each elementwise operation: numba source, with `{0}`, `{1}` for its arguments.

`{one}` is a 1 of its dtype. It counts where `special` has no function of that name.
"""

from __future__ import annotations

import math

from ..core.operation import Elementwise
from ..fusion.expression import Expression
from ..ops.elementwise import at_least, at_most
from ..optim import vanishing

# By name, or by the operation where its name is that of another.
SOURCES: dict[Elementwise | str, str] = {
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
    vanishing.inverse: "({one} / {0} if ({one} / {0} - {one} / {0} == 0) | ({0} - {0} != 0) else 0)",
    vanishing.scale: "({0} ** {1} if (abs({0} ** {1}) != math.inf) | ({0} - {0} != 0) | ({1} - {1} != 0) else 0)",
    at_least: "({0} if {0} >= {1} or {0} != {0} else {1})",
    at_most: "({0} if {0} <= {1} or {0} != {0} else {1})",
    "as_float": "{0}",
}


def source(op: Elementwise) -> str:
    """How a kernel writes an operation. Raises KeyError for one that no kernel holds."""
    return SOURCES.get(op) or SOURCES[op.name]


def is_written(expression: Expression) -> bool:
    """Whether kernels can hold all operations of an expression."""
    return all(line.op in SOURCES or line.op.name in SOURCES for line in expression.lines)
