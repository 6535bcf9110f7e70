"""Compiled kernels on disk: one sealed file for each signature that a kernel was compiled for.

numba keeps an index beside its files, which two processes that write at once can make name the wrong one, and it runs
whatever machine code it reads. Here a file is named by what it is of and ends with a hash of both: so one that is
damaged, half written or another's counts as missing, and the kernel is compiled again.
"""

from __future__ import annotations

import hashlib
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..files import publish

SEAL = hashlib.sha256().digest_size


class Store:
    """The files of one kernel; stands in for numba's IndexDataCacheFile.

    folder, base: where they are, and what their names begin with.  stamp: what they are out of date with.
    """

    def __init__(self, folder: str, base: str, stamp: Any) -> None:
        from numba import __version__

        self._folder, self._base, self._known = Path(folder), base, (__version__, stamp)

    def save(self, key: Any, data: Any) -> None:
        from numba.core.serialize import dumps

        content = dumps(data)
        publish(self._path(key), content + self._seal(key, content))

    def load(self, key: Any) -> Any:
        """What was saved under this key; None if nothing was, or not all of it is there."""
        try:
            found = self._path(key).read_bytes()
        except OSError:
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


class Tolerant:
    """numba's disk cache of one kernel, over a Store, for which a full disk is no reason to stop.

    Where numba's own would first make its compiler ready, which takes as long as importing numba, loading needs no more
    of it than the run-time functions that kernels call.
    """

    def __init__(self, cache: Any) -> None:
        self._cache, impl = cache, cache._impl
        cache._cache_file = Store(cache.cache_path, impl.filename_base, impl.locator.get_source_stamp())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:  # pragma: no cover - the compiler calls it
        from numba.core.runtime import rtsys

        rtsys.initialize(context)
        return self._cache._load_overload(signature, context)

    def save_overload(self, *args: Any) -> None:
        with suppress(OSError):
            self._cache.save_overload(*args)
