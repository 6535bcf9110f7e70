"""Sets of labelled images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments import array, generator
from ..errors import DataError, DtypeError, ShapeError
from . import formats, pickled, store

GREYS = 16
TEST_IMAGES = 360
CLASSES = 10
LEVELS = np.float32(255)

# Y. LeCun, C. Cortes and C. Burges, The MNIST database; the sums are those of TensorFlow Datasets' url_checksums.
MNIST_SHAPE = (28, 28)
MNIST = [
    store.Source(
        f"mnist/{name}.gz",
        tuple(
            f"https://{mirror}/mnist/{name}.gz"
            for mirror in ("ossci-datasets.s3.amazonaws.com", "storage.googleapis.com/cvdf-datasets")
        ),
        sha256,
        tuple(
            f"{folder}{place}{packing}"
            for folder in ("mnist/", "", "mnist/raw/", "raw/")
            for form in (name, name.replace("-idx", ".idx"))
            for place in (form, f"{form}/{form}")
            for packing in (".gz", "")
        ),
    )
    for name, sha256 in (
        ("train-images-idx3-ubyte", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
]

# A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009); the sum is TensorFlow Datasets' too.
CIFAR_BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)]
CIFAR_TEST = "test_batch.bin"
PACKINGS = (".tar.gz", ".tgz", ".tar")
CIFAR = [
    store.Source(
        "cifar-10/cifar-10-binary.tar.gz",
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        ),
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        tuple(
            f"{folder}{form}"
            for folder in ("cifar-10/", "", "cifar10/", "cifar/", "cifar-10-binary/", "cifar-10-python/")
            for form in (
                *(f"cifar-10-{kind}{packing}" for kind in ("binary", "batches-bin") for packing in PACKINGS),
                *("cifar-10-batches-bin/data_batch_1.bin", "data_batch_1.bin"),
                *(f"cifar-10-{kind}{packing}" for kind in ("python", "batches-py") for packing in PACKINGS),
                *("cifar-10-batches-py/data_batch_1", "data_batch_1"),
            )
        ),
    )
]


class Split(NamedTuple):
    """Images and labels to train on, and others to test with.

    train_images, test_images: float32 in [0, 1], (n, pixels) where they are grey, (n, height, width, 3) where they have
    colours.
    train_labels, test_labels: int64, (n,).
    """

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


def digits(seed: int = 0) -> Split:
    """1,797 handwritten digits of 8x8 pixels, 1,437 to train on and 360 to test with, split at random.

    seed: an integer >= 0 or a generator of NumPy.
    Each image is a row of 64 float32 values in [0, 1], each label one of 0 to 9. The same seed always gives the same
    split, in fresh arrays.

    The data is the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. The 8x8 images and their
    labels are unchanged, in NumPy's format.
    Raises ArgumentError for a negative seed, DtypeError for anything else.
    """
    with resources.files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        images = arrays["images"].reshape(-1, 64).astype(np.float32) / GREYS
        labels = arrays["labels"].astype(np.int64)
    order = generator("digits: seed", seed).permutation(len(labels))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return Split(images[train], labels[train], images[test], labels[test])


def mnist(folder: str | os.PathLike[str] | None = None) -> Split:
    """70,000 handwritten digits of 28x28 pixels: 60,000 to train on and 10,000 to test with, in the published order.

    Each image is a row of 784 float32 values in [0, 1], each label one of 0 to 9. The files come from `folder`, else
    from where TINYHYPER_DATA says, else from the cache, into which they are downloaded once (11 MB).
    folder: a str or a Path.
    Raises DataError if a file is missing and cannot be downloaded, or is damaged, DtypeError if `folder` is no path.
    """
    paths = store.find("mnist", MNIST, folder)
    return Split(*_grey(*paths[:2]), *_grey(*paths[2:]))


def _grey(images: Path, labels: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    pixels, classes = formats.idx(images, MNIST_SHAPE), formats.idx(labels)
    if len(pixels) != len(classes):
        raise DataError(
            f"'{images}' has {len(pixels):,} images, but '{labels}' has {len(classes):,} labels; replace the wrong one"
        )
    return pixels.reshape(-1, math.prod(MNIST_SHAPE)) / LEVELS, formats.checked_labels(labels, classes, CLASSES)


def cifar10(folder: str | os.PathLike[str] | None = None) -> Split:
    """60,000 photographs of 32x32 pixels in ten classes: 50,000 to train on and 10,000 to test with, as published.

    Images are float32 in [0, 1] of shape (n, 32, 32, 3), the last axis red, green and blue; labels are 0 to 9. The
    archive comes from `folder`, else from where TINYHYPER_DATA says, else from the cache, into which it is downloaded
    once (170 MB). A folder of yours may hold the archive for Python instead, and fewer batches or images.
    folder: a str or a Path.
    Raises DataError if the archive is missing and cannot be downloaded, or is damaged, DtypeError if `folder` is no
    path.
    """
    (path,) = store.find("cifar10", CIFAR, folder)
    packed = path.name.lower().endswith(PACKINGS)
    where, files = (path, formats.archive(path)) if packed else (path.parent, _unpacked(path))
    binary = any(name.endswith(".bin") for name in files)
    batches, test = (
        [name if binary else name.removesuffix(".bin") for name in names] for names in (CIFAR_BATCHES, [CIFAR_TEST])
    )
    train = [name for name in batches if name in files]
    if missing := {*test, *batches[: max(len(train), 1)]} - set(files):
        raise formats.damaged(where, f"lacks {min(missing)}; it has {store.listed(files)}")
    read = formats.records if binary else pickled.records
    shown, held_out = ({where / name: files[name] for name in names} for names in (train, test))
    return Split(*_colours(shown, read), *_colours(held_out, read))


def _unpacked(first: Path) -> dict[str, bytes | memoryview]:
    """The batches that lie beside the first, and end as it does, by their names in small letters."""
    beside = [path for path in first.parent.iterdir() if path.suffix.lower() == first.suffix.lower()]
    return {path.name.lower(): formats.contents(path) for path in beside if "_batch" in path.name.lower()}


def _colours(
    files: dict[Path, bytes | memoryview],
    read: Callable[[Path, bytes | memoryview], tuple[formats.Bytes, formats.Bytes]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """All the images of these files, channels last, and their labels."""
    parts = [read(path, raw) for path, raw in files.items()]
    images = np.empty((sum(len(labels) for labels, _ in parts), 32, 32, 3), np.float32)
    start = 0
    for labels, planes in parts:
        np.divide(planes.transpose(0, 2, 3, 1), LEVELS, out=images[start : start + len(labels)])
        start += len(labels)
    found = [formats.checked_labels(path, labels, CLASSES) for path, (labels, _) in zip(files, parts)]
    return images, np.concatenate(found)


def channel_statistics(images: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation of each channel over all images and pixels: two float32 arrays, (channels,).

    images: (n, height, width, channels), of any dtype.
    Raises ShapeError for another shape and where there are none, ArgumentError for rows of several lengths.
    """
    if (images := array("channel_statistics: images", images)).ndim != 4 or not images.size:
        raise ShapeError(f"channel_statistics: images must have shape (n, height, width, channels), not {images.shape}")
    rows, channels = images.reshape(len(images), -1), images.shape[-1]
    # Sums down the images first: along contiguous rows, and in float64 without a copy.
    mean = rows.mean(axis=0, dtype=np.float64).reshape(-1, channels).mean(axis=0)
    square = (np.einsum("ni,ni->i", rows, rows, dtype=np.float64) / len(rows)).reshape(-1, channels).mean(axis=0)
    return mean.astype(np.float32), np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)


def standardize(data: Split) -> Split:
    """The same data with mean 0 and standard deviation 1 in each channel, both taken from the training images.

    data: a Split of images (n, height, width, channels), whose shapes and float32 the result has.
    A channel in which all training images are alike is only shifted. Raises ShapeError as `channel_statistics` does,
    DtypeError for anything but a Split.
    """
    if not isinstance(data, Split):
        raise DtypeError(f"standardize: data must be a Split of images and labels, not a {type(data).__name__}")
    mean, deviation = channel_statistics(data.train_images)
    scale = 1 / np.where(deviation > 0, deviation, np.float32(1))

    def scaled(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        result = images - mean
        result *= scale
        return result

    return data._replace(train_images=scaled(data.train_images), test_images=scaled(data.test_images))
