"""Table 1 of the paper: 18 stacks on MNIST, and the plain optimizers again with the values that were learned."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from ..shared import stacks
from ..shared.report import COLOURS, png, tidy
from ..shared.settings import Settings
from . import Experiment, Line, Run, mnist, page, record

SEEDS = 3
EPOCHS = {"sgd": 30, "adagrad": 30, "adam": 5, "rmsprop": 5}
QUICK_EPOCHS = {"sgd": 3, "adagrad": 3, "adam": 1, "rmsprop": 1}
LEARNED = {"sgd": ("alpha",), "adagrad": ("alpha",), "adam": ("alpha", "beta1", "beta2"), "rmsprop": ("alpha", "gamma")}
TICKS = (2, 3, 4, 5, 6, 8, 10, 20, 50, 90)
NOTICED, MARK = 0.4, "\u25cf"  # points by which a test error must differ to be marked


Published = tuple[float, float]  # per cent of error, and its deviation


class Row(NamedTuple):
    """A row as published: the error, what was learned, and the error of the re-run."""

    name: str
    stack: str
    error: Published
    learned: str = ""
    again: Published | None = None


ROWS = (
    Row("SGD", "sgd", (8.99, 0.05)),
    Row("SGD / SGD", "sgd/sgd", (4.81, 0.10), ".0769", (5.44, 0.10)),
    Row("SGD / Adam(0.1)", "sgd/adam(0.1)", (4.86, 0.06), ".4538", (2.80, 0.09)),
    Row("SGD / AdaGrad", "sgd/adagrad", (4.85, 0.21), ".0836", (5.17, 0.03)),
    Row("SGD / RMSProp(0.1)", "sgd/rmsprop(0.1)", (4.52, 0.02), ".5920", (2.52, 0.07)),
    Row("Adam", "adam", (4.67, 0.06)),
    Row("Adam / SGD(1e-5)", "adam/sgd(1e-5)", (3.03, 0.02), ".0040, .899, .999", (3.11, 0.06)),
    Row("Adam-alpha / SGD(1e-5)", "adam-alpha/sgd(1e-5)", (3.12, 0.04), ".0021", (3.47, 0.02)),
    Row("Adam / Adam", "adam/adam", (3.05, 0.09), ".0038, .870, .999", (3.24, 0.13)),
    Row("Adam-alpha / Adam", "adam-alpha/adam", (3.04, 0.08), ".0036", (3.08, 0.12)),
    Row("AdaGrad", "adagrad", (7.40, 0.08)),
    Row("AdaGrad / SGD", "adagrad/sgd", (6.90, 0.16), ".0080", (7.75, 0.02)),
    Row("AdaGrad / AdaGrad", "adagrad/adagrad", (5.03, 0.23), ".0151", (6.67, 0.08)),
    Row("RMSProp", "rmsprop", (4.19, 0.47)),
    Row("RMSProp-alpha / SGD(1e-4)", "rmsprop-alpha/sgd(1e-4)", (3.55, 0.23), ".0030", (3.93, 0.70)),
    Row("RMSProp / SGD(1e-4)", "rmsprop/sgd(1e-4)", (3.33, 0.07), ".0032, .9899", (3.25, 0.09)),
    Row("RMSProp-alpha / RMSProp(1e-4)", "rmsprop-alpha/rmsprop(1e-4)", (3.42, 0.45), ".0021", (3.60, 0.04)),
    Row("RMSProp / RMSProp(1e-4)", "rmsprop/rmsprop(1e-4)", (2.96, 0.11), ".0020, .9962", (3.65, 0.36)),
)

OF = "learned by"  # the option of a re-run that names the stack whose values it has


def plan(settings: Settings) -> list[Run]:
    """The hyperoptimized runs; each with a level above is followed by its re-run."""
    runs = []
    for row in ROWS:
        epochs = settings.epochs or (QUICK_EPOCHS if settings.quick else EPOCHS)[stacks.bottom(row.stack)]
        steps = mnist.steps(epochs)
        runs += [Run("table1", mnist.__name__, row.stack, seed, steps) for seed in page.seeds(settings, SEEDS)]
    return runs


def follow(run: Run, result: dict[str, Any]) -> list[Run]:
    """The plain optimizer with the values that this run has learned, unless one of them is no number any more."""
    values = learned(run, result)
    if "/" not in run.stack or None in values:
        return []
    name = stacks.bottom(run.stack).partition("-")[0]
    stack = f"{name}({', '.join(map(repr, values))})"
    return [Run("table1", run.kind, stack, run.seed, run.steps, {**run.options, OF: run.stack})]


def learned(run: Run, result: dict[str, Any]) -> list[float | None]:
    """The hyperparameters of the bottom that could be tuned."""
    return [result["levels"][0][name] for name in LEARNED[stacks.bottom(run.stack)]]


class Measured(NamedTuple):
    """Of one row: the test errors by seed, the learned values' means, and the test errors of the re-runs."""

    row: Row
    errors: list[float]
    values: list[float]
    again: list[float]


