"""Private backtracking: a line search that asks the data few questions, beside constant steps and towers.

After Chen and Lee, "Stochastic Adaptive Line Search for Differentially Private Optimization" (IEEE Big Data 2020), of
which the abstract alone was to be had: the method here is one of that kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..shared.report import COLOURS, png, tidy
from ..shared.settings import Settings
from . import Experiment, Line, Run, accountant, backtracking, page, record
from .page import MEASURED, OPEN, PAPER

DRAWS, QUICK_DRAWS = 20, 6  # of the noise
SETUPS = ((None, 50), (1.0, 10), (1.0, 20), (1.0, 50), (0.25, 50))  # epsilon, and the steps for it
GAMMAS = (1, 10, 20, 25, 32, 40, 50, 64, 75, 80, 85, 90, 100, 110, 130, 150, 200)
NAMED = (1, 10, 50, 100, 200)  # of these, the rows of the table
AGAIN, BOUNDS = ((0.5, 80), (1.0, 80), (1.0, 40)), (-1.0, -0.5, 0.5)
CHECKED = 50  # releases of each mechanism


class Method(NamedTuple):
    """A way to a step size: its name, the stack that moves the weights, and the options of its run."""

    name: str
    stack: str
    options: dict[str, Any]


def constant(gamma: float) -> Method:
    return Method(f"constant, {gamma:g}", f"sgd({gamma})", {"way": "constant"})


def search(first: float, **more: Any) -> Method:
    return Method(f"search from {first:g}", "sgd(1)", {"way": "search", "first": first, "trials": 6, **more})


def tower(alpha: float, above: str, **more: Any) -> Method:
    name = f"SGD({alpha:g}) / {above}" + ", cosine" * bool(more)
    return Method(name, f"sgd({alpha})/{above.lower()}", {"way": "tower", "coordinates": "log", **more})


SEARCHES = (search(512.0), search(128.0))
TOWERS = tuple(
    made for alpha in (1, 128) for made in (tower(alpha, "SGD(0.2)", cosine=True), tower(alpha, "Adam(0.2)"))
)
GRID = tuple(map(constant, GAMMAS))
ROWS = (*map(constant, NAMED), *SEARCHES, *TOWERS)


def plan(settings: Settings) -> list[Run]:
    """Every method in every setup, second measurements, the accountant's checks; --epochs says how many steps."""
    draws = QUICK_DRAWS if settings.quick else DRAWS
    setups = dict.fromkeys((epsilon, settings.epochs or steps) for epsilon, steps in SETUPS)
    again = dict.fromkeys((epsilon, settings.epochs or steps) for epsilon, steps in AGAIN)
    planned = [(setup, method) for setup in setups for method in (*GRID, *SEARCHES, *TOWERS)]
    planned += [(setup, search(128.0, bound=bound)) for setup in again for bound in BOUNDS]
    runs = [
        Run(
            "private",
            backtracking.__name__,
            method.stack,
            seed,
            steps,
            {"name": method.name, "epsilon": epsilon, "draws": draws if epsilon else 1, **method.options},
        )
        for seed in page.seeds(settings, 1)
        for (epsilon, steps), method in planned
    ]
    return [*runs, Run("private", accountant.__name__, "none", settings.seed, CHECKED)]


Setup = tuple[float | None, int]


def select(lines: Sequence[Line]) -> tuple[dict[Setup, dict[str, Line]], dict[Setup, dict[float, Line]]]:
    """By setup: the lines by the method's name, and those that measure again by their bound; of seeds, the first."""
    found: dict[Setup, dict[str, Line]] = {}
    again: dict[Setup, dict[float, Line]] = {}
    for line in lines:
        options = line.run.options
        if line.run.kind == backtracking.__name__:
            setup = options["epsilon"], line.run.steps
            if "bound" in options:
                again.setdefault(setup, {}).setdefault(options["bound"], line)
            else:
                found.setdefault(setup, {}).setdefault(options["name"], line)
    return found, again


