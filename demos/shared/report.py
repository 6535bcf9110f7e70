"""Runs as a table and as curves."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

# Okabe and Ito's colours, which differ for colour-blind eyes too. Plain optimizers are dashed, towers solid.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#56B4E9", "#E69F00")
WINDOW = 100
HIGHEST_DRAWN = 1e4


@dataclass(frozen=True)
class Run:
    """One stack from one start: its name, what the start is called, the stack with its numbers, and its first alpha."""

    name: str
    start: str
    stack: str
    alpha: float


@dataclass(frozen=True)
class Result:
    """What a run did: alpha before the first step and after each, the loss of each step, test error in per cent."""

    run: Run
    alphas: list[float]
    losses: list[float]
    test_error: float
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the run ended because a loss or a step size was no longer a number."""
        return not np.isfinite([self.losses[-1], self.alphas[-1]]).all()


def by_start(results: list[Result]) -> dict[str, list[Result]]:
    """The results that share a start, in the order of the runs."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.run.start, []).append(result)
    return groups


def table(results: list[Result]) -> str:
    """One line a run, grouped by where the runs start."""
    width = max(len(result.run.stack) for result in results)
    lines = [f"{'stack':<{width}}  {'alpha before':>12}  {'after':>9}  {'test error %':>16}  {'seconds':>7}"]
    for start, group in by_start(results).items():
        lines += ["", f"From {start}"]
        for result in group:
            error = f"NaN at step {len(result.losses)}" if result.diverged else f"{result.test_error:.1f}"
            before, after = (f"{result.alphas[i]:.3g}" for i in (0, -1))
            lines.append(f"{result.run.stack:<{width}}  {before:>12}  {after:>9}  {error:>16}  {result.seconds:>7.1f}")
    return "\n".join(lines)


def smooth(values: list[float]) -> np.ndarray:
    """The running mean over the last WINDOW values; over fewer at the start."""
    totals = np.cumsum([0.0, *values])
    ends = np.arange(1, len(totals))
    begins = np.maximum(ends - WINDOW, 0)
    return (totals[ends] - totals[begins]) / (ends - begins)


def drawable(alphas: list[float]) -> np.ndarray:
    """The step sizes that a picture can show; a gap where one is past all use."""
    values = np.array(alphas)
    return np.where(np.abs(values) <= HIGHEST_DRAWN, values, np.nan)


def draw(loss_axes: Axes, alpha_axes: Axes, group: list[Result], colours: dict[str, str]) -> None:
    """One column of the picture: the loss and alpha over the steps, for all runs from one start."""
    for result in group:
        name, colour, losses = result.run.name, colours[result.run.name], smooth(result.losses)
        style = "-" if "/" in name else "--"
        line: dict[str, Any] = {"label": name, "color": colour, "linestyle": style, "linewidth": 1.4}
        loss_axes.plot(np.arange(1, len(losses) + 1), losses, **line)
        alpha_axes.plot(drawable(result.alphas), **line)
        if result.diverged:
            end = len(losses) - 1  # the last step whose loss is a number, as the run stopped at the first that is not
            loss_axes.annotate("\u00d7 NaN", (end, losses[end - 1]), color=colour, va="center")
    alphas = np.concatenate([drawable(result.alphas) for result in group])
    alphas = alphas[np.isfinite(alphas)]
    if (alphas > 0).all():
        alpha_axes.set_yscale("log")
    else:  # alpha can turn negative: logarithmic on both sides of zero
        linear_to = min((abs(result.run.alpha) for result in group if result.run.alpha), default=1e-3)
        alpha_axes.set_yscale("symlog", linthresh=linear_to)
        alpha_axes.axhline(0, color="#999999", linewidth=0.8)
    for axes in (loss_axes, alpha_axes):
        tidy(axes)


def curves(results: list[Result]) -> bytes:
    """A PNG: a column for each start, the training loss above, alpha below."""
    groups = by_start(results)
    names = dict.fromkeys(result.run.name for result in results)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    figure = Figure(figsize=(1.5 + 4.5 * len(groups), 7), layout="constrained")
    panels = figure.subplots(2, len(groups), sharex=True, squeeze=False)
    for axes in panels[0, 1:]:
        axes.sharey(panels[0, 0])
    for column, (start, group) in enumerate(groups.items()):
        draw(panels[0, column], panels[1, column], group, colours)
        panels[0, column].set_title(f"From {start}", fontsize=11)
        panels[1, column].set_xlabel("step")
    panels[0, 0].set_ylabel(f"training loss (mean of {WINDOW} steps)")
    panels[1, 0].set_ylabel("alpha")
    figure.align_ylabels(panels[:, 0])
    lines = {line.get_label(): line for axes in panels[0] for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=min(len(lines), 5), frameon=False)
    return png(figure)


def tidy(axes: Axes) -> None:
    """A light grid, and no frame."""
    axes.grid(color="#E5E5E5", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def finish(axes: Axes, title: str, below: str) -> None:
    """Title, what is below, and a legend where anything is drawn."""
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(below)
    if axes.lines:
        axes.legend(fontsize=7, frameon=False)
    tidy(axes)


def plain(axis: Any) -> None:
    """Numbers on a logarithmic axis as a person writes them."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def tick(axes: Axes) -> None:
    """Such numbers on the vertical axis, for what spans a few decades."""
    low, high = axes.get_ylim()
    axes.set_yticks([t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high])
    plain(axes.yaxis)


def png(figure: Figure) -> bytes:
    """The figure as a file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
