"""Learning to learn a step size: replayed sweeps beside `hyper` and a closed form, and the figures to be shown."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neighbours import made_once

import tinyhyper as th
from demos.paper import Place, meta, tuned, unrolled
from demos.paper.run import plain
from demos.shared.settings import Settings
from tinyhyper import hyper

SETTINGS = Settings()


@settings(max_examples=8)
@given(st.sampled_from([*unrolled.PROBLEMS]), st.integers(0, 100), st.floats(0.002, 0.1), st.integers(1, 130))
def test_derivatives_are_those_of_the_closed_form_and_scaled_ones_in_float32_too(name, seed, eta, steps):
    problem = unrolled.problem(name, seed)
    known = unrolled.exact(problem, eta, steps)
    assert unrolled.Way("log bp64", problem)(steps, eta) == pytest.approx(known.log, rel=1e-9)
    raw = unrolled.Way("raw bp64", problem)(steps, eta)
    assert np.sign(raw) == known.sign and np.log(abs(raw)) == pytest.approx(known.size, rel=1e-9, abs=1e-9)
    rounded = unrolled.exact(problem.to(unrolled.FLOAT32), float(np.float32(eta)), steps)
    largest = 2 * unrolled.ends(problem.h)[1]  # the derivative's size; near the best eta it is 0
    assert unrolled.Way("log scaled32", problem)(steps, eta) == pytest.approx(rounded.log, rel=1e-4, abs=1e-5 * largest)


@pytest.mark.parametrize("steps", [7, 45])
def test_derivatives_are_those_of_hyper(steps):
    problem = unrolled.problem("square", 0).to(unrolled.FLOAT32)
    training = hyper.Training(
        lambda params: unrolled.loss(problem.h, params["w"]),
        {"w": problem.start},
        th.optim.SGD(0.1, horizon=None),
        lambda params: unrolled.log(problem.h, params["w"], steps),
        steps=steps,
    )
    found = hyper.gradient(training, scaled=True, homogeneous=0).gradients["alpha"]
    assert unrolled.Way("log scaled32", problem)(steps, 0.1) == pytest.approx(found, rel=1e-5)


@given(st.integers(1, 500), st.integers(1, 500))
def test_the_first_number_is_found(first, most):
    assert unrolled.least(lambda n: n >= first, most) == (first if first <= most else None)


def test_a_task_beyond_all_bounds_is_frozen():
    (tasks,) = tuned.drawn(np.random.default_rng(0), 3, (50,), 1.0)
    w = tuned.descended(tasks, np.array([0.01, 1.7]), [5, 40], 1.0)
    np.testing.assert_allclose(np.linalg.norm(w[40], axis=1)[:, 1], tuned.FAR)
    own = np.zeros_like(w[5][:, :, :1])
    for _ in range(5):
        own = own - 0.01 * (tasks.h @ own - tasks.b)
    np.testing.assert_allclose(w[5][:, :, :1], own, rtol=1e-9, atol=1e-12)


def test_a_quick_run_makes_the_page_and_the_picture_and_is_not_made_again(tmp_path, capsys):
    _, lines = made_once(meta, tmp_path, capsys, "--quick")
    for count in range(len(lines)):
        assert meta.markdown(lines[:count])
    rows = sorted(meta.markdown(lines).splitlines())
    assert sorted(meta.markdown(lines[::-1]).splitlines()) == rows  # each cell in its column
    assert meta.pictures(lines[:1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A function that gives the result of the one run with these options; each is made once."""
    results = {}

    def perform(**options):
        (run,) = (run for run in meta.plan(SETTINGS) if options.items() <= run.options.items())
        kind = unrolled if "part" in options else tuned
        if run.key not in results:
            results[run.key] = plain(kind.perform(run, Place(tmp_path_factory.mktemp("meta"))))
        return results[run.key]

    return perform


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["square", "wide"])
def test_scaled_adjoints_in_float32_are_right_where_floats_end(found, problem):
    result = found(part="table", problem=problem)
    np.testing.assert_allclose(result["log scaled32"], result["log exact32"], rtol=1e-4)
    if problem == "square":
        at = dict(zip(meta.LENGTHS, zip(result["log bp32"], result["log bp64"], result["log scaled32"])))
        assert at[40][0] == 0 and at[80][0] is None and at[320][1] == 0 and at[640][1] is None
        assert at[640][2] == pytest.approx(23.805, rel=1e-4) and at[2560][2] == pytest.approx(23.805, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("length", [20, 80])
def test_scaled_meta_training_finds_the_best_step_size_and_plain_float32_does_not(found, length):
    result = found(part="training", length=length, way="log scaled32")
    assert result["etas"][-1] == pytest.approx(result["best"], rel=1e-4)
    plainly = found(part="training", length=length, way="log bp32")["etas"]
    assert set(plainly) == ({0.1} if length == 20 else {0.1, None})


@pytest.mark.slow
def test_training_and_validation_loss_choose_other_step_sizes_unless_there_are_many_samples(found):
    few = found(sigma=1, samples=50, tasks=meta.TASKS)["found"][0]["population"]
    assert few == [pytest.approx(1.58, abs=0.05), pytest.approx(1.34, abs=0.03)]
    many = found(sigma=1, samples=3000)["found"][0]["population"]
    assert many[0] == pytest.approx(many[1], abs=0.005)
    at_d = found(sigma=1, samples=tuned.DIMENSIONS)["found"][0]["population"]
    assert at_d[0] - at_d[1] > few[0] - few[1] > many[0] - many[1]
    for steps, one in zip(meta.OVER_T, found(samples=50, tasks=meta.MANY)["found"]):
        assert 0.2 <= one["eta"][0] <= 0.4 and 0.1 <= steps * one["eta"][1] <= 0.25


def test_a_quick_plan_is_a_part_of_the_whole_one():
    quick, whole = meta.plan(replace(SETTINGS, quick=True)), meta.plan(SETTINGS)
    assert 0 < len(quick) < len(whole)
