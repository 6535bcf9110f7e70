"""What goes with the first operand of a product, or of a layer; see arrangements.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinyhyper as th

from .arrangements import LENGTH, Arrange, Draw, Options, Shape, partner


def products(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if not shape:
        return None
    matrix = (*partner(draw, shape[:-2]), shape[-1], draw(LENGTH))
    return [draw(st.sampled_from([shape[-1:], matrix]))], {}


def dots(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    """dot joins the last axis of x with the last but one of y; a number multiplies."""
    shared, width = shape[-1:] or (draw(LENGTH),), draw(LENGTH)
    return [draw(st.sampled_from([(), shared, (*shared, width), (2, *shared, width)]))], {}


def inners(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    shared = shape[-1:] or (draw(LENGTH),)
    return [draw(st.sampled_from([(), shared, (draw(LENGTH), *shared), (2, draw(LENGTH), *shared)]))], {}


def outers(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    return [partner(draw, shape)], {}


def tensordots(draw: Draw, shape: Shape) -> tuple[list[Shape], Options]:
    """Joined axes in any place and order, or the last of x with the first of y."""
    count = draw(st.integers(0, min(len(shape), 2)))
    free = draw(st.lists(LENGTH, max_size=2))
    if draw(st.booleans()):
        return [(*shape[len(shape) - count :], *free)], {"axes": count}
    axes = draw(st.permutations(range(len(shape))))[:count]
    order = draw(st.permutations(range(count + len(free))))
    lengths = dict(zip(order, [*[shape[axis] for axis in axes], *free]))
    signed = [
        [axis - draw(st.sampled_from([0, ndim])) for axis in some]
        for some, ndim in ((axes, len(shape)), (order[:count], len(order)))
    ]
    return [tuple([lengths[place] for place in sorted(order)])], {"axes": tuple(signed)}


EINSUMS = (
    "ij->ij ij->ji ij->i ij-> ij ii ii->i iij->j i-> ij,jk->ik ij,jk ij,jk->ki ij,ij-> ij,ij->ij i,j->ij i,i "
    "bij,bjk->bik bij->jb ij,kj->ki ij,kj,k->i ij,jk,kl->il i,ij,j-> ii,i->i ij,->ij ...ij,...jk->...ik "
    "...i,...i->... i...,i...->... ij,j->i ab,cd->abcd ijk,jil->kl ij,kl-> b...,b->b..."
).split()


def _lengths(term: str, shape: Shape) -> dict[str, Any] | None:
    """The length of each letter, of "." the shape that the dots stand for; None where a shape does not fit."""
    first, dots, last = term.partition("...")
    between = len(shape) - len(first) - len(last)
    if between < 0 or between and not dots:
        return None
    end = len(first) + between
    found: dict[str, Any] = {".": shape[len(first) : end]}
    pairs = zip(first + last, shape[: len(first)] + shape[end:])
    return found if all(found.setdefault(letter, length) == length for letter, length in pairs) else None


def einsums(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    of_first = {text: _lengths(text.split("->")[0].split(",")[0], shape) for text in EINSUMS}
    if not (fitting := [text for text, lengths in of_first.items() if lengths is not None]):
        return None
    subscripts = draw(st.sampled_from(fitting))
    lengths: dict[str, Any] = of_first[subscripts] or {}
    shapes: list[Shape] = []
    for term in subscripts.split("->")[0].split(",")[1:]:
        sides: Shape = ()
        for letter in term.replace("...", "."):
            if letter not in lengths:
                lengths[letter] = draw(LENGTH)
            sides += lengths["."] if letter == "." else (lengths[letter],)
        shapes.append(sides)
    return shapes, {"subscripts": subscripts}


def labelled(draw: Draw, shape: Shape) -> tuple[list[Shape], Options] | None:
    if len(shape) != 2 or 0 in shape:
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
