"""Sets of labelled images."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GREYS = 16
TEST_IMAGES = 360


class Split(NamedTuple):
    """Images and labels to train on, and others to test with.

    Images are float32 in [0, 1], one flattened image a row; labels are integers, one a row.
    """

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


def digits(seed: int = 0) -> Split:
    """1,797 handwritten digits of 8x8 pixels, 1,437 to train on and 360 to test with, split at random by `seed`.

    Each image is a row of 64 float32 values in [0, 1], each label one of 0 to 9. The same seed always gives the same
    split, in fresh arrays.

    The data is the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. The 8x8 images and their
    labels are unchanged, in NumPy's format.
    """
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        images = arrays["images"].reshape(-1, 64).astype(np.float32) / GREYS
        labels = arrays["labels"].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return Split(images[train], labels[train], images[test], labels[test])
