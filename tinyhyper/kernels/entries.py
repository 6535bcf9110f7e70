"""Operations as C functions: what a recorded program calls instead of Python."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..core.operation import OPERATIONS, ArraySpec, Elementwise
from ..fusion.fusion import Fusion, fused
from . import convolution, expressions, matmul, moves, native, places, pooling, recurrent, reductions, softmax
from .backend import compiler_is_off
from .recipes import FLAG, Kind, Operand, Output, Recipe, Specs, Table, Wanted, Workspace, in_rows

__all__ = ["FLAG", "Entry", "Operand", "Output", "Table", "Workspace", "by_numbers", "entry", "finite", "reaches"]


class Entry(NamedTuple):
    """A C function, `void entry(int64 *words)`, that carries out an operation. It cannot raise.

    words: integers, and what stands for an address: an Operand, an Output, a Workspace, a Table, or FLAG.
    kinds: of the arguments that they make.  exact: whether the result has the bits of op.compute.
    along: as of a Recipe.
    """

    address: int
    words: tuple[Any, ...]
    kinds: tuple[Kind, ...]
    exact: bool
    along: tuple[bool, ...]


class Reach(NamedTuple):
    """An array of which a kernel is told. word: which one is its address.

    dtype: by its number, `np.dtype.num`.  first, last: the bytes from there on that the array has.
    """

    word: int
    dtype: int
    first: int
    last: int


# By name, what makes the recipe of an operation, from its operands, its output and its options.
RECIPES: dict[str, Callable[..., Recipe | None]] = {
    "matmul": matmul.recipe,
    **dict.fromkeys(("reshape", "ravel", "expand_dims", "squeeze", "broadcast_to", "astype"), moves.copied),
    **{name: partial(moves.viewed, name) for name in ("transpose", "swapaxes", "moveaxis", "flip")},
    **{name: partial(places.taken, name) for name in ("roll", "tile")},
    **{name: partial(places.filled, name) for name in ("pad", "tril", "triu")},
    **{name: partial(places.joined, name) for name in ("concatenate", "stack")},
    "getitem": places.indexed,
    "scatter": places.scattered,
    **{name: partial(reductions.recipe, name) for name in reductions.STEPS},
    "sum": moves.summed,
    "mean": moves.meant,
    "sum_to": moves.summed_to,
    "conv2d": convolution.conv2d_recipe,
    "conv2d_input_grad": convolution.input_grad_recipe,
    "conv2d_weight_grad": convolution.weight_grad_recipe,
    **{name: partial(pooling.recipe, name) for name in pooling.KERNELS},
    **{name: partial(softmax.labelled_recipe, name) for name in softmax.LABELLED},
    **{name: partial(softmax.rows_recipe, name) for name in softmax.ROWS},
}
# The same, for those that have several outputs.
MANY: dict[str, Callable[[Specs, Wanted, Any], Recipe | None]] = {
    "lstm": recurrent.forward_recipe,
    "lstm.vjp": recurrent.backward_recipe,
}


def entry(
    op: Any, call: Any, operands: Sequence[ArraySpec], outputs: Sequence[ArraySpec | None]
) -> Entry | None:
    """The C function for what `op.compute(arrays, call)` computes; None if there is none, or if threads share the work.

    operands: how the arrays lie that are read; in rows if that is not said.  outputs: those that are written to, which
    lie in rows; None for one that is not wanted. What is written to must lie apart from all that is read, and every
    array at a multiple of its item's size.
    """
    return None if compiler_is_off() else _entry(recipe(op, call, tuple(operands), tuple(outputs)))


def recipe(op: Any, call: Any, operands: Specs, outputs: Wanted) -> Recipe | None:
    """As `entry`, before anything is compiled."""
    operands = tuple(map(_lying, operands))
    outputs = tuple([None if out is None else in_rows(*out[:2]) for out in outputs])
    if not all(x.dtype.isnative and not any(step % x.dtype.itemsize for step in x.strides) for x in operands):
        return None
    if isinstance(op, Fusion):
        return expressions.recipe(op, operands, outputs)
    if isinstance(op, Elementwise):
        return expressions.recipe(fused(op), operands, outputs, alone=True)
    if op.name in MANY:
        return MANY[op.name](operands, outputs, call)
    make = RECIPES.get(op.name)
    return make(operands, outputs[0], **call) if make and OPERATIONS[op.name] is getattr(op, "whole", op) else None


def _lying(x: ArraySpec) -> ArraySpec:
    """How an array lies: in rows if that is not said."""
    return x if len(x.strides) == len(x.shape) else in_rows(*x[:2])


def by_numbers(op: Any, operand: ArraySpec, numbers: ArraySpec, out: ArraySpec) -> Entry | None:
    """The C function for `getitem` or `scatter` of the rows whose numbers are in Operand(1), an array of integers.

    As `entry`. A number that is out of range sets the flag.
    """
    make = {"getitem": places.rows, "scatter": places.added}.get(op.name)
    if make is None or compiler_is_off():
        return None
    return _entry(make((_lying(operand), _lying(numbers)), in_rows(*out[:2])))  # pragma: no cover - compiled


def finite(x: ArraySpec) -> Entry | None:
    """The C function that sets the flag if an element of Operand(0) is not finite."""
    return None if compiler_is_off() else _entry(places.finite(_lying(x)))


@functools.lru_cache(maxsize=4096)
def reaches(kinds: Sequence[Kind], words: Sequence[Any]) -> tuple[Reach, ...]:
    """The arrays of which words tell a kernel."""
    found, at = [], 0
    for kind in kinds:
        if kind.layout not in ("C", "F", "A"):
            at += 2 if kind.layout == "pair" else 1
            continue
        word, anyhow, dtype = at, kind.layout == "A", np.dtype(kind.dtype)
        first = words[at + 1] if anyhow else 0
        shape = words[at + 1 + anyhow : (at := at + 1 + anyhow + kind.ndim)]
        size = math.prod(shape)
        last = first + size * dtype.itemsize
        if anyhow and size:
            ends = [(n - 1) * step for n, step in zip(shape, words[at:])]
            last = first + sum(max(end, 0) for end in ends) + dtype.itemsize
            first += sum(min(end, 0) for end in ends)
        at += kind.ndim if anyhow else 0
        found.append(Reach(word, dtype.num, first, last))
        if kind.total not in ("", kind.dtype):
            narrow = np.dtype(kind.total)
            found.append(Reach(at, narrow.num, 0, size * narrow.itemsize))
            at += 1
    return tuple(found)


def _entry(found: Recipe | None) -> Entry | None:  # pragma: no cover - compiled
    address = native.address(found.source, found.kinds) if found else 0
    if not found or not address:
        return None
    return Entry(address, found.words, found.kinds, found.exact, found.along)
