"""What the inspector calls values, whatever their names: each name that it tells is of one value, and can be asked."""

import ast
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.errors import ArgumentError
from tinyhyper.inspect import Recording
from tinyhyper.inspect.captions import Captions
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.names import Names

HOSTILE = [
    "alpha", "beta1", "t", "eps", "loss", "kappa", "level1.alpha", "level2.alpha", "w", "w[1]", "w[1][2]", "w.m",
    "alpha.m", "x[3]", "a/b", "∂loss/∂w", "w[", "]", "w[99999999999999999999]", "two\nlines",
]  # fmt: skip
EXACT = ['weights["w"]', 'weights["alpha"][1]', 'loss["loss"]', 'level1.hyperparameter["alpha"]']  # read as said


def named_run(names, steps=2):
    params = {name: th.tensor([1.0, 0.5 + n], requires_grad=True) for n, name in enumerate(names)}
    optimizer = th.optim.Adam(0.01, optimizer=th.optim.Adam(1e-3, optimizer=th.optim.SGD(1e-4)))
    with th.record(ghosts=True) as tape:
        for _ in range(steps):
            sum(th.sum(w * w * w) for w in params.values()).backward()
            optimizer.step(params)
    return tape, params


def told_in(error):
    """The ways to ask that an error tells: all that it quotes but what was asked."""
    return [ast.literal_eval(way) for way in re.findall(r"'(?:[^'\\]|\\.)*'", str(error))][1:]


@given(st.lists(st.sampled_from(HOSTILE + EXACT), min_size=1, max_size=5, unique=True))
def test_whatever_a_weight_is_called_each_name_that_is_told_is_of_one_value_at_one_step(names):
    tape, _ = named_run(names)
    graph = inspect.graph.Graph(tape)
    for node in tape.nodes:
        for n, output in enumerate(node.outputs):
            if output.label is None or output.label.role == "gradient":
                continue
            found = [tape.output(place).label for place in graph.find(graph.name((node.number, n)))]
            assert output.label in found
            assert {(label.role, label.level, label.name) for label in found} == {
                (output.label.role, output.label.level, output.label.name)
            }


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5, unique=True))
def test_a_name_of_several_values_is_refused_with_the_ways_to_ask_for_each(names):
    tape, params = named_run(names)
    graph = inspect.graph.Graph(tape)
    for name in names:
        try:
            found = graph.find(name)
        except th.ArgumentError as error:
            ways = told_in(error)
            assert len(ways) > 1 and len({tuple(graph.find(way)) for way in ways}) == len(ways)
            found = graph.find(f'weights["{name}"]')
            assert found in [graph.find(way) for way in ways]
        assert {tape.output(place).label.name for place in found} == {name}
        exactly = graph.find(f'weights["{name}"]')
        assert tape.output(exactly[-1]).norm == pytest.approx(np.linalg.norm(params[name].data))


def test_a_checkpoint_holds_the_hyperparameter_beside_a_weight_of_its_name():
    tape, params = named_run(["alpha", "loss"])
    rows = [row for row in inspect.checkpoint(tape).rows if row[-1] == "value"]
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names)
    assert {'weights["alpha"][2]', 'hyperparameter["alpha"][2]', 'weights["loss"][2]', "kappa[2]"} <= set(names)
    assert {'level1.state["alpha.m"][2]', 'state["alpha.m"][2]'} <= set(names)


@pytest.mark.parametrize("question", [inspect.moved, inspect.paths, inspect.why_zero, inspect.left_range])
def test_a_question_by_a_name_of_two_values_is_refused_and_by_the_exact_name_answered(question):
    tape, _ = named_run(["alpha"])
    with pytest.raises(th.ArgumentError, match=r"""'alpha' .* 'hyperparameter\["alpha"\]' or 'weights\["alpha"\]'"""):
        question(tape, "alpha")
    with pytest.raises(th.ArgumentError, match=r"""'alpha\[1\]' .* 'hyperparameter\["alpha"\]\[1\]' or"""):
        question(tape, "alpha[1]")
    assert 'hyperparameter["alpha"]' in question(tape, 'hyperparameter["alpha"]').text
    with pytest.raises(th.ArgumentError, match=r"at the steps 0, 1, 2, not at step 7"):
        question(tape, 'weights["alpha"][7]')
    with pytest.raises(th.ArgumentError, match=r"no operation"):
        question(tape, 'state["alpha"]')


