"""An opened operation: its equation computes what the operation does, and its picture shows what is cut."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import SPACE, classes, on_an_edge, overlapping, size_of, texts, touching
from recordings import by_hand, overlong, squares, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.equation import SLOT, Equation, Term, written
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.opened import Opened, equations, formulas
from tinyhyper.inspect.records import Inside
from tinyhyper.inspect.spots import points
from tinyhyper.plain import short

LEVELS = ["sgd", "sgd(mu=0.5)", "adagrad", "rmsprop", "adam", "adam-alpha", "adamw", "adadelta", "sgd(weight_decay=1)"]
stacks = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=3).map("/".join)
FUNCTIONS = {name: getattr(np, name) for name in ("sqrt", "exp", "tanh", "square")} | {"log": np.log}


def value_of(text, reads, gives):
    """What an equation gives for some numbers."""
    code = SLOT.sub(lambda slot: f"{'gives' if slot[1] else 'reads'}[{slot[2]}]", text)
    return eval(code, {**FUNCTIONS, "reads": reads, "gives": gives})


@pytest.mark.either_backend
@given(stacks)
def test_the_equation_of_a_rule_gives_what_the_rule_gave(stack):
    tape = trained(stack, params={"w": 0.7})
    graph = Graph(tape)
    rules = [node for node in tape.nodes if node.inside is not None and node.op.endswith(".rule")]
    assert rules
    for node in rules:
        found = equations(graph, [node.number])[node.number]
        outputs = [tape.output(edge.place) for edge in graph.into[node.number]]
        reads = [output.number if n in found.left else output.value for n, output in enumerate(outputs)]
        gives = [output.value for output in node.outputs]
        for text, given_value in zip(found.texts, gives):
            assert value_of(text, reads, gives) == pytest.approx(given_value, rel=1e-9, abs=1e-12)
        assert not any(name in text for text in found.texts for name in ("hold", "tanh"))


def covered(root):
    """What scissors stand on: the number of each, and the flow of the arrows below."""
    marks = classes(root, "th-scissors")
    places = [[float(number) for number in re.findall(r"[-.\d]+", mark.get("transform"))] for mark in marks]
    for n, place in enumerate(places):
        for path in classes(root, "th-arrow"):
            if np.hypot(*(np.array(points(path.get("d"))) - place).T).min() < 10:
                yield n, path.get("class").split()[1].removeprefix("th-")


def test_the_points_of_a_path_are_on_its_curve_and_close():
    found = np.array(points("M0 0 H40 C100 0 60 200 120 200 H150"))
    t = np.linspace(0, 1, 2000)[:, None]
    ends = [np.array(end) for end in ((40, 0), (100, 0), (60, 200), (120, 200))]
    curve = sum(n * t**k * (1 - t) ** (3 - k) * end for k, (n, end) in enumerate(zip((1, 3, 3, 1), ends)))
    on = (found[:, 0] >= 40) & (found[:, 0] <= 120)
    assert max(np.hypot(*(curve - point).T).min() for point in found[on]) < 0.2
    assert (found[0] == (0, 0)).all() and (found[-1] == (150, 200)).all()
    assert np.hypot(*np.diff(found, axis=0).T).max() < 10


def test_no_number_of_a_cut_of_adam_is_in_the_way():
    root = ElementTree.fromstring(inspect.svg(trained("adam/sgd/sgd", params={"W1": np.ones((3, 5))}), inside="W1[2]"))
    paths = [path.get("d") for flow in ("kept", "value") for path in classes(root, f"th-{flow}")]
    lines = np.array([point for path in paths for point in points(path)])
    for text, (x0, y0, x1, y1) in texts(root):
        assert not text.startswith("cut ") or not ((lines > (x0, y0)) & (lines < (x1, y1))).all(axis=1).any()
    assert {*covered(root)} == {(n, "cut") for n in range(5)}
    lines = [text for text, _ in texts(root)]
    equations = [line.partition(" = ")[0] for line in lines if " = " in line and line[0] != "g"]
    assert equations == ["W1[2]", "W1.m[2]", "W1.v[2]"]


@pytest.mark.either_backend
@given(stacks)
def test_the_picture_of_a_rule_shows_each_of_its_cuts_and_boxes_that_stand_apart(stack):
    tape = trained(stack, params={"w": [0.7, 0.3]})
    node = next(node for node in reversed(tape.nodes) if node.op and node.op.endswith(".rule"))
    root = ElementTree.fromstring(inspect.svg(tape, inside="w[2]"))
    cut = {edge.cut for edge in tape.edges if edge.target == node.number and edge.cut is not None}
    assert {f"cut {number}" for number in cut} == {text.text for text in classes(root, "th-reason")}
    assert len(classes(root, "th-scissors")) == len(classes(root, "th-cut")) >= len(cut)
    assert overlapping(root) == on_an_edge(root) == []
    assert {flow for _, flow in covered(root)} <= {"cut"}  # what looks cut is cut
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for _, (x0, y0, x1, y1) in texts(root))


DECAY = {"alpha": st.floats(1e-5, 0.01), "weight_decay": st.sampled_from([0.0, 0.01])}
RULES = {
    th.optim.SGD: {**DECAY, "mu": st.sampled_from([0.0, 0.5]), "nesterov": st.booleans()},
    **dict.fromkeys([th.optim.AdaGrad, th.optim.AdaDelta, th.optim.RMSProp, th.optim.Adam, th.optim.AdamW], DECAY),
}


@st.composite
def towers(draw, most=3):
    """A tower of rules with any of their hyperparameters in use."""
    tower = None
    for _ in range(draw(st.integers(1, most))):
        rule = draw(st.sampled_from([*RULES]))
        how = {name: draw(values) for name, values in RULES[rule].items()}
        if not how.get("mu", 1.0):
            how["nesterov"] = False
        tower = rule(**how, optimizer=tower)
    return tower


@pytest.mark.either_backend
@given(towers(), st.sampled_from(["w", "W1", "layer1.weight"]), st.sampled_from([0.7, [0.7, 0.3]]), st.data())
def test_an_opened_rule_is_legible_on_a_slide_and_its_numbers_are_the_recordings(tower, name, value, data):
    tape = trained(tower, params={name: value})
    graph = Graph(tape)
    made = [node for node in tape.nodes if node.inside is not None and node.op.endswith(".rule")]
    node = data.draw(st.sampled_from(made))
    asked = graph.name((node.number, 0))
    picture = inspect.svg(tape, inside=asked)
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width")), float(root.get("height"))
    assert min(map(size_of, root.iter(SPACE + "text"))) * min(1280 / width, 720 / height) >= 12
    assert touching(root) == [] and not SLOT.search(picture)
    for (one, a), (other, b) in combinations(texts(root), 2):
        assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]), (one, other)
    drawn = Opened(tape, asked)
    numbers = 0
    for box in {*drawn.inside} - {*drawn.rule.terms}:
        first = drawn.rule.first
        place = (node.number, box - first) if box >= first else drawn.into[node.number][box].place
        output, told = tape.output(place), drawn.caption(box)[1].removeprefix("g = ")
        if output.shape == ():
            inner = graph.coordinate(place) and box not in drawn.rule.equation.left
            assert told == short(output.value if inner else output.number)
            numbers += 1
        else:
            assert told == "[2]"
    assert numbers > 0


def test_the_rule_of_alpha_is_the_lectures_picture():
    tape = trained("sgd(0.1)/sgd(0.001)/sgd(1e-4)")
    root = ElementTree.fromstring(inspect.svg(tape, inside="alpha[1]"))
    words = [text for text, _ in texts(root)]
    assert "alpha[1] = ✂ alpha[0] - kappa[1] * ✂ ∂loss/∂alpha" in words
    assert {"−", "×", "alpha[0]", "kappa[1]", "∂loss/∂alpha", "alpha[1]"} <= {*words}
    assert len(classes(root, "th-cut")) == 2 and len(classes(root, "th-kept")) == 3
    marked = ElementTree.fromstring(inspect.svg(tape, inside="alpha[1]", marks=[tape.cuts[2].number], scale=2))
    assert len(classes(marked, "th-marked")) == 2 and float(marked.get("width")) == 2 * float(root.get("width"))


def test_adams_betas_and_t_are_as_the_equation_writes_them():
    text = inspect.svg(trained("adam/sgd", params={"w": 0.5}), inside="w[2]")
    said = re.sub(r"\s+", " ", " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", text)))
    step = "w.m[2] / (1 - beta1[2] ** t[2]) / (sqrt(w.v[2] / (1 - beta2[2] ** t[2])) + eps)"
    assert f"w[2] = ✂ w[1] - alpha[2] * ({step})" in said
    assert "w.m[2] = beta1[2] * ✂ w.m[1] + (1 - beta1[2]) * ✂ ∂loss[1]/∂w[1]" in said


def test_what_is_computed_in_a_coordinate_is_named_so():
    text = inspect.svg(trained("adam/sgd", params={"w": 0.5}), inside="beta1[2]")
    assert "u(beta1[2]) = ✂ u(beta1[1]) - kappa * ✂ ∂loss[1]/∂u(beta1[1])" in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name, message", [
    ("w[1]", r"w\[1\] was made by subtract, one operation, so there is nothing to open"),
    ("w[0]", r"w\[0\] was made by no recorded operation"),
    ("q", "no operation of this recording read or made 'q'"),
])  # fmt: skip
def test_what_cannot_be_opened_is_refused(name, message):
    with pytest.raises(th.ArgumentError, match=message):
        inspect.svg(by_hand(), inside=name)


def test_signs_bind_as_pythons_do():
    def text(*lines, outputs=None):
        return Equation(Inside("f", 3, [2.0], list(lines), outputs or (3 + len(lines),)), {}).texts[0]

    assert text(("subtract", (1, 2)), ("subtract", (0, 4))) == "{0} - ({1} - {2})"
    assert text(("subtract", (0, 1)), ("subtract", (4, 2))) == "{0} - {1} - {2}"
    assert text(("add", (0, 1)), ("multiply", (4, 3))) == "({0} + {1}) * 2"
    assert text(("power", (0, 1)), ("power", (4, 2))) == "({0} ** {1}) ** {2}"
    assert text(("negative", (0,)), ("power", (4, 3))) == "(-{0}) ** 2"
    assert text(("square", (0,)), ("negative", (4,))) == "-{0} ** 2"
    assert text(("add", (0, 1)), ("reciprocal", (4,)), ("multiply", (2, 5))) == "{2} / ({0} + {1})"
    assert text(("where", (0, 1, 2)), ("divide", (2, 4))) == "{2} / where({0}, {1}, {2})"
    assert text(*[("multiply", (n + 3 if n else 0,) * 2) for n in range(12)]) == ""  # 4,096 factors


def test_an_operation_that_is_too_long_is_drawn_without_its_equation():
    tape = overlong()
    drawn = inspect.svg(tape, inside="loss")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    assert "loss[0], as long makes it" in words and not any(" = " in text for text in words)
    assert {text for found in formulas(Graph(tape)).values() for text in found["texts"]} == {""}


def test_a_page_has_a_formula_for_each_fused_operation():
    tape = trained("adam/sgd", loss=squares)
    assert [*formulas(Graph(tape))] == [node.number for node in tape.nodes if node.inside is not None]
    assert all(found["boxes"] for found in formulas(Graph(tape)).values())


@pytest.mark.parametrize("name, text", [("negative", "-(a + b)"), ("reciprocal", "1 / (a + b)")])
def test_a_sum_stands_in_brackets_beside_a_sign_that_binds_more_tightly(name, text):
    assert written(name, [Term("a + b", 1)]).text == text


def test_what_comes_without_a_name_is_a_dot_in_the_terms_of_an_opened_operation():
    @th.fuse
    def wave(x):
        return th.tanh(th.exp(x) + x) * x + th.sin(x) - th.square(x)

    with th.record() as tape:
        x = th.tensor([0.3, 0.2], requires_grad=True, name="x")
        y = wave(th.cos(x * 2.0))
        tape.label(y, "y", "weights", 0)
        th.sum(y).backward()
    assert "tanh(exp(·) + ·) * ·" in inspect.svg(tape, inside="y")
