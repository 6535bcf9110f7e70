"""A recording says what happened, where it was cut, and holds nothing alive."""

import gc
import inspect
import weakref

import numpy as np
import pytest
import recordings
from recordings import by_hand, tower

import tinyhyper as th
from tinyhyper.core.tape import NOBODY, current
from tinyhyper.core.tensor import leaf
from tinyhyper.finite import norm
from tinyhyper.inspect.groups import contributions


def shown(tape):
    """The edges by the names of what they join."""

    def called(number, output):
        node = tape.nodes[number]
        label = node.outputs[output].label
        if node.kind == "gradient":
            return "gradient"
        return label.name if label is not None else node.op or node.kind

    return sorted(
        (called(edge.source, edge.output), called(edge.target, 0), edge.flow)
        for edge in tape.edges
        if not tape.nodes[edge.target].sweep
    )


def test_edges_of_a_step_are_exactly_these():
    tape = by_hand(steps=1)
    assert shown(tape) == [
        ("add", "gradient", "value"),
        ("alpha", "multiply", "kept"),
        ("gradient", "multiply", "cut"),
        ("multiply", "sum", "kept"),
        ("multiply", "w", "kept"),
        ("w", "multiply", "kept"),
        ("w", "multiply", "kept"),
        ("w", "w", "cut"),
    ]
    forward = [(node.op, node.kind) for node in tape.nodes if not node.sweep and node.kind != "gradient"]
    assert forward == [
        (None, "leaf"), ("multiply", "operation"), ("sum", "operation"),
        (None, "leaf"), ("multiply", "operation"), ("subtract", "operation"),
    ]  # fmt: skip


def test_a_cut_knows_its_reason_file_line_shape_and_readers():
    w = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        w * 2.0
        cut = w.detach("because")
        line = inspect.currentframe().f_lineno - 1
        other = next(x.detach() for x in (w,))
        cut + 1.0
        cut * other
    first, second = tape.cuts
    assert (first.reason, first.file, first.line, first.shape) == ("because", __file__, line, (2,))
    assert (second.reason, second.line) == (None, line + 2)
    assert [tape.nodes[n].op for n in first.targets] == ["add", "multiply"]
    assert [tape.nodes[n].op for n in second.targets] == ["multiply"]
    assert first.source == second.source == 0 and tape.nodes[0].kind == "leaf"
    assert first.severed


def test_a_cut_of_what_has_no_graph_severs_nothing():
    tape = by_hand(steps=1)
    assert {cut.reason: cut.severed for cut in tape.cuts} == {"weights": True, "gradient": False}


def test_a_cut_inside_the_package_is_the_line_of_the_tower():
    tape = tower()
    assert tape.cuts
    assert {(cut.file, cut.line) for cut in tape.cuts} == {(th.core.tower.__file__, tape.cuts[0].line)}
    assert {node.file for node in tape.nodes} == {recordings.__file__}


def test_a_node_knows_its_shape_dtype_value_line_and_step():
    x = th.tensor([[1.0, 2.0]], requires_grad=True, dtype=np.float32)
    with th.record() as tape:
        tape.step()
        y = th.sum(x)
    node = tape.nodes[-1]
    assert (node.op, node.step, node.file) == ("sum", 1, __file__)
    assert node.line == inspect.currentframe().f_lineno - 3
    assert (node.outputs[0].shape, node.outputs[0].dtype, node.outputs[0].value) == ((), "float32", 3.0)
    assert node.serial == y.edge[0].serial


def test_values_made_before_are_told_from_leaves_and_constants():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    with th.record() as tape:
        y + x + 3.0
    assert [(node.kind, node.op) for node in tape.nodes[:2]] == [("earlier", "multiply"), ("leaf", None)]
    assert [node.outputs[0].value for node in tape.nodes if node.kind == "constant"] == [3.0]


def test_a_gradient_knows_of_what_and_of_which_loss():
    tape = by_hand()
    for gradient in (node for node in tape.nodes if node.kind == "gradient"):
        label = tape.nodes[gradient.of[0]].outputs[gradient.of[1]].label
        assert label.name in ("w", "alpha")
        assert tape.nodes[gradient.loss[0]].op == "sum"
        assert tape.nodes[gradient.loss[0]].step == gradient.step


def test_no_gradient_flows_where_none_is_recorded():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        with th.no_grad():
            x * 2.0
        th.tensor([1.0]) * 2.0
    assert {edge.flow for edge in tape.edges} == {"value"}


def test_a_leaf_made_of_a_cut_tensor_follows_the_cut():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        leaf(x.detach("here")) * 2.0
    assert [(edge.flow, edge.cut) for edge in tape.edges if edge.target == tape.cuts[0].targets[0]] == [("cut", 0)]
    assert any(edge.flow == "kept" for edge in tape.edges)


def test_nothing_is_recorded_outside():
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as tape:
        x * 2.0
    counts = len(tape.nodes), len(tape.edges), len(tape.cuts)
    (x * 3.0).backward()
    x.detach()
    assert counts == (len(tape.nodes), len(tape.edges), len(tape.cuts))
    assert current().watcher is NOBODY


def test_recordings_nest_and_survive_errors():
    x = th.tensor([1.0], requires_grad=True)
    with th.record() as outer:
        x * 2.0
        with pytest.raises(ZeroDivisionError), th.record() as inner:
            th.tanh(x)
            raise ZeroDivisionError
        th.exp(x)
    assert [node.op for node in outer.nodes if node.op] == ["multiply", "exp"]
    assert [node.op for node in inner.nodes if node.op] == ["tanh"]
    assert current().watcher is NOBODY


def test_nothing_is_held_alive_and_no_cycle_is_made():
    gc.collect()
    gc.disable()
    try:
        with th.record() as tape:
            x = th.tensor(np.ones(1000), requires_grad=True)
            y = th.tanh(x) * 2.0
            z = th.sum(y.detach("here") * x)
            held = [weakref.ref(thing) for thing in (x, y, z, x.array, y.array, y.edge[0], z.edge[0])]
            del y, z
            assert [ref() is None for ref in held] == [False, True, True, False, True, True, True]
            del x
        assert all(ref() is None for ref in held)
        assert len(tape.cuts) == 1
    finally:
        gc.enable()


def test_a_long_recording_is_not_confused_by_reused_memory():
    with th.record() as tape:
        for n in range(300):
            th.tensor(float(n)).detach() + 1.0
    constants = [node.outputs[0].value for node in tape.nodes if node.kind == "constant"]
    assert constants[::2] == [float(n) for n in range(300)]
    assert [len(cut.targets) for cut in tape.cuts] == [1] * 300


@pytest.mark.parametrize("dtype, unit", [("f8", 1e200), ("f8", 1e-200), ("f8", 1.0), ("f4", 1e30), ("f4", 1e-30)])
def test_a_norm_is_right_at_every_size(dtype, unit):
    parts = [(np.array([[3.0], [4.0]]) * unit * share).astype(dtype) for share in (0.25, 0.75)]
    np.testing.assert_allclose(norm(sum(parts)), 5 * unit, rtol=1e-6)
    values = contributions(parts, sum(parts))
    np.testing.assert_allclose(values, np.array([1.25, 3.75]) * unit, rtol=1e-6)


@pytest.mark.parametrize("values, expected", [
    ([], 0.0), ([0.0, 0.0], 0.0), ([np.inf, 1.0], np.inf), ([np.nan, np.inf], np.nan),
])  # fmt: skip
def test_a_norm_is_not_finite_just_if_an_element_is_not(values, expected):
    np.testing.assert_equal(norm(np.array(values)), expected)
