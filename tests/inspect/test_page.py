"""The explorer's page, as text and in a real browser: what it shows and says, and that it asks for nothing.

`PYTHONPATH=.:tests/helpers python tests/inspect/test_page.py` draws docs/figures/explorer.png anew; it needs Chromium,
its driver and selenium.
"""

import json
import math
import os
import re
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reading import Reader, browser, held
from recordings import by_hand, crossing, overlong, penalized, skipping
from recordings import trained as recorded

import tinyhyper as th
from tinyhyper.inspect.explorer import page, save_html
from tinyhyper.inspect.graph import Graph, flow_in
from tinyhyper.inspect.memory import alive, nbytes
from tinyhyper.inspect.opened import Opened
from tinyhyper.inspect.timeline import amount
from tinyhyper.plain import short

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
DRAWN = sorted(FIGURES.rglob("*.svg"))  # every picture that a page shows
ODD = "</script><script>document.title = 'broken'</script><b>&amp; 'w\""


@th.fuse
def silu(x):
    return x / (1.0 + th.exp(-x))


def trained(text="adam/sgd", steps=3, name="weight", ghosts=True):
    generator = np.random.default_rng(0)
    params = {name: generator.normal(size=(3, 2)), "bias": np.zeros(2)}
    x = th.tensor(generator.normal(size=(5, 3)))

    def loss(params):
        return th.mean((silu(x @ params[name] + params["bias"]) - 1.0) ** 2)

    return recorded(text, steps, params, loss, ghosts)


def chain(length):
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        for _ in range(length):
            x = th.tanh(x)
    return tape


def program(name="w", tower=None):
    params = {name: th.tensor([0.5, -0.5], requires_grad=True)}
    tower = tower or th.optim.SGD(0.1, optimizer=th.optim.SGD(0.01))
    train = th.replay(lambda params, x: th.sum(th.square(params[name] - x)), params, tower, exact=True)
    for _ in range(6):
        train(np.ones(2))
    return train.program


# As text.


def test_the_page_holds_the_whole_recording():
    tape = trained()
    assert held(page(tape))["tape"] == json.loads(tape.to_json())


@pytest.mark.parametrize("title", [ODD, "{{data}}", "a & b", None])
def test_no_text_of_the_recording_becomes_markup(title):
    tape = trained(name=ODD, steps=1, ghosts=False)
    plain = page(trained(steps=1, ghosts=False))
    tape.title = title
    text = page(tape)
    assert held(text)["tape"]["title"] == title
    assert text.count("</script>") == plain.count("</script>")
    assert text.count("<b>") == plain.count("<b>")


def test_the_page_asks_for_nothing():
    text = page(trained(steps=1, ghosts=False))
    assert "default-src 'none'" in text
    assert not re.search(r"<(?:script|img|link|iframe)[^>]*\s(?:src|href)\s*=", text)
    assert "sourceMappingURL" not in text + str(held(text)["scripts"])
    assert "{{" not in text


def test_a_saved_page_is_whole_and_alone(tmp_path):
    tape = by_hand()
    path = save_html(tape, tmp_path / "run.html")
    assert path.read_text(encoding="utf-8") == page(tape)
    assert os.listdir(tmp_path) == ["run.html"]


@pytest.mark.parametrize("name", [ODD, "{{data}}", "w"])
def test_the_page_of_a_program_holds_it_and_asks_for_nothing(tmp_path, name):
    shown, plain = (program(one).save_html(tmp_path / "page.html").read_text(encoding="utf-8") for one in (name, "w"))
    assert held(shown)["program"]["arrays"][0]["name"] == name
    for tag in ("</script>", "<b>", "<svg", "<title>"):
        assert shown.count(tag) == plain.count(tag)
    assert "default-src 'none'" in shown and "{{start}}" not in shown
    assert not re.search(r"<(?:script|img|link|iframe)[^>]*\s(?:src|href)\s*=", shown)


# In a browser.


def draw_docs(reader, path):
    """The picture of the docs: the paths to a step size, and what each contributes."""
    reader.size(1400, 800)
    reader.system("light")
    reader.open(trained())
    reader.ask("explorer.go(2, false); explorer.choose(explorer.cy.getElementById('1|alpha|2|values'))")
    reader.picture(path)
    reader.system("")
    reader.size()


@pytest.fixture(scope="module")
def tape():
    return trained()


@pytest.mark.parametrize("make", [trained, by_hand, lambda: chain(3), lambda: recorded("adam/sgd/sgd", 4)])
def test_the_page_reads_what_it_holds(reader, make):
    tape = make()
    reader.open(tape)
    assert reader.ask("return held.tape") == json.loads(tape.to_json())


def test_the_overview_shows_each_name_at_each_step(reader, tape):
    reader.open(tape)
    reader.ask("explorer.all()")
    names = reader.names("values")
    assert names == {f"{name}[{step}]" for name in ("weight", "bias", "alpha", "beta1", "beta2") for step in range(4)}
    assert reader.names("loss") == {"loss[0]", "loss[1]", "loss[2]"}
    assert reader.flows("cut") > 0 and reader.flows("kept") > 0
    marks = reader.ask("return explorer.cy.edges('.cut').map((edge) => edge.data('label').startsWith('✂'))")
    assert all(marks)
    styles = reader.ask("return ['.cut', '.kept'].map((f) => explorer.cy.edges(f).first().style('line-style'))")
    assert styles == ["dashed", "solid"]
    assert "3 steps" in reader.says("summary")
    reader.screenshot("overview")


def test_the_slider_and_the_curves_move_the_step(reader, tape):
    from selenium.webdriver.common.keys import Keys

    reader.open(tape)
    assert reader.says("where") == "step 1 of 3"
    reader.keys(Keys.ARROW_RIGHT, to="slider")
    assert reader.says("where") == "step 2 of 3"
    assert reader.ask("return explorer.cy.nodes('.current').map((n) => n.id())") == ["band 2"]
    alpha = "return [...document.querySelectorAll('.panel')].find((p) => p.innerText.startsWith('alpha'))"
    shown = reader.ask(alpha + ".querySelector('b').innerText")
    known = next(
        output.label.value
        for node in tape.nodes
        if node.step == 2 and node.kind == "operation"
        for output in node.outputs
        if output.label and (output.label.name, output.label.role) == ("alpha", "hyperparameter")
    )
    assert float(shown) == pytest.approx(known, rel=1e-3)
    reader.ask(alpha + ".querySelector('svg')").click()
    assert reader.says("where") == "step 1 of 3"  # the middle is a third of the way: numbers stand on the left
    reader.keys(",")
    assert reader.says("where") == "step 0 of 3"
    reader.element("play").click()
    reader.until(lambda: reader.says("where") >= "step 2 of 3")  # a busy machine may see the last one first
    reader.ask("if (explorer.playing) explorer.play()")


def test_pointing_tells_value_shape_gradient_ghost_and_source(reader, tape):
    reader.open(tape)
    reader.mouse(reader.id("alpha[1]")).perform()
    reader.until(lambda: reader.element("tip").is_displayed())
    told = reader.says("tip")
    for word in ("alpha[1]", "value", "0.001", "shape", "gradient", "ghost at ✂", "source", "recordings.py:"):
        assert word in told
    arrow = reader.ask("return explorer.cy.edges('.cut').filter((e) => e.data('target').includes('alpha|1|'))[0].id()")
    reader.mouse(arrow).perform()
    reader.until(lambda: "cut by detach()" in reader.says("tip"))
    assert "tower.py:" in reader.says("tip")
    reader.screenshot("hover")


def test_a_click_shows_the_path_of_a_hypergradient_and_what_came_along(reader, tape):
    reader.open(tape)
    reader.keys(".")
    reader.click("alpha[2]")
    reader.ask("explorer.all()")
    assert reader.names("path") == {"alpha[2]", "weight[2]", "bias[2]", "loss[2]"}
    path = next(
        path
        for path in json.loads(tape.to_json())["paths"]
        if tape.nodes[path["loss"][0]].step == 2
        and tape.output(path["target"]).label.name == "alpha"
        and tape.nodes[path["target"][0]].step == 2
    )
    said = reader.says()
    assert "∂loss[2]/∂alpha[2]" in said
    total = float(re.search(r"∂loss\[2\]/∂alpha\[2\] = (\S+)", said)[1])
    assert total == pytest.approx(path["total"], rel=1e-3)
    parts = [float(part) for part in re.findall(r"through \S+\s+(-?\d\S*),", said)]
    assert len(parts) == 2 and math.fsum(parts) == pytest.approx(total, rel=2e-3)
    reader.screenshot("path")


def test_the_picture_of_the_docs_shows_the_paths_to_a_step_size_and_what_they_contribute(reader, tmp_path):
    draw_docs(reader, tmp_path / "explorer.png")
    sizes = [(path.read_bytes()[16:24]) for path in (tmp_path / "explorer.png", FIGURES / "explorer.png")]
    assert [(int.from_bytes(size[:4]), int.from_bytes(size[4:])) for size in sizes] == [(1400, 800)] * 2
    assert reader.names("path") == {"alpha[2]", "weight[2]", "bias[2]", "loss[2]"}
    assert "∂loss[2]/∂alpha[2]" in reader.says()


