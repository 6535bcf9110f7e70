"""Checkpoints: a run goes on to the same bits, the next hypergradients included; and what is refused."""

import gc
import io
import itertools
import json
import os
import pickle
import re
import tracemalloc
import zipfile
from collections import namedtuple
from pathlib import Path

import kill_checkpoint
import numpy as np
import pytest
from backends import elementwise_backend
from drawn_towers import SEEDS, WAYS, Sloped, snapshot, towers
from factory import imported_without
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyhyper as th
from tinyhyper import files
from tinyhyper.checkpoint import archive
from tinyhyper.core.tape import Node
from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from tinyhyper.testing import alive, collector_off

STEPS = 3
MOMENTS = 2 * STEPS + 1  # before each backward and before each step, and at the end


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def weights(seed, dtypes, orders):
    """Two weights, as they lie in memory."""
    rng = np.random.default_rng(seed)
    made = {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    params = {}
    for (name, array), dtype, order in zip(made.items(), dtypes, orders):
        params[name] = th.tensor(array, requires_grad=True, dtype=dtype)
        params[name].array = np.asarray(params[name].array, order=order)
    return params


def loss_of(params, rng):
    x = th.tensor(rng.standard_normal((4, 3)))
    return th.mean(th.square(th.tanh(x @ params["w"] + params["b"]))) + th.sum(th.square(params["b"]))


def train(optimizer, params, rng, ways=("plain",), at=None, swap=None, create_graph=False):
    """A snapshot at every moment. swap: gives the optimizer and the weights to go on with from one of the moments."""
    found = []
    for moment in range(MOMENTS):
        if moment == at:
            optimizer, params = swap(optimizer, params)
        found.append(snapshot(optimizer, params))
        with WAYS[ways[moment % len(ways)]]():
            if moment % 2:
                optimizer.step(params)
            elif moment < MOMENTS - 1:
                loss_of(params, rng).backward(create_graph=create_graph)
    return found


def through(path, make):
    """The swap that saves, and loads into a new tower."""

    def swap(optimizer, params):
        th.save(path, params, optimizer)
        other = make()
        return other, th.load(path, other).params

    return swap


DTYPES = st.tuples(*[st.sampled_from([np.float32, np.float64])] * 2)
ORDERS = st.tuples(*[st.sampled_from("CF")] * 2)


@pytest.mark.slow
@settings(max_examples=24)
@given(
    make=towers(), seed=SEEDS, dtypes=DTYPES, orders=ORDERS, at=st.integers(0, MOMENTS - 1),
    backend=st.sampled_from(["numpy", "numpy", "auto"]),
    ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=4), create_graph=st.booleans(),
)  # fmt: skip
def test_a_run_goes_on_to_the_same_bits(make, seed, dtypes, orders, at, backend, ways, create_graph, tmp_path_factory):
    """Any tower, saved at any moment, watched or not, on either backend; weights and hypergradients at every moment."""
    elementwise_backend(backend)
    path = tmp_path_factory.mktemp("bits") / "run.npz"
    straight, stopped = (
        train(
            make(), weights(seed, dtypes, orders), np.random.default_rng(seed), ways, *swap, create_graph
        )
        for swap in ((None, None), (at, through(path, make)))
    )  # fmt: skip
    assert straight == stopped


TOWERS = {
    "SGD": lambda: SGD(0.01),
    "momentum": lambda: SGD(0.01, 0.5, nesterov=True, optimizer=Adam(1e-3)),
    "by name": lambda: SGD({"w": 0.01, "b": 0.002}, weight_decay=0.1, optimizer=SGD({"w_alpha": 1e-3})),
    "AdaGrad": lambda: AdaGrad(0.01, optimizer=AdaDelta(1e-2, optimizer=SGD(1e-4))),
    "coordinates": lambda: AdamW(0.01, tune=("alpha", "eps"), coordinates={"alpha": "log"}, optimizer=SGD(1e-3)),
    "one's own": lambda: Sloped(0.01, optimizer=Sloped(1e-4, optimizer=RMSProp(1e-5, optimizer=Adam(1e-6)))),
    "clipped": lambda: Adam(0.01, clip_norm=0.01, optimizer=SGD(1e-3, clip_value=1e-3)),
}


