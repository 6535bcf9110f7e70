"""Figure 1 is read off the tape: which edges are cut, which path is left, and what the gradient at its end is."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pictures import collisions, leaves, run_together
from recordings import by_hand

from demos import figure1
from demos.__main__ import main
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.shapes import Key
from tinyhyper.inspect.text import shorten

LAST = figure1.STEPS - 1  # the step of the newest loss
NAMES = ["w", "alpha", "kappa", "level2.alpha"]
FIGURES = [pytest.param(name, height, id=name) for name, height in zip(figure1.FIGURES, (0, 1, 3), strict=True)]


def recorded(name):
    stack, title = figure1.FIGURES[name]
    tape = figure1.record(stack)
    return tape, figure1.draw(tape, title)


def box(lane, step, kind="values"):
    return Key(lane, step, kind)


@pytest.mark.parametrize("name, height", FIGURES)
def test_into_each_level_just_the_hyperparameters_are_kept(name, height):
    shown = figure(recorded(name)[0])
    for step in (LAST, LAST + 1):
        for lane in range(height + 1):
            into = {arrow.source: arrow.flow for arrow in shown.arrows if arrow.target == box(lane, step)}
            above = {box(lane + 1, step): "kept"} if lane < height else {box(lane + 1, -1): "value"}
            assert into == {box(lane, step - 1): "cut", box(lane, step - 1, "gradient"): "cut", **above}


@pytest.mark.parametrize("name, height", FIGURES)
def test_the_cuts_that_are_listed_are_the_old_weights_and_the_gradient_of_each_level(name, height):
    tape, picture = recorded(name)
    listed = {tuple(line.split()) for line in picture.cuts}
    line = {f"{shorten(cut.file)}:{cut.line}" for cut in tape.cuts}
    expected = set()
    for called in NAMES[: height + 1]:
        new, old = f"{called}[{LAST}]", f"{called}[{LAST - 1}]"
        expected.add((old, "✂", new, "weights" if called == "w" else "hyperparameter", "at", *line))
        expected.add((f"∂loss[{LAST - 1}]/∂{old}", "✂", new, "gradient", "at", *line))
    assert listed == expected and len(picture.cuts) == len(expected)


@pytest.mark.parametrize("name, height", FIGURES)
def test_the_way_of_the_gradient_is_said_and_drawn(name, height):
    _, picture = recorded(name)
    way = " → ".join(f"{called}[{LAST}]" for called in ["loss", *NAMES[: height + 1]])
    assert picture.story.startswith(f"{way}: ")
    root = ElementTree.fromstring(picture.svg)
    drawn = [part for part in root.iter() if part.get("class") == "th-trail"]
    bands = [part for part in drawn if part.get("d")]
    assert len([part for part in drawn if part.tag.endswith("rect")]) == height + 2
    assert [leaves(root, band, "start") for band in bands] == [False] + [True] * (height + 1)  # the first is the key
    assert re.sub(r"\s+", " ", root[1].text).startswith(picture.story)
    assert root[0].text == picture.title
    assert collisions(root) == [] and run_together(root) == []


def test_plain_sgd_gives_no_hyperparameter_a_gradient():
    tape, picture = recorded("figure1a")
    assert "no edge into w[3] is kept. No hyperparameter gets a gradient." in picture.story
    assert not any(key.lane for key in figure(tape).boxes)
    labels = [tape.nodes[node.of[0]].outputs[node.of[1]].label for node in tape.nodes if node.of is not None]
    assert {label.name for label in labels} == {"w"}


def test_the_gradients_that_are_told_are_the_papers():
    """-g[t] · g[t-1] for alpha; for kappa, that times the hypergradient of the step before, and so on."""
    stack = [0.1, 0.001, 1e-6, 1e-11]
    w, before, hyper = np.array([1.0, -2.0]), np.zeros(2), np.zeros(4)
    for _ in range(figure1.STEPS):
        g = 2 * w
        new = np.array([-g @ before, 0.0, 0.0, 0.0])  # d loss / d each level's alpha, from the bottom up
        new[1] = -new[0] * hyper[0]
        new[2] = -new[1] * hyper[1]
        for level in (2, 1, 0):
            stack[level] -= stack[level + 1] * new[level]
        w, before, hyper = w - stack[0] * g, g, new
    story = recorded("figure1-height3")[1].story
    told = [float(number) for number in re.findall(r"= (-?[\d.e+-]+?)[,.]?(?: |$)", story)]
    assert np.allclose(told, hyper[:3], rtol=1e-3) and len(told) == 3


def test_a_forgotten_cut_changes_the_picture():
    right, wrong = (figure1.draw(by_hand(cut_weights=cut), "by hand") for cut in (True, False))
    assert [line.split()[:3] for line in right.cuts] == [["w[0]", "✂", "w[1]"], ["∂loss[0]/∂w[0]", "✂", "w[1]"]]
    assert [line.split()[:3] for line in wrong.cuts] == [["∂loss[0]/∂w[0]", "✂", "w[1]"]]
    assert right.svg != wrong.svg


def test_the_demo_writes_the_pictures_and_prints_what_they_show(tmp_path, capsys):
    assert main(["figure1", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    names = [*figure1.FIGURES, "rule"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.svg" for name in names)
    for name, picture in figure1.pictures():
        assert (tmp_path / name).read_text(encoding="utf-8") == picture.svg
        assert all(line in out for line in [picture.title, *picture.cuts, picture.story, str(Path(tmp_path, name))])
