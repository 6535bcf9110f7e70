"""The table of hard points: what conventions.py computes, and why something was decided where libraries differ."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """expression: in NumPy's names, of x, y, ...  at: their values.  why: where PyTorch or JAX gives something else."""

    expression: str
    at: str
    why: str = ""

    @property
    def key(self) -> str:
        return f"{self.expression} at {self.at}"


class Group(NamedTuple):
    title: str
    words: str
    rows: tuple[Row, ...]


# Why something is as it is.
MIDDLE = "the middle of the slopes on both sides, -1 and 1. JAX takes the right one."
NANS = "a NaN cannot be compared, so it is on neither side. It shows in the value."
BOUND = "a bound is inside the range, so what stands there can still move off it. JAX shares, as at a tie."
ZERO_Y = (
    "the derivative with respect to an exponent is 0 wherever the base is 0, whatever the exponent. So are its own "
    "derivatives."
)
ZERO_X = "with a whole y of 0, 1, 2, ... `x ** y` is a polynomial in x. Its derivatives at 0 are numbers."
MIXED = "the exponent is 0 but moves with `x`. PyTorch leaves out the mixed derivative, which is `1 / x`."
LENGTH = "0 with all derivatives, the middle of all directions. NaN would spoil every weight in the length."
ABS = "as `abs` at 0."
FLUSH = "a subnormal number is a number. JAX takes it for 0."
NOTHING = "a maximum or a softmax of nothing is an error here, and so is what needs one: a mask has left nothing over."
UNCOMPARED = "no element equals NaN, so none has a share. The NaN of the value shows in the gradient."
NAN_BOUND = "a bound that is NaN is the result, and the result gets the gradient."
UNBOUND = "a NaN is beyond neither bound, so it passes as it is."
TAIL = "the derivative is as accurate as the argument. 1 minus the rounded value would be 0, or have no digits left."
TERMS = "the shares come from the differences of the terms, not from the rounded sum."
SHIFTED = "PyTorch takes `x` itself from 20 on. JAX differs in rounding."
OTHERS = "each gets the product of the others, which need not overflow. PyTorch divides the product."
MASKED = "each exponential is 0, and so are its derivatives. So a masked row of probabilities does no harm."
UNDERFLOW = "the squares have underflowed, so this is a length of 0."
DOMINANT = "the infinite one is the result, and the other has no part in it."

KINKS = Group(
    "Kinks and ties",
    "At a kink or a tie the derivative is the middle of those on both sides. So neither a sign nor the order of "
    "arguments matters. There are two exceptions: `relu` has 0 at 0, as in every library, and the bounds of `clip` "
    "belong to its range.",
    (
        Row("abs(x)", "0.0", MIDDLE),
        Row("abs(x)", "-0.0", MIDDLE),
        Row("relu(x)", "0.0"),
        Row("maximum(x, 0.0)", "0.0"),
        Row("maximum(x, y)", "1.0, 1.0"),
        Row("maximum(x, y)", "inf, inf"),
        Row("minimum(x, y)", "1.0, 1.0"),
        Row("maximum(x, y)", "nan, 1.0", NANS),
        Row("minimum(x, y)", "1.0, nan", NANS),
        Row("relu(x)", "nan", NANS),
        Row("max(x)", "[3.0, 1.0, 3.0]"),
        Row("max(x)", "[inf, 1.0, inf]"),
        Row("min(x)", "[2.0, 2.0, 2.0, 2.0]"),
        Row("max(x)", "[1.0, nan]", UNCOMPARED),
        Row("max(x)", "[-inf, -inf]"),
        Row("clip(x, -1.0, 1.0)", "1.0", BOUND),
        Row("clip(x, -1.0, 1.0)", "-1.0", BOUND),
        Row("clip(x, -1.0, 1.0)", "2.0"),
        Row("clip(x, -1.0, 1.0)", "nan", UNBOUND),
        Row("clip(x, 1.0, -1.0)", "0.0"),
        Row("clip(x, nan, 2.0)", "1.0"),
        Row("clip(x, 0.0, nan)", "1.0"),
        Row("clip(x, y, y + 2.0)", "1.0, nan", NAN_BOUND),
        Row("x * sign(x)", "0.0"),
        Row("x * floor(x)", "2.0"),
    ),
)