def test_the_panel_lists_what_each_step_kept_alive_and_until_when(reader, tape, windows):
    rows = "[...document.querySelectorAll('#kept li')].map((row) => [...row.children].map((one) => one.textContent))"
    for shown in (tape, windows, recorded("sgd/sgd/sgd", 4)):
        reader.open(shown)
        graph, found = Graph(shown), alive(shown)
        for now in found[: shown.steps]:
            reader.ask(f"explorer.go({now.step}, false)")
            (summary, total), *kept = reader.ask(f"return {rows}")
            assert summary.startswith(f"{len(now.nodes)} node") and total == amount(now.bytes)
            assert len(kept) == len(now.nodes)
            for number, (name, size, arrays) in zip(sorted(now.nodes), kept):
                node = shown.nodes[number]
                assert size == amount(sum(nbytes(shown, place) for place in node.saved))
                if node.outputs[0].label is not None:
                    end = "still alive at the end" if node.until >= len(shown.ends) else f"until step {node.until + 1}"
                    end = "until the next step" if node.until == now.step < len(shown.ends) else end
                    assert name == f"{graph.name((number, 0))}, {end}"
                    told = {graph.name(place) for place in node.saved if shown.node(place).kind == "operation"}
                    assert {one for one in told if "∂" not in one} <= {*arrays.removeprefix("keeps ").split(", ")}
        reader.tab("alive")
        reader.screenshot(f"kept-{shown.steps}")
        reader.ask("explorer.go(0, false)")
        assert reader.says("kept") == "Nothing is kept."
    short = chain(3)
    reader.open(short)
    assert amount(alive(short)[-1].bytes) in reader.says("kept")


def test_where_every_path_is_cut_the_cuts_are_named(reader, tape):
    reader.open(tape)
    reader.click("alpha[0]")
    assert "Every path ends at a cut" in reader.says() and "✂ cut 0, hyperparameter, of alpha[0]" in reader.says()
    assert reader.names("path") == {"alpha[0]"}
    assert reader.flows("barrier") == 1


def test_a_cut_that_is_ticked_stands_out_whatever_is_chosen(reader, tape):
    """Its arrow and number are as clear, and as high above the others, as nothing else in the picture."""
    styles = "['opacity', 'width', 'z-index'].map((of) => parseFloat(edge.style(of)))"
    look = f"return explorer.cy.edges({{}}).map((edge) => {styles})"
    reader.open(tape)
    reader.ask("explorer.flip([0], true)")
    for act in ("explorer.choose(null)", *(f"explorer.choose(explorer.cy.nodes('.box')[{n}])" for n in range(9))):
        reader.ask(act)
        (ticked,) = reader.ask(look.format("'.asked'"))
        others = reader.ask(look.format("'.kept, .cut, .value, .backward'"))
        assert ticked[0] == 1 and all(ticked[2] > high for _, _, high in others), act
        assert all(ticked[1] > wide for opacity, wide, high in others if not high), act


def test_a_switch_shows_the_graph_without_a_cut(reader, tape):
    reader.open(tape)
    before = reader.flows("cut")
    reader.tab("cutting")
    labels = reader.element("cuts").find_elements("tag name", "label")
    next(label for label in labels if label.text.startswith("cut 0, hyperparameter: alpha[0]")).click()
    assert reader.flows("asked") == 1 and reader.flows("cut") == before - 1
    reader.click("alpha[0]")
    assert {"alpha[0]", "alpha[1]", "weight[1]", "loss[1]"} <= reader.names("path")
    assert "Without a cut that is switched off its ghost arrives, too:" in reader.says()
    label = reader.ask("return explorer.cy.edges('.asked')[0].data('label')")
    assert label.startswith("✂\uFE0E? cut 0: ")
    assert float(label.split()[-1]) == pytest.approx(tape.cuts[0].ghost, rel=1e-3)
    reader.screenshot("without-a-cut")
    reader.element("uncut").click()
    reader.ask("explorer.all()")
    assert reader.flows("cut") == 0 and reader.flows("asked") > 1
    assert reader.element("uncut").is_selected()
    reader.element("uncut").click()
    assert reader.flows("asked") == 0


def test_a_tab_shows_the_words(reader, tape):
    reader.open(tape)
    assert not reader.driver.find_element("css selector", "#words dl").is_displayed()
    reader.tab("words")
    assert "the gradient that would have flowed on without it" in reader.says("words")
    edges = "const at = (one) => document.querySelector(one).getBoundingClientRect();"
    reader.until(lambda: reader.ask(edges + "return at('#words').top < at('aside').bottom"))
    reader.screenshot("words")


def test_an_answer_is_in_sight_after_the_words_were(reader, tape):
    reader.open(tape)
    ends = "(one) => document.querySelector(one).getBoundingClientRect()"
    edges = f"const [aside, details] = ['aside', '#details'].map({ends});"
    seen = f"{edges} return aside.top <= details.top && Math.min(details.bottom, details.top + 100) <= aside.bottom"
    for act in ("reach", "enter"):
        reader.tab("words")
        assert not reader.ask(seen)
        reader.ask(f"explorer.{act}(explorer.cy.nodes('.loss').first())")
        assert reader.ask(seen)


def test_a_step_without_a_backward_pass_says_so(reader):
    reader.open(recorded("sgd/sgd", 3))
    reader.ask("explorer.go(3, false); explorer.pass()")
    assert "No backward pass began in step 3. Backward passes began in the steps 0, 1, 2." in reader.says()


def test_how_t_was_counted_is_no_part_of_an_opened_box(reader):
    reader.open(recorded("adam/sgd", 3, {"a": 1.0, "b": 2.0}))
    box = "explorer.lanes.box([explorer.tape.cuts[0].targets[0], 0])"
    reader.ask(f"explorer.enter(explorer.cy.getElementById({box}.id))")
    inside = "return explorer.stock.elements.map(({ data }) => explorer.tape.nodes[data.number]?.op ?? '')"
    assert {*reader.ask(inside)} <= {"", "Adam.rule", "SGD.rule"}


def test_the_ends_of_a_scale_are_different_numbers(reader):
    reader.open(recorded("adam/sgd(1e-7)", 4, {"w": [1.0, 2.0]}))
    texts = "[...panel.querySelectorAll('.scale')].map((text) => text.textContent)"
    panels = reader.ask(f"return [...document.querySelectorAll('.panel')].map((panel) => {texts})")
    assert any(len(labels) == 2 for labels in panels) and all(len({*labels}) == len(labels) for labels in panels)


def test_boxes_and_fused_operations_open(reader, tape):
    from selenium.webdriver.common.keys import Keys

    reader.open(tape)
    reader.double_click("loss[1]")
    assert reader.ask("return explorer.open.length") == 1
    assert {"matmul", "add", "silu", "mean", "weight[1]", "bias[1]"} <= reader.names("box")
    reader.screenshot("opened")
    reader.double_click("silu")
    assert reader.ask("return explorer.open.length") == 2
    assert reader.names("line") == {"1 + exp(-·)", "/"}
    assert "overview › loss[1] › silu" in " ".join(reader.says("trail").split())
    reader.screenshot("fused")
    reader.keys(Keys.ESCAPE)
    assert "silu" in reader.names("chosen")
    reader.keys(Keys.ESCAPE, Keys.ESCAPE)
    assert "alpha[1]" in reader.names("values") and reader.says("trail") == ""


def test_a_rule_opens_into_the_lines_of_its_kernel(reader, tape):
    reader.open(tape)
    reader.double_click("weight[1]")
    assert reader.ask("return explorer.open.length") == 2
    assert {"beta1 * m", "beta2 * v", "sqrt(v / (1 - beta2 ** t))", "/", "weight"} <= reader.names("line")
    assert "weight\n- alpha * ·" in reader.ask("return explorer.cy.nodes('.line').map((one) => one.data('label'))")
    assert reader.letters() * reader.ask("return explorer.cy.zoom()") >= 12
    reader.screenshot("terms")
    assert {"beta1[1]", "beta2[1]", "t[1]"} <= reader.names("outer")
    assert reader.flows("cut") >= 4 and reader.flows("kept") > 0
    said = " ".join(reader.says().split())
    assert "weight[1] = ✂\uFE0E weight[0] - alpha[1] * (weight.m[1] / (1 - beta1[1] ** t[1]) /" in said
    inside = """
        const { clientWidth: width, clientHeight: height } = document.getElementById("graph");
        return explorer.cy.nodes().every((node) => {
            const { x1, y1, x2, y2 } = node.renderedBoundingBox();
            return x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height;
        })
    """
    assert reader.ask(inside)


def test_the_first_view_says_the_rules_of_the_step_and_opens_them(reader):
    tape = recorded("sgd(0.1)/sgd(0.01)/sgd(1e-3)", 3)
    reader.open(tape)
    rules = [" ".join(rule.text.split()) for rule in reader.driver.find_elements("css selector", ".rules")]
    assert rules == [
        "alpha[1] = ✂\uFE0E alpha[0] - kappa[1] * ✂\uFE0E ∂loss/∂alpha",
        "w[1] = ✂\uFE0E w[0] - alpha[1] * ✂\uFE0E ∂loss[0]/∂w[0]",
    ]
    reader.screenshot("rules")
    reader.keys(".")
    assert "alpha[2] = ✂" in reader.says() and "alpha[1] = ✂" not in reader.says()
    reader.driver.find_element("css selector", ".rules").click()
    assert "alpha[2]" in reader.says("trail") and reader.names("line") == {"×", "−"}
    assert "alpha[2] = ✂" in reader.says()
    reader.screenshot("rule")
    reader.ask("explorer.leave(0)")
    reader.element("uncut").click()
    reader.click("alpha[2]")
    assert "alpha[2] = ✂\uFE0E? alpha[1] - kappa[2] * ✂\uFE0E? ∂loss[1]/∂alpha[1]" in " ".join(reader.says().split())


