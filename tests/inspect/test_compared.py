"""The picture of a difference marks what differs between two recordings, says how, and nothing else."""

import re
from collections import defaultdict
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, classes, collisions, inside, points, run_together, texts
from recordings import LEVELS, by_hand, run, stacks, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.captions import LEGEND, ONLY
from tinyhyper.inspect.compared import _overlaid
from tinyhyper.inspect.cost import cost, duration, seconds
from tinyhyper.inspect.figure import whole
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.overlaid import Lanes
from tinyhyper.inspect.overlay import overlay
from tinyhyper.inspect.shapes import FIXED
from tinyhyper.optim import SGD


def drawn(first, second):
    """The picture of a difference."""
    return ElementTree.fromstring(inspect.differences(first, second).svg())


def taped(stack, horizon=1, steps=3, seed=0):
    bottom, _, above = f"{stack}/sgd(1e-3)".partition("/")
    text = f"{bottom.removesuffix(')')}, horizon={horizon})/{above}" if horizon > 1 else f"{bottom}/{above}"
    return run(text, steps=steps, seed=seed, ghosts=False, create_graph=horizon > 1)[0]


TALL = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join)
RUNS = st.builds(taped, TALL, st.sampled_from([1, 1, 2, 3]), st.integers(1, 5), st.integers(0, 2))
PAIRS = st.tuples(RUNS, RUNS)
WINDOW = taped("sgd(0.05)"), taped("sgd(0.05)", horizon=2)
EXAMPLES = [
    WINDOW,
    WINDOW[::-1],
    (taped("sgd(0.05)"), taped("sgd(0.05)/sgd(0.05)")),
    (taped("sgd(0.05)/sgd(0.05)"), taped("sgd(0.05)")),
    (taped("adam(0.05)", horizon=2), taped("sgd(0.05, mu=0.5)/adam(0.05)")),
    (by_hand(), by_hand(cut_weights=False)),
    (by_hand(cut_gradient=False, create_graph=True), by_hand(cut_gradient=False)),
]


def examples(test):
    for pair in EXAMPLES:
        test = example(pair)(test)
    return test


def edges(shown):
    """By two boxes and the names of two values in them, what an edge does to gradients."""
    found = defaultdict(set)
    for arrow in shown.arrows:
        for names in arrow.links:
            found[arrow.source, arrow.target, *names].add(arrow.flow)
    return found


def looks(shown):
    """The same, with a cut told from one where the gradient would end without it."""
    return edges(replace(shown, arrows=[replace(arrow, flow=arrow.look) for arrow in shown.arrows]))


@pytest.mark.either_backend
@given(RUNS)
@example(by_hand(cut_gradient=False, create_graph=True))
def test_an_arrow_stands_for_the_edges_between_named_values_of_its_boxes(tape):
    shown, graph = whole(tape), Graph(tape)

    def name(place):
        return tape.output(tape.node(place).of or place).label.name

    wanted = set()
    for place, target in shown.where.items():
        first = place[1] == 0 and target.kind == "values" and target.step != FIXED  # a state has no edges of its own
        for link in graph.links(place) if first else ():
            source = shown.where.get(link.source)
            if source not in (None, target):  # the number of the step has no box
                wanted.add((source, target, name(link.source), name(place), link.flow))
    found = {(*ends, flow) for ends, flows in edges(shown).items() for flow in flows if ends[1].kind == "values"}
    assert {edge for edge in found if edge[0].kind != "loss"} == wanted


