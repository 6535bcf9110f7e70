"""What users do between two steps of a replayed run: it counts as in the eager loop, or is refused."""

import numpy as np
import pytest
from drawn_towers import snapshot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, AdaGrad, Adam

pytestmark = pytest.mark.filterwarnings("ignore::tinyhyper.AnomalyWarning")


def same(one, other):
    return snapshot(*reversed(one)) == snapshot(*reversed(other))


def steps_of_both(runs, given_, when, requires_grad):
    """The steps of a run that is replayed and of an eager one; before one of them a rate is put in place by hand."""
    train = th.replay(loss_of, *runs[0], exact=True)
    for n, batch in enumerate(given_):
        if n == when:
            for _, tower in runs:
                tower.parameters["alpha"] = th.tensor(0.02, requires_grad=requires_grad)
        train(*batch)
        eager_step(loss_of, *runs[1], batch)
        yield n
    assert train.program is not None


@pytest.mark.parametrize("rule", [SGD, AdaGrad, Adam])
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("ahead", [0, 1])
def test_a_rate_set_by_hand_counts_though_the_next_step_is_skipped(rule, above, ahead):
    given_ = batches(40)
    given_[30] = given_[30][0] * np.nan, given_[30][1]
    runs = [make(rule(0.01, optimizer=SGD(1e-3) if above else None, on_nonfinite="skip")) for _ in range(2)]
    for _ in steps_of_both(runs, given_, 30 - ahead, above):
        assert same(*runs)


@settings(max_examples=25)
@given(st.sets(st.integers(0, 29)), st.sampled_from([1, 2, 3]), st.booleans())
def test_steps_that_are_skipped_while_a_program_is_learned_do_not_stand_in_its_way(bad, horizon, exact):
    given_ = [(x * np.nan, y) if n in bad else (x, y) for n, (x, y) in enumerate(batches(50))]
    tower = [Adam(0.01, optimizer=SGD(1e-4), horizon=horizon, on_nonfinite="skip") for _ in range(2)]
    runs = [make(one) for one in tower]
    train = th.replay(loss_of, *runs[0], exact=exact)
    losses = [(train(*batch), eager_step(loss_of, *runs[1], batch)) for batch in given_]
    np.testing.assert_allclose(*zip(*losses), rtol=0.0 if exact else 1e-11)
    assert train.program is not None and tower[0].skipped == len(bad)
    assert same(*runs) or not exact


@pytest.mark.parametrize("horizon", [2, 3, 4])
def test_a_rate_put_in_place_within_a_window_has_that_part_of_the_hypergradient_alone(horizon):
    for when in range(2, 20):
        runs = [make(SGD(0.01, optimizer=SGD(1e-3), horizon=horizon)) for _ in range(2)]
        assert [*steps_of_both(runs, batches(32), when, True)] == [*range(32)]  # nobody looks in between
        assert same(*runs)


def put_anew(place, name):
    place[name] = th.tensor(place[name].numpy(), requires_grad=True)


def put_above_anew(tower):
    tower.optimizer = SGD(tower.optimizer.hyperparameters["alpha"])


def exchange(params):
    params["a"], params["b"] = params["b"], params["a"]


ANEW = {  # what users may put in place that is equal to what was there, and is another one
    "a weight": lambda params, tower: put_anew(params, "a"),
    "a rate": lambda params, tower: put_anew(tower.parameters, "alpha"),
    "a state": lambda params, tower: tower.load_state_dict(tower.state_dict()),
    "a level": lambda params, tower: put_above_anew(tower),
    "one for the other": lambda params, tower: exchange(params),
    "another order": lambda params, tower: params.update(a=params.pop("a")),
}


@settings(max_examples=20)
@given(st.dictionaries(st.integers(8, 38), st.sampled_from([*ANEW]), min_size=1, max_size=4), st.booleans())
@example(dict(zip(range(12, 36, 4), ANEW)), True)
def test_what_users_put_in_place_counts_though_it_is_equal_to_what_was_there(changes, exact):
    """Of weights with one element, whose equality is a truth."""

    def loss(params, x, y):
        return th.mean(th.square(x * params["a"] + 0.5 * params["b"] + 0.3 * params["c"] * x * y - y))

    runs = [
        ({name: th.tensor([0.5], requires_grad=True) for name in "abc"}, Adam(0.01, optimizer=SGD(1e-2)))
        for _ in range(2)
    ]
    train = th.replay(loss, *runs[0], exact=exact)
    for n, (x, y) in enumerate(np.random.default_rng(0).standard_normal((40, 2, 8))):
        for run in runs:
            if n in changes:
                ANEW[changes[n]](*run)
        assert abs(train(x, y) - eager_step(loss, *runs[1], (x, y))) <= (0.0 if exact else 1e-12), n
    assert same(*runs) or not exact


def scaled(scale):
    return lambda params, x, y: scale[0] * loss_of(params, x, y)


