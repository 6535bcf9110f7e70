"""Each question to a tape is answered from the recorded graph, in words, in numbers and as a picture."""

import json
import re
from collections import Counter, defaultdict
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE
from recordings import run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.checkpoint import archive
from tinyhyper.core.tape import reachable
from tinyhyper.core.tensor import leaf
from tinyhyper.inspect.answers import GLOSSARY
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.legend import INSTEAD
from tinyhyper.inspect.memory import alive, nbytes
from tinyhyper.inspect.text import counted
from tinyhyper.optim import SGD
from tinyhyper.plain import short, signed


def by_hand(alphas=(0.1, 0.1), tuned=True, ghosts=True, cut=True):
    """Gradient descent on one weight, written out; the tape is told what the tensors are."""
    w, alpha = th.tensor(2.0, requires_grad=True), th.tensor(alphas[0], requires_grad=tuned)
    with th.record(ghosts) as tape:
        for value in alphas:
            if value != alpha.item():
                alpha = th.tensor(value, requires_grad=tuned)
            (w * w).backward(retain_graph=True)
            tape.step()
            tape.label(w, "w", "weights", 0)
            tape.label(alpha, "alpha", "hyperparameter", 0)
            w = (w.detach("weights") - (alpha.detach("here") if not cut else alpha) * w.grad.detach("gradient")) * 1.0
            tape.label(w, "w", "weights", 0)
            w = w.retain_grad() if w.requires_grad else leaf(w)
            tape.stepped()
        (w * w).backward(retain_graph=True)
    return tape


def alone(make, start=1.0, name="alpha"):
    """A tape of what `make` computes from a value and, if it gives one, of the loss's backward pass; and the value.

    make: of the value and `call`, which gives a name to a tensor or to a number.
    """
    x = th.tensor(start, requires_grad=True)
    with th.record(ghosts=True) as tape:
        tape.label(x, name, "hyperparameter", 0)

        def call(value, name):
            tensor = value if isinstance(value, th.Tensor) else th.tensor(value)
            tape.label(tensor, name, "weights", 0)
            return tensor

        if (loss := make(x, call)) is not None:
            loss.backward()
    return tape, x


def column(answer, name):
    return [row[answer.columns.index(name)] for row in answer.rows]


