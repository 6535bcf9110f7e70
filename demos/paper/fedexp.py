"""FedExP, the server's step size in federated learning, beside fixed ones, other methods, and towers on the server.

Jhunjhunwala, Wang and Joshi, "FedExP: Speeding up Federated Averaging via Extrapolation" (ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..shared.report import COLOURS, finish, png
from ..shared.settings import Settings
from . import Experiment, Line, Run, federated, page, record
from .page import MEASURED, OPEN, PAPER

SEEDS = 1
ROUNDS, QUICK_ROUNDS = 200, 80
SHARED, APART = 1000, 200  # dimensions of w: more than the 600 equations, so that all clients agree, and fewer
SHOWN, GOALS = (20, 50, 100, 200), (1e-3, 1e-6)


@dataclass(frozen=True, eq=False)
class Method:
    """A server: its name in the table, its optimizer on the mean of what clients send, and the options of its run."""

    name: str
    stack: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tower: bool = False


def exp(epsilon: float) -> Method:
    return Method(f"FedExP, eps {epsilon:g}", "sgd(1)", {"length": "fedexp", "epsilon": epsilon})


def above(stack: str, coordinates: str = "log") -> Method:
    """A tower whose step size begins at 1, that of FedAvg."""
    name = f"SGD / {stack}" + ", log alpha" * (coordinates == "log")
    return Method(name, f"sgd(1)/{stack.lower()}", {"coordinates": coordinates}, tower=True)


BEST, DEAD = exp(0), above("SGD(30)")
PLAINEST = Method("FedAvg, 1", "sgd(1)")
SCAFFOLD = Method("SCAFFOLD, 1", "sgd(1)", {"scaffold": True})
METHODS = {
    SHARED: (
        PLAINEST,
        *[Method(f"FedAvg, {eta}", f"sgd({eta})") for eta in (10, 15, 20)],
        *[BEST, exp(1e-6), exp(1e-3)],
        SCAFFOLD,
        Method("SCAFFOLD, 10", "sgd(10)", {"scaffold": True}),
        Method(f"FedAdagrad, {federated.ADAPTIVE:g}", "fedadagrad"),
        Method("projections", "sgd(1)", {"project": True}),
        Method("projections, extrapolated", "sgd(1)", {"project": True, "length": "extrapolated"}),
        Method("line search on F", "sgd(1)", {"length": "line search"}),
        *[above("SGD(100)", "linear"), above("SGD(1000)", "linear")],
        *[above("SGD(10)"), above("Adam(0.1)"), above("RMSProp(0.1, 0.5)"), DEAD],
    ),
    APART: (PLAINEST, SCAFFOLD, BEST, exp(1e-2), exp(1e-1), above("SGD(10)")),
}


def plan(settings: Settings) -> list[Run]:
    """Every method on both problems; --epochs says how many rounds."""
    rounds = settings.epochs or (QUICK_ROUNDS if settings.quick else ROUNDS)
    return [
        Run(
            "fedexp",
            federated.__name__,
            method.stack,
            seed,
            rounds,
            {"name": method.name, "dimensions": dimensions, **method.options},
        )
        for dimensions, methods in METHODS.items()
        for method in methods
        for seed in page.seeds(settings, SEEDS)
    ]


Found = dict[Method, dict[str, Any]]


def select(lines: Sequence[Line], dimensions: int) -> Found:
    """What each method did on one problem; of several seeds, the first."""
    own = {
        line.run.options["name"]: line.result
        for line in reversed(lines)
        if line.run.options["dimensions"] == dimensions
    }
    return {method: own[method.name] for method in METHODS[dimensions] if method.name in own}


def rounds_to(values: Sequence[float | None], goal: float) -> int | None:
    """The first round after which F is below the goal."""
    return next((n for n, value in enumerate(values, 1) if value is not None and value < goal), None)


def finite(values: Sequence[float | None]) -> list[float]:
    """The numbers among them."""
    return [value for value in values if value is not None]


def number(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.2g}"


def rows(found: Found) -> Iterable[list[str]]:
    """F after some rounds, the rounds to the goals, and where the server's step size was, for each method."""
    for method, result in found.items():
        values = result["F"]
        etas = finite(result["eta"])
        yield [
            method.name,
            *[number(values[n - 1]) if n <= len(values) else "" for n in SHOWN],
            number(result["mean of two"]),
            *[str(rounds_to(values, goal) or "") for goal in GOALS],
            f"{etas[0]:.3g}, {median(etas):.3g}, {max(etas):.3g}",
        ]


HEADER = (
    "method", *[f"F at {n}" for n in SHOWN], "mean of last two",
    *[f"rounds to {goal:g}" for goal in GOALS], "step size: first, median, largest",
)  # fmt: skip


def distance(result: dict[str, Any]) -> str:
    """How the distance to the common solution fell under FedExP without eps."""
    count, (least, most) = len(result["F"]), result["best"]
    return (
        f"Under {BEST.name} the squared distance to the common solution fell in {result['fell']} of {count} rounds. In "
        f"{result['kept']} it fell by at least what is promised: eta times the mean of the clients' squared moves, "
        "less eta squared times the square of their mean. The promise only needs clients that come no farther from the "
        f"solution. Their mean squared distance was at most {result['clients']:.4f} of the server's. FedExP's eta "
        "makes the promise largest. From twice that eta on nothing is promised. The best step size for the distance "
        f"was {least:.2f} to {most:.2f} times FedExP's, but no server knows it."
    )


