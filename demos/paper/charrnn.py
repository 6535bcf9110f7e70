"""Figure 3: a character LSTM from three alphas of Adam, with and without a hyperoptimizer, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..shared.report import COLOURS, plain, png, tick, tidy
from ..shared.settings import Settings
from . import Experiment, Line, Run, characters, page, record

STARTS = {2e-3: "good", 1e-2: "too high", 1e-4: "too low"}
PLAIN, TUNED = "Adam", "Adam / SGD"
SEEDS = 1
STEPS = 5_000
QUICK_STEPS = 200
SAMPLE = 400
# Test perplexity as published, after 50,000 steps: plain, and with the level above.
PUBLISHED = {2e-3: ("5.27 ±.31", "5.41 ±.26"), 1e-2: ("5.77 ±.34", "5.45 ±.76"), 1e-4: ("8.71 ±.91", "6.51 ±.88")}


def rates(alpha: float) -> dict[str, float]:
    """The paper's step sizes of the level above."""
    return {"alpha": alpha * 1e-2, "beta1": 1e-4, "beta2": 2e-4}


def plan(settings: Settings) -> list[Run]:
    """Each alpha, plain and tuned; `--epochs` counts passes over the text instead of the usual number of steps."""
    if settings.epochs:
        steps = settings.epochs * characters.steps(len(characters.load(settings.data).train_ids))
    else:
        steps = QUICK_STEPS if settings.quick else STEPS
    alphas = (2e-3,) if settings.quick else tuple(STARTS)
    options: dict[str, Any] = {"sample": SAMPLE, **({"tests": 20_000} if settings.quick else {})}

    def run(alpha: float, seed: int, **more: Any) -> Run:
        return Run("charrnn", characters.__name__, f"adam({alpha:g})", seed, steps, {**options, "alpha": alpha, **more})

    return [
        made
        for alpha in alphas
        for seed in page.seeds(settings, SEEDS)
        for made in (run(alpha, seed, name=PLAIN), run(alpha, seed, name=TUNED, rates=rates(alpha)))
    ]


def markdown(lines: Sequence[Line]) -> str:
    """The table, and what the best of the models writes."""
    cells = []
    for (alpha,), names in page.grouped(lines, "alpha").items():
        there = PUBLISHED[alpha]
        plain, tuned = (page.result(names.get(name, []), "perplexity") for name in (PLAIN, TUNED))
        learned = [page.last(names.get(TUNED, []), name, 4) for name in ("alpha", "beta1", "beta2")]
        cells.append([f"{alpha:g}", STARTS[alpha], plain, there[0], tuned, there[1], ", ".join(filter(None, learned))])
    header = ("alpha", "", "plain", "published", "hyperoptimized", "published", "learned alpha, beta1, beta2")
    steps = max((line.run.steps for line in lines), default=0)
    return "\n\n".join(
        [
            "## Figure 3: a character LSTM on War and Peace",
            page.table(header, cells),
            f"Test perplexity after {steps:,} steps. The published one is after 50,000 steps.",
            *writing(lines),
            record.provenance(lines),
        ]
    )


def writing(lines: Sequence[Line]) -> list[str]:
    """The sample of the model of the lowest perplexity, if there is one."""
    able = [line for line in lines if line.result["sample"]]
    if not able:
        return []
    best = min(able, key=lambda line: line.result["perplexity"])
    options = best.run.options
    perplexity = f"{best.result['perplexity']:.2f}"
    head = f"{options['name']} from alpha {options['alpha']:g} has a perplexity of {perplexity}, and writes:"
    return [head, "\n".join(["```", *best.result["sample"].rstrip().split("\n"), "```"])]


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """A PNG: training perplexity and alpha over the steps, plain dashed, tuned solid."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss_axes, alpha_axes = figure.subplots(1, 2)
    for ((alpha,), names), colour in zip(page.grouped(lines, "alpha").items(), COLOURS[1:]):
        for name, style in ((PLAIN, "--"), (TUNED, "-")):
            for line in names.get(name, [])[:1]:
                look: dict[str, Any] = {"color": colour, "linestyle": style, "label": f"{name} from {alpha:g}"}
                training = np.array(line.result["training"], float)
                loss_axes.plot(characters.NOTED * np.arange(1, len(training) + 1), training, **look)
                alphas = np.array([values["alpha"] for values in line.result["hyperparameters"]], float)
                alpha_axes.plot(characters.NOTED * np.arange(len(alphas)), alphas, **look)
    for axes, what in ((loss_axes, f"training perplexity (over {characters.NOTED} steps)"), (alpha_axes, "alpha")):
        axes.set(xlabel="step", ylabel=what, yscale="log")
        tidy(axes)
    tick(loss_axes)
    plain(alpha_axes.yaxis)
    figure.legend(*loss_axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return {"charrnn.png": png(figure)}


EXPERIMENT = Experiment("charrnn", plan, markdown, pictures)
