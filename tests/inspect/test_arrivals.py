"""What gradients would be without a cut, as the explorer says beside the cut: the same as `without` finds."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recordings import by_hand, crossing, penalized, run, skipping, stacks, trained

import tinyhyper as th
from tinyhyper.inspect import without
from tinyhyper.inspect.arrivals import Uncut, arrivals, uncut
from tinyhyper.inspect.ghosts import Rerun, arrived, size
from tinyhyper.inspect.graph import Graph


def told(tape):
    """By cut and name, what `arrivals` says."""
    graph = Graph(tape)
    found = {(one.cut, graph.tuned(one.place)): one.value for one in arrivals(Graph(tape))}
    assert len(found) == len(arrivals(Graph(tape)))
    return found


def asked(tape):
    """By cut and name, what `without` says of the cuts of values with a graph."""
    found = {}
    for cut in tape.cuts:
        for name, _, _, new, _ in without(tape, cut).rows if cut.severed else ():
            found[cut.number, name] = new
    return found


def agree(tape, rel=1e-9):
    found, known = told(tape), asked(tape)
    assert found and {key: known.get(key) for key in found} == pytest.approx(found, rel=rel, nan_ok=True)
    roles = {"weights", "hyperparameter"}
    graph, named = Graph(tape), set()
    for node in tape.nodes:
        for n, output in enumerate(node.outputs):
            if output.label is not None and output.label.role in roles and node.kind != "constant":
                named.add(graph.tuned((node.number, n)))
    assert {key for key in known if key[1] in named} <= {*found}


@pytest.mark.either_backend
@given(stack=stacks.filter(lambda stack: "/" in stack), seed=st.integers(0, 9))
def test_what_arrives_without_a_cut_is_what_a_run_without_it_finds(stack, seed):
    agree(run(stack, steps=2, seed=seed)[0])


@given(st.lists(st.floats(0.1, 2.0), min_size=1, max_size=4), st.integers(-3, 3))
@example([1.0, 2.0], 0)
def test_a_gradient_that_is_0_up_to_rounding_without_a_cut_too_does_not_differ(starts, power):
    """In the first step w[1] does not change with Adam's beta1, however large the gradient is that arrives at w[1]."""
    tape = trained("adam(0.01)/sgd(1e-9)", 3, {"w": [start * 10.0**power for start in starts]}, ghosts=True)
    (cut,) = (cut for cut in tape.cuts if Graph(tape).name(cut.place) == "w[1]" and cut.reason == "weights")
    names = [row[0] for row in without(tape, cut).rows]
    assert {"w[1]", "alpha[1]"} <= {*names} and "u(beta1[1])" not in names
    assert f"{len(names)} gradients differ." in without(tape, cut).text
    assert (cut.number, "u(beta1[1])") not in told(tape)
    agree(tape)


@pytest.mark.parametrize("text", ["sgd(0.1, horizon=3)/sgd(0.01)", "sgd(0.1, horizon=2, objective=sum)/sgd(0.01)"])
def test_in_windows(text):
    agree(trained(text, 7, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True, create_graph=True))


@pytest.mark.either_backend
def test_in_float32_and_in_a_graph_without_steps():
    agree(trained("adam/sgd", 3, {"w": np.ones(3, np.float32)}, ghosts=True), rel=1e-6)
    agree(tape := crossing())
    assert [(one.place, one.value) for one in arrivals(Graph(tape))][0] == ((1, 0), pytest.approx(asked(tape)[0, "b"]))


def test_numbers_come_first_and_without_ghosts_nothing_is_known():
    tape = trained("sgd(0.1)/sgd(0.01)", 2, ghosts=True)
    graph = Graph(tape)
    assert [(one.cut, graph.name(one.place)) for one in arrivals(Graph(tape))][:2] == [(0, "alpha[0]"), (2, "w[0]")]
    assert arrivals(Graph(by_hand())) == [] and arrivals(Graph(th.inspect.Recording.from_json(tape.to_json()))) == []


def test_what_a_skipped_step_left_is_not_finite():
    found = [one.value for one in arrivals(Graph(skipping(factors=(1.0, np.nan, 1.0, 1.0), ghosts=True)))]
    assert not np.isfinite(found).all() and np.isfinite(found).any()


# Without any cut.


def looped(start, rate, cut):
    """Steps made by hand, with cuts or without: what they begin with, and their losses."""
    w, alpha = (th.tensor(value, requires_grad=True) for value in (start, rate))
    begun, losses = [w, alpha], []
    for _ in range(3):
        g = 2.0 * w
        w = (w.detach("weights") if cut else w) - alpha * (g.detach("gradient") if cut else g)
        losses.append(th.sum(th.tanh(w) ** 2))
    return begun, losses


@pytest.mark.either_backend
@given(st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=3), st.floats(0.01, 0.4))
def test_without_any_cut_gradients_are_those_of_a_run_that_makes_none(start, rate):
    with th.record(ghosts=True) as tape:
        begun, losses = looped(start, rate, cut=True)
        for loss in losses:
            loss.backward()
    begun, losses = looped(start, rate, cut=False)
    true = [size(gradient.numpy()) for gradient in th.gradients(sum(losses), begun)]
    leaves = {place: value for place, value, _ in uncut(Graph(tape)).places if tape.node(place).kind == "leaf"}
    assert [leaves[place] for place in sorted(leaves)] == pytest.approx(true, rel=1e-9, abs=1e-12)


def sums(tape):
    """That one sweep from all losses finds what a sweep from each adds up to."""
    each, found = arrived(Rerun(tape, opened={cut.number for cut in tape.cuts}, ghosts=True)), uncut(Graph(tape))
    for known, rows in ((each.places, found.places), (each.cuts, found.cuts)):
        assert rows
        for key, value, nil in rows:
            assert value == pytest.approx(size(known[key]), rel=1e-6, abs=1e-12)
            assert not nil or abs(value) < 1e-9
    assert {cut for cut, *_ in found.cuts} == {*each.cuts}
    named = {place for place in each.places if (label := tape.output(place).label) and label.role == "hyperparameter"}
    assert named <= {place for place, *_ in found.places}


@given(stack=stacks.filter(lambda stack: "/" in stack), seed=st.integers(0, 9))
def test_without_any_cut_all_losses_are_added_up(stack, seed):
    sums(run(stack, steps=3, seed=seed)[0])


@pytest.mark.parametrize("text", ["sgd(0.1, horizon=3)/sgd(0.01)", "sgd(0.1, horizon=2, objective=sum)/sgd(0.01)"])
def test_without_any_cut_in_windows_and_at_gates(text):
    sums(trained(text, 7, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True, create_graph=True))
    sums(penalized(5, ghosts=True))


def test_without_any_cut_what_is_0_up_to_rounding_is_marked_and_skipped_steps_send_nothing():
    tape = trained("adam(0.01)/sgd(1e-9)", 2, ghosts=True)
    graph = Graph(tape)
    found = uncut(graph)
    assert [nil for place, _, nil in found.places if graph.name(place) == "beta1[1]"] == [True]
    assert [nil for place, _, nil in found.places if graph.name(place) == "alpha[1]"] == [False]
    values = [value for _, value, _ in uncut(Graph(skipping(ghosts=True))).places]
    assert len(values) > 5 and np.isfinite(values).all()
    assert uncut(Graph(by_hand())) == Uncut([], []) == uncut(Graph(th.inspect.Recording.from_json(tape.to_json())))
