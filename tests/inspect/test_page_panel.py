"""The explorer's panel in a browser: what it says of contributions, ghosts, times and cuts, and where it stands."""

import json
import re
from html import escape

import numpy as np
import pytest
from recordings import penalized, skipping
from recordings import trained as recorded

import tinyhyper as th
from tinyhyper.inspect.arrivals import uncut
from tinyhyper.inspect.captions import numbered
from tinyhyper.inspect.ghosts import Rerun, arrived
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.passes import vanishing
from tinyhyper.plain import NONE_YET, NOUGHT, short

TEXT = "sgd(0.1)/sgd(0.01)/sgd(1e-3)"
PARTS = ["details", "cutting", "alive", "words", "keys"]
SIZES = [(1280, 720), (1920, 1080)]


@pytest.fixture(scope="module")
def tape():
    return recorded("adam/sgd", 3, {"u": [0.8, -0.1], "v": [1.5, -0.7]}, ghosts=True)


BARS = """
    return [...document.querySelectorAll(".part")].map((part) => {
        const track = part.querySelector(".track"), bar = track.firstElementChild;
        return [part.querySelector("b").textContent, bar.getBoundingClientRect().width / track.clientWidth];
    });
"""


def test_a_bar_is_as_long_in_its_track_as_its_share(reader, tape):
    """The largest of several bars filled its row, whatever its share: 74 % looked like 100 %."""
    reader.open(tape)
    seen = 0
    for path in json.loads(tape.to_json())["paths"]:
        values = [part["value"] for part in path["parts"]]
        name = tape.output(tuple(path["target"])).label.name
        step = tape.node(tuple(path["target"])).step
        if not any(values):
            continue
        reader.ask(f"explorer.choose(explorer.cy.getElementById('1|{name}|{step}|values'))")
        bars = [(float(text.split(",")[0]), share) for text, share in reader.ask(BARS)]
        whole = max(abs(path["total"]), *map(abs, values))
        assert len(bars) == len(values)
        for value, share in bars:
            assert share == pytest.approx(abs(value) / whole, abs=0.02)
        scale = "A full bar is 100 %." if whole == abs(path["total"]) else "the largest contribution in size."
        assert scale in reader.says()
        seen += 1
    assert seen > 5
    reader.screenshot("bars-of-paths")


def test_a_line_of_ghosts_names_their_cuts(reader, tape):
    reader.open(tape)
    heads = "[...explorer.details.facts(arguments[0])[0].querySelectorAll('dt')].map((one) => one.textContent)"
    for cut in tape.cuts:
        (named,) = [head for head in reader.ask(f"return {heads}", [cut.source, cut.output]) if "ghost" in head]
        assert str(cut.number) in re.fullmatch(r"ghost at ✂ cuts? ([\d, ]+)", named)[1].split(", ")
    rows = reader.ask(
        "return explorer.details.table(explorer.tape.cuts.filter((cut) => cut.ghost !== null)"
        ".map((cut) => [cut.source, cut.output])).map((one) => one.innerText || one.textContent).join('|')"
    )
    assert rows.count(" at cut") == len({(cut.source, cut.output) for cut in tape.cuts if cut.ghost is not None})


FACTS = """
    const facts = (place) => [...explorer.details.facts(place)[0].children].map((one) => one.textContent);
    return arguments[0].map((place) => facts(place).flatMap((text, n, all) => n % 2 ? [] : [[text, all[n + 1]]]));
"""
BOXES = """
    return [...explorer.lanes.boxes.values()].filter(({ kind, names }) => kind === "gradient" && names.size === 1)
        .map((box) => [[...box.names.values()][0], captionOf(box, explorer.tape).split("\\n")[1] ?? ""]);
"""


