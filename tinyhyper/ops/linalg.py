"""Products of vectors, matrices and tensors. Semantics are NumPy's; every one ends in `matmul` or `einsum`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from ..arguments import integers
from ..core.operation import ArraySpec
from ..core.rules import broadcast_to, matmul, multiply, reshape, transpose
from ..core.tensor import FLOATS, Tensor, as_tensor
from ..errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from .operation import operation
from .shape import expand_dims, ravel


def dot(x: Any, y: Any) -> Tensor:
    """The sum of products over the last axis of x and the last but one (or only) axis of y; x * y if either is 0-d.

    x, y: of any shape; their dtypes are promoted as in NumPy. The result has the other axes of x, then those of y.
    Raises ShapeError if the lengths of these axes differ.
    """
    x, y = as_tensor(x), as_tensor(y)
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    axis = -2 if y.ndim > 1 else -1
    if x.ndim <= 2 and y.ndim <= 2 and x.shape[-1] == y.shape[axis]:
        return matmul(x, y)
    return _contract("dot", x, y, [-1], [axis])


def inner(x: Any, y: Any) -> Tensor:
    """The sum of products over the last axes of both; x * y if either is 0-d.

    x, y: of any shape; their dtypes are promoted as in NumPy. The result has the other axes of x, then those of y.
    Raises ShapeError if their lengths differ.
    """
    x, y = as_tensor(x), as_tensor(y)
    return multiply(x, y) if x.ndim == 0 or y.ndim == 0 else _contract("inner", x, y, [-1], [-1])


def outer(x: Any, y: Any) -> Tensor:
    """All products of an element of x with one of y, both flattened: a matrix, of shape (x.size, y.size).

    x, y: of any shape; their dtypes are promoted as in NumPy.
    """
    return multiply(expand_dims(ravel(x), 1), ravel(y))


def tensordot(x: Any, y: Any, axes: int | Sequence[Any] = 2) -> Tensor:
    """The sum of products over pairs of axes, given as two sequences, or as how many last axes of x and first of y.

    x, y: of any shape; their dtypes are promoted as in NumPy. The result has the other axes of x, then those of y.
    axes: an integer >= 0, or a pair of integers or of sequences of them.
    Raises ShapeError if the lengths of a pair differ, DtypeError for axes that are not such integers.
    """
    if isinstance(axes, (int, np.integer)):
        axes = (range(-int(axes), 0), range(int(axes)))
    if not isinstance(axes, (Sequence, np.ndarray)) or isinstance(axes, str) or len(axes) != 2:
        raise DtypeError(f"tensordot: axes must be an integer or a pair of sequences of integers, not {axes!r}")
    ours, theirs = (integers("tensordot: axes", pair) for pair in axes)
    return _contract("tensordot", as_tensor(x), as_tensor(y), ours, theirs)


def _contract(name: str, x: Tensor, y: Tensor, ours: list[int], theirs: list[int]) -> Tensor:
    """The product of x, with its axes `ours` last, and y, with its axes `theirs` first, as matrices."""
    try:
        ours, theirs = [range(x.ndim)[n] for n in ours], [range(y.ndim)[n] for n in theirs]
        fits = [x.shape[n] for n in ours] == [y.shape[n] for n in theirs]
    except IndexError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: axes {ours} of shape {x.shape} do not pair with axes {theirs} of shape {y.shape}")
    left = [n for n in range(x.ndim) if n not in ours]
    right = [n for n in range(y.ndim) if n not in theirs]
    width = math.prod(x.shape[n] for n in ours)
    shape = (*(x.shape[n] for n in left), *(y.shape[n] for n in right))
    rows = reshape(transpose(x, [*left, *ours]), (math.prod(shape[: len(left)]), width))
    columns = reshape(transpose(y, [*theirs, *right]), (width, math.prod(shape[len(left) :])))
    return reshape(matmul(rows, columns), shape)


def _einsum_vjp(g: Tensor, xs: Sequence[Tensor], spec: ArraySpec, position: int, subscripts: str) -> Tensor:
    """The same sum with the operand and the output exchanged.

    An index that the operand alone has is copied along by ones; one that it repeats lies on a diagonal, by an identity.
    """
    left, output = subscripts.split("->")
    terms = left.split(",")
    own = terms.pop(position)
    others = [x for n, x in enumerate(xs) if n != position]
    lengths = dict(zip(own, spec.shape))
    elsewhere = {*output, *"".join(terms)}
    free = iter([letter for letter in ascii_letters if letter not in subscripts])
    target = ""
    for letter in own:
        other = letter if letter not in target else next(free)
        constant = None
        if other != letter:
            constant = np.eye(lengths[letter], dtype=g.dtype)
            terms.append(letter + other)
        elif letter not in elsewhere:
            constant = np.ones(lengths[letter], g.dtype)
            terms.append(letter)
        if constant is not None:
            others.append(Tensor(constant))
        target += other
    found = _einsum([g, *others], f"{','.join([output, *terms])}->{target}")
    shape = np.broadcast_shapes(found.shape, spec.shape)  # where others had length 1, einsum broadcast them
    return found if found.shape == shape else broadcast_to(found, shape)


@operation(xs=_einsum_vjp)
def _einsum(xs: Sequence[np.ndarray], /, subscripts: str) -> np.ndarray:
    # Sums of booleans or small integers must not be taken in their own dtype, as an optimized order of products would.
    return np.einsum(subscripts, *xs, optimize=len(xs) > 1 and all(x.dtype in FLOATS for x in xs))


def einsum(subscripts: str, *operands: Any, **options: Any) -> Tensor:
    """The sum of products that the subscripts describe, as in NumPy: "ij,jk->ik", "ii", "...i,i", "ij->ji".

    Without "->" the result has the indices that stand once, in alphabetical order.
    operands: one for each term of the subscripts, of any shape that fits it; their dtypes are promoted as in NumPy.
    options: NumPy's optimize= and order=, which change no value and are not needed: the products are always ordered.
    Raises ArgumentError for subscripts that do not say one thing, ShapeError if lengths differ, UnsupportedError for
    any other option.
    """
    for key, value in options.items():
        if key not in ("optimize", "order"):
            raise UnsupportedError(f"einsum: {key}={value!r} is not supported for a Tensor; use astype for a dtype")
    if not isinstance(subscripts, str):
        raise UnsupportedError("einsum: the first argument must be a string of subscripts, such as 'ij,jk->ik'")
    xs = [as_tensor(operand) for operand in operands]
    return _einsum(xs, _spelled_out(subscripts, [x.shape for x in xs]))


def _spelled_out(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """The subscripts with a letter for every axis and with their output."""
    left, arrow, output = subscripts.replace(" ", "").replace("...", ".").partition("->")
    terms = left.split(",")
    strange = set(left + output) - set(ascii_letters + ".,")
    if strange or "," in output or any(term.count(".") > 1 for term in [*terms, output]):
        raise ArgumentError(f"einsum: {subscripts!r} may hold letters, commas, one '->', and '...' once a term")
    if len(terms) != len(shapes):
        raise ArgumentError(f"einsum: {subscripts!r} names {len(terms)} operands, but {len(shapes)} were given")
    depths = []
    for term, shape in zip(terms, shapes):
        depths.append(len(shape) - len(term.replace(".", "")))
        if depths[-1] < 0 or (depths[-1] and "." not in term):
            raise ShapeError(f"einsum: {term.replace('.', '...')!r} in {subscripts!r} does not fit shape {shape}")
    free = [letter for letter in ascii_letters if letter not in subscripts][: max(depths)]
    if arrow and free and "." not in output:
        raise ArgumentError(f"einsum: {subscripts!r} sums over the axes under '...'; put '...' into the output too")
    if not arrow:
        counts = Counter(left)
        output = "." + "".join(sorted(letter for letter in ascii_letters if counts[letter] == 1))
    spelled = [term.replace(".", "".join(free[len(free) - depth :])) for term, depth in zip(terms, depths)]
    output = output.replace(".", "".join(free))
    if len(set(output)) < len(output) or set(output) - set("".join(spelled)):
        raise ArgumentError(f"einsum: the output of {subscripts!r} must name indices of its operands, each once")
    return f"{','.join(spelled)}->{output}"