ASKED = {
    "cuts": lambda tape: inspect.cuts(tape),
    "paths": lambda tape: inspect.paths(tape, "alpha"),
    "why_zero": lambda tape: inspect.why_zero(tape, "alpha[0]"),
    "ghosts": lambda tape: inspect.ghosts(tape),
    "without": lambda tape: inspect.without(tape, 0),
    "kept_alive": lambda tape: inspect.kept_alive(tape),
    "checkpoint": lambda tape: inspect.checkpoint(tape),
    "differences": lambda tape: inspect.differences(tape, tape),
    "times": lambda tape: inspect.times(tape),
    "moved": lambda tape: inspect.moved(tape, "alpha"),
    "left_range": lambda tape: inspect.left_range(tape, "alpha"),
    "first_nonfinite": lambda tape: inspect.first_nonfinite(tape),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("stack", ["sgd/sgd", "adam/adam/sgd", "rmsprop/sgd"])
def test_every_answer_has_three_forms(name, stack, tmp_path):
    answer = ASKED[name](run(stack)[0])
    lines = str(answer).splitlines()
    assert lines[0] == answer.question and answer.question.endswith("?") and len(answer.text) > 10
    assert all(len(row) == len(answer.columns) for row in answer.rows)
    assert answer.text.split()[0] in answer._repr_html_() and GLOSSARY in answer._repr_html_()
    root = ElementTree.fromstring(answer.save_svg(tmp_path / "answer.svg").read_text(encoding="utf-8"))
    assert root.tag.endswith("svg") and len(list(root)) > 3 and answer.question in {*root.itertext()}


@given(stacks, st.integers(1, 3), st.integers(0, 5))
def test_the_paths_add_up_to_what_backward_left_and_their_shares_to_one(stack, horizon, seed):
    bottom, _, above = f"{stack}/sgd(1e-3)".partition("/")
    text = f"{bottom.removesuffix(')')}, horizon={horizon}) / {above}"
    tape, _, optimizer = run(text, steps=horizon + 1, seed=seed, create_graph=horizon > 1)
    for level, own in enumerate(optimizer.levels):
        for key in own._tuned:
            answer = inspect.paths(tape, f"level{level}.{key}" if level else key)
            shares = column(answer, "share")
            assert shares and not any(share.startswith("-0 ") for share in shares)
            ends = {(path.split(" → ")[0], path.split(" → ")[-1]) for path in column(answer, "path")}
            name = re.search(r"\S+\[\d+\]", answer.question)[0]
            assert ends == {(f"loss[{horizon}]", name)}
            total = sum(column(answer, "contribution"))
            graph = Graph(tape)
            assert total == pytest.approx(graph.number(graph.gradient(graph.find(name)[0])), rel=1e-9, abs=1e-13)
            if "–" not in shares:
                numbers = [float(share.removesuffix(" %")) for share in shares]
                assert sum(numbers) == pytest.approx(100.0, abs=1e-3 * sum(map(abs, numbers)))
                given = [100.0 * part / total for part in column(answer, "contribution")]
                assert numbers == pytest.approx(given, rel=1e-3, abs=1e-9)


def test_a_share_of_nothing_is_zero():
    tape, _ = alone(lambda x, call: call(x * 2.0, "a") + call(x * -0.0, "b"))
    assert column(inspect.paths(tape, "alpha"), "share") == ["100 %", "0 %"]


def test_the_paths_to_an_array_add_up_to_the_length_of_its_gradient():
    def loss(x, call):
        a, b, c = call(x * [1.0, 3.0], "a"), call(th.tanh(x), "b"), call(-0.5 * x, "c")
        return th.sum(a + b**2 + c**2)

    tape, x = alone(loss, [1.0, -2.0])
    answer = inspect.paths(tape, "alpha")
    assert len(answer.rows) == 3
    assert sum(column(answer, "contribution")) == pytest.approx(np.linalg.norm(x.grad.numpy()))


@pytest.mark.parametrize(
    "of, tape, words",
    [
        ("alpha[2]", lambda: run("sgd/sgd")[0], "It is not zero: backward() left"),
        ("alpha[0]", lambda: run("sgd/sgd")[0], "is cut, at cut 0 of alpha[0] (hyperparameter). The"),
        ("alpha[3]", lambda: run("sgd/sgd")[0], "There is no path yet: no loss was computed after alpha[3]"),
        ("kappa", lambda: run("sgd/sgd")[0], "is a constant: no level above tunes it"),
        ("mu", lambda: run("sgd(0.1, mu=0.5)/sgd")[0], "it contributes 0: backward() left 0 in the .grad of mu[1]"),
        ("alpha", lambda: by_hand(cut=False), "of alpha[0] (here)"),
        ("alpha", lambda: by_hand(tuned=False), "is a constant"),
    ],
)
def test_why_a_gradient_is_zero(of, tape, words):
    assert words in inspect.why_zero(tape(), of).text


@example("adam(0.01)", [0.0, 2.0, 0.5])
@given(st.sampled_from(["sgd(mu=0.5)", "adam(0.01)"]), st.lists(st.sampled_from([0.0, 2.0]), min_size=1, max_size=3))
def test_a_weight_that_starts_at_zero_is_not_to_blame_but_what_was_averaged_or_gathered(rule, starts):
    def loss(params):
        return sum((w + 1.0) ** 2 for w in params.values())

    params = {f"w{n}": start for n, start in enumerate(starts)}
    name, read = ("mu", "SGD.rule read {}.velocity") if "mu" in rule else ("beta1", "Adam.rule read {}.m")
    answer = inspect.why_zero(trained(f"{rule}/sgd(1e-9)", 3, params, loss, ghosts=True), name)
    assert answer.question == f"Why is the gradient of {name}[1] zero?"
    assert sorted(column(answer, "because")) == [f"{read.format(w)}[0] = 0" for w in params]


OTHER = th.tensor(3.0, requires_grad=True)


def apart(x, call):
    x.detach("aside") * 2.0
    return OTHER * OTHER


def unrecorded(x, call):
    with th.no_grad():
        y = x * 2.0
    return OTHER * y


@pytest.mark.parametrize(
    "loss, words, rows",
    [  # zeros are blamed each where one would do, and together where both must
        (lambda x, call: call(x * call(0.0, "one") * call(0.0, "other") + call(0.0, "innocent"), "w") * 3.0,
         "add read one[0], other[0] = 0", 1),
        (lambda x, call: call(th.tanh(x * call(0.0, "one")) + call(0.0, "innocent"), "w") * 3.0,
         "add read one[0] = 0", 1),
        (lambda x, call: call(th.maximum(x, 5.0) + call(0.0, "innocent"), "w") * 3.0,
         "the derivative of maximum is 0 there, test_questions.py:", 1),
        (lambda x, call: th.sum(call(x * [1.0, -1.0], "w")), "its terms add up to 0", 1),
        (lambda x, call: call(x * 3.0, "w") * 0.0, "the gradient with respect to w[0] is 0 already", 1),
        (lambda x, call: 3.0 * call(x * 2.0, "a") - 2.0 * call(x * 3.0, "b"), "cancel each other", 2),
        (unrecorded, "recorded no gradient", 0),
        (apart, "no loss depends on alpha[0]", 0),
    ],
)  # fmt: skip
def test_the_reason_of_a_zero_is_named_and_no_other(loss, words, rows):
    answer = inspect.why_zero(alone(loss)[0], "alpha")
    assert words in " ".join(str(answer).split()) and len(answer.rows) == rows


def test_a_path_that_is_cut_anywhere_is_cut():
    alpha, w = th.tensor(1.0, requires_grad=True), th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        tape.label(alpha, "alpha", "hyperparameter", 0)
        new = w * (alpha * 3.0).detach() * 1.0
        tape.label(new, "w", "weights", 0)
    (row,) = (row for row in inspect.differences(tape, inspect.Recording()).rows if row[0] == "alpha")
    assert row == ("alpha", "w", "cut", "–")


def test_an_output_is_computed_from_its_own_operands_only():
    tape, _, _ = run("adam/sgd")
    joined = {row[:2] for row in inspect.differences(tape, inspect.Recording()).rows}
    assert {("alpha", "w"), ("beta1", "w.m"), ("beta2", "w.v"), ("beta2", "w")} <= joined
    assert not joined & {("alpha", "w.m"), ("beta2", "w.m"), ("beta1", "w.v"), ("w", "w.m")}


def test_what_is_gone_before_a_step_ends_was_alive_at_the_end_of_none():
    untils = defaultdict(list)
    for node in trained("sgd/sgd", 3).nodes:
        untils[node.op].append(node.until)
    assert untils["square"] == untils["sum"] == [None, None, None]
    assert [until for until in untils["SGD.rule"] if until is not None] == [1, 2, 4]


@given(stacks, st.integers(0, 5))
def test_what_is_alive_after_each_step_is_what_the_engine_holds(stack, seed):
    generator = np.random.default_rng(seed)
    params = {"w": th.tensor(generator.normal(size=2), requires_grad=True)}
    optimizer = th.optim.from_string(stack)
    held = []
    with th.record() as tape:
        for _ in range(3):
            loss = th.sum(th.tanh(params["w"]) ** 2)
            loss.backward()
            optimizer.step(params)
            roots = [t.edge[0] for t in params.values()]
            roots += [t.edge[0] for level in optimizer.levels for t in level.parameters.values() if t.edge is not None]
            nodes = [node for node in reachable(roots) if node.op is not None and not node.released]
            arrays = {id(array): array.nbytes for node in nodes for array in node.saved}
            held.append(({node.serial for node in nodes}, sum(arrays.values())))
            del roots, nodes, arrays
    for (serials, size), now in zip(held, alive(tape), strict=False):
        assert {tape.nodes[number].serial for number in now.nodes} == serials
        assert now.bytes == size == sum(nbytes(tape, place) for place in now.saved)
        assert None not in now.holders
        assert set().union(*now.holders.values()) == set(now.nodes)


@given(stacks, st.integers(1, 3))
def test_the_words_of_what_is_kept_alive_name_each_node_and_the_hyperparameters_first(stack, steps):
    tape = run(stack, steps)[0]
    now, graph, text = alive(tape)[-1], Graph(tape), inspect.kept_alive(tape).text
    names = [graph.known((number, 0)) for number in now.nodes]
    nodes, arrays = (text.split(". ")[n].rpartition(": ")[2] for n in (0, 1)) if now.nodes else ("", "")
    assert all(name is None or f"{name}, " in f"{nodes}, " for name in names[:6])
    labels = {graph.known(place): graph.label(place) for place in now.saved if tape.node(place).kind != "constant"}
    tuned = [name for name, label in labels.items() if label and label.role == "hyperparameter"]
    assert not tuned or arrays.split(", ")[0] in tuned


@given(stacks, st.integers(1, 3), st.integers(1, 7))
def test_until_when_nodes_are_alive_is_told_of_each(stack, horizon, steps):
    bottom, _, above = stack.partition("/")
    stack = f"{bottom.removesuffix(')')}, horizon={horizon})/{above or 'sgd'}" if "(" in bottom else stack
    tape = trained(stack, steps, create_graph=horizon > 1)
    answer, ends = inspect.kept_alive(tape), len(tape.ends)
    for now, (*_, told) in zip(alive(tape), answer.rows, strict=True):
        words = {last: f"step {last + 1}" for last in range(ends)}
        words |= {ends: "still alive at the end"} | ({now.step: "the next step"} if now.step < ends else {})
        lasts = Counter(words[min(tape.nodes[number].until, ends)] for number in now.nodes)
        each = dict(re.fullmatch(r"(.*?)(?: \((\d+)\))?", one).groups() for one in told.split(", ") if one)
        assert {one: int(number or len(now.nodes)) for one, number in each.items()} == lasts


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1), st.integers(1, 12))
def test_a_list_that_counts_has_all_names(names, most):
    listed, _, more = counted(names, most).partition(" and ")
    each = [re.fullmatch(r"(?:(\d+) × )?(.)", one).groups() for one in listed.split(", ")]
    assert all(names.count(name) == int(number or 1) for number, name in each) and len(each) <= most
    assert sum(int(number or 1) for number, _ in each) + int(more.removesuffix(" more") or 0) == len(names)