EDGES = Group(
    "The edge of a domain",
    "An infinite derivative stays infinite. A number in its place would be wrong by any amount, and hide where a run "
    "breaks. `th.inspect.first_nonfinite` finds the place.",
    (
        Row("sqrt(x)", "0.0"),
        Row("sqrt(x)", "-1.0"),
        Row("log(x)", "0.0"),
        Row("log(x)", "-1.0"),
        Row("log1p(x)", "-1.0"),
        Row("x * log(x)", "0.0"),
        Row("reciprocal(x)", "0.0"),
        Row("x / y", "1.0, 0.0"),
        Row("x / y", "0.0, 0.0"),
        Row("arcsin(x)", "1.0"),
        Row("arccos(x)", "1.0"),
        Row("arcsin(x)", "2.0"),
        Row("sqrt(x * x)", "0.0"),
    ),
)

POWERS = Group(
    "Powers",
    "`x ** 0.0` is 1 everywhere. So its derivative with respect to `x` is 0, at 0 too. Where `x` is 0, `x ** y` does "
    "not change with a positive `y`. So its derivative with respect to `y` is 0. Polynomials are right at 0, with all "
    "their derivatives.",
    (
        Row("power(x, 0.0)", "0.0", ZERO_X),
        Row("power(x, 1.0)", "0.0", ZERO_X),
        Row("x ** 2", "0.0"),
        Row("power(x, 3.0)", "0.0"),
        Row("power(x, 0.5)", "0.0"),
        Row("power(x, 1.5)", "0.0"),
        Row("power(x, -1.0)", "0.0"),
        Row("power(x, 2.0)", "-3.0"),
        Row("power(x, y)", "3.0, 0.0"),
        Row("x ** 0", "0.0"),
        Row("x ** 3", "-2.0"),
        Row("x ** -1", "-2.0"),
        Row("power(x, 0.5)", "-1.0"),
        Row("power(x, y)", "0.0, 0.0", ZERO_Y),
        Row("power(x, y)", "0.0, 1.0", ZERO_Y),
        Row("power(x, y)", "0.0, 2.0", ZERO_Y),
        Row("power(x, y)", "0.0, -1.0", ZERO_Y),
        Row("power(x, y)", "2.0, 0.0"),
        Row("power(x, x - 2.0)", "2.0", MIXED),
        Row("power(x, y)", "-2.0, 3.0"),
        Row("power(x, y)", "1.0, inf"),
        Row("power(x, y)", "inf, 0.0"),
    ),
)

LENGTHS = Group(
    "Lengths and spreads",
    "A vector of zeros has the length 0, and no direction is better than another. So the derivative is 0, the middle "
    "of all directions. A penalty `norm(w)` does no harm there, nor does a `std` of values that are all alike.",
    (
        Row("norm(x)", "[0.0, 0.0]", LENGTH),
        Row("norm(x)", "[3.0, 4.0]"),
        Row("norm(x, 1)", "[0.0, 2.0]", ABS),
        Row("norm(x, inf)", "[2.0, -2.0]"),
        Row("norm(x, inf)", "[0.0, 0.0]", ABS),
        Row("norm(x)", "[1e200, 1e200]"),
        Row("norm(x)", "[1e-200, 1e-200]", UNDERFLOW),
        Row("norm(x)", "[inf, 1.0]"),
        Row("var(x)", "[2.0, 2.0]"),
        Row("std(x)", "[2.0, 2.0]", LENGTH),
        Row("std(x)", "[2.0]", LENGTH),
        Row("var(x, ddof=1)", "[2.0]", "0 / 0, and so are its derivatives."),
        Row("std(x, ddof=1)", "[2.0]"),
        Row("std(x)", "[1e200, -1e200]"),
        Row("std(x)", "[0.0, inf]"),
    ),
)

BRANCHES = Group(
    "The branch not taken",
    "`where` gives the branch not taken a gradient of 0. Where that branch's own derivative is infinite or NaN, 0 "
    "times it is NaN, as in the other libraries. Keep the argument off the hard point as well: "
    "`where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)`.",
    (
        Row("where(x > 0, x, 0.0)", "0.0"),
        Row("where(x > 0, x, y)", "1.0, nan"),
        Row("where(x > 0, sqrt(x), 0.0)", "0.0"),
        Row("where(x > 0, sqrt(x), 0.0)", "-1.0"),
        Row("where(x > 0, log(x), 0.0)", "0.0"),
        Row("where(isnan(x), 0.0, x)", "nan"),
        Row("where(isnan(x), 0.0, x * x)", "nan"),
        Row("where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)", "0.0"),
        Row("where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)", "-1.0"),
    ),
)