@pytest.mark.either_backend
@given(PAIRS)
@examples
def test_each_arrow_that_differs_is_marked_with_how_and_no_other(pair):
    shown, (first, second) = overlay(*map(whole, pair)), map(whole, pair)
    before, after = looks(first), looks(second)
    ends = [{(a.source, a.target, a.flow) for a in one.arrows} for one in (first, second)]
    drawn = {(a.source, a.target, a.flow): a for a in shown.arrows}
    assert len(drawn) == len(shown.arrows)
    for arrow in shown.arrows:
        here = arrow.source, arrow.target, arrow.flow
        lost = [before[(*here[:2], *names)] - after[(*here[:2], *names)] for names in arrow.links]
        new = [arrow.look in after[(*here[:2], *names)] - before[(*here[:2], *names)] for names in arrow.links]
        other = set().union(*(flows for flows, is_new in zip(lost, new) if is_new))
        match arrow.mark:
            case "":
                assert here in ends[0] and here in ends[1] and not other
            case "first":
                assert here in ends[0] and here not in ends[1]
            case "second":
                assert here in ends[1] and here not in ends[0] and not other
            case "cut-first":
                assert here in ends[1] and other & {"cut", "idle"} and arrow.flow != "cut"
            case "cut-second":
                assert here in ends[1] and other and not other & {"cut", "idle"} and arrow.flow == "cut"
            case "value-first":
                assert here in ends[1]
                assert (other == {"value"} and arrow.flow == "kept") or ("idle" in other and arrow.look == "cut")
            case "value-second":
                assert here in ends[1]
                assert (other == {"kept"} and arrow.flow == "value") or ("cut" in other and arrow.look == "idle")
    assert drawn.keys() >= ends[1]
    for arrow in first.arrows:
        if (arrow.source, arrow.target, arrow.flow) not in drawn:  # it is drawn as what became of it
            became = [after[(arrow.source, arrow.target, *names)] for names in arrow.links]
            flows = [{"cut" if look == "idle" else look for look in looks} for looks in became]
            assert all(any(drawn[arrow.source, arrow.target, flow].mark for flow in some) for some in flows)
    for key, box in shown.boxes.items():
        assert box.mark == {(True, True): "", (True, False): "first", (False, True): "second"}[
            key in first.boxes, key in second.boxes
        ]
        there = [one.boxes.get(key) for one in (first, second)]
        names = [{*it.names, *(f"with {state}" for state in it.state)} if it else set() for it in there]
        assert box.mark or box.alone == {
            name: "first" if name in names[0] else "second" for name in names[0] ^ names[1]
        }
    turned = overlay(second, first)
    assert {key for key, box in turned.boxes.items() if box.mark == "first"} == {
        key for key, box in shown.boxes.items() if box.mark == "second"
    }
    assert any(a.mark for a in turned.arrows) == any(a.mark for a in shown.arrows)


def marks_of(root, mark):
    """What is marked so in a picture, without the legend's."""
    return classes(root, f"th-{mark}") + classes(root, f"th-row-{mark}")


@pytest.mark.either_backend
@given(PAIRS)
@examples
def test_the_legend_names_what_is_drawn_and_nothing_else_and_no_two_labels_overlap(pair):
    root, shown = drawn(*pair), _overlaid(*pair)
    words = [text for text, _ in texts(root)]
    for mark, text in ONLY.items():
        bands = [part.get("d") for part in classes(root, f"th-{mark}") if part.get("d")]
        assert len(bands) == len({*bands}) == sum(arrow.mark == mark for arrow in shown.visible())
        assert (text in words) == bool(marks_of(root, mark))
    styles = [path.get("class").split() for path in classes(root, "th-arrow")]
    looks = {"idle" if "th-idle" in style else style[1].removeprefix("th-") for style in styles}
    looks |= {"gradient"} if classes(root, "th-gradient") and "backward" not in looks else set()
    assert looks == {look for look, text in LEGEND.items() if text in words}
    pale = [group for group in root.iter() if group.get("class") == "th-gone"]
    assert bool(pale) <= (ONLY["first"] in words)
    assert collisions(root) == [] and run_together(root) == []


