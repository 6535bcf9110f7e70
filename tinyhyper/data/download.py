"""Downloads: whole and as published, or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..folders import make

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
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def fetch(addresses: Sequence[str], target: Path, check: Callable[[Path], None]) -> None:
    """Download the file from the first address that has it as it should be.

    It is written under another name beside the target, checked, and renamed: what bears the target's name is whole,
    whatever interrupts this process and whoever else downloads the same. Raises DataError, and leaves nothing behind,
    if no address has a file that is whole and that `check` lets pass without a DataError.
    """
    failures = []
    for address in addresses:
        try:
            with _temporary(target) as part:
                _download(address, part, target.name)
                check(part)
                os.replace(part, target)
            return
        except DataError as error:
            failures.append(f"{address}: {error}")
    raise DataError("; ".join(failures))


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A new empty file beside the target; removed at the end if it is still there."""
    part = target.with_name(f".{target.name}.{os.urandom(8).hex()}.part")
    try:
        make(target.parent)
        part.touch(exist_ok=False)
    except OSError as error:
        raise DataError(f"'{target.parent}' cannot be written: {error.strerror}") from error
    try:
        yield part
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _download(address: str, part: Path, name: str) -> None:
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
        raise DataError(f"it broke off after {got:,} of {int(size):,} bytes")


def _copy(answer: Any, part: Path, advance: Callable[[int], object]) -> int:
    got = 0
    with part.open("wb") as file:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
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
