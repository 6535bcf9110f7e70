"""Downloads: whole and as published, or not at all."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError
from ..files import replacing
from ..folders import make
from .formats import unreadable

# Seconds in which the server must answer, and then go on sending.
TIMEOUT = 30.0
CHUNK = 1 << 18


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits. Raises DataError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def fetch(addresses: Sequence[str], target: Path, check: Callable[[Path], None]) -> None:
    """Download the file from the first address that has it as it should be.

    It is written under another name beside the target, checked, and renamed: what bears the target's name is whole,
    whatever interrupts this process and whoever else downloads the same. What a killed process has left goes with the
    next download. Raises DataError, and leaves nothing behind, if no address has a file that is whole and that `check`
    lets pass without a DataError.
    """
    failures = []
    for address in addresses:
        try:
            make(target.parent)
            with replacing(target) as part:
                _download(address, part, target.name)
                part.flush()
                check(Path(part.name))
            return
        except DataError as error:
            failures.append(f"{address}: {error}")
        except OSError as error:
            raise DataError(f"'{target.parent}' cannot be written: {error.strerror}; choose another folder") from error
    raise DataError("; ".join(failures))


def _download(address: str, part: BinaryIO, name: str) -> None:
    """Write all that the address sends into the file. Raises DataError."""
    from http.client import HTTPException
    from urllib.request import urlopen  # brings ssl, which takes as long to import as all of tinyhyper

    try:
        with urlopen(address, timeout=TIMEOUT) as answer:
            size = answer.headers.get("Content-Length")
            with _progress(name, address, size and int(size)) as advance:
                got = _copy(answer, part, advance)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(str(getattr(error, "reason", "") or error or type(error).__name__)) from error
    if size and got != int(size):
        raise DataError(f"the download broke off after {got:,} of {int(size):,} bytes")


def _copy(answer: Any, part: BinaryIO, advance: Callable[[int], object]) -> int:
    got = 0
    while chunk := answer.read(CHUNK):
        part.write(chunk)
        got += len(chunk)
        advance(len(chunk))
    return got


@contextmanager
def _progress(name: str, address: str, size: int | None) -> Iterator[Callable[[int], object]]:
    """What to call with each number of bytes: it moves a bar where tqdm is installed, else one line stands alone."""
    try:
        from tqdm import tqdm
    except ImportError:
        print(f"downloading {name} from {address}", file=sys.stderr)
        yield lambda count: None
        return
    with tqdm(desc=name, total=size, unit="B", unit_scale=True) as bar:
        yield bar.update
