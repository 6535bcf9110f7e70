"""The one mover: what trains is `apply_cut`, whether or not somebody watches; its numbers, its graph, its life."""

import copy
import gc
from threading import Thread

import numpy as np
import pytest
from backends import elementwise_backend
from drawn_towers import SEEDS, WAYS, snapshot, towers
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import loss_of, make_params

import tinyhyper as th
from tinyhyper.core import tape
from tinyhyper.optim import SGD, Adam, RMSProp
from tinyhyper.testing import alive


@pytest.mark.parametrize("height, targets", [(0, 3), (1, 5), (2, 6)])
def test_a_cut_is_a_detach_that_happened(monkeypatch, height, targets):
    """A spy counts: the weight, its gradient and each state of every target of every level, at each step."""
    rules = [lambda above: SGD(0.01, optimizer=above), lambda above: Adam(0.01, optimizer=above)]
    optimizer = None
    for n in reversed(range(height + 1)):
        optimizer = rules[n % 2](optimizer)
    cuts, detach = [], th.Tensor.detach
    monkeypatch.setattr(th.Tensor, "detach", lambda x, *reason: cuts.append(reason) or detach(x, *reason))
    params = make_params(np.random.default_rng(0))
    for _ in range(3):
        loss_of(params, th.tensor(np.ones((4, 3)))).backward()
        optimizer.step(params)
    kept = sum(len(states) for level in optimizer.levels for states in level._states.values())
    moved = len(params) + sum(len(level._tuned) for level in optimizer.levels)
    assert cuts.count(("weights",)) == cuts.count(("gradient",)) == 3 * moved
    assert cuts.count(("state",)) == 3 * kept


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


TURNS = st.lists(st.sampled_from(sorted(WAYS)), min_size=2, max_size=10)


@pytest.mark.either_backend
@given(make=towers(), seed=SEEDS, ways=TURNS, losses=st.sampled_from(LOSSES), create_graph=st.booleans())
def test_watched_or_not_the_bits_are_the_same(make, seed, ways, losses, create_graph):
    assert run(make, seed, ["plain"] * len(ways), losses) == run(make, seed, ways, losses, create_graph)


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
    assert found[0] == found[1]


RATES = {"a": 0.01, "c": 0.002, "d": 0.03}
SHAPES = st.sampled_from([(), (3,), (0,), (2, 3)])
NAMES = "abcdef"


@st.composite
def parameter(draw):
    """A parameter's shape and dtype, and its gradient's order in memory and size."""
    dtype, order = draw(st.sampled_from([np.float32, np.float64])), draw(st.sampled_from("CF"))
    return draw(SHAPES), dtype, order, draw(st.integers(-6, 6))


TOWERS = {
    "SGD": lambda: SGD(0.01),
    "SGD/SGD": lambda: SGD(0.01, optimizer=SGD(1e-3)),
    "SGD with momentum/Adam": lambda: SGD(0.01, 0.5, nesterov=True, optimizer=Adam(1e-3)),
    "rates/SGD": lambda: SGD(RATES, weight_decay=0.1, optimizer=SGD(1e-3)),
    "Adam": lambda: Adam(0.01),
    "Adam/SGD": lambda: Adam(0.01, optimizer=SGD(1e-5)),
    "Adam without alpha/SGD": lambda: Adam(0.01, tune=("beta2", "eps"), optimizer=SGD(1e-9)),
    "Adam/RMSProp/SGD": lambda: Adam(0.01, optimizer=RMSProp(1e-5, optimizer=SGD(1e-9))),
}


def term(rng, w, order, scale):
    """A part of the loss that reads one weight."""
    w = w.T if order == "F" else w
    return th.sum(th.square(w) * th.tensor(rng.standard_normal(w.shape) * 10.0**scale) + 0.1 * w)


def run_of_any_weights(tower, made, seed, turns, losses, backend="auto"):
    """A snapshot after each backward pass and each step.

    turns: for each step, how the pass and the step go, which of the parameters the loss reads and which are moved, and
    whether the pass is recorded.
    """
    elementwise_backend(backend)
    rng, optimizer, found = np.random.default_rng(seed), tower(), []
    params = {
        name: th.tensor(rng.standard_normal(shape), requires_grad=True, dtype=dtype)
        for name, (shape, dtype, *_) in zip(NAMES, made)
    }
    for backward, step, read, moved, create_graph in turns:
        chosen = {name: w for name, w in params.items() if (moved | 1) & 1 << NAMES.index(name)}
        terms = [
            term(rng, w, *how)
            for w, (n, (_, _, *how)) in zip(params.values(), enumerate(made))
            if read & 1 << n or w is next(iter(chosen.values()))
        ]
        loss = sum(terms, th.tensor(0.0))
        if losses == "held back":
            held = [th.square(p) for level in optimizer.levels for p in level.parameters.values() if p.requires_grad]
            loss = sum(held, loss)
        try:
            with WAYS[backward]():
                loss.backward(create_graph=create_graph)
        except th.errors.GraphReleasedError:  # a weight that was not moved since it was last read
            found.append("refused")
            params = {name: th.tensor(w, requires_grad=True) for name, w in params.items()}
            continue
        found.append(snapshot(optimizer, params))
        with WAYS[step]():
            optimizer.step(chosen)
        params.update(chosen)
        for w in params.values():
            w.grad = None
        found.append(snapshot(optimizer, params))
    return found


