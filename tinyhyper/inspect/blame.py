"""Which operation made a NaN or an infinity: the operation itself, or in a fused one the line of its expression.

An elementwise operation is examined element by element: NumPy runs its expression again on the same arrays. So a mask
of infinities that is passed on is not blamed, and a fault beside it is. Any other operation is examined as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import Elementwise
from ..core.tape import quietly
from ..finite import Index, all_finite, first, worded
from ..fusion.expression import Expression, run, scalar_values
from ..fusion.fusion import Fusion, fused
from ..plain import short
from .finite import MEANT


class Fault(NamedTuple):
    """What made a NaN or an infinity.

    maker: the operation, or the one inside it.  made: NaN, infinity or -infinity.
    call: the maker and the numbers that it was applied to, if it is elementwise.
    place: the index of the fault: in the operands broadcast together, if it is elementwise, else in the output.
    """

    maker: str
    made: str
    call: str
    place: Index


def blame(op: Any, operands: Sequence[Any], outputs: Sequence[Any]) -> Fault | None:
    """The fault of the first element that is not finite; None if all of them came in with an operand or a constant."""
    arrays, results = [x.array for x in operands], [x.array for x in outputs]
    if isinstance(op, Fusion):
        return quietly(_elementwise, op, arrays, results)
    if isinstance(op, Elementwise):
        return quietly(_elementwise, fused(op), arrays, results)
    return None if op.name in MEANT else _whole(op.name, arrays, results)


def _whole(name: str, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> Fault | None:
    """The fault of an operation that mixes its elements: a NaN if none came in, an infinity if all were finite."""
    lost, finite = any(np.isnan(array).any() for array in arrays), all(map(all_finite, arrays))
    for result in results:
        bad = _bad(result) if finite else np.isnan(result)
        if bad.any() and not lost:
            index = first(bad)
            return Fault(name, worded(result[index]), "", index)
    return None


def _elementwise(op: Fusion, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> Fault | None:
    """The fault of an expression, or of the sums that it ends with."""
    expression = op.expression
    values = run(expression, expression.given(arrays), scalar_values(expression))
    faults = _faults(expression, values)
    for number, result in zip(expression.outputs, results):
        if faults[number].any():
            return _follow(expression, values, faults, number)
        bad = _bad(result)
        if bad.any() and not _bad(values[number]).any():
            index, summed = first(bad), np.shape(values[number]) != result.shape
            return Fault("sum" if summed else op.name, worded(result[index]), "", index)
    return None


def _faults(expression: Expression, values: Sequence[Any]) -> list[np.ndarray]:
    """For each value, which of its elements are not finite because of a line of the expression, not of an operand."""
    before = expression.inputs + len(expression.constants)
    faults = [np.array(False)] * before
    for (op, args), value in zip(expression.lines, values[before:]):
        read = [values[arg] for arg in args]
        bad, nan = _bad(value), np.isnan(value)
        made = (bad & ~_any(map(_bad, read))) | (nan & ~_any(map(np.isnan, read)))
        if op.name == "where":  # the branch that is not taken does not count
            passed = np.where(values[args[0]], faults[args[1]], faults[args[2]])
        else:
            passed = _any(faults[arg] for arg in args)
        faults.append(made | (bad & passed))
    return faults


def _follow(expression: Expression, values: Sequence[Any], faults: Sequence[np.ndarray], number: int) -> Fault:
    """The fault of an output, followed back to the line that made it."""
    before = expression.inputs + len(expression.constants)
    shape = faults[number].shape
    index = first(faults[number])

    def at(array: Any) -> Any:
        return np.broadcast_to(array, shape)[index]

    while True:
        op, args = expression.lines[number - before]
        earlier = [arg for arg in args if np.ndim(faults[arg]) <= len(shape) and at(faults[arg])]
        if not earlier:
            break
        number = earlier[0]
    made = worded(at(values[number]))
    return Fault(op.name, made, f"{op.name}({', '.join(short(at(values[arg])) for arg in args)})", index)


def _any(masks: Any) -> np.ndarray:
    return reduce(np.logical_or, masks, np.array(False))


def _bad(value: Any) -> np.ndarray:
    return ~np.isfinite(value)