def test_graphs_that_the_user_holds_are_told_from_the_optimizers():
    losses = []

    def loss(params):
        losses.append(th.sum(th.tanh(params["w"])))
        return losses[-1]

    answer = inspect.kept_alive(trained("sgd/sgd", 3, loss=loss, retain_graph=True))
    assert all("in your code" in held for held in column(answer, "held by"))
    assert column(answer, "nodes") == sorted(column(answer, "nodes"))


def test_fixed_and_tuned_alpha_differ_in_one_edge():
    answer = inspect.differences(by_hand(tuned=False, alphas=(0.1,)), by_hand(alphas=(0.1,)))
    assert answer.rows == [("alpha", "w", "without a gradient", "kept")]
    told = r"Both recordings have edges between \d+ pairs of named values\. 1 of them differs\."
    assert re.match(told, answer.text)
    same = inspect.differences(by_hand(), by_hand())
    assert not same.rows and same.text.startswith("Nothing. Both recordings have ")


def test_an_edge_that_some_steps_of_a_window_cut_is_cut_sometimes():
    wide = trained("sgd(0.1, horizon=2) / sgd", 4, create_graph=True)
    (row,) = (row for row in inspect.differences(run("sgd/sgd")[0], wide).rows if row[:2] == ("w", "w"))
    assert row[2:] == ("cut", "sometimes cut, sometimes kept")


def test_a_level_more_adds_its_own_edges_only():
    answer = inspect.differences(run("sgd/sgd")[0], run("sgd/sgd/sgd")[0])
    assert {row[:2] for row in answer.rows if row[2] == "–"} == {
        ("kappa", "kappa"),
        ("∂loss/∂kappa", "kappa"),
        ("level2.alpha", "kappa"),
    }
    assert [row for row in answer.rows if row[2] != "–"] == [("kappa", "alpha", "without a gradient", "kept")]


def file_of(path):
    """The arrays of a checkpoint by what they are: role, level, name and why."""
    content = archive.read(path)
    tower, last = content["tower"], content["tower"]["last"]
    parts = [("", content["params"], tower["hyperparameters"], [level.get("state", {}) for level in tower["levels"]])]
    if last is not None:
        parts.append((" read", last["weights"], last["hyperparameters"], last["states"]))
    found = {}
    for read, weights, hyperparameters, states in parts:
        for level, entries in enumerate([weights, *hyperparameters]):
            owner = ("hyperparameter", level - 1) if level else ("weights", 0)
            for name, entry in entries.items():
                found |= {(*owner, name, why + read): entry[why] for why in ("value", "gradient")}
        for level, of in enumerate(states):
            found |= {("state", level, f"{w}.{n}", f"value{read}"): own[n] for w, own in of.items() for n in own}
    return {key: array for key, array in found.items() if array is not None}


