"""A run as tables, for the screen and for a Markdown page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import goals, sweeps
from .goals import tower_times
from .plan import BACKENDS, OURS, OVER, TOWER_LABELS
from .run import Run, best
from .statistics import ratio, slope

STATES = ("import", "cold", "warm")
COLUMNS = 100  # of the screen
FASTER = "A ratio above 1 means that tinyhyper is faster."


class Table(NamedTuple):
    """A title, the heads of the columns, the lines, a note below, and whether the cells are words, not numbers."""

    title: str
    heads: list[str]
    lines: list[list[str]]
    note: str = ""
    words: bool = False


def on_screen(table: Table) -> str:
    """Columns of equal width, the first to the left, numbers to the right."""
    lines = [table.heads, *table.lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    shown = ["  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
             for line in lines]  # fmt: skip
    shown.insert(1, "-" * max(map(len, shown)))
    return "\n".join([table.title, *shown, *textwrap.wrap(table.note, COLUMNS)])


def as_markdown(table: Table) -> str:
    """A heading of the third level, the table, and the note."""
    rows = [table.heads, ["---"] + ["---" if table.words else "---:"] * (len(table.heads) - 1), *table.lines]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"### {table.title}", "", *lines, *(["", table.note] if table.note else [])])


def threads_name(threads: int) -> str:
    return f"{threads} thread" + "s" * (threads > 1)


def duration(seconds: float) -> str:
    """With its unit, to three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def words(left_out: dict[str, str]) -> str:
    """What is missing, and why."""
    return "; ".join(f"{label}: {why}" for label, why in left_out.items())


def goal_lines(run: Run) -> list[list[str]]:
    """One line a goal: what, what to reach, what was measured at each thread count, the verdict."""
    lines = []
    for goal in goals.GOALS:
        measured, verdict = goals.judge(run, goal)
        lines.append([goal.what, goal.reach, *(measured.get(t, "") for t in run.threads), verdict])
    return lines


def goals_table(run: Run) -> Table:
    note = (
        "The net is 2-16-16-1 at batch 32. *Over*, *a call a step* and the *floor* are explained "
        "[below](#how-it-is-measured). A goal of one thread says nothing of two."
    )
    heads, lines = ["what", "goal", *map(threads_name, run.threads), "verdict"], goal_lines(run)
    missed = [f"- {g.what}: {g.why}." for g, line in zip(goals.GOALS, lines) if g.why and "missed" in line[-1]]
    return Table("Goals", heads, lines, "\n\n".join([note, "\n".join(missed)]).rstrip(), words=True)


def goals_on_screen(run: Run) -> str:
    """The goals in a hundred columns: what was measured stands below."""
    blocks = []
    for what, reach, *measured, verdict in goal_lines(run):
        lines = [f"{what}: {reach}", *(f"  {threads_name(t)}: {m}" for t, m in zip(run.threads, measured) if m)]
        wrapped = [part for line in lines for part in textwrap.wrap(line, COLUMNS - 15, subsequent_indent="    ")]
        blocks += [f"{verdict if not i else '':<14} {part}" for i, part in enumerate(wrapped)]
    return "\n".join(["Goals", *blocks])


def hypersteps(run: Run) -> list[Table]:
    return trainings(run, "hyperstep")


def networks(run: Run) -> list[Table]:
    return trainings(run, "network")


def trainings(run: Run, kind: str) -> list[Table]:
    tables = []
    for name in run.names(kind):
        by_threads = {t: run.training(name, t) for t in run.threads}
        base = OVER if any(OVER in rows for rows in by_threads.values()) else OURS
        labels = list(dict.fromkeys(label for rows in by_threads.values() for label in rows))
        lines = []
        for label in labels:
            line, errors = [label], []
            for rows in by_threads.values():
                if label not in rows:
                    line += ["", "", ""]
                    continue
                gain = f"{ratio(rows[label], rows[base]):.2f}×" if base in rows else ""
                line += [duration(rows[label]["median"]), duration(rows[label]["least"]), gain]
                errors += [rows[label]["error"]] if rows[label]["error"] is not None else []
            lines.append([*line, f"{max(errors):.0e}" if errors else ""])
        heads = [head for t in run.threads for head in (threads_name(t), "least", "ratio")]
        tables.append(Table(name, ["", *heads, "off by"], lines, words(run.left_out(kind, name))))
    return tables


def towers(run: Run) -> list[Table]:
    tables = []
    for threads in run.threads:
        columns = {label: tower_times(run, threads, label) for label in TOWER_LABELS}
        columns = {label: times for label, times in columns.items() if times}
        heights = sorted({height for times in columns.values() for height in times})
        lines = [[str(h), *(duration(times[h]) if h in times else "" for times in columns.values())] for h in heights]
        slopes = [slope(list(times), list(times.values())) if len(times) > 1 else None for times in columns.values()]
        lines.append(["each level", *("" if value is None else duration(value) for value in slopes)])
        if heights:
            title = f"Towers of SGD: a step by height, {threads_name(threads)}"
            tables.append(Table(title, ["levels", *columns], lines))
    return tables


