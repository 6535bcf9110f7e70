"""The experiments with networks: an interrupted training goes on to the same numbers; their tables and pictures."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from interrupted import whole_and_joined
from made_up import PNG, line

import tinyhyper as th
from demos.paper import Place, Run, characters, charrnn, cifar, resnet, results, train
from demos.paper.run import plain
from demos.shared.settings import Settings, UsageError

RNG = np.random.default_rng(0)
PHOTOGRAPHS = th.data.Split(
    RNG.standard_normal((10, 32, 32, 3), np.float32),
    RNG.integers(0, 10, 10),
    RNG.standard_normal((4, 32, 32, 3), np.float32),
    RNG.integers(0, 10, 4),
)
TEXT = th.data.as_text("Well, Prince, so Genoa and Lucca are now just family estates. The end. " * 40)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar, "BATCH", 4)
    monkeypatch.setattr(characters, "BATCH", 3)
    monkeypatch.setattr(characters, "LENGTH", 5)
    monkeypatch.setattr(characters, "HIDDEN", 4)
    monkeypatch.setattr(characters, "NOTED", 2)


def residual(steps=5):
    options = {"rates": resnet.rates(0.1, 0.9), "decay": [1]}
    return cifar.Residual, Run("test", cifar.__name__, resnet.stack(0.1, 0.9), 3, steps, options), PHOTOGRAPHS


def writer(steps=9):
    options = {"rates": charrnn.rates(2e-3), "sample": 20, "characters": 60, "tests": 40}
    return characters.Writer, Run("test", characters.__name__, "adam(2e-3)", 3, steps, options), TEXT


def outcome(kind, run, data, place):
    """The result as JSON has it."""
    return plain(train(lambda: kind(run, data), run, place))


@pytest.mark.slow
@pytest.mark.parametrize("training", [residual, writer])
def test_an_interrupted_training_goes_on_to_the_same_numbers(training, tmp_path):
    kind, run, data = training()
    for at in (2, 3, run.steps - 1):  # alpha is divided by 10 between the first two
        whole, joined = whole_and_joined(lambda: kind(run, data), run, tmp_path / str(at), at)
        assert plain(whole) == plain(joined)


@pytest.mark.slow
def test_what_a_residual_network_leaves(tmp_path):
    kind, run, data = residual(steps=6)
    result = outcome(kind, run, data, Place(tmp_path))
    assert len(result["losses"]) == len(result["errors"]) == 2 and len(result["hyperparameters"]) == 3
    before, between, after = (values["alpha"] for values in result["hyperparameters"])
    assert before == 0.1 and abs(between - 0.01) < 0.005 and abs(after - 0.01) < 0.005  # divided by ten after an epoch
    assert result["hyperparameters"][0]["weight_decay"] == result["hyperparameters"][-1]["weight_decay"] == 1e-4
    assert result["error"] == result["errors"][-1] and 0 <= result["error"] <= 100


@pytest.mark.slow
def test_what_a_writer_leaves(tmp_path):
    kind, run, data = writer()
    result = outcome(kind, run, data, Place(tmp_path))
    assert len(result["training"]) == 4 and 1 < result["perplexity"] < 2 * len(TEXT.characters)
    assert len(result["sample"]) == 20 + len(characters.START) and result["sample"].startswith(characters.START)
    assert set(result["sample"]) <= set(TEXT.characters)


@pytest.mark.parametrize("words", ["привет, мир. ", "the the "])
def test_a_text_of_any_characters_can_be_begun(words, tmp_path):
    kind, run, _ = writer(steps=2)
    text = th.data.as_text(words * 100)
    start = characters.beginning(text)
    result = outcome(kind, run, text, Place(tmp_path))
    assert start == words[:4] and result["sample"].startswith(start) and len(result["sample"]) == 24


def test_a_text_that_is_too_short_gets_one_line(tmp_path, monkeypatch):
    folder, out = tmp_path / "data", tmp_path / "out"
    folder.mkdir()
    for count in (79, 80):  # batches have 3 rows: the end needs 4 characters
        (folder / "war_and_peace.txt").write_text("x" * count)
        characters.load.cache_clear()
        if count == 80:
            characters.load(folder)
            break
        with pytest.raises(UsageError, match="3 characters; it needs 80 in all"):
            charrnn.EXPERIMENT.main(Settings(data=folder, out=out, quick=True, jobs=1))
    assert not out.exists()


def test_the_state_is_carried_within_an_epoch_and_cut():
    kind, run, data = writer()
    training = kind(run, data)
    count = len(training.batches)
    assert count > 3
    begins = []
    with th.record() as tape:
        for step in range(count + 1):
            batch = training.batch(step)
            begins.append(not any(state.numpy().any() for state in training.carried.values()))
            training.loss(training.params, *batch)
    assert begins == [True, *[False] * (count - 1), True]  # the first batch, and where the text begins anew
    assert sum(cut.reason == "carried state" for cut in tape.cuts) == 2 * characters.LAYERS * (count + 1)


def test_perplexity_is_of_all_test_characters():
    kind, run, data = writer()
    training = kind(run, data)
    assert len({batch[0].shape for batch in training.tests}) == 2  # the last batch is shorter and must count for less
    nats, state = [], None
    for inputs, targets in training.tests:
        logits, state = training.network(training.params, inputs.T, state)
        logs = th.log_softmax(logits).numpy()
        nats += [-logs[t, b, target] for (b, t), target in np.ndenumerate(targets)]
    assert training.perplexity() == pytest.approx(np.exp(fmean(nats)), rel=1e-5)


# Tables and pictures, from made-up lines


def resnet_lines(monkeypatch, seeds=1):
    monkeypatch.setattr(cifar, "load", lambda folder: PHOTOGRAPHS)
    lines = []
    for run in resnet.plan(Settings(epochs=2, seeds=seeds)):
        tuned = run.options["name"] == resnet.TUNED
        values = {"alpha": run.options["alpha"] * (2 if tuned else 1), "mu": run.options["mu"], "weight_decay": 1e-4}
        epochs = run.steps // 3
        errors = [50.0 - 10 * tuned + run.seed] * epochs
        result = {"error": errors[-1], "errors": errors, "losses": errors, "hyperparameters": [values] * (epochs + 1)}
        lines.append(line(run, **result))
    return lines


def test_resnet_has_nine_settings_twice_and_three_decays(monkeypatch):
    lines = resnet_lines(monkeypatch)
    assert len(lines) == len({line.run.key for line in lines}) == 9 * 2 + 3
    settings = resnet.grouped(lines, "2a")
    assert set(settings) == {(alpha, mu) for alpha in resnet.ALPHAS for mu in resnet.MUS}
    tuned = [line for line in lines if line.run.options["name"] == resnet.TUNED]
    assert all(line.run.options["rates"] == resnet.rates(*key) for key, line in zip(settings, tuned))


def test_the_table_of_resnet(monkeypatch):
    text = resnet.markdown(resnet_lines(monkeypatch, seeds=2))
    assert "50.5 ± 0.7" in text and "40.5 ± 0.7" in text  # of seeds 0 and 1
    assert "as good as plain, or better, in 9 of 9 settings" in text and "2 epochs of 10 images" in text
    assert "6 epochs of 10 images" in text


@pytest.mark.parametrize("count", [0, 1, 7, 21])
def test_resnet_shows_what_there_is(monkeypatch, count):
    lines = resnet_lines(monkeypatch)[:count]
    assert resnet.markdown(lines).startswith("## Figure 2")
    assert resnet.pictures(lines)["resnet.png"].startswith(PNG)


def charrnn_lines():
    lines = []
    for run in charrnn.plan(Settings()):
        values = {"alpha": run.options["alpha"], "beta1": 0.9, "beta2": 0.999}
        perplexity = 6.0 if run.options["name"] == charrnn.TUNED else 7.0
        sample = f"The {run.stack}"
        result = {"perplexity": perplexity, "training": [9.0, 8.0], "hyperparameters": [values] * 3, "sample": sample}
        lines.append(line(run, **result))
    return lines


def test_the_table_of_charrnn():
    text = charrnn.markdown(charrnn_lines())
    assert "7.00" in text and "6.00" in text and "5.27 ±.31" in text and "after 5,000 steps" in text
    assert "has a perplexity of 6.00, and writes:" in text


@pytest.mark.parametrize("count", [0, 1, 6])
def test_charrnn_shows_what_there_is(count):
    lines = charrnn_lines()[:count]
    assert charrnn.markdown(lines).startswith("## Figure 3")
    assert charrnn.pictures(lines)["charrnn.png"].startswith(PNG)


def test_a_run_that_diverged_stands_as_nan():
    first = charrnn_lines()[0]
    result = {**first.result, "perplexity": None, "sample": ""}
    assert "NaN" in charrnn.markdown([first._replace(result=result)])


# The page of all


def test_the_page_has_a_section_for_every_experiment_and_the_pictures_lie_beside_it(tmp_path, capsys):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "charrnn.jsonl").write_text("".join(line.text() + "\n" for line in charrnn_lines()))
    assert results.main(Settings(out=folder)) == 0
    page = (tmp_path / "results.md").read_text()
    assert "## Figure 3" in page and "(results/charrnn.png)" in page and "$" not in page
    assert (folder / "charrnn.png").read_bytes().startswith(PNG)
    missing = [experiment.name for experiment in results.EXPERIMENTS if experiment.name != "charrnn"]
    assert all(f"`python -m demos paper {name}` has left nothing" in page for name in missing)


def test_a_page_is_made_from_within_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "charrnn.jsonl").write_text(charrnn_lines()[0].text() + "\n")
    monkeypatch.chdir(folder)
    assert results.main(Settings(out=Path("."))) == 0
    assert "(mine/charrnn.png)" in (tmp_path / "mine.md").read_text()


@pytest.mark.parametrize("out", ["/", "..", "nowhere"])
def test_a_folder_with_no_lines_gets_one_line_and_no_page(out, tmp_path, monkeypatch, capsys):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert results.main(Settings(out=Path(out))) == 1
    assert capsys.readouterr().err == f"python -m demos: nothing found in {Path(out).resolve()}\n"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", inner]