STEP = st.tuples(
    st.sampled_from(sorted(WAYS)), st.sampled_from(sorted(WAYS)), st.integers(0, 63), st.integers(0, 63), st.booleans()
)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(TOWERS)),
    made=st.lists(parameter(), min_size=1, max_size=6),
    seed=SEEDS,
    turns=st.lists(STEP, min_size=2, max_size=5),
    losses=st.sampled_from(["plain", "held back"]),
    backend=st.sampled_from(["auto", "numpy"]),
)
def test_weights_of_any_shape_dtype_and_layout(name, made, seed, turns, losses, backend):
    """Some have no rate, no gradient, or are not moved each time."""
    with np.errstate(all="ignore"):
        plain, watched = (
            run_of_any_weights(TOWERS[name], made, seed, [(way, way, *rest) for _, _, *rest in turns], losses, backend)
            for way in ("plain", "watched")
        )
        assert plain == watched == run_of_any_weights(TOWERS[name], made, seed, turns, losses, backend)


@given(
    name=st.sampled_from(sorted(TOWERS.keys() - {"rates/SGD"})),
    dtypes=st.permutations([np.float32, np.float64]),
    values=st.lists(st.floats(-10.0, 10.0), min_size=3, max_size=3),
)
def test_a_gradient_of_another_dtype_moves_a_weight_as_one_of_its_own(name, dtypes, values):
    """Set by hand, say: the weight and its states keep their dtype."""
    own, other = dtypes

    def moved(dtype):
        optimizer, params = TOWERS[name](), {"w": th.tensor(np.ones(3, own), requires_grad=True)}
        for _ in range(2):
            params["w"].grad = th.tensor(np.array(values, other).astype(dtype))
            optimizer.step(params)
        arrays = [x.array for x in (params["w"], *optimizer._states["w"].values())]
        return [(x.dtype, x.tobytes()) for x in arrays]

    elementwise_backend("numpy")
    assert moved(other) == moved(own)
    assert {dtype for dtype, _ in moved(other)} == {np.dtype(own)}


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
    with pytest.raises(th.errors.GraphReleasedError, match="rule"):
        th.square(high).backward()
    assert before == [
        p.grad.item() for level in optimizer.levels[:-1] for p in level.parameters.values() if p.grad is not None
    ]


def two(name, steps=2):
    """A tower and two weights after some steps."""
    optimizer = TOWERS[name]()
    params = {name: th.tensor(np.arange(1.0, 4.0), requires_grad=True) for name in ("a", "c")}
    for _ in range(steps):
        sum(th.sum(th.square(w)) for w in params.values()).backward()
        optimizer.step(params)
    return optimizer, params


def test_weights_that_nothing_tunes_or_moves_are_leaves():
    for name in ("SGD", "Adam"):
        assert all(w.is_leaf for w in two(name)[1].values())
    optimizer = SGD({"a": 0.1}, optimizer=SGD(1e-3))
    params = {name: th.tensor(np.ones(3), requires_grad=True) for name in ("a", "c")}
    sum(th.sum(th.square(w)) for w in params.values()).backward()
    optimizer.step(params)
    assert params["c"].is_leaf and not params["a"].is_leaf

    class Late(th.optim.Optimizer):
        """Its hyperparameter reaches only the state, which is cut."""

        table = {"alpha": 0.1}
        state = {"m": 0.0}

        @staticmethod
        def rule(w, g, m, *, alpha):
            return w - m, alpha * g

    optimizer, params = Late(optimizer=SGD(1e-3)), {"a": th.tensor(np.ones(3), requires_grad=True)}
    for _ in range(2):
        th.sum(params["a"]).backward()
        optimizer.step(params)
        assert params["a"].is_leaf and optimizer.parameters["alpha"].grad is None


@pytest.mark.parametrize("way", ["plain", "watched"])
@pytest.mark.parametrize("name", ["SGD/SGD", "Adam/SGD", "rates/SGD"])
def test_losses_of_different_weights_release_each_their_own(name, way):
    with WAYS[way]():
        optimizer, params = two(name)
        losses = [th.sum(th.square(params["a"])), th.sum(th.square(params["a"])), th.sum(th.square(params["c"]))]
        losses[0].backward()
        before = repr([p.grad for level in optimizer.levels for p in level.parameters.values()] + [params["a"].grad])
        with pytest.raises(th.errors.GraphReleasedError, match=r"rule #\d+.* released.*retain_graph=True"):
            (losses[1] + losses[2]).backward()
        after = repr([p.grad for level in optimizer.levels for p in level.parameters.values()] + [params["a"].grad])
        assert before == after and params["c"].grad is None
        losses[2].backward()
        with pytest.raises(th.errors.GraphReleasedError, match="rule #"):
            th.sum(params["c"]).backward()
        optimizer.step(params)


