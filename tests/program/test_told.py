"""What is wrong with a replayed run is told: by our errors, as early as can be, and in words that say what to do."""

import itertools
import warnings

import numpy as np
import pytest
from drawn_towers import snapshot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replayed import batches, eager_step, loss_of, make

import tinyhyper as th
from tinyhyper.optim import SGD, Adam
from tinyhyper.program.session import WATCHED

WRONG = [None, [np.zeros(3)], 0.0, "x"]
STEPS = 12


def adam():
    return Adam(0.01, optimizer=SGD(1e-4))


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_carried_is_an_array(wrong):
    with pytest.raises(th.DtypeError, match=rf"carry\['s'\] must be an array .*not a {type(wrong).__name__}"):
        th.replay(loss_of, *make(adam()), carry={"s": wrong})


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("step", [0, STEPS - 1])
def test_what_the_loss_puts_into_carry_is_an_array(wrong, step):
    """While steps are recorded, and where another shape of the batch makes a step eager."""
    state = {"s": np.zeros(2)}
    params, tower = make(adam())

    def loss(params, x, y):
        mean = 0.5 * th.tensor(state["s"]) + th.mean(x, 0)[:2]
        state["s"] = wrong if tower.t == step else mean.numpy()
        return loss_of(params, x, y) + th.sum(mean)

    train = th.replay(loss, params, tower, carry=state)
    for batch in batches(step):
        train(*batch)
    before = snapshot(tower, params)
    with pytest.raises(th.DtypeError, match=r"carry\['s'\] must be an array"):
        train(*batches(1, rows=5)[0])
    assert snapshot(tower, params) == before


@pytest.mark.parametrize("wrong", [np.ones((3, 2)), None])
@pytest.mark.parametrize("steps", [0, STEPS])
def test_params_are_tensors(wrong, steps):
    params, tower = make(adam())
    train = th.replay(loss_of, params, tower)
    for batch in batches(steps):
        train(*batch)
    params["w"] = wrong
    before = tower.t
    for call in (lambda: train(*batches(1)[0]), lambda: th.replay(loss_of, params, tower)):
        with pytest.raises(th.DtypeError, match=rf"params\['w'\] must be a tensor, not a {type(wrong).__name__}; make"):
            call()
    assert tower.t == before
    params["w"] = th.tensor(np.ones((3, 2)), requires_grad=True)
    train(*batches(1)[0])
    with pytest.raises(th.ArgumentError, match="params is empty"):
        th.replay(loss_of, {}, tower)


def stacks(count):
    return [np.array(entries) for entries in zip(*batches(count))]


X, Y = stacks(STEPS)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"call": 3}, th.ArgumentError, r"call must be a function, call\(made, losses\), not a int"),
        ({"call": 3, "every": 3}, th.ArgumentError, "call must be a function"),
    ],
    ids=str,
)
def test_options_of_over_are_checked_before_a_step_is_made(options, error, message):
    params, tower = make(adam())
    with pytest.raises(error, match=f"^over: .*{message}"):
        th.replay(loss_of, params, tower).over(X, Y, **options)
    assert tower.t == 0


def test_without_every_the_call_is_made_once_after_the_last_step():
    seen = []
    th.replay(loss_of, *make(adam())).over(X, Y, call=lambda made, losses: seen.append((made, len(losses))))
    assert seen == [(STEPS, STEPS)]


@pytest.mark.parametrize(
    "given, error, message",
    [
        (([[1.0, 2.0], [1.0]], Y), th.ArgumentError, "the entries of a stack must be one array"),
        (("X", Y), th.DtypeError, "a stack must hold numbers, not <U1"),
        (([None], Y), th.DtypeError, "a stack must hold numbers, not object"),
        ((X, 3.0), th.ShapeError, "cannot be a single number"),
        ((X, Y[:2]), th.ShapeError, f"not {STEPS} and 2"),
        ((), th.ArgumentError, "give steps="),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value),
)
def test_stacks_are_refused_in_the_name_of_the_method_that_was_called(given, error, message):
    train = th.replay(loss_of, *make(adam()))
    with pytest.raises(error, match=f"^over: .*{message}"):
        train.over(*given)
    with pytest.raises(error, match=f"^sweep: .*{message}"):
        train.sweep([make(adam())], given)


