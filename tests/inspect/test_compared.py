"""The picture of a difference marks the arrows that one of two recordings alone has, and no others."""

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import classes, collisions, texts
from recordings import by_hand, run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.captions import own
from tinyhyper.inspect.compared import Comparison
from tinyhyper.inspect.figure import FIXED, figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.questions import FLOWS
from tinyhyper.optim import SGD


def drawn(first, second):
    """The picture of a difference."""
    return ElementTree.fromstring(inspect.differences(first, second).svg())


def bands(root, which):
    """The arrows that are marked as so in one recording only."""
    return [part.get("d") for part in classes(root, f"th-{which}") if part.tag.endswith("path")]


def wanted(tape, start, differing):
    """The arrows of a recording that stand for some of these differences. differing: pairs of names, and a flow."""
    shown, graph = figure(tape, start), Graph(tape)
    names = {key: set() for key in shown.boxes}
    for place, key in shown.where.items():
        names[key].add(graph.known(place, timeless=True))
    names |= {a.source: set() for a in shown.arrows if a.source.step == FIXED}
    for lane, fixed in shown.fixed.items():
        for key in names:
            if (key.lane, key.step) == (lane, FIXED):
                names[key] |= {own(name, lane).title for name in fixed}
    return {
        (a.source, a.target, a.flow)
        for a in shown.arrows
        if any((n, m, FLOWS.get(a.flow)) in differing for n in names[a.source] for m in names[a.target])
    }


def flowing(cell):
    return {flow for flow in FLOWS.values() if flow in cell.replace("sometimes ", "").split(", ")}


HORIZONS = st.sampled_from([1, 1, 2])


def taped(stack, horizon, seed):
    text = f"{stack}/sgd(1e-3)"
    if horizon > 1:
        bottom, _, above = text.partition("/")
        text = f"{bottom.removesuffix(')')}, horizon={horizon}) / {above}"
    return run(text, steps=3, seed=seed, ghosts=False, create_graph=horizon > 1)[0]


@given(stacks, HORIZONS, stacks, HORIZONS, st.integers(0, 5))
@example("sgd(0.05)", 1, "sgd(0.05)/sgd(0.05)", 1, 0)
@example("sgd(0.05)/sgd(0.05)", 1, "sgd(0.05)", 2, 0)
@example("adam(0.05)", 2, "sgd(0.05, mu=0.5)", 1, 0)
def test_the_arrows_that_are_marked_are_those_in_the_difference(one, wide, other, wider, seed):
    tapes = taped(one, wide, seed), taped(other, wider, seed)
    rows = inspect.differences(*tapes).rows
    cells = [(source, target, flowing(mine), flowing(theirs)) for source, target, mine, theirs in rows]
    compared = Comparison(*tapes)
    shown = compared.figure()
    start = shown.steps[0]
    marked = {
        which: {(a.source, a.target, a.flow) for a in shown.arrows if which in a.only} for which in ("first", "second")
    }
    mine = {(source, target, flow) for source, target, a, b in cells for flow in a - b}
    theirs = {(source, target, flow) for source, target, a, b in cells for flow in b - a}
    assert marked["first"] == wanted(tapes[0], start, mine)
    assert marked["second"] == wanted(tapes[1], start, theirs)
    own_boxes = figure(tapes[1], start)
    assert {(a.source, a.target, a.flow) for a in shown.arrows if not a.gone} == {
        (a.source, a.target, a.flow) for a in own_boxes.arrows
    }
    assert {key for key, box in shown.boxes.items() if not box.gone} == set(own_boxes.boxes)
    assert all(a.only == {"first"} or a.flow == "backward" for a in shown.arrows if a.gone)
    turned = Comparison(*reversed(tapes))
    assert turned.only == compared.only[::-1] and bool(rows) == any(compared.only)


