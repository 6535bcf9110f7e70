"""Experiments: a run that is interrupted goes on to the same numbers, and nothing is done twice or lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_training
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import Interrupted, stopping

import tinyhyper as th
from demos.__main__ import main
from demos.paper import Experiment, Line, Place, Run, queue, record, train
from demos.paper.experiment import HERE
from demos.paper.queue import POOLS, carry_out, cluster, nothing, planned, processes
from demos.paper.run import Stopped, Store, plain
from demos.shared.settings import Settings, UsageError
from tinyhyper import files

ROOT = Path(__file__).resolve().parents[2]
STACKS = (
    "sgd",
    "sgd/sgd",
    "sgd(0.1, mu=0.5)/sgd(0.01)/sgd(0.001)",
    "adam/sgd(1e-3)",
    "adam/adam(0.01)/sgd(1e-4)",
    "rmsprop/rmsprop(1e-3)",
    "adagrad/adagrad",
    "adam-alpha/adamw",
)


def tiny(stack="adam/sgd(1e-3)", seed=0, steps=9, **options):
    return Run("tiny", "tiny_training", stack, seed, steps, options)


def ignore(text):
    pass


def finish(run, place):
    """The result of a run, from its checkpoint if there is one, as JSON has it."""
    result = train(partial(tiny_training.Tiny, run), run, place)
    del result["seconds"]
    return plain(result)


def undisturbed(run):
    """The result of the run with no accident in its options."""
    with tempfile.TemporaryDirectory() as folder:
        return finish(replace(run, options={}), Place(Path(folder)))


def cut(run, at):
    """A training that is interrupted at a step."""
    return stopping(tiny_training.Tiny(run), at)


@pytest.mark.slow
@given(stack=st.sampled_from(STACKS), cuts=st.lists(st.integers(0, 8), max_size=2), every=st.sampled_from([0, 1e9]))
def test_a_run_goes_on_from_any_step_to_the_same_numbers(stack, cuts, every, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    run, place = tiny(stack), Place(folder, every=every, look=0)
    for at in cuts:
        with pytest.raises(Interrupted):
            train(partial(cut, run, at), run, place)
            raise Interrupted  # where it had got further before
    assert finish(run, place) == undisturbed(run)


def test_going_on_does_not_begin_anew(tmp_path):
    run, place = tiny(), Place(tmp_path, every=0, look=0)
    with pytest.raises(Interrupted):
        train(partial(cut, run, 7), run, place)
    assert train(partial(cut, run, 6), run, place)["calls"] == run.steps  # the checkpoint stands before step 7


def test_a_run_that_is_told_to_stop_makes_a_checkpoint_at_once(tmp_path):
    run, place = tiny(), Place(tmp_path, look=0)
    place.go()
    place.stop()
    with pytest.raises(Stopped):
        train(partial(tiny_training.Tiny, run), run, place)
    assert place.checkpoint(run).exists()
    with pytest.raises(Stopped):
        carry_out(run, place)
    place.go()
    assert finish(run, place) == undisturbed(run)


def test_the_runs_of_an_earlier_start_stop_and_those_elsewhere_go_on(tmp_path):
    earlier, later, elsewhere = Place(tmp_path, starter="a"), Place(tmp_path, starter="b"), Place(tmp_path / "c")
    earlier.go()
    later.go()
    assert earlier.stopping() and not later.stopping() and not elsewhere.stopping()


@given(length=st.floats(0, 1), flip=st.booleans())
@settings(max_examples=10)
def test_a_damaged_checkpoint_is_named_and_the_run_starts_anew(length, flip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    run, place = tiny(), Place(folder, every=0, look=0)
    with pytest.raises(Interrupted):
        train(partial(cut, run, 5), run, place)
    path = place.checkpoint(run)
    content = bytearray(path.read_bytes())
    at = int(length * (len(content) - 1))
    path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :] if flip else content[:at])
    assert finish(run, place) == undisturbed(run)


def test_a_checkpoint_that_was_cut_short_is_said_to_be_unusable(tmp_path, capsys):
    run, place = tiny(), Place(tmp_path, every=0, look=0)
    with pytest.raises(Interrupted):
        train(partial(cut, run, 5), run, place)
    path = place.checkpoint(run)
    path.write_bytes(path.read_bytes()[:-100])
    train(partial(cut, run, 99), run, place)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and str(path) in told and "starts anew" in told


def test_buffers_that_a_model_cannot_have_begin_the_run_anew(tmp_path, capsys, monkeypatch):
    run, place = tiny(), Place(tmp_path, every=0, look=0)
    with pytest.raises(Interrupted):
        train(partial(cut, run, 5), run, place)
    load = th.load

    def spoiled(*args):
        params, saved = load(*args)
        return params, {**saved, "buffers": {"counter.calls": np.array(1.7)}}

    monkeypatch.setattr(th, "load", spoiled)
    assert finish(run, place) == undisturbed(run)
    assert "counter.calls holds integers of int64, but the saved array is 1.7" in capsys.readouterr().err


def test_a_run_stops_where_its_loss_is_no_number(tmp_path):
    run = tiny(explode=1, at=3)
    result = train(partial(tiny_training.Tiny, run), run, Place(tmp_path))
    assert result["steps"] == 4 and result["diverged"]
    line = Line(run, plain(result), {})
    assert Line.read(line.text()) == line and line.result["losses"][3] is None


# Descriptions and lines


def test_equal_descriptions_have_one_key_and_others_another():
    run = tiny(images=3, alpha=0.1)
    assert run.key == Run(**json.loads(json.dumps(vars(run)))).key
    others = [replace(run, seed=1), replace(run, steps=13), replace(run, stack="sgd"), replace(run, options={})]
    assert len({run.key, *(other.key for other in others)}) == 5


NUMBERS = st.floats() | st.integers(-5, 5) | st.booleans() | st.text(max_size=3)


@given(st.recursive(NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner), max_leaves=8))
def test_every_result_is_one_line_that_reads_back(value):
    line = Line(tiny(), {"value": plain(value)}, {"seconds": 1.5})
    assert "\n" not in line.text() and Line.read(line.text()) == line


def test_numpys_numbers_are_pythons():
    found = plain({"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(1), np.inf), 4: np.float64(np.nan)})
    assert found == {"a": 0.5, "b": [0, 1, 2], "c": [1, None], "4": None}


def lines(count):
    return [Line(tiny(seed=seed), {"error": seed / 7}, {"seconds": 0.5}) for seed in range(count)]


@given(drawn=st.data())
def test_a_torn_line_is_told_and_loses_only_its_run(drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("torn") / "tiny.jsonl"
    first, second, third = lines(3)
    store = Store(path, ignore)
    store.add(first)
    whole = len(path.read_bytes())
    store.add(second)
    content = path.read_bytes()
    length = drawn.draw(st.integers(whole, len(content)))
    path.write_bytes(content[:length])
    told = []
    store = Store(path, told.append)
    kept = [first, second] if length >= len(content) - 1 else [first]
    assert list(store.lines.values()) == kept
    assert len(told) == (whole < length < len(content) - 1)
    store.add(third)
    assert list(Store(path, ignore).lines.values()) == [*kept, third]


def test_of_two_lines_of_one_run_the_first_counts(tmp_path):
    store = Store(tmp_path / "tiny.jsonl", ignore)
    (line,) = lines(1)
    store.add(line)
    store.add(line._replace(result={"error": 99}))
    assert Store(store.path, ignore).of([line.run]) == [line]


# Through executors


def conduct(runs, hire, folder, follow=nothing):
    """What went wrong, and the store."""
    store = Store(folder / "tiny.jsonl", ignore)
    return queue.conduct(runs, follow, hire, store, Place(folder / "tiny.runs", every=0, look=0)), store


def once_each(store, runs):
    """Whether the file has exactly one line a run."""
    texts = store.path.read_text().splitlines()
    return sorted(Line.read(text).run.key for text in texts) == sorted(run.key for run in runs)


def results(store, runs):
    return [line.result for line in store.of(runs)]


def test_a_finished_run_is_not_run_again_and_its_files_are_removed(tmp_path):
    runs = [tiny(seed=seed) for seed in range(3)]
    conduct(runs[:2], HERE, tmp_path)
    performed = tmp_path / "tiny.runs" / "performed"
    assert [path.name for path in performed.parent.iterdir()] == ["performed"]
    performed.unlink()
    failed, store = conduct(runs, HERE, tmp_path)
    assert performed.read_text().split() == [runs[2].key]
    assert once_each(store, runs) and failed == {}
    assert results(store, runs) == [undisturbed(run) for run in runs]


def test_the_longest_run_comes_first_and_what_follows_is_run_too(tmp_path):
    def follow(run, result):
        alpha = result["levels"][0]["alpha"]
        return [] if "again" in run.options else [tiny(f"adam({alpha!r})", run.seed, again=True)]

    runs = [tiny(steps=5), tiny(steps=9, seed=1)]
    failed, store = conduct(runs, HERE, tmp_path, follow)
    known = planned(runs, follow, store)
    assert len(known) == 4 and once_each(store, known)
    performed = (tmp_path / "tiny.runs" / "performed").read_text().split()
    assert performed == [known[2].key, known[0].key, known[1].key, known[3].key]


@pytest.fixture
def pools(monkeypatch):
    """What a pool of processes sets in the environment ends with the test."""
    for name in POOLS:
        monkeypatch.setenv(name, "2")


@pytest.mark.slow
def test_a_killed_process_loses_nothing_and_a_run_that_fails_stops_no_other(tmp_path, capsys, pools):
    fails = tiny(fail=1, at=2)
    runs = [tiny(die=str(tmp_path / "dead"), at=8, steps=20), *(tiny(seed=seed, steps=20) for seed in range(3))]
    failed, store = conduct([fails, *runs], partial(processes, 2, 1), tmp_path)
    assert (tmp_path / "dead").exists() and once_each(store, runs)
    assert results(store, runs) == [undisturbed(run) for run in runs]
    assert (tmp_path / "tiny.runs" / "performed").read_text().split().count(runs[0].key) == 2
    assert failed == {fails.key: "ValueError: it had to fail"}
    assert "Traceback" in capsys.readouterr().err


class Broken(ThreadPoolExecutor):
    """An executor whose processes die of every run but the first: some as they begin, others before that."""

    def submit(self, function, run, place):
        if run.seed == 2:
            raise BrokenExecutor
        return super().submit(self.die if run.seed else function, run, place)

    def die(self, run, place):
        raise BrokenExecutor


def test_runs_of_which_every_process_dies_are_given_up(tmp_path):
    runs = [tiny(seed=seed) for seed in range(3)]
    failed, store = conduct(runs, Broken, tmp_path)
    assert once_each(store, runs[:1]) and failed.keys() == {run.key for run in runs[1:]}
    assert all("its process died 3 times" in why for why in failed.values())


def test_processes_have_the_threads_they_are_given(pools):
    with processes(1, 1) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"


@pytest.mark.slow
def test_a_killed_dask_worker_loses_nothing(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")]))
    runs = [tiny(die=str(tmp_path / "dead"), at=8, steps=20), *(tiny(seed=seed, steps=20) for seed in range(3))]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as dask:
        failed, store = conduct(runs, partial(cluster, dask.scheduler_address), tmp_path)
    assert (tmp_path / "dead").exists() and once_each(store, runs) and failed == {}
    assert results(store, runs) == [undisturbed(run) for run in runs]


def test_a_dask_cluster_that_is_not_there_gets_one_line(monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE", 0.5)
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    with pytest.raises(UsageError, match="no cluster answers at 'tcp://127.0.0.1:9'"):
        with cluster("tcp://127.0.0.1:9"):
            pass


# From the command line

SCRIPT = """
import sys
from pathlib import Path
from demos.__main__ import main
from demos.paper import Experiment, Run
from demos.shared.settings import Settings
out, jobs = Path(sys.argv[1]), int(sys.argv[2])
def plan(settings):
    slow = [{} if seed < 2 else {"slow": str(out / "slow")} for seed in range(4)]
    return [Run("tiny", "tiny_training", "sgd/sgd", seed, 40 - seed, options) for seed, options in enumerate(slow)]
