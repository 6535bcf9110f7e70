"""Elements by their places as recipes: indexing by arrays, what is joined, and the transposes of both.

An index that an operation is called with is the same at every step: so where each element goes is known beforehand.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec
from ..core.tensor import FLOAT64, FLOATS
from ..ops.index import by_number
from .moves import viewed
from .recipes import FLAG, Argument, Operand, Output, Recipe, Specs, Table, array, lie, made, total

TAKE = """
def kernel(x, places, out):
    for n in range(len(places)):
        out[n] = x[places[n]]
"""
FILL = """
def kernel(x, places, other, out):
    for n in range(len(places)):
        out[n] = x[places[n] - 1] if places[n] > 0 else other[()]
"""
PUT = """
    for n in range(len(places{0})):
        out[places{0}[n]] {1} x{0}[n]"""
BY_NUMBERS = """
def kernel(x, numbers, out, wrong):
    for n in range(len(numbers)):
        row = numbers[n] + len({whole}) if numbers[n] < 0 else numbers[n]
        if row < 0 or row >= len({whole}):
            wrong[0] = 1
            return
        for j in range(x.shape[1]):
            {move}
"""
ROWS = BY_NUMBERS.format(whole="x", move="out[n, j] = x[row, j]")
ADDED = BY_NUMBERS.format(whole="out", move="out[row, j] += x[n, j]")
FINITE = """
def kernel(x, wrong):
    total = {dtype}(0)
    for n in range(len(x)):
        total = add(total, x[n] * 0)
    if total != 0:
        wrong[0] = 1
