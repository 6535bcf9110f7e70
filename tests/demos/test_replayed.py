"""The experiments' trainings, replayed: the numbers are those of the eager loop, also after an interruption."""

import numpy as np
import pytest
from interrupted import whole_and_joined

import tinyhyper as th
from demos.paper import Run, bounded, characters, charrnn, cifar, mnist, panels, resnet, table1
from demos.shared.settings import Settings

STEPS = 100
RNG = np.random.default_rng(0)
IMAGES = 8 * mnist.BATCH + 88  # the ninth batch is a short one, which the program does not make
DATA = mnist.Data(
    RNG.integers(0, 256, (IMAGES, mnist.PIXELS), np.uint8), RNG.integers(0, mnist.CLASSES, IMAGES),
    RNG.integers(0, 256, (300, mnist.PIXELS), np.uint8), RNG.integers(0, mnist.CLASSES, 300),
)  # fmt: skip
TEXT = th.data.as_text("Well, Prince, so Genoa and Lucca are now just family estates. The end. " * 600)
PHOTOGRAPHS = th.data.Split(
    RNG.standard_normal((36, 32, 32, 3), np.float32), RNG.integers(0, 10, 36),
    RNG.standard_normal((4, 32, 32, 3), np.float32), RNG.integers(0, 10, 4),
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar, "BATCH", 4)


def perceptron(stack, **options):
    return lambda: mnist.Perceptron(Run("", mnist.__name__, stack, 0, STEPS, {"images": IMAGES, **options}), DATA)


def writer(stack, **options):
    return lambda: characters.Writer(Run("", characters.__name__, stack, 0, STEPS, {"tests": 200, **options}), TEXT)


def residual(stack, **options):
    return lambda: cifar.Residual(Run("", cifar.__name__, stack, 0, STEPS, options), PHOTOGRAPHS)


BOUNDED = {run.stack: run.options for run in bounded.plan(Settings(quick=True)) if run.options["alpha"] == 1e-2}
TRAININGS = {
    **{row.stack: perceptron(row.stack) for row in table1.ROWS},
    **{panels.PANELS[name].stack(0.01, 5): perceptron(panels.PANELS[name].stack(0.01, 5)) for name in ("4a", "4b")},
    **{stack: perceptron(stack, coordinates=options["coordinates"]) for stack, options in BOUNDED.items()},
    "character LSTM": writer("adam(2e-3)", rates=charrnn.rates(2e-3)),
    "ResNet-20": residual(resnet.stack(0.1, 0.9), rates=resnet.rates(0.1, 0.9)),
}
FEWER = {"character LSTM": 12, "ResNet-20": 8}
QUICK = ("sgd/sgd",)


def marked(names):
    """All are slow but the quick one."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def ended(training, make, steps):
    """The losses, the weights and all hyperparameters after some steps."""
    with np.errstate(all="ignore"):
        losses = [make(*training.batch(step)) for step in range(steps)]
    levels = [value for level in training.optimizer.levels for value in level.hyperparameters.values()]
    return [np.array(losses), *(w.numpy() for w in training.params.values()), np.array(levels)]


@pytest.mark.parametrize("name", marked(TRAININGS))
def test_replay_makes_the_steps_of_the_eager_loop(name):
    steps = FEWER.get(name, STEPS)
    eager, native, exact = (TRAININGS[name]() for _ in range(3))
    expected = ended(eager, eager.eagerly, steps)
    make = th.replay(native.loss, native.params, native.optimizer, carry=carry(native))
    for mine, its in zip(ended(native, make, steps), expected, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-4 * np.abs(its).max())
    assert make.program is not None
    make = th.replay(exact.loss, exact.params, exact.optimizer, carry=carry(exact), exact=True)
    for mine, its in zip(ended(exact, make, steps), expected, strict=True):
        np.testing.assert_array_equal(mine, its)
    for name, carried in carry(eager).items():
        np.testing.assert_array_equal(th.tensor(carry(exact)[name]).numpy(), th.tensor(carried).numpy())


def carry(training):
    """What the loss reads and replaces."""
    return training.carried if training.model is None else training.model.live_buffers


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 14])
def test_an_interrupted_perceptron_goes_on_to_the_same_numbers(at, tmp_path):
    run = Run("", mnist.__name__, "adam/sgd(1e-4)", 0, 20)
    whole, joined = whole_and_joined(perceptron(run.stack), run, tmp_path, at)
    assert joined["losses"] == pytest.approx(whole["losses"], rel=1e-5) and len(whole["losses"]) == 2
    assert joined["alphas"] == pytest.approx(whole["alphas"], rel=1e-5) and joined["steps"] == whole["steps"] == 20
    assert joined["levels"] == [pytest.approx(level, rel=1e-5) for level in whole["levels"]]
