"""A recurrent layer over a whole sequence in one call: a product and an elementwise cell at each step.

The cell is an expression, as is its derivative; `compiler` writes both as functions of one row, and the loop over the
steps stands around them. The rows of a batch do not meet, so each thread takes some rows through all steps by itself:
nobody waits for anybody before the end.

Arrays are (length, batch, width) and lie without gaps. The states h and c have one step more, and begin with what the
sequence starts from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.operation import quicken
from ..fusion.expression import Expression
from ..ops.recurrent import CELL, GATES, derivative
from . import cache, compiler, product, threads
from .backend import Backend, compiler_is_off
from .matmul import LEAST, planned
from .recipes import Argument, Operand, Output, Recipe, Specs, Wanted, array, lie, lie_in_rows, made, workspace

PART = 8 * LEAST  # multiplications that are worth a thread

recurrent_backend = Backend("recurrent_backend", "numba", "numpy")

PRODUCT = "pairs, left, right, indices, block, packs_a, packs_b, skips"  # what its kernel wants to know
FORWARD = f"""

@jit
def kernel(x, weight, h, c, gates, total, first, last, {PRODUCT}):
    n = h.shape[2]
    for t in range(len(x)):
        multiply(h[t : t + 1, first:last], weight, total, {PRODUCT})
        for b in range(first, last):
            r = b - first
            cell({{rows}})
"""

# `dx` is the cotangent of what the cell adds up, so of x and of the product; `back` and `carry` are those of h and c,
# on their way to the step before.
BACKWARD = f"""

@jit
def kernel(dh, dc, dgates, h, c, gates, weight, dx, dh0, dc0, back, carry, first, last, {PRODUCT}):
    n = h.shape[2]
    for s in range(len(dx)):
        t = len(dx) - 1 - s
        for b in range(first, last):
            r = b - first
            cell({{rows}})
        multiply(dx[t : t + 1, first:last], weight, back, {PRODUCT})
    dh0[first:last], dc0[first:last] = back[0], carry[len(dx) % 2]
"""

MULTIPLY = """
from {module} import kernel as multiply
"""

# A C function has a loop, the product and what is around them in one text.
FORWARD_WHOLE = f"""
@jit
def kernel(x, weight, h0, c0, hs, cs, gates, h, c, total, {PRODUCT}):
    h[0], c[0] = h0, c0
    forward(x, weight, h, c, gates, total, 0, x.shape[1], {PRODUCT})
    hs[:], cs[:] = h[1:], c[1:]
"""
BACKWARD_WHOLE = f"""
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


def _quarters(row: str) -> list[str]:
    return [row.format(f"{gate} * n : {gate + 1} * n") for gate in range(GATES)]


# Where a cell finds the rows that it reads, and where it puts those that it gives. On the way back there are two
# cotangents of h and of c: one from outside, and one from the step after.
OPERANDS = [*_quarters("x[t, b, {}]"), *_quarters("total[0, r, {}]"), "c[t, b]"]
OUTPUTS = ["h[t + 1, b]", "c[t + 1, b]", *_quarters("gates[t, b, {}]")]
COTANGENTS = ["dh[t, b]", "back[0, r]", "dc[t, b]", "carry[s % 2, r]", *_quarters("dgates[t, b, {}]")]
ROWS = [*COTANGENTS, *OPERANDS, *OUTPUTS]
RESULTS = [*_quarters("dx[t, b, {}]"), "carry[(s + 1) % 2, r]"]


def by_kernel(shape: tuple[int, ...]) -> bool:
    """Whether the kernel is to run, by the shape of x alone; if not, NumPy, and nothing is compiled."""
    chosen = recurrent_backend.chosen
    return _work(shape) >= LEAST and not compiler_is_off() if chosen == "auto" else chosen == "numba"


def _work(shape: tuple[int, ...]) -> int:
    """Multiplications of all steps."""
    length, batch, wide = shape
    return length * batch * wide * wide // GATES