@pytest.mark.either_backend
@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("parts", [("wb", "w"), ("w", "b", "wb")], ids=["b rests", "in turn"])
def test_weights_that_are_not_moved_at_every_step(name, at, parts, path):
    """Where one still leads to an earlier step, saving is refused by name; elsewhere the run goes on as ever."""
    refused = []

    def tried(optimizer, params):
        try:
            return through(path, TOWERS[name])(optimizer, params)
        except th.GraphError as error:
            assert re.match(r"save: params\['[wb]'\] still leads to a step of the tower", str(error))
            assert not path.exists()
            refused.append(at)
            return optimizer, params

    def run(*swap):
        found, rng = [], np.random.default_rng(0)
        optimizer, params = TOWERS[name](), weights(0, (np.float64,) * 2, "CC")
        for moment in range(6):
            for half in (2 * moment, 2 * moment + 1):
                if swap and half == at:
                    optimizer, params = swap[0](optimizer, params)
                if half % 2:
                    moved = {key: params[key] for key in parts[moment % len(parts)]}
                    optimizer.step(moved)
                    params.update(moved)
                else:
                    read = [params[key] for key in parts[moment % len(parts)]]
                    try:
                        sum(th.sum(th.square(w) * rng.standard_normal(w.shape)) for w in read).backward()
                    except th.GraphReleasedError:
                        found.append("refused")
                        params.update({key: th.tensor(w, requires_grad=True) for key, w in params.items()})
                        th.sum(params[parts[moment % len(parts)][0]]).backward()
                found.append(snapshot(optimizer, params))
        return found

    assert run() == run(tried)
    late = (3, 4) if len(parts) == 2 else (4,)
    assert bool(refused) == (TOWERS[name]().optimizer is not None and at in late)


@pytest.mark.either_backend
@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize(
    "ways", [("plain", "watched"), pytest.param(("watched", "plain"), marks=pytest.mark.slow)], ids="/".join
)
def test_saved_by_a_watched_run_and_loaded_by_another(name, ways, path):
    """And the other way round: the file is the same."""
    contents = set()
    for way in ways:
        optimizer, params = TOWERS[name](), weights(1, (np.float32, np.float64), "FC")
        rng = np.random.default_rng(1)
        for _ in range(2):
            with WAYS[way]():
                loss_of(params, rng).backward()
                optimizer.step(params)
        th.save(path, params, optimizer)
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("name", [name for name in TOWERS if name != "SGD"])
def test_where_a_part_of_the_graph_has_been_consumed_saving_is_refused(name, path):
    """A live weight beside a released one is more than a step that can be made again. Nothing is written."""
    optimizer, params = TOWERS[name](), weights(2, (np.float64,) * 2, "CC")
    loss_of(params, np.random.default_rng(2)).backward()
    optimizer.step(params)
    th.sum(params["w"]).backward()
    with pytest.raises(th.GraphError, match=r"params\['b'\] still leads to a step"):
        th.save(path, params, optimizer)
    assert not path.exists()


def test_a_weight_is_saved_by_the_name_by_which_the_last_step_has_moved_it(path):
    """By another name its edge could not be made again, and the next backward pass would not go on."""
    optimizer, params = Adam(0.01, optimizer=SGD(1e-4)), weights(2, (np.float64,) * 2, "CC")
    loss_of(params, np.random.default_rng(2)).backward()
    optimizer.step(params)
    with pytest.raises(th.GraphError, match=r"params\['net.w'\] still leads to a step"):
        th.save(path, {f"net.{name}": w for name, w in params.items()}, optimizer)
    assert not path.exists()


@pytest.mark.parametrize("name", [name for name in TOWERS if name != "SGD"])
def test_what_had_been_consumed_is_refused_after_loading(name, path):
    optimizer, params = TOWERS[name](), weights(2, (np.float64,) * 2, "CC")
    for seed in range(2):
        loss_of(params, np.random.default_rng(seed)).backward()
        if not seed:
            optimizer.step(params)
    params = through(path, TOWERS[name])(optimizer, params)[1]
    before = snapshot(optimizer, params)
    with pytest.raises(th.GraphReleasedError, match="released by an earlier backward"):
        loss_of(params, np.random.default_rng(2)).backward()
    assert snapshot(optimizer, params) == before


@pytest.mark.parametrize("name", TOWERS)
def test_a_retained_graph_serves_again_after_loading(name, path):
    def run(swap):
        optimizer, params = TOWERS[name](), weights(2, (np.float64,) * 2, "CC")
        loss_of(params, np.random.default_rng(2)).backward()
        optimizer.step(params)
        loss_of(params, np.random.default_rng(3)).backward(retain_graph=True)
        optimizer, params = swap(optimizer, params)
        loss_of(params, np.random.default_rng(4)).backward()
        found = [snapshot(optimizer, params)]
        optimizer.step(params)
        return [*found, snapshot(optimizer, params)]

    assert run(lambda *run: run) == run(through(path, TOWERS[name]))


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("at", range(MOMENTS))
def test_values_that_have_been_loaded_follow_on_no_step(name, at, path):
    """The weights lead to hyperparameters that are gone: the next hypergradients are 0, in the file's run too."""

    def swap(after):
        def load(optimizer, params):
            optimizer.load_state_dict(optimizer.state_dict())
            return after(optimizer, params)

        return load

    straight, stopped = (
        train(TOWERS[name](), weights(4, (np.float64,) * 2, "CC"), np.random.default_rng(4), at=at, swap=swap(after))
        for after in (lambda *run: run, through(path, TOWERS[name]))
    )
    assert straight == stopped


