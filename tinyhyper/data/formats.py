"""The formats in which data sets are published. A file that breaks its format is refused whole: DataError names it."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Bytes = npt.NDArray[np.uint8]

# Bytes of one image in CIFAR-10's binary files: its label, then its red, green and blue plane.
CIFAR_PLANES = (3, 32, 32)
CIFAR_RECORD = 1 + math.prod(CIFAR_PLANES)


def damaged(path: Path | str, what: str) -> DataError:
    """The error for a file that is not what it should be."""
    return DataError(f"'{path}' {what}; replace it by a whole copy")


def unreadable(path: Path | str, error: OSError) -> DataError:
    """The error for a file or a folder that the system does not let this process read."""
    return DataError(f"'{path}' cannot be read: {error.strerror}; change its permissions, or name another")


def there(path: Path) -> bool:
    """Whether there is such a file or folder. Raises DataError where the system does not let this process see."""
    try:
        path.stat()
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (OSError, ValueError):
        return False
    return True


def contents(path: Path) -> bytes:
    """What is in the file, unpacked if it is named .gz or .tgz: then its length and checksum (CRC-32) must be right."""
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return unpacked(path, packed) if path.suffix.lower() in (".gz", ".tgz") else packed


def unpacked(path: Path, packed: bytes) -> bytes:
    """What the bytes of a gzip file hold (RFC 1952)."""
    import gzip

    try:
        return gzip.decompress(packed)
    except EOFError:
        raise damaged(path, "is a gzip file whose end is missing") from None
    except (gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise damaged(path, f"is not a whole gzip file ({error})") from None


def idx(path: Path, shape: tuple[int, ...] = ()) -> Bytes:
    """The array of unsigned bytes in an IDX file, each of its items of this shape.

    Two zeros, 8 for bytes, the number of axes, the length of each (big-endian, 4 bytes), and then the values:
    Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits.
    """
    raw = contents(path)
    axes = 1 + len(shape)
    start = 4 + 4 * axes
    if len(raw) < start or raw[:4] != bytes((0, 0, 8, axes)):
        raise damaged(path, f"does not begin like an IDX file of bytes with {axes} axes")
    count, *found = (int(length) for length in np.frombuffer(raw, ">u4", axes, 4))
    if tuple(found) != shape:
        raise damaged(path, f"has items of shape {tuple(found)}, not {shape}")
    if len(raw) != start + count * math.prod(shape):
        raise damaged(path, f"has {len(raw):,} bytes, but {count:,} items take {start + count * math.prod(shape):,}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(count, *shape)


def archive(path: Path) -> dict[str, bytes | memoryview]:
    """The files in a tar archive by their names without folders, in small letters, read to the archive's end."""
    import io
    import tarfile

    raw = contents(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            members = [member for member in tar.getmembers() if member.isfile()]
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise damaged(path, f"is not a whole tar archive ({error})") from None
    # A header that cannot be read looks to tarfile like the end, which is marked by zeros.
    if len(raw) < end or any(raw[end:]):
        raise damaged(path, "is a tar archive whose end is missing")
    view = memoryview(raw)
    return {Path(m.name).name.lower(): view[m.offset_data : m.offset_data + m.size] for m in members}


def records(path: Path | str, raw: bytes | memoryview) -> tuple[Bytes, Bytes]:
    """Labels and images of a CIFAR-10 binary file: planes of shape (n, 3, 32, 32).

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    if not raw or len(raw) % CIFAR_RECORD:
        raise damaged(path, f"has {len(raw):,} bytes, which is not a multiple of a record's {CIFAR_RECORD:,}")
    rows = np.frombuffer(raw, np.uint8).reshape(-1, CIFAR_RECORD)
    return rows[:, 0], rows[:, 1:].reshape(-1, *CIFAR_PLANES)


def checked_labels(path: Path | str, labels: Bytes, classes: int) -> npt.NDArray[np.int64]:
    """The labels as int64, all below the number of classes."""
    if len(wrong := np.flatnonzero(labels >= classes)):
        raise damaged(path, f"labels image {wrong[0]} as {labels[wrong[0]]}; labels are 0 to {classes - 1}")
    return labels.astype(np.int64)
