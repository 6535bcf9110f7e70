"""Gradients against differences, to any order.

The derivative of one order is checked along random directions, and for small arguments entry by entry. Then the
gradient itself, with random cotangents, projected onto random directions, is a function to be checked: so order n is
order 1, n times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import generator, number, whole
from .derivative import Derivative
from .functions import bound

__tracebackhide__ = True  # pytest shows the line that called, not those in here


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Compare the derivatives of f at args, up to an order, with differences of f.

    f: takes as many tensors as there are args; gives a tensor of any shape, or several.
    args: arrays, tensors or numbers, of any shape. Floats get gradients; integers and booleans are constants. In
    float32, gradients are taken in float32 and differences in float64. Nothing is written to them.
    order: of the highest derivatives, an integer >= 1.  seed: of the random cotangents and directions, an integer >= 0.
    rtol: of an argument's largest derivative, a number >= 0; by default 1e-6, or 1e-3 if an argument or a result is
    float32.
    atol: how much a derivative may be off beside that, a number >= 0. By default a part of |f| / |argument|, 1e-12 or
    1e-5.
    Raises GradientError, which names the order, the argument and its worst entry; ArgumentError or DtypeError where
    there is nothing to check.
    """
    order = whole("check_gradients: order", order)
    for what, value in (("rtol", rtol), ("atol", atol)):
        if value is not None:
            number(f"check_gradients: {what}", value, lambda value: value >= 0, "number >= 0")
    function, arrays, names = bound(f, args)
    rng, label, given = generator("check_gradients: seed", seed), "f", (rtol, atol)
    for n in range(1, order + 1):
        derivative = Derivative(n, label, function, arrays, names, rng, given)
        derivative.check()
        function, arrays, names = derivative.projected()
        label = "sum(p * gradient of f)" if n == 1 else f"sum(p * derivative {n} of f)"