def towers(found: Found) -> str:
    """How the towers that live compare with FedExP, and how one died."""
    goal, ours = GOALS[0], rounds_to(found[BEST]["F"], GOALS[0])
    needed = {m.name: rounds_to(found[m]["F"], goal) for m in found if m.tower and m != DEAD}
    told = ", ".join(f"{name}: {rounds or 'never'}" for name, rounds in needed.items())
    text = (
        "Towers begin at FedAvg's step size 1 and see nothing but the means. Their hypergradient is the product of two "
        f"means in a row. Rounds to F < {goal:g}: {told or 'none'}. FedExP has no number above to choose. Its rounds: "
        f"{ours or 'never'}. "
    )
    if ours and all(rounds is None or rounds > ours for rounds in needed.values()):
        text += "All of these towers are slower. "
    if DEAD in found:
        etas = finite(found[DEAD]["eta"])
        text += (
            f"{DEAD.name} fails: its step size goes up to {max(etas):.3g} and then down to {etas[-1]:.1g}. F ends at "
            f"{number(found[DEAD]['F'][-1])}."
        )
    return text


def apart(found: Found) -> str:
    """What happens where the clients have no solution in common."""
    least = next(iter(found.values()))["least"]
    ends = [f"{m.name} ends at {found[m]['F'][-1]:.3f}" for m in (PLAINEST, SCAFFOLD) if m in found]
    text = (
        f"The least F is {least:.3f}. In its own steps each client drifts to its own solution, unless it is corrected. "
        f"{', '.join(ends)}. "
    )
    if BEST in found:
        numbers = finite(found[BEST]["F"])
        text += (
            f"{BEST.name} fails: the mean of the moves goes to 0, and the single moves do not. So the step size goes "
            f"up to {max(finite(found[BEST]['eta'])):,.0f}, and F is between {min(numbers):.2g} and "
            f"{max(numbers):.2g}. "
        )
    return text + " ".join(
        f"{method.name} ends at {result['F'][-1]:.3f}, the mean of its last two weights at {result['mean of two']:.3f}."
        for method, result in found.items()
        if method.options.get("epsilon")
    )


CLAIMS = (
    ("The step size is max(1, mean of squares / (2 (square of the mean + eps))).", f"{PAPER}'s code, but for eps"),
    ("It is faster than averaging alone where the clients have a common solution.", f"{PAPER}; {MEASURED}"),
    ("It is faster for neural networks on CIFAR-10, CINIC-10 and EMNIST.", f"{PAPER}; {OPEN}"),
    ("On convex losses F falls as 1 / (sum of the step sizes), up to client drift.", OPEN),
    ("The distance to a common solution falls by what is promised in every round.", MEASURED),
    ("eps must be small beside the square of the mean, or little is gained.", MEASURED),
    ("Without a common solution eps must not be 0, and the mean of two weights helps.", MEASURED),
    ("Towers learn a server's step size from the means alone, and are slower than FedExP.", MEASURED),
)


def markdown(lines: Sequence[Line]) -> str:
    """Both problems' tables, what they show, and where each claim comes from."""
    parts = ["## FedExP: the step size of a server"]
    if found := select(lines, SHARED):
        parts += [
            f"### A common solution: {SHARED} dimensions, {federated.CLIENTS} clients of {federated.ROWS} equations",
            page.table(HEADER, rows(found)),
            "The line search needs F itself, which no server has.",
        ]
        if BEST in found:
            parts += [distance(found[BEST]), towers(found)]
    if found := select(lines, APART):
        parts += [f"### No common solution: {APART} dimensions", page.table(HEADER, rows(found)), apart(found)]
    return "\n\n".join([*parts, page.table(("claim", "where from"), CLAIMS), record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """F over the rounds: rules, towers, and without a common solution; and the server's step sizes."""
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    (rules, tower), (sizes, without) = figure.subplots(2, 2)
    found = select(lines, SHARED)
    shown = {method: result for method, result in found.items() if not method.tower}
    draw(rules, shown, "F", f"F, {SHARED} dimensions: fixed rules", (1e-16, 1e2))
    towers = {method: result for method, result in found.items() if method.tower or method == BEST}
    draw(tower, towers, "F", "F: towers on the server, beside FedExP", (1e-16, 1e5))
    draw(sizes, towers, "eta", "their step sizes", (1e-2, 1e3))
    draw(without, select(lines, APART), "F", f"F, {APART} dimensions: no common solution", (0.4, 100))
    return {"fedexp.png": png(figure)}


def draw(axes: Axes, found: Found, what: str, title: str, limits: tuple[float, float]) -> None:
    """A curve for each method."""
    for place, (method, result) in enumerate(found.items()):
        values = [float("nan") if value is None else value for value in result[what]]
        style = "-" if method.tower or method == BEST else ("--", ":")[place // len(COLOURS)]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(range(1, len(values) + 1), values, style, color=colour, linewidth=1.2, label=method.name)
    axes.set_yscale("log")
    axes.set_ylim(limits)
    finish(axes, title, "round")


EXPERIMENT = Experiment("fedexp", plan, markdown, pictures)