@pytest.mark.parametrize("text", ["adam/sgd", "sgd(mu=0.5)/rmsprop/sgd"])
def test_an_opened_rule_says_what_its_picture_says(reader, text):
    """The same equations, names, terms and numbers."""
    tape = recorded(text, 3, {"w": [0.7, 0.3], "b": 0.5})
    reader.open(tape)
    graph = Graph(tape)
    rules = [node.number for node in tape.nodes if node.op is not None and node.op.endswith(".rule")]
    labels = "Object.fromEntries(lines(explorer.tape, arguments[0]).map(({ data }) => [data.id, data.label]))"
    for number in rules:
        drawn = Opened(tape, graph.name((number, 0)))
        told, said = reader.ask(f"return [equations(explorer.tape, arguments[0]), {labels}]", number)
        assert "\n".join(told).replace("\uFE0E", "") == drawn.words
        for box in drawn.inside:
            name, _, rest = said[f"o{box - drawn.rule.first}" if box >= drawn.rule.first else f"v{box}"].partition("\n")
            words, number = drawn.caption(box)
            if box in drawn.rule.terms:
                assert (name, rest) == (words, number)
            else:
                assert name in (drawn.rule.called[box], drawn.rule.gradients.get(box))
                assert rest.startswith("g = ") == number.startswith("g = ")
                number, rest = (one.removeprefix("g = ") for one in (number, rest))
                assert number == rest or float(number) == pytest.approx(float(rest), rel=1e-3)
    one = "({ step, lane, kind }) => step === 1 && lane === 1 && kind === 'values'"
    reader.ask(f"explorer.enter(explorer.cy.nodes('.box').filter((box) => ({one})(box.data('box'))).last())")
    reader.screenshot(f"rule-in-a-coordinate-{text.partition('/')[0]}")


def test_an_overlong_rule_is_opened_without_an_equation(reader):
    reader.open(overlong())
    reader.ask("explorer.enter(explorer.cy.nodes('.fused')[0])")
    assert reader.names("line") == {"×"} and " = " not in reader.says()


def test_all_can_be_done_by_keys(reader, tape):
    from selenium.webdriver.common.keys import Keys

    reader.open(tape)
    reader.keys(Keys.ARROW_DOWN)
    assert reader.ask("return explorer.chosen.data('box').step") == 1
    first = reader.says().splitlines()[0]
    reader.keys(Keys.ARROW_RIGHT)
    assert reader.says().splitlines()[0] != first
    assert reader.element("details").get_attribute("aria-live") == "polite"
    reader.ask("explorer.choose(explorer.cy.getElementById(arguments[0]))", reader.id("loss[1]"))
    reader.keys(Keys.ENTER)
    assert "matmul" in reader.names("box")
    reader.keys(Keys.ESCAPE)
    assert reader.names("chosen") == {"loss[1]"}
    reader.keys(Keys.ESCAPE)
    assert reader.names("chosen") == set()
    near = reader.ask("return explorer.cy.zoom()")
    reader.keys("+")
    assert reader.ask("return explorer.cy.zoom()") > near
    stops = reader.ask("return [...document.querySelectorAll('button, input, summary, #graph')].map((e) => e.tabIndex)")
    assert min(stops) == 0


def test_keys_work_wherever_the_focus_is_and_controls_keep_those_that_work_them(reader, tape):
    from selenium.webdriver.common.keys import Keys

    reader.open(tape)
    controls = """
        const all = [...document.querySelectorAll("button:enabled, input, summary, #graph")];
        return [...new Map(all.filter((one) => one.checkVisibility()).map((one) => [one.id || one.tagName, one]))];
    """
    seen = set()
    for part in ("details", "cutting"):
        reader.tab(part)
        for name in {one for one, _ in reader.ask(controls)} - seen:
            reader.tab(part)
            dict(reader.ask(controls))[name].send_keys("b")
            assert reader.ask("return explorer.run !== null"), name
            reader.keys("b")
            assert reader.ask("return explorer.run === null"), name
            seen.add(name)
    assert seen >= {"slider", "play", "fit", "pass", "uncut", "theme", "log", "graph", "SUMMARY", "BUTTON", "INPUT"}
    reader.tab("cutting")
    tick = reader.element("cuts").find_element("tag name", "input")
    tick.send_keys(Keys.SPACE)
    assert reader.ask("return explorer.tape.without.size") > 0 and not reader.ask("return explorer.playing")
    reader.driver.switch_to.active_element.send_keys(".")
    assert reader.says("where") == "step 2 of 3"
    reader.keys("b", Keys.ARROW_RIGHT)
    assert reader.says("stop").startswith("stop 2 of") and reader.says("where") == "step 2 of 3"
    reader.keys(Keys.ARROW_LEFT, to="slider")
    assert reader.says("where") == "step 1 of 3"


def labelled():
    """A graph without steps, in which one value is called a weight."""
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record(ghosts=True) as tape:
        y = th.tanh(x.detach("held"))
        tape.label(y, "y", "weights", 0)
        th.sum(y * x).backward()
    return tape


@pytest.mark.parametrize("make", [labelled, lambda: recorded("sgd", 2), lambda: recorded("sgd/sgd", 2), trained])
def test_the_first_words_speak_of_what_is_there(reader, make):
    tape = make()
    reader.open(tape)
    tuned = any(label and label.role == "hyperparameter" and node.kind == "operation" for node, label in (
        (node, output.label) for node in tape.nodes for output in node.outputs))  # fmt: skip
    said = reader.says()
    assert ("Click a hyperparameter" in said) == tuned and ("Click a box" in said) != tuned
    assert ("Time runs" in said) == (tape.steps > 0) == reader.element("steps").is_displayed()
    assert ("Each level" in said) == (len(reader.ask("return [...explorer.layout.top.keys()]")) > 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(reader, tape, scheme):
    reader.system(scheme)
    reader.open(tape)
    ground = "return getComputedStyle(document.body).backgroundColor"
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}
    assert reader.ask(ground) == colours[scheme]
    box = reader.ask("return explorer.cy.nodes('.values').first().style('background-color')")
    assert box.replace(" ", "") == colours[scheme].replace(" ", "")
    reader.screenshot(scheme)
    reader.element("theme").click()
    assert reader.ask(ground) == colours["dark" if scheme == "light" else "light"]


def test_a_recording_without_steps_shows_all_operations(reader):
    reader.open(chain(300))
    reader.ask("explorer.all()")
    assert reader.ask("return explorer.stock.nodes.size") == 301
    assert reader.ask("return explorer.stock.elements.filter((one) => one.classes === 'wire kept').length") < 300
    reader.ask(  # the rest is a scroll away
        "for (const { x, y } of explorer.stock.elements.flatMap((one) => one.position ?? []))"
        " explorer.cy.pan({ x: 300 - x * explorer.cy.zoom(), y: 300 - y * explorer.cy.zoom() })"
    )
    assert reader.ask("return explorer.cy.nodes('.box').length") == 301
    assert reader.ask("return explorer.cy.edges('.kept').length") == 300
    cuts = reader.driver.find_element("css selector", "[aria-controls=cutting]")
    assert not reader.element("slider").is_displayed() and not cuts.is_displayed()
    reader.screenshot("operations")


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
def test_see_all_keeps_letters_that_can_be_read_and_scrolls_whatever_is_shown(reader, width, height):
    reader.size(width, height)
    weights = "explorer.enter(explorer.cy.getElementById('0|*|1|values'))"
    for tape, act in ((chain(60), ""), (crossing(), ""), (tall(), ""), (tall(), weights)):
        reader.open(tape)
        reader.ask(f"{act}; explorer.all()")
        zoom, x1, x2, y1, y2 = reader.ask(
            "const { x1, x2, y1, y2 } = explorer.stock.bounds; return [explorer.cy.zoom(), x1, x2, y1, y2]"
        )
        least = 9 if reader.ask("return explorer.overview") else 11
        assert zoom * reader.letters() > least - 1e-6
        for bar, length, room in (("across", x2 - x1, "clientWidth"), ("down", y2 - y1, "clientHeight")):
            too_long = length * zoom > reader.ask(f"return document.getElementById('graph').{room}")
            assert reader.element(bar).is_displayed() == too_long


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
def test_see_all_shows_all_of_a_short_run_and_no_view_begins_within_a_box(reader, tape, width, height):
    reader.size(width, height)
    cut = """
        const { clientWidth: width, clientHeight: height } = document.getElementById("graph");
        const [whole] = arguments;
        return explorer.cy.nodes(".values, .gradient, .loss").filter((node) => {
            const { x1, x2, y1, y2 } = node.renderedBoundingBox({ includeLabels: false });
            return (x1 < 0 && (whole || x2 > 0)) || (whole && (x2 > width || y1 < 0 || y2 > height));
        }).map((node) => node.id());
    """
    for shown in (tape, recorded("sgd/sgd/sgd", 3, {"u": 0.8, "v": [1.5, -0.7]})):
        reader.open(shown)
        for step in (1, 2, 3):
            reader.ask(f"explorer.go({step}, false)")
            assert reader.ask(cut, False) == []
        reader.ask("explorer.all()")
        count = "return [explorer.stock.waiting.size, explorer.cy.nodes('.values').length]"
        assert reader.ask(cut, True) == [] and reader.ask(count)[0] == 0
        assert reader.ask("return explorer.cy.zoom()") * reader.letters() > 9 - 1e-6
        assert reader.ask(DROPPED) == []
        box = "bar.boundingBox({ includeLabels: arguments[0] }).w"
        bars = f"return explorer.cy.nodes('.fixed').map((bar) => {box})"
        assert reader.ask(bars, True) == pytest.approx(reader.ask(bars, False), abs=8)  # a bar's text is within it
        reader.screenshot(f"all-{width}x{height}")


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
def test_see_all_begins_with_the_first_step_unless_the_present_one_is_out_of_sight_from_there(reader, width, height):
    reader.size(width, height)
    reader.open(recorded("adam/sgd", 12))
    ends = "const { x1, x2 } = explorer.cy.extent(), { layout, step } = explorer; return "
    for step in range(13):
        reader.ask(f"explorer.go({step}, false); explorer.all()")
        assert reader.ask(ends + "x1 <= layout.column(step) - 64 && layout.column(step) + 64 <= x2")
        near = reader.ask(ends + "layout.right(step) + 82 <= x2 - x1 - 10 / explorer.cy.zoom()")
        assert reader.ask(ends + "x1 <= -82") == near, step  # where the first band begins
    assert not near


