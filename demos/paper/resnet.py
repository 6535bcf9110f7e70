"""Figure 2: ResNet-20 from nine settings of alpha and mu, plain and hyperoptimized; and a learned decay of alpha."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..shared.report import COLOURS, plain, png, tidy
from ..shared.settings import Settings
from . import Experiment, Line, Run, cifar, page, record

ALPHAS = (0.01, 0.1, 1.0)
MUS = (0.09, 0.9, 0.99)
GOOD = (0.1, 0.9)
WEIGHT_DECAY = 1e-4
SEEDS = 1
EPOCHS = 5
LONGER = 3  # times as many epochs for the decay
HEADER = ("alpha", "mu", "plain: error %", "hyperoptimized: error %", "learned alpha", "learned mu")
QUICK = {"images": 2_560, "tests": 500}
QUICK_EPOCHS = 4
PLAIN, TUNED = "plain", "hyperoptimized"
CONSTANT, BY_HAND, LEARNED = "constant alpha", "alpha divided by 10 twice", "learned alpha"


# A constant and a learned alpha are nearly equal: the dashes of one are seen on the broad line of the other.
STYLES: dict[str, dict[str, Any]] = {
    LEARNED: {"color": COLOURS[5], "linewidth": 4},
    BY_HAND: {"color": COLOURS[2]},
    CONSTANT: {"color": COLOURS[0], "linestyle": "--"},
}

Settings2a = Mapping[tuple[float, float], Mapping[str, Sequence[Line]]]


def stack(alpha: float, mu: float) -> str:
    """SGD with momentum and He et al.'s weight decay."""
    return f"sgd({alpha:g}, mu={mu:g}, weight_decay={WEIGHT_DECAY:g})"


def rates(alpha: float, mu: float) -> dict[str, float]:
    """The paper's step sizes of the level above."""
    return {"alpha": alpha**2 * 1e-3, "mu": 1e-6 / (1 - mu)}


