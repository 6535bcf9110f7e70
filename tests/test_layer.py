"""Layers: parameters in one plain dict, modes, buffers; how parameters start."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.nn import Layer, initial
from tinyhyper.nn.initial import Initial

names = st.text("abc", min_size=1, max_size=3)
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
draws = st.sampled_from([initial.uniform(0.5), initial.normal(2.0), initial.constant(3.0)])
tables = st.dictionaries(names, st.builds(Initial, shapes, draws), max_size=3)


@st.composite
def trees(draw, depth=2, name="root"):
    """A layer with parts, all names different."""
    count = draw(st.integers(0, 2)) if depth else 0
    parts = [draw(trees(depth - 1, f"{name}.{n}")) for n in range(count)]
    buffers = {short: np.arange(n + 1.0) for n, short in enumerate(draw(st.sets(names, max_size=2)))}
    return Layer(name, draw(tables), parts, buffers)


@given(layer=trees(), seed=st.integers(0, 9), dtype=st.sampled_from([np.float32, np.float64]))
def test_parameters_follow_the_tables(layer, seed, dtype):
    params = layer.parameters(seed, dtype)
    expected = {f"{part.name}.{short}": row.shape for part in layer.walk() for short, row in part.initial.items()}
    assert {name: p.shape for name, p in params.items()} == expected
    assert all(type(p) is th.Tensor and p.is_leaf and p.requires_grad and p.dtype == dtype for p in params.values())
    again = layer.parameters(np.random.default_rng(seed), dtype)
    assert all(np.array_equal(p.data, again[name].data) for name, p in params.items())
    for part in layer.walk():
        for short in part.initial:
            assert part.parameter(params, short) is params[f"{part.name}.{short}"]


@given(layer=trees(), seed=st.integers(0, 9))
def test_a_layer_can_be_pickled(layer, seed):
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer) and again.buffers.keys() == layer.buffers.keys()
    params = layer.parameters(seed)
    assert all(np.array_equal(p.data, params[name].data) for name, p in again.parameters(seed).items())


@given(layer=trees())
def test_modes_reach_every_part(layer):
    assert all(part.training for part in layer.walk())
    assert layer.eval() is layer and not any(part.training for part in layer.walk())
    assert layer.train() is layer and all(part.training for part in layer.walk())


@given(layer=trees(), data=st.data())
def test_buffers_are_copies_and_can_be_loaded(layer, data):
    before = layer.buffers
    for array in layer.buffers.values():
        array += 1.0
    assert all(np.array_equal(array, before[name]) for name, array in layer.buffers.items())
    saved = {name: array + 7.0 for name, array in before.items()}
    layer.load_buffers(saved)
    assert layer.buffers.keys() == saved.keys()
    assert all(np.array_equal(array, saved[name]) for name, array in layer.buffers.items())
    for array in saved.values():
        array += 1.0  # the layer does not share it
    assert all(np.array_equal(array, before[name] + 7.0) for name, array in layer.buffers.items())


@given(layer=trees().filter(lambda layer: layer.buffers), data=st.data())
def test_wrong_buffers_are_refused_before_anything_has_changed(layer, data):
    before = layer.buffers
    name = data.draw(st.sampled_from(sorted(before)))
    fresh = {key: array + 1.0 for key, array in before.items()}
    missing = {key: array for key, array in fresh.items() if key != name}
    for saved, kind in [
        (missing, th.ArgumentError),
        ({**fresh, "other": np.zeros(1)}, th.ArgumentError),
        ({**fresh, name: np.zeros(99)}, th.ShapeError),
    ]:
        with pytest.raises(kind, match="other" if "other" in saved else name):
            layer.load_buffers(saved)
    assert all(np.array_equal(array, before[key]) for key, array in layer.buffers.items())


def test_two_layers_of_one_name_are_refused():
    table = {"weight": Initial((2,), initial.constant(0.0))}
    with pytest.raises(th.ArgumentError, match="'twin'"):
        Layer("root", parts=[Layer("twin", table), Layer("twin", table)]).parameters()


def test_a_missing_or_misshapen_parameter_is_named():
    layer = Layer("fc", {"weight": Initial((2, 3), initial.constant(1.0))})
    with pytest.raises(th.ArgumentError, match="fc.weight"):
        layer.parameter({}, "weight")
    with pytest.raises(th.ShapeError, match=r"fc.weight has shape \(3,\), not \(2, 3\)"):
        layer.parameter({"fc.weight": th.tensor(np.ones(3))}, "weight")


def test_a_layer_prints_its_tables():
    inner = Layer("fc", {"weight": Initial((2, 3), initial.constant(1.0))})
    assert repr(Layer("net", parts=[inner])) == "Layer('net', Layer('fc', weight (2, 3)))"


@given(bound=st.floats(0.1, 10.0), seed=st.integers(0, 99))
def test_uniform_fills_its_interval(bound, seed):
    values = initial.uniform(bound)(np.random.default_rng(seed), (4000,))
    assert np.abs(values).max() <= bound
    assert values.min() < -0.95 * bound and values.max() > 0.95 * bound
    assert abs(values.std() - bound / 3**0.5) < 0.05 * bound


@given(deviation=st.floats(0.1, 10.0), seed=st.integers(0, 99))
def test_normal_has_its_deviation(deviation, seed):
    values = initial.normal(deviation)(np.random.default_rng(seed), (4000,))
    assert abs(values.std() - deviation) < 0.1 * deviation and abs(values.mean()) < 0.1 * deviation


def test_constant_draws_nothing():
    rng = np.random.default_rng(0)
    assert np.array_equal(initial.constant(2.5)(rng, (2, 2)), np.full((2, 2), 2.5))
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_the_cut_of_a_carried_state_is_the_line_that_asked_for_it():
    h, c = th.tensor(np.ones((2, 3)), requires_grad=True) * 1.0, th.tensor(np.ones((2, 3)))
    with th.record() as tape:
        ((again, _),) = th.nn.cut([(h, c)])
    assert [cut.reason for cut in tape.cuts] == ["carried state"] * 2
    assert all(cut.file == __file__ for cut in tape.cuts) and len({cut.line for cut in tape.cuts}) == 1
    assert again.edge is None and h.edge is not None and np.shares_memory(again.data, h.data)
