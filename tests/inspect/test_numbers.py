"""Names and numbers in pictures: each number is the recording's, they fit together, and a thing has one name."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, texts
from recordings import run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.captions import Captions
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.letters import wide
from tinyhyper.inspect.rows import rows as box_rows
from tinyhyper.inspect.shapes import Box, Figure, Key
from tinyhyper.optim import SGD, Adam
from tinyhyper.plain import MOST, NOUGHT, short, signed

UNIT = {"beta1": "unit", "beta2": "unit"}


def parsed(picture):
    return ElementTree.fromstring(picture)


def bare(name):
    """The value that a row is of: "alpha" of "alpha[2]", of "∂loss/∂log alpha" and of "|∂loss/∂u(alpha)|"."""
    return re.sub(r"^\|?(?:∂loss/∂)?(?:log |sqrt |u\()?([\w.]+).*", r"\1", name)


def rows(root):
    """The rows of boxes: the box's step, what a row is called, what its value is called, and its number as text."""
    for group in root.iter(SPACE + "g"):
        names = [text for text in group.findall(SPACE + "text") if text.get("class") == "th-row"]
        small = [text for text in group.findall(SPACE + "text") if text.get("class") == "th-small"]
        numbers = {text.get("y"): text.text for text in small}
        for name in names:
            title, number = group.find(SPACE + "title").text, numbers.get(name.get("y"))
            at = re.search(r"\[(\d+)\]", title)
            if number is not None and at is not None:  # of a loss that is drawn
                known = re.findall(r"[\w.]+", title)  # a row leaves out the level, which its lane has
                full = next(word for word in known if f".{word}".endswith(f".{bare(name.text)}"))
                yield int(at[1]), name.text, full, number


def recorded(graph, step, name, full):
    """The number of a value, or the norm or number of the gradient with respect to it."""
    place = graph.find(f"{full}[{step}]")[0]
    output = graph.tape.output(graph.gradient(place) if "∂" in name else place)
    return output.norm if name.startswith("|") else output.number


def same(text, value):
    """Whether a text is a number in at least three digits, or says that the number is rounding."""
    if text == NOUGHT:
        return 0 < abs(value) < 1e-12
    return float(text) in {float(short(value, digits)) for digits in (3, 4, MOST)}


@pytest.mark.either_backend
@given(stacks, st.integers(1, 3), st.integers(0, 5))
def test_every_number_of_a_row_is_the_recordings_to_the_digits_shown(stack, steps, seed):
    tape = run(stack, steps=steps + 1, seed=seed)[0]
    graph, root = Graph(tape), parsed(inspect.svg(tape, 0, steps=steps))
    found = [*rows(root)]
    assert len(found) >= 2 * steps  # w and b
    for step, name, full, number in found:
        assert same(number, recorded(graph, step, name, full))
    assert collisions(root) == []


@given(st.floats(0.01, 0.9), st.floats(1e-4, 0.1), st.integers(2, 5), st.integers(0, 9))
@example(0.1, 0.01, 3, 0)
def test_a_step_of_the_picture_of_moved_can_be_checked(alpha, kappa, steps, seed):
    """new = old - kappa * gradient, with the numbers that are drawn, as far as their digits go."""
    start = np.random.default_rng(seed).normal(size=2)
    tape = trained(SGD(alpha, mu=0.5, optimizer=SGD(kappa)), steps, {"w": start, "b": 0.5}, lambda p: loss(p) * 0.1)
    root = parsed(inspect.moved(tape, "alpha").svg())
    found = {(step, name): float(number) for step, name, full, number in rows(root) if full == "alpha"}
    drawn = {step: found[step, f"alpha[{step}]"] for step, name in found if name.startswith("alpha")}
    bar = next(text for text, _ in texts(root) if text.startswith("kappa = "))
    rate = float(re.match(r"kappa = ([-+.e\d]+)", bar)[1])
    assert len(drawn) >= 2
    for before, after in pairwise(sorted(drawn)):
        slope = found.get((before, "∂loss/∂alpha"), 0.0)
        told = drawn[before] - rate * slope
        error = 1e-3 * (abs(drawn[before]) + abs(rate * slope) + abs(drawn[after]))  # three digits, and then a half
        assert abs(told - drawn[after]) <= error


