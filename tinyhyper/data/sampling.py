"""Minibatches."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, ShapeError


def batches(
    images: npt.ArrayLike, labels: npt.ArrayLike, size: int, seed: int | np.random.Generator | None = None
) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
    """One epoch: every row of `images` and its label once, in random order, `size` rows at a time.

    The last batch holds what is left over. A whole number as `seed` gives the same order at every call; a Generator
    moves on, so that each epoch has another order, and so does None, from the system's randomness.
    Raises ShapeError if there are not as many labels as images, ArgumentError if `size` is below 1.
    """
    images, labels, size = np.asarray(images), np.asarray(labels), operator.index(size)
    if size < 1:
        raise ArgumentError(f"batches: size must be at least 1, not {size}")
    if len(images) != len(labels):
        raise ShapeError(f"batches: {len(images)} images but {len(labels)} labels; each image needs one label")
    order = np.random.default_rng(seed).permutation(len(labels))
    # The checks above answer at the call, not at the first batch: only this part is a generator.
    return ((images[rows], labels[rows]) for rows in (order[i : i + size] for i in range(0, len(order), size)))
