"""How a kernel carries out an operation as a C function: its source, the kinds of its arguments, and their words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..core.operation import ArraySpec
from ..core.tensor import FLOAT64, FLOATS


class Kind(NamedTuple):
    """What a kernel's argument is, and of which words it is made.

    dtype: its name.  ndim: of an array.
    layout: "C" or "F" for an array that lies so: its address and lengths; "A" for any other: its address, how many
    bytes further it begins, lengths, and strides in bytes; "" for a number, "pair" for two.
    total: of a result that is a sum, its dtype. It is added up in float64, from 0 on. If the dtype is another, the
    words are those of a float64 array, and then the address of the result.
    """

    dtype: str
    ndim: int = 0
    layout: str = "C"
    total: str = ""


class Operand(NamedTuple):
    """A word: the address of an operand, by number."""

    number: int


class Output(NamedTuple):
    """A word: the address of an output, by number."""

    number: int


class Workspace(NamedTuple):
    """A word: the address of so many bytes, in which the function finds nothing and leaves nothing."""

    size: int


class Table(NamedTuple):
    """A word: the address of an array of the function's own, which is made for it."""

    make: Callable[[], np.ndarray]


class Flag(NamedTuple):
    """A word: the address of the program's flag, which an operation that would raise an error sets to 1."""


FLAG = Flag()


class Recipe(NamedTuple):
    """How an operation is carried out. Functions are shared by all of one source and kinds, whatever their shapes.

    words: integers, or what stands for an address.  exact: whether the result has the bits of op.compute.
    along: whether each argument has a part for each round of the kernel's outermost loop, which makes its own part of
    the result whatever rounds there are; empty for a kernel that has no such loop.
    """

    source: str
    kinds: tuple[Kind, ...]
    words: tuple[Any, ...]
    exact: bool
    along: tuple[bool, ...]


Specs: TypeAlias = "tuple[ArraySpec, ...]"
Wanted: TypeAlias = "tuple[ArraySpec | None, ...]"  # of outputs; None for one that is not wanted
Argument: TypeAlias = "tuple[Kind, tuple[Any, ...]]"  # of a kernel, and its words


def lie(spec: ArraySpec) -> np.ndarray:
    """An array that lies as a spec says: for its views, not for what is in it."""
    return np.lib.stride_tricks.as_strided(np.empty(1, spec.dtype), spec.shape, spec.strides)


@lru_cache(maxsize=4096)
def in_rows(shape: tuple[int, ...], dtype: np.dtype) -> ArraySpec:
    """How an array lies whose elements follow each other."""
    return ArraySpec(shape, dtype, np.empty(shape, dtype).strides)


def made(source: str, arguments: Sequence[Argument], exact: bool, along: Sequence[bool] = ()) -> Recipe:
    """The recipe for a kernel with these arguments."""
    words = tuple([word for _, words in arguments for word in words])
    return Recipe(source, tuple([kind for kind, _ in arguments]), words, exact, tuple(along))


def array(place: Any, like: np.ndarray) -> Argument:
    """An array as an argument, at the place that a word says."""
    if like.flags.forc:
        return Kind(like.dtype.name, like.ndim, "C" if like.flags.c_contiguous else "F"), (place, *like.shape)
    return anyhow(place, like)


def anyhow(place: Any, like: np.ndarray, offset: int = 0) -> Argument:
    """An array as an argument of a kernel that is told all strides."""
    return Kind(like.dtype.name, like.ndim, "A"), (place, offset, *like.shape, *like.strides)


def workspace(shape: tuple[int, ...], dtype: np.dtype) -> Argument:
    like = np.empty(shape, dtype)
    return array(Workspace(like.nbytes), like)


def pair(numbers: tuple[int, ...]) -> Argument:
    return Kind("int64", layout="pair"), numbers


def boolean(flag: bool) -> Argument:
    return Kind("boolean", layout=""), (int(flag),)


def lie_in_rows(*arrays: np.ndarray) -> bool:
    """Whether arrays are floats of one dtype, lie in rows, and have elements."""
    dtype = arrays[0].dtype
    return dtype in FLOATS and all(x.dtype == dtype and x.flags.c_contiguous and x.size for x in arrays)


def total(place: Any, dtype: np.dtype, shape: tuple[int, ...]) -> Argument:
    """A result that a kernel adds up, in float64, as an argument."""
    if dtype == FLOAT64:
        return Kind("float64", len(shape), "C", "float64"), (place, *shape)
    return Kind("float64", len(shape), "C", dtype.name), (Workspace(8 * math.prod(shape)), *shape, place)