def test_what_moved_a_value_is_of_that_value_alone():
    tape, _ = named_run(["alpha"], steps=3)
    alone, _ = named_run(["w"], steps=3)
    ours, theirs = inspect.moved(tape, 'hyperparameter["alpha"]').rows, inspect.moved(alone, "alpha").rows
    assert [row[:-1] for row in ours] == [row[:-1] for row in theirs] and len(ours) == 3
    assert len(inspect.moved(tape, 'weights["alpha"]').rows) == 3


def test_what_changed_between_two_is_told_by_names_that_fit_both():
    first, second = named_run(["alpha"])[0], named_run(["w"])[0]
    rows = inspect.differences(first, second).rows
    ends = {name for row in rows for name in row[:2]}
    assert 'weights["alpha"]' in ends and "w" in ends
    assert not any(row[0] == 'hyperparameter["alpha"]' and row[1].startswith("level") for row in rows)
    assert inspect.differences(first, first).rows == []


def test_a_gradient_of_a_gradient_of_a_gradient_has_a_name_of_bounded_length():
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        tape.label(x, "x", "weights", 0)
        y = x**9.0
        for _ in range(7):
            y.retain_grad()
            y.backward(create_graph=True)
            y, x.grad = x.grad, None
    assert max(len(inspect.graph.Graph(tape).name((node.number, 0))) for node in tape.nodes) < 100


def test_a_picture_refuses_the_name_of_two_boxes_and_tells_both():
    tape, _ = named_run(["alpha", "loss"])
    captions = Captions(figure(tape))
    for name in ("alpha[1]", "loss[1]"):
        with pytest.raises(th.ArgumentError, match="may be one of several boxes") as error:
            inspect.svg(tape, trail=[name])
        ways = told_in(error.value)
        assert len(ways) == len({captions.find(way) for way in ways}) == 2
    assert 'loss["loss"][1].backward() reaches' in captions.reached()
    assert captions.find('weights["alpha"][1]') != captions.find('hyperparameter["alpha"][1]')
    with pytest.raises(th.DtypeError, match="by its name"):
        inspect.moved(tape, 3)


@given(st.lists(st.sampled_from(HOSTILE), max_size=3, unique=True), st.integers(1, 4))
def test_a_value_has_one_name_in_text_in_pictures_and_to_ask_for_it(names, height):
    tower = th.optim.SGD(1e-3)
    for _ in range(height):
        tower = th.optim.Adam(1e-3, optimizer=tower)
    params = {name: th.tensor([1.0, 0.5], requires_grad=True) for name in names or ["w"]}
    with th.record() as tape:
        for _ in range(3):
            sum(th.sum(w * w) for w in params.values()).backward()
            tower.step(params)
    graph, captions = inspect.graph.Graph(tape), Captions(figure(tape))
    for name, places in graph.places.items():
        if name.role != "hyperparameter" or name.name == "t":
            continue
        title = graph.title(name)
        assert graph.find(title) == places and graph.find(name.exact) == places
        if title == name.title:
            greek = (name.name, name.level) == ("alpha", 1)
            assert title == ("kappa" if greek else f"level{name.level}.{name.name}" if name.level else name.name)
            by_level = f"level{name.level}.{name.name}" if name.level else name.name
            assert graph.find(by_level) == places
            if tape.node(places[-1]).kind != "constant":
                key = captions.find(f"{title}[3]")
                assert key == captions.find(f"{by_level}[3]") and title in captions.title(captions.figure.boxes[key])


@given(st.integers(1, 5))
def test_losses_without_steps_are_numbered_as_they_came_and_found_by_their_numbers(count):
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        for _ in range(count):
            (x * x).backward()
    names = Names(tape)
    losses = sorted(names.losses)
    assert [names.known(loss) for loss in losses] == [f"loss[{n}]" for n in range(count)]
    assert [names.find(f"loss[{n}]") for n in range(count)] == [[loss] for loss in losses]
    assert {f"∂loss[{n}]/∂x" for n in range(count)} <= {names.name((node.number, 0)) for node in tape.nodes}
    with pytest.raises(th.ArgumentError, match=f"at the steps {', '.join(map(str, range(count)))}, not at step 9"):
        names.find("loss[9]")
    drawn = th.inspect.svg(tape)
    assert all(f">loss[{n}]<" in drawn for n in range(count))


