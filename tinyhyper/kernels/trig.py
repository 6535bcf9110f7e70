"""Sine, cosine and tangent of arguments that are not too large, written as the functions of `special` are.

An argument is reduced to r = x - k pi/2 with pi/2 in parts: products of k with all but the last are exact. Where r is
next to nothing this takes more digits of pi than two numbers hold, and for huge arguments more than any fixed number;
so beyond `accuracy.NEAR` kernels call the C library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Number = Any  # an Emitter or a NumPy scalar

# fmt: off
# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in z = r^2, for |r| <= pi/4: for float32, which is computed in
# float64, degree 2, errors 3.8e-9 of sin(r) and 1.2e-10 of cos(r); for float64 degree 5, errors 3.8e-18 and 7.8e-20.
SIN = {
    "float32": (-0.16666654608057552, 0.00833216055814506, -0.000195152467772488),
    "float64": (
        -0.1666666666666663, 0.008333333333321835, -0.00019841269829351646, 2.7557313535496205e-06,
        -2.50507338416525e-08, 1.5895398049481588e-10,
    ),
}
COS = {
    "float32": (0.04166664569179128, -0.0013887316487814316, 2.4433168019680642e-05),
    "float64": (
        0.041666666666666595, -0.001388888888887334, 2.4801587289000263e-05, -2.75573142162722e-07,
        2.0875705262096836e-09, -1.135874091847951e-11,
    ),
}
# fmt: on

# pi/2 in parts, all but the last with so few bits that the product with a number up to 2^20 is exact.
HALF_PI = {
    "float32": ("0x1.921fb544p+0", "0x1.0b4611a626331p-34"),
    "float64": ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2ep-69", "0x1.b839a252049c1p-104"),
}


def polynomial(x: Number, coefficients: Sequence[float]) -> Number:
    """The polynomial with these coefficients, lowest power first."""
    total = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = x * total + c
    return total


def near_functions(real: type) -> dict[str, Callable]:
    """Sine, cosine and tangent for arguments up to `accuracy.NEAR`, by name; computed in float64 for either format.

    x is k pi/2 + r with |r| <= pi/4; the last two bits of k say which of sin(r) and cos(r) is wanted, and its sign.
    """
    name = real.__name__
    first, *middle, last = [float.fromhex(part) for part in HALF_PI[name]]
    round_signed = 1.5 * 2.0**52
    sign_bit = 1 << 63

    def rounded(x: Number, dtype: type) -> Number:
        return dtype(x) if isinstance(x, np.generic) else x.rounded(dtype)

    def select(condition: Number, yes: Number, no: Number) -> Number:
        return (yes if condition else no) if isinstance(condition, (bool, np.generic)) else condition.select(yes, no)

    def difference(a: Number, b: Number) -> tuple[Number, Number]:
        """a - b, and what was lost in rounding it."""
        d = a - b
        part = d - a
        return d, (a - (d - part)) - (b + part)

    def sine_and_cosine(x: Number) -> tuple[Number, Number, Number]:
        """k, whose last bits count, and sin(r) and cos(r)."""
        shifted = x * (2 / math.pi) + round_signed
        k = shifted - round_signed
        r, low = x - k * first, k * -last
        for part in middle:
            r, lost = difference(r, k * part)
            low = low + lost
        if real is np.float32:  # the roundings below are none of a float32
            r = r + low
            z = r * r
            return shifted.view(np.uint64), r * polynomial(z, (1, *SIN[name])), polynomial(z, (1, -0.5, *COS[name]))
        z = r * r
        half = z * 0.5
        near_one = 1 - half
        sine = r * z * polynomial(z, SIN[name]) + low * near_one
        cosine = z * z * polynomial(z, COS[name]) + ((1 - near_one) - half) - r * low
        return shifted.view(np.uint64), r + sine, near_one + cosine

    def negated(condition: Number, bit: int, y: Number) -> Number:
        return (y.view(np.uint64) ^ ((condition << (63 - bit)) & sign_bit)).view(np.float64)

    def kept_if_tiny(x: Number, y: Number) -> Number:
        """x itself where y rounds to it, with the sign of a zero."""
        if real is np.float32:
            return rounded(y, real)
        size = (x.view(np.uint64) & (sign_bit - 1)).view(np.float64)
        return rounded(select(size < 2.0**-27, x, y), real)

    def sin(x: Number) -> Number:
        x = rounded(x, np.float64)
        k, sine, cosine = sine_and_cosine(x)
        return kept_if_tiny(x, negated(k, 1, select((k & 1) > 0, cosine, sine)))

    def cos(x: Number) -> Number:
        k, sine, cosine = sine_and_cosine(rounded(x, np.float64))
        return rounded(negated(k + 1, 1, select((k & 1) > 0, sine, cosine)), real)

    def tan(x: Number) -> Number:
        x = rounded(x, np.float64)
        k, sine, cosine = sine_and_cosine(x)
        odd = (k & 1) > 0
        return kept_if_tiny(x, negated(k, 0, select(odd, cosine, sine) / select(odd, sine, cosine)))

    return {f.__name__: f for f in (sin, cos, tan)}
