"""The symptoms of the bug museum: curves of wrong hyperoptimizers on handwritten digits, beside those of right ones.

`python -m demos bugs` prints where each pair of curves ends, and draws them; `museum` has the optimizers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

import tinyhyper as th

from . import digits, museum
from .museum import exhibits, properties
from .museum.exhibits import Loss, Params
from .shared import output
from .shared.report import COLOURS, png, tidy
from .shared.settings import Settings, shared

STEPS = 300
BATCH = 32
COLUMNS = 4

Read = Callable[[Any, Params, Params, float], float]


options = shared("seed", "out")


class Curve(NamedTuple):
    """What is drawn of an exhibit.

    label: what `read` reads off the optimizer, the weights before a step and after it, and the loss; of a test, what it
    returns.
    rates: alpha and kappa.  steps: how many.  scale: of the axis.
    """

    label: str
    read: Read
    rates: tuple[float, float]
    steps: int = STEPS
    scale: str = "linear"


def hyperparameter(name: str) -> Read:
    """Reads a hyperparameter."""
    return lambda optimizer, *_: optimizer.hyperparameters[name]


def loss_before(optimizer: Any, before: Params, after: Params, loss: float) -> float:
    return loss


def nodes(optimizer: Any, before: Params, after: Params, loss: float) -> float:
    return properties.behind(after)


def length(optimizer: Any, before: Params, after: Params, loss: float) -> float:
    """The root mean square of what the weights moved, as a multiple of alpha."""
    moved = np.concatenate([np.ravel(after[name].data - w.data) for name, w in before.items()])
    return float(np.sqrt(np.mean(moved**2))) / optimizer.hyperparameters["alpha"]


def drift(tower: Any, before: Params, after: Params, loss: float) -> float:
    """How far alpha has gone from 1/8, in units of 1e-9."""
    return 1e9 * (tower.hyperparameters["alpha"] - 0.125)


ALPHA = hyperparameter("alpha")
CURVES = {
    "alpha in the loop": Curve("alpha", ALPHA, (0.1, 0.01)),
    "bias of one step": Curve("rms of a step / alpha", length, (0.01, 1e-5)),
    "v from 0": Curve("loss", loss_before, (0.01, 1e-5), steps=30),
    "betas not bounded": Curve("beta2", hyperparameter("beta2"), (0.01, 0.1), steps=10),
    "clipping unseen": Curve("alpha", ALPHA, (0.1, 0.1)),
    "weights first": Curve("alpha", ALPHA, (0.1, 0.01)),
    "slope of the whole run": Curve("slope by alpha", ALPHA, (0.1, 0.0), steps=40),
    "alpha cut": Curve("loss", loss_before, (0.01, 0.01)),
    "weights in place": Curve("alpha", ALPHA, (0.1, 0.01)),
    "nothing cut": Curve("nodes kept", nodes, (0.1, 0.01), steps=100, scale="log"),
    "state not cut": Curve("nodes kept", nodes, (0.1, 0.01), steps=100, scale="log"),
    "no zero_grad": Curve("alpha", ALPHA, (0.1, 0.01)),
    "single precision": Curve("(alpha − 1/8) · 1e9", drift, (0.125, 1e-9)),
    "uphill": Curve("loss", loss_before, (0.1, 0.01)),
    "alpha clamped": Curve("alpha", ALPHA, (1.0, 1.0)),
    "state by tensor": Curve("loss", loss_before, (0.1, 0.0)),
}


def problem(rng: np.random.Generator, steps: int) -> tuple[Params, list[Loss]]:
    """The MLP of the demo `digits` in float64, and the losses on its minibatches."""
    data = th.data.digits()
    images = data.train_images.astype(np.float64)
    params = digits.doubled(rng)
    chosen = rng.integers(len(images), size=(steps, BATCH))
    return params, [partial(loss, images[batch], data.train_labels[batch]) for batch in chosen]


def loss(images: np.ndarray, labels: np.ndarray, params: Params) -> th.Tensor:
    return th.cross_entropy(digits.logits(params, images), labels)


def run(name: str, kind: Any, seed: int) -> list[float]:
    """The curve of one of the two of an exhibit, up to where it is no longer a number."""
    warnings.simplefilter("ignore", th.AnomalyWarning)
    curve, exhibit = CURVES[name], museum.EXHIBITS[name]
    params, losses = problem(np.random.default_rng(seed), curve.steps)
    subject = museum.built(kind, *curve.rates)
    if kind in exhibits.HORIZONS:
        return [subject(losses[:count], params, curve.rates[0]) for count in range(2, curve.steps + 1)]
    values: list[float] = []
    for loss in losses:
        now = loss(params)
        now.backward(**exhibit.flags)
        before = dict(params)
        subject.step(params)
        values.append(curve.read(subject, before, params, now.item()))
        if not np.isfinite(values[-1]):
            break
    return values


def pair(name: str, seed: int) -> tuple[list[float], list[float]]:
    """The curves of the right and of the faulty one."""
    exhibit = museum.EXHIBITS[name]
    return run(name, exhibit.right, seed), run(name, exhibit.faulty, seed)


def draw(axes: Axes, number: int, name: str, right: list[float], faulty: list[float]) -> None:
    """Both curves of an exhibit."""
    for values, colour, style, label in ((right, COLOURS[1], "-", "right"), (faulty, COLOURS[2], "--", "faulty")):
        numbers = np.arange(1, len(values) + 1)
        axes.plot(numbers, values, color=colour, linestyle=style, linewidth=1.5, label=label)
        if not np.isfinite(values[-1]) and len(values) > 1:
            axes.annotate("\u00d7 NaN", (numbers[-2], values[-2]), color=colour, va="center")
    axes.set_yscale(CURVES[name].scale)
    axes.set_title(f"{number}  {name}", fontsize=11, loc="left")
    axes.set_ylabel(CURVES[name].label)
    tidy(axes)


def picture(curves: dict[str, tuple[list[float], list[float]]]) -> bytes:
    """A PNG: a panel for each exhibit."""
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.5 * rows + 0.5), layout="constrained")
    panels = np.ravel(figure.subplots(rows, COLUMNS))
    for number, (axes, (name, (right, faulty))) in enumerate(zip(panels, curves.items()), start=1):
        draw(axes, number, name, right, faulty)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(curves) - COLUMNS) : len(curves)]:
        axes.set_xlabel("step")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return png(figure)


def table(curves: dict[str, tuple[list[float], list[float]]]) -> str:
    """Where each pair of curves ends."""
    lines = [f"{'':<28}{'at the end':<24}{'right':>12}{'faulty':>12}{'steps':>7}"]
    for number, (name, (right, faulty)) in enumerate(curves.items(), start=1):
        ends = f"{right[-1]:>12.4g}{faulty[-1]:>12.4g}{len(faulty):>7}"
        lines.append(f"{number:>2}  {name:<24}{CURVES[name].label:<24}{ends}")
    return "\n".join(lines)


def main(settings: Settings) -> int:
    """Run every pair, print where they end, and write the picture. Returns the exit status."""
    folder = output.prepare(settings.out)
    with np.errstate(all="ignore"):
        curves = {name: pair(name, settings.seed) for name in tqdm(CURVES, unit="exhibit", leave=False, disable=None)}
    text = f"Digits: a tanh MLP, batches of {BATCH}, seed: {settings.seed}\n\n{table(curves)}"
    output.finish(text, folder, {"bugs.png": picture(curves)})
    return 0