@pytest.mark.parametrize("way", ["plain", "watched"])
def test_a_retained_graph_serves_again(way):
    with WAYS[way]():
        optimizer, params = two("Adam/SGD")
        losses = [th.sum(th.square(w)) for w in params.values()]
        rate = optimizer.parameters["alpha"]
        losses[0].backward(retain_graph=True)
        once = rate.grad.item()
        th.sum(th.square(params["a"])).backward()
        assert rate.grad.item() == 2 * once
        losses[1].backward(retain_graph=True)
        th.gradients(losses[1], [rate])
        with pytest.raises(th.errors.GraphReleasedError):
            th.gradients(th.sum(params["c"]), [rate])
        assert th.gradients(th.sum(params["c"]), [params["c"]])[0].data.tolist() == [1.0] * 3


def test_a_recording_that_begins_later_shows_what_one_from_the_beginning_shows():
    """But for the state, which has no graph where nobody watched it being made."""

    def shown(way):
        with WAYS[way]():
            optimizer, params = two("Adam/SGD")
        with th.record() as tape:
            sum(th.sum(th.square(w)) for w in params.values()).backward()
            optimizer.step(params)
        labels = [[output.label for output in node.outputs] for node in tape.nodes]
        graphs = ["state" if own[0] and own[0].role == "state" else n.kind for n, own in zip(tape.nodes, labels)]
        edges = [(edge.source, edge.target, edge.operand, edge.flow) for edge in tape.edges]
        return labels, graphs, [node.op for node, graph in zip(tape.nodes, graphs) if graph != "state"], edges

    plain = shown("plain")
    assert plain == shown("watched")
    assert plain[1].count("earlier") == 2 and plain[2][0] == "Adam.rule"


def test_a_hyperparameter_that_does_not_fit_is_told_and_changes_nothing():
    optimizer, params = two("Adam/SGD", 1)
    sum(th.sum(th.square(w)) for w in params.values()).backward()
    optimizer.parameters["eps"] = th.tensor(np.ones(7))
    before = repr(params), optimizer.t
    with pytest.raises(ValueError, match="broadcast"):
        optimizer.step(params)
    assert before == (repr(params), optimizer.t)


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
    with pytest.raises(TypeError, match=r"Forgetful.rule must return .* table \(m\); .* values it returned is 1$"):
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
    assert found[0] == found[1]


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


def test_threads_move_towers_of_one_rule_at_once():
    made = [((5, 4), np.float32, "C", 0), ((3,), np.float32, "C", 0)]
    turns = [("plain", "plain", 63, 63, False)] * 20
    found = {}
    threads = [
        Thread(target=lambda n=n: found.update({n: run_of_any_weights(TOWERS["Adam/SGD"], made, n, turns, "plain")}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: run_of_any_weights(TOWERS["Adam/SGD"], made, n, turns, "plain") for n in range(4)}


def test_gradients_that_lie_otherwise_in_memory():
    """The same numbers in rows, in columns, and far apart."""
    numbers = np.random.default_rng(0).standard_normal((3, 4))
    found = []
    for array in (numbers, np.asfortranarray(numbers), np.repeat(numbers, 2, axis=1)[:, ::2]):
        optimizer, params = TOWERS["Adam/SGD"](), {"a": th.tensor(np.ones((3, 4)), requires_grad=True)}
        for _ in range(2):
            th.sum(th.square(params["a"])).backward()
            params["a"].grad.array = array
            optimizer.step(params)
        found.append((snapshot(optimizer, {}), params["a"].data.tolist()))
    assert found[0] == found[1] == found[2]


def test_the_count_of_steps_is_a_tensor_that_each_step_carries_on():
    """A recording shows that the next t is the last one and 1, where a rule reads it."""
    params, optimizer = make_params(np.random.default_rng(0)), Adam(0.01, optimizer=SGD(1e-4))
    with th.record() as tape:
        for _ in range(2):
            loss_of(params, th.tensor(np.ones((4, 3)))).backward()
            optimizer.step(params)
    labels = [[out.label.name for out in node.outputs if out.label is not None] for node in tape.nodes]
    counts = [node for node, names in zip(tape.nodes, labels) if "t" in names]
    assert [node.op for node in counts] == ["add", "add"]
    assert counts[0].number in [edge.source for edge in tape.edges if edge.target == counts[1].number]
    assert [level.t for level in optimizer.levels] == [2, 2]
