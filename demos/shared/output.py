"""The folder for results, and what is printed and written at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tinyhyper import files

from .settings import UsageError


def prepare(folder: Path) -> Path:
    """Make the folder, and make sure that files can be written there, before anything takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise UsageError(f"--out: '{folder}' is a file, and a folder is needed") from None
    except OSError as error:
        raise UsageError(f"--out: cannot write into '{folder}': {error.strerror}") from error
    return folder


def finish(text: str, folder: Path, contents: Mapping[str, str | bytes], *others: str) -> None:
    """Print what was found, and write files of it. A disk that is full keeps nothing from the screen, nor the other way
    round: the OSError comes when both have been tried.

    others: the names of files that are there already.
    """
    try:
        print(text)
    finally:
        for name, content in contents.items():
            files.write(folder / name, content)
    print(f"\nIn {folder}: {', '.join([*contents, *others])}")
