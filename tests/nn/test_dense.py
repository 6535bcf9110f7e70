"""Linear, Embedding and Dropout: their formulas, and masks that a resumed run draws again."""

import zlib

import numpy as np
import pytest
from factory import SEEDS, Row, example, property_test
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper.nn import Dropout, Embedding, Linear

SIDE = st.integers(1, 4)


# ---- The factory's properties


@st.composite
def _embedded(draw):
    count, width = draw(SIDE), draw(SIDE)
    shape = draw(st.sampled_from([(), (0,), (5,), (2, 3)]))
    ids = np.random.default_rng(draw(SEEDS)).integers(0, count, shape)
    return example([(count, width)], {"ids": ids}, draw(SEEDS))


def _call_embedding(weight, ids):
    return Embedding("words", *weight.shape)({"words.weight": weight}, ids)


test_property = property_test(
    [Row("Embedding", lambda w, ids: w[ids], _embedded(), _call_embedding, integers=False)]
)


# ---- Linear


def test_linear_is_th_linear_of_its_parameters():
    layer = Linear("fc", 3, 2, th.tanh)
    params = layer.parameters(1)
    assert {name: p.shape for name, p in params.items()} == {"fc.weight": (3, 2), "fc.bias": (2,)}
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    assert np.array_equal(layer(params, x).data, th.linear(x, params["fc.weight"], params["fc.bias"], th.tanh).data)
    bare = Linear("fc", 3, 2, bias=False)
    assert set(bare.parameters()) == {"fc.weight"}
    assert np.array_equal(bare(params, x).data, (x @ params["fc.weight"]).data)


# ---- Embedding


def test_embedding_starts_as_pytorchs():
    values = Embedding("words", 200, 30).parameters(dtype=np.float64)["words.weight"].data
    assert abs(values.std() - 1) < 0.05 and abs(values.mean()) < 0.05


@pytest.mark.parametrize("ids, shape", [([], (0, 2)), ((), (0, 2)), ([[], []], (2, 0, 2)), (np.zeros(0, int), (0, 2))])
def test_no_ids_are_no_rows(ids, shape):
    layer = Embedding("words", 5, 2)
    params = layer.parameters()
    out = layer(params, ids)
    assert out.shape == shape and out.dtype == np.float32
    th.sum(out).backward()
    assert np.array_equal(params["words.weight"].grad.data, np.zeros((5, 2)))


def test_unsigned_ids_of_a_text_are_ids():
    layer = Embedding("words", 200, 2)
    params = layer.parameters()
    ids = np.array([[3, 199], [0, 3]], np.uint8)
    assert np.array_equal(layer(params, ids).data, params["words.weight"].data[ids])


# ---- Dropout


@given(seed=SEEDS, p=st.sampled_from([0.0, 0.25, 0.5, 0.9]), dtype=st.sampled_from([np.float32, np.float64]))
def test_dropout_keeps_the_mean(seed, p, dtype):
    layer = Dropout("drop", p, seed)
    x = th.tensor(np.full((40, 100), 3.0), dtype=dtype, requires_grad=True)
    out = layer({}, x)
    assert out.dtype == dtype
    kept = out.data != 0
    np.testing.assert_allclose(out.data[kept], 3 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 0.05
    (gradient,) = th.gradients(th.sum(out), x)
    np.testing.assert_allclose(gradient.data, kept / (1 - p), rtol=1e-6)
    assert layer.eval()({}, x) is x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "p, step",
    [(0.1, 2**-24), *[(p, 2**-53) for p in (1e-9, 1e-5, 3e-8, 0.003, 0.99999999, 1 - 2**-53)]],
)
def test_a_probability_is_exact_to_a_step_that_is_small_beside_it(p, step, dtype, monkeypatch):
    """Of random numbers on both sides of it, one is dropped; the other is scaled by what is left."""
    numbers = np.array([p - step, p + step / 2, p + step])

    class Near:
        def random(self, shape, kind):
            return numbers.astype(kind)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Near())
    out = Dropout("drop", p)({}, th.tensor(np.ones(3), dtype=dtype)).data
    np.testing.assert_allclose(out, [0, 1 / (1 - p), 1 / (1 - p)], rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("p, low, high", [(0.99999, 10, 200), (1e-4, 800, 1300)])
def test_a_rare_event_happens_as_often_as_it_should(p, low, high):
    """Of ten million elements. That is some ten standard deviations on either side."""
    kept = np.count_nonzero(Dropout("drop", p)({}, np.ones((1000, 10000), np.float32)).data)
    assert low < min(kept, 10**7 - kept) < high


@given(base=SEEDS)
def test_layers_of_different_names_drop_different_elements(base):
    """Also where two names have one checksum, or are no text, as that of a folder may be."""
    x = np.ones((8, 50), np.float32)
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    odd = [("\ud800", 0, 0), ("\udc80", 0, 0), ("\0", 0, 0)]
    streams = [*odd, ("plumless", 0, 0), ("buckeroo", 0, 0), ("0 drop", 1, 0), ("drop", 1, 0), ("drop", 0, 1)]
    masks = set()
    for name, seed, calls in streams:
        layer = Dropout(name, 0.5, base + seed)
        layer.load_buffers({f"{name}.calls": calls})
        masks.add(layer({}, x).data.tobytes())
    assert len(masks) == len(streams)


@given(seed=SEEDS, calls=st.integers(0, 3))
def test_a_resumed_run_draws_the_same_masks(seed, calls):
    x = np.ones((3, 50), np.float32)
    layer = Dropout("drop", 0.5, seed)
    for _ in range(calls):
        layer({}, x)
    saved = layer.buffers
    expected = [layer({}, x).data for _ in range(3)]
    resumed = Dropout("drop", 0.5, seed)
    resumed.load_buffers(saved)
    found = [resumed({}, x).data for _ in range(3)]
    assert all(map(np.array_equal, expected, found))
    assert len({mask.tobytes() for mask in expected}) == 3  # each call has a mask of its own
    assert not np.array_equal(Dropout("drop", 0.5, seed + 1)({}, x).data, Dropout("drop", 0.5, seed)({}, x).data)
    layer.eval()({}, x)
    assert layer.buffers["drop.calls"] == calls + 3  # what drops nothing draws nothing


