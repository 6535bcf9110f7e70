"""Generated kernels as modules, with a folder in which the next process finds what this one has compiled.

A file is named by the hash of what it holds and put into place whole, so two processes may write at once. The source is
there to be read, and never run from there. Where the folder cannot be written, or others can write to it, kernels are
compiled in memory.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import marshal
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..core.tape import quietly
from ..errors import ArgumentError
from ..files import publish
from ..folders import cache_dir, read_own
from .backend import compiler_is_off
from .disk import DiskCache
from .late import import_numba

HEADER = '''"""{digest}"""
import math

import numpy as np
from numpy import {names}

from tinyhyper.kernels import special
from tinyhyper.kernels.cache import jit
from tinyhyper.kernels.loops import add


@jit
'''
NAMES = "float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_ as boolean"

_loaded: dict[str, Callable[..., None]] = {}


def jit(function: Callable[..., None]) -> Callable[..., None]:
    """numba.njit as every kernel wants it: IEEE arithmetic, no branch on division, kept beside its source where that
    is kept, and run without Python's lock, so that threads can share its work.

    What a kernel writes to lies apart from what it reads, and the compiler is told so. Else it adds a test of how far
    apart they lie, with two loops to choose from, and a sum's last bit would hang on where memory was free.
    """
    import numba

    dispatcher = numba.njit(error_model="numpy", nogil=True)(function)
    if hasattr(dispatcher, "_compiler"):
        dispatcher._compiler._customize_flags = _apart
    folder = os.path.dirname(function.__code__.co_filename)
    if folder and hasattr(dispatcher, "_cache"):
        dispatcher._cache = DiskCache(folder, f"{function.__module__}.{function.__name__}")
    return dispatcher


def _apart(flags: Any) -> Any:  # pragma: no cover - the compiler calls it
    flags.noalias = True
    return flags


def load(source: str) -> Callable[..., None]:
    """The function `kernel` that `source` defines, compiled on its first call or read from the disk cache.

    Where nothing is compiled it computes with NumPy's scalars, quietly.
    """
    if source not in _loaded:
        import_numba()  # before the modules that a kernel is built on do it
        name = digest(source)
        module = _module(f"tinyhyper_kernel_{name}", HEADER.format(digest=name, names=NAMES) + source)
        if compiler_is_off():
            vars(module)["math"] = _CMath()
        _loaded[source] = functools.partial(quietly, module.kernel) if compiler_is_off() else module.kernel
    return _loaded[source]


def entry(kernel: Any, args: Sequence[np.ndarray]) -> Callable[..., None]:
    """What is compiled of a kernel for arrays that lie as these do.

    Called by itself it does not find out their types again, which takes numba longer than a small array.
    """
    return kernel if compiler_is_off() else kernel.compile(tuple(map(kernel.typeof_pyval, args)))


def digest(source: str) -> str:
    """What a kernel's files are named by."""
    return hashlib.sha256(_basis() + source.encode()).hexdigest()[:32]


class _CMath:
    """`math` as compiled kernels call it: functions of the C library, which answer NaN or inf where Python raises."""

    def __getattr__(self, name: str) -> Any:
        known = getattr(np, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name), None)
        return (lambda x: known(float(x))) if isinstance(known, np.ufunc) else getattr(math, name)


def _module(name: str, text: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, _kept(name, text), "exec", dont_inherit=True), module.__dict__)
    return module


def _kept(name: str, text: str) -> str:
    """The path of a file that holds a module's text; <its name> where none can be kept."""
    try:
        path = cache_dir() / f"{name}.py"
        if not _holds(path, text.encode()):
            publish(path, text.encode())
        return str(path)
    except ArgumentError as error:
        notice(f"kernels are compiled in memory: {error}")
    except OSError:
        pass
    return f"<{name}>"


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_own(path) == content
    except OSError:
        return False


@functools.cache
def notice(text: str) -> None:
    """Say something on stderr, once in a process."""
    with suppress(OSError, ValueError):  # nobody may be there to read it
        print(f"tinyhyper: {text}", file=sys.stderr)


def text_of(*names: str) -> bytes:
    """What modules of this folder say: their source, or their code where only that is installed; from a zip too."""
    texts = []
    for name in names:
        module = f"{__package__}.{name}"
        loader: Any = getattr(importlib.util.find_spec(module), "loader", None)
        source = loader.get_source(module)
        texts.append(marshal.dumps(loader.get_code(module)) if source is None else source.encode())
    return b"".join(texts)


@functools.cache
def _basis() -> bytes:
    """The text of what every kernel is built on: with it changes the kernel's name."""
    return text_of("cache", "emitter", "loops", "special", "trig")
