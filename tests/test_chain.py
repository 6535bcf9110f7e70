"""The levels above the bottom, moved together: the same numbers as moved one by one, and the same life."""

import copy
import gc
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_golden import GOLDEN, TOWERS, follow
from test_towers import loss_of, make_params

import tinyhyper as th
from tinyhyper import tape
from tinyhyper.kernels.plan import elementwise_backend
from tinyhyper.ops.fuse import trace
from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp, rows
from tinyhyper.testing import alive

RULES = (SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW)
pytestmark = pytest.mark.usefixtures("as_compiled")  # else levels move one by one
BOUNDED = {"alpha": ("linear", "log", "sqrt"), "eps": ("log",), "weight_decay": ("sqrt", "linear")}


class Sloped(th.optim.Optimizer):
    """A user's own rule, with special functions in it and a state."""

    table = {"alpha": 0.01, "slope": th.optim.Hyperparameter(1.5, th.optim.COORDINATES["log"])}
    state = {"m": 0.0}

    @staticmethod
    def rule(w, g, m, *, alpha, slope):
        m = 0.5 * m + th.tanh(slope * g)
        return w - alpha * th.where(g > 0.0, m, th.expm1(m) * th.sigmoid(slope)), m


@st.composite
def levels(draw):
    """How to make one level: its rule, the values that are tuned, and their coordinates."""
    cls = draw(st.sampled_from((*RULES, Sloped)))
    values = {"alpha": draw(st.floats(1e-6, 1e-2))}
    if "weight_decay" in cls.table and draw(st.booleans()):
        values["weight_decay"] = 0.01
    if cls is SGD:
        values |= {"mu": draw(st.sampled_from([0.0, 0.5])), "nesterov": draw(st.booleans())}
    names = [name for name in cls.table if not cls.table[name].optional or values.get(name)]
    tune = draw(st.one_of(st.none(), st.lists(st.sampled_from(names), unique=True, max_size=len(names))))
    coordinates = {
        name: draw(st.sampled_from(BOUNDED[name])) for name in names if name in BOUNDED and draw(st.booleans())
    }
    return cls, {**values, "tune": tune, "coordinates": coordinates}


@st.composite
def towers(draw):
    """A maker of a random tower of 1 to 6 levels."""
    drawn = draw(st.lists(st.tuples(levels(), st.integers(1, 3)), min_size=1, max_size=6))
    specification = [level for level, times in drawn for _ in range(times)][:6]
    by_name = draw(st.booleans())

    def make():
        optimizer = None
        for height, (cls, kwargs) in reversed(list(enumerate(specification))):
            if height == 0 and by_name:
                kwargs = {**kwargs, "alpha": {"w": kwargs["alpha"], "b": 0.003}}
            optimizer = cls(**kwargs, optimizer=optimizer)
        return optimizer

    return make


def bits(tensor):
    """The bits of a tensor's numbers, every NaN alike; None where there is no tensor."""
    return tensor if tensor is None else np.where(np.isnan(tensor.array), np.nan, tensor.array).tobytes()


def snapshot(optimizer, params):
    """All numbers of a run: weights, gradients, hyperparameters, hypergradients, states, counts."""
    levels = [
        {
            "t": level.t,
            "parameters": {
                key: (bits(p), p.dtype, bits(p.grad), p.is_leaf, p.requires_grad) for key, p in level.parameters.items()
            },
            "states": {
                name: {key: (bits(s), s.dtype) for key, s in kept.items()} for name, kept in level._states.items()
            },
        }
        for level in optimizer.levels
    ]
    return levels, {name: (bits(w), bits(w.grad)) for name, w in params.items()}


@contextmanager
def one_by_one():
    """Move every level by itself, though nobody watches."""
    wanted, rows.wanted = rows.wanted, lambda: False
    try:
        yield
    finally:
        rows.wanted = wanted


WAYS = {"together": nullcontext, "watched": th.record, "one by one": one_by_one}


def only_b(params, x, optimizer):
    """A loss that leaves a weight, and so its own rate, without a gradient."""
    return th.sum(th.square(params["b"] * x[0, 0]))


def held_back(params, x, optimizer):
    """A loss that also reads hyperparameters of every height."""
    penalties = [th.square(p) for level in optimizer.levels for p in level.parameters.values() if p.requires_grad]
    return sum(penalties, loss_of(params, x))


LOSSES = [lambda params, x, optimizer: loss_of(params, x), only_b, held_back]