@pytest.mark.parametrize("ghosts", [True, False])
def test_a_norm_is_called_so(reader, ghosts):
    """A number that stands for an array cannot be taken for the only number of one element."""
    tape = recorded("adam/sgd", 3, {"u": [0.8, -0.1], "b": 0.5}, ghosts=ghosts)
    reader.open(tape)
    places = [(node.number, n) for node in tape.nodes for n in range(len(node.outputs))]
    for place, rows in zip(places, reader.ask(FACTS, places)):
        cuts = sum(cut.place == place and cut.ghost is not None for cut in tape.cuts)
        for row, told in rows:
            normed = tape.output(place).number is None or (row.startswith("ghost") and cuts > 1)
            if row == "gradient" or row.startswith("ghost"):
                assert told.startswith("no") or told[0] in "-0123456789~"
                assert told.startswith("norm ") == (normed and re.search(r"\d", told.split(":")[0]) is not None)
    boxes = reader.ask(BOXES)
    assert len(boxes) > 10
    for place, told in boxes:
        output = tape.output(tuple(place))
        if told not in (NOUGHT, NONE_YET):
            assert told.startswith("norm ") == (output.number is None)
            value = output.norm if output.number is None else output.number
            assert float(told.split()[-1]) == pytest.approx(value, rel=1e-3)


def test_what_is_0_up_to_rounding_is_called_so_as_in_pictures(reader, tape):
    reader.open(tape)
    graph = Graph(tape)
    tuned = {tuple(place): told for place, told in reader.ask(BOXES) if tape.node(tuple(place)).of}
    assert {NOUGHT} < {*tuned.values()}
    for place, told in tuned.items():
        of, nought = tape.node(place).of, short(graph.number(place)) == NOUGHT
        assert (told == NOUGHT) == nought
        ((*_, gradient),) = [row for row in reader.ask(FACTS, [of])[0] if row[0] == "gradient"]
        assert gradient.startswith(NOUGHT) == nought
        name, step = tape.output(of).label.name, tape.node(of).step
        reader.ask("explorer.choose(explorer.cy.getElementById(arguments[0]))", f"1|{name}|{step}|values")
        if re.search("^∂loss.* = ", reader.says(), re.MULTILINE):
            assert (f" = {NOUGHT}" in reader.says()) == nought
            assert not (nought and " %" in reader.says().replace("100 %", ""))
    for cut in tape.cuts:
        told = reader.ask("return explorer.details.ghosts([explorer.tape.cuts[arguments[0]]])", cut.number)
        assert told.startswith(NOUGHT) == (bool(cut.ghost) and cut.number in vanishing(graph))


@pytest.mark.parametrize("seed", range(4))
def test_a_number_is_that_of_its_cut_alone_wherever_it_stands_while_others_are_switched_off(reader, tape, seed):
    """In the graph, the details and the list of cuts, by one rule; in no other case."""
    reader.open(tape)
    reader.tab("cutting")
    severed = {cut.number for cut in tape.cuts if cut.severed}
    off = set(np.random.default_rng(seed).choice(len(tape.cuts), seed, replace=False).tolist())
    reader.ask("explorer.go(2, false); explorer.flip(arguments[0], true)", [*off])
    arrows = "explorer.cy.edges('.asked').map((edge) => [[...edge.data('arrow').cuts], edge.data('label')])"
    for cuts, label in reader.ask(f"return {arrows}"):
        known = any(tape.cuts[cut].ghost is not None for cut in cuts)
        assert (" alone" in label) == (bool(severed & off - {*cuts}) and known)
    for cut in (cut for cut in tape.cuts if cut.ghost is not None):
        others = bool(severed & off - {cut.number})
        told = reader.ask("return explorer.details.ghosts([explorer.tape.cuts[arguments[0]]])", cut.number)
        line = reader.ask("return explorer.details.cutLine(explorer.tape.cuts[arguments[0]])", cut.number)
        assert (" alone" in told) == (" alone" in line) == others
    labels = reader.ask("return [...document.querySelectorAll('#cuts > li > label')].map((one) => one.innerText)")
    for label in (label for label in labels if re.search(r"ghost: [norm ]*[-\d~]", label)):
        own = {int(one) for one in re.findall(r"\d+", re.search(r"cuts? ([\d, ]+)", label)[1])}
        assert (" alone" in label) == bool(severed & off - own)


