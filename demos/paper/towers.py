"""Figure 4 of the paper: the taller a tower, the less it matters where its step size starts; and what height costs.

The parts 4a to 4d are in `panels`; 4f is the run time over height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import linear_regression
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..shared.report import COLOURS, png, tidy
from ..shared.settings import Settings, UsageError
from . import Experiment, Line, Run, pace, page, record, sensitivity
from .panels import PANELS, QUICK
from .sensitivity import GOOD, Curve

SEEDS = 1
PACE = "4f"
HEIGHTS_TIMED = (0, 1, 2, 3, 4, 5, 10, 15, 20, 30, 40, 50)
ROUNDS, QUICK_ROUNDS, STEPS_TIMED = 30, 5, 20


def plan(settings: Settings) -> list[Run]:
    """Every tower of the panels that were asked for, from every alpha. Raises UsageError for one that is not there."""
    for name in settings.only:
        if name not in (*PANELS, PACE):
            raise UsageError(f"--only {name}: there are {', '.join([*PANELS, PACE])}")
    runs = []
    for name in settings.only or (QUICK if settings.quick else PANELS):
        if (panel := PANELS.get(name)) is None:
            continue
        epochs = settings.epochs or panel.epochs[settings.quick]
        runs += [
            Run(
                "towers",
                panel.kind,
                panel.stack(alpha, height),
                seed,
                panel.steps(epochs),
                {**panel.options, "panel": name, "alpha": alpha, "height": height},
            )
            for height in (panel.heights[:4] if settings.quick else panel.heights)
            for alpha in (panel.alphas[::2] if settings.quick else panel.alphas)
            for seed in page.seeds(settings, SEEDS)
        ]
    return runs


def alone(settings: Settings) -> list[Run]:
    """4f, the run time over height."""
    if settings.only and PACE not in settings.only:
        return []
    rounds = QUICK_ROUNDS if settings.quick else ROUNDS
    options = {"panel": PACE, "heights": HEIGHTS_TIMED, "rounds": rounds}
    return [Run("towers", pace.__name__, "sgd/...", settings.seed, rounds * STEPS_TIMED, options)]


def curves(lines: Sequence[Line], name: str) -> dict[int, Curve]:
    """The errors of one panel by height and alpha."""
    panel = PANELS[name]
    own = [line for line in lines if line.run.options["panel"] == name]
    return {
        height: sensitivity.curve(
            (line for line in own if line.run.options["height"] == height), panel.measure, panel.worst
        )
        for height in sorted({line.run.options["height"] for line in own})
    }


def timed(lines: Sequence[Line]) -> tuple[list[int], list[float]]:
    """Heights and milliseconds a step; of several seeds, the first."""
    found = [line.result for line in lines if line.run.options["panel"] == PACE]
    return (found[0]["heights"], found[0]["milliseconds"]) if found else ([], [])


def slope(heights: Sequence[int], milliseconds: Sequence[float]) -> float:
    """What each level above the first adds, in per cent of a step of height 1."""
    pairs = [(height, time) for height, time in zip(heights, milliseconds) if height]
    line = linear_regression(*zip(*pairs))
    return 100 * line.slope / dict(pairs)[1]


def markdown(lines: Sequence[Line]) -> str:
    """For each panel the errors over alpha and height with their decades; the run time over height."""
    words = (
        "*Decades* are the powers of ten of alpha over which the errors are good. For *own best* the limit is "
        f"{GOOD:g} times the best error of the same height, and for *all* it is {GOOD:g} times the best of all "
        "heights. An error that is no better than not learning is never good."
    )
    parts = ["## Figure 4: towers", words]
    for name, panel in PANELS.items():
        if not (found := curves(lines, name)):
            continue
        limit = GOOD * sensitivity.best(found.values())
        own = [sensitivity.tolerated(points, panel.worst) for points in found.values()]
        common = [sensitivity.decades(points, limit, panel.worst) for points in found.values()]
        below = (
            ["best", *[f"{min(points.values()):.1f}" for points in found.values()]],
            ["decades, own best", *map(sensitivity.told, own)],
            ["decades, all", *map(sensitivity.told, common)],
        )
        parts += [
            f"### {panel.title}",
            sensitivity.table(found, panel.published, *below),
            (
                f"Each cell has the {panel.unit}{', and the published one in brackets' if panel.published else ''}. "
                f"{panel.worst:g} also stands where the loss stopped being a number. From {panel.worst:g} on nothing "
                f"is good. The limit for *all* is {limit:.1f}."
            ),
        ]
    heights, milliseconds = timed(lines)
    if heights:
        rows = [[str(height), f"{time:.3f}"] for height, time in zip(heights, milliseconds)]
        parts += [
            "### 4f: run time over height, SGD at every level, perceptron",
            page.table(("height", "milliseconds a step"), rows),
            f"A level above the first adds {slope(heights, milliseconds):.2f} % of height 1's step; published 1 to 2 %."
        ]
    return "\n\n".join([*parts, record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """A panel for each part of the figure, then the decades over height, and the time of a step."""
    shown = {name: found for name in PANELS if (found := curves(lines, name))}
    heights, milliseconds = timed(lines)
    count = len(shown) + bool(shown) + bool(heights)
    columns = min(count, 2) if count <= 4 else 3
    figure = Figure(figsize=(1 + 5 * columns, 4.1 * -(-count // columns)), layout="constrained")
    places = [figure.add_subplot(-(-count // columns), columns, n + 1) for n in range(count)]
    for (name, found), axes in zip(shown.items(), places):
        panel, looks = PANELS[name], sensitivity.looks(list(found))
        for height, points in found.items():
            sensitivity.draw(axes, points, **looks[height], label=str(height))
        marks: dict[str, Any] = {"fillstyle": "none", "linestyle": "none", "marker": "s", "markersize": 10}
        for height, there in panel.published.items():
            if height in found:
                axes.plot([*there], [*there.values()], color=looks[height]["color"], zorder=3, **marks)
        if panel.published:
            axes.plot([], [], color="#555555", label="published", **marks)
        sensitivity.scales(axes, panel.ticks, panel.unit)
        axes.set_title(panel.title, fontsize=11)
        small: dict[str, Any] = {"columnspacing": 1.0, "handlelength": 1.5, "fontsize": 8, "title_fontsize": 8}
        below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": len(found) + 1}
        axes.legend(title="height", frameon=False, **below, **small)
    if shown:
        draw_decades(places[len(shown)], shown)
    if heights:
        draw_pace(places[-1], heights, milliseconds)
    return {"towers.png": png(figure)}


def draw_decades(axes: Axes, shown: dict[str, dict[int, Curve]]) -> None:
    """The one number, over height."""
    for (name, found), colour in zip(shown.items(), COLOURS[1:]):
        values = [sensitivity.tolerated(points, PANELS[name].worst) for points in found.values()]
        if not all(map(math.isnan, values)):
            axes.plot(list(found), values, "o-", color=colour, label=name)
    axes.set_title(f"decades of alpha up to {GOOD:g} times the best of a height", fontsize=11)
    axes.set_xlabel("height")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    tidy(axes)


def draw_pace(axes: Axes, heights: Sequence[int], milliseconds: Sequence[float]) -> None:
    """Milliseconds a step, and the line through them."""
    axes.plot(heights, milliseconds, "o", color=COLOURS[2])
    line = linear_regression(heights[1:], milliseconds[1:])
    ends = [heights[1], heights[-1]]
    least: dict[str, Any] = {"color": "#999999", "linewidth": 1, "label": "least squares, from height 1 on"}
    axes.plot(ends, [line.intercept + line.slope * h for h in ends], "--", **least)
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("4f: run time over height", fontsize=11)
    axes.set_xlabel("height")
    axes.set_ylabel("milliseconds a step")
    axes.set_ylim(bottom=0)
    tidy(axes)


EXPERIMENT = Experiment("towers", plan, markdown, pictures, alone=alone, parts=(*PANELS, PACE))