def run(make, seed, ways, losses=LOSSES[0], create_graph=False):
    """A snapshot after each backward pass and each step. ways: how each pass and each step goes, in turn."""
    rng, optimizer, found = np.random.default_rng(seed), make(), []
    params = make_params(rng)
    for backward, step in zip(ways[::2], ways[1::2]):
        loss = losses(params, th.tensor(rng.standard_normal((4, 3))), optimizer)
        with WAYS[backward]():
            loss.backward(create_graph=create_graph)
        found.append(snapshot(optimizer, params))
        with WAYS[step]():
            optimizer.step(params)
        found.append(snapshot(optimizer, params))
    return found


SEEDS = st.integers(0, 2**32 - 1)
TURNS = st.lists(st.sampled_from(sorted(WAYS)), min_size=2, max_size=10)


@given(make=towers(), seed=SEEDS, ways=TURNS, losses=st.sampled_from(LOSSES), create_graph=st.booleans())
def test_together_or_one_by_one_the_bits_are_the_same(make, seed, ways, losses, create_graph):
    together = run(make, seed, ["together"] * len(ways), losses)
    assert together == run(make, seed, ways, losses, create_graph)


@pytest.mark.parametrize("way", ["watched", "one by one"])
def test_sums_of_many_cotangents_are_added_in_the_same_order(way):
    """Each hyperparameter of Adam is read by three moves below and by the loss."""
    for seed in range(5):
        turns = ["together"] * 8
        assert run(lambda: tower_of(4, Adam), seed, turns, held_back) == run(
            lambda: tower_of(4, Adam), seed, [way] * 8, held_back
        )


@pytest.mark.parametrize("way", ["watched", "one by one"])
@pytest.mark.parametrize("name", TOWERS)
def test_recorded_towers_have_the_same_bits(name, way):
    def numbers(way):
        found = []
        with WAYS[way]():
            follow(np.load(GOLDEN / f"{name}.npz"), TOWERS[name](), lambda got, *_: found.append(got))
        return np.hstack([np.ravel(number) for number in found]).tobytes()

    assert numbers("together") == numbers(way)


@given(make=towers(), seed=SEEDS, steps=st.integers(1, 3), data=st.data())
def test_gradients_by_any_hyperparameter_to_second_order(make, seed, steps, data):
    """th.gradients, recorded and differentiated again, is what it is when every level is a node of its own."""
    place = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 2)), data.draw(st.integers(0, 5))

    def derivatives(way):
        rng, optimizer = np.random.default_rng(seed), make()
        params = make_params(rng)
        with WAYS[way]():
            for _ in range(steps):
                loss_of(params, th.tensor(rng.standard_normal((4, 3)))).backward()
                optimizer.step(params)
        loss = held_back(params, th.tensor(rng.standard_normal((4, 3))), optimizer)
        inputs = [p for level in optimizer.levels for p in level.parameters.values() if p.requires_grad]
        if not inputs:
            return []
        first = th.gradients(loss, inputs, retain_graph=True)
        (again,) = th.gradients(loss, inputs[place[2] % len(inputs)], retain_graph=True)
        recorded = th.gradients(loss, inputs, create_graph=True)
        chosen = [g for g in recorded if g.requires_grad]
        second = th.gradients(chosen[place[0] % len(chosen)], inputs, retain_graph=True) if chosen else ()
        loss.backward(create_graph=True)
        third = [x.grad for x in inputs]
        return [None if g is None else g.item() for g in (*first, again, *recorded, *second, *third)]

    np.testing.assert_allclose(derivatives("together"), derivatives("one by one"), rtol=1e-12, atol=0)


def steps_of(optimizer, params, count=1):
    for _ in range(count):
        loss_of(params, th.tensor(np.ones((4, 3)))).backward()
        optimizer.step(params)


def tower_of(height, cls=SGD):
    """A tower of equal levels."""
    optimizer = None
    for _ in range(height):
        optimizer = cls(1e-5, optimizer=optimizer)
    return optimizer


def data_of_the_middle(optimizer):
    optimizer.levels[2].parameters["alpha"].data = 0.02


def gradient_of_the_middle(optimizer):
    optimizer.levels[1].parameters["alpha"].grad = th.tensor(0.5)


def no_gradient_of_the_middle(optimizer):
    optimizer.levels[1].parameters["alpha"].grad = None


def value_of_the_top(optimizer):
    optimizer.levels[-1].parameters["alpha"] = th.tensor(0.3)


