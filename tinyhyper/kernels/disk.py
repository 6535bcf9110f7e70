"""Compiled kernels on disk: one sealed file for each signature that a kernel was compiled for.

numba keeps an index beside its files, which two processes that write at once can make name the wrong one, and it runs
whatever machine code it reads. Here a file is named by what it is of and ends with a hash of both: so one that is
damaged, half written or of another kernel counts as missing, and the kernel is compiled again. The hash is no secret:
what keeps forged files out is that no one else may write to the folder, nor own or share the file.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..files import publish
from ..folders import read_own

SEAL = hashlib.sha256().digest_size


class Store:
    """The files of one kernel.

    folder, base: where they are, and what their names begin with.  stamp: what they are out of date with.
    """

    def __init__(self, folder: str, base: str, stamp: Any) -> None:
        self._folder, self._base, self._known = Path(folder), base, (base, stamp)

    def save(self, key: Any, data: Any) -> None:
        from numba.core.serialize import dumps

        content = dumps(data)
        publish(self._path(key), content + self._seal(key, content))

    def load(self, key: Any) -> Any:
        """What was saved under this key; None if nothing was, or not all of it is there, or others can write there."""
        try:
            found = read_own(self._path(key))
        except (OSError, ArgumentError):
            return None
        content, seal = found[:-SEAL], found[-SEAL:]
        return pickle.loads(content) if seal == self._seal(key, content) else None

    def flush(self) -> None:
        """Forget all signatures."""
        for path in self._folder.glob(f"{self._base}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._base}.{self._seal(key, b'').hex()[:16]}.nbc"

    def _seal(self, key: Any, content: bytes) -> bytes:
        return hashlib.sha256(repr((self._known, key)).encode() + content).digest()


class DiskCache(Store):
    """numba's disk cache of one kernel, for which a full disk is no reason to stop.

    Where numba's own would first make its compiler ready, which takes as long as importing numba, loading needs no more
    of it than the run-time functions that kernels call. And where numba's own would look for a folder, this is told.
    """

    def __init__(self, folder: str, base: str) -> None:
        import llvmlite
        import numba

        super().__init__(folder, base, (sys.version, np.__version__, numba.__version__, llvmlite.__version__))
        self.cache_path = folder

    def load_overload(self, signature: Any, context: Any) -> Any:  # pragma: no cover - the compiler calls it
        from numba.core.compiler import CompileResult
        from numba.core.runtime import rtsys

        rtsys.initialize(context)
        found = self.load((signature, context.codegen().magic_tuple()))
        return None if found is None else CompileResult._rebuild(context, *found)

    def save_overload(self, signature: Any, result: Any) -> None:
        if result.library.has_dynamic_globals:  # addresses of this process
            return
        with suppress(OSError, ArgumentError):
            self.save((signature, result.codegen.magic_tuple()), result._reduce())