@example("sgd(0.05)", 2, 2, True)
@example("sgd(0.05)/sgd(0.05)", 1, 2, True)
@example("sgd(0.05)/sgd(0.05)", 1, 2, False)
@example("sgd(0.05)", 1, 2, True)
@given(stacks, st.sampled_from([1, 1, 2, None]), st.integers(0, 5), st.booleans())
def test_the_checkpoint_is_what_save_writes_and_fits_what_is_kept_alive(stack, horizon, steps, last):
    optimizer = th.optim.from_string(stack)
    if horizon != 1:
        optimizer = SGD(0.05, mu=0.5, horizon=horizon, optimizer=SGD(1e-3))
    params = {name: th.tensor(value, requires_grad=True) for name, value in (("w", [1.0, -2.0]), ("b", 0.5))}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with th.record() as tape:
            for n in range(steps + last):
                (th.sum(th.tanh(params["w"]) ** 2) * params["b"] ** 2).backward(create_graph=horizon != 1)
                if n < steps:
                    optimizer.step(params)
        answer = inspect.checkpoint(tape)
        kept = inspect.kept_alive(tape)
        if not steps:
            assert "none was there when the recording ended" in answer.text
            return
        try:
            th.save(path, params, optimizer)
        except th.GraphError as error:
            why = str(error).removeprefix("save: ")
            assert answer.text == f"No file can hold this run as it is now: {why}." and not answer.rows
            bars = [bar.get("class") for bar in ElementTree.fromstring(answer.svg()).iter(SPACE + "rect")]
            assert any((bar or "").startswith("th-bar") for bar in bars)
            assert kept.rows[-1][1] > 0
        else:
            written = file_of(path)
            listed = {(row.role, row.level, row.name, row.why): row for row in tape.saved}
            assert len(listed) == len(tape.saved) == len(answer.rows)
            for key, row in listed.items():
                assert (row.shape, row.bytes) == (written[key].shape, written[key].nbytes)
                if row.place is not None and row.shape == ():
                    assert tape.output(row.place).value == written[key].item()
            once = {id(written[key]) for key in listed}  # a file holds a larger array once
            assert all(key in listed or (array.ndim and id(array) in once) for key, array in written.items())
            assert [row[1:3] for row in answer.rows] == [(str(row.shape), row.bytes) for row in tape.saved]
            again = horizon == 1 and len(optimizer.levels) > 1 and kept.rows[-1][1] > 0
            assert ("th.load repeats that step" in answer.text) == again
            assert ("of the whole window" in answer.text) == (horizon != 1)
            assert ("No hyperparameter is tuned" in answer.text) == (len(optimizer.levels) == 1)
        again = inspect.Recording.from_json(tape.to_json())
        assert str(inspect.checkpoint(again)) == str(answer)


def test_the_step_that_left_the_range_is_named():
    tape = run("sgd(3)/sgd(5)", steps=4, seed=1)[0]
    values = [tape.output(place).label.value for place in inspect.graph.Graph(tape).find("alpha")]
    first = next(n for n, value in enumerate(values) if value < 0)
    answer = inspect.left_range(tape, "alpha")
    assert answer.text.startswith(f"At step {first}: alpha[{first}] is ") and '"alpha": "log"' in answer.text
    assert ", outside its range of 0 to inf. " in answer.text
    assert "th-row-asked" in {part.get("class") for part in ElementTree.fromstring(answer.svg()).iter()}
    assert "It did not" in inspect.left_range(run("sgd/sgd")[0], "alpha").text


@given(st.integers(1, 6), st.integers(0, 3))
def test_what_is_outside_its_range_later_is_told_with_the_last_of_it(steps, seed):
    answer = inspect.left_range(run("sgd(3)/sgd(5)", steps=steps, seed=seed)[0], "alpha")
    outside = [name for name, _, how in answer.rows if how.startswith("outside")]
    told = re.search(r" Outside, too, (?:is|are (\d+) later values, the last) (alpha\[\d+\]): ", answer.text)
    assert (told is not None) == (len(outside) > 1)
    if told:
        assert told[2] == outside[-1] and int(told[1] or 1) == len(outside) - 1


def test_the_first_value_that_is_not_finite_is_named_with_what_it_read():
    x = th.tensor([4.0, 0.0], requires_grad=True)
    with th.record() as tape:
        y = th.sqrt(x) * 1.0
        z = th.log(y * 0.0)
        z + np.inf
    answer = inspect.first_nonfinite(tape)
    assert "log(multiply [2] of norm 0) is the first infinity" in answer.text
    assert "test_questions.py:" in answer.text and answer.rows == [("multiply", 0.0)]
    with th.record() as tape:
        th.tensor([1e200, 1.0]) * 2.0
    assert "There was none: " in inspect.first_nonfinite(tape).text


def test_the_time_of_an_operation_is_its_own():
    x = th.tensor(np.ones((300, 300)), requires_grad=True)
    with th.record() as tape:
        for _ in range(3):
            th.sum(x @ x).backward()
    answer = inspect.times(tape)
    assert {row[:2] for row in answer.rows} >= {("matmul", "forward pass"), ("matmul", "backward pass")}
    assert sum(column(answer, "%")) == pytest.approx(100.0)
    assert column(answer, "ms") == sorted(column(answer, "ms"), reverse=True)
    assert sum(column(answer, "ms")) == pytest.approx(1e3 * sum(node.seconds or 0.0 for node in tape.nodes))


def test_no_operation_takes_longer_than_all_of_them():
    lstm, images = th.nn.LSTM("lstm", 3, 2), th.tensor(np.ones((2, 4, 4, 3)), requires_grad=True)
    weights = lstm.parameters(0)
    began = perf_counter()
    with th.record() as tape:
        th.sum(lstm(weights, images[:, 0])[0]).backward()
        th.mean(th.tanh(th.conv2d(images, np.ones((3, 3, 3, 2))))).backward()
    limit = perf_counter() - began
    seconds = [node.seconds for node in tape.nodes if node.seconds is not None]
    assert {"lstm", "lstm.vjp", "conv2d", "tanh"} <= {node.op for node in tape.nodes}
    assert all(0.0 <= taken <= limit for taken in seconds) and sum(seconds) > 0.0


@pytest.mark.parametrize("ask", [inspect.paths, inspect.why_zero, inspect.moved, inspect.left_range])
def test_an_unknown_name_is_refused_with_those_there_are(ask):
    with pytest.raises(th.TinyhyperError, match=r"'mu'; its values are alpha, b, kappa, loss, w\. .*tune="):
        ask(run("sgd/sgd")[0], "mu")


@pytest.mark.slow
@given(stacks, st.integers(0, 5), st.booleans())
def test_json_and_back(stack, seed, ghosts):
    tape, _, _ = run(stack, seed=seed, ghosts=ghosts)
    again = inspect.Recording.from_json(tape.to_json())
    assert again.nodes == tape.nodes and again.edges == tape.edges and again.cuts == tape.cuts
    assert again.insides == tape.insides and again.ends == tape.ends
    assert (again.steps, again.title, again.objective) == (tape.steps, tape.title, tape.objective)
    assert again.to_json() == tape.to_json() and str(again) == str(tape)
    assert not ghosts or str(inspect.ghosts(again)) == str(inspect.ghosts(tape))
    with pytest.raises(th.TinyhyperError, match="A tape read from JSON cannot be run"):
        inspect.without(again, 0)


