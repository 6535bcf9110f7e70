"""Noise on the inputs: the moments of the error, hypergradients through all steps, and the figures to be shown."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import whole_and_joined
from neighbours import made_once

import tinyhyper as th
from demos.paper import Place, augment, augmented
from demos.paper.run import plain
from demos.shared.settings import Settings

SETTINGS = Settings()


def planned(epochs=None, **options):
    """The run of the plan that has these options."""
    (run,) = (run for run in augment.plan(replace(SETTINGS, epochs=epochs)) if options.items() <= run.options.items())
    return run


def of(one, length, epochs=None):
    return planned(epochs, name=one.name, goal=one.goal, length=length)


def whole_matrices(etas, vs, rng):
    """E e and E e e' after all steps, in a basis of w that is drawn."""
    basis, n, count = np.linalg.qr(rng.standard_normal((12, 12)))[0], 12, augmented.N
    k = basis @ np.diag(augmented.K) @ basis.T
    least = basis @ augmented.MINIMUM
    m = basis @ (augmented.START - augmented.MINIMUM)
    s = np.outer(m, m)
    for eta, v in zip(etas, vs):
        a, c = np.eye(n) - 2 * eta / count * (k + v * count * np.eye(n)), -2 * eta * v * least
        weights = s + np.outer(m, least) + np.outer(least, m) + np.outer(least, least)  # E w w'
        mixed = s + np.outer(m, least)  # E e w'
        spread = v * (np.trace(weights) * k + np.trace(k @ s) * np.eye(n) + k @ mixed + mixed.T @ k)
        spread += count * v**2 * (np.trace(weights) * np.eye(n) + weights)
        am = a @ m
        s = a @ s @ a.T + np.outer(am, c) + np.outer(c, am) + np.outer(c, c) + 4 * eta**2 / count**2 * spread
        m = am + c
    return m, s, basis


@given(st.integers(0, 1000), st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 3)), min_size=1, max_size=8))
@settings(max_examples=30)
def test_the_moments_are_those_of_whole_matrices_in_any_basis(seed, numbers):
    mean, square = augmented.end(*zip(*numbers))
    m, s, basis = whole_matrices(*zip(*numbers), np.random.default_rng(seed))
    np.testing.assert_allclose(basis @ mean, m, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(square, np.diag(basis.T @ s @ basis), rtol=1e-9, atol=1e-9)


powers = st.tuples(st.floats(-4, -2), st.floats(-0.5, 1.5), st.floats(-3, 1), st.floats(-0.5, 1.5))


@given(powers, st.sampled_from([*augmented.GOALS]), st.integers(1, 12))
@settings(max_examples=30)
def test_the_engines_gradient_through_all_steps_is_that_of_complex_steps(numbers, goal, length):
    at = dict(zip(augmented.POWERS, map(np.array, numbers)))
    value = partial(augmented.objective, steps=length, goal=goal)
    leaves = {name: th.tensor(number, requires_grad=True) for name, number in at.items()}
    found = np.array([g.item() for g in th.gradients(value(leaves), [*leaves.values()])])
    right = np.array([augmented.referee(value, at, name) for name in at])
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-10 * (1 + np.abs(right).max()))


def test_an_interrupted_learning_goes_on_to_the_same_numbers_but_for_rounding(tmp_path):
    run = of(augment.ALL, augment.LENGTHS[0], epochs=5)
    run = replace(run, options={**run.options, "length": 4})
    whole, joined = whole_and_joined(partial(augmented.Learning, run), run, tmp_path, 3)
    assert joined["steps"] == whole["steps"] == 5
    for name in ("values", "eta", "v", "validation", "training"):  # a round that is not replayed is rounded otherwise
        assert joined[name] == pytest.approx(whole[name], rel=1e-9)


def test_a_few_steps_make_the_page_and_the_picture_and_are_not_made_again(tmp_path, capsys, monkeypatch):
    for name, value in {"MARKS": (2, 3, 30, 300), "GROUPS": 2, "MANY": 100}.items():
        monkeypatch.setattr(augmented, name, value)
    for name, value in {"MARKS": (2, 3, 30, 300), "STEPS": 300, "SAMPLED": 2, "LENGTHS": (2, 3)}.items():
        monkeypatch.setattr(augment, name, value)
    printed, lines = made_once(augment, tmp_path, capsys)
    tables = [row for row in printed.splitlines() if row.startswith("| ")]
    bodies = len(augment.LAWS) + 4 + 2 * (1 + len(augment.LEARNED)) + len(augment.CLAIMS)
    assert len(tables) == bodies + 2 * 5  # a header and a rule for each table
    for count in range(1, len(lines)):
        assert augment.markdown(lines[:count]) and (count % 8 or augment.pictures(lines[:count]))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A function that gives the result of a run; each is made once."""
    results = {}

    def perform(run):
        if run.key not in results:
            results[run.key] = plain(augmented.perform(run, Place(tmp_path_factory.mktemp("augment"))))
        return results[run.key]

    return perform


def law(one):
    return planned(part="rates", name=one.name)


@pytest.mark.slow
def test_without_noise_and_with_noise_that_falls_too_fast_the_distance_stays(found):
    assert [augment.at(found(law(augment.SILENT)), t) for t in augmented.MARKS] == pytest.approx([1.983] * 4, rel=1e-3)
    assert min(found(law(augment.TOO_FAST))["error"]) > 1


@pytest.mark.slow
def test_the_theorys_exponents_have_its_rate_and_others_are_faster_than_the_bound(found):
    a, x, b, y = augment.BEST.schedule
    assert (x, y) == (2 / 3, 1 / 3) and a * b >= 0.3 - 1e-12
    assert augment.slope(found(law(augment.BEST))) == pytest.approx(0.33, abs=0.03)
    assert augment.slope(found(law(augment.STEEPER))) > float(augment.STEEPER.bound) + 0.1 == 0.35


@pytest.mark.slow
def test_samples_agree_with_the_moments_and_so_do_their_hypergradients(found):
    result = found(planned(part="sampled"))
    assert result["samples"] == pytest.approx(result["exact"], rel=0.02)
    for right, mean, doubt in zip(result["gradients"], result["sampled"], result["uncertain"], strict=True):
        assert abs(right - mean) < 4 * doubt < 0.5 * max(map(abs, result["gradients"]))
    assert result["off"] < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("length", augment.LENGTHS)
def test_a_learned_schedule_is_better_than_the_theorys_and_by_the_training_loss_useless(found, length):
    rounds = augment.QUICK_ROUNDS
    tuned, best, blind = (
        found(of(one, length, rounds)) for one in (augment.TUNED, augment.ALL, augment.ALL_BY_TRAINING)
    )
    assert best["validation"] < 0.6 * tuned["validation"] and blind["validation"] > 1.9
    assert blind["v"][-1] < 1e-3 and max(one["off"] for one in (tuned, best, blind)) < 1e-8