@pytest.mark.parametrize("text", ["adam/sgd", TEXT])
def test_without_any_cut_each_number_is_that_of_no_cut_made(reader, text):
    """They were those of each cut alone, while the mode promised what its name says."""
    tape = recorded(text, 4, {"u": [0.8, -0.1], "b": 0.5}, ghosts=True)
    graph, found = Graph(tape), uncut(Graph(tape))
    past = {cut: (value, nil) for cut, value, nil in found.cuts}
    reader.open(tape)
    reader.ask("explorer.go(2, false); explorer.flip(explorer.tape.cuts.map((cut) => cut.number), true)")
    assert "No cut is made now." in reader.says() and reader.element("uncut").is_selected()

    def same(told, value, nil):
        return nil if told == NOUGHT else float(told) == pytest.approx(value, rel=1e-3)

    arrows = "explorer.cy.edges('.asked').map((edge) => [[...edge.data('arrow').cuts], edge.data('label')])"
    labels = reader.ask(f"return {arrows}")
    for cuts, label in labels:
        known = [past[cut] for cut in cuts if cut in past]
        if len(cuts) == 1 and known:
            assert same(re.fullmatch(f"✂\uFE0E\\? cut {cuts[0]}: (.*)", label)[1], *known[0])
        elif not known:
            assert label == f"✂\uFE0E? {numbered(cuts)}"
    assert len(labels) > 8
    for cut in (cut for cut in tape.cuts if cut.number in past):
        told = reader.ask("return explorer.details.ghosts([explorer.tape.cuts[arguments[0]]])", cut.number)
        assert same(re.match(r"(?:norm )?(~ 0|\S+)", told)[1], *past[cut.number])
    for place, value, nil in found.places:
        rows = reader.ask(FACTS, [place])[0]
        assert same(re.match(r"(?:norm )?(~ 0|\S+)", dict(map(tuple, rows))["without any cut"])[1], value, nil)
        if graph.name(place) == "alpha[1]":
            reader.ask("explorer.choose(explorer.cy.getElementById('1|alpha|1|values'))")
            said = r"without any cut, alpha\[1\].grad would be (\S+) from all losses, not (\S+)"
            told = re.search(said, reader.says())
            assert same(told[1], value, nil) and same(told[2], tape.output(place).gradient, False)
    assert " alone" not in str(labels) + reader.says() + reader.says("cuts") and "ghost:" not in reader.says("cuts")
    reader.screenshot("without-any-cut")
    reader.ask("explorer.flip([0], false)")
    assert "No cut is made now." not in reader.says() and " alone" in str(reader.ask(f"return {arrows}"))


def test_a_backward_pass_has_the_recorded_numbers_without_any_cut_too(reader, tape):
    reader.open(tape)
    reader.ask("explorer.flip(explorer.tape.cuts.map((cut) => cut.number), true); explorer.calm = true")
    reader.ask("explorer.go(1, false); explorer.pass(); explorer.advance(Infinity)")
    edges = "explorer.cy.edges('.stopped').map((edge) => [[...edge.data('arrow').cuts], edge.data('label')])"
    graph, past, seen = Graph(tape), {cut: value for cut, value, _ in uncut(Graph(tape)).cuts}, 0
    zero = vanishing(graph)
    for cuts, label in reader.ask(f"return {edges}"):
        if len(cuts) == 1 and tape.cuts[cuts[0]].severed:
            ghost = "~ 0" if cuts[0] in zero else short(tape.cuts[cuts[0]].ghost)
            assert label == f"✂\uFE0E? {ghost} alone"
            seen += tape.cuts[cuts[0]].ghost != pytest.approx(past[cuts[0]], rel=0.01)
    assert seen


