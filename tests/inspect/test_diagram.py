"""The picture of a graph without optimizer steps: every operation is in a box, every cut has its scissors."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import classes, inside, on_an_edge, overlapping, texts

import tinyhyper as th
from tinyhyper.inspect.boxes import MOST, Boxes
from tinyhyper.inspect.diagram import Diagram

STEPS = ["add", "multiply", "tanh", "sum", "detach", "constant", "backward", "no_grad"]


@st.composite
def graphs(draw, most=14):
    """A recording of operations on values that came before, some of them cut."""
    values = [th.tensor(draw(st.sampled_from([0.5, [1.0, -2.0]])), requires_grad=draw(st.booleans())) for _ in range(2)]
    with th.record() as tape:
        values[0] + values[1]
        for step in draw(st.lists(st.sampled_from(STEPS), max_size=most)):
            x, y = draw(st.sampled_from(values)), draw(st.sampled_from(values))
            if step == "backward":
                if x.requires_grad and not x.is_leaf:
                    th.sum(x).backward(retain_graph=True)
                    values += [value.grad for value in values if value.grad is not None][:1]
            elif step == "no_grad":
                with th.no_grad():
                    values.append(th.tanh(x))
            elif step == "detach":
                values.append(x.detach("on purpose") * 2.0)
            elif step == "constant":
                values.append(x * th.tensor([2.0, 3.0]))
            else:
                values.append({"add": th.add, "multiply": th.multiply}[step](x, y) if step in ("add", "multiply")
                              else getattr(th, step)(x))  # fmt: skip
    return tape


@given(graphs())
def test_each_operation_is_in_one_box_and_boxes_stand_apart_to_the_right_of_what_they_read(tape):
    root, boxes = ElementTree.fromstring(th.inspect.svg(tape)), Boxes(tape)
    operations = [node.number for node in tape.nodes if node.kind == "operation" and not node.sweep]
    shown = [number for numbers in boxes.inside.values() for number in numbers]
    assert len(shown) == len(set(shown)) and {*operations} <= {*shown}
    width, height = float(root.get("width")), float(root.get("height"))
    rects = list(inside(root))
    assert len(rects) == len(boxes.inside)
    for x0, y0, x1, y1 in rects:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert overlapping(root) == []
    drawing = Diagram(boxes, (), None)
    for source, target, *_ in boxes.joins:
        assert drawing.column[source] < drawing.column[target]
    assert all(text.startswith(("cut", "on purpose")) for text in on_an_edge(root))


@given(graphs())
def test_cuts_are_drawn_with_their_numbers_and_kept_edges_are_kept(tape):
    root = ElementTree.fromstring(th.inspect.svg(tape))
    numbers = {edge.cut for edge in tape.edges if edge.cut is not None}
    said = [text.text for text in classes(root, "th-reason") if text.text.startswith("cut ")]
    assert {f"cut {number}: on purpose" for number in numbers} == set(said)
    assert len(classes(root, "th-scissors")) == len(classes(root, "th-cut")) >= len(numbers)
    kept = any(edge.flow == "kept" and not tape.nodes[edge.target].sweep for edge in tape.edges)
    assert bool(classes(root, "th-kept")) <= kept
    for number in numbers:
        marked = classes(ElementTree.fromstring(th.inspect.svg(tape, marks=[number])), "th-marked")
        assert len(marked) >= 2
    with pytest.raises(th.ArgumentError, match="cut 99 is not in the picture"):
        th.inspect.svg(tape, marks=[99])


def test_a_chain_shares_a_box_as_it_shares_a_line():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        loss = th.sum(th.tanh(x) ** 2)
        loss.backward()
    boxes = Boxes(tape)
    assert [boxes.caption(box)[1] for box in boxes.inside][1].startswith("sum ← square")
    text = th.inspect.svg(tape, caption="what it is for")
    assert "what it is for" in text and "backward() leaves" in th.inspect.svg(tape)


def test_of_a_large_graph_the_newest_boxes_are_drawn_and_the_page_is_named():
    x = th.tensor(1.0, requires_grad=True)
    with th.record() as tape:
        for _ in range(2 * MOST):
            x = x * x + x
    root = ElementTree.fromstring(th.inspect.svg(tape))
    assert len(list(inside(root))) == MOST
    assert any("save_html" in text for text, _ in texts(root))
    with th.record() as tape:
        y = th.tensor([1.0], requires_grad=True)
        for _ in range(3000):
            y = y + 1.0
    assert len(list(inside(ElementTree.fromstring(th.inspect.svg(tape))))) == 2
