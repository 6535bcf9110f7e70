"""A picture of paths shows all of them: what leaves the loss arrives at the hyperparameter, along its arrows."""

import re
from collections import defaultdict
from functools import reduce
from itertools import groupby, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, points, texts
from recordings import run, skipping, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.bands import band
from tinyhyper.inspect.figure import figure, steps_of
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.groups import named
from tinyhyper.inspect.paths import Paths
from tinyhyper.inspect.picture import Drawing
from tinyhyper.inspect.shapes import Key
from tinyhyper.optim import SGD, descend
from tinyhyper.plain import short


def product(params):
    return (reduce(lambda x, y: x * y, params.values()) - 1) ** 2


def multiplied(horizon, weights, seed, steps, mu=0.0):
    """A recording of some weights' product under SGD / SGD, in windows of a horizon."""
    starts = np.random.default_rng(seed).normal(size=weights)
    params = {f"w{n}": float(start) for n, start in enumerate(starts)}
    optimizer = SGD(0.1, mu=mu, horizon=horizon, optimizer=SGD(0.001))
    return trained(optimizer, steps, params, product, ghosts=True, create_graph=True)


@pytest.mark.either_backend
@given(stacks, st.integers(1, 3), st.sampled_from(["last", "sum"]), st.integers(0, 5))
def test_the_amounts_are_those_of_all_paths(stack, horizon, objective, seed):
    bottom, _, above = f"{stack}/sgd(1e-3)".partition("/")
    text = f"{bottom.removesuffix(')')}, horizon={horizon}, objective={objective})/{above}"
    tape, _, optimizer = run(text, steps=horizon + 1, seed=seed, create_graph=horizon > 1)
    graph, shown = Graph(tape), figure(tape, steps_of(tape)[0], (), horizon + 1)
    for key in optimizer._tuned:
        found = [(place, graph.gradient(place)) for place in graph.find(key)]
        target, gradient = [pair for pair in found if pair[1] is not None][-1]
        paths = Paths(tape, limit=10**9)  # no two paths are taken together
        losses, boxes = paths.losses(gradient), shown.where
        expected = defaultdict(float)
        for part in (part for loss in losses for part in paths.parts(target, loss)):
            for here, there in pairwise(map(boxes.get, part.through)):
                if here != there:
                    expected[here, there] += part.value
        ways = defaultdict(list)
        for part in (part for loss in losses for part in paths.parts(target, loss)):
            ways[tuple(key for key, _ in groupby(map(boxes.get, part.through)) if key is not None)].append(part.value)
        found = paths.ways(target, losses, boxes, 10**9)
        assert {way: came.paths for way, came in found.items()} == {way: len(came) for way, came in ways.items()}
        amounts = paths.between(target, losses, boxes)
        assert amounts.keys() == expected.keys()
        scale = max(map(abs, expected.values()), default=0.0)
        assert all(np.isclose(amounts[ends], expected[ends], rtol=1e-9, atol=1e-12 * scale) for ends in amounts)
        assert all(np.isclose(found[way].value, sum(ways[way]), rtol=1e-9, atol=1e-12 * scale) for way in ways)
        assert len(ways) < 2 or paths.ways(target, losses, boxes, len(ways) - 1) == {}


@given(st.integers(1, 3), st.sampled_from(["last", "sum"]), st.lists(st.booleans(), min_size=2, max_size=3))
@example(3, "sum", [True, True])
@example(2, "sum", [True, False])
@example(2, "sum", [False, True])
def test_the_paths_to_a_gradient_of_a_goal_begin_at_the_goal_alone(horizon, objective, descended):
    """And so does the ghost of the cut of what it moves."""
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = SGD(0.1, horizon=horizon, objective=objective, optimizer=SGD(0.01))
    with th.record(ghosts=True) as tape:
        for goal in descended:
            for n in range(horizon):
                th.sum(params["w"] ** 2).backward(create_graph=n > 0)
                optimizer.step(params)
            if goal:
                descend(th.sum((params["w"] - 1.0) ** 2), optimizer, params)
        th.sum(params["w"] ** 2).backward()
        optimizer.step(params)
    graph = Graph(tape)
    for place in graph.find("alpha"):
        gradient = graph.gradient(place)
        if gradient is None:
            continue
        window = (tape.node(place).step - 1) // horizon
        answer = inspect.paths(tape, f"alpha[{tape.node(place).step}]")
        left = tape.output(gradient).value
        assert sum(row[1] for row in answer.rows) == pytest.approx(left) and "differs from the sum" not in str(answer)
        begun = len({row[0].split()[0] for row in answer.rows})
        assert begun == (1 if descended[window] or objective == "last" else horizon)
        (ghost,) = [cut.ghost for cut in tape.cuts if place[0] in cut.targets and cut.reason == "hyperparameter"]
        assert ghost == pytest.approx(left)