def test_what_stands_beside_a_lane_ends_where_the_next_lane_begins(reader):
    tops = "[...document.querySelectorAll('#lanes > div')].map((one) => one.getBoundingClientRect())"
    reader.open(tall())
    for factor in (1, 1.3, *[0.9] * 16):
        over = reader.ask(f"explorer.zoom({factor}); return {tops}.map(({{ top, bottom }}) => [top, bottom])")
        over = [ends for ends in over if ends[0] < ends[1]]
        assert all(bottom <= top + 1 for (_, bottom), (top, _) in zip(over, over[1:])), factor


# What boxes show from far away: their names, steps and numbers, as they do nearby.
DROPPED = """
    const shown = (one) => one.style("label").split("\\n");
    return explorer.cy.nodes(".values, .gradient, .loss").filter((node) => {
        const [near, far] = [node.data("label").split("\\n"), shown(node)];
        const [number, other] = [near, far].map(([, text]) => parseFloat(text));
        const told = Number.isNaN(number) ? near.length === far.length : Math.abs(other / number - 1) <= 0.05;
        const same = told || number === other;
        const step = (line) => line.match(/\\[\\d+\\]$/)?.[0], name = (line) => line.replace("∂loss/", "∂/");
        return step(near[0]) !== step(far[0]) || name(near[0]) !== name(far[0]) || !same;
    }).map((node) => `${node.data("label")} | ${node.style("label")}`);
"""


TEXTS = """
    return explorer.stock.elements.filter((one) => one.classes.startsWith("box")).flatMap(({ data, classes }) => {
        const weight = /loss|outer/.test(classes) ? 600 : 400;
        const room = data.width - (classes.includes("gradient") ? 24 : 10);
        if (classes.includes("fixed")) return [];
        const larger = data.letters / LETTERS.size;
        const far = (data.far ?? "").split("\\n").filter((line) => pen(line, weight) * larger > room);
        return [...data.label.split("\\n").filter((line) => pen(line, weight) > room), ...far];
    });
"""


@pytest.mark.parametrize("make", [trained, lambda: tall(), skipping, crossing, lambda: chain(3)])
def test_no_text_of_a_box_reaches_its_edges(reader, make):
    reader.open(make())
    assert reader.ask(TEXTS) == []
    for box in ("values", "loss"):
        if reader.ask(f"return explorer.overview && explorer.cy.nodes('.{box}').length > 0"):
            reader.ask(f"explorer.enter(explorer.cy.nodes('.{box}').filter((n) => explorer.openable(n))[0])")
            assert reader.ask(TEXTS) == []
            reader.ask("explorer.leave(0)")


def test_an_empty_recording_opens(reader):
    with th.record() as tape:
        pass
    reader.open(tape)
    assert "0 nodes" in reader.says("summary")


def halfway(value, digits):
    """Whether a number is in the middle of two that have so many digits: Python rounds to the even one, the page up."""
    own = Decimal(repr(value)).normalize().as_tuple().digits
    return len(own) == digits + 1 and own[-1] == 5


def test_a_number_is_written_as_in_texts_and_pictures_and_python_reads_it(reader):
    with th.record() as tape:
        pass
    reader.open(tape)

    @given(st.lists(st.floats(-1e307, 1e307), min_size=30), st.integers(2, 6))
    @example([-1.5, -2e-7, 12345.6, 9999.6, 1e-4, 9.99996e-5, 0.0, -0.0, 1e300], 4)
    def check(values, digits):
        values = [value for value in values if not halfway(value, digits)]
        written = reader.ask("return arguments[0].map((value) => short(value, arguments[1]))", values, digits)
        assert written == [short(value, digits) for value in values]
        assert [*map(float, written)] == pytest.approx(values, rel=10.0 ** (1 - digits), abs=5e-324)

    check()
    assert reader.ask("return [NaN, Infinity, -Infinity].map((value) => short(value))") == ["nan", "inf", "-inf"]


def test_numbers_that_are_not_finite_are_shown(reader):
    x = th.tensor(1e200, requires_grad=True)
    with th.record() as tape:
        x * x * x
    reader.open(tape)
    assert "inf" in reader.ask("return explorer.cy.nodes('.box').map((n) => n.data('label')).join()")


def test_what_is_far_away_is_made_when_it_comes_into_sight(reader):
    reader.open(trained("sgd/sgd", steps=12, ghosts=False))
    made = reader.ask("return explorer.cy.elements().length")
    reader.keys(".", ".", ".", ".", ".", ".", ".", ".")
    reader.until(lambda: "alpha[9]" in reader.names("values"))
    reader.until(lambda: reader.ask("return explorer.cy.elements().length") > made)  # the view has moved by then
    reader.ask("for (let step = 0; step <= 12; step++) explorer.go(step, false)")
    assert reader.ask("return explorer.stock.waiting.size") == 0
    reader.ask("explorer.all()")
    assert reader.ask("return explorer.cy.zoom()") * reader.letters() > 9 - 1e-6  # the rest is a scroll away
    seen = "return explorer.cy.nodes('.values').filter((n) => n.renderedPosition('x') > 0)"
    assert 12 in reader.ask(seen + ".map((n) => n.data('box').step)") and reader.says("where") == "step 12 of 12"


@pytest.mark.parametrize("text", ["adam/sgd", "sgd(0.01)/sgd(1e-3)/sgd(1e-4)"])
def test_the_first_view_makes_as_much_of_a_long_run_as_of_a_short_one(reader, text):
    """A fixed hyperparameter's bar, which is as long as the run, brings no arrow that is out of sight."""
    made = []
    for steps in (8, 40):
        reader.open(recorded(text, steps))
        made.append(reader.ask("return explorer.cy.elements().length"))
    assert made[0] == made[1] < 150


@pytest.fixture(scope="module")
def windows():
    """A window of three steps, along which gradients flow, and a loss at the end."""
    params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = th.optim.SGD(0.1, horizon=3, optimizer=th.optim.SGD(0.01))
    with th.record() as tape:
        for _ in range(6):
            th.sum(params["w"] ** 2).backward(create_graph=True)
            optimizer.step(params)
        th.sum(params["w"] ** 2).backward()
    return tape


def test_a_skipped_step_is_called_so_and_curves_have_a_gap_there(reader):
    reader.open(skipping(factors=(1.0, np.nan, 1.0, np.inf), ghosts=True))
    boxes = "[...explorer.lanes.boxes.values()].filter((box) => box.step !== null)"
    captions = dict(reader.ask(f"return {boxes}.map((box) => [box.id, captionOf(box, explorer.tape)])"))
    of_skipped = reader.ask(
        f"return {boxes}.filter(({{ kind, step }}) => (kind === 'values' ? [2, 4] : [1, 3]).includes(step))"
        ".map((box) => box.id)"
    )
    assert len(of_skipped) == 2 * (3 + 4)  # of each: the values made, the loss and the gradients read
    assert {name for name, text in captions.items() if "skipped" in text} == {*of_skipped}
    told = f"return {boxes}.map((box) => explorer.details.box(box, null).map((one) => one.textContent).join())"
    cuts = "return explorer.tape.cuts.map((cut) => explorer.details.cutLine(cut))"
    said = [*captions.values(), *reader.ask(told), *reader.ask(cuts)]
    assert [text for text in said if re.search(r"\b(nan|NaN|inf)\b", text.replace("0 to inf", ""))] == []
    for name, step, gaps in (("loss", 1, 2), ("alpha", 2, 1)):
        panel = f"[...document.querySelectorAll('.panel')].find((one) => one.innerText.startsWith('{name}'))"
        reader.ask(f"explorer.go({step}, false)")
        assert reader.ask(f"return {panel}.querySelector('b').innerText") == "skipped"
        assert reader.ask(f"return {panel}.querySelectorAll('.skipped').length") == 2
        assert reader.ask(f"return {panel}.querySelector('.curve').getAttribute('d')").count("M") == gaps + 1
        assert "NaN" not in reader.ask(f"return {panel}.innerHTML")
    reader.screenshot("skipped")
    said = "return document.getElementById('details').innerText"
    for step, skipped in ((0, False), (1, True)):
        reader.ask(f"explorer.go({step}, false); explorer.pass()")
        assert ("Step 2 was skipped" in reader.ask(said)) == skipped
        reader.ask("explorer.pass()")
        box = f"{boxes}.find((box) => box.kind === 'loss' && box.step === {step})"
        reader.ask(f"explorer.enter(explorer.cy.getElementById({box}.id))")
        assert ("Step 2 was skipped" in reader.ask(said)) == skipped
        reader.ask("explorer.leave(0)")


