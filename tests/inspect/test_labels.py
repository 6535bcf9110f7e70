"""A gradient in a transformed coordinate is named so, and the numbers beside it fit together."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.graph import Graph
from tinyhyper.optim import COORDINATES, SGD, AdaDelta, AdaGrad, Adam, AdamW, RMSProp

pytestmark = pytest.mark.either_backend

INTERNAL = {"": float, "log": np.log, "sqrt": np.sqrt, "u": lambda beta: np.arctanh(2.0 * beta - 1.0)}
VALUE = {"": float, "log": np.exp, "sqrt": np.square, "u": lambda u: (np.tanh(u) + 1.0) / 2.0}
VALUES = {"mu": 0.5, "weight_decay": 0.02, "eps": 1e-3, "alpha": 0.05}
KAPPA = 1e-6
WORDS = {"linear": "", "unit": "u"}  # of coordinates, where they are not called by their own names
rules = st.sampled_from([SGD, AdaGrad, AdaDelta, RMSProp, Adam, AdamW])
coordinates = st.sampled_from(sorted(COORDINATES))


def within(coordinate, name):
    """A name in a coordinate."""
    return {"linear": name, "unit": f"u({name})"}.get(coordinate, f"{coordinate} {name}")


def loss(params):
    return th.sum(th.tanh(params["w"]) ** 2) + th.mean(params["w"] ** 2) * params["b"] ** 2


def differences(f, h=2e-5):
    """The central difference of a function of a number at 0, of the fourth order."""
    return float(np.dot([1.0, -8.0, 8.0, -1.0], [f(n * h) for n in (-2, -1, 1, 2)])) / (12.0 * h)


class Run:
    """Three steps of a tower that tunes all there is; `loss` is the last loss, by one hyperparameter's value."""

    def __init__(self, rule, coordinate, seed=0):
        generator = np.random.default_rng(seed)
        params = {name: th.tensor(generator.normal(size=n), requires_grad=True) for name, n in (("w", 3), ("b", ()))}
        values = {name: VALUES.get(name, row.default) for name, row in rule.table.items()}
        self.tower = rule(
            **values, tune=tuple(values), coordinates=dict.fromkeys(values, coordinate), optimizer=SGD(KAPPA)
        )
        with th.record(ghosts=True) as self.tape:
            for _ in range(3):
                loss(params).backward()
                if self.tower.t == 1:
                    self.before = {name: (w.detach(), w.grad.detach()) for name, w in params.items()}
                    self.states = {name: dict(kept) for name, kept in self.tower._states.items()}
                self.tower.step(params)
                if self.tower.t == 2:
                    self.values = dict(self.tower.hyperparameters)

    def loss(self, name, value):
        values = {key: th.tensor(v) for key, v in {**self.values, name: value}.items()}
        if "t" in self.tower.rule.__code__.co_varnames:
            values["t"] = th.tensor(2.0)
        made = {}
        for key, (w, g) in self.before.items():
            state = [self.states.get(key, {}).get(n, th.tensor(np.zeros(w.shape))) for n in self.tower.state]
            made[key] = self.tower.rule(w, g, *state, **values)[0]
        return loss(made).item()

    def slope(self, name, coordinate):
        """The central difference of the last loss in a coordinate."""
        u = INTERNAL[coordinate](self.values[name])
        return differences(lambda change: self.loss(name, VALUE[coordinate](u + change)))


def close(value):
    return pytest.approx(value, rel=2e-5, abs=2e-9)


@given(rules, coordinates, st.integers(0, 9))
def test_the_paths_of_a_gradient_add_up_to_what_differences_give_in_its_coordinate(rule, coordinate, seed):
    run, named = Run(rule, coordinate, seed), WORDS.get(coordinate, coordinate)
    for name in run.tower.table:
        answer = inspect.paths(run.tape, f"{name}[2]")
        assert sum(row[1] for row in answer.rows) == close(run.slope(name, named))
        assert "differs from the sum" not in answer.text
        if named:
            assert answer.columns[-1] == f"to ∂loss/∂{name}"
            assert sum(row[-1] for row in answer.rows) == close(run.slope(name, ""))
            assert f"∂loss/∂{within(coordinate, f'{name}[2]')} (∂loss/∂{name}[2] = " in answer.text
        else:
            assert answer.columns[-1] == "share"


