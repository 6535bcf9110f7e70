"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from .folders import own

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be removed
    fcntl = None  # type: ignore[assignment]


def write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file under another name, then rename it, so that whoever stops this leaves no half of it; its path.

    Raises FileNotFoundError for a folder that is not there.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of the old one as the block ends, and is gone if it raises.

    What killed processes have left of it is removed. Raises FileNotFoundError for a folder that is not there.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {str(target.parent)!r}; make it first")
    _remove_abandoned(target)
    with _renamed(target) as file:
        yield file


def publish(path: Path, content: bytes) -> None:
    """Write a file that may be run, and its folder. Raises ArgumentError and OSError as `folders.own` does."""
    with _renamed(own(path.parent) / path.name) as file:
        file.write(content)


@contextmanager
def _renamed(target: Path) -> Iterator[BinaryIO]:
    """A new file under another name, which is renamed as the block ends, whole."""
    handle, temporary = _temporary(target)
    held = os.dup(handle) if fcntl is not None else None  # closing the file must not unlock it before it is renamed
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
        os.chmod(temporary, 0o644)  # mkstemp's own is for the user alone
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        if held is not None:
            os.close(held)


def _temporary(target: Path) -> tuple[int, str]:
    """A new file beside the target, open and locked, and its name."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=".tmp")
        try:
            _lock(handle)
            taken = not os.path.exists(name)
        except OSError as error:  # some file systems have no locks, and so nobody who takes a file for abandoned
            taken = isinstance(error, BlockingIOError)
        if not taken:
            return handle, name
        os.close(handle)  # another thread or process was quicker than the lock, and removes it


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of a file that no living process holds locked."""
    name = re.compile(re.escape(target.name) + r"\.\w{8}\.tmp")
    for path in [path for path in target.parent.iterdir() if name.fullmatch(path.name)]:
        with suppress(OSError), open(path, "rb") if fcntl is not None else nullcontext(0) as file:
            _lock(file)
            path.unlink()  # while it is locked, nobody can begin to use it


def _lock(file: BinaryIO | int) -> None:
    """Hold a file until it is closed, or the process ends. Raises BlockingIOError where another holds it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
