"""How much a step size's start matters, and the figures of it, from made-up lines."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import PNG, line

from demos.paper import bounded, panels, sensitivity, towers
from demos.paper.page import CHANCE
from demos.shared.settings import Settings, UsageError
from tinyhyper.optim import from_string

ERRORS = st.lists(st.floats(1, 100), min_size=2, max_size=11)


def curve(errors):
    return dict(zip(panels.decade(-8, 2), errors))


@given(ERRORS, st.floats(1, 100), st.floats(1, 100))
def test_decades_lie_between_none_and_all_and_grow_with_the_limit(errors, limit, other):
    points = curve(errors)
    least, most = sorted((limit, other))
    fewer, more = (sensitivity.decades(points, limit, math.inf) for limit in (least, most))
    assert 0 <= fewer <= more + 1e-9 <= len(errors)
    assert sensitivity.decades(points, max(errors), math.inf) == pytest.approx(len(errors) - 1)
    assert sensitivity.decades(points, min(errors) - 0.1, math.inf) == 0


def test_decades_end_where_the_line_between_two_points_crosses_the_limit():
    assert sensitivity.decades(curve([90, 10, 10, 50]), 20) == pytest.approx(0.125 + 1 + 0.25)


@given(ERRORS, st.floats(0.1, 10))
def test_what_a_tower_tolerates_depends_on_ratios_of_its_own_errors_alone(errors, factor):
    own = sensitivity.tolerated(curve(errors), math.inf)
    scaled = sensitivity.tolerated(curve([factor * error for error in errors]), math.inf)
    assert own == pytest.approx(scaled, abs=1e-6)
    assert own == sensitivity.decades(curve(errors), 2 * min(errors), math.inf)


@given(ERRORS, st.floats(1, 200))
def test_a_limit_that_not_learning_reaches_as_well_gives_no_number(errors, worst):
    points = curve(errors)
    found = sensitivity.tolerated(points, worst)
    assert math.isnan(found) == (2 * min(errors) >= worst)
    assert sensitivity.told(found) == ("" if math.isnan(found) else f"{found:.1f}")


def tower_lines(settings):
    """The higher the tower, the lower its error; one run diverged."""
    lines = [line(run, error=90.0 / (1 + run.options["height"]), perplexity=20.0) for run in towers.plan(settings)]
    lines[0] = line(lines[0].run, error=9.8, perplexity=None, diverged=True)
    times = [1.0 + 0.01 * height for height in towers.HEIGHTS_TIMED]
    return lines + [line(run, heights=towers.HEIGHTS_TIMED, milliseconds=times) for run in towers.alone(settings)]


def test_the_towers_are_those_of_the_paper():
    stacks = {run.options["panel"]: run.stack for run in towers.plan(Settings()) if run.options["height"] == 3}
    assert stacks["4a"] == "sgd(100)/sgd(100)/sgd(100)/sgd(100)"
    assert stacks["4b"] == "adam(100)/adam(100)/adam(100)/adam(100)"
    assert stacks["4c"] == "sgd(1)/sgd(0.001)/sgd(0.0001)/sgd(1e-08)"
    assert panels.graded(1e-4, 3) == [1e-2, 1e-4, 1e-6]
    for run in [*towers.plan(Settings()), *bounded.plan(Settings())]:
        tower = from_string(run.stack)
        assert len(tower.levels) == 1 + run.options["height"]
        assert math.isclose(tower.hyperparameters["alpha"], run.options["alpha"])


def test_quick_has_the_perceptrons_and_only_chooses():
    assert {run.options["panel"] for run in towers.plan(Settings(quick=True))} == set(panels.QUICK)
    assert {run.options["panel"] for run in towers.plan(Settings(quick=True, only=("4d",)))} == {"4d"}
    assert towers.alone(Settings(only=("4a",))) == [] and towers.plan(Settings(only=("4f",))) == []
    with pytest.raises(UsageError, match="--only 4z: there are 4a, 4b, 4c, 4d, 4f"):
        towers.plan(Settings(only=("4z",)))


def test_the_table_of_towers_shows_errors_beside_published_ones_and_the_cost_of_a_level():
    lines = tower_lines(Settings(only=("4a", "4f")))
    text = towers.markdown(lines)
    rows = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in text.splitlines() if row.startswith("| ")}
    lower = ["45.0 (79)", "30.0 (13)", "22.5 (10)", "18.0", "15.0"]
    assert [cell.strip() for cell in rows["1e-08"]] == [f"{CHANCE:.1f} (88)", *lower]
    assert [cell.strip() for cell in rows["decades, own best"]] == ["", "", *["10.0"] * 4]
    assert [float(cell) for cell in rows["decades, all"]] == [0, 0, 10, 10, 10, 10]
    assert "A level above the first adds 0.99 % of height 1's step; published 1 to 2 %." in text
    assert towers.pictures(lines)["towers.png"].startswith(PNG)


@pytest.mark.parametrize("only", ["4b", "4c", "4d", "4f"])
def test_every_part_of_the_figure_can_be_made_alone(only):
    lines = tower_lines(Settings(only=(only,))) if only != "4f" else tower_lines(Settings(only=("4a", "4f")))[-1:]
    assert only in towers.markdown(lines) and towers.pictures(lines)["towers.png"].startswith(PNG)


def bounded_lines():
    return [
        line(
            run,
            error=5.0 if run.options["coordinates"] == "log" or run.options["alpha"] > 1e-3 else 80.0,
            lowest_alpha=-0.25 if run.options["coordinates"] == "linear" and run.options["alpha"] == 1 else 1e-9,
        )
        for run in bounded.plan(Settings())
    ]


def test_bounded_tells_how_much_wider_and_whether_alpha_was_negative():
    lines = bounded_lines()
    text = bounded.markdown(lines)
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| ")]
    found = {(row[0], row[1]): row[2:] for row in rows if len(row) == 7}
    linear, log = found["linear, as in Figure 4a", "3"], found["log, SGD(1) above", "3"]
    assert linear == ["5.0", "4.1", "", "1 of 11", "-0.25"] and log == ["5.0", "10.0", "+5.9", "0 of 11", ""]
    assert bounded.pictures(lines)["bounded.png"].startswith(PNG)
    assert bounded.pictures(lines[:3])["bounded.png"].startswith(PNG) and bounded.markdown(lines[:3])
