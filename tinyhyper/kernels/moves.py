"""Copies and sums as recipes, by kernels that are written as those of expressions are."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec
from ..core.rules import Axes, divide, lengths
from ..core.tensor import FLOAT32, FLOAT64
from ..fusion.expression import AS_FLOAT, Expression, Line
from . import plan, quicker, threads
from .backend import compiler_is_off
from .expressions import loops, written
from .recipes import Operand, Output, Recipe, Specs, Table, array, in_rows, lie, made, total

ITSELF = Expression((False,), (), (), (0,))
TOTAL = Expression((False,), (), (Line(AS_FLOAT, (0,)),), (1,))
MEAN = Expression((False, False), (), (Line(AS_FLOAT, (0,)), Line(divide, (2, 1))), (3,))


def copied(operands: Specs, out: ArraySpec, **options: Any) -> Recipe | None:
    """All elements in their order, in another shape or dtype, or repeated along axes."""
    [x] = operands
    return _copy(x, 0, in_rows(x.shape, out.dtype) if math.prod(x.shape) == math.prod(out.shape) else out)


def viewed(name: str, operands: Specs, out: ArraySpec, **options: Any) -> Recipe | None:
    """What an operation gives as a view of its operand."""
    array = _made_up(operands[0])
    view = OPERATIONS[name].forward(array, **options)
    if not isinstance(view, np.ndarray) or not np.may_share_memory(view, array):
        return None
    return _copy(ArraySpec(view.shape, view.dtype, view.strides), _address(view) - _address(array), out)


def _made_up(spec: ArraySpec) -> np.ndarray:
    """An array of zeros that lies as a spec says."""
    reach = [(n - 1) * step for n, step in zip(spec.shape, spec.strides)]
    before, after = -sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    memory: Any = np.zeros(before + after + spec.dtype.itemsize, np.uint8)
    return np.ndarray(spec.shape, spec.dtype, memory, before, spec.strides)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _copy(x: ArraySpec, offset: int, out: ArraySpec) -> Recipe | None:
    """x, which begins so many bytes behind the operand, in the shape and dtype of the output."""
    layout = loops(out.shape, (x, out))
    if layout is None or not math.prod(out.shape) or (x.dtype != out.dtype and out.dtype.kind != "f"):
        return None
    return written(ITSELF, [Operand(0), Output(0)], (x, out), layout, exact=True, offset=offset)


def summed(operands: Specs, out: ArraySpec, axis: Axes = None, keepdims: bool = False) -> Recipe | None:
    """The sum along axes: all of a float32 array by the kernel that eager takes for large ones."""
    [x] = operands
    size = math.prod(x.shape)
    if axis is None and not keepdims and x.dtype == FLOAT32 and lie(x).flags.forc and size:
        exact = size >= plan.SMALL and (size < quicker.SHARED or threads.num_threads() == 1) and not compiler_is_off()
        flat = array(Operand(0), np.empty(size, x.dtype))
        return made(quicker.TOTAL, [flat, total(Output(0), out.dtype, ())], exact)
    return _sum(TOTAL, x, lengths(x.shape, axis)[0], out.dtype)


def meant(operands: Specs, out: ArraySpec, axis: Axes = None, keepdims: bool = False) -> Recipe | None:
    """The mean along axes."""
    [x] = operands
    kept, count = lengths(x.shape, axis)
    return _sum(MEAN, x, kept, out.dtype, count)


def summed_to(operands: Specs, out: ArraySpec, shape: tuple[int, ...]) -> Recipe | None:
    """The sum over the axes that broadcasting from a shape would have added."""
    [x] = operands
    return _sum(TOTAL, x, (1,) * (len(x.shape) - len(shape)) + tuple(shape), out.dtype)


def _sum(expression: Expression, x: ArraySpec, kept: tuple[int, ...], dtype: np.dtype, *numbers: int) -> Recipe | None:
    """An expression of x and numbers, summed to a shape that has as many axes as x."""
    rooms = [Table(functools.partial(np.array, float(number))) for number in numbers]
    arrays = (x, *[ArraySpec((), FLOAT64)] * len(rooms), in_rows(kept, dtype))
    layout = loops(x.shape, arrays)
    if layout is None or x.dtype.kind != "f" or not math.prod(x.shape):
        return None
    return written(expression, [Operand(0), *rooms, Output(0)], arrays, layout, exact=False)
