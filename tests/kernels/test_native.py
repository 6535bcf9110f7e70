"""C functions: they are kept on the disk, found again by the next process, and made anew where a file is damaged."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernel_runs import run
from words import spec

import tinyhyper as th
from tinyhyper.kernels import entries, native
from tinyhyper.kernels.backend import compiler_is_off
from tinyhyper.kernels.recipes import Kind

compiled = pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")


def slow(test):
    return compiled(pytest.mark.slow(test))


ENTRY = """
import ctypes, sys
import numpy as np
import tinyhyper as th
from tinyhyper.core.operation import SPEC, ArraySpec, OPERATIONS
from tinyhyper.kernels.driver import Driver
from tinyhyper.kernels.entries import Operand, entry
x, out = np.linspace(-1, 1, 7), np.empty(7)
found = entry(OPERATIONS["tanh"], ({},), [ArraySpec(*SPEC(x))], [ArraySpec(*SPEC(out))])
words = [w if isinstance(w, int) else (x if isinstance(w, Operand) else out).ctypes.data for w in found.words]
words = np.array(words, np.int64)
table = np.array([[[found.address, words.ctypes.data]]])
assert Driver(table, np.zeros((1, 0, 3), np.int64), np.zeros(1, np.int64)).run(0, 0, 1) == (1, 0)
print(out.tobytes().hex(), "numba" in sys.modules)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a first process has kept, and what it has printed."""
    folder = tmp_path_factory.mktemp("kernels")
    text, with_numba = run(folder, ENTRY).split()
    np.testing.assert_allclose(np.frombuffer(bytes.fromhex(text)), np.tanh(np.linspace(-1, 1, 7)), rtol=1e-15)
    assert with_numba == "True"
    return folder, text


@slow
def test_the_next_process_does_without_the_compiler(folder):
    assert run(folder[0], ENTRY).split() == [folder[1], "False"]


@slow
def test_a_damaged_function_is_compiled_anew(folder):
    for path in folder[0].glob("tinyhyper_words_*.nbc"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert run(folder[0], ENTRY).split() == [folder[1], "True"]
    assert run(folder[0], ENTRY).split() == [folder[1], "False"]


RUNTIME = """
import numpy as np
from tinyhyper.core.operation import OPERATIONS, SPEC, ArraySpec
from tinyhyper.kernels.entries import by_numbers
x, numbers, out = (ArraySpec(*SPEC(a)) for a in (np.ones((3, 2)), np.arange(2), np.ones((2, 2))))
print(by_numbers(OPERATIONS["getitem"], x, numbers, out) is not None)
"""


@slow
def test_what_calls_the_compilers_run_time_functions_is_found_again(tmp_path):
    assert run(tmp_path, RUNTIME) == run(tmp_path, RUNTIME) == "True\n"
    assert len([*tmp_path.glob("tinyhyper_words_*.nbc")]) == 1


@slow
def test_what_was_compiled_with_other_settings_counts_as_missing(folder):
    assert run(folder[0], ENTRY, NUMBA_LOOP_VECTORIZE="0").split()[1] == "True"


@compiled
def test_what_calls_a_function_that_is_not_there_is_not_run():
    assert native._placed(native.Code("f", b"", ("a_function_that_is_nowhere",))) == 0


CALLED = {"llvm.pow.f64": "pow", "llvm.exp.f32": "expf", "llvm.fma.f64": "", "llvm.pow.v8f32": "powf", "tanf": "tanf"}


@pytest.mark.parametrize("declared, called", CALLED.items())
def test_which_functions_machine_code_calls(declared, called):
    assert native._called(declared) == called


@compiled
def test_what_cannot_be_run_has_no_entry(monkeypatch):
    monkeypatch.setattr(native, "address", lambda source, kinds: 0)
    assert entries.entry(th.core.rules.add, ({},), [spec(np.ones(3))] * 2, [spec(np.ones(3))]) is None


KERNEL = """
def kernel(x, out):
    for n in range(len(x)):
        out[n] = x[n] + {0}
"""


@compiled
def test_a_function_is_made_once_though_many_threads_ask_for_it(monkeypatch):
    made = []
    compiling = native._compile
    monkeypatch.setattr(native, "_compile", lambda *what: made.append(what) or compiling(*what))
    monkeypatch.setattr(native, "cache_dir", lambda: (_ for _ in ()).throw(th.ArgumentError("no folder")))
    source, kinds = KERNEL.format(id(made)), (Kind("float64", 1), Kind("float64", 1))
    with ThreadPoolExecutor(8) as pool:
        found = {*pool.map(lambda _: native.address(source, kinds), range(32))}
    assert len(found) == len(made) == 1 and 0 not in found


@compiled
def test_a_caller_runs_a_kernel_over_its_arrays():
    x, out = np.arange(5.0), np.zeros(5)
    native.caller(KERNEL.format(2), x, out)()
    np.testing.assert_array_equal(out, x + 2)
