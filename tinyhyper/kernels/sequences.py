"""A recurrent layer and its derivative as recipes: by the kernels of `recurrent`, for short sequences too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import multiply, product, recurrent, threads
from .recipes import Argument, Operand, Output, Recipe, Specs, Wanted, array, lie, lie_in_rows, made, room

PRODUCT = "pairs, left, right, picks, block, packs_a, packs_b, skips"
FORWARD = f"""
@jit
def kernel(x, weight, h0, c0, hs, cs, gates, h, c, total, {PRODUCT}):
    h[0], c[0] = h0, c0
    forward(x, weight, h, c, gates, total, 0, x.shape[1], {PRODUCT})
    hs[:], cs[:] = h[1:], c[1:]
"""
BACKWARD = f"""
@jit
def kernel(
    dh, dc, dgates, weight, h0, c0, hs, cs, gates, dx, dh0, dc0, before, h, c, turned, back, carry, {PRODUCT}
):
    h[0], c[0], turned[0] = h0, c0, weight.T
    h[1:], c[1:] = hs, cs
    back[:], carry[:] = 0, 0
    backward(dh, dc, dgates, h, c, gates, turned, dx, dh0, dc0, back, carry, 0, dx.shape[1], {PRODUCT})
    before[:] = h[:-1]
"""


def forward(operands: Specs, outputs: Wanted, call: Any) -> Recipe | None:
    """The steps of a layer: from x, the recurrent weight, h and c to h, c and the gates of each step."""
    arrays = [*map(lie, operands)]
    if not _fit(arrays):
        return None
    x, weight, h, _ = arrays
    (length, batch, wide), states = x.shape, (len(x), *h.shape)
    given = [array(Operand(0), x), array(Operand(1), weight[None]), *[array(Operand(n), h) for n in (2, 3)]]
    results = _results(outputs, [states, states, x.shape], x.dtype)
    rooms = [room(shape, x.dtype) for shape in ((length + 1, *h.shape), (length + 1, *h.shape), (1, batch, wide))]
    return _made(recurrent.forward_loop(x.dtype), "forward", FORWARD, [*given, *results, *rooms], x, weight)


def backward(operands: Specs, outputs: Wanted, call: Sequence[bool]) -> Recipe | None:
    """The steps back, from the cotangents that there are to those of x and of the first h and c; and h before each."""
    arrays = [*map(lie, operands)]
    if not _fit(arrays):
        return None
    places = [array(Operand(n), x) for n, x in enumerate(arrays)]
    weight, h, *_, states, gates = arrays[-6:]
    cotangents = iter(places)
    given = [next(cotangents) if flag else places[-1] for flag in call]  # nothing reads those that there are not
    results = _results(outputs, [gates.shape, h.shape, h.shape, states.shape], h.dtype)
    shapes = [(len(gates) + 1, *h.shape)] * 2 + [(1, *weight.T.shape), (1, *h.shape), (2, *h.shape)]
    arguments = [*given, *places[-6:], *results, *[room(shape, h.dtype) for shape in shapes]]
    return _made(recurrent.backward_loop(h.dtype, *call), "backward", BACKWARD, arguments, gates, weight.T)


def _made(
    loop: str, name: str, source: str, arguments: list[Argument], x: np.ndarray, weight: np.ndarray
) -> Recipe | None:
    """The recipe, if threads do not share the work. x: what has its shape.  weight: that the steps multiply with."""
    exact, batch = recurrent.by_kernel(x.shape), x.shape[1]
    if exact and threads.num_threads() > 1 < len(recurrent.parts(x.shape)):
        return None
    rows, columns = weight.shape
    plan = recurrent.step_product(batch, (rows, columns), weight.dtype)
    products = product.source(weight.dtype)[1].replace("def kernel(", "@jit\ndef multiply(")
    text = loop.replace("def kernel(", f"def {name}(") + products + source
    return made(text, [*arguments, *multiply.planned(plan)], exact)


def _fit(arrays: Sequence[np.ndarray]) -> bool:
    """Whether the kernels can take arrays."""
    return lie_in_rows(*arrays) and all(x.size for x in arrays)


def _results(outputs: Wanted, shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[Argument]:
    """Results as arguments; one that is not wanted goes to a room."""
    return [
        room(shape, dtype) if out is None else array(Output(n), np.empty(shape, dtype))
        for n, (out, shape) in enumerate(zip(outputs, shapes))
    ]
