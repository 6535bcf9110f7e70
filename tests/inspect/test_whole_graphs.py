"""Answers about a graph without optimizer steps: their pictures say what was asked, and show it."""

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import classes, collisions, texts

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.boxes import Boxes
from tinyhyper.inspect.captions import ONLY
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.pair import Pair
from tinyhyper.inspect.records import walk


def by_hand(steps=2, cut_weights=True, cut_gradient=True, extra=False):
    """Steps of a function that makes them itself; the recording is told of none."""
    w, alpha, x = th.tensor(3.0, requires_grad=True), th.tensor(0.1, requires_grad=True), 2.0
    with th.record(ghosts=True) as tape:
        for _ in range(steps):
            ((w * x - 1.0) ** 2).backward(retain_graph=True)
            g = w.grad.detach("the gradient") if cut_gradient else w.grad
            moved = th.tanh(alpha) * g if extra else alpha * g
            w = ((w.detach("the old weight") if cut_weights else w) - moved).retain_grad()
        loss = (w * x - 1.0) ** 2
        loss.backward()
    return tape


def drawn(answer):
    return ElementTree.fromstring(answer.svg())


def said(root):
    return [text for text, _ in texts(root)]


@pytest.mark.parametrize(
    "asked", [inspect.cuts, lambda tape: inspect.paths(tape, "alpha"), lambda tape: inspect.why_zero(tape, "alpha"),
              lambda tape: inspect.without(tape, 1), lambda tape: inspect.differences(tape, tape)],
)  # fmt: skip
def test_the_question_is_the_title_and_nothing_is_run_over(asked):
    answer = asked(by_hand())
    root = drawn(answer)
    title = " ".join(text.text for text in classes(root, "th-title"))
    assert answer.question in title and root.find("{*}title").text == answer.question
    assert collisions(root) == []


@given(st.integers(1, 3), st.data())
def test_the_cut_that_is_asked_about_is_drawn_as_left_out_and_all_others_as_cut(steps, data):
    tape = by_hand(steps)
    cut = data.draw(st.sampled_from(tape.cuts))
    root, plain = drawn(inspect.without(tape, cut)), ElementTree.fromstring(inspect.svg(tape))
    assert len(classes(root, "th-scissors")) == len(classes(plain, "th-scissors")) - 1
    assert f"cut {cut.number}" not in said(root)
    assert len(classes(root, "th-asked")) == cut.severed
    assert (f"without cut {cut.number}" in said(root)) == cut.severed
    assert (f"without cut {cut.number}: the gradient would flow back" in said(root)) == cut.severed
    assert collisions(root) == []


RUNS = st.builds(by_hand, st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())


def kinds(graph):
    """What joins what, in words."""
    return {(graph.caption(s)[0], graph.caption(t)[0], flow) for s, t, flow, _ in graph.joins}


@given(RUNS, RUNS)
@example(by_hand(), by_hand(cut_weights=False))
@example(by_hand(), by_hand(extra=True))
def test_what_differs_between_two_graphs_is_marked_and_no_more(first, second):
    graphs = Boxes(first), Boxes(second)
    pair, turned = Pair(*graphs), Pair(*reversed(graphs))
    root = drawn(inspect.differences(first, second))
    found = [*pair.differ.values()]
    for mark, words in ONLY.items():
        marked = classes(root, f"th-{mark}")
        assert len([part for part in marked if part.get("d")]) == found.count(mark)
        assert len([part for part in marked if part.get("rx")]) == [*pair.alone.values()].count(mark)
        assert (words in said(root)) == bool(marked)
    assert bool(found) == bool(turned.differ) == (kinds(graphs[0]) != kinds(graphs[1]))
    alone = {which: [*one.alone.values()].count(which) for which in ("first", "second") for one in [pair]}
    assert [*turned.alone.values()].count("first") == alone["second"]
    assert len(pair.inside) - alone["first"] == len(graphs[1].inside)
    assert len(pair.joins) - found.count("first") == len(graphs[1].joins)
    assert collisions(root) == []


def test_a_cut_that_is_forgotten_is_marked_at_its_own_edge_alone():
    right, wrong = by_hand(1), by_hand(1, cut_weights=False)
    pair = Pair(Boxes(right), Boxes(wrong))
    found = {(*(pair.caption(box)[0] for box in join[:2]), join[2], mark) for join, mark in pair.differ.items()}
    assert found == {("w", "loss[1]", "kept", "cut-first")}
    answer = inspect.differences(right, wrong)
    assert ("w", "loss[1]", "cut", "kept") in answer.rows
    assert not [mark for mark in classes(drawn(answer), "th-scissors") if "th-gone" in mark.get("class")]


def test_of_graphs_too_large_to_be_drawn_whole_nothing_is_marked():
    def chain(scale):
        w = th.tensor(0.5, requires_grad=True)
        with th.record() as tape:
            x = w
            for _ in range(90):
                x = x * w + scale * w
        return tape

    root = drawn(inspect.differences(chain(1.0), chain(2.0)))
    assert not any(classes(root, f"th-{mark}") for mark in ONLY) and "The newest 80" not in " ".join(said(root))


@given(st.sampled_from([1, 1.5]), st.booleans())
def test_the_numbers_of_a_backward_pass_keep_off_its_captions_and_boxes(scale, ghosts):
    w, x, y = (th.tensor(value, requires_grad=True) for value in (3.0, 2.0, 1.0))
    with th.record(ghosts) as tape:
        ((w * x - y) ** 2 + w * w).backward()
    for picture in tape.frames(scale=scale):
        found = collisions(ElementTree.fromstring(picture))
        assert [one for one in found if "arrow" not in one] == []


INNER = {
    "square": lambda w, decay: th.sum(w**2) * decay,
    "tanh": lambda w, decay: th.sum(th.tanh(w * decay)),
    "product": lambda w, decay: w[0] * w[1] + decay,
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("create_graph", [True, False])
@pytest.mark.parametrize("cut", [True, False])
def test_a_gradient_made_by_hand_is_drawn_as_far_as_it_has_a_graph(inner, create_graph, cut):
    """Along the kept links a loss reaches the leaves that it reaches along the kept edges."""
    w, decay, alpha = (th.tensor(x, requires_grad=True) for x in ([1.0, -2.0], 0.5, 0.1))
    with th.record() as tape:
        (g,) = th.gradients(INNER[inner](w, decay), w, create_graph=create_graph)
        th.sum((1.0 - alpha * (g.detach() if cut else g)) ** 2).backward()
    boxes, graph = Boxes(tape), Graph(tape)
    (loss,) = graph.losses

    def before(box):
        return [source for source, target, flow, _ in boxes.joins if target == box and flow == "kept"]

    reached = {boxes.known((box, 0)) for box in walk([boxes.box[loss[0]]], before)} & {"w", "decay", "alpha"}
    assert reached == {graph.known(place) for place in graph.behind([loss], ("kept",))} & {"w", "decay", "alpha"}
    drawn = [text for box in boxes.inside for text in boxes.caption(box) if text.startswith("VJP of ")]
    assert bool(drawn) == create_graph
    assert collisions(ElementTree.fromstring(inspect.svg(tape))) == []
