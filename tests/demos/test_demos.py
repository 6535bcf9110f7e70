"""python -m demos: in a process of its own, as a user runs it, where that matters; else called in this one."""

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from demos import bugs, digits, horizon, myopia
from demos.__main__ import DEMOS, main, parse
from demos.shared.settings import Settings, UsageError
from tinyhyper import hyper

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def start(*arguments, code=None, folder=None, stdout=subprocess.PIPE):
    """Start `python -m demos` in an empty folder, with the checkout on the path."""
    command = ["-c", code] if code else ["-m", "demos"]
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        cwd=folder or ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run(*arguments, code=None, folder=None):
    process = start(*arguments, code=code, folder=folder)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture
def call(capsys):
    """What `run` gives, without a process: of the command called in this one."""

    def call(*arguments):
        return main([*map(str, arguments)]), *capsys.readouterr()

    return call


def test_at_top_there_are_at_most_ten_modules_that_a_newcomer_can_read():
    modules = [path for path in (ROOT / "demos").glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert len(modules) <= 10 and all(len(path.read_text().splitlines()) < 300 for path in modules)


def test_help_names_the_demos_the_options_and_examples():
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for word in ("digits", "--stack", "--alpha", "--epochs", "--seed", "--out", "examples:", "adam/sgd"):
        assert word in out


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["figure1"], 1, "what was found cannot be printed: .*No space left on device"),
        (["--help"], 1, "what was found cannot be printed: .*No space left on device"),
        (["nonsense"], 2, "no demo is named 'nonsense'"),
    ],
)
def test_an_output_that_takes_nothing_is_told_in_a_line_and_files_are_written(arguments, status, words, tmp_path):
    with open("/dev/full", "w") as full:
        process = start(*arguments, "--out", tmp_path / "out", stdout=full)
    _, err = process.communicate(timeout=300)
    assert process.returncode == status and err.count("\n") == 1 and re.search(words, err)
    assert len([*tmp_path.glob("out/*.svg")]) == (4 if arguments == ["figure1"] else 0)


def test_a_reader_who_leaves_costs_no_file_and_no_line(tmp_path):
    process = start("figure1", "--out", tmp_path)
    process.stdout.close()
    assert (process.wait(300), process.stderr.read()) == (1, "") and len([*tmp_path.iterdir()]) == 4


@pytest.mark.skipif(os.name == "nt", reason="there are no limits")
def test_a_disk_that_takes_no_file_is_told_in_a_line_and_what_was_found_is_printed(tmp_path):
    code = (
        "import resource, sys; from demos.__main__ import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); sys.exit(main(sys.argv[1:]))"
    )
    status, out, err = run("figure1", "--out", tmp_path, code=code)
    assert status == 1 and err.count("\n") == 1 and re.search(f"File too large: '{tmp_path}.*svg'", err)
    assert out.count("✂") > 3 and f"In {tmp_path}: " not in out and list(tmp_path.iterdir()) == []


def test_a_tilde_is_the_home_of_who_typed_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    _, settings = parse(["paper", "table1", "--out=~/results", "--data-dir=~/data"])
    assert (settings.out, settings.data) == (tmp_path / "results", tmp_path / "data")
    with pytest.raises(UsageError, match="--out.*'~nobody-of-this-name/x' is not a folder"):
        parse(["--out=~nobody-of-this-name/x"])


