"""Steps that would not stay finite: refused with nothing changed, or skipped as if their batch had not been."""

import copy
import gc
import pickle
import warnings

import numpy as np
import pytest
from drawn_towers import SEEDS, WAYS, bits, levels, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.optim import SGD, AdaDelta, Adam, RMSProp, from_string
from tinyhyper.optim.horizon import Window
from tinyhyper.testing import alive

TOWERS = {
    "SGD": lambda **kw: SGD(0.05, **kw),
    "SGD/SGD": lambda **kw: SGD(0.05, 0.5, optimizer=SGD(1e-3), **kw),
    "Adam/SGD": lambda **kw: Adam(0.01, optimizer=SGD(1e-4), **kw),
    "Adam/RMSProp/SGD": lambda **kw: Adam(0.01, optimizer=RMSProp(1e-5, optimizer=SGD(1e-6)), **kw),
    "rates/SGD": lambda **kw: SGD({"w": 0.01, "b": 0.02}, optimizer=SGD(1e-3), **kw),
    "clipped": lambda **kw: SGD(0.05, clip_norm=0.5, optimizer=Adam(1e-3, clip_value=0.1), **kw),
}
BAD = {"nan": np.nan, "infinity": np.inf, "overflow": 1e200}


def batches(seed, kinds):
    """Inputs, and after each whether it is a good one. The bad ones make the loss, or its gradient, not finite."""
    rng = np.random.default_rng(seed)
    found = []
    for kind in kinds:
        x = rng.standard_normal((4, 3))
        found.append((x if kind is None else x * np.array([1.0, BAD[kind], 1.0]), kind is None))
    return found


def bad_loss(params, x):
    """A loss that is finite for moderate inputs only."""
    return loss_of(params, x) + th.sum(th.square(x @ params["w"])) * 1e-3


def run(make, data, way="plain", plain=False, **kwargs):
    """A snapshot after each good step. plain: whether backward passes are not recorded."""
    optimizer, found = make(**kwargs), []
    params = make_params(np.random.default_rng(0))
    for x, good in data:
        bad_loss(params, th.tensor(x)).backward(create_graph=not plain)
        with WAYS[way]():
            optimizer.step(params)
        if good:
            found.append(snapshot(optimizer, params))
    return found, optimizer


KINDS = st.lists(st.sampled_from([None, None, *BAD]), min_size=2, max_size=7)


