"""The walls: how large the step size of the top level may be before the run below it diverges.

Published points are those of an independent reproduction of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from matplotlib.figure import Figure

from ..shared.report import COLOURS, png
from ..shared.settings import Settings
from . import Experiment, Line, Run, mnist, page, record, sensitivity

SEEDS = 3
BROKEN = 20.0  # per cent of error from which a run counts as diverged: all that learn are well below


class Wall(NamedTuple):
    """A stack over its top step size, kappa; `published` are errors in per cent by kappa."""

    name: str
    stack: str
    epochs: int
    quick_epochs: int
    kappas: tuple[float, ...]
    published: dict[float, float]


WALLS = (
    Wall("SGD / SGD", "sgd/sgd", 30, 3, (0.01, 0.1, 1, 10, 25, 50, 75, 100), {10: 4.72, 50: 7.81, 75: 38}),
    Wall("Adam / SGD", "adam/sgd", 5, 1, (1e-6, 1e-5, 1e-4, 1e-3, 2.5e-3, 5e-3, 1e-2), {1e-3: 4.71, 5e-3: 36}),
    Wall("AdaGrad / SGD", "adagrad/sgd", 30, 3, (0.01, 0.1, 0.5, 1, 2.5, 5, 10), {2.5: 7.3, 5: 58}),
    Wall("RMSProp / SGD", "rmsprop/sgd", 5, 1, (1e-5, 1e-4, 1e-3, 5e-3, 1e-2, 2.5e-2, 5e-2), {1e-2: 6.4, 2.5e-2: 89}),
)


def plan(settings: Settings) -> list[Run]:
    """Every stack at every kappa."""
    return [
        Run("walls", mnist.__name__, f"{wall.stack}({kappa:g})", seed, mnist.steps(epochs), {"kappa": kappa})
        for wall in WALLS
        for epochs in [settings.epochs or (wall.quick_epochs if settings.quick else wall.epochs)]
        for kappa in wall.kappas
        for seed in page.seeds(settings, SEEDS)
    ]


def errors(wall: Wall, lines: Sequence[Line]) -> dict[float, list[float]]:
    """The test errors of one stack by kappa; a run that ended in NaN counts as chance."""
    found: dict[float, list[float]] = {}
    for line in lines:
        if line.run.stack.startswith(f"{wall.stack}("):
            error = page.CHANCE if line.result["diverged"] else line.result["error"]
            found.setdefault(line.run.options["kappa"], []).append(error)
    return dict(sorted(found.items()))


def between(points: dict[float, float]) -> str:
    """The last kappa that works and the first after it that does not, "between 50 and 75"."""
    works = [kappa for kappa, error in points.items() if error < BROKEN]
    broken = [kappa for kappa, error in points.items() if error >= BROKEN and (not works or kappa > works[-1])]
    if not works or not broken:
        return "beyond what was tried" if works else "below what was tried"
    return f"between {works[-1]:g} and {broken[0]:g}"


def medians(found: dict[float, list[float]]) -> dict[float, float]:
    """Near a wall some seeds recover from a step that was too large, and others do not; most of them count."""
    return {kappa: median(values) for kappa, values in found.items()}


def markdown(lines: Sequence[Line]) -> str:
    """Each stack over kappa, and where its wall is."""
    rows = []
    told = []
    for wall in WALLS:
        if not (found := errors(wall, lines)):
            continue
        for kappa, values in found.items():
            published = f"{wall.published[kappa]:g}" if kappa in wall.published else ""
            rows.append([wall.name, f"{kappa:g}", page.spread(values), published])
        told.append(f"- {wall.name}: {between(medians(found))}; in the reproduction: {between(wall.published)}.")
    return "\n\n".join(
        [
            "## Walls: how large the top step size may be",
            page.table(("stack", "kappa", "test error %", "reproduction %"), rows),
            "The last column has an independent reproduction of the paper.",
            f"A wall is where the error reaches {BROKEN:g} % for most seeds. The walls are:",
            "\n".join(told),
            record.provenance(lines),
        ]
    )


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """A panel for each stack: the error over kappa."""
    shown = [wall for wall in WALLS if errors(wall, lines)]
    figure = Figure(figsize=(1 + 3 * len(shown), 3.8), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, wall in zip(panels, shown, strict=True):
        points = medians(errors(wall, lines))
        axes.plot([*points], [*points.values()], "o-", color=COLOURS[2], linewidth=1.4, label="median of the seeds")
        seeds = [(kappa, value) for kappa, values in errors(wall, lines).items() for value in values]
        axes.plot(*zip(*seeds), ".", color=COLOURS[2], alpha=0.6, label="each seed")
        there = wall.published
        marks = {"fillstyle": "none", "label": "independent reproduction"}
        axes.plot([*there], [*there.values()], "s", color=COLOURS[0], **marks)
        past = f"from {BROKEN:g} % on a run counts as past the wall"
        axes.axhline(BROKEN, color="#999999", linewidth=0.8, linestyle="--", label=past)
        sensitivity.scales(axes, (3, 5, 10, 20, 50, 90), below="kappa")
        axes.set_title(f"{wall.name}(kappa)", fontsize=11)
    panels[0].set_ylabel("test error, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return {"walls.png": png(figure)}


EXPERIMENT = Experiment("walls", plan, markdown, pictures)