def test_no_arrow_crosses_a_box_and_each_box_is_in_its_band(reader, windows):
    for tape in (windows, recorded("sgd/sgd/sgd", 4), trained(), skipping(), penalized(5), penalized(4, 2)):
        reader.open(tape)
        crossed = """
            const { layout, lanes } = explorer, found = [], BOX = { width: 128, height: 44 };
            for (const arrow of lanes.arrows) {
                const points = layout._route(arrow);
                for (const box of lanes.boxes.values()) {
                    if (box === arrow.source || box === arrow.target || box.kind === "fixed") continue;
                    const { x, y } = layout.centers.get(box.id);
                    for (let n = 1; n < points.length; n++) {
                        for (let k = 0; k <= 200; k++) {
                            const [a, b] = [points[n - 1], points[n]];
                            const at = [0, 1].map((i) => a[i] + (b[i] - a[i]) * k / 200);
                            if (Math.abs(at[0] - x) < BOX.width / 2 - 1 && Math.abs(at[1] - y) < BOX.height / 2 - 1) {
                                found.push(`${arrow.id} crosses ${box.id}`);
                                k = 999;
                            }
                        }
                    }
                }
            }
            return found;
        """
        assert reader.ask(crossed) == []
        reader.ask("for (let step = 0; step <= explorer.tape.steps; step++) explorer.go(step, false)")
        outside = """
            return explorer.cy.nodes(".values, .gradient, .loss").filter((node) => {
                const band = explorer.cy.getElementById(`band ${node.data("box").step}`).boundingBox();
                const { x1, x2, y1, y2 } = node.boundingBox({ includeLabels: false });
                return x1 < band.x1 || x2 > band.x2 || y1 < band.y1 || y2 > band.y2;
            }).map((node) => node.id());
        """
        assert reader.ask(outside) == []


SHARED = """
    const { layout, lanes } = explorer, found = [];
    const pieces = lanes.arrows.flatMap((arrow) =>
        layout._route(arrow).map((corner, n, all) => [arrow, corner, all[n + 1]])).filter(([, , end]) => end);
    const [low, high] = [Math.min, Math.max];
    for (const [n, [one, a, b]] of pieces.entries()) {
        for (const [other, c, d] of pieces.slice(n + 1)) {
            const trunk = one.source === other.source && one.source.kind !== "fixed"; // from a box to several
            if (trunk || one.target === other.target) continue;
            for (const [i, k] of [[0, 1], [1, 0]]) {
                if (Math.abs(a[i] - b[i]) > 1 || Math.abs(c[i] - d[i]) > 1 || Math.abs(a[i] - c[i]) > 3) continue;
                const end = low(high(a[k], b[k]), high(c[k], d[k])), begin = high(low(a[k], b[k]), low(c[k], d[k]));
                if (end - begin > 4) found.push(`${one.id} and ${other.id}`);
            }
        }
    }
    return found;
"""


def test_no_two_arrows_share_a_line_unless_they_begin_or_end_together(reader):
    texts = ("sgd/sgd/sgd", "adam/sgd", "sgd(mu=0.5)/adam/sgd", "adam/adam/sgd")
    for text in texts:
        reader.open(recorded(text, 3, {"u": 0.8, "v": [1.5, -0.7], "w": [1.0, 2.0]}))
        reader.ask("for (const lane of explorer.lanes.lanes.keys()) explorer.apart.set(lane, true)")
        reader.ask("explorer.redraw(null)")
        assert {"u[1]", "v[1]", "alpha[1]"} <= reader.names("values")
        assert reader.ask(SHARED) == [], text


def test_a_gate_is_where_the_gradient_of_a_loss_stops(reader):
    tape = penalized(4, 3, ghosts=True)
    reader.open(tape)
    assert reader.ask(SHARED) == []
    drawn = "return explorer.lanes.arrows.filter((arrow) => arrow.flow === 'gate').map((arrow) => arrow.target.kind)"
    assert reader.ask(drawn) == ["loss"] * 4
    assert f"{sum(flow_in(tape, edge) == 'kept' for edge in tape.edges)} edges kept" in reader.says("summary")
    gate = "document.querySelector('#legend [title=\"gate: the value passes, the gradient of this loss stops\"]')"
    assert reader.ask(f"return {gate}.innerText").strip() == "⊘\ngate"
    reader.screenshot("gates")
    losses = "new Paths(explorer.tape, explorer.lanes, box).losses.map(([node]) => explorer.tape.nodes[node].step)"
    boxes = "[...explorer.lanes.boxes.values()].filter((box) => box.kind === 'values' && box.names.has('decay'))"
    reached = reader.ask(f"return {boxes}.map((box) => [box.step, {losses}])")
    assert [[step, sorted(found)] for step, found in sorted(reached)] == [[0, []], [1, [2, 3]], [4, []]]
    reader.ask("explorer.enter(explorer.cy.nodes('.loss')[0])")
    labels = "return explorer.cy.edges(arguments[0]).map((edge) => edge.data('label'))"
    assert reader.ask(labels, ".gate") == ["⊘"] and "✂" not in "".join(reader.ask(labels, ".kept"))
    reader.open(recorded("sgd/sgd"))
    assert "gate" not in reader.says("legend")


def test_a_cut_that_cuts_off_no_graph_is_pale(reader):
    for tape in (trained(), by_hand(), penalized(4, 2)):
        reader.open(tape)
        look = "explorer.tape.look(one.flow, [...one.cuts])"
        looks = reader.ask(f"return explorer.lanes.arrows.map((one) => [one.flow, [...one.cuts], {look}])")
        for flow, cuts, look in looks:
            assert (look == "idle") == (flow == "cut" and not any(tape.cuts[cut].severed for cut in cuts))
        styles = "[edge.style('target-arrow-fill'), edge.style('line-color')]"
        pale = f"return explorer.cy.edges('.idle').map((edge) => {styles})"
        rest = "return explorer.cy.edges('.cut').not('.idle').map((edge) => edge.style('target-arrow-fill'))"
        found = reader.ask(pale)
        assert {fill for fill, _ in found} <= {"hollow"} and set(reader.ask(rest)) == {"filled"}
        assert len({colour for _, colour in found}) == bool(found) and bool(found) == (tape.title != "by hand")
        assert ("cut, no effect" in reader.says("legend")) == bool(found)


def test_a_click_on_a_box_of_another_step_goes_there(reader):
    reader.open(recorded("sgd/sgd", 4))
    reader.ask("explorer.go(2, false); explorer.all()")
    reader.click("w[1]")
    reader.until(lambda: reader.says("where") == "step 1 of 4")
    assert reader.element("slider").get_attribute("value") == "1" and "w[1]" in reader.says()
    assert reader.ask("return explorer.chosen.data('box').step") == 1
    assert "w[0]" in reader.says("cuts") and "w[1]" not in reader.says("cuts")
    reader.until(lambda: reader.ask("return explorer.cy.nodes('.band.current').map((n) => n.id())") == ["band 1"])


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_projector_the_first_view_shows_lanes_beside_boxes_and_the_whole_legend(reader, theme, width, height):
    reader.size(width, height)
    reader.system(theme)
    edges = "const at = (one) => document.querySelector(one).getBoundingClientRect();"
    for tape in (tall(), penalized(), recorded("sgd/sgd", 4)):
        reader.open(tape)
        assert reader.ask(edges + "return at('#lanes > div').right <= at('#graph').left")
        assert reader.ask(edges + "return at('#legend').bottom <= at('aside').bottom")
        assert reader.ask(edges + "return at('aside details').height < 0.35 * at('aside').height")
        small = "[...document.querySelectorAll('.panel')].map((one) => one.getBoundingClientRect().width)"
        assert reader.ask(f"return Math.min(...{small})") >= 190  # in which letters of 11 pixels are that large
        cut = """return [...document.querySelectorAll('#steps > span')].filter((one) => !one.hidden).filter((one) => {
            const { left, right } = one.getBoundingClientRect(), graph = at('#graph');
            return left < graph.left || right > graph.right;
        }).length"""
        assert reader.ask(edges + cut) == 0
    assert "ghost: the gradient that a cut stopped; of an array, its norm" in reader.says("legend")
    texts = "[...document.querySelector('.panel').querySelectorAll('.scale')].map((one) => one.textContent)"
    scales = reader.ask(f"return {texts}")
    assert scales == ["5", "0.2177"]
    reader.screenshot(f"first-{theme}-{width}x{height}")


VIEWS = {
    "alpha": "explorer.choose(explorer.cy.getElementById('1|alpha|2|values'))",
    "ticked": "explorer.choose(null); explorer.flip([0], true)",
    "backward": "explorer.flip([0], false); explorer.pass(); explorer.advance(3)",
    "opened-loss": "explorer.endPass(); explorer.enter(explorer.cy.nodes('.loss').first())",
    "opened-rule": "explorer.leave(0); explorer.enter(explorer.cy.getElementById('0|bias|2|values'))",
}


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_view_fits_a_projector(reader, tape, theme, width, height):
    reader.size(width, height)
    reader.system(theme)
    ends = "const { scrollWidth, scrollHeight } = document.documentElement; return [scrollWidth, scrollHeight]"
    reader.open(tape, beside=trained("adam/sgd", 4))
    reader.ask("explorer.go(2, false)")
    for name, act in VIEWS.items():
        reader.ask(act)
        assert reader.ask(ends) == [width, height]
        assert reader.ask("return document.querySelector('#details').scrollTop") == 0
        reader.screenshot(f"view-{name}-{theme}-{width}x{height}")
    reader.open(program())
    reader.driver.find_element("css selector", "g[data-line='2'] text").click()
    assert reader.ask(ends) == [width, height]
    reader.screenshot(f"view-program-{theme}-{width}x{height}")


