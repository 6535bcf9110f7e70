"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from .errors import ArgumentError
from .folders import own

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be removed
    fcntl = None  # type: ignore[assignment]

NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
WRITERS = 8  # who write to one file at a time, and whose temporary files are looked for


def write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file under another name, then rename it, so that whoever stops this leaves no half of it; its path.

    Raises OSError as `replacing` does.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(os.path.expanduser(path))


def write_as(suffix: str, path: str | os.PathLike[str], content: str) -> Path:
    """Write a file of a kind, as `write` does.

    suffix: of its kind, ".svg". Raises ArgumentError for a path with another one.
    """
    found = Path(path).suffix
    if found.lower() not in ("", suffix):
        raise ArgumentError(
            f"{os.fspath(path)!r}: a {found} file holds something else; give it a name that ends in {suffix}"
        )
    return write(path, content)


def publish(path: Path, content: bytes) -> None:
    """Write a file that may be run, and its folder; no one else may write to it, even if the umask lets them.

    Raises ArgumentError and OSError as `folders.own` does.
    """
    with _renamed(own(path.parent) / path.name, None, 0o644) as file:
        file.write(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of the old one as the block ends, and is gone if it raises.

    The mode of the old file is kept; without an old one it is what the umask leaves. Where the path is a symbolic
    link, the file that it leads to is replaced. A ~ is the user's home. What killed processes have left is removed.
    Raises FileNotFoundError for a folder that is not there, and OSError for a folder, a device, a pipe or where this
    process prints, and where the disk refuses. An OSError of the system names the path.
    """
    path = os.path.expanduser(path)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(target.parent)!r}; make it first")
    try:
        with _renamed(target, _mode(path)) as file:
            yield file
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error


def _mode(path: str | os.PathLike[str]) -> int | None:
    """The mode of the file there, None if there is none. Raises OSError for what no file can take the place of."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or any(os.path.samestat(found, stream) for stream in _streams()):
        raise OSError(errno.EINVAL, "It is a folder, a device or an open stream, which a file cannot replace")
    return stat.S_IMODE(found.st_mode)


def _streams() -> Iterator[os.stat_result]:
    """Where this process prints: /dev/stdout may lead to a regular file."""
    for handle in (1, 2):
        with suppress(OSError):
            yield os.fstat(handle)


@contextmanager
def _renamed(target: Path, mode: int | None, most: int = 0o666) -> Iterator[BinaryIO]:
    """A new file under another name, which is renamed as the block ends, whole and with its mode.

    Without a mode it has what the umask leaves of the most that it may have.
    """
    handle, temporary = _temporary(target, most if mode is None else 0o600)
    with ExitStack() as held:
        try:
            with open(temporary, "w+b", opener=lambda *_: handle) as file:
                if fcntl is not None:  # closing the file must not unlock it before it is renamed
                    held.callback(os.close, os.dup(handle))
                yield file
            if mode is not None:
                os.chmod(temporary, mode)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise


def _temporary(target: Path, mode: int) -> tuple[int, str]:
    """A new file beside the target, open and locked, and its name: the first that no living process writes to."""
    names = (f"{target}.{n}.tmp" for n in count())
    handle, name = next((handle, name) for name in names if (handle := _begun(name, mode)) is not None)
    for n in range(WRITERS):
        if (other := f"{target}.{n}.tmp") != name:
            _remove_abandoned(other)
    return handle, name


def _begun(name: str, mode: int) -> int | None:
    """A new file of this name, open and locked; None where another thread or process has it."""
    _remove_abandoned(name)
    try:
        handle = os.open(name, NEW, mode)
    except FileExistsError:
        return None
    try:
        _lock(handle)
        mine = _named(handle, name)
    except OSError as error:  # some file systems have no locks, and so nobody who takes a file for abandoned
        mine = not isinstance(error, BlockingIOError)
    if mine:
        return handle
    os.close(handle)  # another was quicker than the lock, and removes it
    return None


def _remove_abandoned(name: str) -> None:
    """Remove a temporary file, unless a living process holds it locked."""
    if not os.path.isfile(name):  # opening a pipe would wait for who writes to it
        return
    with suppress(OSError), ExitStack() as held:
        if fcntl is not None:  # while it is locked, nobody can begin to use it
            file = held.enter_context(open(name, "rb"))
            _lock(file.fileno())
            if not _named(file.fileno(), name):
                return
        os.unlink(name)


def _named(handle: int, name: str) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name))
    except FileNotFoundError:
        return False


def _lock(handle: int) -> None:
    """Hold a file until it is closed, or the process ends. Raises BlockingIOError where another holds it."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
