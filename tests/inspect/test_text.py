"""A printed recording shows every cut, and fits the page; docs/inspect.md has the whole tree of two steps."""

import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import tower, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.text import shorten


def test_a_value_read_twice_is_printed_once():
    body = str(tower(parameters=2))
    assert body.count("alpha[2] = SGD.rule") == 1
    assert any("alpha[2] …" in line and "see above" in line for line in body.splitlines())


@pytest.mark.parametrize("text", ["sgd", "adam/sgd", "adam/adam/sgd", "/".join(["sgd"] * 8)])
def test_every_cut_has_its_scissors_and_the_number_to_ask_by(text):
    tape = tower(text, parameters=2)
    body = tape.tree().split("\n", 2)[2]
    assert body.count("✂") == sum(edge.flow == "cut" for edge in tape.edges)
    told = {int(number): name for number, name in re.findall(r"✂(\d+) (\S+)", body)}
    graph = inspect.graph.Graph(tape)
    assert told == {cut.number: graph.name(cut.place).split()[0] for cut in tape.cuts}
    drawn = " ".join(re.findall(r">(cuts? [\d, …]+)<", th.inspect.svg(tape)))
    assert {int(number) for number in re.findall(r"\d+", drawn)} <= told.keys()


@given(st.lists(st.sampled_from(["w", "encoder.layers.12.attention.output.weight", "b" * 60]), min_size=1, unique=True))
def test_the_columns_of_a_tree_stand_one_below_the_other(names):
    text = "adam/sgd" if len(names) == 1 else "adam/adam/sgd"
    tape = trained(text, 3, {name: [1.0, -2.0] for name in names}, ghosts=True)
    lines = [line for line in tape.tree().splitlines()[3:] if not line.startswith("──")]
    assert max(map(len, lines)) <= 100
    ends = {len(line[:55].rstrip()) for line in lines if re.match(r".{44} +\S+  \S", line)}
    assert ends == {55} and sum("tower.py:" in line for line in lines) > 9
    for line in lines:
        assert len(line) <= 45 or line[44] == " " or not re.search(r"tower.py:\d+$|recordings.py:\d+$", line)


CELLS = ["/tmp/ipykernel_8123/1895376489.py", "C:\\Temp\\ipykernel_8\\12.py", "<ipython-input-3-d41d8cd98f00>"]


@pytest.mark.parametrize("file", CELLS)
def test_code_of_a_notebook_is_of_a_cell(file, monkeypatch):
    shorten.cache_clear()
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert shorten(file) == "cell"
    shorten.cache_clear()
    compile = SimpleNamespace(format_code_name=lambda name: ("Cell", "In[3]") if name == file else None)
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(compile=compile))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert shorten(file) == "cell In[3]" and shorten("/home/me/ipykernel/1.py") == "1.py"
    shorten.cache_clear()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert shorten(file) == "cell"
    shorten.cache_clear()


@given(st.integers(1, 60), st.booleans())
def test_any_depth_and_width_fits_the_page(depth, branching):
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as tape:
        y = x
        for _ in range(depth):
            y = y + (y * 0.5 if branching else 1.0)
    assert all(len(line) <= 100 for line in tape.tree().splitlines())


@pytest.mark.slow
def test_a_long_chain_is_elided_and_counted():
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as tape:
        y = x
        for _ in range(20_000):
            y = y + 1.0
    assert "more … ←" in str(tape)
    assert len(str(tape).splitlines()) < 10


def test_a_long_recording_is_cut_short_with_a_word_on_what_is_missing():
    tape = tower("adam/sgd", steps=30)
    last = str(tape).splitlines()[-1]
    assert "nodes left out" in last and "tape.tree()" in last
    assert len(tape.tree().splitlines()) > len(str(tape).splitlines())


def test_an_empty_recording_prints():
    with th.record() as tape:
        pass
    assert str(tape) == "Recording: 0 steps, 0 nodes, 0 edges kept, 0 cuts ✂"
