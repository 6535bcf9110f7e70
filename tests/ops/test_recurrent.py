"""The LSTM: the factory's properties, kernel and steps against each other, the layer, the cut, the character model."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from backends import THERE, compiler_is_off, kernels, recurrent_backend
from factory import SEEDS, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.nn import LSTM, CharLSTM, cut
from tinyhyper.testing import collector_off

module, threads = kernels("recurrent"), kernels("threads")


@pytest.fixture(autouse=True)
def _as_before():
    before = threads.num_threads() if THERE else None
    yield
    recurrent_backend("auto")
    if THERE:
        threads.set_num_threads(before)


# ---- The factory's properties


def formula(x, weight, recurrent, bias, h, c):
    """An LSTM layer, written down plainly: every h, and the last c."""
    outs = []
    for step in x:
        i, f, g, o = np.split(step @ weight + h @ recurrent + bias, 4, axis=-1)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outs.append(h)
    return np.stack([*outs, c])


def _layer(x, weight, recurrent, bias, h, c):
    out, (last, c) = th.lstm(x, weight, recurrent, bias, (h, c))
    assert np.array_equal(last.data, out.data[-1])
    return th.concatenate([out, c[None]])


def shapes(length, batch, inputs, width):
    state = (batch, width)
    return [(length, batch, inputs), (inputs, 4 * width), (width, 4 * width), (4 * width,), state, state]


SIDE = st.integers(1, 3)
CASES = st.builds(lambda sizes, seed: example(shapes(*sizes), {}, seed), st.tuples(SIDE, SIDE, SIDE, SIDE), SEEDS)

ROWS = [Row("lstm", formula, CASES, _layer, integers=False)]
test_property = property_test(ROWS)


# ---- One formula, several readers


def operands(seed, *sizes, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [th.tensor(rng.standard_normal(shape).astype(dtype) / 2, requires_grad=True) for shape in shapes(*sizes)]


def run(operands, which="hc", create_graph=False, ids=None):
    """The values, the gradients of what `which` names, and with create_graph the gradients of those."""
    *weights, h, c = operands
    out, (h1, c1) = th.lstm(*weights, (h, c), ids)
    losses = {"h": th.sum(out * np.cos(np.arange(out.size).reshape(out.shape))), "l": th.sum(h1), "c": th.sum(c1 * c1)}
    total = sum((losses[name] for name in which[1:]), losses[which[0]])
    found = th.gradients(total, operands, create_graph=create_graph)
    arrays = [out.data, c1.data, *[g.data for g in found]]
    if create_graph:
        again = sum((th.sum(g * g) for g in found[1:]), th.sum(found[0] * found[0]))
        arrays += [g.data for g in th.gradients(again, operands)]
    return arrays


SIZES = st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 7]), st.integers(1, 3), st.sampled_from([1, 5, 17]))
WHICH = st.sampled_from(["h", "l", "c", "hc", "lc", "hlc"])


@pytest.mark.slow
@pytest.mark.parametrize("create_graph", [False, True])
@given(seed=SEEDS, sizes=SIZES, reads=WHICH.map(lambda which: (which, np.float64)) | st.just(("h", np.float32)))
def test_the_kernel_computes_what_the_steps_do(create_graph, seed, sizes, reads):
    found, (which, dtype) = [], reads
    for backend in ("numba", "numpy"):
        recurrent_backend(backend)
        found.append(run(operands(seed, *sizes, dtype=dtype), which, create_graph))
    tolerance = (30, 45_000)[create_graph] * np.finfo(dtype).eps
    for one, other in zip(*found):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * (1 + abs(other).max()))


@pytest.mark.slow
@given(seed=SEEDS, sizes=SIZES, which=WHICH, backend=st.sampled_from(["numba", "numpy"]))
def test_a_recorded_pullback_is_the_unrecorded_one(seed, sizes, which, backend):
    recurrent_backend(backend)
    plain, recorded = (run(operands(seed, *sizes), which, create_graph) for create_graph in (False, True))
    for one, other in zip(plain, recorded):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * (1 + abs(other).max()))


@pytest.mark.slow
@given(seed=SEEDS, batch=st.integers(2, 30))
def test_threads_change_no_bit(seed, batch):
    recurrent_backend("numba")
    before, module.PART = module.PART, 1
    try:
        found = []
        for count in (1, 2, 3, 2):
            threads.set_num_threads(count)
            found.append(run(operands(seed, 3, batch, 2, 5)))
    finally:
        module.PART = before
    for other in found[3:] if compiler_is_off() else found:  # BLAS multiplies few rows otherwise than many
        assert all(one.tobytes() == two.tobytes() for one, two in zip(found[1], other))


def test_the_batch_is_shared_by_threads_where_it_pays():
    threads.set_num_threads(2)
    assert module.parts((50, 50, 512)) == [(0, 25), (25, 50)]
    assert module.parts((2, 50, 512)) == [(0, 50)] and module.parts((500, 1, 4000)) == [(0, 1)]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_watching_does_not_change_a_bit(backend):
    recurrent_backend(backend)
    plain = run(operands(3, 4, 5, 2, 6))
    with th.record() as tape:
        watched = run(operands(3, 4, 5, 2, 6))
    assert {"lstm", "lstm.vjp"} <= {node.op for node in tape.nodes}
    assert all(one.tobytes() == two.tobytes() for one, two in zip(plain, watched))


@pytest.mark.skipif(compiler_is_off(), reason="nothing is compiled")
def test_long_sequences_go_to_the_kernel_and_short_ones_do_not():
    assert module.by_kernel((50, 50, 512)) and not module.by_kernel((1, 1, 512))


# ---- What must be true of a sequence


@given(seed=SEEDS, sizes=SIZES, at=st.integers(0, 3), backend=st.sampled_from(["numba", "numpy"]))
def test_a_sequence_in_two_parts_is_the_whole(seed, sizes, at, backend):
    """Values, and gradients too, where the state is carried uncut."""
    recurrent_backend(backend)
    length = sizes[0] + 1
    at = 1 + at % (length - 1)
    xs = operands(seed, length, *sizes[1:])
    x, *weights, h, c = xs
    whole, (_, c_whole) = th.lstm(x, *weights, (h, c))
    first, state = th.lstm(x[:at], *weights, (h, c))
    second, (_, c_parts) = th.lstm(x[at:], *weights, state)
    parts = th.concatenate([first, second])
    np.testing.assert_allclose(parts.data, whole.data, rtol=1e-13, atol=1e-15)
    for one, other in zip(
        *(th.gradients(th.sum(o * o) + th.sum(k), xs) for o, k in [(whole, c_whole), (parts, c_parts)])
    ):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-11, atol=1e-12)


@given(seed=SEEDS, sizes=SIZES, count=st.sampled_from([1, 3, 40]), backend=st.sampled_from(["numba", "numpy"]))
def test_ids_name_rows_of_a_table(seed, sizes, count, backend):
    """Whether rows are multiplied before they are taken (few rows) or after (many)."""
    recurrent_backend(backend)
    length, batch, inputs, _ = sizes
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, count, (length, batch))
    table = th.tensor(rng.standard_normal((count, inputs)), requires_grad=True)
    _, *rest = operands(seed, *sizes)
    named = run([table, *rest], ids=ids)
    taken = [th.take(table, ids, 0), *rest]
    *weights, h, c = taken
    out, (_, c1) = th.lstm(*weights, (h, c))
    total = th.sum(out * np.cos(np.arange(out.size).reshape(out.shape))) + th.sum(c1 * c1)
    for one, other in zip(named, [out, c1, *th.gradients(total, [table, *rest])]):
        np.testing.assert_allclose(one, other.data, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_a_diverging_run_shows_it(backend):
    recurrent_backend(backend)
    x, *rest = operands(0, 3, 2, 2, 4)
    x = th.tensor(np.where(np.arange(12).reshape(3, 2, 2) == 5, np.nan, 1e30))  # the first text, at the second step
    out, _ = th.lstm(x, *rest[:-2], tuple(rest[-2:]))
    assert np.isfinite(out.data[:, 1]).all() and np.isfinite(out.data[0]).all() and np.isnan(out.data[1:, 0]).all()


def test_dtypes_meet_as_numpys_do():
    xs = operands(0, 2, 2, 3, 4, dtype=np.float32)
    mixed = [th.tensor(xs[0].data.astype(np.float64), requires_grad=True), *xs[1:]]
    *weights, h, c = mixed
    out, _ = th.lstm(*weights, (h, c))
    assert out.dtype == np.float64
    assert [g.dtype for g in th.gradients(th.sum(out), mixed)] == [x.dtype for x in mixed]
    assert th.lstm(*xs[:4])[0].dtype == np.float32


# ---- The layer


@given(seed=SEEDS, sizes=SIZES, layers=st.integers(1, 3))
def test_each_layer_reads_the_one_below_it(seed, sizes, layers):
    length, batch, inputs, hidden = sizes
    network, rng = LSTM("lstm", inputs, hidden, layers), np.random.default_rng(seed)
    params = network.parameters(seed, np.float64)
    x, states = rng.standard_normal((length, batch, inputs)), rng.standard_normal((layers, 2, batch, hidden))
    found, last = network(params, x, [*map(tuple, states)])
    for n, state in enumerate(states):
        weights = [params[f"lstm.layer{n}.{name}"] for name in ("weight", "recurrent", "bias")]
        x, kept = th.lstm(x, *weights, tuple(state))
        assert all(np.array_equal(one.data, other.data) for one, other in zip(last[n], kept))
    assert np.array_equal(found.data, x.data)


# ---- From batch to batch


def _batches(count, network, params, optimizer, length=6, batch=3):
    """Train on so many batches, carrying the state."""
    rng, state, nodes = np.random.default_rng(0), None, []
    for _ in range(count):
        x = rng.standard_normal((length, batch, 2)).astype(np.float32)
        out, state = network(params, x, state)
        loss = th.mean(out * out)
        nodes.append(weakref.ref(loss.edge[0]))
        loss.backward()
        optimizer.step(params)
        state = cut(state)
    return nodes


def test_a_recording_shows_the_cut():
    network = LSTM("lstm", 2, 4, 2)
    params = network.parameters(0)
    with th.record() as tape:
        _batches(3, network, params, th.optim.SGD(0.1))
    cuts = [c for c in tape.cuts if c.reason == "carried state"]
    assert [c.shape for c in cuts] == [(3, 4)] * 12  # of both layers h and c, in each batch
    assert all(c.file.endswith("recurrent.py") and c.line > 0 for c in cuts)
    assert all(c.targets for c in cuts[:8]) and not any(c.targets for c in cuts[8:])  # the next batch reads them


def test_no_gradient_flows_through_the_cut():
    network = LSTM("lstm", 2, 4, 2)
    params = network.parameters(0)
    x = th.tensor(np.ones((3, 2, 2), np.float32), requires_grad=True)
    _, state = network(params, x)
    for carried, flows in ((state, True), (cut(state), False)):
        assert all(np.array_equal(h.data, g.data) for pair, same in zip(carried, state) for h, g in zip(pair, same))
        out, _ = network(params, x.detach(), carried)
        assert np.any(th.gradients(th.sum(out), x)[0].data != 0) == flows


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy"] if compiler_is_off() else ["numba", "numpy"])
def test_memory_stays_flat_and_no_graph_is_left(backend):
    recurrent_backend(backend)
    network = LSTM("lstm", 2, 4, 2)
    params = network.parameters(0)
    optimizer = th.optim.Adam(0.01, optimizer=th.optim.Adam(1e-4))
    with collector_off():
        tracemalloc.start()
        try:
            _batches(20, network, params, optimizer)
            gc.collect()  # and with it what the interpreter keeps of tuples and numbers that are gone
            before = tracemalloc.get_traced_memory()[0]
            nodes = _batches(20, network, params, optimizer)
            assert not any(node() for node in nodes) and gc.collect() == 0
            del nodes
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert after - before < 10_000  # the states and gates of these batches are 100,000


# ---- Errors


@pytest.mark.parametrize(
    "change, words",
    [
        ({0: (2, 3)}, r"lstm: x \(2, 3\)"),
        ({0: (0, 2, 3)}, r"x \(0, 2, 3\).*at least one step"),
        ({0: (2, 2, 4)}, r"x \(2, 2, 4\), weight \(3, 20\)"),
        ({1: (3, 16)}, r"weight \(3, 16\), recurrent \(5, 20\)"),
        ({2: (5, 16)}, r"recurrent \(5, 16\)"),
        ({2: ()}, r"recurrent \(\)"),
        ({3: (19,)}, r"bias of shape \(19,\)"),
        ({4: (2, 4)}, r"h \(2, 4\)"),
        ({5: (3, 5)}, r"c \(3, 5\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, words):
    each = [change.get(n, shape) for n, shape in enumerate(shapes(2, 2, 3, 5))]
    *weights, h, c = map(np.ones, each)
    with pytest.raises(th.ShapeError, match=words):
        th.lstm(*weights, (h, c))


def test_what_is_no_float_is_refused():
    *weights, h, c = [np.ones(shape, np.int64) for shape in shapes(2, 2, 3, 5)]
    with pytest.raises(th.DtypeError, match="int64"):
        th.lstm(*weights, (h, c))


@given(layers=st.integers(1, 3), kind=st.sampled_from([tuple, list]))
def test_the_state_of_pytorch_is_no_list_of_pairs(layers, kind):
    """Least of all for two layers, where it has as many members."""
    network, x = LSTM("words", 3, 5, layers), np.ones((2, 2, 3), np.float32)
    params = network.parameters()
    h, c = np.random.default_rng(0).standard_normal((2, layers, 2, 5)).astype(np.float32)
    for state in [kind((h, c)), np.stack([h, c]), (h[0], c[0]), [h], [(h[0], c[0], h[0])] * layers, 3, "hc"]:
        for use in (cut, lambda state: network(params, x, state)):
            with pytest.raises(th.ArgumentError, match=r"a list of one pair \(h, c\) for each layer"):
                use(state)
    pairs = list(zip(h, c))
    for state in (pairs, tuple(pairs), [list(pair) for pair in pairs], cut(pairs)):
        out, _ = network(params, x, state)
        assert np.array_equal(out.data, network(params, x, [tuple(map(th.tensor, pair)) for pair in pairs])[0].data)


def test_the_cut_of_no_state_is_none():
    assert cut(None) is None


@pytest.mark.parametrize("state", [(np.ones((2, 5)),), np.ones((2, 2, 5)), "hc"])
def test_a_state_of_one_layer_is_a_pair(state):
    *weights, _, _ = [np.ones(shape) for shape in shapes(2, 2, 3, 5)]
    with pytest.raises(th.ArgumentError, match="pair of h and c"):
        th.lstm(*weights, state)


@pytest.mark.parametrize("ids, kind, words", [
    (np.array([[0, -1]]), th.ArgumentError, "lstm: ids must be from 0 to 6, not -1"),
    (np.array([[7, 1]]), th.ArgumentError, "lstm: ids must be from 0 to 6, not 7"),
    (np.array([[True]]), th.DtypeError, "integers, not bool"),
    (np.array([0, 1]), th.ShapeError, r"lstm: ids must have shape \(length, batch\) .*not \(\d+,\)"),
    (np.zeros((0, 2), int), th.ShapeError, r"lstm: ids must have shape .*not \(0, 2\)"),
])  # fmt: skip
@pytest.mark.parametrize("repeated", [1, 20])
def test_ids_are_checked_however_they_are_read(ids, kind, words, repeated):
    weights = [np.ones(shape) for shape in shapes(2, 2, 3, 5)[1:4]]
    with pytest.raises(kind, match=words):
        th.lstm(np.ones((7, 3)), *weights, ids=np.repeat(ids, repeated, axis=0))


# ---- The character model

TEXT = np.arange(60) % 5  # 0 1 2 3 4 0 1 2 ...


def test_the_character_model_is_its_parts():
    model = CharLSTM("char", 5, hidden=6)
    params = model.parameters(1, np.float64)
    ids = TEXT[:12].reshape(4, 3)
    logits, state = model(params, ids)
    assert logits.shape == (4, 3, 5) and [h.shape for h, _ in state] == [(3, 6)] * 2
    out, _ = model.lstm(params, model.embedding(params, ids))
    np.testing.assert_allclose(logits.data, model.linear(params, out).data, rtol=1e-12)
    again, _ = model(params, ids[2:], cut(model(params, ids[:2])[1]))
    np.testing.assert_allclose(logits.data[2:], again.data, rtol=1e-12)


def _trained(steps=60):
    model = CharLSTM("char", 5, hidden=8)
    params, state = model.parameters(0), None
    optimizer = th.optim.Adam(0.02, optimizer=th.optim.Adam(1e-4))
    for step in range(steps):
        at = 5 * step % 40
        piece = TEXT[at : at + 11]
        logits, state = model(params, piece[:10, None], state)
        loss = th.cross_entropy(logits.reshape(-1, 5), piece[1:])
        loss.backward()
        optimizer.step(params)
        state = cut(state)
    return model, params, loss.item()


def test_it_learns_and_its_samples_go_on_with_the_text():
    model, params, loss = _trained()
    assert loss < 0.4 < np.log(5)
    drawn = model.sample(params, [0, 1, 2, 3, 4, 0, 1], 10, np.random.default_rng(0), temperature=0.05)
    assert drawn.tolist() == [2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    hot = model.sample(params, [0, 1], 300, np.random.default_rng(0), temperature=1e6)
    assert np.bincount(hot, minlength=5).min() > 30  # all alike likely
    assert not any(p.grad is None and p.requires_grad is False for p in params.values())


@given(seed=SEEDS, length=st.integers(0, 5))
def test_a_seed_and_its_generator_draw_the_same_text(seed, length):
    model = CharLSTM("char", 5, hidden=4)
    params = model.parameters(seed)
    one, other = (model.sample(params, [1, 2], length, rng) for rng in (seed, np.random.default_rng(seed)))
    assert one.shape == (length,) and np.array_equal(one, other) and one.dtype.kind == "i"


def test_samples_are_distributed_as_the_softmax_says():
    model = CharLSTM("char", 3, hidden=4)
    params = {name: th.tensor(3 * p.data) for name, p in model.parameters(3).items()}
    logits, _ = model(params, [[1]])
    expected = th.softmax(logits.data[0, 0].astype(np.float64) / 0.5).data
    rng = np.random.default_rng(0)
    drawn = [model.sample(params, [1], 1, rng, 0.5)[0] for _ in range(400)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 400, expected, atol=0.08)


def test_a_sample_needs_a_start_and_a_temperature():
    model = CharLSTM("char", 3, hidden=4)
    params, rng = model.parameters(), np.random.default_rng(0)
    for start in (1, "ab", [[1, 2]]):
        with pytest.raises(th.ArgumentError, match="start must be a sequence of at least one id"):
            model.sample(params, start, 5, rng)
    for length in (2.5, None):
        with pytest.raises(th.ArgumentError, match="sample: length must be an integer >= 0"):
            model.sample(params, [1], length, rng)
    for temperature in (-1.0, float("nan"), "hot"):
        with pytest.raises(th.ArgumentError, match="sample: temperature must be a number > 0"):
            model.sample(params, [1], 5, rng, temperature)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [1e-30, 1e-300, 5e-324])
def test_at_tiny_temperatures_the_likeliest_is_taken(temperature):
    model = CharLSTM("char", 5, hidden=4)
    params = {name: th.tensor(30 * p.data) for name, p in model.parameters(1).items()}
    likeliest = model(params, [[1], [2]])[0].data[-1, 0].argmax()
    assert likeliest != 0  # which an argmax of what has overflown would be
    for seed in range(20):
        assert model.sample(params, [1, 2], 1, seed, temperature) == [likeliest]


def test_a_diverged_model_writes_nothing():
    model = CharLSTM("char", 5, hidden=4)
    params = {name: p * np.nan for name, p in model.parameters().items()}
    with pytest.raises(th.ArgumentError, match="logits are not finite"):
        model.sample(params, [1], 5, 0)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_no_text_has_no_logits(backend):
    recurrent_backend(backend)
    model = CharLSTM("char", 5, hidden=6)
    params = model.parameters()
    logits, state = model(params, np.zeros((4, 0), int))
    assert logits.shape == (4, 0, 5) and [h.shape for h, _ in state] == [(0, 6)] * 2
    (gradient,) = th.gradients(th.sum(logits), params["char.lstm.layer0.weight"])
    assert not gradient.data.any()


def test_the_character_model_names_its_ids():
    model = CharLSTM("char", 5, hidden=6)
    with pytest.raises(th.ShapeError, match=r"ids must have shape \(length, batch\) .*not \(3,\)"):
        model(model.parameters(), [1, 2, 3])


def test_the_recording_knows_what_the_layer_keeps_alive():
    """The recurrent weight, both first states, and the outputs."""
    x, weight, recurrent, bias, h, c = operands(0, 3, 2, 4, 5)
    with th.record() as tape:
        th.lstm(x, weight, recurrent, bias, (h, c))
    [node] = [node for node in tape.nodes if node.op == "lstm"]
    reads = [(edge.source, edge.output) for edge in tape.edges if edge.target == node.number]
    assert node.saved == (*reads[1:], *[(node.number, n) for n in range(len(node.outputs))])
    assert [tape.output(place).shape for place in node.saved] == [
        recurrent.shape, h.shape, c.shape, *[output.shape for output in node.outputs]
    ]  # fmt: skip
