"""The picture is well-formed and legible, and shows the cuts that were made and no others."""

import os
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from backends import SLOW_IF_COMPILED
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import SPACE, along, classes, collisions, inside, leaves, points, run_together, texts, tips
from recordings import by_hand, run, skipping, tower, trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.canvas import Canvas
from tinyhyper.inspect.captions import BRANCH, LEGEND, listing, numbered
from tinyhyper.inspect.figure import figure
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.legend import Legend
from tinyhyper.inspect.letters import fitted, wide
from tinyhyper.inspect.passes import passes
from tinyhyper.inspect.shapes import Key
from tinyhyper.optim import SGD
from tinyhyper.plain import short

STACKS = ["sgd", "sgd/sgd", "adam/sgd", "sgd(0.1, mu=0.9)/adam/sgd", "adam-alpha/rmsprop/sgd", "/".join(["sgd"] * 11)]


def parsed(tape, step=None, **emphasis):
    return ElementTree.fromstring(th.inspect.svg(tape, step, **emphasis))


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
    assert all(arrow.cuts for arrow in shown.arrows if arrow.flow == "cut")
    behind = {cut.number for arrow in shown.arrows for cut in arrow.cuts}
    assert behind == {cut.number for cut in tape.cuts} or steps > 2
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(SPACE + "rect"):
        x, y, w, h = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height


def test_the_figure_of_a_tower_of_two_levels_is_exactly_this():
    kappa, wanted = Key(2, -1, "values"), {}
    for n in (0, 1):
        (w, alpha), (g, slope) = [[Key(lane, n, kind) for lane in (0, 1)] for kind in ("values", "gradient")]
        loss, new_w, new_alpha = Key(0, n, "loss"), Key(0, n + 1, "values"), Key(1, n + 1, "values")
        wanted |= {(w, loss): "kept", (loss, g): "backward", (kappa, new_alpha): "value", (new_alpha, new_w): "kept"}
        wanted |= dict.fromkeys([(w, new_w), (g, new_w), (alpha, new_alpha), (slope, new_alpha)], "cut")
        wanted |= {(loss, slope): "backward"} if n else {}  # the first loss depends on no alpha
    assert flows(tower("sgd/sgd")) == wanted


@given(st.lists(st.sampled_from(STACKS[:5]), min_size=1, max_size=2), st.integers(1, 3))
def test_each_arrow_has_its_tip_where_it_ends_and_nothing_has_an_id(stack, steps):
    """An id that two pictures of a page share is the first one's, and is gone for both when that one is hidden."""
    root = parsed(tower("/".join(stack), steps))
    assert not any(element.get("id") for element in root.iter())
    for flow in ("kept", "cut", "idle", "value", "backward"):
        drawn = [path for path in classes(root, "th-arrow") if path.get("class").endswith(f" th-{flow}")]
        assert len(tips(root, flow)) == len(drawn) + bool(drawn) and all(leaves(root, path, "end") for path in drawn)


def test_a_forgotten_cut_of_the_weights_is_drawn_as_kept():
    right, wrong = by_hand(), by_hand(cut_weights=False)
    edge = (Key(0, 0, "values"), Key(0, 1, "values"))
    assert flows(right)[edge] == "cut"
    assert flows(wrong)[edge] == "kept"
    assert "reaches w[1], alpha[0]." in th.inspect.svg(right)
    assert "reaches w[1], w[0], alpha[0]." in th.inspect.svg(wrong)
    assert len(classes(parsed(wrong), "th-scissors")) < len(classes(parsed(right), "th-scissors"))


def test_a_forgotten_cut_of_the_gradient_is_drawn():
    edge = (Key(0, 0, "gradient"), Key(0, 1, "values"))
    assert flows(by_hand())[edge] == "cut"
    assert flows(by_hand(cut_gradient=False))[edge] == "value"
    assert flows(by_hand(cut_gradient=False, create_graph=True))[edge] == "kept"


def half_cut():
    """A step that cuts one of two weights."""
    a, b = (th.tensor([1.0], requires_grad=True) for _ in "ab")
    with th.record() as tape:
        th.sum(a * b).backward()
        tape.step()
        for w, name in ((a, "a"), (b, "b")):
            tape.label(w, name, "weights", 0)
            tape.label(
                (w.detach("weights") if name == "a" else w) - 0.1 * w.grad.detach("gradient"), name, "weights", 0
            )
    return tape


def test_one_forgotten_cut_among_several_weights_gets_its_own_arrow():
    tape = half_cut()
    edge = (Key(0, 0, "values"), Key(0, 1, "values"))
    found = [arrow.flow for arrow in figure(tape).arrows if (arrow.source, arrow.target) == edge]
    assert sorted(found) == ["cut", "kept"]
    assert len(classes(parsed(tape), "th-scissors")) == 2


@given(st.integers(1, 5), st.integers(1, 5))
def test_as_many_steps_are_shown_as_are_asked_for_and_recorded(recorded, asked):
    tape = trained("sgd/sgd", recorded)
    assert figure(tape, count=asked).steps == [*range(max(0, recorded - asked), recorded + 1)]
    for first in range(recorded + 1):
        assert figure(tape, first, count=asked).steps == [*range(first, min(first + asked, recorded) + 1)]
    with pytest.raises(th.ArgumentError, match=f"step=7: this recording holds steps 0 to {recorded}"):
        th.inspect.svg(tape, 7)


