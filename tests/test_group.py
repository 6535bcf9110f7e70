"""The weights moved together: the same numbers as moved and watched one by one, the same graph, the same life."""

import gc
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chain import SEEDS, WAYS, snapshot

import tinyhyper as th
from tinyhyper.kernels.plan import elementwise_backend
from tinyhyper.optim import SGD, Adam, RMSProp
from tinyhyper.tape import Node
from tinyhyper.testing import alive

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


def run(tower, made, seed, turns, losses, backend="auto"):
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
def test_together_or_watched_the_bits_are_the_same(name, made, seed, turns, losses, backend):
    """Weights of any shape, dtype and layout, of which some have no rate, no gradient, or are not moved each time."""
    with np.errstate(all="ignore"):
        together, watched = (
            run(TOWERS[name], made, seed, [(way, way, *rest) for _, _, *rest in turns], losses, backend)
            for way in ("together", "watched")
        )
        assert together == watched == run(TOWERS[name], made, seed, turns, losses, backend)


@pytest.mark.parametrize("name", ["SGD/SGD", "Adam/SGD", "Adam/RMSProp/SGD"])
def test_many_cotangents_are_added_in_the_same_order(name):
    """Gradients of very different sizes, and a loss that reads the hyperparameters, too."""
    rng = np.random.default_rng(0)
    made = [((3,), np.float64, "C", int(scale)) for scale in rng.integers(-8, 8, 6)]
    for seed in range(5):
        results = [
            run(TOWERS[name], made, seed, [(*ways, 63, 63, False)] * 4, losses)
            for losses in ("plain", "held back")
            for ways in (("together", "together"), ("watched", "watched"), ("watched", "together"))
        ]
        assert results[0] == results[1] == results[2] != results[3] == results[4] == results[5]


# Life.


def two(name, steps=2):
    """A tower and two weights after some steps."""
    optimizer = TOWERS[name]()
    params = {name: th.tensor(np.arange(1.0, 4.0), requires_grad=True) for name in ("a", "c")}
    for _ in range(steps):
        sum(th.sum(th.square(w)) for w in params.values()).backward()
        optimizer.step(params)
    return optimizer, params


def test_the_weights_share_one_node_that_keeps_only_what_the_pullback_reads():
    optimizer, params = two("SGD/SGD", 1)
    sum(th.sum(th.square(w)) for w in params.values()).backward()
    gradients = {name: w.grad.array for name, w in params.items()}
    optimizer.step(params)
    (node,) = {w.edge[0] for w in params.values()}
    assert [w.edge[1] for w in params.values()] == [0, 1] and node.width == 2
    assert node.inputs == (optimizer.parameters["alpha"].edge,) * 2
    assert [[id(array) for array in saved] for saved in node.saved.values()] == [[id(g)] for g in gradients.values()]


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


@pytest.mark.parametrize("way", ["together", "watched"])
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


@pytest.mark.parametrize("way", ["together", "watched"])
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


@pytest.mark.parametrize("name", ["SGD/SGD", "Adam/SGD", "Adam without alpha/SGD", "Adam/RMSProp/SGD", "rates/SGD"])
def test_gradients_by_weights_and_hyperparameters_to_second_order(name):
    def derivatives(way):
        with WAYS[way]():
            optimizer, params = two(name)
        inputs = [p for level in optimizer.levels for p in level.parameters.values() if p.requires_grad]
        loss = sum(th.sum(w * w * w) for w in params.values()) * sum(th.square(p) for p in inputs)
        alone = [th.gradients(loss, x, retain_graph=True)[0] for x in (*inputs, *params.values())]
        first = th.gradients(loss, [*inputs, *params.values()], create_graph=True)
        second = th.gradients(sum(th.sum(th.square(g)) for g in first), inputs, retain_graph=True)
        loss.backward(create_graph=True)
        return np.hstack([np.ravel(g.array) for g in (*alone, *first, *second, *[x.grad for x in inputs])])

    np.testing.assert_allclose(derivatives("together"), derivatives("watched"), rtol=1e-12, atol=0)


def test_no_gradient_is_computed_that_nobody_asked_for():
    optimizer, params = two("Adam/SGD", 1)
    th.gradients(th.sum(params["a"]), [optimizer.parameters["beta1"]], retain_graph=True)
    kind, _ = params["a"].edge[0].context[0]
    given = {wanted: len(way.gives) for wanted, (way, _) in kind._ways.items()}
    assert given[False, True, False] == 1 and given == {wanted: sum(wanted) for wanted in given}


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

    together = shown("together")
    assert together == shown("watched")
    assert together[1].count("earlier") == 2 and together[2][0] == "Adam.rule"


def test_a_hyperparameter_that_does_not_fit_is_told_and_changes_nothing():
    optimizer, params = two("Adam/SGD", 1)
    sum(th.sum(th.square(w)) for w in params.values()).backward()
    optimizer.parameters["eps"] = th.tensor(np.ones(7))
    before = repr(params), optimizer.t
    with pytest.raises(ValueError, match="broadcast"):
        optimizer.step(params)
    assert before == (repr(params), optimizer.t)


@pytest.mark.parametrize("name", ["SGD/SGD", "Adam/SGD"])
def test_nothing_is_left_to_the_garbage_collector(name):
    gc.collect()
    counts = [alive(Node, th.Tensor)]
    optimizer, params = two(name)
    for _ in range(2):
        th.sum(params["a"]).backward()  # a part of the node is never swept
        optimizer.step(params)
        assert gc.collect() == 0
        counts.append(alive(Node, th.Tensor))
    assert counts[1] == counts[2] > counts[0]
    del optimizer, params
    assert gc.collect() == 0 and alive(Node, th.Tensor) == counts[0]


def test_threads_move_towers_of_one_rule_at_once():
    made = [((5, 4), np.float32, "C", 0), ((3,), np.float32, "C", 0)]
    turns = [("together", "together", 63, 63, False)] * 20
    found = {}
    threads = [
        Thread(target=lambda n=n: found.update({n: run(TOWERS["Adam/SGD"], made, n, turns, "plain")})) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: run(TOWERS["Adam/SGD"], made, n, turns, "plain") for n in range(4)}


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