experiment = Experiment("tiny", plan, lambda lines: f"{len(lines)} lines", lambda lines: {"tiny.svg": "<svg/>"})
sys.exit(experiment.main(Settings(out=out, jobs=jobs, quick=True)))
"""


def start(folder, jobs):
    """The experiment as a user starts it: with its workers in a group of processes to which Ctrl-C goes."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(jobs)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def begun(folder):
    """The keys of the runs that have begun, in this order."""
    file = folder / "tiny.runs" / "performed"
    return file.read_text().split() if file.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(jobs, tmp_path):
    (tmp_path / "slow").touch()
    store = tmp_path / "tiny.jsonl"
    process = start(tmp_path, jobs)
    wait_until(lambda: store.exists() and store.read_text().count("\n") == 2)
    wait_until(lambda: len(begun(tmp_path)) == 2 + jobs)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert "Interrupted: 2 of 4 runs are finished. The same command goes on from there." in out
    assert (tmp_path / "tiny.md").read_text() == "2 lines\n" and (tmp_path / "tiny.svg").exists()
    wait_until(lambda: is_gone(process.pid))
    assert len(list((tmp_path / "tiny.runs").glob("*.npz"))) == jobs
    (tmp_path / "slow").unlink()
    out, err = start(tmp_path, 1).communicate(timeout=60)
    assert err == "" and out.startswith("4 lines\n") and store.read_text().count("\n") == 4
    for line in map(Line.read, store.read_text().splitlines()):
        assert line.result == undisturbed(line.run)
        assert line.record["command"] == "python -m demos paper tiny --quick" and line.record["seconds"] < 60


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "slow").touch()
    process = start(tmp_path, 2)
    wait_until(lambda: len(begun(tmp_path)) >= 2)
    process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: is_gone(process.pid))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
