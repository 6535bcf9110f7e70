"""Joint schedules of step size and noise for least squares with noisy inputs: power laws, and learned ones.

Hanin and Sun, "How Data Augmentation affects Optimization for Linear Regression" (NeurIPS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ..shared.report import COLOURS, finish, png
from ..shared.settings import Settings
from . import Experiment, Line, Run, augmented, page, record
from .augmented import MARKS, POWERS
from .page import MEASURED, OPEN, PAPER

STEPS, SAMPLED = MARKS[-1], MARKS[0]
ROUNDS, QUICK_ROUNDS = 500, 100
LENGTHS = MARKS[:2]  # the runs for which schedules are learned
ADAM = "adam(0.05)"
A, B = 0.1, 3.0
THEORY, OTHER = (2 / 3, 1 / 3), (0.5, 0.4)
EVERY = ("log eta", "log v")


@dataclass(frozen=True)
class Law:
    """Step sizes a t^-x and variances b t^-y."""

    x: float
    y: float
    b: float = B

    @property
    def name(self) -> str:
        if not self.b:
            return "no noise"
        text = f"x {self.x:.3g}, y {self.y:.3g}"
        return text if self.b == B else f"{text}, b {self.b:g}"

    @property
    def schedule(self) -> list[float]:
        return [A, self.x, self.b, self.y]

    @property
    def bound(self) -> str:
        """By which power of t the distance falls at least, where the theorem says one."""
        proved = self.b and self.y and self.x + self.y <= 1 < 2 * self.x + self.y
        return f"{min(self.y, self.x / 2):.3f}" if proved else ""


SILENT, BEST, STEEPER, TOO_FAST = Law(0.0, 0.0, 0.0), Law(*THEORY), Law(*OTHER), Law(0.6, 0.9)
LAWS = (
    SILENT, Law(0.5, 0.0), BEST, Law(*THEORY, b=0.3), STEEPER, Law(0.4, 0.5), Law(0.2, 0.4), TOO_FAST,
)  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """What is learned, from where, and by which goal."""

    name: str
    free: Sequence[str]
    goal: str = "validation"
    law: Law = BEST


TUNED = Learned(f"{BEST.name}: a and b", ("log a", "log b"))
TUNED_OTHER = Learned(f"{STEEPER.name}: a and b", ("log a", "log b"), law=STEEPER)
ALL, ALL_BY_TRAINING = (Learned("a, x, b and y", POWERS, goal) for goal in augmented.GOALS)
EACH, EACH_BY_TRAINING = (Learned("every step's two", EVERY, goal) for goal in augmented.GOALS)
LEARNED = (TUNED, TUNED_OTHER, ALL, ALL_BY_TRAINING, EACH, EACH_BY_TRAINING)


def plan(settings: Settings) -> list[Run]:
    """All power laws, samples beside the moments, and what is learned; --epochs says how many rounds of Adam."""
    rounds = settings.epochs or (QUICK_ROUNDS if settings.quick else ROUNDS)
    kind, seed = augmented.__name__, settings.seed

    def run(stack: str, steps: int, part: str, law: Law, seed: int, **options: Any) -> Run:
        return Run("augment", kind, stack, seed, steps, {"part": part, "schedule": law.schedule, **options})

    return [
        *[run("sgd", STEPS, "rates", law, seed, name=law.name) for law in LAWS],
        *[run("sgd", SAMPLED, "sampled", BEST, one, name="samples") for one in page.seeds(settings, 1)],
        *[
            run(ADAM, rounds, "learned", one.law, seed, name=one.name, free=[*one.free], goal=one.goal, length=length)
            for length in (LENGTHS[:1] if settings.quick else LENGTHS)
            for one in LEARNED
        ],
    ]


def select(lines: Sequence[Line], part: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The results of a part, by what tells its runs apart; of several seeds, the first."""
    own = [line for line in reversed(lines) if line.run.options["part"] == part]
    return {tuple(map(line.run.options.get, ("name", "goal", "length"))): line.result for line in own}