@given(PAIRS)
@examples
@example((taped("adam(0.05)"), taped("sgd(0.05)")))
def test_the_sentence_under_the_question_counts_what_is_marked_in_the_picture(pair):
    """It counts bands of arrows and of boxes, in the legend's words. Of a mark that is not drawn it says nothing."""
    answer, shown = inspect.differences(*pair), _overlaid(*pair)
    root = ElementTree.fromstring(answer.svg())
    told = answer.text.splitlines()[1]
    assert told in " ".join(text for text, _ in texts(root))
    assert told.startswith("The arrows and boxes of step") != bool(shown.marks())
    for mark, words in ONLY.items():
        bands = classes(root, f"th-{mark}")
        counted = r"((?:\d+ (?:arrows?|box(?:es)?(?: in part)?)(?:, | and )?)+)"
        said = re.search(rf"{counted} (?:is|are) {words.split(':')[0]}\.", told)
        nouns = "arrows?", "box(?:es)?"
        counts = [re.search(rf"(\d+) {noun}\b(?! in part)", said[1] if said else "") for noun in nouns]
        drawn_so = [sum(part.tag.endswith(tag) for part in bands) for tag in ("path", "rect")]
        assert [int(found[1]) if found else 0 for found in counts] == drawn_so
        assert (said is not None and "in part" in said[1]) == bool(classes(root, f"th-row-{mark}"))


@given(PAIRS)
@examples
def test_each_arrow_begins_and_ends_at_a_box(pair):
    root = drawn(*pair)
    for path in classes(root, "th-arrow"):
        line = points(path.get("d"))
        for x, y in (line[0], line[-1]):
            assert any(
                x0 - 1 <= x <= x1 + 1 and y0 - 1 <= y <= y1 + 1 and min(x - x0, x1 - x, y - y0, y1 - y) < 1
                for x0, y0, x1, y1 in inside(root)
            )


@pytest.mark.parametrize("height", [0, 2, 4])
@pytest.mark.parametrize("level, above", [("sgd(0.05)", "sgd(0.05)"), ("adam(0.05)", "sgd(0.05)"), ("adam(0.05)",) * 2])
@pytest.mark.parametrize("horizon", [1, 2])
def test_two_towers_fit_a_slide_and_its_smallest_letters_can_be_read(height, level, above, horizon):
    tower = "/".join([level, *[above] * height]).rpartition("/")[0] or level
    params = {f"w{n}": [1.0, -2.0] for n in range(3)}
    bottom, _, rest = tower.partition("/")
    wide = f"{bottom.removesuffix(')')}, horizon={horizon})/{rest}" if rest else tower
    second = trained(wide, 3, params, create_graph=True)
    for first in (trained(tower, 3, params), trained(f"{tower}/sgd(1e-4)", 3, params)):
        for pair in ((first, second), (second, first)):
            picture = inspect.differences(*pair).svg()
            root = ElementTree.fromstring(picture)
            assert float(root.get("width")) <= 1280 and float(root.get("height")) <= 720
            scale = float(root.get("width")) / float(root.get("viewBox").split()[2])
            assert min(float(found) for found in re.findall(r"font-size: ([\d.]+)px", picture)) * scale >= 11.99
            assert collisions(root) == []


@given(st.integers(3, 12), st.integers(0, 5))
def test_names_of_gradients_stand_whole_beside_long_numbers(steps, seed):
    pair = (taped(stack, steps=steps, seed=seed) for stack in ("adam(0.02)", "adam(0.02)/sgd(1e-3)"))
    said = [text for text, _ in texts(drawn(*pair)) if "∂loss" in text]
    assert {"∂loss/∂u(beta1)", "∂loss/∂u(beta2)"} <= {*said} and not any("…" in text for text in said)


def test_by_how_much_values_differ_that_are_printed_alike_is_said():
    said = [text for text, _ in texts(drawn(taped("adam(0.02)"), taped("adam(0.02)/sgd(1e-3)")))]
    assert any(re.fullmatch(r"beta2 moved by \S+, from \[2\] to \[3\]", text) for text in said)


def test_a_fixed_hyperparameter_has_a_box_of_its_own_beside_the_tuned_one_of_the_other_recording():
    root = drawn(taped("sgd(0.05)/sgd(0.05)"), taped("sgd(0.05)"))
    said = [text for text, _ in texts(root)]
    assert "kappa = 0.001, fixed" in said and any(text.startswith("level2.alpha = 0.001, fixed") for text in said)


