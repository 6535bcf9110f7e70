"""The page of a run: a text, and the tables in it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from string import Template
from typing import Any

from . import memory, picture, startup, tables, worker
from .agreement import TOLERANCE
from .problems import SMALL_MLP
from .run import Run

TEXT = Path(__file__).with_name("page.md")


def machine(facts: dict[str, Any]) -> list[list[str]]:
    """Lines of what was measured on, and with what."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return [
        ["processor", facts["processor"]],
        ["vectors", facts["vectors"]],
        ["cores", f"{facts['cores']}; measured with {' and '.join(map(str, facts['threads']))} threads"],
        ["system", f"{facts['system']}, Python {facts['python']}"],
        ["NumPy's BLAS", facts["blas"]],
        ["versions", versions],
    ]


def markdown(run: Run) -> str:
    """The page as docs/performance.md."""
    shown = {name: [f"![{drawn.words}]({picture.file(name)})"] for name, drawn in picture.measured(run).items()}
    sections = {
        (name := section.__name__): "\n\n".join([*shown.get(name, []), *map(tables.as_markdown, section(run))])
        or "Not measured."
        for section in tables.SECTIONS
    }
    others = run.others()
    lines = machine(run.data["machine"])
    facts = "\n".join(["| machine | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in lines)])
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        sections,
        machine=facts,
        goals=tables.as_markdown(tables.goals_table(run)).replace("### ", "## "),
        others="".join(f"**{other}**\n\n" for other in others),
        minutes=f"{run.data['seconds'] / 60:.1f}",
        rounds=run.data["rounds"],
        uncounted=worker.UNCOUNTED,
        warm_up=round(1000 * worker.WARM_UP),
        checked=worker.CHECKED_STEPS + 1,
        remembered=memory.STEPS,
        small_batch=memory.SMALL_BATCH,
        small=f"{'-'.join(map(str, SMALL_MLP.layers))} at batch {SMALL_MLP.batch}",
        sample=f"{worker.SAMPLE * 1e6:g}",
        loop=f"{worker.LOOP * 1e3:g}",
        ready=next(start.steps for start in startup.STARTS if start.label == startup.REPLAY),
        tolerance=f"{TOLERANCE:g}",
    )


def screen(run: Run) -> str:
    """All tables in a hundred columns."""
    facts = "\n".join(
        textwrap.fill(f"{name:<13} {value}", tables.COLUMNS, subsequent_indent=" " * 14)
        for name, value in machine(run.data["machine"])
    )
    found = [tables.on_screen(table) for section in tables.SECTIONS for table in section(run)]
    return "\n\n".join([facts, *found, tables.goals_on_screen(run)])
