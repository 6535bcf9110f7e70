"""A gate is where a loss reads a number outside the optimizer: it is printed, drawn and saved as one."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, run_together, tips
from recordings import penalized, tower, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect import Recording
from tinyhyper.inspect.captions import LEGEND
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph, flow_in
from tinyhyper.inspect.passes import passes
from tinyhyper.inspect.text import GATE

runs = st.builds(penalized, st.integers(1, 5), st.integers(2, 3), st.booleans(), st.sampled_from(["log", "linear"]))


def gated(tape):
    """The edges along which the gradient of a loss stops at a gate."""
    return [edge for edge in tape.edges if flow_in(tape, edge) == "gate"]


@given(st.integers(1, 5), st.integers(2, 3), st.sampled_from(["log", "linear"]))
def test_a_loss_stops_at_the_gates_that_are_told(steps, horizon, how):
    """A second run has gates of its own: with ghosts, it says where the gradient of each loss arrives."""
    known, again = (penalized(steps, horizon, ghosts, how) for ghosts in (False, True))
    assert known.gates == again.gates and len(known.gates) == steps == len(gated(known))
    for one, other in zip(passes(Graph(known)), passes(Graph(again)), strict=True):
        found, true = ({stop.place for stop in each.stops if stop.place} for each in (one, other))
        assert found == true


@given(runs)
def test_the_tree_has_a_sign_at_each_gate_and_says_what_it_is(tape):
    lines = tape.tree().splitlines()
    body = [line for line in lines if line != GATE]
    assert lines.count(GATE) == 1 and sum(line.count("⊘ positive") for line in body) == len(gated(tape))
    assert f"{sum(flow_in(tape, edge) == 'kept' for edge in tape.edges)} edges kept" in lines[0]
    assert GATE not in tower().tree() and tape.to_dot().count("⊘") == len(gated(tape))


@example(penalized(4, 2), 5)
@given(runs, st.integers(1, 3))
def test_the_picture_has_a_ring_on_each_arrow_with_a_gate(tape, steps):
    root, shown = ElementTree.fromstring(inspect.svg(tape, steps=steps)), figure(tape, count=steps)
    gates = [arrow for arrow in shown.arrows if arrow.flow == "gate"]
    assert len(classes(root, "th-ring")) == len(classes(root, "th-gate")) == len(gates)
    assert len(tips(root, "gate")) == len(gates) + bool(gates)
    assert all((one.source.lane, one.target.kind) == (1, "loss") for one in gates)
    assert not any(a.source.lane and a.target.kind == "loss" for a in shown.arrows if a.flow == "kept")
    texts = [text.text for text in root.iter(SPACE + "text")]
    assert (LEGEND["gate"] in texts) == bool(gates)
    assert collisions(root) == []
    assert not any("gate" in pair and "cut" in pair for pair in run_together(root))


def test_a_graph_without_steps_has_a_ring_too():
    w = th.tensor([1.0, -2.0], requires_grad=True)
    optimizer = th.optim.SGD(0.05, horizon=2, outside={"decay": 0.1}, optimizer=th.optim.SGD(0.1))
    with th.record() as tape:
        (th.sum(w**2) * optimizer.outside["decay"]).backward()
    root = ElementTree.fromstring(inspect.svg(tape))
    assert len(classes(root, "th-ring")) == len(classes(root, "th-gate")) == 1 and collisions(root) == []


@given(runs)
def test_json_has_the_gates_and_json_of_before_has_none(tape):
    text = tape.to_json()
    assert Recording.from_json(text).gates == tape.gates
    assert str(Recording.from_json(text)) == str(tape)
    old = json.loads(text)
    assert old.pop("gates") == sorted(map(list, tape.gates))
    read = Recording.from_json(json.dumps(old | {"version": 3}))
    assert read.gates == set() and "⊘" not in str(read) and read.nodes == tape.nodes and read.edges == tape.edges


@pytest.mark.parametrize("place", [[10**6, 0], [0, 7]])
def test_a_gate_at_no_value_is_refused(place):
    loaded = json.loads(penalized(1).to_json())
    with pytest.raises(th.ArgumentError, match=r"gates\[0\]"):
        Recording.from_json(json.dumps(loaded | {"gates": [place]}))
    with pytest.raises(th.ArgumentError, match="gates"):  # which a tape of before has not
        Recording.from_json(json.dumps({key: value for key, value in loaded.items() if key != "gates"}))


def test_why_the_last_number_has_no_gradient():
    tape = penalized(4, 2, ghosts=True)
    assert "A loss reads decay[3] at a gate" in " ".join(str(inspect.why_zero(tape, "decay[3]")).split())
    assert "It is not zero" in str(inspect.why_zero(tape, "decay[1]"))
    assert np.isclose(sum(part[1] for part in inspect.paths(tape, "decay[1]").rows), -0.0111, rtol=1e-2)


def test_a_run_without_the_number_differs_by_its_gates():
    plain = trained("sgd(0.05, horizon=3)/sgd(0.1)", 2, create_graph=True)
    rows = {row[:2]: row[2:] for row in inspect.differences(plain, penalized(2)).rows}
    assert rows["decay", "loss"] == ("–", "kept for later losses") and rows["decay", "∂loss/∂w"] == ("–", "kept")