def test_hyperparameters_that_a_user_has_put_there(path):
    """A leaf where nothing is tuned, and another dtype."""

    def run(swap):
        optimizer, params = Adam(0.01, optimizer=SGD(1e-4)), weights(5, (np.float64,) * 2, "CC")
        optimizer.parameters["eps"] = th.tensor(1e-3, requires_grad=True)
        optimizer.optimizer.parameters["alpha"] = th.tensor(1e-4, dtype=np.float32)
        for n in range(2):
            loss_of(params, np.random.default_rng(n)).backward()
            optimizer.step(params)
        optimizer, params = swap(optimizer, params)
        loss_of(params, np.random.default_rng(9)).backward()
        return snapshot(optimizer, params)

    straight = run(lambda *run: run)
    assert straight == run(through(path, lambda: Adam(0.01, optimizer=SGD(1e-4))))
    assert straight[0][0]["parameters"]["eps"][2] is not None


def test_where_a_state_starts_is_saved_too(path):
    """A weight that joins later starts where the saved tower would have let it start."""

    def run(swap):
        optimizer, params = Adam(0.01, eps=0.5), weights(6, (np.float64,) * 2, "CC")
        optimizer, params = swap(optimizer, params)
        loss_of(params, np.random.default_rng(6)).backward()
        optimizer.step(params)
        return snapshot(optimizer, params)

    assert run(lambda *run: run) == run(through(path, Adam))


def test_a_new_process_goes_on(path):
    for until in (3, 7):
        assert kill_checkpoint.child(path, until, every=10).wait() == 0
    optimizer, _, rng = kill_checkpoint.begin()
    params, extra = th.load(path, optimizer)
    other, straight, batches = kill_checkpoint.straight(7)
    assert extra == {"step": 7, "rng": batches.bit_generator.state}
    for found in (params, straight):
        th.mean(th.square(found["w"])).backward()
    assert snapshot(optimizer, params) == snapshot(other, straight)
    assert all(p.grad.item() for p in optimizer.parameters.values() if p.requires_grad)


def test_nothing_is_left_to_the_garbage_collector(path):
    optimizer, params = Adam(0.01, optimizer=SGD(1e-4)), weights(7, (np.float64,) * 2, "CC")
    rng, swap, counts = np.random.default_rng(7), through(path, lambda: Adam(0.01, optimizer=SGD(1e-4))), []
    gc.collect()  # what earlier tests left must not go in the midst of counting
    with collector_off():
        for _ in range(3):
            loss_of(params, rng).backward()
            optimizer.step(params)
            optimizer, params = swap(optimizer, params)
            counts.append(alive(Node, th.Tensor))
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("place", ["before backward", "before the step"])
@pytest.mark.parametrize("bad", range(4))
@pytest.mark.parametrize("at", range(4))
def test_saved_before_or_after_a_step_that_is_skipped_or_within_it(at, bad, place, path):
    """What a skipped step puts back is made again from the file."""

    def make():
        return Adam(0.01, optimizer=SGD(1e-3), on_nonfinite="skip")

    def run(swap):
        optimizer, params, found = make(), weights(3, (np.float64,) * 2, "CC"), []
        for n in range(4):
            if n == at and place == "before backward":
                optimizer, params = swap(optimizer, params)
            loss = loss_of(params, np.random.default_rng(n)) * (np.nan if n == bad else 1.0)
            loss.backward()
            if n == at and place == "before the step":
                optimizer, params = swap(optimizer, params)
            optimizer.step(params)
            found.append(snapshot(optimizer, params))
        assert optimizer.skipped == 1
        return found

    with pytest.warns(th.AnomalyWarning):
        assert run(lambda *run: run) == run(through(path, make))


# Horizons.


@pytest.mark.parametrize("objective", ["last", "sum"])
@pytest.mark.parametrize("plain", [False, True], ids=["recorded", "plain"])
@pytest.mark.parametrize("horizon", [2, 3])
def test_a_window_is_saved_where_it_ends_and_nowhere_else(horizon, plain, objective, path):
    def make():
        return Adam(0.01, optimizer=SGD(1e-2, optimizer=SGD(1e-3)), horizon=horizon, objective=objective)

    def run(at, swap=None):
        optimizer, params, rng = make(), weights(8, (np.float64,) * 2, "CC"), np.random.default_rng(8)
        found = []
        for moment in range(15):
            if moment == at:
                optimizer, params = swap(optimizer, params)
            step = moment // 2
            ending = step % horizon == 0
            if moment % 2:
                optimizer.step(params)
            else:
                loss_of(params, rng).backward(create_graph=not (plain and ending))
            if not ending or not moment % 2:
                levels, values = snapshot(optimizer, params)
                found.append((values, [level["t"] for level in levels]))
        found.append(str(optimizer.state_dict()))
        return found

    straight = run(None)
    for at in range(1, 15):
        if at % 2 and at // 2 % horizon == 0:
            assert run(at, through(path, make)) == straight
        else:
            path.unlink(missing_ok=True)
            with pytest.raises(th.GraphError, match="where a window ends"):
                run(at, through(path, make))
            assert not path.exists()


