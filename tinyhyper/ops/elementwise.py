"""The elementwise operations beyond the core's: an entry each, read by tensors, recording tensors and symbols.

A sigmoid's slope, as tanh's, is an operation of its own, out of x: where the value has rounded to 1, it does not say
how far from 1 it was.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import rules
from ..core.operation import OPERATIONS, Elementwise, elementwise
from ..core.rules import (
    absolute,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    positive,
    power,
    tanh,
    where,
)
from ..errors import ArgumentError, CallError

TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1 / (1 + e), e / (1 + e))


def _erf(x: Any) -> Any:
    values = [math.erf(value) for value in np.ravel(x).tolist()]
    return np.array(values, dtype=np.result_type(x, 1.0)).reshape(np.shape(x))


def _larger(g: Any, x: Any, y: Any) -> Any:
    """g where x > y, half of it where they are equal, 0 elsewhere."""
    return where(greater(x, y), g, where(equal(x, y), 0.5 * g, 0.0))


# Selection; maximum and minimum share the gradient equally at a tie, and relu has gradient 0 at 0.
maximum = elementwise(
    "maximum", np.maximum, "The larger of x and y; NaN if either is. At a tie each gets half of the gradient.",
    x=lambda g, x, y: _larger(g, x, y), y=lambda g, x, y: _larger(g, y, x),
)  # fmt: skip
minimum = elementwise(
    "minimum", np.minimum, "The smaller of x and y; NaN if either is. At a tie each gets half of the gradient.",
    x=lambda g, x, y: _larger(g, y, x), y=lambda g, x, y: _larger(g, x, y),
)  # fmt: skip
relu = elementwise(
    "relu", lambda x: np.maximum(x, 0), "max(x, 0); gradient 0 at 0.", x=lambda g, x: where(x > 0, g, 0.0)
)  # fmt: skip
isnan = elementwise("isnan", np.isnan, "Where x is NaN, as booleans.")
floor = elementwise("floor", np.floor, "The largest integer not above x; its gradient is 0 everywhere.")

# Exponentials and logarithms.
expm1 = elementwise("expm1", np.expm1, "e ** x - 1, exact near 0.", x=lambda g, x: g * exp(x))
log1p = elementwise("log1p", np.log1p, "log(1 + x), exact near 0.", x=lambda g, x: g / (1.0 + x))
sigmoid = elementwise("sigmoid", _sigmoid, "1 / (1 + e ** -x).", x=lambda g, x: g * sigmoid_slope(x))
sigmoid_slope: Elementwise = elementwise(
    "sigmoid_slope", lambda x: np.square(0.5 / np.cosh(0.5 * x)), "The slope of sigmoid, out of x.",
    x=lambda g, out, x: -g * out * tanh(0.5 * x),
)  # fmt: skip
softplus = elementwise(
    "softplus", lambda x: np.logaddexp(x, 0), "log(1 + e ** x), without overflow.", x=lambda g, x: g * sigmoid(x)
)  # fmt: skip
logaddexp = elementwise(
    "logaddexp", np.logaddexp, "log(e ** x + e ** y), without overflow.",
    x=lambda g, x, y: g * sigmoid(x - y), y=lambda g, x, y: g * sigmoid(y - x),
)  # fmt: skip

# Trigonometric and hyperbolic functions.
sin = elementwise("sin", np.sin, "The sine of x radians.", x=lambda g, x: g * cos(x))
cos: Elementwise = elementwise("cos", np.cos, "The cosine of x radians.", x=lambda g, x: -g * sin(x))
tan = elementwise("tan", np.tan, "The tangent of x radians.", x=lambda g, out: g * (1.0 + out * out))
arcsin = elementwise("arcsin", np.arcsin, "The inverse sine, in radians.", x=lambda g, x: g * arc_slope(x))
arccos = elementwise("arccos", np.arccos, "The inverse cosine, in radians.", x=lambda g, x: -g * arc_slope(x))
arc_slope: Elementwise = elementwise(
    "arc_slope", lambda x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
    "The slope of arcsin, infinite at -1 and 1 as all its derivatives.", x=lambda g, out, x: g * x * (out * out * out),
)  # fmt: skip
arctan = elementwise("arctan", np.arctan, "The inverse tangent, in radians.", x=lambda g, x: g / (1.0 + x * x))
sinh = elementwise("sinh", np.sinh, "The hyperbolic sine.", x=lambda g, x: g * cosh(x))
cosh: Elementwise = elementwise("cosh", np.cosh, "The hyperbolic cosine.", x=lambda g, x: g * sinh(x))
erf = elementwise("erf", _erf, "The error function.", x=lambda g, x: g * (TWO_OVER_SQRT_PI * exp(-x * x)))


def _passed(g: Any, x: Any, inside: Any) -> Any:
    """The cotangent of a clipped x: it passes inside the bound, and as a NaN."""
    return where(inside, g, where(isnan(x), g, 0.0))


def _bound(g: Any, x: Any, inside: Any) -> Any:
    """The cotangent of the bound."""
    return where(inside, 0.0, where(isnan(x), 0.0, g))


at_least = Elementwise(
    "clip", lambda x, low: np.maximum(x, low), "x, or low where x is below it; NaN if either is.",
    x=lambda g, x, low: _passed(g, x, greater_equal(x, low)), low=lambda g, x, low: _bound(g, x, greater_equal(x, low)),
)  # fmt: skip
at_most = Elementwise(
    "clip", lambda x, high: np.minimum(x, high), "x, or high where x is above it; NaN if either is.",
    x=lambda g, x, high: _passed(g, x, less_equal(x, high)), high=lambda g, x, high: _bound(g, x, less_equal(x, high)),
)  # fmt: skip


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """x held between min and max, either of which may be None; gradient 1 on the bounds, 0 beyond them.

    NaN where x or a bound is. Where a bound is the result, as a NaN too, it gets the gradient.
    x, min, max: tensors, arrays or numbers, of shapes that broadcast. Dtypes are promoted as in NumPy; a Python number
    takes on the dtype that it meets.
    Raises DtypeError and ShapeError as `maximum` does, and ArgumentError for a Python integer that the dtype does not
    hold, but not for one that x never reaches.
    """
    x = x if min is None else _clipped(at_least, x, min, less)
    return x if max is None else _clipped(at_most, x, max, greater)


def _clipped(op: Elementwise, x: Any, bound: Any, beyond: Elementwise) -> Any:
    """A Python integer that the dtype of x does not hold is an error only where it would be the result."""
    try:
        return op(x, bound)
    except ArgumentError:
        if type(bound) is int and not np.any(beyond(x, bound).data):
            return positive(x)
        raise


def _public(name: str) -> Callable[..., Any]:
    """The core's pow under this name, by which a wrong call is told."""
    signature = inspect.signature(rules.pow)

    @functools.wraps(rules.pow)
    def call(*args: Any, **names: Any) -> Any:
        if names or len(args) != 2:
            try:
                args = signature.bind(*args, **names).args
            except TypeError as error:
                raise CallError(f"{name}: {error}; it is {name}(x, y)") from None
        return rules.pow(*args)

    call.__name__ = name
    return call


POW, POWER = _public("pow"), _public("power")
FABS = elementwise("fabs", np.fabs, "The absolute value, as a float.", **absolute.vjps)
FLOAT_POWER = elementwise("float_power", np.float_power, "x ** y, as float64.", **power.vjps)
NUMPY_ALIASES = {"absolute": absolute, "true_divide": divide, "fabs": FABS, "float_power": FLOAT_POWER}
# Without a name in th: slopes, and what NumPy alone has.
INNER = {"tanh_slope", "sigmoid_slope", "arc_slope", "fabs", "float_power"}
BY_NAME = {name: op for name, op in OPERATIONS.items() if isinstance(op, Elementwise) and name not in INNER}
NAMES = sorted({"clip", *BY_NAME} & {*globals()} - {*vars(rules)})
if not TYPE_CHECKING:  # for which it would have to be written out
    __all__ = NAMES
