"""A run as a picture: hypersteps over towers, single operations and matrix products."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..report import COLOURS, plain, tick
from .goals import RIVALS, tower_times
from .plan import BACKENDS, BESIDE_ROW, FLOOR_ROW, KINDS, OURS, TOWER_LABELS, TRAINING_ROWS
from .run import Rows, Run, best
from .statistics import ratio

MARKERS = "osD^vPX*h"
LIBRARIES = {
    "tinyhyper": COLOURS[2], "numpy": COLOURS[4], "jax": COLOURS[1], "torch": COLOURS[0], "torch_compile": COLOURS[3],
    "mygrad": COLOURS[5], "autograd": COLOURS[6],
}  # fmt: skip


def named(axes: Axes, columns: int, **place: Any) -> None:
    """A legend in which each label stands once."""
    handles = {str(h.get_label()): h for h in axes.get_lines() if not str(h.get_label()).startswith("_")}
    axes.legend(list(handles.values()), list(handles), fontsize=8, frameon=False, ncols=columns, **place)


def grid(axes: Axes) -> None:
    axes.grid(color="#E5E5E5", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def styles() -> dict[str, dict[str, Any]]:
    """By label of a training row: a colour for each library, and a marker for each of its rows."""
    found: dict[str, dict[str, Any]] = {}
    for peer, colour in LIBRARIES.items():
        labels = [row.label for row in (*TRAINING_ROWS, BESIDE_ROW, FLOOR_ROW) if row.peer == peer]
        found |= {label: {"color": colour, "marker": marker} for label, marker in zip(labels, MARKERS)}
    return found


def draw_hypersteps(axes: Axes, run: Run, threads: int) -> None:
    """A row for each workload, and in it a line for each peer: the median, and a bar from quartile to quartile."""
    names = [name for name in run.names("hyperstep") if run.training(name, threads)]
    found = [run.training(name, threads) for name in names]
    shown = {label: style for label, style in styles().items() if any(label in rows for rows in found)}
    for place, rows in enumerate(found):
        axes.axhline(place + 0.5, color="#CCCCCC", linewidth=0.7)
        for n, (label, style) in enumerate(shown.items()):
            if label in rows:
                line = place + 0.84 * (n + 0.5) / len(shown) - 0.42
                axes.plot([q * 1e6 for q in rows[label]["quartiles"]], [line, line], color=style["color"], alpha=0.6)
                axes.plot(rows[label]["median"] * 1e6, line, markersize=5, linestyle="none", label=label, **style)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    plain(axes.xaxis)
    axes.set_xlabel("microseconds a step; bars: quartiles")
    axes.set_title("Hypersteps")
    named(axes, 1, loc="center left", bbox_to_anchor=(1.0, 0.5))
    grid(axes)
    axes.grid(visible=False, axis="y")


def draw_towers(axes: Axes, run: Run, threads: int) -> None:
    """The time of a step over the height; the levels above 0 on a logarithmic axis, 0 at its left end."""
    known = styles()
    for label in TOWER_LABELS:
        if times := tower_times(run, threads, label):
            heights = [max(height, 0.5) for height in times]
            axes.plot(heights, [t * 1e6 for t in times.values()], "-", markersize=4.5, linewidth=1.4, label=label,
                      **known[label])  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([0.5, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain(axes.yaxis)
    axes.set_xlabel("levels above the bottom")
    axes.set_ylabel("microseconds a step")
    axes.set_title("Towers of SGD")
    axes.legend(fontsize=8, frameon=False)
    grid(axes)


def draw_ratios(axes: Axes, lines: dict[str, list[tuple[int, float]]], goal: float, what: str) -> None:
    """Lines of ratios, above 1 where tinyhyper is faster, and the goal."""
    axes.axhline(1, color="#555555", linewidth=1)
    axes.axhline(goal, color="#999999", linewidth=1, linestyle=":", label=f"goal: {goal:g}")
    for n, (name, points) in enumerate(lines.items()):
        x, y = zip(*points)
        axes.plot(x, y, MARKERS[n % len(MARKERS)] + "-", color=COLOURS[n % len(COLOURS)], markersize=4, linewidth=1.2,
                  label=name)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel(what)
    tick(axes)
    axes.legend(fontsize=7.5, frameon=False, ncols=2)
    grid(axes)


def draw_operations(axes: Axes, run: Run, threads: int) -> None:
    draw_ratios(axes, operation_lines(run, threads), 0.9, "time of the best peer / tinyhyper's")
    axes.set_title("Single operations, forward: above 1, faster")
    axes.set_xlabel("elements")


def draw_products(axes: Axes, run: Run, threads: int) -> None:
    """NumPy's time over that of each row, by shape: the median of all transpositions, and a bar to both extremes."""
    lines = product_ratios(run, threads)
    shapes = list(dict.fromkeys(shape for ratios in lines.values() for shape in ratios))
    axes.axhline(1, color="#555555", linewidth=1)
    for n, (name, ratios) in enumerate(lines.items()):
        colour, marker = COLOURS[n], MARKERS[n]
        for shape, values in ratios.items():
            x = shapes.index(shape) + 0.7 * (n + 1) / (len(lines) + 1) - 0.35
            axes.plot([x, x], [min(values), max(values)], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot(x, float(np.median(values)), marker, color=colour, markersize=5, label=name)
    for place in range(len(shapes) - 1):
        axes.axvline(place + 0.5, color="#CCCCCC", linewidth=0.7)
    axes.set_xticks(
        range(len(shapes)), [shape.replace("x", "×") for shape in shapes], rotation=30, ha="right", fontsize=8.5
    )
    axes.set_yscale("log")
    axes.set_ylabel("NumPy's time / time")
    axes.set_title("Matrix products: above 1, faster than NumPy")
    axes.set_xlabel("m×k×n; bars: the four transpositions")
    named(axes, 2)
    grid(axes)
    axes.grid(visible=False, axis="x")
    tick(axes)


def operation_lines(run: Run, threads: int) -> dict[str, list[tuple[int, float]]]:
    """The gain of each forward operation over the best peer, by size."""
    names = [name for name in run.names("operation") if "backward" not in name]
    return gains({name: run.parts("operation", threads, name) for name in names})


def gains(cases: dict[str, dict[str, Rows]]) -> dict[str, list[tuple[int, float]]]:
    lines = {}
    for name, parts in cases.items():
        points = [
            (int(part), rival / rows[OURS]["median"])
            for part, rows in parts.items()
            if OURS in rows and (rival := best(rows, RIVALS))
        ]
        if points:
            lines[name] = points
    return lines


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


def picture(run: Run) -> bytes:
    """A PNG of four panels, at the smallest thread count."""
    threads = min(run.threads)
    figure = Figure(figsize=(15, 13.5), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.4, 1])
    panels = [halves[0].subplots(), *halves[1].subplots(1, 3)]
    figure.suptitle(f"{run.data['machine']['processor']}, threads: {threads}", fontsize=11)
    drawn = {
        "hyperstep": lambda axes: draw_hypersteps(axes, run, threads),
        "towers": lambda axes: draw_towers(axes, run, threads),
        "operation": lambda axes: draw_operations(axes, run, threads),
        "matmul": lambda axes: draw_products(axes, run, threads),
    }
    for axes, (kind, draw) in zip(panels, drawn.items()):
        if run.parts(kind, threads):
            draw(axes)
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, f"{KINDS[kind]}: not measured", ha="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