def test_a_weight_that_no_step_has_seen_is_still_a_leaf_at_a_windows_end(path):
    def make():
        return SGD(0.1, optimizer=SGD(1e-2), horizon=2)

    optimizer, params, rng = make(), weights(11, (np.float64,) * 2, "CC"), np.random.default_rng(11)
    for n in range(3):
        loss_of(params, rng).backward(create_graph=True)
        if n < 2:
            optimizer.step(params)
    th.save(path, {**params, "new": th.tensor([1.0, 2.0], requires_grad=True)}, optimizer)
    params, _ = th.load(path, make())
    th.sum(params["new"] * 2.0).backward()
    assert params["new"].grad.data.tolist() == [2.0, 2.0]
    for name in ("w", "b"):
        with pytest.raises(th.GraphReleasedError):
            th.sum(params[name]).backward()


def test_saving_at_a_windows_end_changes_nothing(path):
    """Of the run that is saved; and one that was loaded must not look back past the checkpoint."""

    def run(save):
        optimizer, params = SGD(0.1, optimizer=SGD(1e-2), horizon=2), weights(9, (np.float64,) * 2, "CC")
        rng = np.random.default_rng(9)
        for n in range(5):
            loss_of(params, rng).backward(create_graph=True)
            if save and n % 2 == 0:
                th.save(path, params, optimizer)
            if n == 4:
                loss_of(params, rng).backward(create_graph=True)
            optimizer.step(params)
        return snapshot(optimizer, params)

    assert run(False) == run(True)
    params, _ = th.load(path, SGD(0.1, optimizer=SGD(1e-2), horizon=2))
    with pytest.raises(th.GraphReleasedError):
        th.sum(params["w"]).backward()


def test_a_run_that_is_never_cut_is_saved_before_its_first_step(path):
    optimizer, params = SGD(0.1, horizon=None), weights(9, (np.float64,) * 2, "CC")
    th.save(path, params, optimizer)
    loss_of(params, np.random.default_rng(0)).backward(create_graph=True)
    th.save(path, params, optimizer)
    optimizer.step(params)
    with pytest.raises(th.GraphError, match="before the first step"):
        th.save(path, params, optimizer)


# What is saved besides.


DTYPED = ["?", "i1", ">i4", "<u8", "f2", ">f4", "<f8", "<f4", "c16", "M8[s]", "<U3", "S2"]
ARRAYS = st.sampled_from(DTYPED).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
NAMED = [namedtuple(name, fields) for name, fields in (("None_", ()), ("One", "a"), ("Two", "a b"), ("Größe", "x y z"))]
NAMED[2] = type("of no name that Python reads", (NAMED[2],), {})
TEXT = st.one_of(st.text(), st.text("\ud83d\ude00a"))  # the halves of a character that UTF-16 has in two
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), TEXT, ARRAYS,
    ARRAYS.map(lambda array: array.T), ARRAYS.map(lambda array: array[..., ::2] if array.ndim else array),
    ARRAYS.map(lambda array: np.flip(array)), ARRAYS.map(lambda array: np.broadcast_to(array, (2, *array.shape))),
    st.binary(max_size=9), st.lists(st.integers(), max_size=3).map(lambda items: NAMED[len(items)](*items)),
    hnp.arrays(np.float32, ()).map(lambda array: array[()]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(), st.tuples(st.integers())), inner, max_size=3),
    ),
    max_leaves=8,
)


def lie(array):
    """Its strides; those of a copy in the order of its axes, where it has gaps, overlaps itself or runs backwards."""
    low, high = np.lib.array_utils.byte_bounds(array)
    alone = high - low == array.nbytes and all(stride > 0 for stride in array.strides)
    return array.strides if alone or not array.size else array.copy("K").strides


def alike(a, b):
    """Whether what was loaded is what was saved bit by bit, and lies in memory as that, or as its copy."""
    if hasattr(b, "_fields") and (a._fields, type(a).__name__) == (b._fields, type(b).__name__):
        return alike(tuple(a), tuple(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return (a.dtype.str, a.shape, a.strides) == (b.dtype.str, b.shape, lie(b)) and a.tobytes() == b.tobytes()
    if isinstance(a, (float, complex)):
        return np.array(a).tobytes() == np.array(b).tobytes()
    return a == b


@settings(max_examples=100)
@given(extra=TREES)
def test_whatever_else_is_saved_comes_back_bit_by_bit(extra, tmp_path_factory):
    path = tmp_path_factory.mktemp("extra") / "x.npz"
    th.save(path, {}, extra=extra)
    assert alike(th.load(path).extra["extra"], extra)


def test_a_tuple_with_other_names_than_items_is_a_tuple(path):
    th.save(path, {}, extra=type("One", (tuple,), {"_fields": ("a",)})((1, 2)))
    assert alike(th.load(path).extra["extra"], (1, 2))


def test_values_at_the_edge_of_their_dtype_survive(path):
    payload = np.array([0x7FF8000000000123, 0xFFF0000000000001], np.uint64).view(np.float64)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, np.finfo(float).max])
    values = {"special": special, "payload": payload, "0-d": payload[1:].reshape(()), "f4": special[:5].astype("f4")}
    optimizer, params = SGD(0.1), {name: th.tensor(array, requires_grad=True) for name, array in values.items()}
    th.save(path, params, optimizer, values=values, number=payload.tolist()[0])
    loaded, extra = th.load(path, SGD(0.5))
    assert alike(extra["values"], values) and alike(extra["number"], payload.tolist()[0])
    assert all(loaded[name].data.tobytes() == array.tobytes() for name, array in values.items())


