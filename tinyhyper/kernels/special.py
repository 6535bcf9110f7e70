"""Transcendental functions of one number, in arithmetic that a compiler can widen to a whole vector register.

A call into the C library computes one element at a time and keeps LLVM from vectorizing the loop around it. The
functions here are additions, multiplications, divisions, selections and bit patterns only, so a kernel that calls
`tanh_f32(x)` in its inner loop handles as many elements per instruction as the machine is wide. NaN, infinities,
subnormal numbers and signed zeros come out right: no flag is set that would let the compiler assume them away.

Each function makes three moves: it brings the argument into a short interval by arithmetic that is exact or nearly so,
evaluates a polynomial there, and undoes the first move. Three polynomials serve all: for e^r, for log and for erf.
Only tanh of a float32 has a rational function of its own, because that takes fewer instructions.

A function is written once, as ordinary Python, and read twice. Run on an `Emitter` it writes its instructions into the
kernel that calls it, without numba inferring a type or compiling a function of its own; run on a NumPy scalar it
computes, which is what happens under NUMBA_DISABLE_JIT=1. `accuracy` lists the functions and states their errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import config

from .accuracy import near_name, special_name
from .emitter import Emitter, Number, compiled, plain
from .trig import near_functions, polynomial

# The coefficients below, lowest power first, are minimax: found by the Remez exchange in 50 digits, with the weight
# that makes the error the relative error of the function named. The two leading ones (for log one, for tanh all) were
# rounded in turn, and the others fitted again around them. "Error" is the largest on the interval, all of them rounded.

# fmt: off
# (e^r - 1 - r) / r^2 for |r| <= log(2)/2: degree 4, error 1.4e-8 of e^r - 1; degree 9, error 1.9e-17.
EXP = {
    "float32": (0.49999997, 0.16666539, 0.04166775, 0.008367076, 0.0013838356),
    "float64": (
        0.5000000000000006, 0.16666666666666619, 0.04166666666657203, 0.008333333333362305, 0.001388888893317907,
        0.0001984126979698135, 2.4801503256370284e-05, 2.755732079412731e-06, 2.762686765595248e-07,
        2.50866324867831e-08,
    ),
}
# (2 atanh(s) - 2s) / s^3 in z = s^2, for |s| <= (sqrt(2) - 1)/(sqrt(2) + 1): degree 2, error 8.5e-10 of atanh(s);
# degree 6, error 1.3e-18.
LOG = {
    "float32": (0.66666776, 0.3997751, 0.2987413),
    "float64": (
        0.6666666666666726, 0.3999999999945704, 0.28571428734519133, 0.22222199272236265, 0.1818353215483893,
        0.15314790624213864, 0.14789218906208437,
    ),
}
# -log(1 - erf(x)) / x - 1, so that erf(x) = -expm1(-x - x p(x)): degree 9 for 0 <= x <= 4, error 1.2e-9 of erf(x);
# degree 23 for 0 <= x <= 6, error 3.0e-17.
ERF = {
    "float32": (
        0.12837917, 0.63661987, 0.102771096, -0.019117918, -0.00025017362, 0.0017928493, -0.00073394575, 0.0001638588,
        -2.0378642e-05, 1.0893507e-06,
    ),
    "float64": (
        0.12837916709551256, 0.6366197723675898, 0.10277260330135758, -0.019128446993810742,
        -0.00020919484703521056, 0.0016962076279390327, -0.0005901322569891688, 2.590399147045789e-05,
        6.442156662036624e-05, -2.957743416331659e-05, 3.1718360823029054e-06, 3.1309393055742224e-06,
        -2.0357529328296052e-06, 5.698750940784458e-07, -1.1428539691961543e-08, -6.579138023485043e-08,
        3.458045867813336e-08, -1.0764796387693363e-08, 2.356977773565213e-09, -3.751946213390335e-10,
        4.287434004918643e-11, -3.3490489939936138e-12, 1.6051900624262779e-13, -3.564516079712318e-15,
    ),
}
# n and q with tanh(x/2) = n/q: n / x - 1 and q - 2, both over z = x^2, for |x| <= 9.36: error 9.1e-9 of tanh(x).
TANH_N = {"float32": (0.029762791, 0.00011401266)}
TANH_Q = {"float32": (0.22619218, 0.0024107837, 2.447673e-06)}
# fmt: on
ERF_END = {"float32": 4, "float64": 6}  # erf rounds to 1 from here on

# log(2) in two parts, the first with so few bits that its product with any exponent is exact.
LN2 = {"float32": ("0x1.62e4p-1", "0x1.7f7d1cf79abcap-20"), "float64": ("0x1.62e42fefa38p-1", "0x1.ef35793c76730p-45")}


def _functions(real: type, word: type) -> dict[str, Callable]:
    """All functions for one format, by name: `real` is its type, `word` the unsigned integer type of equal width."""
    info, name = np.finfo(real), real.__name__
    ln2_high, ln2_low = (float.fromhex(part) for part in LN2[name])
    ln2, log2_e, inf, nan = math.log(2), 1 / math.log(2), math.inf, math.nan

    # Beyond these arguments the result is constant: infinite, zero, -1, 1 and 1.
    exp_highest, exp_lowest = ln2 * (info.maxexp + 0.5), ln2 * (info.minexp - info.nmant - 1.5)
    expm1_lowest, tanh_highest, erf_highest = -ln2 * (info.nmant + 3), ln2 * (info.nmant / 2 + 2), ERF_END[name]
    # Below tiny, expm1(x) and log1p(x) round to x.
    tiny, smallest_normal = float(info.epsneg), float(info.smallest_normal)

    # A number is a sign, an exponent plus the bias, and a fraction. Added to 2^(length of the fraction), or to 1.5
    # times that where it may be negative, a small number is rounded to an integer, seen in the last bits of the sum.
    fraction, bias = int(info.nmant), int(info.maxexp) - 1
    round_signed = 1.5 * 2.0**fraction + 2 * bias
    round_biased, round_bits = 2.0**fraction + bias, int(real(2.0**fraction).view(word))
    one_bits, root_half_bits, sign_bit = (int(real(v).view(word)) for v in (1, math.sqrt(0.5), -0.0))

    def select(condition: Number, yes: Number, no: Number) -> Number:
        return condition.select(yes, no) if isinstance(condition, Emitter) else real(yes if condition else no)

    def power_of_two(biased: Number) -> Number:
        return (biased << fraction).view(real)

    def magnitude(x: Number) -> Number:
        return (x.view(word) & (sign_bit - 1)).view(real)

    def with_sign(size: Number, x: Number) -> Number:
        return (size.view(word) | (x.view(word) & sign_bit)).view(real)

    def reduce(x: Number) -> tuple[Number, Number, Number]:
        """k, high and low with x = k log(2) + high - low and |high - low| <= log(2)/2.

        k comes with twice the bias, in the last bits of a word; high is exact.
        """
        shifted = x * log2_e + round_signed
        k = shifted - round_signed
        return shifted.view(word), x - k * ln2_high, k * ln2_low

    def exp(x: Number) -> Number:
        x = select(x > exp_highest, exp_highest, x)
        return exp_in_range(select(x < exp_lowest, exp_lowest, x))

    def exp_in_range(x: Number) -> Number:
        k, high, low = reduce(x)
        r = high - low
        # 2^k may be out of range where e^x is not, or be subnormal: two factors of about 2^(k/2) never are.
        first = k >> 1
        return (r + r * r * polynomial(r, EXP[name]) + 1) * power_of_two(first) * power_of_two(k - first)

    def expm1_of_normal(x: Number) -> Number:
        """expm1 but for the last bits of subnormal numbers: 2^k (e^r - 1) + (2^k - 1)."""
        x = select(x > exp_highest, exp_highest, x)
        k, high, low = reduce(select(x < expm1_lowest, expm1_lowest, x))
        r = high - low
        scale = power_of_two(k - (bias + 1))  # half of 2^k, which may be out of range
        return (scale * (r * r * polynomial(r, EXP[name]) - low) + (scale * high + (scale - 0.5))) * 2

    def expm1(x: Number) -> Number:
        return select(magnitude(x) < tiny, x, expm1_of_normal(x))

    def tanh_by_expm1(x: Number) -> Number:
        e = expm1_of_normal(x + x)
        total = e + 2
        lost = select(e < 2, e - (total - 2), 0)  # in rounding e + 2: near e = 0 as much as in all else together
        y = e / total
        return y - y * (1 - y) * (lost * 0.5)  # 1 / (e + 2) is (1 - y) / 2

    def tanh_by_half(x: Number) -> Number:
        """2nq / (q^2 + n^2) with n/q = tanh(x/2): as x or 1 less a fraction, whose roundings count for less."""
        z = x * x
        a, b = z * polynomial(z, TANH_N[name]), z * polynomial(z, TANH_Q[name])
        n, q = x * a + x, b + 2
        small, gap = x < 1, q - n
        numerator = select(small, x * (n * n + q * (b - a - a)), gap * gap)
        return select(small, x, 1) - numerator / (q * q + n * n)

    def tanh(x: Number) -> Number:
        size = magnitude(x)
        size = select(size > tanh_highest, tanh_highest, size)
        return with_sign(tanh_by_half(size) if name in TANH_N else tanh_by_expm1(size), x)

    def sigmoid(x: Number) -> Number:
        e = exp(-magnitude(x))
        return select(x < 0, e, 1) / (e + 1)

    def sigmoid_slope(x: Number) -> Number:
        size = magnitude(x)
        e = exp_in_range(-select(size > -exp_lowest, -exp_lowest, size))
        total = e + 1
        return e / (total * total)

    def tanh_slope(x: Number) -> Number:
        return sigmoid_slope(x + x) * 4

    def exponent(x: Number) -> tuple[Number, Number]:
        """The k for which x / 2^k lies between sqrt(1/2) and sqrt(2): as a word with the bias, and as a real number."""
        biased = (x.view(word) + (one_bits - root_half_bits)) >> fraction
        return biased, (biased | round_bits).view(real) - round_biased

    def log_of_parts(k: Number, f: Number, lost: Number) -> Number:
        """k log(2) + log(1 + f + lost). With s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2s + ..., and 2s = f - s f."""
        s = f / (f + 2)
        z = s * s
        return k * ln2_high + (f - (s * (f - z * polynomial(z, LOG[name])) - (k * ln2_low + lost)))

    def log_domain(x: Number, edge: float, y: Number) -> Number:
        """y, but -inf and NaN at and below the edge of the domain, and x where that is infinite or NaN."""
        y = select(x > edge, y, -inf)
        y = select(x < edge, nan, y)
        return select(x < inf, y, x)

    def log(x: Number) -> Number:
        subnormal = x < smallest_normal
        normal = select(subnormal, x * 2.0 ** (fraction + 1), x)
        biased, k = exponent(normal)
        f = (normal.view(word) - (biased << fraction) + one_bits).view(real) - 1
        return log_domain(x, 0, log_of_parts(select(subnormal, k - (fraction + 1), k), f, 0))

    def log1p(x: Number) -> Number:
        biased, k = exponent(x + 1)
        scale = power_of_two(2 * bias + 2 - biased)  # 4 / 2^k, where 1 / 2^k may be subnormal
        scaled, offset = scale * (x * 0.25), scale * 0.25 - 1
        f = scaled + offset  # from x itself, not from the rounded x + 1
        y = log_of_parts(k, f, scaled - (f - offset))
        return select(magnitude(x) < tiny, x, log_domain(x, -1, y))

    def softplus(x: Number) -> Number:
        return select(x > 0, x, 0) + log1p(exp(-magnitude(x)))

    def erf(x: Number) -> Number:
        size = magnitude(x)
        size = select(size > erf_highest, erf_highest, size)
        return with_sign(-expm1(-(size + size * polynomial(size, ERF[name]))), x)

    functions = exp, expm1, log, log1p, tanh, tanh_slope, sigmoid, sigmoid_slope, softplus, erf
    return {f.__name__: f for f in functions}


_reader = plain if config.DISABLE_JIT else compiled

for _real, _word in ((np.float32, np.uint32), (np.float64, np.uint64)):
    for _operation, _function in _functions(_real, _word).items():
        globals()[str(special_name(_operation, _real.__name__))] = _reader(_function, _real)
    for _operation, _function in near_functions(_real).items():
        globals()[str(near_name(_operation, _real.__name__))] = _reader(_function, _real)