def test_json_holds_what_is_not_finite():
    with th.record() as tape:
        th.tensor(np.inf) * th.tensor([np.nan, 1.0])
    values = [out.value for node in inspect.Recording.from_json(tape.to_json()).nodes for out in node.outputs]
    assert values == [np.inf, None, None]
    assert np.isnan(inspect.Recording.from_json(tape.to_json()).nodes[-1].outputs[0].norm)


def test_a_tree_of_one_value():
    tape, _, _ = run("sgd/sgd")
    tree = tape.tree(of="alpha").splitlines()
    assert tree[4].startswith("alpha[3] = SGD.rule") and len(tree) == 8
    assert tape.tree(of="alpha[1]").splitlines()[4].startswith("alpha[1] = SGD.rule")


def test_the_docs_name_every_key_of_the_json():
    text = (Path(__file__).parents[2] / "docs" / "inspect.md").read_text(encoding="utf-8")
    keys, waiting = set(), [json.loads(run("sgd/sgd")[0].to_json())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            keys |= set(value)
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_a_hyperparameter_that_became_nan_did_not_stay_in_its_range():
    factors = iter([1.0, np.nan, 1.0, 1.0])
    tape = trained("sgd(0.1)/sgd(1e-3)", 4, {"w": 1.0}, lambda params: params["w"] ** 2 * next(factors))
    assert "It was lost: alpha[2] is not finite" in inspect.left_range(tape, "alpha").text


def test_steps_written_by_hand_are_moves_too():
    w, alpha = th.tensor(2.0, requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(2):
            with tape.stepping():
                tape.label(w, "w", "weights", 0)
                tape.label(alpha, "alpha", "hyperparameter", 0, range=(0.0, 0.2))
                (w * w).backward(retain_graph=True)
                w = (w.detach("weights") - alpha * w.grad.detach("gradient")).retain_grad()
                tape.label(w, "w", "weights", 0)
    answer = inspect.moved(tape, "w")
    assert column(answer, "change") == pytest.approx([-0.4, -0.32]) and column(answer, "∂loss/∂w") == [4.0, 3.2]
    assert "test_questions.py:" in answer.text
    assert "is in the range" in inspect.left_range(tape, "alpha").text
    assert "No range is known for w" in inspect.left_range(tape, "w").text


def test_a_gradient_that_several_passes_added_up_is_told():
    tape, _ = alone(lambda x, call: (x * 3.0).backward() or x * 4.0)
    assert "contributes 4. backward() left 7" in inspect.paths(tape, "alpha").text
    assert ".grad also holds the gradients of other backward passes" in inspect.paths(tape, "alpha").text


def test_a_pass_begins_with_the_cotangent_that_it_was_given():
    """The ghosts and the paths are those of the passes that ran, added up, as `.grad` is."""
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        tape.label(x, "x", "weights", 0)
        y = x.detach() * x
        y.backward([3.0, 0.0], retain_graph=True)
        y.backward([1.0, -2.0])
    grad = x.grad.data
    np.testing.assert_allclose(grad, [4.0, -4.0])
    np.testing.assert_allclose(column(inspect.paths(tape, "x"), "contribution"), [np.linalg.norm(grad)])
    np.testing.assert_allclose(tape.ghost(0), grad)


def test_what_must_wait_for_the_end_of_the_block_says_so():
    x = th.tensor(1.0, requires_grad=True)
    with th.record(ghosts=True) as tape:
        (x.detach("here") * x).backward()
        for ask in (inspect.kept_alive, inspect.checkpoint, inspect.ghosts):
            with pytest.raises(th.TinyhyperError, match=r"the block"):
                ask(tape)
    with pytest.raises(th.TinyhyperError, match="step: this recording has ended"):
        tape.step()
    with pytest.raises(th.TinyhyperError, match="label: this recording has ended"):
        tape.label(x, "x", "weights", 0)


@pytest.mark.parametrize(
    "name, role, level",
    [("x", "weight", 0), ("", "weights", 0), ("x", "weights", -1), (1, "state", 0), ("x", "state", 0.5)],
)
def test_a_label_that_means_nothing_is_refused(name, role, level):
    x = th.tensor(1.0, requires_grad=True)
    with th.record() as tape:
        with pytest.raises(th.TinyhyperError, match="a role one of weights, gradient, state, hyperparameter"):
            tape.label(x, name, role, level)
        tape.label(x, "x", "weights", 0)
    assert tape.nodes[0].outputs[0].label.name == "x"


def test_paths_taken_together_are_counted():
    def loss(value, call):
        for n in range(5):
            value = call(value * 0.5, f"left{n}") + call(value * 0.25, f"right{n}")
        return value

    answer = inspect.paths(alone(loss)[0], "alpha", limit=4)
    assert "along 32 paths" in answer.text and len(answer.rows) <= 4
    assert sum(column(answer, "contribution")) == pytest.approx(0.75**5)


def test_a_gradient_of_a_loss_from_before_the_recording_is_told():
    alpha = th.tensor(2.0, requires_grad=True)
    loss = th.square(alpha * 3.0)
    with th.record(ghosts=True) as tape:
        tape.label(alpha, "alpha", "hyperparameter", 0)
        loss.backward()
    answer = inspect.paths(tape, "alpha")
    assert "backward() left 36 in the .grad of alpha[0]. This recording holds no path from a loss to" in answer.text
    assert not answer.rows


@pytest.mark.parametrize("objective", ["last", "sum"])
def test_a_gradient_that_is_gathered_of_losses_from_before_the_recording_is_told(objective):
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = th.optim.SGD(0.1, optimizer=th.optim.SGD(1e-3), horizon=2, objective=objective)

    def backward():
        th.sum(params["w"] ** 2).backward(create_graph=True)

    for _ in range(2):
        backward()
        optimizer.step(params)
    backward()
    with th.record(ghosts=True) as tape:
        optimizer.step(params)
    (gradient,) = (node for node in tape.nodes if node.kind == "gradient")
    assert gradient.loss is None and gradient.outputs[0].value != 0
    assert "This recording holds no path from a loss to alpha" in inspect.paths(tape, "alpha").text


def test_without_ghosts_it_is_said_how_to_see_where_a_gradient_became_zero():
    tape, _, _ = run("sgd(0.1, mu=0.5)/sgd", ghosts=False)
    answer = inspect.why_zero(tape, "mu")
    assert answer.text.endswith("Record with ghosts=True to see where it became 0.") and not answer.rows


def test_without_a_cut_before_a_leaf_the_gradient_goes_on():
    x = th.tensor(2.0, requires_grad=True)
    with th.record(ghosts=True) as tape:
        tape.label(x, "x", "weights", 0)
        y = leaf((x * 3.0).detach("here"))
        (y * y).backward()
    answer = inspect.without(tape, 0)
    assert answer.rows == [("x[0]", None, 36.0, 36.0, "a number")] and "had no graph" not in answer.text
    assert answer.text.endswith("1 gradient differs. At x[0], 36 arrives, where nothing did.")


def test_a_cut_of_a_constant_stops_nothing():
    tape, _ = alone(lambda x, call: x * th.tensor(3.0).detach("here"))
    answer = inspect.without(tape, 0)
    with pytest.raises(th.TinyhyperError, match=r"has cuts 0 to 0"):
        inspect.without(tape, 1)
    end = "had no graph: the gradient would have ended there without the cut, too."
    assert answer.text.endswith(f"no gradient differs. The value that it cut {end}") and not answer.rows


def test_a_gradient_told_by_hand_of_a_loss_without_a_graph_has_no_ghosts():
    x = th.tensor(2.0, requires_grad=True)
    with th.record(ghosts=True) as tape:
        tape.label(x, "alpha", "hyperparameter", 0)
        (x * 3.0).detach("here")
        tape.gradient(x, th.tensor(3.0), th.tensor(1.0) * 2.0)
    assert inspect.ghosts(tape).text == "No backward pass reached a cut."
    assert not inspect.paths(tape, "alpha").rows


def test_a_tape_prints_how_much_is_in_it_and_shows_a_picture_and_the_tree():
    tape, _, _ = run("sgd/sgd")
    counts = f"{len(tape.nodes)} nodes, {len(tape.edges)} edges, {len(tape.cuts)} cuts"
    assert repr(tape) == f"<Recording: 3 steps, {counts}>"
    page = tape._repr_html_()
    assert page.startswith("<div><svg") and escape(str(tape)) in page
    with th.record() as bare:
        th.tensor(1.0) * 2.0
    assert bare._repr_html_().startswith("<div><svg") and "&lt;" not in bare._repr_html_()
    with th.record() as empty:
        pass
    assert empty._repr_html_().startswith("<div><details>")
    for answer in (inspect.cuts(empty), inspect.differences(tape, empty), inspect.differences(empty, empty)):
        assert answer.question in answer.svg()


def test_a_recording_that_begins_between_two_steps_is_asked_what_moved_a_value():
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = th.optim.from_string("adam/sgd")

    def train():
        th.sum(params["w"] ** 2).backward()
        optimizer.step(params)

    train()
    with th.record() as tape:
        train()
    (row,) = inspect.moved(tape, "alpha").rows
    assert row[0] == 1 and "SGD of level 1" in row[-1]
    assert inspect.left_range(tape, "alpha").text.startswith("It did not: 2 values")


@pytest.mark.parametrize("span", [(1.0, 0.0), (0.0,), 3, ("a", "b"), (np.nan, 1.0)])
def test_a_range_of_a_label_that_is_none_is_refused_and_nothing_is_recorded(span):
    x = th.tensor(1.0, requires_grad=True)
    with th.record() as tape:
        with pytest.raises(th.ArgumentError, match="must be a pair of numbers"):
            tape.label(x, "x", "hyperparameter", 0, range=span)
        assert not tape.nodes
        tape.label(x, "x", "hyperparameter", np.int64(0), range=(np.float32(0), 1))
    assert inspect.Recording.from_json(tape.to_json()).nodes[0].outputs[0].label.range == (0.0, 1.0)


@pytest.mark.parametrize("key", ["", 0, 1, None, (1, 2), b"w"])
def test_a_run_with_any_key_for_its_parameters_can_be_recorded_and_asked(key):
    tape = trained("sgd(mu=0.5)/sgd", params={key: [1.0, 2.0]})
    name = key if isinstance(key, str) and key else repr(key)
    assert inspect.moved(tape, name).rows and f"{name}[2]" in str(tape)
    if isinstance(key, str):
        assert inspect.moved(tape, key).rows


@given(st.floats(1e-3, 1e3))
def test_a_gradient_that_only_rounding_makes_is_told_from_a_small_one(scale):
    """Adam's first step is the same with any beta1; near a minimum the gradient of alpha is small, and no rounding."""

    def asked(optimizer, name, scale):
        tape = trained(optimizer, 2, {"w": [1.0, -2.0]}, lambda params: th.sum((params["w"] * scale) ** 2))
        return inspect.why_zero(tape, name).text

    none = asked("adam(0.01)/sgd(1e-9)", "beta1[1]", scale)
    assert none.startswith(("It is 0 up to rounding: ", "A path without a cut leads"))
    assert asked("adam(0.01)/sgd(1e-9)", "alpha[1]", scale).startswith("It is not zero: ")
    assert asked("sgd(1e-3)/sgd(1e-9)", "alpha[1]", 1e-3 * min(scale, 1.0)).startswith("It is not zero: ")


class Differs(th.optim.Optimizer):
    """A rule that takes out of its average what it has put there."""

    table = {"alpha": 0.01, "rho": 0.5}
    state = {"m": 0.0}

    @staticmethod
    def rule(w, g, m, *, alpha, rho):
        m = rho * m + rho * g
        return w - alpha * (m - rho * g + 3.0 * g), m


@given(
    st.sampled_from([(th.optim.Adam, "beta1", 0.9), (th.optim.AdamW, "beta1", 0.9), (Differs, "rho", 0.5)]),
    st.lists(st.floats(0.1, 3.0), min_size=1, max_size=3),
    st.floats(0.1, 0.8),
)
@example((th.optim.Adam, "beta1", 0.9), [1.0, 2.0], 0.5)
@example((Differs, "rho", 0.5), [1.0, 2.0], 0.25)
def test_the_line_in_which_a_change_cancels_is_written_and_does_not_change(rule, starts, other):
    """Text and picture say the same. The line is computed as it is written, with two values of the hyperparameter."""
    cls, name, value = rule
    params = {f"w{n}": start for n, start in enumerate(starts)}
    optimizer = cls(0.01, optimizer=SGD(1e-9))
    answer = inspect.why_zero(trained(optimizer, 2, params, ghosts=True), f"{name}[1]")
    assert answer.text in " ".join(ElementTree.fromstring(answer.svg()).find(SPACE + "desc").text.split())
    states = [f"{w}.m[1]" for w in params]
    told = answer.text.split(f"{', '.join(states)} do{'es' * (len(states) == 1)}, but this change cancels in ")[1]
    for w, start in params.items():
        by = told.partition("the division by ")[2]
        line = f"{w}.m[1] / ({by[:-1]})" if by else next(one for one in told[:-1].split(", in ") if f"{w}." in one)
        found = []
        for one in (value, other):
            m = one * start if cls is Differs else (1 - one) * start
            text = line
            for read, number in {f"{w}.m[1]": m, f"{name}[1]": one, f"∂loss[0]/∂{w}[0]": start, "t[1]": 1}.items():
                text = text.replace(read, repr(number))
            found.append(eval(text))
        assert found[0] == pytest.approx(found[1], abs=1e-12)


@given(stacks, st.integers(0, 5))
@example("adam(0.05)", 0)
def test_why_zero_asks_of_a_value_whose_gradient_could_be_there_and_gives_a_reason_for_each_path(stack, seed):
    tape, _, optimizer = run(f"{stack}/sgd(1e-3)", seed=seed)
    for key in optimizer._tuned:
        answer = inspect.why_zero(tape, key)
        assert f"{key}[3]" not in answer.question  # of which there is no loss yet
        if not answer.text.startswith("It is not zero"):
            assert answer.rows and ("cancel" in answer.text or all(column(answer, "because")))


@given(stacks, st.integers(0, 5))
def test_the_cut_that_a_missing_gradient_ends_at_is_told_and_drawn_with_its_ghost(stack, seed):
    tape, _, optimizer = run(f"{stack}/sgd(1e-3)", seed=seed)
    for key in optimizer._tuned:
        answer = inspect.why_zero(tape, f"{key}[0]")
        ((number, *_, ghost),) = answer.rows
        assert ghost == tape.cuts[number].ghost and f"at cut {number} of" in answer.text
        rounded = abs(ghost) < 1e-14
        assert ("0 up to rounding" in answer.text) == (rounded and ghost != 0)
        (mark,) = (part for part in ElementTree.fromstring(answer.svg()).iter() if "th-marked" in part.get("class", "")
                   and part.tag == SPACE + "g" and "th-key" not in part.get("class"))  # fmt: skip
        words = " ".join(text.text for text in mark.iter(SPACE + "text"))
        assert re.search(rf"\bcut {number}\b", words) and f"ghost {'0' if rounded else short(ghost)}" in words


def test_a_ghost_that_only_rounding_makes_is_called_so():
    tape = trained("adam(0.05)/sgd(0.01)", 3, {"w": [[0.3, -0.7], [0.1, 0.9]], "b": [0.2, 0.5]}, ghosts=True)
    (cut,) = (cut for cut in tape.cuts if cut.step == 1 and Graph(tape).known(cut.place, timeless=True) == "beta1"
              and cut.reason == "hyperparameter")  # fmt: skip
    cut.ghost = -1.4e-17  # Adam's first step is the same with any beta1
    told = inspect.why_zero(tape, "beta1[0]")
    assert "is 0 up to rounding (-1.4e-17" in told.text and "ghost 0" in told.svg()
    (row,) = (row for row in inspect.ghosts(tape).rows if row[0] == cut.number)
    assert row[4:6] == (-1.4e-17, "0 up to rounding")
    assert f"1 ghost is 0 up to rounding: at cut {cut.number} of beta1[0]." in inspect.ghosts(tape).text
    cut.ghost = -1.4e-9
    assert "rounding" not in inspect.why_zero(tape, "beta1[0]").text


def test_what_was_zero_has_its_step_and_is_drawn():
    tape, _, _ = run("sgd/sgd/sgd")
    answer = inspect.why_zero(tape, "kappa")
    assert {*column(answer, "because")} == {"SGD.rule read ∂loss/∂alpha = 0 at step 1"}
    root = ElementTree.fromstring(answer.svg())
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "none yet" in words and "before step 1" in words
    told = " ".join(words)
    assert "∂loss/∂alpha: this is 0, as no loss has sent one yet. So alpha[1] does not change with kappa[1]." in told
    tape, _, _ = run("sgd(0.1, mu=0.5)/sgd/sgd")
    assert "On the other paths, the gradient with respect to mu[1] is 0" in " ".join(
        ElementTree.fromstring(inspect.why_zero(tape, "kappa").svg()).itertext()
    )


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("level, states", [("sgd(0.1)", False), ("sgd(0.1, mu=0.5)", True), ("adam(0.1)", True)])
def test_what_never_has_a_graph_is_told_in_text_and_picture(level, states, create_graph):
    answer = inspect.cuts(trained(f"{level}/sgd(1e-4)", 3, create_graph=create_graph))
    told = ["gradients of a plain backward()"] * (not create_graph) + ["states before the first step"] * states
    words = f"{' and '.join(told).capitalize()} have no graph."
    for text in (answer.text, ElementTree.fromstring(answer.svg()).find(SPACE + "desc").text):
        assert (words in text) == bool(told) == ("have no graph" in text)


def test_the_picture_of_the_cuts_tells_how_many_of_each_reason_cut_off_a_graph():
    tape, *_ = run("sgd(mu=0.5)/sgd")
    words = " ".join(ElementTree.fromstring(inspect.cuts(tape).svg()).itertext())
    pattern = r"(\d+) of (\d+) (?:cuts )?with (?:the reason )?(\w+)"
    told = {reason: (int(cut), int(made)) for cut, made, reason in re.findall(pattern, words)}
    reasons, severed = [cut.reason for cut in tape.cuts], [cut.reason for cut in tape.cuts if cut.severed]
    assert told == {reason: (severed.count(reason), reasons.count(reason)) for reason in reasons} and len(told) == 4
    assert told["gradient"][0] == 0
    assert f"At {len(severed)} of them the value had a graph, along which" in inspect.cuts(tape).text
    drawn = {cut.number for arrow in figure(tape).arrows for cut in arrow.cuts}
    assert len(drawn) < len(tape.cuts)
    assert f"The picture shows {len(drawn)} of the cuts, made by steps 2 and 3." in words


def test_a_recording_without_cuts_and_steps_is_said_to_be_so():
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as tape:
        (x * x).backward()
    assert inspect.cuts(tape).text.startswith("No cut was made. A cut lets the value pass")
    told = inspect.differences(tape, tape).text
    assert re.search(r"The first has \d+ nodes and 0 cuts\.", told) and "microseconds" not in told
    with th.record() as one:
        (x * x.detach()).backward()
    assert re.search(r"The second has \d+ nodes and 1 cut\.", inspect.differences(tape, one).text)


@given(stacks, st.integers(0, 5), st.data())
def test_without_a_cut_what_it_stopped_arrives_in_addition(stack, seed, data):
    tape, _, _ = run(f"{stack}/sgd(1e-3)", seed=seed)
    cut = data.draw(st.sampled_from(tape.cuts))
    answer = inspect.without(tape, cut)
    for _, old, more, new, kind in answer.rows:
        if kind == "a number":
            assert (old or 0.0) + more == pytest.approx(new, rel=1e-9, abs=1e-12)
        else:
            assert abs(more - (old or 0.0)) * (1 - 1e-9) <= new <= (more + (old or 0.0)) * (1 + 1e-9)
    if cut.severed and cut.ghost:
        assert answer.rows[0][2] == pytest.approx(cut.ghost, rel=1e-9)
    named = sum(f" At {name}, " in answer.text for name, *_ in answer.rows)
    assert named == len(answer.rows) or (named == 3 and f"lists {len(answer.rows) - 3} more." in answer.text)


@given(stacks, st.integers(0, 5), st.data())
def test_without_a_cut_what_a_later_loss_sends_marks_the_value_and_no_gradient_of_another_loss(stack, seed, data):
    tape, _, _ = run(f"{stack}/sgd(1e-3)", seed=seed)
    answer, graph = inspect.without(tape, data.draw(st.sampled_from(tape.cuts))), Graph(tape)
    scene = answer.draw.__self__
    where, differ = scene._figure().where, {name for name, *_ in answer.rows}
    values = {place: key for place, key in where.items() if key.kind == "values" and graph.tuned(place) in differ}
    marked = scene._drawing().asked
    assert not scene.instead and all(key.kind == "values" for key in marked)
    assert {key: {graph.label(place).name for place in values if values[place] == key} for key in marked} == marked
    assert {*marked} == {*values.values()}
    for name, old, more, _, _ in answer.rows[:1]:
        loss = re.search(re.escape(f"At {name}, {short(more)}") + r"(?: \(norm\))? of (loss\[(\d+)\]) ", answer.text)
        assert int(loss[2]) >= int(re.search(r"\[(\d+)\]", name)[1]) + (old is not None)
        assert any(f" of {loss[1]} arrives" in text for text in ElementTree.fromstring(answer.svg()).itertext())


def test_without_a_cut_what_the_same_loss_sends_stands_in_its_gradient():
    x = th.tensor(2.0, requires_grad=True)
    optimizer = th.optim.SGD(0.1)
    with th.record(ghosts=True) as tape:
        for _ in range(2):
            params = {"x": x}
            (x * x.detach("here")).backward()
            optimizer.step(params)
            x = params["x"]
    answer = inspect.without(tape, next(cut for cut in tape.cuts if cut.reason == "here" and cut.severed))
    texts = [text.text for text in ElementTree.fromstring(answer.svg()).iter(SPACE + "text")]
    ((_, old, _, new, _),) = answer.rows
    assert f"{short(old)} → {short(new)}" in texts and INSTEAD in texts


def test_the_rates_that_moved_a_value_are_named_and_marked():
    tape, _, _ = run("sgd(0.1)/sgd(0.01)/sgd(0.001)")
    answer = inspect.moved(tape, "alpha")
    words = " ".join(ElementTree.fromstring(answer.svg()).itertext())
    rates = [row[-1] for row in answer.rows]
    assert len({*rates}) > 1 and not any(rate in answer.text for rate in rates)  # none of them is that of all moves
    assert all(f"{signed(row[3])} at step {row[0]}" in words for row in answer.rows[-2:])
    marks = [part for part in ElementTree.fromstring(answer.svg()).iter() if part.get("class") == "th-row-asked"]
    assert len(marks) == 7  # of two moves: three alphas, two gradients, and the two kappas that moved it
    still = run("sgd/sgd(0.01)")[0]
    assert {*column(inspect.moved(still, "alpha"), "by")} == {"SGD of level 1 (kappa = 0.01)"}
    assert {*column(inspect.moved(still, "w"), "change")} == {None}


def test_the_step_size_that_is_too_large_is_named_by_its_level():
    tape = trained("sgd(1e50)/sgd(1e50)/sgd(1e50)", 6, {"u": 0.8, "v": [1.5, -0.7]})
    assert "use a smaller kappa or level2.alpha, or a larger eps" in inspect.first_nonfinite(tape).text
    tape = trained("sgd(1e200)", 2, {"w": 1e150})
    assert "use a smaller alpha, or a larger eps" in inspect.first_nonfinite(tape).text


def test_a_loss_whose_graph_is_kept_holds_it_by_its_name():
    w = th.tensor([1.0, -2.0], requires_grad=True)
    with th.record() as tape:
        loss = th.sum(w**2)
        loss.backward(retain_graph=True)
    assert column(inspect.kept_alive(tape), "held by") == ["loss[0] in your code"] and loss.item() == 5.0


@given(stacks, st.integers(1, 3))
def test_each_cut_of_the_last_step_stands_in_the_table_with_its_number_and_value(stack, steps):
    tape = run(stack, steps)[0]
    graph, told = Graph(tape), ", ".join(row[-1] for row in inspect.cuts(tape).rows).split(", ")
    assert {*told} >= {f"{cut.number} {graph.name(cut.place)}" for cut in tape.cuts if cut.step == tape.steps}