def test_a_start_that_is_replaced_says_so(tmp_path):
    (tmp_path / "slow").touch()
    process = start(tmp_path, 1)
    wait_until(lambda: len(begun(tmp_path)) == 3)
    (tmp_path / "tiny.runs" / "turn").write_text("another's")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "" and "Another start with this folder took over: 2 of 4 runs" in out
    assert (tmp_path / "tiny.runs" / "turn").read_text() == "another's"


# Which data


def with_data(monkeypatch, number):
    """The tiny kind, as if it loaded data; its fingerprint is looked for anew."""
    record.fingerprint.cache_clear()
    monkeypatch.setattr(tiny_training, "load", lambda folder: [np.full(3, number)], raising=False)


def test_finished_runs_on_other_data_are_refused(tmp_path, monkeypatch):
    experiment, settings = tiny_experiment([tiny()]), Settings(out=tmp_path, jobs=1)
    with_data(monkeypatch, 1)
    assert experiment.main(settings) == 0
    assert experiment.main(replace(settings, data=tmp_path)) == 0  # the same, elsewhere
    with_data(monkeypatch, 2)
    with pytest.raises(UsageError, match="tiny.jsonl holds runs on other data; choose another --out"):
        experiment.main(replace(settings, data=tmp_path))
    with pytest.raises(UsageError, match="other data"):
        tiny_experiment([tiny(), tiny(seed=1)]).main(settings)  # of which one is not finished


