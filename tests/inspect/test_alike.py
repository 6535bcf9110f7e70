"""Numbers that look alike: two that differ, a gradient that is 0 up to rounding, and one that no loss has sent yet."""

import re
from fractions import Fraction
from itertools import groupby, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, texts
from recordings import run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.rows import with_state
from tinyhyper.inspect.shapes import Box, Key
from tinyhyper.optim import SGD, Adam
from tinyhyper.plain import MOST, NONE_YET, NOUGHT, apart, short

WEIGHTS = {"w": [1.0, -2.0], "b": 0.5}
DOUBLE = [np.float64] * 3


@given(st.lists(st.floats(allow_nan=False) | st.none(), max_size=4), st.floats(0.1, 1), st.floats(1e-9, 1))
@example([None, np.inf], 0.9, 1.44e-5)
def test_numbers_that_differ_are_printed_apart_unless_that_takes_too_many_digits(others, value, by):
    values = [*others, value, value * (1 + by)]
    told = apart(values)
    assert told == values
    finite = {number for number in values if number is not None and np.isfinite(number)}
    if len({short(number) for number in told if number in finite}) < len(finite):
        assert len({short(number, MOST) for number in finite}) < len(finite)
        assert list(map(short, told)) == list(map(short, values))
    for number, text in zip(values, map(short, told)):
        assert text == "–" if number is None else float(text) == pytest.approx(number, rel=5.1e-4)


def words(root):
    return [text for text, _ in texts(root)]


@pytest.mark.either_backend
@given(stacks, st.integers(2, 3), st.integers(0, 5))
@example("adam(0.05)/sgd(1e-3)", 3, 0)
def test_of_neighbouring_values_that_differ_the_picture_tells_that_they_do(stack, steps, seed):
    tape = run(stack, steps=steps, seed=seed)[0]
    shown, root = figure(tape, 0, count=steps), ElementTree.fromstring(inspect.svg(tape, 0, steps=steps))
    boxes = sorted((key, box) for key, box in shown.boxes.items() if key.kind == "values")
    notes = [text for text in words(root) if re.fullmatch(r"[\w.]+ moved by \S+, from \[\d+\] to \[\d+\]", text)]
    alike = 0
    for (before, old), (key, new) in pairwise(boxes):
        for name in new.names if before.lane == key.lane else ():
            values = old.names.get(name), new.names[name]
            if None not in values and values[0] != values[1] and short(values[0]) == short(values[1]):
                alike += 1
    assert len(notes) == min(alike, 4) and collisions(root) == []


@pytest.mark.parametrize("stack, asked", [("adam(0.01)/sgd(1e-3)", "beta1"), ("sgd(0.1, mu=0.5)/sgd(1e-4)", "mu")])
def test_a_value_that_moved_a_little_is_not_said_to_go_from_a_number_to_the_same(stack, asked):
    answer = inspect.moved(trained(stack, 3, WEIGHTS, ghosts=True), asked)
    before, after = re.search(r"from (\S+) to ([-.e\d]*\d)", answer.text).groups()
    assert before != after
    lines = str(answer).splitlines()
    assert before in lines[-3].split() and after in lines[-1].split()
    assert {before, after} <= {*words(ElementTree.fromstring(answer.svg()))}


def test_a_change_in_a_coordinate_names_the_coordinate():
    answer = inspect.moved(trained("adam(0.01)/sgd(1e-3)", 3, WEIGHTS), "beta1")
    change = re.search(r"The level moves u\(beta1\): this changed by (\S+) in all\.", answer.text)[1]
    assert float(change) == pytest.approx(sum(row[3] for row in answer.rows), rel=1e-3)
    assert " Moves of u(beta1): " in " ".join(words(ElementTree.fromstring(answer.svg())))


def rows(root):
    """By step, of each row what it is called, its number, and whether it stands out."""
    sides = "x", "y", "width", "height"
    marks = [[float(mark.get(side)) for side in sides] for mark in classes(root, "th-row-asked")]
    for group in root.iter(SPACE + "g"):
        found = [text for text in group.findall(SPACE + "text") if text.get("class") in ("th-row", "th-small")]
        for _, parts in groupby(sorted(found, key=lambda text: float(text.get("y"))), key=lambda text: text.get("y")):
            name, *number = sorted(parts, key=lambda text: float(text.get("x")))
            x, y = float(name.get("x")), float(name.get("y"))
            inside = [left - 99 < x < left + wide and top < y < top + high for left, top, wide, high in marks]
            yield group.find(SPACE + "title").text, name.text, "".join(text.text for text in number), any(inside)


