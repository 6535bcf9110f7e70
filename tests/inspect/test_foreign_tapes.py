"""Tapes from elsewhere: `from_json` refuses what no recording is, with the place; what it accepts can be asked."""

import copy
import json
import time
import tracemalloc
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lengths import for_all
from recordings import penalized, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect import Recording


def tower(text, steps=2, create_graph=False):
    def loss(params):
        return th.sum(th.tanh(params["w"]) ** 2) + params["alpha"] ** 4

    return trained(text, steps, {"w": [1.0, -2.0], "alpha": 0.5}, loss, ghosts=True, create_graph=create_graph)


def by_hand():
    w, alpha = th.tensor(2.0, requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record(ghosts=True) as tape:
        (w * w).backward()
        tape.step("by hand")
        tape.label(w, "w", "weights", 0)
        tape.label(alpha, "alpha", "hyperparameter", 0, range=(0.0, 1.0))
        w = w.detach("old").detach("twice") - alpha * w.grad.detach("gradient")
        tape.label(w, "w", "weights", 0)
        tape.stepped()
        (w * np.nan).backward()
    return tape


TEXTS = [
    tape.to_json()
    for tape in (
        tower("sgd/sgd"),
        tower("adam/sgd"),
        tower("sgd(0.1, mu=0.5, horizon=2, objective=sum)/sgd", 4, True),
        by_hand(),
        penalized(4, 2, ghosts=True),
    )
]
LOADED = [json.loads(text) for text in TEXTS]


def everything(tape):
    """Every question, picture and text: each gives an answer, or says by an error of the library why not."""
    asked = ["alpha", "w", "loss", 'weights["alpha"]', "level1.alpha"]
    asks = [inspect.cuts, inspect.ghosts, inspect.kept_alive, inspect.checkpoint, inspect.times, inspect.check]
    asks += [inspect.first_nonfinite, inspect.svg, lambda tape: inspect.differences(tape, tape)]
    for name in asked:
        for question in (inspect.moved, inspect.left_range, inspect.why_zero, inspect.paths):
            asks.append(lambda tape, question=question, name=name: question(tape, name))
    for ask in asks:
        try:
            answer = ask(tape)
        except th.TinyhyperError:
            continue
        if isinstance(answer, inspect.Answer):
            ElementTree.fromstring(answer.svg().encode())
        str(answer).encode()
    for text in (str(tape), tape._repr_html_(), tape.to_dot(), inspect.explorer.page(tape)):
        text.encode()
    assert Recording.from_json(tape.to_json()).to_json() == tape.to_json()


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_recorded_is_accepted_and_can_be_asked(text):
    tape = Recording.from_json(text)
    assert tape.to_json() == text
    everything(tape)


def places(value, here=()):
    yield here
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*here, key))


PLACES = [list(places(loaded))[1:] for loaded in LOADED]
VALUES = [
    None, True, 0, 1, -1, 3, 2**53, 2**64, 10**30, 0.5, 1e308, "NaN", "Infinity", "", "x", "alpha", "w[1]", "SGD.rule",
    "\x00\ufffe", "\x1b[31m", "\ud800", "</script>", "/dev/zero", "kept", "cut", "operation", "gradient", "weights",
    "log", "state", "hyperparameter", "float32", "object", [], {}, [0, 0], [1, 0], [10**9, 0], [0, "NaN"], [[0, 0]],
]  # fmt: skip


@st.composite
def mutated(draw):
    """A recording in which one to three things are another, missing, there twice, or what stands elsewhere."""
    n = draw(st.integers(0, len(LOADED) - 1))
    tape = copy.deepcopy(LOADED[n])
    for _ in range(draw(st.integers(1, 3))):
        *before, key = draw(st.sampled_from(PLACES[n]))
        parent = tape
        try:
            for step in before:
                parent = parent[step]
            value = parent[key]
        except (KeyError, IndexError, TypeError):
            continue
        match draw(st.sampled_from(["another", "missing", "twice", "number", "like"])):
            case "another":
                parent[key] = draw(st.sampled_from(VALUES))
            case "missing":
                del parent[key]
            case "twice" if isinstance(parent, list):
                parent.insert(key, value)
            case "number" if type(value) in (int, float):
                parent[key] = value + draw(st.sampled_from([1, -1, 2, 0.5]))
            case _:
                same = [place for place in PLACES[n] if place[-1] == key and len(place) == len(before) + 1]
                other = LOADED[n]
                for step in draw(st.sampled_from(same)):
                    other = other[step]
                parent[key] = copy.deepcopy(other)
    return json.dumps(tape)


def read_and_asked(text):
    try:
        tape = Recording.from_json(text)
    except th.ArgumentError as error:
        assert "tape" in str(error)
    else:
        everything(tape)


@pytest.mark.parametrize("loaded", LOADED)
def test_a_gradient_that_no_operation_made_is_refused_or_can_be_asked(loaded):
    for node in loaded["nodes"]:
        if node["kind"] == "gradient":
            tape = copy.deepcopy(loaded)
            tape["edges"] = [edge for edge in tape["edges"] if edge["target"] != node["number"]]
            read_and_asked(json.dumps(tape))