def test_lines_without_a_fingerprint_count_as_of_any_data(tmp_path, monkeypatch):
    Store(tmp_path / "tiny.jsonl", ignore).add(Line(tiny(), {"error": 1}, {"seconds": 0.5}))
    with_data(monkeypatch, 1)
    assert tiny_experiment([tiny()]).main(Settings(out=tmp_path, jobs=1, data=tmp_path)) == 0
    assert not (tmp_path / "tiny.runs" / "performed").exists()


def test_a_checkpoint_of_other_data_is_not_used(tmp_path, capsys):
    run, place = tiny(), Place(tmp_path, every=0, look=0, fingerprint="a")
    with pytest.raises(Interrupted):
        train(partial(cut, run, 5), run, place)
    train(partial(cut, run, 99), run, replace(place, fingerprint="b"))
    assert "it is of another version, run or data" in capsys.readouterr().err


def test_a_fingerprint_tells_arrays_shapes_and_texts_apart():
    parts = [[np.arange(6)], [np.arange(6).reshape(2, 3)], [np.arange(6.0)], ["abc"], ["abd"], [np.arange(3), "abc"]]
    assert len({record.digest(part) for part in parts}) == len(parts)
    assert record.digest([np.arange(12)[::2]]) == record.digest([2 * np.arange(6)])


