"""What a tape is for other programs, and what tensors and towers are in a notebook."""

import dataclasses
import html
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from recordings import trained

import tinyhyper as th
from tinyhyper.inspect.dot import MissingPackageError, quoted, to_dot, to_networkx
from tinyhyper.inspect.notebook import BEGIN, GAP, MOST, tensor_html, tower_html
from tinyhyper.plain import short

NAMES = st.text(min_size=1, max_size=12)
STATEMENT = re.compile(r"  +n(?P<source>\d+)(?: -> n(?P<target>\d+))? \[(?P<facts>.*)\];")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def tower(names=("w",), stack="adam/sgd", steps=2):
    return trained(stack, steps, dict.fromkeys(names, [1.0, -2.0]))


def statements(text):
    """The nodes and edges that a DOT text states: of each, the numbers, and what is said of it."""
    return [
        (int(found["source"]), found["target"] and int(found["target"]), found["facts"])
        for line in text.splitlines()
        if (found := STATEMENT.fullmatch(line))
    ]


def said(facts, key):
    found = re.search(key + "=" + STRING.pattern, facts)
    return found and found[1]


@given(st.lists(NAMES, min_size=1, max_size=2, unique=True), st.integers(1, 3))
def test_dot_states_every_node_once_and_every_edge(names, steps):
    tape = tower(names, "sgd/sgd", steps)
    found = statements(tape.to_dot())
    assert sorted(source for source, target, _ in found if target is None) == [node.number for node in tape.nodes]
    assert [(s, t) for s, t, _ in found if t is not None] == [(edge.source, edge.target) for edge in tape.edges]


def test_dot_has_a_cluster_for_each_step_and_shows_flows_apart():
    tape = tower()
    text = to_dot(tape)
    assert re.findall(r"subgraph cluster_(\d+)", text) == ["0", "1", "2"]
    edges = [facts for _, target, facts in statements(text) if target is not None]
    for edge, facts in zip(tape.edges, edges):
        reason = None if edge.cut is None else f"✂{edge.cut} {tape.cuts[edge.cut].reason}"
        assert said(facts, "label") == reason
        assert (said(facts, "style") == "dashed") == (edge.flow == "cut")
        assert (said(facts, "color") == "#c8c8c8") == (edge.flow == "value")
    assert {"weights", "hyperparameter", "gradient", "state"} == {cut.reason for cut in tape.cuts}


def test_dot_calls_values_what_the_tree_calls_them():
    labels = [said(facts, "label") for _, target, facts in statements(to_dot(tower())) if target is None]
    for name in ("w[0]\\n[2]", "loss[0]\\nadd\\n5", "∂loss[0]/∂w[0]\\n[2]", "kappa\\n0.01"):
        assert name in labels
    assert any(label.startswith("w[1], w.m[1], w.v[1]\\nAdam.rule") for label in labels)


@given(st.text(st.sampled_from('&;\\"n\nx\t<∂') | st.characters(codec="utf-8")))
@example('&amp; \\N "x"\n\\')
def test_quoted_text_is_one_string_and_keeps_what_is_printable(text):
    written = quoted(text)
    assert STRING.fullmatch(written) and "\n" not in written
    read = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], html.unescape(written[1:-1]))
    assert read == "".join(c if c.isprintable() or c == "\n" else " " for c in text)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@given(st.lists(NAMES, min_size=1, max_size=2, unique=True))