@pytest.mark.parametrize("horizon, steps", [(2, 3), (3, 7), (2, 5)])
def test_where_paths_are_taken_together_each_arrow_has_its_amount(horizon, steps):
    answer = inspect.paths(multiplied(horizon, 4, 0, steps), "alpha")
    assert "paths) → alpha" in str(answer)
    drawn = answer.svg()
    amounts = [float(text) for text in re.findall(r"th-amount[^>]*>(?:[^<]+: )?([-.e\d]+)<", drawn)]
    total = sum(row[1] for row in answer.rows)
    assert amounts[0] == pytest.approx(total, rel=1e-3)  # from the loss, where the paths begin
    assert len(amounts) > 2 * horizon and f">loss[{steps - 1}]<" in drawn


def test_a_picture_of_long_paths_shows_their_first_steps():
    drawn = inspect.paths(multiplied(9, 1, 0, 10), "alpha").svg()
    assert {int(step) for step in re.findall(r">after step (\d+)", drawn)} == {*range(1, 8)}


@given(st.sampled_from(["sgd/sgd", "adam(0.05)/sgd", "sgd(0.1, mu=0.5)/sgd/sgd"]), st.integers(2, 5))
def test_a_picture_of_a_gradient_within_a_step_shows_the_step_that_made_the_value(stack, steps):
    """The cuts that the answer names are of that step, and end at the boxes of the paths."""
    tape = run(stack, steps)[0]
    for at in range(1, steps):
        root = ElementTree.fromstring(inspect.paths(tape, f"alpha[{at}]").svg())
        words = [text for text, _ in texts(root)]
        columns = [text for text in words if re.match("(after|before) step", text)]
        assert columns == [f"after step {at - 1}" if at > 1 else "before step 1", f"after step {at}"]
        assert {f"loss[{at}]", f"step {at} →"} <= {*words} and f"step {at + 1} →" not in words
        assert {"th-cut", "th-kept"} <= legend(root) and collisions(root) == []
        shown = {int(n) for text in words for n in re.findall(r"\d+", text) if re.search(r"\bcuts? \d", text)}
        assert shown <= {cut.number for cut in tape.cuts if cut.step == at} and shown


def test_a_value_made_after_skipped_steps_is_drawn_with_those_that_its_step_read():
    for skips in (1, 4, 6):
        tape = skipping(factors=(1.0, *[np.nan] * skips, 1.0, 1.0), ghosts=True)
        root = ElementTree.fromstring(inspect.paths(tape, f"alpha[{skips + 2}]").svg())
        words = {text for text, _ in texts(root)}
        assert {f"alpha[{skips + 2}]", f"loss[{skips + 2}]"} <= words
        assert ("alpha[1]" in words) == (skips < 6)  # or else there are too many steps between


def test_a_value_that_no_step_made_is_drawn_with_what_it_moves():
    """A loss that reads a hyperparameter itself sends a gradient to it before the first step."""
    params, optimizer = {"w": th.tensor([1.0, -2.0], requires_grad=True)}, SGD(0.1, optimizer=SGD(0.01))
    with th.record(ghosts=True) as tape:
        (th.sum(params["w"] ** 2) + optimizer.parameters["alpha"]).backward()
        optimizer.step(params)
    answer = inspect.paths(tape, "alpha[0]")
    words = {text for text, _ in texts(ElementTree.fromstring(answer.svg()))}
    assert [row[0] for row in answer.rows] == ["loss[0] → alpha[0]"] and {"alpha[0]", "loss[0]", "alpha[1]"} <= words


def legend(root):
    """What a path of the legend means, by its class."""
    keys = [part for part in root.iter() if "th-key" in part.get("class", "") and part.get("d")]
    return {part.get("class").split()[1] for part in keys}