@pytest.mark.parametrize("horizon, dropped", [(1, 0), (2, 1), (3, 2)])
def test_another_loss_within_a_window_is_refused_and_the_run_goes_on_from_its_first_step(horizon, dropped):
    given_, scale = batches(60), [1.0]
    runs = [make(Adam(0.01, optimizer=SGD(1e-3), horizon=horizon)) for _ in range(2)]
    train = th.replay(scaled(scale), *runs[0], exact=True)
    for batch in given_[:30]:
        train(*batch)
    for batch in given_[: 30 - dropped]:
        eager_step(scaled([1.0]), *runs[1], batch)
    scale[0] = 0.5
    if dropped:
        with pytest.raises(th.GraphError, match=f"within a window of {horizon} steps.* graphs of its last {dropped}"):
            train(*given_[30])
    assert same(*runs)
    for batch in given_[30:]:
        assert train(*batch) == eager_step(scaled(scale), *runs[1], batch)
    assert same(*runs)
    assert train.program is not None


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from(["requires_grad", "graph", "values", "gradient"]))),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
)
@example([(n, "graph") for n in range(20, 24)], 3, True, False)
@example([(n, "gradient") for n in range(20, 24)], 3, True, True)
def test_who_looks_at_a_model_while_the_loss_reads_something_else_changes_nothing(looks, horizon, exact, at_once):
    """As in validation: model.eval(), a forward pass with a graph or without one, model.train()."""
    scale, given_ = [1.0], batches(40)
    runs = [make(Adam(0.01, optimizer=SGD(1e-3), horizon=horizon)) for _ in range(2)]
    train, asked = th.replay(scaled(scale), *runs[0], exact=exact), [0]

    def look(made, losses):
        params, tower = runs[0]
        t = tower.t
        for at, how in looks:
            if at != made - 1:
                continue
            scale[0] = 0.5
            if how == "requires_grad":
                assert params["w"].requires_grad and not params["w"].is_leaf and params["w"].grad is None
            elif how == "values":
                with th.no_grad():
                    assert not scaled(scale)(params, *given_[0]).requires_grad
            else:
                value = scaled(scale)(params, *given_[0])
                assert value.item() == scaled(scale)({k: w.numpy() for k, w in params.items()}, *given_[0]).item()
                if how == "gradient":
                    asked[0] += 1
                    wrt = params["w"], params["b"]
                    assert [g.shape for g in th.gradients(value, wrt, retain_graph=True)] == [w.shape for w in wrt]
            scale[0] = 1.0
        assert tower.t == t

    if at_once:
        train.over(*[np.array(entries) for entries in zip(*given_)], every=1, call=look)
    else:
        for n, batch in enumerate(given_, 1):
            train(*batch)
            look(n, ())
    for batch in given_:
        eager_step(scaled([1.0]), *runs[1], batch)
    assert runs[0][1].t == 40 and train.program is not None
    assert same(*runs) or not exact


@pytest.mark.parametrize("put", ["data", "grad"])
def test_who_asks_for_a_gradient_through_steps_of_another_loss_is_told_and_nothing_is_dropped(put):
    scale, given_ = [1.0], batches(60)
    runs = [make(Adam(0.01, optimizer=SGD(1e-3, optimizer=SGD(1e-4)), horizon=3)) for _ in range(2)]
    train, (params, tower) = th.replay(scaled(scale), *runs[0], exact=True), runs[0]
    for n, batch in enumerate(given_):
        if n == 30:
            scale[0] = 0.5
            value = scaled(scale)(params, *given_[0])
            for ask in (
                value.backward,
                lambda value=value: th.gradients(value, tower.parameters["alpha"]),
                lambda value=value: th.gradients(value, tower.optimizer.parameters["alpha"]),
                lambda: setattr(params["w"], put, params["w"].detach()),
            ):
                with pytest.raises(th.GraphError, match="a window of 3 steps.*of its last 2.*Nothing is dropped"):
                    ask()
            scale[0] = 1.0
            assert tower.t == 30
            one, other = (
                th.gradients(scaled(scale)(p, *given_[0]), o.parameters["alpha"], retain_graph=True) for p, o in runs
            )
            assert one[0].item() == other[0].item() != 0.0  # now there is one
        train(*batch)
        eager_step(scaled(scale), *runs[1], batch)
    assert train.program is not None and same(*runs)


def test_a_loss_and_rates_that_change_while_a_program_is_learned_do_not_stand_in_its_way():
    scale, run = [1.0], make(SGD(0.01, optimizer=SGD(1e-3)))
    train, tower = th.replay(scaled(scale), *run, exact=True), run[1]
    given_ = iter(batches(80))
    for made in (2, 1, 1, 2, 3, 1):
        for _ in range(made):
            train(*next(given_))
        scale[0] *= 0.5
        tower.parameters["alpha"] = th.tensor(0.9 * tower.parameters["alpha"].numpy(), requires_grad=True)
    for batch in given_:
        train(*batch)
    assert train.program is not None


def test_a_loss_that_is_another_one_at_each_step_is_refused_after_a_few():
    scale = [1.0]
    train = th.replay(scaled(scale), *make(SGD(0.01)))
    with pytest.raises(th.GraphError, match="beside its arguments, a value that changes at each step"):
        for batch in batches(20):
            scale[0] *= 0.9
            train(*batch)


def test_a_loss_that_carries_more_at_each_step_is_refused():
    carried = {}

    def loss(params, x, y):
        carried[f"h{len(carried)}"] = np.zeros(2)
        return loss_of(params, x, y)

    train = th.replay(loss, *make(SGD(0.01)), carry=carried)
    with pytest.raises(th.GraphError, match="is there in one step and not in the next"):
        for batch in batches(20):
            train(*batch)