WRONG = {
    "unknown demo": (["nonsense"], "nonsense.*digits"),
    "an old name": (["table1", "--quick"], "say python -m demos paper table1"),
    "unknown option": (["--bananas"], "--bananas"),
    "unknown optimizer": (["--stack", "adam/bananas"], "bananas"),
    "empty stack": (["--stack", ""], "stack"),
    "missing level": (["--stack", "adam//sgd"], "stack"),
    "open bracket": (["--stack", "adam(0.1/sgd"], "stack"),
    "word for a number": (["--stack", "adam(high)"], "high"),
    "unknown hyperparameter": (["--stack", "adam(bananas=1)"], "bananas"),
    "beta out of range": (["--stack", "adam(0.1, 1.5)/sgd"], "beta1"),
    "two alphas": (["--stack", "adam(0.1)", "--alpha", "0.1"], "--alpha"),
    "one stack of two is wrong": (["--stack", "sgd", "--stack", "sdg"], "sdg"),
    "no epochs": (["--epochs", "0"], "--epochs.*'0'"),
    "negative epochs": (["--epochs", "-3"], "--epochs.*'-3'"),
    "epochs in words": (["--epochs", "many"], "--epochs.*'many'"),
    "negative seed": (["--seed", "-1"], "--seed"),
    "alpha nan": (["--alpha", "nan"], "--alpha.*nan"),
    "alpha inf": (["--alpha", "inf"], "--alpha.*inf"),
    "alpha zero": (["--alpha", "0"], "--alpha"),
    "no folder": (["--out", ""], "--out"),
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments, line", WRONG.values(), ids=WRONG)
def test_wrong_input_gets_one_line_and_writes_nothing(arguments, line, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(*arguments)
    assert status == 2 and out == ""
    assert err.count("\n") == 1 and re.search(line, err)
    assert list(tmp_path.iterdir()) == []


GIVEN = {
    "--stack": "sgd", "--alpha": "0.1", "--epochs": "3", "--seed": "1", "--quick": None, "--threads": "2",
    "--only": "4a", "--again": None, "--seeds": "2", "--jobs": "1", "--dask": "here",
    "--data-dir": "there", "--out": "elsewhere",
}  # fmt: skip
RUNNER = {"--epochs", "--seed", "--seeds", "--quick", "--again", "--jobs", "--dask", "--data-dir", "--out"}
TAKES = {
    "digits": {"--stack", "--alpha", "--epochs", "--seed", "--out"},
    "figure1": {"--out"},
    "horizon": {"--seed", "--out"},
    "myopia": {"--seed", "--out"},
    "bugs": {"--seed", "--out"},
    "soak": {"--seed", "--quick", "--out"},
    "bench": {"--threads", "--only", "--quick", "--again", "--out"},
    **{
        f"paper {name}": RUNNER
        for name in ("table1", "walls", "resnet", "charrnn", "bounded", "fedexp", "private", "meta", "augment")
    },
    "paper towers": RUNNER | {"--only"},
    "paper results": {"--out"},
    "lowering": set(),
    "course": {"--out"},
    "lesson 1": {"--out"},
}


def test_the_options_of_every_demo_are_listed():
    assert {name.removesuffix(" 1") for name in TAKES} == DEMOS.keys()


@pytest.mark.parametrize("demo", TAKES)
def test_every_demo_takes_its_own_options_and_refuses_the_others(demo):
    if demo == "course":
        pytest.importorskip("nbformat")
    for option, value in GIVEN.items():
        words = [*demo.split(), option, *filter(None, [value])]
        if option in TAKES[demo]:
            assert parse(words)[1] != Settings()
        else:
            name = demo.removesuffix(" 1")
            with pytest.raises(UsageError, match=f"arguments: {option}.*python -m demos {name} --help"):
                parse(words)


@pytest.mark.parametrize("demo", [demo for demo in DEMOS if demo.startswith("paper ")])
def test_an_old_name_is_answered_with_the_new_one(demo):
    with pytest.raises(UsageError, match=f"say python -m demos {demo}$"):
        parse([demo.split()[1], "--quick"])


def test_the_command_says_what_was_asked_for_and_not_where():
    settings = Settings(quick=True, seed=3, only=("4a", "4b"), jobs=2, data="somewhere", out="elsewhere")
    assert settings.command("paper towers") == "python -m demos paper towers --only 4a --only 4b --quick --seed 3"
    again = replace(settings, only=(), again=True)
    assert again.command("paper table1") == "python -m demos paper table1 --quick --seed 3"


@pytest.mark.slow
def test_an_output_folder_that_is_a_file_is_left_as_it_was(call, tmp_path):
    occupied = tmp_path / "results"
    occupied.write_text("mine")
    for out in (occupied, occupied / "below"):
        status, _, err = call("--out", out)
        assert status == 2 and err.count("\n") == 1 and str(out) in err
    assert occupied.read_text() == "mine" and list(tmp_path.iterdir()) == [occupied]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_gets_one_line(tmp_path):
    tmp_path.chmod(0o500)
    status, _, err = run("--out", tmp_path)
    tmp_path.chmod(0o700)
    assert status == 2 and err.count("\n") == 1 and str(tmp_path) in err


@pytest.mark.parametrize(("package", "demo"), [("matplotlib", "digits"), ("tqdm", "digits"), ("nbformat", "course")])
def test_a_missing_package_says_what_to_install(package, demo, tmp_path):
    code = f"import sys; sys.modules['{package}'] = None; from demos.__main__ import main; sys.exit(main(['{demo}']))"
    status, out, err = run(code=code, folder=tmp_path)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and package in err
    assert f'pip install "tinyhyper[{"course" if demo == "course" else "demos"}]"' in err
    assert list(tmp_path.iterdir()) == []


def rows(out):
    """The table that was printed: stack, alpha before and after, test error, seconds."""
    found = re.findall(r"^([a-z]\S*) +(\S+) +(\S+) +(\S+) +(\d\S*)$", out, flags=re.MULTILINE)
    return [(stack, *map(float, numbers)) for stack, *numbers in found]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """One epoch of a tower and of plain SGD, from a far too small alpha."""
    folder = tmp_path_factory.mktemp("short") / "new" / "folder"
    chosen = ["--stack", "sgd", "--stack", "adam/sgd", "--alpha", "1e-5", "--epochs", 1]
    status, out, err = run("digits", *chosen, "--out", folder)
    assert status == 0, err
    return folder, out


@pytest.mark.slow
def test_a_run_prints_a_table_in_which_the_tower_has_learned(short):
    (plain, before, after, plain_error, seconds), (tower, tower_before, tower_after, tower_error, _) = rows(short[1])
    assert plain == "sgd" and before == after == tower_before == 1e-5 and 0 <= seconds < 200
    assert tower.startswith("adam/sgd(") and tower_after > 50 * tower_before
    assert tower_error < 50 < plain_error <= 100


def test_a_run_prints_the_tape_with_its_cuts_and_names_its_folder(short):
    folder, out = short
    assert "✂" in out
    assert out.rstrip().splitlines()[-1] == f"In {folder}: curves.png, cut.svg"


def test_a_run_writes_both_pictures_and_nothing_else(short):
    folder, _ = short
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "cut.svg"]
    assert (folder / "curves.png").read_bytes().startswith(PNG)
    assert ElementTree.parse(folder / "cut.svg").getroot().tag.endswith("svg")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_seed_another(call, tmp_path):
    chosen = ["--stack", "sgd/sgd", "--alpha", "0.01", "--epochs", 1, "--out", tmp_path]
    first, again, other = (rows(way(*chosen, "--seed", seed)[1]) for way, seed in ((run, 1), (call, 1), (call, 2)))
    assert [row[:4] for row in first] == [row[:4] for row in again] != [row[:4] for row in other]


@pytest.mark.slow
def test_a_diverged_run_is_said_to_have_diverged(call, tmp_path):
    status, out, err = call("--stack", "sgd/sgd(1e300)", "--alpha", "1", "--epochs", 1, "--out", tmp_path)
    assert status == 0 and "NaN at step" in out and "Warning" not in err
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_leaves_what_was_finished_and_says_where(tmp_path):
    code = """if True:
        import sys
        from demos import digits
        from demos.__main__ import main
        train = digits.train
        digits.train = lambda *given: (print("training", flush=True), train(*given))[1]
        sys.exit(main(sys.argv[1:]))
    """
    chosen = ["--stack", "sgd", "--alpha", "0.1", "--epochs", 10**6, "--out", tmp_path / "out"]
    process = start(*chosen, code=code)
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "Interrupted: 0 of 1 runs" in out and f"In {tmp_path / 'out'}: cut.svg" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cut.svg"]


@pytest.mark.slow
def test_the_meter_reads_every_problem_and_a_ridge_whose_minimum_is_known(call, tmp_path, monkeypatch):
    first, *_ = horizon.problems()
    monkeypatch.setattr(horizon, "problems", lambda: [first])
    status, out, err = call("myopia", "--seed", 2, "--out", tmp_path)
    assert (status, err) == (0, "") and "5 % of the whole run's" in out
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["myopia-quadratic-without-noise.svg", "myopia-ridge-regression.svg"]
    run, exact = myopia.ridge(2)
    assert f"{exact:.10g}, in closed form" in out
    for way in ("implicit", "unroll"):
        assert hyper.gradient(run, way).gradients["decay"] == pytest.approx(exact, rel=1e-8)


def test_the_horizon_shows_the_wrong_sign_of_one_step_and_the_full_hypergradient(call, tmp_path, monkeypatch):
    few = [problem._replace(horizons=problem.horizons[:: len(problem.horizons) - 1]) for problem in horizon.problems()]
    monkeypatch.setattr(horizon, "problems", lambda: few)
    status, out, err = call("horizon", "--seed", 1, "--out", tmp_path)
    assert status == 0, err
    assert len(re.findall(r"that of one step has the wrong sign", out)) == 3
    slopes = re.findall(r"^full hypergradient (\S+), by differences (\S+);", out, flags=re.MULTILINE)
    assert len(slopes) == 3 and all(float(full) == pytest.approx(float(other), rel=1e-4) for full, other in slopes)
    assert out.rstrip().endswith(f"In {tmp_path}: horizon.png")
    assert [path.name for path in tmp_path.iterdir()] == ["horizon.png"]
    assert (tmp_path / "horizon.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_every_bug_shows_in_its_curve(call, tmp_path, monkeypatch):
    long = "alpha clamped"  # which shows after a hundred steps only; fifty are enough for all others
    short = {name: c if name == long else c._replace(steps=min(c.steps, 50)) for name, c in bugs.CURVES.items()}
    monkeypatch.setattr(bugs, "CURVES", short)
    status, out, err = call("bugs", "--seed", 1, "--out", tmp_path)
    assert (status, err) == (0, "")
    ends = re.findall(r"^ *(\d+)  .* (\S+) +(\S+) +\d+$", out, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in ends] == list(range(1, 17))
    assert all(right not in (faulty, "nan") for _, right, faulty in ends)
    assert out.rstrip().endswith(f"In {tmp_path}: bugs.png")
    assert (tmp_path / "bugs.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_ctrl_c_keeps_the_table_and_the_curves_of_finished_runs(call, tmp_path, monkeypatch):
    train, names = digits.train, []

    def interrupted(run, *others):
        names.append(run.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return train(run, *others)

    monkeypatch.setattr(digits, "train", interrupted)
    chosen = ["--stack", "sgd", "--stack", "adam", "--stack", "rmsprop", "--epochs", 1, "--alpha", 0.01]
    status, out, _ = call(*chosen, "--out", tmp_path)
    assert status == 130 and "Interrupted: 1 of 3 runs" in out
    assert [row[0] for row in rows(out)] == ["sgd"]
    assert f"In {tmp_path}: curves.png, cut.svg" in out and (tmp_path / "curves.png").read_bytes().startswith(PNG)