@given(st.integers(2, 4), st.integers(1, 3), st.sampled_from([0.0, 0.5]), st.integers(0, 9))
@example(3, 1, 0.5, 0)  # one path is more than each group
def test_the_band_that_stands_out_is_the_way_that_contributes_most(horizon, weights, mu, seed):
    answer = inspect.paths(multiplied(horizon, weights, seed, horizon + 1, mu), "alpha", limit=10**6)
    ways = defaultdict(list)
    for path, contribution, *_ in answer.rows:
        kinds = [re.sub(r"w\d(\.velocity)?", "w", name) for name in path.split(" → ")]
        ways[tuple(kind for kind, _ in groupby(kinds))].append(contribution)
    root = ElementTree.fromstring(answer.svg())
    (words,) = [text for text, _ in texts(root) if re.search("contributes? most: ", text)]
    most = max(ways.values(), key=lambda way: abs(sum(way)))
    assert float(re.search(r"most: (\S+)", words)[1]) == pytest.approx(sum(most), rel=1e-3)
    single = len(ways) == len(answer.rows)  # else one path of another group may contribute more
    assert words.startswith("the path that" if single else f"the group of {len(most)} path")
    assert words.endswith(" together") == (len(most) > 1)
    assert collisions(root) == []


@pytest.mark.parametrize("horizon, steps", [(9, 10), (1, 3)])
def test_a_band_that_is_not_known_or_is_all_there_is_has_no_words_in_the_legend(horizon, steps):
    root = ElementTree.fromstring(inspect.paths(multiplied(horizon, 1, 0, steps), "alpha").svg())
    assert "th-trail" not in legend(root) and "th-kept" in legend(root)
    assert bool(classes(root, "th-trail")) == (horizon == 1)


@pytest.mark.parametrize("name", ["alpha", "beta1", "beta2"])
def test_of_several_hyperparameters_the_one_that_is_asked_for_stands_out(name):
    tape = trained("adam/sgd(0.001)", 3, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True)
    for answer in (
        inspect.paths(tape, name),
        inspect.why_zero(tape, f"{name}[2]"),
        inspect.why_zero(tape, f"{name}[0]"),
    ):
        root = ElementTree.fromstring(answer.svg())
        (mark,) = classes(root, "th-row-asked")
        top = float(mark.get("y"))
        rows = [row for row in classes(root, "th-row") if top < float(row.get("y")) < top + float(mark.get("height"))]
        left = float(mark.get("x"))
        inside = [row.text for row in rows if left <= float(row.get("x")) < left + float(mark.get("width"))]
        assert [text.partition("[")[0] for text in inside] == [name]


def test_the_caption_says_what_each_of_the_largest_paths_contributes():
    answer = inspect.paths(trained("adam/sgd(0.001)", 3, {f"w{n}": n + 1.0 for n in range(9)}, ghosts=True), "alpha")
    words = " ".join(text for text, _ in texts(ElementTree.fromstring(answer.svg())))
    for path, contribution, *_ in answer.rows[:4]:
        assert f"{path.split(' → ')[1]}: {short(contribution)}" in words
    assert "; and 5 more." in words


def table(root):
    """The rows above the steps: the name of a group, what leads where, and what that contributes."""
    top, name, found = min(float(band.get("y")) for band in classes(root, "th-band")), "", []
    for text, (_, (*_, bottom)) in zip(root.iter(SPACE + "text"), texts(root)):
        if bottom > top or text.get("class") not in ("th-amount", "th-row", "th-small"):
            continue
        if text.get("class") == "th-amount":
            name = text.text
        elif text.get("text-anchor") == "start":
            found.append((name, text.text, ""))
            name = ""
        else:
            found[-1] = (*found[-1][:2], text.text)
    return found


@given(st.integers(1, 2), st.integers(1, 8), st.integers(0, 9))
@example(2, 2, 0)
@example(2, 8, 0)
def test_of_at_most_eight_paths_the_picture_says_what_each_contributes(horizon, weights, seed):
    """The sum of those through the same boxes would hide what cancels."""
    answer = inspect.paths(multiplied(horizon, weights, seed, 3), "alpha")
    root = ElementTree.fromstring(answer.svg())
    words = " ".join(text for text, _ in texts(root)).partition("step 1")[0]
    each = {row[0].split(" → ", 1)[1].rpartition(" → ")[0]: short(row[1]) for row in answer.rows}
    number, rows = int(re.search(r"along (\d+) path", words)[1]), table(root)
    assert ("group" in answer.columns) == bool(rows)
    if number <= 8 and rows:
        assert {text: value for _, text, value in rows if not text.endswith("together")} == each
    elif 1 < number <= 8:
        assert all(f"hrough {path}: {value}" in words for path, value in each.items())
    assert number > 8 or ("more" not in words and "together;" not in words)
    groups = defaultdict(list)
    for row in answer.rows if rows and number <= 8 else ():
        groups[row[3]].append(row[1])
    sums = {name: (text, value) for name, text, value in rows if name}
    for name, values in groups.items():
        assert sums[name][1] == short(sum(values))
        assert len(values) == 1 or sums[name][0] == f"{len(values)} paths together"