def tiny_experiment(runs):
    return Experiment("tiny", lambda settings: runs, lambda lines: f"{len(lines)} lines", lambda lines: {})


def test_again_runs_nothing_and_makes_the_table_of_what_is_there(tmp_path, capsys):
    settings, runs = Settings(out=tmp_path, jobs=1), [tiny(), tiny(seed=1)]
    assert tiny_experiment(runs[:1]).main(settings) == 0
    performed = tmp_path / "tiny.runs" / "performed"
    performed.unlink()
    capsys.readouterr()
    assert tiny_experiment(runs).main(replace(settings, again=True)) == 1
    out, err = capsys.readouterr()
    assert "1 lines" in out and "1 of 2 runs are not finished; without --again" in err and not performed.exists()


def test_again_with_nothing_there_makes_no_folder(tmp_path, capsys):
    settings = Settings(out=tmp_path / "out", again=True)
    assert tiny_experiment([tiny()]).main(settings) == 1
    assert "nothing is there to read" in capsys.readouterr().err and not settings.out.exists()


def test_a_refused_start_leaves_no_folder(tmp_path):
    def plan(settings):
        raise UsageError("no")

    experiment = Experiment("tiny", plan, str, dict)
    for out in (tmp_path / "a" / "b", tmp_path):
        with pytest.raises(UsageError, match="no"):
            experiment.main(Settings(out=out))
    assert list(tmp_path.iterdir()) == []


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["lines", "checkpoints", "files"])
def test_on_a_full_disk_what_was_computed_is_printed_and_each_failure_is_a_line(what, tmp_path, capsys, monkeypatch):
    runs = [tiny(), tiny(seed=1)]
    if what == "lines":
        monkeypatch.setattr(os, "fsync", full)
    elif what == "checkpoints":
        assert tiny_experiment(runs[:1]).main(Settings(out=tmp_path, jobs=1)) == 0
        monkeypatch.setattr(tiny_training, "perform", full)
    else:
        assert tiny_experiment(runs).main(Settings(out=tmp_path, jobs=1)) == 0
        monkeypatch.setattr(files, "_temporary", full)
    capsys.readouterr()
    try:
        status = tiny_experiment(runs).main(Settings(out=tmp_path, jobs=1))
    except OSError as error:
        status = 1
        assert what == "files" and error.filename == str(tmp_path / "tiny.md")
    out, err = capsys.readouterr()
    assert status == 1 and f"{1 if what == 'checkpoints' else 2} lines" in out and "Traceback" not in err
    told, failures = {"lines": ("OSError: ", 2), "checkpoints": ("OSError: ", 1), "files": ("no further run", 1)}[what]
    assert err.count(told) == err.count("No space left on device") == failures
    monkeypatch.undo()
    assert tiny_experiment(runs).main(Settings(out=tmp_path, jobs=1)) == 0
    assert "2 lines" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["walls", "resnet", "charrnn"])
def test_data_that_is_not_there_gets_one_line_and_no_folder(name, tmp_path, capsys):
    nowhere, out = str(tmp_path / "nowhere"), tmp_path / "out"
    assert main(["paper", name, "--data-dir", nowhere, "--out", str(out)]) == 2
    printed, told = capsys.readouterr()
    assert printed == "" and told.count("\n") == 1 and nowhere in told and not out.exists()


def test_a_run_that_fails_here_shows_where(tmp_path, capsys):
    assert tiny_experiment([tiny(fail=1, at=2)]).main(Settings(out=tmp_path, jobs=1)) == 1
    err = capsys.readouterr().err
    assert "self.accident(options)" in err and "failed: ValueError: it had to fail" in err
