"""Operands that are not tensors: Python numbers, which take on the dtype that they meet (NEP 50), and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .core.operation import NUMBERS, READERS, Elementwise, attach
from .core.tape import current
from .core.tensor import Tensor, as_tensor
from .errors import ArgumentError, ShapeError, TinyhyperError


def recorded(*tensors: Tensor) -> bool:
    """Whether what is computed of these tensors now goes on the graph."""
    return current()[0] and None not in [x.edge for x in tensors]


def read(op: Elementwise, args: Sequence[Any]) -> Any:
    """An elementwise operation of tensors, numbers and what makes an array."""
    operands = [
        arg if type(arg) is Tensor else None if type(arg) in NUMBERS else as_operand(arg, op.name) for arg in args
    ]
    dtypes = [x.array.dtype for x, name in zip(operands, op.inputs) if x is not None and name != "condition"]
    return op(*[_number(op, arg, dtypes) if x is None else x for x, arg in zip(operands, args)])


def _number(op: Elementwise, value: Any, dtypes: Sequence[np.dtype]) -> Tensor:
    """A Python number in the dtype that it takes on beside operands of these. Raises ArgumentError."""
    value = as_int64(value, op.name) if type(value) is int else value
    if len(dtypes) == 1 and dtypes[0].kind == "f":
        return Tensor(np.array(value, dtypes[0]))
    wide = np.result_type(*dtypes, 1.0 if op.gives_floats else value) if dtypes else None
    try:
        return Tensor(np.array(value, wide))
    except OverflowError as error:
        if op.vjps:
            raise ArgumentError(f"{op.name}: {error}") from error
        return Tensor(np.array(value))  # a comparison is exact


def as_operand(value: Any, name: str) -> Tensor:
    """As as_tensor; an error names the operation."""
    try:
        return as_tensor(value)
    except TinyhyperError as error:
        raise type(error)(
            f"{name}: an operand must be a number, an array or a tensor, not a {type(value).__name__} ({error})"
        ) from None


def as_int64(value: int, name: str) -> int | float:
    """An integer that 64 bits hold; a larger one as a float, as NumPy has it beside floats. Raises ArgumentError."""
    if -(2**63) <= value < 2**64:
        return value
    try:
        return float(value)
    except OverflowError:
        raise ArgumentError(f"{name}: an integer of {value.bit_length()} bits is too large even for a float") from None


def broadcast(name: str, arrays: Sequence[Any], *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which arrays, and further shapes, broadcast. Raises ShapeError."""
    try:
        return np.broadcast_shapes(*[array.shape for array in arrays], *shapes)
    except RuntimeError:
        axes = max(array.ndim for array in arrays)
        raise ShapeError(
            f"{name}: an operand has {axes} axes, but NumPy broadcasts 32 at most; merge some by reshape"
        ) from None
    except ValueError:
        raise ShapeError(
            f"{name}: shapes {' and '.join(str(array.shape) for array in arrays)} do not broadcast together "
            "(axes must be equal or 1, counted from the last)"
        ) from None


attach(READERS, {object: read})
