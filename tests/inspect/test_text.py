"""A printed recording shows every cut, and fits the page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import tower, trained

import tinyhyper as th


def test_the_tree_of_two_steps():
    lines = str(tower()).splitlines()
    branches = [" ".join(line[:44].split()) for line in lines[3:]]
    assert lines[2] == "kappa is the alpha of level 1."
    assert branches == [
        "── step 2 ────────────────────────",
        "w0[2] = SGD.rule",
        "├─ ✂ w0[1]",
        "├─ ✂ ∂loss[1]/∂w0[1]",
        "└─ alpha[2] = SGD.rule",
        "├─ ✂ alpha[1]",
        "├─ ✂ ∂loss[1]/∂alpha[1]",
        "└─ kappa",
        "── step 1 ────────────────────────",
        "loss[1] = add(0, ·) ← mean ← square ← tanh",
        "└─ w0[1] = SGD.rule",
        "├─ ✂ w0[0]",
        "├─ ✂ ∂loss[0]/∂w0[0]",
        "└─ alpha[1] = SGD.rule",
        "├─ ✂ alpha[0]",
        "├─ ✂ ∂loss/∂alpha",
        "└─ kappa",
        "── step 0 ────────────────────────",
        "loss[0] = add(0, ·) ← mean ← square ← tanh",
        "└─ w0[0]",
    ]
    assert "weights, tinyhyper/core/tower.py:" in lines[5] and "hyperparameter, tinyhyper/core/tower.py:" in lines[8]
    assert lines[4].endswith("recordings.py:" + str(trained.__code__.co_firstlineno + 7))


@pytest.mark.parametrize("text", ["sgd", "sgd/sgd", "adam/sgd", "adam/adam/sgd", "/".join(["sgd"] * 8)])
def test_every_cut_has_its_scissors(text):
    tape = tower(text, parameters=2)
    body = tape.tree().splitlines()[2:]
    assert sum(line.count("✂") for line in body) == sum(edge.flow == "cut" for edge in tape.edges)
    assert max(map(len, body)) <= 100


def test_a_value_read_twice_is_printed_once():
    body = str(tower(parameters=2))
    assert body.count("alpha[2] = SGD.rule") == 1
    assert any("alpha[2] …" in line and "see above" in line for line in body.splitlines())


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
