"""The driver: it calls what the tables say, in order, and stops where it must."""

import ctypes
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyhyper.kernels import driver
from tinyhyper.kernels.driver import Driver

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Program:
    """Instructions that note which of them ran, and what their first word was then; those of `python` are Python's."""

    def __init__(self, phases, count, python=(), patches=(), flag_at=None):
        self.noted, self.flag = [], np.zeros(1, np.int64)
        self.words = np.zeros((phases, count, 1), np.int64)
        self.functions = [[FUNCTION(self.noting(p, n, flag_at)) for n in range(count)] for p in range(phases)]
        self.tables = np.zeros((phases, count, 2), np.int64)
        for p in range(phases):
            for n in range(count):
                if n not in python:
                    self.tables[p, n, 0] = ctypes.cast(self.functions[p][n], ctypes.c_void_p).value
                self.tables[p, n, 1] = self.words[p, n].ctypes.data
        self.patches = np.zeros((phases, len(patches), 3), np.int64)
        for p in range(phases):
            for k, (n, base, stride) in enumerate(patches):
                self.patches[p, k] = self.words[p, n].ctypes.data, base, stride
        self.driver = Driver(self.tables, self.patches, self.flag)

    def noting(self, phase, n, flag_at):
        def note(words):
            assert words == self.words[phase, n].ctypes.data
            self.noted.append((phase, n, int(self.words[phase, n, 0])))
            self.flag[0] = len(self.noted) - 1 == flag_at

        return note


def to_the_end(program, first, last):
    """Run until there is nothing left, and carry out what is Python's; how often it came back."""
    step, at, stops = first, 0, 0
    while step < last:
        step, at = program.driver.run(step, at, last)
        stops += 1
        if step < last and program.tables[step % len(program.tables), at, 0] == 0:
            program.noted.append((step % len(program.tables), at, "python"))
            at += 1
    assert (step, at) == (last, 0)
    return stops


@settings(max_examples=30, deadline=None)
@given(
    phases=st.integers(1, 3), count=st.integers(1, 5), first=st.integers(0, 7), steps=st.integers(0, 9), data=st.data()
)
def test_every_instruction_of_every_step_is_carried_out_once_and_in_order(phases, count, first, steps, data):
    python = data.draw(st.sets(st.integers(0, count - 1)))
    number = st.integers(-1000, 1000)
    patches = data.draw(st.lists(st.tuples(st.integers(0, count - 1), number, number), unique_by=lambda p: p[0]))
    program = Program(phases, count, python, patches)
    to_the_end(program, first, first + steps)
    bases = {n: (base, stride) for n, base, stride in patches}

    def noted(step, n):
        base, stride = bases.get(n, (0, 0))
        return step % phases, n, "python" if n in python else base + step * stride

    assert program.noted == [noted(step, n) for step in range(first, first + steps) for n in range(count)]


@given(count=st.integers(1, 5), flag_at=st.integers(0, 19))
@settings(max_examples=30, deadline=None)
def test_the_instruction_that_sets_the_flag_is_the_last_one(count, flag_at):
    program = Program(2, count, flag_at=flag_at)
    step = at = 0
    while not program.flag[0] and step < 20:
        step, at = program.driver.run(step, at, 20)
    assert (step, at) == (flag_at // count, flag_at % count + 1)
    assert len(program.noted) == flag_at + 1
    program.flag[0] = 0
    while step < 20:
        step, at = program.driver.run(step, at, 20)
    assert len(program.noted) == 20 * count


def test_it_comes_back_between_steps_for_signals(monkeypatch):
    monkeypatch.setattr(driver, "PAUSE", 0.01)
    program = Program(1, 2)
    program.functions[0][1] = slow = FUNCTION(lambda words: time.sleep(0.002))
    program.tables[0, 1, 0] = ctypes.cast(slow, ctypes.c_void_p).value
    step, longest = 0, 0
    while step < 40:
        before = step
        step, at = program.driver.run(step, 0, 40)
        assert at == 0
        longest = max(longest, step - before)
    assert longest <= 8
    assert len(program.noted) == 40


def test_a_program_without_instructions_ends():
    program, step = Program(1, 0), 3
    while step < 1_000:
        step, at = program.driver.run(step, 0, 1_000)
    assert (step, at) == (1_000, 0)