@pytest.mark.parametrize(
    "stack, asked, state",
    [("sgd(0.1, mu=0.5)/sgd", "mu", "with velocity = 0"), ("adam(0.01)/sgd(1e-3)", "beta1", "with m = 0, v")],
)
@pytest.mark.parametrize("weights", [1, 2, 5])
def test_the_picture_of_a_zero_marks_what_is_0_and_was_read(stack, asked, state, weights):
    tape = trained(stack, 3, {f"w{n}": [1.0 + n, -2.0] for n in range(weights)}, ghosts=True)
    root = ElementTree.fromstring(inspect.why_zero(tape, asked).svg())
    marked = [name for _, name, _, mark in rows(root) if mark]
    assert marked.count(state) == 1 and collisions(root) == []
    told = " ".join(words(root))
    made = ", ".join(f"w{n}[1]" for n in range(weights))
    assert f"So {made} {'do' if weights > 1 else 'does'} not change with {asked}[1]." in told
    averages = ", ".join(f"w{n}.m[1]" for n in range(weights))
    lost = f"{averages} {'do' if weights > 1 else 'does'}, but this change cancels in the division by 1 - beta1[1] ** "
    assert (lost in told) == (asked == "beta1")  # m[1] = (1 - beta1) * g; of the velocity, mu takes 0
    owner = state.split()[1]
    assert f"rule read {', '.join(f'w{n}.{owner}[0]' for n in range(weights))}: " in told
    assert [text for text in words(root) if text.startswith("with ") and "= 0" in text] == [state]
    gradients = [(number, mark) for _, name, number, mark in rows(root) if asked in name and "∂" in name]
    assert gradients[0] == (NONE_YET, False) and gradients[1][0] in ("0", NOUGHT) and gradients[1][1]


@pytest.mark.parametrize("zeros, told", [("wb", "velocity = 0"), ("b", "velocity of b = 0"), ("", "velocity")])
def test_a_state_of_some_weights_is_said_to_be_of_those(zeros, told):
    found = {(name, "velocity") for name in zeros}
    box = Box(Key(0, 1, "values"), {"w": 1.0, "b": 2.0}, state={"velocity"}, zeros=found)
    assert with_state(box) == f"with {told}"


@given(st.sampled_from([1e-20, 1e-17, 1e-6, 0.1]), st.integers(0, 9))
def test_a_gradient_is_told_as_0_by_one_rule_in_every_answer(scale, seed):
    tape = trained("adam(0.01)/sgd(1e-3)", 3, {"w": np.random.default_rng(seed).normal(size=3)}, ghosts=True)
    graph = Graph(tape)
    (beta1,) = graph.find("beta1[2]")
    place = graph.gradient(beta1)
    bound = graph.bound(beta1)
    tape.nodes[place[0]].outputs[0].value = scale
    assert (short(Graph(tape).number(place)) == NOUGHT) == (scale <= bound)
    root = ElementTree.fromstring(inspect.svg(tape, 2, steps=1))  # beta1[2] alone
    drawn = [number for _, name, number, _ in rows(root) if "∂loss/∂u(beta1)" in name]
    assert drawn == [NOUGHT if scale <= bound else short(scale)]
    assert ("0 up to rounding" in words(root)) == (scale <= bound)
    assert (NOUGHT in str(inspect.moved(tape, "beta1")).splitlines()[-1]) == (scale <= bound)


def exactly(rates, weights, slopes_of, steps):
    """By name and step, the gradients of a tower of SGD for the loss sum(c * (w - 1)**2), in fractions.

    slopes_of: c of each weight.
    """
    rates, weights, found = [*map(Fraction, rates)], [*map(Fraction, map(float, weights))], {}
    before = []  # the gradients of each level that the step before moved by
    for step in range(steps):
        slopes = [[2 * c * (w - 1) for w, c in zip(weights, slopes_of)]]
        for level, read in enumerate(before):
            slopes.append([-sum((new * old for new, old in zip(slopes[level], read)), Fraction(0))])
            found[level, step] = slopes[-1][0]
        slopes += [[Fraction(0)]] * (len(rates) - len(slopes))
        for level in range(len(rates) - 1, 0, -1):
            rates[level - 1] -= rates[level] * slopes[level][0]
        weights = [w - rates[0] * slope for w, slope in zip(weights, slopes[0])]
        before = slopes[: len(rates) - 1]
    return found


