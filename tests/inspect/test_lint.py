"""A check is silent on what is right, and each of its rules fires on a small optimizer with just one thing wrong."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from golden_towers import GOLDEN, follow, towers
from hypothesis import given
from hypothesis import strategies as st
from small_model import recorded_loss

import tinyhyper as th
from tinyhyper.core.tape import current, switched
from tinyhyper.core.tensor import leaf
from tinyhyper.inspect import lint
from tinyhyper.inspect.findings import Finding, Findings
from tinyhyper.inspect.lint import check
from tinyhyper.inspect.recorder import Recorder
from tinyhyper.optim import SGD, AdaGrad, Adam, RMSProp
from tinyhyper.optim.stack import OPTIMIZERS

HERE = Path(__file__).name
TOWERS = towers(SGD, AdaGrad, RMSProp, Adam)


def loop(
    steps=6, *, rule, tune=None, state=False, create_graph=False, retain_graph=False, after=None, tune_first=True
):
    """Train by a rule written by hand, new_w, new_state = rule(w, g, alpha, state); tune makes the next alpha."""
    w = th.tensor([1.0, 2.0], requires_grad=True)
    alpha = th.tensor(0.1, requires_grad=True)
    kept = th.tensor(np.zeros(2)) if state else None
    with th.record() as tape:
        for _ in range(steps):
            loss = th.sum(w * w)
            alpha.grad = None
            loss.backward(create_graph=create_graph, retain_graph=retain_graph)
            g = w.grad
            with tape.stepping():
                old = alpha
                tape.label(old, "alpha", "hyperparameter", 0, None, (0.0, 1.0))
                if tune is not None:
                    alpha = retained(tune(alpha, alpha.grad or th.tensor(0.0)))
                    tape.label(alpha, "alpha", "hyperparameter", 0, None, (0.0, 1.0))
                tape.label(w, "w", "weights", 0)
                tape.label(g, "w", "gradient", 0)
                w, kept = rule(w, g, alpha if tune_first else old, kept)
                w = retained(w)
                tape.label(w, "w", "weights", 0)
                if kept is not None:
                    tape.label(kept, "w.velocity", "state", 0)
            if after is not None:
                after(w, loss)
    return tape


def retained(tensor):
    return tensor.retain_grad() if tensor.requires_grad else leaf(tensor)


def cut(x):
    return x.detach()


def same(x):
    return x


def descent(weights=cut, gradient=cut, rate=same):
    """A rule, by what it makes of its operands."""
    return lambda w, g, alpha, state: (weights(w) - rate(alpha) * gradient(g), state)


def momentum(cut):
    def rule(w, g, alpha, velocity):
        velocity = 0.5 * cut(velocity) + alpha * g.detach()
        return w.detach() - velocity, velocity

    return rule


sgd = descent()


def cut_too_late(w, g, alpha, state):
    return (w - alpha * g).detach(), state


def cut_alpha(w, g, alpha, state):
    return w.detach() - alpha.detach() * g.detach() + 0.0 * w, state


def unrecorded(w, g, alpha, state):
    with th.no_grad():
        return w - alpha * g, state


def cut_a_constant(w, g, alpha, state):
    one = th.tensor(1.0).detach()
    return w.detach() - alpha * (g.detach() * one), state


def lose_a_cut(w, g, alpha, state):
    w.detach()
    return w.detach() - alpha * g.detach(), state


def tuned(alpha, g, cut=cut):
    return cut(alpha) - 0.001 * cut(g)


def by(change):
    return lambda alpha, g: alpha.detach() + change


def tuned_twice(alpha, g):
    between = retained(tuned(alpha, g))
    current().watcher.label(between, "alpha", "hyperparameter", 0, None, (0.0, 1.0))
    return tuned(between, g)


def assign(w, g, alpha, state):
    new_w = w.detach() - alpha * g.detach()
    new_w.data = 0.5 * new_w.data
    return new_w, state


def holding(value):
    held = []
    return lambda w, loss: held.append(value(loss))


def totalling(value):
    total = [0.0]

    def add(w, loss):
        total[0] = total[0] + value(loss)

    return add


def plain(value, retain_graph=False):
    """No backward, no labels: gradients asked for by name."""
    w, alpha = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(6):
            loss = th.sum(w * w)
            (g,) = th.gradients(loss, w, retain_graph=retain_graph)
            with tape.stepping():
                w = value(w) - alpha * g
    return tape


def inside(value, named=True):
    """The gradient is computed within the step, by name or by backward."""
    w, alpha = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(6):
            with tape.stepping():
                loss = th.sum(w * w)
                if named:
                    (g,) = th.gradients(loss, w, create_graph=True)
                else:
                    loss.backward(create_graph=True)
                    g, alpha.grad = w.grad, None
                w = (w.detach() - alpha * value(g)).retain_grad()
                tape.label(w, "w", "weights", 0)
    return tape


def run(optimizer, steps=6, create_graph=False, after=None, loss_of=lambda p: th.sum(p["w"] ** 2.0)):
    params = {name: th.tensor([1.0, -2.0], requires_grad=True) for name in ("w", "b")}
    with th.record() as tape:
        for _ in range(steps):
            loss = loss_of(params) + th.mean(params["b"] ** 2.0)
            loss.backward(create_graph=create_graph, retain_graph=after is not None)
            optimizer.step(params)
            if after is not None:
                after(params, loss)
    return tape


SGD, Adam = th.optim.SGD, th.optim.Adam


def sgd_of(alpha):
    """SGD that somebody has given another alpha; a new one refuses what lies outside its range."""
    optimizer = SGD()
    optimizer.parameters["alpha"].data = alpha
    return optimizer
RETAIN, CREATE = {"retain_graph": True}, {"create_graph": True}

# By rule: what is wrong, what is right, and a part of what is said.
CASES = {
    "growing graph": [
        (lambda: loop(rule=descent(weights=same), **RETAIN), lambda: loop(rule=sgd, **RETAIN),
         "w[2] is computed from w[1] along a kept edge"),
        (lambda: loop(rule=descent(gradient=same), **CREATE), lambda: loop(rule=sgd, **RETAIN),
         "w[1] is computed from ∂loss[0]/∂w[0] along a kept edge"),
        (lambda: loop(rule=momentum(same), state=True, **RETAIN),
         lambda: loop(rule=momentum(cut), state=True, **RETAIN),
         "w.velocity[2] is computed from w.velocity[1] along a kept"),
        (lambda: loop(rule=sgd, tune=partial(tuned, cut=same), **RETAIN), lambda: loop(rule=sgd, tune=tuned, **RETAIN),
         "alpha[2] is computed from alpha[1] along a kept edge"),
        (lambda: loop(rule=sgd, after=holding(lambda loss: loss), **RETAIN),
         lambda: loop(rule=sgd, after=holding(lambda loss: loss.item()), **RETAIN), "loss[0] is still alive"),
        (lambda: loop(rule=sgd, after=totalling(lambda loss: loss), **RETAIN),
         lambda: loop(rule=sgd, after=totalling(lambda loss: loss.detach()), **RETAIN),
         "add of step 2 is computed from add of step 1"),
        (lambda: plain(lambda w: w), lambda: plain(lambda w: w.detach()),
         "subtract of step 2 is computed from subtract of step 1"),
        (lambda: plain(lambda w: w, retain_graph=True), lambda: plain(lambda w: w.detach(), retain_graph=True),
         "subtract of step 2 is computed from subtract of step 1"),
        (lambda: loop(rule=sgd, tune=partial(tuned, cut=same), tune_first=False, **RETAIN),
         lambda: loop(rule=sgd, tune=tuned, tune_first=False, **RETAIN), "alpha[2] is computed from alpha[1] along"),
        (lambda: inside(lambda g: g), lambda: inside(lambda g: g.detach()),
         "w[1] is computed from add of step 1 along a kept edge"),
        (lambda: inside(lambda g: g, named=False), lambda: inside(lambda g: g.detach()),
         'w[1] is computed from ∂loss[1]/∂w[1] along a kept edge'),
        (lambda: run(SGD(0.1, optimizer=SGD(0.01)), after=holding(lambda loss: loss)),
         lambda: run(SGD(0.1, optimizer=SGD(0.01)), after=holding(lambda loss: loss.detach())),
         "loss[0] is still alive"),
        (lambda: run(SGD(0.01, horizon=2, optimizer=SGD(1e-4)), 9, create_graph=True, after=holding(lambda loss: loss)),
         lambda: run(SGD(0.01, horizon=2, optimizer=SGD(1e-4)), 9, create_graph=True), "is still alive with its graph"),
    ],
    "unreached hyperparameter": [
        (lambda: loop(rule=cut_too_late), lambda: loop(rule=sgd), "no gradient ever reaches alpha: "),
        (lambda: loop(rule=cut_alpha, steps=2), lambda: loop(rule=sgd, steps=2), "remove this detach: "),
        (lambda: loop(rule=unrecorded), lambda: loop(rule=sgd), "where no gradient is recorded"),
        (lambda: loop(rule=descent(rate=float), tune=tuned), lambda: loop(rule=sgd, tune=tuned), "use alpha in a rule"),
        (lambda: run(SGD({"w": 0.1, "b": 0.1, "c": 0.1}, optimizer=SGD(0.01))),
         lambda: run(SGD({"w": 0.1, "b": 0.1}, optimizer=SGD(0.01))), "no gradient ever reaches c_alpha"),
    ],
    "hyperparameter moved twice": [
        (lambda: loop(rule=sgd, tune=tuned_twice), lambda: loop(rule=sgd, tune=tuned),
         "one step moves alpha 2 times"),
    ],
    "values assigned": [
        (lambda: loop(rule=assign), lambda: loop(rule=sgd), "the result of subtract was given other values"),
        (lambda: loop(rule=assign, tune=tuned), lambda: loop(rule=sgd, tune=tuned), "have a graph of their own"),
    ],
    "hyperparameter out of range": [
        (lambda: loop(4, rule=sgd, tune=by(0.3)), lambda: loop(2, rule=sgd, tune=by(0.3)),
         "alpha[3] is 1, outside its"),
        (lambda: run(sgd_of(-0.1)), lambda: run(sgd_of(0.1)), "alpha is -0.1, outside its range from 0 up"),
        (lambda: run(SGD(0.1, 0.99, tune=("mu",), optimizer=SGD(0.1)), 3),
         lambda: run(SGD(0.1, 0.9, optimizer=SGD(1e-4)), 3), "mu["),
    ],
    "hyperparameter about to leave its range": [
        (lambda: loop(6, rule=sgd, tune=by(-0.015)), lambda: loop(5, rule=sgd, tune=by(-0.015)),
         ("alpha[6] went from 0.025 to 0.01; one more such change would take it to -0.005, "
          "outside its range from 0 to 1")),
    ],
    "gradient recorded in vain": [
        (lambda: loop(rule=sgd, **CREATE), lambda: loop(rule=sgd),
         "create_graph=True records the graph of ∂loss[0]/∂w[0], but ∂loss[0]/∂w[0] is cut wherever it is used"),
        (lambda: run(Adam(optimizer=SGD(1e-5)), create_graph=True), lambda: run(Adam(optimizer=SGD(1e-5))),
         "create_graph"),
    ],
    "idle detach": [
        (lambda: loop(rule=cut_a_constant), lambda: loop(rule=sgd), "this detach of constant has no effect"),
        (lambda: loop(rule=lose_a_cut), lambda: loop(rule=sgd), "the result of this detach of w[0] is not used"),
    ],
}  # fmt: skip
PAIRS = [(rule, *case) for rule, cases in CASES.items() for case in cases]


@pytest.mark.parametrize("rule, wrong, right, said", PAIRS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_rule_fires_on_what_is_wrong_and_not_when_it_is_corrected(rule, wrong, right, said):
    tape = wrong()
    found = check(tape)
    assert [finding.rule for finding in found] == [rule], str(found)
    assert said in str(found)
    assert f"{HERE}:" in str(found)
    assert not check(right()), str(check(right()))


@pytest.mark.parametrize("name", TOWERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 40])
def test_the_golden_towers_are_all_right(name, steps):
    record = dict(np.load(GOLDEN / f"{name}.npz"))
    record["X"] = record["X"][:steps]
    with th.record() as tape:
        follow(Record(record), TOWERS[name](), th.tensor, recorded_loss, lambda *what: None)
    found = check(tape)
    counts = f"{steps} step{'s' * (steps > 1)}, {len(tape.nodes)} nodes and {len(tape.cuts)} cuts"
    assert str(found) == f"nothing to report: {counts} were checked"


class Record(dict):
    """Arrays by name, as np.load gives them."""

    @property
    def files(self):
        return list(self)


@pytest.mark.slow
@given(st.lists(st.sampled_from(sorted(OPTIMIZERS)), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 99))
def test_towers_with_small_steps_are_all_right(names, steps, seed):
    stack = "/".join(f"{name}({10.0 ** -(3 + 2 * height)})" for height, name in enumerate(names))
    generator = np.random.default_rng(seed)
    params = {name: th.tensor(generator.normal(size=3), requires_grad=True) for name in ("w", "b")}
    optimizer = th.optim.from_string(stack)
    with th.record() as tape:
        for _ in range(steps):
            loss = th.sum(th.tanh(params["w"] * generator.normal(size=3) + params["b"]) ** 2.0)
            loss.backward()
            optimizer.step(params)
    assert not check(tape), f"{stack}: {check(tape)}"


@given(st.sampled_from([1, 2, 3, 5, None]), st.integers(1, 17), st.sampled_from(["last", "sum"]))
def test_a_window_of_the_horizon_grows_on_purpose(horizon, steps, objective):
    optimizer = SGD(0.01, 0.5, horizon=horizon, objective=objective, optimizer=SGD(1e-6))
    tape = run(optimizer, steps, create_graph=horizon != 1)
    assert not check(tape), str(check(tape))


def test_a_tower_whose_cut_is_taken_away_grows(monkeypatch):
    def without_cut(rule, w, g, state, hyperparameters):
        return rule(w, g.detach("gradient"), *[s.detach("state") for s in state], **hyperparameters)

    monkeypatch.setattr(th.core.tower, "apply_cut", without_cut)
    found = check(run(SGD(0.01, optimizer=SGD(1e-6)), after=lambda params, loss: None))
    assert {finding.rule for finding in found} == {"growing graph"}
    assert {finding.subject for finding in found} == {
        "weights w ← weights w", "weights b ← weights b", "hyperparameter alpha ← hyperparameter alpha"
    }  # fmt: skip


BAD = {
    "log": (lambda w: th.sum(th.log(w)), [1.0, 0.0], "the first infinity", "clip it"),
    "divide": (lambda w: th.sum(1.0 / (w - w)), [1.0, 2.0], "of norm 0) is the first infinity", "the divisor is 0"),
    "sqrt": (lambda w: th.sqrt(th.sum(w)), -0.5, "sqrt(sum = -1) is the first NaN", "clip it at 0"),
    "sqrt.vjp": (lambda w: th.sum(th.sqrt(w)), [0.0, 1.0], "backward pass of sqrt", "infinite at 0"),
    "exp": (lambda w: th.sum(th.exp(w)), [800.0, 0.0], "the first infinity", "logsumexp"),
    "power": (lambda w: th.sum(w**0.5), [-1.0, 1.0], "the first NaN", "keep the base above 0"),
    "multiply": (lambda w: th.sum(w * w), [1e200, 1.0], "the first infinity", "too large"),
}


@pytest.mark.parametrize("op", BAD)
def test_the_first_nan_or_infinity_is_found(op):
    function, values, what, advice = BAD[op]
    w = th.tensor(np.broadcast_to(values, 2), requires_grad=True)
    with th.record() as tape, np.errstate(all="ignore"):
        loss = function(w)
        loss.backward()
        (loss * 2.0) - loss
    (finding,) = check(tape)
    node = tape.nodes[finding.nodes[-1]]
    assert finding.rule == "not finite" and op in (node.op, f"{node.vjp_of}.vjp")
    assert what in finding.what and advice in finding.advice
    assert finding.line == function.__code__.co_firstlineno or op.endswith("vjp")


def test_a_diverging_tower_is_told_from_a_wrong_operation():
    with np.errstate(all="ignore"):
        found = check(run(SGD(1e200, optimizer=SGD(1e-200)), 3))
    (finding,) = [finding for finding in found if finding.rule == "not finite"]
    assert "smaller alpha" in finding.advice or "too large" in finding.advice


def test_what_comes_in_with_nan_is_found_and_infinities_may_be_meant():
    w = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        th.sum(w * th.tensor([1.0, np.nan]))
    (finding,) = check(tape)
    assert "had NaN from the start" in finding.what
    with th.record() as tape:
        th.sum(th.softmax(w + th.tensor([0.0, -np.inf])))
    assert not check(tape)
    with th.record() as tape, np.errstate(all="ignore"):
        th.sum(w * th.tensor([0.0, -np.inf]) * 0.0)
    (finding,) = check(tape)
    assert "had infinity from the start" in finding.what


def test_a_hyperparameter_at_the_border_of_its_coordinate_is_finite():
    assert not check(run(Adam(0.01, 0.0, 0.9)))


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("text", ["sgd(0.01)/sgd(1e-4)", "adam/sgd", "sgd(0.01)/sgd(1e-4)/sgd(1e-6)"])
def test_a_gradient_penalty_records_nothing_in_vain_but_its_second_pass_may(text, twice):
    """To the gradients that the first backward() leaves, the second adds its own."""
    params, optimizer = {"w": th.tensor([1.0, -2.0], requires_grad=True)}, th.optim.from_string(text)
    with th.record() as tape:
        for _ in range(4):
            w = params["w"]
            loss = th.sum(w**3)
            loss.backward(create_graph=True)
            g, w.grad = w.grad, None
            (loss + 0.1 * th.sum(g**2)).backward(create_graph=twice)
            optimizer.step(params)
    assert {finding.rule for finding in check(tape)} == ({"gradient recorded in vain"} if twice else set())


@pytest.mark.parametrize("wanted", [True, False])
def test_a_recorded_gradient_is_not_in_vain_where_it_is_differentiated(wanted):
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = SGD(0.1)
    with th.record() as tape:
        for _ in range(3):
            loss = th.sum(params["w"] ** 3.0)
            loss.backward(create_graph=True)
            if wanted:
                th.gradients(params["w"].grad, params["w"], np.ones(2))
            optimizer.step(params)
    assert [finding.rule for finding in check(tape)] == ["gradient recorded in vain"] * (not wanted)


def test_state_at_its_first_step_and_gradients_are_cut_on_purpose():
    for steps in (1, 2, 5):
        assert not check(loop(steps, rule=momentum(cut), state=True))


def test_a_detach_used_for_its_value_is_no_finding():
    assert not check(loop(rule=sgd, after=holding(lambda loss: loss.detach())))
    assert not check(loop(rule=sgd, after=lambda w, loss: th.tensor(th.tensor([1.0]))))


def test_a_gradient_is_cut_on_purpose_whatever_made_it():
    w, alpha = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record() as tape:
        for _ in range(3):
            (g,) = th.gradients(th.sum(w * w), w)
            zero = th.tensor([0.0, 0.0])
            with tape.stepping():
                tape.label(zero, "b", "gradient", 0)
                g = g.detach()
                none = zero.detach()
                w = w.detach() - alpha * g - none
    assert not check(tape), str(check(tape))


def test_a_mistake_takes_two_steps_to_see():
    assert not check(loop(1, rule=cut_a_constant))
    assert not check(loop(1, rule=sgd, **CREATE))


def test_the_first_gradient_of_a_window_is_recorded_by_a_loop_that_records_all():
    params = {"w": th.tensor([1.0, 2.0], requires_grad=True)}
    optimizer = SGD(0.01, horizon=3, optimizer=SGD(1e-6))
    for _ in range(2):
        th.sum(params["w"] ** 3.0).backward(create_graph=True)
        optimizer.step(params)
    with th.record() as tape:
        for n in range(2):
            th.sum(params["w"] ** 3.0).backward(create_graph=True)
            if not n:
                optimizer.step(params)
    assert not check(tape), str(check(tape))


def test_a_file_of_the_package_is_known_wherever_the_tape_comes_from():
    tape = run(SGD(0.1, mu=0.9), 3)
    for cut in tape.cuts:
        cut.line += cut.reason == "state"  # as if each kind of cut had a line of its own
    text = tape.to_json()
    assert not check(th.inspect.Recording.from_json(text))
    moved = text.replace(str(Path(th.__file__).parents[1]), "/elsewhere")
    assert moved != text and not check(th.inspect.Recording.from_json(moved))


def test_a_check_of_a_loaded_tape_finds_the_same():
    for cases in CASES.values():
        tape = cases[0][0]()
        assert check(th.inspect.Recording.from_json(tape.to_json())) == check(tape)


def test_what_a_loss_may_still_come_to_depend_on_is_no_finding():
    optimizer, params = SGD(0.1, optimizer=SGD(0.01)), {"w": th.tensor([1.0], requires_grad=True)}
    alpha = optimizer.parameters["alpha"]
    with th.record() as tape:
        alpha.detach() * 2.0
        th.sum(params["w"] ** 2.0).backward()
        optimizer.step(params)
    assert not check(tape), str(check(tape))


def test_steps_recorded_without_their_losses_are_no_finding():
    optimizer, params = Adam(0.1, optimizer=SGD(1e-6)), {"w": th.tensor([1.0], requires_grad=True)}
    tape = Recorder()
    for _ in range(3):
        th.sum(params["w"] ** 2.0).backward()
        with switched(watcher=tape):
            optimizer.step(params)
            th.mean(params["w"].detach())
    assert tape.steps == 3 and not check(tape), str(check(tape))


def test_a_hyperparameter_that_only_follows_a_schedule_needs_no_gradient():
    w, alpha = th.tensor([1.0, 2.0], requires_grad=True), th.tensor(0.1)
    with th.record() as tape:
        for _ in range(4):
            th.sum(w * w).backward()
            with tape.stepping():
                tape.label(alpha, "alpha", "hyperparameter", 0, None, (0.0, 1.0))
                w = leaf(w.detach() - alpha * w.grad)
                alpha = alpha * 0.9
    assert not check(tape), str(check(tape))


def test_two_optimizers_in_a_recording_are_not_taken_for_one_that_moves():
    with th.record() as tape:
        for rate in (0.05, 0.01):
            w = {"w": th.tensor([1.0], requires_grad=True)}
            optimizer = SGD(rate)
            th.sum(w["w"] ** 2.0).backward()
            optimizer.step(w)
    assert not check(tape), str(check(tape))


def test_a_finding_counts_the_steps_in_which_it_is_seen_again_and_has_its_edges():
    tape = loop(rule=descent(weights=same), **RETAIN)
    found = check(tape)
    assert found[0].again == 4
    assert {(tape.edges[n].flow) for n in found[0].edges} == {"kept"}


def test_findings_are_safe_html():
    finding = Finding("<rule>", "s", 1, "a<b>.py", 3, "<script>", "x & y")
    page = Findings([finding, finding], "")._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and page.count("<tr>") == 2
    assert "✓ nothing to report: 0 &lt;steps" in Findings([], "0 <steps")._repr_html_()
    assert str(check(th.inspect.Recording())) == "nothing to report: 0 steps, 0 nodes and 0 cuts were checked"


def test_the_infinite_margins_of_max_pooling_are_meant():
    images = th.tensor(np.random.default_rng(0).random((1, 4, 4, 1)), requires_grad=True)
    with th.record() as tape:
        th.sum(th.max_pool2d(images, 3, 1, 1)).backward()
    assert not check(tape)
    with th.record() as tape:
        margins = th.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=np.inf)
        th.sum(margins - margins).backward()
    assert "infinity" in str(check(tape))  # until they give a NaN


def test_a_file_that_is_not_python_hides_no_detach(tmp_path):
    """As the cell of a notebook with a magic command in it."""
    for text, lines in {"x.detach()\n": {1}, "%time\nx.detach()\n": set(), "y = x.detach()\n": set()}.items():
        path = tmp_path / f"{len(text)}.py"
        path.write_text(text)
        assert lint._lost_detaches(str(path)) == lines


@pytest.mark.parametrize("source", ["def f(:", "x.detach()\n" + "(" * 5000, "\0"])
def test_a_source_that_is_no_python_is_no_reason_to_fail(source, tmp_path):
    x = th.tensor([1.0, 2.0], requires_grad=True)
    with th.record() as tape:
        x.detach()
        th.sum(x * x).backward()
    (tmp_path / "train.py").write_text(source)
    for file in (str(tmp_path / "train.py"), "/dev/zero", "\0.py", "\ud800.py"):
        tape.cuts[0].file = file
        assert check(tape).checked
