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
    """scalars: for each input, whether it takes on the dtype of what it meets, as Python's numbers do (NEP 50).
    constants, lines: in the order of their values.  outputs: numbers of values.
    """

    scalars: tuple[bool, ...]
    constants: tuple[Any, ...]
    lines: tuple[Line, ...]
    outputs: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """How many there are."""
        return len(self.scalars)

    def given(self, arrays: Sequence[np.ndarray]) -> Sequence[Any]:
        """The inputs, of which the scalars are Python numbers."""
        return [array.item() if is_scalar else array for array, is_scalar in zip(arrays, self.scalars)]


def run(expression: Expression, inputs: Sequence[Any], scalars: Sequence[bool]) -> list[Any]:
    """All values of the expression. scalars: which of them stay Python numbers, as `scalar_values` finds."""
    values = [*inputs, *expression.constants]
    for (op, args), is_scalar in zip(expression.lines, scalars[len(values) :]):
        value = op.forward(*[values[arg] for arg in args])
        values.append(_as_number(value) if is_scalar else value)
    return values


def _as_number(value: Any) -> Any:
    """A scalar as a Python number, whatever an operation has made of it."""
    return value.item() if isinstance(value, (np.ndarray, np.generic)) else value


def scalar_values(expression: Expression) -> list[bool]:
    """Which of the values are scalars: such inputs, constants, and what is computed from nothing else."""
    found = [*expression.scalars, *[True] * len(expression.constants)]
    for _, args in expression.lines:
        found.append(all(found[arg] for arg in args))
    return found


AS_FLOAT = Elementwise("as_float", lambda x: np.asarray(x, FLOAT64), "x as float64.")


def in_floats(expression: Expression, dtypes: Sequence[np.dtype]) -> Expression:
    """The expression with integers and booleans made float64 before each line that gives a float of nothing else.

    NumPy would take the exponential of uint8 in float16, which is no dtype here, and the negative of an unsigned
    integer, on the way to a sigmoid, wraps round. Raises DtypeError for dtypes that an operation has not.
    """
    values = [*_samples(expression, dtypes), *expression.constants]
    first, lines, numbers = len(values), list[Line](), [*range(len(values))]
    for (op, args), is_scalar in zip(expression.lines, scalar_values(expression)[first:]):
        given, places = [values[arg] for arg in args], [numbers[arg] for arg in args]
        if (not is_scalar or bool in map(type, given)) and _floats_of_integers(op, given):
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
        values.append(_as_number(value) if is_scalar else value)
    return expression._replace(lines=tuple(lines), outputs=tuple([numbers[n] for n in expression.outputs]))


def _floats_of_integers(op: Elementwise, values: Sequence[Any]) -> bool:
    """Whether it gives floats though the arrays among these values hold none; a selection computes nothing."""
    if op.forward is np.where or any(isinstance(value, np.ndarray) and value.dtype.kind == "f" for value in values):
        return False
    whole = [value.astype(np.int64) if isinstance(value, np.ndarray) else value + 0 for value in values]
    return np.asarray(op.forward(*whole)).dtype.kind == "f"


def value_dtypes(expression: Expression, dtypes: Sequence[np.dtype]) -> tuple[list[np.dtype], list[bool]]:
    """The dtype of every value and whether it is a scalar, found by a run on one element of each input."""
    scalars = scalar_values(expression)
    values = quietly(run, expression, _samples(expression, dtypes), scalars)
    return [np.asarray(value).dtype for value in values], scalars


def _samples(expression: Expression, dtypes: Sequence[np.dtype]) -> Sequence[Any]:
    """One element of each dtype, as an input."""
    shapes: list[Any] = [() if is_scalar else 1 for is_scalar in expression.scalars]
    return expression.given([*map(np.ones, shapes, dtypes)])