@given(stacks, stacks)
@example("sgd(0.05)/sgd(0.05)", "sgd(0.05)")
@example("sgd(0.05)", "sgd(0.05)/sgd(0.05)")
def test_what_is_marked_is_drawn_once_and_said_in_the_legend(one, other):
    tapes = taped(one, 1, 0), taped(other, 1, 0)
    shown, root = Comparison(*tapes).figure(), drawn(*tapes)
    words = [text for text, _ in texts(root)]
    for which in ("first", "second"):
        count = sum(which in arrow.only for arrow in shown.arrows)
        assert len(bands(root, which)) == len({*bands(root, which)}) == count
        assert any(f"only in the {which} recording" in text for text in words) == bool(count)
    boxes = [part for part in root.iter() if part.get("class") == "th-gone" and part.find("*[@rx]") is not None]
    bars = {a.source.lane for a in shown.arrows if a.gone and a.source.step == FIXED}
    bars -= {key.lane for key in shown.boxes} | {a.source.lane for a in shown.arrows if not a.gone}
    assert len(boxes) == sum(box.gone for box in shown.boxes.values()) + len(bars)


def tower(optimizer, **how):
    params = {"w": [1.0, -2.0]}
    return trained(optimizer, 3, params, lambda params: th.sum(th.tanh(params["w"]) ** 2), **how)


PLAIN = tower(SGD(0.1, optimizer=SGD(0.01)))
TALLER = tower(SGD(0.1, optimizer=SGD(0.01, optimizer=SGD(1e-4))))
WINDOW = tower(SGD(0.1, horizon=2, optimizer=SGD(0.01)), create_graph=True)


@pytest.mark.parametrize(
    "first, second, only",
    [
        (PLAIN, PLAIN, ([], [])),
        (TALLER, TALLER, ([], [])),
        (PLAIN, WINDOW, ([], ["kept"] * 2)),
        (WINDOW, PLAIN, (["kept"] * 2, [])),
        (PLAIN, TALLER, (["value"] * 3, ["cut"] * 4 + ["kept"] * 3 + ["value"] * 3)),
        (TALLER, PLAIN, (["cut"] * 4 + ["kept"] * 3 + ["value"] * 3, ["value"] * 3)),
    ],
)
def test_what_a_window_and_a_level_change_is_marked(first, second, only):
    arrows = Comparison(first, second).figure().arrows
    for which, flows in zip(("first", "second"), only):
        assert sorted(arrow.flow for arrow in arrows if which in arrow.only) == flows
    root = drawn(first, second)
    assert collisions(root) == []
    scissors = [part for part in classes(root, "th-scissors") if "th-gone" in part.get("class")]
    assert len(scissors) == only[0].count("cut")


def test_a_level_that_only_the_first_has_is_drawn_pale_and_its_hyperparameter_is_fixed():
    words = [text for text, _ in texts(drawn(TALLER, PLAIN))]
    assert "fixed: kappa" in words and "moved by SGD, level 2" not in words
    words = [text for text, _ in texts(drawn(PLAIN, TALLER))]
    assert "fixed: kappa" not in words and "moved by SGD, level 2" in words


def test_an_arrow_that_both_have_of_which_a_part_is_the_firsts_alone_is_marked_and_not_pale():
    tapes = taped("adam(0.05)", 1, 0), taped("sgd(0.05)", 1, 0)
    found = [arrow for arrow in Comparison(*tapes).figure().arrows if "first" in arrow.only and not arrow.gone]
    assert ("kept", 1, 0) in {(arrow.flow, arrow.source.lane, arrow.target.lane) for arrow in found}


def test_the_steps_that_are_shown_are_those_of_the_second_where_most_differs():
    """Of a longer run the last such steps; where the first has no such steps, or none at all, its own are not drawn."""
    params = {"w": [1.0, -2.0]}
    long = trained(SGD(0.1, horizon=2, optimizer=SGD(0.01)), 8, params, create_graph=True)
    assert Comparison(PLAIN, long).figure().steps == [6, 7, 8]
    shown = Comparison(TALLER, trained("sgd(0.1)/sgd(0.01)", 8, params)).figure()
    assert any(arrow.gone for arrow in shown.arrows) and shown.steps == [2, 3, 4]
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as graph:
        (x * x.detach()).backward()
    assert not any(arrow.gone for arrow in Comparison(graph, PLAIN).figure().arrows)
    assert bands(drawn(PLAIN, graph), "second") == []


def test_the_sizes_of_both_are_said_in_the_picture():
    words = [text for text, _ in texts(drawn(PLAIN, TALLER))]
    for which in ("first", "second"):
        assert sum(text.startswith(f"On average a step of the {which} has ") for text in words) == 1
    assert any(text.startswith("From SGD(alpha=0.1) / SGD(alpha=0.01) to ") for text in words)
    assert not any("From " in text for text, _ in texts(drawn(by_hand(), by_hand())))