def forward(x: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray) -> Sequence[np.ndarray]:
    """The states h and c, from the first on, and the gates of every step.

    x: (length, batch, 4 width).  weight: (width, 4 width).  h0, c0: (batch, width). All of one dtype.
    """
    if not by_kernel(x.shape):
        return _numpy_forward(x, weight, h0, c0)
    length, batch, wide = x.shape
    states = np.empty((2, length + 1, batch, wide // GATES), x.dtype)
    states[:, 0] = h0, c0
    gates = np.empty(x.shape, x.dtype)
    kernel = _kernel(forward_loop(x.dtype), x.dtype)
    x, weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)

    def arguments(first: int, last: int) -> tuple[Any, ...]:
        total = np.empty((1, last - first, wide), x.dtype)
        return x, weight[None], *states, gates, total, first, last, *_multiplying(last - first, weight)

    threads.run(kernel, [arguments(*part) for part in parts(x.shape)])
    return *states, gates


def backward(
    cotangents: Sequence[np.ndarray | None], weight: np.ndarray, h: np.ndarray, c: np.ndarray, gates: np.ndarray
) -> Sequence[np.ndarray]:
    """The cotangents of x, h0 and c0.

    cotangents: of h and c after each step, and of the gates; None for what is not read.
    """
    if not by_kernel(gates.shape):
        return _numpy_backward(cotangents, weight, h, c, gates)
    shape, dtype = gates.shape, gates.dtype
    dx, (dh0, dc0) = np.empty(shape, dtype), np.empty((2, *h.shape[1:]), dtype)
    kernel = _kernel(backward_loop(dtype, *[cotangent is not None for cotangent in cotangents]), dtype)
    empty = np.empty((0, 0, 0), dtype)
    given = [empty if array is None else np.ascontiguousarray(array, dtype) for array in cotangents]
    transposed = np.ascontiguousarray(weight.T)

    def arguments(first: int, last: int) -> tuple[Any, ...]:
        back, carry = (np.zeros((n, last - first, h.shape[2]), dtype) for n in (1, 2))
        results = dx, dh0, dc0, back, carry
        return *given, h, c, gates, transposed[None], *results, first, last, *_multiplying(last - first, transposed)

    threads.run(kernel, [arguments(*part) for part in parts(shape)])
    return dx, dh0, dc0


def parts(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The rows of each thread: from one, up to another."""
    batch = shape[1]
    count = max(1, min(threads.num_threads(), batch, _work(shape) // PART))
    ends = [batch * part // count for part in range(count + 1)]
    return [*zip(ends, ends[1:])]


def _multiplying(rows: int, weight: np.ndarray) -> tuple[Any, ...]:
    """What the product's kernel wants to know to multiply so many rows with the weight."""
    plan = step_product(rows, weight.shape, weight.dtype)
    return plan.pairs, *plan.workspace()[0], plan.block, *plan.packs


@functools.lru_cache(maxsize=256)
def step_product(rows: int, shape: tuple[int, int], dtype: np.dtype) -> product.Product:
    """How so many rows are multiplied with a weight at each step."""
    steps = [(width * dtype.itemsize, dtype.itemsize) for width in shape]
    return product.Product(((rows, shape[0]), steps[0]), (shape, steps[1]), dtype, 1)


@functools.lru_cache(maxsize=256)
def _kernel(loop: str, dtype: np.dtype) -> Callable[..., None]:
    """The compiled loop, with the kernel of products."""
    multiply = product.kernel(dtype)
    plain = getattr(multiply, "args", (multiply,))[0]  # it is wrapped where nothing is compiled
    return cache.load(loop + MULTIPLY.format(module=plain.__module__))


@functools.cache
def forward_loop(dtype: np.dtype) -> str:
    """The source of the steps of a layer, but for the product."""
    return _loop(FORWARD, CELL.expression, dtype, (*OPERANDS, *OUTPUTS))


@functools.cache
def backward_loop(dtype: np.dtype, h: bool, c: bool, gates: bool) -> str:
    """The source of the steps back, but for the product. h, c, gates: whether their cotangents are read."""
    fusion, reads = derivative(h, c, gates)
    return _loop(BACKWARD, fusion.expression, dtype, (*[ROWS[n] for n in reads], *RESULTS))


def _loop(loop: str, expression: Expression, dtype: np.dtype, rows: tuple[str, ...]) -> str:
    """The loop around a cell; its operands and then its outputs are these rows."""
    count = expression.inputs + len(expression.outputs)
    signature = compiler.Signature(expression, (dtype,) * count, ((True,),) * count)
    return compiler.write(signature).replace("def kernel(", "def cell(") + loop.format(rows=", ".join(rows))


def forward_recipe(operands: Specs, outputs: Wanted, call: Any) -> Recipe | None:
    """The steps of a layer: from x, the recurrent weight, h and c to h, c and the gates of each step."""
    arrays = [*map(lie, operands)]
    if not lie_in_rows(*arrays):
        return None
    x, weight, h, _ = arrays
    (length, batch, wide), states = x.shape, (len(x), *h.shape)
    given = [array(Operand(0), x), array(Operand(1), weight[None]), *[array(Operand(n), h) for n in (2, 3)]]
    results = _results(outputs, [states, states, x.shape], x.dtype)
    shapes = [(length + 1, *h.shape)] * 2 + [(1, batch, wide)]
    workspaces = [workspace(shape, x.dtype) for shape in shapes]
    return _made(forward_loop(x.dtype), "forward", FORWARD_WHOLE, [*given, *results, *workspaces], x, weight)


def backward_recipe(operands: Specs, outputs: Wanted, call: Sequence[bool]) -> Recipe | None:
    """The steps back, from the cotangents that there are to those of x and of the first h and c; and h before each."""
    arrays = [*map(lie, operands)]
    if not lie_in_rows(*arrays):
        return None
    places = [array(Operand(n), x) for n, x in enumerate(arrays)]
    weight, h, *_, states, gates = arrays[-6:]
    cotangents = iter(places)
    given = [next(cotangents) if flag else places[-1] for flag in call]  # nothing reads those that there are not
    results = _results(outputs, [gates.shape, h.shape, h.shape, states.shape], h.dtype)
    shapes = [(len(gates) + 1, *h.shape)] * 2 + [(1, *weight.T.shape), (1, *h.shape), (2, *h.shape)]
    arguments = [*given, *places[-6:], *results, *[workspace(shape, h.dtype) for shape in shapes]]
    return _made(backward_loop(h.dtype, *call), "backward", BACKWARD_WHOLE, arguments, gates, weight.T)


def _made(
    loop: str, name: str, source: str, arguments: list[Argument], x: np.ndarray, weight: np.ndarray
) -> Recipe | None:
    """The recipe, if threads do not share the work. x: what has its shape.  weight: that the steps multiply with."""
    exact, batch = by_kernel(x.shape), x.shape[1]
    if exact and threads.num_threads() > 1 < len(parts(x.shape)):
        return None
    rows, columns = weight.shape
    plan = step_product(batch, (rows, columns), weight.dtype)
    products = product.source(weight.dtype)[1].replace("def kernel(", "@jit\ndef multiply(")
    text = loop.replace("def kernel(", f"def {name}(") + products + source
    return made(text, [*arguments, *planned(plan)], exact)


def _results(outputs: Wanted, shapes: Sequence[tuple[int, ...]], dtype: np.dtype) -> list[Argument]:
    """Results as arguments; one that is not wanted goes to a workspace."""
    return [
        workspace(shape, dtype) if out is None else array(Output(n), np.empty(shape, dtype))
        for n, (out, shape) in enumerate(zip(outputs, shapes))
    ]


_numpy_forward, _numpy_backward = quicken("lstm", forward), quicken("lstm.vjp", backward)
