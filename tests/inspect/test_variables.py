"""A value that no optimizer names is called as in the user's code, and looking for its name changes nothing."""

import gc
import sys
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import trained

import tinyhyper as th
from tinyhyper import inspect
from tinyhyper.inspect.graph import Graph
from tinyhyper.inspect.variables import called

HELD = th.tensor([1.0, 2.0], requires_grad=True)


def named(tape):
    graph = Graph(tape)
    return [graph.known((node.number, 0)) for node in tape.nodes if node.kind in ("leaf", "constant", "earlier")]


NAMES = ["x", "a b", "w[1]", "alpha", "λ", "5"]


@given(st.sampled_from(NAMES), st.booleans(), st.sampled_from(["float32", None]))
def test_a_name_that_is_given_is_the_name(name, requires_grad, dtype):
    with th.record() as tape:
        th.tensor([1.0, 2.0], requires_grad, dtype, name=name) * 2.0
    assert named(tape)[0] == name
    place = Graph(tape).find(name)[0]
    assert tape.output(place).shape == (2,) and Graph(tape).find(f'value["{name}"]') == [place]
    assert str(inspect.Recording.from_json(tape.to_json())) == str(tape)


def test_a_name_changes_nothing_else_and_none_is_needed():
    for name in (None, "", "x"):
        x = th.tensor([1.0, 2.0], requires_grad=True, name=name)
        assert x.numpy().tolist() == [1.0, 2.0] and x.requires_grad and x.is_leaf
    with th.record() as tape:
        [th.tensor([1.0, 2.0], name="")][0] * 2.0
    assert named(tape)[0] is None
    with pytest.raises(TypeError):
        th.tensor([1.0], True, None, "x")


def test_the_key_in_a_dict_comes_before_a_variable_and_outer_functions_are_looked_at():
    params = {"layer.weight": th.tensor([1.0, 2.0], requires_grad=True), 3: th.tensor([3.0], requires_grad=True)}
    alone = th.tensor([4.0], requires_grad=True)

    def loss(weights, x):
        return sum(th.sum(w * x) for w in weights.values())

    with th.record() as tape:
        loss(params, alone)
        HELD * 1.0
    assert named(tape)[:2] == ["layer.weight", "alone"] or named(tape)[:2] == ["layer.weight", "x"]
    assert "HELD" in named(tape) and {"w"} & {*named(tape)}


def test_the_idea_in_ten_lines_reads_with_names():
    w, alpha = th.tensor([1.0, -2.0], requires_grad=True), th.tensor(0.1, requires_grad=True)
    with th.record(ghosts=True) as tape:
        th.sum(w**2).backward()
        new_w = w.detach("weights") - alpha * w.grad.detach("gradient")
        th.sum(new_w**2).backward()
    assert "leaf[" not in str(tape) and {"w", "alpha"} <= {*named(tape)}
    assert "✂0 w " in str(tape) and "✂1 ∂loss[0]/∂w " in str(tape)
    answer = inspect.paths(tape, "alpha")
    assert [row[1] for row in answer.rows] == pytest.approx([-16.0])
    assert answer.question == "Why does alpha get a gradient, and along which paths?"
    assert ">alpha<" in inspect.svg(tape) and ">w<" in inspect.svg(tape)


def test_what_an_optimizer_names_keeps_its_name():
    w = th.tensor([1.0, -2.0], requires_grad=True)
    alpha = th.tensor([2.0, 1.0])
    tape = trained("sgd/sgd", 2, {"w": [1.0, -2.0]}, lambda params: th.sum((params["w"] * alpha - w) ** 2))
    graph = Graph(tape)
    assert tape.output(graph.find("alpha")[-1]).label.role == "hyperparameter"
    assert tape.output(graph.find('value["alpha"]')[-1]).shape == (2,)
    assert 'value["alpha"][0]' in str(tape) and 'value["w"][0]' in str(tape)
    assert {"alpha[1]", "w[1]"} <= {graph.known(place) for name in ("alpha", "w") for place in graph.find(name)}


def test_looking_for_names_holds_nothing_that_a_function_lets_go():
    def run():
        x = th.tensor([1.0, 2.0], requires_grad=True)
        kept = x * 2.0
        gone = weakref.ref(kept)
        other = th.tensor([3.0, 4.0], requires_grad=True)
        other * 1.0
        kept = None
        gc.collect()
        return gone() is None and kept is None

    with th.record():
        assert run()


@given(st.integers(0, 40))
def test_looking_ends_after_a_few_functions(depth):
    x = th.tensor([1.0, 2.0], requires_grad=True)

    def deeper(left, *tensors):
        return called(x, sys._getframe()) if left == 0 else deeper(left - 1)

    assert called(x, None) is None
    assert deeper(depth) == "x"  # which each of them closes over
    big = dict.fromkeys(map(str, range(5000)), x)
    assert called(x, sys._getframe()) == "x" and len(big) == 5000
