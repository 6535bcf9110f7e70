"""Private backtracking: sensitivities, the accountant, AboveThreshold, and what the experiment must show."""

import math
from copy import copy
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import PNG
from neighbours import made_once

from demos.paper import Run, accountant, backtracking, private
from demos.shared.settings import Settings

SCALES = st.floats(0.05, 3)
NEAR = [private.constant(gamma) for gamma in private.GAMMAS if 50 <= gamma <= 100]  # where the best constant step is


def found(method, epsilon, steps, draws=private.DRAWS, **more):
    options = {"name": method.name, "epsilon": epsilon, "draws": draws, **method.options, **more}
    return backtracking.perform(Run("private", backtracking.__name__, method.stack, 0, steps, options), None)


@pytest.fixture(scope="module")
def level():
    """A function that gives the mean excess of a method; each is run once."""
    means = {}

    def level(method, epsilon, steps):
        key = method.name, method.options.get("bound"), epsilon, steps
        if key not in means:
            means[key] = fmean(found(method, epsilon, steps)["excess"])
        return means[key]

    return level


@given(st.integers(0, 1000), st.floats(0, 1))
def test_one_example_changes_the_sum_of_gradients_and_every_query_by_at_most_1(seed, norm):
    rng = np.random.default_rng(seed)
    problem = copy(backtracking.problem(0))
    problem.rows = problem.rows[:50]
    row, w, g = rng.standard_normal((3, backtracking.FEATURES))
    neighbour = copy(problem)
    neighbour.rows = np.vstack([problem.rows, norm * row / np.linalg.norm(row)])
    gradients = [-(p.rows.T @ (1 / (1 + np.exp(p.rows @ w)))) for p in (problem, neighbour)]
    assert np.linalg.norm(gradients[1] - gradients[0]) <= 1
    gammas = 64 / 2.0 ** np.arange(6)
    change = neighbour.queries(w, g, gammas) - problem.queries(w, g, gammas)
    assert np.abs(change).max() <= 1 + 1e-9


def test_the_gradient_is_that_of_the_loss_and_vanishes_at_the_least():
    problem, w = backtracking.problem(0), np.random.default_rng(0).standard_normal(backtracking.FEATURES)
    expected = -(problem.rows.T @ (1 / (1 + np.exp(problem.rows @ w))))
    np.testing.assert_allclose(problem.gradient(w), expected, rtol=1e-9, atol=1e-9)
    assert np.linalg.norm(problem.gradient(problem.minimum())) < 1e-6
    assert np.linalg.norm(problem.rows, axis=1).max() <= 1 + 1e-12


@given(st.floats(0.2, 3), st.lists(st.one_of(SCALES.map(accountant.pure), st.floats(2, 60).map(accountant.gaussian))))
def test_whatever_is_asked_no_more_than_the_stated_epsilon_is_spent(stated, asked):
    ledger = accountant.Accountant(stated)
    for curve in asked:
        before = ledger.curve
        after = before + curve if ledger.spend(curve) else before
        assert np.array_equal(ledger.curve, after)
    assert accountant.epsilon(ledger.curve) <= stated * (1 + 1e-12) or not ledger.curve.any()


@given(st.floats(0.5, 50), st.floats(0.01, 0.99))
def test_a_sample_costs_less_than_the_whole(sigma, rate):
    assert (accountant.gaussian(sigma, rate) <= accountant.gaussian(sigma) * (1 + 1e-9)).all()
    assert (accountant.pure(1 / sigma, rate) <= accountant.pure(1 / sigma)).all()
    second = math.log1p(rate**2 * math.expm1(1 / sigma**2))
    assert accountant.gaussian(sigma, rate)[0] == pytest.approx(second, rel=1e-6, abs=1e-12)
    np.testing.assert_allclose(accountant.gaussian(sigma, 1 - 1e-12), accountant.gaussian(sigma), rtol=1e-6)


@given(st.floats(0.05, 4), st.integers(1, 10**7))
def test_above_threshold_costs_epsilon_however_many_queries_it_refuses(epsilon, count):
    assert accountant.loss(epsilon, count, 2.0, 4.0) <= epsilon * (1 + 1e-4)


@pytest.mark.parametrize("queries, chosen", [((-9, 9, 99), 1), ((9, -9, 9), 0), ((-9, -9, -9), None)])
def test_above_threshold_without_much_noise_takes_the_first_query_above_it(queries, chosen):
    assert accountant.above_threshold(100.0, np.array(queries), np.random.default_rng(0)) == chosen