def top_on_the_graph(optimizer):
    optimizer.levels[-1].parameters["alpha"] = th.tensor(0.3, requires_grad=True)


def value_of_the_middle_in_float32(optimizer):
    optimizer.levels[1].parameters["alpha"] = th.tensor(0.3, requires_grad=True, dtype=np.float32)


def gradient_of_the_middle_in_float32(optimizer):
    optimizer.parameters["beta1"].grad = th.tensor(0.1, dtype=np.float32)


def a_vector_in_the_middle(optimizer):
    optimizer.levels[1].parameters["alpha"] = th.tensor([0.3], requires_grad=True)


def saved_and_loaded(optimizer):
    optimizer.load_state_dict(optimizer.state_dict())


def loaded_from_another_run(optimizer):
    other = Adam(0.1, optimizer=Adam(0.2, optimizer=SGD(0.3, mu=0.5, optimizer=Adam(0.4))))
    steps_of(other, make_params(np.random.default_rng(5)), 3)
    optimizer.load_state_dict(other.state_dict())


def without_the_top(optimizer):
    optimizer.levels[2].optimizer = None


def a_higher_tower(optimizer):
    optimizer.levels[-1].optimizer = SGD(1e-5)


def lent_top(optimizer):
    """Other towers move with its top level above them for a while, by the same names and by others."""
    *_, below, top = optimizer.levels
    below.optimizer = None
    for cls in (Adam, SGD):
        steps_of(cls(optimizer=top), make_params(np.random.default_rng(6)), 2)
    below.optimizer = top