def test_nothing_of_the_graph_is_behind_the_numbers_of_the_steps(reader):
    reader.size(1280, 720)
    reader.open(recorded("adam/sgd/sgd", 3, {"weight": [1.0, 2.0], "bias": [0.0, 0.5]}))
    reader.screenshot("first-of-height-2")
    bottoms = "[...document.querySelectorAll('#steps > span')].map((one) => one.getBoundingClientRect().bottom)"
    for name in ("graph", "lanes"):
        assert reader.ask(f"return Math.max(...{bottoms}) <= at('{name}').getBoundingClientRect().top")


def tall(steps=4):
    return recorded("adam/adam/adam/sgd", steps, {f"w{n}": [1.0, float(n)] for n in range(6)})


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
def test_the_first_view_of_a_tall_tower_has_its_top_in_sight(reader, width, height):
    reader.size(width, height)
    reader.open(tall())
    inside = """
        const { clientHeight: height } = document.getElementById("graph");
        const { y1, y2 } = explorer.stock.bounds, zoom = explorer.cy.zoom(), y = explorer.cy.pan().y;
        return y1 * zoom + y >= 0 && y2 * zoom + y <= height;
    """
    assert reader.ask(inside) and reader.ask("return explorer.cy.zoom()") * 13.5 >= 11
    apart = {"beta2[1]", "level1.beta2[1]", "level2.beta2[1]"} & reader.names("values")
    assert len(apart) == {720: 0, 1080: 2}[height]  # a row for each name, where there is room
    reader.screenshot(f"tall-{width}x{height}")
    assert "6 weights[1]" in reader.names("values")
    reader.driver.find_element("css selector", "#lanes [data-lane='0'] button").click()
    assert {f"w{n}[1]" for n in range(6)} <= reader.names("values") and not reader.ask(inside)


@pytest.mark.parametrize("width, height", [(1400, 760), (1280, 720), (1400, 617), (1280, 577), (1280, 400), (390, 844)])
@pytest.mark.parametrize("text", ["sgd", "sgd/sgd/sgd/sgd", "adam/adam/adam/sgd", "/".join(["sgd"] * 10)])
def test_the_first_view_shows_all_lanes_or_begins_at_the_top(reader, text, width, height):
    """As in a window with a browser's bars, too. Letters are at least 9 pixels high."""
    reader.size(width, height)
    reader.open(recorded(text, 5))
    for step in (1, 4):
        reader.ask("explorer.go(arguments[0], false)", step)
        room, top, bottom, zoom = reader.ask("""
            const { y1, y2 } = explorer.layout.span, zoom = explorer.cy.zoom(), { y } = explorer.cy.pan();
            return [document.getElementById("graph").clientHeight, y1 * zoom + y, y2 * zoom + y, zoom];
        """)
        assert top >= 0 and zoom * 13.5 >= 9
        assert bottom <= room or (top < 10 and 9 * (bottom - top) / (13.5 * zoom) > room - 8)  # too small to read


