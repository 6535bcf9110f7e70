"""How a kernel writes each elementwise operation: numba source, `{0}` for the first argument, `{one}` for a 1."""

from __future__ import annotations

import functools
import math
from typing import Any

from ..fusion.expression import Formula

SOURCES: dict[Any, str] = {
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
}


def write_as(op: Any, source: str) -> None:
    """How a kernel writes an operation whose name says something else, or nothing, in the table."""
    SOURCES[op] = source


@functools.cache
def formula(op: Any) -> Formula:
    """An elementwise operation in both notations."""
    return Formula(op.name, SOURCES.get(op) or SOURCES[op.name], op.forward)
