"""The perceptron of the experiments, and the clock of towers, on images made up."""

from functools import partial

import numpy as np
import pytest

import tinyhyper as th
from demos.paper import Place, Run, mnist, pace, train

IMAGES, TESTS = 600, 300  # the third batch holds 88


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (count, mnist.PIXELS), np.uint8) for count in (IMAGES, TESTS)]
    labels = [rng.integers(0, mnist.CLASSES, count) for count in (IMAGES, TESTS)]
    return mnist.Data(images[0], labels[0], images[1], labels[1])


def made(stack, steps=7, seed=0, **options):
    return Run("made up", "demos.paper.mnist", stack, seed, steps, {"images": IMAGES, **options})


def test_bytes_are_what_the_loader_divided():
    every = np.tile(np.arange(256, dtype=np.uint8), (mnist.CHUNK // 100, 1))
    assert np.array_equal(mnist.as_bytes(every / np.float32(255)), every)


def test_an_epoch_shows_each_image_once_scaled_and_with_its_label(data):
    orders = []
    for epoch in range(2):
        perceptron = mnist.Perceptron(made("sgd"), data)
        seen = [[part.copy() for part in perceptron.batch(3 * epoch + step)] for step in range(3)]
        images, labels = map(np.concatenate, zip(*seen))
        assert [len(batch) for batch, _ in seen] == [256, 256, 88]
        rows = {row.tobytes(): n for n, row in enumerate(data.images)}
        orders.append([rows[row.tobytes()] for row in np.rint(images * 255).astype(np.uint8)])
        assert sorted(orders[-1]) == list(range(IMAGES)) and np.array_equal(data.labels[orders[-1]], labels)
    assert orders[0] != orders[1]


@pytest.mark.slow
def test_a_run_is_that_of_a_plain_loop(data, tmp_path):
    run = made("adam/sgd(1e-4)")
    result = train(partial(mnist.Perceptron, run, data), run, Place(tmp_path))
    other = mnist.Perceptron(run, data)
    params, optimizer = dict(other.params), th.optim.from_string(run.stack)
    losses = []
    for step in range(run.steps):
        epoch, batch = divmod(step, 3)
        order = np.random.default_rng([0, 1 + epoch]).permutation(IMAGES)[256 * batch : 256 * (batch + 1)]
        x = th.tensor(data.images[order] * np.float32(1 / 255))
        for name in ("layer1", "layer2"):
            x = th.tanh(x @ params[f"{name}.weight"] + params[f"{name}.bias"])
        loss = th.cross_entropy(x, data.labels[order])
        loss.backward()
        optimizer.step(params)
        losses.append(loss.item())
    assert result["losses"] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:6])], rel=1e-4)
    for level, expected in zip(result["levels"], optimizer.levels):
        assert level == pytest.approx(expected.hyperparameters, rel=1e-3)
    assert result["alphas"][0] != result["alphas"][1] and 0 <= result["error"] <= 100
    assert (result["steps"], result["diverged"]) == (7, False)


def test_the_lowest_alpha_is_that_of_all_steps(data, tmp_path):
    lowest = {}
    for coordinates in ("linear", "log"):
        run = made("sgd(1)/sgd(3)", steps=12, coordinates=coordinates)
        perceptron = mnist.Perceptron(run, data)
        values, after = [], perceptron.after

        def noted(step, loss, values=values, after=after, perceptron=perceptron):
            after(step, loss)
            values.append(perceptron.optimizer.hyperparameters["alpha"])

        perceptron.after = noted
        lowest[coordinates] = train(lambda made=perceptron: made, run, Place(tmp_path))["lowest_alpha"]
        assert lowest[coordinates] == pytest.approx(min(values))
    assert lowest["log"] > 0
    run = made("rmsprop/sgd")
    assert train(partial(mnist.Perceptron, run, data), run, Place(tmp_path))["lowest_alpha"] is None


def test_coordinates_are_those_of_every_level_and_keep_what_is_tuned():
    tower = mnist.tower(made("sgd(0.5)/adam-alpha(0.02, eps=1e-24)/sgd(2)", coordinates="log"))
    levels = tower.state_dict()["levels"]
    assert [level["coordinates"]["alpha"] for level in levels] == ["log"] * 3
    assert [level["tuned"] for level in levels] == [["alpha"], ["alpha"], []]
    assert [level.hyperparameters["alpha"] for level in tower.levels] == pytest.approx([0.5, 0.02, 2])
    assert tower.levels[1].hyperparameters["eps"] == 1e-24


def test_the_error_counts_what_is_taken_for_something_else(data):
    perceptron = mnist.Perceptron(made("sgd"), data)
    scores = mnist.logits(perceptron.params, data.test_images * np.float32(1 / 255)).numpy()
    assert perceptron.error() == pytest.approx(100 * np.mean(scores.argmax(axis=1) != data.test_labels), abs=0.4)


def test_all_heights_are_timed(data, monkeypatch, tmp_path):
    monkeypatch.setattr(
        mnist,
        "load",
        lambda folder: data._replace(images=np.tile(data.images, (100, 1)), labels=np.tile(data.labels, 100)),
    )
    run = Run("made up", "demos.paper.pace", "sgd/...", 0, 4, {"heights": [0, 3], "rounds": 2})
    result = pace.perform(run, Place(tmp_path))
    assert result["heights"] == [0, 3] and all(0 < time < 1e4 for time in result["milliseconds"])


def test_other_numbers_of_images_are_trained_on_for_as_many_epochs(data, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "load", lambda folder: data)
    run = mnist.fitted(Run("made up", "demos.paper.mnist", "sgd", 0, mnist.steps(2)), None)
    assert run.steps == 2 * 3 and run.options == {"images": IMAGES} and mnist.fitted(run, None) == run
    assert len(mnist.perform(run, Place(tmp_path))["losses"]) == 2
    tower = mnist.Perceptron(Run("made up", "demos.paper.mnist", "sgd", 0, 6), data)  # as in `pace`
    assert (tower.images, tower.epoch) == (IMAGES, 3)


def test_the_usual_number_of_images_leaves_a_run_its_key(data, monkeypatch):
    usual = data._replace(images=np.empty((mnist.IMAGES, 0), np.uint8))
    monkeypatch.setattr(mnist, "load", lambda folder: usual)
    run = Run("made up", "demos.paper.mnist", "sgd", 0, mnist.steps(2))
    assert mnist.fitted(run, None).key == run.key