@given(st.lists(st.tuples(rules, coordinates), min_size=1, max_size=2), st.integers(0, 9))
def test_at_each_level_a_gradients_label_names_what_differences_give(levels, seed):
    generator = np.random.default_rng(seed)
    params = {name: th.tensor(generator.normal(size=n), requires_grad=True) for name, n in (("w", 3), ("b", ()))}
    tower = SGD(KAPPA)
    for level, (rule, coordinate) in reversed([*enumerate(levels)]):
        values = {name: VALUES.get(name, row.default) for name, row in rule.table.items()}
        values["alpha"] = 1e-5 if level else 0.05
        del values["weight_decay"]  # without it, a change of what a level moves is the same change of what it made
        chosen = dict.fromkeys(values, coordinate)
        tower = rule(**values, weight_decay=0.0, tune=tuple(values), coordinates=chosen, optimizer=tower)
    with th.record(ghosts=True) as tape:
        for _ in range(2):
            loss(params).backward()
            tower.step(params)
        loss(params).backward()

    def moved(level, name):
        """The last loss over a change of a hyperparameter, in its coordinate."""

        def of(change):
            params, other = tape.rewind(1)
            loss(params).backward()
            tensor = other.levels[level].parameters[name]
            tensor.data = tensor.data + change
            other.step(params)
            return loss(params).item()

        return of

    def weighed(name, n):
        """The last loss over a change of an element of a weight."""
        unit = np.eye(params[name].size)[n].reshape(params[name].shape)
        return lambda change: loss({**params, name: params[name].detach() + change * unit}).item()

    graph, found = Graph(tape), {}
    for node in tape.nodes:
        if node.kind == "gradient" and node.loss == max(graph.losses):
            found[graph.name((node.number, 0))] = node.outputs[0]
    for name, w in params.items():
        assert found.pop(f"∂loss[2]/∂{name}[2]").norm == close(
            np.linalg.norm([differences(weighed(name, n)) for n in range(w.size)])
        )
    for level, (own, (_, coordinate)) in enumerate(zip(tower.levels, levels)):
        named = WORDS.get(coordinate, coordinate)
        for name in own.hyperparameters.keys() - {"weight_decay"}:
            title = "kappa" if (level, name) == (1, "alpha") else f"level1.{name}" if level else name
            label = f"∂loss[2]/∂{within(coordinate, f'{title}[2]')}"
            h = 5e-7 if (title, named) == ("kappa", "") else 2e-5  # which is near to kappa itself
            assert found.pop(label).value == close(differences(moved(level, name), h))
            assert VALUE[named](own.parameters[name].item()) == pytest.approx(own.hyperparameters[name])
    assert not found


@given(rules, coordinates, st.integers(0, 9))
def test_the_numbers_of_moved_fit_together(rule, coordinate, seed):
    run = Run(rule, coordinate, seed)
    for name in run.tower.table:
        answer = inspect.moved(run.tape, name)
        assert len(answer.rows) == 3
        named, inner = WORDS.get(coordinate, coordinate), within(coordinate, name)
        change, *gradients = answer.columns[3:-1]
        assert change == ("change" if not named else f"change of {inner}")
        assert gradients == ([f"∂loss/∂{inner}", f"∂loss/∂{name}"] if named else [f"∂loss/∂{name}"])
        for step, before, after, moved, gradient, *meant in answer.rows:
            assert moved == pytest.approx(-KAPPA * gradient, rel=1e-6, abs=1e-15)
            assert INTERNAL[named](after) - INTERNAL[named](before) == pytest.approx(moved, rel=1e-4, abs=1e-12)
            if step == 3:
                assert [gradient, *meant[:-1]] == [close(run.slope(name, c)) for c in dict.fromkeys((named, ""))]


def test_pictures_the_tree_and_the_checks_name_the_coordinate():
    adam = Adam(0.1, coordinates={"alpha": "log"}, optimizer=SGD(1e-3))
    tape = trained(adam, 3, ghosts=True)
    drawn, tree = inspect.svg(tape), tape.tree()
    assert re.search(r"∂loss\[1\]/∂\([^)]*log alpha[^)]*\)", drawn)
    assert "u(beta1)" in drawn and "∂loss/∂beta1 = " in drawn
    tree = re.sub(r"✂\d+", "✂", tree)
    assert "✂ ∂loss[2]/∂log alpha[2]" in tree and "✂ ∂loss/∂log alpha" in tree and "✂ ∂loss/∂u(beta1)" in tree
    assert "in log, tower.py" in tree and "∂loss[1]/∂w[1]" in tree
    one = trained(SGD(0.1, coordinates={"alpha": "log"}, optimizer=SGD(1e-3)), 3, ghosts=True)
    assert ">∂loss/∂log alpha<" in inspect.svg(one)
    named = {row[2] for row in inspect.ghosts(one).rows}
    assert {"log alpha[0]", "w[0]", "∂loss[1]/∂log alpha[1]"} <= named and not any("log ∂" in name for name in named)
    assert [row[0] for row in inspect.without(one, 0).rows] == ["log alpha[0]"]
    assert "about to leave" not in str(inspect.check(one))


def test_a_value_at_the_end_of_a_coordinate_has_no_gradient_of_its_own():
    graph = Graph(trained(SGD(0.1, mu=0.0, tune=("alpha",), coordinates={"mu": "log"}, optimizer=SGD(1e-3)), 2))
    assert graph.meant(graph.find("alpha")[-1], 3.0) is None
    with th.record() as tape:
        tape.label(th.tensor(-np.inf), "alpha", "hyperparameter", 0, COORDINATES["log"])
    graph = Graph(tape)
    assert graph.label((0, 0)).value == graph.label((0, 0)).slope == 0.0
    assert graph.left((0, 0), 2.0) == "2 = ∂loss/∂log alpha"
