"""Elementwise expressions as data, and their reading through NumPy.

An expression is a straight-line program over numbered values: first the inputs, then the constants,
then one value a line. It knows no tape and no derivative; `symbols.lower` writes it, `compiler` turns
it into a numba kernel, and `evaluate` computes it with NumPy, which is both the quick way for small
arrays and the oracle of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Formula(NamedTuple):
    """One scalar operation in two notations.

    source: numba source with `{0}`, `{1}`, ... for its arguments and `{one}` for a 1 of its dtype, used where
      `special` has no function of that name.
    numpy: the same over arrays.
    """

    name: str
    source: str
    numpy: Callable[..., Any]


class Line(NamedTuple):
    """`formula` applied to earlier values, named by their numbers."""

    formula: Formula
    args: tuple[int, ...]


class Expression(NamedTuple):
    """inputs: how many; constants, lines: in the order of their values; outputs: numbers of values."""

    inputs: int
    constants: tuple[Any, ...]
    lines: tuple[Line, ...]
    outputs: tuple[int, ...]


def run(expression: Expression, inputs: Sequence[Any]) -> list[Any]:
    """All values of the expression. Python numbers among the inputs stay weak (NEP 50) until they meet an array."""
    values = [*inputs, *expression.constants]
    weak = [isinstance(value, (bool, int, float)) for value in values]
    for formula, args in expression.lines:
        value = formula.numpy(*[values[arg] for arg in args])
        weak.append(all(weak[arg] for arg in args))
        values.append(value.item() if weak[-1] and hasattr(value, "item") else value)
    return values


def sum_to(array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The sum of `array` over every axis that broadcasting had added to `shape`, in `dtype`."""
    if array.shape != shape:
        extra = array.ndim - len(shape)
        axes = (*range(extra), *[extra + i for i, n in enumerate(shape) if n == 1 and array.shape[extra + i] != 1])
        array = array.sum(axis=axes, dtype=np.float64 if array.dtype.kind == "f" else None).reshape(shape)
    return array.astype(dtype, copy=False)


def evaluate(
    expression: Expression,
    arrays: Sequence[np.ndarray],
    weak: tuple[bool, ...],
    shape: tuple[int, ...],
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[np.dtype],
) -> list[np.ndarray]:
    """The outputs, computed by NumPy over the broadcast `shape` and summed down to `shapes`."""
    inputs = [array.item() if is_weak else array for array, is_weak in zip(arrays, weak)]
    with np.errstate(all="ignore"):
        values = run(expression, inputs)
        results: list[np.ndarray] = []
        for number, out_shape, dtype in zip(expression.outputs, shapes, dtypes):
            value = np.asarray(values[number])
            if out_shape != value.shape:
                value = sum_to(np.broadcast_to(value, shape), out_shape, dtype)
            result = np.asarray(value, dtype=dtype)
            fresh = number >= expression.inputs and result.base is None and not any(result is r for r in results)
            results.append(result if fresh else result.copy())
        return results


def value_dtypes(
    expression: Expression, dtypes: Sequence[np.dtype], weak: tuple[bool, ...]
) -> tuple[list[np.dtype], list[bool]]:
    """The dtype of every value and whether it is weak, found by running the expression on one element of each input."""
    samples = [np.ones((), d).item() if w else np.ones(1, d) for d, w in zip(dtypes, weak)]
    with np.errstate(all="ignore"):
        values = run(expression, samples)
    return [np.asarray(value).dtype for value in values], [isinstance(value, (bool, int, float)) for value in values]
