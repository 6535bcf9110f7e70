"""Minibatches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..arguments import array, generator, integer
from ..errors import ArgumentError, ShapeError


def batches(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    size: int,
    seed: int | np.random.Generator | None = None,
    drop_last: bool = False,
) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
    """One epoch: every row of `images` and its label once, in random order, `size` rows at a time.

    images, labels: arrays of any shape and dtype, with as many rows, one an example. The batches have their dtypes.
    size: an integer >= 1. The last batch holds what is left over; with drop_last, that is left out.
    seed: an integer >= 0, which gives the same order at every call; a Generator, which moves on, so that each epoch has
    another order; or None, for the system's randomness.
    Raises ShapeError if there are not as many labels as images, ArgumentError if `size` is below 1 and for rows of
    several lengths, DtypeError for a size or a seed of the wrong type.
    """
    images, labels = array("batches: images", images), array("batches: labels", labels)
    size = integer("batches: size", size)
    if size < 1:
        raise ArgumentError(f"batches: size must be at least 1, not {size}")
    if not images.ndim or not labels.ndim:
        raise ShapeError(
            f"batches: images and labels must have a row for each example; their shapes are {images.shape} and "
            f"{labels.shape}"
        )
    if len(images) != len(labels):
        raise ShapeError(f"batches: {len(images)} images but {len(labels)} labels; each image needs one label")
    order = generator("batches: seed", seed).permutation(len(labels))
    # The checks above answer at the call, not at the first batch: only this part is a generator.
    end = len(order) // size * size if drop_last else len(order)
    return ((images[rows], labels[rows]) for rows in (order[i : i + size] for i in range(0, end, size)))


def crop_and_flip(images: npt.NDArray, seed: int | np.random.Generator | None = None, padding: int = 4) -> npt.NDArray:
    """Each image shifted at random within a border of zeros, and mirrored in half of the cases.

    Of each image (height, width, channels), `padding` pixels wider on every side, a random window of the image's own
    size is taken, as K. He, X. Zhang, S. Ren and J. Sun do for CIFAR-10 (Deep Residual Learning, 2016, section 4.2).
    images: (n, height, width, channels); the result has the same shape and dtype and shares no memory with them.
    seed: as of data.batches.  padding: an integer >= 0.
    Raises ShapeError for another shape, ArgumentError if `padding` is negative and for rows of several lengths,
    DtypeError for a padding or a seed of the wrong type.
    """
    if (images := array("crop_and_flip: images", images)).ndim != 4:
        raise ShapeError(f"crop_and_flip: images must have shape (n, height, width, channels), not {images.shape}")
    if (padding := integer("crop_and_flip: padding", padding)) < 0:
        raise ArgumentError(f"crop_and_flip: padding must be at least 0, not {padding}")
    rng = generator("crop_and_flip: seed", seed)
    count, height, width, channels = images.shape
    top, left = rng.integers(0, 2 * padding + 1, (2, count))
    mirrored = rng.random(count) < 0.5
    padded = np.zeros((count, height + 2 * padding, width + 2 * padding, channels), images.dtype)
    padded[:, padding : padding + height, padding : padding + width] = images
    padded[mirrored] = padded[mirrored][:, :, ::-1]
    # A window's rows are contiguous: the last two axes as one make each a single copy.
    rows = padded.reshape(count, height + 2 * padding, (width + 2 * padding) * channels)
    windows = np.lib.stride_tricks.sliding_window_view(rows, (height, width * channels), axis=(1, 2))
    return windows[np.arange(count), top, left * channels].reshape(images.shape)


def sequences(ids: npt.ArrayLike, size: int, length: int) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
    """One epoch over a text: (inputs, targets) of shape (size, length), the targets one character further on.

    ids: integers along one axis, as in Text.  size: how many rows are read at once.  length: of a batch. Both are
    integers >= 1; the pairs have the dtype of the ids.
    The text is cut into `size` equally long rows, which are read side by side: row b of a batch continues row b of the
    one before, so that a recurrent network can carry its state. The last batch is shorter where `length` does not
    divide the rows; what is left over from cutting rows, below `size` characters, is left out.
    Raises ArgumentError if `size` or `length` is below 1 and for rows of several lengths, ShapeError if the ids have
    another shape or are too few for one column, DtypeError for a size or length of the wrong type.
    """
    size, length = integer("sequences: size", size), integer("sequences: length", length)
    ids = array("sequences: ids", ids)
    if size < 1 or length < 1:
        raise ArgumentError(f"sequences: size and length must be at least 1, not {size} and {length}")
    if ids.ndim != 1 or len(ids) <= size:
        raise ShapeError(
            f"sequences: ids must lie along one axis, at least {size + 1} for {size} rows; their shape is {ids.shape}"
        )
    columns = (len(ids) - 1) // size
    inputs, targets = (ids[start : start + size * columns].reshape(size, columns) for start in (0, 1))
    return ((inputs[:, i : i + length].copy(), targets[:, i : i + length].copy()) for i in range(0, columns, length))
