"""How much a page holds and what making it takes, for each step."""

import gc
import sys
from unittest.mock import patch

import pytest
from recordings import trained

from tinyhyper.inspect.equation import Equation
from tinyhyper.inspect.exchange import file
from tinyhyper.inspect.explorer import page
from tinyhyper.inspect.paths import _gradients

TOWER = "sgd(0.01)/sgd(1e-3)/sgd(1e-4)"
FEW = (10, 20, 40)  # steps


@pytest.mark.parametrize("ghosts", [False, True])
def test_each_step_adds_the_same_few_bytes(ghosts):
    none, *sizes = [len(page(trained(TOWER, steps, ghosts=ghosts))) for steps in (1, 50, 100, 200)]
    small, large = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert large < 2.2 * small  # seconds have more digits, or fewer
    assert none < 300_000 and none + 3 * large < 700_000  # of 300 steps


def test_a_page_is_made_without_a_search_for_cycles_in_its_recording():
    tape, searches = trained(TOWER, 40, ghosts=True), []
    gc.callbacks.append(lambda phase, found: searches.append(phase))
    try:
        page(tape)
    finally:
        del gc.callbacks[-1]
    assert searches.count("start") <= 1 and gc.isenabled()  # one may follow at its end


def instructions(call):
    """How many instructions of Python a call takes."""
    count, before = 0, sys.gettrace()

    def trace(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("ghosts", [False, True])
def test_making_a_page_takes_as_much_for_each_step(ghosts):
    page(trained(TOWER, 2, ghosts=ghosts))  # what is done only once
    counts = [instructions(lambda tape=tape: page(tape)) for tape in (trained(TOWER, n, ghosts=ghosts) for n in FEW)]
    assert counts[2] - counts[1] < 2.1 * (counts[1] - counts[0])


def test_the_equation_of_operations_alike_is_found_once():
    counts = []
    for steps in (2, 6):
        with patch("tinyhyper.inspect.opened.Equation", side_effect=Equation) as made:
            page(trained("adam/sgd", steps, {"w": [1.0, -2.0], "b": 0.5}))
        counts.append(made.call_count)
    assert counts[0] == counts[1] > 0


def test_no_path_is_swept_twice_for_a_page():
    """Many hyperparameters get their gradients along the same first part of a path."""
    swept = []

    def listening(*given):
        swept.append(given)
        return _gradients(*given)

    tape = trained("adam/adam/sgd", 3, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True)
    with patch("tinyhyper.inspect.paths._gradients", listening):
        paths = file(tape).paths
    through = [part.through for path in paths for part in path.parts]
    begun = {one[:n] for one in through for n in range(1, len(one))}
    assert len(swept) == len(begun) < sum(len(one) - 1 for one in through)