def measured(lines: Sequence[Line]) -> list[Measured]:
    """The rows for which there are lines."""
    found = []
    for row in ROWS:
        own = [line for line in lines if line.run.stack == row.stack]
        again = [line.result["error"] for line in lines if line.run.options.get(OF) == row.stack]
        if own:
            values = [learned(line.run, line.result) for line in own]
            numbers = [[value for value in column if value is not None] for column in zip(*values)]
            shown = [fmean(column) for column in numbers if column] if "/" in row.stack else []
            if "-alpha" in row.stack:
                shown = shown[:1]
            found.append(Measured(row, [line.result["error"] for line in own], shown, again))
    return found


def markdown(lines: Sequence[Line]) -> str:
    """The table, what is marked in it, and where it comes from."""
    rows = measured(lines)
    header = (
        "stack", "published %", "here %", "off", "published learned", "here", "published re-run %", "here %", "off",
    )  # fmt: skip
    cells = [
        [
            row.name, plus_minus(row.error), page.spread(errors), off(errors, row.error),
            row.learned, ", ".join(f"{value:.4f}".replace("0.", ".", 1) for value in values),
            plus_minus(row.again), page.spread(again), off(again, row.again),
        ]
        for row, errors, values, again in rows
    ]  # fmt: skip
    marked = [m.row.name for m in rows if MARK in off(m.errors, m.row.error)]
    compared = [fmean(m.again) < fmean(m.errors) for m in rows if m.again]
    told = (
        f"Test error, mean ± standard deviation. {MARK} marks what is more than {NOTICED} points from the published "
        f"error. Besides re-runs it marks: {', '.join(marked) or 'none'}. Learned values are means over the seeds. "
        f"Each re-run has the values of its own seed. In {sum(compared)} of {len(compared)} stacks the re-runs were "
        "better, in the mean, than the runs that learned their values."
    )
    return "\n\n".join(["## Table 1: 18 stacks on MNIST", page.table(header, cells), told, record.provenance(lines)])


def plus_minus(published: Published | None) -> str:
    return "{:.2f} ± {:.2f}".format(*published) if published else ""


def off(errors: Sequence[float], published: Published | None) -> str:
    """How many points the mean is from the published error, marked if these are many."""
    if not errors or not published:
        return ""
    points = fmean(errors) - published[0]
    return f"{points:+.2f}" + f" {MARK}" * (abs(points) > NOTICED)


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """Published errors and ours, hyperoptimized and run again."""
    rows = measured(lines)[::-1]
    figure = Figure(figsize=(11, 1.6 + 0.34 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, title in ((left, "hyperoptimized"), (right, "run again with the learned values")):
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("test error, %")
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        tidy(axes)
    for place, (row, errors, _, again) in enumerate(rows):
        dots(left, place, row.error, errors)
        if row.again:
            dots(right, place, row.again, again)
    left.set_yticks(range(len(rows)), [m.row.name for m in rows])
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return {"table1.png": png(figure)}


def dots(axes: Any, place: int, published: Published, errors: Sequence[float]) -> None:
    """A row: the published error above, each of ours below."""
    first = not axes.get_legend_handles_labels()[0]
    label, own = ("published, ± deviation", "here, each seed") if first else (None, None)
    axes.errorbar(published[0], place + 0.15, xerr=published[1], fmt="s", color=COLOURS[0], markersize=4, label=label)
    axes.plot(errors, [place - 0.15] * len(errors), "o", color=COLOURS[2], markersize=5, alpha=0.8, label=own)


EXPERIMENT = Experiment("table1", plan, markdown, pictures, follow)