def mean(line: Line) -> float:
    """Of the excess at the end, over the draws."""
    return fmean(line.result["excess"])


def shown(line: Line | None) -> str:
    """That mean, and the worst."""
    if line is None:
        return ""
    values = line.result["excess"]
    return f"{mean(line):.2g}" + (f" ({max(values):.2g})" if len(values) > 1 else "")


def best(found: dict[str, Line]) -> Line | None:
    """The best of the constant steps."""
    own = [found[method.name] for method in GRID if method.name in found]
    return min(own, key=mean) if own else None


def title(setup: Setup) -> str:
    epsilon, steps = setup
    return f"{steps} steps, " + ("exact" if epsilon is None else f"eps {epsilon:g}")


def comparison(found: dict[Setup, dict[str, Line]]) -> str:
    """Searches and towers beside the best constant step of the grid, in each setup that has one."""
    least = {setup: line for setup, own in found.items() if (line := best(own))}
    steps = ["which it is", *[line.run.options["name"] for line in least.values()]]
    rows = [
        [m.name, *[f"{mean(own) / mean(b):.2f}" if (own := found[s].get(m.name)) else "" for s, b in least.items()]]
        for m in (*SEARCHES, *TOWERS)
    ]
    return page.table(("times the best constant step's", *map(title, least)), [steps, *rows])


def spending(found: dict[Setup, dict[str, Line]]) -> str:
    """What was spent of what was stated, and that towers spend what constant steps spend."""
    private = {setup: own for setup, own in found.items() if setup[0]}
    if not private:
        return ""
    parts = [line.result["spent"] / (epsilon or 1) for (epsilon, _), own in private.items() for line in own.values()]
    costs = [
        abs(own[method.name].result["spent"] - own[GRID[0].name].result["spent"])
        for own in private.values()
        for method in TOWERS
        if method.name in own and GRID[0].name in own
    ]
    return (
        f"The accountant says that the runs spent at most {max(parts):.9f} of the stated eps, at delta "
        f"{accountant.DELTA:g}. A tower sees the noisy gradients and nothing else. So it costs "
        f"{max(costs, default=0):g} beyond a constant step."
    )


def checks(result: dict[str, Any]) -> list[str]:
    """The accountant's numbers beside closed forms, and the worst cases of AboveThreshold."""
    known = [
        [name, f"{ours:.4f}", "" if exact is None else f"{exact:.4f}"]
        for name, (ours, exact) in result["known"].items()
    ]
    ratios = [[name, *[f"{value:,.3f}" for value in values]] for name, values in result["ratios"].items()]
    header = ("AboveThreshold at eps 1: log of the worst ratio", *[f"{count:,} queries" for count in accountant.MANY])
    told = (
        "This logarithm should be at most 1, however many queries there are. With less noise it is 1.5. Without noise "
        "on the threshold it has no bound."
    )
    closed = (f"{CHECKED} releases", "eps", "closed form, all real orders")
    return ["### The accountant", page.table(closed, known), page.table(header, ratios), told]


CLAIMS = (
    ("Backtracking by noisy gradients and losses, with the sparse vector technique.", f"{PAPER}: its abstract"),
    ("The paper's algorithm, constants and experiments.", OPEN),
    ("Gradients that differ much call for a larger budget.", f"{PAPER}: its abstract; {MEASURED}"),
    ("AboveThreshold costs eps, however many queries it refuses.", f"{MEASURED}, in the worst case"),
    ("The curves of Gaussian noise and of pure privacy.", f"{MEASURED}, against closed forms"),
    ("The curve of Gaussian noise on Poisson samples.", f"{PAPER} of Mironov et al.; {MEASURED} at order 2 alone"),
    ("Noise may follow what was released, within a budget at one order fixed before.", OPEN),
    ("Few steps: the search is near the best constant step. Many steps: behind it.", MEASURED),
    ("A tower on noisy gradients costs no privacy.", f"{MEASURED}; it is post-processing"),
)