@pytest.mark.parametrize(
    "index, words",
    [([[0, 1], [2]], ""), ([[0.5]], "integers"), ([0], r"\(steps, batch\)"), ([[STEPS]], f"there are {STEPS} rows")],
    ids=str,
)
def test_rows_are_refused_in_the_name_of_the_method_that_was_called(index, words):
    train = th.replay(loss_of, *make(adam()))
    with pytest.raises(th.TinyhyperError, match=f"^over: .*index.*{words}"):
        train.over(X[:, 0], Y[:, 0], index=index)
    with pytest.raises(th.TinyhyperError, match=f"^sweep: .*index.*{words}"):
        train.sweep([make(adam())], (X[:, 0], Y[:, 0]), index=index)


def test_a_sweep_takes_a_tuple_of_stacks_and_one_worker_at_least():
    train = th.replay(loss_of, *make(adam()))
    with pytest.raises(th.ArgumentError, match=r"sweep: batches must be a tuple of stacks.*not a ndarray"):
        train.sweep([make(adam())], X)
    with pytest.raises(th.ArgumentError, match="sweep: workers must be an integer >= 1, not 0"):
        train.sweep([make(adam())], (X, Y), workers=0)


WRONG_STARTS = {
    "an array": ({"w": np.ones((3, 2)), "b": np.ones(2)}, adam()),
    "no weights": ({}, adam()),
    "another name": ({"v": th.tensor(np.ones((3, 2)), requires_grad=True)}, adam()),
    "no horizon": make(SGD(0.1, optimizer=SGD(0.1), horizon=None)),
    "no pair": adam(),
}


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ("an array", th.DtypeError, r"params\['w'\] must be a tensor, not a ndarray; make it with th.tensor"),
        ("no weights", th.ArgumentError, "params is empty"),
        ("another name", th.ArgumentError, "params must have the names w, b, not v"),
        ("no horizon", th.ArgumentError, "with horizon=None"),
        ("no pair", th.ArgumentError, "a start must be a pair"),
    ],
)
def test_a_start_that_replay_refuses_is_refused_by_its_number(at, wrong, error, message):
    starts = [make(adam()) for _ in range(3)]
    starts[at] = WRONG_STARTS[wrong]
    with pytest.raises(error, match=rf"^sweep: starts\[{at}\]: .*{message}"):
        th.replay(loss_of, *make(adam())).sweep(starts, (X, Y))


@given(st.integers(0, 2), st.integers(0, 7))
@settings(max_examples=10)
@example(0, 3)
@example(2, 0)
def test_a_sweep_gives_a_row_for_each_run_and_a_column_for_each_step(runs, steps):
    """No steps are as many steps as in an empty stack, and no error."""
    params = {"w": th.tensor([1.0], requires_grad=True)}
    train = th.replay(lambda params, *batch: th.sum(params["w"]), params, SGD(0.1))
    for given_, options in ((), {"steps": steps}), ((np.ones((steps, 2)),), {}):
        assert len(train.over(*given_, **options)) == steps
        losses, made = train.sweep([(params, SGD(0.1))] * runs, given_, **options)
        assert losses.shape == (runs, steps) and len(made) == runs


@pytest.mark.parametrize("wrong", range(3))
def test_an_error_and_a_warning_say_of_which_run_of_a_sweep_they_are(wrong):
    broken = X.copy()
    broken[STEPS - 2] = np.nan
    train = th.replay(loss_of, *make(adam()))
    for choice, check in (
        ("raise", pytest.raises(th.AnomalyError, match=rf"^sweep: starts\[{wrong}\]: [^s]")),
        ("skip", pytest.warns(th.AnomalyWarning, match=rf"^sweep: starts\[{wrong}\]: .*skipped")),
    ):
        towers = [Adam(0.01, on_nonfinite=choice if n == wrong else None) for n in range(3)]
        with check as found:
            train.sweep([make(tower) for tower in towers], (broken, Y))
    assert len(found) == 1
    with pytest.warns(th.AnomalyWarning, match="^(?!sweep)"):
        th.replay(loss_of, *make(Adam(0.01, on_nonfinite="skip"))).over(broken, Y)


