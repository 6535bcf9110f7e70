"""What forces a backend, and the modules of kernels/, for tests that run without that folder too.

Where it is not there NumPy computes everything, and a test that forces numba or asks such a module for something is
skipped.
"""

import contextlib
import importlib
import os

import pytest

import tinyhyper as th

THERE = "kernels" in vars(th)

if THERE:
    from tinyhyper.kernels.backend import compiler_is_off
    from tinyhyper.kernels.convolution import convolution_backend
    from tinyhyper.kernels.plan import elementwise_backend
    from tinyhyper.kernels.recurrent import recurrent_backend
else:

    def compiler_is_off():
        return True

    def elementwise_backend(name="numpy"):
        if name == "numba":
            skip()
        return "numpy"

    convolution_backend = recurrent_backend = elementwise_backend

# Marks of what takes long to compile; without the compiler it is quick.
SLOW_IF_COMPILED = () if compiler_is_off() else pytest.mark.slow

__all__ = [
    "SLOW_IF_COMPILED", "THERE", "compiler_is_off", "convolution_backend", "elementwise_backend", "kernels",
    "on_one_thread", "recurrent_backend",
]  # fmt: skip


def skip():
    pytest.skip("kernels/ is not there")


class Absent:
    """Stands for a module of kernels/."""

    def __getattr__(self, name):
        if "PYTEST_CURRENT_TEST" not in os.environ:  # pytest looks through it for tests
            raise AttributeError(name)
        skip()


def kernels(name):
    """A module of kernels/."""
    return importlib.import_module(f"tinyhyper.kernels.{name}") if THERE else Absent()


@contextlib.contextmanager
def on_one_thread(backend):
    """Kernels run on one thread; afterwards on as many as before, and the backend is again the one that pays."""
    threads = kernels("threads")
    before = threads.num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)
    backend("auto")
