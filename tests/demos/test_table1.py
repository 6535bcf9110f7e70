"""Tables of Table 1 and of the walls, from made-up lines."""

from dataclasses import replace

import pytest
from made_up import PNG, line

from demos.paper import Line, table1, walls
from demos.paper.page import CHANCE
from demos.paper.record import busy, duration, provenance
from demos.shared.settings import Settings


def level(alpha=0.01, **others):
    return {"alpha": alpha, "beta1": 0.9, "beta2": 0.999, "gamma": 0.99, "mu": 0.0, **others}


def made_up(shift=0.1):
    """A line for every run, each error that much above the published one, and its re-run 0.5 above."""
    lines = []
    published = {row.stack: row for row in table1.ROWS}
    for run in table1.plan(Settings()):
        row = published[run.stack]
        error = row.error[0] + shift + (run.seed - 1) / 100
        lines.append(line(run, error=error, levels=[level(0.02 + run.seed / 100)]))
        lines += [line(again, error=row.again[0] + 0.5, levels=[level()]) for again in table1.follow(*lines[-1][:2])]
    return lines


def test_the_plan_is_18_stacks_of_3_seeds_with_14_re_runs_and_is_readable_by_the_optimizers():
    runs = table1.plan(Settings())
    assert len(runs) == 54 and {run.seed for run in runs} == {0, 1, 2}
    again = [run for line in made_up() for run in table1.follow(line.run, line.result)]
    assert len(again) == 42 == sum(bool(m.row.again) for m in table1.measured(made_up())) * 3
    assert sum(run.steps for run in [*runs, *again]) == 359_550
    quick = table1.plan(Settings(quick=True, seed=5))
    assert len(quick) == 18 and {run.seed for run in quick} == {5}
    assert {run.steps for run in table1.plan(Settings(epochs=2, seeds=1))} == {470}


def test_a_re_run_is_the_plain_optimizer_with_the_exact_values_of_its_seed():
    (run, *_) = (run for run in table1.plan(Settings()) if run.stack == "adam/sgd(1e-5)")
    (again,) = table1.follow(run, {"levels": [level(1 / 3, beta1=0.1 + 0.2), {}]})
    assert again.stack == "adam(0.3333333333333333, 0.30000000000000004, 0.999)"
    assert (again.seed, again.steps) == (run.seed, run.steps)
    assert table1.follow(again, {"levels": [level()]}) == []
    (fewer,) = table1.follow(replace(run, options={"images": 100}), {"levels": [level(), {}]})
    assert fewer.options == {"images": 100, table1.OF: run.stack}
    assert table1.follow(run, {"levels": [level(None)]}) == []


def test_the_table_has_a_row_for_each_stack_and_marks_what_is_far_off():
    text = table1.markdown(made_up())
    rows = [row for row in text.splitlines() if row.startswith("| ")][2:]
    assert len(rows) == 18 and len({len(row) for row in rows}) == 1
    error, learned, again = ("4.81 ± 0.10", "4.91 ± 0.01", "+0.10"), (".0769", ".0300"), ("5.44 ± 0.10", "5.94 ± 0.00")
    cells = [cell.strip() for cell in rows[1].split("|")[1:-1]]
    assert cells == ["SGD / SGD", *error, *learned, *again, "+0.50 \u25cf"]
    assert "Besides re-runs it marks: none." in text and "In 2 of 14 stacks" in text
    assert "re-runs it marks: SGD, SGD / SGD," in table1.markdown(made_up(0.45))


@pytest.mark.parametrize("count, rows", [(1, 1), (7, 2), (96, 18)])
def test_some_of_the_lines_make_a_table_and_a_picture_too(count, rows):
    lines = made_up()[:count]
    assert table1.markdown(lines).count("\n| ") == 2 + rows
    assert table1.pictures(lines)["table1.png"].startswith(PNG)


def test_provenance_says_what_made_the_lines():
    lines = made_up()[:2]
    text = provenance([lines[0], line(lines[1].run, ended=11.0)])
    words = ("`python -m demos paper table1`", "Seeds: 0, 1.", "a processor, cores: 2", "threads a run: 1")
    assert all(word in text for word in (*words, "Runs: 2, in 5 s (8 s one after the other)."))
    assert provenance([]) == "No run is finished yet."


def test_provenance_says_how_long_the_runs_were_and_that_a_quick_part_is_none_of_the_papers():
    lines = made_up()
    assert "Steps a run: 1,175, 7,050." in provenance(lines) and "quick part" not in provenance(lines)
    lines[-1].record["command"] += " --quick"
    assert provenance(lines).startswith("**A quick part")


def test_time_in_which_nothing_ran_does_not_count():
    run = made_up()[0].run
    assert busy([line(run, 10, 4), line(run, 12, 5), line(run, 30, 2), line(run, 8, 1)]) == 8


@pytest.mark.parametrize("seconds, text", [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


# Walls


def wall_lines(broken_from):
    return [
        line(run, error=95.0 if (broken := run.options["kappa"] >= broken_from[run.stack.partition("(")[0]]) else 5.0,
             levels=[], diverged=broken and run.seed == 0)
        for run in walls.plan(Settings())
    ]  # fmt: skip


def test_the_walls_are_where_runs_begin_to_diverge():
    lines = wall_lines({"sgd/sgd": 75, "adam/sgd": 1e-6, "adagrad/sgd": 99, "rmsprop/sgd": 5e-3})
    text = walls.markdown(lines)
    assert "SGD / SGD: between 50 and 75; in the reproduction: between 50 and 75." in text
    assert "Adam / SGD: below what was tried; in the reproduction: between 0.001 and 0.005." in text
    assert "AdaGrad / SGD: beyond what was tried" in text and "RMSProp / SGD: between 0.001 and 0.005" in text
    assert "| 93.33 ± 2.89" in text and "| 38 " in text  # of 95, 95 and, where the loss was no number, chance
    assert CHANCE == 90
    for count in (1, 9, len(lines)):
        assert walls.pictures(lines[:count])["walls.png"].startswith(PNG) and walls.markdown(lines[:count])


def test_most_seeds_say_where_a_wall_is():
    errors = {1.0: [5.0, 5.0, 5.0], 10.0: [90.0, 6.0, 7.0], 50.0: [6.0, 90.0, 90.0]}
    assert walls.between(walls.medians(errors)) == "between 10 and 50"


def test_a_wall_is_past_the_last_kappa_that_works():
    assert walls.between({1: 5, 2: 90, 3: 6, 4: 30}) == "between 3 and 4"


def test_a_line_of_before_the_move_is_that_of_the_same_run():
    new = line(table1.plan(Settings())[0])
    old = new.text().replace("demos.paper.", "demos.").replace("demos paper ", "demos ")
    assert "paper" not in old
    read = Line.read(old)
    assert read.run.key == new.run.key and read.record["command"] == "python -m demos paper table1"
