"""The elementwise rules: one entry an operation, read three ways (tensors, recording tensors, symbols).

Each entry gives the formula in numba's notation and in NumPy's, and the VJP with ordinary operators. Conventions at
hard points are those of the VJPs here: abs and relu have gradient 0 at 0; maximum and minimum share the gradient
equally at a tie; sqrt has an infinite gradient at 0; x ** 0 has gradient 0 in x everywhere, and x ** p has gradient 0
in p where x is 0.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import CallError, UnsupportedError
from ..interop import PLAIN, foreign
from ..kernels.expression import Formula
from ..symbols import Constant, Rule, Symbol
from ..tensor import Tensor
from .fuse import held, operand
from .fusion import Fusion

RULES: dict[str, Elementwise] = {}


class Elementwise:
    """A callable elementwise operation: on symbols it writes an expression, on anything else it computes."""

    def __init__(
        self, name: str, source: str, numpy: Callable[..., Any], vjp: Callable[..., Any] | None, doc: str
    ) -> None:
        arity = 1 + max(int(c) for c in "012" if "{" + c + "}" in source)
        self.rule = Rule(Formula(name, source, numpy), vjp)
        inputs = [Symbol() for _ in range(arity)]
        self.fusion = Fusion(name, inputs, [Symbol(self.rule, tuple(inputs))], eager=True)
        self._strong = (False,) * arity
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        names = ("condition", "x", "y") if arity == 3 else ("x", "y")[:arity]
        self.__signature__ = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names])

    def __call__(self, *args: Any) -> Any:
        if len(args) != len(self._strong):
            raise CallError(f"{self.__name__} takes {len(self._strong)} arguments, got {len(args)}")
        for arg in args:
            if type(arg) is not Tensor:
                return self._mixed(args)
        return self.fusion(args, self._strong)[0]

    def _mixed(self, args: tuple[Any, ...]) -> Any:
        for arg in args:
            if isinstance(arg, Symbol):
                return self._symbol(args)
        pairs = [operand(arg, self.__name__) for arg in args]
        return self.fusion([tensor for tensor, _ in pairs], tuple([weak for _, weak in pairs]))[0]

    def _symbol(self, args: tuple[Any, ...]) -> Symbol:
        for arg in args:
            if not isinstance(arg, (Symbol, float, int, np.generic)):
                raise UnsupportedError(
                    f"{self.__name__}: in a fused function a symbol met a {type(arg).__name__}; "
                    "pass tensors and arrays as arguments"
                )
        plain = [arg.item() if isinstance(arg, np.generic) else arg for arg in args]
        plain = [held(arg, self.__name__) if type(arg) is int else arg for arg in plain]
        return Symbol(self.rule, tuple([arg.value if isinstance(arg, Constant) else arg for arg in plain]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _entry, (self.__name__,)  # another process has its own table

    def __repr__(self) -> str:
        return f"<elementwise operation {self.__name__}>"


def _entry(name: str) -> Elementwise:
    return RULES[name]


def rule(name: str, source: str, numpy: Callable[..., Any], vjp: Callable[..., Any] | None, doc: str) -> Elementwise:
    """Enter an operation into the table."""
    RULES[name] = Elementwise(name, source, numpy, vjp, doc)
    return RULES[name]


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1 / (1 + e), e / (1 + e))


def _erf(x: Any) -> Any:
    values = [math.erf(value) for value in np.ravel(x).tolist()]
    return np.array(values, dtype=np.result_type(x, 1.0)).reshape(np.shape(x))


def _slope_of_power(x: Any, y: Any) -> Any:
    """y * x ** (y - 1), and 0 where x and y are 0."""
    zero = equal(absolute(x) + absolute(y), 0.0)
    return where(zero, 0.0, y) * x ** where(zero, 0.0, y - 1.0)


TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)

# Constants of the gradient: comparisons and steps.
equal = rule("equal", "{0} == {1}", np.equal, None, "x == y, as booleans.")
not_equal = rule("not_equal", "{0} != {1}", np.not_equal, None, "x != y, as booleans.")
less = rule("less", "{0} < {1}", np.less, None, "x < y, as booleans.")
less_equal = rule("less_equal", "{0} <= {1}", np.less_equal, None, "x <= y, as booleans.")
greater = rule("greater", "{0} > {1}", np.greater, None, "x > y, as booleans.")
greater_equal = rule("greater_equal", "{0} >= {1}", np.greater_equal, None, "x >= y, as booleans.")
isnan = rule("isnan", "{0} != {0}", np.isnan, None, "Where x is NaN, as booleans.")
sign = rule("sign", "np.sign({0}) + 0", np.sign, None, "-1, 0 or 1 by the sign of x; its gradient is 0 everywhere.")
floor = rule("floor", "np.floor({0})", np.floor, None, "The largest integer not above x; its gradient is 0 everywhere.")

# Selection.
where: Elementwise = rule(
    "where", "({1} if {0} else {2})", np.where, lambda g, out, c, x, y: (None, where(c, g, 0.0), where(c, 0.0, g)),
    "x where the condition holds, else y; no gradient flows to the branch not taken.",
)  # fmt: skip
maximum = rule(
    "maximum", "({0} if {0} >= {1} or {0} != {0} else {1})", np.maximum,
    lambda g, out, x, y: (_larger(g, x, y), _larger(g, y, x)),
    "The larger of x and y; NaN if either is. At a tie each gets half of the gradient.",
)  # fmt: skip
minimum = rule(
    "minimum", "({0} if {0} <= {1} or {0} != {0} else {1})", np.minimum,
    lambda g, out, x, y: (_larger(g, y, x), _larger(g, x, y)),
    "The smaller of x and y; NaN if either is. At a tie each gets half of the gradient.",
)  # fmt: skip
absolute = rule("abs", "abs({0})", np.abs, lambda g, out, x: (g * sign(x),), "The absolute value; gradient 0 at 0.")
relu = rule(
    "relu", "({0} if {0} > 0 or {0} != {0} else 0)", lambda x: np.maximum(x, 0),
    lambda g, out, x: (where(x > 0, g, 0.0),), "max(x, 0); gradient 0 at 0.",
)  # fmt: skip

# Arithmetic.
positive = rule("positive", "{0}", lambda x: +x, lambda g, out, x: (g,), "x.")
negative = rule("negative", "-{0}", lambda x: -x, lambda g, out, x: (-g,), "-x.")
add = rule("add", "{0} + {1}", np.add, lambda g, out, x, y: (g, g), "x + y.")
subtract = rule("subtract", "{0} - {1}", np.subtract, lambda g, out, x, y: (g, -g), "x - y.")
multiply = rule("multiply", "{0} * {1}", np.multiply, lambda g, out, x, y: (g * y, g * x), "x * y.")
divide = rule("divide", "{0} / {1}", np.divide, lambda g, out, x, y: (g / y, -(g / y) * out), "x / y.")
power = rule(
    "power", "{0} ** {1}", np.power,
    lambda g, out, x, y: (
        g * _slope_of_power(x, y),
        g * where(equal(x, 0.0), 0.0, out * log(where(equal(x, 0.0), 1.0, x))),
    ),
    "x ** y; gradient 0 in x where y is 0, and 0 in y where x is 0.",
)  # fmt: skip
square = rule("square", "{0} * {0}", np.square, lambda g, out, x: (g * (x + x),), "x * x.")
reciprocal = rule(
    "reciprocal", "{one} / {0}", lambda x: np.divide(1.0, x), lambda g, out, x: (-g * out * out,), "1 / x.",
)  # fmt: skip
sqrt = rule(
    "sqrt", "math.sqrt({0})", np.sqrt, lambda g, out, x: (g * 0.5 / out,),
    "The square root; its gradient at 0 is infinite.",
)  # fmt: skip

# Exponentials and logarithms.
exp = rule("exp", "math.exp({0})", np.exp, lambda g, out, x: (g * out,), "e ** x.")
expm1 = rule("expm1", "math.expm1({0})", np.expm1, lambda g, out, x: (g * exp(x),), "e ** x - 1, exact near 0.")
log: Elementwise = rule("log", "math.log({0})", np.log, lambda g, out, x: (g / x,), "The natural logarithm.")
log1p = rule("log1p", "math.log1p({0})", np.log1p, lambda g, out, x: (g / (1.0 + x),), "log(1 + x), exact near 0.")
sigmoid = rule(
    "sigmoid", "1 / (1 + math.exp(-{0}))", _sigmoid, lambda g, out, x: (g * _sigmoid_slope(x),), "1 / (1 + e ** -x).",
)  # fmt: skip
_sigmoid_slope: Elementwise = Elementwise(
    "sigmoid_slope", "{one} / (2 + 2 * math.cosh({0}))", lambda x: np.square(0.5 / np.cosh(0.5 * x)),
    lambda g, out, x: (-g * out * tanh(0.5 * x),),
    "The slope of sigmoid, out of x: where sigmoid has rounded to 1, it does not say how far from 1 it was.",
)  # fmt: skip
softplus = rule(
    "softplus", "(max({0}, 0) + math.log1p(math.exp(-abs({0}))))", lambda x: np.logaddexp(x, 0),
    lambda g, out, x: (g * sigmoid(x),), "log(1 + e ** x), without overflow.",
)  # fmt: skip
logaddexp = rule(
    "logaddexp",
    f"({{0}} + {math.log(2)} if {{0}} == {{1}} else max({{0}}, {{1}}) + math.log1p(math.exp(-abs({{0}} - {{1}}))))",
    np.logaddexp, lambda g, out, x, y: (g * sigmoid(x - y), g * sigmoid(y - x)),
    "log(e ** x + e ** y), without overflow.",
)  # fmt: skip

# Trigonometric and hyperbolic functions.
sin = rule("sin", "math.sin({0})", np.sin, lambda g, out, x: (g * cos(x),), "The sine of x radians.")
cos: Elementwise = rule("cos", "math.cos({0})", np.cos, lambda g, out, x: (-g * sin(x),), "The cosine of x radians.")
tan = rule("tan", "math.tan({0})", np.tan, lambda g, out, x: (g * (1.0 + out * out),), "The tangent of x radians.")
arcsin = rule(
    "arcsin", "math.asin({0})", np.arcsin, lambda g, out, x: (g * _arc_slope(x),), "The inverse sine, in radians."
)
arccos = rule(
    "arccos", "math.acos({0})", np.arccos, lambda g, out, x: (-g * _arc_slope(x),), "The inverse cosine, in radians."
)
_arc_slope: Elementwise = Elementwise(
    "arc_slope", "{one} / math.sqrt(({one} - {0}) * ({one} + {0}))", lambda x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
    lambda g, out, x: (g * x * (out * out * out),), "The slope of arcsin, infinite at -1 and 1 as all its derivatives.",
)  # fmt: skip
arctan = rule(
    "arctan", "math.atan({0})", np.arctan, lambda g, out, x: (g / (1.0 + x * x),), "The inverse tangent, in radians."
)
sinh = rule("sinh", "math.sinh({0})", np.sinh, lambda g, out, x: (g * cosh(x),), "The hyperbolic sine.")
cosh: Elementwise = rule("cosh", "math.cosh({0})", np.cosh, lambda g, out, x: (g * sinh(x),), "The hyperbolic cosine.")
tanh: Elementwise = rule(
    "tanh", "math.tanh({0})", np.tanh, lambda g, out, x: (g * _tanh_slope(x),), "The hyperbolic tangent."
)
_tanh_slope: Elementwise = Elementwise(
    "tanh_slope", "{one} / math.cosh({0}) ** 2", lambda x: np.square(np.reciprocal(np.cosh(x))),
    lambda g, out, x: (-2.0 * g * out * tanh(x),), "The slope of tanh, out of x as that of sigmoid.",
)  # fmt: skip
erf = rule(
    "erf", "math.erf({0})", _erf, lambda g, out, x: (g * (TWO_OVER_SQRT_PI * exp(-x * x)),), "The error function."
)


def _larger(g: Any, x: Any, y: Any) -> Any:
    """g where x > y, half of it where they are equal, 0 elsewhere."""
    return where(greater(x, y), g, where(equal(x, y), 0.5 * g, 0.0))


_at_least = Elementwise(
    "clip", "({0} if {0} >= {1} or {0} != {0} else {1})", lambda x, low: _bounded(np.maximum, np.less, x, low),
    lambda g, out, x, low: _held(g, x, greater_equal(x, low)), "x, or low where x is below it; NaN if either is.",
)  # fmt: skip
_at_most = Elementwise(
    "clip", "({0} if {0} <= {1} or {0} != {0} else {1})", lambda x, high: _bounded(np.minimum, np.greater, x, high),
    lambda g, out, x, high: _held(g, x, less_equal(x, high)), "x, or high where x is above it; NaN if either is.",
)  # fmt: skip


def _bounded(choice: Callable[..., Any], beyond: Callable[..., Any], x: Any, bound: Any) -> Any:
    """The chosen of the two. A Python integer that the dtype of x does not hold is an error only where it is chosen."""
    whole = type(bound) is int and np.result_type(x).kind != "f"
    return np.where(False, bound, x) if whole and not np.any(beyond(x, bound)) else choice(x, bound)


def _held(g: Any, x: Any, inside: Any) -> tuple[Any, Any]:
    """The cotangents of x and of its bound: x passes inside, and as a NaN."""
    return where(inside, g, where(isnan(x), g, 0.0)), where(inside, 0.0, where(isnan(x), 0.0, g))


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """x held between min and max, either of which may be None; gradient 1 on the bounds, 0 beyond them.

    NaN where x or a bound is. Where a bound is the result, as a NaN too, it gets the gradient.
    """
    x = x if min is None else _at_least(x, min)
    return x if max is None else _at_most(x, max)


def pow(x: Any, y: Any) -> Any:
    """x ** y; a whole power of 2 is a square, which is exact and quick."""
    return square(x) if type(y) is int and y == 2 or type(y) is float and y == 2 and not _whole(x) else power(x, y)


def _whole(x: Any) -> bool:
    return not isinstance(x, Symbol) and np.result_type(getattr(x, "array", x)).kind != "f"


OPERATORS: dict[str, Callable[..., Any]] = {
    "add": add, "sub": subtract, "mul": multiply, "truediv": divide, "pow": pow,
    "eq": equal, "ne": not_equal, "lt": less, "le": less_equal, "gt": greater, "ge": greater_equal,
}  # fmt: skip
UNARY = {"neg": negative, "pos": positive, "abs": absolute}
NUMPY_ALIASES = {
    "absolute": absolute, "true_divide": divide,
    "fabs": Elementwise("fabs", "abs({0})", np.fabs, absolute.rule.vjp, "The absolute value, as a float."),
    "float_power": Elementwise("float_power", "{0} ** {1}", np.float_power, power.rule.vjp, "x ** y, as float64."),
}  # fmt: skip


def forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as an operator, which leaves the word to an operand of another library."""

    def operator(self: Any, other: Any) -> Any:
        return NotImplemented if type(other) not in PLAIN and foreign(type(other)) else function(self, other)

    return operator


def reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    """As forward, where the other operand is on the left."""
    return forward(lambda self, other: function(other, self))


def attach_operators(cls: type) -> None:
    """Give a class Python's arithmetic and comparison operators."""

    def unary(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self: function(self)

    def equality(function: Callable[..., Any]) -> Callable[..., Any]:
        return forward(lambda self, other: NotImplemented if other is None else function(self, other))

    for name, function in OPERATORS.items():
        if f"__{name}__" not in vars(cls):
            setattr(cls, f"__{name}__", equality(function) if name in ("eq", "ne") else forward(function))
        if name in ("add", "sub", "mul", "truediv", "pow") and f"__r{name}__" not in vars(cls):
            setattr(cls, f"__r{name}__", reflected(function))
    for name, function in UNARY.items():
        if f"__{name}__" not in vars(cls):
            setattr(cls, f"__{name}__", unary(function))


attach_operators(Symbol)
Symbol.__hash__ = object.__hash__  # type: ignore[method-assign]
