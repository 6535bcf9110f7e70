"""The folder for results."""

from __future__ import annotations

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
