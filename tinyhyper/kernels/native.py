"""Kernels as C functions `void f(int64 *words)`, for machine code to call by their address.

The words say where the arrays lie, and how. The machine code of a function is a file of the cache: to load it takes 0.2
ms and does without numba, which takes longer to import than all of a small program's functions to load.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError
from ..folders import cache_dir
from . import cache
from .disk import Store
from .recipes import Kind

LIBRARY = {"cos", "exp", "exp2", "log", "log10", "log2", "pow", "sin"}  # instructions of LLVM that are calls of C's


class Code(NamedTuple):
    """A function's machine code. name: what it is called there.  needs: the functions that it calls."""

    name: str
    machine_code: bytes
    needs: tuple[str, ...]


_addresses: dict[tuple[str, tuple[Kind, ...]], int] = {}
_loading = threading.Lock()


def address(source: str, kinds: tuple[Kind, ...]) -> int:  # pragma: no cover - compiled
    """The address of the C function that calls the kernel of a source with arguments of these kinds; 0 for none."""
    with _loading:
        if (source, kinds) not in _addresses:
            _addresses[source, kinds] = _find(source, kinds)
        return _addresses[source, kinds]


def caller(source: str, *arrays: np.ndarray) -> Callable[[], None]:  # pragma: no cover - compiled
    """What calls the kernel of a source with these arrays, which lie in rows, and lets go of Python's lock."""
    numbers = [number for array in arrays for number in (array.ctypes.data, *array.shape)]
    words = ctypes.byref((ctypes.c_int64 * len(numbers))(*numbers))
    place = address(source, tuple([Kind(array.dtype.name, array.ndim) for array in arrays]))
    return functools.partial(ctypes.CFUNCTYPE(None)(place), words)  # told no types, it looks at none


def _find(source: str, kinds: tuple[Kind, ...]) -> int:  # pragma: no cover - compiled
    """Load a function from the disk, or compile it and keep it there."""
    name = f"tinyhyper_words_{cache.digest(source)}"
    try:
        store = Store(str(cache_dir()), name, _stamp())
    except ArgumentError:  # there is no folder
        return _placed(_compile(name, cache.load(source), kinds))
    found = store.load(kinds)
    if found is None:
        cache.notice(f"what a replayed step calls is compiled, which can take seconds, and kept in {cache_dir()}")
        found = _compile(name, cache.load(source), kinds)
        with suppress(OSError, ArgumentError):
            store.save(kinds, tuple(found))
    return _placed(Code(*found))


@functools.cache
def _stamp() -> tuple[Any, ...]:  # pragma: no cover - compiled
    """What machine code is of: versions, the processor, and what numba is told."""
    import llvmlite.binding as llvm

    versions = np.__version__, *[metadata.version(name) for name in ("numba", "llvmlite")]
    processor = llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    told = [*sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))]
    around = hashlib.sha256(cache.text_of("native", "recipes", "wrapper")).hexdigest()
    return (sys.version, *versions, *processor, *told, around)


@functools.cache
def _engine() -> Any:  # pragma: no cover - compiled
    """What places machine code in memory, where it stays."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(codemodel="jitdefault", jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _placed(code: Code) -> int:  # pragma: no cover - compiled
    """The address of a function whose code is placed in memory; 0 for code that calls a function that is not there, as
    to run it would end the process."""
    import llvmlite.binding as llvm

    if not all(map(llvm.address_of_symbol, code.needs)):
        _load_runtime()
        if not all(map(llvm.address_of_symbol, code.needs)):
            return 0
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.machine_code))
    engine.finalize_object()
    return int(engine.get_function_address(code.name))


def _load_runtime() -> None:  # pragma: no cover - compiled
    """Make numba's run-time functions known, which few kernels call."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    rtsys.initialize(cpu_target.target_context)


def _compile(base: str, kernel: Any, kinds: Sequence[Kind]) -> Code:  # pragma: no cover - compiled
    """Compile a kernel, and the function around it."""
    import llvmlite.binding as llvm
    from numba.core.compiler_lock import global_compiler_lock

    from . import wrapper

    name = f"{base}_{hashlib.sha256(repr(kinds).encode()).hexdigest()[:16]}"
    with global_compiler_lock:
        compiled = wrapper.compiled(kernel, tuple([wrapper.numba_type(kind) for kind in kinds]))
        library = compiled.target_context.codegen().create_library(name)
        library.enable_object_caching()
        library.add_ir_module(wrapper.write(name, library, compiled, kinds))
        library.add_linking_library(compiled.library)
        library.finalize()
        _, _, (machine_code, bitcode) = library.serialize_using_object_code()
    declared = [_called(f.name) for f in llvm.parse_bitcode(bitcode).functions if f.is_declaration]
    return Code(name, machine_code, tuple(filter(None, declared)))


def _called(name: str) -> str:
    """The function that machine code calls for one that LLVM declares; nothing if it needs none."""
    if not name.startswith("llvm."):
        return name
    _, function, *kinds = name.split(".")
    return "" if function not in LIBRARY else f"{function}f" if kinds[-1].endswith("f32") else function