@given(st.integers(2, 3), st.integers(1, 5), st.integers(0, 9))
@example(2, 4, 0)
def test_a_band_names_the_groups_of_paths_along_it_and_its_number_is_their_sum(horizon, weights, seed):
    answer = inspect.paths(multiplied(horizon, weights, seed, horizon + 1), "alpha", limit=10**6)
    groups = defaultdict(float)
    for row in answer.rows:
        groups[row[3]] += row[1]
    root = ElementTree.fromstring(answer.svg())
    amounts = [text for text, one in zip(texts(root), root.iter(SPACE + "text")) if one.get("class") == "th-amount"]
    numbers = [(text, box) for text, box in amounts if re.search(r"\d$", text)]
    assert numbers
    for text, (_, top, right, _) in numbers:
        before, _, number = text.rpartition(": ")
        beside = [names for names, (_, low, end, _) in amounts if abs(end - right) < 1 and 5 < abs(top - low) < 20]
        names = before or beside[0]
        if "…" not in names:
            told = sum(groups[name] for name in names.split(", "))
            assert float(number) == pytest.approx(told, rel=1e-3, abs=2e-3 * max(map(abs, groups.values())))


def test_a_gradient_that_is_not_there_yet_leaves_the_question_as_it_was_asked():
    tape = multiplied(3, 4, 0, 3)
    answer = inspect.paths(tape, "alpha")
    assert "no backward pass has reached alpha[1] yet" in inspect.why_zero(tape, "alpha[1]").text
    assert answer.question == "Why does alpha[1] get a gradient, and along which paths?"
    assert answer.text.startswith("It gets none. A loss depends on alpha[1] along kept edges, but no backward pass has")
    root = ElementTree.fromstring(answer.svg())
    assert legend(root) == {"th-kept", "th-value"}  # a kept edge covers that of backward()
    assert [part for part in classes(root, "th-trail") if part.get("d")] == []  # no band is drawn, so none is explained


@given(stacks, st.integers(1, 3), st.booleans())
def test_the_loss_is_where_a_backward_pass_begins(stack, steps, ghosts):
    tape, _, _ = run(stack, steps, ghosts=ghosts)
    for of, name in (("loss", f"loss[{steps - 1}]"), ("loss[0]", "loss[0]")):
        for ask in (inspect.paths, inspect.why_zero):
            assert ask(tape, of).text.startswith(f"A backward pass begins at {name}. Paths lead from there")


@pytest.mark.parametrize("ghosts", [False, True])
def test_a_backward_pass_went_through_a_value_without_a_grad(ghosts):
    x = th.tensor(2.0, requires_grad=True)
    with th.record(ghosts) as tape:
        y = x * x
        tape.label(y, "y", "weights", 0)
        (y * y).backward()
    for ask in (inspect.paths, inspect.why_zero):
        assert ask(tape, "y").text.startswith("A backward pass went through y[0]. It is not a leaf: retain_grad()")


@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 9))
@example(2, 4, 0)
@example(3, 5, 0)
def test_the_paths_that_a_picture_counts_are_all_there_are(horizon, weights, seed):
    answer = inspect.paths(multiplied(horizon, weights, seed, horizon + 1), "alpha")
    root = ElementTree.fromstring(answer.svg())
    caption, rows = " ".join(text for text, _ in texts(root)).partition("step 0")[0], table(root)
    grouped = "group" in answer.columns
    assert ("Paths with the same boxes form a group." in caption) == grouped == bool(rows)
    assert answer.question.startswith("Which part of the gradient of alpha[" if grouped else "Why does alpha[")
    assert ("negative share" in answer.text) == any(row[2].startswith("-") for row in answer.rows)
    whole = int(re.search(r"along (\d+) path", caption)[1])
    each = r"(?:(\d+) paths )?(?:[Tt]hrough|[Dd]irectly) ?[^:;]*: "
    told = [] if grouped else [int(many or 1) for many in re.findall(each, caption)]
    sums = [int(text.split()[0]) for _, text, _ in rows if text.endswith("together")]
    paths = [text for _, text, value in rows if value and not text.endswith("together")]
    told += [int(many[1]) if (many := re.search(r", (\d+) paths$", text)) else 1 for text in paths]
    more = re.findall(r"and (\d+) more|Other groups have (\d+) more\.", caption)
    assert len(more) == ("Other groups" in caption) + sum(not value for *_, value in rows) + ("; and" in caption)
    rest = sum(int(one or other) for one, other in more)
    assert sum(told) + rest == (whole if told else 0) and bool(told) == (whole > 1)
    assert all(many > 1 for many in sums) and sum(sums) <= whole


