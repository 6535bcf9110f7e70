"""The file of a checkpoint: an npz that shows whether it is whole.

First in it stands `tinyhyper.json`, which says what each of the arrays behind it is. The last thing in it, the comment
with which any zip file may end, is the SHA-256 of all before. `numpy.load` reads it as it reads every npz; nothing in
it is a pickle, so reading one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from .. import files
from ..errors import CheckpointError, CheckpointMissingError
from . import tree

FORMAT, VERSION = "tinyhyper checkpoint", 2
READS = (1, VERSION)  # of version 1, all but towers
ENTRY = "tinyhyper.json"
NAME_AT = 30  # where a zip file has the name of its first entry
SEAL = b"sha256 "
DIGITS = 2 * hashlib.sha256().digest_size
CHUNK = 1 << 16  # small enough for memory and cache that are used again
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def write(path: str | os.PathLike[str], content: dict[str, Any]) -> Path:
    """Put nested data into a file, which appears whole or not at all and is on the disk when this returns; its path.

    Raises DtypeError for what no file can hold, CheckpointError where none can be written; nothing has changed then.
    """
    arrays: tree.Arrays = {}
    head = {"format": FORMAT, "version": VERSION, "content": tree.encode(content, arrays)}
    text = json.dumps(head, allow_nan=False, ensure_ascii=False)
    try:
        with files.replacing(path) as file:
            pack(file, text, [array for *_, array in arrays.values()])
            file.flush()
            os.fsync(file.fileno())
    except (OSError, ValueError) as error:
        raise _failed(path, "cannot be written", error) from error
    return Path(path)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What was put into a file.

    Raises CheckpointError for a file that cannot be read, is not one of these, or is not as it was written;
    CheckpointMissingError where there is none.
    """
    try:
        place = os.path.expanduser(path)
        if os.path.exists(place) and not os.path.isfile(place):  # opening a pipe would wait for who writes to it
            raise CheckpointError(f"{path}: the checkpoint cannot be read: it is a folder or a device, not a file")
        with open(place, "rb") as file:
            _check(path, file)
            with ZipFile(file) as found:
                return _unpack(path, found, file.seek(0, os.SEEK_END))
    except CheckpointError:
        raise
    except OSError as error:
        raise _failed(path, "cannot be read", error) from error
    except Exception as error:  # its seal is right, so something else has written it
        raise foreign(path, error) from error


def foreign(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    """For a file that is whole, but does not hold what `write` puts there."""
    return CheckpointError(f"{path}: this is not a checkpoint that save() wrote ({error!r})")


def _failed(path: str | os.PathLike[str], what: str, error: Exception) -> CheckpointError:
    kind = CheckpointMissingError if isinstance(error, FileNotFoundError) else CheckpointError
    return kind(f"{path}: the checkpoint {what}: {getattr(error, 'strerror', None) or error}")


def pack(file: BinaryIO, text: str, arrays: Sequence[np.ndarray]) -> None:
    """Write the text and the arrays to an empty file, and seal it."""
    with ZipFile(file, "w") as archive:
        archive.comment = SEAL + b"0" * DIGITS
        with archive.open(ENTRY, "w") as entry:
            entry.write(text.encode("utf-8", "surrogatepass"))
        for n, array in enumerate(arrays):
            with archive.open(f"{n}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    before = file.seek(0, os.SEEK_END) - DIGITS
    digest = _digest(file, before)
    file.seek(before)
    file.write(digest)


def _digest(file: BinaryIO, size: int) -> bytes:
    """The SHA-256 of so many bytes from the beginning on, in hexadecimal digits."""
    found = hashlib.sha256()
    file.seek(0)
    while size and (part := file.read(min(size, CHUNK))):
        found.update(part)
        size -= len(part)
    return found.hexdigest().encode()


def _check(path: str | os.PathLike[str], file: BinaryIO) -> None:
    """Raise CheckpointError unless the file is one of these, from its first byte to its last."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(2) != b"PK":
        raise CheckpointError(f"{path}: this is not a checkpoint: it does not begin like an npz file")
    file.seek(NAME_AT)
    if file.read(len(ENTRY)) != ENTRY.encode():
        raise CheckpointError(f"{path}: this is not a checkpoint: its first entry is not {ENTRY}")
    file.seek(max(size - len(SEAL) - DIGITS, 0))
    end = file.read()
    if not end.startswith(SEAL):
        raise CheckpointError(f"{path}: the checkpoint is damaged: its end is missing, or more bytes follow it")
    if _digest(file, size - DIGITS) != end[len(SEAL) :]:
        raise CheckpointError(f"{path}: the checkpoint is damaged: its SHA-256 is not the one that it was written with")


def _unpack(path: str | os.PathLike[str], found: ZipFile, size: int) -> dict[str, Any]:
    entries = found.infolist()
    if [entry.filename for entry in entries] != [ENTRY, *[f"{n}.npy" for n in range(len(entries) - 1)]]:
        raise CheckpointError(f"{path}: this is not a checkpoint: its entries are not {ENTRY}, 0.npy, 1.npy and so on")
    if any(entry.compress_type != ZIP_STORED or entry.flag_bits for entry in entries):
        raise CheckpointError(
            f"{path}: this is not a checkpoint: an entry is compressed or encrypted, which save() never does"
        )
    if sum(max(entry.file_size, entry.compress_size) for entry in entries) > size:
        raise CheckpointError(f"{path}: this is not a checkpoint: its entries would be larger than the file")
    head = json.loads(found.read(ENTRY))
    if head["format"] != FORMAT or head["version"] not in READS:
        raise CheckpointError(
            f"{path}: this is a {head['format']} of version {head['version']}; this tinyhyper reads version {VERSION} "
            f"of a {FORMAT}"
        )
    made: dict[tuple[int, bool], Any] = {}  # a file may name one array a million times

    def fetch(number: int, strides: tuple[int, ...] | None) -> Any:
        place = number, strides is None
        if place not in made:
            values = _array(found, f"{number}.npy")
            made[place] = values.tobytes() if strides is None else tree.laid_out(values, strides)
        return made[place]

    content: dict[str, Any] = tree.decode(head["content"], fetch)
    return content


def _array(found: ZipFile, name: str) -> np.ndarray:
    """The array of an entry. Raises ValueError, before there is one, where its header does not fit its size."""
    with found.open(name) as entry:
        shape, fortran, dtype = HEADERS[np.lib.format.read_magic(entry)](entry)
        size = found.getinfo(name).file_size - entry.tell()
        if dtype.hasobject or not dtype.itemsize or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"the header of {name} says {dtype} of shape {shape}, which does not fit its {size} bytes")
        array: np.ndarray = np.empty(shape, dtype, "F" if fortran else "C")
        room = array.reshape(-1, order="A").view(np.uint8)
        for start in range(0, size, CHUNK):
            room[start : start + CHUNK] = np.frombuffer(entry.read(CHUNK), np.uint8)
    return array