@for_all(20, 60, text=mutated())
def test_another_recording_is_refused_or_can_be_asked(text):
    read_and_asked(text)


@given(st.sampled_from(TEXTS), st.lists(st.tuples(st.floats(0, 1), st.text('[]{}",:019eE-.nul\\x\ud800', max_size=4))))
def test_text_with_other_characters_is_refused_or_can_be_asked(text, changes):
    for where, written in changes:
        at = int(where * len(text))
        text = text[:at] + written + text[at + 1 :]
    read_and_asked(text)


@pytest.mark.parametrize(
    "text",
    ['{"format": "other", "version": 1}', '{"format": "tinyhyper.tape", "version": 9}',
     '{"format": "tinyhyper.tape", "version": 2}', "{}", "[1]", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000,
     f"[{'9' * 5000}]", "NaN", "", "null", "\x00", b"\xff", 5, None],
    ids=lambda text: repr(text)[:12],
)  # fmt: skip
def test_what_is_no_json_of_a_tape_is_refused(text):
    with pytest.raises(th.ArgumentError, match="not the JSON of a tape|can be read"):
        Recording.from_json(text)


def changed(path, value, n=0):
    """The text of a recording in which one thing is another. path: as a message names it, `nodes[3].step`."""
    tape = copy.deepcopy(LOADED[n])
    parts = path.replace("]", "").replace("[", ".").split(".")
    *before, last = [int(part) if part.isdigit() else part for part in parts]
    parent = tape
    for key in before:
        parent = parent[key]
    parent[last] = value
    return json.dumps(tape)


CUT_EDGE = next(n for n, edge in enumerate(LOADED[0]["edges"]) if edge["cut"] is not None)
GRADIENT = next(n for n, node in enumerate(LOADED[0]["nodes"]) if node["kind"] == "gradient")
RULE = next(n for n, node in enumerate(LOADED[0]["nodes"]) if node["inside"] is not None)


@pytest.mark.parametrize(
    "path, value, place",
    [
        ("nodes[0].number", 1, "nodes[0].number is 1"),
        ("nodes[1].number", True, "nodes[1].number is not an integer"),
        ("nodes[0].line", 10**30, "nodes[0].line"),
        ("nodes[0].file", 3, "nodes[0].file is not text"),
        ("nodes[0].kind", "tensor", "nodes[0].kind is not one of operation, leaf"),
        ("nodes[0].op", "add", "nodes[0].op does not fit the kind leaf"),
        ("nodes[0].sweep", 0, "nodes[0].sweep is not a boolean"),
        ("nodes[0].step", 9, "nodes[0].step is 9, and there are 2 steps"),
        ("nodes[0].seconds", -1.0, "nodes[0].seconds"),
        ("nodes[0].outputs", LOADED[0]["nodes"][0]["outputs"] * 2, "nodes[0].outputs are 2 of a node of the kind leaf"),
        ("nodes[0].outputs[0].shape", [-1], "nodes[0].outputs[0].shape[0]"),
        ("nodes[0].outputs[0].shape", [2**40, 2**40], "nodes[0].outputs[0].shape is larger than"),
        ("nodes[0].outputs[0].shape", [1] * 65, "nodes[0].outputs[0].shape is larger than"),
        ("nodes[0].outputs[0].dtype", "object", "nodes[0].outputs[0].dtype"),
        ("nodes[0].outputs[0].norm", "much", "nodes[0].outputs[0].norm is neither a number"),
        ("nodes[0].outputs[0].norm", 2**65, "nodes[0].outputs[0].norm is neither a number"),
        ("nodes[0].outputs[0].value", 1.0, "nodes[0].outputs[0].value is one number"),
        ("nodes[0].outputs[0].label.name", ["w"], "nodes[0].outputs[0].label.name is not text"),
        ("nodes[0].outputs[0].label.name", "", "nodes[0].outputs[0].label.name is empty"),
        ("nodes[0].outputs[0].label.role", "weight", "nodes[0].outputs[0].label.role"),
        ("nodes[0].outputs[0].label.level", 10**7, "nodes[0].outputs[0].label.level"),
        ("nodes[0].outputs[0].label.range", [1, 0], "nodes[0].outputs[0].label.range begins above"),
        ("nodes[0].outputs[0].label.range", [0], "nodes[0].outputs[0].label.range is not a list of 2"),
        ("nodes[0].of", [0, 0], "nodes[0].of does not fit"),
        ("nodes[0].loss", [0, 0], "nodes[0].loss does not fit"),
        (f"nodes[{GRADIENT}].of", [GRADIENT, 0], f"nodes[{GRADIENT}].of is of node {GRADIENT}, which is not there yet"),
        (f"nodes[{GRADIENT}].loss", [10**6, 0], f"nodes[{GRADIENT}].loss is of node 1000000, which is not there"),
        (f"nodes[{GRADIENT}].loss", [0, 1], f"nodes[{GRADIENT}].loss is output 1 of node 0, which has 1"),
        (f"nodes[{RULE}].saved", [[10**6, 0]], f"nodes[{RULE}].saved[0] is of node"),
        (f"nodes[{RULE}].until", 99, f"nodes[{RULE}].until is 99"),
        (f"nodes[{RULE}].inside", 99, f"nodes[{RULE}].inside is 99"),
        (f"nodes[{RULE}].depends", [], f"nodes[{RULE}].depends is of 0 outputs"),
        (f"nodes[{RULE}].depends", [[99]], f"nodes[{RULE}].depends"),
        ("edges[0].target", 10**6, "edges[0].target is node 1000000"),
        ("edges[3].operand", 9, "edges[3].operand is 9"),
        ("edges[0].source", 10**6, "edges[0].source is of node 1000000, which is not there yet"),
        (f"edges[{CUT_EDGE}].flow", "kept", f"edges[{CUT_EDGE}].cut does not fit a flow that is kept"),
        (f"edges[{CUT_EDGE}].cut", 999, f"edges[{CUT_EDGE}].cut is 999"),
        (f"edges[{CUT_EDGE}].cut", LOADED[0]["cuts"][-1]["number"], f"edges[{CUT_EDGE}].cut is"),
        ("cuts[0].number", 5, "cuts[0].number is 5"),
        ("cuts[0].targets", [0], "cuts[0].targets are [0]"),
        ("cuts[0].shape", [2**50, 2**50], "cuts[0].shape is larger than"),
        ("cuts[0].severed", None, "cuts[0].severed is not a boolean"),
        ("insides[0].lines[0]", ["add"], "insides[0].lines[0] is not a list of 2"),
        ("insides[0].lines[0]", ["add", [10**6]], "insides[0].lines[0] reads 1000000"),
        ("insides[0].outputs", [10**6], "insides[0].outputs has 1000000"),
        ("ends", [], "ends does not go up"),
        ("ends", [9, 3], "ends does not go up"),
        ("steps", "2", "steps is not an integer"),
        ("horizon", 0, "horizon is 0"),
        ("objective", "first", "objective is not one of last, sum"),
        ("title", 7, "title is not text"),
        ("paths[0].target", [10**6, 0], "paths[0].target is of node"),
        ("paths[0].parts[0].through[0]", [0, 7], "paths[0].parts[0].through[0] is output 7"),
        ("alive[0].holders[0].name", 3, "alive[0].holders[0].name is not text"),
        ("nodes[0].more", 1, "nodes[0] has 'more', which is not known"),
        ("more", 1, "it has 'more', which is not known"),
        ("nodes", {}, "nodes is not a list"),
        ("nodes[0]", [], "nodes[0] is not an object"),
    ],
)  # fmt: skip
def test_the_place_that_is_wrong_is_named(path, value, place):
    with pytest.raises(th.ArgumentError) as error:
        Recording.from_json(changed(path, value))
    assert place in str(error.value)


