"""What NumPy or Python makes of the batch, or of weights, in the loss is refused, whatever it was while recorded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replayed import eager_step

import tinyhyper as th
from tinyhyper.optim import SGD
from tinyhyper.program.handles import is_copy

STEPS, ROWS, WIDTH = 30, 6, 3


def start():
    return {"w": th.tensor(np.linspace(-0.5, 0.5, WIDTH)[:, None], requires_grad=True)}, SGD(0.01, optimizer=SGD(1e-4))


def stack(dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 1.0, (STEPS, ROWS, WIDTH)).astype(dtype)


def made_by(change):
    """A loss of what a function makes of the batch."""
    return lambda params, x: th.mean(th.square(change(x) @ params["w"]))


COPIES = {
    "nan_to_num": np.nan_to_num,
    "clip": lambda x: np.clip(x, -5.0, 5.0),
    "abs": np.abs,
    "maximum": lambda x: np.maximum(x, 0.0),
    "times a mask": lambda x: x * (np.abs(x) < 5.0),
    "rows": lambda x: x[~np.isnan(x).any(1)],
    "astype": lambda x: x.astype(np.float64),
    "tensor": lambda x: th.tensor(np.clip(x, -5.0, 5.0)),
    "Tensor": lambda x: th.Tensor(np.clip(x, -5.0, 5.0)),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("options", [{}, {"exact": True}], ids=str)
def test_a_copy_by_numpy_is_refused(name, options):
    with pytest.raises(th.GraphError, match=r"NumPy inside the loss is not recorded.*th\.clip"):
        th.replay(made_by(COPIES[name]), *start(), **options).over(stack())


@settings(max_examples=10)
@given(name=st.sampled_from([*COPIES]), seed=st.integers(0, 99), rows=st.sampled_from([1, ROWS, 200]))
def test_a_copy_by_numpy_is_refused_where_each_step_has_the_same_batch(name, seed, rows):
    x = np.repeat(stack(seed=seed)[:1, :1], rows, 1)
    with pytest.raises(th.GraphError, match="NumPy inside the loss"):
        th.replay(made_by(COPIES[name]), *start()).over(np.repeat(x, STEPS, 0))


CONSTANTS = {
    "a mask": lambda w, x, y: (np.abs(x) < 5.0).all(1, keepdims=True).astype(float),
    "of padding": lambda w, x, y: (y >= 0).astype(float)[:, None],
    "of zeros": lambda w, x, y: (y != 0).astype(float)[:, None],
    "of empty rows": lambda w, x, y: (x != 0).any(1, keepdims=True).astype(float),
    "a count": lambda w, x, y: (y >= 0).sum(),
    "a number": lambda w, x, y: float(np.isfinite(x).mean()),
    "a branch": lambda w, x, y: 1.0 if x.max() < 5.0 else 2.0,
    "of weights": lambda w, x, y: np.float64(np.abs(w.numpy()).max() < 5.0),
    "in a branch": lambda w, x, y: th.exp(th.sum(w)) if np.isnan(x).any() else th.sum(w),
    "before an error": lambda w, x, y: [float((y >= 0).all()), np.log(y[(y > 0)].min(), where=y.min() >= 0)][0],
}


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("of_goal", [False, True])
@pytest.mark.parametrize("horizon", [1, 2])
def test_what_is_the_same_while_recorded_is_refused_if_it_is_another_for_another_batch(name, of_goal, horizon):
    def plain(params, x, y):
        return th.mean(th.square(x @ params["w"]))

    def loss(params, x, y):
        return th.mean(th.square(x @ params["w"]) * CONSTANTS[name](params["w"], x, y))

    params, _ = start()
    tower = SGD(0.01, optimizer=SGD(1e-4), horizon=horizon)
    y = np.arange(1, ROWS + 1) + np.zeros((STEPS, 1), int)
    functions = {"loss": plain, "goal": loss} if of_goal else {"loss": loss}
    train = th.replay(functions.pop("loss"), params, tower, **functions)
    with pytest.raises(th.GraphError, match="of the batch or of weights|with another batch"):
        train.over(stack(), y)


SOUND = {
    "as it is": lambda x: x,
    "a view": lambda x: x[:],
    "asarray": np.asarray,
    "ascontiguousarray": np.ascontiguousarray,
    "th.tensor": th.tensor,
    "th.Tensor": th.Tensor,
    "twice": lambda x: th.tensor(x) + x,
    "by operations": lambda x: th.clip(x, -5.0, 5.0),
    "rows": lambda x: th.tensor(x)[:4],
    "with constants": lambda x: th.tensor(x) * np.ones((len(x), 1)) + np.eye(x.shape[1])[0],
    "with its range": lambda x: th.tensor(x) + np.finfo(x.dtype).eps,
    "checked": lambda x: x if np.isfinite(x).all() else 1 / 0,
    "single precision": lambda x: th.tensor(x, dtype=np.float32),
    "cast": lambda x: th.tensor(x).astype(np.float32),
    "both precisions": lambda x: th.tensor(x, dtype=np.float32) + x,
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("options", [{}, {"exact": True}], ids=str)
@pytest.mark.parametrize("rows", [ROWS, 200])
def test_the_batch_itself_and_constants_are_replayed(name, options, rows):
    loss, (params, tower), eager = made_by(SOUND[name]), start(), start()
    x = np.repeat(stack(), rows // ROWS + 1, 1)
    train = th.replay(loss, params, tower, **options)
    losses = train.over(x)
    assert train.program is not None
    expected = [eager_step(loss, *eager, (row,)) for row in x]
    np.testing.assert_allclose(losses, expected, rtol=0 if options else 1e-5 if "precision" in name else 1e-12)


def test_asking_again_leaves_what_the_loss_carries_and_draws_from():
    state, rng = {"n": np.zeros(1)}, np.random.default_rng(0)

    def loss(params, x):
        if np.isnan(x).any():
            rng.random()
        n = th.tensor(state["n"]) + 1.0
        state["n"] = n.numpy()
        return th.mean(th.square(x @ params["w"])) + 0.0 * th.sum(n)

    before = rng.bit_generator.state
    th.replay(loss, *start(), carry=state).over(stack())
    assert state["n"] == STEPS and rng.bit_generator.state == before


def test_a_number_that_python_computes_is_told_how_to_be_given():
    params, tower = start()
    with pytest.raises(th.GraphError, match="such as 0.9.*tower.t, .*with the batch.*outside="):
        th.replay(lambda params, x: made_by(th.tensor)(params, x) * 0.9**tower.t, params, tower).over(stack())


@pytest.mark.parametrize(
    "array, other, is_one",
    [
        (None, np.zeros(2), False), (np.zeros(2), 0.0, False), (np.zeros(2), np.zeros(2, int), False),
        (np.zeros(2), np.zeros(2, np.float32), True), (np.zeros(2), np.ones(2), False),
    ],
)  # fmt: skip
def test_a_copy_has_the_values_of_its_array_and_is_there(array, other, is_one):
    assert is_copy(array, other) == is_one