CHANGES = [
    data_of_the_middle, gradient_of_the_middle, no_gradient_of_the_middle, value_of_the_top, top_on_the_graph,
    value_of_the_middle_in_float32, gradient_of_the_middle_in_float32, a_vector_in_the_middle, saved_and_loaded,
    loaded_from_another_run, without_the_top, a_higher_tower, lent_top,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_a_user_changes_between_steps_counts(change):
    found = []
    for way in WAYS:
        optimizer, params = (
            Adam(0.1, optimizer=Adam(0.02, optimizer=SGD(0.003, mu=0.5, optimizer=Adam(0.004)))),
            make_params(np.random.default_rng(4)),
        )
        with WAYS[way]():
            steps_of(optimizer, params, 2)
            loss_of(params, th.tensor(np.ones((4, 3)))).backward()
            change(optimizer)
            optimizer.step(params)
            steps_of(optimizer, params, 2)
            loss_of(params, th.tensor(np.ones((4, 3)))).backward()
        found.append((snapshot(optimizer, params), repr(optimizer.state_dict())))
    assert found[0] == found[1] == found[2]


# Life.


def test_a_graph_is_released_retained_and_refused():
    optimizer, params = tower_of(5), make_params(np.random.default_rng(0))
    steps_of(optimizer, params, 3)
    high = optimizer.levels[1].parameters["alpha"]
    first, second = th.square(high), th.square(high)
    first.backward(retain_graph=True)
    once = optimizer.levels[2].parameters["alpha"].grad.item()
    second.backward(retain_graph=True)
    assert optimizer.levels[2].parameters["alpha"].grad.item() == 2 * once != 0
    loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    before = [p.grad.item() for level in optimizer.levels[:-1] for p in level.parameters.values() if p.grad is not None]
    with pytest.raises(th.errors.GraphReleasedError, match="scan"):
        th.square(high).backward()
    assert before == [
        p.grad.item() for level in optimizer.levels[:-1] for p in level.parameters.values() if p.grad is not None
    ]


def test_a_hypergradient_shares_no_memory():
    optimizer, params = Adam(optimizer=tower_of(4, Adam)), make_params(np.random.default_rng(0))
    steps_of(optimizer, params, 2)
    loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    arrays = [
        array
        for level in optimizer.levels
        for p in level.parameters.values()
        for array in (p.array, *([] if p.grad is None else [p.grad.array]))
    ]
    assert not any(np.shares_memory(a, b) for n, a in enumerate(arrays) for b in arrays[:n])


def test_what_a_backward_pass_costs_does_not_grow_with_the_height(monkeypatch):
    counts, walk = {}, tape.reachable
    for height in (3, 30):
        optimizer, params = tower_of(height), make_params(np.random.default_rng(0))
        steps_of(optimizer, params, 3)
        visited = counts[height] = []
        with monkeypatch.context() as patch:
            patch.setattr(tape, "reachable", lambda *a, v=visited: v.extend(walk(*a)) or walk(*a))
            loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    assert len(counts[3]) == len(counts[30])


@pytest.mark.parametrize("cls", [SGD, Adam])
def test_no_garbage_and_no_growth(cls):
    gc.collect()
    counts = [alive(tape.Node, th.Tensor)]
    optimizer, params = tower_of(20, cls), make_params(np.random.default_rng(0))
    steps_of(optimizer, params, 3)
    gc.collect()
    for _ in range(3):
        steps_of(optimizer, params)
        assert gc.collect() == 0
        counts.append(alive(tape.Node, th.Tensor))
    assert counts[1] == counts[2] == counts[3] > counts[0]
    del optimizer, params
    assert gc.collect() == 0 and alive(tape.Node, th.Tensor) == counts[0]


def test_a_rule_of_ones_own_that_cannot_be_traced_changes_nothing():
    class Forgetful(th.optim.Optimizer):
        table = {"alpha": 0.01}
        state = {"m": 0.0}

        @staticmethod
        def rule(w, g, m, *, alpha):
            return w - alpha * g

    optimizer, params = SGD(0.1, optimizer=SGD(optimizer=Forgetful())), make_params(np.random.default_rng(0))
    loss_of(params, th.tensor(np.ones((4, 3)))).backward()
    before = repr(optimizer.state_dict())
    with pytest.raises(TypeError, match="Forgetful.rule returned 1 values"):
        optimizer.step(params)
    assert repr(optimizer.state_dict()) == before


def test_whole_numbers_in_a_rule_are_left_to_numpy():
    class Signs(th.optim.Optimizer):
        table = {"alpha": 0.01}

        @staticmethod
        def rule(w, g, *, alpha):
            return w - alpha * ((g > 0.0) * 2 - 1)

    found = []
    for way in WAYS:
        optimizer, params = SGD(0.1, optimizer=Signs(optimizer=SGD(1e-3))), make_params(np.random.default_rng(0))
        with WAYS[way]():
            steps_of(optimizer, params, 3)
        found.append(snapshot(optimizer, params))
    assert found[0] == found[1] == found[2]


def test_a_tower_whose_weights_are_leaves_can_be_copied():
    optimizer, params = SGD(0.1, optimizer=Adam(1e-3)), make_params(np.random.default_rng(0))
    steps_of(optimizer, params, 2)
    other = copy.deepcopy(optimizer)
    for tower in (optimizer, other):
        weights = {name: th.tensor(w, requires_grad=True) for name, w in params.items()}
        for parameter in tower.parameters.values():
            parameter.grad = None
        steps_of(tower, weights, 2)
    assert repr(optimizer.state_dict()) == repr(other.state_dict())
    steps_of(optimizer, weights)
    assert repr(optimizer.state_dict()) != repr(other.state_dict())


@pytest.mark.parametrize(
    "rule, plain",
    [
        (lambda x, y: th.tanh(x) * y + 1.0, True),
        (lambda x, y: th.where(x > y, x, y), True),
        (lambda x, y: th.where(x > y, 1, 2) * x * y * x * y * x * y * x * y, False),
        (lambda x, y: x * y * x * y * x * y * th.where(x > y, 1, 2), False),
    ],
)
def test_a_rule_with_integers_in_between_is_not_computed_in_rows(rule, plain):
    assert rows.is_plain(trace(rule, 2)[0]) is plain


def test_rows_are_compiled_only_where_kernels_are(monkeypatch):
    for backend in ("numpy", "numba", "auto"):
        elementwise_backend(backend)
        for off in (False, True):
            monkeypatch.setattr(rows, "compiler_is_off", lambda off=off: off)
            assert rows.wanted() is (backend == "numba" or (backend == "auto" and not off))


def test_a_recorded_sweep_goes_by_what_nothing_reached():
    """The loss reads one of two weights, so the rate of the other, which moved with it, gets no cotangent."""
    rates = {"w": 0.1, "b": 0.2}
    found = []
    for backend in ("numba", "numpy"):
        elementwise_backend(backend)
        optimizer, params = SGD(rates, optimizer=SGD(0.01, optimizer=SGD(0.001))), make_params(np.random.default_rng(0))
        steps_of(optimizer, params, 2)
        loss = th.sum(params["w"] ** 2)
        loss.backward(create_graph=True)
        found.append([optimizer.parameters[f"{name}_alpha"].grad for name in rates])
        assert found[-1][1] is None and found[-1][0].requires_grad
    assert found[0][0].item() == pytest.approx(found[1][0].item(), rel=1e-12)
