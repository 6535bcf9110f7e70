"""Gradients against differences, to any order.

The derivative of one order is checked along random directions, and for small arguments entry by entry. Then the
gradient itself, with random cotangents, projected onto random directions, is a function to be checked: so order n is
order 1, n times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .derivative import Derivative
from .functions import bound


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
    args: arrays, tensors or numbers. Floats are differentiated by; integers and booleans are constants. In float32,
    gradients are taken in float32 and differences in float64. Nothing is written to them.
    rtol: of the largest derivative by an argument; by default 1e-6 for float64, 1e-3 for float32.
    atol: how much a derivative may be off beside that. By default a fraction of |f| / |argument|, 1e-12 or 1e-5.
    Raises GradientError, which names the order, the argument and its worst entry; ArgumentError or DtypeError where
    there is nothing to check.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ArgumentError(f"check_gradients: order={order!r} is not 1 or more")
    function, arrays, names = bound(f, args)
    rng, label, given = np.random.default_rng(seed), "f", (rtol, atol)
    for n in range(1, order + 1):
        derivative = Derivative(n, label, function, arrays, names, rng, given)
        derivative.check()
        function, arrays, names = derivative.projected()
        label = "sum(p * gradient of f)" if n == 1 else f"sum(p * derivative {n} of f)"
