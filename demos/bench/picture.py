"""A run as pictures: hypersteps, towers, single operations and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from ..shared.report import COLOURS, plain, png, tidy
from .goals import RIVALS, tower_times
from .plan import BACKENDS, BESIDE_ROW, FLOOR_ROW, OURS, OVER, TOWER_LABELS, TRAINING_ROWS
from .run import Run, best
from .statistics import ratio
from .tables import threads_name

LIBRARIES = {
    "tinyhyper": COLOURS[2], "numpy": COLOURS[4], "jax": COLOURS[1], "torch": COLOURS[0], "torch_compile": COLOURS[3],
    "mygrad": COLOURS[5], "autograd": COLOURS[6],
}  # fmt: skip
HUES = {
    row.label: colour
    for peer, colour in LIBRARIES.items()
    for row in (*TRAINING_ROWS, BESIDE_ROW, FLOOR_ROW)
    if row.peer == peer
}  # the colour of each row of a training, in the order in which they are drawn
MARKERS = "osD^v"
MOST = 4  # panels side by side
TICKS = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)]

Spread = tuple[float, float, float]  # the ends of a bar, and the dot between them


def draw_rows(axes: Axes, names: Sequence[str], found: Mapping[str, Spread], colours: Sequence[str]) -> None:
    """A row for each name, the first at the top: a dot, and a bar around it."""
    for place, (name, colour) in enumerate(zip(names, colours)):
        if name in found:
            low, middle, high = found[name]
            axes.plot([low, high], [place, place], color=colour, alpha=0.5, linewidth=2)
            axes.plot(middle, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    tidy(axes)


def ticks(axes: Axes) -> None:
    """Numbers below a logarithmic axis, as many as there is room for."""
    low, high = axes.get_xlim()
    shown = TICKS if high < 60 * low else TICKS[::3]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in shown if low <= tick <= high]))
    plain(axes.xaxis)


def draw_hypersteps(run: Run, threads: int) -> Figure:
    """A panel for each workload, and in it a row for each peer; workloads on the same model have the same axis."""
    trained = {name: rows for name in run.names("hyperstep") if (rows := run.training(name, threads))}
    names = [name for name in HUES if any(name in rows for rows in trained.values())]
    columns = min(MOST, len(trained))
    lines = -(-len(trained) // columns)
    figure = Figure(figsize=(3 + 2.3 * columns, 1.1 + (0.5 + 0.2 * len(names)) * lines), layout="constrained")
    panels = np.ravel(figure.subplots(lines, columns, sharey=True, squeeze=False))
    models: dict[str, Axes] = {}
    for axes, (name, rows) in zip(panels, trained.items()):
        first = models.setdefault(name.split(",")[0], axes)
        if first is not axes:
            axes.sharex(first)
        times = {
            label: (1e3 * row["quartiles"][0], 1e3 * row["median"], 1e3 * row["quartiles"][1])
            for label, row in rows.items()
        }
        draw_rows(axes, names, times, [HUES[name] for name in names])
        if OVER in times:
            axes.axvline(times[OVER][1], color=LIBRARIES["tinyhyper"], linewidth=1, linestyle=":")
        axes.set_title(name.replace("parameters, ", "parameters,\n"), fontsize=10)
    for axes in panels[len(trained) :]:
        axes.set_axis_off()
    for axes in panels[: len(trained)]:
        ticks(axes)
    figure.supxlabel("milliseconds a step, on a logarithmic axis; a bar reaches from quartile to quartile", fontsize=10)
    figure.suptitle(f"A hyperstep of each peer, {threads_name(threads)}; the dotted line is “{OVER}”", fontsize=11)
    return figure


def draw_towers(run: Run, threads: int) -> Figure:
    """The time of a step over the height; the levels above 0 on a logarithmic axis, 0 at its left end."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for label, marker in zip(TOWER_LABELS, MARKERS):
        if times := tower_times(run, threads, label):
            heights = [max(height, 0.5) for height in times]
            style = "--" if label == TOWER_LABELS[-1] else "-"
            axes.plot(heights, [t * 1e6 for t in times.values()], marker + style, color=HUES[label],
                      markersize=5, linewidth=1.4, label=label)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([0.5, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain(axes.yaxis)
    axes.set_xlabel("levels above the bottom")
    axes.set_ylabel("microseconds a step")
    axes.set_title(f"Towers of SGD, {threads_name(threads)}", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    return figure


def draw_operations(run: Run, threads: int) -> Figure:
    """How many times as quick as the best peer: a row for each forward operation, a column for each size."""
    found = gains(run, threads)
    sizes = sorted({size for line in found.values() for size in line})
    values = np.array([[line.get(size, np.nan) for size in sizes] for line in found.values()])
    figure = Figure(figsize=(8.5, 1.4 + 0.36 * len(found)), layout="constrained")
    axes = figure.subplots()
    shown = axes.pcolormesh(values, cmap=colormaps["PuOr"], norm=LogNorm(1 / 8, 8), edgecolors="white", linewidth=1.5)
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            light = np.dot(np.power(shown.to_rgba(value)[:3], 2.2), (0.21, 0.72, 0.07)) > 0.2
            axes.text(x + 0.5, y + 0.5, f"{value:.2g}", ha="center", va="center", color="black" if light else "white")
    axes.set_xticks(np.arange(len(sizes)) + 0.5, [f"{size:,}" for size in sizes])
    axes.set_yticks(np.arange(len(found)) + 0.5, list(found))
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("elements")
    title = f"The best peer's time / tinyhyper's, forward, {threads_name(threads)}: above 1 tinyhyper is faster"
    axes.set_title(title, fontsize=11)
    bar = figure.colorbar(shown, ax=axes, ticks=[0.125, 0.25, 0.5, 1, 2, 4, 8], pad=0.02)
    plain(bar.ax.yaxis)
    bar.outline.set_visible(False)
    return figure


def draw_products(run: Run, threads: int) -> Figure:
    """A panel for each row, and in it the shapes: NumPy's time over its own, of all transpositions."""
    found = product_ratios(run, threads)
    shapes = list(dict.fromkeys(shape for ratios in found.values() for shape in ratios))
    figure = Figure(figsize=(2 + 1.9 * len(found), 1.4 + 0.26 * len(shapes)), layout="constrained")
    panels = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, ratios) in zip(panels, found.items()):
        spreads = {shape: (min(v), float(np.median(v)), max(v)) for shape, v in ratios.items()}
        colour = LIBRARIES["torch" if name == "PyTorch" else "tinyhyper"]
        draw_rows(axes, shapes, spreads, [colour] * len(shapes))
        axes.axvline(1, color="#555555", linewidth=1)
        axes.set_title(name.replace(", ", ",\n"), fontsize=10)
    for axes in panels:
        ticks(axes)
    panels[0].set_yticks(range(len(shapes)), [shape.replace("x", "×") for shape in shapes])
    panels[0].set_ylabel("m×k×n")
    figure.supxlabel("NumPy's time / time; a bar reaches from the least to the most of 4 transpositions", fontsize=10)
    figure.suptitle(f"Matrix products, {threads_name(threads)}: above 1 faster than NumPy", fontsize=11)
    return figure


def gains(run: Run, threads: int) -> dict[str, dict[int, float]]:
    """The best peer's time over ours, by forward operation and size."""
    found: dict[str, dict[int, float]] = {}
    for name in run.names("operation"):
        for part, rows in run.parts("operation", threads, name).items():
            if "backward" not in name and OURS in rows and (rival := best(rows, RIVALS)):
                found.setdefault(name, {})[int(part)] = rival / rows[OURS]["median"]
    return found


def product_ratios(run: Run, threads: int) -> dict[str, dict[str, list[float]]]:
    """NumPy's time over ours, by row and shape, of all transpositions."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind, labels in (("matmul", (*BACKENDS, "PyTorch")), ("linear", BACKENDS[:1])):
        for part, rows in run.parts(kind, threads).items():
            for label in labels:
                if label in rows and "NumPy" in rows:
                    name = label if kind == "matmul" else "linear+bias+tanh, auto"
                    shapes = found.setdefault(name, {})
                    shapes.setdefault(part.split()[0], []).append(ratio(rows["NumPy"], rows[label]))
    return found


class Drawn(NamedTuple):
    """A picture in a section of the page: of which kind it is, what it shows, in words, and what draws it."""

    kind: str
    words: str
    draw: Callable[[Run, int], Figure]


DRAWN = {
    "hypersteps": Drawn("hyperstep", "The time of a step of each peer, on each workload.", draw_hypersteps),
    "towers": Drawn("towers", "The time of a step over the height of a tower of SGD.", draw_towers),
    "operations": Drawn("operation", "By size: the best peer's time divided by tinyhyper's.", draw_operations),
    "products": Drawn("matmul", "By shape: NumPy's time divided by that of each peer.", draw_products),
}


def measured(run: Run) -> dict[str, Drawn]:
    """By section, the pictures of what was measured at the smallest thread count, which they show."""
    return {section: drawn for section, drawn in DRAWN.items() if run.parts(drawn.kind, min(run.threads))}


def file(section: str) -> str:
    """The file in which the picture of a section lies."""
    return f"performance-{section}.png"


def pictures(run: Run) -> dict[str, bytes]:
    """The PNGs by their files."""
    return {file(section): png(drawn.draw(run, min(run.threads))) for section, drawn in measured(run).items()}