def test_a_part_of_an_array_needs_as_much_memory_as_its_elements(path):
    whole = np.arange(500_000.0).reshape(1000, 500)
    parts = {"column": whole[:, 3], "every other": whole[::2, ::2], "reversed": whole[::-1, 0]}
    parts |= {"turned": whole[:, :2].T, "broadcast": np.broadcast_to(whole[0, :3], (4, 3))}
    th.save(path, {"w": th.Tensor(whole[:, 4])}, **parts)
    tracemalloc.start()
    params, extra = th.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2 * (path.stat().st_size + archive.CHUNK)
    tracemalloc.stop()
    assert params["w"].numpy().strides == (8,) and extra["turned"].strides == (8, 16)
    for name, part in parts.items():
        assert extra[name].tolist() == part.tolist() and extra[name].flags.owndata
    extra["broadcast"][0] = 9.0
    assert extra["broadcast"][1:].tolist() == parts["broadcast"][1:].tolist()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_either_order_that_were_one_are_one_and_are_written_once(order, path):
    array = np.asarray(np.arange(1200.0).reshape(2, 600), order=order)
    th.save(path, {}, first=array, second=[array, {"third": array[:, ::60]}])
    assert path.stat().st_size < 1.5 * array.nbytes
    extra = th.load(path).extra
    assert extra["first"] is extra["second"][0] is not extra["second"][1]["third"]
    assert extra["first"].strides == array.strides and extra["first"].flags.writeable


@pytest.mark.parametrize("moment", ["a model", "before a step", "after backward"])
def test_one_tensor_under_two_names_comes_back_as_one(moment, path):
    tied, other = (th.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    params = {"embedding": tied, "middle": other, "out": tied, "also": tied, "fixed": th.tensor([1.0])}
    make = None if moment == "a model" else lambda: Adam(0.1, optimizer=SGD(1e-3))
    if moment == "after backward":
        th.sum(tied * other * tied).backward()
    th.save(path, params, make and make())
    loaded, _ = th.load(path, make and make())
    assert list(loaded) == list(params)
    assert loaded["embedding"] is loaded["out"] is loaded["also"] and loaded["middle"] is not loaded["out"]
    for name, tensor in params.items():
        assert loaded[name].requires_grad == tensor.requires_grad
        assert alike(loaded[name].numpy(), tensor.numpy())
        assert (loaded[name].grad is None) == (tensor.grad is None)
    before = loaded["out"].grad
    th.sum(loaded["embedding"] + 2.0 * loaded["out"]).backward()
    assert (loaded["out"].grad.numpy() - (0.0 if before is None else before.numpy())).tolist() == [3.0, 3.0]


def test_tensors_that_were_one_are_one_among_the_rest_too(path):
    one, other = th.tensor(1.0, requires_grad=True), th.tensor(1.0)
    th.save(path, {}, state=[one, {"h": (other, one)}], again=(other, other))
    extra = th.load(path).extra
    first, inner = extra["state"]
    assert first is inner["h"][1] and inner["h"][0] is extra["again"][0] is extra["again"][1] is not first
    assert first.requires_grad and not inner["h"][0].requires_grad


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_generators_go_on(kind, path):
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (0, 1))
    rng.standard_normal(7)
    th.save(path, {}, rng=rng.bit_generator.state)
    other.bit_generator.state = th.load(path).extra["rng"]
    assert rng.standard_normal(5).tobytes() == other.standard_normal(5).tobytes()


def test_tensors_come_back_as_they_were_and_computed_ones_are_refused(path):
    leaf, constant = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(np.float32(3))
    th.save(path, {}, state=(leaf, {"h": constant}))
    first, second = th.load(path).extra["state"]
    assert first.requires_grad and not second["h"].requires_grad and second["h"].dtype == np.float32
    with pytest.raises(th.GraphError, match=r"extra\['state'\]\[1\] was computed.*extra\['state'\]\[1\].detach"):
        th.save(path, {}, state=[0, leaf * 2])


