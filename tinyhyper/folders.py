"""Where the folders are that a user or the environment names, and whether code may be run that lies in one.

Code is run only from where its user or the system's administrator alone can have put it: each folder on the path and
each file belongs to one of the two, and no one else may write to it. (A list of access rights that lets another write
shows in the bits for the group.) Windows has neither owners nor bits that say so, and there a folder is taken as it is.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from .errors import ArgumentError, DtypeError

LINKS = 40  # as many as Linux follows
ADVICE = "name a folder of your own in TINYHYPER_CACHE"

_folder: Path | None = None


def named(path: str | os.PathLike[str], by: str) -> Path:
    """The absolute path of a folder that somebody names, with a home folder in the place of ~.

    Raises ArgumentError, which says what named it, for a path that leads nowhere.
    """
    text = os.fsdecode(path)
    try:
        if not text or b"\0" in os.fsencode(text):
            raise ValueError
        whole = os.path.expanduser(text)
    except ValueError:
        raise ArgumentError(f"{by}={text!r} cannot be the path of a folder; name another") from None
    if whole.startswith("~"):
        raise ArgumentError(f"{by}={text!r} names a home folder that is not known; give the full path")
    try:
        return Path(whole).absolute()
    except OSError:
        raise ArgumentError(
            f"{by}={text!r} is relative to a working folder that no longer exists; give the full path"
        ) from None


def user_cache() -> Path:
    """The folder for caches: XDG_CACHE_HOME, which counts only if it is absolute, else .cache in the home folder.

    Raises ArgumentError for a user without a home folder.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):
        return Path(chosen)
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise ArgumentError(f"this user has no home folder; set HOME, or {ADVICE}")
    return Path(home, ".cache")


def set_cache_dir(path: str | os.PathLike[str] | None) -> None:
    """Keep compiled kernels and downloads in this folder; None returns to TINYHYPER_CACHE or the user's cache folder.

    Raises DtypeError for anything but a path, ArgumentError for a path that leads nowhere.
    """
    global _folder
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise DtypeError(f"set_cache_dir: path must be a path or None, not {path!r}")
    _folder = None if path is None else named(path, "set_cache_dir: path")


def cache_dir() -> Path:
    """The folder in which compiled kernels and downloads are kept: `set_cache_dir(path)`, else the environment's
    TINYHYPER_CACHE, else the user's cache folder. Raises ArgumentError where the environment names none.
    """
    if _folder is not None:
        return _folder
    if given := os.environ.get("TINYHYPER_CACHE"):
        return named(given, "TINYHYPER_CACHE")
    return user_cache() / "tinyhyper"


def make(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its user alone, whatever the umask lets others do."""
    for place in reversed((folder, *folder.parents)):
        if not place.exists():
            with suppress(FileExistsError):
                place.mkdir(0o700)


def own(folder: Path) -> Path:
    """The folder without links on its path, made if it is missing, if code in it may be run.

    Others may write to a folder on the path if it is like /tmp, where nobody can rename what belongs to another.
    Raises ArgumentError where others can change what is in the folder, OSError where no folder is or can be made.
    """
    if not hasattr(os, "geteuid"):
        make(folder)
        return folder
    ahead, place, links = [*reversed(folder.parts)], Path(), 0
    while ahead:
        place /= ahead.pop()
        if not os.path.lexists(place):
            make(place)
        status = place.lstat()
        if not _is_own(status):
            raise ArgumentError(f"{str(place)!r} belongs to another user (number {status.st_uid}); {ADVICE}")
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
            ahead += reversed(Path(os.readlink(place)).parts)
            place = place.parent
        elif not status.st_mode & stat.S_ISVTX:
            _refuse_shared(place, status)
    _refuse_shared(place, place.lstat())
    return place


def _refuse_shared(place: Path, status: os.stat_result) -> None:
    if _others_write(status):
        raise ArgumentError(f"others can write to {str(place)!r}; withdraw that with chmod go-w, or {ADVICE}")


def read_own(path: Path) -> bytes:
    """What a file holds that may be run. Raises ArgumentError as `own` does, and OSError where there is no such file.

    A link is none, nor is a file that has another name elsewhere or that another user owns or may write to.
    """
    with open(own(path.parent) / path.name, "rb", opener=_opened) as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "geteuid") and not (
            stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _is_own(status) and not _others_write(status)
        ):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return file.read()


def _opened(path: str, flags: int) -> int:
    """Open a file itself, not one that a link leads to, and do not wait for who writes to a named pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