def laws(lines: Sequence[Line]) -> dict[Law, dict[str, Any]]:
    """What came of each power law."""
    found = select(lines, "rates")
    return {law: found[key] for law in LAWS if (key := (law.name, None, None)) in found}


def learned(lines: Sequence[Line], steps: int) -> dict[Learned, dict[str, Any]]:
    """What was learned for runs of so many steps."""
    found = select(lines, "learned")
    return {one: found[key] for one in LEARNED if (key := (one.name, one.goal, steps)) in found}


def at(result: dict[str, Any], t: int, what: str = "error") -> float:
    """A root after t steps."""
    return dict(zip(result["t"], result[what]))[t]


def slope(result: dict[str, Any], what: str = "error") -> float:
    """Of a root over the last tenfold of steps, on logarithmic axes; turned round, so that falling is positive."""
    before, after = (at(result, t, what) for t in MARKS[-2:])
    return math.log(before / after) / math.log(MARKS[-1] / MARKS[-2]) if after > 0 else 0.0


def rows(found: dict[Law, dict[str, Any]]) -> Iterable[list[str]]:
    """The root of E |e|^2 after some steps, and by which power of t it and its parts fall."""
    for law, result in found.items():
        shares = [f"{slope(result, what):.3f}" for what in ("error", "bias", "fluctuation")]
        yield [law.name, *[f"{at(result, t):.4g}" for t in MARKS], *shares, law.bound]


HEADER = ("law", *[f"t = {t:,}" for t in MARKS], "falls as t^-", "its mean", "its fluctuation", "bound")


def rates(found: dict[Law, dict[str, Any]]) -> str:
    """What the table of power laws shows."""
    parts = []
    if SILENT in found:
        parts.append(
            f"Without noise the distance stays at {at(found[SILENT], STEPS):.3f}. This is how far the start is from "
            "the span of the inputs: no gradient leads out of the span."
        )
    if TOO_FAST in found:
        parts.append(
            f"Where x + y > 1 ({TOO_FAST.name}) the noise is gone too soon: the distance is "
            f"{at(found[TOO_FAST], STEPS):.3f} in the end."
        )
    if STEEPER in found:
        parts.append(
            f"A law may fall faster than the bound, min(y, x/2): {STEEPER.name} falls as "
            f"t^-{slope(found[STEEPER]):.3f}, and its bound is {STEEPER.bound}."
        )
    return " ".join(parts)


def samples(result: dict[str, Any]) -> str:
    """How the moments agree with samples, and the sampled hypergradients with those of the moments."""
    part = abs(result["samples"] / result["exact"] - 1)
    told = zip(POWERS, result["gradients"], result["sampled"], result["uncertain"])
    cells = [[name, f"{right:.4f}", f"{mean:.4f} ± {doubt:.4f}"] for name, right, mean, doubt in told]
    text = (
        f"After {SAMPLED} steps of {BEST.name}, E |e|^2 is {result['exact']:.4f} by the moments and "
        f"{result['samples']:.4f} in {augmented.MANY:,} sampled runs: {100 * part:.1f} % apart. `th.hyper` computes "
        "the derivatives of the samples' mean with respect to the four numbers. It does so through all steps of a rule "
        f"that reads t, in {augmented.GROUPS} groups of {augmented.RUNS} runs. Differences of whole runs agree to "
        f"{result['off']:.0e}."
    )
    header = ("d E abs(e)^2 with respect to", "moments, complex steps", "samples, reverse mode")
    return f"{text}\n\n{page.table(header, cells)}"


def schedules(lines: Sequence[Line], steps: int) -> Iterable[list[str]]:
    """Both goals where Adam ended, and what it learned."""
    if SILENT in (found := laws(lines)):
        yield ["nothing: no noise", "", f"{at(found[SILENT], steps):.3f}", "", "", ""]
    for one, result in learned(lines, steps).items():
        numbers = result["numbers"]
        words = ", ".join(
            f"{name[-1]} {math.exp(numbers[name]) if name.startswith('log') else numbers[name]:.3g}" for name in numbers
        )
        yield [
            one.name, one.goal, f"{result['validation']:.3g}", f"{result['training']:.2g}", words,
            f"{result['off']:.0e}",
        ]  # fmt: skip