def test_a_model_is_saved_with_its_buffers_and_without_a_tower(path):
    model = th.nn.BatchNorm2d("norm", 3)
    params = model.parameters()
    model(params, th.tensor(np.random.default_rng(0).standard_normal((4, 5, 5, 3)), dtype=np.float32))
    th.save(path, {**params, "fixed": th.tensor([1.0])}, buffers=model.buffers)
    loaded, extra = th.load(path)
    assert loaded["norm.weight"].is_leaf and loaded["norm.weight"].requires_grad and not loaded["fixed"].requires_grad
    other = th.nn.BatchNorm2d("norm", 3)
    other.load_buffers(extra["buffers"])
    assert alike(other.buffers, model.buffers)
    with pytest.raises(th.CheckpointError, match="saved without an optimizer"):
        th.load(path, SGD())


def test_numpy_and_json_read_the_file(path):
    th.save(path, {"w": th.tensor(np.arange(4.0))}, note="hello")
    with np.load(path) as found:
        assert found["0"].tolist() == [0.0, 1.0, 2.0, 3.0]
        assert json.loads(found["tinyhyper.json"])["format"] == "tinyhyper checkpoint"


def endless(kind):
    """A list or a dict that contains itself."""
    whole = kind()
    whole.append(whole) if kind is list else whole.update(me=whole)
    return whole


def nested(levels):
    """Lists in lists."""
    whole = []
    for _ in range(levels):
        whole = [whole]
    return whole


def test_what_is_nested_as_deeply_as_it_can_be_comes_back(path):
    th.save(path, {}, lists=nested(190), digits=10**4299)
    assert th.load(path).extra == {"lists": nested(190), "digits": 10**4299}


@pytest.mark.parametrize(
    "extra, words",
    [
        ({"a": {1, 2}}, r"extra\['a'\] is a set"),
        ({"a": [0, {"rng": np.random.default_rng()}]}, r"extra\['a'\]\[1\]\['rng'\] is a Generator.*bit_generator"),
        ({"a": np.array([None, {}])}, r"extra\['a'\] is a ndarray of object"),
        ({"a": np.ma.masked_array([1.0], [True])}, r"extra\['a'\] is a MaskedArray"),
        ({"a": bytearray(b"bytes")}, "bytearray"),
        ({"a": np.zeros(3, "V0")}, r"extra\['a'\] is a ndarray of"),
        ({"a": np.zeros(2, [("\u0416", "f8")])}, r"extra\['a'\] is a ndarray of"),
        ({"a": [1, -(10**4300)]}, r"extra\['a'\]\[1\] is an integer of more than 4,300 digits"),
        ({"a": endless(list)}, r"extra\['a'\].*too deeply, or contains itself"),
        ({"a": endless(dict)}, "contains itself"),
        ({"a": nested(2000)}, "nested too deeply"),
        ({"a": nested(200)}, "nested too deeply"),
    ],
    ids=itertools.count(),
)
def test_what_no_file_can_hold_is_told_and_the_old_file_stays(extra, words, path):
    th.save(path, {}, kept=1)
    with pytest.raises(TypeError, match=words):
        th.save(path, {}, **extra)
    assert th.load(path).extra == {"kept": 1}


def test_wrong_arguments_are_told(path):
    with pytest.raises(TypeError, match=r"params\['w'\] must be a tensor, not a ndarray"):
        th.save(path, {"w": np.ones(3)})
    path.touch()
    (in_bytes,) = os.scandir(os.fsencode(path.parent))
    for call in (lambda: th.save(in_bytes, {}), lambda: th.load(in_bytes)):
        with pytest.raises(th.DtypeError, match="the first argument must be a path, not a DirEntry"):
            call()
    w = th.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(th.GraphError, match="multiply #.*a file cannot hold"):
        th.save(path, {"w": w}, SGD())


# What is refused.


MADE = {
    "height": (lambda: SGD(0.1), "Adam / SGD, but this tower is SGD"),
    "optimizer": (lambda: Adam(optimizer=RMSProp()), r"saved from Adam / SGD, but this tower is Adam\(.*RMSProp"),
    "tuned": (lambda: Adam(tune=("alpha",), optimizer=SGD()), "level 0, Adam, .*tuned alpha, beta1, .*has alpha"),
    "coordinate": (
        lambda: Adam(coordinates={"alpha": "log"}, optimizer=SGD()),
        r"level 0, Adam, .*coordinates\['alpha'\] linear, but this one has log",
    ),
    "coordinate above": (
        lambda: Adam(optimizer=SGD(coordinates={"mu": "log"})),
        r"level 1, SGD, .*coordinates\['mu'\] linear, but this one has log",
    ),
    "rates": (lambda: Adam({"w": 0.1}, optimizer=SGD()), "level 0, Adam, .*w_alpha"),
    "decay": (lambda: Adam(weight_decay=0.1, optimizer=SGD(), tune=("alpha", "beta1", "beta2")), "used.*weight_decay"),
    "option": (lambda: Adam(optimizer=SGD(mu=0.0, nesterov=True)), r"level 1, SGD, .*options\['nesterov'\] False"),
    "horizon": (lambda: Adam(optimizer=SGD(), horizon=2), "horizon.*1.*2"),
    "clipping": (lambda: Adam(optimizer=SGD(clip_norm=1.0)), "clip_norm=1"),
}


