"""Learning to learn a step size: where back-propagation breaks, what scaled adjoints give, and which loss to descend.

Wang, Yuan, Wu and Ge, "Guarantees for Tuning the Step Size using a Learning-to-Learn Approach" (ICML 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..shared.report import COLOURS, finish, png
from ..shared.settings import Settings
from . import Experiment, Line, Run, page, record, tuned, unrolled
from .page import MEASURED, OPEN, PAPER

LENGTHS = (20, 40, 80, 160, 320, 640, 1280, 2560)
TABLES = (("square", "0.1"), ("wide", "2/(L+a)"))
FIRST = (("square", "0.1"), ("wide", "0.1"), ("wide", "2.2/L"), ("wide", "2/(L+a)"))
MOST, META_STEPS = 10_000, 300
TRAININGS = (("wide", 0.1, 20), ("wide", 0.1, 80), ("square", 0.1, 320), ("wide", 0.0162, 640))  # eta, T
STEPS, TASKS, TESTS, MANY = 40, 30, 50, 200
SIZES = ((1, 50), (3, 50), (5, 50), (1, 25), (1, 100), (1, 200), (1, 400), (1, 1000), (1, 3000))  # sigma, n
OVER_T = (10, 20, 40, 80, 160)


def plan(settings: Settings) -> list[Run]:
    """All parts; --epochs says how many meta-steps. With --quick the long and the large ones are left out."""
    quick = settings.quick
    count = settings.epochs or (20 if quick else META_STEPS)
    lengths = [n for n in LENGTHS if n <= 640 or not quick]
    parts: list[tuple[Any, int, dict[str, Any]]] = [
        *[(unrolled, max(lengths), {"part": "table", "problem": p, "eta": e, "lengths": lengths}) for p, e in TABLES],
        *[(unrolled, MOST, {"part": "first", "problem": p, "eta": e}) for p, e in FIRST[: 1 if quick else None]],
        *[
            (unrolled, count, {"part": "training", "problem": p, "eta": e, "length": n, "way": way})
            for p, e, n in TRAININGS[: 2 if quick else None]
            for way in unrolled.LEARNERS
        ],
        *[
            (tuned, STEPS, {"sigma": s, "samples": n, "lengths": [STEPS], "tasks": TASKS, "tests": TESTS})
            for s, n in SIZES
            if not quick or n <= 100
        ],
    ]
    if not quick:
        over = {"sigma": 1, "samples": 50, "lengths": [*OVER_T], "tasks": MANY, "tests": TESTS}
        parts.append((tuned, max(OVER_T), over))
    return [
        Run("meta", kind.__name__, "sgd", seed, steps, options)
        for kind, steps, options in parts
        for seed in page.seeds(settings, 1)
    ]


def number(value: float | None, digits: int = 5) -> str:
    return "NaN" if value is None else f"{value:.{digits}g}"


def power(sign: float, size: float) -> str:
    """A number of this sign, by the logarithm of its size, which no float need hold."""
    exponent = math.floor(size / math.log(10))
    return f"{'-' if sign < 0 else ''}{math.exp(size - exponent * math.log(10)):.2f}e{exponent:+d}"


def part(lines: Sequence[Line], name: str) -> list[Line]:
    """The lines of a part."""
    return [line for line in lines if line.run.options.get("part") == name]


def breaks(line: Line) -> str:
    """Where back-propagation breaks: every way beside the exact value."""
    found, options = line.result, line.run.options
    header = [
        "T",
        "raw exact",
        "raw bp32",
        "raw bp64",
        "log exact",
        "of float32 inputs",
        "log bp32",
        "log bp64",
        "log scaled32",
    ]
    rows = [
        [
            str(steps),
            power(*found["raw exact"][n]),
            *[number(found[way][n], 4) for way in ("raw bp32", "raw bp64")],
            *[number(found[way][n], 6) for way in ("log exact", "log exact32", "log bp32", "log bp64", "log scaled32")],
        ]
        for n, steps in enumerate(options["lengths"])
    ]
    worst = max(abs(a / b - 1) for a, b in zip(found["log scaled32"], found["log exact32"]))
    low, high = found["ends"]
    return "\n\n".join([
        f"### The {options['problem']} problem, eta = {options['eta']}",
        f"Eigenvalues of H from a = {low:.4g} to L = {high:.5g}; eta = {found['eta']:.5g}.",
        page.table(header, rows),
        f"Scaled adjoints in float32 are off by at most {worst:.1g} of the exact value for the float32 inputs.",
    ])  # fmt: skip


def firsts(lines: Sequence[Line]) -> str:
    """The first T at which a way is off, what it says there, and the first at which it is NaN."""
    rows = [
        [
            f"{line.run.options['problem']}, {line.run.options['eta']}",
            *[
                "-" if begun is None else f"{begun}: {number(says)}; NaN from {lost or 'later'}"
                for begun, says, lost in (line.result[way] for way in unrolled.FIRST)
            ],
        ]
        for line in lines
    ]
    header = ("problem, eta", "float32, log", "float64, log", "float32, log of a scaled norm", "float64, the same")
    return f"### The first T off by 1 %, what it says there, and the first NaN\n\n{page.table(header, rows)}"


def trainings(lines: Sequence[Line]) -> str:
    """Where eta ended by every way, beside the best."""
    rows: dict[tuple[Any, ...], dict[str, str]] = {}
    for line in lines:
        options = line.run.options
        key = options["problem"], options["length"], options["eta"], number(line.result["best"])
        rows.setdefault(key, {})[options["way"]] = ended(line.result["etas"])
    header = ("problem", "T", "first eta", "best eta", *unrolled.LEARNERS)
    cells = [[*map(str, key), *[row.get(way, "") for way in unrolled.LEARNERS]] for key, row in rows.items()]
    count = max(line.run.steps for line in lines)
    return (
        f"### Meta-training: {count} meta-steps\n\n{page.table(header, cells)}\n\nThe length of meta-step k is 1 / "
        "(L^2 sqrt(k)). At T = 640 the last meta-steps jump around the best step size. Rounding decides where they "
        "stop."
    )


def ended(etas: Sequence[float | None]) -> str:
    """Where eta ended, and whether it moved at all."""
    if etas[-1] is None:
        return f"NaN at meta-step {len(etas) - 1}"
    return f"{etas[-1]:.5g}" + " at every one" * (min(etas) == max(etas))  # type: ignore[type-var]


def choices(lines: Sequence[Line]) -> str:
    """Both choices of a step size on tasks of regression, over the noise, n and T."""
    single = [line for line in lines if line.run.options["lengths"] == [STEPS]]
    rows = [
        [
            str(line.run.options["sigma"]),
            str(line.run.options["samples"]),
            *[
                f"{number(line.result['found'][0][name][way], digits)}"
                for name, digits in (("eta", 3), ("train", 4), ("population", 4), ("distance", 3))
                for way in (0, 1)
            ],
            number(tuned.DIMENSIONS * line.run.options["sigma"] ** 2 / line.run.options["samples"], 3),
        ]
        for line in single
    ]
    names = ("eta", "train RMSE", "population RMSE", "distance^2")
    header = ("sigma", "n", *[f"{name} {way}" for name in names for way in ("TbT", "TbV")], "d sigma^2 / n")
    parts = [
        f"### Train by train, train by validation: d = {tuned.DIMENSIONS}, T = {STEPS}",
        (
            "TbT, train by train, chooses by the training loss on n samples. TbV, train by validation, fits half of "
            "them and chooses by the loss on the other half. Both are then tested on new tasks with all n samples."
        ),
        page.table(header, rows),
    ]
    noisy = {line.run.options["samples"]: line.result["found"][0] for line in single if line.run.options["sigma"] == 1}
    if noisy:
        peak = max(noisy, key=lambda n: noisy[n]["population"][0])
        parts.append(
            f"At sigma = 1 the population RMSE of TbT is largest at n = {peak}. "
            + "This is n = d, where the samples can just be interpolated. " * (peak == tuned.DIMENSIONS)
            + "So the gap does not simply grow as n falls."
        )
    for line in lines:
        if line.run.options["lengths"] != [STEPS]:
            found = zip(line.run.options["lengths"], line.result["found"])
            over = [[str(n), number(one["eta"][0], 3), number(one["eta"][1] * n, 3)] for n, one in found]
            parts.append(f"Over T, at n = {line.run.options['samples']}, with {line.run.options['tasks']} tasks:")
            parts.append(page.table(("T", "eta TbT", "T times eta TbV"), over))
    return "\n\n".join(parts)


CLAIMS = (
    ("The derivative of f(w_T) vanishes for eta < 2/L, and explodes for eta > 2/L.", f"{PAPER}; {MEASURED}"),
    ("That of log f(w_T) / T is bounded for all eta, and has one 0.", f"{PAPER}; as far as shown: {MEASURED}"),
    ("Back-propagation of log f has intermediate numbers that are exponential in T.", f"{PAPER}; {MEASURED}"),
    ("With exponents of their own, float32 adjoints are right at all T shown.", MEASURED),
    ("Meta-training with steps 1/sqrt(k) comes near the best eta.", f"{PAPER}; as far as shown: {MEASURED}"),
    ("n in [d/4, 3d/4], large noise: eta of TbT is of order 1, of TbV of order 1/T.", f"{PAPER}; over T: {MEASURED}"),
    ("TbT over-fits there, TbV does not; with n far above d both are equal.", f"{PAPER}; {MEASURED}"),
    ("The gap is largest at n = d.", MEASURED),
    ("The same gap for learned optimizers of networks on MNIST.", f"{PAPER}; {OPEN}"),
)  # fmt: skip


def markdown(lines: Sequence[Line]) -> str:
    """All tables, and where each claim comes from."""
    parts = ["## Learning to learn a step size"]
    parts += [breaks(line) for line in part(lines, "table")]
    for name, write in (("first", firsts), ("training", trainings)):
        if found := part(lines, name):
            parts.append(write(found))
    if found := [line for line in lines if "lengths" in line.run.options and "sigma" in line.run.options]:
        parts.append(choices(found))
    return "\n\n".join([*parts, page.table(("claim", "where from"), CLAIMS), record.provenance(lines)])


def pictures(lines: Sequence[Line]) -> dict[str, bytes]:
    """Both objectives' derivatives over T, meta-training, and both choices over n."""
    figure = Figure(figsize=(11, 8.4), layout="constrained")
    (sizes, slopes), (learning, choosing) = figure.subplots(2, 2)
    for line in part(lines, "table"):
        found, lengths, name = line.result, line.run.options["lengths"], line.run.options["problem"]
        exponents = [size / math.log(10) for _, size in found["raw exact"]]
        sizes.plot(lengths, exponents, "o-", markersize=3, label=f"{name}, eta = {line.run.options['eta']}")
        if name == "square":
            for colour, way in zip(COLOURS, ("log exact", "log scaled32", "log bp64", "log bp32")):
                style = "-" if way == "log exact" else "o"
                slopes.plot(lengths, gaps(found[way]), style, color=colour, markersize=4, label=way, alpha=0.7)
    finish(sizes, "raw: log10 of the derivative's size", "T")
    finish(slopes, "log: the derivative, square problem", "T")
    for line in part(lines, "training"):
        if line.run.options["length"] == 80:
            learning.plot(gaps(line.result["etas"]), label=line.run.options["way"], linewidth=1.2)
    learning.set_ylim(0, 0.12)
    finish(learning, "eta over the meta-steps, T = 80", "meta-step")
    points = sorted(
        (line.run.options["samples"], line.result["found"][0]["population"])
        for line in lines
        if line.run.options.get("sigma") == 1 and line.run.options["lengths"] == [STEPS]
    )
    for place, name in enumerate(("TbT", "TbV")):
        choosing.plot([n for n, _ in points], [values[place] for _, values in points], "o-", label=name)
    choosing.axvline(tuned.DIMENSIONS, color="0.7", linewidth=1)
    finish(choosing, "population RMSE, sigma = 1; the line is n = d", "n")
    for axes in (sizes, slopes, choosing):
        axes.set_xscale("log")
    return {"meta.png": png(figure)}


def gaps(values: Iterable[float | None]) -> list[float]:
    """Numbers, NaN for those that were none."""
    return [math.nan if value is None else value for value in values]


EXPERIMENT = Experiment("meta", plan, markdown, pictures)