def plan(settings: Settings) -> list[Run]:
    """Nine settings with and without a level above, and the three ways of the decay."""
    sizes: dict[str, Any] = dict(QUICK) if settings.quick else {"images": len(cifar.load(settings.data).train_labels)}
    epochs = settings.epochs or (QUICK_EPOCHS if settings.quick else EPOCHS)

    def runs(alpha: float, mu: float, many: int, **options: Any) -> list[Run]:
        count = cifar.steps(many, sizes["images"])
        described = {**sizes, "alpha": alpha, "mu": mu, **options}
        return [
            Run("resnet", cifar.__name__, stack(alpha, mu), seed, count, described)
            for seed in page.seeds(settings, SEEDS)
        ]

    def both(alpha: float, mu: float) -> list[Run]:
        tuned = runs(alpha, mu, epochs, part="2a", name=TUNED, rates=rates(alpha, mu))
        return runs(alpha, mu, epochs, part="2a", name=PLAIN) + tuned

    if settings.quick:
        return both(*GOOD)
    longer = LONGER * epochs
    return [
        *(run for alpha in ALPHAS for mu in MUS for run in both(alpha, mu)),
        *runs(*GOOD, longer, part="2b", name=CONSTANT),
        *runs(*GOOD, longer, part="2b", name=BY_HAND, decay=[longer // 2, longer * 3 // 4]),
        *runs(*GOOD, longer, part="2b", name=LEARNED, rates=rates(*GOOD)),
    ]


def grouped(lines: Sequence[Line], part: str) -> Settings2a:
    """The lines of a part of the figure, by setting and by name."""
    return page.grouped((line for line in lines if line.run.options["part"] == part), "alpha", "mu")


def markdown(lines: Sequence[Line]) -> str:
    """The nine settings, and the three ways to lower alpha."""
    settings, names = grouped(lines, "2a"), grouped(lines, "2b").get(GOOD, {})
    parts = ["## Figure 2: ResNet-20 on CIFAR-10"]
    if settings:
        rows = [row(*setting, names.get(PLAIN, []), names.get(TUNED, [])) for setting, names in settings.items()]
        parts += [
            "### 2a: from good and bad settings",
            page.table(HEADER, rows),
            f"After {epochs(settings.values())}. {claim(settings)}",
        ]
    if names:
        ends = [(name, page.result(group, "error", 1), page.last(group, "alpha", 5)) for name, group in names.items()]
        parts += [
            "### 2b: learned decay",
            page.table(("alpha", "error %", "alpha at the end"), ends),
            f"After {epochs([names])}, from alpha {GOOD[0]:g} and mu {GOOD[1]:g}.",
        ]
    return "\n\n".join([*parts, record.provenance(lines)])


def row(alpha: float, mu: float, plain: Sequence[Line], tuned: Sequence[Line]) -> list[str]:
    """A setting: the errors of both, and what was learned."""
    both = [page.result(plain, "error", 1), page.result(tuned, "error", 1)]
    return [f"{alpha:g}", f"{mu:g}", *both, page.last(tuned, "alpha", 5), page.last(tuned, "mu", 5)]


def claim(settings: Settings2a) -> str:
    """In how many settings the paper's claim holds."""
    pairs = [(mean(names.get(PLAIN, [])), mean(names.get(TUNED, []))) for names in settings.values()]
    better = sum(tuned <= plain for plain, tuned in pairs)
    return f"Hyperoptimized is as good as plain, or better, in {better} of {len(pairs)} settings; in the paper, in all."


def mean(lines: Sequence[Line]) -> float:
    """The mean test error; NaN without runs."""
    return fmean(line.result["error"] for line in lines) if lines else math.nan


def epochs(groups: Iterable[Mapping[str, Sequence[Line]]]) -> str:
    """How long the runs of these groups are, in words."""
    line = next(line for names in groups for lines in names.values() for line in lines)
    images = line.run.options["images"]
    return f"{line.run.steps // cifar.steps(1, images)} epochs of {images:,} images"


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """A PNG: the errors of the nine settings, and alpha and the error over the epochs of the decay."""
    settings, names = grouped(lines, "2a"), grouped(lines, "2b").get(GOOD, {})
    figure = Figure(figsize=(12, 4), layout="constrained")
    settings_axes, alpha_axes, error_axes = figure.subplots(1, 3, width_ratios=[1.4, 1, 1])
    draw_nine(settings_axes, settings)
    titles = "2a: from good and bad settings", "2b: learned decay, alpha", "2b: learned decay, test error"
    for axes, title in zip(figure.axes, titles):
        axes.set_title(title, fontsize=11)
    for name, style in STYLES.items():
        for line in names.get(name, [])[:1]:
            alphas = [values["alpha"] for values in line.result["hyperparameters"]]
            alpha_axes.plot(np.array(alphas, float), label=name, drawstyle="steps-post", **style)
            done = np.arange(1, len(line.result["errors"]) + 1)
            error_axes.plot(done, np.array(line.result["errors"], float), label=name, **style)
    for axes, what in ((alpha_axes, "alpha"), (error_axes, "test error, %")):
        axes.set(xlabel="epoch", ylabel=what)
        tidy(axes)
        if names:
            axes.legend(frameon=False, fontsize=8)
    alpha_axes.set_yscale("log")
    plain(alpha_axes.yaxis)
    return {"resnet.png": png(figure)}


def draw_nine(axes: Axes, settings: Settings2a) -> None:
    """Two points a setting, and a line from one to the other."""
    for place, names in enumerate(settings.values()):
        before, after = mean(names.get(PLAIN, [])), mean(names.get(TUNED, []))
        axes.plot([place, place], [before, after], color="#BBBBBB", zorder=1, label="what hyperoptimizing changed")
        axes.scatter(place, before, facecolors="white", edgecolors=COLOURS[1], zorder=2, label=PLAIN)
        axes.scatter(place, after, color=COLOURS[2], zorder=3, label=TUNED)
    axes.set_xticks(range(len(settings)), [f"{alpha:g}\n{mu:g}" for alpha, mu in settings])
    axes.set(xlabel="alpha, and below it mu", ylabel="test error, %")
    tidy(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[:3], labels[:3], frameon=False)


EXPERIMENT = Experiment("resnet", plan, markdown, pictures)
