"""The picture is well-formed, and shows the cuts that were made and no others."""

import os
from xml.etree import ElementTree

import numpy as np
import pytest
from test_inspect import run, tower

import tinyhyper as th
from tinyhyper.inspect.figure import Key, figure

SPACE = "{http://www.w3.org/2000/svg}"
STACKS = ["sgd", "sgd/sgd", "adam/sgd", "sgd(0.1, mu=0.9)/adam/sgd", "adam-alpha/rmsprop/sgd", "/".join(["sgd"] * 11)]


def parsed(tape, step=None):
    return ElementTree.fromstring(th.inspect.svg(tape, step))


def classes(root, name):
    """The elements of a class, without the legend's."""
    found = [element for element in root.iter() if name in element.get("class", "").split()]
    return [e for e in found if "th-key" not in e.get("class", "") and not (e.get("d") or "").startswith("M18 ")]


def flows(tape):
    return {(arrow.source, arrow.target): arrow.flow for arrow in figure(tape).arrows}


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("text", STACKS)
def test_as_many_scissors_as_arrows_that_are_cut(text, steps):
    tape = tower(text, steps, parameters=2)
    root = parsed(tape)
    shown = figure(tape)
    assert root.tag == SPACE + "svg" and root.get("role") == "img"
    assert root.find(SPACE + "title").text and "edges are cut" in root.find(SPACE + "desc").text
    for flow in ("kept", "cut", "value", "backward"):
        assert len(classes(root, f"th-{flow}")) == sum(arrow.flow == flow for arrow in shown.arrows)
    scissors = classes(root, "th-scissors")
    assert len(scissors) == sum(arrow.flow == "cut" for arrow in shown.arrows) > 0
    assert all("✂" in mark.find(SPACE + "title").text for mark in scissors)
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(SPACE + "rect"):
        x, y, w, h = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height


@pytest.mark.parametrize("text", STACKS)
def test_every_cut_of_the_steps_shown_stands_behind_some_scissors(text):
    tape = tower(text, steps=2)
    behind = {cut.number for arrow in figure(tape).arrows for cut in arrow.cuts}
    assert behind == {cut.number for cut in tape.cuts}
    assert all(arrow.cuts for arrow in figure(tape).arrows if arrow.flow == "cut")


def test_the_figure_of_a_tower_of_two_levels_is_exactly_this():
    def weights(step):
        return Key(0, step, "values")

    def alpha(step):
        return Key(1, step, "values")

    def loss(step):
        return Key(0, step, "loss")

    kappa = Key(2, -1, "values")
    gradients = {(lane, step): Key(lane, step, "gradient") for lane in (0, 1) for step in (0, 1)}
    assert flows(tower("sgd/sgd")) == {
        (weights(0), loss(0)): "kept",
        (loss(0), gradients[0, 0]): "backward",
        (weights(0), weights(1)): "cut",
        (gradients[0, 0], weights(1)): "cut",
        (alpha(0), alpha(1)): "cut",
        (gradients[1, 0], alpha(1)): "cut",
        (kappa, alpha(1)): "value",
        (alpha(1), weights(1)): "kept",
        (weights(1), loss(1)): "kept",
        (loss(1), gradients[0, 1]): "backward",
        (loss(1), gradients[1, 1]): "backward",
        (weights(1), weights(2)): "cut",
        (gradients[0, 1], weights(2)): "cut",
        (alpha(1), alpha(2)): "cut",
        (gradients[1, 1], alpha(2)): "cut",
        (kappa, alpha(2)): "value",
        (alpha(2), weights(2)): "kept",
    }


def test_a_forgotten_cut_of_the_weights_is_drawn_as_kept():
    right, wrong = run(), run(cut_weights=False)
    edge = (Key(0, 0, "values"), Key(0, 1, "values"))
    assert flows(right)[edge] == "cut"
    assert flows(wrong)[edge] == "kept"
    assert "reaches w[1], alpha[0]." in th.inspect.svg(right)
    assert "reaches w[1], w[0], alpha[0]." in th.inspect.svg(wrong)
    assert len(classes(parsed(wrong), "th-scissors")) < len(classes(parsed(right), "th-scissors"))


def test_a_forgotten_cut_of_the_gradient_is_drawn():
    edge = (Key(0, 0, "gradient"), Key(0, 1, "values"))
    assert flows(run())[edge] == "cut"
    assert flows(run(cut_gradient=False))[edge] == "value"
    assert flows(run(cut_gradient=False, create_graph=True))[edge] == "kept"


def test_one_forgotten_cut_among_several_weights_gets_its_own_arrow():
    a, b = (th.tensor([1.0], requires_grad=True) for _ in "ab")
    with th.record() as tape:
        th.sum(a * b).backward()
        tape.step()
        for w, name in ((a, "a"), (b, "b")):
            tape.label(w, name, "weights", 0)
            tape.label(
                (w.detach("weights") if name == "a" else w) - 0.1 * w.grad.detach("gradient"), name, "weights", 0
            )
    edge = (Key(0, 0, "values"), Key(0, 1, "values"))
    assert sorted(arrow.flow for arrow in figure(tape).arrows if (arrow.source, arrow.target) == edge) == [
        "cut",
        "kept",
    ]
    assert len(classes(parsed(tape), "th-scissors")) == 2


def test_which_steps_are_shown():
    tape = tower(steps=5)
    assert figure(tape).steps == [3, 4, 5]
    assert figure(tape, 1).steps == [1, 2, 3]
    with pytest.raises(th.ArgumentError, match="step=7: this recording holds steps 0 to 5"):
        th.inspect.svg(tape, 7)


def test_without_a_step_there_is_nothing_to_draw():
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as tape:
        th.sum(x).backward()
    with pytest.raises(th.ArgumentError, match="record at least one step"):
        th.inspect.svg(tape)
    assert tape._repr_svg_() is None


def test_odd_names_are_escaped():
    params = {"<layer> & 'one\"": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = th.optim.SGD(0.1)
    with th.record() as tape:
        for _ in range(2):
            th.sum(params["<layer> & 'one\""] ** 2).backward()
            optimizer.step(params)
    tape.title = "a < b & c"
    assert parsed(tape).find(SPACE + "title").text == "a < b & c"


def test_a_saved_picture_is_whole_and_alone(tmp_path):
    tape = tower()
    path = tape.save_svg(tmp_path / "cut.svg")
    assert path.read_text(encoding="utf-8") == th.inspect.svg(tape)
    assert os.listdir(tmp_path) == ["cut.svg"]
    with pytest.raises(OSError):
        tape.save_svg(tmp_path / "missing" / "cut.svg")
    with th.record() as empty, pytest.raises(th.ArgumentError):
        empty.save_svg(tmp_path / "cut.svg")
    assert path.read_text(encoding="utf-8") == th.inspect.svg(tape)


def test_drawing_changes_nothing_and_repeats():
    tape = tower("adam/sgd", parameters=3)
    before = str(tape)
    assert th.inspect.svg(tape) == th.inspect.svg(tape)
    assert str(tape) == before
    assert np.isfinite([float(parsed(tape).get(name)) for name in ("width", "height")]).all()
