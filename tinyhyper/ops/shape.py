"""Shapes: what rearranges, repeats, joins or cuts out elements. Semantics are NumPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import integer, integers
from ..core.operation import ArraySpec
from ..core.rules import Axes, getitem, reshape
from ..core.tensor import Tensor, as_tensor
from ..errors import ArgumentError, ShapeError
from ..interop import unmasked
from .index import checked_axis, take
from .operation import operation

PAD_MODES = ("edge", "reflect", "symmetric", "wrap")


def _back(g: Tensor, spec: ArraySpec) -> Tensor:
    return reshape(g, spec.shape)


@operation(x=_back)
def ravel(x: np.ndarray, /) -> np.ndarray:
    """The elements of x as one axis, last index fastest.

    x: of any shape and dtype.
    """
    return x.reshape(-1)


@operation(x=_back)
def expand_dims(x: np.ndarray, /, axis: int | tuple[int, ...]) -> np.ndarray:
    """x with axes of length 1 inserted, so that they stand at `axis` of the result.

    x: of any shape and dtype.  axis: an integer or a tuple of them. Raises ShapeError for one that the result has not.
    """
    return np.expand_dims(x, axis)


@operation(x=_back)
def squeeze(x: np.ndarray, /, axis: Axes = None) -> np.ndarray:
    """x without its axes of length 1, or without those that `axis` names.

    x: of any shape and dtype.  axis: an integer, a tuple of them, or None.
    Raises ShapeError if one of these axes is longer.
    """
    return np.squeeze(x, axis)


@operation(x=lambda g, source, destination: moveaxis(g, destination, source))
def moveaxis(x: np.ndarray, /, source: int | Sequence[int], destination: int | Sequence[int]) -> np.ndarray:
    """x with axes moved to new places; the others keep their order.

    x: of any shape and dtype.
    source, destination: where the axes are and where they go, integers or sequences of them.
    Raises ShapeError for axes that x does not have.
    """
    return np.moveaxis(x, source, destination)


def _section(g: Tensor, spec: ArraySpec, specs: tuple[ArraySpec, ...], position: int, axis: int | None) -> Tensor:
    lengths = [math.prod(s.shape) if axis is None else s.shape[axis] for s in specs[: position + 1]]
    end = sum(lengths)
    lead = 0 if axis is None else axis % g.ndim
    return reshape(getitem(g, (slice(None),) * lead + (slice(end - lengths[-1], end),)), spec.shape)


@operation(xs=_section)
def concatenate(xs: Sequence[np.ndarray], /, axis: int | None = 0) -> np.ndarray:
    """A sequence of tensors joined along an axis, or flattened and joined if None.

    xs: tensors of one axis or more, of any shape if `axis` is None; their dtypes are promoted as in NumPy.
    axis: an integer or None.
    Raises ShapeError if their other axes differ and if there are none, ArgumentError for what is no sequence.
    """
    return np.concatenate(xs, axis)


@operation(xs=lambda g, position, axis: getitem(g, (slice(None),) * (axis % g.ndim) + (position,)))
def stack(xs: Sequence[np.ndarray], /, axis: int = 0) -> np.ndarray:
    """A sequence of tensors of one shape joined along a new axis.

    xs: tensors of one shape; their dtypes are promoted as in NumPy.  axis: where the new axis is in the result, an
    integer.
    Raises ShapeError if the shapes differ and if there are none, ArgumentError for what is no sequence.
    """
    return np.stack(xs, axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along an axis: a list of tensors.

    x: of any shape but () and any dtype, which the parts have.  axis: an integer.
    indices_or_sections: how many equal sections, or the indices before which it is cut, integers.
    Raises ShapeError if the axis is not there or does not divide into sections, DtypeError for what is no integer.
    """
    x = as_tensor(x)
    axis = checked_axis("split", x, axis)
    length = x.shape[axis]
    given = integers("split: indices_or_sections", indices_or_sections)
    if np.ndim(indices_or_sections) == 0:
        [sections] = given
        if sections < 1 or length % sections:
            raise ShapeError(f"split: axis {axis} of length {length} cannot be split into {sections} equal sections")
        cuts = [n * (length // sections) for n in range(sections + 1)]
    else:
        cuts = [0, *given, length]
    lead = (slice(None),) * axis
    return [getitem(x, (*lead, slice(start, end))) for start, end in zip(cuts, cuts[1:])]


def _untile(g: Tensor, spec: ArraySpec, reps: tuple[int, ...]) -> Tensor:
    depth = max(len(reps), len(spec.shape))
    copies = (1,) * (depth - len(reps)) + reps
    lengths = (1,) * (depth - len(spec.shape)) + spec.shape
    blocks = reshape(g, tuple([n for pair in zip(copies, lengths) for n in pair]))
    return reshape(blocks.sum(tuple(range(0, 2 * depth, 2))), spec.shape)


@operation(x=_untile)
def _tile(x: np.ndarray, /, reps: tuple[int, ...]) -> np.ndarray:
    return np.tile(x, reps)


def tile(x: Any, reps: int | Sequence[int]) -> Tensor:
    """x laid out again and again: reps[n] times along axis n, counted from the last.

    x: of any shape and dtype.  reps: an integer or a sequence of them. Raises DtypeError for other numbers, ShapeError
    for negative ones.
    """
    return _tile(x, tuple(integers("tile: reps", reps)))


def repeat(x: Any, repeats: int | npt.ArrayLike, axis: int | None = None) -> Tensor:
    """x with each element repeated so many times.

    x: of any shape and dtype.  repeats: how often, an integer or one for each.
    axis: whose slices are repeated, an integer; the flattened elements if None.
    Raises ShapeError if `repeats` does not fit the axis, DtypeError for an axis that is not an integer.
    """
    unmasked(repeats, "repeat: repeats", 2)
    x = as_tensor(x)
    length = x.size if axis is None else x.shape[checked_axis("repeat", x, axis)]
    try:
        counts = np.asarray(repeats)
        return take(x, np.repeat(np.arange(length), counts if counts.size else counts.astype(np.intp)), axis)
    except (ValueError, TypeError) as error:
        raise ShapeError(f"repeat: repeats {repeats!r} do not fit an axis of length {length}: {error}") from error


@operation(x=lambda g, axis: flip(g, axis))
def flip(x: np.ndarray, /, axis: Axes = None) -> np.ndarray:
    """x with the order of its elements reversed along the axes, all if None.

    x: of any shape and dtype.  axis: an integer, a tuple of them, or None.
    Raises ShapeError for an axis that x does not have.
    """
    return np.flip(x, axis)


@operation(x=lambda g, shift, axis: roll(g, np.negative(shift).tolist(), axis))
def roll(x: np.ndarray, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> np.ndarray:
    """x with its elements moved `shift` places along the axis; what leaves at the end comes back at the start.

    x: of any shape and dtype.  shift: an integer, or one for each axis.  axis: an integer, or several; the flattened
    elements move if None. Raises ShapeError for an axis that x does not have, and for shifts that do not fit the axes.
    """
    unmasked(shift, "roll: shift", 2)
    return np.roll(x, shift, axis)


def _unpad(g: Tensor, spec: ArraySpec, pad_width: tuple[tuple[int, int], ...]) -> Tensor:
    return getitem(g, tuple([slice(before, before + n) for (before, _), n in zip(pad_width, spec.shape)]))


@operation(x=_unpad)
def _pad(x: np.ndarray, /, pad_width: tuple[tuple[int, int], ...], constant_values: Any) -> np.ndarray:
    return np.pad(x, pad_width, constant_values=constant_values) if pad_width else x.copy()


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Tensor:
    """x with elements added before and after each axis.

    x: of any shape and dtype.  pad_width: a number, (before, after), or a pair for each axis, integers.
    mode: "constant" (of `constant_values`, in the dtype of x), "edge", "reflect", "symmetric" or "wrap".
    Raises ShapeError for widths that do not fit x or are negative, ArgumentError for another mode.
    """
    x = as_tensor(x)
    unmasked([pad_width, constant_values], "pad", 3)
    try:
        widths = tuple([(int(a), int(b)) for a, b in np.broadcast_to(pad_width, (x.ndim, 2))])
        if mode == "constant":
            return _pad(x, widths, constant_values)
        if mode not in PAD_MODES:
            raise ArgumentError(f'pad: mode {mode!r} is not one of "constant", {", ".join(map(repr, PAD_MODES))}')
        # Any of these modes says, along each axis, which element goes where.
        for axis, width in enumerate(widths):
            x = take(x, np.pad(np.arange(x.shape[axis]), width, mode=mode), axis)  # type: ignore[call-overload]
        return x
    except (ValueError, TypeError) as error:
        if isinstance(error, (ShapeError, ArgumentError)):
            raise
        raise ShapeError(f"pad: pad_width {pad_width!r} does not fit shape {x.shape}: {error}") from error


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements x[..., n, n + offset] of two axes, as the last axis.

    x: of any shape of two axes or more, and any dtype.  offset: an integer.  axis1, axis2: the two axes, integers.
    Raises ShapeError for fewer than two axes, and for axes that x does not have; DtypeError for an offset that is not
    an integer, ArgumentError for such axes.
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"diagonal: x must have at least two axes; its shape is {x.shape}")
    offset = integer("diagonal: offset", offset)
    last = x if x.ndim == 2 and (axis1, axis2) == (0, 1) else moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = last.shape[-2:]
    offset = max(-rows, min(offset, columns))  # further off nothing lies
    start, end = max(0, -offset), min(rows, columns - offset)
    places = np.arange(start, max(start, end))
    return getitem(last, (..., places, places + offset))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum along a diagonal of two axes.

    x, offset, axis1, axis2: as of diagonal. Dtypes are as in `sum`.
    Raises ShapeError for fewer than two axes, and for axes that x does not have; DtypeError for an offset that is not
    an integer, ArgumentError for such axes.
    """
    return diagonal(x, offset, axis1, axis2).sum(-1)


@operation(x=lambda g, k: triu(g, k))
def triu(x: np.ndarray, /, k: int = 0) -> np.ndarray:
    """x with zeros below the k-th diagonal of its last two axes.

    x: of any shape but () and any dtype; one axis is taken as equal rows.  k: an integer; 0 is the main diagonal, above
    it are 1, 2 and so on. Raises ArgumentError for a number or another k.
    """
    return np.triu(x, k)


@operation(x=lambda g, k: tril(g, k))
def tril(x: np.ndarray, /, k: int = 0) -> np.ndarray:
    """x with zeros above the k-th diagonal of its last two axes.

    x, k: as of triu. Raises ArgumentError for a number or another k.
    """
    return np.tril(x, k)
