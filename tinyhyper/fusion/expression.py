"""Elementwise expressions as data, and their reading through NumPy.

An expression is a straight-line program over numbered values: first the inputs, then the constants,
then one value a line. It knows no tape and no derivative: `symbols.lower` writes it, and `run` computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import Elementwise
from ..core.tape import quietly
from ..core.tensor import FLOAT64
from ..errors import DtypeError


class Line(NamedTuple):
    """An operation applied to earlier values, named by their numbers."""

    op: Elementwise
    args: tuple[int, ...]


class Expression(NamedTuple):
    """inputs: how many; constants, lines: in the order of their values; outputs: numbers of values."""

    inputs: int
    constants: tuple[Any, ...]
    lines: tuple[Line, ...]
    outputs: tuple[int, ...]


def run(expression: Expression, inputs: Sequence[Any], weak: Sequence[bool]) -> list[Any]:
    """All values of the expression. The weak ones are Python numbers until they meet an array (NEP 50)."""
    values = [*inputs, *expression.constants]
    for (op, args), is_weak in zip(expression.lines, weak[len(values) :]):
        value = op.forward(*[values[arg] for arg in args])
        values.append(value.item() if is_weak and hasattr(value, "item") else value)
    return values


def weak_values(expression: Expression, weak: Sequence[bool]) -> list[bool]:
    """Which of the values are weak, if these inputs are: constants, and what is computed from nothing else."""
    found = [*weak, *[True] * len(expression.constants)]
    for _, args in expression.lines:
        found.append(all(found[arg] for arg in args))
    return found


AS_FLOAT = Elementwise("as_float", lambda x: np.asarray(x, FLOAT64), "x as float64.")


def in_floats(expression: Expression, dtypes: Sequence[np.dtype], weak: Sequence[bool]) -> Expression:
    """The expression with integers and booleans made float64 before each line that gives a float of nothing else.

    NumPy would take the exponential of uint8 in float16, which is no dtype here, and the negative of an unsigned
    integer, on the way to a sigmoid, wraps round. Raises DtypeError for dtypes that an operation has not.
    """
    values = [*_samples(dtypes, weak), *expression.constants]
    first, lines, numbers = len(values), list[Line](), [*range(len(values))]
    for (op, args), is_weak in zip(expression.lines, weak_values(expression, weak)[first:]):
        given, places = [values[arg] for arg in args], [numbers[arg] for arg in args]
        if (not is_weak or bool in map(type, given)) and _floats_of_integers(op, given):
            for n, value in enumerate(given):
                if isinstance(value, (np.ndarray, bool)):
                    lines.append(Line(AS_FLOAT, (places[n],)))
                    given[n] = value.astype(FLOAT64) if isinstance(value, np.ndarray) else float(value)
                    places[n] = first + len(lines) - 1
        lines.append(Line(op, tuple(places)))
        numbers.append(first + len(lines) - 1)
        try:
            value = op.forward(*given)
        except TypeError as error:
            dtypes_given = " and ".join([str(np.asarray(value).dtype) for value in given])
            raise DtypeError(f"{op.name} of {dtypes_given}: {error}") from None
        values.append(value.item() if is_weak and hasattr(value, "item") else value)
    return expression._replace(lines=tuple(lines), outputs=tuple([numbers[n] for n in expression.outputs]))


def _floats_of_integers(op: Elementwise, values: Sequence[Any]) -> bool:
    """Whether it gives floats though the arrays among these values hold none; a selection computes nothing."""
    if op.forward is np.where or any(isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in values):
        return False
    whole = [value.astype(np.int64) if isinstance(value, np.ndarray) else value + 0 for value in values]
    return np.asarray(op.forward(*whole)).dtype.kind == "f"


def value_dtypes(
    expression: Expression, dtypes: Sequence[np.dtype], weak: tuple[bool, ...]
) -> tuple[list[np.dtype], list[bool]]:
    """The dtype of every value and whether it is weak, found by running the expression on one element of each input."""
    samples = _samples(dtypes, weak)
    loose = weak_values(expression, weak)
    values = quietly(run, expression, samples, loose)
    return [np.asarray(value).dtype for value in values], loose


def _samples(dtypes: Sequence[np.dtype], weak: Sequence[bool]) -> list[Any]:
    """One element of each dtype, as a Python number where it is weak."""
    return [np.ones((), dtype).item() if is_weak else np.ones(1, dtype) for dtype, is_weak in zip(dtypes, weak)]
