"""check_hypergradients: every tower passes, on every path; a wrong one is found, and where."""

import re

import numpy as np
import pytest
from backends import elementwise_backend
from hypothesis import given
from hypothesis import strategies as st
from optimizers import RULES

import tinyhyper as th
from tinyhyper.core.tensor import Tensor, leaf
from tinyhyper.optim import SGD, Adam
from tinyhyper.optim.horizon import Seam
from tinyhyper.testing import check_hypergradients, hypergradients, towers

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((8, 4, 3))
PARAMS = {"w": RNG.standard_normal((3, 2)), "b": RNG.standard_normal(2)}


def loss(params, step):
    """Small and smooth; every weight matters, and each step has a batch of its own."""
    return th.sum(th.square(th.tanh(XS[step] @ params["w"] + params["b"]) - 0.3))


def all_tuned(name, **kw):
    return RULES[name](tune=tuple(RULES[name]().table), **kw)


def found(tower, loss=loss, params=PARAMS, **options):
    with pytest.raises(th.GradientError) as error:
        check_hypergradients(tower, loss, params, **options)
    return str(error.value)


# ---- What is right passes.


@pytest.mark.slow
@given(tower=towers(("w", "b")), steps=st.integers(1, 5))
def test_random_towers_pass(tower, steps):
    elementwise_backend("numpy")  # kernels would be compiled for every tower; they have tests of their own below
    optimizer = tower.build()
    if any(level._tuned for level in optimizer.levels):
        check_hypergradients(optimizer, loss, PARAMS, steps)


WINDOWS = [(1, "last"), (3, "sum")]
OTHERS = [(1, "sum"), (2, "last"), (2, "sum"), (3, "last"), (None, "last"), (None, "sum")]


@pytest.mark.parametrize("horizon, objective", [*WINDOWS, *[pytest.param(*o, marks=pytest.mark.slow) for o in OTHERS]])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_passes_with_everything_tuned(name, horizon, objective):
    above = SGD(1e-4, optimizer=SGD(1e-6))
    check_hypergradients(all_tuned(name, optimizer=above, horizon=horizon, objective=objective), loss, PARAMS, 4)


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("watched", [False, True])
def test_every_path_of_a_step_passes(watched, backend, horizon):
    """Together or one by one, by NumPy or by kernels."""
    elementwise_backend(backend)
    tower = all_tuned("adam", optimizer=Adam(1e-3, optimizer=SGD(1e-4)), horizon=horizon)
    if watched:
        with th.record():
            check_hypergradients(tower, loss, PARAMS, 4)
    else:
        check_hypergradients(tower, loss, PARAMS, 4)


def test_rates_by_name_and_a_weight_that_stays_put():
    check_hypergradients(SGD({"w": 0.1, "b": 0.05}, 0.5, optimizer=SGD({"w_alpha": 1e-3, "mu": 1e-2})), loss, PARAMS)
    check_hypergradients(SGD({"w": 0.1}, optimizer=SGD(1e-3)), loss, PARAMS, 4)


def test_a_loss_that_does_not_reach_every_weight_or_takes_no_step():
    tower = Adam(0.05, optimizer=SGD(1e-3), horizon=2)
    check_hypergradients(tower, lambda params, step: th.sum(th.square(params["wb"[step % 2]])), PARAMS, 5)
    check_hypergradients(tower, lambda params: th.sum(th.square(params["w"])), PARAMS)


@pytest.mark.parametrize("horizon", [1, 3, None])
@pytest.mark.parametrize("limit", [{"clip_norm": 0.5}, {"clip_value": 0.3}, {"clip_norm": 0.5, "clip_value": 0.3}])
def test_clipping_at_every_level(limit, horizon):
    tower = Adam(0.05, optimizer=SGD(1e-3, clip_norm=0.01, optimizer=SGD(1e-4)), horizon=horizon, **limit)
    check_hypergradients(tower, loss, PARAMS, 4)


def test_what_a_tower_does_about_infinities_is_left_alone():
    tower = SGD(0.1, optimizer=SGD(1e-3), on_nonfinite="skip")
    check_hypergradients(tower, loss, PARAMS)
    assert "the loss is inf" in found(tower, lambda params, step: loss(params, step) * (np.inf if step == 2 else 1.0))
    assert tower.skipped == 0


