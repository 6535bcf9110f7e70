"""numba is imported late, and whole, whenever Ctrl-C comes."""

import signal
import subprocess
import sys
import threading

import pytest

from tinyhyper.kernels.late import uninterrupted

# Ctrl-C when numba is imported so far; then the same again, which must succeed.
INTERRUPTED = """
import signal, sys
import numpy as np
import tinyhyper as th

assert "numba" not in sys.modules

class Finder:
    def find_spec(self, name, *rest):
        if name == {name!r}:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
for choose in (th.kernels.elementwise_backend, th.kernels.matmul_backend, th.kernels.convolution_backend):
    choose("numba")
x = th.tensor(np.ones((2, 4, 4, 3)))
work = {work}
handler = signal.getsignal(signal.SIGINT)
try:
    work()
    print("no interrupt")
except KeyboardInterrupt:
    work()
    assert signal.getsignal(signal.SIGINT) is handler
    print("done")
"""


WORK = ["lambda: th.tanh(x)", "lambda: x @ np.ones((3, 2))", "lambda: th.conv2d(x, np.ones((2, 2, 3, 2)), padding=1)"]


@pytest.mark.parametrize(
    "name, work", [*zip(["numba", "numba.core.types.misc", "numba.np.ufunc"], WORK), *[("numba", w) for w in WORK[1:]]]
)
def test_an_interrupt_while_numba_is_imported_comes_after_it(name, work):
    code = INTERRUPTED.format(name=name, work=work)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "done\n", run.stderr


def test_the_handler_that_was_there_is_called_once_when_the_block_is_over():
    seen, before = [], signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert not seen
        assert seen == [signal.SIGINT]
        with uninterrupted():
            pass
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_handler_alone():
    found, handler = [], signal.getsignal(signal.SIGINT)

    def look():
        with uninterrupted():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [handler]