def markdown(lines: Sequence[Line]) -> str:
    """The excess of all methods, what was spent, measuring again, the accountant, and where each claim comes from."""
    found, again = select(lines)
    parts = ["## Private backtracking"]
    if found:
        rows = [[m.name, *[shown(own.get(m.name)) for own in found.values()]] for m in ROWS]
        most = [[f"best of {len(GRID)} constant steps", *[shown(best(own)) for own in found.values()]]]
        told = (
            "Each cell is the mean over the draws of the noise; in brackets is the worst of them. To look for the best "
            "constant step costs privacy, which the table does not charge. The others beside it:"
        )
        parts += [
            page.table(("the loss less the least", *map(title, found)), [*rows, *most]),
            told,
            comparison(found),
            spending(found),
        ]
    if again:
        header = ("search from 128", "never", *[f"below {bound:g}" for bound in BOUNDS[1:]])
        rows = [[title(setup), *[shown(own.get(bound)) for bound in BOUNDS]] for setup, own in again.items()]
        parts += ["### Gradients measured again, where the cosine with the one before is low", page.table(header, rows)]
        parts += [
            f"Without noise the median cosine along a search's steps is {own[SEARCHES[0].name].result['cosine']:.2f}."
            for (epsilon, _), own in found.items()
            if epsilon is None and SEARCHES[0].name in own
        ]
    for line in lines:
        if line.run.kind == accountant.__name__:
            parts += checks(line.result)
    return "\n\n".join([*parts, page.table(("claim", "where from"), CLAIMS), record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """The excess over the constant step with the others beside it, and the step sizes of the longest private setup."""
    found, _ = select(lines)
    private = {setup: own for setup, own in found.items() if setup[0]}
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    over, sizes, excess = figure.subplots(1, 3)
    for (setup, own), colour in zip(private.items(), COLOURS[1:]):
        points = {gamma: mean(own[name]) for gamma in GAMMAS if (name := constant(gamma).name) in own}
        over.plot([*points], [*points.values()], "-", color=colour, linewidth=1.2, label=title(setup))
        for method, style in zip((*SEARCHES, TOWERS[2]), ("--", ":", "-.")):
            if method.name in own:
                label = None if setup != next(iter(private)) else method.name
                over.axhline(mean(own[method.name]), color=colour, linestyle=style, linewidth=0.9, label=label)
    shared = [(setup, own) for setup, own in private.items() if setup[0] == 1.0]
    if shared:
        setup, own = shared[-1]
        draw(sizes, own, "sizes", f"step sizes, {title(setup)}, one draw; gaps are 0")
        draw(excess, own, "excess", f"the loss less the least, {title(setup)}, one draw")
    over.set_title("the loss less the least, constant steps and others", fontsize=11)
    over.set_xlabel("constant step")
    over.set_xscale("log")
    for axes in (over, sizes, excess):
        tidy(axes)
        if axes.has_data():
            axes.set_yscale("log")
            axes.legend(fontsize=7, frameon=False)
    return {"private.png": png(figure)}


def draw(axes: Axes, own: dict[str, Line], what: str, title: str) -> None:
    """A curve for the best constant step, each search and each tower."""
    least = best(own)
    lines = [*([least] if least else []), *[own[m.name] for m in (*SEARCHES, *TOWERS) if m.name in own]]
    for line, colour in zip(lines, COLOURS):
        values = [value or float("nan") for value in line.result["by step"][what]]
        style = "-" if line.run.options["way"] == "tower" else "--"
        axes.plot(range(1, len(values) + 1), values, style, color=colour, linewidth=1.2, label=line.run.options["name"])
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("step")


EXPERIMENT = Experiment("private", plan, markdown, pictures)