CLAIMS = (
    ("Step size and noise have to fall jointly.", f"{PAPER}; {MEASURED}"),
    ("w goes to w_min where eta sigma^2 sums to infinity, and eta^2 sigma^2 does not.", OPEN),
    ("For power laws the distance falls as t^-min(y, x/2) at least.", f"{OPEN}; {MEASURED} for three"),
    ("Other power laws are faster than that bound, and than (2/3, 1/3).", MEASURED),
    ("2x + y > 1 is not needed for least squares with additive noise.", MEASURED),
    ("Projections of the inputs and minibatches have theorems of the same form.", OPEN),
    ("A schedule learned through the run is better than the theory's, for that many steps.", MEASURED),
    ("As a power law learned by the training loss it switches the noise off.", MEASURED),
)


def markdown(lines: Sequence[Line]) -> str:
    """Rates, samples, what is learned, and where each claim comes from."""
    setting = (
        "This is least squares with fewer equations (6) than weights (12). In each step the inputs have fresh normal "
        f"noise of variance sigma^2 = b t^-y. The step size is eta = a t^-x. Unless they are learned, a is {A:g} and b "
        f"is {B:g}. w_min is the solution of least norm, of norm 1, and e = w - w_min. The tables have the root of E "
        "|e|^2. It comes from the moments of e, which follow exactly from those of the step before."
    )
    parts = ["## Augmentation: schedules of step size and noise", setting]
    if found := laws(lines):
        parts += ["### Power laws", page.table(HEADER, rows(found)), rates(found)]
    for result in select(lines, "sampled").values():
        parts += ["### Moments and samples", samples(result)]
    for steps in LENGTHS:
        if learned(lines, steps):
            header = ("learned", "by", "root E abs(e)^2", "root of training loss", "where", "off by")
            parts += [f"### Learned, for {steps} steps", page.table(header, schedules(lines, steps))]
    last = "The last column says how far the engine's gradient at the end is from one by complex steps, at most."
    parts.append(f"Adam descends the logarithm of the goal. {last}")
    return "\n\n".join([*filter(None, parts), page.table(("claim", "where from"), CLAIMS), record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """The distance over the steps by law; learned schedules; and the learning."""
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    (distance, sizes), (learning, noise) = figure.subplots(2, 2, subplot_kw={"xscale": "log", "yscale": "log"})
    for place, (law, result) in enumerate(laws(lines).items()):
        dashes, colour = ("-", "--")[place // len(COLOURS)], COLOURS[place % len(COLOURS)]
        distance.plot(result["t"], result["error"], dashes, color=colour, linewidth=1.2, label=law.name)
    finish(distance, "root of E |e|^2, power laws", "step")
    steps, found = LENGTHS[0], learned(lines, LENGTHS[0])
    for place, (one, result) in enumerate(found.items()):
        style: dict[str, Any] = {"color": COLOURS[place], "label": f"{one.name}, by {one.goal}", "linewidth": 1.2}
        style["linestyle"] = "-" if one.goal == "validation" else "--"
        numbers = range(1, steps + 1)
        sizes.plot(numbers, result["eta"], **style)
        noise.plot(numbers, result["v"], **style)
        if one.goal == "validation":
            rounds = range(1, len(result["values"]) + 1)
            learning.plot(rounds, [math.exp(value / 2) for value in result["values"]], **style)
    finish(sizes, f"step sizes learned for {steps} steps", "step")
    finish(noise, "variances of the noise learned with them", "step")
    noise.set_ylim(bottom=1e-6)
    finish(learning, f"root of E |e|^2 after {steps} steps", "round of Adam")
    return {"augment.png": png(figure)}


EXPERIMENT = Experiment("augment", plan, markdown, pictures)