def test_each_cut_of_a_group_has_a_switch_and_no_group_mixes_states(reader, tape):
    reader.size(1280, 520)
    reader.open(tape)
    reader.ask("explorer.go(2, false); if (explorer.lanes.apart(0)) explorer.toggleLane(0)")
    reader.tab("cutting")
    rows = "[...document.querySelectorAll('#cuts > li > label')].map((one) => one.innerText)"
    states = re.findall(r", state: (.*)", "\n".join(reader.ask(f"return {rows}")))
    assert states and all(len({*re.findall(r"\.(\w+)\[", row)}) == 1 for row in states)
    for cut in (cut for cut in tape.cuts if cut.step == 2):
        found = f"""
            const number = (one) => one.textContent.match(/cut (\\d+),/)?.[1];
            const boxes = [...document.querySelectorAll("#cuts label")].filter((one) => number(one) === "{cut.number}");
            boxes.forEach((one) => one.querySelector("input").click());
            return [boxes.length, [...explorer.tape.without]]"""
        assert reader.ask(found) == [1, [cut.number]]
        reader.ask(f"explorer.flip([{cut.number}], false)")
    details = "document.querySelector('#cuts details')"
    reader.driver.find_element("css selector", "#cuts details summary").click()
    reader.driver.find_element("css selector", "#cuts details input").click()
    assert reader.ask(f"return {details}.open && {details}.parentElement.querySelector('input').indeterminate")
    reader.size()


def test_what_was_recorded_is_told_from_what_comes_past_a_cut_that_is_switched_off(reader):
    """With the picture's numbers: `without` has those of one cut alone, too."""
    tape = recorded("sgd(0.1, mu=0.3)/sgd(1e-3)", 3, {"u": 1.5, "v": -0.7}, ghosts=True)
    (cut,) = [cut for cut in tape.cuts if cut.step == 2 and Graph(tape).name(cut.place) == "alpha[1]"]
    (old, new) = next((row[1], row[3]) for row in th.inspect.without(tape, cut).rows if row[0] == "alpha[1]")
    reader.open(tape)
    choose = "explorer.choose(explorer.cy.getElementById('1|alpha|1|values'))"
    other = next(one.number for one in tape.cuts if one.severed and one.step == 3)
    for numbers, alone in (([cut.number], ""), ([cut.number, other], "without this alone, ")):
        reader.ask(f"explorer.flip(arguments[0], true); {choose}", numbers)
        said = reader.says()
        assert "The gradient of loss[1] arrives along the highlighted edges." in said
        assert "The gradient of loss[2] would arrive past a cut that is switched off." in said
        assert re.search(r"∂loss\[1\]/∂alpha\[1\] = (\S+), with every cut made", said)
        line = next(line for line in said.splitlines() if f"{alone}alpha[1].grad would be " in line)
        assert line.startswith(alone)
        would, was = re.search(r"would be (\S+), not (\S+)$", line).groups()
        assert (float(would), float(was)) == (pytest.approx(new, rel=1e-3), pytest.approx(old, rel=1e-3))
    reader.ask(f"explorer.flip(explorer.tape.cuts.map((cut) => cut.number), false); {choose}")
    assert "every cut made" not in reader.says() and "loss[2]" not in reader.says()


def test_weights_stand_in_the_order_of_params_and_their_gradients_have_a_norm_together(reader):
    """The loss reads v first; the pictures have the order of params, too."""
    params = {"u": [0.5, 1.5], "v": [-0.7, 0.1]}
    tape = recorded("sgd(0.1, mu=0.5)/sgd", 2, params, lambda of: th.sum(of["v"] * 2.0 + of["u"]) ** 2.0, ghosts=True)
    assert [node.outputs[0].label.name for node in tape.nodes if node.kind == "leaf" and node.step == 0][0] == "v"
    reader.open(tape)
    assert reader.ask("return [...explorer.lanes.lanes.get(0).names]") == ["u", "v"]
    reader.ask("if (explorer.lanes.apart(0)) explorer.toggleLane(0)")
    captions = "[...explorer.lanes.boxes.values()].filter((box) => box.lane === 0 && box.kind === 'gradient')"
    for step, caption in reader.ask(f"return {captions}.map((box) => [box.step, captionOf(box, explorer.tape)])"):
        left = [node for node in tape.nodes if node.of and node.step == step]
        own = [node.outputs[0].norm for node in left if tape.output(node.of).label.role == "weights"]
        assert len(own) == 2
        assert float(caption.split("norm ")[1]) == pytest.approx(np.hypot(*own), rel=1e-3)


