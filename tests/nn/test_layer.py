"""Layers: parameters in one plain dict, modes, buffers; how parameters start."""

import inspect
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


@given(layer=trees().filter(lambda layer: layer.buffers))
def test_live_buffers_are_those_of_the_layers(layer):
    live = layer.live_buffers
    assert [*live] == [*layer.buffers] and len(live) == len(layer.buffers)
    for name in live:
        live[name] = live[name] + 3.0
    assert all(np.array_equal(array, layer.buffers[name]) for name, array in live.items())
    with pytest.raises(th.ArgumentError, match="cannot be removed"):
        live.popitem()


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


class Kept(Layer):
    """A buffer of each kind."""

    nonnegative = ("count", "variance")

    def __init__(self):
        buffers = {
            "count": np.zeros((), np.int64), "steps": np.zeros(2, np.int32), "seen": np.zeros(1, bool),
            "variance": np.ones(2), "narrow": np.ones(1, np.float32), "least": np.array(np.inf),
        }  # fmt: skip
        super().__init__("kept", buffers=buffers)


@pytest.mark.parametrize("short, value, kind", [
    ("count", 1.7, th.ArgumentError), ("count", -1, th.ArgumentError), ("count", np.nan, th.ArgumentError),
    ("count", 1e30, th.ArgumentError), ("count", np.uint64(2**63), th.ArgumentError), ("count", True, th.DtypeError),
    ("count", "1", th.DtypeError), ("count", None, th.DtypeError), ("count", [1], th.ShapeError),
    ("steps", [1, 2**31], th.ArgumentError), ("steps", [1.5, 2], th.ArgumentError),
    ("steps", [1, [2]], th.ArgumentError),
    ("variance", [1, -1e-300], th.ArgumentError), ("variance", [np.nan, 1], th.ArgumentError),
    ("variance", [1, np.inf], th.ArgumentError), ("variance", [1, 1j], th.DtypeError),
    ("narrow", [1e39], th.ArgumentError), ("narrow", [[1.0]], th.ShapeError), ("seen", [1], th.DtypeError),
    ("variance", np.ma.array([1.0, 2.0], mask=[True, False]), th.DtypeError),
])  # fmt: skip
def test_a_value_that_a_buffer_never_has_is_refused_before_anything_has_changed(short, value, kind):
    layer = Kept()
    before = layer.buffers
    fresh = {name: array + 1 if array.dtype != bool else ~array for name, array in before.items()}
    with pytest.raises(kind, match=f"load_buffers: kept.{short}"):
        layer.load_buffers({**fresh, f"kept.{short}": value})
    assert all(np.array_equal(array, before[name]) for name, array in layer.buffers.items())


def test_a_buffer_that_starts_infinite_may_be_infinite_and_whole_numbers_may_be_floats():
    layer = Kept()
    values = {"kept.count": 3.0, "kept.steps": [-1, 2.0], "kept.variance": np.float32([0, 2])}
    layer.load_buffers({**layer.buffers, **values})
    again = Kept()
    again.load_buffers(layer.buffers)
    assert again.own["count"] == 3 and again.own["count"].dtype == np.int64 and again.own["least"] == np.inf
    assert again.own["steps"].tolist() == [-1, 2] and again.own["variance"].dtype == np.float64


@pytest.mark.parametrize("tables", [("initial",), ("own",), ("initial", "own")])
def test_layers_of_one_name_with_tables_have_no_parameters(tables):
    table = {"weight": Initial((2,), initial.constant(0.0))}
    given_tables = {"initial": table if "initial" in tables else None}
    given_tables["buffers"] = {"calls": np.zeros(())} if "own" in tables else None
    model = Layer("root", parts=[Layer("twin", **given_tables), Layer("twin", **given_tables)])
    with pytest.raises(th.ArgumentError, match="two layers are named 'twin'"):
        model.parameters()
    for use in [lambda: model.buffers, lambda: model.load_buffers({})] if "own" in tables else []:
        with pytest.raises(th.ArgumentError, match="two layers are named 'twin'"):
            use()


def test_parts_that_hold_nothing_may_share_a_name():
    assert Layer("root", parts=[Layer("pool"), Layer("pool")]).parameters() == {}


ROW = Initial((2,), initial.constant(0.0))


@pytest.mark.parametrize("make, words", [
    (lambda: Layer(3), "Layer: the first argument must be a name.*not 3"),
    (lambda: Layer("net", parts=None), "parts must be a list of layers.*not None"),
    (lambda: Layer("net", {"weight": ROW}).parameter({}, "weight"), "list the layer among its parts"),
])  # fmt: skip
def test_what_is_no_layer_is_refused(make, words):
    with pytest.raises(th.ArgumentError, match=words):
        make()


