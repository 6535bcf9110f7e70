"""What goes with the first operand of an operation: shapes of further operands, and options.

Each function draws them for a given shape, which may have no elements; None where the operation does not take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .strategies import axes_of

Shape: TypeAlias = "tuple[int, ...]"
Draw: TypeAlias = Callable[[Any], Any]
Options: TypeAlias = "dict[str, Any]"
Arrange: TypeAlias = "Callable[[Draw, Shape], tuple[list[Shape], Options] | None]"


def single(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [], {}


LENGTH = st.integers(1, 3)


def partner(draw: Draw, shape: Shape) -> Shape:
    """A shape that broadcasts with this one; either may be repeated along an axis."""
    lengths = tuple([draw(st.sampled_from([length, 1]) if length != 1 else LENGTH) for length in shape])
    dropped = draw(st.integers(0, len(shape)))
    added = (2,) if not dropped and len(shape) < 3 and draw(st.booleans()) else ()
    return added + lengths[dropped:]


def broadcast(count: int) -> Arrange:
    """So many operands that broadcast with the first, and with each other."""

    def arrange(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
        shapes = [shape]
        for _ in range(count):
            shapes.append(partner(draw, np.broadcast_shapes(*shapes)))
        return shapes[1:], {}

    return arrange


def only_options(drawn: Callable[[Draw, Shape], Options], least: int = 0) -> Arrange:
    """Options alone, for arrays of at least so many axes."""
    return lambda draw, shape: None if len(shape) < least else ([], drawn(draw, shape))


def an_axis(draw: Draw, shape: Shape, extra: int = 0) -> int:
    return draw(st.integers(-len(shape) - extra, len(shape) + extra - 1))


def clipped(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    low, high = draw(st.sampled_from([(None, 1.0), (-1.0, None), (-0.7, 0.8)]))
    return [], {"min": low, "max": high}


def reduction(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(axes_of(len(shape))), "keepdims": draw(st.booleans())}


def deviation(draw: Draw, shape: Shape) -> Options:
    return {**reduction(draw, shape), "ddof": draw(st.sampled_from([0, 0.5, 1]))}


def axis_or_none(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(st.none() | st.integers(-len(shape), len(shape) - 1)) if shape else None}


def one_axis(draw: Draw, shape: Shape) -> Options:
    return {"axis": an_axis(draw, shape)}


def reshaped(draw: Draw, shape: Shape) -> Options:
    size = math.prod(shape)
    return {"shape": draw(st.sampled_from([-1, (size,), (-1,), shape[::-1], (1, *shape), (*shape, 1), (1, size, 1)]))}


def transposed(draw: Draw, shape: Shape) -> Options:
    order = [n - draw(st.sampled_from([0, len(shape)])) for n in draw(st.permutations(range(len(shape))))]
    return {"axes": draw(st.sampled_from([None, tuple(order)]))}


def inserted(draw: Draw, shape: Shape) -> Options:
    count = draw(st.integers(0, 2))
    several = hnp.valid_tuple_axes(len(shape) + count, min_size=count, max_size=count)
    return {"axis": draw(several | st.integers(-len(shape) - 1, len(shape)))}


def two_axes(draw: Draw, shape: Shape) -> Options:
    return {"axis1": an_axis(draw, shape), "axis2": an_axis(draw, shape)}


def moves(draw: Draw, shape: Shape) -> Options:
    if draw(st.booleans()):
        return {"source": an_axis(draw, shape), "destination": an_axis(draw, shape)}
    count = draw(st.integers(0, len(shape)))
    source, destination = (tuple(draw(st.permutations(range(len(shape))))[:count]) for _ in range(2))
    return {"source": source, "destination": destination}


def squeezed(draw: Draw, shape: Shape) -> Options:
    ones = [n for n, length in enumerate(shape) if length == 1]
    return {"axis": draw(st.sampled_from([None, tuple(ones), *ones, *[n - len(shape) for n in ones]]))}


def broadcasts(draw: Draw, shape: Shape) -> Options:
    lengths = tuple(length if length != 1 else draw(st.integers(0, 2)) for length in shape)
    return {"shape": (*draw(st.sampled_from([(), (2,), (1,)])), *lengths)}


def sums_to(draw: Draw, shape: Shape) -> Options:
    lengths = tuple(draw(st.sampled_from([length, 1])) for length in shape)
    return {"shape": lengths[draw(st.integers(0, len(shape))) :]}


def flips(draw: Draw, shape: Shape) -> Options:
    return {"axis": draw(axes_of(len(shape)))}


def rolls(draw: Draw, shape: Shape) -> Options:
    shift = st.integers(-4, 4)
    if len(shape) > 1 and draw(st.booleans()):
        return {"shift": (draw(shift), draw(shift)), "axis": (0, -1)}
    return {"shift": draw(shift), **axis_or_none(draw, shape)}


def padding(draw: Draw, shape: Shape) -> Options:
    pair = st.tuples(width := st.integers(0, 3), width)
    options: Options = {"pad_width": draw(st.one_of(width, pair, *[st.tuples(*[pair] * len(shape))] * bool(shape)))}
    if draw(st.booleans()):
        return {**options, "constant_values": draw(st.sampled_from([0, 1.5]))}
    modes = ["constant"] if 0 in shape else ["constant", "edge", "reflect", "symmetric", "wrap"]
    return {**options, "mode": draw(st.sampled_from(modes))}


def tiles(draw: Draw, shape: Shape) -> Options:
    return {"reps": draw(st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=4))}


def repeats(draw: Draw, shape: Shape) -> Options:
    options = axis_or_none(draw, shape)
    length = math.prod(shape) if options["axis"] is None else shape[options["axis"]]
    counts = st.lists(st.integers(0, 2), min_size=length, max_size=length)
    return {"repeats": draw(st.integers(0, 3) | counts), **options}


def cuts(draw: Draw, shape: Shape) -> Options:
    """How to split, and which piece to take."""
    axis = an_axis(draw, shape)
    whole = [n for n in (1, 2, 3) if shape[axis] % n == 0]
    sections = draw(st.sampled_from(whole) | st.lists(st.integers(0, 4), max_size=3).map(sorted))
    count = sections if isinstance(sections, int) else len(sections) + 1
    return {"indices_or_sections": sections, "axis": axis, "piece": draw(st.integers(0, count - 1))}


def diagonals(draw: Draw, shape: Shape) -> Options:
    first, second = draw(st.permutations(range(len(shape))))[:2]
    second -= draw(st.sampled_from([0, len(shape)]))
    return {"offset": draw(st.integers(-3, 3)), "axis1": first, "axis2": second}


def band(draw: Draw, shape: Shape) -> Options:
    return {"k": draw(st.integers(-3, 3))}


def joined(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    """Arrays that differ along one axis alone, or, to be flattened, in any way."""
    count = draw(st.integers(0, 2))
    if not shape or draw(st.booleans()):
        return [partner(draw, shape) for _ in range(count)], {"axis": None}
    axis, length = an_axis(draw, shape), st.integers(int(0 not in shape), 3)
    place = axis % len(shape)
    return [(*shape[:place], draw(length), *shape[place + 1 :]) for _ in range(count)], {"axis": axis}


def stacked(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [shape] * draw(st.integers(0, 2)), {"axis": an_axis(draw, shape, 1)}


# ---- Indices: elements may be taken twice.


def basic(shape: Shape) -> st.SearchStrategy[Any]:
    return hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)


def integers(shape: Shape) -> st.SearchStrategy[Any]:
    result = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    return hnp.integer_array_indices(shape, result_shape=result)


@st.composite
def mixed(draw: Draw, shape: Shape) -> Any:
    """Slices, numbers and integer arrays, also with a slice between two arrays."""
    items: list[Any] = []
    for length in shape[: draw(st.integers(1, len(shape)))]:
        places = st.integers(-length, length - 1)
        rows = hnp.arrays(np.intp, draw(st.sampled_from([(), (2,), (1, 2)])), elements=places)
        items.append(draw(st.sampled_from([slice(None), slice(0, 1), slice(None, None, -1), length - 1]) | rows))
    return tuple(items)


def masks(shape: Shape) -> st.SearchStrategy[Any]:
    last = hnp.arrays(bool, shape[-1:]).map(lambda mask: (..., mask))
    return hnp.arrays(bool, shape) | hnp.arrays(bool, shape[:1]) | last


INDICES = {"basic": basic, "integers": integers, "mixed": mixed, "masks": masks}


def indices(draw: Draw, shape: Shape) -> Options:
    kinds = [basic] if not shape or 0 in shape else [*INDICES.values()]
    return {"index": draw(draw(st.sampled_from(kinds))(shape))}


def taken(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if not shape or 0 in shape:
        return None
    options = axis_or_none(draw, shape)
    length = math.prod(shape) if options["axis"] is None else shape[options["axis"]]
    places, chosen = st.integers(-length, length - 1), draw(st.sampled_from([(), (0,), (3,), (2, 2)]))
    return [], {"indices": draw(hnp.arrays(np.intp, chosen, elements=places)), **options}
