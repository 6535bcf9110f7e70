"""The soak, shortened: two ends that are compared byte by byte, and what is shown of the way."""

import json
from pathlib import Path

import pytest

import tinyhyper as th
from demos import soak
from demos.shared.settings import Settings

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def here(monkeypatch):
    """No processes of their own, and few steps."""
    monkeypatch.setattr(soak, "apart", lambda call, *arguments: call(*arguments))
    monkeypatch.setattr(soak, "QUICK", 400)
    monkeypatch.setattr(soak, "QUICK_JOINED", 60)
    monkeypatch.setattr(soak, "PART", 25)
    monkeypatch.setattr(soak, "SAMPLES", 8)


def run(folder, capsys):
    status = soak.main(Settings(quick=True, out=folder))
    return status, capsys.readouterr().out, json.loads((folder / "soak.json").read_text())


@pytest.mark.slow
def test_ten_runs_end_where_one_does_and_the_way_is_shown(here, tmp_path, capsys):
    status, out, found = run(tmp_path, capsys)
    assert status == 0 and found["same"] and found["towers"][0] == found["towers"][1]
    assert found["command"] == "python -m demos soak --quick"
    assert [sample["step"] for sample in found["samples"]] == list(range(50, 401, 50))
    assert len({(sample["nodes"], sample["tensors"]) for sample in found["samples"]}) == 1, "what is alive stays flat"
    assert f"It ended at {found['end']}." in out and "One run of 60 steps" in out
    assert "10 runs joined by checkpoints ended at the same bytes" in out
    assert out.rstrip().endswith(f"In {tmp_path}: soak.png, soak.json")
    assert (tmp_path / "soak.png").read_bytes().startswith(PNG)


def test_the_docs_show_what_was_found():
    docs = Path(__file__).parents[2] / "docs"
    found = json.loads((docs / "figures" / "soak.json").read_text())
    samples = [soak.Sample(**sample) for sample in found["samples"]]
    assert found["same"] and samples[-1].step == soak.STEPS
    told = soak.table(samples, found["end"], found["joined"], found["same"], found["towers"])
    assert told in (docs / "checkpoints.md").read_text()


def without_the_live_edge(run, path):
    th.load(path, run.optimizer)
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    run.params, extra = th.load(path)
    run.rng.bit_generator.state = extra["rng"]


@pytest.mark.slow
def test_a_checkpoint_that_loses_the_live_edge_is_noticed(here, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(soak.Soaked, "load", without_the_live_edge)
    status, out, found = run(tmp_path, capsys)
    assert status == 1 and not found["same"] and "OTHER BYTES" in out


@pytest.mark.slow
def test_a_leg_runs_in_a_process_of_its_own(tmp_path):
    soak.leg(0, None, 4, tmp_path / "once.npz")
    soak.apart(soak.leg, 0, None, 2, tmp_path / "joined.npz")
    soak.apart(soak.leg, 0, tmp_path / "joined.npz", 2, tmp_path / "joined.npz")
    assert (tmp_path / "once.npz").read_bytes() == (tmp_path / "joined.npz").read_bytes()
