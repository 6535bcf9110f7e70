"""How much a page holds and what making it takes, for each step."""

import json
import sys
from dataclasses import dataclass, make_dataclass
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import unpacked
from recordings import trained

from tinyhyper.inspect.exchange import file
from tinyhyper.inspect.explorer import page
from tinyhyper.inspect.packing import packed
from tinyhyper.inspect.paths import _gradients
from tinyhyper.inspect.schema import dumps

TOWER = "sgd(0.01)/sgd(1e-3)/sgd(1e-4)"
FEW = (10, 20, 40)  # steps


@dataclass
class Part:
    name: str | None
    sizes: tuple[int, ...]


NUMBERS = st.integers(-3, 3) | st.integers(0, 2**53)
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | st.sampled_from([0.0, -0.0, 1.0]) | st.text(max_size=2)
PARTS = st.builds(Part, st.none() | st.text(max_size=1), st.lists(NUMBERS, max_size=3).map(tuple))
FIELDS = {
    "number": NUMBERS,
    "maybe": st.none() | NUMBERS,
    "scalar": SCALARS,
    "place": st.none() | st.tuples(NUMBERS, NUMBERS),
    "line": st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 9), max_size=2).map(tuple)),
    "numbers": st.none() | st.lists(NUMBERS, max_size=3),
    "parts": st.lists(PARTS, max_size=3),
    "part": st.none() | PARTS,
}
Row = make_dataclass("Row", FIELDS)
Table = make_dataclass("Table", ["rows"])


@given(st.lists(st.builds(Row, **FIELDS), max_size=12), st.integers(1, 6))
def test_what_is_packed_is_there_when_it_is_unpacked(rows, times):
    table = Table(rows * times)
    text = json.dumps(unpacked(json.loads(dumps(packed(table))))[0])
    assert text == json.dumps(json.loads(dumps(table)))  # as text: 1, True and 1.0 differ, and 0.0 and -0.0


@pytest.mark.parametrize("ghosts", [False, True])
def test_each_step_adds_the_same_few_bytes(ghosts):
    sizes = [len(dumps(packed(file(trained(TOWER, steps, ghosts=ghosts))))) for steps in (50, 100, 200)]
    small, large = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert large < 2.2 * small  # seconds have more digits, or fewer
    assert 600_000 + 300 * large / 100 < 1_500_000  # a page of 300 steps; without a step it has less than 600 kB
    assert len(page(trained(TOWER, 1))) < 600_000


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