@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(TOWERS)),
    kinds=KINDS,
    seed=SEEDS,
    way=st.sampled_from(sorted(WAYS)),
    plain=st.booleans(),
)
def test_skipping_is_as_if_the_batch_had_not_been(name, kinds, seed, way, plain):
    data = batches(seed, kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", th.AnomalyWarning)
        found, optimizer = run(TOWERS[name], data, way, plain, on_nonfinite="skip")
        expected, _ = run(TOWERS[name], [pair for pair in data if pair[1]], way, plain)
    assert found == expected
    assert optimizer.skipped == sum(not good for _, good in data)


@settings(max_examples=25)
@given(
    kinds=KINDS, seed=SEEDS, horizon=st.sampled_from([2, 3, None]), objective=st.sampled_from(["last", "sum"]),
    way=st.sampled_from(["plain", "watched"]),
)  # fmt: skip
def test_skipping_in_a_window_is_as_if_the_batch_had_not_been(kinds, seed, horizon, objective, way):
    data, how = batches(seed, kinds), {"horizon": horizon, "objective": objective}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", th.AnomalyWarning)
        found, _ = run(TOWERS["SGD/SGD"], data, way, on_nonfinite="skip", **how)
        expected, _ = run(TOWERS["SGD/SGD"], [pair for pair in data if pair[1]], way, **how)
    assert found == expected


LOSSES = {
    "of all": lambda params, alpha, x: bad_loss(params, x),
    "in part": lambda params, alpha, x: bad_loss({**params, "b": params["b"].detach()}, x),
    "of alpha": lambda params, alpha, x: bad_loss(params, x) * th.exp(alpha),
    "retained": lambda params, alpha, x: bad_loss({**params, "w": (params["w"] * 1.0).retain_grad()}, x),
    "linear": lambda params, alpha, x: th.sum(x @ params["w"] + params["b"]),  # its gradient has no graph
}
PASSES = {"one": [False], "retained": [True], "two": [True, False], "two retained": [True, True]}
KIND = st.sampled_from(sorted(LOSSES))
BAD_BATCHES = st.lists(st.tuples(KIND, st.sampled_from(sorted(PASSES)), st.booleans()), max_size=3)


@pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")
@settings(max_examples=50)
@given(
    batches=st.lists(st.tuples(BAD_BATCHES, KIND), min_size=4, max_size=4),
    name=st.sampled_from(["SGD/SGD", "Adam/RMSProp/SGD", "rates/SGD"]), horizon=st.sampled_from([1, 2, 3, None]),
    objective=st.sampled_from(["last", "sum"]), good_plain=st.booleans(), seed=SEEDS,
)  # fmt: skip
def test_skipping_any_batch_anywhere_leaves_gradients_and_steps_as_they_were(
    batches, name, horizon, objective, good_plain, seed
):
    """Before each good batch come up to three bad ones. Each has made its backward passes, recorded or not, over all
    weights or some; a plain one has consumed the graph of the window that it ends.
    """
    results = []
    for skips in (True, False):
        choice = "skip" if skips else None
        optimizer = TOWERS[name](horizon=horizon, objective=objective, on_nonfinite=choice)
        tuned = next(iter(optimizer.parameters))
        rng, params, found = np.random.default_rng(seed), make_params(np.random.default_rng(0)), []
        for bad, good in batches:
            x = th.tensor(rng.standard_normal((4, 3)))
            cuts = optimizer.hooks[Window].cuts
            for loss, passes, plain in bad if skips else ():
                value = LOSSES[loss](params, optimizer.parameters[tuned], x) * np.nan
                for retains in PASSES[passes]:
                    value.backward(retain_graph=retains, create_graph=not (plain and cuts))
                optimizer.step(params)
            value = LOSSES[good](params, optimizer.parameters[tuned], x)
            value.backward(create_graph=not (good_plain and cuts))
            found.append(snapshot(optimizer, params))
            optimizer.step(params)
            found.append(snapshot(optimizer, params))
        hyper = [level.parameters[key] for level in optimizer.levels for key in level._tuned]
        whole = th.gradients(bad_loss(params, x), hyper)
        results.append((found, [bits(gradient) for gradient in whole]))
        assert optimizer.skipped == (sum(len(bad) for bad, _ in batches) if skips else 0)
    assert results[0] == results[1]


@pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")
@pytest.mark.parametrize("horizon", [3, None])
@pytest.mark.parametrize("objective", ["last", "sum"])
@pytest.mark.parametrize("skips", [1, 3])
def test_a_skipped_loss_may_read_weights_of_earlier_steps(horizon, objective, skips):
    """What its backward pass has left between these steps is taken away."""
    results = []
    for bad in (0, skips):
        optimizer = SGD(0.05, optimizer=SGD(1e-3), horizon=horizon, objective=objective, on_nonfinite="skip")
        params, found, earlier = make_params(np.random.default_rng(0)), [], []
        for x, _ in batches(2, [None] * 5):
            for _ in range(bad if len(earlier) == 2 else 0):
                loss = sum(bad_loss(p, th.tensor(x)) for p in (*earlier[1:], params)) * np.nan
                loss.backward(create_graph=True)
                optimizer.step(params)
            bad_loss(params, th.tensor(x)).backward(create_graph=True)
            earlier.append(dict(params))
            optimizer.step(params)
            found.append(snapshot(optimizer, params))
        results.append((found, bits(th.gradients(bad_loss(params, th.tensor(x)), [optimizer.parameters["alpha"]])[0])))
    assert results[0] == results[1]


FACTOR = [1.0]


class Factored(th.optim.Optimizer):
    """A rule that reads a number which changes between two steps."""

    table = {"alpha": 0.01}

    @staticmethod
    def rule(w, g, *, alpha):
        return w - alpha * FACTOR[0] * g


@pytest.mark.parametrize("skips", [0, 1, 3])
def test_the_last_step_stays_the_one_that_was_made(skips):
    """By the rule as it was, and what has been computed from its weights before the skip leads to it still."""
    optimizer, params = Factored(optimizer=SGD(1e-3), on_nonfinite="skip"), make_params(np.random.default_rng(0))
    x = th.tensor(np.ones((4, 3)))
    FACTOR[0] = 1.0
    bad_loss(params, x).backward()
    optimizer.step(params)
    penalty = sum(th.sum(th.square(w)) for w in params.values())
    wanted = th.gradients(penalty, [optimizer.parameters["alpha"]], retain_graph=True)[0].item()
    FACTOR[0] = 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", th.AnomalyWarning)
        for _ in range(skips):
            (bad_loss(params, x) * np.nan).backward()
            optimizer.step(params)
    penalty.backward()
    assert optimizer.parameters["alpha"].grad.item() == wanted and optimizer.skipped == skips


@pytest.mark.parametrize("objective", ["last", "sum"])
def test_the_plain_backward_that_ends_a_window_can_be_skipped(objective):
    """It has swept the whole window: its graph and all that was left on the way come back."""
    results = []
    for kinds in [[None] * 7, [*[None] * 3, "nan", "infinity", *[None] * 3, "nan", None]]:
        optimizer = SGD(0.05, optimizer=SGD(1e-3), horizon=3, objective=objective, on_nonfinite="skip")
        params, found = make_params(np.random.default_rng(0)), []
        good = iter(batches(1, [None] * 7))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", th.AnomalyWarning)
            for kind in kinds:
                x = np.full((4, 3), BAD[kind]) if kind else next(good)[0]
                bad_loss(params, th.tensor(x)).backward(create_graph=not optimizer.hooks[Window].cuts)
                optimizer.step(params)
                if kind is None:
                    found.append(snapshot(optimizer, params))
        results.append(found)
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.usefixtures("as_compiled")
@settings(max_examples=25)
@given(
    bottom=levels(), top=levels(), seed=SEEDS, where=st.integers(0, 3), what=st.sampled_from([np.nan, np.inf, -np.inf]),
    way=st.sampled_from(sorted(WAYS)), horizon=st.sampled_from([1, 1, 2]),
)  # fmt: skip
def test_refusing_changes_nothing_and_the_next_good_step_is_as_ever(bottom, top, seed, where, what, way, horizon):
    """A gradient that is not finite is put right by hand after the refusal; random towers on every path."""
    results = []
    for planted in (True, False):
        optimizer = bottom[0](**bottom[1], optimizer=top[0](**top[1]), on_nonfinite="raise")
        if optimizer._tuned:
            optimizer = bottom[0](**bottom[1], optimizer=top[0](**top[1]), on_nonfinite="raise", horizon=horizon)
        rng = np.random.default_rng(seed)
        params, found = make_params(rng), []
        for step in range(4):
            loss_of(params, th.tensor(rng.standard_normal((4, 3)))).backward(create_graph=horizon > 1)
            if planted and step == where:
                good = params["w"].grad
                wrong = np.array(good.numpy())
                wrong[1, 0] = what
                params["w"].grad = th.Tensor(wrong, good.edge)
                before, tensors = snapshot(optimizer, params), dict(params)
                with WAYS[way](), pytest.raises(th.AnomalyError, match=r"gradient of params\['w'\] is .* at \[1, 0\]"):
                    optimizer.step(params)
                assert snapshot(optimizer, params) == before and params == tensors
                params["w"].grad = good
            with WAYS[way](), warnings.catch_warnings():
                warnings.simplefilter("ignore", th.AnomalyWarning)
                optimizer.step(params)
            found.append(snapshot(optimizer, params))
        results.append(found)
    assert results[0] == results[1]


def test_refusing_at_the_end_of_a_window_gives_back_what_was_gathered():
    """The hypergradient of a window is found in the step itself."""
    optimizer = SGD(0.1, optimizer=SGD(1e300), horizon=2, objective="sum", on_nonfinite="raise")
    params = make_params(np.random.default_rng(0))
    for _ in range(2):
        loss_of(params, th.tensor(np.ones((4, 3)))).backward(create_graph=True)
        optimizer.step(params)
    (loss_of(params, th.tensor(np.ones((4, 3)))) * 1e20).backward(create_graph=True)
    seams = [ref() for ref in optimizer.hooks[Window].touched]
    before, left = snapshot(optimizer, params), [list(seam.left) for seam in seams]
    for _ in range(2):
        with pytest.raises(th.AnomalyError, match="alpha of level 0"):
            optimizer.step(params)
        assert snapshot(optimizer, params) == before
        assert [ref() for ref in optimizer.hooks[Window].touched] == seams
        assert [list(seam.left) for seam in seams] == left


WHERE = {
    "a weight's gradient": (lambda: SGD(0.1, on_nonfinite="raise"), np.inf, r"gradient of params\['w'\] is infinity"),
    "a new value": (lambda: SGD(1e200, on_nonfinite="raise"), -1e200, r"new value of params\['w'\] is infinity at"),
    "a new state": (
        lambda: RMSProp(0.1, on_nonfinite="raise"), 1e200, r"new state 'squares' of params\['w'\] is infinity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("where", sorted(WHERE))
def test_what_is_not_finite_is_named(where, way):
    make, value, words = WHERE[where]
    optimizer, params = make(), make_params(np.random.default_rng(0))
    for w in params.values():
        w.grad = th.tensor(np.full(w.shape, value))
    with WAYS[way](), pytest.raises(th.AnomalyError, match=words) as error:
        optimizer.step(params)
    assert "6 of 6" in str(error.value) and isinstance(error.value, FloatingPointError)


ABOVE = {
    "gradient": (lambda: SGD(0.1, optimizer=SGD(1e-3), on_nonfinite="raise"), np.nan, "gradient of hyperparameter"),
    "value": (lambda: SGD(0.1, optimizer=SGD(1e200), on_nonfinite="raise"), 1e200, "new value of hyperparameter"),
    "state": (
        lambda: SGD(0.1, optimizer=AdaDelta(1e-3), on_nonfinite="raise"), 1e200, "new state 'squares' of hyperparameter"
    ),
}  # fmt: skip


@pytest.mark.usefixtures("as_compiled")
@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("where", sorted(ABOVE))
def test_a_hyperparameter_is_named_with_its_level(where, way):
    make, value, words = ABOVE[where]
    optimizer, params = make(), make_params(np.random.default_rng(0))
    for w in params.values():
        w.grad = th.tensor(np.ones(w.shape))
    optimizer.parameters["alpha"].grad = th.tensor(value)
    with WAYS[way](), pytest.raises(th.AnomalyError, match=f"^SGD.step: the {words} alpha of level 0, SGD,"):
        optimizer.step(params)


@pytest.mark.parametrize("height", [0, 1])
def test_the_gradient_of_a_hyperparameter_is_named_at_any_level(height):
    optimizer = SGD(0.1, optimizer=SGD(1e-3, optimizer=SGD(1e-5)), on_nonfinite="raise")
    params = make_params(np.random.default_rng(0))
    for w in params.values():
        w.grad = th.tensor(np.ones(w.shape))
    for n, level in enumerate(optimizer.levels[:2]):
        level.parameters["alpha"].grad = th.tensor(np.nan if n == height else 1.0)
    with pytest.raises(th.AnomalyError, match=f"the gradient of hyperparameter alpha of level {height}, SGD,"):
        optimizer.step(params)


@pytest.mark.usefixtures("as_compiled")
def test_a_new_value_is_named_with_its_level():
    """Of a level in the middle, where the levels above and below have other names."""
    optimizer = SGD(0.1, optimizer=SGD(0.1, optimizer=SGD(1e308)), on_nonfinite="raise")
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    with pytest.raises(th.AnomalyError, match="the new value of hyperparameter alpha of level 1, SGD, is -infinity"):
        for _ in range(4):
            th.sum(params["w"] ** 2).backward()
            optimizer.step(params)


def test_a_run_of_skips_is_told_once():
    optimizer, params = SGD(0.1, optimizer=SGD(1e-3), on_nonfinite="skip"), make_params(np.random.default_rng(0))
    told = []
    for kind in (None, "nan", "infinity", None, "nan"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bad_loss(params, th.tensor(batches(0, [kind])[0][0])).backward()
            optimizer.step(params)
        told.append(len(caught))
        assert all(w.category is th.AnomalyWarning and w.filename == __file__ for w in caught)
        assert all("SGD.step: the gradient of params['w']" in str(w.message) for w in caught)
    assert told == [0, 1, 0, 0, 1] and optimizer.skipped == 3 and optimizer.t == 2


def test_without_it_the_step_is_made():
    optimizer, params = SGD(0.1), make_params(np.random.default_rng(0))
    for w in params.values():
        w.grad = th.tensor(np.full(w.shape, np.nan))
    optimizer.step(params)
    assert np.isnan(params["w"].numpy()).all() and optimizer.skipped == 0 and optimizer.t == 1


@pytest.mark.parametrize("choice", ["raise", "skip"])
def test_a_hyperparameter_that_leaves_its_range_is_told_until_it_is_back(choice):
    optimizer = SGD(0.1, optimizer=SGD(1.0), on_nonfinite=choice)
    told = []
    for hypergradient in (0.0, 0.2, 0.1, -1.0, 2.0):
        params = make_params(np.random.default_rng(0))
        for w in params.values():
            w.grad = th.tensor(np.ones(w.shape))
        optimizer.parameters["alpha"].grad = th.tensor(hypergradient)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer.step(params)
        told.append([str(w.message) for w in caught])
    assert list(map(len, told)) == [0, 1, 0, 0, 1]
    assert told[1][0].startswith("hyperparameter alpha of level 0 is -0.1, outside its range from 0 up")
    assert "coordinates={'alpha': 'log'}" in told[1][0]


@pytest.mark.parametrize("choice", [None, "raise", "skip"])
@pytest.mark.parametrize("dtype, size", [("f4", 1e19), ("f8", 1e154)])
def test_the_silent_0_of_an_overflowed_loss_is_told_until_it_is_over(choice, dtype, size):
    optimizer, told = SGD(0.1, optimizer=Adam(1e-3), on_nonfinite=choice), []
    for factor in (1.0, size, size, 1.0, size):
        params = {"w": th.tensor(factor * np.array([1.0, -2.0]), requires_grad=True, dtype=dtype)}
        loss = th.log(th.sum(th.square(params["w"])))
        loss.backward()
        assert np.any(params["w"].grad.numpy()) == np.isfinite(loss.item()) == (factor == 1.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer.step(params)
        told.append(len(caught))
        assert all(str(w.message).startswith("SGD.step: every gradient of the weights is exactly 0") for w in caught)
    assert told == ([0, 1, 0, 0, 1] if choice else [0] * 5) and optimizer.t == 5


class Counting(th.nn.Layer):
    """A model of a user's own with a buffer of its own, beside those of its parts."""

    def __init__(self):
        self.norm = th.nn.BatchNorm2d("norm", 3)
        self.drop = th.nn.Dropout("drop", 0.3)
        self.linear = th.nn.Linear("linear", 3, 1)
        super().__init__("net", parts=[self.norm, self.drop, self.linear], buffers={"calls": np.zeros((), np.int64)})

    def __call__(self, params, x):
        self.own["calls"] += 1
        return self.linear(params, self.drop(params, self.norm(params, x)))


def train_counting(kinds, horizon, passes, **how):
    """Losses and buffers after each good step; a bad batch is finite itself, or not."""
    model, rng, found = Counting(), np.random.default_rng(0), []
    params = model.parameters(0, np.float64)
    optimizer = Adam(0.01, optimizer=SGD(1e-4), horizon=horizon, **how)
    for kind in kinds:
        x = rng.standard_normal((4, 3)) if kind is None else np.full((4, 3), kind)
        loss = sum(th.sum(model(params, x) ** 2.0) for _ in range(passes)) * (1.0 if kind is None else np.nan)
        loss.backward(create_graph=horizon > 1)
        optimizer.step(params)
        if kind is None:
            found.append((loss.item(), {name: array.tolist() for name, array in model.buffers.items()}))
    return found


@given(
    kinds=st.lists(st.sampled_from([None, None, 5.0, 1e200, np.nan, np.inf]), min_size=2, max_size=7),
    horizon=st.sampled_from([1, 2, 3]), passes=st.integers(1, 2),
)  # fmt: skip
def test_skipping_puts_back_the_buffers_of_all_layers(kinds, horizon, passes):
    """Of running statistics, of calls by which masks are drawn, of a user's layer; after several forward passes too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", th.AnomalyWarning)
        found = train_counting(kinds, horizon, passes, on_nonfinite="skip")
    assert found == train_counting([None] * kinds.count(None), horizon, passes)


@pytest.mark.parametrize("made_again", [copy.copy, copy.deepcopy, lambda tower: pickle.loads(pickle.dumps(tower))])
def test_a_copy_of_a_tower_puts_back_buffers_too(made_again):
    """Layers ask whether any tower skips: a copy that is the only one is found."""
    model = Counting()
    params, optimizer = model.parameters(0, np.float64), made_again(SGD(0.1, on_nonfinite="skip"))
    gc.collect()
    assert "on_nonfinite=skip" in str(optimizer)
    skip(model, params, optimizer)
    assert model.buffers["net.calls"] == model.buffers["drop.calls"] == 0
    assert not model.buffers["norm.running_mean"].any()


def test_a_layer_may_be_called_by_keywords_in_any_order(counting):
    model, params, optimizer = counting
    norm = th.nn.BatchNorm2d("norm", 3)
    th.sum(norm(x=np.arange(12.0).reshape(4, 3), params=params) * np.nan).backward()
    with pytest.warns(th.AnomalyWarning):
        optimizer.step(params)
    assert not norm.buffers["norm.running_mean"].any()


@pytest.mark.parametrize("first", [True, False])
def test_weights_of_another_tower_may_stand_beside_a_layers_own(first):
    norm, other = th.nn.BatchNorm2d("norm", 3), {"alone": th.tensor(1.0, requires_grad=True)}
    params, optimizer = norm.parameters(0, np.float64), SGD(0.1, on_nonfinite="skip")
    both = {**other, **params} if first else {**params, **other}
    th.sum(norm(both, np.arange(12.0).reshape(4, 3)) * both["alone"] * np.nan).backward()
    with pytest.warns(th.AnomalyWarning):
        optimizer.step(params)
    assert not norm.buffers["norm.running_mean"].any()


@pytest.fixture
def counting():
    """A model, its weights and a tower that skips, after one good step."""
    model = Counting()
    params, optimizer = model.parameters(0, np.float64), SGD(0.1, optimizer=SGD(1e-4), on_nonfinite="skip")
    th.sum(model(params, np.ones((4, 3)))).backward()
    optimizer.step(params)
    return model, params, optimizer


def skip(model, params, optimizer):
    th.sum(model(params, np.full((4, 3), 2.0)) * np.nan).backward()
    with pytest.warns(th.AnomalyWarning):
        optimizer.step(params)


def test_what_a_pass_that_leads_to_no_step_has_written_stands(counting):
    """Statistics gathered under no_grad are not those of the batch that is skipped."""
    model, params, _ = counting
    with th.no_grad():
        model(params, np.arange(12.0).reshape(4, 3))
    before = model.buffers
    skip(*counting)
    assert all(np.array_equal(array, before[name]) for name, array in model.buffers.items())


def test_weights_that_come_back_bring_no_old_buffers():
    """The first weights are put into params again, after a step: the call that they had then is not undone."""
    model, optimizer = Counting(), SGD(0.1, on_nonfinite="skip")
    first = model.parameters(0, np.float64)
    params = dict(first)
    th.sum(model(params, np.ones((4, 3)))).backward()
    optimizer.step(params)
    params.update(first)
    skip(model, params, optimizer)
    assert model.buffers["net.calls"] == 1


def test_a_call_without_weights_is_one_of_the_next_step(counting):
    _, params, optimizer = counting
    drop = th.nn.Dropout("alone", 0.5)
    drop({}, np.ones(3))
    th.sum(params["linear.weight"]).backward()
    optimizer.step(params)
    drop({}, np.ones(3))
    skip(*counting)
    assert drop.buffers["alone.calls"] == 1


def test_another_models_buffers_stay(counting):
    other, params = Counting(), Counting().parameters(1, np.float64)
    other(params, np.ones((4, 3)))
    skip(*counting)
    assert other.buffers["net.calls"] == 1


def test_skipping_keeps_no_graph_alive():
    optimizer, params = TOWERS["Adam/RMSProp/SGD"](on_nonfinite="skip"), make_params(np.random.default_rng(0))
    counts = []
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", th.AnomalyWarning)
            for kind in [None, "nan", None, None] * 5:
                bad_loss(params, th.tensor(batches(0, [kind])[0][0])).backward()
                optimizer.step(params)
                counts.append(alive(Node))
    finally:
        gc.enable()
    assert len({*counts[4::4]}) == len({*counts[7::4]}) == 1


@pytest.mark.parametrize(
    "make",
    [lambda: SGD(on_nonfinite="warn"), lambda: SGD(0.1, optimizer=SGD(0.1, on_nonfinite="skip"))],
)
def test_wrong_choices_are_refused(make):
    with pytest.raises(th.ArgumentError, match="SGD: .*on_nonfinite"):
        make()


def test_a_tower_says_what_it_does():
    text = "SGD(alpha=0.1, on_nonfinite=skip)"
    assert str(from_string(text)) == text and str(from_string(text.lower())) == text
