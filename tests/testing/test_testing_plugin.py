"""The pytest plugin: seeds by the test's name, and tests that must leave nothing alive; and what these stand on."""

import gc
import re
import weakref

import numpy as np
import pytest

import tinyhyper as th
from tinyhyper.core.tape import Node
from tinyhyper.testing import alive, collector_off, nothing_alive

pytest_plugins = ["pytester"]

HELD = []
DRAWS = """
import pathlib
import pytest

def note(rng, name):
    pathlib.Path(name).write_text(repr(rng.random(3).tolist()))

def test_one(rng):
    note(rng, "one")

def test_other(rng):
    note(rng, "other")

@pytest.mark.parametrize("n", [1, 2])
def test_many(rng, n):
    note(rng, f"many{n}")
    assert n == 1
"""
LEAKS = """
import pytest
import tinyhyper as th

HELD = []

@pytest.fixture
def made_before():
    return th.tensor([1.0], requires_grad=True)

@pytest.mark.nothing_alive
def test_clean(made_before):
    th.sum(made_before * 2.0).backward()
    made_before.grad = None

@pytest.mark.nothing_alive
def test_leak():
    x = th.tensor([1.0, 2.0], requires_grad=True)
    HELD.append(th.tanh(x) * 3.0)

@pytest.mark.nothing_alive
@pytest.mark.parametrize("wrong", [ValueError])
def test_error(wrong):
    x = th.tensor([1.0, 2.0], requires_grad=True)
    raise wrong("of its own")

class TestClass:
    @pytest.mark.nothing_alive
    def test_method(self):
        HELD.append(th.tensor([1.0]))

def test_unmarked():
    HELD.append(th.tensor([1.0]))
"""


@pytest.fixture
def run(pytester):
    """Run pytest on a file with the plugin."""
    pytester.makeconftest('pytest_plugins = ["tinyhyper.testing.plugin"]')

    def run(source, *args):
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("--strict-markers", "-p", "no:cacheprovider", *args)

    return run


def drawn(pytester):
    return {name: (pytester.path / name).read_text() for name in ("one", "other", "many1", "many2")}


def test_each_test_draws_its_own_numbers_alone_and_among_others(run, pytester):
    run(DRAWS).assert_outcomes(passed=3, failed=1)
    first = drawn(pytester)
    assert len(set(first.values())) == 4
    (pytester.path / "other").unlink()
    run(DRAWS, "-k", "test_other").assert_outcomes(passed=1, deselected=3)
    assert drawn(pytester) == first
    run(DRAWS, "--seed", "7")
    other = drawn(pytester)
    assert all(other[name] != first[name] for name in first)
    run(DRAWS, "--seed", "7")
    assert drawn(pytester) == other


def test_a_failure_tells_the_seed(run):
    result = run(DRAWS, "--seed", "7")
    result.stdout.fnmatch_lines(["*Captured rng setup*", "rng drew its numbers with --seed 7"])
    assert str(result.stdout).count("with --seed") == 1, "what has passed says nothing"


def test_a_marked_test_must_leave_nothing_alive(run):
    result = run(LEAKS)
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*LeakError: 1 tensor and 3 nodes made here are still alive. Something holds them*",
            "*  tensor float64 (2,), of <multiply #*>",
            "*ValueError: of its own",
            "*LeakError: 1 tensor and 0 nodes made here*",
            "*  tensor float64 (1,), a constant",
        ]
    )


@pytest.mark.parametrize("seed", ["-1", "x", "1.5"])
def test_a_wrong_seed_is_told(run, capsys, seed):
    run("", "--seed", seed)
    assert f"argument --seed: must be an integer >= 0, not {seed!r}" in capsys.readouterr().err


def test_options_and_markers_are_told(run):
    run("", "--help").stdout.fnmatch_lines(["*--seed=SEED*"])
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.nothing_alive: no tensor*"])


