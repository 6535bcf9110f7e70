"""How far a hypergradient must look back: its bias, its time and its memory over the horizon k.

`python -m demos horizon` prints a table and draws it.

SGD makes a run of T steps with a fixed alpha, and the graph is cut every k steps (a level above whose own step size is
0 keeps alpha where it is). At the end of each window, L is differentiated with respect to alpha through the window's
k updates. Two numbers are shown for each k; the picture has them divided by the full hypergradient, that of L at the
end of the run through all T updates:

- "at the end": the last window's, which is the full hypergradient truncated to the last k updates;
- "on the way": the mean of all windows', by which a tower with this horizon would move alpha.

At k = T both are the full hypergradient, which is printed beside central differences of the whole run. L is the loss
without noise: the quadratic's own, where there is noise a mean over 400 runs; for the digits, over all training images.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from tqdm import tqdm

import tinyhyper as th

from . import digits
from .digits import Params
from .shared import output
from .shared.report import COLOURS, png, tick, tidy
from .shared.settings import Settings, shared

EIGENVALUES = np.logspace(-2, 0, 10)
NOISY_RUNS = 400
REPEATS = 10  # of each time, of which the least is shown
LOWEST_DRAWN = 0.01  # of the full hypergradient; nearer to 0 the axis is linear


# What is shown of the windows of one horizon: its name, what it is, its colour and its mark.
SHOWN = (
    ("at the end", "the last k steps", COLOURS[1], "o"),
    ("on the way", "mean of all windows of k steps", COLOURS[2], "s"),
)

options = shared("seed", "out")


class Problem(NamedTuple):
    """A loss to descend.

    horizons: the ks to try, each of which divides the last one, the number of steps.  start: the first weights.
    data: what each step's loss reads.  loss: what is descended.  goal: L, the loss without noise.
    """

    name: str
    alpha: float
    horizons: tuple[int, ...]
    start: Callable[[np.random.Generator], Params]
    data: Callable[[np.random.Generator, int], list[Any]]
    loss: Callable[[Params, Any], th.Tensor]
    goal: Callable[[Params], th.Tensor]

    @property
    def steps(self) -> int:
        return self.horizons[-1]


class Bias(NamedTuple):
    """The hypergradients of a problem's windows by horizon, as in SHOWN; the full hypergradient by differences."""

    problem: Problem
    found: dict[int, tuple[float, float]]
    by_differences: float

    @property
    def full(self) -> float:
        return self.found[self.problem.steps][0]


def quadratic(name: str, noise: float, alpha: float, horizons: tuple[int, ...]) -> Problem:
    """Half the sum of eigenvalue * w^2, from w = 1; each gradient has normal noise of this standard deviation."""
    shape = (NOISY_RUNS if noise else 1, EIGENVALUES.size)

    def curve(params: Params) -> th.Tensor:
        return th.sum(0.5 * EIGENVALUES * params["w"] * params["w"])

    return Problem(
        name,
        alpha,
        horizons,
        start=lambda rng: {"w": th.tensor(np.ones(shape), requires_grad=True)},
        data=lambda rng, count: [noise * rng.standard_normal(shape) for _ in range(count)],
        loss=lambda params, slope: curve(params) + th.sum(slope * params["w"]),
        goal=lambda params: curve(params) / shape[0],
    )


def digits_mlp(alpha: float, horizons: tuple[int, ...]) -> Problem:
    """The MLP of the demo `digits`, in float64."""
    data = th.data.digits()
    images, labels = data.train_images.astype(np.float64), data.train_labels

    def batches(rng: np.random.Generator, count: int) -> list[Any]:
        order = rng.permutation(len(images))[: count * digits.BATCH].reshape(count, digits.BATCH)
        return [(images[chosen], labels[chosen]) for chosen in order]

    def loss(params: Params, batch: Any) -> th.Tensor:
        return th.cross_entropy(digits.logits(params, batch[0]), batch[1])

    return Problem(
        "digits MLP",
        alpha,
        horizons,
        start=digits.doubled,
        data=batches,
        loss=loss,
        goal=lambda params: loss(params, (images, labels)),
    )


