"""The loop that carries out a program's native instructions, step after step, without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from . import cache, native
from .backend import compiler_is_off
from .recipes import Kind

SOURCE = """
def kernel(place, tables, patches):
    step, at, last, flag = place[0], place[1], place[2], place[3]
    phases, count = tables.shape[0], tables.shape[1]
    phase = step % phases
    while step < last:
        if at == 0:
            for n in range(patches.shape[1]):
                store(patches[phase, n, 0], patches[phase, n, 1] + step * patches[phase, n, 2])
        while at < count:
            function = tables[phase, at, 0]
            if function == 0:
                place[0], place[1] = step, at
                return
            call(function, tables[phase, at, 1])
            at += 1
            if load(flag) != 0:
                place[0], place[1] = step, at
                return
        at, step, phase = 0, step + 1, phase + 1 if phase + 1 < phases else 0
    place[0], place[1] = step, at

from tinyhyper.kernels.loops import call, load, store
"""
BLOCKS = """
def kernel(rounds, calls, moves):
    for n in range(rounds + 1):
        change = 1 if n == 0 else 4 if n == rounds else 3 if n == rounds - 1 else 2
        for k in range(moves.shape[0]):
            store(moves[k, 0], load(moves[k, 0]) + moves[k, change])
        if n < rounds:
            for k in range(calls.shape[0]):
                call(calls[k, 0], calls[k, 1])

from tinyhyper.kernels.loops import call, load, store
"""
PAUSE = 0.02  # seconds, after which a run returns, so that Python can act on a signal

if hasattr(os, "register_at_fork"):  # not while a function is loaded: in the child nobody would let go of the lock
    lock = native._loading
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


def blocks() -> int:
    """The address of a C function that calls several, round after round.

    Its words: how many rounds; the functions and the addresses of their words, an array of two columns; and an array of
    five, which has addresses of words and what is added to them before the first round, before each other one, before
    the last one of two or more, and after all.
    """
    return native.address(BLOCKS, (Kind("int64", layout=""), Kind("int64", 2), Kind("int64", 2)))


class Driver:
    """Runs the native instructions of a program, one step after another, from where it is told to.

    tables: int64, (phases, instructions, 2): for each instruction the addresses of a C function and of its words. Step
    s has those of tables[s % phases]. A function of 0 is an instruction that Python carries out; which ones are so must
    not change.
    patches: int64, (phases, n, 3): the address of a word that is set when a step s begins, a number b, and a stride d;
    the word becomes b + s * d.
    flag: int64, (1,): an instruction that sets it to anything but 0 is the last one to run; the caller clears it.
    """

    def __init__(self, tables: np.ndarray, patches: np.ndarray, flag: np.ndarray) -> None:
        self._place = np.array([0, 0, 0, flag.ctypes.data], np.int64)
        self._words, self._steps, self._used = self._place.data, 1, (tables, patches, flag)
        self._alone = bool(np.all(tables[:, :, 0]))
        self._start: Callable[[], None]
        if compiler_is_off():
            self._start = partial(cache.load(SOURCE), self._place, tables, patches)
        else:  # pragma: no cover - compiled
            self._start = native.caller(SOURCE, self._place, tables, patches)

    @property
    def step(self) -> int:
        """Every instruction of the steps before this one was carried out, also where a signal has raised an error."""
        return int(self._words[0])

    def run(self, step: int, instruction: int, last: int) -> tuple[int, int]:
        """Run from an instruction of a step on, to the end of the step before `last`. The step and the instruction from
        which to go on: (last, 0) at the end. It stops before

        an instruction that is Python's, which the caller carries out before it goes on from the next one,
        the instruction after one that has set the flag,
        a step, after about PAUSE seconds, where no instruction is Python's.
        """
        words = self._words
        words[0], words[1], words[2] = step, instruction, last
        if not self._alone or last - step < 2:
            self._start()
            return words[0], words[1]
        words[2], began = min(last, step + self._steps), perf_counter()
        self._start()
        if made := words[0] - step:
            self._steps = max(1, int(PAUSE * made / max(perf_counter() - began, 1e-6)))
        return words[0], words[1]