class Plain(th.optim.Optimizer):
    """Plain numbers, a plain function, a list, a hyperparameter that may be absent, and the number of the step."""

    table = {"alpha": 0.1, "decay": th.optim.Hyperparameter(0.0, optional=True)}
    state = {"seen": "alpha"}

    def rule(w, g, seen, *, alpha, decay, t, power=1.0):
        seen = 0.5 * seen + th.tanh(g)
        return [w - alpha * seen / t**power - decay * w, seen]


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 3, None])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_an_optimizer_of_ones_own(decay, horizon):
    check_hypergradients(Plain(0.1, decay, power=0.5, optimizer=SGD(1e-3), horizon=horizon), loss, PARAMS, 6)


@pytest.mark.slow
@pytest.mark.parametrize("coordinate", ["linear", "sqrt", "unit"])
@pytest.mark.parametrize("beta2", [0.9, 0.999, 0.99999])
def test_a_beta_near_1_passes_in_coordinates_that_do_not_end_there(beta2, coordinate):
    """The bias correction is singular at 1."""
    check_hypergradients(
        Adam(0.003, beta2=beta2, coordinates={"beta2": coordinate}, optimizer=SGD(1e-5)), loss, PARAMS, 2
    )


@given(tower=towers(("w", "b")), steps=st.integers(0, 4))
def test_nothing_changes_and_a_run_may_have_begun(tower, steps):
    elementwise_backend("numpy")
    optimizer = tower.build()
    params = {name: th.tensor(w, requires_grad=True) for name, w in PARAMS.items()}
    for step in range(steps):
        loss(params, step).backward(create_graph=True)
        optimizer.step(params)
    state, tensors = optimizer.state_dict(), dict(params)
    parameters, gradients = [dict(level.parameters) for level in optimizer.levels], [w.grad for w in params.values()]
    if any(level._tuned for level in optimizer.levels):
        check_hypergradients(optimizer, loss, params, 2)
    np.testing.assert_equal(optimizer.state_dict(), state)
    assert params == tensors and [w.grad for w in params.values()] == gradients
    assert [dict(level.parameters) for level in optimizer.levels] == parameters


# ---- What is wrong is found.


class InsideTheLoop(SGD):
    """alpha moves once for each weight, as in one public optimizer."""

    def step(self, params):
        for name in list(params):
            one = {name: params[name]}
            super().step(one)
            params.update(one)


class WeightsFirst(SGD):
    """The weights move by the old alpha."""

    def step(self, params):
        alpha, above = self.parameters["alpha"], self.optimizer
        self.optimizer = None
        super().step(params)
        self.optimizer = above
        slope = 0.0 if alpha.grad is None else alpha.grad.numpy()
        self.parameters["alpha"] = leaf(Tensor(np.array(alpha.item() - above.hyperparameters["alpha"] * slope)))


class AlphaIsCut(SGD):
    """alpha itself is cut, not what it was computed from."""

    def step(self, params):
        super().step(params)
        for name, w in params.items():
            params[name] = th.tensor(w.numpy(), requires_grad=True)


class Forgetful(SGD):
    """The gradient of the step before is still in alpha's .grad."""

    def step(self, params):
        before = self.parameters["alpha"].grad
        super().step(params)
        self.parameters["alpha"].grad = before


class Nudged(SGD):
    """The level above moves alpha by another rule than its own."""

    def step(self, params):
        above = self.optimizer
        super().step(params)
        if above.t > 1:
            alpha = self.parameters["alpha"]
            alpha.data = alpha.data * 1.000001


class Drifting(SGD):
    """The weights are not those of the rule; the derivative is."""

    def step(self, params):
        super().step(params)
        params["w"] = (params["w"] + 1e-5).retain_grad()


WRONG = {
    InsideTheLoop: "step 1: level 0 (InsideTheLoop), alpha is ",
    WeightsFirst: "No gradient has reached it: did the step use another tensor, or an older value?",
    AlphaIsCut: "No gradient has reached it",
    Forgetful: "step 2: level 0 (Forgetful), alpha is ",
    Nudged: "step 1: level 0 (Nudged), alpha moved to ",
    Drifting: "step 0: weights, w[",
}


@pytest.mark.parametrize("cls", WRONG, ids=lambda cls: cls.__name__)
def test_a_wrong_optimizer_is_found(cls):
    check_hypergradients(SGD(0.1, optimizer=SGD(1e-3)), loss, PARAMS)
    message = found(cls(0.1, optimizer=SGD(1e-3)))
    assert message.startswith("check_hypergradients, step ") and WRONG[cls] in message