@pytest.mark.parametrize("make, words", MADE.values(), ids=MADE)
def test_a_file_of_another_tower_is_refused_and_changes_nothing(make, words, path):
    optimizer, params = Adam(optimizer=SGD()), weights(0, (np.float64,) * 2, "CC")
    loss_of(params, np.random.default_rng(0)).backward()
    optimizer.step(params)
    th.save(path, params, optimizer)
    other, rng = make(), np.random.default_rng(1)
    if "horizon" not in words:
        mine = weights(1, (np.float64,) * 2, "CC")
        loss_of(mine, rng).backward()
        other.step(mine)
    before = snapshot(other, {}), other.parameters.copy()
    with pytest.raises(th.CheckpointError, match=words) as error:
        th.load(path, other)
    assert str(path) in str(error.value)
    assert before == (snapshot(other, {}), other.parameters)


def test_a_rule_that_has_changed_is_refused(path):
    def cls(square):
        class Mine(th.optim.Optimizer):
            table = {"alpha": 0.1}

            @staticmethod
            def rule(w, g, *, alpha):
                return w - alpha * (g * w if square else g)

        return Mine

    optimizer, params = cls(False)(optimizer=SGD()), weights(0, (np.float64,) * 2, "CC")
    loss_of(params, np.random.default_rng(0)).backward()
    optimizer.step(params)
    th.save(path, params, optimizer)
    other = cls(True)(optimizer=SGD())
    before = snapshot(other, {})
    with pytest.raises(ValueError, match="level 0: Mine.rule differs from the rule"):
        th.load(path, other)
    assert snapshot(other, {}) == before


@pytest.mark.parametrize("damage", ["cut short", "altered", "longer"])
def test_a_damaged_file_is_refused_wherever_it_is_damaged(damage, path):
    optimizer = SGD(0.1, optimizer=SGD(0.01))
    th.save(path, {"w": th.tensor([1.0, 2.0])}, step=1)
    whole = path.read_bytes()
    places = range(len(whole))
    if damage == "altered":
        damaged = (whole[:n] + bytes([whole[n] ^ (1 << n % 8)]) + whole[n + 1 :] for n in places)
    elif damage == "cut short":
        damaged = (whole[:n] for n in places)
    else:
        damaged = (whole + whole[:n] for n in range(1, 100))
    before = snapshot(optimizer, {})
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(th.CheckpointError, match=re.escape(str(path))):
            th.load(path, optimizer)
    assert before == snapshot(optimizer, {})
    path.write_bytes(whole)
    assert th.load(path).extra == {"step": 1}