def test_graphviz_reads_what_is_written(names):
    tape = tower([*names, '\\N "quoted" <b>&lt;</b>\n{|}'], "sgd", 1)
    run = subprocess.run(["dot", "-Tplain"], input=to_dot(tape), capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0 and not run.stderr, run.stderr
    assert run.stdout.count("\nnode ") == len(tape.nodes) and run.stdout.count("\nedge ") == len(tape.edges)


def test_networkx_has_every_field_of_every_record():
    pytest.importorskip("networkx")
    tape = tower()
    graph = tape.to_networkx()
    assert graph.is_directed() and graph.is_multigraph()
    for node in tape.nodes:
        found = dict(graph.nodes[node.number])
        assert found.pop("name") and found == dataclasses.asdict(node)
    assert graph.number_of_edges() == len(tape.edges)
    for edge in tape.edges:
        assert graph.edges[edge.source, edge.target, edge.operand] == dataclasses.asdict(edge)
    assert graph.graph["cuts"] == [dataclasses.asdict(cut) for cut in tape.cuts]
    assert (graph.graph["title"], graph.graph["steps"], graph.graph["ends"]) == (tape.title, tape.steps, tape.ends)
    assert [name for _, name in graph.nodes(data="name")][0] == "w[0]"


def test_without_networkx_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tinyhyper\[graphs\]'") as caught:
        to_networkx(th.inspect.Recording())
    assert isinstance(caught.value, ImportError) and isinstance(caught.value, th.TinyhyperError)


def read(page):
    """The rows of the tables of a page, and its words outside them. Raises for tags that do not match."""
    root = ElementTree.fromstring(page)
    assert {part.tag for part in root.iter()} <= {"div", "p", "table", "tr", "td", "th"}
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")], root.find("p").text


SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, max_side=12)


@example(np.arange(24.0).reshape(2, 12))
@example(np.arange(24).reshape(12, 2))
@given(arrays.arrays(st.sampled_from(["f4", "f8", "i8", "?"]), SHAPES))
def test_a_tensor_shows_what_it_is_and_its_values_clipped(values):
    found, words = read(tensor_html(th.tensor(values)))
    assert words == f"shape {values.shape}, {values.dtype}, requires no gradient, a constant"

    def clipped(items, gap):
        return items if len(items) <= MOST else [*items[:BEGIN], gap, *items[len(items) - MOST + BEGIN + 1 :]]

    def number(value):
        return str(value) if values.dtype.kind in "ib" else short(float(value))

    rows = [] if values.ndim > 2 else values.reshape(1, -1) if values.ndim < 2 else values
    assert found == clipped([clipped([number(value) for value in row], GAP) for row in rows], [GAP])


def test_a_tensor_says_what_made_it():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    loss = th.sum(x * x)
    assert "requires a gradient, a leaf" in x._repr_html_()
    assert "requires a gradient, made by sum<" in loss._repr_html_()
    loss.backward()
    assert "made by sum, whose graph is released" in loss._repr_html_()
    assert not read(th.tensor(np.zeros((0, 3)))._repr_html_())[0]


def test_a_tower_shows_its_levels():
    params = {"<w>": th.tensor([1.0, -2.0], requires_grad=True)}
    optimizer = th.optim.SGD({"<w>": 0.1}, 0.5, optimizer=th.optim.RMSProp(1e-4, optimizer=th.optim.SGD(1e-5)))
    for _ in range(2):
        loss = th.sum(params["<w>"] ** 2.0)
        loss.backward()
        if not optimizer.t:
            optimizer.step(params)
    rows, words = read(optimizer._repr_html_())
    assert words == str(optimizer)
    bottom, middle = [
        {key: short(value.grad.item()) for key, value in level.parameters.items() if value.grad is not None}
        for level in optimizer.levels[:2]
    ]
    assert rows == [
        ["level", "hyperparameter", "value", "coordinate", "hypergradient", "tuned by"],
        ["0 SGD, 1 step", "<w>_alpha", "0.1", "linear", bottom["<w>_alpha"], "RMSProp"],
        ["", "mu", "0.5", "linear", bottom["mu"], "RMSProp"],
        ["1 RMSProp, 1 step", "alpha", "0.0001", "sqrt", middle["alpha"], "SGD"],
        ["", "gamma", "0.99", "unit", middle["gamma"], "SGD"],
        ["", "eps", "1e-8", "linear", "–", "–"],
        ["2 SGD, 1 step", "alpha", "1e-5", "linear", "–", "–"],
    ]  # fmt: skip
    assert tower_html(optimizer) == optimizer._repr_html_()


def test_looking_at_a_tensor_or_a_tower_changes_and_records_nothing():
    optimizer = th.optim.Adam(optimizer=th.optim.SGD(0.1))
    before = str(optimizer.state_dict())
    with th.record() as tape:
        th.tensor([1.0])._repr_html_()
        optimizer._repr_html_()
    assert not tape.nodes and str(optimizer.state_dict()) == before
