"""FedExP: what is promised of its step size, the clients' rounds, and the figures that the experiment must show."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interrupted import whole_and_joined
from neighbours import made_once

from demos.paper import Place, federated, fedexp
from demos.paper.run import plain
from demos.shared.settings import Settings

SETTINGS = Settings()


def planned(method, dimensions, rounds, **settings):
    (run,) = (
        run
        for run in fedexp.plan(replace(SETTINGS, epochs=rounds, **settings))
        if (run.options["name"], run.options["dimensions"]) == (method.name, dimensions)
    )
    return run


def promise(deltas, eta):
    return eta * np.sum(deltas**2) / len(deltas) - eta**2 * np.sum(deltas.mean(0) ** 2)


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(0, 4))
def test_the_step_size_makes_the_promise_largest_and_twice_it_promises_nothing(seed, eta, common):
    rng = np.random.default_rng(seed)
    deltas = rng.standard_normal((federated.CLIENTS, 5, 1)) + common
    best = federated.extrapolated(deltas, 0.0) / 2
    assert federated.fedexp(deltas, 0.0) == max(1.0, best) and 2 * best >= 1 - 1e-12
    assert promise(deltas, eta) <= promise(deltas, best) * (1 + 1e-12)
    assert promise(deltas, 2 * best) == pytest.approx(0, abs=1e-12 * promise(deltas, best))
    assert federated.fedexp(deltas, 1e-3) <= federated.fedexp(deltas, 0.0)


@given(st.integers(0, 1000))
def test_a_round_is_gradient_descent_of_every_client_from_the_same_weights(seed):
    problem, rng = federated.problem(0, 7), np.random.default_rng(seed)
    w, correction = rng.standard_normal((7, 1)), rng.standard_normal((federated.CLIENTS, 7, 1))
    sent = problem.clients()(w, correction)
    for a, b, c, delta in zip(problem.a, problem.b, correction, sent):
        own = w
        for _ in range(federated.LOCAL):
            own = own - federated.ETA * (a.T @ (a @ own - b) + c)
        np.testing.assert_allclose(w - delta, own, rtol=1e-9, atol=1e-12)


def test_the_problem_has_the_law_of_the_authors():
    problem = federated.problem(0, fedexp.SHARED)
    np.testing.assert_allclose(np.linalg.norm(problem.a, axis=2), 1)
    np.testing.assert_allclose(np.linalg.norm(problem.b, axis=1), 1)
    largest = max(np.linalg.eigvalsh(a @ a.T)[-1] for a in problem.a)
    assert federated.ETA < 2 / largest and problem.objective(problem.solution) < 1e-20
    assert problem.objective(np.zeros((fedexp.SHARED, 1))) == pytest.approx(1)


@pytest.mark.parametrize("method", [fedexp.BEST, fedexp.SCAFFOLD, fedexp.above("SGD(10)")], ids=lambda m: m.name)
def test_an_interrupted_run_goes_on_to_the_same_numbers(method, tmp_path):
    run = planned(method, fedexp.APART, 5)
    begin = partial(federated.Federation, run, federated.problem(0, fedexp.APART))
    whole, joined = whole_and_joined(begin, run, tmp_path, 3)
    assert whole == joined


def test_a_few_rounds_make_the_page_and_the_picture_and_are_not_made_again(tmp_path, capsys):
    printed, lines = made_once(fedexp, tmp_path, capsys)
    tables = [row for row in printed.splitlines() if row.startswith("| ")]
    assert len(tables) == sum(map(len, fedexp.METHODS.values())) + len(fedexp.CLAIMS) + 6
    for count in range(1, len(lines)):
        assert fedexp.markdown(lines[:count]) and (count % 8 or fedexp.pictures(lines[:count]))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A function that gives the result of a method; each is run once."""
    results = {}

    def perform(method, dimensions=fedexp.SHARED, rounds=fedexp.ROUNDS):
        key = method.name, dimensions
        if key not in results:
            run = planned(method, dimensions, rounds)
            results[key] = plain(federated.perform(run, Place(tmp_path_factory.mktemp("fedexp"))))
        return results[key]

    return perform


@pytest.mark.slow
def test_fedexp_is_fast_and_the_distance_falls_as_promised_in_every_round(found):
    result = found(fedexp.BEST)
    first, second = (fedexp.rounds_to(result["F"], goal) for goal in (1e-3, 1e-6))
    assert first <= 30 and second <= 80
    assert result["fell"] == result["kept"] == fedexp.ROUNDS
    assert result["clients"] < 1 and 2 < result["best"][0] < result["best"][1] < 4


@pytest.mark.slow
def test_averaging_is_slow_and_an_eps_too_large_helps_little(found):
    assert found(fedexp.PLAINEST)["F"][-1] > 0.02
    (large,) = (m for m in fedexp.METHODS[fedexp.SHARED] if m.options.get("epsilon") == 1e-3)
    assert found(large)["F"][-1] > 1e-3 > found(fedexp.BEST)["F"][99]


@pytest.mark.slow
def test_without_a_common_solution_fedexp_fails_and_scaffold_does_not(found):
    result = found(fedexp.BEST, fedexp.APART)
    assert max(result["eta"]) > 1000 and max(result["F"]) > 10 * result["least"]
    assert found(fedexp.SCAFFOLD, fedexp.APART)["F"][-1] == pytest.approx(result["least"], rel=1e-3)
    assert found(fedexp.PLAINEST, fedexp.APART)["F"][-1] > 1.1 * result["least"]
    (some,) = (m for m in fedexp.METHODS[fedexp.APART] if m.options.get("epsilon") == 1e-2)
    oscillating = found(some, fedexp.APART)
    assert oscillating["mean of two"] < 0.95 * oscillating["F"][-1]


@pytest.mark.slow
def test_a_tower_that_starts_at_1_learns_and_is_slower_than_fedexp_and_another_dies(found):
    ours = fedexp.rounds_to(found(fedexp.BEST)["F"], 1e-3)
    tower = found(fedexp.above("SGD(10)"))
    assert tower["eta"][0] == 1 and ours < fedexp.rounds_to(tower["F"], 1e-3) <= 80
    dead = found(fedexp.DEAD)
    assert max(dead["eta"]) > 50 and dead["eta"][-1] < 1e-6 and dead["F"][-1] > 0.5