def test_a_value_that_one_of_them_alone_has_is_marked_in_its_box():
    root = drawn(taped("adam(0.05)"), taped("sgd(0.05)"))
    assert len(classes(root, "th-row-first")) == 2 * 5 + 3 and not classes(root, "th-row-second")
    more = {f"w{n}": [1.0, -2.0] for n in range(6)}
    two = [trained("sgd(0.1)/sgd(0.01)", 3, params) for params in ({**more, "a": 1.0}, {**more, "b": 1.0, "c": 2.0})]
    root = drawn(*two)
    assert len(classes(root, "th-row-first")) == len(classes(root, "th-row-second")) == 5
    assert collisions(root) == []


def test_the_steps_that_are_shown_are_those_of_both_where_most_differs():
    """Of a longer run the last such steps; where one has no steps, or not these, nothing is compared."""
    params = {"w": [1.0, -2.0]}
    plain, long = (
        trained(SGD(0.1, horizon=horizon, optimizer=SGD(0.01)), 8, params, create_graph=True) for horizon in (1, 2)
    )
    assert _overlaid(plain, long).steps == [5, 6, 7]
    assert _overlaid(trained("sgd(0.1)/sgd(0.01)", 1, params), long).steps == [0, 1]
    x = th.tensor(2.0, requires_grad=True)
    with th.record() as graph:
        (x * x.detach()).backward()
    for pair in ((graph, plain), (plain, graph)):
        assert _overlaid(*pair) is None
        assert not any(marks_of(drawn(*pair), mark) for mark in ONLY)


def test_windows_of_other_lengths_have_the_same_edges_and_are_told_apart():
    two, four = (trained(f"sgd(0.1, horizon={k})/sgd(0.01)", 8, create_graph=True) for k in (2, 4))
    answer = inspect.differences(two, four)
    assert not answer.rows and "but not in the same steps." in answer.text
    for which, k in (("first", 2), ("second", 4)):
        assert f"In the {which} the hyperparameters move every {k} steps." in answer.text
    assert inspect.differences(two, two).text.startswith("Nothing. Both recordings have ")


def test_what_a_step_costs_stands_side_by_side():
    tapes = taped("sgd(0.05)", steps=9), taped("sgd(0.05)/sgd(0.05)", steps=9)
    said = [text for text, _ in texts(drawn(*tapes))]
    for tape in tapes:
        assert {*cost(tape), tape.title} <= {*said}
    answer = inspect.differences(*tapes)
    for which, tape in zip(("first", "second"), tapes):
        nodes, cuts, kept, time = cost(tape)
        told = f"On average a step of the {which} has {nodes} nodes and {cuts} cuts. Its graph keeps up to {kept}. "
        assert f"{told}Its operations take {time}." in answer.text
    few = [text for text, _ in texts(drawn(tapes[0], taped("sgd(0.05)", steps=3)))]
    assert few.count("too few steps") == 1 and cost(tapes[0]).time in few
    with th.record() as tape:
        params = {"w": th.tensor([1.0], requires_grad=True)}
        th.sum(params["w"]).backward()
        SGD(0.1).step(params)
        assert "keeps" not in inspect.differences(tape, tape).text.splitlines()[1]


@given(st.lists(st.floats(1e-6, 10), min_size=3, max_size=9), st.integers(1, 3))
def test_a_steps_time_is_the_median_of_the_windows_once_each_operation_was_called(times, horizon):
    """The first steps compile kernels: a step counts that calls no operation for the first time."""
    tape = taped("sgd(0.05)", steps=len(times) + 2)
    tape.horizon = horizon
    cold = tape.ends[1]
    for node in tape.nodes:
        node.seconds = node.seconds and (100.0 if node.number < cold else 0.0)
    for begin, end, time in zip(tape.ends[1:], tape.ends[2:], times):
        next(node for node in tape.nodes[begin:end] if node.seconds is not None).seconds = time
    windows = [np.mean(times[n : n + horizon]) for n in range(0, len(times) - horizon + 1, horizon)]
    assert seconds(tape) == (pytest.approx(np.median(windows)) if len(windows) >= 3 else None)


