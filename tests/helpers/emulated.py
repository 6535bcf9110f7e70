"""C functions where nothing is compiled: Python ones, which read their words where the driver lets them."""

import ctypes
from itertools import count
from types import SimpleNamespace

from backends import compiler_is_off, kernels
from words import plainly

entries = kernels("entries")
FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int64)


def emulate(monkeypatch):
    """Let programs in memory call such functions, unless kernels are compiled."""
    if not compiler_is_off():
        return
    functions = {}

    def address(source, kinds):
        def function(words):
            plainly(kernel, (ctypes.c_int64.from_address(words + 8 * n).value for n in count()))

        kernel = SimpleNamespace(source=source, kinds=kinds)
        functions.setdefault((source, kinds), FUNCTION(function))
        return ctypes.cast(functions[source, kinds], ctypes.c_void_p).value

    monkeypatch.setattr(entries, "compiler_is_off", lambda: False)
    monkeypatch.setattr(entries.native, "address", address)