FAILURES = """
import numpy as np
import tinyhyper as th
from tinyhyper.optim import SGD
from tinyhyper.testing import arrays_off, check_gradients, check_hypergradients, nothing_alive

HELD, ONES = [], {"w": np.ones(2), "b": np.ones(1)}

class InsideTheLoop(SGD):
    def step(self, params):
        for name in list(params):
            one = {name: params[name]}
            super().step(one)
            params.update(one)

def cut(x):
    return th.sin(x.detach())

def loss(params):
    return th.sum(params["w"] ** 2) + th.sum(params["b"] ** 2)
"""
CALLS = [
    "check_gradients(cut, [1.0, 2.0])",
    "check_gradients(cut, np.ones(1000))",
    "check_gradients(th.relu, [1.0, 0.0])",
    "check_gradients(lambda x: 2.0 * x * x.detach() ** 2 + x * x * x.detach(), 1.0)",
    "check_gradients(lambda x: None, 1.0)",
    "check_gradients(th.sin, 1)",
    "check_gradients(th.sin, 1.0, order=0)",
    "check_gradients(th.sin, 1.0, seed=-1)",
    "arrays_off(0.0)",
    "check_hypergradients(SGD(optimizer=SGD()), lambda params: loss(params) * np.nan, ONES)",
    "check_hypergradients(InsideTheLoop(0.1, optimizer=SGD(1e-3)), loss, ONES)",
    "with nothing_alive(): HELD.append(th.tensor(1.0))",
]


@pytest.mark.slow
def test_a_failing_check_shows_the_line_that_called_it_and_the_message(pytester):
    pytester.makepyfile(FAILURES + "".join(f"\ndef test_{n}():\n    {call}\n" for n, call in enumerate(CALLS)))
    text = str(pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout)
    failures = re.split(r"\n_{5,} test_.*\n", text.partition("short test summary")[0])[1:]
    for failure, call in zip(failures, CALLS, strict=True):
        assert re.search(rf"\n>    +{re.escape(call)}\nE  +tinyhyper\.(core\.)?errors\.", failure), failure
        assert "tinyhyper/" not in failure and "contextlib" not in failure


# ---- What it stands on.


@pytest.mark.nothing_alive
def test_this_suite_has_the_marker_and_the_fixture(rng):
    x = th.tensor(rng.normal(size=3), requires_grad=True)
    th.sum(th.tanh(x) * x).backward()


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_training_run_leaves_nothing(horizon):
    def run():
        params = {"w": th.tensor([1.0, -2.0], requires_grad=True)}
        optimizer = th.optim.Adam(0.01, optimizer=th.optim.SGD(1e-4), horizon=horizon)
        for _ in range(4):
            th.sum(th.square(params["w"])).backward(create_graph=True)
            optimizer.step(params)

    run()  # what is made once and kept
    with nothing_alive():
        run()


@pytest.mark.parametrize("kind", ["list", "cycle"])
def test_what_is_held_is_a_leak_and_so_is_a_cycle(kind):
    with pytest.raises(th.LeakError, match=r"1 tensor and 2 nodes.*\n  tensor float32 \(3,\), of <exp #\d+>\n  node <"):
        with nothing_alive():
            y = th.exp(th.tensor(np.ones(3, np.float32), requires_grad=True))
            if kind == "list":
                HELD.append(y)
            else:
                loop = [y]
                loop.append(loop)
                del loop
            del y
    HELD.clear()
    gc.collect()


def test_many_leaks_are_shortened():
    with pytest.raises(th.LeakError, match="60 tensors and 0 nodes(?s:.*)and 40 more$"):
        with nothing_alive():
            HELD.extend(th.tensor(1.0) for _ in range(60))
    HELD.clear()


def test_what_lived_before_may_live_on_or_go():
    x = th.tensor([1.0], requires_grad=True)
    with nothing_alive():
        del x

    @nothing_alive()
    def decorated(a, b=1):
        return a + b

    assert decorated(2) == 3


def test_an_error_passes_and_the_collector_is_on_again():
    with pytest.raises(KeyError):
        with nothing_alive():
            HELD.append(th.tensor(1.0))
            raise KeyError
    HELD.clear()
    assert gc.isenabled()


def test_alive_counts():
    gc.collect()  # what earlier tests left must not go in the midst of counting
    with collector_off():
        before = alive(Node), alive(th.Tensor)
        x = th.tensor([1.0], requires_grad=True)
        y = x * 2.0
        assert (alive(Node), alive(th.Tensor)) == (before[0] + 2, before[1] + 2)
        assert alive(Node, th.Tensor) == sum(before) + 4
        del x, y
        assert (alive(Node), alive(th.Tensor)) == before


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_off_within_and_then_as_before(on):
    class Loop:
        def __init__(self):
            self.me = self

    try:
        if not on:
            gc.disable()
        with collector_off():
            assert not gc.isenabled()
            ref = weakref.ref(Loop())
            assert ref() is not None
        assert gc.isenabled() == on
    finally:
        gc.enable()
