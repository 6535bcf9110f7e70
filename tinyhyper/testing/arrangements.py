"""What goes with the first operand of an operation in a random program: shapes of further operands, and options.

Each function draws them for a given shape; None where the operation does not take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

import tinyhyper as th

from .strategies import axes_of

Shape: TypeAlias = "tuple[int, ...]"
Draw: TypeAlias = Callable[[Any], Any]
Options: TypeAlias = "dict[str, Any]"
Arrange: TypeAlias = "Callable[[Draw, Shape], tuple[list[Shape], Options] | None]"


def alone(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [], {}


def partner(draw: Draw, shape: Shape) -> Shape:
    """A shape that broadcasts with this one."""
    lengths = tuple(draw(st.sampled_from([length, 1])) for length in shape)
    dropped = draw(st.integers(0, len(shape)))
    added = (2,) if not dropped and len(shape) < 3 and draw(st.booleans()) else ()
    return added + lengths[dropped:]


def broadcast(count: int) -> Arrange:
    return lambda draw, shape: ([partner(draw, shape) for _ in range(count)], {})


def only_options(drawn: Callable[[Draw, Shape], Options], least: int = 0) -> Arrange:
    """Options alone, for arrays of at least so many axes."""
    return lambda draw, shape: None if len(shape) < least else ([], drawn(draw, shape))


def an_axis(draw: Draw, shape: Shape, extra: int = 0) -> int:
    return draw(st.integers(-len(shape) - extra, len(shape) + extra - 1))


def reduction(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(axes_of(len(shape))), "keepdims": draw(st.booleans())}


def deviation(draw: Draw, shape: Shape) -> Options:
    return {**reduction(draw, shape), "ddof": draw(st.sampled_from([0, 1]))}


def axis_or_none(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None}


def one_axis(draw: Draw, shape: Shape) -> Options:
    return {"axis": an_axis(draw, shape)}


def reshaped(draw: Draw, shape: Shape) -> Options:
    size = math.prod(shape)
    return {"shape": draw(st.sampled_from([(size,), (-1,), shape[::-1], (1, *shape), (*shape, 1)]))}


def transposed(draw: Draw, shape: Shape) -> Options:
    return {"axes": tuple(draw(st.permutations(range(len(shape)))))}


def two_axes(draw: Draw, shape: Shape) -> Options:
    return {"axis1": an_axis(draw, shape), "axis2": an_axis(draw, shape)}


def moves(draw: Draw, shape: Shape) -> Options:
    return {"source": an_axis(draw, shape), "destination": an_axis(draw, shape)}


def squeezed(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    ones = [n for n, length in enumerate(shape) if length == 1]
    return ([], {"axis": draw(st.sampled_from(ones))}) if ones else None


def broadcasts(draw: Draw, shape: Shape) -> Options:
    lengths = tuple(length if length > 1 else draw(st.sampled_from([1, 2])) for length in shape)
    return {"shape": (*draw(st.sampled_from([(), (2,), (1,)])), *lengths)}


def sums_to(draw: Draw, shape: Shape) -> Options:
    lengths = tuple(draw(st.sampled_from([length, 1])) for length in shape)
    return {"shape": lengths[draw(st.integers(0, len(shape))) :]}


def flips(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(axes_of(len(shape)))}


def rolls(draw: Draw, shape: Shape) -> Options:
    return {"shift": draw(st.integers(-4, 4)), **axis_or_none(draw, shape)}


def padding(draw: Draw, shape: Shape) -> Options:
    width = st.integers(0, 2)
    return {"pad_width": tuple((draw(width), draw(width)) for _ in shape)}


def tiles(draw: Draw, shape: Shape) -> Options:
    return {"reps": tuple(draw(st.integers(1, 2)) for _ in range(draw(st.integers(1, 3))))}


def repeats(draw: Draw, shape: Shape) -> Options:
    return {"repeats": draw(st.integers(1, 3)), **axis_or_none(draw, shape)}


def diagonals(draw: Draw, shape: Shape) -> Options:
    axis1, axis2 = draw(st.permutations(range(len(shape))))[:2]
    return {"offset": draw(st.integers(-1, 1)), "axis1": axis1, "axis2": axis2}


def band(draw: Draw, shape: Shape) -> Options:
    return {"k": draw(st.integers(-2, 2))}


def joined(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if not shape:
        return None
    axis = an_axis(draw, shape)
    place = axis % len(shape)
    others = [(*shape[:place], draw(st.integers(1, 3)), *shape[place + 1 :]) for _ in range(draw(st.integers(1, 2)))]
    return others, {"axis": axis}


def stacked(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [shape] * draw(st.integers(1, 2)), {"axis": an_axis(draw, shape, 1)}


def indices(draw: Draw, shape: Shape) -> Options:
    """Slices, and numbers or an array of integers, with elements taken twice: where both meet, libraries differ."""
    items: list[Any] = [slice(None)] * len(shape)
    place = draw(st.none() | st.integers(0, len(shape) - 1)) if shape else None
    for n, length in enumerate(shape):
        kind = "array" if n == place else draw(st.sampled_from(["all", "slice", *["number"] * (place is None)]))
        if kind == "array":
            items[n] = np.array(draw(st.lists(st.integers(-length, length - 1), min_size=1, max_size=3)))
        elif kind == "number":
            items[n] = draw(st.integers(-length, length - 1))
        elif kind == "slice":
            start = draw(st.integers(0, length - 1))
            items[n] = slice(start, draw(st.integers(start + 1, length)), draw(st.sampled_from([None, 2])))
    return {"index": tuple(items)}


def taken(draw: Draw, shape: Shape) -> Options:
    axis = an_axis(draw, shape)
    length = shape[axis]
    rows = draw(st.lists(st.integers(-length, length - 1), min_size=1, max_size=3))
    return {"indices": np.array(rows), "axis": axis}


LENGTH = st.integers(1, 3)


def products(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if not shape:
        return None
    inner, batch = shape[-1], shape[:-2]
    return [draw(st.sampled_from([(inner,), (inner, draw(LENGTH)), (*batch, inner, draw(LENGTH))]))], {}


def dots(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    return ([draw(st.sampled_from([shape[-1:], (shape[-1], draw(LENGTH))]))], {}) if shape else None


def inners(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    return ([draw(st.sampled_from([shape[-1:], (draw(LENGTH), shape[-1])]))], {}) if shape else None


def outers(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [(draw(LENGTH),)], {}


def tensordots(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    joined = draw(st.integers(0, min(len(shape), 2)))
    return [(*shape[len(shape) - joined :], draw(LENGTH))], {"axes": joined}


EINSUMS = {
    2: ("ij->ji", "ij->i", "ij->", "ij,jk->ik", "ij,ij->", "ij,kj->ki", "ij,j->i"),
    3: ("bij,bjk->bik", "bij->jb"),
}


def einsums(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if len(shape) not in EINSUMS:
        return None
    subscripts = draw(st.sampled_from(EINSUMS[len(shape)]))
    first, *others = subscripts.split("->")[0].split(",")
    lengths: dict[str, int] = dict(zip(first, shape))
    shapes = [tuple([lengths.setdefault(letter, draw(LENGTH)) for letter in other]) for other in others]
    return shapes, {"subscripts": subscripts}


def labelled(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if len(shape) != 2:
        return None
    labels = draw(st.lists(st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0]))
    return [], {"labels": np.array(labels)}


def layer(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if not shape:
        return None
    width = draw(LENGTH)
    return [(shape[-1], width), (width,)], {"activation": draw(st.sampled_from([None, th.tanh, th.sigmoid]))}


def windows(draw: Draw, shape: Shape) -> Options:
    return {
        "kernel": tuple(draw(st.integers(1, min(length, 2))) for length in shape[1:3]),
        "stride": draw(st.sampled_from([1, 2])),
    }


def images(drawn: Arrange) -> Arrange:
    return lambda draw, shape: drawn(draw, shape) if len(shape) == 4 else None


def convolution(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    sides = tuple(draw(st.integers(1, min(length, 3))) for length in shape[1:3])
    width = draw(LENGTH)
    options = {"stride": draw(st.sampled_from([1, 2])), "padding": draw(st.sampled_from([0, 1]))}
    return [(*sides, shape[3], width), (width,)], options


def normalized(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    return [shape[-1:], shape[-1:]], {}


def sequence(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if len(shape) != 3:
        return None
    width = draw(st.integers(1, 2))
    return [(shape[2], 4 * width), (width, 4 * width), (4 * width,)], {}