def loss(params):
    return th.sum(th.tanh(params["w"]) ** 2) + params["b"] ** 2


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3), st.sampled_from([140, 171, 203, 230]))
@example([-195.0, 0.3328, -1.234e-5], 230)
def test_a_number_has_four_digits_where_there_is_room_and_never_fewer_than_three(values, width):
    names = ["alpha", "beta1", "beta2"]
    key = Key(1, 1, "gradient")
    box = Box(key, dict(zip(names, values)), coordinates=UNIT)
    captions = Captions(Figure([1], {key: box}, [], {}, None, {}))
    needed = captions.needs()[1]
    for value, (name, number) in zip(values, box_rows(box, width)):
        assert float(number) == pytest.approx(value, rel=0.0051) and len(number) <= len(short(value))
        assert wide(name) + wide(number) <= (width - 16) / 14
        if width >= needed:
            assert number == short(value) and "…" not in name
    assert needed <= 230


@pytest.mark.parametrize("stack", ["adam/sgd", "sgd(0.1, mu=0.5)/sgd", "adam/sgd(0.001)/sgd(1e-6)"])
def test_a_slide_of_two_steps_has_whole_names_and_numbers_of_four_digits(stack):
    tape = trained(stack, 4, {"W1": [1.0, -2.0], "c1": 0.5, "W2": [0.3, 0.1], "c2": [0.25]})
    root = parsed(inspect.svg(tape))
    assert float(root.get("width")) <= 1280
    graph = Graph(tape)
    for step, name, full, number in rows(root):
        assert "…" not in name
        value = recorded(graph, step, name, full)
        assert number in (short(value), short(value, MOST)) or (number == NOUGHT and same(number, value))


@given(st.permutations(["u", "v", "w"]), st.permutations(["u", "v", "w"]), st.integers(1, 3))
def test_weights_stand_in_every_box_in_the_order_of_params(names, read, steps):
    def of(params):
        return sum(th.sum(params[name] ** 2) for name in read)

    tape = trained("adam/sgd", steps, dict.fromkeys(names, [1.0, 2.0]), of)
    for key, box in figure(tape, 0, count=steps + 1).boxes.items():
        if key.kind != "loss":
            assert [*box.names] == (["alpha", "beta1", "beta2"] if key.lane else names)


LONE = re.compile(r"(?<!/)∂(?!loss)|∂/∂")  # a gradient without the loss that it is of


def test_a_gradient_has_one_form_in_every_text_and_picture():
    adam = trained(Adam(0.1, optimizer=SGD(1e-3)), 3, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True)
    tall = run("sgd(0.1, mu=0.5)/sgd(0.01)/sgd(0.001)", ghosts=True)[0]
    inside = inspect.svg(adam, inside="w[1]")
    for tape in (adam, tall):
        answers = [ask(tape) for ask in (inspect.cuts, inspect.ghosts, inspect.kept_alive, inspect.checkpoint)]
        answers += [ask(tape, "alpha") for ask in (inspect.paths, inspect.why_zero, inspect.moved, inspect.left_range)]
        for text in [str(tape), *map(str, answers), *(answer.svg() for answer in answers), inside]:
            assert not LONE.search(text), LONE.search(text)


def test_the_mover_and_each_move_that_a_slide_has_room_for_are_marked():
    for stack, mover in (("sgd(0.1, mu=0.5)/sgd(0.01)", "th-box"), ("sgd(0.1)/sgd(0.01)/sgd(0.001)", "")):
        tape = run(stack, steps=5)[0]
        answer = inspect.moved(tape, "alpha")
        root = parsed(answer.svg())
        assert float(root.get("width")) <= 1280 and collisions(root) == []
        cuts = {path.get("d") for path in classes(root, "th-cut")}
        bands = [band for band in classes(root, "th-carry") if band.get("d") in cuts]
        assert len(bands) == 2
        words = " ".join(text for text, _ in texts(root))
        changes = [f"{signed(row[3])} at step {row[0]}" for row in answer.rows]
        assert f" Last: {', '.join(changes[-2:])}." in words
        marked = [mark.get("class") for mark in classes(root, "th-row-asked")]
        assert ("th-box th-row-asked" in marked) == bool(mover)  # the bar of a kappa that stands still
        asked = {name for _, name, _, _ in rows(root) if name.startswith("alpha")}
        assert len(marked) >= 2 * len(bands) + (0 if asked else 1)
    whole = parsed(inspect.moved(run("sgd(0.1, mu=0.5)/sgd(0.01)", steps=2)[0], "alpha").svg())
    assert " Moves: " in " ".join(text for text, _ in texts(whole))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(7.108e-5)
@example(1.5e80)
def test_a_number_is_written_without_what_says_nothing(value):
    text = short(value)
    assert float(text) == float(f"{value:.4g}") and not re.search(r"\+|e-?0|-0$", text)