def operations(run: Run) -> list[Table]:
    tables = []
    for threads in run.threads:
        sizes = list(run.parts("operation", threads))
        lines = []
        for name in run.names("operation"):
            parts, line = run.parts("operation", threads, name), [name]
            for size in sizes:
                rows = parts.get(size, {})
                rivals = {label: row["median"] for label, row in rows.items() if label != OURS}
                if not rivals or OURS not in rows:
                    line.append("")
                    continue
                rival = min(rivals, key=lambda label: rivals[label])
                line.append(f"{rivals[rival] / rows[OURS]['median']:.2f} {rival[0]}")
            lines.append(line)
        if lines:
            heads = ["elements", *(f"1e{len(size) - 1}" for size in sizes)]
            note = f"{FASTER} The letter names the fastest peer: N is NumPy, P is PyTorch, M is MyGrad."
            tables.append(Table(f"Single operations, {threads_name(threads)}", heads, lines, note))
    return tables


def medians(rows: dict[str, Any], labels: Sequence[str]) -> list[str]:
    """The rows' times by label, nothing where one was left out."""
    return [duration(rows[label]["median"]) if label in rows else "" for label in labels]


def chains(run: Run) -> list[Table]:
    tables = []
    for threads in run.threads:
        lines, labels = [], [OURS, f"{OURS}, not fused", "NumPy", "PyTorch", "MyGrad"]
        for name in run.names("chain"):
            for size, rows in run.parts("chain", threads, name).items():
                rival = best(rows, goals.RIVALS)
                gain = f"{rival / rows[OURS]['median']:.2f}×" if rival and OURS in rows else ""
                cells = medians(rows, labels)
                lines.append([f"{name}, {int(size):,}", *cells, gain])
        if lines:
            title = f"Fused chains, {threads_name(threads)}"
            tables.append(Table(title, ["elements", *labels, "ratio"], lines, "The ratio is to the fastest peer."))
    return tables


def products(run: Run) -> list[Table]:
    tables = []
    for threads in run.threads:
        parts = run.parts("matmul", threads)
        lines = []
        for shape in dict.fromkeys(part.split()[0] for part in parts):
            for label in (*BACKENDS, "PyTorch"):
                cells = []
                for ways in ("NN", "NT", "TN", "TT"):
                    rows = parts.get(f"{shape} {ways}", {})
                    found = label in rows and "NumPy" in rows
                    cells.append(f"{ratio(rows['NumPy'], rows[label]):.2f}" if found else "")
                row = parts.get(f"{shape} NN", {}).get(label)
                work = 2 * np.prod(list(map(int, shape.split("x"))))
                lines.append([shape, label, *cells, f"{work / row['median'] / 1e9:.0f}" if row else ""])
        if lines:
            heads = ["m×k×n", "", "NN", "NT", "TN", "TT", "GFLOP/s, NN"]
            note = "A ratio above 1 is faster than NumPy. N and T: an operand lies in memory as written, or transposed."
            tables.append(Table(f"matmul, {threads_name(threads)}", heads, lines, note))
    for threads in run.threads:
        labels = ("NumPy", "PyTorch", *BACKENDS)
        lines = [
            [part.split()[0], *medians(rows, labels),
             f"{ratio(rows['NumPy'], rows[BACKENDS[0]]):.2f}×" if {"NumPy", BACKENDS[0]} <= rows.keys() else ""]
            for part, rows in run.parts("linear", threads).items()
        ]  # fmt: skip
        if lines:
            title = f"linear+bias+tanh, {threads_name(threads)}"
            tables.append(Table(title, ["m×k×n", *labels, "ratio"], lines, "The ratio is NumPy's time to ours."))
    return tables


def starts(run: Run) -> list[Table]:
    lines = []
    for record in run.data["starts"]:
        cells = [duration(float(np.median(record[s]))) if record[s] else "" for s in STATES]
        lines.append([f"{record['label']}, {record['threads']}", *cells, record.get("left_out", "")])
    note = "The number after each name counts its threads."
    return [Table("Fresh processes", ["", "import", "cold", "warm", ""], lines, note)] if lines else []


def sweep(run: Run) -> list[Table]:
    lines = [
        [
            f"{record['steps']:,}",
            str(record["cores"]),
            duration(min(record["seconds"])) if record["seconds"] else record["left_out"],
        ]
        for record in run.data["sweeps"]
    ]
    title = f"A sweep of {sweeps.RUNS} runs: {sweeps.WORKLOAD}"
    note = "Python makes the first steps of each run, one run at a time. So short runs gain less."
    return [Table(title, ["steps of a run", "cores", "least"], lines, note)] if lines else []


def memory(run: Run) -> list[Table]:
    tables, records = [], run.data["memory"]
    for name in dict.fromkeys(record["name"] for record in records):
        chosen = [record for record in records if record["name"] == name]
        cells = [
            [r["label"], *(f"{r[key] / 1e6:.1f}" if key in r else "" for key in ("own", "grown", "process"))]
            for r in chosen
            if "left_out" not in r
        ]
        left_out = {r["label"]: r["left_out"] for r in chosen if "left_out" in r}
        heads = ["MB", "the run itself", "from the first step on", "whole process"]
        tables.append(Table(f"Peak memory: {name}", heads, cells, words(left_out)))
    lines = [
        [r["name"], *(f"{r[key] / 1e6:.2f}" for key in ("early", "late")), f"{r['steps']:,}"]
        for r in run.data["growth"]
        if "late" in r
    ]
    if lines:
        tables.append(Table("Memory of a long run", ["MB", "after a twentieth", "at the end", "steps"], lines))
    return tables


SECTIONS = (hypersteps, networks, towers, operations, chains, products, sweep, starts, memory)