def test_above_threshold_has_noise_on_the_query_and_on_the_threshold():
    rng = np.random.default_rng(0)
    taken = [accountant.above_threshold(1.0, np.array([3.0]), rng) == 0 for _ in range(20_000)]
    edges = np.linspace(-60, 60, 12_001)
    density = np.exp(-np.abs(edges) / accountant.THRESHOLD) / (2 * accountant.THRESHOLD)
    chance = np.exp(accountant.survival(edges - 3.0, accountant.QUERY))
    assert np.mean(taken) == pytest.approx(np.sum(density * chance) * 0.01, abs=0.015)


def test_the_accountant_agrees_with_closed_forms_and_broken_variants_are_found_out():
    result = accountant.perform(Run("private", accountant.__name__, "none", 0, private.CHECKED), None)
    epsilons = [ours for ours, _ in result["known"].values()]
    assert epsilons == pytest.approx([0.6886, 3.64, 7.84, 0.7397, 0.358], rel=2e-3)
    assert all(exact is None or 0 <= ours - exact < 0.01 * exact for ours, exact in result["known"].values())
    right, less, none = result["ratios"].values()
    assert right[-1] == pytest.approx(1, abs=1e-3) and less[-1] == pytest.approx(1.5, abs=1e-3)
    assert none[-1] > 1e6


@given(st.sampled_from(private.TOWERS), st.sampled_from([0.25, 1.0]), st.integers(2, 6))
def test_a_tower_spends_to_the_last_bit_what_a_constant_step_spends(tower, epsilon, steps):
    tuned, plain = (found(method, epsilon, steps, draws=1) for method in (tower, private.constant(10)))
    assert tuned["spent"] == plain["spent"] <= epsilon


def test_the_cosine_that_a_tower_descends_moves_log_alpha_by_kappa_times_the_cosine():
    result = found(private.tower(1, "SGD(0.2)", cosine=True), None, 2)
    moved = math.log(result["by step"]["sizes"][1] / result["by step"]["sizes"][0])
    assert moved == pytest.approx(0.2 * result["cosine"], abs=1e-3)  # of rounded sizes


def test_a_few_steps_make_the_page_and_the_picture_and_are_not_made_again(tmp_path, capsys):
    printed, lines = made_once(private, tmp_path, capsys, "--quick")
    assert "So it costs 0 beyond a constant step." in printed
    assert all(line.result["spent"] <= line.run.options["epsilon"] for line in lines if line.run.options.get("epsilon"))
    for count in range(1, len(lines), 7):
        assert private.markdown(lines[:count]) and private.markdown(lines[-count:])
    assert private.pictures(lines[:1])["private.png"].startswith(PNG)


def test_the_plan_has_every_method_in_every_setup():
    runs = private.plan(Settings())
    own = len(private.GRID) + len(private.SEARCHES) + len(private.TOWERS)
    assert len(runs) == len({run.key for run in runs}) == len(private.SETUPS) * own + 9 + 1
    assert len(private.plan(replace(Settings(), quick=True))) == len(runs)


@pytest.mark.slow
def test_with_few_steps_the_search_is_near_the_best_constant_step_and_with_many_behind_it(level):
    for steps, near in ((10, True), (50, False)):
        least = min(level(method, 1.0, steps) for method in NEAR)
        for search in private.SEARCHES:
            assert (level(search, 1.0, steps) < 1.2 * least) == near
            if near:
                assert level(search, 1.0, steps) < min(level(private.constant(g), 1.0, steps) for g in (50, 100))


@pytest.mark.slow
def test_a_tower_is_near_the_best_constant_step_from_a_large_one_and_slow_from_1(level):
    least = min(level(method, 1.0, 50) for method in NEAR)
    slow, _, near, _ = (level(tower, 1.0, 50) for tower in private.TOWERS)
    assert near < 1.1 * least and slow > 1.3 * least
    assert level(private.TOWERS[0], 1.0, 10) > 5 * level(private.TOWERS[2], 1.0, 10)


@pytest.mark.slow
def test_measuring_again_helps_where_too_many_steps_were_planned_and_costs_elsewhere(level):
    for epsilon, steps, helps in ((0.5, 80, True), (1.0, 80, True), (1.0, 40, False)):
        never, rarely = (level(private.search(128.0, bound=bound), epsilon, steps) for bound in (-1.0, -0.5))
        assert (rarely < never) == helps