@settings(max_examples=5)
@given(growth=st.floats(3e3, 1e5), exact=st.booleans())
@example(1e6 / (2 * WATCHED), False)
def test_a_hyperparameter_that_runs_off_is_told_not_long_after_the_eager_engine_tells_it(growth, exact):
    """alpha grows by the same number at each step, beyond a million."""
    x, told = np.ones((500, 2)), []

    def start():
        return {"w": th.tensor(np.ones(2), requires_grad=True)}, SGD(0.0, optimizer=SGD(growth / 2))

    def loss(params, x):
        return th.sum(params["w"] * x)

    def note(made, *given):
        told.extend([made][: len(found)])
        return found

    eager, called, paused = start(), *[th.replay(loss, *start(), exact=exact) for _ in range(2)]
    for steps in (
        lambda: any(eager_step(loss, *eager, (row,)) is not None and note(n) for n, row in enumerate(x, 1)),
        lambda: any(called(row) is not None and note(n) for n, row in enumerate(x, 1)),
        lambda: paused.over(x, every=10, call=note),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            steps()
        assert "alpha of level 0 has run off" in str(found[0].message)
    step, by_calls, with_pauses = told
    assert step <= by_calls < step + WATCHED and step <= with_pauses < step + 10


@pytest.mark.parametrize("exact", [True, False])
def test_a_run_tells_of_a_hyperparameter_that_runs_off_as_often_as_the_eager_loop(exact):
    def start():
        tower = SGD(1e-6, optimizer=SGD(1e-4, optimizer=SGD(1e-6)))
        return {"w": th.tensor(np.zeros(2), requires_grad=True)}, tower

    def loss(params):
        return th.sum(th.square(params["w"] - 1) * np.array([1.0, 10.0]))

    def eager():
        state = start()
        for _ in range(200):
            eager_step(loss, *state, ())

    told = []
    for run in (eager, lambda: th.replay(loss, *start(), exact=exact).over(steps=200)):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            run()
        told.append(sorted(str(entry.message).partition(" has run off")[0] for entry in found))
    assert told[0] == told[1] and len(told[0]) > 1


def appends(seen):
    return lambda params, x, y: seen.append(0) or loss_of(params, x, y)


def counts(seen):
    def loss(params, x, y):
        seen[0] += 1
        return loss_of(params, x, y)

    seen.append(0)
    return loss


@pytest.mark.parametrize("made", [appends, counts])
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("horizon", [1, 2])
def test_a_loss_that_changes_what_it_reads_is_refused(made, at_once, horizon):
    train = th.replay(made([]), *make(SGD(0.1, optimizer=SGD(1e-3), horizon=horizon)))
    with pytest.raises(th.GraphError, match="a value that changes at each step; this time its type is list"):
        train.over(X, Y) if at_once else [train(*batch) for batch in batches(STEPS)]


@pytest.mark.parametrize("kind", [float, int, np.float64, np.array])
def test_a_number_that_changes_at_each_step_is_told_once(kind):
    train = th.replay(lambda params, x, y, s: loss_of(params, x, y) * s, *make(adam()))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for n, batch in enumerate(batches(3 * STEPS)):
            train(*batch, kind(n + 1))
    assert [("a number among" in str(one.message)) for one in found] == ([] if kind is np.array else [True])


@given(st.integers(1, 3), st.integers(5, 8))
@settings(max_examples=5)
def test_what_changes_now_and_then_is_not_told(each, steps):
    scale = [1.0]
    train = th.replay(lambda params, x, y, s: loss_of(params, x, y) * scale[0] * s, *make(adam()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(10):
            scale[0] = 1.0 + n // each % 2
            for batch in batches(steps):
                train(*batch, 1.0 + n)


def by_numpy(change):
    """A loss whose state is computed by NumPy, in place or not."""
    state = {"n": np.ones(1)}

    def loss(params, x, y):
        if change == "in place":
            state["n"][0] += 1.0
        else:
            state["n"] = state["n"] + 1.0
        return loss_of(params, x, y) * th.mean(th.tensor(state["n"]))

    return loss, state


@pytest.mark.parametrize("change", ["in place", "anew"])
def test_what_is_carried_but_computed_by_numpy_is_told_apart(change):
    loss, state = by_numpy(change)
    with pytest.raises(th.GraphError, match=r"carry\['n'\] is computed by NumPy, which is not recorded"):
        th.replay(loss, *make(adam()), carry=state).over(X, Y)
    loss, state = by_numpy(change)
    params, tower = make(adam())
    with pytest.raises(th.GraphError, match="The steps before this one were made.*belongs in carry="):
        th.replay(loss, params, tower).over(X, Y)
    assert 0 < tower.t < STEPS


@pytest.mark.parametrize("made", [np.ravel, lambda y: y[:, 0], lambda y: y / 255])
def test_numpy_on_the_batch_inside_the_loss_is_named(made):
    def loss(params, x, y):
        return th.sum(th.square(th.sum(x @ params["w"]) - th.Tensor(made(y))))

    with pytest.raises(th.GraphError, match=r"NumPy inside the loss is not recorded.*th.tensor\(y\).reshape\(-1\)"):
        th.replay(loss, *make(adam())).over(X, Y)


def test_what_the_message_says_of_numpy_on_the_batch_has_a_program():
    def loss(params, x, y):
        return th.sum(th.square(th.sum(x @ params["w"]) - th.tensor(y).reshape(-1)))

    train = th.replay(loss, *make(adam()))
    train.over(X, Y)
    assert train.program is not None


class Foreign:
    """An array of another library."""

    def __array__(self, *given, **options):
        return X[0]


@pytest.mark.parametrize(
    "batch, words",
    [
        (Foreign(), r"a test_told\.Foreign. Give its values, by .numpy\(\)"),
        ({"x": X[0]}, r"a dict. .*one by one: train\(\*batch.values\(\)\)"),
        ([X[0], Y[0]], r"a list. .*np.array.* one by one: train\(\*batch\)"),
        ((X[0], Y[0]), r"a tuple. .*np.array.* one by one: train\(\*batch\)"),
        (object(), "a object$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_batch_is_told_what_to_give(batch, words):
    params, tower = make(adam())
    with pytest.raises(th.DtypeError, match=f"an array, a tensor, a number or a str, not {words}"):
        th.replay(loss_of, params, tower)(batch)
    assert tower.t == 0


@pytest.mark.parametrize("goal", [False, True])
@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (lambda params, x, y: th.square(x @ params["w"] - y), th.ShapeError, r"not of shape \(4, 2\); return its mean"),
        (lambda *given: [value := loss_of(*given), value.backward()][0], th.GraphError, "called backward.. itself"),
    ],
    ids=["a vector", "backward"],
)
def test_what_no_step_can_descend_is_told_by_its_name(wrong, error, words, horizon, goal):
    params, tower = make(SGD(0.1, optimizer=SGD(1e-3), horizon=horizon))
    losses = (loss_of, wrong) if goal else (wrong, None)
    with pytest.raises(error, match=f"^replay: the {'goal' if goal else 'loss'} .*{words}"):
        th.replay(losses[0], params, tower, goal=losses[1]).over(X, Y)
    assert tower.t == (horizon if goal else 0)


def test_a_loss_that_puts_weights_into_params_is_told_their_names():
    params, tower = make(adam())
    count = itertools.count()

    def loss(params, x, y):
        params[f"z{next(count)}"] = th.tensor([1.0], requires_grad=True)
        return loss_of(params, x, y) + sum(th.sum(w) for name, w in params.items() if name.startswith("z"))

    with pytest.raises(th.GraphError, match=r"\. z\d+ is there in one step .* the names that params and carry= had"):
        th.replay(loss, params, tower).over(X, Y)


FAR = {
    "a number": (lambda total, factor: total * factor, "the loss is [^,]*, and .* in the eager step"),
    "an array": (lambda total, factor: (total - total.detach()) * factor, r"w, of shape \(2,\), is .* times its"),
    "a shape": (lambda total, factor: total.reshape((1,) * (factor > 1)), r"of shape \(\), and float64 of \(1,\)"),
}


@pytest.mark.parametrize("kind", FAR)
@pytest.mark.parametrize("verify, dropped", [(1, "The last step is"), (None, r"The last \d steps are")])
def test_how_far_a_program_is_from_its_loss_is_told(kind, verify, dropped):
    hidden, (end, words) = [1.0] * 2000, FAR[kind]
    params = {"w": th.tensor(np.ones(2), requires_grad=True)}
    train = th.replay(lambda params, x: end(th.sum(params["w"] * x), hidden[1500]), params, SGD(0.1), verify=verify)
    train.over(np.ones((6, 2)))
    hidden[1500] = 2.0
    with pytest.raises(th.GraphError, match=f"{words}.*{dropped} dropped"):
        train.over(np.ones((30, 2)))


def test_a_loss_that_is_a_number_is_told_to_return_the_tensor():
    with pytest.raises(th.DtypeError, match=r"not a float; leave out .item\(\)"):
        th.replay(lambda *given: loss_of(*given).item(), *make(adam()))(X[0], Y[0])