def problems() -> list[Problem]:
    """Where one step is not enough to know in which direction alpha should go."""
    return [
        quadratic("quadratic without noise", 0.0, 1.5, (1, 2, 4, 5, 10, 20)),
        quadratic("quadratic with noise 0.3", 0.3, 0.03, (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
        digits_mlp(0.3, (1, 2, 4, 8, 16, 32, 64)),
    ]


def follow(
    problem: Problem, optimizer: th.optim.Optimizer, seed: int, recorded: bool = False
) -> Iterator[tuple[int, Params]]:
    """The run: after each step, its number from 1 and the weights."""
    rng = np.random.default_rng(seed)
    params = problem.start(rng)
    for step, data in enumerate(problem.data(rng, problem.steps), start=1):
        problem.loss(params, data).backward(create_graph=recorded)
        optimizer.step(params)
        yield step, params


def tower(problem: Problem, horizon: int) -> th.optim.Optimizer:
    """SGD whose alpha gets a hypergradient but stays where it is."""
    return th.optim.SGD(problem.alpha, optimizer=th.optim.SGD(0.0), horizon=horizon)


def windows(problem: Problem, horizon: int, seed: int) -> list[float]:
    """The hypergradient of each window of the run."""
    optimizer = tower(problem, horizon)
    return [
        th.gradients(problem.goal(params), optimizer.parameters["alpha"], retain_graph=True)[0].item()
        for step, params in follow(problem, optimizer, seed, recorded=horizon > 1)
        if step % horizon == 0
    ]


def difference(problem: Problem, seed: int) -> float:
    """The full hypergradient as a central difference of two whole runs."""

    def last(alpha: float) -> float:
        *_, (_, params) = follow(problem, th.optim.SGD(alpha), seed)
        return problem.goal(params).item()

    h = 1e-5 * problem.alpha
    return (last(problem.alpha + h) - last(problem.alpha - h)) / (2 * h)


def bias(problem: Problem, seed: int, progress: tqdm) -> Bias:
    """The hypergradients of one problem at every horizon."""
    found = {}
    for horizon in problem.horizons:
        values = windows(problem, horizon, seed)
        found[horizon] = values[-1], float(np.mean(values))
        progress.update()
    return Bias(problem, found, difference(problem, seed))


def window(problem: Problem, horizon: int, seed: int) -> float:
    """Seconds for one window: `horizon` steps and the sweep that gathers its hypergradient."""
    rng, optimizer = np.random.default_rng(seed), tower(problem, horizon)
    params = problem.start(rng)
    first, *others = problem.data(rng, horizon + 1)
    problem.loss(params, first).backward()
    began = time.perf_counter()
    for step, data in enumerate(others, start=1):
        optimizer.step(params)
        problem.loss(params, data).backward(create_graph=step < horizon)
    return time.perf_counter() - began


def costs_of(problem: Problem, seed: int) -> dict[int, tuple[float, float]]:
    """Milliseconds and peak megabytes of one window, by horizon; measured apart, as counting bytes takes time."""
    rounds = [{k: window(problem, k, seed) for k in problem.horizons} for _ in range(REPEATS)]
    found = {}
    for k in problem.horizons:
        tracemalloc.start()
        window(problem, k, seed)
        found[k] = 1e3 * min(seconds[k] for seconds in rounds), 1e-6 * tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def table(results: list[Bias], costs: dict[int, tuple[float, float]]) -> str:
    """The numbers of the picture."""

    lines = []
    for problem, found, by_differences in results:
        full = found[problem.steps][0]

        def sign(value: float, full: float = full) -> str:
            return "wrong sign" if value * full < 0 else ""

        wrong = " and ".join(name for (name, *_), value in zip(SHOWN, found[1]) if sign(value))
        verdict = f"that of one step has the {f'wrong sign {wrong}' if wrong else 'same sign'}"
        lines += [
            f"{problem.name}: alpha {problem.alpha:g}, {problem.steps} steps",
            f"full hypergradient {full:+.6g}, by differences {by_differences:+.6g}; {verdict}",
            f"{'k':>6}  {'at the end':>11}  {'':<10}  {'on the way':>11}",
            *(f"{k:>6}  {e:>+11.4g}  {sign(e):<10}  {w:>+11.4g}  {sign(w)}".rstrip() for k, (e, w) in found.items()),
            "",
        ]
    lines += [f"one window on the {results[-1].problem.name}", f"{'k':>6}  {'milliseconds':>12}  {'peak MB':>8}"]
    lines += [f"{k:>6}  {milliseconds:>12.2f}  {size:>8.3f}" for k, (milliseconds, size) in costs.items()]
    return "\n".join(lines)


def draw_bias(axes: Axes, result: Bias) -> None:
    """Both hypergradients over k, as multiples of the full one."""
    problem = result.problem
    axes.axhspan(-100, 0, color="#FBE9E1")
    axes.axhline(1, color="#999999", linewidth=1)
    axes.axhline(0, color="#999999", linewidth=0.8)
    for n, (name, what, colour, marker) in enumerate(SHOWN):
        line: dict[str, Any] = {"color": colour, "marker": marker, "label": f"{name}: {what}"}
        ratios = [values[n] / result.full for values in result.found.values()]
        axes.plot(problem.horizons, ratios, markersize=4.5, linewidth=1.4, **line)
    axes.set_yscale("symlog", linthresh=LOWEST_DRAWN)
    axes.set_ylim(-8, 8)
    axes.set_yticks([-1, -0.1, -0.01, 0, 0.01, 0.1, 1], ["−1", "−0.1", "−0.01", "0", "0.01", "0.1", "1"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(f"{problem.name}\nalpha {problem.alpha:g}, {problem.steps} steps", fontsize=11)
    axes.text(0.97, 0.03, "wrong sign", transform=axes.transAxes, ha="right", color="#A33B00", fontsize=9)
    over_k(axes, problem.horizons)


def draw_cost(axes: Axes, label: str, horizons: Sequence[int], values: Sequence[float]) -> None:
    """What one window costs over k, and the line through the last value on which twice the k costs twice as much."""
    line = [values[-1] * k / horizons[-1] for k in horizons]
    axes.plot(horizons, line, color="#999999", linestyle="--", linewidth=1, label="in proportion to k")
    axes.plot(horizons, values, color=COLOURS[0], marker="o", markersize=4.5, linewidth=1.4)
    axes.set_yscale("log")
    tick(axes)
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=9)
    over_k(axes, horizons)


def over_k(axes: Axes, horizons: Sequence[int]) -> None:
    """What all panels share: the axis of k, and the grid."""
    axes.set_xscale("log")
    shown = [k for n, k in enumerate(horizons) if len(horizons) < 8 or n % 3 == 0]
    axes.set_xticks(shown, [str(k) for k in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("horizon k")
    tidy(axes)


def picture(results: list[Bias], costs: dict[int, tuple[float, float]]) -> bytes:
    """A PNG: above, the hypergradients of each problem over k; below, time and memory of a window."""
    figure = Figure(figsize=(12.5, 8), layout="constrained")
    upper, lower = np.ravel(figure.subfigures(2, 1, squeeze=False, height_ratios=(1.25, 1)))
    panels = upper.subplots(1, len(results), sharey=True)
    for axes, result in zip(panels, results, strict=True):
        draw_bias(axes, result)
    panels[0].set_ylabel("hypergradient / full hypergradient")
    upper.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    lower.suptitle(f"one window on the {results[-1].problem.name}", fontsize=11)
    for axes, label, values in zip(lower.subplots(1, 2), ("milliseconds", "peak memory, MB"), zip(*costs.values())):
        draw_cost(axes, label, [*costs], values)
    return png(figure)


def main(settings: Settings) -> int:
    """Measure, print a table and write the picture. Returns the exit status."""
    folder = output.prepare(settings.out)
    tried = problems()
    with tqdm(total=sum(len(p.horizons) for p in tried), unit="horizon", leave=False, disable=None) as progress:
        results = [bias(problem, settings.seed, progress) for problem in tried]
    costs = costs_of(tried[-1], settings.seed)
    output.finish(table(results, costs), folder, {"horizon.png": picture(results, costs)})
    return 0
