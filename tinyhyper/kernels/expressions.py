"""Elementwise operations and fusions as recipes, by the kernels that are written for large arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import ArraySpec
from ..core.tape import quietly
from ..fusion.expression import Expression, in_floats, value_dtypes
from ..fusion.fusion import Fusion
from ..ops.normalization import Channelwise
from . import compiler, plan, threads
from .parts import pays
from .recipes import Operand, Output, Recipe, Specs, Wanted, anyhow, array, lie, made, total

# Operations that round once, or not at all, and of zeros and NaN make what NumPy makes of them.
ALIKE = {
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "floor", "where", "abs",
    "positive", "negative", "add", "subtract", "multiply", "divide", "square", "reciprocal", "sqrt", "as_float",
}  # fmt: skip


def recipe(fusion: Fusion, operands: Specs, outputs: Wanted, alone: bool = False) -> Recipe | None:
    """A fusion's kernel, for the outputs that are wanted; None if no kernel can compute them, or threads share it.

    alone: whether it stands for a single operation, which NumPy computes at any size.
    """
    return _recipe(fusion, operands, outputs, alone, (plan.elementwise_backend.chosen, threads.num_threads()))


@functools.lru_cache(maxsize=4096)
def _recipe(
    fusion: Fusion, operands: Specs, outputs: Wanted, alone: bool, settings: tuple[str, int]
) -> Recipe | None:
    """The recipe, whose exactness hangs on the settings."""
    dtypes, wanted = tuple([x.dtype for x in operands]), [n for n, out in enumerate(outputs) if out is not None]
    outs = tuple([out for out in outputs if out is not None])
    whole, types = _typed(fusion, dtypes)
    expression = whole._replace(outputs=tuple([whole.outputs[n] for n in wanted]))
    shape = np.broadcast_shapes(*[x.shape for x in (*operands, *outs)])
    layout = loops(shape, (*operands, *outs))
    if layout is None or not plan.holds(expression, operands, types, size := math.prod(shape)):
        return None
    shared = not alone and threads.num_threads() > 1 and pays(expression, size, layout.varies, outs)
    exact = _is_exact(fusion, whole, expression, outs, layout, size, alone)
    places = [*map(Operand, range(len(operands))), *map(Output, wanted)]
    return None if shared else written(expression, places, (*operands, *outs), layout, exact)


def loops(shape: tuple[int, ...], arrays: Specs) -> compiler.LoopNest | None:
    """How arrays lie along the loops over a shape; None if these are more than a kernel has."""
    layout = compiler.merge_axes(shape, [x.shape for x in arrays], [x.strides for x in arrays])
    return layout if len(layout.varies[0]) <= len(compiler.INDEX) else None


def written(
    expression: Expression,
    places: Sequence[Any],
    arrays: Specs,
    layout: compiler.LoopNest,
    exact: bool,
    offset: int = 0,
) -> Recipe:
    """The recipe of an expression's kernel.

    places, arrays: of its inputs, and then of its outputs.  offset: how many bytes behind its place the first begins.
    """
    arguments, count = [], expression.inputs
    for n, (place, x, view, steps, along) in enumerate(zip(places, arrays, *layout)):
        merged = lie(ArraySpec(view, x.dtype, steps))
        if n >= count and not all(along):
            arguments.append(total(place, x.dtype, view))
        else:
            arguments.append(anyhow(place, merged, offset) if offset and n == 0 else array(place, merged))
    varies = tuple(layout.varies)
    signature = compiler.Signature(expression, tuple([x.dtype for x in arrays]), varies)
    divisible = bool(varies[0]) and all(map(all, varies[count:]))
    return made(_write(signature), arguments, exact, [along[0] for along in varies] if divisible else ())


_write = functools.lru_cache(maxsize=1024)(compiler.write)


@functools.lru_cache(maxsize=1024)
def _typed(fusion: Fusion, dtypes: tuple[np.dtype, ...]) -> tuple[Expression, list[np.dtype]]:
    """The expression for inputs of these dtypes, and the dtype of every value."""
    expression = quietly(in_floats, fusion.expression, dtypes)
    return expression, value_dtypes(expression, dtypes)[0]


def _is_exact(
    fusion: Fusion,
    whole: Expression,
    expression: Expression,
    outs: Specs,
    layout: compiler.LoopNest,
    size: int,
    alone: bool,
) -> bool:
    """Whether the kernel gives the bits that eager gives: always the same, or because it computes by the same kernel.

    Sums are the same if the kernel has the same outputs.
    """
    sums = not all(map(all, layout.varies[-len(outs) :]))
    if not sums and all(line.op.name in ALIKE for line in expression.lines):
        return True
    if alone or isinstance(fusion, Channelwise) or not plan.by_kernel(whole, size, fusion.eager):
        return False
    return not sums or expression.outputs == tuple([number for number in whole.outputs if number >= whole.inputs])
