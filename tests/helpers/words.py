"""What an entry of kernels/ computes: over buffers between guard bytes, through its words.

Where nothing is compiled, the words are read in Python, and the kernel runs as plain Python over NumPy arrays.
"""

import ctypes

import numpy as np

import tinyhyper as th
from tinyhyper.core.operation import SPEC, ArraySpec
from tinyhyper.core.tape import Watcher, switched
from tinyhyper.kernels import cache, entries
from tinyhyper.kernels.backend import compiler_is_off
from tinyhyper.kernels.entries import Operand, Output
from tinyhyper.kernels.recipes import FLAG, Table, Workspace

GUARD, BYTE = 64, 0xA5


def spec(array):
    return ArraySpec(*SPEC(array))


class Calls(Watcher):
    """Watches the engine, and keeps what every operation was given and gave."""

    def __init__(self):
        self.made = []

    def operation(self, op, operands, outputs, call, nanoseconds):
        self.made.append((op, call, [x.array for x in operands], [x.array for x in outputs]))


def calls_of(function, *args):
    """What the engine carries out in a call of the function: (op, call, operands, outputs)."""
    calls = Calls()
    with switched(watcher=calls):
        function(*args)
    return calls.made


def both_ways(function, *arrays):
    """What it carries out in the call, and in the backward pass of the outcome's sum."""

    def run():
        out = function(*[th.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays])
        if out.requires_grad:
            out.backward(th.tensor(np.linspace(0.5, 1.5, out.size, dtype=out.dtype).reshape(out.shape)))

    return calls_of(run)


class Guarded:
    """An array that lies as a spec says, between guard bytes."""

    def __init__(self, lies):
        reach = [(n - 1) * step for n, step in zip(lies.shape, lies.strides)]
        low = -sum(r for r in reach if r < 0)
        length = low + sum(r for r in reach if r > 0) + lies.dtype.itemsize
        self.whole = np.full(2 * GUARD + length, BYTE, np.uint8)
        self.array = np.ndarray(lies.shape, lies.dtype, self.whole, GUARD + low, lies.strides)

    def address(self):
        return self.array.ctypes.data

    def touched(self, before):
        """Whether a byte changed, of those that were there before."""
        return not np.array_equal(self.whole, before)


def computed(op, call, arrays, outputs):
    """The outputs of an entry, and whether it is exact; None where there is none. Nothing else may change.

    outputs: their specs, or arrays like them; None for one that is not wanted.
    """
    wanted = [None if x is None else ArraySpec(x.shape, x.dtype, np.empty(x.shape, x.dtype).strides) for x in outputs]
    given = op, call, tuple(map(spec, arrays)), tuple(wanted)
    found = entries.recipe(*given) if compiler_is_off() else entries.entry(*given)
    return None if found is None else run(found, arrays, wanted, op.name)


def run(found, arrays, wanted, name):
    """What an entry, or where nothing is compiled its recipe, makes of arrays: outputs, exactness, and the flag."""
    ins, outs = [Guarded(spec(x)) for x in arrays], [None if x is None else Guarded(x) for x in wanted]
    for guarded, array in zip(ins, arrays):
        guarded.array[...] = array
    before = [x.whole.copy() for x in ins]
    flag = np.zeros(1, np.int64)
    workspaces = []

    def number(word):
        if isinstance(word, (Workspace, Table)):
            workspaces.append(np.full(word.size, BYTE, np.uint8) if isinstance(word, Workspace) else word.make())
            return workspaces[-1].ctypes.data
        if isinstance(word, (Operand, Output)):
            return (ins if isinstance(word, Operand) else outs)[word.number].address()
        return flag.ctypes.data if word == FLAG else word

    words = np.array([number(word) for word in found.words], np.int64)
    if compiler_is_off():
        plainly(found, words.tolist())
    else:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(found.address)(words.ctypes.data)
    assert not any(x.touched(was) for x, was in zip(ins, before)), f"{name} writes to its operands, or around them"
    for out in outs:
        if out is not None:
            ends = np.concatenate([out.whole[:GUARD], out.whole[-GUARD:]])
            assert np.all(ends == BYTE), f"{name} writes around its output"
    return [None if x is None else x.array for x in outs], found.exact, bool(flag[0])


def plainly(recipe, words):
    """Run a recipe's kernel in Python."""
    words, arguments, after = iter(words), [], []
    for kind in recipe.kinds:
        if kind.layout == "pair":
            arguments.append((next(words), next(words)))
            continue
        if not kind.layout:
            arguments.append(next(words))
            continue
        array = read(kind, words)
        arguments.append(array)
        if kind.total:
            array[...] = 0
        if kind.total not in ("", kind.dtype):
            after.append((array, read(kind._replace(dtype=kind.total, layout="C"), iter([next(words), *array.shape]))))
    cache.load(recipe.source)(*arguments)
    for wide, narrow in after:
        narrow[...] = wide


def read(kind, words):
    """The array that words say."""
    dtype, address = np.dtype(kind.dtype), next(words) + (next(words) if kind.layout == "A" else 0)
    shape = [next(words) for _ in range(kind.ndim)]
    strides = [next(words) for _ in shape] if kind.layout == "A" else np.empty(shape, dtype, kind.layout).strides
    reach = [(n - 1) * step for n, step in zip(shape, strides)]
    low = sum(r for r in reach if r < 0)
    length = sum(r for r in reach if r > 0) - low + dtype.itemsize
    memory = (ctypes.c_char * length).from_address(address + low)
    return np.ndarray(shape, dtype, memory, -low, strides)
