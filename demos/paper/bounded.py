"""What the paper left open: the SGD towers of Figure 4a with alpha in log coordinates, where it cannot turn negative.

In log coordinates a step size of the level above is a step in log alpha: kappa times alpha times the hypergradient. So
it means something else, and no one choice is that of Figure 4a. Three are shown:
- 1 at every level;
- 1/alpha at every level: to first order, alpha and each step size above then begin to move as in Figure 4a;
- Adam above, which moves log alpha by about 0.02 a step whatever the size of the hypergradient. Its eps, at which also
  its average of squares starts, has to lie below the squares of the hypergradients: from alpha = 1e-8 these are tiny.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from ..shared.report import png
from ..shared.settings import Settings
from . import Experiment, Line, Run, mnist, page, panels, record, sensitivity
from .sensitivity import GOOD, Curve

SEEDS = 1
EPOCHS, QUICK_EPOCHS = 30, 1
HEIGHTS = (0, 1, 2, 3)
ALPHAS = panels.decade(-8, 2)


class Variant(NamedTuple):
    """In which coordinates every level's alpha is tuned, and what stands at each level above a bottom's alpha."""

    title: str
    coordinates: str
    above: Callable[[float], str]


VARIANTS = {
    "linear": Variant("linear, as in Figure 4a", "linear", lambda alpha: f"sgd({alpha:g})"),
    "log": Variant("log, SGD(1) above", "log", lambda alpha: "sgd(1)"),
    "log, 1/alpha": Variant("log, SGD(1/alpha) above", "log", lambda alpha: f"sgd({1 / alpha:g})"),
    "log, Adam": Variant("log, Adam(0.02) above", "log", lambda alpha: "adam-alpha(0.02, eps=1e-24)"),
}


def plan(settings: Settings) -> list[Run]:
    """Every variant at every height from every alpha; of height 0 only the first, as nothing is tuned there."""
    epochs = settings.epochs or (QUICK_EPOCHS if settings.quick else EPOCHS)
    return [
        Run(
            "bounded",
            mnist.__name__,
            "/".join([f"sgd({alpha:g})", *[variant.above(alpha)] * height]),
            seed,
            mnist.steps(epochs),
            {"variant": name, "coordinates": variant.coordinates, "alpha": alpha, "height": height},
        )
        for name, variant in VARIANTS.items()
        for height in (HEIGHTS[::3] if settings.quick else HEIGHTS)
        if height or name == "linear"
        for alpha in (ALPHAS[::2] if settings.quick else ALPHAS)
        for seed in page.seeds(settings, SEEDS)
    ]


def select(lines: Sequence[Line], name: str, height: int) -> list[Line]:
    """The lines of one curve; those of height 0 are the same in all variants."""
    wanted = name if height else "linear"
    return [line for line in lines if (line.run.options["variant"], line.run.options["height"]) == (wanted, height)]


def curves(lines: Sequence[Line], name: str) -> dict[int, Curve]:
    """The errors of one variant by height and alpha."""
    heights = sorted({line.run.options["height"] for line in lines})
    return {height: points for height in heights if (points := sensitivity.curve(select(lines, name, height)))}


def negative(lines: Sequence[Line]) -> list[Line]:
    """The runs in which the bottom's alpha was below zero at some time."""
    return [line for line in lines if (line.result["lowest_alpha"] or 0) < 0]


def summary(lines: Sequence[Line]) -> list[list[str]]:
    """A row for each variant and height: its decades, by how many it is wider than linear, and where alpha went."""
    rows = []
    for name, variant in VARIANTS.items():
        for height, points in own_curves(lines, name).items():
            runs = select(lines, name, height)
            decades = sensitivity.tolerated(points)
            linear = curves(lines, "linear").get(height)
            gain = math.nan if linear is None or name == "linear" else decades - sensitivity.tolerated(linear)
            wider = "" if math.isnan(gain) else f"{gain:+.1f}"
            below = negative(runs)
            lowest = f"{min(line.result['lowest_alpha'] for line in below):.3g}" if below else ""
            best = f"{min(points.values()):.1f}"
            often = f"{len(below)} of {len(runs)}"
            rows.append([variant.title, str(height), best, sensitivity.told(decades), wider, often, lowest])
    return rows


def own_curves(lines: Sequence[Line], name: str) -> dict[int, Curve]:
    """The curves that are not of another variant too."""
    return {height: points for height, points in curves(lines, name).items() if height or name == "linear"}


def markdown(lines: Sequence[Line]) -> str:
    """The decades of all variants, how often alpha was negative, and a table of errors for each."""
    header = ("variant", "height", "best %", "decades", "wider than linear", "runs with alpha < 0", "lowest alpha")
    parts = [
        "## Bounded: towers in log coordinates",
        page.table(header, summary(lines)),
        f"*Decades*: powers of ten of alpha over which the error is up to {GOOD:g} times the best of the same tower.",
        f"An error of {page.CHANCE:g} also stands where the loss stopped being a number.",
    ]
    for name, variant in VARIANTS.items():
        if found := own_curves(lines, name):
            parts += [f"### {variant.title}", sensitivity.table(found, {})]
    return "\n\n".join([*parts, record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """A panel for each variant; runs in which alpha was negative at some time are crossed."""
    found = {name: curve for name in VARIANTS if (curve := curves(lines, name))}
    figure = Figure(figsize=(1 + 3.6 * len(found), 4.3), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    looks = sensitivity.looks(HEIGHTS)
    for axes, (name, by_height) in zip(panels, found.items(), strict=True):
        for height, points in by_height.items():
            sensitivity.draw(axes, points, **looks[height], label=f"height {height}")
            crossed = {line.run.options["alpha"] for line in negative(select(lines, name, height))}
            marks = {alpha: error for alpha, error in points.items() if alpha in crossed}
            axes.plot([*marks], [*marks.values()], "x", color="#D00000", markersize=9, zorder=3)
        sensitivity.scales(axes, (3, 5, 10, 20, 50, 90))
        axes.set_title(VARIANTS[name].title, fontsize=11)
    panels[0].set_ylabel("test error, %")
    if negative(lines):
        panels[0].plot([], [], "x", color="#D00000", markersize=9, label="alpha < 0 at some time")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return {"bounded.png": png(figure)}


EXPERIMENT = Experiment("bounded", plan, markdown, pictures)