@given(stacks, st.integers(1, 3))
@example("sgd(0.05)", 2)
def test_a_band_runs_beside_its_arrow_and_not_below_it(stack, steps):
    shown = figure(run(f"{stack}/sgd(1e-3)", steps, create_graph=True)[0])
    layout = Drawing(shown).layout
    for arrow in shown.arrows:
        if arrow.flow == "kept" and arrow.source.lane == arrow.target.lane and arrow.source.kind != "loss":
            ways = [points(route.path) for route in (layout.route(arrow), band(layout, arrow, "start"))]
            assert min(np.hypot(*np.subtract(x, y)) for x in ways[0] for y in ways[1]) >= 10


@pytest.mark.parametrize("rule", ["adam", "adagrad", "rmsprop"])
def test_a_constant_that_the_heading_names_has_no_box_at_a_step_without_the_others(rule):
    tape = trained(f"{rule}(0.01, horizon=2)/sgd(1e-4)", 3, ghosts=True, create_graph=True)
    said = [text for text, _ in texts(ElementTree.fromstring(inspect.paths(tape, "alpha").svg()))]
    assert [text for text in said if re.search(r"\beps\b", text)] == ["fixed: eps", "eps"]  # beside one arrow


@given(st.integers(2, 3), st.integers(1, 4), st.integers(0, 9))
@example(2, 4, 0)
def test_each_number_stands_at_a_band_of_its_own(horizon, weights, seed):
    root = ElementTree.fromstring(inspect.paths(multiplied(horizon, weights, seed, horizon + 1), "alpha").svg())
    assert collisions(root) == []
    found = [*classes(root, "th-trail"), *classes(root, "th-branch")]
    bands = [points(band.get("d")) for band in found if band.get("d")]
    drawn = zip(root.iter(SPACE + "text"), texts(root))
    found = [(text.text, corners) for text, (_, corners) in drawn if text.get("class") == "th-amount"]
    places = [corners for text, corners in found if re.search(r"\d$", text)]  # the groups' names stand beside
    nearest = []
    for left, top, right, bottom in places:
        inside = [np.clip(band, (left, top), (right, bottom)) for band in bands]
        apart = [np.hypot(*(band - near).T).min() for band, near in zip(bands, inside)]
        nearest.append(int(np.argmin(apart)))
        assert min(apart) < 16
    assert len({*nearest}) == len(nearest) >= 2


@pytest.mark.parametrize(
    "stack", ["adam(0.01)/sgd(1e-3)", "sgd(0.1, mu=0.5)/sgd(1e-3)", "adam(0.01)/sgd(1e-3)/sgd(1e-6)"]
)
@pytest.mark.parametrize("horizon", [1, 2])
def test_the_pictures_of_paths_and_of_a_cut_that_is_not_made_have_whole_names(stack, horizon):
    text = stack.replace(")", f", horizon={horizon})", 1)
    tape = trained(text, 3, {"W1": [1.0, -2.0], "b1": 0.5, "W2": [0.3], "b2": 0.1}, ghosts=True, create_graph=True)
    cut = next(cut for cut in tape.cuts if cut.step == 1 + horizon and cut.reason == "weights")
    for answer in (inspect.paths(tape, "alpha"), inspect.without(tape, cut.number)):
        root = ElementTree.fromstring(answer.svg())
        names = [text.text for text in root.iter(SPACE + "text") if text.get("class") == "th-row"]
        assert [name for name in names if "…" in name and name not in ("|…|", "u(…)")] == []
        assert collisions(root) == [] and float(root.get("width")) <= 1280


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
@example([0.0] * 60)
def test_each_group_has_a_name_of_its_own_and_the_first_contributes_most(values):
    groups = named({(Key(0, n, "values"),): 1 for n in range(len(values))}, values)
    assert len({group.name for group in groups}) == len(groups) == len(values)
    assert groups[0].name == "A" and abs(groups[0].value) == max(map(abs, values))