# Every size of every layer: a call that takes it, and what its error begins with.
SIZES = {
    "Linear: inputs": lambda size: th.nn.Linear("a", size, 2),
    "Linear: outputs": lambda size: th.nn.Linear("a", 2, size),
    "Embedding: count": lambda size: th.nn.Embedding("a", size, 2),
    "Embedding: width": lambda size: th.nn.Embedding("a", 2, size),
    "Conv2d: inputs": lambda size: th.nn.Conv2d("a", size, 2),
    "Conv2d: outputs": lambda size: th.nn.Conv2d("a", 2, size),
    "BatchNorm2d: channels": lambda size: th.nn.BatchNorm2d("a", size),
    "LSTM: inputs": lambda size: th.nn.LSTM("a", size, 2),
    "LSTM: hidden": lambda size: th.nn.LSTM("a", 2, size),
    "LSTM: layers": lambda size: th.nn.LSTM("a", 2, 2, size),
    "Embedding: count of CharLSTM": lambda size: th.nn.CharLSTM("a", size),
    "ResidualBlock: inputs": lambda size: th.nn.ResidualBlock("a", size, 2),
    "ResidualBlock: outputs": lambda size: th.nn.ResidualBlock("a", 1, size),
    "ResidualBlock: stride": lambda size: th.nn.ResidualBlock("a", 1, 1, size),
    "ResNet: depth": lambda size: th.nn.ResNet(size),
    "ResNet: each of the widths": lambda size: th.nn.ResNet(8, widths=(1, size, 2)),
}


@given(what=st.sampled_from(sorted(SIZES)), size=st.sampled_from([0, -3, 2.5, "2", None, (2, 2), np.float64(4)]))
def test_a_size_is_a_whole_number_of_at_least_1(what, size):
    with pytest.raises(th.ArgumentError, match=f"{what.split(' of CharLSTM')[0]} must be an integer >= 1"):
        SIZES[what](size)


@pytest.mark.parametrize("what", sorted(set(SIZES) - {"ResNet: depth"}))
def test_a_size_of_numpys_will_do(what):
    assert SIZES[what](np.int64(2)).parameters()


@pytest.mark.parametrize("make", [
    lambda: th.nn.Conv2d(3, 16, 3),
    lambda: th.nn.Linear(3, 4, 5),
    lambda: th.nn.LSTM(3, 4, 5),
    lambda: th.nn.CharLSTM(65, 128),
    lambda: th.nn.Dropout(0.5),
    lambda: th.nn.BatchNorm2d(16, 3),
    lambda: th.nn.ResidualBlock(1, 2, 3),
    lambda: th.nn.MaxPool2d(2, 2),
])  # fmt: skip
def test_a_forgotten_name_is_asked_for(make):
    with pytest.raises(th.ArgumentError, match="the first argument must be a name"):
        make()


def test_a_layer_prints_its_tables():
    inner = Layer("fc", {"weight": Initial((2, 3), initial.constant(1.0))})
    assert repr(Layer("net", parts=[inner])) == "Layer('net', Layer('fc', weight (2, 3)))"


def test_a_layer_prints_what_else_it_was_given():
    assert repr(th.nn.Conv2d("c", 3, 4, stride=2)) == (
        "Conv2d('c', weight (3, 3, 3, 4), bias (4,), stride=(2, 2), padding=(0, 0))"
    )
    assert repr(th.nn.MaxPool2d("p", 2)) == "MaxPool2d('p', kernel=(2, 2), stride=(2, 2), padding=(0, 0))"
    assert repr(th.nn.Dropout("d", 0.1, 3)) == "Dropout('d', p=0.1, seed=3)"
    assert repr(th.nn.BatchNorm2d("n", 3)) == "BatchNorm2d('n', weight (3,), bias (3,), eps=1e-05, momentum=0.1)"


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


@pytest.mark.parametrize("layer, count", [
    (th.nn.Linear("fc", 64, 300), 64), (th.nn.Conv2d("c", 16, 400, kernel=(3, 5)), 3 * 5 * 16),
    (th.nn.LSTM("lstm", 30, 64, 2), 64),
])  # fmt: skip
def test_weights_start_as_pytorchs(layer, count):
    """Uniform within 1 / sqrt(count)."""
    for p in layer.parameters(dtype=np.float64).values():
        values = p.data * count**0.5
        assert 0.95 < abs(values).max() <= 1 and abs(values.mean()) < 0.1 and abs(values.var() - 1 / 3) < 0.06


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


class Counter(Layer):
    """A layer whose call has names of its own."""

    def __init__(self):
        super().__init__("counter", buffers={"calls": np.zeros((), np.int64)})

    def __call__(self, weights, x, by=1):
        """Count."""
        self.own["calls"] += by
        return x


def test_a_call_is_called_as_it_is_written():
    tower = th.optim.SGD(0.1, on_nonfinite="skip")  # so that buffers are noted first
    layer = Counter()
    assert layer({}, 1) == layer(weights={}, x=1) == layer({}, x=1, by=2) == layer(None, 1) == 1
    assert layer.own["calls"] == 5 and Counter.__call__.__doc__ == "Count."
    assert [*inspect.signature(layer).parameters] == ["weights", "x", "by"]
    with pytest.raises(TypeError, match=r"Counter.__call__\(\) missing 2 required positional arguments: 'weights'"):
        layer()
    assert tower.skipped == 0


def test_a_layer_that_does_not_say_what_it_computes_computes_nothing():
    with pytest.raises(NotImplementedError):
        Layer("layer")({}, np.ones(2))
