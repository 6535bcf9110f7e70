"""python -m demos bench: its arithmetic, its tables, and a run in small. Times are never compared here."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyhyper as th
from demos.__main__ import main as demos_main
from demos.bench import (
    agreement,
    command,
    goals,
    networks,
    page,
    plan,
    problems,
    startup,
    statistics,
    tables,
    turns,
    worker,
)
from demos.bench.elements import Shape, chain4, chain8, matrices
from demos.bench.peers import Result, by_hand
from demos.bench.peers import numpy as numpy_peer
from demos.bench.peers import tinyhyper as our_peer
from demos.bench.run import Run
from demos.shared.settings import Settings

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = problems.Problem(layers=(6, 5, 3), batch=7)
OURS, THEIRS = turns.Row("tinyhyper", "tinyhyper"), turns.Row("NumPy by hand", "numpy")
GONE = turns.Row("no such peer", "no_such_peer")
TOWERS = {"/".join(level.rule for level in w.tower): w.tower for w in problems.HYPERSTEPS.values()}
seconds = st.floats(1e-9, 1e3)


def task(*rows, alike=(), problem=SMALL, tower=(problems.SGD, problems.SGD)):
    workload = problems.Workload("small", problem, tower)
    return turns.Task("hyperstep", "small", (workload,), rows, alike, 0.001)


# Statistics


@given(st.lists(st.lists(seconds, min_size=1, max_size=5), min_size=1, max_size=5))
def test_a_summary_is_ordered_and_counts_every_call(turns_of_a_row):
    summary = statistics.summary(turns_of_a_row)
    low, high = summary["quartiles"]
    calls = sorted(np.concatenate(turns_of_a_row))
    assert calls[0] <= low <= summary["median"] <= high <= calls[-1]
    assert summary["count"] == len(calls) and len(summary["turns"]) == len(turns_of_a_row)
    assert summary["median"] == pytest.approx(np.median(calls)) and summary["least"] == calls[0]


@given(seconds, st.floats(1e-3, 1e3))
def test_a_ratio_is_of_medians(base, factor):
    assert statistics.ratio({"median": base * factor}, {"median": base}) == pytest.approx(factor)


@given(st.floats(1e-6, 1.0), st.floats(0.0, 10.0), st.lists(st.integers(0, 1000), min_size=2, unique=True))
def test_the_slope_of_a_line_is_its_slope(each, start, heights):
    heights = sorted(heights)
    times = [start + each * height for height in heights]
    assert statistics.slope(heights, times) == pytest.approx(each, rel=1e-6, abs=1e-12)
    assert statistics.steepest(heights, times, 0) == pytest.approx(each, rel=1e-6, abs=1e-12)


def test_the_steepest_part_of_a_bent_line_is_found():
    heights, times = [0, 1, 100, 200, 300], [0.0, 5.0, 6.0, 7.0, 10.0]
    assert statistics.steepest(heights, times, 50) == pytest.approx(0.03)


# Agreement


def runs(change=1.0, alpha=0.02):
    rng = np.random.default_rng(0)
    start, step = rng.random((2, 4, 3))
    states = ((start, 0.01), (start + change * step, alpha))
    return tuple(Result({"w": weights}, {"alpha": value}) for weights, value in states)


@given(st.floats(-0.9, 0.9))
def test_how_far_off_is_a_part_of_the_way(part):
    assert agreement.error(runs(), runs(1.0 + part)) == pytest.approx(abs(part), abs=1e-12)
    assert agreement.error(runs(), runs(alpha=0.02 + 0.01 * part)) == pytest.approx(abs(part), abs=1e-12)


def test_other_names_and_numbers_that_are_none_are_infinitely_far_off():
    other = tuple(Result({"v": run.weights["w"]}, run.hyperparameters) for run in runs())
    assert agreement.error(runs(), runs(float("nan"))) == agreement.error(runs(), other) == float("inf")


@pytest.mark.slow
@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
@pytest.mark.parametrize(
    "problem", [SMALL, problems.TEACHING, problems.Problem(count=3, size=4)], ids=["classes", "numbers", "vectors"]
)
def test_the_hyperstep_by_hand_comes_to_the_same_numbers(tower, problem):
    assert agreement.error(trained(our_peer, tower, problem), trained(numpy_peer, tower, problem)) < agreement.TOLERANCE


def trained(peer, tower, problem, variant=""):
    training = peer.hyperstep(problems.Workload("", problem, tower), variant)
    training.step()
    first = training.result()
    (training.loop or worker.repeated(training.step))(worker.CHECKED_STEPS)
    return first, training.result()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["call", "over", "exact"])
@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
@pytest.mark.parametrize("problem", [SMALL, problems.Problem(count=3, size=4)], ids=["batch", "no batch"])
def test_replay_comes_to_the_same_numbers_in_each_of_its_ways(tower, problem, variant):
    eager, replayed = trained(our_peer, tower, problem), trained(our_peer, tower, problem, variant)
    assert agreement.error(eager, replayed) <= (0 if variant == "exact" else 1e-4)


@pytest.mark.parametrize("name", by_hand.MOVES)
def test_a_hypergradient_that_is_one_per_cent_wrong_is_noticed(name, monkeypatch):
    rule = by_hand.MOVES[name]

    def wrong(*arguments):
        w, state, slopes = rule(*arguments)
        return w, state, slopes | {"alpha": 1.01 * slopes["alpha"]}

    monkeypatch.setitem(by_hand.MOVES, name, wrong)
    tower = next(tower for tower in TOWERS.values() if tower[0].rule == name and len(tower) == 2)
    tower = (tower[0], problems.Level("sgd", 1e-4))
    assert agreement.error(trained(our_peer, tower, SMALL), trained(numpy_peer, tower, SMALL)) > agreement.TOLERANCE


# Operands


@pytest.mark.parametrize("ways", ["NN", "NT", "TN", "TT"])
def test_a_transposed_operand_lies_transposed(ways):
    a, b = matrices(Shape(3, 4, 5, *ways))
    assert (a.shape, b.shape) == ((3, 4), (4, 5))
    assert [x.flags.c_contiguous for x in (a, b)] == [way == "N" for way in ways]


def test_chains_are_as_long_as_they_are_called():
    class Counted:
        calls = 0

        def called(self, *_):
            Counted.calls += 1
            return self

        __add__ = __mul__ = __neg__ = tanh = exp = sqrt = called

    for chain, length in ((chain4, 4), (chain8, 8)):
        Counted.calls = 0
        library = type("Library", (), dict.fromkeys(("tanh", "exp", "sqrt"), staticmethod(Counted.called)))
        chain(library, Counted(), Counted())
        assert Counted.calls == length


# Turns and workers


@given(st.floats(1e-9, 1e-2), st.floats(0, 0.1), st.booleans())
def test_a_sample_is_long_enough_for_the_clock_and_for_what_a_call_of_a_loop_costs(each, call, own):
    now = [0.0]

    def loop(count):
        now[0] += count * each + call * own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        inner, count = worker.samples(loop, own, 0.1)
    sample = inner * each + call * own
    assert sample >= 0.4 * (worker.LOOP if own else worker.SAMPLE) and 2 <= count <= worker.MOST_SAMPLES
    assert call * own <= 0.1 * sample


def test_peers_take_turns_and_a_missing_one_is_left_out_with_a_word():
    with turns.Crew(1) as crew:
        record = crew.measure(task(OURS, THEIRS, GONE, alike=("tinyhyper", "NumPy by hand", "no such peer")), 2, {})
        processes = [one.process for one in crew.workers.values()]
    assert [row["label"] for row in record["rows"]] == ["tinyhyper", "NumPy by hand"]
    assert all(row["median"] > 0 and len(row["turns"]) == 2 for row in record["rows"])
    assert record["rows"][1]["error"] < agreement.TOLERANCE
    assert record["left_out"] == {"no such peer": "demos.bench.peers.no_such_peer is not installed"}
    assert all(process.poll() is not None for process in processes)


def test_a_peer_that_computes_something_else_is_left_out_and_the_run_says_so():
    floor = turns.Row("floor", "numpy", "floor")
    with turns.Crew(1) as crew:
        record = crew.measure(task(OURS, floor, alike=("tinyhyper", "floor")), 1, {})
    assert "came to other numbers" in record["left_out"]["floor"]
    assert [row["label"] for row in record["rows"]] == ["tinyhyper"]
    assert Run(made(records=[record])).others() == [f"small: floor {record['left_out']['floor']}"]


def test_what_fails_or_dies_in_a_worker_is_a_word_and_no_traceback():
    one = turns.Worker("numpy", 1)
    try:
        with pytest.raises(turns.Left, match="failed: AttributeError: .*no_such_kind"):
            one.ask("build", "no_such_kind", (), 0.1)
        assert one.ask("drop") is None
        one.process.kill()
        with pytest.raises(turns.Left, match="its process ended"):
            one.ask("turn")
    finally:
        one.end()


def test_a_peer_that_takes_too_long_is_left_out_and_not_tried_at_the_next_thread_count(monkeypatch):
    with turns.Crew(1) as crew:
        crew.worker(OURS)
        monkeypatch.setattr(turns, "TIMEOUT", 0)
        first = crew.measure(task(OURS, alike=("tinyhyper",)), 1, {})
        assert first["rows"] == [] and first["left_out"] == {"tinyhyper": "takes more than 0 s to build"}
    left_out = command.gone({"records": [first]}, "small")
    with turns.Crew(2) as crew:
        assert crew.measure(task(OURS), 1, left_out)["left_out"] == left_out and not crew.workers


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_a_worker_is_pinned_and_this_process_is_not(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    before = os.sched_getaffinity(0)
    with turns.pinned(1) as environment:
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    assert "OPENBLAS_CORETYPE" not in environment and environment["OMP_NUM_THREADS"] == "1"


# Goals and tables


def made(**lists):
    facts = {
        "processor": "made up", "vectors": "wide", "cores": 2, "threads": [1, 2], "system": "none", "python": "3",
        "blas": "none", "versions": {"tinyhyper": "0"},
    }  # fmt: skip
    return {
        "machine": facts,
        "rounds": 1,
        "seconds": 60,
        "records": [],
        "sweeps": [],
        "starts": [],
        "memory": [],
        "growth": [],
    } | lists


def record(kind, name, threads, times):
    """times: by part, by label."""
    rows = [
        {"label": label, "part": part, "error": None, **statistics.summary([[time]])}
        for part, by_label in times.items()
        for label, time in by_label.items()
    ]
    return {"kind": kind, "name": name, "threads": threads, "rows": rows, "left_out": {"MyGrad": "is not installed"}}


def goal(words):
    return next(goal for goal in goals.GOALS if words in goal.what)


@given(seconds, seconds, seconds)
def test_the_better_of_the_published_packages_runs_counts(ours, one, other):
    times = {"": {plan.OVER: ours, "published package": one, "published, create_graph": other}}
    run = Run(made(records=[record("hyperstep", "MLP, SGD/SGD", 1, times)]))
    measured, verdict = goals.judge(run, goal("SGD/SGD, over, against the published"))
    assert measured == {1: f"{min(one, other) / ours:.2f}×"}
    assert verdict == ("met" if min(one, other) / ours >= 1.6 else "missed")


def test_a_goal_missed_with_one_thread_count_is_missed_there():
    records = [
        record("network", networks.CHARACTERS, threads, {"": {"tinyhyper": ours, "published package": 2.4}})
        for threads, ours in ((1, 1.2), (2, 1.6))
    ]
    assert goals.judge(Run(made(records=records)), goal("LSTM")) == ({1: "2.00×", 2: "1.50×"}, "missed on 2")
    assert goals.judge(Run(made()), goal("LSTM")) == ({}, "not measured")


@pytest.mark.parametrize("called", [2.0, 3.0])
def test_the_page_says_why_a_goal_is_missed_and_nothing_of_one_that_is_met(called):
    times = {"": {plan.OVER: 1.0, plan.CALLED: called}}
    note = tables.goals_table(Run(made(records=[record("hyperstep", goals.NET, 1, times)]))).note
    assert (goal("net, a call a step, against over").why in note) == (called > 2.5)
    assert goal("MLP, SGD/SGD, over, against the best").why not in note


@given(seconds, seconds)
def test_a_goal_of_one_thread_says_nothing_of_two(ours, floor):
    records = [record("hyperstep", "MLP, SGD/SGD", n, {"": {plan.OVER: ours, "floor": floor}}) for n in (1, 2)]
    measured, verdict = goals.judge(Run(made(records=records)), goal("SGD/SGD, over, against the floor"))
    assert measured == {1: f"{ours / floor:.2f}×"}
    assert verdict == ("met" if ours / floor <= 1.25 else "missed")


@pytest.mark.parametrize("least, verdict", [([4.0, 2.0], "met"), ([4.0, 2.3], "missed"), ([4.0], "not measured")])
def test_a_sweep_is_judged_by_the_least_time_on_each_number_of_cores(least, verdict):
    sweeps = [{"cores": n, "steps": 10, "seconds": [9.0, time]} for n, time in enumerate(least, start=1)]
    assert goals.judge(Run(made(sweeps=sweeps)), goal("sweep"))[1] == verdict


def test_the_worst_case_is_named_and_small_arrays_do_not_count():
    times = {
        "10": {"tinyhyper": 9.0, "NumPy": 1.0},
        "10000": {"tinyhyper": 2.0, "NumPy": 3.0, "PyTorch": 1.0},
        "1000000": {"tinyhyper": 1.0, "NumPy": 2.0},
    }
    run = Run(made(records=[record("operation", "exp", 1, times)]))
    measured, verdict = goals.judge(run, goal("one operation"))
    assert measured == {1: "median 1.25×, least 0.50× (exp, 10,000); 1 of 2 below"} and verdict == "missed"


@pytest.mark.parametrize("ours, verdict", [(1.0, "met"), (1.19, "met"), (1.21, "missed")])
def test_resnet_may_take_a_fifth_more_than_the_quicker_layout_of_pytorch(ours, verdict):
    times = {"tinyhyper": ours, plan.NO_TOWER: 2.0, plan.CHANNELS_LAST: 1.0}
    run = Run(made(records=[record("network", networks.IMAGES, 1, {"": times})]))
    assert goals.judge(run, goal("ResNet-20 against"))[1] == verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_network_has_data_weights_and_a_loss(name):
    problem = networks.NETWORKS[name].problem
    params = {key: th.tensor(weight, requires_grad=True) for key, weight in problem.weights().items()}
    small = [part[..., :2] if name == networks.CHARACTERS else part[:2] for part in problem.data()]
    loss = problem.loss(our_peer.Library, params, *small)
    loss.backward()
    assert 0 < loss.item() < 20 and all(p.grad is not None for p in params.values())


def test_a_tower_must_be_straight_and_not_only_cheap_on_average():
    def run(last):
        times = {str(h): {plan.OVER: h * 1e-8} for h in (0, 100, 900)} | {"1000": {plan.OVER: last}}
        return Run(made(records=[record("towers", "towers", 1, times)]))

    assert goals.judge(run(1000e-8), goal("level of a tower, over"))[1] == "met"
    assert goals.judge(run(1500e-8), goal("level of a tower, over"))[1] == "missed"


def full():
    """Data with something of every kind."""
    records = []
    rows = {row.label: n + 1.0 for n, row in enumerate(plan.TRAINING_ROWS)}
    elements = {row.label: n + 1.0 for n, row in enumerate(plan.ELEMENT_ROWS)}
    matrix = {row.label: n + 1.0 for n, row in enumerate(plan.MATRIX_ROWS)}
    trained = {label: n + 1.0 for n, label in enumerate((*plan.NETWORK_LABELS, plan.CHANNELS_LAST))}
    for threads in (1, 2):
        trainings = rows | {"floor": 0.5, plan.BESIDE: 0.25}
        records += [record("hyperstep", name, threads, {"": trainings}) for name in problems.HYPERSTEPS]
        records += [record("network", name, threads, {"": trained}) for name in networks.NETWORKS]
        records.append(record("towers", "towers", threads, {str(h): rows for h in plan.HEIGHTS}))
        sizes = {str(size): elements for size in plan.FULL.sizes}
        records += [record("operation", f"{n}, forward and backward", threads, sizes) for n in plan.FULL.operations]
        records += [record("operation", n, threads, sizes) for n in plan.FULL.operations]
        chained = {size: elements | {"tinyhyper, not fused": 9.0} for size in sizes}
        records.append(record("chain", "chain of 4 operations", threads, chained))
        records.append(record("matmul", "matmul", threads, {str(shape): matrix for shape in plan.FULL.transposed}))
        records.append(
            record("linear", "linear+bias+tanh", threads, {str(shape): matrix for shape in plan.FULL.shapes})
        )
    peaks = {"own": 5e6, "grown": 6e6, "process": 7e6}
    return made(
        records=records,
        sweeps=[{"cores": n, "steps": 10, "seconds": [time]} for n, time in ((1, 3.0), (2, 1.6))],
        starts=[
            {"label": start.label, "threads": 2, "import": [0.3], "cold": [2.0], "warm": [0.4]}
            for start in startup.STARTS
        ],
        memory=[
            {"name": "MLP, SGD", "label": "tinyhyper", "threads": 2, **peaks},
            {"name": "MLP, SGD", "label": plan.CALLED, "threads": 2, **peaks},
            {"name": "MLP, SGD", "label": "published package", "threads": 2, **{k: 2 * v for k, v in peaks.items()}},
            {"name": "MLP, SGD", "label": "MyGrad", "threads": 2, "left_out": "is not installed"},
        ],
        growth=[{"name": "a tower", "label": "tinyhyper", "early": 1e8, "late": 1e8, "steps": 1000}],
    )


def test_the_screen_keeps_to_a_hundred_columns():
    text = page.screen(Run(full()))
    assert max(map(len, text.splitlines())) <= tables.COLUMNS
    assert "not measured" not in text and "MyGrad: is not installed" in text


def test_every_line_of_a_table_has_all_columns_on_the_page():
    text = page.markdown(Run(full()))
    assert "$" not in text and "Not measured." not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1, block


def test_a_peer_that_computed_something_else_stands_on_the_page():
    wrong = record("hyperstep", "MLP, SGD", 1, {}) | {"left_out": {"JAX": "came to other numbers, off by 1"}}
    assert "**MLP, SGD: JAX came to other numbers, off by 1**" in page.markdown(Run(made(records=[wrong])))


# The command

TINY_PLAN = replace(
    plan.QUICK, rounds=1, workloads=("teaching-size net, Adam/SGD",), networks=(networks.CHARACTERS,), heights=(0, 2),
    operations=("add",),
    sizes=(1, 10_000), chain_sizes=(1000,), shapes=(Shape(8, 8, 8),), transposed=(Shape(8, 8, 8, "T", "T"),),
    remembered=("teaching-size net, Adam/SGD",), steps=200, swept=10,
    without=("torch", "torch_compile", "jax", "mygrad", "autograd", "digits"),
)  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    """--quick, in small, with the peers that are always there."""
    monkeypatch.setattr(plan, "QUICK", TINY_PLAN)


def settings(folder, **chosen):
    return Settings(out=folder, quick=True, threads=(1,), **chosen)


@pytest.mark.slow
def test_a_run_writes_its_data_a_page_and_pictures_which_can_be_made_again(tiny, tmp_path, capsys):
    assert command.main(settings(tmp_path)) == 0
    out = capsys.readouterr().out
    data = json.loads((tmp_path / "performance.json").read_text())
    assert {record["kind"] for record in data["records"]} == set(plan.KINDS) - {"sweep", "start", "memory"}
    assert not any(record["left_out"] for record in data["records"])
    found = [data[name] for name in ("sweeps", "starts", "memory", "growth")]
    assert [len(records) for records in found] == [1, 2, 3, 1]
    assert all("left_out" not in record for records in found for record in records)
    written = (tmp_path / "performance.md").read_text()
    pictures = {path.name for path in tmp_path.glob("*.png") if path.read_bytes().startswith(PNG)}
    assert pictures == {f"performance-{part}.png" for part in ("hypersteps", "towers", "operations", "products")}
    assert pictures == set(re.findall(r"!\[.*\]\((.*)\)", written))
    assert "Not measured." not in written and "NumPy by hand" in out
    (tmp_path / "performance.md").unlink()
    assert command.main(settings(tmp_path, again=True)) == 0
    assert (tmp_path / "performance.md").read_text() == written and capsys.readouterr().out == out
    assert str(Path.cwd()) not in written + json.dumps(data)


def test_only_one_kind_is_measured_if_one_is_named(tiny, tmp_path):
    assert command.main(settings(tmp_path, only=("towers",))) == 0
    data = json.loads((tmp_path / "performance.json").read_text())
    assert {record["kind"] for record in data["records"]} == {"towers"}
    assert [path.name for path in tmp_path.glob("*.png")] == ["performance-towers.png"]
    assert re.findall(r"!\[.*\]\((.*)\)", (tmp_path / "performance.md").read_text()) == ["performance-towers.png"]
    assert data["sweeps"] == data["starts"] == data["memory"] == []


def test_ctrl_c_keeps_what_was_finished(tiny, tmp_path, monkeypatch, capsys):
    measure, names = turns.Crew.measure, []

    def interrupted(self, task, *others):
        names.append(task.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return measure(self, task, *others)

    monkeypatch.setattr(turns.Crew, "measure", interrupted)
    assert command.main(settings(tmp_path)) == 130
    assert "Interrupted" in capsys.readouterr().out
    data = json.loads((tmp_path / "performance.json").read_text())
    assert [record["name"] for record in data["records"]] == names[:1]


def test_another_computation_gives_the_status_1(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("demos.bench.turns.TOLERANCE", -1.0)
    assert command.main(settings(tmp_path, only=("hypersteps",))) == 1
    assert "came to other numbers" in capsys.readouterr().err


WRONG = {
    "unknown kind": (["bench", "--only", "bananas"], "bananas"),
    "too many threads": (["bench", "--threads", "100000"], "--threads 100000"),
    "no threads": (["bench", "--threads", "0"], "--threads"),
    "nothing to read again": (["bench", "--again"], "--again"),
}


@pytest.mark.parametrize("arguments, word", WRONG.values(), ids=WRONG)
def test_wrong_input_gets_one_line(arguments, word, tmp_path, capsys):
    assert demos_main([*arguments, "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and word in captured.err
    assert list(tmp_path.iterdir()) == []