def test_what_stands_beside_a_number_is_whole_or_left_out(reader):
    reader.open(recorded("sgd(0.05, mu=0.3)/sgd(0.001)", 3, {"u": 1.5, "v": -0.7}))
    captions = "[...explorer.lanes.boxes.values()].map((box) => captionOf(box, explorer.tape))"
    assert not [text for text in reader.ask(f"return {captions}") if "with" in text and text.endswith("…")]


def test_from_far_away_all_gradients_are_called_alike(reader):
    reader.size(1280, 720)
    reader.open(recorded("sgd(0.05, mu=0.3)/sgd(0.001)/sgd(1e-5)", 3, ghosts=True))
    reader.ask("explorer.all()")
    far = reader.ask("return explorer.cy.nodes('.gradient').map((node) => node.data('far').split('/')[0])")
    assert {*far} in ({"∂"}, {"∂loss"})
    reader.size()


def test_the_letters_of_numbers_are_in_the_legend_and_curves_say_their_steps(reader, tape):
    reader.open(tape)
    legend = reader.says("legend")
    assert f"{NOUGHT}: 0 up to rounding" in legend and "u(…): a coordinate" in legend and "alone:" in legend
    axes = reader.ask("return [...document.querySelectorAll('.panel .axis')].map((one) => one.textContent)")
    assert axes and {*axes} == {"step 0", str(tape.steps)}
    reader.open(recorded("sgd/sgd", 1))
    assert NOUGHT not in reader.says("legend") and "u(…)" not in reader.says("legend")


@pytest.mark.parametrize("text", ["adam/sgd", "sgd(0.05, mu=0.3)/sgd(0.001)/sgd(1e-5)"])
def test_cuts_have_their_numbers_on_arrows_as_in_pictures_and_all_of_them_where_one_points(reader, text):
    """`without` and `ghost` ask for them."""
    reader.open(recorded(text, 3, {f"w{n}": [1.0, float(n)] for n in range(9)}, ghosts=True))
    words = "document.createElement('p'), ...explorer.details.arrow(edge.data('arrow'), false)"
    tip = f"[{words}].map((one) => one.textContent).join(' ')"
    for act in ("", "explorer.toggleLane(1)"):
        cut = f"explorer.cy.edges('.cut').map((edge) => [[...edge.data('arrow').cuts], edge.data('label'), {tip}])"
        for cuts, label, told in reader.ask(f"{act}; return {cut}"):
            assert label in {f"✂\uFE0E {numbered(cuts)}", f"✂\uFE0E {len(cuts)} cuts" if len(cuts) > 1 else ""}
            assert all(f"cut {one}," in told for one in cuts[:4])
            assert len(cuts) <= 4 or f"and {numbered(cuts[4:])}" in told
    reader.ask("explorer.cy.zoom(0.4)")
    assert set(reader.ask("return explorer.cy.edges('.cut').map((edge) => edge.style('label'))")) == {"✂\uFE0E"}