@given(st.floats(1e-7, 1e4))
def test_a_duration_has_two_digits_and_a_unit_that_fits(time):
    number, unit = duration(time).split()
    assert float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(time, rel=0.051)
    assert "e" not in number and (float(number) >= 0.99 or unit == "µs")


@pytest.mark.either_backend
@given(stacks, stacks)
def test_a_table_of_all_edges_fits_the_picture(one, other):
    rows = inspect.differences(taped(one), taped(other)).rows
    back = inspect.differences(taped(other), taped(one)).rows
    assert {(*row[:2], *row[:1:-1]) for row in rows} == {*back}


def test_a_state_and_a_constant_that_one_of_them_alone_has_are_marked_in_their_boxes():
    params = {"w": [1.0, -2.0]}
    plain, sums = (trained(tower, 3, params) for tower in ("sgd(0.1)", "adagrad(0.1)"))
    root = drawn(plain, sums)
    assert len(classes(root, "th-row-second")) == 3 + 1  # each weight with its total, and eps beside alpha
    assert not classes(root, "th-row-first") and "alpha = 0.1, eps = 1e-10" in " ".join(text for text, _ in texts(root))


def test_a_value_without_a_box_is_in_the_table_and_no_difference_in_the_picture():
    scale = th.tensor(2.0, requires_grad=True)
    first, second = trained(SGD(0.1)), trained(SGD(0.1), loss=lambda params: scale * th.sum(params["w"] ** 2))
    answer = inspect.differences(first, second)
    assert ("scale", "loss", "–", "kept") in answer.rows
    assert not any(marks_of(drawn(first, second), mark) for mark in ONLY) and "The arrows and boxes" in answer.svg()


@pytest.mark.parametrize(
    "first, second, told",
    [
        ("SGD(alpha=0.1) / SGD(alpha=0.01)", "SGD(alpha=0.1, horizon=2) / SGD(alpha=0.01)", "horizon=2"),
        ("SGD(alpha=0.1, horizon=2)", "SGD(alpha=0.1)", "no horizon=2"),
        ("SGD(alpha=0.1) / SGD(mu=0.5)", "SGD(alpha=0.1) / SGD(mu=1.0)", "mu=1.0, not mu=0.5 at level 1"),
        ("SGD(alpha={'w': 0.1, 'b': 1.0})", "SGD(alpha={'w': 0.1, 'b': 2.0})", None),
        ("SGD(alpha=1)", "SGD(alpha=1) / SGD(alpha=2) / SGD(alpha=3)", "level 1, SGD(alpha=2) / SGD(alpha=3)"),
        ("SGD(alpha=0.1) / SGD(alpha=0.01)", "SGD(alpha=0.1)", "no level 1, SGD(alpha=0.01)"),
        ("SGD(alpha=0.1) / SGD(alpha=0.01)", "Adam(alpha=0.1) / SGD(alpha=1)", ""),
        ("SGD(alpha=0.1)", "Adam(alpha=0.2) / SGD(alpha=0.01)", ""),
        ("a lesson", "another", ""),
        ("", "", ""),
    ],
)
def test_the_question_names_what_sets_the_towers_apart_if_that_is_one_level(first, second, told):
    tapes = [trained("sgd(0.1)/sgd(0.01)", 2, {"w": [1.0]}) for _ in range(2)]
    for tape, title in zip(tapes, (first, second)):
        tape.title = title
    question = inspect.differences(*tapes).question
    if told is None:  # options that hold several
        assert question.startswith("What changed between the two? The second has alpha={'w': 0.1, 'b': 2.0}, not ")
    else:
        assert question == f"What changed between the two?{f' The second has {told}.' if told else ''}"


