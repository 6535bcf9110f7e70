"""A level as an object: whose it is, copies of it, what can be set on it, and what it warns of."""

import copy
import gc
import inspect
import pickle
import re
import warnings

import numpy as np
import pytest
from backends import elementwise_backend
from optimizers import RULES

import tinyhyper as th
from tinyhyper.core import tower
from tinyhyper.optim import SGD, AdaDelta, AdaGrad, Adam, AdamW, Hyperparameter, Optimizer, RMSProp, hooks
from tinyhyper.optim.hooks import Hook

COPIES = [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
TOWERS = {
    **{name: lambda make=make: make(optimizer=SGD(1e-4)) for name, make in RULES.items()},
    "height 3": lambda: Adam(0.1, optimizer=Adam(1e-2, optimizer=SGD(1e-3, mu=0.5, optimizer=SGD(1e-6)))),
    "options": lambda: SGD(
        {"w": 0.1}, coordinates={"alpha": "log"}, optimizer=RMSProp(0.01), on_nonfinite="skip", clip_norm=1.0
    ),
    "own coordinate": lambda: Shifted(optimizer=SGD(1e-3)),
}


def shifted(u):
    return u + 1.0


def unshifted(value):
    return value - 1.0


class Shifted(Optimizer):
    table = {"alpha": Hyperparameter(0.1, th.optim.Coordinate("shifted", shifted, unshifted, -9.0, 9.0))}

    @staticmethod
    def rule(w, g, *, alpha):
        return w - alpha * g


def steps(optimizer, params, count=3):
    for _ in range(count):
        th.sum(params["w"] ** 2).backward()
        optimizer.step(params)


def weights():
    return {"w": th.tensor([1.0, 2.0], requires_grad=True)}


def state(optimizer):
    return repr(optimizer.state_dict())


@pytest.mark.either_backend
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("name", TOWERS)
def test_a_copy_between_backward_and_step_makes_the_same_step(name, copied):
    optimizer, params = TOWERS[name](), weights()
    steps(optimizer, params)
    th.sum(params["w"] ** 2).backward()
    other, theirs = copied(optimizer), {"w": th.tensor(params["w"], requires_grad=True)}
    theirs["w"].grad = params["w"].grad
    before = state(optimizer)
    other.step(theirs)
    assert state(optimizer) == before
    optimizer.step(params)
    for _ in range(2):
        assert state(optimizer) == state(other) and not {*optimizer.levels} & {*other.levels}
        steps(optimizer, params, 1)
        steps(other, theirs, 1)


@pytest.mark.parametrize("name", TOWERS)
def test_a_copy_after_a_step_has_the_values(name):
    optimizer, params = TOWERS[name](), weights()
    steps(optimizer, params)
    for copied in COPIES:
        other = copied(optimizer)
        assert state(other) == state(optimizer) and str(other) == str(optimizer)
        assert all(parameter.is_leaf for level in other.levels for parameter in level.parameters.values())
        steps(other, weights())


def test_a_window_is_not_copied():
    optimizer, params = SGD(0.1, optimizer=SGD(1e-3), horizon=3), weights()
    copy.deepcopy(optimizer)
    th.sum(params["w"] ** 2).backward(create_graph=True)
    optimizer.step(params)
    for copied in COPIES:
        with pytest.raises(th.GraphError, match="window of its horizon"):
            copied(optimizer)


def test_a_copied_leaf_has_its_gradient():
    x = th.tensor([1.0, 2.0], requires_grad=True, dtype="f4")
    th.sum(x * x).backward()
    for copied in COPIES:
        other = copied(x)
        np.testing.assert_array_equal(other.grad.data, [2.0, 4.0])
        assert other.dtype == other.grad.dtype == np.float32


def test_a_level_belongs_to_one_tower():
    top = SGD(1e-3)
    first = Adam(optimizer=top)
    with pytest.raises(th.ArgumentError, match="above another Adam already"):
        SGD(optimizer=top)
    first.optimizer = first.optimizer
    first.optimizer = None
    second = SGD(optimizer=top)
    with pytest.raises(th.ArgumentError, match="above another SGD already"):
        first.optimizer = top
    assert first.optimizer is None and second.optimizer is top
    del second
    gc.collect()
    first.optimizer = top
    assert first.levels == (first, top)


@pytest.mark.parametrize("name", ["alpha", "lr", "momentum", "horizon", "tune", "nesterov", "clip_norm"])
def test_what_would_change_nothing_is_not_set(name):
    optimizer = SGD(0.1)
    with pytest.raises(th.UnsupportedError, match=rf"SGD has no attribute '{name}' to set"):
        setattr(optimizer, name, 5.0)
    assert not hasattr(optimizer, name)


def test_what_a_class_has_itself_is_set():
    class Noted(SGD):
        alpha = ""

    optimizer = Noted()
    optimizer.alpha, optimizer.note = "first", "run"
    other = copy.deepcopy(optimizer)
    assert (other.alpha, other.note) == ("first", "run")


def test_a_table_may_begin_outside_the_usual_range():
    class Negative(SGD):
        table = {**SGD.table, "alpha": -0.1}

    assert Negative(-0.2).hyperparameters["alpha"] == -0.2


@pytest.mark.parametrize(
    "coordinate, hypergradient",
    [("linear", -1e9), ("linear", 1e9), ("sqrt", 1e9), ("log", 1e3), ("log", -1e2), ("unit", 30.0)],
)
def test_a_tower_that_runs_off_is_told_once(coordinate, hypergradient):
    optimizer, told = SGD(0.1, coordinates={"alpha": coordinate}, optimizer=SGD(1.0)), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for slope in (0.0, 1e-3, -0.2, hypergradient, hypergradient, -hypergradient, 2 * hypergradient):
            params = weights()
            params["w"].grad = th.tensor([0.0, 0.0])
            optimizer.parameters["alpha"].grad = th.tensor(slope)
            optimizer.step(params)
            told.append(len(caught))
    assert told == [0, 0, 0, 1, 1, 1, 1] and caught[0].filename == __file__
    assert str(caught[0].message).startswith("hyperparameter alpha of level 0 has run off to ")


def test_a_negative_alpha_alone_is_no_reason_to_warn():
    optimizer, params = SGD(0.1, optimizer=SGD(1.0)), weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params["w"].grad, optimizer.parameters["alpha"].grad = th.tensor([0.0, 0.0]), th.tensor(0.3)
        optimizer.step(params)
    assert optimizer.hyperparameters["alpha"] == pytest.approx(-0.2)


def test_a_level_above_moves_nothing_else():
    top = Adam(0.01)
    optimizer, params = SGD(0.1, optimizer=top), weights()
    th.sum(params["w"] ** 2).backward()
    with pytest.raises(th.ArgumentError, match=r"^Adam\.step: this is the level above SGD"):
        top.step(params)
    optimizer.optimizer = None
    top.step(params)


def test_an_optimizer_that_could_not_be_made_owns_nothing():
    top = SGD(1e-3)
    errors = []
    for arguments in ({"beta1": 5.0}, {"clip_norm": -1.0}, {"on_nonfinite": "perhaps"}, {"horizon": 0}):
        with pytest.raises(th.ArgumentError) as error:
            Adam(0.1, optimizer=top, **arguments)
        errors.append(error)  # whose traceback holds the half-made optimizer
    assert Adam(0.1, optimizer=top).optimizer is top


def changed(saved, level, entry, value, *keys):
    place = saved["levels"][level]
    for key in (entry, *keys)[:-1]:
        place = place[key]
    place[(entry, *keys)[-1]] = value
    return saved


@pytest.mark.parametrize(
    "change, words",
    [
        ((0, "parameters", np.nan, "alpha"), "level 0, Adam: alpha is nan"),
        ((0, "parameters", np.inf, "beta1"), "level 0, Adam: beta1 is inf"),
        ((0, "t", -1), "t must be an integer >= 0, not -1"),
        ((1, "t", 1.5), "t must be an integer >= 0, not 1.5"),
        ((0, "skipped", -2), "skipped must be an integer >= 0, not -2"),
        ((0, "initial", np.nan, "v"), "level 0, Adam: the state 'v' of 'a new parameter' must be finite"),
        ((0, "initial", -1.0, "v"), "level 0, Adam: the state 'v' of 'a new parameter' is a sum of squares"),
        ((1, "parameters", np.inf, "alpha"), "level 1, SGD: alpha is inf"),
        ((1, "parameters", -1.0, "alpha"), "level 1, SGD: alpha is -1.0, outside its range from 0 up"),
        ((1, "parameters", "1", "alpha"), "alpha must be a number, not '1'"),
        ((1, "parameters", True, "alpha"), "alpha must be a number, not True"),
        ((0, "state", np.ma.array([1.0, 2.0], mask=[0, 1]), "w", "v"), "level 0, Adam: the state .v. of .w. must be f"),
        ((0, "state", np.array([-1e-9, 1.0]), "w", "v"), "level 0, Adam: the state 'v' of 'w' is a sum of squares"),
        ((0, "state", np.array([np.nan, 1.0]), "w", "m"), "level 0, Adam: the state 'm' of 'w' must be finite"),
    ],
)
def test_numbers_that_no_tower_has_are_not_loaded(change, words):
    optimizer, params = Adam(0.1, optimizer=SGD(1e-3)), weights()
    steps(optimizer, params)
    before = state(optimizer)
    with pytest.raises(th.ArgumentError, match=f"load_state_dict: {words}"):
        level, entry, value, *keys = change
        optimizer.load_state_dict(changed(optimizer.state_dict(), level, entry, value, *keys))
    assert state(optimizer) == before


def test_what_lies_on_an_end_is_loaded_where_nothing_moves_it():
    optimizer = Adam(beta1=0.0)
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.hyperparameters["beta1"] == 0.0


def test_every_state_of_squares_is_known():
    ours = [cls for cls in vars(th.optim).values() if isinstance(cls, type) and issubclass(cls, Optimizer)]
    named = {key for cls in ours for key in cls.squares}
    assert named == {"total", "squares", "steps", "v"}


def test_a_tuned_alpha_below_0_is_loaded():
    optimizer = SGD(0.1, optimizer=SGD(1e-3))
    optimizer.parameters["alpha"].data = -0.5
    other = SGD(0.1, optimizer=SGD(1e-3))
    other.load_state_dict(optimizer.state_dict())
    assert other.hyperparameters["alpha"] == -0.5


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("height", [0, 1])
def test_a_hypergradient_that_is_no_tensor_is_told(height, backend):
    elementwise_backend(backend)
    optimizer, params = SGD(0.1, optimizer=SGD(0.1, optimizer=SGD(0.1))), weights()
    th.sum(params["w"] ** 2).backward()
    optimizer.levels[height].parameters["alpha"].grad = 3.0
    with pytest.raises(th.ShapeError, match=r"SGD's alpha has shape \(\), its \.grad is a float"):
        optimizer.step(params)


def test_a_batch_is_left_out_after_an_interruption():
    optimizer, params = Adam(0.1, optimizer=SGD(1e-2, optimizer=SGD(1e-3))), weights()
    steps(optimizer, params)
    th.sum(100.0 * params["w"] ** 2).backward()
    before = [level.hyperparameters for level in optimizer.levels]
    params = {name: th.tensor(w.numpy(), requires_grad=True) for name, w in params.items()}
    optimizer.load_state_dict(optimizer.state_dict())
    steps(optimizer, params, 1)
    assert [level.hyperparameters for level in optimizer.levels] == before


@pytest.mark.parametrize("kind", [SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW])
def test_help_explains_every_argument(kind):
    lines = inspect.getdoc(kind).splitlines()
    for name, parameter in inspect.signature(kind).parameters.items():
        (told,) = [line for line in lines if re.match(rf"{name}\b.*: ", line)]
        assert name not in kind.table or f"({parameter.default!r}" in told
        coordinate = kind.table[name].coordinate.name if name in kind.table else "linear"
        assert re.findall(r", tuned in (\w+) coordinates\): ", told) == [coordinate] * (coordinate != "linear")
    assert len(lines) > 12 and not any(len(line) > 116 for line in lines)


class Halving(Hook):
    """Gradients are read by halves, where somebody asks for it."""

    keywords = {"halve": False}

    def __init__(self, level, halve):
        self.halve = halve

    def gradients(self, gradients):
        return {name: g * 0.5 for name, g in gradients.items()} if self.halve else gradients

    def __str__(self):
        return "halve" if self.halve else ""


@pytest.fixture
def halving(monkeypatch):
    """A hook of one's own, for the time of a test."""
    monkeypatch.setattr(tower, "KEYWORDS", {**tower.KEYWORDS})
    monkeypatch.setattr(hooks, "KEYWORDS", tower.KEYWORDS)
    for name, functions in tower.HOOKS.items():
        monkeypatch.setitem(tower.HOOKS, name, [*functions])
    hooks.extend(Halving)


def test_a_hook_of_ones_own_has_a_keyword_and_reads_the_gradients_of_its_level(halving):
    moved = []
    for halve in (False, True):
        params, optimizer = {"w": th.tensor([1.0], requires_grad=True)}, SGD(0.25, optimizer=SGD(0.0), halve=halve)
        th.sum(params["w"] * 4.0).backward()
        optimizer.step(params)
        moved.append(params["w"].item())
        assert ("halve)" in str(optimizer)) == halve and optimizer.optimizer.hooks[Halving].halve is False
    assert moved == [0.0, 0.5]
    with pytest.raises(th.ArgumentError, match="Halving: halve is a keyword of every optimizer already"):
        hooks.extend(Halving)


class Idle(Hook):
    """Refuses whatever it is asked, and says that it is not in use."""

    def __init__(self, level):
        self.in_use = False

    def before(self, *args):
        raise AssertionError

    cuts = property(before)
    gradients = accepts = after = before


def test_a_hook_that_is_not_in_use_is_not_asked_and_neither_is_its_copy(halving):
    hooks.extend(Idle)
    optimizer, params = SGD(0.1, optimizer=SGD(0.01)), weights()
    steps(optimizer, params, 2)
    steps(copy.deepcopy(optimizer), params, 2)
    assert optimizer.t == 2
    optimizer.hooks[Idle].in_use = True
    with pytest.raises(AssertionError):
        steps(optimizer, params, 1)