"""
MOST = 2**20  # elements, each of which needs a place
PIECES = 16  # operands, each of which has a loop of its own


def taken(name: str, operands: Specs, out: ArraySpec, **options: Any) -> Recipe | None:
    """An operation that takes its elements from its operand: the places are what it takes from their numbers."""
    [x] = map(lie, operands)
    if not (x.flags.c_contiguous and x.dtype == out.dtype and 0 < math.prod(out.shape) <= MOST):
        return None
    places = OPERATIONS[name].forward(np.arange(x.size).reshape(x.shape), **options)
    arguments = [array(Operand(0), np.empty(x.size, x.dtype)), _kept(places), _flat(out)]
    return made(TAKE, arguments, exact=True)


def filled(name: str, operands: Specs, out: ArraySpec, constant_values: Any = 0, **options: Any) -> Recipe | None:
    """An operation that takes elements from its operand, and puts a constant where it takes none."""
    [x] = map(lie, operands)
    if np.ndim(constant_values) or not _in_rows(operands, out):
        return None
    if name == "pad":
        options["constant_values"] = 0
    places = OPERATIONS[name].forward(np.arange(1, x.size + 1).reshape(x.shape), **options)
    other = array(Table(functools.partial(np.array, constant_values, x.dtype)), np.empty((), x.dtype))
    return made(FILL, [array(Operand(0), np.empty(x.size, x.dtype)), _kept(places), other, _flat(out)], exact=True)


def indexed(operands: Specs, out: ArraySpec, index: Any) -> Recipe | None:
    """x[index], which may be a view."""
    return viewed("getitem", operands, out, index=index) or taken("getitem", operands, out, index=index)


def joined(name: str, operands: Specs, out: ArraySpec, **options: Any) -> Recipe | None:
    """An operation whose result has each element of its operands once."""
    ends = np.cumsum([math.prod(x.shape) for x in operands])
    if not _in_rows(operands, out) or any(x.dtype != out.dtype for x in operands):
        return None
    numbers = np.split(np.arange(ends[-1]), ends[:-1])
    sources = OPERATIONS[name].forward([n.reshape(x.shape) for n, x in zip(numbers, operands)], **options)
    places = np.split(np.argsort(sources, axis=None), ends[:-1])
    return made(_put(len(operands), "="), [*_pieces(operands, places), _flat(out)], exact=True)


def scattered(operands: Specs, out: ArraySpec, indices: Sequence[Any], shape: tuple[int, ...]) -> Recipe | None:
    """Zeros, with operands added where indices say. Sums are added up in float64, and in the order that NumPy takes."""
    if not _in_rows(operands, out) or out.dtype not in FLOATS:
        return None
    numbers = np.arange(math.prod(shape)).reshape(shape)
    sums = total(Output(0), out.dtype, (numbers.size,))
    exact = len(operands) == 1 or out.dtype == FLOAT64 or any(map(by_number, indices))
    return made(_put(len(operands), "+="), [*_pieces(operands, [numbers[index] for index in indices]), sums], exact)


def rows(operands: Specs, out: ArraySpec) -> Recipe | None:
    """Rows of the first operand, by the numbers in the second; one that is out of range sets the flag."""
    x, numbers = map(lie, operands)
    if not (x.ndim and _are_numbers(numbers) and x.flags.c_contiguous and math.prod(out.shape)):
        return None
    matrix, result = _matrix(len(x), operands[0]), _matrix(numbers.size, out)
    arguments = [array(Operand(0), matrix), array(Operand(1), numbers.ravel()), array(Output(0), result), _flag()]
    return made(ROWS, arguments, exact=True)


def added(operands: Specs, out: ArraySpec) -> Recipe | None:
    """Zeros, with rows of the first operand added where numbers in the second say; as `scattered`, and as `rows`."""
    x, numbers = map(lie, operands)
    if not (out.shape and _are_numbers(numbers) and x.flags.c_contiguous and x.size and out.dtype in FLOATS):
        return None
    matrix, sums = _matrix(numbers.size, operands[0]), total(Output(0), out.dtype, _matrix(out.shape[0], out).shape)
    arguments = [array(Operand(0), matrix), array(Operand(1), numbers.ravel()), sums, _flag()]
    return made(ADDED, arguments, exact=True)


def _are_numbers(numbers: np.ndarray) -> bool:
    return numbers.dtype.kind == "i" and numbers.flags.c_contiguous


def _matrix(length: int, spec: ArraySpec) -> np.ndarray:
    """An array of so many rows, of as many elements."""
    return np.empty((length, math.prod(spec.shape) // length), spec.dtype)


def finite(x: ArraySpec) -> Recipe | None:
    """A check that sets the flag if an element of a float array is not finite."""
    if x.dtype not in FLOATS or not lie(x).flags.forc or not math.prod(x.shape):
        return None
    flat = array(Operand(0), np.empty(math.prod(x.shape), x.dtype))
    return made(FINITE.format(dtype=x.dtype.name), [flat, _flag()], exact=True)


def _in_rows(operands: Specs, out: ArraySpec) -> bool:
    sizes = [math.prod(x.shape) for x in (*operands, out)]
    few = len(operands) <= PIECES and sum(sizes) <= MOST
    return few and min(sizes) > 0 and all(lie(x).flags.c_contiguous for x in operands)


@functools.cache
def _put(count: int, assignment: str) -> str:
    names = ", ".join(f"x{n}, places{n}" for n in range(count))
    return f"\ndef kernel({names}, out):" + "".join(PUT.format(n, assignment) for n in range(count)) + "\n"


def _pieces(operands: Specs, places: Sequence[np.ndarray]) -> list[Argument]:
    pairs = enumerate(zip(operands, places))
    return [a for n, (x, p) in pairs for a in (array(Operand(n), np.empty(math.prod(x.shape), x.dtype)), _kept(p))]


def _kept(places: np.ndarray) -> Argument:
    """Places as an argument; there are so few that half a word holds the number of one."""
    flat = np.ascontiguousarray(places, np.int32).ravel()
    return array(Table(lambda: flat), flat)


def _flat(out: ArraySpec) -> Argument:
    return array(Output(0), np.empty(math.prod(out.shape), out.dtype))


def _flag() -> Argument:
    return array(FLAG, np.zeros(1, np.int64))