def test_the_message_has_both_values():
    """Of alpha's gradient, the part of the last weight alone is there."""
    message = found(InsideTheLoop(0.1, optimizer=SGD(1e-3)))
    numbers = re.search(r"alpha is (\S+) in .grad, (\S+) by differences.*off by (\S+), allowed", message).groups()
    params, gradients = {name: th.tensor(w, requires_grad=True) for name, w in PARAMS.items()}, []
    for step in range(2):
        loss(params, step).backward()
        gradients.append({name: w.grad.numpy() for name, w in params.items()})
        SGD(0.1).step(params)
    by_name = {name: -np.sum(gradients[0][name] * gradients[1][name]) for name in params}
    whole = sum(by_name.values())
    np.testing.assert_allclose([float(n) for n in numbers], [by_name["b"], whole, abs(by_name["b"] - whole)], rtol=1e-2)


@pytest.mark.parametrize("horizon", [1, 2, None])
@pytest.mark.parametrize("height", [0, 1, 2])
@pytest.mark.parametrize("part", [0.0, -1.0, 1.001])
def test_a_wrong_gradient_at_one_level_alone_is_found(part, height, horizon, monkeypatch):
    """It is off by a factor, as that of a wrong rule would be."""
    if horizon is None and height:
        return
    compare = hypergradients.Frozen.compare

    def spoiled(self, loss, weights, step, rtol):
        alpha = self.levels[height].parameters["alpha"]
        if alpha.grad is not None and step > 2:
            alpha.grad = part * alpha.grad
        compare(self, loss, weights, step, rtol)

    tower = SGD(0.05, optimizer=SGD(1e-2, optimizer=SGD(1e-2, optimizer=SGD(1e-2))), horizon=horizon)
    check_hypergradients(tower, loss, PARAMS, 6)
    monkeypatch.setattr(hypergradients.Frozen, "compare", spoiled)
    assert f"level {height} (SGD), alpha is " in found(tower, steps=6)


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [3, None])
def test_a_window_that_loses_what_was_left_at_its_seams_is_found(horizon, monkeypatch):
    tower = all_tuned("adam", optimizer=SGD(1e-4), horizon=horizon, objective="sum")
    monkeypatch.setattr(Seam, "collect", lambda self: [])
    assert "level 0 (Adam), alpha is " in found(tower, steps=3)


@pytest.mark.parametrize("horizon", [2, None])
def test_a_horizon_that_is_shorter_than_it_says_is_found(horizon, monkeypatch):
    """Gradients that are not recorded are taken for constants."""
    monkeypatch.setattr("tinyhyper.optim.horizon.Window.check", lambda *args: None)
    backward = Tensor.backward
    monkeypatch.setattr(Tensor, "backward", lambda self, create_graph: backward(self, retain_graph=create_graph))
    assert "alpha is " in found(SGD(0.1, 0.5, optimizer=SGD(1e-3), horizon=horizon), steps=2)


# ---- Where nothing can be compared, the reason is told.


def test_a_loss_with_a_kink_is_told():
    """The next weight is exactly on it."""
    message = found(
        SGD(0.5, optimizer=SGD(1e-3)),
        lambda params, step: th.sum(params["w"]) if step == 0 else th.sum(th.relu(params["w"])),
        {"w": np.array([0.5])},
        steps=1,
    )
    assert "step 1: level 0 (SGD), alpha" in message


def test_a_loss_that_draws_is_told():
    rng = np.random.default_rng(0)
    message = found(SGD(0.1, optimizer=SGD(0.1)), lambda params: loss(params, 0) * rng.random())
    assert "at a second call" in message and "step 0" in message
    assert "the loss is nan" in found(SGD(0.1, optimizer=SGD(0.1)), lambda params: loss(params, 0) * np.nan)


def test_a_loss_that_rounding_hides_is_told():
    message = found(
        SGD(0.1, optimizer=SGD(1e-9)), lambda params: (th.sum(th.square(params["w"])) + 1e12) - 1e12,
        {"w": np.array([0.5, 1.0])}, steps=1,
    )  # fmt: skip
    assert "alpha: .grad is -4, but differences settle to -4.0" in message and "the check cannot decide" in message


def test_weights_that_did_not_come_where_the_rules_lead_are_found():
    """The second step of a window moves a weight that no loss reads, so that no hypergradient tells."""

    class Astray(SGD):
        def step(self, params):
            super().step(params)
            if self.t == 2:
                params["b"] = params["b"] + 0.25

    def of_w(params):
        return th.sum(th.square(params["w"]))

    check_hypergradients(SGD(0.1, optimizer=SGD(1e-3), horizon=3), of_w, PARAMS, 3)
    message = found(Astray(0.1, optimizer=SGD(1e-3), horizon=3), of_w, steps=3)
    assert "'b' is off by 0.25 from where the rule of Astray moves it over the window" in message