def test_without_a_step_the_graph_is_drawn_and_nothing_only_if_there_is_nothing():
    tape = record_of_a_graph()
    assert tape._repr_svg_() == th.inspect.svg(tape) and "<svg" in tape._repr_html_()
    with pytest.raises(th.ArgumentError, match="record at least one step"):
        th.inspect.svg(tape, 1)
    with pytest.raises(th.ArgumentError, match="record at least one step"):
        th.inspect.svg(tape, trail=["x"])
    with th.record() as empty:
        pass
    with pytest.raises(th.ArgumentError, match="holds nothing to draw"):
        th.inspect.svg(empty)
    assert empty._repr_svg_() is None


def test_a_picture_is_text_and_shows_itself_in_a_notebook():
    tape = tower()
    answer = inspect.cuts(tape)
    for shown in (inspect.svg(tape), answer.svg(), inspect.svg(record_of_a_graph()), tape._repr_svg_()):
        assert shown._repr_html_() == shown._repr_svg_() == str(shown) and str(shown).startswith("<svg")
        assert len(repr(shown)) < 100 and "<svg" not in repr(shown)
        assert ElementTree.fromstring(shown).get("class").startswith("th-picture")


def record_of_a_graph():
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as tape:
        th.sum(x).backward()
    return tape


TOWER, GRAPH = tower(), record_of_a_graph()


def test_a_saved_picture_is_whole_and_alone(tmp_path):
    tape = tower()
    path = tape.save_svg(tmp_path / "cut.svg")
    assert path.read_text(encoding="utf-8") == th.inspect.svg(tape)
    assert os.listdir(tmp_path) == ["cut.svg"]
    tape.save_svg(path, scale=1.5, steps=1)
    assert path.read_text(encoding="utf-8") == th.inspect.svg(tape, scale=1.5, steps=1)
    tape.save_svg(path)
    with pytest.raises(FileNotFoundError, match="there is no folder .*missing"):
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


LEVELS = ["sgd", "sgd(0.1, mu=0.9)", "adam", "adam-alpha", "adamw", "rmsprop", "adagrad(1e-3)", "adadelta"]
levels = st.sampled_from(LEVELS)