def test_a_key_that_is_missing_or_there_twice_and_numbers_that_json_has_not_are_named():
    less = copy.deepcopy(LOADED[0])
    del less["nodes"][0]["file"]
    for text, told in (
        (json.dumps(less), "nodes[0] has no 'file'"),
        (TEXTS[0].replace('"number":0', '"number":0,"number":0', 1), "has 'number' twice"),
        (changed("nodes[0].outputs[0].norm", np.nan), "has the number NaN"),
    ):
        with pytest.raises(th.ArgumentError) as error:
            Recording.from_json(text)
        assert told in str(error.value)


def test_what_is_refused_costs_no_memory():
    tracemalloc.start()
    for path, value in (("nodes[0].outputs[0].shape", [2**50, 2**50]), ("steps", 2**53), ("ends", [2**53])):
        try:
            everything(Recording.from_json(changed(path, value)))
        except th.ArgumentError:
            continue
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_many_cuts_on_many_paths_are_asked_and_drawn_in_little_time():
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = th.optim.from_string("sgd/sgd")
    with th.record() as tape:
        for _ in range(2):
            x = params["w"]
            for _ in range(40):
                x = x * 0.5 + x.detach("a") * 0.1
            th.sum(x).backward()
            optimizer.step(params)
    began = time.perf_counter()
    everything(Recording.from_json(tape.to_json()))
    assert time.perf_counter() - began < 60


def test_a_step_without_a_name_for_the_weights_is_drawn_as_a_graph():
    x = th.tensor(1.0, requires_grad=True)
    with th.record() as tape:
        tape.step()
        (x * x).backward()
        tape.stepped()
    assert tape._repr_svg_() in tape._repr_html_() and "<pre>" in tape._repr_html_()
    assert inspect.cuts(tape)._repr_html_()
    everything(tape)


def test_a_value_that_is_moved_and_is_a_loss_itself_has_a_picture():
    w = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        (w * w).backward()
        tape.step()
        tape.label(w, "w", "weights", 0)
        new = w * 1.0 - w.grad * 0.1
        tape.label(new, "w", "weights", 0)
        tape.stepped()
        new.backward()
    moved = inspect.moved(tape, "w")
    assert len(moved.rows) == 1 and ElementTree.fromstring(moved.svg()).tag.endswith("svg")
