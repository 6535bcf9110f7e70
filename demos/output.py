"""The folder for results, and files that are either whole or absent."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

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


def write(path: Path, content: bytes) -> Path:
    """Write a file under another name first, so that whoever stops this leaves no half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's own is for the user alone
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return path