def test_what_is_called_kappa_is_said():
    tall, short = named_run(["w"])[0], named_run(["kappa"])[0]
    assert tall.tree().splitlines()[2] == "kappa is the alpha of level 1."
    assert "kappa is the alpha" not in trained("sgd").tree()
    assert str(inspect.paths(tall, "level1.alpha")) == str(inspect.paths(tall, "kappa"))
    assert "level1.alpha" not in inspect.paths(tall, "kappa").text
    assert inspect.paths(short, "level1.alpha").text
    with pytest.raises(th.ArgumentError, match="names several values here"):
        inspect.paths(short, "kappa")


@pytest.mark.parametrize("ask", [inspect.moved, inspect.left_range, inspect.paths, inspect.why_zero])
def test_a_hyperparameter_of_two_towers_is_asked_for_where_one_was_recorded(ask):
    params = [{name: th.tensor(1.0, requires_grad=True)} for name in "ab"]
    towers = [th.optim.from_string(text) for text in ("sgd(0.01)/sgd(0.001)", "sgd(0.02)/sgd(0.01)")]
    with th.record(ghosts=True) as tape:
        for _ in range(3):
            (params[0]["a"] ** 2 + params[1]["b"] ** 2).backward()
            for own, optimizer in zip(params, towers):
                optimizer.step(own)
    for recording in (tape, Recording.from_json(tape.to_json())):
        with pytest.raises(ArgumentError, match=r"'alpha' .* SGD\(alpha=0.01\) / .* and SGD\(alpha=0.02\) / .*one at"):
            ask(recording, "alpha")
    assert inspect.moved(tape, "a").rows and inspect.svg(tape) and tape.explore()


def test_a_tower_that_takes_over_from_another_is_no_second_one():
    params = {"w": th.tensor(1.0, requires_grad=True)}
    with th.record() as tape:
        for alpha in (0.1, 0.2):
            optimizer = th.optim.SGD(alpha, optimizer=th.optim.SGD(0.01))
            for _ in range(2):
                (params["w"] ** 2).backward()
                optimizer.step(params)
    assert len(tape.towers) == 1 and len(inspect.moved(tape, "alpha").rows) == 4


@given(st.sampled_from(["weights", "state"]), st.booleans(), st.integers(1, 3))
def test_a_value_that_the_users_code_calls_as_labels_by_hand_do_is_one_of_theirs(role, first, steps):
    w, alpha = th.tensor([2.0, 1.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(steps):
            (th.sum(w * w * [3.0, 1.0]) * 2.0).backward(retain_graph=True, create_graph=True)
            tape.step("by hand")
            if first:
                tape.label(w, "w", role, 0)
            w = (w - alpha * w.grad).retain_grad()
            tape.label(w, "w", role, 0)
            tape.stepped()
    names = Names(tape)
    assert [names.known(place) for place in names.find("w")] == [f"w[{n}]" for n in range(steps + 1)]
    said = f"{tape}{inspect.kept_alive(tape)}"
    assert "value[" not in said and "∂loss[0]/∂w[0]" in said
    assert ("constant" in str(inspect.kept_alive(tape))) == ("a constant [2]" in str(inspect.kept_alive(tape)))


def test_labels_by_hand_of_several_values_take_no_variables_name():
    """Nor do those of an optimizer: a loss may call something else alpha."""
    w, alpha = th.tensor([2.0, 1.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        th.sum(w * w).backward(retain_graph=True)
        tape.step("by hand")
        for role in ("weights", "state"):
            tape.label(w * alpha, "w", role, 0)
    assert Names(tape).known((0, 0)) == 'value["w"][0]'
    params, optimizer = {"w": th.tensor([1.0, -2.0], requires_grad=True)}, th.optim.from_string("sgd/sgd")
    with th.record() as tape:
        (th.sum(params["w"] ** 2) * alpha).backward()
        optimizer.step(params)
    assert 'value["alpha"]' in str(tape)


def test_an_opened_operation_names_what_the_users_code_has_a_name_for():
    @th.fuse
    def scaled(x, factor):
        return x * factor + 1.0

    x, factor = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(3.0, requires_grad=True)
    y = None
    with th.record() as tape:
        y = scaled(x, factor)
        th.sum(y * y).backward()
        tape.label(y, "y", "state", 0)
    assert {">x<", ">factor<"} <= {*re.findall(">[a-z]+<", inspect.svg(tape, inside="y"))}