@pytest.mark.parametrize("text", ["adam/sgd", "sgd(0.05, mu=0.3)/sgd(0.001)/sgd(1e-5)"])
def test_no_number_on_an_arrow_reaches_a_box(reader, text):
    tape = recorded(text, 3, {"u": [1.5e-4, 0.0], "v": [-0.7, 0.1]}, ghosts=True)
    reader.open(tape)
    flip = "explorer.flip(explorer.tape.cuts.map((cut) => cut.number), true)"
    for act in ("", "explorer.toggleLane(0)", flip, "explorer.toggleLane(0)"):
        reader.ask(f"{act}; explorer.all()")
        reader.ask("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        over = reader.ask("""
            const nodes = explorer.cy.nodes(".values, .gradient, .loss");
            const boxes = nodes.map((node) => node.boundingBox({ includeLabels: false }));
            const meeting = (a) => boxes.some((b) => a.x1 < b.x2 && a.x2 > b.x1 && a.y1 < b.y2 && a.y2 > b.y1);
            const label = (edge) => edge.boundingBox() && edge._private.labelBounds.main;
            const edges = explorer.cy.edges(".asked, .cut").filter((edge) => label(edge));
            return [edges.length, edges.filter((edge) => meeting(label(edge))).map((edge) => edge.data("label"))]""")
        assert over[0] > 5 and over[1] == []
    reader.screenshot("numbers-on-arrows")


@pytest.mark.parametrize("text", ["sgd(0.1, mu=0.5)/sgd", "adam/sgd", "adam/adam(0.1)/sgd"])
def test_the_list_of_cuts_names_what_was_cut(reader, text):
    """A state by the name that the rule gives it, and not by that of the weight to which it belongs."""
    tape = recorded(text, 3)
    reader.open(tape)
    reader.tab("cutting")
    graph = Graph(tape)
    for step in range(1, 4):
        reader.ask(f"explorer.go({step}, false)")
        named = {name for names in re.findall(r", [\w ]+: (.*)", reader.says("cuts")) for name in names.split(", ")}
        assert named == {graph.name(cut.place) for cut in tape.cuts if cut.step == step}


def test_no_key_is_explained_that_does_nothing(reader):
    shown = "[...document.querySelectorAll('#keys dt')].filter((one) => one.offsetParent)"
    always, steps, passes = {"← → ↑ ↓", "Enter", "Esc", "+ - 0"}, {"← →", ", and ."}, {"b", "← →"}
    alone = recorded("sgd", 1)
    with th.record() as bare:
        th.tanh(th.tensor([1.0, 2.0]))
    w = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as graph:
        th.sum(w**2).backward()
    for tape, some in ((alone, {*steps, *passes, "space"}), (graph, {*passes, "space"}), (bare, set())):
        reader.open(tape)
        reader.tab("keys")
        assert {*reader.ask(f"return {shown}.map((one) => one.innerText)")} == always | some


def chained(steps, losses=1):
    """Steps made by hand, each with a cut of the weights and one of their gradient; then backward passes."""
    w, alpha = th.tensor([1.0, -2.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record(ghosts=True) as tape:
        for step in range(steps):
            w = w.detach("weights") - alpha * (2 * w).detach("gradient")
            tape.label(w, f"w{step + 1}", "weights", 0)
        for _ in range(losses):
            th.sum(w * w).backward(retain_graph=True)
    return tape


@pytest.mark.parametrize(
    "make",
    [lambda: chained(2), lambda: chained(4), lambda: chained(3, 2), lambda: recorded("adam/sgd", 3, ghosts=True),
     lambda: recorded("sgd/sgd", 1, ghosts=True), lambda: penalized(ghosts=True), lambda: recorded("sgd/sgd", 2)],
)  # fmt: skip
def test_why_a_cut_has_no_ghost_is_true(reader, make):
    """Without all other cuts the gradient comes there, but not past those that are named. Where none is, none comes."""
    tape = make()
    reader.open(tape)
    told = "explorer.details.ghosts([explorer.tape.cuts[arguments[0]]])"
    for cut in (cut for cut in tape.cuts if cut.severed and cut.ghost is None):
        why = reader.ask(f"return {told}", cut.number)
        if tape.ghosts is None:
            assert why == "not recorded"
            continue
        named = [int(one) for one in re.findall(r"\d+", why)]
        others = {one.number for one in tape.cuts} - {cut.number}
        assert (cut.number in arrived(Rerun(tape, opened=others, ghosts=True)).cuts) == bool(named), (cut, why)
        assert cut.number not in arrived(Rerun(tape, opened=others - {*named}, ghosts=True)).cuts, (cut, why)
        assert all(tape.cuts[number].ghost is not None for number in named), (cut, why)


def test_a_cut_says_which_others_stop_the_gradient_before_it(reader):
    tape = chained(2)
    reader.open(tape)
    reader.tab("cutting")
    assert reader.says("cuts").count("ghost: none: cuts 2, 3 stop the gradient first") == 2
    assert "no later loss" not in reader.says("cuts")


def test_times_have_two_digits_and_a_unit_that_fits(reader, tape):
    reader.open(tape)
    times = {2.1e-7: "0.21 µs", 1.234e-5: "12 µs", 4.66e-4: "0.47 ms", 0.0034: "3.4 ms", 0.2: "0.2 s", 12.6: "13 s"}
    assert reader.ask("return arguments[0].map(durationOf)", list(times)) == list(times.values())
    found = reader.ask("return arguments[0].map(durationOf)", [*np.geomspace(1e-7, 90, 60)])
    for text, seconds in zip(found, np.geomspace(1e-7, 90, 60)):
        value, unit = text.split()
        assert len(re.sub(r"^[0.]+|\.", "", value).rstrip("0")) <= 2 and 0.09 <= float(value) <= 100
        assert float(value) * {"µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit] == pytest.approx(seconds, rel=0.05)


def test_it_says_what_took_a_time_and_whether_it_was_cold(reader):
    tape = recorded("sgd(0.1)/sgd(0.01)", 4)
    rules = [node for node in tape.nodes if node.op == "SGD.rule" and node.outputs[0].shape == (2,)]
    other = next(node for node in tape.nodes if node.op == "sum")
    for node in tape.nodes:
        node.seconds = None if node.seconds is None or node.op == "sum" else 1e-3
    rules[0].seconds, rules[1].seconds, other.seconds = 0.2, 1.1e-5, 0.3
    reader.open(tape)

    def took(node):
        facts = f"explorer.details.facts([{node.number}, 0])[0]"
        return reader.ask(
            f"return [...{facts}.children].find((one) => one.textContent === 'took').nextSibling.textContent"
        )

    warm = "Warm it took 11 µs, the least of 3 other calls"
    assert took(rules[0]) == f"SGD.rule: 0.2 s, cold: the first call compiles or loads its kernel. {warm}"
    assert took(rules[1]) == "SGD.rule: 11 µs, warm; the least of 3 other calls took 1 ms"
    assert took(other) == "sum: 0.3 s, called once: its kernel may have been compiled or loaded in this time"


def ticked(reader, cut):
    """What stands beside the tick of a cut."""
    reader.ask(f"explorer.go({cut.step}, false); explorer.flip(explorer.tape.cuts.map((one) => one.number), false)")
    reader.tab("cutting")
    labels = reader.element("cuts").find_elements("tag name", "label")
    (label,) = [label for label in labels if label.text.startswith(f"cut {cut.number},")]
    label.find_element("tag name", "input").click()
    lines = "document.querySelector('#cuts :checked').parentElement.querySelectorAll('.arriving')"
    return reader.ask(f"return [...{lines}].map((one) => one.textContent)")


def test_a_ticked_cut_says_how_much_arrives_where(reader):
    tape = recorded(TEXT, 3, ghosts=True)
    reader.open(tape)
    for cut in tape.cuts:
        told = ticked(reader, cut)
        if not cut.severed:
            assert told == ["No gradient would change: the value had no graph."]
            continue
        rows = th.inspect.without(tape, cut).rows
        for name, old, _, new, _ in rows:
            assert any(f"{name}.grad would be " in line for line in told), (name, told)
            (line,) = [line for line in told if f"{name}.grad would be " in line]
            assert float(re.search(r"would be (\S+?)[,;]", line)[1]) == pytest.approx(new, rel=1e-3)
            was = re.search(r", not (\S+)$|; with the cut none arrives$", line)[1]
            assert was is None if old is None else float(was) == pytest.approx(old, rel=1e-3)
        assert len(told) == max(1, len(rows))
    first = next(cut for cut in tape.cuts if cut.severed and tape.output(cut.place).label.role == "weights")
    assert len(ticked(reader, first)) >= 1
    reader.screenshot("ticked")


def test_a_tick_for_several_cuts_says_what_they_add_up_to(reader):
    tape = recorded("sgd(0.1)/sgd(0.01)", 3, {f"w{n}": [1.0, float(n)] for n in range(9)}, ghosts=True)
    reader.open(tape)
    reader.ask("explorer.go(2, false)")
    cuts = [cut for cut in tape.cuts if cut.step == 2 and cut.severed and cut.reason == "weights"]
    alone = [row for cut in cuts for row in th.inspect.without(tape, cut).rows if row[0] == "alpha[1]"]
    assert len(cuts) == len(alone) == 9
    reader.ask("explorer.flip(arguments[0], true)", [cut.number for cut in cuts])
    line = reader.ask("return document.querySelector('.arriving').textContent")
    would, was = re.fullmatch(r"alpha\[1\]\.grad would be (\S+), not (\S+)", line).groups()
    assert float(was) == pytest.approx(alone[0][1], rel=1e-3)
    assert float(would) == pytest.approx(alone[0][1] + sum(row[2] for row in alone), rel=1e-3)
    reader.ask("explorer.flip(arguments[0], true)", [cut.number for cut in tape.cuts if cut.step != 1])
    assert reader.ask("return document.querySelector('.arriving').textContent").startswith("without this alone, alpha")


def test_where_it_is_not_known_how_much_arrives_it_says_why(reader):
    tape = recorded("sgd(0.1)/sgd(0.01)", 2)
    reader.open(tape)
    assert ticked(reader, next(cut for cut in tape.cuts if cut.severed)) == [
        "To see how much arrives where, record with th.record(ghosts=True)."
    ]
    shown = skipping(factors=(1.0, np.nan, 1.0, 1.0), ghosts=True)
    reader.open(shown)
    said = [ticked(reader, cut) for cut in shown.cuts if cut.severed]
    assert not re.search(r"\b(nan|NaN|inf)\b", str(said)) and "skipped" in str(said)


@pytest.mark.parametrize("width, height", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_kept_alive_and_the_cuts_are_in_sight_on_a_projector(reader, tape, theme, width, height):
    reader.size(width, height)
    reader.system(theme)
    reader.open(tape)
    reader.ask("explorer.go(2, false)")
    where = "const { top, bottom } = document.querySelector(arguments[0]).getBoundingClientRect(); return [top, bottom]"
    tabs = reader.driver.find_elements("css selector", "#tabs button")
    assert [tab.text for tab in tabs] == ["Details", "14 cuts ✂", "Kept alive", "Words", "Keys"]
    assert all(tab.rect["y"] + tab.rect["height"] < height for tab in tabs)
    firsts = {"alive": "#kept li:nth-child(2)", "cutting": "#cuts li:nth-child(2)", "details": "#details p"}
    for part, first in firsts.items():
        reader.tab(part)
        top, bottom = reader.ask(where, first)
        assert 0 < top < bottom < height, part
        assert [one for one in PARTS if reader.element(one).is_displayed()] == [part]
        reader.screenshot(f"tab-{part}-{theme}-{width}x{height}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(reader, tape, theme):
    reader.size(390, 844)
    reader.system(theme)
    reader.open(tape)
    assert reader.ask("return document.documentElement.scrollWidth") <= 390
    for part in PARTS:
        reader.tab(part)
        assert reader.ask("return document.documentElement.scrollWidth") <= 390
    reader.screenshot(f"phone-{theme}")
    reader.ask("document.querySelector('aside').scrollIntoView()")
    reader.screenshot(f"phone-panel-{theme}")


def test_a_frame_that_gets_its_room_later_begins_where_any_page_begins(reader, tape):
    """Such as one that a browser loads before it lays it out."""
    frame = f'<iframe srcdoc="{escape(tape.explore())}" style="width: 1100px; height: 0; border: 0"></iframe>'
    (reader.folder / "around.html").write_text(f"<!doctype html><meta charset=utf-8>{frame}", encoding="utf-8")
    began = "return [explorer.cy.zoom(), explorer.cy.pan(), [...explorer.few]]"

    def seen(height):
        reader.driver.get((reader.folder / "around.html").as_uri())
        reader.ask("document.querySelector('iframe').style.height = arguments[0]", height)
        reader.driver.switch_to.frame(0)
        reader.until(lambda: reader.ask("return window.explorer && performance.getEntriesByName('drawn').length > 0"))
        reader.driver.switch_to.default_content()
        reader.ask("document.querySelector('iframe').style.height = '700px'")
        reader.driver.switch_to.frame(0)
        reader.until(lambda: reader.ask("return explorer.cy.height() > 200 && explorer.room > 200"))
        return reader.ask(began)

    assert seen("0px") == seen("700px")
