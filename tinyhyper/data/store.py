"""Where the files of a data set are: a folder that the user names, the cache, or an address to download from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ArgumentError, DataError, DtypeError
from ..folders import cache_dir, named
from .download import fetch, file_sha256
from .formats import there, unreadable

VARIABLE = "TINYHYPER_DATA"
SHOWN = 8  # names of what a folder holds


class Source(NamedTuple):
    """One file of a data set, as it is published.

    file: its place in the cache. addresses: where it is downloaded from, tried in this order.
    sha256: the published sum, of what `sum_of` reads. others: what a user's own folder may hold in its stead.
    """

    file: str
    addresses: tuple[str, ...]
    sha256: str
    others: tuple[str, ...] = ()
    sum_of: Callable[[Path], str] = file_sha256

    @property
    def name(self) -> str:
        return Path(self.file).name


def find(what: str, sources: Sequence[Source], folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """The file of each source: in the folder, else in the one that TINYHYPER_DATA names, else in the cache, where what
    is missing is downloaded to.

    A file in the user's folder may be another than the published one; in the cache, its SHA-256 is compared.
    Raises DtypeError for a folder that is not a path, DataError if a named folder is not there or holds only a part of
    the set, if a file in the cache is not the published one, and if a download fails.
    """
    told = ""
    try:
        chosen = _named_folder(what, folder)
        if chosen is not None:
            if found := _in_folder(what, sources, chosen):
                return found
            told = f"{_told(chosen)}; "
        return _in_cache(what, sources, cache_dir() / "data", told)
    except ArgumentError as error:
        raise DataError(f"{what}: {told}{error}") from None


def _named_folder(what: str, folder: str | os.PathLike[str] | None) -> Path | None:
    by, path = ("`folder`", folder) if folder is not None else (VARIABLE, os.environ.get(VARIABLE))
    if not isinstance(path, (str, os.PathLike, type(None))):
        raise DtypeError(f"{what}: folder must be a path, not {path!r}")
    if not path:
        return None
    chosen = named(path, by)
    if not there(chosen) or not chosen.is_dir():
        raise DataError(f"{what}: {by} names '{chosen}', which is not a folder; make it, or name another")
    return chosen


def _in_folder(what: str, sources: Sequence[Source], folder: Path) -> list[Path]:
    """The files of all sources; none, if the folder has none of them."""
    places = [[name.lower() for name in (source.file, *source.others)] for source in sources]
    held = _held(folder, {part for names in places for name in names for part in name.split("/")})
    found = [_first([held[name] for name in names if name in held]) for names in places]
    missing = ", ".join(source.name for source, path in zip(sources, found) if path is None)
    have = [path for path in found if path is not None]
    if have and missing:
        told = _told(have[0].parent)
        raise DataError(f"{what}: '{folder}' holds {have[0].name}, but not {missing}; put that beside it. {told}")
    return have


def _held(folder: Path, parts: set[str]) -> dict[str, Path]:
    """What the folder holds, and those of its subfolders whose names are parts of places: by path in small letters."""
    held: dict[str, Path] = {}
    for where, folders, files in os.walk(folder, onerror=_refuse_unseen, followlinks=True):
        for name in sorted([*folders, *files], reverse=True):  # small letters go before capitals
            path = Path(where, name)
            held.setdefault(path.relative_to(folder).as_posix().lower(), path)
        deep = len(Path(where).relative_to(folder).parts) > 2
        folders[:] = [name for name in folders if name.lower() in parts and not deep]
    return held


def _refuse_unseen(error: OSError) -> None:
    raise unreadable(error.filename, error) from error


def _first(paths: Sequence[Path]) -> Path | None:
    """The first that is a file, else the first: a folder, which cannot be read."""
    return next((path for path in paths if there(path) and path.is_file()), paths[0] if paths else None)


def _told(folder: Path) -> str:
    """What a user's folder holds, in words."""
    _, folders, files = next(os.walk(folder), ("", [], []))
    return f"'{folder}' holds {listed([*folders, *files])}"


def listed(names: Iterable[str]) -> str:
    """Names in order, the first few of many."""
    shown = sorted(names)
    more = [f"{len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
    return ", ".join([*shown[:SHOWN], *more]) or "nothing"


def _in_cache(what: str, sources: Sequence[Source], cache: Path, told: str) -> list[Path]:
    """The files of all sources as they are published, downloaded where they are missing.

    told: what to say of the user's folder, which has none of them.
    """
    paths = [cache / source.file for source in sources]
    for source, path in zip(sources, paths):
        if there(path):
            if other := _other(source, path):
                raise DataError(
                    f"{what}: '{path}' is not the published file, {other}; delete it, and it will be downloaded anew"
                )
            continue
        try:
            fetch(source.addresses, path, functools.partial(_refuse_another, source))
        except DataError as error:
            names = ", ".join(source.name for source, path in zip(sources, paths) if not there(path))
            raise DataError(
                f"{what}: put {names} (packed or unpacked) into a folder and name that in {VARIABLE}, `folder` or "
                f"--data-dir, or, as published, into '{path.parent}'; {told}no download from {error}"
            ) from None
    return paths


def _other(source: Source, path: Path) -> str:
    """How a file can be told from the published one; empty if it is that one. Raises DataError if it cannot be read."""
    found = source.sum_of(path)
    return "" if found == source.sha256 else f"its SHA-256 begins with {found[:12]}, not {source.sha256[:12]}"


def _refuse_another(source: Source, path: Path) -> None:
    if other := _other(source, path):
        raise DataError(other)