def test_bars_say_where_the_view_is_and_move_it(reader):
    reader.open(recorded("adam/sgd", 8, {f"w{n}": [1.0, float(n)] for n in range(6)}))
    reader.ask("explorer.toggleLane(0); explorer.all(); explorer.cy.zoom(0.82)")
    assert reader.element("across").is_displayed() and reader.element("down").is_displayed()
    where = """
        const { x1, x2, y1, y2 } = explorer.stock.bounds, { x, y } = explorer.cy.pan(), zoom = explorer.cy.zoom();
        const [across, down] = ["across", "down"].map((id) => document.getElementById(id));
        return [across.scrollLeft, 20 - x - x1 * zoom, down.scrollTop, 20 - y - y1 * zoom];
    """

    def agree():
        across, x, down, y = reader.ask(where)
        return abs(across - max(0, x)) <= 1 and abs(down - max(0, y)) <= 1

    reader.until(agree)
    for script in ("explorer.cy.panBy({x: -300.4, y: -90.3})", "explorer.go(2, false)", "explorer.zoom(1.3)"):
        reader.ask(script)
        pan = reader.ask("return explorer.cy.pan()")
        reader.until(agree)
        reader.ask("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert reader.ask("return explorer.cy.pan()") == pan  # a bar that only follows moves nothing
    reader.ask("document.getElementById('across').scrollLeft = 777; document.getElementById('down').scrollTop = 55")
    reader.until(lambda: [round(n) for n in reader.ask(where)] == [777, 777, 55, 55])
    reader.screenshot("bars")
    reader.open(recorded("sgd/sgd", 1))
    reader.ask("explorer.all()")
    reader.until(lambda: not reader.element("across").is_displayed() and not reader.element("down").is_displayed())


def test_a_lane_of_many_weights_is_one_row_until_it_is_asked_for(reader):
    reader.open(recorded("sgd/sgd", 1, {f"w{n}": [1.0, float(n)] for n in range(9)}))
    assert "9 weights[0]" in reader.names("values")
    reader.driver.find_element("css selector", "#lanes [data-lane='0'] button").click()
    reader.ask("explorer.all()")
    assert {f"w{n}[1]" for n in range(9)} <= reader.names("values")


def test_a_forgotten_cut_is_drawn_as_kept(reader):
    reader.open(by_hand(cut_weights=False))
    arrows = "explorer.cy.getElementById('0|w|0|values').edgesTo(explorer.cy.getElementById('0|w|1|values'))"
    assert reader.ask(f"return {arrows}.map((edge) => edge.data('arrow').flow)") == ["kept"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_curves_of_another_run_lie_over_those_of_the_first(reader, scheme):
    reader.system(scheme)
    tape = recorded("sgd(0.1)/sgd(0.01)", 4)
    params, optimizer = tape.rewind(1)
    with th.record() as other:
        for _ in range(5):
            th.sum(params["w"] ** 2).backward()
            optimizer.step(params)
    reader.open(tape, beside=other, at=1)
    assert reader.says("runs").splitlines() == ["this run", "the other run, from step 1"]
    panels = """
        const panels = [...document.querySelectorAll('.panel')].filter((one) => !one.innerText.startsWith('memory'));
        return panels.map((panel) => [...panel.querySelectorAll('.curve')].map((one) => one.getAttribute('d')));
    """
    found = reader.ask(panels)
    assert len(found) == 2
    for first, beside in found:  # from step 1 on they are the same points, and the other run goes farther
        here, there = (re.findall(r"[ML]([\d.]+ [\d.]+)", path) for path in (first, beside))
        assert here[1:] == there[: len(here) - 1] and len(there) > len(here) - 1
    texts = "[...one.querySelectorAll('b')].map((number) => number.innerText)"
    numbers = f"return [...document.querySelectorAll('.panel')].map((one) => {texts})"
    reader.ask("explorer.go(2, false)")
    assert all(first == other for first, other in reader.ask(numbers)[:2])
    reader.ask("explorer.go(0, false)")
    assert reader.ask(numbers)[0] == ["5", "–"]
    reader.screenshot(f"beside-{scheme}")
    reader.open(tape)
    assert reader.says("runs") == "" and reader.ask("return document.querySelectorAll('.curve.beside').length") == 0


# A backward pass.


def told(reader):
    """The panel's list of the stops so far: what each is at, and its number."""
    rows = "[...document.querySelectorAll('.stops li')].map((row) => [...row.children].map((one) => one.textContent))"
    return [*map(tuple, reader.ask(f"return {rows}"))]


def badges(reader):
    found = reader.ask("return explorer.cy.nodes('.badge').map((n) => [n.id().slice(6), n.data('label')])")
    return dict(found)


CLIMB = [
    ("loss[1]", "1"), ("w[1]", "norm 3.578"), ("✂ cut 3 of ∂loss[0]/∂w[0]", "norm 0.3578"),
    ("✂ cut 2 of w[0]", "norm 3.578"), ("alpha[1]", "-16"), ("✂ cut 1 of ∂loss/∂alpha", "0.16"),
    ("✂ cut 0 of alpha[0]", "-16"),
]  # fmt: skip


def test_the_keys_lead_through_a_backward_pass_in_the_order_of_the_sweep(reader):
    from selenium.webdriver.common.keys import Keys

    reader.open(recorded("sgd(0.1)/sgd(0.01)", 3, ghosts=True))
    signs = "return explorer.cy.edges('.cut').map((edge) => edge.data('label'))"
    before = reader.ask(signs)
    reader.keys("b")
    assert told(reader) == CLIMB[:1] and reader.says("stop") == "stop 1 of 7"
    assert "backward() begins at loss[1], with 1." in reader.says()
    for n in range(2, 8):
        reader.keys(Keys.ARROW_RIGHT)
        assert told(reader) == CLIMB[:n]
    reader.until(lambda: reader.flows("stopped") == 4)  # the gradient has come there
    stopped = reader.ask("return explorer.cy.edges('.stopped').map((edge) => edge.data('label').split(' ')[1])")
    ghosts = [number.removeprefix("norm ") for name, number in CLIMB if "✂" in name]
    assert sorted(stopped) == sorted(ghosts)
    assert list(badges(reader).values()) == ["1", "norm 3.578", "-16"]
    assert {"loss[1]", "w[1]", "alpha[1]"} == reader.names("arrived") and reader.flows("path") == 2
    assert "Cut 0 stops the gradient on its path to alpha[0]; the ghost is -16." in reader.says()
    reader.screenshot("pass")
    reader.keys(Keys.ARROW_RIGHT)
    assert told(reader) == CLIMB  # there is no stop after the last
    reader.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert told(reader) == CLIMB[:5] and reader.names("now") == {"alpha[1]"} and reader.flows("stopped") == 2
    reader.keys(".")
    assert reader.says("where") == "step 2 of 3" and [name for name, _ in told(reader)] == ["loss[2]"]
    reader.keys(Keys.ESCAPE)
    left = "return explorer.cy.elements('.badge, .token, .arrived, .stopped, .dim, .path, .now').length"
    assert reader.ask(left) == 0 and told(reader) == []
    assert reader.ask(signs) == before


def test_the_gradient_travels_to_its_next_stop_and_no_stop_is_passed_over(reader):
    reader.open(recorded("sgd(0.1)/sgd(0.01)", 3, ghosts=True))
    marked = "[explorer.cy.nodes('.token').length, explorer.cy.nodes('.arrived').length]"
    assert reader.ask(f"explorer.pass(); explorer.advance(1); return {marked}") == [1, 1]
    assert reader.ask(f"explorer.advance(1); return {marked}") == [1, 2]  # w[1] is marked as one hurries on
    reader.until(lambda: reader.ask(f"return {marked}") == [0, 2] and reader.flows("stopped") == 1)
    reader.ask("explorer.calm = true")  # as for a reader who wants no motion
    assert reader.ask(f"explorer.advance(1); explorer.advance(1); return {marked}") == [0, 3]


def test_buttons_and_play_lead_through_a_backward_pass(reader):
    reader.open(recorded("sgd(0.1)/sgd(0.01)", 3, ghosts=True))
    assert not reader.element("stops").is_displayed()
    reader.element("pass").click()
    reader.element("later").click()
    assert reader.says("stop") == "stop 2 of 7" and reader.element("earlier").is_enabled()
    reader.element("earlier").click()
    assert reader.says("stop") == "stop 1 of 7" and not reader.element("earlier").is_enabled()
    reader.element("play").click()
    reader.until(lambda: reader.says("stop") >= "stop 3 of 7")  # a busy machine may see a later one first
    reader.ask("explorer.cy.once('onetap', () => (window.tapped = true))")
    reader.click("w[1]")  # whoever asks for something else has it
    reader.until(lambda: reader.ask("return window.tapped"))  # it is no double click, and leads to its step
    assert told(reader) == [] and reader.element("play").text == "▶" and "w[1]" in reader.says()
    reader.ask("explorer.go(3, false)")
    assert not reader.element("pass").is_enabled()  # no loss was computed after the last step


def test_what_arrives_at_a_lane_of_many_weights_is_one_stop(reader):
    tape = recorded("sgd(0.1)/sgd(0.01)", 2, {f"w{n}": [1.0, float(n)] for n in range(9)}, ghosts=True)
    reader.open(tape)
    reader.keys("b")
    reader.ask("explorer.advance(Infinity)")
    rows = dict(told(reader))
    weights = next(name for name in rows if name.endswith("and 6 more") and "✂" not in name)
    squares = [tape.output(node.of).gradient ** 2 for node in tape.nodes if node.of and node.step == 1]
    lane = [tape.output(node.of).label.role == "weights" for node in tape.nodes if node.of and node.step == 1]
    found = float(rows[weights].removeprefix("norm "))
    assert found == pytest.approx(math.sqrt(sum(s for s, own in zip(squares, lane) if own)), rel=1e-3)
    assert [*rows][0] == "loss[1]" and [*rows][1] == weights


@pytest.mark.parametrize("text", ["adam/sgd", "sgd(mu=0.5)/sgd", "sgd/sgd"])
def test_on_an_arrow_with_cuts_of_weights_and_of_states_each_kind_has_its_own_number(reader, text):
    tape = recorded(text, 3, {f"w{n}": [1.0, float(n)] for n in range(9)}, ghosts=True)
    ghosts = {}
    for cut in tape.cuts:
        if cut.step == 2 and cut.ghost is not None:
            label = tape.output((cut.source, cut.output)).label
            if label.role in ("weights", "state"):  # a state by the name that its rule gives it
                kind = label.name.rpartition(".")[2] if label.role == "state" else label.role
                ghosts.setdefault(kind, []).append(cut.ghost)
    reader.open(tape)
    reader.ask("explorer.go(2, false); explorer.calm = true; explorer.pass(); explorer.advance(Infinity)")
    arrow = "explorer.cy.getElementById('0|*|2|values').edgesWith(explorer.cy.getElementById('0|*|1|values'))"
    made = {role: float(f"{math.hypot(*found):.4g}") for role, found in ghosts.items()}
    for act in ("", "explorer.endPass(); explorer.flip(explorer.tape.cuts.map((cut) => cut.number), true)"):
        label = reader.ask(f"{act}; return {arrow}.filter('.cut, .asked').map((edge) => edge.data('label'))")[0]
        numbers = re.split("\n|, ", label.split(" ", 1)[1])
        named = dict(number.rsplit(" ", 1) for number in numbers) if len(made) > 1 else {"weights": numbers[0]}
        assert {role: float(number) for role, number in named.items()} == pytest.approx(made, rel=1e-3)
    reader.screenshot(f"kinds-{text.partition('/')[0]}")


def test_a_graph_without_steps_and_an_opened_loss_have_backward_passes(reader):
    reader.open(crossing())
    reader.keys("b")
    reader.ask("explorer.advance(Infinity)")
    names = ["loss[0]", "add", "multiply", "✂ cut 0 of tanh", "tanh", "multiply", "b", "a"]
    assert [name for name, _ in told(reader)] == names and told(reader)[-1][1] == "norm 1.435"
    assert "cut 0, held: tanh" in reader.says("cuts")
    reader.screenshot("pass-graph")
    reader.open(trained(steps=3))
    reader.ask("explorer.enter(explorer.cy.getElementById(arguments[0]))", reader.id("loss[1]"))
    reader.keys("b")
    reader.ask("explorer.advance(Infinity)")
    names = [name for name, _ in told(reader)]
    assert names[0] == "loss[1]" and {"silu", "matmul", "weight[1]", "bias[1]"} <= set(names)
    reader.keys("\ue00c")  # Escape
    assert told(reader) == [] and "overview › loss[1]" in " ".join(reader.says("trail").split())


def test_without_ghosts_a_backward_pass_says_how_to_see_its_numbers(reader):
    reader.open(recorded("sgd(0.1)/sgd(0.01)", 3))
    reader.keys("b")
    reader.ask("explorer.advance(Infinity)")
    assert [(name, {"w[1]": "norm 3.578", "alpha[1]": "-16"}.get(name, "–")) for name, _ in CLIMB] == told(reader)
    assert "th.record(ghosts=True)" in reader.says() and badges(reader).keys() == {"0|w|1|values", "1|alpha|1|values"}
    reader.open(chain(3))
    assert not reader.element("pass").is_displayed()  # nothing was swept


RUN = "window.ran = 1"
HOSTILE = [
    f"</script><script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f"'\"><svg onload='{RUN}'><script>{RUN}</script>",
    f"javascript:{RUN}",
    f"<a href='javascript:{RUN}' autofocus onfocus='{RUN}'>",
    f"${{{RUN}}}`${{{RUN}}}`",
    f"{{{{{RUN}}}}}",
    f"]]><script>{RUN}</script>",
    f"--><script>{RUN}</script><!--",
    f"<!--<script>{RUN}",
    f"</title></style></textarea></pre></svg><script>{RUN}</script>",
    f"\u2028{RUN}//\u2029",
    f'";{RUN};//',
    f"\\u003cscript>{RUN}</script>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"<style onload='{RUN}'></style><iframe srcdoc='<script>parent.ran = 1</script>'>",
    "__proto__",
    "constructor",
    "\x00\x0c\x1b[31m\x7f\x9b\ud800\ufffe\uffff",
]


def hostile_tape():
    """Every text that a recording holds is one of the hostile ones, or all of them."""

    def loss(params):
        return sum(th.sum(w * w * w.detach(name)) for name, w in params.items())

    tape = recorded("sgd(mu=0.5)/sgd", 2, dict.fromkeys(HOSTILE, [1.0, 2.0]), loss, ghosts=True)
    tape.title = " ".join(HOSTILE)
    for n, (node, cut) in enumerate(zip(tape.nodes, tape.cuts)):
        node.file, cut.file = (f"/x/{HOSTILE[n % len(HOSTILE)].replace('/', '')}.py" for _ in range(2))
    return tape


def test_nothing_that_a_recording_says_runs_in_its_page(reader):
    reader.open(hostile_tape())
    reader.ask("explorer.all()")
    said = """
        const said = explorer.cy.elements(".box, .kept, .cut").map((one) => {
            explorer.choose(one);
            return document.getElementById("details").textContent;
        });
        return arguments[0].filter((name) => !said.some((text) => text.includes(name)));
    """
    assert reader.ask(said, HOSTILE[:-1]) == []  # a driver knows no lone surrogates
    assert "</title></style></textarea>" in reader.driver.title
    assert reader.ask("return [window.ran, document.querySelectorAll('img, iframe, a[href]').length]") == [None, 0]


def test_nothing_that_a_recording_says_runs_in_a_notebook_or_a_picture(reader):
    tape, whole = hostile_tape(), reader.folder / "whole.html"
    answers = [th.inspect.cuts(tape), th.inspect.ghosts(tape), th.inspect.checkpoint(tape), th.inspect.check(tape)]
    answers += [th.inspect.moved(tape, name) for name in HOSTILE]
    text = "".join(thing._repr_html_() for thing in [tape, *answers])
    whole.write_text(f"<!doctype html><meta charset=utf-8><body>{text}", encoding="utf-8")
    reader.driver.get(whole.as_uri())
    assert reader.ask("return [window.ran, document.querySelectorAll('img, iframe, a, script').length]") == [None, 0]
    assert reader.ask("return document.querySelectorAll('svg').length") > 5
    for draw in (tape.save_svg, answers[0].save_svg, answers[1].save_svg):
        reader.driver.get(draw(reader.folder / "picture.svg").as_uri())
        assert reader.ask("return [window.ran, document.documentElement.tagName]") == [None, "svg"]
        assert reader.ask("return document.querySelectorAll('parsererror, script, img').length") == 0


# In a notebook.

DARK, LIGHT = "rgb(13, 17, 23)", "rgb(255, 255, 255)"
SYSTEMS = {"dark": "light", "light": "dark"}  # of a notebook's theme: that of a system that differs
THEMES = [
    ("light", 'data-jp-theme-light="true"'),
    ("dark", 'data-jp-theme-light="false"'),
    ("light", 'class="vscode-light"'),
    ("dark", 'class="vscode-dark"'),
    ("dark", 'class="vscode-high-contrast"'),
    ("light", 'class="vscode-high-contrast vscode-high-contrast-light"'),
    ("light", ""),
]


@pytest.fixture
def notebook(reader):
    """Opens a page with cells, in a system of another theme than the notebook's."""

    def opened(theme, body, *cells):
        reader.system(SYSTEMS[theme])
        path = reader.folder / "notebook.html"
        path.write_text(f"<!doctype html><meta charset=utf-8><body {body}>{''.join(cells)}", encoding="utf-8")
        reader.driver.get(path.as_uri())
        return reader

    return opened


@pytest.mark.parametrize("theme, body", THEMES)
def test_pictures_are_as_light_as_the_notebook_whatever_the_system_is(notebook, tape, theme, body):
    shown = [th.inspect.svg(tape), th.inspect.ghosts(tape), program()]
    reader = notebook(theme, body, *[one._repr_html_() for one in shown])
    grounds = "return [...document.querySelectorAll('.th-ground')].map((one) => getComputedStyle(one).fill)"
    assert reader.ask(grounds) == [{"dark": DARK, "light": LIGHT}[theme]] * len(shown)
    back = "return [...document.querySelectorAll('.th-scissors .th-back')].map((one) => getComputedStyle(one).stroke)"
    assert set(reader.ask(back)) == {"none"}


@pytest.mark.parametrize("theme", SYSTEMS)
def test_a_picture_in_a_file_of_its_own_is_as_light_as_the_system(reader, tape, theme):
    reader.system(theme)
    reader.driver.get(tape.save_svg(reader.folder / "cut.svg").as_uri())
    ground = "return getComputedStyle(document.querySelector('.th-ground')).fill"
    assert reader.ask(ground) == {"dark": DARK, "light": LIGHT}[theme]


def name_of(path):
    """What a picture of the docs is called: of two `rule.svg`, each has its own name."""
    return "-".join(path.relative_to(FIGURES).with_suffix("").parts)


@pytest.fixture(scope="module")
def pictures(tape, windows):
    tall = recorded("sgd(0.1)/sgd(0.001)/sgd(1e-6)/sgd(1e-11)", 4)
    many = recorded("adam/sgd", 3, {name: [1.0, 2.0] for name in ("W1", "c1", "W2", "c2")}, ghosts=True)
    return {
        "adam": th.inspect.svg(tape),
        "height3": th.inspect.svg(tall),
        "window": th.inspect.svg(windows, steps=3, scale=0.8),
        "rule": th.inspect.svg(tall, inside="alpha[3]"),
        "adam-rule": th.inspect.svg(tape, inside="weight[2]"),
        "graph": th.inspect.svg(chain(4)),
        "frame": tall.frames()[-1],
        "frame-adam": tape.frames()[-2],
        "frame-graph": crossing().frames()[-1],
        "ghosts": th.inspect.ghosts(tape).svg(),
        **{ask.__name__: ask(many).svg() for ask in (th.inspect.kept_alive, th.inspect.times, th.inspect.checkpoint)},
        **{f"docs-{name_of(path)}": path.read_text(encoding="utf-8") for path in DRAWN},
    }


@pytest.mark.parametrize("width, height", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize("theme", SYSTEMS)
def test_pictures_are_read_on_a_projector(reader, pictures, theme, width, height):
    reader.size(width, height)
    reader.system(theme)
    overlaps = """
        const all = [...document.querySelectorAll("text")].map((one) => [one.textContent, one.getBoundingClientRect()]);
        const page = document.documentElement.getBoundingClientRect();
        const out = all.filter(([, a]) => a.left < page.left || a.right > page.right || a.bottom > page.bottom);
        const shared = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
        const over = all.flatMap(([one, a], n) => all.slice(n + 1)
            .filter(([, b]) => shared(a, b, "left", "right") > 1 && shared(a, b, "top", "bottom") > 4)
            .map(([other]) => `${one} | ${other}`));
        return [...out.map(([one]) => one), ...over];
    """
    for name, picture in pictures.items():
        path = reader.folder / f"{name}.svg"
        path.write_text(picture, encoding="utf-8")
        reader.driver.get(path.as_uri())
        assert reader.ask(overlaps) == [], name
        assert reader.ask("return document.documentElement.getBoundingClientRect().right <= innerWidth")
        reader.screenshot(f"{name}-{theme}-{width}x{height}")


@pytest.mark.parametrize("theme, body", THEMES)
def test_the_explorer_opens_in_a_cell_as_light_as_the_notebook_and_can_do_nothing_to_it(notebook, theme, body):
    tape = hostile_tape()
    reader = notebook(theme, body, "<p id=cell></p>", tape.explore()._repr_html_(), program().explore()._repr_html_())
    reader.until(lambda: reader.ask("return document.querySelectorAll('#cell, iframe, style').length") == 5)
    assert reader.ask("return window.ran") is None
    drawn = ("window.explorer?.cy.nodes('.box').length > 5", "document.querySelector('#stage rect')")
    for frame, ready in enumerate(drawn):

        def awake(frame=frame, ready=ready):
            """Whether the frame is drawn; out of sight it may sleep."""
            reader.driver.switch_to.default_content()
            reader.ask("document.querySelectorAll('iframe')[arguments[0]].scrollIntoView()", frame)
            reader.driver.switch_to.frame(frame)
            return reader.ask(f"return Boolean({ready})")

        reader.until(awake)
        reader.until(lambda: reader.ask("return document.documentElement.dataset.theme") == theme)
        out = "try { return parent.document.title } catch { return null }"
        assert reader.ask(out) is None and reader.ask("return window.ran") is None
        reader.driver.switch_to.default_content()
    assert reader.ask("return document.querySelectorAll('#cell').length") == 1


def test_a_page_is_text_and_says_so(tape):
    for shown in (tape.explore(), program().explore()):
        assert str(shown).lower().startswith("<!doctype html>") and len(repr(shown)) < 100
        assert shown._repr_html_().count("</iframe>") == 1


def test_a_wide_program_opens_at_its_own_size_and_scrolls(reader):
    Adam = th.optim.Adam
    reader.open(program(tower=Adam(0.01, optimizer=Adam(1e-3, optimizer=th.optim.SGD(1e-4)))))
    drawn, own, seen, whole = reader.ask(
        "const stage = document.getElementById('stage'), picture = stage.querySelector('svg');"
        "return [picture.getBoundingClientRect().width, Number(picture.getAttribute('width')),"
        " stage.clientWidth, stage.scrollWidth]"
    )
    assert drawn == own > 2 * seen and whole >= own
    reader.screenshot("wide-program")


def test_a_program_says_what_its_instructions_and_arrays_are(reader):
    shown = program()
    reader.open(shown)
    lines = json.loads(shown.to_json())["steps"][0]["instructions"]
    assert f"{len(lines)} instructions" in reader.says() and "in backward" in reader.says()
    rule = next(line for line in lines if line["op"] == "SGD.rule" and len(line["reads"]) == 3 and line["cuts"][0])
    reader.driver.find_element("css selector", f"g[data-line='{rule['number']}'] text").click()
    said = reader.says()
    assert f"{rule['number']} SGD.rule" in said and "SGD.rule(✂ " in said and "test_page.py:" in said
    assert said.count("no gradient flows back") == 2 and "by what the eager engine calls" in said
    lit = "return [...document.querySelectorAll('g.on')].map((one) => one.dataset.array ?? null)"
    assert {int(number) for number in reader.ask(lit) if number is not None} == {*rule["reads"], *rule["writes"]}
    reader.keys("\ue013", to="stage")  # up
    assert f"{rule['number'] - 1} {lines[rule['number'] - 2]['op']}" in reader.says()
    made = lines[rule["number"] - 2]["writes"][0]
    reader.driver.find_element("css selector", f"g[data-array='{made}'] > text").click()
    assert "made by" in reader.says() and "carried on" in reader.says()
    reader.driver.find_element("css selector", "#details dd button").click()
    assert f"{rule['number'] - 1} {lines[rule['number'] - 2]['op']}" in reader.says()
    reader.screenshot("program")
    reader.keys("\ue00c", to="stage")  # Escape
    assert "instructions" in reader.says() and reader.ask("return document.querySelectorAll('.on').length") == 0
    reader.keys("\ue015", to="stage")  # down
    assert "1 subtract" in reader.says()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        driver = browser(folder)
        draw_docs(Reader(driver, Path(folder)), FIGURES / "explorer.png")
        driver.quit()