@given(
    rates=st.lists(st.integers(-12, 30), min_size=2, max_size=3),
    weights=st.lists(st.floats(-9, 9).filter(lambda w: abs(w - 1) > 0.1), min_size=1, max_size=3),
    curves=st.lists(st.sampled_from([-1e9, -1.0, 1e-9, 1.0, 4.0, 1e9]), min_size=3, max_size=3),
    together=st.booleans(),
    dtypes=st.lists(st.sampled_from([np.float32, np.float64]), min_size=3, max_size=3),
)
@example([20, 30], [0.3, 0.7], [1.0] * 3, False, DOUBLE)
@example([3, 3], [0.3, 0.7], [1.0] * 3, False, DOUBLE)
@example([0, -3], [1.0 + 3**0.5 * (1 + 1e-8), 2.0, 2.0], [1.0, 1e-9, -1.0], False, [np.float64, np.float32, np.float64])
@pytest.mark.filterwarnings("ignore")
def test_a_gradient_that_fractions_confirm_is_never_told_as_0(rates, weights, curves, together, dtypes):
    """together: the weights in one array.  dtypes: of each weight."""
    numbers = [10.0**rate for rate in rates]
    tower = None
    for rate in reversed(numbers):
        tower = SGD(rate, optimizer=tower)
    dtypes = [dtypes[0] if together else dtype for dtype in dtypes]
    weights, curves = ([dtype(x) for x, dtype in zip(each, dtypes)] for each in (weights, curves))
    curves = curves[: len(weights)]
    params = {"w": np.array(weights)} if together else {f"w{n}": w for n, w in enumerate(weights)}
    factors = [np.array(curves)] if together else curves

    def loss(params):
        return sum(th.sum(c * (w - 1) ** 2) for w, c in zip(params.values(), factors))

    tape = trained(tower, 4, params, loss, ghosts=True)
    graph, enough = Graph(tape), 1e-6 if {*dtypes[: len(weights)]} == {np.float64} else 1e-4
    for (level, step), exact in exactly(numbers, weights, [*map(Fraction, map(float, curves))], 4).items():
        (place,) = graph.find(f"{['alpha', 'kappa'][level]}[{step}]")
        if (gradient := graph.gradient(place)) is None:
            continue
        number = tape.output(gradient).number
        right = np.isfinite(number) and exact and abs(Fraction(number) / exact - 1) < enough
        assert not (right or not np.isfinite(number)) or short(graph.number(gradient)) != NOUGHT
    kinds = {row[5] for row in inspect.ghosts(tape).rows if not np.isfinite(row[4])}
    assert "0 up to rounding" not in kinds


@given(
    st.floats(0.01, 100), st.integers(-9, 9), st.sampled_from(["array", "numbers", "by hand"]),
    st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
@example(0.1, 3, "array", np.float64)
@example(0.1, 3, "by hand", np.float64)
@example(0.7, 0, "array", np.float32)
def test_a_sum_whose_terms_cancel_is_told_as_0(start, power, how, dtype):
    """With the best alpha for its two weights the gradients before and after the step are at right angles."""
    scale = 10.0**power
    factors, weights = np.array([1.0, 4.0], dtype) * dtype(scale), np.array([4.0, 1.0], dtype) * dtype(start)
    if how == "by hand":
        w, alpha = (th.tensor(x, requires_grad=True) for x in (weights, 0.2 / scale))
        with th.record() as tape:
            th.sum(factors * w**2).backward()
            tape.label(alpha, "alpha", "hyperparameter", 0)
            th.sum(factors * (w.detach() - alpha * w.grad.detach()) ** 2).backward()
    else:
        params = {"w": weights} if how == "array" else dict(zip("uv", weights))
        parts = [factors] if how == "array" else factors
        tower = SGD(0.2 / scale, optimizer=SGD(1e-12 / scale**2))
        tape = trained(tower, 2, params, lambda p: sum(th.sum(c * w**2) for w, c in zip(p.values(), parts)))
    graph = Graph(tape)
    place = next(p for p in reversed(graph.find("alpha")) if graph.gradient(p) is not None)
    assert short(graph.number(graph.gradient(place))) in (NOUGHT, "0")


@given(
    st.floats(1e-3, 1e2),
    st.lists(st.floats(0.1, 9), min_size=1, max_size=4),
    st.sampled_from([np.float32, np.float64]),
)
@example(0.02, [1.5, 0.7, 0.3], np.float32)
def test_a_gradient_that_is_0_but_for_rounding_is_told_as_0(alpha, weights, dtype):
    """The first step of Adam is the same whatever beta1 is."""
    params = {"w": np.array(weights, dtype)}
    tape = trained(Adam(alpha, optimizer=SGD(1e-9)), 2, params, lambda params: th.sum(params["w"] ** 2))
    graph = Graph(tape)
    number = graph.number(graph.gradient(graph.find("beta1[1]")[0]))
    assert short(number) in (NOUGHT, "0")