@given(st.lists(levels, min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_no_text_is_run_over_and_arrows_of_different_flow_stay_apart(stack, steps, parameters):
    root = parsed(tower("/".join(stack), steps, parameters))
    assert collisions(root) == []
    assert run_together(root) == []


@given(st.lists(levels, min_size=1, max_size=3), st.integers(1, 4))
def test_scissors_stand_below_the_step_that_made_their_cuts(stack, steps):
    tape = tower("/".join(stack), steps)
    root, cut = parsed(tape), [arrow for arrow in figure(tape).arrows if arrow.flow == "cut"]
    steps = {text: x1 for text, (_, _, x1, _) in texts(root) if re.fullmatch(r"step \d+ →", text)}
    sides = [(float(band.get("x")), float(band.get("width"))) for band in classes(root, "th-band")]
    bands = [(x, x + wide) for x, wide in sides]
    for mark, arrow in zip(classes(root, "th-scissors"), cut, strict=True):
        x = float(re.findall(r"[-.\d]+", mark.get("transform"))[0])
        (text,) = (text for text, end in steps.items() for x0, x1 in bands if x0 < end <= x1 and x0 < x <= x1)
        assert {text} == {f"step {one.step} →" for one in arrow.cuts}
    columns = [text for text, _ in texts(root) if re.fullmatch(r"after step \d+|before step 1", text)]
    assert columns == [f"after step {step}" if step else "before step 1" for step in figure(tape).steps]


@given(st.lists(levels, min_size=1, max_size=3), st.integers(1, 3), st.booleans())
def test_scissors_of_cuts_without_a_graph_are_drawn_otherwise(stack, steps, create_graph):
    tape = trained("/".join(stack), steps, {"w": [1.0, -2.0], "b": 0.5}, create_graph=create_graph)
    root, cut = parsed(tape), [arrow for arrow in figure(tape).arrows if arrow.flow == "cut"]
    for mark, arrow in zip(classes(root, "th-scissors"), cut, strict=True):
        assert ("th-idle" in mark.get("class")) == (not any(one.severed for one in arrow.cuts))
        assert (LEGEND["idle"] in {text for text, _ in texts(root)}) == bool(classes(root, "th-idle"))
    assert len(tips(root, "idle")) == len(classes(root, "th-idle")) // 2 + bool(classes(root, "th-idle"))


@pytest.mark.parametrize("stack, steps", [("sgd", 1), ("sgd/sgd", 1), ("sgd/sgd", 2), ("adam/sgd", 3)])
def test_the_legend_is_in_the_picture_where_the_recording_ends_with_a_backward_too(stack, steps):
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = th.optim.from_string(stack)
    with th.record() as tape:
        for _ in range(steps):
            th.sum(params["w"] ** 2).backward()
            optimizer.step(params)
        th.sum(params["w"] ** 2).backward()
    root = parsed(tape)
    keys = [text for text in root.iter(SPACE + "text") if text.text in LEGEND.values()]
    assert len(keys) >= 3 and len({(text.get("x"), text.get("y")) for text in keys}) == len(keys)
    for text in keys:
        assert float(text.get("x")) + 0.52 * 14 * len(text.text) < float(root.get("width"))


@given(st.sets(st.sampled_from([*LEGEND]), min_size=1), st.integers(480, 1500), st.text("ae.", max_size=90))
@example({"kept", "cut"}, 700, "e" * 50)
def test_a_legends_cells_are_in_the_picture_and_apart(flows, width, note):
    legend = Legend({flow: LEGEND[flow] for flow in LEGEND if flow in flows}, width, [note] if note else [])
    canvas = Canvas(width, legend.height, "th-figure")
    legend.draw(canvas, 19)
    root = ElementTree.fromstring(canvas.picture())
    assert collisions(root) == [] and len(texts(root)) == len(flows) + bool(note)


def test_gradients_that_flow_on_through_gradients_are_drawn_too():
    tape = by_hand(cut_gradient=False, create_graph=True)
    root = parsed(tape)
    assert len(classes(root, "th-kept")) == sum(arrow.flow == "kept" for arrow in figure(tape).arrows) == 10
    assert all(leaves(root, path, "end") for path in classes(root, "th-kept"))
    assert all(found.startswith("box") for found in collisions(root))


@pytest.mark.parametrize("fault", [{"cut_weights": False}, {"cut_gradient": False}])
def test_a_picture_of_a_fault_is_legible_too(fault):
    for tape in (by_hand(**fault), half_cut()):
        assert collisions(parsed(tape)) == []
        assert run_together(parsed(tape)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_long_names_are_cut_short(count):
    params = {f"encoder.layers.{n}.attention.weight": [1.0, 2.0] for n in range(count)}
    root = parsed(trained(th.optim.SGD(0.1, optimizer=th.optim.AdaDelta()), params=params))
    assert collisions(root) == [] and "…" in "".join(text for text, _ in texts(root))


def test_texts_and_arrows_in_each_others_way_are_noticed():
    root = parsed(tower())
    text = next(text for text in root.iter(SPACE + "text") if text.text == "weights" and text.get("text-anchor"))
    path = classes(root, "th-kept")[0]
    path.set("d", f"M0 {text.get('y')} H{root.get('width')}")
    assert any("weights | th-arrow th-kept" in found for found in collisions(root))
    path.set("d", classes(root, "th-cut")[0].get("d"))
    assert run_together(root) != []
    path.set("d", f"M0 {next(inside(root))[1] + 9} H{root.get('width')}")
    assert "box | th-arrow th-kept" in collisions(root)
    text.set("x", f"{next(inside(root))[0]:g}")
    text.set("y", f"{next(inside(root))[1]:g}")
    assert "weights | box" in collisions(root)
    text.set("x", root.get("width"))
    assert "weights" in collisions(root)


def trail_of(root):
    return classes(root, "th-trail")


@pytest.mark.parametrize(
    "trail",
    [
        ("loss[1]", "w0[1]", "alpha[1]", "kappa[1]"),
        ("loss[1]", "w0[1]", "alpha[1]", "level1.alpha[1]"),
        ((0, 1, "loss"), (0, 1, "values"), Key(1, 1, "values"), Key(2, 1, "values")),
    ],
)
def test_a_trail_runs_along_its_arrows_and_points_where_it_leads(trail):
    root = parsed(tower("sgd/sgd/sgd"), trail=trail, caption="so it goes")
    boxes = [part for part in trail_of(root) if part.tag == SPACE + "rect"]
    swatch, *bands = [part for part in trail_of(root) if part.tag == SPACE + "path"]
    assert (len(boxes), len(bands)) == (4, 3)
    assert all(along(root, band, "kept") and leaves(root, band, "start") for band in bands)
    kept = {path.get("d") for path in classes(root, "th-kept")}
    assert not kept & {band.get("d") for band in bands}  # on its arrow it would seem one that points both ways
    assert not any(leaves(root, band, "end") for band in bands)
    assert "so it goes" in [text.text for text in root.iter(SPACE + "text")]
    assert trail_of(parsed(tower(), trail=())) == []


def test_the_path_of_the_last_losss_gradient_to_the_highest_hyperparameter_is_the_trail_by_default():
    for stack, trail in [
        ("sgd", ("loss[1]", "w0[1]")),
        ("sgd/sgd", ("loss[1]", "w0[1]", "alpha[1]")),
        ("sgd/sgd/sgd", ("loss[1]", "w0[1]", "alpha[1]", "kappa[1]")),
    ]:
        assert inspect.svg(tower(stack)) == inspect.svg(tower(stack), trail=trail)
    assert figure(tower("sgd/sgd", steps=1)).trail() == [Key(0, 0, "loss"), Key(0, 0, "values")]


def size(picture):
    root = ElementTree.fromstring(picture)
    return float(root.get("width")), float(root.get("height"))


HIGH = ["sgd/sgd/sgd/sgd", "adam/sgd/sgd", "adam/sgd/sgd/sgd", "sgd(0.1, mu=0.9)/adam/sgd"]


@pytest.mark.parametrize("stack", ["sgd", "adam/sgd", *HIGH])
@pytest.mark.parametrize("weights", [1, 4, pytest.param(200, marks=SLOW_IF_COMPILED)])
def test_the_pictures_of_a_tower_up_to_height_3_fit_a_projector_with_letters_that_the_back_row_reads(stack, weights):
    tape = trained(stack, 4, {f"w{n}": [1.0, -2.0] for n in range(weights)}, ghosts=True)
    answers = [question(tape) for question in (inspect.ghosts, inspect.checkpoint, inspect.kept_alive)]
    answers += [question(tape, "alpha") for question in (inspect.paths, inspect.why_zero, inspect.moved)]
    steps = inspect.svg(tape)
    for picture in [steps, *(answer.svg() for answer in answers), *(tape.frames() if weights < 9 else ())]:
        width, height = size(picture)
        assert width <= 1280 and height <= 720
        assert collisions(ElementTree.fromstring(picture)) == []
    letters = [float(found) for found in re.findall(r"font-size: ([\d.]+)px", steps)]
    assert min(letters) * min(1280 / size(steps)[0], 720 / size(steps)[1]) >= 14


@pytest.mark.parametrize("stack", [*HIGH, "adam/sgd/sgd/sgd/sgd", "adamw/sgd(mu=0.5)/sgd/sgd/sgd"])
@pytest.mark.parametrize("weights", [1, 2, 9])
def test_what_is_said_of_a_lane_keeps_off_the_next_heading(stack, weights):
    tape = trained(stack, 3, {f"w{n}": [1.0, -2.0] for n in range(weights)})
    for picture in [inspect.svg(tape), inspect.differences(tape, tower("sgd")).svg()]:
        root = ElementTree.fromstring(picture)
        column = sorted((float(text.get("y")), text.get("class")) for text in root.iter(SPACE + "text")
                        if text.get("x") == "18" and text.get("class") in ("th-lane", "th-small"))  # fmt: skip
        for (above, _), (below, heading) in zip(column, column[1:]):
            assert heading != "th-lane" or below - above > 30


@given(st.floats(0.1, 10))
def test_a_picture_is_scaled_and_else_the_same(scale):
    for tape in (TOWER, GRAPH):
        small, large = inspect.svg(tape), inspect.svg(tape, scale=scale)
        assert np.allclose(size(large), np.array(size(small)) * scale, atol=0.5)
        plain = [re.sub(r'width="\d+" height="\d+"', "", picture, count=1) for picture in (small, large)]
        assert plain[0] == plain[1] and plain[0] != small


@pytest.mark.parametrize("scale", [0, -1.0, np.inf, np.nan, "2", None])
def test_a_scale_that_is_none_is_refused(scale):
    for tape in (TOWER, GRAPH):
        with pytest.raises(th.ArgumentError, match="scale must be a number > 0"):
            inspect.svg(tape, scale=scale)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    with pytest.raises(th.ArgumentError, match="steps must be an integer >= 1"):
        inspect.svg(TOWER, steps=steps)


def test_each_hyperparameter_of_a_level_has_its_row_while_they_fit():
    root = parsed(tower("adam/sgd", 3))
    rows = [text.text for text in classes(root, "th-row")]
    for name in ("alpha", "beta1", "beta2"):
        assert {f"{name}[1]", f"{name}[2]", f"{name}[3]"} <= {*rows}
    order = [row for row in rows if row.startswith("∂")]
    assert order == ["∂loss/∂alpha", "∂loss/∂u(beta1)", "∂loss/∂u(beta2)"] * 2  # as the values
    tall = [text.text for text in classes(parsed(tower("adam/adam/sgd", 3)), "th-row")]
    assert {"alpha[2]", "kappa[2]", "beta1[2]"} <= {*tall} and tall.count("alpha[2]") == tall.count("kappa[2]") == 1
    names = [f"w{n}" for n in range(6)]
    many = parsed(trained("sgd/sgd", params=dict.fromkeys(names, 1.0)))
    assert not classes(many, "th-row") and "6 weights[1]" in [text for text, _ in texts(many)]
    assert "w0, w1, w2, w3, w4, w5" in [text for text, _ in texts(many)]


@given(st.text("aij_W…", min_size=1, max_size=30), st.floats(1, 11))
def test_a_text_that_does_not_fit_keeps_its_beginning_and_its_end(text, room):
    part = fitted(text, room)
    assert wide(part) <= max(room, wide("…"))
    if wide(text) <= room:
        assert part == text
        return
    found = [(f"{text[:n]}…{text[len(text) - m :]}", n + m) for n in range(len(text)) for m in (n - 1, n) if m >= 0]
    kept = max((length for one, length in found if length < len(text) - 1 and wide(one) <= room), default=0)
    assert (part, kept) in [*found, ("…", 0)]


@given(st.sets(st.integers(0, 999), min_size=1, max_size=9))
@example({80, 81, 82, 83})
@example({80, 82, 84, 86})
def test_cuts_are_named_or_counted_and_a_range_that_skips_some_says_so(cuts):
    text = numbered(sorted(cuts))
    named = [int(number) for number in re.findall(r"\d+", text.partition("cut")[2])]
    if "…" not in text:
        assert {*named} == cuts
    else:
        count = text.partition(" of the ")[0] if "of" in text else named[1] - named[0] + 1
        assert int(count) == len(cuts) > 3 and named == [min(cuts), max(cuts)]


@given(st.lists(st.text("abw.", min_size=1, max_size=30), min_size=1, max_size=40), st.integers(1, 2))
def test_a_list_that_is_cut_short_says_how_many_names_it_leaves_out(names, most):
    lines = listing(names, most)
    assert 1 <= len(lines) <= most and all(len(line) <= 25 for line in lines)
    told, _, more = " ".join(lines).partition(" and ")
    if max(map(len, names)) <= 5:
        assert len(told.split(", ")) + int(more.partition(" ")[0] or 0) == len(names)


NUMBERS = st.floats(-1e12, 1e12) | st.sampled_from([1.6, -195.0, 0.3328, -1.234e-5])


@given(st.lists(NUMBERS, min_size=2, max_size=4), st.booleans())
def test_the_rows_of_a_box_show_numbers_in_as_many_digits_as_boxes_of_one(values, long):
    names = [f"a_long_weight_name{n}" if long else f"w{n}" for n in range(len(values))]
    root = parsed(trained("sgd", 1, params=dict(zip(names, values))))
    assert {short(value) for value in values} <= {text for text, _ in texts(root)}
    assert collisions(root) == []


def test_a_trail_goes_by_the_kept_arrow_where_there_is_a_choice():
    root = parsed(half_cut(), trail=("a[1]", "a[0]"))
    _, band = [part for part in trail_of(root) if part.get("d")]
    assert leaves(root, band, "start") and along(root, band, "kept") and not along(root, band, "cut")


def test_a_trail_along_an_arrow_points_with_it():
    root = parsed(tower(), trail=("loss[1]", "∂loss[1]/∂alpha[1]", "alpha[2]"))
    assert [leaves(root, part, "end") for part in trail_of(root) if part.get("d")] == [True] * 2
    (cut,) = classes(root, "th-carry")
    assert leaves(root, cut, "end") and cut.get("d") in {p.get("d") for p in classes(root, "th-cut")}


@pytest.fixture(scope="module")
def answers():
    tape, _, _ = run("sgd(0.1, mu=0.5)/sgd(0.01)")
    tall = trained(SGD(0.1, mu=0.5, horizon=2, optimizer=SGD(0.01)), 3, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True,
                   create_graph=True)  # fmt: skip
    return {
        "moved": inspect.moved(tape, "alpha"),
        "left_range": inspect.left_range(run("sgd(3)/sgd(5)", steps=4, seed=1)[0], "alpha"),
        "without": inspect.without(tape, next(c.number for c in tape.cuts if c.reason == "state" and c.step == 2)),
        "parts": inspect.paths(tall, "alpha"),
        "paths": inspect.paths(tape, "alpha"),
    }


@pytest.mark.parametrize("name", ["moved", "left_range", "without", "parts", "paths"])
def test_the_picture_of_an_answer_can_be_read(answers, name):
    root = ElementTree.fromstring(answers[name].svg())
    assert collisions(root) == [] and run_together(root) == []


@pytest.mark.parametrize("name", ["moved", "left_range"])
def test_the_path_of_a_value_through_a_cut_is_not_drawn_as_that_of_a_gradient(answers, name):
    root = ElementTree.fromstring(answers[name].svg())
    assert trail_of(root) == [] and classes(root, "th-branch") == []
    bands = [part for part in classes(root, "th-carry") if part.get("d")]
    cuts = {path.get("d") for path in classes(root, "th-cut")}
    assert len(bands) == (3 if name == "moved" else 2)  # the first is in the caption
    assert all(band.get("d") in cuts and leaves(root, band, "end") for band in bands[1:])
    assert any("a gradient stops there" in text for text, _ in texts(root))


def test_no_gradients_path_is_drawn_through_a_cut(answers):
    for name in ("parts", "paths"):
        root = ElementTree.fromstring(answers[name].svg())
        bands = [part for part in [*trail_of(root), *classes(root, "th-branch")] if part.get("d")]
        bands = bands[name == "paths" :]  # the first is in the caption
        assert classes(root, "th-carry") == [] and all(along(root, band, "kept") for band in bands)


def test_all_paths_of_a_gradient_are_drawn_with_what_came_along_each_arrow(answers):
    root, answer = ElementTree.fromstring(answers["parts"].svg()), answers["parts"]
    chosen = [part for part in trail_of(root) if part.get("d")]
    assert all(leaves(root, band, "start") for band in chosen)
    others = [part for part in classes(root, "th-branch") if part.get("d")]
    assert all(along(root, band, "kept") for band in [*chosen, *others])
    assert len({band.get("d") for band in [*chosen, *others]}) == 6
    told = [text.text.rpartition(": ")[2] for text in classes(root, "th-amount")]
    amounts = [float(text) for text in told if re.search(r"\d$", text)]  # beside the names of groups
    assert len(answer.rows) == 6 and len(chosen) == 2 and len(others) == 4
    total = sum(row[1] for row in answer.rows)
    direct = sum(row[1] for row in answer.rows if row[0].count("→") == 2)
    through = sum(row[1] for row in answer.rows if "∂" in row[0])
    wanted = [total, direct, total - direct, total - direct - through, through]  # the last both before and after ∂loss
    assert sorted(amounts) == pytest.approx(sorted(wanted), rel=1e-3)
    plain = ElementTree.fromstring(answers["paths"].svg())
    assert classes(plain, "th-amount") == []
    words = [{text for text, _ in texts(picture)} for picture in (root, plain)]
    told = {BRANCH, f"the group of 2 paths that contributes most: {short(direct)} together"}
    assert words[0] >= told and words[1].isdisjoint(told)
    for style in ("trail", "branch"):  # in the legend, too, a band leads back
        (key,) = [key for key in root.iter() if key.get("class") == f"th-arrow th-{style} th-key"]
        assert ((float(key.get("d")[1:].split()[0]), float(key.get("d").split()[1])), 180) in tips(root, style)


def test_a_cut_that_is_left_out_is_drawn_as_left_out(answers):
    root = ElementTree.fromstring(answers["without"].svg())
    assert len(classes(root, "th-asked")) == 1
    assert [text for text, _ in texts(root) if "cut 16" in text][-1] == "without cut 16: the gradient would flow back"
    tape, _, _ = run("sgd(0.1, mu=0.5)/sgd(0.01)")
    assert [arrow.cuts[0].number for arrow in figure(tape, 1, {16}).arrows if arrow.flow == "asked"] == [16]
    assert not any(cut.number == 16 for a in figure(tape, 1, {16}).arrows if a.flow == "cut" for cut in a.cuts)
    idle = next(cut.number for cut in tape.cuts if cut.reason == "gradient" and cut.step == 2)
    assert not [arrow for arrow in figure(tape, 1, {idle}).arrows if arrow.flow == "asked"]


@given(st.sampled_from(["sgd(0.1, mu=0.5)/sgd(0.01)", "adam(0.05)/sgd(0.01)", "sgd(0.1)/sgd(0.01)/sgd"]), st.data())
def test_the_arrow_of_a_cut_that_is_left_out_tells_what_arrives_and_keeps_off_gradients(stack, data):
    tape, _, _ = run(stack)
    first = figure(tape).steps[0]
    cuts = [cut for cut in tape.cuts if cut.severed and cut.ghost and first < cut.step <= first + 1]
    cut = data.draw(st.sampled_from(cuts))
    root = ElementTree.fromstring(inspect.without(tape, cut).svg())
    (line,) = [points(path.get("d")) for path in classes(root, "th-asked")]
    graph = Graph(tape)
    loss = next(graph.name(one.loss) for one in passes(graph) if cut.number in [stop.cut for stop in one.stops])
    arrives = f"{'norm ' * bool(cut.shape)}{short(cut.ghost)} of {loss} arrives"
    (told,) = [place for text, place in texts(root) if text == arrives]
    assert told[0] > line[:, 0].min() and 0 < told[1] - line[0][1] < 12
    for pill in classes(root, "th-gradient"):
        top = float(pill.get("y"))
        assert not top - 18 < line[0][1] < top + float(pill.get("height"))
    assert collisions(root) == [] and run_together(root) == []


@pytest.mark.parametrize(
    "trail, message",
    [
        (("loss[1]", "w0[7]"), r"steps 0 to 2 has no box 'w0\[7\]'; its boxes are .*alpha\[1\]"),
        ((Key(5, 1, "values"),), "has no box Key"),
        (("loss[1]", "alpha[1]"), r"no arrow joins loss\[1\] and alpha\[1\]; arrows join loss\[1\] and .*w0\[1\]"),
        (("alpha[0]", "alpha[0]"), "no arrow joins"),
    ],
)
def test_a_trail_over_what_is_not_drawn_is_refused(trail, message):
    with pytest.raises(th.ArgumentError, match=message):
        th.inspect.svg(tower(), trail=trail)


def test_marked_cuts_stand_out_and_no_others():
    tape = tower()
    arrow = next(arrow for arrow in figure(tape).arrows if arrow.flow == "cut")
    marked = classes(parsed(tape, marks={arrow.cuts[0].number}), "th-marked")
    assert [part.tag for part in marked] == [SPACE + "path", SPACE + "g"]
    assert "✂" in marked[1].find(SPACE + "title").text
    assert classes(parsed(tape), "th-marked") == []
    with pytest.raises(th.ArgumentError, match="cut 99 is not in the picture of steps 0 to 2; its cuts are 0, 1, 2"):
        th.inspect.svg(tape, marks=[99])


def test_a_caption_stands_below_the_title_in_lines_that_fit():
    words = " ".join(["word"] * 60)
    root = parsed(tower(), caption=words)
    lines = [text.text for text in root.iter(SPACE + "text") if text.text.startswith("word")]
    assert " ".join(lines) == words and len(lines) > 2 and collisions(root) == []


@pytest.mark.parametrize("fault, reached", [({}, 2), ({"cut_weights": False}, 3)])
def test_the_path_of_a_gradient_is_that_of_the_kept_arrows(fault, reached):
    shown = figure(by_hand(**fault))
    loss, weights, alpha = Key(0, 1, "loss"), Key(0, 1, "values"), Key(1, 0, "values")
    assert shown.way(loss, alpha) == [loss, weights, alpha]
    assert len(shown.reached(loss)) == reached
    assert shown.way(loss, Key(0, 0, "values")) == ([] if reached == 2 else [loss, weights, Key(0, 0, "values")])
    assert shown.way(loss, loss) == [loss]


def test_a_figure_knows_the_box_of_each_labelled_place():
    tape = tower()
    shown = figure(tape)
    for node in tape.nodes:
        label = node.outputs[0].label
        if label is not None and label.name == "alpha" and label.role == "hyperparameter" and label.level == 0:
            assert shown.where[node.number, 0] == Key(1, node.step, "values")
    assert set(shown.where.values()) == set(shown.boxes)


@pytest.mark.parametrize("horizon, steps", [(3, 6), (4, 7), (3, 5)])
def test_in_a_window_the_picture_shows_how_it_begins(horizon, steps):
    tape = trained(th.optim.SGD(0.1, horizon=horizon, optimizer=th.optim.SGD(0.01)), steps, create_graph=True)
    moved = max(n for n in range(1, steps + 1) if n % horizon == 1)
    assert Key(1, moved, "values") in figure(tape).boxes
    assert flows(tape)[Key(1, moved, "values"), Key(0, moved, "values")] == "kept"
    assert flows(tape)[Key(0, moved - 1, "values"), Key(0, moved, "values")] == "cut"


def test_an_arrow_past_a_lane_bends_round_its_box():
    """A rule by hand, which reads a rate of level 1 itself."""
    w, alpha, beta, half = (th.tensor(value, requires_grad=True) for value in ([1.0, 2.0], 0.1, 0.8, 0.5))
    with th.record() as tape:
        for _ in range(2):
            th.sum(w * w).backward(retain_graph=True)
            tape.step()
            tape.label(w, "w", "weights", 0)
            tape.label(alpha, "alpha", "hyperparameter", 0)
            tape.label(beta, "beta", "hyperparameter", 1)
            beta = (beta.detach("old") * half).retain_grad()
            tape.label(beta, "beta", "hyperparameter", 1)
            alpha = (alpha.detach("old") * beta).retain_grad()
            tape.label(alpha, "alpha", "hyperparameter", 0)
            w = (w.detach("weights") - alpha * beta * w.grad.detach("gradient")).retain_grad()
            tape.label(w, "w", "weights", 0)
            tape.stepped()
    shown = figure(tape)
    assert any(
        a.source.lane - a.target.lane == 2 and a.source.step == a.target.step and a.flow == "kept" for a in shown.arrows
    )
    assert any("C" in path.get("d") for path in classes(parsed(tape), "th-arrow"))
    assert collisions(parsed(tape)) == [] and run_together(parsed(tape)) == []


@given(
    st.sampled_from(["sgd(0.1)", "sgd(0.1)/sgd(0.01)", "sgd(0.1)/adam(0.01)/sgd(0.001)", "adam(0.1)/adam(0.01)"]),
    st.lists(st.sampled_from([1.0, np.nan, np.inf]), min_size=1, max_size=5),
    st.sampled_from([{"w": [1.0, -2.0]}, {"w": 3.0}, {"w": [1.0, -2.0], "b": 0.5}]),
)
@example("sgd(0.1)/sgd(0.01)", [1.0, np.nan, np.nan, 1.0], {"w": [1.0, -2.0]})
@example("adam(0.1)/sgd(0.01)", [np.nan, 1.0, 1.0], {"w": [1.0, -2.0], "b": 0.5})
@example("adam(0.1)/sgd(0.01)", [np.nan, np.nan, 1.0], {"w": [1.0, -2.0], "b": 0.5})
@example("sgd(0.1)/adam(0.01)/sgd(0.001)", [1.0, np.nan, 1.0], {"w": [1.0, -2.0]})
def test_a_skipped_step_is_called_so_and_the_next_one_goes_on_from_the_values_before_it(stack, factors, params):
    tape = skipping(stack, factors, params)
    skipped = [step for step, factor in enumerate(factors, start=1) if factor != 1.0]
    assert tape.skipped == skipped
    for picture in [inspect.svg(tape), inspect.svg(tape, 0, steps=len(factors) + 1)]:
        root = ElementTree.fromstring(picture)
        assert collisions(root) == [] and run_together(root) == []
        said = [text for text, _ in texts(root)]
        assert not any(re.search(r"\b(nan|inf)\b", text) for text in said)
        columns = [text.replace("before step 1", "after step 0") for text in said]
        shown = {int(step) for text in columns for step in re.findall(r"^after step (\d+)", text)}
        assert not shown - {0} or min(shown) not in skipped
    boxes = figure(tape, 0, count=len(factors) + 1)
    taken = [step for step in range(len(factors) + 1) if step not in skipped]
    for old, new in zip(taken, taken[1:]):
        flow = {(a.source, a.target): a.flow for a in boxes.arrows}[Key(0, old, "values"), Key(0, new, "values")]
        assert flow == "cut"
    assert (Key(0, taken[-1], "values"), Key(0, len(factors), "loss")) in {(a.source, a.target) for a in boxes.arrows}


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS), st.integers(2, 4), st.integers(1, 7))
@example("adam", "sgd(0.1, mu=0.9)", 3, 6)
@example("adamw", "adam", 2, 5)
def test_an_arrow_of_a_constant_begins_at_its_box_or_its_name(below, above, horizon, steps):
    name, _, rest = below.rstrip(")").partition("(")
    stack = f"{name}({', '.join(filter(None, [rest, f'horizon={horizon}']))})/{above}"
    tape = trained(stack, steps, create_graph=True)
    for picture in [inspect.svg(tape), inspect.svg(tape, 0, steps=steps)]:
        root = ElementTree.fromstring(picture)
        boxes = [*inside(root)]
        for path in classes(root, "th-value"):
            x, y = points(path.get("d"))[0]
            named = [text for text, (x0, _, _, y1) in texts(root) if 0 < x - x0 < 20 and 0 < y - y1 < 4]
            below = any(x0 <= x <= x1 and abs(y - y1) < 1 for x0, _, x1, y1 in boxes)
            assert below or named or any(x == x1 and y0 <= y <= y1 for _, y0, x1, y1 in boxes)
        assert collisions(root) == []


@pytest.mark.parametrize("stack", ["sgd", "sgd/sgd", "adam", "adam/sgd", "adam/sgd/sgd"])
@pytest.mark.parametrize("weights", [2, 5, 18, 60])
def test_the_reasons_of_many_cuts_are_at_their_arrow(stack, weights):
    root = parsed(trained(stack, 3, {f"w{n}": [1.0, -2.0] for n in range(weights)}))
    assert sum(text.startswith("weights, state: " if "adam" in stack else "weights: ") for text, _ in texts(root)) == 2
    assert collisions(root) == []


def test_where_no_loss_is_recorded_nothing_is_said_to_be_reached():
    w = th.tensor([1.0, 2.0], requires_grad=True)
    th.sum(w * w).backward()
    with th.record() as tape:
        th.optim.SGD(0.1).step({"w": w})
    assert "backward() reaches" in th.inspect.svg(by_hand()) and "backward() reaches" not in th.inspect.svg(tape)


@pytest.mark.parametrize(
    "stack", ["sgd(0.1)/sgd(0.01)", "adam(0.1)/sgd(0.01)", "sgd(0.1, mu=0.5)/adam(0.01)/sgd(1e-3)"]
)
@pytest.mark.parametrize("steps", [2, 30])
def test_what_a_cut_is_called_stands_in_the_column_of_its_step_and_weights_come_before_state(stack, steps):
    tape = trained(stack, steps, {"w": [1.0, -2.0], "b": 0.5}, ghosts=True)
    for picture in (inspect.svg(tape), inspect.without(tape, len(tape.cuts) - 1).svg()):
        root = ElementTree.fromstring(picture)
        ends = [float(band.get("x")) + float(band.get("width")) for band in classes(root, "th-band")]
        starts = [float(band.get("x")) for band in classes(root, "th-band")]
        drawn = zip(root.iter(SPACE + "text"), texts(root))
        labels = [(text.text, box) for text, (_, box) in drawn if text.get("class") == "th-reason"]
        assert labels
        for text, (left, _, right, _) in labels:
            assert any(start - 1 < left and right < end + 1 for start, end in zip(starts, ends)), text
            assert not re.search("state.*weights", text)


@pytest.mark.parametrize("stack", ["sgd(0.1, mu=0.5)/sgd/sgd", "adam(0.1)/sgd(0.01)", "sgd(0.1)/sgd"])
def test_each_cut_says_its_reason_and_the_arrow_of_constants_what_it_is_of(stack):
    tape, *_ = run(stack)
    for picture in (inspect.svg(tape), inspect.without(tape, len(tape.cuts) - 1).svg()):
        root = ElementTree.fromstring(picture)
        marks = [mark for mark in classes(root, "th-scissors") if "th-key" not in mark.get("class")]
        assert marks
        for mark in marks:
            reasons = {one.split(" at ")[0] for one in mark.find(SPACE + "title").text.split(": ")[1].split("; ")}
            said = " ".join(text.text for text in mark.findall(SPACE + "text"))
            assert all(reason in said for reason in reasons), (said, reasons)
        fixed = [text for text, _ in texts(root) if text == "eps"]
        assert len(fixed) == (len(classes(root, "th-loss")) + 1 if "adam" in stack else 0)
        assert collisions(root) == []