class Trap:
    """A pickle of it runs code."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


FOREIGN = {
    "nothing": (b"", "does not begin like an npz"),
    "a text": (b"alpha = 0.1\n" * 20, "does not begin like an npz"),
    "a pickle": (pickle.dumps(Trap()), "does not begin like an npz"),
    "another npz": (npz(w=np.ones(3)), "its first entry is not tinyhyper.json"),
    "an npz of pickles": (npz(w=np.array([Trap()])), "its first entry is not tinyhyper.json"),
}


@pytest.mark.parametrize("content, words", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(content, words, path, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.write_bytes(content)
    with pytest.raises(th.CheckpointError, match=words):
        th.load(path, SGD())
    assert not Path("trapped").exists()


def sealed(path, text, *arrays):
    """A file with a right seal around what is no checkpoint."""
    with open(path, "w+b") as file:
        archive.pack(file, text, arrays)


STRANGE = {
    "a newer version": ({"format": archive.FORMAT, "version": 3}, "version 3; this tinyhyper reads version 2"),
    "no content": ({"format": archive.FORMAT, "version": 1}, "KeyError"),
    "a list": ([1], "TypeError"),
    "an unknown kind": ({"format": archive.FORMAT, "version": 1, "content": {"pickle": 1}}, "KeyError"),
    "no params": ({"format": archive.FORMAT, "version": 1, "content": {"dict": []}}, "KeyError"),
    "a missing array": (
        {"format": archive.FORMAT, "version": 1, "content": {"array": {"number": 3, "strides": [8]}}},
        "KeyError",
    ),
}


@pytest.mark.parametrize("head, words", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("make", [SGD, lambda: None], ids=["tower", "model"])
def test_a_sealed_file_of_something_else_is_refused(head, words, make, path):
    sealed(path, json.dumps(head))
    with pytest.raises(th.CheckpointError, match=words):
        th.load(path, make())


def test_a_pickle_in_a_sealed_file_is_not_run(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with zipfile.ZipFile(io.BytesIO(npz(w=np.array([Trap()])))) as found:
        trap = found.read("w.npy")
    content = {"dict": [["params", {"dict": []}], ["tower", None], ["extra", {"array": {"number": 0, "strides": [8]}}]]}
    with open(path, "w+b") as file:
        monkeypatch.setattr(np.lib.format, "write_array", lambda entry, array, **kwargs: entry.write(trap))
        archive.pack(file, json.dumps({"format": archive.FORMAT, "version": 1, "content": content}), [np.ones(1)])
    with pytest.raises(th.CheckpointError, match="says object of shape"):
        th.load(path)
    assert not Path("trapped").exists()


def test_what_is_not_there_is_said_to_be_missing(path):
    with pytest.raises(FileNotFoundError, match="run.npz.*cannot be read: No such file") as error:
        th.load(path, SGD())
    assert isinstance(error.value, th.CheckpointError) and isinstance(error.value, th.TinyhyperError)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        th.save(path / "below.npz", {})
    path.mkdir()
    with pytest.raises(th.CheckpointError, match="cannot be read"):
        th.load(path)
    with pytest.raises(th.CheckpointError, match="cannot be written"):
        th.save(path, {})
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("call", ["fsync", "replace", "open", "dup"])
def test_a_disk_that_fails_leaves_the_old_file(call, path, monkeypatch):
    th.save(path, {}, kept=1)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(th.CheckpointError, match="run.npz.*cannot be written: No space left on device"):
        th.save(path, {}, kept=2)
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name] and th.load(path).extra == {"kept": 1}


# Killed while saving.


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell the living from the dead")
def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "run.npz"
    th.save(path, {})
    others = ["run.npz.b.0.tmp", "run.npz.other", "run.npz0.tmp"]
    for name in ("run.npz.0.tmp", "run.npz.3.tmp", *others):
        (tmp_path / name).touch()
    with files.replacing(path) as file:
        file.write(b"another's, and under way")
        during = sorted(["run.npz", "run.npz.0.tmp", *others])
        assert sorted(os.listdir(tmp_path)) == during
        th.save(path, {}, new=1)
        assert sorted(os.listdir(tmp_path)) == during and th.load(path).extra == {"new": 1}
    assert sorted(os.listdir(tmp_path)) == sorted(["run.npz", *others])


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell the living from the dead")
@pytest.mark.parametrize("when", ["before the lock", "before it is locked and gone", "there are no locks"])
def test_a_temporary_file_that_another_removes_is_made_anew(when, path, monkeypatch):
    lock, locked = files._lock, []

    def late(file):
        locked.append(file)
        if when == "there are no locks":
            raise OSError(95, "Operation not supported")
        if len(locked) == 1:
            for other in path.parent.iterdir():
                other.unlink()
            if when == "before it is locked and gone":
                raise BlockingIOError
        lock(file)

    monkeypatch.setattr(files, "_lock", late)
    th.save(path, {}, kept=1)
    assert len(locked) == (1 if when == "there are no locks" else 2)
    assert th.load(path).extra == {"kept": 1} and os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell the living from the dead")
def test_a_file_is_held_until_it_has_its_name(path, monkeypatch):
    """What is closed and not yet renamed is not abandoned."""
    replace = os.replace

    def while_another_saves(source, target):
        monkeypatch.undo()
        th.save(path, {}, kept=1)
        replace(source, target)

    monkeypatch.setattr(os, "replace", while_another_saves)
    th.save(path, {}, kept=2)
    assert th.load(path).extra == {"kept": 2} and os.listdir(path.parent) == [path.name]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot kill in this way")
def test_a_killed_run_has_lost_nothing_that_was_saved(tmp_path):
    """Three kills; `python tests/helpers/kill_checkpoint.py 200` makes two hundred."""
    steps, _ = kill_checkpoint.kill(3, tmp_path, seed=0)
    optimizer, _, _ = kill_checkpoint.begin()
    params, _ = th.load(tmp_path / "run.npz", optimizer)
    other, straight, _ = kill_checkpoint.straight(steps)
    assert snapshot(optimizer, params) == snapshot(other, straight)
    th.save(tmp_path / "run.npz", params, optimizer)
    assert os.listdir(tmp_path) == ["run.npz"]


def test_where_there_are_no_locks_a_file_is_still_whole_or_not_there(tmp_path):
    """As on Windows, which lets nobody remove what a living process has open."""
    lockless, path = imported_without("fcntl", files), tmp_path / "run.npz"
    assert lockless.fcntl is None
    lockless.write(path, b"old")
    (tmp_path / "run.npz.0.tmp").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt), lockless.replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    lockless.write(path, "new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_an_extra_may_have_any_name(path):
    params = {"w": th.tensor([1.0], requires_grad=True)}
    names = ["path", "params", "optimizer", "self", "extra", "", "é/%"]
    th.save(path, params, None, **{name: n for n, name in enumerate(names)})
    assert th.load(path).extra == {name: n for n, name in enumerate(names)}
    th.save(params=params, path=path, optimizer=None, extra=1)
    assert th.load(path).extra == {"extra": 1}
    for wrong in (lambda: th.save(path), lambda: th.save(path, params, None, 1), lambda: th.save(params=params)):
        with pytest.raises(th.CallError, match="save: .*call save"):
            wrong()