SIZES = Group(
    "Huge and tiny values",
    "What can be computed without overflow is computed so. What overflows is infinite, and nothing warns. Subnormal "
    "numbers are numbers like others. A derivative is accurate in the tails, where the value has rounded to 1, and "
    "beside a large offset. Only the gates of `lstm` read their slopes from the rounded result.",
    (
        Row("exp(x)", "1000.0"),
        Row("exp(x)", "-1000.0"),
        Row("exp(x)", "-740.0", FLUSH),
        Row("expm1(x)", "-1000.0"),
        Row("expm1(x)", "1e-300"),
        Row("expm1(x)", "1000.0"),
        Row("log1p(x)", "1e-300"),
        Row("log(x)", "5e-324", FLUSH),
        Row("sqrt(x)", "5e-324", FLUSH),
        Row("square(x)", "1e200"),
        Row("reciprocal(x)", "1e-310"),
        Row("sigmoid(x)", "1000.0"),
        Row("sigmoid(x)", "-1000.0"),
        Row("sigmoid(x)", "40.0", TAIL),
        Row("tanh(x)", "20.0", TAIL),
        Row("tanh(x)", "1000.0"),
        Row("tanh(x)", "inf"),
        Row("erf(x)", "inf"),
        Row("softplus(x)", "1000.0"),
        Row("softplus(x)", "-1000.0"),
        Row("softplus(x)", "25.0", SHIFTED),
        Row("softplus(x)", "40.0", TAIL),
        Row("expm1(x)", "-40.0", TAIL),
        Row("softplus(x)", "inf"),
        Row("softplus(x)", "-inf"),
        Row("logaddexp(x, y)", "2.0, 2.0"),
        Row("logaddexp(x, y)", "1000.0, 1000.0"),
        Row("logaddexp(x, y)", "-inf, 1.0", "exp(-inf) is 0, and so are its derivatives."),
        Row("logaddexp(x, y)", "-inf, -inf"),
        Row("logaddexp(x, y)", "inf, 1.0", DOMINANT),
        Row("logaddexp(x, y)", "inf, inf", "nothing says which of two infinities counts."),
        Row("logsumexp(x)", "[1000.0, 1000.0]"),
        Row("logsumexp(x)", "[-1000.0, -1000.0]"),
        Row("logsumexp(x)", "[1e16, 1e16]", TERMS),
        Row("logsumexp(x)", "[-inf, 0.0]"),
        Row("logsumexp(x)", "[-inf, -inf]", MASKED),
        Row("logsumexp(x)", "[inf, 0.0]"),
        Row("softmax(x)", "[1000.0, -1000.0]"),
        Row("softmax(x)[0]", "[40.0, 0.0]", TAIL),
        Row("softmax(x)", "[-inf, 0.0]"),
        Row("softmax(x)", "[-inf, -inf]"),
        Row("softmax(x)", "[inf, 0.0]"),
        Row("log_softmax(x)", "[1000.0, -1000.0]"),
        Row("log_softmax(x)[0]", "[40.0, 0.0]", TAIL),
        Row("log_softmax(x)", "[-inf, 0.0]"),
        Row("sum(x)", "[inf, -inf]"),
        Row("sum(x)", "[inf, 1.0]"),
        Row("mean(x)", "[1e308, 1e308]"),
        Row("prod(x)", "[0.0]"),
        Row("prod(x)", "[0.0, 2.0, 3.0]"),
        Row("prod(x)", "[0.0, 2.0, 0.0]"),
        Row("prod(x)", "[1e200, 1e200, 1e-200]", OTHERS),
        Row("prod(x)", "[inf, 0.0]", "the second derivative in one factor is 0."),
        Row("cumsum(x)", "[1.0, inf, -inf]"),
        Row("sin(x)", "inf"),
    ),
)

EMPTY = Group(
    "Nothing, and single numbers",
    "Of no elements the sum is 0, the product is 1, and `max` is an error. A single number is "
    "its own sum.",
    (
        Row("sum(x)", "[]"),
        Row("prod(x)", "[]"),
        Row("mean(x)", "[]"),
        Row("var(x)", "[]"),
        Row("std(x)", "[]"),
        Row("norm(x)", "[]"),
        Row("max(x)", "[]"),
        Row("logsumexp(x)", "[]", NOTHING),
        Row("cumsum(x)", "[]"),
        Row("softmax(x)", "[]", NOTHING),
        Row("sum(x, 1)", "zeros((2, 0))"),
        Row("max(x, 0)", "zeros((2, 0))"),
        Row("max(x, 1)", "zeros((2, 0))"),
        Row("x @ y", "zeros((2, 0)), zeros((0, 1))"),
        Row("sum(x)", "2.0"),
        Row("max(x)", "2.0"),
        Row("norm(x)", "-2.0"),
        Row("cumsum(x)", "2.0", "a running sum has an axis, as in NumPy."),
        Row("softmax(x)", "2.0", "a number has no axis along which to compare."),
        Row("std(x)", "2.0", LENGTH),
    ),
)

GROUPS = (KINKS, EDGES, POWERS, LENGTHS, BRANCHES, SIZES, EMPTY)