def test_a_cut_that_has_a_graph_in_one_recording_alone_is_marked_and_the_numbers_are_said_to_be_the_seconds():
    params = {"w": [1.0, -2.0], "b": 0.5}
    plain = trained("sgd(0.1)/sgd(0.01)", 2, params)
    for tapes, mark in ((lambda one, two: (one, two), "value-first"), (lambda one, two: (two, one), "value-second")):
        pair = tapes(plain, trained("sgd(0.1)/sgd(0.01)", 2, params, create_graph=True))
        shown = overlay(*map(whole, pair))
        cut = [arrow for arrow in shown.arrows if arrow.flow == "cut" and arrow.source[0::2] == (0, "gradient")]
        assert cut and {arrow.mark for arrow in cut} == {mark}
        root = drawn(*pair)
        assert marks_of(root, mark)
        told = " ".join(text for text, _ in texts(root))
        assert ONLY[mark] in told and "What is in both has the numbers of the second." in told
        numbers = [box for box in shown.boxes.values() if box.key.kind == "loss"]
        assert numbers and all(box.number == whole(pair[1]).boxes[box.key].number for box in numbers)


def test_an_arrow_past_a_box_does_not_hide_the_one_from_it():
    cuts = [path for path in classes(drawn(*WINDOW), "th-arrow") if "th-cut" in path.get("class").split()]
    ends = [tuple(points(path.get("d"))[-1]) for path in cuts]
    assert len({*ends}) == len(ends) > 1


@given(PAIRS)
@examples
def test_what_one_of_them_alone_has_runs_apart_from_what_the_other_has_and_pale_boxes_have_no_numbers(pair):
    """Scissors stand apart, too. Between two lanes bands may cross."""
    root, shown = drawn(*pair), _overlaid(*pair)
    layout = Lanes(shown, 0.0, (0.0, 0.0))
    values = [arrow for arrow in shown.visible() if arrow.source.kind == arrow.target.kind == "values"]
    among = [arrow for arrow in values if arrow.source.lane == arrow.target.lane and arrow.source.step != FIXED]
    first, second = ([layout.route(a) for a in among if a.mark == mark] for mark in ("first", "second"))
    for one in first:
        for other in second:
            assert np.hypot(*np.subtract(one.mark, other.mark)) >= 20
            assert tuple(points(one.path)[-1]) != tuple(points(other.path)[-1])
    for group in root.iter(SPACE + "g"):
        if group.get("class") == "th-gone" and group.find(f"{SPACE}rect[@class]") is not None:
            said = [text.text for text in group.findall(SPACE + "text")]
            assert not any(re.fullmatch(r"(norm )?[-\d.e]+", text) for text in said)


@given(st.sampled_from([np.nan, np.inf, 1.0]), st.sampled_from([np.nan, np.inf, 1.0]))
def test_a_recording_whose_numbers_are_not_finite_is_said_to_be_so_in_text_and_picture(first, second):
    factors = {"first": first, "second": second}

    def recorded(factor):
        return trained("sgd(0.1)/sgd(0.01)", 3, loss=lambda params: th.sum(params["w"] ** 2) * factor, ghosts=True)

    with np.errstate(all="ignore"):
        tapes = [*map(recorded, factors.values())]
    answer = inspect.differences(*tapes)
    drawn = " ".join(text for text, _ in texts(ElementTree.fromstring(answer.svg())))
    for which, factor in factors.items():
        told = f"Not all numbers of the {which} are finite: "
        assert (told in answer.text) == (told in drawn) == (not np.isfinite(factor))
    assert "differs from the sum" not in inspect.paths(tapes[0], "alpha").text


@given(stacks, stacks)
def test_pairs_that_only_one_recording_has_are_counted_and_where_there_are_none_nothing_is_said(first, second):
    answer = inspect.differences(run(first)[0], run(second)[0])
    told = re.findall(r"(\S+) pairs? \S+ edges\s+only\s+in\s+the (\w+)", answer.text)
    found = [sum(row[n] == "–" for row in answer.rows) for n in (3, 2)]
    assert told == [(str(number), which) for number, which in zip(found, ("first", "second")) if number]
